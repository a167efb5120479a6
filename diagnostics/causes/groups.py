"""The lot, the module or the installer: groups of meters that have a fault more often than others in their place.

This is the quick look that one diagnosis takes; what holds up before a supplier are the batch findings.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from diagnostics.cause_settings import AgeCauseSettings, GroupCauseSettings, InstallerCauseSettings, ModuleCauseSettings
from diagnostics.causes.age import BORN, YEAR_D, wear
from diagnostics.causes.cause import CASE, Cases, belief, cause, no_weight, ratio, share_of, weighed
from diagnostics.causes.valves import LEAKS, RUNS_FREE, RUNS_HARDER, STANDS_STILL, with_valve_signs
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text

PRIOR_METERS = 30.0  # the rate of all meters stands for so many in each region
CLUMP = 2  # cases of a group that count at one site: what happens to a site is not the group's doing
WEARS = 0.5  # share of the cases of all meters that grows with their age
WEAR = AgeCauseSettings()
GENERATION = ("module_vendor", "produced_on")
_KEYS = {"produced_on": pl.col("produced_on").dt.year().cast(pl.String)}


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
    """Weigh how likely a bad lot explains the count, and the share of the cases that its excess stands for."""
    return _weigh(cases, settings, "production_batch", ("production_batch",))


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
def module(cases: Cases, settings: ModuleCauseSettings) -> pl.DataFrame:
    """Weigh the excess of a vendor or of one year's modules of it, and what only electronics does.

    Left out are the cases of bad lots. A motor that is not driven at all and a register that is off by whole bits are
    the electronics' doing, whoever made them.
    """
    bad = _bad_lots(cases, settings)
    looks = [_weigh(cases, settings, "module", keys, apart=bad) for keys in (("module_vendor",), GENERATION)]
    rows = with_valve_signs(cases.of("coil", "battery", "actuator"), cases)
    # What brakes a motor, strips a gear or wears a seat is no electronics, however many of its meters have it.
    mechanical = pl.any_horizontal(RUNS_HARDER, RUNS_FREE, LEAKS).fill_null(value=False)
    worn = rows.filter(mechanical).select(*CASE, pl.lit(settings.mechanical_share).alias("kept"))
    looks = [
        look.join(worn, on=CASE, how="left", maintain_order="left")
        .with_columns(pl.col("weight") * pl.col("kept").fill_null(1.0))
        .drop("kept")
        for look in looks
    ]
    bits = cases.around.group_by(CASE).agg(
        (pl.col("drop_bits").fill_null(0) > 0).any().alias("bits"), (pl.col("jumps") > 0).any().alias("jumped")
    )  # fmt: skip
    alone = rows.join(bits, on=CASE, how="left").filter(
        STANDS_STILL.fill_null(value=False) | ((pl.col("fault") == "coil") & pl.col("jumped"))
    )
    electronics = weighed(
        alone,
        belief(
            share_of(settings.shares()), ratio(STANDS_STILL, settings.still_ratio),
            pl.when(pl.col("fault") == "coil").then(
                ratio(pl.col("jumped") & pl.col("bits"), settings.bits_ratio, settings.jump_ratio)
            ),
        ),
        together(
            observation("cause.module", "motor_current", pl.col("moved_current").round(2), "1"),
            observation("cause.module", "register_bits", pl.when(pl.col("bits")).then(pl.lit("yes"))),
        ),
    )  # fmt: skip
    return _heaviest([*looks, electronics])


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
def installation(cases: Cases, settings: InstallerCauseSettings) -> pl.DataFrame:
    """Weigh the excess of an installer, and symptoms that began within days of the installation."""
    group = _weigh(cases, settings, "installation", ("installer",), apart=_bad_lots(cases, settings))
    since = (pl.col("onset_day") - pl.col("installed_on")).dt.total_days()
    group = group.filter(pl.col("fault") != "battery")  # nobody installs a cell
    early = cases.of("coil", "battery", "actuator").filter(since.is_between(-1, settings.early_days))
    at_once = weighed(
        early,
        pl.lit(settings.early_weight),
        together(
            observation("cause.installation", "days_since_installation", since, "d",
                        threshold=float(settings.early_days)),
        ),
    )  # fmt: skip
    return _heaviest([group, at_once])


def _heaviest(answers: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the heaviest answer for each case."""
    return pl.concat(answers).sort("weight", descending=True, maintain_order=True).unique(
        CASE, keep="first", maintain_order=True
    )  # fmt: skip


def _bad_lots(cases: Cases, settings: GroupCauseSettings) -> pl.DataFrame:
    """Return ``fault, production_batch`` of lots that are more likely bad than not."""
    lots = excess(cases, ("production_batch",), settings)
    return lots.filter(pl.col("belief") >= 0.5).select("fault", pl.col("key").alias("production_batch"))


def _weigh(
    cases: Cases, settings: GroupCauseSettings, name: str, keys: tuple[str, ...], apart: pl.DataFrame | None = None
) -> pl.DataFrame:
    found = excess(cases, keys, settings, apart).filter(pl.col("observed") >= settings.least_cases)
    if apart is not None:
        found = found.filter(pl.col("lots") > 2)
    if found.is_empty():
        return no_weight()
    rows = cases.rows.filter(pl.col("fault") != "low_temperature").with_columns(_key(keys).alias("key"))
    hits = rows.join(found, on=["fault", "key"], how="inner", maintain_order="left")
    if apart is not None:
        hits = hits.join(apart, on=["fault", "production_batch"], how="anti", maintain_order="left")
    attributable = (1 - pl.col("expected") / pl.col("observed")).clip(0, 1)
    return weighed(
        hits,
        attributable * pl.col("belief"),
        together(
            observation(
                f"cause.{name}", "group_excess", pl.col("observed"), expected=pl.col("expected").round(2),
                meters=pl.col("meters"), key=pl.col("key"), belief=pl.col("belief").round(3),
            ),
        ),
    )  # fmt: skip


def _key(keys: tuple[str, ...]) -> pl.Expr:
    return pl.concat_str([_KEYS.get(key, pl.col(key)) for key in keys], separator=" ")


def excess(
    cases: Cases, keys: tuple[str, ...], settings: GroupCauseSettings, apart: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return cases observed and expected by group, and the belief that the group is bad.

    Expected is what the meters of a group would have at the rate of the *other* meters of their region, which is
    drawn towards that of all by :data:`PRIOR_METERS`; half of it grows with age (:func:`diagnostics.causes.age.wear`),
    so that an old lot is not blamed for its years. Of one site at most :data:`CLUMP` cases count. The belief weighs two
    stories: good groups have the expected number (Poisson), bad ones a multiple of it, drawn from a gamma
    distribution (negative binomial).

    Parameters
    ----------
    cases : Cases
        What was found.
    keys : tuple of str
        Registry columns that name the group together.
    settings : GroupCauseSettings
        How many groups are bad, and how bad.
    apart : polars.DataFrame, optional
        ``fault, production_batch`` whose meters are left out.

    Returns
    -------
    polars.DataFrame
        ``fault, key, meters, lots, observed, expected, belief``.
    """
    present = cases.seen.features.select("meter_id")
    known = cases.seen.facts.meters.join(present, on="meter_id", how="semi")
    acts = pl.concat([cases.rows.filter(pl.col("strength") == "act").select(CASE), cases.earlier]).unique()
    empty = pl.DataFrame(
        schema={"fault": pl.String, "key": pl.String, "meters": pl.Int64, "lots": pl.Int64, "observed": pl.Int64,
                "expected": pl.Float64, "belief": pl.Float64}
    )  # fmt: skip
    if known.is_empty() or acts.is_empty():
        return empty
    years = (pl.lit(cases.seen.as_of.date()) - BORN).dt.total_days() / YEAR_D
    meters = known.select(
        "meter_id", "region", "site", "production_batch", _key(keys).alias("key"),
        wear(years, WEAR, battery=True).alias("cell"), wear(years, WEAR, battery=False).alias("rest"),
    )  # fmt: skip
    exposed = meters.join(acts.select("fault").unique(), how="cross")
    if apart is not None:
        exposed = exposed.join(apart, on=["fault", "production_batch"], how="anti")
    wears = pl.when(pl.col("fault") == "battery").then("cell").otherwise("rest")
    failed = exposed.join(acts.with_columns(failed=pl.lit(1)), on=CASE, how="left").with_columns(
        pl.col("failed").fill_null(0),
        (1 - WEARS + WEARS * (wears / wears.mean().over("fault")).fill_nan(1.0)).fill_null(1.0).alias("load"),
    )
    within = ("site",) if apart is None else ("site", "production_batch")
    cells = failed.group_by("fault", "region", *within, "key").agg(
        pl.len().cast(pl.Int64).alias("meters"), pl.col("load").sum(), pl.col("failed").sum().alias("all")
    ).with_columns(
        pl.when(pl.col("site").is_null()).then("all").otherwise(pl.col("all").clip(0, CLUMP)).cast(pl.Int64)
        .alias("observed")
    )  # fmt: skip
    if apart is not None:
        # What one lot has is the lot's: it proves nothing against a vendor or an installer.
        of_lot = pl.col("observed").sum().over("fault", "key", "production_batch")
        cells = cells.with_columns(pl.col("observed") * (CLUMP / of_lot.clip(CLUMP)))
    cells = cells.group_by("fault", "region", "key").agg(pl.col("meters", "load", "all", "observed").sum())
    regions = failed.group_by("fault", "region").agg(
        pl.col("load").sum().alias("of_region"), pl.col("failed").sum().alias("in_it")
    )
    everyone = failed.group_by("fault").agg((pl.col("failed").sum() / pl.col("load").sum()).alias("rate"))
    rest = pl.col("of_region") - pl.col("load")
    rate = (pl.col("in_it") - pl.col("all") + PRIOR_METERS * pl.col("rate")) / (rest + PRIOR_METERS)
    groups = (
        cells.filter(pl.col("key").is_not_null())
        .join(regions, on=["fault", "region"], nulls_equal=True)
        .join(everyone, on="fault")
        .with_columns((pl.col("load") * rate).alias("expected"))
        .group_by("fault", "key")
        .agg(pl.col("meters", "observed", "expected").sum())
    )
    lots = failed.filter(pl.col("failed") > 0).group_by("fault", "key").agg(
        pl.col("production_batch").n_unique().cast(pl.Int64).alias("lots")
    )  # fmt: skip
    groups = groups.join(lots, on=["fault", "key"], how="left").with_columns(
        pl.col("lots").fill_null(0), pl.col("observed").floor().cast(pl.Int64)
    )
    if groups.is_empty():
        return empty
    observed, expected = groups["observed"].to_numpy(), np.maximum(groups["expected"].to_numpy(), 1e-9)
    good = stats.poisson.pmf(observed, expected)
    spread = settings.bad_spread
    bad = stats.nbinom.pmf(observed, spread, spread / (spread + settings.bad_times * expected))
    odds = settings.bad_share / (1 - settings.bad_share) * bad / np.maximum(good, 1e-300)
    believed = np.where(observed > expected, odds / (1 + odds), 0.0)
    return groups.with_columns(pl.Series("belief", believed)).select(empty.columns).sort("fault", "key")
