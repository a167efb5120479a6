"""The actuator (valve): disobeys, does not arrive, lets water through, stops it, reports a fault, or moves ever harder.

A refused command is no fault: the meter says why it did not move. Nor is a valve that an empty battery cannot move.
"""

from __future__ import annotations

import polars as pl

from diagnostics.evidence import observation, together
from diagnostics.features import HOUR_S, View
from diagnostics.rules.rule import Text, fired, newest_measured, nothing, rule, symptom
from diagnostics.settings import (
    ClosedFlowSettings,
    DisobeyedSettings,
    DriftSettings,
    IdleSettings,
    MissedSettings,
    NoFlowSettings,
    PositionSettings,
    UnopenedSettings,
    ValveFaultSettings,
)

SEDIMENT_CONFIDENCE = 0.5
SEAT_CONFIDENCE = 0.4
LATE_INTERVALS = 1.9  # usual intervals without a message: one was lost
_RATIOS = ("travel_ratio", "current_ratio")
LEAST_MODEL = 10  # meters of a model whose movements tell how much they scatter
MAD_TO_SIGMA = 1.4826
LEAST_COMMON = 6  # meters of a region whose movements tell what cold does to all of them


@rule(
    "actuator.disobeyed",
    settings=lambda settings: settings.actuator.disobeyed,
    source="commanded against actual state after the travel time; refusals excuse it",
    severity=2,
    inhibited_by=("battery",),
    en=Text(
        "The valve does not close",
        "The state contradicts a command to close that was not refused and never carried out since.",
        "Repeat the command; on site look for sediment and a stall; exchange the actuator.",
    ),
    zh=Text(
        "阀门不关",
        "关阀指令未被拒绝、也从未执行，阀门状态与指令不符。",
        "重发指令；现场检查泥沙、堵转；更换执行器。",
    ),
)
def disobeyed(seen: View, settings: DisobeyedSettings) -> pl.DataFrame:
    """Fire where the newest row says that a command to close is contradicted."""
    return _contradicted(seen, settings, "close", "actuator.disobeyed")


@rule(
    "actuator.unopened",
    settings=lambda settings: settings.actuator.unopened,
    source="commanded against actual state after the travel time; refusals, money and magnets excuse it",
    severity=2,
    inhibited_by=("credit", "tamper", "battery"),
    en=Text(
        "The valve does not open",
        "The state contradicts a command to open that was not refused and never carried out since.",
        "Repeat the command: the customer has no water; on site look for sediment and a stall; exchange the actuator.",
    ),
    zh=Text(
        "阀门不开",
        "开阀指令未被拒绝、也从未执行，阀门状态与指令不符。",
        "重发指令（用户无水）；现场检查泥沙、堵转；更换执行器。",
    ),
)
def unopened(seen: View, settings: UnopenedSettings) -> pl.DataFrame:
    """Fire where the newest row says that a command to open is contradicted."""
    return _contradicted(seen, settings, "open", "actuator.unopened")


def _contradicted(seen: View, settings: DisobeyedSettings, command: str, told: str) -> pl.DataFrame:
    newest = seen.days.filter(
        (pl.col("age_days") == 0) & pl.col("disagree_since_ts").is_not_null() & (pl.col("standing_command") == command)
    )
    if newest.is_empty():
        return nothing()
    since = seen.days.join(
        newest.select("meter_id", commanded_ts="standing_command_ts"), on="meter_id", maintain_order="left"
    )
    # A message lost just when the command came may have told a refusal.
    late = pl.col("usual_s") * LATE_INTERVALS
    lost = (pl.col("uplinks") > pl.col("messages")) | (pl.max_horizontal("gap_s", "longest_gap_s") > late)
    # Water that flows though the valve says closed: it did open, and the state is wrong.
    settled = pl.col("first_ts") > pl.col("commanded_ts")
    around = since.group_by("meter_id", maintain_order=True).agg(
        lost.filter(pl.col("valve_command_ts") == pl.col("commanded_ts")).any().alias("unsure"),
        (settled & (pl.col("day_m3") > 0)).any().alias("flows"),
    )
    last = pl.coalesce("valve_state_ts", "last_ts")
    hours = ((last - pl.col("disagree_since_ts")).dt.total_seconds().clip(0) / HOUR_S).round(2)
    wanted = pl.when("unsure").then(settings.unsure_hours).otherwise(settings.act_hours)
    wrong_state = pl.col("flows") & (pl.col("valve_state") == "closed") if command == "open" else pl.lit(value=False)
    return fired(
        newest.with_columns(hours.alias("hours")).join(around, on="meter_id", how="left", maintain_order="left"),
        act=(pl.col("hours") >= wanted) & (pl.col("disagree_readings") >= settings.act_readings) & ~wrong_state,
        onset=pl.col("disagree_since_ts"),
        evidence=together(
            observation(
                told, "command_disobeyed", pl.col("hours"), "h", since=pl.col("disagree_since_ts"),
                until=last, threshold=wanted, command=pl.col("standing_command"),
                commanded_at=pl.col("standing_command_ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
                state=pl.col("valve_state"), readings=pl.col("disagree_readings"),
            ),
        ),
    )  # fmt: skip


@rule(
    "actuator.missed",
    settings=lambda settings: settings.actuator.missed,
    source="commands that another followed while the state still contradicted them",
    severity=2,
    inhibited_by=("battery",),
    en=Text(
        "The valve leaves commands undone",
        "Commands were given up or replaced while the state still contradicted them; none was refused.",
        "Run the valve both ways on site; look for a stall in one direction and for sediment; exchange the actuator.",
    ),
    zh=Text(
        "阀门多次未执行指令",
        "多次指令在状态仍不符时即被放弃或替换，且未被拒绝。",
        "现场开关阀各一次；检查单向堵转与泥沙；更换执行器。",
    ),
)
def missed(seen: View, settings: MissedSettings) -> pl.DataFrame:
    """Fire where commands came to nothing, though the newest one may have been obeyed."""
    more = (pl.col("total_commands_missed") - pl.col("total_commands_missed").shift(1).over("meter_id")).fill_null(0)
    days = seen.days.with_columns(more.alias("more")).filter(
        (pl.col("age_days") < settings.window_days) & (pl.col("more") > 0)
    )
    hits = days.group_by("meter_id", maintain_order=True).agg(
        pl.col("more").sum().cast(pl.Int64).alias("missed"), pl.col("first_ts").min(), pl.col("last_ts").max()
    )
    return fired(
        hits,
        act=pl.col("missed") >= settings.act,
        watch=pl.col("missed") >= settings.watch,
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "actuator.missed", "commands_missed", pl.col("missed"), since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=float(settings.watch), window_days=settings.window_days,
            ),
        ),
    )  # fmt: skip


@rule(
    "actuator.closed_flow",
    settings=lambda settings: settings.actuator.closed_flow,
    source="a register that moves while the valve says closed: the valve does not seal, or did not close at all",
    severity=2,
    en=Text(
        "Water flows through the closed valve",
        "On several days the register moved though the valve was closed before, after and meanwhile.",
        "Close the valve on site and watch the register; clean or exchange the actuator.",
    ),
    zh=Text(
        "关阀过水",
        "多日在前后均为关阀状态的情况下，累计量仍增加。",
        "现场关阀观察字轮；清洗或更换执行器（阀门）。",
    ),
)
def closed_flow(seen: View, settings: ClosedFlowSettings) -> pl.DataFrame:
    """Fire where enough water passed a closed valve, more than the register's resolution and delay can feign.

    A meter that never says anything but closed while nobody told it to close, or says closed after it was told to
    open, has a wrong state, not a leaking valve: at most watch.
    """
    told = "actuator.closed_flow"
    shut = _with_shut(seen, settings)
    recent = pl.col("age_days") < settings.window_days
    through = recent & (pl.col("shut_m3") > 0)
    hits = (
        shut.group_by("meter_id", maintain_order=True)
        .agg(
            pl.col("shut_m3").filter(recent).sum().alias("volume_m3"),
            (through & pl.col("settled")).sum().alias("days"),
            pl.col("first_ts").filter(through).min().alias("first_ts"),
            pl.col("last_ts").filter(through).max().alias("last_ts"),
            pl.col("volume_step_m3").min().fill_null(0).alias("step_m3"),
            (pl.col("valve_open_readings") > 0).any().alias("opens"),
            (pl.col("standing_command").last() == "close").fill_null(value=False).alias("told_to_close"),
            (pl.col("standing_command").last() == "open").fill_null(value=False).alias("told_to_open"),
            pl.col("day_m3").filter(~pl.col("shut")).median().alias("usual_m3"),
            pl.col("shut_m3").filter(through & pl.col("settled")).median().alias("daily_m3"),
        )
        .filter(pl.col("volume_m3") > 0)
    )
    grain = pl.col("step_m3") * settings.steps
    enough = pl.col("volume_m3") >= pl.max_horizontal(pl.lit(settings.act_m3), grain)
    believed = pl.col("told_to_close") | (pl.col("opens") & ~pl.col("told_to_open"))
    seat = (pl.col("daily_m3") <= pl.col("usual_m3") * settings.seat_share).fill_null(value=False)
    return fired(
        hits,
        act=enough & (pl.col("days") >= settings.act_days) & believed,
        watch=pl.col("volume_m3") >= pl.max_horizontal(pl.lit(settings.watch_m3), grain),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                told, "closed_flow", pl.col("volume_m3").round(6), "m³", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.act_m3, window_days=settings.window_days,
                days=pl.col("days"), daily_m3=pl.col("daily_m3").round(4), usual_m3=pl.col("usual_m3").round(4),
            ),
        ),
        # Grit in the seat lets a little through; a valve that did not turn lets everything through.
        cause=pl.when(seat).then(pl.lit("sediment")),
        cause_confidence=pl.when(seat).then(SEAT_CONFIDENCE),
    )  # fmt: skip


def _with_shut(seen: View, settings: ClosedFlowSettings) -> pl.DataFrame:
    """Return the days with ``shut`` (closed before, meanwhile and at the end), ``settled``, and ``shut_m3``.

    Where register and state are told at different times, water from before the closing may come a day late: a day is
    settled when the one before was shut, too. Reading by reading, an interval closed at both ends is beyond doubt from
    the second on.
    """
    prior = pl.col("valve_state").shift(1).forward_fill().over("meter_id")
    apart = pl.col("valve_state_ts") - pl.col("valve_state_ts").shift(1).forward_fill().over("meter_id")
    known = (apart.dt.total_seconds() <= settings.gap_h * HOUR_S).fill_null(value=False)
    shut = (
        (prior == "closed")
        & (pl.col("valve_state") == "closed")
        & (pl.col("valve_open_readings") == 0)
        & (pl.col("valve_command_changes").fill_null(0) == 0)
        & known
    ).fill_null(value=False)
    days = seen.days.with_columns(shut.alias("shut"))
    several = pl.col("closed_intervals").fill_null(0) >= settings.day_intervals
    settled = pl.col("shut") & pl.col("shut").shift(1).over("meter_id").fill_null(value=False)
    volume = pl.when("shut").then(pl.max_horizontal("day_m3", "closed_flow_m3"))
    return days.with_columns(
        (settled | several).alias("settled"),
        volume.when(several).then("closed_flow_m3").otherwise(0.0).fill_null(0.0).alias("shut_m3"),
    )


@rule(
    "actuator.no_flow",
    settings=lambda settings: settings.actuator.no_flow,
    source="no water since the valve was moved, in a home that always uses water, though the valve says open",
    severity=2,
    inhibited_by=("empty_pipe", "battery"),
    en=Text(
        "No water though the valve says open",
        "A home that uses water every day has none since the valve was opened or moved; its peers have.",
        "Ask the customer whether there is water; run the valve both ways; exchange the actuator.",
    ),
    zh=Text(
        "阀门显示开启但无水",
        "平时每日用水的用户自开阀指令或阀门动作后一直无流量，而周边正常。",
        "向用户确认是否有水；开关阀各一次；更换执行器。",
    ),
)
def no_flow(seen: View, settings: NoFlowSettings) -> pl.DataFrame:
    """Fire where flow ended with a movement of the valve.

    Homes are empty after a valve was opened, too: only a report of the customer or an odd stroke means act.
    """
    told = "actuator.no_flow"
    prior = pl.col("valve_state").shift(1).forward_fill().over("meter_id")
    through = (prior == "open") & (pl.col("valve_state") == "open")
    still = (pl.col("day_m3") == 0) & (pl.col("valve_state") == "open") & (pl.col("valve_closed_readings") == 0)
    moved_ts = pl.when(pl.col("valve_moved")).then("last_ts")
    days = seen.days.filter(pl.col("valve_state").is_not_null() & pl.col("day_m3").is_not_null())
    run = (~still.fill_null(value=False)).reverse().cum_sum().reverse() == 0
    hits = days.group_by("meter_id", maintain_order=True).agg(
        run.sum().alias("days"),
        pl.col("first_ts").filter(run).min().alias("since_ts"),
        pl.col("last_ts").max(),
        pl.col("last_flow_ts").last(),
        (pl.col("day_m3") > 0).filter(through & ~run).mean().alias("used"),
        pl.col("day_m3").filter(through & ~run).median().alias("usual_m3"),
        pl.col("standing_command", "standing_command_ts", "command_obeyed").last(),
        moved_ts.max().alias("moved_ts"),
        *(pl.col(name).drop_nulls().last() for name in _RATIOS),
        (prior.filter(run).first() == "closed").alias("opened"),
        pl.col("peer_zero_share").filter(run).median().alias("peers"),
        pl.col("case_min_c").filter(run).min().alias("coldest_c"),
        pl.col("reported_flow_readings").filter(run).sum().alias("flowing"),
    ).filter((pl.col("days") >= settings.watch_days) & (pl.col("used") >= settings.used_share)
             & (pl.col("usual_m3") >= settings.usual_m3))  # fmt: skip
    if hits.is_empty():
        return nothing()
    reports = (
        seen.facts.reports.join(hits.select("meter_id", "last_flow_ts"), on="meter_id")
        .filter(pl.col("reported_at") > pl.col("last_flow_ts"))
        .group_by("meter_id")
        .agg(pl.col("symptom").sort_by("reported_at").first(), pl.col("reported_at").min())
    )
    hits = hits.join(reports, on="meter_id", how="left", maintain_order="left")
    near = pl.duration(hours=36)
    commanded = (
        (pl.col("standing_command") == "open")
        & (pl.col("standing_command_ts") >= pl.col("last_flow_ts"))
        & (pl.col("since_ts") - pl.col("standing_command_ts") <= near)
        & pl.col("opened")
    ).fill_null(value=False)
    moved = ((pl.col("moved_ts") - pl.col("last_flow_ts")).abs() <= near).fill_null(value=False)
    others = (pl.col("peers").fill_null(0) < settings.peers) & (pl.col("flowing").fill_null(0) == 0)
    warm = (pl.col("coldest_c").fill_null(20.0) > settings.frost_c) & others
    ratios = [pl.col(name).is_between(1 / settings.odd_ratio, settings.odd_ratio) for name in _RATIOS]
    odd = ~pl.all_horizontal(ratio.fill_null(value=True) for ratio in ratios)
    sure = pl.col("reported_at").is_not_null() | odd
    return fired(
        hits,
        act=warm & (commanded | moved) & sure & (pl.col("days") >= settings.act_days),
        watch=warm & (commanded | moved),
        onset=pl.coalesce("last_flow_ts", "since_ts"),
        evidence=together(
            observation(
                told, "no_flow_open", pl.col("days"), "d", since=pl.col("last_flow_ts"), until=pl.col("last_ts"),
                threshold=float(settings.watch_days), usual_m3=pl.col("usual_m3").round(4),
                commanded_at=pl.when(commanded).then(pl.col("standing_command_ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ")),
                moved_at=pl.col("moved_ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            ),
            observation(told, "customer_report", pl.col("symptom"), until=pl.col("reported_at")),
        ),
    )  # fmt: skip


@rule(
    "actuator.position",
    settings=lambda settings: settings.actuator.position,
    source="a valve is in position within seconds; one that is still moving a day later is not",
    severity=2,
    inhibited_by=("battery",),
    en=Text(
        "The valve does not arrive",
        "All newest states say moving or unknown: the end position is not seen any more.",
        "Run the valve both ways on site; look for a stall, sediment and a stripped gear; check the end switches.",
    ),
    zh=Text(
        "阀门不到位",
        "最新状态均为动作中或未知，未见到位信号。",
        "现场开关阀各一次；检查堵转、泥沙、齿轮打滑及到位开关。",
    ),
)
def position(seen: View, settings: PositionSettings) -> pl.DataFrame:
    """Fire where the newest days with a state know no end position, and earlier ones did."""
    stated = pl.col("valve_state").is_not_null()
    placed = pl.col("valve_open_readings") + pl.col("valve_closed_readings") + pl.col("valve_fault_readings") > 0
    lost = (~placed & (pl.col("valve_between_readings") > 0)).fill_null(value=False)
    run = (~lost).reverse().cum_sum().reverse() == 0
    hits = (
        seen.days.filter(stated)
        .group_by("meter_id", maintain_order=True)
        .agg(
            run.sum().alias("days"),
            pl.col("first_ts").filter(run).min(),
            pl.col("last_ts").filter(run).max(),
            (placed & ~run).any().alias("placed"),
            pl.col("valve_state").last(),
            pl.col("age_days").last(),
        )
        .filter((pl.col("age_days") < settings.window_days) & (pl.col("days") > 0))
    )
    return fired(
        hits,
        act=(pl.col("days") >= settings.act_days) & pl.col("placed"),
        watch=(pl.col("days") >= settings.watch_days) & pl.col("placed"),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "actuator.position", "no_position", pl.col("days"), "d", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=float(settings.watch_days), newest_state=pl.col("valve_state"),
            ),
        ),
    )  # fmt: skip


@rule(
    "actuator.state",
    settings=lambda settings: settings.actuator.state,
    source="the valve state of the meter",
    severity=2,
    inhibited_by=("battery",),
    en=Text(
        "The valve reports a fault",
        "The valve state fault stays up to the newest state, or comes back on several days.",
        "Run the valve both ways on site; look for a stall and sediment; exchange the actuator.",
    ),
    zh=Text(
        "阀门状态异常",
        "阀门故障状态持续至最新状态，或多日反复出现。",
        "现场开关阀各一次；检查堵转与泥沙；更换执行器。",
    ),
)
def state(seen: View, settings: ValveFaultSettings) -> pl.DataFrame:
    """Fire where the state fault is there and stays, or comes again and again."""
    faulty = pl.col("valve_fault_readings") > 0
    hits = symptom(seen, faulty, settings.window_days, readings=pl.col("valve_fault_readings").sum())
    last = pl.col("valve_state") == "fault"
    fine = (pl.col("valve_open_readings") + pl.col("valve_closed_readings") > 0) & ~last
    run = fine.fill_null(value=False).reverse().cum_sum().reverse() == 0
    # Where the day began otherwise, the fault began as many readings before its end as there are.
    steps = pl.duration(
        seconds=(pl.col("interval_s").fill_null(0) * (pl.col("valve_fault_readings") - 1)).cast(pl.Int64)
    )
    mixed = pl.col("valve_open_readings") + pl.col("valve_closed_readings") > 0
    began = pl.when(mixed).then(pl.col("valve_state_ts") - steps).otherwise("first_ts")
    stays = (
        seen.days.filter(pl.col("valve_state").is_not_null())
        .group_by("meter_id", maintain_order=True)
        .agg(
            pl.col("valve_state").last(),
            began.filter(run & faulty).min().alias("stays_from"),
            pl.col("valve_state_ts").last(),
        )
    )
    hours = ((pl.col("valve_state_ts") - pl.col("stays_from")).dt.total_seconds() / HOUR_S).round(1)
    hits = hits.join(stays, on="meter_id", maintain_order="left").with_columns(
        pl.when(pl.col("valve_state") == "fault").then(hours).alias("hours")
    )
    return fired(
        hits,
        act=((pl.col("hours") >= settings.act_hours) & (pl.col("readings") >= 2))
        | (pl.col("days") >= settings.act_days),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "actuator.state", "valve_fault", pl.col("readings"), since=pl.col("first_ts"),
                until=pl.col("last_ts"), window_days=settings.window_days, days=pl.col("days"),
                newest_state=pl.col("valve_state"),
            ),
            observation(
                "actuator.state", "fault_hours", pl.col("hours"), "h", since=pl.col("stays_from"),
                threshold=settings.act_hours,
            ),
        ),
    )  # fmt: skip


@rule(
    "actuator.drift",
    settings=lambda settings: settings.actuator.drift,
    source="scale and sediment raise travel time and motor current over the cycles before the valve stalls",
    severity=3,
    inhibited_by=("battery",),
    en=Text(
        "The valve moves harder and harder",
        "Travel time or motor current of the newest movements is far above that of the meter's own first ones, and of"
        " what its peers' rose by.",
        "Run the valve to and fro to clean it; plan an exchange of the actuator.",
    ),
    zh=Text(
        "阀门动作阻力增大",
        "最近几次动作的开关阀时间或电机电流明显高于该表初期水平，且超过同类表的变化。",
        "反复开关阀清除水垢（防锈）；安排更换执行器。",
    ),
)
def drift(seen: View, settings: DriftSettings) -> pl.DataFrame:
    """Fire where the newest movements, cold taken off by what peers do, all exceed the baseline."""
    told = "actuator.drift"
    moved = pl.col("travel_ratio").is_not_null() | pl.col("current_ratio").is_not_null()
    newest = newest_measured(seen, moved, settings.movements, settings.window_days)
    hits = (
        newest.group_by("meter_id", maintain_order=True)
        .agg(
            pl.len().alias("movements"),
            *_risen("travel", "travel_ratio", "valve_travel_median_s", "travel_base_s", settings.least_travel_s),
            *_risen("current", "current_ratio", "valve_current_max_ma", "current_base_ma", settings.least_current_ma),
            # Of the two newest movements the lesser, in the figure that rose least: one alone may wander, both do not.
            pl.min_horizontal("travel_ratio", "current_ratio")
            .filter(pl.col("travel_ratio").is_not_null() & pl.col("current_ratio").is_not_null())
            .tail(2)
            .min()
            .alias("both"),
            pl.col("current_ratio").median().alias("effort"),
            pl.col("valve_travel_median_s").median().alias("travel_s"),
            pl.col("valve_current_max_ma").median().alias("current_ma"),
            pl.col("region", "installation", "model").last(),
            pl.col("first_ts").min(),
            pl.col("last_ts").max(),
        )
        .collect()
    )
    far, near = pl.lit(value=False), pl.lit(value=False)
    for figure in ("travel", "current"):
        hits = hits.with_columns(_common(figure).alias(f"{figure}_common")).with_columns(
            (pl.col(f"{figure}_all") / pl.col(f"{figure}_common")).alias(f"{figure}_all")
        )
        scatter = _scatter(figure, settings.sigmas, settings.act_ratio, settings.sure_ratio)
        far = far | (pl.col(f"{figure}_all") >= scatter)
        near = near | (pl.col(f"{figure}_all") >= settings.watch_ratio)
    newest_two = pl.col("movements") >= 2
    together_risen = pl.col("both") / pl.max_horizontal("travel_common", "current_common") >= settings.both_ratio
    far = far.fill_null(value=False) | together_risen.fill_null(value=False)
    return fired(
        hits,
        act=newest_two & far,
        watch=newest_two & near.fill_null(value=False),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                told, "travel_time", pl.col("travel_all").round(2), "1", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.watch_ratio, travel_s=pl.col("travel_s").round(1),
            ),
            observation(
                told, "motor_current", pl.col("current_all").round(2), "1", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.watch_ratio, current_ma=pl.col("current_ma").round(0),
            ),
        ),
        # Grit makes the motor work; one that runs long at less current turns freely, and nothing here says why.
        cause=pl.when(pl.col("effort") < 1).then(pl.lit("unknown")).otherwise(pl.lit("sediment")),
        cause_confidence=pl.when(pl.col("effort") < 1).then(None).otherwise(SEDIMENT_CONFIDENCE),
    )  # fmt: skip


def _risen(name: str, ratio: str, value: str, base: str, least: float) -> list[pl.Expr]:
    """Return the ratio that all newest movements reach, null where the rise is too small to mean anything."""
    rise = (pl.col(value) - pl.col(base)).median()
    several = pl.col(ratio).count() >= 2
    return [
        pl.when((rise >= least) & several).then(pl.col(ratio).tail(2).min()).alias(f"{name}_all"),
        pl.col(ratio).median().alias(f"{name}_ratio"),
    ]


def _common(figure: str) -> pl.Expr:
    """Return what the ratio of all meters of the place is: cold makes every grease stiff."""
    ratio = pl.col(f"{figure}_ratio")

    def of(*place: str) -> pl.Expr:
        enough = ratio.count().over(place) >= LEAST_COMMON
        return pl.when(enough).then(ratio.median().over(place).clip(1.0))

    return pl.coalesce(of("region", "installation"), of("region"), pl.lit(1.0))


def _scatter(figure: str, sigmas: float, usual: float, least: float) -> pl.Expr:
    """Return the ratio that chance does not reach: by the scatter of the model's ratios, else the usual limit."""
    told = (pl.col(f"{figure}_ratio") / pl.col(f"{figure}_common")).log()
    model = pl.col("model").is_not_null() & (told.count().over("model") >= LEAST_MODEL)
    sigma = MAD_TO_SIGMA * (told - told.median().over("model")).abs().median().over("model")
    return pl.when(model).then((sigmas * sigma).exp().clip(least, usual**2)).otherwise(usual)


@rule(
    "actuator.idle",
    settings=lambda settings: settings.actuator.idle,
    source="a gear that no longer grips: the motor runs to its time-out at idle current and no end switch is seen",
    severity=2,
    inhibited_by=("battery",),
    en=Text(
        "The motor turns and the valve does not",
        "The newest movements took much longer than the meter's own first ones, at much less current.",
        "Check the gear on site; exchange the actuator.",
    ),
    zh=Text(
        "电机空转",
        "最近几次动作时间远长于该表初期水平，而电流明显偏小。",
        "现场检查齿轮；更换执行器。",
    ),
)
def idle(seen: View, settings: IdleSettings) -> pl.DataFrame:
    """Fire where the newest movements ran long at little current."""
    told = "actuator.idle"
    both = pl.col("travel_ratio").is_not_null() & pl.col("current_ratio").is_not_null()
    free = (pl.col("travel_ratio") >= settings.travel_ratio) & (pl.col("current_ratio") <= settings.current_ratio)
    newest = newest_measured(seen, both, settings.act_movements, settings.window_days)
    hits = (
        newest.group_by("meter_id", maintain_order=True)
        .agg(
            free.sum().alias("movements"),
            free.last().alias("last"),
            pl.col("first_ts").filter(free).min(),
            pl.col("last_ts").filter(free).max(),
            pl.col("travel_ratio", "current_ratio", "valve_travel_median_s", "valve_current_max_ma").last(),
        )
        .collect()
    )
    return fired(
        hits.filter("last"),
        act=pl.col("movements") >= settings.act_movements,
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                told, "travel_time", pl.col("travel_ratio").round(2), "1", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.travel_ratio,
                travel_s=pl.col("valve_travel_median_s").round(1),
            ),
            observation(
                told, "motor_current", pl.col("current_ratio").round(2), "1", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.current_ratio,
                current_ma=pl.col("valve_current_max_ma").round(0),
            ),
        ),
    )  # fmt: skip
