"""The sensing element (coil, reed, opto): it counts backwards, jumps, stands while water flows, or its signal fades.

A register that stands at zero is no symptom: nothing tells a stuck meter from a vacant home.
"""

from __future__ import annotations

import math

import polars as pl

from diagnostics.evidence import observation, together
from diagnostics.fading import faded
from diagnostics.features import View
from diagnostics.lots import with_lot
from diagnostics.register import register_bits
from diagnostics.rules.rule import Text, cold_around, fired, newest_measured, nothing, rule, symptom
from diagnostics.settings import (
    BackwardSettings,
    ColdLossSettings,
    DisownedSettings,
    FadingSettings,
    FrozenRegisterSettings,
    JumpSettings,
    LossSettings,
    LotSettings,
    MagnetSettings,
    ReversedSettings,
    SignalSettings,
    StuckSettings,
)

COLD_CONFIDENCE = 0.6
COLD_LOSS_CONFIDENCE = 0.85
WARM_C = 1.0  # lowest temperature of a day on which cold disturbs no coil
MAGNET_CONFIDENCE = 0.85
MAD_OF_DIFFERENCES = 1.4826 / 2**0.5  # of normal noise: from the median of its differences to its deviation
LEAST_WANDER = 0.005  # share of the amplitude
COLD_C = -3.0  # at the meter; colder days lower the amplitude of healthy elements
REVERSED_CONFIDENCE = 0.6  # a module of the wrong direction shows the same

# Real homes show each of these before a holiday now and then: the main tap is shut on leaving, use is less before.
LEAVING_SIGNS = ("sign_loss", "sign_running")
WEAK_SIGNS = (*LEAVING_SIGNS, "sign_course", "sign_cold", "sign_thaw")

LOST_WITHIN_DAYS = 9  # before a stop, in which draws of water may have counted less
COLD_BEFORE_DAYS = 6  # before a stop, in which the cold that caused it may lie
RUNNING_READINGS = 18  # a day of fewer registers does not tell whether the water ever stood
# The days that a baseline needs to see that the last ones left it.
APART_LATE_DAYS = 4
# The days that tell must be recent, and most of the days since the first of them.
RECENT_DAYS, RECENT_TOLD, DENSE_SHARE = 5, 5, 0.6
# Sensing by contacts bounces; other kinds do not count more than flows. Where it is not known it may be one.
CONTACTS = ("reed", "hall")

# A home whose use is regular enough for a trickle to be odd.
USED_SHARE = 0.95
USUAL_M3 = 0.05
FLOW_SHARE = 0.7


@rule(
    "coil.backward",
    settings=lambda settings: settings.coil.backward,
    source="a register cannot run backwards on many days unless water does: reed bounce, marginal coil, wrong count",
    severity=2,
    inhibited_by=("exchange", "backflow", "software_conflict"),
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
    inhibited_by=("exchange", "software_conflict"),
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
    lone = pl.lit(settings.surge_watch) & (pl.col("surge_days") > 0)
    often = pl.col("surge_days") >= settings.surge_days
    bits = pl.lit(settings.bits_act) & pl.col("bits").is_not_null()
    return fired(
        hits,
        act=(pl.col("jumps") >= settings.act_drops) | ((pl.col("jumps") > 0) & bits) | often,
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
                told, "surge_days", pl.when(pl.col("surge_days") > 1).then("surge_days"), "d",
                threshold=float(settings.surge_days), worst_m3=pl.col("surge").round(6), limit_m3h=pl.col("limit"),
            ),
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
    still = (pl.col("day_m3") == 0) & (pl.col("reported_flow_readings") > 0)
    hits = symptom(
        seen, still, settings.window_days,
        readings=pl.col("reported_flow_readings").sum(), flow=pl.col("reported_flow_max_m3h").max(),
    )  # fmt: skip
    return _with_cold(
        seen,
        fired(
            hits,
            act=(pl.col("days") >= settings.act_days) & (pl.col("readings") >= settings.act_readings),
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
    hits = (
        newest.group_by("meter_id", maintain_order=True)
        .agg(
            (share <= settings.watch_fraction).sum().alias("days"),
            (share <= settings.act_fraction).sum().alias("act_days"),
            pl.col("first_ts").filter(share <= settings.watch_fraction).min().alias("onset"),
            pl.col("last_ts").max(),
            share.last().alias("share"),
            pl.col("coil_signal_median_mv").last().alias("signal_mv"),
            pl.col("coil_base_mv").last(),
        )
        .collect()
    )
    # A step of many times what the amplitude wanders by is a change of the element, though it still counts.
    told_days = seen.days.lazy().filter(share.is_not_null())
    steps = (
        told_days.group_by("meter_id", maintain_order=True)
        .agg(
            share.tail(settings.step_days).max().alias("step_share"),
            (share.diff().abs().median() * MAD_OF_DIFFERENCES).alias("wanders"),
            pl.col("case_min_c").tail(settings.step_days).max().alias("step_warmest_c"),
        )
        .collect()
    )
    hits = hits.join(steps, on="meter_id", how="left", maintain_order="left")
    step = (
        (pl.col("step_share") <= settings.watch_fraction)
        & (1 - pl.col("step_share") >= settings.step_sigmas * pl.max_horizontal("wanders", pl.lit(LEAST_WANDER)))
        & (pl.col("step_warmest_c") > COLD_C).fill_null(value=True)
    )
    # An amplitude that is back on every warm day tells of the cold, not of its own end.
    at_case = pl.col("case_min_c")
    follows = seen.days.filter(share.is_not_null() & at_case.is_not_null()).group_by("meter_id").agg(
        at_case.filter(share <= settings.watch_fraction).max().alias("low_warmest_c"),
        share.filter(at_case >= WARM_C).min().alias("warm_least"),
    )  # fmt: skip
    hits = hits.join(follows, on="meter_id", how="left", maintain_order="left")
    with_warmth = (pl.col("low_warmest_c") <= 0) & (pl.col("warm_least") > settings.warm_fraction)
    return _with_cold(
        seen,
        fired(
            hits,
            act=(pl.col("act_days") >= settings.days) | step.fill_null(value=False),
            watch=pl.col("days") >= settings.days,
            onset=pl.col("onset"),
            evidence=together(
                observation(
                    told, "coil_signal", pl.col("share").round(3), "1", since=pl.col("onset"),
                    until=pl.col("last_ts"), threshold=settings.watch_fraction, window_days=settings.window_days,
                    signal_mv=pl.col("signal_mv").round(1), baseline_mv=pl.col("coil_base_mv").round(1),
                ),
                observation(
                    told, "signal_back", pl.when(with_warmth).then(pl.col("warm_least").round(3)), "1",
                    threshold=settings.warm_fraction,
                ),
            ),
            cause=pl.when(with_warmth).then(pl.lit("low_temperature")),
            cause_confidence=pl.when(with_warmth).then(COLD_LOSS_CONFIDENCE),
        ),
    )  # fmt: skip


@rule(
    "coil.stuck",
    settings=lambda settings: settings.coil.stuck,
    source="a vacant home looks the same: the stop counts with a sign from before or after it that water still flows",
    severity=2,
    inhibited_by=("empty_pipe", "exchange", "communication.area"),
    en=Text(
        "The register stopped in a home that uses water every day",
        "No flow for days, far longer than ever before, and a sign that the sensing failed: fading amplitude, lost"
        " pulses before, codes, flow without increment, a leak that ended at once, a reading on site, a report.",
        "Open a tap and watch register and display; exchange the sensing module (coil).",
    ),
    zh=Text(
        "每日用水的表停止走字",
        "停走时间远超以往，且有采样失效迹象：信号减弱、此前丢脉冲、相关代码、有流量而不计、持续过水骤停、现场抄读不符或用户报修。",
        "现场放水观察字轮与显示；更换发讯圈（采样模块）。",
    ),
)
def stuck(seen: View, settings: StuckSettings) -> pl.DataFrame:
    """Say act where a regular home stands and a sign speaks against vacancy; watch where none does."""
    answer = _with_signs(seen, settings)
    still = _still_standing(seen, settings).join(answer, on="meter_id", how="anti")
    return pl.concat([answer, still])


def _with_signs(seen: View, settings: StuckSettings) -> pl.DataFrame:
    """Return what is said of homes that stand now and did not before."""
    told = "coil.stuck"
    hits = _standing(seen, settings)
    if hits.is_empty():
        return nothing()
    cold = (pl.col("coldest_c") <= settings.frost_c) & (pl.col("colder_c") >= settings.colder_c)
    draws_lost = (
        (pl.col("lost") <= settings.lost_share)
        & (pl.col("told_days") >= settings.lost_days)
        & (pl.col("draws") >= -math.log(settings.lost_draws))
    )
    lost = pl.col("last_m3") / pl.col("mean_m3")
    signs = {
        "sign_amplitude": pl.when(pl.col("amplitude") <= settings.weak_share).then(pl.col("amplitude").round(3)),
        "sign_draws": pl.when(draws_lost).then(pl.col("lost").round(3)),
        "sign_loss": pl.when(lost <= settings.lost_share).then(lost.round(3)),
        "sign_code": pl.when(pl.col("code_days") > 1).then("code_days"),
        "sign_flow": pl.when(pl.col("flow_readings") > 1).then("flow_readings"),
        "sign_running": pl.when(pl.col("running") >= settings.running_days).then("running"),
        "sign_course": pl.when(pl.col("course") > 0).then("course"),
        "sign_report": pl.when(pl.col("reported_ts").is_not_null()).then(pl.lit(value=True)),
        "sign_inspection": pl.when(pl.col("more_m3") >= settings.inspected_m3).then(pl.col("more_m3").round(3)),
        "sign_cold": pl.when(cold).then(pl.col("coldest_c").round(1)),
        "sign_thaw": pl.when(cold & (pl.col("thawed_days") >= settings.thawed_days)).then("thawed_days"),
    }
    units = {"sign_inspection": "m³", "sign_running": "d", "sign_code": "d", "sign_cold": "°C", "sign_thaw": "d"}
    strong = pl.any_horizontal(sign.is_not_null() for what, sign in signs.items() if what not in WEAK_SIGNS)
    # Who leaves may use less before, and shuts the main tap behind a leak: these two say the same.
    leaving = pl.any_horizontal(signs[what].is_not_null() for what in LEAVING_SIGNS)
    weak = leaving & signs["sign_course"].is_not_null()
    days = pl.col("still_days")
    sure = (strong & (days >= settings.act_days)) | (weak & (days >= settings.weak_days))
    hits = with_lot(seen, hits, sure, _faint(seen, settings.weak_share))
    # Homes of a bad lot stand empty, too: most of those that stand must be beyond what other lots have now.
    excess = (1 - pl.col("lot_expected") / pl.col("lot_hits")).alias("lot_excess")
    stand = with_lot(seen, hits.select("meter_id"), pl.lit(value=True)).select("meter_id", excess)
    hits = hits.join(stand, on="meter_id", how="left", maintain_order="left")
    lot = _bad_lot(settings) & (pl.col("lot_excess") >= settings.lot_excess).fill_null(value=False)
    signs["sign_lot"] = pl.when(lot).then("lot_hits")
    return fired(
        hits,
        act=sure | (lot & (days >= settings.act_days)),
        watch=days >= settings.watch_days,
        onset=pl.coalesce("last_flow_ts", "first_seen_ts"),
        evidence=together(
            observation(
                told, "standing_days", days, "d", since=pl.col("last_flow_ts"), until=pl.col("last_ts"),
                threshold=settings.act_days, usual_m3=pl.col("usual_m3").round(3),
                longest_before_d=pl.col("longest_before"),
            ),
            *(observation(told, what, value, units.get(what, "")) for what, value in signs.items()),
        ),
        cause=pl.when(cold).then(pl.lit("low_temperature")),
        cause_confidence=pl.when(cold).then(COLD_CONFIDENCE),
    )  # fmt: skip


def _faint(seen: View, share: float) -> pl.DataFrame:
    """Return the meters whose sensing amplitude is below a share of its baseline now."""
    told = (
        seen.days.select("meter_id", "coil_share").drop_nulls().group_by("meter_id").agg(pl.col("coil_share").tail(3))
    )
    return told.filter(pl.col("coil_share").list.max() <= share).select("meter_id")


def _bad_lot(settings: LotSettings) -> pl.Expr:
    """Tell whether the meter is of a lot of which far more are sure to have the same than chance would have it."""
    return (
        (pl.col("lot_p_value") <= settings.lot_p_value)
        & (pl.col("lot_hits") >= settings.lot_meters)
        & (pl.col("lot_hits") >= settings.lot_ratio * pl.col("lot_expected"))
    ).fill_null(value=False)


def _still_standing(seen: View, settings: StuckSettings) -> pl.DataFrame:
    """Say watch where the register of what was a home has stood for so long that its past has left the window.

    It raises nothing: whoever acted before keeps acting while it stands.
    """
    told = seen.days.lazy().filter(pl.col("volume_readings") > 0).group_by("meter_id", maintain_order=True).agg(
        pl.len().alias("n"),
        (pl.col("day_m3") == 0).fill_null(value=True).reverse().cum_prod().sum().cast(pl.Int64).alias("still_days"),
        pl.col("total_m3", "last_flow_ts", "last_ts").last(),
    ).collect()  # fmt: skip
    before = pl.col("n") - pl.col("still_days")
    hits = told.filter(
        (pl.col("total_m3") >= settings.before_days * settings.usual_m3)
        & (pl.col("still_days") >= settings.before_days)
        & (before < settings.before_days)
    )
    return fired(
        hits,
        act=pl.lit(value=False),
        onset=pl.col("last_flow_ts"),
        evidence=together(
            observation(
                "coil.stuck", "standing_days", (pl.col("last_ts") - pl.col("last_flow_ts")).dt.total_days(), "d",
                since=pl.col("last_flow_ts"), until=pl.col("last_ts"), threshold=settings.act_days,
            ),
        ),
    )  # fmt: skip


def _standing(seen: View, settings: StuckSettings) -> pl.DataFrame:
    """Return regular homes whose register stands now, longer than it ever did, with what was there before the stop."""
    told = seen.days.lazy().filter(pl.col("volume_readings") > 0)
    still = pl.col("day_m3") == 0
    runs = (
        told.group_by("meter_id", maintain_order=True)
        .agg(
            (still.fill_null(value=False).reverse().cum_prod().sum()).cast(pl.Int64).alias("still_days"),
            pl.len().alias("n"),
        )
        .collect()
    )
    standing = runs.filter(pl.col("still_days") >= settings.act_days, pl.col("n") - pl.col("still_days") > 0)
    if standing.is_empty():
        return standing
    days = told.join(standing.lazy(), on="meter_id", maintain_order="left").with_columns(
        (pl.int_range(pl.len(), dtype=pl.Int64).reverse().over("meter_id")).alias("back")
    )
    after = pl.col("back") < pl.col("still_days")
    near = ~after & (pl.col("back") < pl.col("still_days") + settings.sign_days)
    just = ~after & (pl.col("back") < pl.col("still_days") + 3)
    shut = (pl.col("valve_state") == "closed") | (pl.col("standing_command") == "close")
    # Pulses are lost for some days before the last one comes.
    at_stop = pl.col("back").is_between(pl.col("still_days") - 1, pl.col("still_days") + COLD_BEFORE_DAYS)
    long_before = pl.col("back").is_between(
        pl.col("still_days") + COLD_BEFORE_DAYS + 1, pl.col("still_days") + COLD_BEFORE_DAYS + 30
    )
    running = (pl.col("standstill_s") == 0) & (pl.col("volume_readings") >= RUNNING_READINGS)
    lately = ~after & (pl.col("back") < pl.col("still_days") + LOST_WITHIN_DAYS)
    earlier = pl.col("back").is_between(
        pl.col("still_days") + 1, pl.col("still_days") + 3
    )  # the day of the stop is cut
    summary = days.group_by("meter_id", maintain_order=True).agg(
        pl.col("still_days").first(),
        pl.col("last_ts").last(),
        pl.col("last_flow_ts").last(),
        pl.col("first_seen_ts").last(),
        pl.col("day_m3").filter(~after).count().alias("before"),
        pl.col("day_m3").filter(~after).median().alias("usual_m3"),
        (pl.col("day_m3") > 0).filter(~after).mean().alias("used_share"),
        _longest_run((pl.col("day_m3") == 0).filter(~after)).alias("longest_before"),
        pl.col("peer_zero_share").filter(after).median().alias("peers_still"),
        shut.filter(after).any().alias("shut"),
        pl.col("coil_share").filter(near | after).min().alias("amplitude"),
        pl.col("draw_change").filter(lately).median().exp().alias("lost"),
        pl.col("draw_change").filter(lately).count().cast(pl.Int64).alias("told_days"),
        pl.col("draws_change").filter(lately).median().alias("draws"),
        pl.col("day_m3").filter(earlier).mean().alias("last_m3"),
        pl.col("day_m3").filter(~after & ~just).mean().alias("mean_m3"),
        pl.col("codes").list.eval(pl.element().str.starts_with("coil ")).list.any().filter(near | after).sum()
        .cast(pl.Int64).alias("code_days"),
        pl.col("reported_flow_readings").filter(after).sum().alias("flow_readings"),
        running.filter(near).sum().cast(pl.Int64).alias("running"),
        (pl.col("backwards") + pl.col("jumps")).filter(near | just).sum().alias("course"),
        pl.col("case_min_c").filter(at_stop).min().alias("coldest_c"),
        (pl.col("case_min_c").filter(long_before).min() - pl.col("case_min_c").filter(at_stop).min())
        .alias("colder_c"),
        (pl.col("case_min_c") > 0).filter(after).sum().cast(pl.Int64).alias("thawed_days"),
        pl.col("last_volume_m3").last(),
    ).collect()  # fmt: skip
    regular = (
        (pl.col("before") >= settings.before_days)
        & (pl.col("used_share") >= settings.used_share)
        & (pl.col("usual_m3") >= settings.usual_m3)
        & (pl.col("still_days") >= settings.longer * pl.col("longest_before"))
        & ~(pl.col("peers_still") > settings.peers_still).fill_null(value=False)
        & ~pl.col("shut").fill_null(value=False)
    )
    return _with_witnesses(seen, summary.filter(regular))


def _with_witnesses(seen: View, hits: pl.DataFrame) -> pl.DataFrame:
    """Add what people told since the stop: the customer's report, and a reading on site above ours."""
    since = hits.select("meter_id", "last_flow_ts", "last_volume_m3")
    reports = (
        seen.facts.reports.join(since, on="meter_id")
        .filter(pl.col("reported_at") >= pl.col("last_flow_ts"))
        .group_by("meter_id")
        .agg(pl.col("reported_at").min().alias("reported_ts"))
    )
    readings = (
        seen.facts.inspections.join(since, on="meter_id")
        .filter(pl.col("inspected_at") >= pl.col("last_flow_ts"), pl.col("register_reading_m3").is_not_null())
        .group_by("meter_id")
        .agg((pl.col("register_reading_m3") - pl.col("last_volume_m3")).max().alias("more_m3"))
    )
    return hits.join(reports, on="meter_id", how="left", maintain_order="left").join(
        readings, on="meter_id", how="left", maintain_order="left"
    )


def _longest_run(flags: pl.Expr) -> pl.Expr:
    """Return the length of the longest run of true values."""
    filled = flags.fill_null(value=False)
    return pl.when(filled).then(filled.rle_id()).drop_nulls().value_counts().struct.field("count").max().fill_null(0)


@rule(
    "coil.loss",
    settings=lambda settings: settings.coil.loss,
    source="lost or bounced pulses change what a draw counts; people who come and go change how many draws there are",
    severity=2,
    inhibited_by=("exchange", "leak.continuous", "software_conflict.sources"),
    en=Text(
        "Draws of water count less, or more, than they did",
        "What one draw counts left its baseline for days while the number of draws stayed, and neighbours show nothing"
        " of it; or only a trickle of the usual use is still counted on most days.",
        "Draw a known volume and compare; exchange the sensing module (coil); correct the bill.",
    ),
    zh=Text(
        "每次用水计量偏少或偏多",
        "用水次数基本不变，而单次计量持续偏离该表基线，邻表无此变化；或多数日期仅计得平日的一小部分。",
        "现场放出定量的水核对；更换发讯圈（采样模块）；更正水费。",
    ),
)
def loss(seen: View, settings: LossSettings) -> pl.DataFrame:
    """Compare what a draw counts with the meter's own first days and with its neighbours' change."""
    told = "coil.loss"
    hits = _changed_draws(seen, settings)
    share, number = pl.col("size").exp(), pl.col("draws").exp()
    sigmas = pl.col("size") / pl.max_horizontal(pl.col("draw_wander").sqrt(), pl.lit(settings.wander_least))
    apart = pl.col("draw_apart_days")
    long = (pl.col("n") >= settings.days) & (apart >= settings.apart_days)
    short = pl.col("n") >= settings.soon_days
    dense = (pl.col("last_age") <= RECENT_DAYS) & (pl.col("n") >= DENSE_SHARE * (pl.col("first_age") + 1))
    settled = short & dense & (pl.col("draw_days") >= settings.base_days) & (sigmas.abs() >= settings.sigmas)
    same_people = pl.col("empty_days") < settings.empty_days
    alike = pl.col("spread") <= settings.alike
    sure = (
        settled
        & same_people
        & (pl.col("size").sign() * pl.col("recent") >= math.log(settings.recent_times))
        & alike
        & number.is_between(1 / settings.act_draws, settings.act_draws)
    )
    soon = (share <= settings.soon_share) & (apart >= settings.soon_apart_days)
    less = (long & (share <= settings.act_share)) | soon
    times = pl.when(pl.col("sensing") == "reed").then(settings.act_times).otherwise(settings.soon_times)
    more = long & (share >= times) & pl.col("sensing").fill_null("reed").is_in(CONTACTS)
    steady = number.is_between(1 / settings.watch_draws, settings.watch_draws)
    fades = settled & steady & (share <= settings.watch_share)
    fell = pl.col("amplitude") <= settings.weak_share  # the amplitude tells of the coil what use never tells
    certain = ((sure & (less | more)) | (fades & fell)).fill_null(value=False)
    hits = with_lot(seen, hits.filter(fades | certain), certain, _faint(seen, settings.weak_share))
    lot = _bad_lot(settings)
    answer = fired(
        hits,
        act=certain | (fades & alike & same_people & lot),
        watch=fades,
        onset=pl.col("onset"),
        evidence=together(
            observation(
                told, "draw_share", share.round(3), "1", since=pl.col("onset"), until=pl.col("last_ts"),
                threshold=settings.act_share, sigmas=sigmas.round(1), days=pl.col("n"),
            ),
            observation(told, "draws_share", number.round(3), "1", threshold=round(1 / settings.act_draws, 2)),
            observation(
                told, "flow_share", pl.col("flow").exp().round(3), "1", peak=pl.col("peak").exp().round(3),
            ),
            observation(told, "sign_amplitude", pl.when(fell).then(pl.col("amplitude").round(3)), "1"),
            observation(told, "sign_lot", pl.when(lot).then("lot_hits"), expected=pl.col("lot_expected").round(2)),
        ),
    )  # fmt: skip
    trickle = _trickle(seen, settings)
    return pl.concat([answer, trickle.join(answer, on="meter_id", how="anti")])


def _changed_draws(seen: View, settings: LossSettings) -> pl.DataFrame:
    """Return how far draws, their number, middle flow and peak of the newest days are from the baseline.

    A coil changes all flows by one factor: ``spread`` tells how far draws, middle and peak disagree about it.
    """
    peers = pl.col("peer_draw_change").fill_null(0)
    newest = newest_measured(seen, pl.col("draw_change").is_not_null(), settings.days, settings.within_days)
    changes = {
        "size": pl.col("draw_change") - peers,
        "flow": pl.col("flow_change") - peers,
        "peak": pl.col("peak_change") - peers,
        "draws": pl.col("draws_change"),
    }
    since = pl.int_range(pl.len()).reverse() < pl.col("draw_apart_days").last() + APART_LATE_DAYS
    three = ("size", "flow", "peak")
    fell = (
        seen.days.lazy()
        .filter(pl.col("draw_change").is_not_null())
        .group_by("meter_id")
        .agg(pl.col("day", "first_ts").filter(since).first())
        .rename({"day": "fell_on", "first_ts": "onset"})
        .collect()
    )
    beside = seen.days.lazy().join(fell.lazy(), on="meter_id", maintain_order="left")
    # After an empty spell other people may live there.
    empty = (pl.col("day_m3") == 0) & (pl.col("day") - pl.col("fell_on")).dt.total_days().is_between(-10, 3)
    around = (
        beside.group_by("meter_id")
        .agg(
            empty.sum().cast(pl.Int64).alias("empty_days"),
            pl.col("coil_share").filter(pl.col("day") >= pl.col("fell_on")).median().alias("amplitude"),
        )
        .collect()
    )
    sensing = seen.facts.meters.select("meter_id", "sensing")
    return (
        newest.group_by("meter_id", maintain_order=True)
        .agg(
            *(change.median().alias(name) for name, change in changes.items()),
            changes["size"].tail(RECENT_TOLD).median().alias("recent"),
            pl.col("age_days").first().alias("first_age"),
            pl.col("age_days").last().alias("last_age"),
            pl.len().alias("n"),
            pl.col("draw_days", "draw_wander", "draw_apart_days").last(),
            pl.col("last_ts").last(),
        )
        .collect()
        .with_columns((pl.max_horizontal(three) - pl.min_horizontal(three)).alias("spread"))
        .join(sensing, on="meter_id", how="left", maintain_order="left")
        .join(fell, on="meter_id", how="left", maintain_order="left")
        .join(around, on="meter_id", how="left", maintain_order="left")
    )


def _trickle(seen: View, settings: LossSettings) -> pl.DataFrame:
    """Return homes of which only a trickle of the usual use is counted, day after day."""
    newest = newest_measured(seen, pl.col("day_m3").is_not_null(), settings.trickle_days)
    hits = (
        newest.group_by("meter_id", maintain_order=True)
        .agg(
            pl.col("day_m3").median().alias("now_m3"),
            pl.col("day_m3").max().alias("most_m3"),
            (pl.col("day_m3") > 0).mean().alias("flow_share"),
            pl.col("standstill_s").min().alias("standstill_s"),
            pl.col("usual_m3", "used_share").last(),
            pl.col("peer_use_ratio").median(),
            pl.len().alias("n"),
            pl.col("first_ts").first(),
            pl.col("last_ts").last(),
        )
        .collect()
    )
    usual = pl.col("usual_m3") * pl.col("peer_use_ratio").fill_null(1).clip(0, 1)
    limit = usual * settings.trickle_share
    few = (
        (pl.col("n") >= settings.trickle_days)
        & (pl.col("used_share") >= USED_SHARE)
        & (pl.col("usual_m3") >= USUAL_M3)
        & (pl.col("flow_share") >= FLOW_SHARE)
        & (pl.col("now_m3") > 0)
        & (pl.col("now_m3") <= limit)
        & (pl.col("most_m3") <= 3 * limit)
        & (pl.col("standstill_s") > 0)  # a drip that never stops is a leak in an empty home
    )
    return fired(
        hits.filter(few.fill_null(value=False)),
        act=pl.lit(value=False),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "coil.loss", "trickle", (pl.col("now_m3") / usual).round(3), "1", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.trickle_share, usual_m3=pl.col("usual_m3").round(3),
            ),
        ),
    )  # fmt: skip


@rule(
    "coil.fading",
    settings=lambda settings: settings.coil.fading,
    source="an element that fails loses some pulses, then most, then all; who leaves stops from one day to the next",
    severity=2,
    inhibited_by=("exchange", "empty_pipe", "communication.area", "software_conflict.sources"),
    en=Text(
        "Use dwindled over days, then ended",
        "Days of a part of the usual use, far more than there ever were, lie before the end of all use.",
        "Open a tap and watch register and display; exchange the sensing module (coil); correct the bill.",
    ),
    zh=Text(
        "用水量逐日衰减至停走",
        "停走之前有多日仅计得平日的一部分，远多于以往。",
        "现场放水观察字轮与显示；更换发讯圈（采样模块）；更正水费。",
    ),
)
def fading(seen: View, settings: FadingSettings) -> pl.DataFrame:
    """Fire where use dwindled and ended."""
    told = "coil.fading"
    return fired(
        faded(seen.days, settings),
        act=pl.lit(value=True),
        onset=pl.col("fade_ts"),
        evidence=together(
            observation(
                told, "fading_days", pl.col("fade_days"), "d", since=pl.col("fade_ts"), until=pl.col("last_ts"),
                threshold=float(settings.fade_days), chance=pl.col("fade_p_value"),
                usual_m3=pl.col("fade_usual_m3").round(3),
            ),
            observation(told, "ended_days", pl.col("ended_days"), "d", threshold=float(settings.ended_days),
                        share=pl.col("fade_share").round(3)),
        ),
    )  # fmt: skip


@rule(
    "coil.reversed",
    settings=lambda settings: settings.coil.reversed,
    source="water that flows back comes now and then; a reverse register that counts every day counts what people use",
    severity=2,
    inhibited_by=("exchange", "software_conflict.sources"),
    en=Text(
        "The reverse register counts what people use",
        "Day after day a large part of what is counted goes to the reverse register.",
        "Check the direction of installation and of the sensing module; exchange the module; correct the bill.",
    ),
    zh=Text(
        "正向用水计入反向累计",
        "连续多日大部分用水计入反向累计量。",
        "核对表计安装方向及采样模块方向；更换模块；更正水费。",
    ),
)
def in_reverse(seen: View, settings: ReversedSettings) -> pl.DataFrame:
    """Fire where most days count in the reverse register, and much of all."""
    told = "coil.reversed"
    counts = pl.col("reverse_m3") >= settings.day_m3
    days = seen.days.select("meter_id", "age_days", "reverse_m3", "day_m3", "first_ts", "last_ts")
    newest = days.filter((pl.col("age_days") < settings.window_days) & pl.col("reverse_m3").is_not_null())
    hits = newest.group_by("meter_id", maintain_order=True).agg(
        counts.sum().cast(pl.Int64).alias("days"),
        pl.col("reverse_m3").sum().alias("reverse"),
        pl.col("day_m3").sum().alias("forward"),
        pl.col("day_m3").mean().alias("now_m3"),
        (pl.col("reverse_m3").filter(counts).std() / pl.col("reverse_m3").filter(counts).mean()).alias("varies"),
        pl.col("first_ts").filter(counts).first().alias("since"),
        pl.col("last_ts").last(),
    ).filter(pl.col("days") > 0)  # fmt: skip
    older = days.join(hits.select("meter_id"), on="meter_id", how="semi").filter(
        (pl.col("age_days") >= settings.window_days) & ~counts.fill_null(value=False)
    )
    hits = hits.join(
        older.group_by("meter_id").agg(pl.col("day_m3").mean().alias("before_m3")), on="meter_id", how="left",
        maintain_order="left",
    )  # fmt: skip
    share = pl.col("reverse") / (pl.col("reverse") + pl.col("forward"))
    # Water that swings to and fro adds to both registers; use that is counted backwards is missing from the other.
    missing = pl.col("now_m3") <= (1 - share / 2) * pl.col("before_m3")
    # A valve that does not close lets the same flow back day by day; people use more and less.
    much = (
        (share >= settings.share)
        & (pl.col("varies") >= settings.varies)
        & missing.fill_null(share >= settings.alone_share)
    )
    return fired(
        hits,
        act=much & (pl.col("days") >= settings.days),
        watch=much & (pl.col("days") >= settings.watch_days),
        onset=pl.col("since"),
        evidence=together(
            observation(
                told, "reverse_days", pl.col("days"), "d", since=pl.col("since"), until=pl.col("last_ts"),
                threshold=float(settings.days), window_days=settings.window_days,
                reverse_m3=pl.col("reverse").round(3), forward_m3=pl.col("forward").round(3), share=share.round(3),
            ),
        ),
        cause=pl.lit("installation"),
        cause_confidence=pl.lit(REVERSED_CONFIDENCE),
    )  # fmt: skip


@rule(
    "coil.cold",
    settings=lambda settings: settings.coil.cold,
    source="a drifted coil crosses its threshold in the cold and comes back with warmth; people do not leave with every"
    " frost",
    severity=3,
    cause="low_temperature",
    inhibited_by=("empty_pipe", "exchange"),
    en=Text(
        "The register counts only while it is warm",
        "In each of several cold spells hardly anything was counted, between them as much as ever; neighbours show"
        " nothing of it.",
        "Wait for the thaw and read again; then exchange the sensing module (coil) or insulate; correct the bill.",
    ),
    zh=Text(
        "低温时不计数、回暖后恢复",
        "多次降温期间几乎不计数，其间回暖时用水正常，邻表无此现象。",
        "待解冻后复核读数；再更换发讯圈（采样模块）或做好保温；更正水费。",
    ),
)
def cold(seen: View, settings: ColdLossSettings) -> pl.DataFrame:
    """Fire where use stops in several cold spells and is back in the warm days between them."""
    told = "coil.cold"
    at_case = pl.col("case_min_c")
    label = pl.when(at_case <= settings.cold_c).then(-1).when(at_case >= settings.warm_c).then(1)
    told_days = seen.days.select(
        "meter_id", "day_m3", "first_ts", "last_ts", "case_min_c", "peer_use_ratio", label.alias("label")
    ).filter(pl.col("label").is_not_null() & pl.col("day_m3").is_not_null())
    had_cold = told_days.filter(pl.col("label") == -1).select(pl.col("meter_id").unique())
    days = told_days.join(had_cold, on="meter_id", how="semi", maintain_order="left")
    if days.is_empty():
        return nothing()
    warm = days.filter(pl.col("label") == 1).group_by("meter_id").agg(
        pl.col("day_m3").median().alias("warm_m3"), pl.len().alias("warm_days")
    )  # fmt: skip
    usual = pl.col("warm_m3") * pl.col("peer_use_ratio").fill_null(1).clip(0.3, 3)
    rows = (
        days.join(warm, on="meter_id", maintain_order="left")
        .filter((pl.col("warm_days") >= settings.warm_days) & (pl.col("warm_m3") >= settings.usual_m3))
        .with_columns((pl.col("day_m3") / usual).alias("ratio"), pl.col("label").rle_id().over("meter_id").alias("run"))
    )
    spells = rows.group_by("meter_id", "run", maintain_order=True).agg(
        pl.col("label", "warm_m3").first(),
        pl.len().alias("n"),
        pl.col("ratio").mean(),
        ((pl.col("label") == -1) & (pl.col("ratio") > settings.normal_share)).sum().alias("counted_days"),
        pl.col("first_ts").first(),
        pl.col("last_ts").last(),
        at_case.min().alias("coldest_c"),
    )
    long = pl.col("n") >= settings.spell_days
    low = long & (pl.col("label") == -1) & (pl.col("ratio") <= settings.low_share)
    normal = long & (pl.col("label") == 1) & (pl.col("ratio") >= settings.normal_share)
    marked = spells.with_columns(low.alias("low"), normal.alias("normal"))
    clear = marked.filter(pl.col("low") | pl.col("normal")).with_columns(
        (pl.col("low") & pl.col("normal").shift(1, fill_value=False).over("meter_id")).alias("fell")
    )
    hits = clear.group_by("meter_id", maintain_order=True).agg(
        pl.col("fell").sum().cast(pl.Int64).alias("spells"),
        pl.col("ratio").filter("low").mean().alias("low_ratio"),
        pl.col("warm_m3").first(),
        pl.col("first_ts").filter("low").first().alias("onset"),
        pl.col("last_ts").filter("low").last(),
        pl.col("coldest_c").filter("low").min(),
    )
    cold_days = marked.filter(pl.col("label") == -1).group_by("meter_id").agg(
        (pl.col("counted_days").sum() / pl.col("n").sum()).alias("counted_share")
    )  # fmt: skip
    hits = hits.join(cold_days, on="meter_id", how="left", maintain_order="left").filter(
        (pl.col("spells") >= settings.spells) & (pl.col("counted_share") <= settings.counted_share)
    )
    return fired(
        hits,
        act=pl.lit(value=True),
        onset=pl.col("onset"),
        evidence=together(
            observation(
                told, "cold_spells", pl.col("spells"), since=pl.col("onset"), until=pl.col("last_ts"),
                threshold=float(settings.spells), coldest_c=pl.col("coldest_c").round(1),
                share=pl.col("low_ratio").round(3), warm_m3=pl.col("warm_m3").round(3),
            ),
        ),
        cause_confidence=pl.lit(COLD_LOSS_CONFIDENCE),
    )  # fmt: skip


@rule(
    "coil.magnet",
    settings=lambda settings: settings.coil.magnet,
    source="a magnet holds the reed still: the meter tells of it day by day, and less is counted since",
    severity=2,
    cause="tamper",
    en=Text(
        "A magnet, and less is counted since",
        "Codes of tampering on many days, and since the first of them the meter counts far less than before, more than"
        " its neighbours do.",
        "Visit in the evening hours; look for a magnet, take photos; exchange the sensing module if it stays faulty.",
    ),
    zh=Text(
        "磁干扰且计量减少",
        "多日出现磁干扰代码，且自此计量明显少于以往，邻表无此变化。",
        "傍晚上门查看有无磁铁并拍照取证；如仍异常更换采样模块。",
    ),
)
def magnet(seen: View, settings: MagnetSettings) -> pl.DataFrame:
    """Compare use since the first code of tampering with that before it."""
    told = "coil.magnet"
    codes = seen.codes.filter(pl.col("family") == "tamper")
    lately = codes.filter(pl.col("age_days") < settings.window_days).group_by("meter_id", maintain_order=True).agg(
        pl.col("day").n_unique().cast(pl.Int64).alias("code_days")
    ).filter(pl.col("code_days") >= settings.code_days)  # fmt: skip
    first = codes.group_by("meter_id", maintain_order=True).agg(
        pl.col("day").min().alias("since"), pl.col("first_ts").min().alias("onset")
    )
    days = seen.days.join(lately.join(first, on="meter_id"), on="meter_id", maintain_order="left").with_columns(
        (pl.col("day_m3") / pl.col("peer_use_ratio").fill_null(1).clip(0.3, 3)).alias("use")
    )
    before, since = pl.col("day") < pl.col("since"), pl.col("day") > pl.col("since")
    hits = days.group_by("meter_id", maintain_order=True).agg(
        pl.col("code_days", "onset").first(),
        pl.col("last_ts").last(),
        *(pl.col("use").filter(when).mean().alias(f"{name}_m3") for name, when in (("old", before), ("new", since))),
        *(pl.col("use").filter(when).var().alias(f"{name}_var") for name, when in (("old", before), ("new", since))),
        *(pl.col("use").filter(when).count().alias(f"{name}_n") for name, when in (("old", before), ("new", since))),
    )
    error = (pl.col("old_var") / pl.col("old_n") + pl.col("new_var") / pl.col("new_n")).sqrt()
    share, sigmas = pl.col("new_m3") / pl.col("old_m3"), (pl.col("old_m3") - pl.col("new_m3")) / error
    enough = (pl.col("old_n") >= settings.before_days) & (pl.col("new_n") >= settings.code_days)
    less = enough & (share <= settings.share) & (sigmas >= settings.sigmas)
    return fired(
        hits,
        act=less,
        watch=~enough,
        onset=pl.col("onset"),
        evidence=together(
            observation(told, "magnet_days", pl.col("code_days"), "d", since=pl.col("onset"), until=pl.col("last_ts"),
                        threshold=float(settings.code_days), window_days=settings.window_days),
            observation(told, "use_share", pl.when(enough).then(share.round(3)), "1", threshold=settings.share,
                        sigmas=sigmas.round(1), before_m3=pl.col("old_m3").round(3)),
        ),
        cause_confidence=pl.lit(MAGNET_CONFIDENCE),
    )  # fmt: skip


@rule(
    "coil.disowned",
    settings=lambda settings: settings.coil.disowned,
    source="a meter that cannot measure says so while its register reads like a valid zero",
    severity=2,
    inhibited_by=("empty_pipe",),
    en=Text(
        "The meter disowns its own measurement",
        "On several days most readings were marked invalid by the meter itself.",
        "Check for air in the pipe, then exchange the sensing module.",
    ),
    zh=Text("表计自报测量无效", "多日大部分读数被表计自身标为无效。", "先排除管内空气，再更换采样模块。"),
)
def disowned(seen: View, settings: DisownedSettings) -> pl.DataFrame:
    """Fire where the meter disowned most readings of several days."""
    hits = symptom(
        seen, pl.col("disowned_readings") >= settings.share * pl.col("readings"), settings.window_days,
        readings=pl.col("disowned_readings").sum(),
    )  # fmt: skip
    return fired(
        hits,
        act=pl.col("days") >= settings.act_days,
        watch=pl.col("days") >= settings.watch_days,
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "coil.disowned", "disowned_days", pl.col("days"), "d", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=float(settings.act_days), readings=pl.col("readings"),
            ),
        ),
    )  # fmt: skip


def _with_cold(seen: View, hits: pl.DataFrame) -> pl.DataFrame:
    """Name low temperature as the cause where hard frost surrounds the onset."""
    if hits.is_empty():
        return hits
    cold = hits.join(cold_around(seen, hits), on="meter_id", how="left", maintain_order="left")
    frost = pl.col("cold_c").is_not_null() & pl.col("cause").is_null()
    return cold.with_columns(
        pl.when(frost).then(pl.lit("low_temperature")).otherwise("cause").alias("cause"),
        pl.when(frost).then(COLD_CONFIDENCE).otherwise("cause_confidence").alias("cause_confidence"),
    ).drop("cold_c")
