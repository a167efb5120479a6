from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from tests.diagnostics.frames import START, chained, judged, readings


def six_a_day(*volts: float, **columns: list[Any]) -> pl.DataFrame:
    """Return the daily rows of six readings a day, each day at one voltage [V] and one value of other columns."""
    times = [START + timedelta(days=day, hours=4 * hour) for day in range(len(volts)) for hour in range(6)]
    spread = {name: [value for value in values for _ in range(6)] for name, values in columns.items()}
    return chained(readings({"ts": times, "battery_v": [volt for volt in volts for _ in range(6)], **spread}))


def test_plateau_left_is_watch_then_act() -> None:
    """The knee of a Li-SOCl2 cell: two of three days."""
    verdicts = [
        judged(six_a_day(*[3.6] * 20, *knee, ambient_temperature_c=[20.0] * (20 + len(knee)))).get("battery", {})
        for knee in ((3.545,), (3.545, 3.54), (3.545, 3.5, 3.46))
    ]

    assert [found.get("verdict") for found in verdicts] == [None, "watch", "act"]
    assert verdicts[-1]["onset"] == START + timedelta(days=20)


def test_without_temperature_a_deeper_fall_is_needed() -> None:
    """What the cold could have done alone is no finding."""
    assert judged(six_a_day(*[3.6] * 20, *[3.5] * 3)) == {}
    assert judged(six_a_day(*[3.6] * 20, *[3.4] * 3))["battery"]["verdict"] == "act"


@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_fall_in_the_cold_is_no_finding(decimals: int) -> None:
    """0.10 V between +15 and -10 °C is what every healthy cell does, at any resolution."""
    warmth = [15.0] * 30 + [15.0 - 2.5 * day for day in range(11)] + [-10.0] * 10
    volts = [round(3.60 - 0.10 * (15 - c) / 25, decimals) for c in warmth]

    assert "battery" not in judged(six_a_day(*volts, ambient_temperature_c=warmth))


def test_single_frame_dips_mean_nothing() -> None:
    """One low frame a day does not move the daily median."""
    daily = [3.6, 3.6, 3.2, 3.6, 3.6, 3.6] * 30
    times = [START + timedelta(hours=4 * index) for index in range(len(daily))]

    assert judged(chained(readings({"ts": times, "battery_v": daily}))) == {}


def test_one_step_of_a_coarse_meter_is_no_finding_three_are() -> None:
    """A meter that sends tenths flips between two of them."""
    warmth = [20.0] * 33

    assert judged(six_a_day(*[3.6] * 30, 3.5, 3.5, 3.5, ambient_temperature_c=warmth)) == {}
    assert "battery" in judged(six_a_day(*[3.6] * 30, 3.4, 3.4, 3.3, ambient_temperature_c=warmth))


def test_cell_without_plateau_is_judged_by_its_share() -> None:
    """Three alkaline cells fall slowly; 4.5 V is no plateau, 3.7 V of 4.5 V is low."""
    assert judged(six_a_day(*[4.5] * 10, 4.4, 4.3, 4.3)) == {}
    assert judged(six_a_day(*[4.5] * 10, 3.7, 3.7, 3.7))["battery"]["rules"] == ["battery.low"]


def test_deeper_sag_under_load_is_found_before_the_resting_voltage() -> None:
    """The inner resistance rises first."""
    load = [3.4] * 20 + [2.9] * 5

    battery = judged(six_a_day(*[3.6] * 25, battery_load_v=load))["battery"]

    assert (battery["verdict"], battery["rules"]) == ("act", ["battery.sag"])


def test_weak_coverage_is_named_as_the_drain() -> None:
    """Most uplinks in the worst coverage class."""
    daily = six_a_day(*[3.6] * 20, 3.4, 3.4, coverage_class=[2] * 22, ambient_temperature_c=[10.0] * 22)

    assert judged(daily)["battery"]["cause"] == "coverage"
