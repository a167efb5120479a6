"""What empties a battery early: transmitting at the edge of coverage, and far too many reports."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import CoverageCauseSettings, StormCauseSettings
from diagnostics.causes.cause import CASE, Cases, belief, cause, no_weight, ratio, weighed
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text


@cause(
    "coverage",
    settings=lambda settings: settings.coverage,
    source="NB-IoT planning: repetitions begin near -110 dBm; energy is a cliff there, not a slope",
    en=Text(
        "Bad coverage",
        "The radio is at the edge of its network, where every report costs many times the charge.",
        "Measure the signal; move or change the antenna before the new battery goes the same way.",
    ),
    zh=Text("信号覆盖差", "通信处于覆盖边缘，每次上报耗电成倍增加。", "现场测信号；先改善天线或位置，再换电池。"),
)
def coverage(cases: Cases, settings: CoverageCauseSettings) -> pl.DataFrame:
    """Weigh how the meter was received over the weeks around the onset."""
    rows = cases.of("battery")
    if rows.is_empty():
        return no_weight()
    heard = cases.near(-60, 60).group_by(CASE).agg(
        pl.col("rssi_median_dbm").median().alias("dbm"), pl.col("coverage_worst").median().alias("class")
    )  # fmt: skip
    everyone = cases.seen.features.select(pl.col("rssi_dbm_30d").median()).item()
    hits = rows.join(heard, on=CASE, how="left", maintain_order="left")
    bad_class = pl.col("class") >= settings.worst_class
    # Energy is a cliff: each step below the edge makes it much likelier that the radio has eaten the cell.
    below = (settings.edge_dbm - pl.col("dbm")) / settings.step_db
    edge = (pl.lit(2.0) ** below.clip(-10, 10)).clip(0, settings.most_ratio)
    edge = pl.when(bad_class).then(pl.max_horizontal(edge, pl.lit(settings.class_ratio))).otherwise(edge)
    # Where everybody is received like this it explains nobody in particular.
    special = pl.lit(value=True) if everyone is None else pl.col("dbm") <= everyone - settings.below_fleet_db
    strength = pl.coalesce(pl.when(special | bad_class).then(edge), pl.when(bad_class).then(settings.class_ratio))
    weight = belief(settings.share, strength.fill_null(0.0))
    return weighed(
        hits,
        weight,
        together(
            observation("cause.coverage", "signal_strength", pl.col("dbm").round(1), "dBm",
                        threshold=settings.edge_dbm),
            observation("cause.coverage", "coverage_class", pl.when(bad_class).then("class"),
                        threshold=float(settings.worst_class)),
        ),
    )  # fmt: skip


@cause(
    "report_storm",
    settings=lambda settings: settings.storm,
    source="operators' rule 'too many reports per day'; five to ten times the uplinks end a cell years early",
    en=Text(
        "Report storm",
        "The meter reported many times more often than usual for it or its model.",
        "Find what makes it report (server retries, alarms, settings) and stop it before the battery is exchanged.",
    ),
    zh=Text("频繁上报", "上报次数远超该表或同型号常态。", "查明频繁上报原因（平台重发、告警、参数）并消除后再换电池。"),
)
def report_storm(cases: Cases, settings: StormCauseSettings) -> pl.DataFrame:
    """Weigh the days with many times the usual number of reports: the meter's own before, or its model's.

    Usual is what the meter itself sent on quieter days, but no less than the model's median (a meter that had fallen
    silent and reports again storms nobody) and no more than what nearly all of the model send.
    """
    rows = cases.of("battery")
    if rows.is_empty():
        return no_weight()
    # One message may carry the registers of a day: messages cost charge, readings do not.
    reports = pl.coalesce(
        pl.when(pl.col("seq_resets") == 0).then(pl.col("seq_last") - pl.col("seq_first") + 1), pl.col("messages")
    ).cast(pl.Float64)
    sent = cases.seen.days.select("meter_id", "model", reports.alias("reports"))
    own = sent.group_by("meter_id", "model").agg(
        pl.col("reports").median().alias("usual"), pl.col("reports").quantile(0.25).alias("quiet")
    )
    kind = own.group_by("model").agg(
        pl.col("usual").median().alias("of_model"), pl.col("usual").quantile(0.9).alias("of_most"), pl.len().alias("n")
    )
    many = pl.col("n") >= settings.least_meters
    known = own.join(kind.filter(many), on="model", how="left", nulls_equal=True).select(
        "meter_id", pl.max_horizontal(pl.min_horizontal("quiet", "of_most"), "of_model").alias("normal")
    )
    heard = (
        cases.around.select(*CASE, "first_ts", "last_ts", reports.alias("reports"))
        .join(known, on="meter_id", how="left")
        .with_columns((pl.col("reports") / pl.col("normal").clip(1)).alias("ratio"))
    )
    storm = pl.col("ratio") >= settings.ratio
    days = heard.group_by(CASE).agg(
        storm.sum().cast(pl.Int64).alias("storm_days"),
        pl.col("ratio").filter(storm).median().alias("times"),
        pl.col("first_ts").filter(storm).min().alias("storm_ts"),
        pl.col("last_ts").filter(storm).max().alias("storm_until"),
    )
    hits = rows.join(days, on=CASE).filter(pl.col("storm_days") >= settings.days)
    return weighed(
        hits,
        belief(
            settings.share, (pl.col("times") * settings.times_ratio).clip(1, settings.most_ratio),
            ratio(pl.col("storm_days") >= settings.long_days, 1.0, settings.short_ratio),
        ),
        together(
            observation(
                "cause.report_storm", "storm_days", pl.col("storm_days"), "d", since=pl.col("storm_ts"),
                until=pl.col("storm_until"), threshold=float(settings.days), times=pl.col("times").round(1),
            ),
        ),
    )  # fmt: skip
