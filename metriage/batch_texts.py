"""What is said of groups of meters, in English and Chinese: words of pictures, tables and the dossier."""

from __future__ import annotations

from collections.abc import Mapping

from metriage.labels import Language, cause_name
from metriage.picture_texts import FAULT_NAMES

_SCOPES: Mapping[str, tuple[str, str]] = {
    "production_batch": ("production batch", "生产批次"),
    "module_vendor": ("module vendor", "模组厂家"),
    "model": ("model", "型号"),
    "firmware": ("firmware", "固件"),
    "region": ("region", "区域"),
    "site": ("site", "小区"),
    "installer": ("installer", "安装方"),
}

_STRATA: Mapping[str, tuple[str, str]] = {
    "cold": ("cold", "受冻程度"),
    "installation": ("installation", "安装方式"),
    "radio": ("radio", "信号"),
    "flood": ("flood-prone", "易积水"),
    "region": ("region", "区域"),
    "site": ("site", "小区"),
    "age_from_days": ("age", "表龄"),
}

# Values that a stratum may have, beside those of the registry.
_VALUES: Mapping[str, tuple[str, str]] = {
    "hard": ("hard", "严重"),
    "some": ("some", "轻微"),
    "none": ("none", "无"),
    "good": ("good", "良好"),
    "fair": ("fair", "一般"),
    "weak": ("weak", "弱"),
    "unknown": ("unknown", "未知"),
    "?": ("unknown", "未知"),
    "true": ("yes", "是"),
    "false": ("no", "否"),
    "indoor": ("indoor", "户内"),
    "outdoor": ("outdoor", "户外"),
    "basement": ("basement", "地下室"),
    "pit": ("pit", "表井"),
}

_SAID: Mapping[str, tuple[str, str]] = {
    # verdicts
    "act": ("act", "需处理"),
    "watch": ("watch", "观察"),
    "normal": ("normal", "正常"),
    "not_separable": ("not separable", "无法区分"),
    # pictures
    "funnel_title": ("{fault}: every {scope}", "{fault}：各{scope}"),
    "funnel_sentence": (
        "{groups} groups. Observed to expected at the rate of others in the same place; between the lines lies chance.",
        "共 {groups} 组。实际数与同等条件下预期数之比；虚线之间为随机波动。",
    ),
    "limits_90": ("chance, 90 %", "随机波动 90 %"),
    "limits_998": ("chance, 99.8 %", "随机波动 99.8 %"),
    "interval": ("shrunken ratio, 90 % interval", "收缩后比值 90 % 区间"),
    "axis_expected": ("expected failures", "预期故障数"),
    "axis_ratio": ("observed / expected", "实际 / 预期"),
    "axis_meters": ("meters", "只"),
    "axis_difference": ("observed − expected", "实际 − 预期"),
    "observed_line": ("observed", "实际"),
    "expected_line": ("expected", "预期"),
    "chance_band": ("chance, 90 %", "随机波动 90 %"),
    "timeline_sentence": (
        "Cumulated: {observed} failed; {expected} would have at the rate of others in the same place.",
        "累计：实际 {observed} 只；按同等条件下其他表计预期 {expected} 只。",
    ),
    "scope_timeline_title": ("{fault}: observed − expected of every {scope}", "{fault}：各{scope}实际 − 预期"),
    "scope_timeline_sentence": (
        "{groups} groups, diagnosis after diagnosis.",
        "共 {groups} 组，按历次诊断。",
    ),
    "places_sentence": ("Failures in each place, and what others there let expect.", "各地实际故障数与当地预期数。"),
    "nothing_to_draw": ("nothing to draw yet", "暂无可绘制数据"),
    "one_diagnosis": ("nothing to draw before a second diagnosis", "需至少两次诊断方可绘制"),
    # tables
    "batch_findings": ("Groups of meters", "分组诊断结果"),
    "no_batches": ("no group of meters stands out", "没有异常的分组"),
    "scope": ("scope", "分组方式"),
    "key": ("which", "名称"),
    "fault": ("fault", "故障"),
    "verdict": ("verdict", "判定"),
    "cause": ("cause", "原因"),
    "meters": ("meters", "表数"),
    "exposure": ("meter-days", "表日"),
    "observed": ("observed", "实际"),
    "expected": ("expected", "预期"),
    "ratio": ("ratio", "比值"),
    "interval_90": ("90 % interval", "90 % 区间"),
    "q_value": ("q", "q 值"),
    "batches_count": (
        "groups to act on: {}, to watch: {}, not to be told apart from their place: {}; looked at: {}",
        "需处理 {} 组，观察 {} 组，无法与所处条件区分 {} 组；共比较 {} 组",
    ),
    "more_groups": ("{} of {} are shown; --json has all", "显示 {} / {} 组；--json 含全部"),
    "to_come": (
        "within {} days {} more failures are expected (90 %: {} to {})",
        "{} 天内预期新增故障 {} 只（90 %：{} 至 {}）",
    ),
    "spares_of": ("spare meters for region {}: {} (all faults)", "区域 {} 建议备用表：{} 只（全部故障）"),
    "nothing_told_by": (
        "no diagnosis had looked at groups by {}; the first one did on {}",
        "截至 {} 尚无分组诊断；首次分组诊断为 {}",
    ),
    "nothing_told": (
        "no diagnosis has looked at groups yet; run `metriage diagnose`",
        "尚无分组诊断；请先运行 metriage diagnose",
    ),
    "looked_at": ("as of {}, diagnosis {}", "截至 {}，诊断 {}"),
    # of the dossier
    "epidemic": (
        "{share} of the {meters} meters that were watched have the fault: an epidemic failure (1 % or more).",
        "本组受监测的 {meters} 只表中已有 {share} 出现该故障：属批量失效（≥ 1 %）。",
    ),
    "synthetic": ("These meters are simulated.", "本数据为仿真数据。"),
}  # fmt: skip


def said(key: str, language: Language) -> str:
    """Return a text by its key."""
    return _SAID[key][language == "zh"]


def scope_title(scope: str, language: Language) -> str:
    """Return the name of a scope; an unknown one as it is."""
    return _SCOPES[scope][language == "zh"] if scope in _SCOPES else scope


def stratum_title(name: str, language: Language) -> str:
    """Return the name of what meters are compared within; an unknown one as it is."""
    return _STRATA[name][language == "zh"] if name in _STRATA else name


def stratum_value(name: str, value: str, language: Language) -> str:
    """Return what a stratum's value means; an age band by the years from which on it holds."""
    if name == "age_from_days" and value.isdigit():
        years = round(int(value) / 365)
        return f"{years} 年以上" if language == "zh" else f"{years} years on"
    return _VALUES[value][language == "zh"] if value in _VALUES else value


def fault_title(fault: str, language: Language) -> str:
    """Return the name of a fault as titles say it."""
    return FAULT_NAMES[language].get(fault, fault)


def cause_title(cause: str | None, language: Language) -> str:
    """Return the name of a cause, with spaces in English."""
    name = cause_name(cause, language)
    return name.replace("_", " ") if language == "en" else name
