from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from diagnostics.battery_life import battery_life
from diagnostics.facts import Facts
from diagnostics.features import view
from tests.diagnostics.frames import START, chained, judged, readings

METER = {"meter_id": "m1", "battery_type": "ER26500", "installed_on": date(2023, 1, 1)}


def forecast(meter: dict[str, Any], a_day: int = 1, days: int = 30, **columns: Any) -> dict[str, Any]:
    """Return the forecast of a meter that sends `a_day` messages."""
    times = [START + timedelta(days=day, hours=24 / a_day * n) for day in range(days) for n in range(a_day)]
    daily = chained(readings({"ts": times}, battery_v=3.6, ambient_temperature_c=15.0, **columns))
    seen = view(daily, daily["as_of"].max(), Facts(meters=pl.DataFrame([meter])))
    rows = battery_life(seen.days, seen.features, seen.facts.meters, seen.as_of)
    return rows.row(0, named=True) if rows.height else {}


def test_one_uplink_a_day_lasts_more_than_ten_years() -> None:
    """About 0.68 mAh a day out of 8500 mAh: the interval holds what is claimed for such meters."""
    row = forecast(METER)

    assert row["low_d"] < row["remaining_d"] < row["high_d"]
    assert 4 * 365 < row["low_d"]
    assert (row["capacity_mah"], row["basis"]) == (8500.0, "drain")
    assert abs(row["drain_mah_per_d"] - (0.2 + 0.24 + 8500 * 0.01 / 365.25)) < 1e-2


def test_storm_and_weak_coverage_shorten_it() -> None:
    """More uplinks, or dearer ones."""
    usual, storm, weak = forecast(METER), forecast(METER, a_day=24), forecast(METER, coverage_class=2)

    assert storm["remaining_d"] < usual["remaining_d"] / 3
    assert weak["remaining_d"] < usual["remaining_d"] * 0.7


def test_uplinks_that_were_lost_are_counted_by_the_counter_of_the_meter() -> None:
    """It sent ten for each that arrived."""
    few = forecast(METER, seq=1)
    times = [START + timedelta(days=day) for day in range(30)]
    daily = chained(readings({"ts": times, "seq": [10 * day for day in range(30)]}))
    seen = view(daily, daily["as_of"].max(), Facts(meters=pl.DataFrame([METER])))
    lost = battery_life(seen.days, seen.features, seen.facts.meters, seen.as_of).row(0, named=True)

    assert (few["uplinks_per_d"], lost["uplinks_per_d"]) == (1.0, 10.0)


def test_capacity_that_nobody_knows_makes_no_forecast() -> None:
    """No guess."""
    assert forecast({"meter_id": "m1", "battery_type": None}) == {}


def test_voltage_that_left_the_plateau_overrules_the_books() -> None:
    """Days to weeks."""
    times = [START + timedelta(days=day) for day in range(30)]
    daily = chained(readings({"ts": times, "battery_v": [3.601] * 27 + [3.502] * 3}, ambient_temperature_c=15.0))
    seen = view(daily, daily["as_of"].max(), Facts(meters=pl.DataFrame([METER])))

    row = battery_life(seen.days, seen.features, seen.facts.meters, seen.as_of).row(0, named=True)

    assert (row["basis"], row["remaining_d"], row["high_d"]) == ("voltage", 10.0, 40.0)


def test_drain_is_watch_before_the_voltage_moves() -> None:
    """A hundred uplinks a day at the edge of coverage."""
    times = [START + timedelta(days=day, hours=hour) for day in range(30) for hour in range(24)]
    daily = chained(readings({"ts": times}, battery_v=3.6, ambient_temperature_c=15.0, coverage_class=2))

    row = judged(daily, facts=Facts(meters=pl.DataFrame([METER])))["battery"]

    assert (row["verdict"], row["rules"], row["cause"]) == ("watch", ["battery.life"], "coverage")
    assert "remaining_life" in {seen["what"] for seen in row["evidence"]}
