"""Failures to come: the hazard found again, intervals that cover, frost on its own clock, spares."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from diagnostics.batches.cohort import EXCLUDED, Cohort
from diagnostics.failure_forecast import AHEAD, failure_forecast, fit, quantile
from diagnostics.settings import FailureForecastSettings
from lake.schemas import WEATHERS
from tests.diagnostics.cohorts import TODAY, acts, fleet, moment, registry, weather

NO_WEATHER = WEATHERS.empty()
DAYS = (30, 90, 365)


def simulated(seed: int, meters: int = 4000, lots: int = 30) -> tuple[Cohort, dict[int, np.ndarray]]:
    """Return a fleet whose hazard grows with the square of age and whose lots differ, and what came afterwards.

    Meters are watched for 300 days or less and are up to six years old by then.
    """
    rng = np.random.default_rng(seed)
    lot, factor = rng.integers(0, lots, meters), rng.gamma(4.0, 0.25, lots)
    watched = np.where(rng.random(meters) < 0.2, rng.integers(1, 300, meters), 300)
    age = np.where(watched < 300, 0.0, rng.uniform(0, 2000, meters))
    scale = 0.1 * factor[lot]
    at_failure = np.sqrt((scale * (age / 1000) ** 2 + rng.exponential(size=meters)) / scale) * 1000
    day = np.floor(at_failure - age - watched).astype(int)
    came = {number: np.bincount(lot[(day >= 0) & (day < number)], minlength=lots) for number in DAYS}
    names = [f"m{number}" for number in range(meters)]
    dated = [TODAY - timedelta(days=int(number)) for number in watched]
    table = pl.DataFrame(
        {
            "device": names,
            "production_batch": [f"L{number:02d}" for number in lot],
            "region": "north",
            "installation": "indoor",
            "entered": dated,
            "left": TODAY,
            "born": [first - timedelta(days=round(old)) for first, old in zip(dated, age, strict=True)],
            "ended": "observed",
        }
    )
    failed = np.flatnonzero(day < 0)
    failures = pl.DataFrame(
        {
            "device": [names[place] for place in failed],
            "fault": "coil",
            "failed": [TODAY + timedelta(days=int(day[place])) for place in failed],
            "open": True,
        }
    )
    return Cohort(table, failures, pl.DataFrame(schema=EXCLUDED)), came


def test_fit_finds_the_hazard_again_in_spite_of_late_entry() -> None:
    """Most meters are years old when they are first watched, and few ever fail."""
    cohort, _ = simulated(1, meters=20_000)
    devices = cohort.at_risk("coil")
    ages = devices.select(
        (pl.col("entered") - pl.col("born")).dt.total_days().cast(pl.Float64).alias("since"),
        (pl.coalesce("failed", "left") - pl.col("born")).dt.total_days().cast(pl.Float64).alias("until"),
    )

    hazard = fit(ages["since"].to_numpy(), ages["until"].to_numpy(), devices["failed"].is_not_null().to_numpy(), 20)

    assert hazard.shape == pytest.approx(2.0, abs=0.25)
    assert hazard.cumulative(np.array([1000.0]))[0] == pytest.approx(0.1, rel=0.3)
    assert hazard.cumulative(np.array([0.0]))[0] == 0


def test_fit_of_few_failures_is_constant_and_of_none_is_small() -> None:
    """Nobody can tell a shape from three failures; none at all do not mean never."""
    since, until = np.zeros(100), np.full(100, 365.0)
    few, none = np.arange(100) < 3, np.zeros(100, dtype=bool)

    found = fit(since, until, few, 20)

    assert ("constant", 1.0, 3) == (found.basis, found.shape, found.failures)
    assert fit(since, until, none, 20).cumulative(np.array([365.0]))[0] == pytest.approx(0.5 / 100)


def test_intervals_cover_what_comes() -> None:
    """Of many lots in many fleets, whose counts have to be whole numbers: nine of ten, or a little more."""
    covered: dict[int, list[float]] = {number: [] for number in DAYS}
    ratio: list[float] = []
    for seed in range(12):
        cohort, came = simulated(seed)
        told = failure_forecast(cohort, NO_WEATHER, TODAY).filter(
            kind="failures", scope="production_batch", fault="coil"
        )
        for number in DAYS:
            own = told.filter(pl.col("days") == number).sort("key")
            low, high = own["value_low"].to_numpy(), own["value_high"].to_numpy()
            covered[number].append(float(np.mean((came[number] >= low) & (came[number] <= high))))
        ratio.append(came[365].sum() / own["value"].sum())

    assert all(0.87 <= np.mean(shares) <= 0.99 for shares in covered.values()), covered
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.12)


def test_small_lot_is_drawn_to_all_others_and_large_one_is_not() -> None:
    """Two failures of four meters do not mean that the rest of them fail tomorrow."""
    lots = ["small"] * 4 + ["large"] * 400 + [f"L{number % 20}" for number in range(1600)]
    failed = [0, 1, *range(4, 84), *range(404, 2004, 47)]
    told = acts(*((f"m{place:04d}", "coil", date(2024, 3, 1) + timedelta(days=place % 90)) for place in failed))

    found = failure_forecast(fleet(registry(2004, production_batch=lots), told), NO_WEATHER, TODAY)

    per_meter = {
        row["key"]: row["value"] / row["meters"]
        for row in found.filter(scope="production_batch", fault="coil", days=90).iter_rows(named=True)
    }
    assert per_meter["L0"] < per_meter["small"] < 0.5
    assert per_meter["large"] > 3 * per_meter["L0"]


def test_frost_waits_for_the_winter_of_the_year_before() -> None:
    """In July the next month has no cold day, the next year has as many as the last."""
    first = TODAY - timedelta(days=400)
    cold = weather({"north": 8.0}, days=400, first=first).with_columns(
        pl.when(pl.col("date").dt.month().is_in([12, 1, 2])).then(-15.0).otherwise(pl.col("min_c")).alias("min_c")
    )
    meters = registry(300, installation="outdoor")
    told = acts(*((f"m{place:04d}", "low_temperature", date(2024, 2, 1)) for place in range(30)))

    found = failure_forecast(fleet(meters, told, weather=cold), cold, TODAY).filter(
        fault="low_temperature", scope="region"
    )

    value = dict(found.select("days", "value").iter_rows())
    assert ["cold_days"] == found["basis"].unique().to_list()
    assert value[30] == pytest.approx(0.0, abs=1e-6)
    assert 20 < value[365] < 60


def test_who_left_or_failed_does_not_fail_again() -> None:
    """Only meters that hang and work are at risk from now on."""
    meters = registry(10, removed_on=[date(2024, 5, 1)] * 4 + [None] * 6)

    found = failure_forecast(fleet(meters, acts(("m0009", "coil", date(2024, 6, 1)))), NO_WEATHER, TODAY)

    assert [5] == found.filter(fault="coil", scope="region")["meters"].unique().to_list()
    assert [6] == found.filter(fault="battery", scope="region")["meters"].unique().to_list()


def test_spares_are_what_waits_and_what_comes_at_the_service_level() -> None:
    """More for a higher level; exchanged meters and those that recovered wait no more."""
    meters = registry(500, removed_on=[date(2024, 5, 1)] * 5 + [None] * 495)
    told = acts(*((f"m{place:04d}", "coil", date(2024, 4, 1)) for place in range(18)))
    over = acts(("m0018", "coil", date(2024, 4, 1)), ("m0019", "coil", date(2024, 4, 1)), last=moment(date(2024, 5, 1)))
    told = pl.concat([told, over])
    known = fleet(meters, told)

    often, always = (
        failure_forecast(known, NO_WEATHER, TODAY, FailureForecastSettings(service_level=level)).filter(kind="spares")
        for level in (0.8, 0.999)
    )

    assert [("north", 13)] == often.select("key", "waiting").rows()
    assert 13 < often["value"][0] < always["value"][0]


def test_nothing_is_told_of_an_empty_fleet_or_where_switched_off() -> None:
    """Nor does it fail."""
    empty = fleet(registry(1).clear(), acts())

    assert failure_forecast(empty, NO_WEATHER, TODAY).is_empty()
    off = failure_forecast(fleet(registry(3), acts()), NO_WEATHER, TODAY, FailureForecastSettings(enabled=False))
    assert off.is_empty()
    assert off.schema == AHEAD


def test_quantile_of_no_failures_is_none() -> None:
    """And it never falls with the share."""
    mean, variance = np.array([0.0, 3.0]), np.array([0.0, 9.0])

    low, high = quantile(mean, variance, 0.05), quantile(mean, variance, 0.95)

    assert [0.0, 0.0] == [low[0], high[0]]
    assert low[1] < 3 < high[1]
