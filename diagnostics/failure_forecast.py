r"""How many meters of a region or a lot will fail within the next months, and how many spares that asks for.

The hazard of a fault over the age of a meter is Weibull's, fitted to all meters with late entry and censoring by
maximum likelihood; where failures are too few to tell its shape it is constant (shape 1). With ages in whole days the
likelihood needs two histograms only, so a million meters cost what a thousand do. (Of the kept libraries, SciPy's
``CensoredData`` knows no late entry, and those that do bring an automatic differentiation along for these two
parameters.)

A group's own level is a factor on that hazard, drawn towards 1 by how much groups differ at all (gamma–Poisson, as in
the batch findings). With :math:`O` failures where the hazard lets :math:`E` expect, and :math:`\Delta` the hazard that
its living meters have before them, the number to come is negative binomial with mean
:math:`\Delta (a + O)/(a + E)`. Its variance takes in what is not known of the hazard itself (delta method).

Frost comes with winter, not with age: there the clock runs on cold days only, and the days to come are those of the
same dates a year before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import optimize, stats

from diagnostics.batches.cohort import Cohort, cold_days
from diagnostics.settings import FailureForecastSettings
from lake.vocabulary import FAULTS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Figure = Callable[[float, float], Floats]  # of each group, with log shape and level moved by so much

SCOPES = ("region", "production_batch")
Z90 = 1.6449
LEAST_STRENGTH, MOST_STRENGTH = 0.5, 1e4  # of the draw towards 1, in expected failures
SHAPE_SD = 0.7  # of the logarithm of the shape before anything is seen: between a third and three, mostly
YEAR_D = 365

AHEAD = pl.Schema(
    {
        "kind": pl.String(),  # failures or spares
        "scope": pl.String(),
        "key": pl.String(),
        "fault": pl.String(),  # empty for spares
        "days": pl.Int64(),
        "value": pl.Float64(),
        "value_low": pl.Float64(),
        "value_high": pl.Float64(),
        "meters": pl.Int64(),  # at risk from now on
        "observed": pl.Int64(),
        "expected": pl.Float64(),  # by the hazard of all meters
        "basis": pl.String(),  # weibull, constant, cold_days
        "shape": pl.Float64(),
        "waiting": pl.Int64(),  # have a fault and hang
        "service_level": pl.Float64(),
    }
)


@dataclass(frozen=True, slots=True)
class Hazard:
    r"""A cumulative hazard :math:`H(t) = e^c (t / t_0)^k` and what is not known of it.

    Parameters
    ----------
    shape : float
        k [1].
    level : float
        c, the logarithm of the cumulative hazard at `reference`.
    reference : float
        :math:`t_0` [days].
    covariance : ndarray, shape (2, 2)
        Of log k and c.
    failures : int
        It rests on.
    basis : str
        weibull or constant.
    """

    shape: float
    level: float
    reference: float
    covariance: Floats
    failures: int
    basis: str

    def cumulative(self, age_d: Floats, log_shape: float = 0.0, level: float = 0.0) -> Floats:
        """Return the cumulative hazard at an age, with the parameters moved by so much."""
        scaled: Floats = np.maximum(age_d, 0.0) / self.reference
        return np.asarray(np.exp(self.level + level) * scaled ** (self.shape * np.exp(log_shape)))


def fit(since: Floats, until: Floats, failed: npt.NDArray[np.bool_], least_failures: int) -> Hazard:
    """Return the hazard of devices with late entry and censoring.

    Parameters
    ----------
    since, until : ndarray, shape (devices,)
        Age at which each was first and last watched [days].
    failed : ndarray of bool, shape (devices,)
        Whether it failed at `until`.
    least_failures : int
        Below so many failures the shape is 1.

    Raises
    ------
    ValueError
        Nobody was watched for any time.
    """
    until = np.maximum(until, since + 0.5)  # who fails on the first day was watched for a part of it
    if not since.size:
        raise ValueError("a hazard needs devices that were watched")
    ages: Ints = np.rint(np.concatenate([since, until]) * 2).astype(np.int64)  # half days
    sign = np.concatenate([-np.ones(since.size), np.ones(until.size)])
    net = np.bincount(np.maximum(ages, 0), weights=sign)
    at = np.flatnonzero(net)
    weight, age = net[at], at / 2.0
    count = int(failed.sum())
    reference = float(np.mean(until[failed])) if count else float(np.mean(until))
    reference = max(reference, 1.0)
    logs = float(np.log(np.maximum(until[failed], 0.5) / reference).sum()) if count else 0.0

    def watched(log_shape: float) -> float:
        return max(float(np.sum(weight * (age / reference) ** np.exp(log_shape))), 1e-9)

    if count < least_failures:
        # Jeffreys' prior: with no failure at all the hazard is small, not none.
        level = float(np.log((count + 0.5) / watched(0.0)))
        return Hazard(1.0, level, reference, np.diag([0.0, 1.0 / (count + 0.5)]), count, "constant")

    def loss(log_shape: float) -> float:
        """Minus the logarithm of the likelihood, the level at its best, with what is known of shapes beforehand."""
        profile = count * np.log(watched(log_shape)) - count * log_shape - (np.exp(log_shape) - 1.0) * logs
        return float(profile + 0.5 * (log_shape / SHAPE_SD) ** 2)

    best = float(optimize.minimize_scalar(loss, bounds=(-2.0, 2.5), method="bounded").x)
    level = float(np.log(count / watched(best)))
    return Hazard(float(np.exp(best)), level, reference, _covariance(loss, watched, best, count), count, "weibull")


def _covariance(
    loss: Callable[[float], float], watched: Callable[[float], float], best: float, count: int, step: float = 0.02
) -> Floats:
    """Return the covariance of log shape and level: curvature of the profile, and how the level follows the shape."""
    curvature = (loss(best + step) - 2 * loss(best) + loss(best - step)) / step**2
    variance = 1.0 / max(curvature, 1e-6)
    follows = -(np.log(watched(best + step)) - np.log(watched(best - step))) / (2 * step)
    return np.array(
        [[variance, follows * variance], [follows * variance, 1.0 / count + follows**2 * variance]], dtype=np.float64
    )


@dataclass(frozen=True, slots=True)
class _Clock:
    """Ages of devices on the clock that a fault goes by [days]."""

    since: Floats
    until: Floats
    failed: npt.NDArray[np.bool_]
    lives: npt.NDArray[np.bool_]  # at risk from now on
    now: Floats
    ahead: dict[int, Floats]  # by days to come


def failure_forecast(
    cohort: Cohort, weather: pl.DataFrame, today: date, settings: FailureForecastSettings | None = None
) -> pl.DataFrame:
    """Return expected failures by region and by lot, and spares by region.

    Parameters
    ----------
    cohort : Cohort
        Who was at risk and who failed.
    weather : polars.DataFrame
        Columns of :data:`lake.vocabulary.WEATHER`; for the clock of frost.
    today : date
        First day to come.
    settings : FailureForecastSettings, optional

    Returns
    -------
    polars.DataFrame
        Columns of :data:`AHEAD`, one row a scope, key, fault and number of days, and one of kind ``spares`` a region.
    """
    settings = settings or FailureForecastSettings()
    if not settings.enabled or cohort.meters.is_empty():
        return pl.DataFrame(schema=AHEAD)
    days = tuple(sorted({*settings.days, settings.spares_days}))
    parts, stock = [], []
    for fault in FAULTS:
        devices = cohort.at_risk(fault)
        if devices.is_empty():
            continue
        clock, on_cold = _clock(devices, weather, today, days, fault, settings.cold_c)
        # Cold days that a pipe has survived make it neither weaker nor stronger.
        least = len(devices) + 1 if on_cold else settings.least_failures
        hazard = fit(clock.since, clock.until, clock.failed, least)
        for scope in SCOPES:
            told, moments = _of_scope(devices, scope, clock, hazard, days)
            if told.is_empty():
                continue
            basis = "cold_days" if on_cold else hazard.basis
            told = told.with_columns(
                pl.lit(fault).alias("fault"), pl.lit(basis).alias("basis"), pl.lit(hazard.shape).alias("shape")
            )
            parts.append(told.filter(pl.col("days").is_in(list(settings.days))))
            if scope == "region":
                stock.append(moments.filter(pl.col("days") == settings.spares_days))
    if not parts:
        return pl.DataFrame(schema=AHEAD)
    ahead = pl.concat(parts).with_columns(pl.lit("failures").alias("kind"))
    spares = _spares(pl.concat(stock), cohort, settings) if stock else pl.DataFrame(schema=AHEAD)
    empty = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in AHEAD.items()]
    shaped = [frame.select(pl.col(e.meta.output_name()) if e.meta.output_name() in frame.columns else e for e in empty)
              for frame in (ahead, spares)]  # fmt: skip
    return pl.concat([frame.cast(AHEAD) for frame in shaped]).sort("kind", "scope", "key", "fault", "days")


def _clock(
    devices: pl.DataFrame, weather: pl.DataFrame, today: date, days: tuple[int, ...], fault: str, cold_c: float
) -> tuple[_Clock, bool]:
    """Return the ages of devices, and whether they are counted in cold days."""
    failed = devices["failed"].is_not_null().to_numpy()
    lives = ((devices["ended"] == "observed") & devices["failed"].is_null()).to_numpy()
    until = pl.coalesce("failed", "left")
    if fault == "low_temperature":
        cold = _cold_clock(devices, weather, today, days, until, cold_c)
        if cold is not None:
            since, end, now, ahead = cold
            return _Clock(since, end, failed, lives, now, ahead), True
    ages = devices.select(
        (pl.col("entered") - pl.col("born")).dt.total_days().clip(0).cast(pl.Float64).alias("since"),
        (until - pl.col("born")).dt.total_days().clip(0).cast(pl.Float64).alias("until"),
        (pl.lit(today) - pl.col("born")).dt.total_days().clip(0).cast(pl.Float64).alias("now"),
    )
    now = ages["now"].to_numpy()
    ahead = {number: now + number for number in days}
    return _Clock(ages["since"].to_numpy(), ages["until"].to_numpy(), failed, lives, now, ahead), False


def _cold_clock(
    devices: pl.DataFrame, weather: pl.DataFrame, today: date, days: tuple[int, ...], until: pl.Expr, cold_c: float
) -> tuple[Floats, Floats, Floats, dict[int, Floats]] | None:
    """Return since, until, now [cold days] and the same ahead; None where the weather of a year is not known."""
    known = cold_days(weather, cold_c)
    measured = known.filter(pl.col("date") < today)
    if measured.is_empty() or measured["date"].min() > today - timedelta(days=YEAR_D):  # type: ignore[operator]
        return None
    keyed = devices.select(
        "device", "region", pl.col("installation").fill_null("outdoor").alias("kind"), "entered", until.alias("until")
    ).with_row_index("place")

    def at(day: pl.Expr) -> Floats:
        looked = keyed.select("place", "region", "kind", day.alias("date")).sort("date")
        found = looked.join_asof(
            measured.select("region", "kind", "date", "cold_days"), on="date", by=["region", "kind"],
            check_sortedness=False,
        )  # fmt: skip
        return np.asarray(found.sort("place")["cold_days"].fill_null(0).cast(pl.Float64).to_numpy())

    base = at(pl.col("entered"))
    now = at(pl.lit(today - timedelta(days=1))) - base
    # The same dates a year before stand for those to come.
    last_year = today - timedelta(days=YEAR_D)
    past = at(pl.lit(last_year - timedelta(days=1)))
    ahead = {number: now + (at(pl.lit(last_year + timedelta(days=min(number, YEAR_D) - 1))) - past) for number in days}
    return np.zeros(len(base)), np.maximum(at(pl.col("until")) - base, 0.0), now, ahead


def _of_scope(
    devices: pl.DataFrame, scope: str, clock: _Clock, hazard: Hazard, days: tuple[int, ...]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the forecast of each group, and mean and variance for whoever adds faults together."""
    keys = devices[scope]
    present = keys.is_not_null().to_numpy()
    if not present.any():
        return pl.DataFrame(), pl.DataFrame()
    names = keys.drop_nulls().unique().sort()
    code = np.zeros(len(keys), dtype=np.int64)
    code[present] = np.searchsorted(names.to_numpy().astype(str), keys.drop_nulls().to_numpy().astype(str))
    size = len(names)

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(code[present], weights=values[present], minlength=size), dtype=np.float64)

    def expected(log_shape: float = 0.0, level: float = 0.0) -> Floats:
        gone = hazard.cumulative(np.maximum(clock.until, clock.since + 0.5), log_shape, level)
        return total(gone - hazard.cumulative(clock.since, log_shape, level))

    def to_come(number: int, log_shape: float = 0.0, level: float = 0.0) -> Floats:
        rise = hazard.cumulative(clock.ahead[number], log_shape, level) - hazard.cumulative(clock.now, log_shape, level)
        # A meter fails once: where much is to come, the living become fewer.
        return total(-np.expm1(-np.maximum(rise, 0.0)) * clock.lives)

    observed = total(clock.failed.astype(np.float64))
    own = expected()

    def level_of(number: int) -> Figure:
        return lambda moved, level: (
            to_come(number, moved, level) * (strength + observed) / (strength + expected(moved, level))
        )

    strength = _strength(observed, own)
    alive = total(clock.lives.astype(np.float64)).astype(np.int64)
    rows, moments = [], []
    for number in days:
        factor = (strength + observed) / (strength + own)
        mean = to_come(number) * factor
        slope = _slopes(level_of(number))
        relative = np.einsum("ig,ij,jg->g", slope, hazard.covariance, slope)
        variance = mean + mean**2 * (1.0 / (strength + observed) + relative)
        low, high = (quantile(mean, variance, share) for share in (0.05, 0.95))
        base = {"scope": [scope] * size, "key": names.to_list(), "days": [number] * size}
        rows.append(
            pl.DataFrame(
                {**base, "value": mean, "value_low": low, "value_high": high, "meters": alive,
                 "observed": observed.astype(np.int64), "expected": own}
            )
        )  # fmt: skip
        moments.append(pl.DataFrame({**base, "mean": mean, "variance": variance}))
    return pl.concat(rows), pl.concat(moments)


def _slopes(figure: Figure, step: float = 0.02) -> Floats:
    """Return the derivative of the logarithm of a figure by log shape and level, shape (2, groups)."""
    found = []
    for moved in ((step, 0.0), (0.0, step)):
        up, down = figure(*moved), figure(-moved[0], -moved[1])
        found.append((np.log(np.maximum(up, 1e-12)) - np.log(np.maximum(down, 1e-12))) / (2 * step))
    return np.vstack(found)


def _strength(observed: Floats, expected: Floats) -> float:
    """Return how strongly groups are drawn towards 1 [expected failures], by how much they differ at all."""
    spread = float(np.sum((observed - expected) ** 2 - expected))
    scale = float(np.sum(expected**2))
    if observed.size < 3 or spread <= 0 or scale <= 0:
        return 50.0 if observed.size < 3 else MOST_STRENGTH
    return float(np.clip(scale / spread, LEAST_STRENGTH, MOST_STRENGTH))


def quantile(mean: Floats, variance: Floats, share: float) -> Floats:
    """Return quantiles of counts with this mean and variance: negative binomial, Poisson where they are equal.

    Examples
    --------
    >>> quantile(np.array([4.0, 4.0]), np.array([4.0, 20.0]), 0.95).tolist()
    [8.0, 13.0]
    """
    spread = variance - mean
    wide = spread > 1e-9 * np.maximum(mean, 1e-9)
    size = np.where(wide, mean**2 / np.where(wide, spread, 1.0), 1.0)
    probability = np.where(wide, mean / np.where(variance > 0, variance, 1.0), 0.5)
    broad = stats.nbinom.ppf(share, np.maximum(size, 1e-12), np.clip(probability, 1e-12, 1.0))
    narrow = stats.poisson.ppf(share, mean)
    return np.where(mean > 0, np.where(wide, broad, narrow), 0.0)


def _spares(moments: pl.DataFrame, cohort: Cohort, settings: FailureForecastSettings) -> pl.DataFrame:
    """Return how many meters a region should have in stock: what waits for exchange, and what is to come."""
    together = moments.group_by("key", maintain_order=True).agg(pl.col("mean", "variance").sum())
    hanging = (
        cohort.failures.filter("open")
        .select("device")
        .unique()
        .join(cohort.meters.filter(pl.col("ended") != "removed").select("device", "region"), on="device")
        .group_by(pl.col("region").alias("key"))
        .agg(pl.len().cast(pl.Int64).alias("waiting"))
    )
    stock = together.join(hanging, on="key", how="left", maintain_order="left").with_columns(
        pl.col("waiting").fill_null(0)
    )
    mean, variance = stock["mean"].to_numpy(), stock["variance"].to_numpy()
    low, needed, high = (quantile(mean, variance, share) for share in (0.05, settings.service_level, 0.95))
    waiting = stock["waiting"].to_numpy()
    return stock.select("key", "waiting").with_columns(
        pl.lit("spares").alias("kind"),
        pl.lit("region").alias("scope"),
        pl.lit(settings.spares_days).cast(pl.Int64).alias("days"),
        pl.Series("value", needed + waiting),
        pl.Series("value_low", low + waiting),
        pl.Series("value_high", high + waiting),
        pl.Series("expected", mean),
        pl.lit(settings.service_level).alias("service_level"),
    )
