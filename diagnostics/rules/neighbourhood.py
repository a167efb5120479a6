"""Conditions of a place: many meters of it are silent or stand at once, or the utility announced works there."""

from __future__ import annotations

import polars as pl

from diagnostics.evidence import observation, together
from diagnostics.features import HOUR_S, View
from diagnostics.peers import silent_neighbours
from diagnostics.rules.rule import Text, fired, nothing, rule, symptom
from diagnostics.settings import AreaSilenceSettings, AreaStandstillSettings, WorksSettings

# Works that take the radio away, by the words of their kind; all others may take the water.
RADIO_WORKS = r"(?i)radio|gateway|base.?station|network maintenance|lora|nb-?iot|网关|基站|通信"


@rule(
    "communication.area",
    settings=lambda settings: settings.communication.area,
    source="meters of one place that fall silent together have a gateway, a base station or a power cut in common",
    severity=3,
    en=Text(
        "The whole place is silent",
        "Most meters of the site or region are silent since the same day.",
        "Check gateway, base station and power of the place; nothing to do at the meters.",
    ),
    zh=Text(
        "片区整体失联",
        "同一小区或地区的大多数表计自同一天起无数据。",
        "检查该片区网关、基站及供电；无需逐表处理。",
    ),
)
def area_silence(seen: View, settings: AreaSilenceSettings) -> pl.DataFrame:
    """Say watch where a silent meter's neighbours fell silent with it and still are."""
    told = "communication.area"
    last = seen.days.group_by("meter_id", maintain_order=True).agg(
        pl.col("day").last().alias("last_day"), pl.col("region", "site").last(), pl.col("last_ts").last()
    )
    newest = last["last_day"].max()
    silent = last.join(seen.features.select("meter_id", "silent_h"), on="meter_id").filter(
        pl.col("silent_h") >= settings.silent_h
    )
    if newest is None or silent.is_empty():
        return nothing()
    share = pl.col("silent") / pl.col("meters")
    counts = silent_neighbours(seen.days).filter(
        pl.col("meters") >= settings.meters, share >= settings.share, pl.col("silent") >= settings.least_silent
    )
    hits = []
    for keys in (["region", "site"], ["region"]):
        of_place = counts.filter(pl.col("site").is_not_null() if "site" in keys else pl.col("site").is_null())
        began = pl.col("last_day") + pl.duration(days=1)
        touched = (
            silent.with_columns(began.alias("began"))
            .join(of_place.select(*keys, "day", "meters", "silent"), left_on=[*keys, "began"], right_on=[*keys, "day"])
            .join(of_place.filter(pl.col("day") >= newest - pl.duration(days=1)).select(keys).unique(), on=keys,
                  how="semi")
        )  # fmt: skip
        hits.append(touched.select("meter_id", "last_ts", "meters", "silent", "silent_h"))
    found = pl.concat(hits).unique("meter_id", keep="first", maintain_order=True)
    return fired(
        found,
        act=pl.lit(value=False),
        onset=pl.col("last_ts"),
        evidence=together(
            observation(
                told, "silent_neighbours", pl.col("silent"), since=pl.col("last_ts"), threshold=settings.share,
                meters=pl.col("meters"),
            ),
        ),
    )  # fmt: skip


@rule(
    "empty_pipe.area",
    settings=lambda settings: settings.empty_pipe.area,
    source="homes of one place that use water every day do not all stop on the same day unless the water is off",
    severity=3,
    en=Text(
        "No water in the whole place",
        "Most homes of the place that use water every day had none on the same days.",
        "Ask the operator of the network for an outage; nothing to do at the meters.",
    ),
    zh=Text("片区停水", "同一片区平日有用水的住户在同一天大多无用水。", "向管网单位核实停水；无需逐表处理。"),
)
def area_standstill(seen: View, settings: AreaStandstillSettings) -> pl.DataFrame:
    """Say watch where a meter stands with most of its neighbours."""
    together_still = (pl.col("day_m3") == 0) & (pl.col("peer_zero_share") >= settings.share)
    hits = symptom(seen, together_still, settings.window_days, share=pl.col("peer_zero_share").max())
    return fired(
        hits,
        act=pl.lit(value=False),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "empty_pipe.area", "standing_neighbours", pl.col("share").round(2), "1", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.share, days=pl.col("days"),
            ),
        ),
    )  # fmt: skip


@rule(
    "communication.works",
    settings=lambda settings: settings.communication.works,
    source="works and outages that the utility announced",
    severity=4,
    en=Text("Announced radio works", "Works on the radio network of the place.", "Wait until they are over."),
    zh=Text("已公告通信维护", "该片区有已公告的通信网络维护。", "待维护结束。"),
)
def radio_works(seen: View, settings: WorksSettings) -> pl.DataFrame:
    """Say watch while works on the radio network go on or have just ended."""
    return _works(seen, settings, "communication.works", pl.col("kind").fill_null("").str.contains(RADIO_WORKS))


@rule(
    "empty_pipe.works",
    settings=lambda settings: settings.empty_pipe.works,
    source="works and outages that the utility announced",
    severity=4,
    en=Text("Announced works or outage", "Works on the pipes of the place, or an outage.", "Wait until it is over."),
    zh=Text("已公告停水或施工", "该片区有已公告的停水或管道施工。", "待恢复供水。"),
)
def pipe_works(seen: View, settings: WorksSettings) -> pl.DataFrame:
    """Say watch while pipe works or an outage go on or have just ended."""
    return _works(seen, settings, "empty_pipe.works", ~pl.col("kind").fill_null("").str.contains(RADIO_WORKS))


def _works(seen: View, settings: WorksSettings, told: str, kind: pl.Expr) -> pl.DataFrame:
    """Return the meters of places with works of a kind around the diagnosis."""
    until = pl.coalesce("until", pl.col("from") + pl.duration(hours=settings.open_h))
    now = pl.lit(seen.as_of)
    works = seen.facts.works.filter(
        kind, pl.col("from") <= now, until + pl.duration(hours=settings.after_h) >= now
    ).select("region", pl.col("site").alias("works_site"), "from", until.alias("until"), "kind")
    if works.is_empty():
        return nothing()
    placed = seen.features.select("meter_id").join(
        seen.facts.meters.select("meter_id", "region", "site"), on="meter_id"
    )
    hits = (
        placed.join(works, on="region")
        .filter(pl.col("works_site").is_null() | (pl.col("works_site") == pl.col("site")))
        .sort("meter_id", "from")
        .unique("meter_id", keep="last", maintain_order=True)
    )
    hours = (pl.col("until") - pl.col("from")).dt.total_seconds() / HOUR_S
    return fired(
        hits,
        act=pl.lit(value=False),
        onset=pl.col("from"),
        evidence=together(
            observation(told, "announced_works", hours.round(1), "h", since=pl.col("from"), until=pl.col("until"),
                        kind=pl.col("kind")),
        ),
    )  # fmt: skip
