"""Words that commands print for people, in the two languages of a site, and texts made safe for a terminal.

Command lines, JSON and exit codes are the same in both languages; so are the ids of rules and tickets.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from tickets.texts import texts

Language = Literal["en", "zh"]

# Short names for tables: English shows the contract's own words.
FAULTS_ZH: Mapping[str, str] = {
    "coil": "发讯圈",
    "battery": "电池",
    "actuator": "执行器",
    "low_temperature": "低温",
    "leak": "漏水",
    "backflow": "倒流",
    "tamper": "外力破坏",
    "communication": "通信",
    "clock": "时钟",
    "software_conflict": "软件冲突",
    "empty_pipe": "空管",
    "exchange": "换表",
    "memory": "存储",
    "credit": "计费",
    "high_flow": "超大流量",
}

_WORDS: Mapping[str, tuple[str, str]] = {
    "findings": ("Findings", "诊断结果"),
    "tickets": ("Tickets", "工单"),
    "ticket": ("ticket", "工单号"),
    "state": ("state", "状态"),
    "priority": ("priority", "优先级"),
    "priority_of_4": ("{} of 4, 1 is the most urgent", "{}（共 4 级，1 为最急）"),
    "meter": ("meter", "水表"),
    "fault_or_condition": ("fault or condition", "故障或工况"),
    "fault": ("fault", "故障"),
    "condition": ("condition", "工况"),
    "verdict": ("verdict", "判定"),
    "cause": ("cause", "原因"),
    "confidence": ("{} ({:.0f} % sure)", "{}（置信度 {:.0f} %）"),
    "onset": ("since", "始于"),
    "first_seen": ("first found", "首次判定"),
    "last_seen": ("last found", "最近判定"),
    "count": ("times", "次数"),
    "times_found": ("times found", "判定次数"),
    "rules": ("rules", "规则"),
    "action": ("what to do", "处理建议"),
    "proposal": ("proposed", "建议"),
    "proposed": ("to resolve it: no symptom as of {}", "结单：截至 {} 无症状"),
    "finished_at": ("finished", "结束时间"),
    "evidence": ("What was seen", "诊断依据"),
    "history": ("What happened", "处理记录"),
    "muted": ("Found too, but explained by something else", "其他结果（已有解释，不开工单）"),
    "muted_line": ("{fault}, explained by {by}: {first} to {last}, {count} times",
                   "{fault}，由{by}解释：{first} 至 {last}，{count} 次"),
    "deliveries": ("Events sent", "事件推送"),
    "nobody": ("nobody yet", "尚无接收方"),
    "picture": ("picture", "图片"),
    "no_findings": ("nothing found", "未发现异常"),
    "no_tickets": ("no open tickets; --all lists finished ones too", "没有未结工单；--all 列出全部"),
    "findings_count": ("{} to act on, {} to watch, {} cleared, on {} meters",
                       "需处理 {}，观察 {}，已恢复 {}，共 {} 只水表"),
    "tickets_count": ("{} tickets", "共 {} 张工单"),
    "as_of": ("as of {}: {} meter-days profiled", "截至 {}：计算 {} 个表日"),
    "unregistered": ("{} meters are not registered: {}", "{} 只水表未登记：{}"),
    "after_removal": ("{} meters report after their removal: {}", "{} 只水表在拆除后仍有上报：{}"),
    "backtest": ("the newest of {} findings over all steps; all are in lake/findings with mode = backtest",
                 "各步共 {} 条结果，此处为最新；全部以 mode = backtest 存入 lake/findings"),
    "act": ("act", "需处理"),
    "watch": ("watch", "观察"),
    "clear": ("clear", "已恢复"),
    "refused": ("refused", "无法判断"),
    "open": ("open", "未处理"),
    "acknowledged": ("acknowledged", "已确认"),
    "pending": ("pending", "待定"),
    "resolved": ("resolved", "已解决"),
    "closed": ("closed", "已关闭"),
    "wont_fix": ("will not be fixed", "不处理"),
    "waiting": ("waiting", "等待"),
    "sending": ("being sent", "发送中"),
    "delivered": ("delivered", "已送达"),
    "dead": ("given up", "已放弃"),
    "opened": ("opened", "建单"),
    "reopened": ("reopened", "重新打开"),
    "updated": ("updated", "更新"),
    "repeated": ("repeated", "重复提醒"),
    "resolution proposed": ("resolution proposed", "建议结单"),
    "proposal taken back": ("proposal taken back", "撤回结单建议"),
    "note": ("note", "备注"),
    "from_to": ("{} to {}", "{} 至 {}"),
    "from": ("from {}", "自 {} 起"),
    "to": ("up to {}", "截至 {}"),
    "limit": ("limit {}", "限值 {}"),
    "window": ("within {} days", "{} 天内"),
    "+days": ("on {} days", "共 {} 天"),
    "+names": ("these are {}", "即 {}"),
    "+comparisons": ("of {} compared", "共比较 {} 次"),
    "+readings": ("{} readings", "{} 次读数"),
    "+baseline": ("baseline {}", "基线 {}"),
    "+expected": ("expected {}", "预期 {}"),
    "+load": ("under load {}", "带载 {}"),
    "+usual": ("usually {} a day", "平时每日 {}"),
    "+before": ("before {}", "此前 {}"),
    "+least": ("at least {}", "最小 {}"),
    "+coldest": ("coldest {}", "最低 {}"),
    "+offset": ("apart by {}", "相差 {}"),
    "+signal": ("signal {}", "信号 {}"),
    "+flow": ("flow {}", "流量 {}"),
    "+limit": ("limit {}", "限值 {}"),
    "+travel": ("travel time {}", "行程时间 {}"),
    "+current": ("current {}", "电流 {}"),
    "+state": ("state {}", "状态 {}"),
    "+newest_state": ("newest state {}", "最近状态 {}"),
    "+command": ("command {}", "指令 {}"),
    "+commanded_at": ("commanded {}", "指令时间 {}"),
    "colon": (": ", "："),
    "comma": (", ", "，"),
    "semicolon": ("; ", "；"),
    "days": ("days", "天"),
    "hours": ("hours", "小时"),
}  # fmt: skip

# Whose characters steer a terminal or turn the reading direction instead of being read.
_STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_SHORT = 200


def word(key: str, language: Language) -> str:
    """Return a word in a language; what is none of ours comes back as it is."""
    found = _WORDS.get(key)
    return key if found is None else found[language == "zh"]


def fault_name(fault: str, language: Language) -> str:
    """Return the name of a fault or condition for a table."""
    return FAULTS_ZH.get(fault, fault) if language == "zh" else fault


def cause_name(cause: str | None, language: Language) -> str:
    """Return the name of a cause for a table."""
    if not cause:
        return ""
    return texts("zh").causes.get(cause, cause) if language == "zh" else cause


def moment(value: datetime | None) -> str:
    """Return a time as people read it.

    Examples
    --------
    >>> moment(datetime(2024, 7, 9, 12, 30, tzinfo=UTC))
    '2024-07-09 12:30 UTC'
    """
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def printable(text: str, *, escaped: bool = False) -> str:
    r"""Return a text without the characters that steer a terminal; lines stay lines.

    Parameters
    ----------
    text : str
        From anywhere.
    escaped : bool
        Keep them as JSON escapes instead of leaving them out.

    Examples
    --------
    >>> printable("a\x1b[31mb")
    'a[31mb'
    >>> printable("a\x9bb", escaped=True)
    'a\\u009bb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character == "\n" or unicodedata.category(character) not in _STEERING
        else json.dumps(character)[1:-1] * escaped
        for character in text
    )


def cell(value: object) -> str:
    """Return a foreign value for one line of a table: bounded, on one line, without steering characters."""
    text = " ".join(printable(" ".join(str(value)[: 4 * _SHORT].split())).split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def evidence_lines(evidence: str | None, language: Language) -> list[str]:
    """Return a finding's evidence as sentences: what was seen, value and unit, from when to when, against which limit.

    Examples
    --------
    >>> evidence_lines('[{"rule": "battery.low", "what": "voltage", "value": 3.31, "unit": "V"}]', "en")
    ['resting voltage, daily median: 3.31 V']
    """
    try:
        observations = json.loads(evidence or "[]")
    except ValueError:
        return [cell(evidence)]
    if not isinstance(observations, list):
        observations = [observations] if observations else []
    return [_sentence(item, language) if isinstance(item, Mapping) else cell(item) for item in observations]


# Said in words of their own, or told by the heading already.
_TOLD = frozenset({"rule", "what", "value", "unit", "from", "to", "threshold", "window_days", "by"})


def _sentence(observation: Mapping[str, Any], language: Language) -> str:
    what = str(observation.get("what", ""))
    from diagnostics.evidence import OBSERVATIONS  # noqa: PLC0415 - with it comes Polars, which the daemon does without

    subject = OBSERVATIONS[what][language == "zh"] if what in OBSERVATIONS else cell(what)
    unit = str(observation.get("unit") or "")
    parts = [_amount(observation.get("value"), unit, language)]
    if what == "muted":
        parts.append(fault_name(cell(observation.get("by", "")), language))
    parts.append(_between(observation, language))
    if observation.get("threshold") is not None:
        parts.append(word("limit", language).format(_amount(observation["threshold"], unit, language)))
    if observation.get("window_days") is not None:
        parts.append(word("window", language).format(_number(observation["window_days"])))
    parts += [
        _further(name, value, language)
        for name, value in observation.items()
        if name not in _TOLD and value is not None
    ]
    return f"{subject}{word('colon', language)}{word('comma', language).join(part for part in parts if part)}"


def _amount(value: object, unit: str, language: Language) -> str:
    names = {"d": word("days", language), "h": word("hours", language), "1": ""}
    return f"{_number(value)} {names.get(unit, cell(unit))}".strip()


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else cell(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}".rstrip("0").rstrip(".")


def _between(observation: Mapping[str, Any], language: Language) -> str:
    first, last = (_time(observation.get(name)) for name in ("from", "to"))
    if first and last:
        return word("from_to", language).format(first, last)
    return word("from", language).format(first) if first else word("to", language).format(last) if last else ""


def _time(value: object) -> str:
    try:
        return moment(datetime.fromisoformat(str(value))) if value else ""
    except ValueError:
        return cell(value)


_UNITS = {"v": "V", "c": "°C", "m3": "m³", "m3h": "m³/h", "mv": "mV", "ma": "mA", "s": "s", "h": "h"}


def _further(name: str, value: object, language: Language) -> str:
    """Return a further figure; its name ends in its unit."""
    stem, _, ending = name.rpartition("_")
    unit = _UNITS.get(ending, "") if stem else ""
    said = word(f"+{stem if unit else name}", language).removeprefix("+").replace("_", " ")
    amount = _time(value) if name.endswith("_at") else f"{_number(value)} {unit}".strip()
    return said.format(amount) if "{}" in said else f"{cell(said)} {amount}"


def joined(parts: Sequence[str], language: Language) -> str:
    """Return a list of names as one text."""
    return word("comma", language).join(parts)
