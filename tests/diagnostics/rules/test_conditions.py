from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from diagnostics.facts import RECEPTION, Facts
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


def test_programs_that_disagree_show_who_since_when_and_how_often() -> None:
    """Two head-ends write one meter, one of them with an old register: watch on the first day already."""
    times = [START + timedelta(minutes=30 * (number // 2) + number % 2) for number in range(20)]
    volumes = [round((10.0 if number % 2 == 0 else 7.5) + 0.01 * number, 3) for number in range(20)]
    values = {"ts": times, "volume_m3": volumes, "source": ["head-end", "pda"] * 10}
    daily = chained(readings(values | {"firmware": ["1.2", "1.3"] * 10}))

    found = judged(daily)["software_conflict"]
    who, disagree, firmware = found["evidence"]
    assert ("watch", START) == (found["verdict"], found["onset"])
    assert ("sources", 2, "head-end, pda") == (who["what"], who["value"], who["names"])
    assert ("sources_disagree", 10, 10, 2.49) == (
        disagree["what"], disagree["value"], disagree["comparisons"], disagree["offset_m3"],
    )  # fmt: skip
    assert "2024-01-01T00:00:00Z" == disagree["from"]
    assert ("sources_firmware", "head-end 1.2, pda 1.3") == (firmware["what"], firmware["value"])


def test_a_second_source_on_one_day_that_agrees_is_nothing() -> None:
    """A meter read once by hand beside its radio."""
    values = {"volume_m3": [1.0] * 24, "source": ["a"] * 12 + ["hand"] + ["a"] * 11}

    assert "software_conflict" not in judged(chained(readings(values)))


def test_reverse_register_that_counts_is_backflow() -> None:
    """A meter with a reverse register tells itself."""
    daily = chained(readings({"volume_m3": [1.0] * 4, "reverse_volume_m3": [0.0, 0.0, 0.01, 0.01]}))

    assert judged(daily)["backflow"]["evidence"][0]["value"] == 0.01


def not_received(first_h: float, last_h: float, noticed: datetime | None = None) -> pl.DataFrame:
    """Return a time in which nothing was received, noticed at its end."""
    since, until = START + timedelta(hours=first_h), START + timedelta(hours=last_h)
    row = ("m1", until if noticed is None else noticed, since, until, "session_lost")
    return pl.DataFrame([row], schema=RECEPTION, orient="row")


def test_silence_in_our_own_gap_is_not_blamed_on_the_meter() -> None:
    """At most watch, with the gap as evidence and nothing to do at the meter."""
    daily = chained(readings({"volume_m3": [1.0] * 24}))
    as_of = START + timedelta(days=9)

    row = judged(daily, as_of, facts=Facts(gaps=not_received(23.5, 9 * 24 - 2)))["communication"]

    assert ("watch", ["communication.reception"]) == (row["verdict"], row["rules"])
    evidence = row["evidence"][0]
    assert ("reception_gap", "2024-01-01T23:30:00Z", "2024-01-09T22:00:00Z", "session_lost") == (
        evidence["what"], evidence["from"], evidence["to"], evidence["kind"],
    )  # fmt: skip
    assert "meter" in row["action"]


@pytest.mark.parametrize(
    ("first_h", "last_h", "expected"),
    [
        (23.5, 24.5, ("act", ["communication.gap", "communication.reception"])),  # silent for long after it, too
        (5 * 24, 5 * 24 + 1, ("watch", ["communication.gap", "communication.reception"])),  # 4 days before, 4 after
        (10, 20, ("act", ["communication.gap"])),  # the meter's own measurements of that time came
    ],
)
def test_only_our_own_time_is_excused(first_h: float, last_h: float, expected: tuple[str, list[str]]) -> None:
    """What is left of the silence before or after the gap is the meter's."""
    daily = chained(readings({"volume_m3": [1.0] * 24}))

    row = judged(daily, START + timedelta(days=9), facts=Facts(gaps=not_received(first_h, last_h)))["communication"]

    assert expected == (row["verdict"], sorted(row["rules"]))


def test_gap_noticed_later_is_not_known_yet() -> None:
    """No look-ahead."""
    daily = chained(readings({"volume_m3": [1.0] * 24}))
    as_of = START + timedelta(days=9)
    gap = not_received(23.5, 9 * 24 - 2, noticed=as_of + timedelta(seconds=1))

    assert ["communication.gap"] == judged(daily, as_of, facts=Facts(gaps=gap))["communication"]["rules"]


@pytest.mark.parametrize(("missing", "expected"), [(range(10, 15), True), (range(0), False)])
def test_hole_within_a_day_in_our_gap(missing: range, expected: bool) -> None:
    """A few hours: only where the meter's own measurements are missing then."""
    hours = [hour for hour in range(48) if hour not in missing]
    daily = chained(
        readings({"ts": [START + timedelta(hours=hour) for hour in hours], "volume_m3": [1.0] * len(hours)})
    )

    found = judged(daily, facts=Facts(gaps=not_received(9.5, 14.5)))

    assert expected == ("communication" in found)
    assert {"communication"} >= set(found)
