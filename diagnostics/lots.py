"""The lot as a witness: the same odd sign in far more meters of a lot than chance would have it is no chance.

A stop or a change of use tells nothing of one meter: people come and go. They do not come and go by production lots.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from diagnostics.features import View

PRIOR_METERS = 30.0  # the rate of all meters stands for so many in each region


def with_lot(seen: View, hits: pl.DataFrame, sure: pl.Expr, beside: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return `hits` with how many of their lot are `sure`, and how many would be by chance.

    Expected is what the meters of the lot would have at the rate of other lots in the same regions, drawn towards that
    of all by :data:`PRIOR_METERS`; the tail is Poisson's. A lot whose hits all hang at one site tell nothing.

    Parameters
    ----------
    seen : View
        What the diagnosis sees.
    hits : polars.DataFrame
        One row a meter that shows the sign.
    sure : polars.Expr
        Which of them are beyond doubt by what they show themselves.
    beside : polars.DataFrame, optional
        ``meter_id`` of others that are beyond doubt, whether among `hits` or not.

    Returns
    -------
    polars.DataFrame
        With ``lot_hits, lot_expected, lot_p_value``, empty where the lot is not known or tells nothing.
    """
    empty = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in _COLUMNS.items()]
    present = seen.features.select("meter_id")
    known = seen.facts.meters.join(present, on="meter_id", how="semi").select(
        "meter_id", "region", "site", pl.col("production_batch").alias("lot")
    )
    certain = hits.filter(sure).select("meter_id")
    if beside is not None:
        certain = pl.concat([certain, beside.select("meter_id")]).unique()
    shown = certain.with_columns(pl.lit(1, dtype=pl.Int64).alias("hit"))
    meters = known.join(shown, on="meter_id", how="left").with_columns(pl.col("hit").fill_null(0))
    if shown.is_empty() or meters["lot"].null_count() == meters.height:
        return hits.with_columns(empty)
    regions = meters.group_by("region").agg(pl.len().alias("of_region"), pl.col("hit").sum().alias("in_it"))
    rate_of_all = float(meters["hit"].sum()) / meters.height
    cells = meters.drop_nulls("lot").group_by("lot", "region").agg(pl.len().alias("meters"), pl.col("hit").sum())
    rest = pl.col("of_region") - pl.col("meters")
    rate = (pl.col("in_it") - pl.col("hit") + PRIOR_METERS * rate_of_all) / (rest + PRIOR_METERS)
    sites = meters.filter(pl.col("hit") > 0).group_by("lot").agg(pl.col("site").n_unique().alias("sites"))
    lots = (
        cells.join(regions, on="region", nulls_equal=True)
        .with_columns((pl.col("meters") * rate).alias("expected"))
        .group_by("lot")
        .agg(pl.col("hit").sum().cast(pl.Int64).alias("lot_hits"), pl.col("expected").sum().alias("lot_expected"))
        .join(sites, on="lot")
        .filter((pl.col("lot_hits") > 1) & (pl.col("sites") > 1))
    )
    tail = stats.poisson.sf(lots["lot_hits"].to_numpy() - 1, np.maximum(lots["lot_expected"].to_numpy(), 1e-12))
    told = lots.with_columns(pl.Series("lot_p_value", tail, dtype=pl.Float64)).select("lot", *_COLUMNS)
    return (
        hits.join(known.select("meter_id", "lot"), on="meter_id", how="left", maintain_order="left")
        .join(told, on="lot", how="left", maintain_order="left")
        .drop("lot")
    )


_COLUMNS = {"lot_hits": pl.Int64(), "lot_expected": pl.Float64(), "lot_p_value": pl.Float64()}
