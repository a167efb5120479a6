"""How many meters beside a case fail with it, against what chance would bring together."""

from __future__ import annotations

import polars as pl

from diagnostics.causes.cause import CASE, Cases
from diagnostics.features import WINDOW_DAYS

SAME_LOT = 0.5  # what a neighbour of the same lot counts: its lot may be what both have in common
DOUBT = 0.5  # cases added to both sides: one neighbour in a small site is no proof


def beside_others(cases: Cases, faults: tuple[str, ...], near_days: int) -> pl.DataFrame:
    """Return how many other meters of the site have one of `faults` with an onset within some days of the case's.

    Parameters
    ----------
    cases : Cases
        What was found.
    faults : tuple of str
        Faults of the others that count.
    near_days : int
        Greatest distance of the onsets [days].

    Returns
    -------
    polars.DataFrame
        ``meter_id, fault, others`` and ``excess``, their number over the expected one at the rate of all meters [1];
        cases whose site nobody knows are left out.
    """
    place = ["region", "site"]
    present = cases.seen.features.select("meter_id")
    known = cases.seen.facts.meters.join(present, on="meter_id", how="semi").select("meter_id", *place)
    found = (
        cases.rows.filter(pl.col("fault").is_in(faults))
        .select("meter_id", *place, "production_batch", "onset_day")
        .unique()
    )
    rate = found["meter_id"].n_unique() / max(known.height, 1)
    share = min(1.0, (2 * near_days + 1) / WINDOW_DAYS)
    sizes = known.drop_nulls("site").group_by(place).agg(pl.len().alias("meters"))
    placed = cases.rows.filter(pl.col("site").is_not_null()).select(*CASE, *place, "production_batch", "onset_day")
    same_lot = (pl.col("production_batch") == pl.col("production_batch_other")).fill_null(value=False)
    near = (
        placed.join(found, on=place, suffix="_other", nulls_equal=True)
        .filter(
            pl.col("meter_id") != pl.col("meter_id_other"),
            (pl.col("onset_day") - pl.col("onset_day_other")).dt.total_days().abs() <= near_days,
        )
        .unique([*CASE, "meter_id_other"])
        .group_by(CASE)
        .agg(
            pl.len().cast(pl.Int64).alias("others"),
            pl.when(same_lot).then(SAME_LOT).otherwise(1.0).sum().alias("count"),
        )
    )
    expected = (pl.col("meters") - 1) * rate * share
    return (
        placed.join(sizes, on=place, how="left", nulls_equal=True)
        .join(near, on=CASE, how="left")
        .with_columns(pl.col("others", "count").fill_null(0))
        .select(*CASE, "others", ((pl.col("count") + DOUBT) / (expected + DOUBT)).alias("excess"))
    )
