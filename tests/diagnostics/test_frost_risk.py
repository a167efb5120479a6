"""How cold each meter will get by a forecast, and which are at risk."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from diagnostics.facts import Facts
from diagnostics.features import view
from diagnostics.frost_risk import _degree_hours, frost_risk
from tests.diagnostics.frames import FAR, START, chained, readings

DAYS = 30
TODAY = date(2024, 1, 1) + timedelta(days=DAYS)
MILD = [float(2 * n % 14) for n in range(DAYS)]  # lowest air temperature of the days seen: 0 to 12 °C


def risk(ahead: list[float], *, case: list[float] | None = None, installation: str = "outdoor", still: bool = False,
         least_m3: float = 0.0, daily_draw_m3: float = 0.2) -> pl.DataFrame:  # fmt: skip
    """Return the risk of one meter: lowest air temperatures ahead, and of its case on the days seen."""
    hours = range(24 * DAYS)
    drawn = 0.0
    volumes = []
    for hour in hours:
        drawn += least_m3 + (daily_draw_m3 if hour % 24 == 8 and not (still and hour > 24 * (DAYS - 5)) else 0.0)
        volumes.append(round(10 + drawn, 4))
    ambient = [None if case is None else case[hour // 24] for hour in hours]
    daily = chained(readings({"ts": [START + timedelta(hours=hour) for hour in hours], "volume_m3": volumes,
                              "ambient_temperature_c": ambient}))  # fmt: skip
    weather = [
        {"region": "r", "date": date(2024, 1, 1) + timedelta(days=n), "min_c": low, "max_c": low + 6.0,
         "forecast": n >= DAYS}
        for n, low in enumerate(MILD + ahead)
    ]  # fmt: skip
    meters = pl.DataFrame({"meter_id": ["m1"], "region": ["r"], "installation": [installation]})
    seen = view(daily, START + timedelta(days=DAYS), Facts(meters=meters, weather=pl.DataFrame(weather)))
    return frost_risk(seen.days, seen.features, seen.facts, TODAY)


def test_mild_forecast_puts_nobody_at_risk() -> None:
    assert risk([1.0, 2.0]).is_empty()


def test_bare_box_follows_the_air_and_a_heated_room_does_not() -> None:
    outdoor = risk([-12.0, -12.0]).row(0, named=True)

    assert outdoor["lowest_c"] == pytest.approx(-12.0, abs=0.5)
    assert outdoor["tier"] == "severe"
    assert outdoor["learned_days"] == 0
    assert risk([-12.0, -12.0], installation="indoor").is_empty()


def test_meter_tells_itself_how_far_it_follows_the_air() -> None:
    """An outdoor meter in a warm niche: half of the air's change arrives, from 8 °C on."""
    own = risk([-26.0], case=[8 + 0.5 * low for low in MILD]).row(0, named=True)

    assert own["learned_days"] == DAYS
    assert own["share"] == pytest.approx(0.6, abs=0.1)
    assert own["lowest_c"] == pytest.approx(8 - 0.6 * 26, abs=3)
    assert own["lowest_c"] > risk([-26.0])["lowest_c"][0]


def test_interval_is_wider_where_only_the_installation_tells() -> None:
    supposed, learned = risk([-9.0]).row(0, named=True), risk([-9.0], case=MILD).row(0, named=True)
    width = [row["lowest_high_c"] - row["lowest_low_c"] for row in (supposed, learned)]

    assert width[0] > width[1] > 0
    assert supposed["score_low"] < supposed["score"] < supposed["score_high"]


def test_water_that_stands_freezes_first_and_water_that_runs_last() -> None:
    used, empty, running = (
        risk([-9.0, -9.0], **how).row(0, named=True) for how in ({}, {"still": True}, {"least_m3": 0.01})
    )

    assert running["score"] < used["score"] < empty["score"]
    assert (used["away"], empty["away"], running["running"]) == (False, True, True)


def test_longer_cold_is_a_greater_risk() -> None:
    one, three = risk([-9.0])["score"][0], risk([-9.0, -9.0, -9.0])["score"][0]

    assert three > one
    assert 0 < three < 0.5


def test_days_before_today_are_no_forecast() -> None:
    seen = risk([-12.0])

    assert seen["from"][0].date() == TODAY
    assert seen["until"][0].date() == TODAY + timedelta(days=1)


def test_no_weather_no_risk() -> None:
    daily = chained(readings({"volume_m3": [10.0] * 48}))
    seen = view(daily, FAR)

    assert frost_risk(seen.days, seen.features, seen.facts, TODAY).is_empty()


@pytest.mark.parametrize(
    ("low_c", "swing_c", "expected"), [(-10.0, 0.0, 240.0), (0.0, 8.0, 0.0), (-8.0, 8.0, 96.0), (-4.0, 8.0, 30.56)]
)
def test_degree_hours_of_a_day(low_c: float, swing_c: float, expected: float) -> None:
    """Around 0 °C half a sine lies below it: 24/π of its amplitude."""
    hours = pl.select(_degree_hours(pl.lit(low_c), pl.lit(swing_c))).item()

    assert hours == pytest.approx(expected, abs=0.01)
