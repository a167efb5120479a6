from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from diagnostics.diagnosis import diagnose
from diagnostics.facts import Facts
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

    assert (battery["verdict"], battery["rules"][0]) == ("act", "battery.sag")


def test_weak_coverage_is_named_as_the_drain() -> None:
    """Most uplinks in the worst coverage class."""
    daily = six_a_day(*[3.6] * 20, 3.4, 3.4, coverage_class=[2] * 22, ambient_temperature_c=[10.0] * 22)

    assert judged(daily)["battery"]["cause"] == "coverage"


def test_slow_decline_below_the_limit_of_a_day_is_found_in_a_week() -> None:
    """A little below, every day."""
    volts = [3.6, 3.603, 3.598, 3.601] * 10 + [3.535] * 8

    row = judged(six_a_day(*volts, ambient_temperature_c=[15.0] * 48))["battery"]

    assert (row["verdict"], "battery.plateau" in row["rules"]) == ("act", True)


def test_cold_that_all_peers_show_is_taken_off_where_no_temperature_is_sent() -> None:
    """Ten meters fall by 0.16 V together: cold; one falls by 0.3 V: its battery."""
    frames = []
    for meter in range(10):
        depth = 0.3 if meter == 0 else 0.16
        volts = [3.6] * 20 + [3.6 - depth] * 5
        times = [START + timedelta(days=day, hours=4 * hour) for day in range(25) for hour in range(6)]
        frames.append(
            readings(
                {
                    "meter_id": [f"m{meter}"] * 150,
                    "ts": times,
                    "battery_v": [round(volt + 0.001 * meter, 3) for volt in volts for _ in range(6)],
                }
            )
        )
    daily = chained(pl.concat(frames))

    found = diagnose(daily, as_of=daily["as_of"].max(), diagnosis_id="d", mode="live")

    assert ["m0"] == found.filter(pl.col("fault") == "battery", pl.col("verdict") == "act")["meter_id"].to_list()


def test_sag_that_the_cold_lets_expect_is_no_finding() -> None:
    """Resistance triples between 20 and -10 °C."""
    warmth = [20.0] * 20 + [-10.0] * 10
    load = [3.5] * 20 + [3.3] * 10

    assert "battery" not in judged(six_a_day(*[3.6] * 30, battery_load_v=load, ambient_temperature_c=warmth))


def test_sag_in_the_cold_alone_is_caused_by_it() -> None:
    """The cell cannot give its pulse in the cold; it recovers with warmth."""
    warmth = [15.0] * 20 + [-10.0] * 5
    load = [3.5] * 20 + [2.7] * 5

    row = judged(six_a_day(*[3.6] * 25, battery_load_v=load, ambient_temperature_c=warmth))["battery"]

    assert (row["verdict"], row["cause"]) == ("act", "low_temperature")


def test_dip_of_the_first_load_after_a_long_sleep_is_no_finding() -> None:
    """Passivation: it recovers in seconds."""
    load = [3.4] * 20 + [2.8] + [3.4] * 4

    assert judged(six_a_day(*[3.6] * 25, battery_load_v=load)) == {}


def test_silence_after_a_fallen_voltage_is_a_dead_battery_and_on_the_plateau_it_is_not() -> None:
    """One low day before the end is enough once the meter is silent."""
    warmth = [15.0] * 21
    daily = six_a_day(*[3.6] * 20, 3.55, ambient_temperature_c=warmth)
    later = daily["as_of"].max() + timedelta(days=4)

    row = judged(daily, later)["battery"]

    assert (row["verdict"], row["rules"]) == ("act", ["battery.silent"])
    assert "battery" not in judged(six_a_day(*[3.6] * 21, ambient_temperature_c=warmth), later)


def test_restarts_on_many_days_need_a_voltage_that_fell() -> None:
    """A counter that begins again because of an update is none."""
    seq = [(day * 6 + hour) % 13 for day in range(25) for hour in range(6)]
    times = [START + timedelta(days=day, hours=4 * hour) for day in range(25) for hour in range(6)]
    fine, falling = [3.6] * 150, [3.6] * 120 + [3.57] * 30

    verdicts = [
        judged(chained(readings({"ts": times, "seq": seq, "battery_v": volts}, ambient_temperature_c=15.0)))["battery"]
        for volts in (fine, falling)
    ]

    assert ["watch", "act"] == [row["verdict"] for row in verdicts]


def test_end_of_a_cell_known_by_its_type_needs_no_past() -> None:
    """Low from its first day on."""
    daily = six_a_day(*[3.1] * 12, ambient_temperature_c=[15.0] * 12)
    meters = pl.DataFrame({"meter_id": ["m1"], "battery_type": ["ER26500"]})

    assert judged(daily) == {}
    assert judged(daily, facts=Facts(meters=meters))["battery"]["rules"] == ["battery.low"]
