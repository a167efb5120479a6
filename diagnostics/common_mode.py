"""What many meters of a module vendor show on the same cold days is the cold's or the module's, not a meter's."""

from __future__ import annotations

import polars as pl

from diagnostics.features import View

LEAST_METERS, LEAST_SHARE = 4, 0.06  # that must show it: meters, and their share of those that were as cold
HARD_SEVERITY = 1  # of a code that is believed, whatever others send
COLD_C = -3.0  # at the meter
NEAR_DAYS = 2  # a sign may follow the cold by so many days


def common_in_cold(seen: View, shown: pl.DataFrame) -> pl.DataFrame:
    """Return the signs that came in cold, and whether many of the module vendor that were as cold showed the same.

    Parameters
    ----------
    seen : View
        What the diagnosis sees.
    shown : polars.DataFrame
        One row a meter and day that shows the sign: ``meter_id, day``.

    Returns
    -------
    polars.DataFrame
        ``meter_id, day, common``; only days on which, or shortly after which, it was cold at the meter.
    """
    cold = pl.col("case_min_c").rolling_min(NEAR_DAYS + 1, min_samples=1).over("meter_id") <= COLD_C
    # The module tells which voltage is too low for it; the model where its vendor is not known.
    kind = pl.coalesce("module_vendor", "model").alias("model")
    exposed = seen.days.select("meter_id", "day", kind, cold.fill_null(value=False).alias("cold")).filter("cold")
    in_cold = shown.select("meter_id", "day").unique().join(exposed, on=["meter_id", "day"])
    if in_cold.is_empty():
        return in_cold.select("meter_id", "day", pl.lit(value=False).alias("common"))
    first = in_cold["day"].min()
    known = exposed.filter(pl.col("day") >= first).group_by("model").agg(pl.col("meter_id").n_unique().alias("meters"))
    those = in_cold.group_by("model").agg(pl.col("meter_id").n_unique().alias("shown"))
    many = (pl.col("shown") >= LEAST_METERS) & (pl.col("shown") >= LEAST_SHARE * pl.col("meters"))
    told = known.join(those, on="model", nulls_equal=True).select("model", many.alias("common"))
    return in_cold.join(told, on="model", how="left", nulls_equal=True).select("meter_id", "day", "common")


def dips_of_codes(seen: View) -> pl.DataFrame:
    """Return ``meter_id, day`` of battery codes that are the cold's: many healthy cells of a vendor dip together."""
    told = seen.codes.filter((pl.col("family") == "battery") & (pl.col("severity") > HARD_SEVERITY))
    return common_in_cold(seen, told).filter("common").select("meter_id", "day")
