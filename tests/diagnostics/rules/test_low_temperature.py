from __future__ import annotations

from datetime import timedelta

import polars as pl

from tests.diagnostics.frames import START, chained, codes, judged, readings

DAYS = 30
FROST = range(20, 24)


def winter(hourly_m3: list[float], *, frost_c: float = -8.0, told: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return daily rows of 30 days with frost on four of them; `hourly_m3` is the flow of each day [m³/h]."""
    registers, total = [], 100.0
    warmth = []
    for day, flow in enumerate(hourly_m3):
        for hour in range(24):
            total += flow if flow > 0.1 or hour in (7, 19) else 0.0
            registers.append(round(total, 3))
            warmth.append(frost_c if day in FROST else 6.0)
    times = [START + timedelta(hours=hour) for hour in range(24 * len(hourly_m3))]
    seen = readings({"ts": times, "volume_m3": registers, "ambient_temperature_c": warmth})
    return chained(seen, told)


def test_flow_that_never_stops_after_thaw_is_act() -> None:
    """Cold, zero, thaw, burst."""
    row = judged(winter([0.06] * 20 + [0.0] * 4 + [0.8] * 6))["low_temperature"]

    assert (row["verdict"], row["severity"], row["cause"]) == ("act", 1, "low_temperature")
    assert "flow_after_thaw" in [seen["what"] for seen in row["evidence"]]


def test_leak_from_before_the_frost_is_no_burst() -> None:
    """What ran before the frost was not broken by it."""
    assert "low_temperature" not in judged(winter([0.8] * 30))


def test_register_that_stands_from_the_frost_on_is_watch_with_code_act() -> None:
    """A home that always uses water stops in the frost: people may have left, a freeze code says more."""
    flows = [0.06] * 20 + [0.0] * 10
    told = codes((START + timedelta(days=21), "low_temperature", 2, "freeze"))

    assert judged(winter(flows))["low_temperature"]["verdict"] == "watch"
    assert judged(winter(flows, told=told))["low_temperature"]["verdict"] == "act"


def test_exposure_alone_is_at_most_watch() -> None:
    """Hard frost, or a freeze code, without any symptom is a risk and no fault."""
    told = codes(*((START + timedelta(days=day), "low_temperature", 1, "freeze") for day in FROST))

    assert judged(winter([0.06] * 24, frost_c=-12.0))["low_temperature"]["verdict"] == "watch"
    assert judged(winter([0.06] * 24, told=told))["low_temperature"]["verdict"] == "watch"


def test_vacant_home_in_frost_is_no_finding() -> None:
    """It stood before the frost, too."""
    assert judged(winter([0.0] * 30)) == {}


def test_silence_from_the_frost_on_is_watch() -> None:
    """Dead after frost, or its radio: someone should look."""
    daily = winter([0.06] * 24)

    found = judged(daily, START + timedelta(days=30))

    assert (found["low_temperature"]["verdict"], found["communication"]["verdict"]) == ("watch", "watch")
