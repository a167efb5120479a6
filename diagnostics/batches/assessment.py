"""Which groups fail more often than their exposure explains, and what decided it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from diagnostics.batch_settings import BatchSettings
from diagnostics.batches.discoveries import discrete_q_values, q_values
from diagnostics.batches.exposure import AGE, COUNTS, checked_arguments, exposure
from diagnostics.batches.looks import Look, looks_taken, over_looks
from diagnostics.batches.reference import Cells, Reference, reference
from diagnostics.batches.shrinkage import CAUTIOUS, CAUTIOUS_OFTEN, Usual, overdispersion_p, shrunken, usual_ratios
from diagnostics.batches.tails import Floats, sums, upper_tail
from diagnostics.batches.why import WHY, columns_told, places_told, strata_told, with_regression
from lake.errors import UsageError

VERDICTS = ("act", "watch", "normal", "not_separable")


def assess(
    table: pl.DataFrame,
    *,
    strata: Sequence[str],
    places: Sequence[str] = (),
    settings: BatchSettings | None = None,
    look: Look | None = None,
    age_bands_days: Sequence[int] = (),
    periods: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compare each group with the others in the same strata and places.

    Parameters
    ----------
    table : polars.DataFrame
        Devices, or cells as :func:`~diagnostics.batches.exposure.exposure` returns them.
    strata : sequence of str
        Columns that tell of exposure, the most telling first: where data are thin, the last ones are pooled.
    places : sequence of str
        Columns that name a place, such as the region: places may differ for reasons nobody knows, and a group that is
        alone in a place cannot be told from it.
    settings : BatchSettings, optional
    look : Look, optional
        That this is one of many looks; without it the error budget is that of a single one.
    age_bands_days, periods
        As :func:`~diagnostics.batches.exposure.exposure` takes them; only where `table` holds devices.

    Returns
    -------
    polars.DataFrame
        One row a group: ``group, devices, exposure_days, observed, expected, ratio, ratio_low, ratio_high`` (shrunken,
        with the interval of the settings), ``raw_ratio, p_value, q_value, verdict, dispersion`` (by how much ordinary
        groups spread), ``dispersion_p`` (how improbable that is by chance), ``looks``, and ``why``: the comparison that
        decided it (`not_compared`: share of the exposure [device-days] for which there is no comparison; `kept_…`: what
        is left without it). In the order of :func:`rank`.

    Raises
    ------
    UsageError
        The table lacks a column or contradicts itself.
    """
    found = assess_many(
        {("", ""): table}, strata=strata, places=places, settings=settings, look=look, age_bands_days=age_bands_days,
        periods=periods,
    )  # fmt: skip
    return found.drop("scope", "fault")


def assess_many(
    tables: Mapping[tuple[str, str], pl.DataFrame],
    *,
    strata: Sequence[str] | Mapping[str, Sequence[str]],
    places: Sequence[str] | Mapping[str, Sequence[str]] = (),
    settings: BatchSettings | None = None,
    look: Look | None = None,
    age_bands_days: Sequence[int] = (),
    periods: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compare the groups of several scopes and faults; the error budget is that of all of them together.

    Parameters
    ----------
    tables : mapping of (scope, fault) to polars.DataFrame
        Devices or cells of each.
    strata, places : sequence of str, or mapping of scope to sequence of str
        As in :func:`assess`.
    settings, look, age_bands_days, periods
        As in :func:`assess`.

    Returns
    -------
    polars.DataFrame
        As :func:`assess` returns it, with ``scope`` and ``fault`` in front.
    """
    chosen = BatchSettings() if settings is None else settings
    measured = []
    compared: dict[tuple[str, str], tuple[pl.DataFrame, Sequence[str]]] = {}
    for (scope, fault), table in tables.items():
        own_strata = strata.get(scope, ()) if isinstance(strata, Mapping) else strata
        own_places = places.get(scope, ()) if isinstance(places, Mapping) else places
        cells, devices = _cells_of(table, own_strata, own_places, age_bands_days, periods)
        if age_bands_days and AGE in cells.columns:
            own_strata = [*own_strata, AGE]
        compared[scope, fault] = (cells, own_strata)
        measured.append(_measured(cells, devices, own_strata, own_places, chosen, look).with_columns(
            pl.lit(scope).alias("scope"), pl.lit(fault).alias("fault")
        ))  # fmt: skip
    if not measured:
        raise UsageError("there is nothing to assess: no table was given")
    return rank(with_regression(_judged(pl.concat(measured), chosen, look), compared))


def rank(assessed: pl.DataFrame) -> pl.DataFrame:
    """Order groups by the lower end of their shrunken ratio, then by the ratio.

    A group of few devices has a wide interval and does not lead, however many of them failed.
    """
    keys = [name for name in ("scope", "fault", "group") if name in assessed.columns]
    return assessed.sort("ratio_low", "ratio", *keys, descending=[True, True, *(False for _ in keys)], nulls_last=True)


def _cells_of(
    table: pl.DataFrame,
    strata: Sequence[str],
    places: Sequence[str],
    age_bands_days: Sequence[int],
    periods: pl.DataFrame | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return cells in a fixed order, and how many devices each group has."""
    checked_arguments(table, strata, places)
    split = [*strata, *(name for name in places if name not in strata)]
    if "device" in table.columns:
        cells = exposure(table, split, age_bands_days=age_bands_days, periods=periods)
        devices = table.group_by(pl.col("group").cast(pl.String)).agg(
            pl.col("device").n_unique().cast(pl.Int64).alias("devices")
        )
        return cells, devices
    needed = ["group", *split, *COUNTS]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise UsageError(f"the table has no column {', '.join(missing)}; give devices, or cells of exposure()")
    keys = ["group", *split, *([AGE] if age_bands_days and AGE in table.columns else [])]
    dates = [pl.col("since").min()] if "since" in table.columns else []
    dates += [pl.col("until").max()] if "until" in table.columns else []
    cells = table.with_columns(pl.col("group").cast(pl.String)).group_by(keys).agg(*(pl.col(COUNTS).sum(), *dates))
    return cells.sort(keys), cells.group_by("group").agg(pl.col("devices").sum())


@dataclass(frozen=True, slots=True)
class _Sums:
    """What a part of each group's exposure shows."""

    observed: Floats
    expected: Floats
    spread: Floats

    @classmethod
    def of(
        cls, cells: Cells, told: Reference, kept: NDArray[np.bool_] | None = None, *, as_if_compared: bool = False
    ) -> _Sums:
        """Sum up the cells that are kept; what strata and places leave open adds to the spread.

        With `as_if_compared`, a stratum or place that nobody shares is taken to be like any other.
        """
        within = np.ones(cells.days.size, dtype=bool) if kept is None else kept
        expected = told.cell_expected * within
        total = cells.by_group(expected)
        doubt = told.cell_spread * told.compared if as_if_compared else told.cell_spread
        variance = _squares(cells, cells.strata[-1], expected, doubt)
        for place, spread, shared in zip(cells.places, told.place_spread, told.shared, strict=True):
            variance += _squares(cells, place, expected, spread * shared if as_if_compared else spread)
        return cls(cells.by_group(cells.failures * within), total, variance / np.maximum(total, 1e-12) ** 2)

    def tail(self, dispersion: float) -> Floats:
        """Return the exact tail; where nothing is to be expected there is no comparison, and no excess."""
        tail = upper_tail(self.observed, self.expected, self.spread + dispersion)
        return np.where(self.expected > 0, tail, 1.0)


def _squares(cells: Cells, key: NDArray[np.int64], expected: Floats, spread: Floats) -> Floats:
    """Return by group the variance of what is expected, when the cells of one key are wrong together."""
    width = int(key.max(initial=0)) + 1
    known = cells.group >= 0
    pairs, code = np.unique(cells.group[known] * width + key[known], return_inverse=True)
    together = sums(code.astype(np.int64), expected[known], pairs.size)
    of_pair = np.zeros(pairs.size)
    of_pair[code] = spread[known]
    return sums(pairs // width, together**2 * of_pair, cells.groups)


def _measured(
    frame: pl.DataFrame,
    devices: pl.DataFrame,
    strata: Sequence[str],
    places: Sequence[str],
    settings: BatchSettings,
    look: Look | None,
) -> pl.DataFrame:
    """Return one row a group with everything but what depends on the other scopes."""
    cells = Cells.of(frame, strata, places)
    names = frame.filter(pl.col("group").is_not_null())["group"].unique(maintain_order=True).alias("group")
    days = cells.by_group(cells.days)
    caution = CAUTIOUS if look is None else CAUTIOUS_OFTEN
    set_aside = np.zeros(cells.groups, dtype=bool)
    told = reference(cells, set_aside, settings)
    whole = _Sums.of(cells, told)
    usual = usual_ratios(whole.observed, whole.expected, whole.spread, settings.dispersion, caution)
    set_aside = _suspects(whole, usual, days, float(cells.days.sum()), settings)
    if set_aside.any():
        told = reference(cells, set_aside, settings)
        whole = _Sums.of(cells, told)
        usual = usual_ratios(whole.observed, whole.expected, whole.spread, settings.dispersion, caution)
    ratio, low, high = shrunken(whole.observed, whole.expected, whole.spread, usual, settings.interval)
    p_value = whole.tail(usual.spread)
    kept = _kept(cells, told, settings)
    left = _Sums.of(cells, told, kept)
    looks = _looks(frame, cells, look)
    over = p_value if look is None else over_looks(p_value, whole.expected, looks, look, settings.least_cases)
    left_p = left.tail(usual.spread)
    bare = _Sums.of(cells, told, as_if_compared=True)
    bare_p = bare.tail(usual.spread)
    bare_over = bare_p if look is None else over_looks(bare_p, whole.expected, looks, look, settings.least_cases)
    all_days, all_failures = cells.days.sum(), cells.failures.sum()
    own_failures = cells.by_group(cells.failures)
    crude = days * (all_failures - own_failures) / np.maximum(all_days - days, 1e-9)
    numbers = pl.DataFrame(
        {
            "group": names,
            "exposure_days": days,
            "observed": whole.observed,
            "expected": whole.expected,
            "ratio": ratio,
            "ratio_low": low,
            "ratio_high": high,
            "raw_ratio": np.where(whole.expected > 0, whole.observed / np.maximum(whole.expected, 1e-12), np.nan),
            "p_value": p_value,
            "over_looks": over,
            "dispersion": np.full(cells.groups, usual.spread),
            "dispersion_p": np.full(cells.groups, overdispersion_p(whole.observed, whole.expected, ~set_aside)),
            "own_spread": whole.spread + usual.spread,
            "bare_over_looks": bare_over,
            "bare_spread": bare.spread + usual.spread,
            "looks": looks,
            "crude_expected": crude,
            "set_aside": set_aside,
            "not_compared": cells.by_group(cells.days * ~kept) / np.maximum(days, 1e-12),
            "kept_observed": left.observed,
            "kept_expected": left.expected,
            "kept_p_value": left_p,
            "power": _power(left, usual, ratio, settings),
        }
    ).with_columns(pl.col("raw_ratio").fill_nan(None), pl.col("looks", "exposure_days", "observed").cast(pl.Int64))
    return (
        numbers.join(devices, on="group", how="left", maintain_order="left")
        .join(strata_told(cells, told, strata), on="group", how="left", maintain_order="left")
        .join(places_told(cells, told, places), on="group", how="left", maintain_order="left")
        .join(columns_told(cells, strata, set_aside), on="group", how="left", maintain_order="left")
    )


def _suspects(sums: _Sums, usual: Usual, days: Floats, all_days: float, settings: BatchSettings) -> NDArray[np.bool_]:
    """Return the groups that shall not say what others are to expect: the least probable ones, up to a share."""
    tail = sums.tail(usual.spread)
    suspect = (tail <= settings.set_aside_p) & (sums.observed >= settings.least_cases)
    order = np.lexsort((-sums.observed, tail))
    share = np.cumsum(days[order] * suspect[order]) / max(all_days, 1e-12)
    within = np.empty_like(suspect)
    within[order] = share <= settings.set_aside_share
    return suspect & within


def _kept(cells: Cells, told: Reference, settings: BatchSettings) -> NDArray[np.bool_]:
    """Return the cells that can prove something: others share their stratum and place.

    Places where a group is alone prove nothing where they hold most of its excess: a single one that holds half of it,
    two that hold three quarters. What is spread over more of them repeats itself, and that is the group's.
    """
    kept = told.compared.copy()
    known = cells.group >= 0
    beyond = cells.failures - told.cell_expected
    whole = np.maximum(cells.by_group(beyond), 1e-12)
    for place, shared in zip(cells.places, told.shared, strict=True):
        width = int(place.max(initial=0)) + 1
        alone = known & ~shared
        pairs, code = np.unique(cells.group[alone] * width + place[alone], return_inverse=True)
        excess = sums(code.astype(np.int64), beyond[alone], pairs.size)
        group = pairs // width
        order = np.lexsort((-excess, group))
        first = np.searchsorted(group[order], group[order], side="left")
        nth = np.arange(pairs.size) - first + 1
        before = np.append(0.0, np.cumsum(excess[order]))
        held = (before[1:] - before[first]) / whole[group[order]]
        most = (held >= 1 - 0.5**nth) & (nth <= settings.lone_places)
        # All places up to the last one by which most of the excess is held.
        last = np.zeros(cells.groups)
        np.maximum.at(last, group[order], nth * most)
        proves_nothing = np.empty(pairs.size, dtype=bool)
        proves_nothing[order] = nth <= last[group[order]]
        kept[alone] &= ~proves_nothing[code]
    return kept


def _power(left: _Sums, usual: Usual, ratio: Floats, settings: BatchSettings) -> Floats:
    """Return the probability that what is left would confirm an excess by `ratio`."""
    spread = np.maximum(left.spread + usual.spread, 1e-9)
    mean = np.maximum(left.expected, 1e-9)
    needed = stats.nbinom.isf(settings.confirm_p, 1 / spread, 1 / (1 + spread * mean)) + 1
    return upper_tail(np.asarray(needed, dtype=np.float64), mean * np.maximum(ratio, 1.0), left.spread)


def _looks(frame: pl.DataFrame, cells: Cells, look: Look | None) -> Floats:
    """Return how many looks each group has had, by the dates of its exposure."""
    if look is None or not cells.groups:
        return np.ones(cells.groups)
    if "since" not in frame.columns or "until" not in frame.columns:
        raise UsageError("looks are counted from the first day of exposure: the cells need the columns since and until")
    as_of = frame["until"].max()
    exposed = (pl.lit(as_of) - pl.col("since").min()).dt.total_days().cast(pl.Float64).alias("days")
    first = frame.filter(pl.col("group").is_not_null()).group_by("group", maintain_order=True).agg(exposed)
    return looks_taken(first["days"].to_numpy(), look)


def _shares(measured: pl.DataFrame, tail: str, spread: str, settings: BatchSettings, look: Look | None) -> Floats:
    """Return the false-discovery share at which each group would be called, over everything that was looked at."""
    # What is never called may not make room for others to be called.
    few = measured["observed"].to_numpy() < settings.least_cases
    p_value = np.where(few, 1.0, measured[tail].to_numpy())
    if look is not None:
        return q_values(p_value)
    expected = measured["expected"].to_numpy()
    return discrete_q_values(p_value, expected, measured[spread].to_numpy(), settings.least_cases)


def _judged(measured: pl.DataFrame, settings: BatchSettings, look: Look | None) -> pl.DataFrame:
    """Add what depends on everything that was looked at: false-discovery shares and verdicts."""
    q = _shares(measured, "over_looks", "own_spread", settings, look)
    bare_q = _shares(measured, "bare_over_looks", "bare_spread", settings, look)
    enough = pl.col("observed") >= settings.least_cases
    called_act = enough & (pl.col("q_value") <= settings.act_false_share) & (pl.col("ratio") >= settings.act_ratio)
    called = enough & (pl.col("q_value") <= settings.watch_false_share) & (pl.col("ratio") >= settings.watch_ratio)
    confirmed = (pl.col("not_compared") == 0) | (
        pl.col("kept_p_value") <= pl.max_horizontal(pl.lit(settings.confirm_p), 2 * pl.col("p_value"))
    )
    # An excess that only the doubt about a stratum or place of its own keeps from being called is not separable either.
    doubtful = (
        ~called
        & enough
        & (pl.col("bare_q_value") <= settings.act_false_share)
        & (pl.col("raw_ratio") >= settings.act_ratio)
        & (pl.col("not_compared") > 0)
        & (pl.col("kept_p_value") > settings.confirm_p)
    )
    nothing_beside = pl.col("expected") <= 0
    reason = (
        pl.when(~enough).then(pl.lit("few_cases"))
        .when(nothing_beside).then(pl.lit("no_comparison"))
        .when(called & confirmed).then(pl.lit("excess"))
        .when((called | doubtful) & (pl.col("power") >= settings.power)).then(pl.lit("elsewhere_as_expected"))
        .when(called | doubtful).then(pl.lit("alone_there"))
        .otherwise(pl.lit("as_expected"))
    )  # fmt: skip
    verdict = (
        pl.when(pl.col("reason").is_in(["no_comparison", "alone_there"])).then(pl.lit("not_separable"))
        .when((pl.col("reason") == "excess") & called_act).then(pl.lit("act"))
        .when(pl.col("reason") == "excess").then(pl.lit("watch"))
        .otherwise(pl.lit("normal"))
    )  # fmt: skip
    filled_later = [pl.lit(None).alias(name) for name in WHY if name.startswith("regression")]
    return (
        measured.with_columns(
            *filled_later,
            pl.Series("q_value", q, dtype=pl.Float64), pl.Series("bare_q_value", bare_q, dtype=pl.Float64)
        )
        .with_columns(reason.alias("reason"))
        .with_columns(verdict.alias("verdict"))
        .select(
            "scope", "fault", "group", "devices", "exposure_days", "observed", "expected", "ratio", "ratio_low",
            "ratio_high", "raw_ratio", "p_value", "q_value", "verdict", "dispersion", "dispersion_p", "looks",
            pl.struct(list(WHY)).cast(pl.Struct(WHY)).alias("why"),
        )
    )  # fmt: skip
