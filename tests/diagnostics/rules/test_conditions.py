from __future__ import annotations

from datetime import timedelta

from tests.diagnostics.frames import START, chained, judged, readings


def test_silence_is_watch_after_a_day_and_act_after_a_week() -> None:
    """Measured against the time of the diagnosis."""
    daily = chained(readings({"volume_m3": [1.0] * 24}))

    verdicts = [
        judged(daily, START + timedelta(days=days)).get("communication", {}).get("verdict") for days in (1, 3, 9)
    ]

    assert verdicts == [None, "watch", "act"]


def test_meter_that_reports_every_other_day_has_no_gap() -> None:
    """The usual interval of the meter counts."""
    daily = chained(
        readings({"ts": [START + timedelta(days=2 * number) for number in range(10)], "volume_m3": [1.0] * 10})
    )

    assert judged(daily) == {}


def test_register_that_never_stands_still_is_leak() -> None:
    """Three days without an interval of standstill."""
    registers = [round(1 + 0.005 * hour, 3) for hour in range(96)]

    assert judged(chained(readings({"volume_m3": registers})))["leak"]["verdict"] == "watch"


def test_two_programs_on_several_days_are_software_conflict() -> None:
    """Step 8 of the procedure."""
    daily = chained(readings({"volume_m3": [1.0] * 48, "source": ["a", "b"] * 24}))

    assert judged(daily)["software_conflict"]["cause"] == "software_conflict"


def test_reverse_register_that_counts_is_backflow() -> None:
    """A meter with a reverse register tells itself."""
    daily = chained(readings({"volume_m3": [1.0] * 4, "reverse_volume_m3": [0.0, 0.0, 0.01, 0.01]}))

    assert judged(daily)["backflow"]["evidence"][0]["value"] == 0.01
