"""The actuator (valve): it does not do what it was told, lets water through, reports a fault, or moves ever harder.

A refused command is no fault: the meter says why it did not move.
"""

from __future__ import annotations

import polars as pl

from diagnostics.evidence import observation, together
from diagnostics.features import HOUR_S, View
from diagnostics.rules.rule import Text, fired, newest_measured, rule, symptom
from diagnostics.settings import ClosedFlowSettings, DisobeyedSettings, DriftSettings, ValveFaultSettings

SEDIMENT_CONFIDENCE = 0.4


@rule(
    "actuator.disobeyed",
    settings=lambda settings: settings.actuator.disobeyed,
    source="commanded against actual state after the travel time; refusals excuse it",
    severity=2,
    inhibited_by=("credit", "tamper"),
    en=Text(
        "The valve does not do what it was told",
        "The state contradicts a command that was not refused and never carried out since.",
        "Repeat the command; on site look for sediment and a stall; exchange the actuator.",
    ),
    zh=Text(
        "阀门不动作",
        "指令未被拒绝、也从未执行，阀门状态与指令不符。",
        "重发指令；现场检查泥沙、堵转；更换执行器。",
    ),
)
def disobeyed(seen: View, settings: DisobeyedSettings) -> pl.DataFrame:
    """Fire where the newest row says that a command is contradicted."""
    newest = seen.days.filter((pl.col("age_days") == 0) & pl.col("disagree_since_ts").is_not_null())
    last = pl.coalesce("valve_state_ts", "last_ts")
    hours = ((last - pl.col("disagree_since_ts")).dt.total_seconds().clip(0) / HOUR_S).round(2)
    hits = newest.with_columns(hours.alias("hours"))
    return fired(
        hits,
        act=(pl.col("hours") >= settings.act_hours) & (pl.col("disagree_readings") >= settings.act_readings),
        onset=pl.col("disagree_since_ts"),
        evidence=together(
            observation(
                "actuator.disobeyed", "command_disobeyed", pl.col("hours"), "h", since=pl.col("disagree_since_ts"),
                until=last, threshold=settings.act_hours, command=pl.col("standing_command"),
                commanded_at=pl.col("standing_command_ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
                state=pl.col("valve_state"), readings=pl.col("disagree_readings"),
            ),
        ),
    )  # fmt: skip


@rule(
    "actuator.closed_flow",
    settings=lambda settings: settings.actuator.closed_flow,
    source="a register that moves while the valve says closed: the valve does not seal",
    severity=2,
    en=Text(
        "Water flows through the closed valve",
        "On several days the register moved between two readings that both say closed.",
        "Close the valve on site and watch the register; clean or exchange the actuator.",
    ),
    zh=Text(
        "关阀过水",
        "多日在前后均为关阀状态的读数之间，累计量仍增加。",
        "现场关阀观察字轮；清洗或更换执行器（阀门）。",
    ),
)
def closed_flow(seen: View, settings: ClosedFlowSettings) -> pl.DataFrame:
    """Fire where enough water passed a closed valve."""
    through = (pl.col("closed_flow_m3") >= settings.day_m3) & (pl.col("closed_intervals") >= settings.day_intervals)
    hits = symptom(seen, through, settings.window_days, volume=pl.col("closed_flow_m3").sum())
    return fired(
        hits,
        act=pl.col("days") >= settings.act_days,
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "actuator.closed_flow", "closed_flow", pl.col("volume").round(6), "m³", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.day_m3, window_days=settings.window_days,
                days=pl.col("days"),
            ),
        ),
    )  # fmt: skip


@rule(
    "actuator.state",
    settings=lambda settings: settings.actuator.state,
    source="the valve state of the meter",
    severity=2,
    en=Text(
        "The valve reports a fault",
        "Several readings carry the valve state fault, the newest state among them.",
        "Run the valve both ways on site; look for a stall and sediment; exchange the actuator.",
    ),
    zh=Text(
        "阀门状态异常",
        "多次读数阀门状态为故障，且最新状态仍为故障。",
        "现场开关阀各一次；检查堵转与泥沙；更换执行器。",
    ),
)
def state(seen: View, settings: ValveFaultSettings) -> pl.DataFrame:
    """Fire where the state fault is there and stays."""
    hits = symptom(
        seen, pl.col("valve_fault_readings") > 0, settings.window_days, readings=pl.col("valve_fault_readings").sum()
    )
    last = newest_measured(seen, pl.col("valve_state").is_not_null(), 1).select("meter_id", "valve_state")
    return fired(
        hits.join(last, on="meter_id", maintain_order="left"),
        act=(pl.col("readings") >= settings.act_readings) & (pl.col("valve_state") == "fault"),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "actuator.state", "valve_fault", pl.col("readings"), since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=float(settings.act_readings), window_days=settings.window_days,
                newest_state=pl.col("valve_state"),
            ),
        ),
    )  # fmt: skip


@rule(
    "actuator.drift",
    settings=lambda settings: settings.actuator.drift,
    source="scale and sediment raise travel time and motor current over the cycles before the valve stalls",
    severity=3,
    cause="sediment",
    en=Text(
        "The valve moves harder and harder",
        "Travel time or motor current of the newest movements is far above that of the meter's own first ones.",
        "Run the valve to and fro to clean it; plan an exchange of the actuator.",
    ),
    zh=Text(
        "阀门动作阻力增大",
        "最近几次动作的开关阀时间或电机电流明显高于该表初期水平。",
        "反复开关阀清除水垢（防锈）；安排更换执行器。",
    ),
)
def drift(seen: View, settings: DriftSettings) -> pl.DataFrame:
    """Fire where the median of the newest movements exceeds the baseline."""
    told = "actuator.drift"
    moved = pl.col("travel_ratio").is_not_null() | pl.col("current_ratio").is_not_null()
    newest = newest_measured(seen, moved, settings.movements, settings.window_days)
    hits = newest.group_by("meter_id", maintain_order=True).agg(
        pl.len().alias("movements"),
        _risen("travel_ratio", "valve_travel_median_s", "travel_base_s", settings.least_travel_s).alias("travel"),
        _risen("current_ratio", "valve_current_max_ma", "current_base_ma", settings.least_current_ma).alias("current"),
        pl.col("current_ratio").median().alias("effort"),
        pl.col("valve_travel_median_s").median().alias("travel_s"),
        pl.col("valve_current_max_ma").median().alias("current_ma"),
        pl.col("first_ts").min(),
        pl.col("last_ts").max(),
    )
    enough = pl.col("movements") >= settings.movements
    worst = pl.max_horizontal("travel", "current")
    return fired(
        hits,
        act=enough & (worst >= settings.act_ratio),
        watch=enough & (worst >= settings.watch_ratio),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                told, "travel_time", pl.col("travel").round(2), "1", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.watch_ratio, travel_s=pl.col("travel_s").round(1),
            ),
            observation(
                told, "motor_current", pl.col("current").round(2), "1", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=settings.watch_ratio, current_ma=pl.col("current_ma").round(0),
            ),
        ),
        # Grit makes the motor work; one that runs long at less current turns freely, and nothing here says why.
        cause=pl.when(pl.col("effort") < 1).then(pl.lit("unknown")).otherwise(pl.lit("sediment")),
        cause_confidence=pl.when(pl.col("effort") < 1).then(None).otherwise(SEDIMENT_CONFIDENCE),
    )  # fmt: skip


def _risen(ratio: str, value: str, base: str, least: float) -> pl.Expr:
    """Return the median ratio, null where the rise itself is too small to mean anything."""
    rise = (pl.col(value) - pl.col(base)).median()
    return pl.when(rise >= least).then(pl.col(ratio).median())
