"""Evidence: what was seen, with value, unit, time and threshold, as JSON built by a JSON encoder and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

ISO_UTC = "%Y-%m-%dT%H:%M:%SZ"

# What an observation says, for people: English and Chinese.
OBSERVATIONS: Mapping[str, tuple[str, str]] = {
    "backward_days": ("days on which the register counted backwards", "字轮倒走天数"),
    "backward_counts": ("backward counts", "倒走次数"),
    "worst_backward": ("largest backward count", "最大一次倒走"),
    "overlapping_times": ("backward counts between overlapping deliveries", "重叠上报之间的倒走次数"),
    "register_jumps": ("register jumps that came back", "读数跳变后恢复次数"),
    "worst_jump": ("largest jump", "最大一次跳变"),
    "register_bits": ("the jump is a whole number of register bits", "跳变恰为寄存器位值"),
    "lone_surge": ("one increment above the flow limit", "单次超流量上限的增量"),
    "standing_with_flow": ("register stands while the flow signal says water flows", "有流量信号而走字不计数"),
    "fading_days": ("days of a part of the usual use before the end", "停走前仅计得平日一部分的天数"),
    "ended_days": ("days of next to no use since", "此后几乎不计数的天数"),
    "reverse_days": ("days on which the reverse register counted", "反向累计增加的天数"),
    "standing_days": ("days without flow in a home that used water every day", "平日每日用水而走字停止天数"),
    "sign_amplitude": ("sensing amplitude had faded", "此前发讯圈信号已减弱"),
    "sign_loss": ("less was counted on the days before the stop", "停走前数日计量已减少"),
    "sign_draws": ("each draw of water had counted less before, their number stayed", "此前每次用水计量偏少而次数不变"),
    "sign_code": ("codes of the sensing element", "采样类代码"),
    "sign_flow": ("readings with flow since the stop", "停走后仍有流量信号的次数"),
    "sign_running": ("days of flow without a pause before the stop", "停走前连续过水天数"),
    "sign_course": ("backward counts or jumps before the stop", "停走前倒走或跳变次数"),
    "sign_report": ("reported by the customer", "用户报修"),
    "sign_inspection": ("reading on site above ours", "现场抄读高于上报读数"),
    "sign_lot": ("meters of the lot that show the same", "同批次出现同样现象的表数"),
    "sign_cold": ("the stop began in the hardest frost for a month", "停走始于一个月来最冷时段"),
    "sign_thaw": ("days above 0 °C since, without flow", "此后零上天数仍未恢复"),
    "draw_share": ("what one draw of water counts, to its baseline", "单次用水计量与基线之比"),
    "draws_share": ("number of draws, to its baseline", "用水次数与基线之比"),
    "flow_share": ("middle flow of the day, to its baseline", "日内流量中值与基线之比"),
    "trickle": ("share of the usual day that is still counted", "仍计得的用水占平日之比"),
    "cold_spells": (
        "cold spells in which hardly anything was counted, with use between",
        "低温期几乎不计数、回暖后恢复的次数",
    ),
    "magnet_days": ("days with codes of tampering", "出现磁干扰代码的天数"),
    "use_share": ("use since, to that before", "此后用水量与此前之比"),
    "disowned_days": ("days on which the meter disowned its measurement", "表计自报测量无效天数"),
    "surge_days": ("days with increments above the flow limit", "增量超流量上限的天数"),
    "coil_signal": ("sensing amplitude against its baseline", "发讯圈信号幅度与基线之比"),
    "signal_back": ("sensing amplitude on the warm days, against its baseline", "回暖日信号幅度与基线之比"),
    "plateau_fall": ("resting voltage below its baseline, temperature taken off", "扣除温度后静态电压低于基线"),
    "low_voltage": ("resting voltage as a share of the expected one", "静态电压占预期值之比"),
    "load_sag": ("sag under load beyond its baseline", "带载压降超过基线"),
    "voltage": ("resting voltage, daily median", "静态电压日中值"),
    "temperature": ("temperature of these measurements", "测量时温度"),
    "slow_fall": (
        "median fall of the resting voltage over days, temperature taken off",
        "扣除温度后静态电压多日中位下降",
    ),
    "usual_scatter": ("usual scatter of the meter's daily voltage", "该表日电压的正常波动"),
    "counter_resets": ("resets of the message counter", "消息计数复位次数"),
    "reset_days": ("days with a reset of the message counter", "消息计数复位天数"),
    "silent_after_decline": ("silent since the battery began to fail", "电池异常后失联时间"),
    "remaining_life": ("battery life that is left", "电池剩余寿命"),
    "daily_drain": ("charge drawn a day", "日耗电量"),
    "uplinks": ("uplinks a day, weighted by coverage", "日上报次数（按覆盖等级折算）"),
    "command_disobeyed": ("the valve state contradicts the command", "阀门状态与指令不符"),
    "commands_missed": ("commands given up or replaced before they were carried out", "未执行即被放弃或替换的指令数"),
    "no_position": ("days on which no end position was seen", "未见到位信号的天数"),
    "no_flow_open": ("days without flow though the valve says open", "阀门显示开启而无流量的天数"),
    "customer_report": ("report of the customer", "用户报修"),
    "fault_hours": ("valve state fault up to its newest state", "阀门故障状态持续时间"),
    "closed_flow": ("volume through the closed valve", "关阀状态下过水量"),
    "valve_fault": ("readings with valve state fault", "阀门故障状态次数"),
    "travel_time": ("valve travel time against its baseline", "开关阀时间与基线之比"),
    "motor_current": ("motor current against its baseline", "电机电流与基线之比"),
    "frost": ("lowest temperature", "最低温度"),
    "frost_days": ("days of hard frost", "严寒天数"),
    "stopped_in_frost": ("days without flow from the frost on", "受冻后无流量天数"),
    "stops_around": ("homes around that stopped within days of it", "同期停走的户数"),
    "resumed_with_warmth": ("days without flow in frost that ended with warmth", "受冻停走、回暖后恢复的天数"),
    "burst_volume": ("volume of one day soon after frost", "受冻后单日水量"),
    "flow_after_thaw": ("smallest flow on a day after the frost", "解冻后最小流量"),
    "silent_after_frost": ("silence from the frost on", "受冻后失联时间"),
    "interleaved_registers": ("two registers interleaved under one id", "同一表号下两只表读数交替"),
    "register_restarted": ("the register starts again lower and stays there", "读数变小后不再恢复"),
    "gap": ("longest time without a measurement", "最长无数据时间"),
    "silence": ("silence up to the diagnosis", "至今失联时间"),
    "reception_gap": ("our own reception was interrupted", "本系统接收中断"),
    "no_standstill": ("days on which the register never stood still", "全天不停走天数"),
    "reverse_flow": ("volume of the reverse register", "反向累计量"),
    "sources": ("programs that deliver this meter", "上报该表的程序数"),
    "sources_disagree": ("registers on which programs disagree", "各程序读数不一致的次数"),
    "sources_firmware": ("programs tell different firmware", "各程序上报的固件版本不一致"),
    "sources_clock": ("programs give one message different times", "各程序对同一报文的时标之差"),
    "overlapping_deliveries": ("days with overlapping deliveries", "上报时间重叠天数"),
    "code": ("code of the meter", "表计代码"),
    "muted": ("muted by a condition that explains it", "被可解释的工况抑制"),
    "no_symptom_since": ("no symptom since", "症状消失时间"),
    "unconfirmed": ("codes that the diagnosis of all rules did not share", "后续诊断未确认的代码"),
    "silent_neighbours": ("silent meters of the place", "片区失联表计数"),
    "standing_neighbours": ("share of the place's homes without flow", "片区无用水住户占比"),
    "announced_works": ("announced works or outage", "已公告的施工或停水"),
    "held": ("kept until the symptom is gone", "症状消失前保持"),
    "likely_cause": ("most likely cause", "最可能原因"),
    "cold_before_onset": ("lowest temperature around the onset", "症状前后最低温度"),
    "follows_cold": ("the symptom comes and goes with the cold, rank correlation", "症状随低温出现和消退的秩相关"),
    "rain_before_onset": ("greatest rain of a day before the onset", "症状前最大日降雨"),
    "wet_place": ("the place may get wet", "表位易受潮积水"),
    "radio_fell": ("fall of the signal strength with the onset", "症状前后信号强度下降"),
    "neighbours_failed": ("other meters of the site that fail, too", "同一小区其他异常表计数"),
    "found_on_site": ("found on site", "现场检查所见"),
    "works_before_onset": ("pipe works before the onset", "症状前的管道施工"),
    "years_in_service": ("age", "使用年限"),
    "signal_strength": ("signal strength", "信号强度"),
    "coverage_class": ("coverage class", "覆盖等级"),
    "storm_days": ("days with many times the usual reports", "频繁上报天数"),
    "group_excess": ("cases in the group", "该组故障表计数"),
    "days_since_installation": ("days from installation to the onset", "安装至症状出现天数"),
    "lowest_expected": ("lowest temperature expected at the meter", "预计表位最低温度"),
    "degree_hours": ("expected degree-hours below 0 °C", "预计零下度时"),
    "water_stands": ("nobody draws water there now", "目前无人用水"),
    "water_runs": ("water never stands there", "持续过水"),
    "water_not_registered": ("water that was not registered since", "此后未计量的水量"),
    "failures_so_far": ("failures so far", "已发生故障数"),
    "failures_to_come": ("failures expected", "预期故障数"),
    "batch_excess": ("meters of the group with the fault", "该组故障表数"),
    "batch_chance": ("probability of so many by chance", "随机出现的概率"),
    "batch_alone": ("share of the exposure that nobody else shares", "无可比对象的暴露占比"),
    "batch_places": ("regions with more than expected", "高于预期的区域数"),
    "batch_overlap": ("shares most failures with", "故障多集中于"),
    "batch_cold": ("failures in the light of the cold", "考虑受冻后的故障数"),
    "batch_strata": ("exposures compared", "比较的暴露分层数"),
    "explained_by": ("explained by", "原因说明"),
}


def observation(
    rule: str,
    what: str,
    value: pl.Expr,
    unit: str = "",
    *,
    since: pl.Expr | None = None,
    until: pl.Expr | None = None,
    threshold: float | pl.Expr | None = None,
    window_days: int | None = None,
    **more: pl.Expr | float | str,
) -> pl.Expr:
    """Return one JSON object a row; null where `value` is null.

    Parameters
    ----------
    rule : str
        Id of the rule that saw it.
    what : str
        A key of :data:`OBSERVATIONS`.
    value : polars.Expr
        Number or text; strings are encoded, never formatted.
    unit : str
        Unit of `value` and `threshold`.
    since, until : polars.Expr, optional
        UTC times between which it was seen.
    threshold : float or polars.Expr, optional
        What `value` was compared with.
    window_days : int, optional
        Days looked at [days].
    **more : polars.Expr, float or str
        Further fields; names that carry a value end in its unit.
    """
    if what not in OBSERVATIONS:
        raise KeyError(what)
    fields: dict[str, pl.Expr] = {"rule": pl.lit(rule), "what": pl.lit(what), "value": value, "unit": pl.lit(unit)}
    if since is not None:
        fields["from"] = since.dt.strftime(ISO_UTC)
    if until is not None:
        fields["to"] = until.dt.strftime(ISO_UTC)
    if threshold is not None:
        fields["threshold"] = threshold if isinstance(threshold, pl.Expr) else pl.lit(threshold)
    if window_days is not None:
        fields["window_days"] = pl.lit(window_days)
    fields |= {name: field if isinstance(field, pl.Expr) else pl.lit(field) for name, field in more.items()}
    encoded = pl.struct(field.alias(name) for name, field in fields.items()).struct.json_encode()
    return pl.when(value.is_not_null()).then(encoded)


def together(*observations: pl.Expr) -> pl.Expr:
    """Return the observations of a row as a list of JSON objects, without the empty ones."""
    return pl.concat_list(observations).list.drop_nulls()
