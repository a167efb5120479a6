"""The comparison that decided: what a group had and was to expect, by stratum, by place and by other means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diagnostics.batches.reference import Cells, Reference, codes, own_sums
from diagnostics.batches.regression import regression_ratios
from diagnostics.batches.tails import sums

_CHECKED = 30  # groups of one table that get a regression of their own, the gravest first
_TOLD = 12  # strata and places of a group that are told

_STRATUM = pl.Struct(
    {
        "stratum": pl.String, "days": pl.Float64, "observed": pl.Float64, "expected": pl.Float64,
        "others_days": pl.Float64, "others_failures": pl.Float64, "compared": pl.Boolean,
    }
)  # fmt: skip
_ALONE = pl.Struct({"column": pl.String, "expected": pl.Float64})
_PLACE = pl.Struct(
    {"place": pl.String, "days": pl.Float64, "observed": pl.Float64, "expected": pl.Float64, "shared": pl.Boolean}
)
WHY: dict[str, pl.DataType | type[pl.DataType]] = {
    "reason": pl.String, "crude_expected": pl.Float64, "set_aside": pl.Boolean, "not_compared": pl.Float64,
    "kept_observed": pl.Float64, "kept_expected": pl.Float64, "kept_p_value": pl.Float64, "places": pl.List(_PLACE),
    "strata": pl.List(_STRATUM), "by_column": pl.List(_ALONE), "regression_ratio": pl.Float64,
    "regression_low": pl.Float64, "regression_high": pl.Float64,
}  # fmt: skip


def strata_told(cells: Cells, told: Reference, strata: Sequence[str]) -> pl.DataFrame:
    """Return what each group had and was to expect in its strata, the most weighty first."""
    named = [pl.format("{}={}", pl.lit(name), pl.col(name).cast(pl.String).fill_null("?")) for name in strata]
    label = pl.concat_str(named, separator=", ") if named else pl.lit("all")
    rows = cells.frame.select("group", label.alias("stratum")).with_columns(
        pl.Series("days", cells.days),
        pl.Series("observed", cells.failures),
        pl.Series("expected", told.cell_expected),
        pl.Series("others_days", told.others_days),
        pl.Series("others_failures", told.others_failures),
        pl.Series("compared", told.compared),
    )
    summed = (
        rows.filter(pl.col("group").is_not_null())
        .group_by("group", "stratum", maintain_order=True)
        .agg(
            pl.col("days", "observed", "expected").sum(),
            pl.col("others_days", "others_failures").first(),
            pl.col("compared").first(),
        )
    )
    return _listed(summed, "strata", _STRATUM)


def places_told(cells: Cells, told: Reference, places: Sequence[str]) -> pl.DataFrame:
    """Return what each group had and was to expect in its places of the first column, the most weighty first."""
    if not places:
        return pl.DataFrame(schema={"group": pl.String, "places": pl.List(_PLACE)})
    rows = cells.frame.select("group", pl.col(places[0]).cast(pl.String).fill_null("?").alias("place")).with_columns(
        pl.Series("days", cells.days),
        pl.Series("observed", cells.failures),
        pl.Series("expected", told.cell_expected),
        pl.Series("shared", told.shared[0]),
    )
    summed = (
        rows.filter(pl.col("group").is_not_null())
        .group_by("group", "place", maintain_order=True)
        .agg(pl.col("days", "observed", "expected").sum(), pl.col("shared").first())
    )
    return _listed(summed, "places", _PLACE)


def columns_told(cells: Cells, strata: Sequence[str], set_aside: NDArray[np.bool_]) -> pl.DataFrame:
    """Return what each group was to expect if only one of the strata counted: which of them explains its failures."""
    names = cells.frame.filter(pl.col("group").is_not_null())["group"].unique(maintain_order=True)
    telling = ~np.append(set_aside, False)[cells.group]
    parts = []
    for column in strata:
        key = codes(cells.frame, [column])
        days, failures = cells.days * telling, cells.failures * telling
        others_days = sums(key, days)[key] - own_sums(cells, key, days)
        others_failures = sums(key, failures)[key] - own_sums(cells, key, failures)
        expected = cells.by_group(cells.days * others_failures / np.maximum(others_days, 1e-9))
        parts.append(
            names.to_frame("group").with_columns(pl.lit(column).alias("column"), pl.Series("expected", expected))
        )
    if not parts:
        return pl.DataFrame(schema={"group": pl.String, "by_column": pl.List(_ALONE)})
    return (
        pl.concat(parts).group_by("group", maintain_order=True).agg(pl.struct("column", "expected").alias("by_column"))
    )


def _listed(rows: pl.DataFrame, name: str, dtype: pl.Struct) -> pl.DataFrame:
    columns = [field.name for field in dtype.fields]
    return (
        rows.sort("group", pl.max_horizontal("observed", "expected"), columns[0], descending=[False, True, False])
        .group_by("group", maintain_order=True)
        .agg(pl.struct(columns).head(_TOLD).alias(name))
        .with_columns(pl.col(name).cast(pl.List(dtype)))
    )


def with_regression(
    judged: pl.DataFrame, compared: Mapping[tuple[str, str], tuple[pl.DataFrame, Sequence[str]]]
) -> pl.DataFrame:
    """Check the groups that stand out by Poisson regression, and tell its ratio in ``why``.

    Parameters
    ----------
    judged : polars.DataFrame
        ``scope, fault, group, verdict, p_value, why`` of all groups.
    compared : mapping of (scope, fault) to (cells, strata)
        What they were compared by.
    """
    standing = judged.filter(pl.col("verdict") != "normal").sort("p_value", "group")
    parts = []
    for (scope, fault), rows in standing.group_by("scope", "fault", maintain_order=True):
        cells, strata = compared[str(scope), str(fault)]
        ratios = regression_ratios(cells, rows["group"].head(_CHECKED).to_list(), strata=strata)
        parts.append(ratios.with_columns(pl.lit(scope).alias("scope"), pl.lit(fault).alias("fault")))
    if not parts:
        return judged
    fields = ["regression_ratio", "regression_low", "regression_high"]
    return (
        judged.join(pl.concat(parts), on=["scope", "fault", "group"], how="left", maintain_order="left")
        .with_columns(pl.col("why").struct.with_fields(*fields))
        .drop(fields)
    )
