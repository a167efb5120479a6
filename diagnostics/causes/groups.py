"""The lot, the module or the installer: groups of meters that have a fault more often than others in their place.

This is the quick look that one diagnosis takes; what holds up before a supplier are the batch findings.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from diagnostics.cause_settings import GroupCauseSettings
from diagnostics.causes.cause import CASE, Cases, cause, no_weight, weighed
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text

PRIOR_METERS = 30.0  # the rate of all meters stands for so many in each region


@cause(
    "production_batch",
    settings=lambda settings: settings.lot,
    source="step 3 of the service procedure: how do meters produced in the same period run elsewhere?",
    en=Text(
        "Production batch",
        "The lot has this fault far more often than other lots in the same regions.",
        "Keep the part for the supplier with its record; check stock and neighbours of the same lot.",
    ),
    zh=Text(
        "批次问题",
        "同一地区内，该批次此类故障明显多于其他批次。",
        "故障件连同记录留存并返供应商；排查同批次库存及在装表计。",
    ),
)
def production_batch(cases: Cases, settings: GroupCauseSettings) -> pl.DataFrame:
    """Weigh the share of the lot's cases that its excess stands for."""
    return _weigh(cases, settings, "production_batch", "production_batch", ("production_batch",))


@cause(
    "module",
    settings=lambda settings: settings.module,
    source="step 6 of the service procedure: known faults of a module vendor, seen across lots",
    en=Text(
        "Module",
        "Meters with this vendor's module have this fault far more often than others, in more than one lot.",
        "Compare firmware and settings of the module; ask its vendor with the list of meters.",
    ),
    zh=Text("模组问题", "采用该厂家模组的表计跨批次此类故障明显偏多。", "核对模组固件与参数；携清单与模组厂家联系。"),
)
def module(cases: Cases, settings: GroupCauseSettings) -> pl.DataFrame:
    """Weigh the excess of a module vendor, the cases of bad lots left out."""
    return _weigh(cases, settings, "module", "module_vendor", ("module_vendor",), apart=_bad_lots(cases, settings))


@cause(
    "installation",
    settings=lambda settings: settings.installer,
    source="step 3 of the service procedure: the maker's fault, or installation and use? Dead on arrival: 15 days",
    en=Text(
        "Installation",
        "Meters of this installer fail far more often than others, or the fault was there from the first days.",
        "Check direction, position, sealing and cabling; have the customer confirm it on the spot, with photos.",
    ),
    zh=Text(
        "安装问题",
        "同一安装方的表计此类故障明显偏多，或安装初期即出现。",
        "检查安装方向、位置、密封及接线；现场由用户确认并拍照。",
    ),
)
def installation(cases: Cases, settings: GroupCauseSettings) -> pl.DataFrame:
    """Weigh the excess of an installer, and symptoms that began within days of the installation."""
    group = _weigh(cases, settings, "installation", "installer", ("installer",), apart=_bad_lots(cases, settings))
    since = (pl.col("onset_day") - pl.col("installed_on")).dt.total_days()
    early = cases.of("coil", "battery", "actuator").filter(since.is_between(-1, settings.early_days))
    at_once = weighed(
        early,
        pl.lit(settings.early_weight),
        together(
            observation("cause.installation", "days_since_installation", since, "d",
                        threshold=float(settings.early_days)),
        ),
    )  # fmt: skip
    return pl.concat([group, at_once]).sort("weight", descending=True).unique(CASE, keep="first", maintain_order=True)


def _bad_lots(cases: Cases, settings: GroupCauseSettings) -> pl.DataFrame:
    """Return ``fault, production_batch`` of lots with an excess of their own."""
    lots = excess(cases, "production_batch", None)
    bad = (pl.col("p_value") <= settings.p_value) & (pl.col("observed") >= settings.least_cases)
    return lots.filter(bad).select("fault", pl.col("key").alias("production_batch"))


def _weigh(
    cases: Cases,
    settings: GroupCauseSettings,
    name: str,
    column: str,
    keys: tuple[str, ...],
    apart: pl.DataFrame | None = None,
) -> pl.DataFrame:
    groups = excess(cases, column, apart)
    ratio = pl.col("observed") / pl.col("expected").clip(1e-9)
    bad = (
        (pl.col("p_value") <= settings.p_value)
        & (pl.col("observed") >= settings.least_cases)
        & (ratio >= settings.ratio)
    )
    if apart is not None:
        bad = bad & (pl.col("lots") > 1)
    found = groups.filter(bad)
    if found.is_empty():
        return no_weight()
    hits = cases.rows.filter(pl.col("fault") != "low_temperature").join(
        found, left_on=["fault", *keys], right_on=["fault", "key"], how="inner", maintain_order="left"
    )
    if apart is not None:
        hits = hits.join(apart, on=["fault", "production_batch"], how="anti")
    attributable = 1 - pl.col("expected") / pl.col("observed")
    return weighed(
        hits,
        attributable * settings.weight,
        together(
            observation(
                f"cause.{name}", "group_excess", pl.col("observed"), expected=pl.col("expected").round(2),
                meters=pl.col("meters"), key=pl.col(column), p_value=pl.col("p_value"),
            ),
        ),
    )  # fmt: skip


def excess(cases: Cases, column: str, apart: pl.DataFrame | None) -> pl.DataFrame:
    """Return cases observed and expected by group.

    Expected is what the meters of a group would have at the rate of the *other* meters of their region, which is
    drawn towards that of all by :data:`PRIOR_METERS`; the tail is Poisson's.

    Parameters
    ----------
    cases : Cases
        What was found.
    column : str
        Registry column that names the group.
    apart : polars.DataFrame, optional
        ``fault, production_batch`` whose meters are left out.

    Returns
    -------
    polars.DataFrame
        ``fault, key, meters, lots, observed, expected, p_value``.
    """
    present = cases.seen.features.select("meter_id")
    known = cases.seen.facts.meters.join(present, on="meter_id", how="semi")
    acts = cases.rows.filter(pl.col("strength") == "act").select(*CASE).unique()
    empty = pl.DataFrame(
        schema={"fault": pl.String, "key": pl.String, "meters": pl.Int64, "lots": pl.Int64, "observed": pl.Int64,
                "expected": pl.Float64, "p_value": pl.Float64}
    )  # fmt: skip
    if known.is_empty() or acts.is_empty():
        return empty
    meters = known.select("meter_id", "region", "production_batch", pl.col(column).alias("key"))
    faults = acts.select("fault").unique()
    exposed = meters.join(faults, how="cross")
    if apart is not None:
        exposed = exposed.join(apart, on=["fault", "production_batch"], how="anti")
    failed = exposed.join(acts.with_columns(failed=pl.lit(1)), on=CASE, how="left").with_columns(
        pl.col("failed").fill_null(0)
    )
    cells = failed.group_by("fault", "region", "key").agg(
        pl.len().cast(pl.Int64).alias("meters"), pl.col("failed").sum().cast(pl.Int64).alias("observed")
    )
    regions = failed.group_by("fault", "region").agg(pl.len().alias("of_region"), pl.col("failed").sum().alias("in_it"))
    everyone = failed.group_by("fault").agg((pl.col("failed").sum() / pl.len()).alias("rate"))
    rest = pl.col("of_region") - pl.col("meters")
    rate = (pl.col("in_it") - pl.col("observed") + PRIOR_METERS * pl.col("rate")) / (rest + PRIOR_METERS)
    groups = (
        cells.filter(pl.col("key").is_not_null())
        .join(regions, on=["fault", "region"], nulls_equal=True)
        .join(everyone, on="fault")
        .with_columns((pl.col("meters") * rate).alias("expected"))
        .group_by("fault", "key")
        .agg(pl.col("meters", "observed", "expected").sum())
    )
    lots = failed.filter(pl.col("failed") > 0).group_by("fault", "key").agg(
        pl.col("production_batch").n_unique().cast(pl.Int64).alias("lots")
    )  # fmt: skip
    groups = groups.join(lots, on=["fault", "key"], how="left").with_columns(pl.col("lots").fill_null(0))
    if groups.is_empty():
        return empty
    tail = stats.poisson.sf(groups["observed"].to_numpy() - 1, np.maximum(groups["expected"].to_numpy(), 1e-12))
    return groups.with_columns(pl.Series("p_value", tail)).select(empty.columns).sort("fault", "key")
