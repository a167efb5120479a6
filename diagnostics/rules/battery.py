"""The battery: plateau left, voltage low, sag under load, restarts, silence after all that, and drain by the books.

A lithium thionyl chloride cell stays on a flat plateau for years and leaves it days to weeks before its end, so daily
medians are judged against the meter's own days at the same temperature and against peers of the same day
(:mod:`diagnostics.cells`); one dip means nothing: the first load after a long sleep dips in every such cell.
"""

from __future__ import annotations

import polars as pl

from diagnostics.battery_life import PLATEAU_V, battery_life
from diagnostics.common_mode import common_in_cold, dips_of_codes
from diagnostics.evidence import observation, together
from diagnostics.features import HOUR_S, WINDOW_DAYS, View
from diagnostics.peers import silent_neighbours
from diagnostics.reception import blamed, stretches
from diagnostics.rules.rule import Text, fired, newest_measured, nothing, rule
from diagnostics.settings import (
    BatteryLifeSettings,
    LowSettings,
    PlateauSettings,
    ResetSettings,
    SagSettings,
    SilentSettings,
)

STORM_RATIO = 4.0  # uplinks a day against those of peers and of the meter's own past
LEAST_STORM = 4.0  # uplinks a day
WEAK_DBM = -115.0
WEAK_CLASS = 1.5
DRAIN_CONFIDENCE = 0.6
COLD_CONFIDENCE = 0.6
LEAST_HEARD = 6  # meters
SPARSE_DAYS = 21  # measured days further back than this are not the newest of anything


@rule(
    "battery.plateau",
    settings=lambda settings: settings.battery.plateau,
    source="discharge curve of Li-SOCl2 cells: flat at 3.6 V, knee days to weeks before the end",
    severity=2,
    en=Text(
        "The battery leaves its plateau",
        "The daily median of the resting voltage, cold and what peers show taken off, lies below the meter's own"
        " baseline on several of the newest measured days, or a little below it for a week.",
        "Exchange the battery within days; read the register first; look for moisture and a drain.",
    ),
    zh=Text(
        "电池电压离开平台",
        "扣除温度及同类表共性影响后，静态电压日中值在最近多个测量日低于该表自身基线，或连续一周略低。",
        "数日内更换电池；先抄读并保存读数；检查受潮及异常耗电。",
    ),
)
def plateau(seen: View, settings: PlateauSettings) -> pl.DataFrame:
    """Fire where the daily median left the plateau on N of M measured days, or the median of more of them did."""
    told = "battery.plateau"
    fall, noise = pl.col("cell_fall_v"), pl.col("cell_noise_v")
    step = pl.col("battery_base_step_v").fill_null(0)
    base = pl.col("battery_base_sum_v") / pl.col("battery_base_days")
    fine = pl.col("battery_fall_v") >= step * settings.steps
    below = (fall >= settings.watch_v) & fine
    far_below = (fall >= settings.act_v) & fine & (fall >= noise * settings.noise)
    measured = fall.is_not_null() & base.is_between(settings.plateau_low_v, settings.plateau_high_v)
    newest = newest_measured(seen, measured, settings.slow_days, SPARSE_DAYS)
    near = pl.int_range(pl.len()) >= pl.len() - settings.window_days
    certain = (pl.col("battery_readings") >= settings.dense_readings) | (fall >= settings.deep_v)
    hits = (
        newest.group_by("meter_id", maintain_order=True)
        .agg(
            (below & near).sum().alias("days"),
            (far_below & near).sum().alias("act_days"),
            (far_below & near & certain).sum().alias("certain_days"),
            pl.len().alias("measured"),
            fall.median().alias("slow_v"),
            pl.max_horizontal(step * settings.slow_steps, noise).last().alias("slow_least_v"),
            noise.last().alias("noise_v"),
            *_voltages(fall >= settings.slow_watch_v),
        )
        .collect()
    )
    slow = (pl.col("measured") >= settings.slow_days) & (pl.col("slow_v") >= pl.col("slow_least_v"))
    slow_watch, slow_act = (slow & (pl.col("slow_v") >= v) for v in (settings.slow_watch_v, settings.slow_act_v))
    return _answer(
        seen, hits,
        act=(pl.col("act_days") >= settings.sparse_days) | (pl.col("certain_days") >= settings.days) | slow_act,
        watch=(pl.col("days") >= settings.days) | slow_watch,
        first=[
            observation(
                told, "plateau_fall", pl.col("fall_v").round(4), "V", since=pl.col("onset"), until=pl.col("last_ts"),
                threshold=settings.watch_v, window_days=settings.window_days, days=pl.col("days"),
                baseline_v=pl.col("expected_v").round(4),
            ),
            observation(
                told, "slow_fall", pl.when(slow_watch).then(pl.col("slow_v").round(4)), "V",
                threshold=settings.slow_watch_v, window_days=settings.slow_days,
            ),
            observation(told, "usual_scatter", pl.col("noise_v").round(4), "V"),
        ],
        told=told,
    )  # fmt: skip


@rule(
    "battery.low",
    settings=lambda settings: settings.battery.low,
    source="voltage as a share of the meter's own, for cells without a plateau; the end of a Li-SOCl2 cell by its type",
    severity=2,
    en=Text(
        "The battery voltage is low",
        "The daily median of the resting voltage is a small share of what the meter's own past expects, or below what a"
        " cell of its type has before its end.",
        "Exchange the battery; read the register first; look for moisture and a drain.",
    ),
    zh=Text(
        "电池欠压",
        "静态电压日中值明显低于该表历史预期，或低于该类电池寿命末期的电压。",
        "更换电池；先抄读并保存读数；检查受潮及异常耗电。",
    ),
)
def low(seen: View, settings: LowSettings) -> pl.DataFrame:
    """Fire where the voltage fell to a fraction of what is expected, or to the end of such a cell."""
    told = "battery.low"
    share = (pl.col("battery_median_v") / pl.col("battery_expected_v")).fill_null(1.0)
    colder = (20.0 - pl.coalesce("battery_temperature_c", "case_min_c").fill_null(-20.0)).clip(0)
    lithium = pl.col("battery_type").str.contains(r"(?i)^\s*(ER|LS)\s*\d{5}").fill_null(value=False)
    at_rest = pl.col("battery_median_v") < settings.lithium_v - colder * settings.lithium_v_per_c
    # In the cold the voltage under load says more of the cold than of the charge.
    warm = pl.coalesce("battery_temperature_c", "case_min_c") >= settings.warm_c
    under_load = pl.when(lithium & warm).then("battery_load_median_v")
    end = (lithium & at_rest).fill_null(value=False)
    kinds = seen.facts.meters.select("meter_id", "battery_type")
    newest = newest_measured(seen, pl.col("battery_median_v").is_not_null(), settings.load_days, SPARSE_DAYS)
    near = pl.int_range(pl.len()) >= pl.len() - settings.window_days
    hits = (
        newest.join(kinds.lazy(), on="meter_id", how="left", maintain_order="left")
        .group_by("meter_id", maintain_order=True)
        .agg(
            ((share <= settings.watch_fraction) & near).sum().alias("days"),
            (((share <= settings.act_fraction) | end) & near).sum().alias("act_days"),
            (under_load.median() < settings.lithium_load_v).fill_null(value=False).alias("breaks_down"),
            (under_load.count() >= settings.load_days).alias("loaded"),
            share.last().alias("share"),
            *_voltages((share <= settings.watch_fraction) | end),
        )
        .collect()
    )
    return _answer(
        seen, hits,
        act=(pl.col("act_days") >= settings.days) | (pl.col("breaks_down") & pl.col("loaded")),
        watch=pl.col("days") >= settings.days,
        first=[
            observation(
                told, "low_voltage", pl.col("share").round(3), "1", since=pl.col("onset"), until=pl.col("last_ts"),
                threshold=settings.watch_fraction, window_days=settings.window_days, days=pl.col("days"),
                expected_v=pl.col("expected_v").round(4),
            ),
        ],
        told=told,
    )  # fmt: skip


@rule(
    "battery.sag",
    settings=lambda settings: settings.battery.sag,
    source="the inner resistance of a cell near its end, wet or cold, shows under transmit and valve load first",
    severity=2,
    en=Text(
        "The battery sags under load",
        "The median sag under load is deeper than the meter's own past and its peers let expect at this temperature,"
        " on several of the newest measured days.",
        "Measure the battery under load; exchange it before the next cold spell or valve run. Where it sags in the cold"
        " alone, it recovers with warmth: insulate, and measure again after thaw.",
    ),
    zh=Text(
        "电池带载压降增大",
        "带载压降日中值在最近多个测量日明显超过该温度下该表历史及同类表水平。",
        "带载测量电池；在下次降温或阀门动作前更换。若仅在低温时下降，回温后可恢复：做好保温，解冻后复测。",
    ),
)
def sag(seen: View, settings: SagSettings) -> pl.DataFrame:
    """Fire where the sag, cold and peers taken off, is deeper than expected on N of M measured days."""
    told = "battery.sag"
    expected = pl.col("load_expected_sag_v").clip(0)
    fine = pl.col("battery_base_step_v").fill_null(0) * settings.steps

    def deeper(limit_v: float, share: float) -> pl.Expr:
        return pl.col("cell_sag_v") >= pl.max_horizontal(pl.lit(limit_v), expected * share, fine)

    watched, acted = deeper(settings.watch_v, settings.watch_share), deeper(settings.act_v, settings.act_share)
    warmth = pl.coalesce("battery_temperature_c", "case_min_c")
    # A voltage that breaks down restarts the device: then one dip is no passivation.
    restarted = (pl.col("total_seq_resets").max() > pl.col("total_seq_resets").min()).fill_null(value=False)
    newest = newest_measured(seen, pl.col("cell_sag_v").is_not_null(), settings.window_days, SPARSE_DAYS)
    hits = (
        newest.group_by("meter_id", maintain_order=True)
        .agg(
            watched.sum().alias("days"),
            acted.sum().alias("act_days"),
            (acted & ((pl.col("battery_readings") >= settings.dense_readings) | restarted)).sum().alias("certain_days"),
            pl.col("cell_sag_v").last().alias("deeper"),
            pl.col("battery_load_median_v").last(),
            pl.col("load_expected_sag_v").last(),
            warmth.filter(watched).max().alias("warmest_c"),
            *_voltages(watched),
        )
        .collect()
    )
    return _answer(
        seen, hits,
        act=(pl.col("act_days") >= settings.sparse_days) | (pl.col("certain_days") >= settings.days),
        watch=pl.col("days") >= settings.days,
        first=[
            observation(
                told, "load_sag", pl.col("deeper").round(4), "V", since=pl.col("onset"), until=pl.col("last_ts"),
                threshold=settings.watch_v, window_days=settings.window_days, days=pl.col("days"),
                load_v=pl.col("battery_load_median_v").round(4), expected_v=pl.col("load_expected_sag_v").round(4),
            ),
        ],
        told=told,
        cold=(pl.col("warmest_c") <= settings.cold_c) & (pl.col("fall_v").fill_null(0) < settings.watch_v),
    )  # fmt: skip


@rule(
    "battery.reset",
    settings=lambda settings: settings.battery.reset,
    source="a voltage that breaks down under load restarts the device: its message counter begins again",
    severity=2,
    en=Text(
        "The device restarts again and again",
        "The message counter began again on several days, and the voltage has fallen too, or is not sent, or all these"
        " days were cold.",
        "Measure the battery under load; look for moisture; exchange the battery.",
    ),
    zh=Text(
        "设备反复重启",
        "消息计数在多日复位，同时电压下降、未上报电压，或均在低温日。",
        "带载测量电池；检查受潮；更换电池。",
    ),
)
def reset(seen: View, settings: ResetSettings) -> pl.DataFrame:
    """Fire where the counter began again on many days; one restart is an update or a service."""
    told = "battery.reset"
    grew = pl.col("total_seq_resets") > pl.col("total_seq_resets").shift(1).over("meter_id")
    again = grew.fill_null(value=False)
    recent = seen.days.with_columns(again.alias("again")).filter(pl.col("age_days") < settings.window_days)
    hits = recent.group_by("meter_id", maintain_order=True).agg(
        pl.col("again").sum().alias("days"),
        pl.col("cell_fall_v").drop_nulls().tail(3).median().alias("lately_v"),
        pl.col("cell_sag_v").drop_nulls().tail(3).median().alias("deeper_v"),
        pl.coalesce("battery_temperature_c", "case_min_c").filter("again").max().alias("warmest_c"),
        *_voltages(pl.col("again")),
    )
    every = seen.days.filter(again)
    common = common_in_cold(seen, every).group_by("meter_id").agg(pl.col("common").all())
    hits = hits.join(common, on="meter_id", how="left", maintain_order="left")
    frozen = (pl.col("warmest_c") <= settings.cold_c) & ~pl.col("common").fill_null(value=False)
    supported = (
        (pl.col("lately_v") >= settings.fall_v).fill_null(value=False)
        | (pl.col("deeper_v") >= settings.sag_v).fill_null(value=False)
        | pl.col("voltage_v").is_null()
        | frozen.fill_null(value=False)
    )
    return _answer(
        seen, hits.filter(pl.col("days") > 0), act=(pl.col("days") >= settings.act_days) & supported,
        watch=pl.col("days") >= settings.watch_days,
        first=[
            observation(
                told, "reset_days", pl.col("days"), "d", since=pl.col("onset"), until=pl.col("last_ts"),
                threshold=float(settings.watch_days), window_days=settings.window_days,
            ),
        ],
        told=told,
        cold=frozen,
    )  # fmt: skip


@rule(
    "battery.silent",
    settings=lambda settings: settings.battery.silent,
    source="recorded end of a Li-SOCl2 cell: four days of falling voltage, then silence",
    severity=2,
    en=Text(
        "Silent since its battery began to fail",
        "The meter sends nothing more after a voltage that fell, sagged or broke down; its neighbours still send.",
        "Exchange the battery; read the register on site.",
    ),
    zh=Text(
        "电池异常后失联",
        "电压下降、带载压降增大或反复重启之后不再上报，而周边表计正常。",
        "更换电池；现场抄读读数。",
    ),
)
def silent(seen: View, settings: SilentSettings) -> pl.DataFrame:
    """Fire where silence follows signs of a failing battery; silence on the plateau is a matter of communication."""
    told = "battery.silent"
    quiet = _quiet(seen, settings)
    if quiet.is_empty():
        return nothing()
    step = pl.col("battery_base_step_v").fill_null(0)
    base = pl.col("battery_base_sum_v") / pl.col("battery_base_days")
    low = pl.col("battery_median_v") <= pl.col("battery_expected_v") * settings.share
    fell = pl.col("cell_fall_v") >= pl.max_horizontal(
        pl.lit(settings.fall_v), pl.col("cell_noise_v") * settings.noise, step * settings.steps
    )
    fell = pl.when(base.is_between(*PLATEAU_V)).then(fell).otherwise(low)
    sagged = pl.col("cell_sag_v") >= pl.max_horizontal(
        pl.lit(settings.sag_v), pl.col("load_expected_sag_v").clip(0) * settings.sag_share, step * settings.steps
    )
    sure = (pl.col("battery_readings") >= settings.dense_readings) | (pl.col("cell_fall_v") >= settings.deep_v)
    sure = sure.filter(pl.col("fell").is_not_null())
    again = (pl.col("total_seq_resets") > pl.col("total_seq_resets").shift(1).over("meter_id")).fill_null(value=False)
    coded = pl.col("codes").list.eval(pl.element().str.starts_with("battery ")).list.any().fill_null(value=False)
    dips = dips_of_codes(seen).with_columns(pl.lit(value=True).alias("dip"))
    coded &= pl.col("dip").is_null()
    last = (
        seen.days.join(quiet.select("meter_id"), on="meter_id", how="semi", maintain_order="left")
        .join(dips, on=["meter_id", "day"], how="left", maintain_order="left")
        .with_columns(fell.alias("fell"), sagged.alias("sagged"), again.alias("again"), coded.alias("coded"))
        .filter(pl.col("age_days") < settings.before_days)
    )
    hits = (
        last.group_by("meter_id", maintain_order=True)
        .agg(
            # One voltage a day may be a dip; then it must be deep, or the second.
            (
                pl.col("fell").drop_nulls().last()
                & (sure.last() | (pl.col("fell").drop_nulls().tail(3).sum() >= 2)).fill_null(value=False)
            ).fill_null(value=False),
            # One deep sag may be the passivated cell's first load after a long sleep.
            (pl.col("sagged").drop_nulls().tail(3).sum() >= 2).alias("sagged"),
            pl.col("again").sum().alias("again_days"),
            pl.col("coded").sum().alias("coded_days"),
            pl.col("region", "site", "day").last(),
            *_voltages(pl.col("fell") | pl.col("sagged") | pl.col("again") | pl.col("coded")),
        )
        .join(quiet, on="meter_id", maintain_order="left")
    )
    restarted = pl.col("again_days") >= settings.resets
    hits = hits.filter(pl.col("fell") | pl.col("sagged") | restarted | (pl.col("coded_days") > 0))
    if hits.is_empty():
        return nothing()
    hits = hits.join(_silent_share(seen), on="meter_id", how="left", maintain_order="left")
    alone = pl.col("neighbours").fill_null(0) < settings.neighbours
    return _answer(
        seen, hits, act=alone & (pl.col("silent_h") >= settings.act_h), watch=pl.lit(value=True),
        first=[
            observation(
                told, "silent_after_decline", pl.col("silent_h").round(1), "h", since=pl.col("last_ts"),
                threshold=settings.act_h,
            ),
            observation(
                told, "plateau_fall", pl.when(pl.col("fell")).then(pl.col("fall_v").round(4)), "V",
                until=pl.col("last_ts"), threshold=settings.fall_v, baseline_v=pl.col("expected_v").round(4),
            ),
            observation(
                told, "load_sag", pl.when(pl.col("sagged")).then(pl.col("sag_v").round(4)), "V",
                until=pl.col("last_ts"), threshold=settings.sag_v,
            ),
            observation(told, "reset_days", pl.when(restarted).then("again_days"), "d",
                        window_days=settings.before_days),
        ],
        told=told,
    )  # fmt: skip


def _quiet(seen: View, settings: SilentSettings) -> pl.DataFrame:
    """Return ``meter_id`` and ``silent_h`` of silent meters, the time in which we did not receive taken off."""
    limit_h = pl.max_horizontal(pl.lit(settings.watch_h), pl.col("usual_s") / HOUR_S * settings.intervals)
    long = pl.col("silent_h") >= limit_h
    # Where many meters are in view and none of them has sent since, it is not they that are silent.
    since_any_h = (pl.col("last_ts").max() - pl.col("last_ts")).dt.total_seconds() / HOUR_S
    heard = pl.when(pl.len() >= LEAST_HEARD).then(pl.min_horizontal("silent_h", since_any_h)).otherwise("silent_h")
    quiet = seen.features.select("meter_id", heard.alias("silent_h"), "usual_s").filter(long)
    if quiet.is_empty() or seen.facts.gaps.is_empty():
        return quiet.select("meter_id", "silent_h")
    missing = stretches(seen, WINDOW_DAYS).filter(pl.col("place") == "silence")
    missing = missing.join(quiet.select("meter_id"), on="meter_id", how="semi", maintain_order="left")
    left = blamed(missing, seen.facts.gaps).group_by("meter_id", maintain_order=True)
    ours = left.agg((pl.col("blamed_s").max() / HOUR_S).alias("silent_h"))
    return (
        quiet.drop("silent_h")
        .join(ours, on="meter_id", maintain_order="left")
        .filter(long)
        .select("meter_id", "silent_h")
    )


def _silent_share(seen: View) -> pl.DataFrame:
    """Return ``meter_id`` and ``neighbours``: share of the others of its place that are silent since its newest day."""
    newest = seen.features.select("meter_id", "newest_day")
    placed = seen.days.group_by("meter_id", maintain_order=True).agg(pl.col("region", "site").last())
    placed = placed.join(newest, on="meter_id", maintain_order="left")
    others = ((pl.col("silent") - 1) / (pl.col("meters") - 1)).alias("share")
    days = silent_neighbours(seen.days).filter(pl.col("meters") >= LEAST_HEARD).select("region", "site", "day", others)
    found = []
    for keys in (["region", "site"], ["region"]):
        there = days.filter(pl.col("site").is_not_null() == ("site" in keys)).select(*keys, "day", "share")
        share = placed.join(there, on=keys).filter(pl.col("day") > pl.col("newest_day"))
        found.append(share.group_by("meter_id").agg(pl.col("share").min().alias(keys[-1])))
    return (
        placed.join(found[0], on="meter_id", how="left", suffix="_share")
        .join(found[1], on="meter_id", how="left", suffix="_share")
        .select("meter_id", pl.coalesce("site_share", "region_share").alias("neighbours"))
    )


@rule(
    "battery.life",
    settings=lambda settings: settings.battery.life,
    source="charge budget: base current, uplinks by coverage, valve runs and self-discharge against the capacity",
    severity=3,
    en=Text(
        "The battery will not last",
        "Charge is drawn so fast that the battery ends early, or what is left of it will not last half a year.",
        "Find the drain: weak coverage, too many reports, moisture; move the antenna or set the reporting interval;"
        " plan an exchange.",
    ),
    zh=Text(
        "电池寿命不足",
        "耗电过快将提前耗尽，或剩余寿命不足半年。",
        "查找耗电原因：信号弱、上报过频、受潮；调整天线或上报周期；安排更换。",
    ),
)
def life(seen: View, settings: BatteryLifeSettings) -> pl.DataFrame:
    """Say watch where the books see the end coming before the voltage does."""
    told = "battery.life"
    books = battery_life(seen.days, seen.features, seen.facts.meters, seen.as_of, settings)
    drains = _drains(seen).join(books, on="meter_id", how="left", maintain_order="left")
    full = pl.col("capacity_mah") / pl.col("drain_mah_per_d")
    fast = ((full < settings.full_life_d) & (pl.col("radio_per_d") >= settings.least_uplinks)).fill_null(value=False)
    usual = pl.max_horizontal("peers_per_d", "past_per_d")
    many = (pl.col("per_d") >= settings.least_uplinks) & (pl.col("per_d") >= usual * settings.ratio)
    short = (pl.col("high_d") < settings.remaining_d).fill_null(value=False)
    hits = drains.filter(fast | many.fill_null(value=False) | short)
    return fired(
        hits,
        act=pl.lit(value=False),
        onset=pl.col("last_ts"),
        evidence=together(
            observation(
                told, "remaining_life", pl.col("remaining_d"), "d", threshold=settings.remaining_d,
                low_d=pl.col("low_d"), high_d=pl.col("high_d"), basis=pl.col("basis"),
                capacity_mah=pl.col("capacity_mah"), used_mah=pl.col("used_mah"),
            ),
            observation(told, "daily_drain", pl.col("drain_mah_per_d"), "mAh"),
            observation(
                told, "uplinks", pl.col("radio_per_d").round(1), "1/d", until=pl.col("last_ts"), window_days=14,
                peers=pl.col("peers_per_d").round(1), past=pl.col("past_per_d").round(1),
            ),
        ),
        cause=_drain_cause(),
        cause_confidence=pl.when(pl.col("storm") | pl.col("weak")).then(DRAIN_CONFIDENCE),
    )  # fmt: skip


def _drains(seen: View) -> pl.DataFrame:
    """Return what takes charge from each meter beyond peers of its model and its own past."""
    models = seen.days.group_by("meter_id", maintain_order=True).agg(pl.col("model").last())
    own = seen.features.select(
        "meter_id", "last_ts",
        pl.coalesce("uplinks_14d", "uplinks_60d").alias("per_d"),
        pl.coalesce("radio_uplinks_14d", "uplinks_14d").alias("radio_per_d"),
        pl.col("uplinks_usual").alias("past_per_d"),
        pl.when(pl.col("seq_resets_60d") > 0).then("seq_resets_60d").alias("resets"),
        ((pl.col("coverage_30d") >= WEAK_CLASS) | (pl.col("rssi_dbm_30d") <= WEAK_DBM)).fill_null(value=False)
        .alias("weak"),
    ).join(models, on="meter_id", how="left", maintain_order="left")  # fmt: skip
    peers = pl.when(pl.col("model").is_not_null() & (pl.len().over("model") >= 6)).then(
        pl.col("per_d").median().over("model")
    )
    beside = own.with_columns(peers.alias("peers_per_d"))
    usual = pl.min_horizontal("peers_per_d", "past_per_d")
    storm = (pl.col("per_d") >= LEAST_STORM) & (pl.col("per_d") >= usual * STORM_RATIO)
    return beside.with_columns(storm.fill_null(value=False).alias("storm"))


def _drain_cause() -> pl.Expr:
    return pl.when("storm").then(pl.lit("report_storm")).when("weak").then(pl.lit("coverage"))


def _voltages(below: pl.Expr) -> list[pl.Expr]:
    """Return what every battery rule shows of the newest measured day."""
    return [
        pl.col("first_ts").filter(below).min().alias("onset"),
        pl.col("last_ts").max(),
        pl.col("cell_fall_v").drop_nulls().last().alias("fall_v"),
        pl.col("cell_sag_v").drop_nulls().last().alias("sag_v"),
        pl.col("battery_expected_v").drop_nulls().last().alias("expected_v"),
        pl.col("battery_median_v").drop_nulls().last().alias("voltage_v"),
        pl.coalesce("battery_temperature_c", "case_min_c").drop_nulls().last().alias("temperature_c"),
    ]


def _answer(
    seen: View,
    hits: pl.DataFrame,
    *,
    act: pl.Expr,
    watch: pl.Expr,
    first: list[pl.Expr],
    told: str,
    cold: pl.Expr | None = None,
) -> pl.DataFrame:
    """Add voltage, temperature and counter resets to the evidence, and the cause that the symptom itself tells."""
    if hits.is_empty():
        return nothing()
    frozen = pl.lit(value=False) if cold is None else cold.fill_null(value=False)
    drains = _drains(seen).select("meter_id", "resets", "storm", "weak")
    return fired(
        hits.join(drains, on="meter_id", how="left", maintain_order="left"),
        act=act,
        watch=watch,
        onset=pl.coalesce("onset", "last_ts"),
        evidence=together(
            *first,
            observation(told, "voltage", pl.col("voltage_v").round(4), "V", until=pl.col("last_ts")),
            observation(told, "temperature", pl.col("temperature_c").round(1), "°C", until=pl.col("last_ts")),
            observation(told, "counter_resets", pl.col("resets"), window_days=60),
        ),
        cause=pl.when(frozen).then(pl.lit("low_temperature")).otherwise(_drain_cause()),
        cause_confidence=pl.when(frozen)
        .then(COLD_CONFIDENCE)
        .when(pl.col("storm") | pl.col("weak"))
        .then(DRAIN_CONFIDENCE),
    )
