"""Moisture: rain before the onset, a place that floods, radio that weakens with it, neighbours that fail together."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import MoistureCauseSettings
from diagnostics.causes.cause import CASE, Cases, cause, flag, no_weight, weighed
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
    """Weigh what points to water; at least two signs of different kinds are needed."""
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
        pl.col("rssi_median_dbm").filter(pl.col("offset_d").is_between(-3, 14)).min().alias("after_dbm"),
        pl.col("rssi_median_dbm").filter(pl.col("offset_d").is_between(-40, -6)).std().alias("scatter_db"),
    )
    hits = rows
    for part in (rain, usual, radio, _together(rows, settings), _submerged(cases, settings)):
        hits = hits.join(part, on=CASE, how="left", maintain_order="left")
    fall = pl.col("before_dbm") - pl.col("after_dbm")
    weaker = fall >= pl.max_horizontal(pl.lit(settings.radio_fall_db), 4 * pl.col("scatter_db").fill_null(0))
    prone = pl.col("flood_prone").fill_null(value=False)
    place = flag(prone, settings.flood_weight) + flag(
        ~prone & pl.col("installation").is_in(WET_PLACES), settings.place_weight
    )
    falls = flag(pl.col("rain_mm") >= settings.rain_mm, settings.rain_weight) * (1 - pl.col("share").fill_null(0))
    signs = place + falls + flag(weaker, settings.radio_weight)
    signs += flag(pl.col("others") >= settings.neighbours, settings.neighbours_weight)
    kinds = (place > 0).cast(pl.Int64) + (falls > 0).cast(pl.Int64)
    kinds += weaker.fill_null(value=False).cast(pl.Int64) + (pl.col("others") >= settings.neighbours).fill_null(
        value=False
    ).cast(pl.Int64)
    found = pl.col("submerged").fill_null(value=False)
    told = "cause.moisture"
    return weighed(
        hits,
        pl.when(found).then(settings.found_weight).when(kinds >= settings.kinds).then(signs).otherwise(0.0),
        together(
            observation(told, "rain_before_onset",
                        pl.when(pl.col("rain_mm") >= settings.rain_mm).then(pl.col("rain_mm").round(1)), "mm",
                        since=pl.col("rain_ts"), threshold=settings.rain_mm),
            observation(told, "wet_place", pl.when(place > 0).then(pl.coalesce("installation", pl.lit("flood_prone"))),
                        flood_prone=prone),
            observation(told, "radio_fell", pl.when(weaker).then(fall.round(1)), "dB"),
            observation(told, "neighbours_failed", pl.when(pl.col("others") >= settings.neighbours).then("others")),
            observation(told, "found_on_site", pl.when(found).then(pl.lit("submerged"))),
        ),
    )  # fmt: skip


def _together(rows: pl.DataFrame, settings: MoistureCauseSettings) -> pl.DataFrame:
    """Return how many other meters of the site have a coil or battery case that began within days of this one."""
    placed = rows.filter(pl.col("site").is_not_null() & pl.col("fault").is_in(["coil", "battery"]))
    beside = placed.select("region", "site", "meter_id", "onset_day").unique()
    return (
        rows.select(*CASE, "region", "site", "onset_day")
        .join(beside, on=["region", "site"], suffix="_other", nulls_equal=False)
        .filter(
            pl.col("meter_id") != pl.col("meter_id_other"),
            (pl.col("onset_day") - pl.col("onset_day_other")).dt.total_days().abs() <= settings.before_days,
        )
        .group_by(CASE)
        .agg(pl.col("meter_id_other").n_unique().cast(pl.Int64).alias("others"))
    )


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
