"""Low temperature: cold at the meter when the symptom began."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import ColdCauseSettings
from diagnostics.causes.cause import CASE, Cases, belief, cause, no_weight, ratio, share_of, weighed
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text


@cause(
    "low_temperature",
    settings=lambda settings: settings.cold,
    source="step 7 of the service procedure: coil and battery faults increase after low temperature",
    en=Text(
        "Low temperature",
        "Frost at the meter within days of the onset, while frost is not its everyday weather.",
        "Wait for the thaw and read again before anything is exchanged; insulate.",
    ),
    zh=Text("低温", "症状开始前后数日内表位受冻。", "先等待解冻并复核读数，再决定是否更换；做好保温。"),
)
def cold(cases: Cases, settings: ColdCauseSettings) -> pl.DataFrame:
    """Weigh frost around the onset: a coincidence counts the more, the rarer such cold is at this meter.

    Milder cold counts where it is the meter's record. A sensing signal that follows the temperature speaks for the
    cold; one that does not, and a cell that is exhausted at rest, speak against it.
    """
    rows = cases.of("coil", "battery", "actuator", "low_temperature")
    if rows.is_empty():
        return no_weight()
    near = cases.near(-settings.before_days, settings.after_days).group_by(CASE).agg(
        pl.col("case_min_c").min().alias("coldest_c")
    )  # fmt: skip
    # Frost proper, or the coldest days that this meter has seen.
    limit = pl.max_horizontal(
        pl.lit(settings.frost_c), pl.min_horizontal(pl.col("tenth_c"), pl.lit(settings.record_c))
    )
    tenth = cases.around.group_by(CASE).agg(
        pl.col("case_min_c").quantile(settings.record_share).alias("tenth_c"),
        pl.corr("coil_share", "case_min_c", method="spearman").alias("follows"),
        (pl.col("coil_share").is_not_null() & pl.col("case_min_c").is_not_null()).sum().alias("pairs"),
        pl.col("cell_fall_v").filter(pl.col("offset_d") >= 0).quantile(0.75).alias("fall_v"),
    )
    known = rows.join(near, on=CASE).join(tenth, on=CASE).with_columns(limit.alias("limit_c"))
    beside = cases.around.join(known.select(*CASE, "limit_c"), on=CASE)
    usual = beside.group_by(CASE).agg(
        (pl.col("case_min_c") <= pl.col("limit_c")).mean().alias("share"),
        *(
            column.filter(
                pl.col("case_min_c") <= pl.col("limit_c"),
                pl.col("offset_d").is_between(-settings.before_days, settings.after_days),
            ).alias(name)
            for name, column in (("m", pl.col("case_measured")), ("t", pl.col("first_ts")), ("u", pl.col("last_ts")))
        ),
    ).with_columns(
        pl.col("m").list.any().alias("measured"), pl.col("t").list.min().alias("frost_ts"),
        pl.col("u").list.max().alias("frost_until"),
    )  # fmt: skip
    hits = known.join(usual, on=CASE).filter(pl.col("coldest_c") <= pl.col("limit_c"))
    rarer = ((1 - pl.col("share")) / (pl.col("share") + settings.chance)).clip(0, settings.most_ratio)
    told = (pl.col("pairs") >= settings.pairs) & pl.col("follows").is_not_nan()
    follows = pl.when(told & (pl.col("fault") == "coil")).then(
        ratio(pl.col("follows") >= settings.follows, settings.follows_ratio, settings.alone_ratio)
    )
    empty = pl.when(pl.col("fault") == "battery").then(
        ratio(pl.col("fall_v") >= settings.empty_v, settings.empty_ratio)
    )
    return weighed(
        hits,
        belief(
            share_of(settings.shares()), rarer, ratio(pl.col("measured"), 1.0, settings.supposed_ratio), follows, empty,
            ratio(pl.col("coldest_c") <= settings.frost_c, 1.0, settings.mild_ratio),
        ),
        together(
            observation(
                "cause.low_temperature", "cold_before_onset", pl.col("coldest_c").round(1), "°C",
                since=pl.col("frost_ts"), until=pl.col("frost_until"), threshold=pl.col("limit_c").round(1),
                measured=pl.col("measured"), usual_share=pl.col("share").round(2),
            ),
        ),
    )  # fmt: skip
