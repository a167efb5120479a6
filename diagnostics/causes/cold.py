"""Low temperature: cold at the meter when the symptom began."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import ColdCauseSettings
from diagnostics.causes.cause import CASE, Cases, belief, cause, no_weight, ratio, share_of, weighed
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text

EXPOSURE = "low_temperature.exposure"  # cold alone, no damage by it


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
    known = rows.join(_own(cases, settings), on=CASE).with_columns(
        # Frost proper; where that is everyday weather or never comes, the coldest days that this meter has seen.
        pl.when(pl.col("usual_c") <= settings.frost_c).then("tenth_c").otherwise(
            pl.max_horizontal(
                pl.lit(settings.frost_c), pl.min_horizontal(pl.col("tenth_c"), pl.lit(settings.record_c))
            )
        ).alias("limit_c")
    )  # fmt: skip
    beside = cases.around.join(known.select(*CASE, "limit_c"), on=CASE)
    cold = pl.col("case_min_c") <= pl.col("limit_c")
    near = pl.col("offset_d").is_between(-settings.before_days, settings.after_days)
    usual = beside.group_by(CASE).agg(
        pl.col("case_min_c").filter(near).min().alias("coldest_c"),
        pl.col("case_measured").filter(near & cold).any().alias("measured"),
        pl.col("first_ts").filter(near & cold).min().alias("frost_ts"),
        pl.col("last_ts").filter(near & cold).max().alias("frost_until"),
    )
    froze = pl.concat([
        cases.fired.filter(pl.col("fault") == "low_temperature", pl.col("rule") != EXPOSURE).select("meter_id"),
        cases.earlier.filter(pl.col("fault") == "low_temperature").select("meter_id"),
    ]).unique().with_columns(pl.lit(value=True).alias("froze"))  # fmt: skip
    # How often days like those of the onset have such cold behind them: the chance of a coincidence.
    span = settings.before_days + settings.after_days + 1
    chance = beside.join(usual.select(*CASE, "coldest_c"), on=CASE).sort(*CASE, "day").group_by(CASE).agg(
        (pl.col("case_min_c").rolling_min(span, min_samples=1) <= pl.col("coldest_c")).mean().alias("share")
    )  # fmt: skip
    hits = known.join(usual, on=CASE).join(chance, on=CASE).join(froze, on="meter_id", how="left")
    at_onset = (pl.col("coldest_c") <= pl.col("limit_c")).fill_null(value=False)
    follows = pl.col("follows") >= settings.follows
    rarer = ((1 - pl.col("share")) / (pl.col("share") + settings.chance)).clip(0, settings.most_ratio)
    mild = ratio(pl.col("coldest_c") <= settings.frost_c, 1.0, settings.mild_ratio)
    supposed = ratio(pl.col("measured"), 1.0, settings.supposed_ratio)
    empty = pl.when(pl.col("fault") == "battery").then(
        ratio(pl.col("fall_v") >= settings.empty_v, settings.empty_ratio)
    )
    # What the frost rule says of this meter, it says of its other faults too.
    frozen = pl.when(pl.col("fault") != "low_temperature").then(
        ratio(pl.col("froze").fill_null(value=False), settings.frozen_ratio)
    )
    told = "cause.low_temperature"
    return weighed(
        hits.filter(at_onset | follows | (pl.col("froze") & (pl.col("fault") != "low_temperature"))),
        belief(
            share_of(settings.shares()),
            pl.when(at_onset).then(rarer * mild * supposed).otherwise(settings.later_ratio),
            ratio(follows, settings.follows_ratio, settings.apart_ratio), frozen,
            pl.when(~follows.fill_null(value=False)).then(empty),
        ),
        together(
            observation(
                told, "cold_before_onset", pl.when(at_onset).then(pl.col("coldest_c").round(1)), "°C",
                since=pl.col("frost_ts"), until=pl.col("frost_until"), threshold=pl.col("limit_c").round(1),
                measured=pl.col("measured"), usual_share=pl.col("share").round(2),
            ),
            observation(told, "follows_cold", pl.when(follows).then(pl.col("follows").round(2)), "1",
                        threshold=settings.follows, days=pl.col("pairs")),
        ),
    )  # fmt: skip


def _own(cases: Cases, settings: ColdCauseSettings) -> pl.DataFrame:
    """Return how cold it gets at each meter, and how its symptom goes with the temperature.

    Changes over some days are compared, not values: what only ever gets worse also gets worse in autumn.
    """
    # Of the cell the sag under load, where it is sent; of the sensing element the amplitude, which falls.
    symptom = pl.when(pl.col("fault") == "battery").then(pl.coalesce("cell_sag_v", "cell_fall_v")).when(
        pl.col("fault") == "coil"
    ).then(-pl.col("coil_share"))  # fmt: skip
    changes = cases.around.sort(*CASE, "day").with_columns(
        (symptom - symptom.shift(settings.change_days)).over(CASE).alias("worse"),
        (pl.col("case_min_c") - pl.col("case_min_c").shift(settings.change_days)).over(CASE).alias("warmer_c"),
    )
    both = pl.col("worse").is_not_null() & pl.col("warmer_c").is_not_null()
    # Where nothing changes there is nothing to compare.
    moves = (pl.col("worse").abs() >= settings.least_change) & both
    return changes.group_by(CASE).agg(
        pl.col("case_min_c").quantile(settings.record_share).alias("tenth_c"),
        pl.col("case_min_c").quantile(settings.everyday_share).alias("usual_c"),
        moves.sum().cast(pl.Int64).alias("pairs"),
        (-pl.corr("worse", "warmer_c", method="spearman")).alias("correlation"),
        pl.col("cell_fall_v").filter(pl.col("offset_d") >= 0).quantile(0.75).alias("fall_v"),
    ).with_columns(
        pl.when(pl.col("pairs") >= settings.pairs).then(pl.col("correlation").fill_nan(None)).alias("follows")
    )  # fmt: skip
