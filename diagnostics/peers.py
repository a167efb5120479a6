"""Peers: what other meters of the same place or model did on the same day.

Whatever cold, a holiday, an outage or a head-end does to all of them alike is no sign that one of them is failing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

SETTLED_DAYS = 14  # the newest days do not join the meter's own usual use: they are what is judged
LEAST_PEERS = 5  # beside the meter itself
LEAST_USED_SHARE = 0.5  # of its days on which a meter must have had flow to speak of flow at all

# From the nearest peers to the farthest; the first group with enough of them speaks.
PLACES = (("region", "site"), ("region",), ())
NAMED = ("region", "site", "model", "installation")
# Cold acts by the place, and on cells whose temperature is known it is taken off already.
KINDS = (
    ("region", "installation", "model", "_warm"),
    ("region", "installation", "_warm"),
    ("model", "_warm"),
    ("_warm",),
)

COMPARED = (
    "meter_id", "day", "age_days", "region", "site", "model", "installation", "day_m3", "battery_fall_v",
    "battery_temperature_c", "sag_excess", "draw_change",
)  # fmt: skip
ADDED = (
    "usual_m3",
    "used_share",
    "peer_zero_share",
    "peer_use_ratio",
    "peer_draw_change",
    "peer_fall_v",
    "peer_sag_excess",
)


def with_peers(days: pl.DataFrame) -> pl.DataFrame:
    """Return `days` with what peers did on the same day; empty where there are not enough of them.

    Parameters
    ----------
    days : polars.DataFrame
        Daily rows sorted by meter and day with ``age_days``, the columns of :func:`diagnostics.features.with_derived`
        and of :func:`diagnostics.facts.with_place`.

    Returns
    -------
    polars.DataFrame
        With ``usual_m3``, the meter's own usual day without its newest :data:`SETTLED_DAYS` [m³]; ``used_share``, share
        of these days with flow; ``peer_zero_share``, share of the other meters of the place that use water and had none
        that day; ``peer_use_ratio``, median of their use over their usual one; ``peer_fall_v``, median
        fall of the resting voltage of meters of the kind [V]; ``peer_sag_excess``, median of their excess sag over the
        expected one [1]; ``peer_draw_change``, median
        change of what one draw counts, as a logarithm.
    """
    # Joins copy every column they carry: only what is compared is taken along.
    compared = days.select(COMPARED)
    beside = compared.join(_usual(compared), on="meter_id", how="left", maintain_order="left")
    speaks = (pl.col("used_share") >= LEAST_USED_SHARE) & pl.col("day_m3").is_not_null() & (pl.col("usual_m3") > 0)
    still = pl.when(speaks.fill_null(value=False)).then((pl.col("day_m3") == 0).cast(pl.Float64))
    ratio = pl.when(speaks.fill_null(value=False)).then(pl.col("day_m3") / pl.col("usual_m3"))
    warm = pl.col("battery_temperature_c").is_not_null()
    beside = beside.with_columns(
        *(_numbered(beside[name]) for name in NAMED),
        still.alias("_still"),
        ratio.alias("_ratio"),
        warm.cast(pl.Int64).alias("_warm"),
    )
    beside = _share_of_others(beside, "_still", "peer_zero_share", PLACES)
    beside = _medians(beside, {"_ratio": "peer_use_ratio", "draw_change": "peer_draw_change"}, PLACES)
    beside = _medians(beside, {"battery_fall_v": "peer_fall_v", "sag_excess": "peer_sag_excess"}, KINDS)
    return days.hstack(beside.select(ADDED))


def _usual(days: pl.DataFrame) -> pl.DataFrame:
    """Return each meter's usual use and the share of days with flow, over its settled days or, without any, all."""
    settled = pl.col("age_days") >= SETTLED_DAYS
    return days.group_by("meter_id", maintain_order=True).agg(
        pl.coalesce(pl.col("day_m3").filter(settled).median(), pl.col("day_m3").median()).alias("usual_m3"),
        pl.coalesce((pl.col("day_m3") > 0).filter(settled).mean(), (pl.col("day_m3") > 0).mean()).alias("used_share"),
    )


def _numbered(values: pl.Series) -> pl.Series:
    """Return words as numbers from 0: as texts they would be compared in each grouping and each join."""
    words = values.drop_nulls().unique().sort()
    return values.cast(pl.Enum(words)).to_physical().cast(pl.Int64)


def _group(days: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    """Return the group and day of each row as one number, empty where one of the keys is."""
    number = days["day"].to_physical().cast(pl.Int64)
    for key in keys:
        number = number * (days[key].n_unique() + 1) + days[key]
    return number.alias("_group")


def _share_of_others(days: pl.DataFrame, value: str, name: str, groups: Sequence[Sequence[str]]) -> pl.DataFrame:
    """Add the mean of `value` over the other meters of the first group that has enough of them that day."""
    told = pl.col(value).is_not_null()
    shares = []
    for keys in groups:
        group = days.select(value, _group(days, keys))
        sums = (
            group.filter(told & pl.col("_group").is_not_null())
            .group_by("_group")
            .agg(pl.col(value).sum().alias("sum"), pl.len().cast(pl.Int64).alias("n"))
        )
        others = pl.col("n") - told.cast(pl.Int64)
        mean = (pl.col("sum") - pl.col(value).fill_null(0)) / others
        shares.append(
            group.join(sums, on="_group", how="left", maintain_order="left")
            .select(pl.when(others >= LEAST_PEERS).then(mean))
            .to_series()
        )
    return days.with_columns(pl.coalesce(shares).alias(name))


def _medians(days: pl.DataFrame, names: Mapping[str, str], groups: Sequence[Sequence[str]]) -> pl.DataFrame:
    """Add medians over the first group with enough meters that day; the meter itself hardly moves them."""
    told = pl.any_horizontal(pl.col(value).is_not_null() for value in names)
    levels = []
    for keys in groups:
        group = days.select(*names, _group(days, keys))
        medians = (
            group.filter(told & pl.col("_group").is_not_null())
            .group_by("_group")
            .agg(
                pl.when(pl.col(value).count() > LEAST_PEERS).then(pl.col(value).median()).alias(name)
                for value, name in names.items()
            )
        )
        levels.append(group.select("_group").join(medians, on="_group", how="left", maintain_order="left"))
    return days.with_columns(pl.coalesce(level[name] for level in levels).alias(name) for name in names.values())


def _known(keys: Sequence[str]) -> pl.Expr:
    return pl.all_horizontal(pl.lit(value=True), *(pl.col(key).is_not_null() for key in keys))


def silent_neighbours(days: pl.DataFrame) -> pl.DataFrame:
    """Return how many meters of each place sent nothing on each day.

    Parameters
    ----------
    days : polars.DataFrame
        As above.

    Returns
    -------
    polars.DataFrame
        ``region, site`` (empty: all of the region), ``day, meters, silent``: of the meters with a row in the window
        that were there before that day, those without a row on it. Days after the newest row of all are not in it.
    """
    days = days.select("meter_id", "region", "site", "day")
    calendar = days.select(pl.col("day").unique())
    parts = []
    for keys in (["region", "site"], ["region"]):
        known = days.filter(_known(keys))
        members = known.group_by(*keys, "meter_id").agg(pl.col("day").min().alias("first_day"))
        there = (
            members.group_by(*keys, "first_day")
            .len("came")
            .join(calendar, how="cross")
            .filter(pl.col("first_day") <= pl.col("day"))
            .group_by(*keys, "day")
            .agg(pl.col("came").sum().cast(pl.Int64).alias("meters"))
        )
        present = known.group_by(*keys, "day").agg(pl.len().cast(pl.Int64).alias("present"))
        parts.append(
            there.join(present, on=[*keys, "day"], how="left").with_columns(
                (pl.col("meters") - pl.col("present").fill_null(0)).alias("silent")
            )
        )
    columns = ["region", "site", "day", "meters", "silent"]
    return pl.concat(
        [part.select(name if name in part.columns else pl.lit(None, pl.String).alias(name) for name in columns)
         for part in parts]
    ).sort(columns, nulls_last=True)  # fmt: skip
