"""Texts of the dossier in English and Chinese, with the eight headings of an 8D report."""

from __future__ import annotations

from collections.abc import Mapping

from metriage.batch_texts import said
from metriage.labels import Language

_TEXTS: Mapping[str, tuple[str, str]] = {
    "compared": ("Compared with others in the same place", "与同等条件下其他表计比较"),
    "compared_how": (
        (
            "Days at risk are counted from the day a meter was first seen to its failure, removal, silence or this"
            " diagnosis. What is to be expected are the failures that all other groups have, exposure by exposure and"
            " place by place."
        ),
        "风险天数自首次上报起，至故障、拆除、失联或本次诊断止。预期数为其他各组在同样暴露、同样地点下的故障数。",
    ),
    "funnel_alt": ("funnel plot of all groups", "各组漏斗图"),
    "timeline_alt": ("failures and expectation over time", "故障数与预期数的时间曲线"),
    "places_alt": ("failures and expectation by region", "各区域故障数与预期数"),
    "every_fault": ("The same group, every fault", "该组各类故障"),
    "strata": ("Exposure by exposure", "按暴露分层"),
    "strata_how": (
        "The largest ones; the rate of others per 1,000 meter-days.",
        "列出主要分层；其他各组每千表日故障率。",
    ),
    "stratum": ("exposure", "暴露分层"),
    "others_rate": ("others’ rate", "其他组故障率"),
    "ahead": ("What is to come", "后续预测"),
    "within": ("within", "期限"),
    "within_days": ("{} days", "{} 天"),
    "failures_to_come": ("failures expected", "预期故障数"),
    "spares": ("Spare meters", "备用表"),
    "spares_how": (
        ("For the regions of this group and all faults: what waits for exchange and what is to come until the next"
        " delivery."),
        "涵盖该组所在区域的全部故障：待更换数加下次到货前的预期数。",
    ),
    "region": ("region", "区域"),
    "recommended": ("recommended", "建议备用"),
    "waiting": ("wait for exchange", "待更换"),
    "service_level": ("does in", "满足率"),
    "no_forecast": ("Nothing is forecast for this group.", "该组暂无预测。"),
    "failed_meters": ("Meters with the fault", "故障表计"),
    "failed_how": (
        "Of each the first day of the symptom and what its newest finding says.",
        "列出症状首日及最近一次诊断依据。",
    ),
    "failed_more": (
        "{shown} of {all} are shown; all are in failures.csv.",
        "显示 {shown} / {all}；全部见 failures.csv。",
    ),
    "meter": ("meter", "水表"),
    "failed": ("since", "始于"),
    "place": ("place", "地点"),
    "installed": ("installed", "安装"),
    "warranty": ("warranty", "质保"),
    "what_was_seen": ("what was seen", "诊断依据"),
    "in_warranty": ("in warranty", "质保期内"),
    "expired": ("expired", "已过质保"),
    "void": ("void", "已失效"),
    "unknown": ("unknown", "未知"),
    "by_inspection": ("found on site", "现场检查发现"),
    "excluded": ("What does not count, and why", "未计入的表计与判定及原因"),
    "none_excluded": ("Nothing was left out.", "无排除项。"),
    "reason": ("reason", "原因"),
    "count": ("number", "数量"),
    "for_example": ("for example", "例如"),
    "eight_d_how": (
        "Filled as far as data can. An open box is for people; what is not known is said to be unknown.",
        "已按数据填写；方框项由人员补充，未知之处如实注明。",
    ),
    "files": ("What goes along", "随附文件"),
    "file": ("file", "文件"),
    "rows": ("rows", "行数"),
    "holds": ("holds", "内容"),
    "private": (
        "Customers and coordinates are left out of all files.",
        "所有文件均不含用户信息与坐标。",
    ),
    "failures.csv": ("meters with the fault, with cause and evidence", "故障表计及原因、依据"),
    "registry.csv": ("all meters of the group: registry, time at risk, warranty", "该组全部表计：台账、风险期、质保"),
    "excluded.csv": ("what does not count, and why", "未计入项及原因"),
    "comparison.csv": ("all groups of the scope, compared", "该分组方式下各组比较结果"),
    "timeline.csv": ("failures and expectation, week by week", "每周故障数与预期数"),
    "findings.parquet": ("every finding on these meters and this fault", "相关表计该故障的全部诊断结果"),
    "daily.parquet": ("their daily profiles", "相关表计的日数据"),
    "readings.parquet": (
        "their raw readings around the failure ({most} meters at most)",
        "故障前后原始读数（最多 {most} 只表）",
    ),
    # 8D
    "d1": ("D1 Team", "D1 小组"),
    "d1_open": (
        "Head of the investigation; engineers of the maker and of the supplier of the part",
        "调查负责人；我方及供方工程师",
    ),
    "d2": ("D2 Problem", "D2 问题描述"),
    "d2_since": (
        "First failure {first}, newest {last}. In service since {installed}. Regions: {regions}.",
        "首例故障 {first}，最近 {last}。安装时间自 {installed} 起。区域：{regions}。",
    ),
    "d2_what": (
        "Models: {models}. Module vendors: {vendors}. Firmware: {firmware}. Lots: {lots}.",
        "型号：{models}。模组厂家：{vendors}。固件：{firmware}。批次：{lots}。",
    ),
    "d2_open": ("Symptom on site, photos, state of seal and case", "现场症状、照片、铅封及外壳状态"),
    "d3": ("D3 Containment", "D3 临时措施"),
    "d3_living": (
        ("{living} meters of the group hang and work; {waiting} with the fault still hang. Warranty of the failed ones:"
        " {warranty}."),
        "该组在装且正常 {living} 只；故障仍在装 {waiting} 只。故障表质保：{warranty}。",
    ),
    "d3_ahead": (
        "Within {days} days {value} more are expected (90 %: {low} to {high}).",
        "{days} 天内预期新增 {value} 只（90 %：{low} 至 {high}）。",
    ),
    "d3_route": (
        "{waiting} sets: {route}",
        "{waiting} 套：{route}",
    ),
    "route_single": ("exchange one by one", "逐只更换"),
    "route_repair": ("small number (5 to 15): repair", "数量较少（5–15）：返修"),
    "route_production": (
        "more than 15: back to production, quality-exception order",
        "超过 15：返生产，开具质量异常单",
    ),
    "d3_open": (
        (
            "Stop what is in stock of the same group; exchange now from stock or by an urgent order; "
            "faulty meters come back"
        ),
        "封存同组库存；先用库存或紧急订单更换；故障表返回",
    ),
    "d4": ("D4 Root cause", "D4 根本原因"),
    "d4_open": (
        "Dissect returned meters: confirm or refute the above on the part itself",
        "拆解返回表计，在部件上证实或否定上述判断",
    ),
    "d5": ("D5 Chosen corrective action", "D5 选定纠正措施"),
    "d5_open": ("Corrective action and the proof that it works", "纠正措施及有效性验证"),
    "d6": ("D6 Corrective action carried out", "D6 实施纠正措施"),
    "d6_open": ("From which lot, firmware or date on", "自哪一批次、固件或日期起生效"),
    "d7": ("D7 Keep it from coming back", "D7 预防再发"),
    "d7_related": (
        "Groups with the same fault that stand out, too: {others}.",
        "同类故障中同样异常的分组：{others}。",
    ),
    "d7_none": ("No other group of this scope stands out with this fault.", "该分组方式下无其他异常分组。"),
    "d7_open": ("Incoming inspection, specification, process", "来料检验、规范、工艺"),
    "d8": ("D8 Closure", "D8 结案"),
    "d8_watch": (
        "Every diagnosis compares the group anew: it is over when the ratio falls back and stays there.",
        "每次诊断均重新比较该组；比值回落并保持后方可结案。",
    ),
    "d8_open": ("Signed by both sides, archived", "双方签字、归档"),
    "none": ("none", "无"),
}  # fmt: skip

_SHARED = ("fault", "verdict", "meters", "observed", "expected", "ratio", "interval_90", "exposure", "cause",
           "synthetic", "act", "watch", "normal", "not_separable")  # fmt: skip


def dossier_texts(language: Language) -> dict[str, str]:
    """Return all texts of a language by their keys."""
    own = {key: pair[language == "zh"] for key, pair in _TEXTS.items()}
    return own | {key: said(key, language) for key in _SHARED}
