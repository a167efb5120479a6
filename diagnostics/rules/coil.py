"""The sensing element (coil, reed, opto): it counts backwards, jumps, stands while water flows, or its signal fades.

A register that stands at zero is no symptom: nothing tells a stuck meter from a vacant home.
"""

from __future__ import annotations

import polars as pl

from diagnostics.evidence import observation, together
from diagnostics.features import View
from diagnostics.register import register_bits
from diagnostics.rules.rule import Text, cold_around, fired, newest_measured, rule, symptom
from diagnostics.settings import BackwardSettings, FrozenRegisterSettings, JumpSettings, SignalSettings

COLD_CONFIDENCE = 0.6


@rule(
    "coil.backward",
    settings=lambda settings: settings.coil.backward,
    source="a register cannot run backwards on many days unless water does: reed bounce, marginal coil, wrong count",
    severity=2,
    inhibited_by=("exchange", "backflow"),
    en=Text(
        "The register counts backwards",
        "Small falls of the forward register on several days, without a reverse register or code that explains them.",
        "Compare register and display on site, check direction and check valve; exchange the sensing module (coil).",
    ),
    zh=Text(
        "读数倒走",
        "多日出现正向读数小幅减小，且无反向累计量或倒流代码可解释。",
        "现场核对字轮与显示读数，检查安装方向和止回阀；更换发讯圈（采样模块）。",
    ),
)
def backward(seen: View, settings: BackwardSettings) -> pl.DataFrame:
    """Fire where the register fell a little on several days of the window."""
    told = "coil.backward"
    when = (pl.col("backwards") > 0) & (pl.col("backwards_worst_m3") >= settings.least_m3)
    hits = symptom(
        seen, when, settings.window_days,
        counts=pl.col("backwards").sum(),
        worst=pl.col("backwards_worst_m3").max(),
        overlaps=pl.col("backward_overlaps").sum(),
        onset=pl.coalesce("backward_first_ts", "first_ts").min(),
    )  # fmt: skip
    window = settings.window_days
    return fired(
        hits,
        act=pl.col("days") >= settings.act_days,
        watch=pl.col("days") >= settings.watch_days,
        onset=pl.col("onset"),
        evidence=together(
            observation(
                told, "backward_days", pl.col("days"), "d", since=pl.col("onset"), until=pl.col("last_ts"),
                threshold=float(settings.act_days), window_days=window,
            ),
            observation(told, "backward_counts", pl.col("counts"), window_days=window),
            observation(told, "worst_backward", -pl.col("worst").round(6), "m³"),
            observation(told, "overlapping_times", pl.when(pl.col("overlaps") > 0).then("overlaps")),
        ),
    )  # fmt: skip


@rule(
    "coil.jump",
    settings=lambda settings: settings.coil.jump,
    source="the difference of a jump that is a power of two is a bit of the register that flipped, not water",
    severity=2,
    inhibited_by=("exchange",),
    en=Text(
        "The register jumps",
        "The register falls by more than a backward count and comes back, or one increment is beyond any flow.",
        "Read the register on site and compare; exchange the electronic module; check the bill of these days.",
    ),
    zh=Text(
        "读数跳变",
        "读数大幅减小后又恢复，或单次增量超出可能流量。",
        "现场抄读字轮核对；更换采样（电子）模块；复核相关日期的计费用量。",
    ),
)
def jump(seen: View, settings: JumpSettings) -> pl.DataFrame:
    """Fire where the register left its course and came back, or made one lone leap beyond any flow."""
    told = "coil.jump"
    seen_by_edge = register_bits((pl.col("jump_m3") / pl.col("volume_step_m3")).round(0))
    hits = symptom(
        seen, (pl.col("jumps") > 0) | (pl.col("surges") > 0), settings.window_days,
        jumps=pl.col("jumps").sum(),
        worst=pl.col("jump_m3").filter(pl.col("jumps") > 0).max(),
        bits=pl.coalesce("drop_bits", seen_by_edge).filter(pl.col("jumps") > 0).max(),
        surge_days=(pl.col("surges") > 0).sum(),
        surge=pl.col("worst_surge_m3").max(),
        limit=pl.col("flow_limit_m3h").first(),
        onset=pl.coalesce("drop_first_ts", "surge_first_ts", "first_ts").min(),
    )  # fmt: skip
    lone = pl.lit(settings.surge_watch) & (pl.col("surge_days") == 1)
    bits = pl.lit(settings.bits_act) & pl.col("bits").is_not_null()
    return fired(
        hits,
        act=(pl.col("jumps") >= settings.act_drops) | ((pl.col("jumps") > 0) & bits),
        watch=(pl.col("jumps") > 0) | lone,
        onset=pl.col("onset"),
        evidence=together(
            observation(
                told, "register_jumps", pl.when(pl.col("jumps") > 0).then("jumps"), since=pl.col("onset"),
                until=pl.col("last_ts"), threshold=float(settings.act_drops), window_days=settings.window_days,
            ),
            observation(told, "worst_jump", pl.col("worst").round(6), "m³"),
            observation(told, "register_bits", pl.col("bits"), "counts"),
            observation(
                told, "lone_surge", pl.when(pl.col("surge_days") == 1).then(pl.col("surge").round(6)), "m³",
                limit_m3h=pl.col("limit"),
            ),
        ),
    )  # fmt: skip


@rule(
    "coil.frozen",
    settings=lambda settings: settings.coil.frozen,
    source="flow signal and register come from the same water; the register that stands is not sampled",
    severity=2,
    inhibited_by=("empty_pipe",),
    en=Text(
        "The register stands while water flows",
        "On several days the meter's own flow signal told of flow and its register did not move.",
        "Open a tap and watch register and display; exchange the sensing module (coil).",
    ),
    zh=Text(
        "走字不计数",
        "多日流量信号显示有水流，而累计读数不变（不采样）。",
        "现场放水观察字轮与显示；更换发讯圈（采样模块）。",
    ),
)
def frozen(seen: View, settings: FrozenRegisterSettings) -> pl.DataFrame:
    """Fire where the flow signal speaks on days without an increment."""
    told = "coil.frozen"
    still = (pl.col("consumption_m3") == 0) & (pl.col("reported_flow_readings") >= settings.day_readings)
    hits = symptom(
        seen, still, settings.window_days,
        readings=pl.col("reported_flow_readings").sum(), flow=pl.col("reported_flow_max_m3h").max(),
    )  # fmt: skip
    return _with_cold(
        seen,
        fired(
            hits,
            act=pl.col("days") >= settings.act_days,
            onset=pl.col("first_ts"),
            evidence=together(
                observation(
                    told, "standing_with_flow", pl.col("days"), "d", since=pl.col("first_ts"),
                    until=pl.col("last_ts"), threshold=float(settings.act_days), window_days=settings.window_days,
                    readings=pl.col("readings"), flow_m3h=pl.col("flow").round(4),
                ),
            ),
        ),
    )  # fmt: skip


@rule(
    "coil.signal",
    settings=lambda settings: settings.coil.signal,
    source="the sensing threshold is fixed; below it pulses are lost by the dozen",
    severity=2,
    en=Text(
        "The sensing amplitude fades",
        "The daily median amplitude is far below that of the meter's own first days, on several of the last days.",
        "Check gap, moisture and sediment at the coil; exchange the sensing module before pulses are lost.",
    ),
    zh=Text(
        "发讯圈信号减弱",
        "近日信号幅度日中值多次明显低于该表初期水平。",
        "检查发讯圈间隙、受潮及杂质；在丢脉冲之前更换采样模块。",
    ),
)
def signal(seen: View, settings: SignalSettings) -> pl.DataFrame:
    """Fire where the amplitude is a fraction of its baseline on several measured days."""
    told = "coil.signal"
    share = pl.col("coil_share")
    newest = newest_measured(seen, share.is_not_null(), settings.window_days)
    hits = newest.group_by("meter_id", maintain_order=True).agg(
        (share <= settings.watch_fraction).sum().alias("days"),
        (share <= settings.act_fraction).sum().alias("act_days"),
        pl.col("first_ts").filter(share <= settings.watch_fraction).min().alias("onset"),
        pl.col("last_ts").max(),
        share.last().alias("share"),
        pl.col("coil_signal_median_mv").last().alias("signal_mv"),
        pl.col("coil_base_mv").last(),
    )
    return _with_cold(
        seen,
        fired(
            hits,
            act=pl.col("act_days") >= settings.days,
            watch=pl.col("days") >= settings.days,
            onset=pl.col("onset"),
            evidence=together(
                observation(
                    told, "coil_signal", pl.col("share").round(3), "1", since=pl.col("onset"),
                    until=pl.col("last_ts"), threshold=settings.watch_fraction, window_days=settings.window_days,
                    signal_mv=pl.col("signal_mv").round(1), baseline_mv=pl.col("coil_base_mv").round(1),
                ),
            ),
        ),
    )  # fmt: skip


def _with_cold(seen: View, hits: pl.DataFrame) -> pl.DataFrame:
    """Name low temperature as the cause where hard frost surrounds the onset."""
    if hits.is_empty():
        return hits
    cold = hits.join(cold_around(seen, hits), on="meter_id", how="left", maintain_order="left")
    frost = pl.col("cold_c").is_not_null()
    return cold.with_columns(
        pl.when(frost).then(pl.lit("low_temperature")).otherwise("cause").alias("cause"),
        pl.when(frost).then(COLD_CONFIDENCE).otherwise("cause_confidence").alias("cause_confidence"),
    ).drop("cold_c")
