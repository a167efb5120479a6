"""Moisture: rain before the onset, a place that floods, radio that weakens with it, neighbours that fail together."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import MoistureCauseSettings
from diagnostics.causes.cause import CASE, Cases, belief, cause, no_weight, ratio, share_of, weighed
from diagnostics.causes.neighbours import beside_others
from diagnostics.causes.valves import OVERRUNS, RUNS_FREE, RUNS_HARDER, STANDS_STILL, with_valve_signs
from diagnostics.evidence import observation, together
from diagnostics.rules.rule import Text

WET_PLACES = ("pit", "basement")


@cause(
    "moisture",
    settings=lambda settings: settings.moisture,
    source="field reports: flooded holes take the radio first, then the electronics; damp leads prepaid meters' faults",
    en=Text(
        "Moisture",
        "Rain, a place that floods, radio that weakened with it, or neighbours that failed with it.",
        "Look for standing water, mud and wet electronics; does the protection class suit the place?",
    ),
    zh=Text(
        "受潮、浸水",
        "症状开始前降雨、表位易积水、信号随之减弱或邻表同时异常。",
        "检查积水、泥沙及电子部件受潮；核对防护等级是否适合安装环境。",
    ),
)
def moisture(cases: Cases, settings: MoistureCauseSettings) -> pl.DataFrame:
    """Weigh what points to water: the place, rain before, radio that weakened with it, neighbours that failed too."""
    rows = cases.of("coil", "battery", "actuator")
    if rows.is_empty():
        return no_weight()
    rained = pl.col("precipitation_mm") >= settings.rain_mm
    rain = cases.near(-settings.before_days, 1).group_by(CASE).agg(
        pl.col("precipitation_mm").max().alias("rain_mm"), pl.col("first_ts").filter(rained).max().alias("rain_ts")
    )  # fmt: skip
    wet = pl.col("precipitation_mm").rolling_max(settings.before_days + 1, min_samples=1).over(CASE)
    usual = cases.around.group_by(CASE).agg((wet >= settings.rain_mm).mean().alias("share"))
    radio = cases.around.group_by(CASE).agg(
        pl.col("rssi_median_dbm").filter(pl.col("offset_d").is_between(-40, -6)).median().alias("before_dbm"),
        pl.col("rssi_median_dbm").filter(pl.col("offset_d").is_between(-5, 14)).quantile(0.1).alias("after_dbm"),
        pl.col("rssi_median_dbm").filter(pl.col("offset_d").is_between(-40, -6)).std().alias("scatter_db"),
    )
    hits = with_valve_signs(rows, cases)
    others = beside_others(cases, ("coil", "battery"), settings.before_days)
    for part in (rain, usual, radio, others, _submerged(cases, settings)):
        hits = hits.join(part, on=CASE, how="left", maintain_order="left")
    fall = pl.col("before_dbm") - pl.col("after_dbm")
    weaker = fall >= pl.max_horizontal(pl.lit(settings.radio_fall_db), 4 * pl.col("scatter_db").fill_null(0))
    prone = pl.col("flood_prone").fill_null(value=False)
    damp = pl.col("installation").is_in(WET_PLACES)
    flat = (pl.col("installation") == "indoor").fill_null(value=False)
    place = pl.when(prone).then(settings.flood_ratio).when(damp).then(settings.place_ratio).otherwise(
        ratio(flat, settings.indoor_ratio, settings.outdoor_ratio)
    )  # fmt: skip
    wetter = pl.col("rain_mm") >= settings.rain_mm
    # Rain before the onset says the less, the more often it rains; a flat stays dry in any.
    rarer = 1 / (pl.col("share") + settings.chance)
    falls = pl.when(prone | damp | (pl.col("installation") == "outdoor")).then(
        ratio(wetter, pl.max_horizontal(pl.lit(1.0), rarer.clip(1, settings.rain_ratio)), settings.dry_ratio)
    )
    beside = pl.col("excess").clip(settings.alone_ratio, settings.neighbours_ratio)
    valve = ratio(RUNS_HARDER | RUNS_FREE, settings.mechanical_ratio)
    valve *= ratio(STANDS_STILL | OVERRUNS, settings.electrical_ratio)
    found = pl.col("submerged").fill_null(value=False)
    told = "cause.moisture"
    return weighed(
        hits,
        pl.when(found).then(settings.found_weight).otherwise(
            belief(
                share_of(settings.shares()), place, falls, ratio(weaker, settings.radio_ratio), beside, valve,
            )
        ),
        together(
            observation(told, "rain_before_onset",
                        pl.when(wetter).then(pl.col("rain_mm").round(1)), "mm",
                        since=pl.col("rain_ts"), threshold=settings.rain_mm),
            observation(told, "wet_place",
                        pl.when(prone | damp).then(pl.coalesce("installation", pl.lit("flood_prone"))),
                        flood_prone=prone),
            observation(told, "radio_fell", pl.when(weaker).then(fall.round(1)), "dB"),
            observation(told, "neighbours_failed", pl.when(pl.col("excess") > 1).then("others"),
                        times=pl.col("excess").round(1)),
            observation(told, "found_on_site", pl.when(found).then(pl.lit("submerged"))),
        ),
    )  # fmt: skip


def _submerged(cases: Cases, settings: MoistureCauseSettings) -> pl.DataFrame:
    """Return cases whose meter a technician found under water near the onset or after it."""
    found = cases.seen.facts.inspections.filter(pl.col("submerged")).select("meter_id", "inspected_at")
    return (
        cases.rows.select(*CASE, "onset")
        .join(found, on="meter_id")
        .filter(pl.col("inspected_at") >= pl.col("onset") - pl.duration(days=settings.found_days))
        .group_by(CASE)
        .agg(pl.lit(value=True).alias("submerged"))
    )
