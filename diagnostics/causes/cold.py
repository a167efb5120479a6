"""Low temperature: cold at the meter when the symptom began."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import ColdCauseSettings
from diagnostics.causes.cause import CASE, Cases, cause, flag, no_weight, weighed
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
    """Weigh frost around the onset: a coincidence counts the more, the rarer frost is at this meter."""
    rows = cases.of("coil", "battery", "actuator", "low_temperature")
    if rows.is_empty():
        return no_weight()
    frosty = pl.col("case_min_c") <= settings.frost_c
    near = cases.near(-settings.before_days, settings.after_days).group_by(CASE).agg(
        pl.col("case_min_c").min().alias("coldest_c"),
        pl.col("case_measured").filter(frosty).any().alias("measured"),
        pl.col("first_ts").filter(frosty).min().alias("frost_ts"),
        pl.col("last_ts").filter(frosty).max().alias("frost_until"),
    )  # fmt: skip
    usual = cases.around.group_by(CASE).agg(frosty.mean().alias("share"))
    hits = rows.join(near, on=CASE).join(usual, on=CASE).filter(pl.col("coldest_c") <= settings.frost_c)
    own = pl.when(pl.col("measured")).then(settings.measured_weight).otherwise(settings.supposed_weight)
    # A valve has no physics of its own that frost breaks, unless the pipe freezes: then the frost rule speaks.
    less = flag(pl.col("fault") == "actuator", 0.5) + flag(pl.col("fault") == "battery", 0.2)
    return weighed(
        hits,
        own * (1 - pl.col("share")) * (1 - less),
        together(
            observation(
                "cause.low_temperature", "cold_before_onset", pl.col("coldest_c").round(1), "°C",
                since=pl.col("frost_ts"), until=pl.col("frost_until"), threshold=settings.frost_c,
                measured=pl.col("measured"), usual_share=pl.col("share").round(2),
            ),
        ),
    )  # fmt: skip
