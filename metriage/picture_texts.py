"""Words on the pictures, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

from metriage.labels import FAULTS_ZH

FAULT_NAMES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "coil": "coil (sensing element)",
        "battery": "battery",
        "actuator": "actuator (valve)",
        "low_temperature": "low temperature (frost)",
        "leak": "leak",
        "backflow": "backflow",
        "tamper": "tamper",
        "communication": "communication",
        "clock": "clock",
        "software_conflict": "software conflict",
        "empty_pipe": "empty pipe",
        "exchange": "meter exchange",
        "memory": "memory",
        "credit": "credit",
        "high_flow": "high flow",
    },
    # The short names of the tables, said more fully where a picture has the room.
    "zh": {**FAULTS_ZH, "actuator": "执行器（阀门）", "low_temperature": "低温冻损"},
}

VERDICT_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "act": "act: needs service",
        "watch": "watch: not yet sure",
        "clear": "clear: over",
        "refused": "no verdict",
    },
    "zh": {"act": "需处理", "watch": "继续观察", "clear": "已恢复", "refused": "无法判断"},
}

_TEXTS: Mapping[str, tuple[str, str]] = {
    "register": ("register [m³]", "累计流量 [m³]"),
    "flow": ("flow [m³/h]", "流量 [m³/h]"),
    "reverse": ("reverse register", "反向累计"),
    "use_a_day": ("use a day [L]", "日用水量 [L]"),
    "step": ("change between\nreadings [L]", "相邻读数之差 [L]"),
    "voltage": ("battery at rest [V]", "电池静态电压 [V]"),
    "temperature": ("temperature [°C]", "温度 [°C]"),
    "travel": ("travel [s]", "行程时间 [s]"),
    "current": ("current [mA]", "电机电流 [mA]"),
    "readings_a_day": ("readings a day", "每日读数"),
    "onset": ("onset", "起始"),
    "since": ("since {onset}", "自 {onset} 起"),
    "synthetic": ("SYNTHETIC DATA", "仿真数据"),
    "odd_step": ("backwards, or impossible", "倒转或不可能的跳变"),
    "standstill": ("no advance", "读数不变"),
    "close_look": ("the worst place, close up", "最严重处放大"),
    "frames": ("single readings", "单次读数"),
    "daily_median": ("daily median", "日中位数"),
    "explained": ("expected at this temperature", "该温度下的预期电压"),
    "missing": ("voltage missing", "缺失的电压"),
    "fall_limit": ("limit: {fall:.0f} mV below", "限值：低 {fall:.0f} mV"),
    "no_temperature": ("the meter reports no temperature", "该表不上报温度"),
    "no_readings": ("no readings in this window", "该时段无读数"),
    "below_zero": ("below 0 °C", "低于 0 °C"),
    "still_label": ("nothing for {days:.1f} days", "{days:.1f} 天无流量"),
    "register_n": ("register {n}", "读数序列 {n}"),
    "as_received": ("as received", "接收顺序"),
    "silence": ("silence", "无通信"),
    "days": ("{days:.1f} days", "{days:.1f} 天"),
    "flow_shut": ("flow though it should be shut", "应关闭却有流量"),
    "told": ("told", "命令"),
    "says": ("says", "状态"),
    "open": ("open", "开"),
    "closed": ("closed", "关"),
    "moving": ("moving", "动作中"),
    "fault": ("fault", "故障"),
    "unknown": ("unknown", "未知"),
    "refused": ("refused: {why}", "拒绝：{why}"),
    "coil_backwards": (
        "the register counts backwards {n} times, worst {worst:,.0f} L{bits}",
        "读数倒转 {n} 次，最大 {worst:,.0f} L{bits}",
    ),
    "coil_jumps": (
        "the register jumps: {n} times back, worst {worst:,.0f} L{bits}, {jumps} times forward",
        "读数跳变：倒退 {n} 次，最大 {worst:,.0f} L{bits}，前跳 {jumps} 次",
    ),
    "coil_forward": (
        "the register jumps forward {n} times, worst {worst:,.0f} L{bits}",
        "读数前跳 {n} 次，最大 {worst:,.0f} L{bits}",
    ),
    "coil_still": (
        "the register stands still for {days:.0f} days while readings come: stuck, or nobody at home",
        "读数 {days:.0f} 天不变而通信正常：卡死或无人用水",
    ),
    "battery_sentence": (
        "{last:.3f} V on {day}: {gap:.0f} mV below what is expected at this temperature ({expected:.3f} V)",
        "{day} 为 {last:.3f} V，比该温度下预期的 {expected:.3f} V 低 {gap:.0f} mV",
    ),
    "battery_alone": ("{last:.3f} V on {day}", "{day} 为 {last:.3f} V"),
    "battery_fine": (
        "{last:.3f} V on {day}, as expected at this temperature ({expected:.3f} V)",
        "{day} 为 {last:.3f} V，该温度下预期 {expected:.3f} V",
    ),
    "actuator_unanswered": (
        "commands not carried out: {n}; {volume:.2f} m³ flowed though it should be shut",
        "{n} 次命令未到位；应关闭期间流过 {volume:.2f} m³",
    ),
    "actuator_leaks": (
        "{volume:.2f} m³ flowed while the valve should be shut",
        "应关闭期间流过 {volume:.2f} m³",
    ),
    "actuator_strokes": ("commands, states and strokes of the valve", "阀门的命令、状态与动作"),
    "frost_sentence": (
        "down to {low:.0f} °C, no flow for {days:.1f} days, then {flow:.2f} m³/h on average",
        "最低 {low:.0f} °C，{days:.1f} 天无流量，随后平均 {flow:.2f} m³/h",
    ),
    "frost_plain": ("temperature, flow and register", "温度、流量与读数"),
    "exchange_sentence": (
        "two registers under one id, {first:.1f} and {second:.1f} m³, {start} to {end}",
        "同一表号两个读数序列：{first:.1f} 与 {second:.1f} m³，{start} 至 {end}",
    ),
    "communication_counted": (
        "silent for {days:.1f} days at the longest ({n}×); the register went on meanwhile: {volume:+.2f} m³",
        "无通信 {n} 次，最长 {days:.1f} 天；期间读数仍增加 {volume:+.2f} m³",
    ),
    "communication_sentence": (
        "silent for {days:.1f} days at the longest ({n}×)",
        "无通信 {n} 次，最长 {days:.1f} 天",
    ),
    "communication_lasting": ("silent for {days:.1f} days and still so", "已 {days:.1f} 天无通信，仍未恢复"),
    "clock_sentence": (
        "{n} readings follow the one before much too soon: the clock was set, or two senders",
        "{n} 次读数与前一次间隔过短：时钟被校正，或有两个上报源",
    ),
    "flow_sentence": (
        "{mean:.2f} m³/h on average, {volume:.1f} m³ in {days:.1f} days",
        "平均 {mean:.2f} m³/h，{days:.1f} 天共 {volume:.1f} m³",
    ),
    "minute": ("minute of the hour", "读数时刻（分）"),
    "too_close": ("too soon after the one before", "与前一次间隔过短"),
    "communication_fine": ("no silence longer than a day", "无超过一天的通信中断"),
}

LABELS: Mapping[str, Mapping[str, str]] = {
    "en": {key: english for key, (english, _) in _TEXTS.items()},
    "zh": {key: chinese for key, (_, chinese) in _TEXTS.items()},
}
