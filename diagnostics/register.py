"""What the registers of a day tell: consumption, falls, jumps, and two sequences that interleave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from diagnostics.segments import Flags, Floats, Integers, Segments
from diagnostics.settings import ProfileSettings
from lake.schemas import TIME

HOUR_S = 3600.0
MICROSECONDS = 1e6
SHORT_S = 60.0  # flow between measurements closer than this is the jitter of their times
LEAST_ALTERNATIONS = 3  # A B A B: one exchange alternates once, one wrong reading twice
LEAST_TRACK = 2
LEAST_BIT = 8  # smaller bits are within what may flow between two readings
BIT_TOLERANCE = 0.002  # of the drop: what flowed between the two readings
MOST_DECIMALS = 6
NEVER = np.iinfo(np.int64).min  # a time that is none


def register_profile(readings: pl.DataFrame, limits: Floats, settings: ProfileSettings) -> pl.DataFrame:
    """Return one row a ``key`` (meter and day) with the register columns of the daily table.

    Parameters
    ----------
    readings : polars.DataFrame
        Usable registers sorted by ``key`` and ``ts``: ``key, ts, volume_m3`` and, where the meter has a valve,
        ``valve_state``.
    limits : numpy.ndarray
        Flow that no meter passes [m³/h], by key.
    settings : ProfileSettings
        ``drop_m3`` tells a jump from a backward count.
    """
    runs = Segments.of(readings["key"].to_numpy())
    columns = _Columns.of(readings)
    totals: list[dict[str, Any]] = []
    strange: list[pl.DataFrame] = []
    for some, rows in runs.blocks():
        block = columns.part(rows)
        steps = _steps(block, some, limits[some.keys], settings)
        totals.append(_totals(block, steps, some))
        odd = some.any(steps.drop | steps.backward | steps.surge)
        if odd.any():
            strange.append(_frame(readings[rows], steps, np.repeat(odd, some.lengths), limits))
    profile = _profile(readings, runs, limits, totals)
    counts = ("backward_counts", "drops", "surges")
    if not strange:
        return profile.with_columns(pl.lit(0, dtype=pl.Int64).alias(name) for name in counts)
    steps_there = pl.concat(strange).with_columns(pl.col("key").set_sorted())
    for part in (_backward(steps_there), _drops(steps_there), _surges(steps_there)):
        profile = profile.join(part, on="key", how="left", maintain_order="left")
    return _with_interleaving(profile.with_columns(pl.col(counts).fill_null(0)), steps_there, settings)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Registers as arrays: value [m³], time [µs], whether the valve is closed, and told."""

    volume: Floats
    ts: Integers
    shut: Flags | None
    told: Flags | None

    @classmethod
    def of(cls, readings: pl.DataFrame) -> _Columns:
        """Return the columns of a frame."""
        state = readings["valve_state"] if "valve_state" in readings.columns else None
        if state is not None and state.null_count() == len(state):
            state = None
        return cls(
            readings["volume_m3"].to_numpy(),
            readings["ts"].to_physical().to_numpy(),
            None if state is None else (state == "closed").fill_null(value=False).to_numpy(),
            None if state is None else state.is_not_null().to_numpy(),
        )

    def part(self, rows: slice) -> _Columns:
        """Return some rows."""
        columns = (self.volume, self.ts, self.shut, self.told)
        return _Columns(*(None if column is None else column[rows] for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Steps:
    """What each register is to the one before it on the same day; a day's first has none.

    Parameters
    ----------
    before, step : numpy.ndarray, shape (readings,)
        Register before, NaN for the first of a day, and increment [m³].
    took : numpy.ndarray, shape (readings,)
        Time in between [s].
    drop, backward, surge, possible : numpy.ndarray, shape (readings,)
        What kind of increment it is.
    """

    before: Floats
    step: Floats
    took: Floats
    drop: Flags
    backward: Flags
    surge: Flags
    possible: Flags


def _steps(columns: _Columns, runs: Segments, limits: Floats, settings: ProfileSettings) -> _Steps:
    volume, ts = columns.volume, columns.ts
    before, took = np.empty_like(volume), np.empty_like(volume)
    before[1:] = volume[:-1]
    before[runs.starts] = np.nan
    np.subtract(ts[1:], ts[:-1], out=took[1:])
    took[runs.starts] = np.nan
    took /= MICROSECONDS
    step = np.round(volume - before, 6)
    limit = np.repeat(limits, runs.lengths) * took / HOUR_S + settings.drop_m3
    drop = step < -settings.drop_m3
    surge = step > limit
    possible = (step >= 0) & ~surge
    if drop.any():
        half = _halves(step, drop, runs)
        surge[half] = possible[half] = False
    return _Steps(before, step, took, drop, (step < 0) & ~drop, surge, possible)


def _halves(step: Floats, drop: Flags, runs: Segments) -> Integers:
    """Return the increments beside a drop of their own size: the other half of a jump, not consumption."""
    falls = np.flatnonzero(drop)
    after = falls[falls + 1 < runs.rows] + 1
    # A day's first register has no increment, NaN, so that a neighbour on another day is never a half.
    halves = [after[step[after] > -step[after - 1] / 2], falls[step[falls - 1] > -step[falls] / 2] - 1]
    return np.concatenate(halves)


def _frame(readings: pl.DataFrame, steps: _Steps, rows: Flags, limits: Floats) -> pl.DataFrame:
    """Return some readings with their steps and the limit of their flow as a frame, NaN as null."""
    names = ("drop", "backward", "surge", "possible")
    floats = {"before_m3": steps.before, "step_m3": steps.step, "took_s": steps.took}
    some = readings.filter(pl.Series(rows))
    return some.with_columns(
        pl.Series("flow_limit_m3h", limits[some["key"].to_numpy()]),
        *(pl.Series(name, values[rows], nan_to_null=True) for name, values in floats.items()),
        *(pl.Series(name, getattr(steps, name)[rows]) for name in names),
    )


def _totals(columns: _Columns, steps: _Steps, runs: Segments) -> dict[str, Any]:
    """Return the figures of every day's registers."""
    with np.errstate(divide="ignore", invalid="ignore"):
        flow = steps.step / steps.took * HOUR_S
    rated = steps.possible & (steps.took >= SHORT_S)
    moved = steps.possible & (steps.step > 0)
    flows = np.flatnonzero(rated & moved)
    logs = np.zeros_like(flow)
    logs[flows] = np.log(flow[flows])
    active = runs.sum(rated & moved)
    figures = {
        "volume_step_m3": 10.0 ** -_most_decimals(columns.volume, steps.step, runs),
        "before_last_volume_m3": steps.before[runs.ends],
        "consumption_m3": np.round(runs.sum(np.where(steps.possible, steps.step, 0.0)), 6),
        "flow_intervals": runs.sum(rated),
        "active_intervals": active,
        "standstill_s": runs.sum(np.where(steps.possible & (steps.step == 0), steps.took, 0.0)),
        "least_flow_m3h": _finite(runs.least(np.where(rated, flow, np.inf))),
        "greatest_flow_m3h": _finite(runs.greatest(np.where(rated, flow, -np.inf))),
        "flow_log": runs.sum(logs) / np.where(active > 0, active, np.nan),
        "flow_last_ts": runs.greatest(np.where(moved, columns.ts, NEVER)),
    }
    if columns.shut is not None and columns.told is not None:
        through = moved & columns.shut
        through[1:] &= columns.shut[:-1]  # a day's first register never moved
        figures |= {
            "closed_told": runs.any(columns.told),
            "closed_intervals": runs.sum(through),
            "closed_flow_m3": np.round(runs.sum(np.where(through, steps.step, 0.0)), 6),
        }
    return figures


def _finite(values: Floats) -> Floats:
    values[np.isinf(values)] = np.nan
    return values


def _profile(readings: pl.DataFrame, runs: Segments, limits: Floats, totals: list[dict[str, Any]]) -> pl.DataFrame:
    """Return the figures of all blocks, and those of a day's first and last register, as a frame."""
    first, last = (pl.col("ts", "volume_m3").gather(at) for at in (runs.starts, runs.ends))
    ends = readings.select(first.name.prefix("first_"), last.name.prefix("last_")).rename(
        {"first_ts": "first_volume_ts", "last_ts": "last_volume_ts"}
    )
    names = list(totals[0]) if totals else []
    figures = ends.with_columns(
        pl.Series("key", runs.keys).set_sorted(),
        pl.Series("volume_readings", runs.lengths),
        pl.Series("flow_limit_m3h", limits[runs.keys]),
        *(pl.Series(name, np.concatenate([part[name] for part in totals]), nan_to_null=True) for name in names),
    )
    if "flow_last_ts" in names:
        figures = figures.with_columns(pl.col("flow_last_ts").replace(NEVER, None).cast(TIME))
    if "closed_told" in names:
        closed = pl.col("closed_intervals", "closed_flow_m3")
        figures = figures.with_columns(pl.when("closed_told").then(closed)).drop("closed_told")
    return figures


def _most_decimals(volume: Floats, step: Floats, runs: Segments) -> Floats:
    """Return the most decimals of each day's registers; one that has not moved has those of the one before it."""
    changed = np.flatnonzero(step != 0)  # a day's first, NaN, too
    return most_decimals(volume[changed], Segments.of(np.repeat(runs.keys, runs.lengths)[changed]))


def most_decimals(values: Floats, runs: Segments) -> Floats:
    """Return the most decimals that a value of each run has, at most 6.

    A value has so many decimals as its nearest millionth has; one that is no millionth has 6. The same as the greatest
    :func:`decimals` of each run, at a fraction of its cost: most runs are known after two questions.

    Examples
    --------
    >>> most_decimals(np.array([12.5, 12.25, 7.0, 1 / 3]), Segments.of(np.array([0, 0, 1, 2])))
    array([2., 0., 6.])
    """
    millionths = np.rint(values * 1e6)
    exact = ~runs.any(millionths / 1e6 != values)
    whole = millionths.astype(np.int64)
    low = np.where(exact, 0, MOST_DECIMALS)
    high = np.full(len(low), MOST_DECIMALS)
    for places in (2, 3, 1, 0, 4, 5):  # most meters tell litres or centilitres
        asked = (low <= places) & (places < high)
        if asked.any():
            rows = slice(None) if asked.all() else np.repeat(asked, runs.lengths)
            some = runs if asked.all() else Segments.of(np.repeat(runs.keys, runs.lengths)[rows])
            unit = 10 ** (MOST_DECIMALS - places)
            more = some.any(whole[rows] // unit * unit != whole[rows])
            low[asked] = np.where(more, places + 1, low[asked])
            high[asked] = np.where(more, high[asked], places)
    return low.astype(np.float64)


def decimals(value: pl.Expr) -> pl.Expr:
    """Return how many decimals a value has, at most 6."""
    found = pl.lit(6.0)
    for places in range(5, -1, -1):
        found = pl.when(value.round(places) == value).then(float(places)).otherwise(found)
    return found


def _backward(steps: pl.DataFrame) -> pl.DataFrame:
    """Count small falls, and those between measurements closer than half the day's usual interval."""
    falls = steps.filter("backward")
    usual = (
        steps.join(falls.select("key").unique(), on="key", how="semi")
        .group_by("key")
        .agg(pl.col("took_s").median().alias("usual_s"))
    )
    close = pl.col("took_s") < pl.col("usual_s") / 2
    return (
        falls.join(usual, on="key", how="left", maintain_order="left")
        .group_by("key", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("backward_counts"),
            (-pl.col("step_m3").sum()).round(6).alias("backward_m3"),
            (-pl.col("step_m3").min()).alias("worst_backward_m3"),
            pl.col("ts").first().alias("backward_first_ts"),
            close.sum().cast(pl.Int64).alias("backward_overlaps"),
        )
    )


def _drops(steps: pl.DataFrame) -> pl.DataFrame:
    drops = steps.filter("drop")
    digits = (
        steps.join(drops.select("key").unique(), on="key", how="semi")
        .group_by("key")
        .agg(decimals(pl.col("volume_m3")).max().alias("digits"))
    )
    counts = (-pl.col("step_m3") * 10.0 ** pl.col("digits")).round(0)
    return (
        drops.join(digits, on="key", how="left", maintain_order="left")
        .group_by("key", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("drops"),
            (-pl.col("step_m3").min()).alias("worst_drop_m3"),
            pl.col("ts").first().alias("drop_first_ts"),
            register_bits(counts).max().alias("drop_bits"),
        )
    )


def register_bits(counts: pl.Expr) -> pl.Expr:
    """Return the one to three times power of two that `counts` is, but for a little flow; else null.

    Examples
    --------
    >>> pl.select(register_bits(pl.lit(12301.0)), b=register_bits(pl.lit(9000.0))).row(0)
    (12288, None)
    """
    bits = pl.lit(None, dtype=pl.Int64)
    for times in (1, 3):
        power = (counts / times).log(2).round(0)
        size = times * 2.0**power
        close = (power >= LEAST_BIT) & ((counts - size).abs() <= BIT_TOLERANCE * size)
        bits = pl.when(close).then(size.cast(pl.Int64, strict=False)).otherwise(bits)
    return bits.alias("bits")


def _surges(steps: pl.DataFrame) -> pl.DataFrame:
    return (
        steps.filter("surge")
        .group_by("key", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("surges"),
            pl.col("step_m3").max().alias("worst_surge_m3"),
            pl.col("ts").first().alias("surge_first_ts"),
        )
    )


def _with_interleaving(profile: pl.DataFrame, steps: pl.DataFrame, settings: ProfileSettings) -> pl.DataFrame:
    """Take days on which two registers alternate out of the coil's columns."""
    suspects = profile.filter((pl.col("drops") >= 1) & pl.col("drop_bits").is_null()).select("key")
    tracks = _tracks(steps.join(suspects, on="key", how="semi", maintain_order="left"), settings)
    joined = profile.join(tracks, on="key", how="left", maintain_order="left")
    two = pl.col("interleaved_readings").is_not_null()
    counts = ("drops", "surges", "backward_counts", "backward_overlaps")
    values = (
        "worst_drop_m3", "drop_first_ts", "drop_bits", "worst_surge_m3", "surge_first_ts", "backward_m3",
        "worst_backward_m3", "backward_first_ts", "consumption_m3", "standstill_s", "least_flow_m3h",
        "flow_intervals", "active_intervals",
        "greatest_flow_m3h", "flow_log", "flow_last_ts",
    )  # fmt: skip
    return joined.with_columns(
        *(pl.when(two).then(0).otherwise(pl.col(name)).alias(name) for name in counts),
        *(pl.when(~two).then(pl.col(name)).alias(name) for name in values),
    )


def _tracks(steps: pl.DataFrame, settings: ProfileSettings) -> pl.DataFrame:
    """Return days whose registers split into an upper and a lower sequence, each possible in itself."""
    middle = (pl.col("volume_m3").min() + pl.col("volume_m3").max()).over("key") / 2
    labelled = steps.select("key", "ts", "volume_m3", "flow_limit_m3h", upper=pl.col("volume_m3") > middle)
    turns = labelled.group_by("key", maintain_order=True).agg(
        (pl.col("upper") != pl.col("upper").shift(1)).sum().alias("turns"),
        pl.col("volume_m3").filter("upper").mean().alias("high"),
        pl.col("volume_m3").filter(~pl.col("upper")).mean().alias("low"),
    )
    step = pl.col("volume_m3").diff()
    hours = pl.col("ts").diff().dt.total_seconds() / HOUR_S
    possible = (step >= -settings.drop_m3) & (step <= pl.col("flow_limit_m3h") * hours + settings.drop_m3)
    each = (
        labelled.sort("key", "upper", "ts")
        .group_by("key", "upper", maintain_order=True)
        .agg(
            pl.len().alias("length"),
            possible.all().alias("possible"),
            pl.col("ts").first().alias("from"),
            pl.col("ts").last().alias("until"),
        )
    )
    smaller = each.sort("key", "length", "upper").group_by("key", maintain_order=True)
    return (
        turns.join(each.group_by("key").agg(pl.col("possible").all(), pl.col("length").min()), on="key")
        .join(smaller.agg(pl.col("from", "until").first()), on="key")
        .filter(pl.col("possible") & (pl.col("length") >= LEAST_TRACK) & (pl.col("turns") >= LEAST_ALTERNATIONS))
        .select(
            "key",
            pl.col("length").cast(pl.Int64).alias("interleaved_readings"),
            (pl.col("high") - pl.col("low")).round(3).alias("interleaved_offset_m3"),
            pl.col("from").alias("interleaved_first_ts"),
            pl.col("until").alias("interleaved_last_ts"),
        )
    )
