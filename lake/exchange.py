"""A meter that took another one's place: the record of the old one ends, the new one inherits what the place is.

Told by an inspection (``action = exchanged``), or by the registry alone: where the old meter was removed and, within a
month, the new one installed for the same customer, or within three days at the same site, if no other meter of theirs
comes into question. What the registry itself says of a meter always stands.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from lake.schemas import METERS

# What belongs to the place and not to the meter that hangs there.
PLACE = (
    "region", "site", "installation", "flood_prone", "customer_ref", "timezone", "latitude", "longitude", "project",
)  # fmt: skip
EXCHANGE = pl.Schema({"old": pl.String(), "new": pl.String(), "day": pl.Date(), "same_customer": pl.Boolean()})

# The registry's own words, and the days between removal and installation that still make one work.
SAME_WORK_DAYS = {"customer_ref": 31, "site": 3}
_LONGEST_CHAIN = 32  # exchanges one after another at a place; ends what a ring of wrong rows would go on with for ever


def with_exchanges(meters: pl.DataFrame, inspections: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """Return the registry with its exchanges carried out.

    Parameters
    ----------
    meters : polars.DataFrame
        Columns of :data:`lake.vocabulary.METER`, one row a meter.
    inspections : polars.DataFrame
        Columns of :data:`lake.vocabulary.INSPECTION`.
    timezone : str
        Zone of the site, of whose days an exchange is.

    Returns
    -------
    polars.DataFrame
        The old meters with ``removed_on``, the new ones with ``installed_on`` and the columns of :data:`PLACE`, where
        they had none; sorted by ``meter_id``. Meters that an inspection names and the registry does not have are added.
    """
    known = METERS.conform(meters)
    told = _told(inspections, timezone)
    if not told.is_empty():
        named = pl.concat([told["old"], told["new"].drop_nulls()]).unique()
        missing = named.filter(~named.is_in(known["meter_id"].implode())).to_frame("meter_id")
        known = pl.concat([known, METERS.conform(missing)])
    known = _with_dates(known, told)
    pairs = pl.concat([told.drop_nulls("new"), *_registered(known, told)])
    return _with_places(known, pairs).sort("meter_id")


def _told(inspections: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """Return the exchanges of inspections; ``new`` is empty where it is not known."""
    day = pl.col("inspected_at").dt.convert_time_zone(timezone).dt.date()
    exchanged = (pl.col("action") == "exchanged").fill_null(value=False) | pl.col("new_meter_id").is_not_null()
    return (
        inspections.filter(exchanged)
        .select(
            pl.col("meter_id").alias("old"),
            pl.col("new_meter_id").alias("new"),
            day.alias("day"),
            pl.lit(value=True).alias("same_customer"),
        )
        .cast(EXCHANGE)
    )


def _with_dates(meters: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Return meters with the days on which inspections took them away and put them up.

    A removal before the installation ended an earlier life of a meter that hangs again.
    """
    lasting = (pl.col("removed_on") >= pl.col("installed_on")).fill_null(value=True)
    meters = meters.with_columns(pl.when(lasting).then("removed_on").alias("removed_on"))
    left = told.group_by("old").agg(pl.col("day").max().alias("left"))
    came = told.drop_nulls("new").group_by("new").agg(pl.col("day").max().alias("came"))
    dated = meters.join(left, left_on="meter_id", right_on="old", how="left", maintain_order="left")
    dated = dated.join(came, left_on="meter_id", right_on="new", how="left", maintain_order="left")
    # A meter that was put up again after it had been taken away hangs somewhere.
    is_gone = pl.col("left") >= pl.max_horizontal("installed_on", "came", pl.lit(None, dtype=pl.Date)).fill_null(
        pl.col("left")
    )
    return dated.with_columns(
        pl.coalesce("removed_on", pl.when(is_gone).then("left")).alias("removed_on"),
        pl.coalesce("installed_on", "came").alias("installed_on"),
    ).drop("left", "came")


def _registered(meters: pl.DataFrame, told: pl.DataFrame) -> Sequence[pl.DataFrame]:
    """Return the exchanges that the dates of the registry show, without those of meters in `told`."""
    left = pl.col("removed_on").is_not_null() & (pl.col("removed_on") != pl.col("installed_on")).fill_null(value=True)
    old = meters.filter(left).join(told, left_on="meter_id", right_on="old", how="anti")
    new = meters.filter(pl.col("installed_on").is_not_null()).join(told, left_on="meter_id", right_on="new", how="anti")
    found: list[pl.DataFrame] = []
    for place, days in SAME_WORK_DAYS.items():
        pairs = _alone(old, new, place, days).with_columns(pl.lit(place == "customer_ref").alias("same_customer"))
        found.append(pairs.select(list(EXCHANGE)))
        old = old.join(pairs, left_on="meter_id", right_on="old", how="anti")
        new = new.join(pairs, left_on="meter_id", right_on="new", how="anti")
    return found


def _alone(old: pl.DataFrame, new: pl.DataFrame, place: str, days: int) -> pl.DataFrame:
    """Return the pairs of a meter that left a place and one that came within some days, no other of them doing so.

    Meters of one place and day are counted together: a whole estate on one day is one row and not its square.
    """
    left = _of_a_day(old, place, "removed_on", "old").with_columns(
        pl.date_ranges("removed_on", pl.col("removed_on") + pl.duration(days=days)).alias("day")
    )
    came = _of_a_day(new, place, "installed_on", "new").rename({"installed_on": "day"})
    met = left.explode("day").join(came, on=[place, "day"])
    rivals = pl.col("meters_new").sum().over(place, "removed_on"), pl.col("meters_old").sum().over(place, "day")
    return met.filter((rivals[0] == 1) & (rivals[1] == 1)).select("old", "new", "day")


def _of_a_day(meters: pl.DataFrame, place: str, day: str, name: str) -> pl.DataFrame:
    """Return how many meters each place has of a day, and one of them."""
    return (
        meters.drop_nulls(place)
        .group_by(place, day)
        .agg(pl.col("meter_id").first().alias(name), pl.len().alias(f"meters_{name}"))
    )


def _with_places(meters: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return meters with what they inherit; through as many exchanges as there were at a place."""
    latest = pairs.sort("day", "old").unique("new", keep="last", maintain_order=True)
    if latest.is_empty():
        return meters
    for _ in range(_LONGEST_CHAIN):
        left = meters.select(pl.col("meter_id").alias("old"), *(pl.col(name).alias(f"{name}_of_old") for name in PLACE))
        heirs = latest.join(left, on="old").select(
            "new",
            *(
                (
                    pl.when("same_customer").then(f"{name}_of_old")
                    if name == "customer_ref"
                    else pl.col(f"{name}_of_old")
                ).alias(f"{name}_of_old")
                for name in PLACE
            ),
        )
        joined = meters.join(heirs, left_on="meter_id", right_on="new", how="left", maintain_order="left")
        after = joined.select(
            pl.coalesce(name, f"{name}_of_old").alias(name) if name in PLACE else pl.col(name)
            for name in meters.columns
        )
        if after.equals(meters):
            break
        meters = after
    return meters
