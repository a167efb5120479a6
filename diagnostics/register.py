"""What the registers of a day tell: consumption, falls, jumps, and two sequences that interleave."""

from __future__ import annotations

import polars as pl

from diagnostics.settings import ProfileSettings

HOUR_S = 3600.0
SHORT_S = 60.0  # flow between measurements closer than this is the jitter of their times
LEAST_ALTERNATIONS = 3  # A B A B: one exchange alternates once, one wrong reading twice
LEAST_TRACK = 2
LEAST_BIT = 8  # smaller bits are within what may flow between two readings
BIT_TOLERANCE = 0.002  # of the drop: what flowed between the two readings


def register_profile(readings: pl.DataFrame, settings: ProfileSettings) -> pl.DataFrame:
    """Return one row a ``key`` (meter and day) with the register columns of the daily table.

    Parameters
    ----------
    readings : polars.DataFrame
        Usable registers sorted by ``key`` and ``ts``: ``key, ts, volume_m3, flow_limit_m3h`` and, where the meter has
        a valve, ``valve_state``.
    settings : ProfileSettings
        ``drop_m3`` tells a jump from a backward count.
    """
    steps = _steps(readings, settings)
    profile = _totals(steps)
    for part in (_backward(steps), _drops(steps), _surges(steps)):
        profile = profile.join(part, on="key", how="left", maintain_order="left")
    counts = ("backward_counts", "drops", "surges")
    profile = profile.with_columns(pl.col(counts).fill_null(0))
    return _with_interleaving(profile, steps, settings)


def _steps(readings: pl.DataFrame, settings: ProfileSettings) -> pl.DataFrame:
    """Return each register with its increment [m³], the time it took [s], and what kind of increment it is."""
    same = pl.col("key") == pl.col("key").shift(1)
    before = pl.when(same).then(pl.col("volume_m3").shift(1))
    took = pl.when(same).then((pl.col("ts") - pl.col("ts").shift(1)).dt.total_microseconds() / 1e6)
    steps = readings.with_columns(
        before.alias("before_m3"), (pl.col("volume_m3") - before).round(6).alias("step_m3"), took.alias("took_s")
    )
    limit = pl.col("flow_limit_m3h") * pl.col("took_s") / HOUR_S + settings.drop_m3
    fall_before = pl.when(pl.col("key") == pl.col("key").shift(1)).then(-pl.col("step_m3").shift(1))
    fall_after = pl.when(pl.col("key") == pl.col("key").shift(-1)).then(-pl.col("step_m3").shift(-1))
    # An increment beside a drop of its own size is the other half of a jump, not consumption.
    half = pl.lit(False)
    for fall in (fall_before, fall_after):
        half = half | ((fall > settings.drop_m3) & (pl.col("step_m3") > fall / 2)).fill_null(value=False)
    return steps.with_columns(
        (pl.col("step_m3") < -settings.drop_m3).fill_null(value=False).alias("drop"),
        ((pl.col("step_m3") < 0) & (pl.col("step_m3") >= -settings.drop_m3)).fill_null(value=False).alias("backward"),
        ((pl.col("step_m3") > limit) & ~half).fill_null(value=False).alias("surge"),
        ((pl.col("step_m3") >= 0) & (pl.col("step_m3") <= limit) & ~half).fill_null(value=False).alias("possible"),
    )


def _totals(steps: pl.DataFrame) -> pl.DataFrame:
    possible = pl.col("possible")
    flow = pl.col("step_m3") / pl.col("took_s") * HOUR_S
    rated = possible & (pl.col("took_s") >= SHORT_S)
    moved = possible & (pl.col("step_m3") > 0)
    aggregates = [
        pl.len().cast(pl.Int64).alias("volume_readings"),
        pl.col("ts").first().alias("first_volume_ts"),
        pl.col("volume_m3").first().alias("first_volume_m3"),
        pl.col("before_m3").last().alias("before_last_volume_m3"),
        pl.col("ts").last().alias("last_volume_ts"),
        pl.col("volume_m3").last().alias("last_volume_m3"),
        (10.0 ** -decimals(pl.col("volume_m3")).max()).alias("volume_step_m3"),
        pl.col("flow_limit_m3h").first(),
        pl.col("step_m3").filter(possible).sum().round(6).alias("consumption_m3"),
        rated.sum().cast(pl.Int64).alias("flow_intervals"),
        (rated & moved).sum().cast(pl.Int64).alias("active_intervals"),
        pl.col("step_m3").filter(rated & moved).median().round(6).alias("active_median_m3"),
        pl.col("took_s").filter(possible & (pl.col("step_m3") == 0)).sum().alias("standstill_s"),
        flow.filter(rated).min().alias("least_flow_m3h"),
        flow.filter(rated).max().alias("greatest_flow_m3h"),
        pl.col("ts").filter(moved).max().alias("flow_last_ts"),
    ]
    if "valve_state" in steps.columns:
        shut = pl.col("valve_state") == "closed"
        through = moved & shut & shut.shift(1)
        aggregates += [
            pl.when(shut.count() > 0).then(through.sum()).cast(pl.Int64).alias("closed_intervals"),
            pl.when(shut.count() > 0).then(pl.col("step_m3").filter(through).sum().round(6)).alias("closed_flow_m3"),
        ]
    return steps.group_by("key", maintain_order=True).agg(aggregates)


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
        "flow_intervals", "active_intervals", "active_median_m3",
        "greatest_flow_m3h", "flow_last_ts",
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
