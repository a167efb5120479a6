"""Conditions: what explains or inhibits a fault and is none itself."""

from __future__ import annotations

import polars as pl

from diagnostics.evidence import observation, together
from diagnostics.features import HOUR_S, View
from diagnostics.reception import blamed, stretches
from diagnostics.rules.rule import Text, fired, rule, symptom
from diagnostics.settings import (
    ContinuousSettings,
    GapSettings,
    OverlapSettings,
    ReceptionSettings,
    RegistersSettings,
    ReverseSettings,
    SourcesSettings,
)


@rule(
    "exchange.registers",
    settings=lambda settings: settings.exchange.registers,
    source="two sequences that each run as a meter does, or a register that starts again lower, are two meters",
    severity=3,
    cause="installation",
    en=Text(
        "Two registers under one id",
        "Two sequences of registers alternate, or the register starts again lower and stays there.",
        "Check in the registry whether the meter was exchanged and when; bill both registers separately.",
    ),
    zh=Text(
        "同一表号下有两只表",
        "两组读数交替出现，或读数变小后不再恢复。",
        "核对是否换表及换表日期；两只表的读数分别计费。",
    ),
)
def registers(seen: View, settings: RegistersSettings) -> pl.DataFrame:
    """Fire where registers interleave (act) or start again (watch)."""
    told = "exchange.registers"
    mixed = pl.col("interleaved_readings").is_not_null()
    hits = symptom(
        seen, mixed | pl.col("stepped"), settings.window_days,
        readings=pl.col("interleaved_readings").sum(),
        mixed_days=mixed.sum(),
        offset=pl.col("interleaved_offset_m3").max(),
        mixed_from=pl.col("interleaved_first_ts").min(),
        mixed_until=pl.col("interleaved_last_ts").max(),
        fell=pl.col("jump_m3").filter("stepped").max(),
        fell_ts=pl.col("first_ts").filter("stepped").min(),
    )  # fmt: skip
    both = pl.col("mixed_days") > 0
    return fired(
        hits,
        act=both,
        onset=pl.coalesce("mixed_from", "fell_ts"),
        evidence=together(
            observation(
                told, "interleaved_registers", pl.when(both).then("readings"), since=pl.col("mixed_from"),
                until=pl.col("mixed_until"), window_days=settings.window_days, offset_m3=pl.col("offset"),
            ),
            observation(told, "register_restarted", -pl.col("fell").round(6), "m³", since=pl.col("fell_ts")),
        ),
        cause_confidence=pl.lit(0.7),
    )  # fmt: skip


@rule(
    "communication.reception",
    settings=lambda settings: settings.communication.reception,
    source="what we did not listen to was not lost by the meter",
    severity=3,
    en=Text(
        "We did not receive for a time",
        "Measurements are missing while the broker kept nothing for us, or what it had delivered was lost here.",
        "Nothing to do at the meter. See in lake/gaps what happened, and let the broker keep sessions for longer.",
    ),
    zh=Text(
        "本系统接收中断",
        "缺失的数据落在本系统未接收的时段内。",
        "无需检查表计；在 lake/gaps 中查明原因，并让消息服务器更久地保留会话。",
    ),
)
def reception(seen: View, settings: ReceptionSettings) -> pl.DataFrame:
    """Say watch where a meter's measurements are missing in a time in which we did not receive."""
    missing = stretches(seen, settings.window_days).filter(pl.col("missing_s") > pl.col("usual_s") * settings.intervals)
    hits = (
        missing.join(seen.facts.gaps, on="meter_id", maintain_order="left")
        .filter(pl.col("since") < pl.col("to"), pl.col("until") > pl.col("from"))
        .sort("meter_id", "since")
        .group_by("meter_id", maintain_order=True)
        .agg(pl.col("since", "until", "kind").last())
    )
    hours = (pl.col("until") - pl.col("since")).dt.total_seconds() / HOUR_S
    return fired(
        hits,
        act=pl.lit(value=False),
        onset=pl.col("since"),
        evidence=together(
            observation(
                "communication.reception", "reception_gap", hours.round(2), "h", since=pl.col("since"),
                until=pl.col("until"), window_days=settings.window_days, kind=pl.col("kind"),
            ),
        ),
    )  # fmt: skip


@rule(
    "communication.gap",
    settings=lambda settings: settings.communication.gap,
    source="what was not received says nothing of the register",
    severity=3,
    en=Text(
        "Measurements are missing",
        "A long time without a measurement, or silence up to now.",
        "See whether neighbours are silent, too; then check signal, antenna and battery of this meter.",
    ),
    zh=Text(
        "数据中断",
        "长时间无数据，或至今失联。",
        "先看周边表计是否同时失联；再检查该表信号、天线和电池。",
    ),
)
def gap(seen: View, settings: GapSettings) -> pl.DataFrame:
    """Fire where measurements were missing in the days before the diagnosis, or still are.

    The time in which we did not receive ourselves does not count.
    """
    told = "communication.gap"
    missed = blamed(stretches(seen, settings.window_days), seen.facts.gaps)
    past = pl.col("place") != "silence"
    longest = pl.col("blamed_s").filter(past)
    gaps = missed.group_by("meter_id", maintain_order=True).agg(
        (longest.max() / HOUR_S).alias("gap_h"),
        pl.col("first_ts").filter(past).sort_by(longest).last().alias("gap_ts"),
        (pl.col("blamed_s").filter(~past).max() / HOUR_S).alias("silent_h"),
    )
    state = seen.features.select("meter_id", "last_ts", "usual_s")
    limit = pl.max_horizontal(pl.lit(settings.gap_h), pl.col("usual_s") / HOUR_S * settings.intervals)
    missing = pl.col("gap_h") >= limit
    silent = pl.col("silent_h") >= limit
    began = pl.when(silent).then("last_ts").otherwise(pl.col("gap_ts") - pl.duration(hours=pl.col("gap_h")))
    return fired(
        gaps.join(state, on="meter_id", maintain_order="left"),
        act=pl.col("silent_h") >= pl.max_horizontal(limit, pl.lit(settings.silent_h)),
        watch=missing.fill_null(value=False) | silent,
        onset=began,
        evidence=together(
            observation(
                told, "gap", pl.when(missing).then(pl.col("gap_h").round(1)), "h", until=pl.col("gap_ts"),
                threshold=limit.round(1), window_days=settings.window_days,
            ),
            observation(
                told, "silence", pl.when(silent).then(pl.col("silent_h").round(1)), "h", since=pl.col("last_ts"),
                threshold=limit.round(1),
            ),
        ),
    )  # fmt: skip


@rule(
    "leak.continuous",
    settings=lambda settings: settings.leak.continuous,
    source="makers' leak alarms: no standstill in 24 h",
    severity=3,
    en=Text(
        "The register never stands still",
        "On several days there was no interval without flow.",
        "Tell the customer; look for a leak behind the meter.",
    ),
    zh=Text("疑似漏水", "连续多日全天无停走时段。", "通知用户；检查表后漏水。"),
)
def continuous(seen: View, settings: ContinuousSettings) -> pl.DataFrame:
    """Say watch where the register moved in every interval of several days."""
    runs = (
        (pl.col("standstill_s") == 0)
        & (pl.col("volume_readings") >= settings.readings)
        & (pl.col("least_flow_m3h") >= settings.least_m3h)
    )
    hits = symptom(seen, runs, settings.window_days, least=pl.col("least_flow_m3h").min())
    return fired(
        hits,
        act=pl.lit(value=False),
        watch=pl.col("days") >= settings.days,
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "leak.continuous", "no_standstill", pl.col("days"), "d", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=float(settings.days), window_days=settings.window_days,
                least_m3h=pl.col("least").round(4),
            ),
        ),
    )  # fmt: skip


@rule(
    "backflow.reverse",
    settings=lambda settings: settings.backflow.reverse,
    source="a meter with a reverse register tells backflow itself",
    severity=3,
    en=Text(
        "Water flows backwards",
        "The reverse register counted.",
        "Check the direction of installation and the check valve.",
    ),
    zh=Text("倒流", "反向累计量增加。", "检查安装方向及止回阀。"),
)
def reverse(seen: View, settings: ReverseSettings) -> pl.DataFrame:
    """Say watch where the reverse register counted."""
    hits = symptom(seen, pl.col("reverse_m3") > 0, settings.window_days, volume=pl.col("reverse_m3").sum())
    return fired(
        hits,
        act=pl.lit(value=False),
        watch=pl.col("days") >= settings.days,
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "backflow.reverse", "reverse_flow", pl.col("volume").round(6), "m³", since=pl.col("first_ts"),
                until=pl.col("last_ts"), window_days=settings.window_days, days=pl.col("days"),
            ),
        ),
    )  # fmt: skip


@rule(
    "software_conflict.sources",
    settings=lambda settings: settings.software_conflict.sources,
    source="step 8 of the service procedure: several programs operating one meter",
    severity=3,
    cause="software_conflict",
    en=Text(
        "Several programs deliver this meter",
        "More than one source delivered it on several days, or their registers contradict each other.",
        "Find out which programs read and operate it; leave one.",
    ),
    zh=Text(
        "多个程序上报同一表",
        "多日有一个以上来源上报该表，或各来源读数相互矛盾。",
        "查明读取和操作该表的程序，只保留一个。",
    ),
)
def sources(seen: View, settings: SourcesSettings) -> pl.DataFrame:
    """Say watch where more than one source delivered the meter."""
    told = "software_conflict.sources"
    differ = pl.col("source_disagreements") > 0
    hits = symptom(
        seen, pl.col("sources") > 1, settings.window_days,
        most=pl.col("sources").max(),
        names=pl.col("source_names").explode().drop_nulls().unique().sort(),
        meetings=pl.col("source_meetings").sum(),
        disagreements=pl.col("source_disagreements").sum(),
        differ_m3=pl.col("source_differ_max_m3").max(),
        differ_from=pl.col("first_ts").filter(differ).min(),
        differ_until=pl.col("last_ts").filter(differ).max(),
        firmwares=pl.col("source_firmwares").drop_nulls().last().list.join(", "),
        clock_s=pl.col("source_clock_s").max(),
    )  # fmt: skip
    many = pl.col("disagreements") >= settings.disagreements
    return fired(
        hits,
        act=pl.lit(value=False),
        watch=(pl.col("days") >= settings.days) | many,
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                told, "sources", pl.col("most"), since=pl.col("first_ts"), until=pl.col("last_ts"),
                window_days=settings.window_days, days=pl.col("days"), names=pl.col("names").list.join(", "),
            ),
            observation(
                told, "sources_disagree", pl.when(pl.col("disagreements") > 0).then("disagreements"),
                since=pl.col("differ_from"), until=pl.col("differ_until"), threshold=float(settings.disagreements),
                comparisons=pl.col("meetings"), offset_m3=pl.col("differ_m3"),
            ),
            observation(told, "sources_firmware", pl.col("firmwares")),
            observation(told, "sources_clock", pl.col("clock_s"), "s"),
        ),
    )  # fmt: skip


@rule(
    "clock.overlap",
    settings=lambda settings: settings.clock.overlap,
    source="registers that fall between measurements minutes apart: the times of two deliveries overlap",
    severity=4,
    en=Text(
        "Deliveries overlap in time",
        "On several days a register fell between two measurements much closer than the usual interval.",
        "Check how the head-end stamps the values of a delivery, and the meter's clock.",
    ),
    zh=Text("上报时间重叠", "多日在远小于上报周期的间隔内读数减小。", "检查平台对批量数据的时标处理及表计时钟。"),
)
def overlap(seen: View, settings: OverlapSettings) -> pl.DataFrame:
    """Say watch where backward counts lie between overlapping deliveries."""
    hits = symptom(seen, pl.col("backward_overlaps") > 0, settings.window_days)
    return fired(
        hits,
        act=pl.lit(value=False),
        watch=pl.col("days") >= settings.days,
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "clock.overlap", "overlapping_deliveries", pl.col("days"), "d", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=float(settings.days), window_days=settings.window_days,
            ),
        ),
    )  # fmt: skip
