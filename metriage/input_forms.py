"""Inspections, customer reports, weather and works as people keep them: their headers and words.

The one list of both; ``docs/inputs.md`` is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lake.facts import INSPECTION_KIND, REPORT_KIND, WEATHER_KIND, WORK_KIND, FactKind, row_problems
from metriage.input_file import Form, Words
from metriage.registry_file import HEADERS

_METER_ID = HEADERS["meter_id"]
_NOTE = ("备注", "说明")
_RECORDED_AT = (*HEADERS["recorded_at"], "录入时间")

_INSPECTION_HEADERS: Mapping[str, tuple[str, ...]] = {
    "meter_id": _METER_ID,
    "inspected_at": ("检查时间", "巡检时间", "现场时间", "勘查时间", "检查日期", "巡检日期", "维修日期"),
    "inspector": ("检查人", "检查员", "巡检员", "巡检人", "维修人员", "处理人"),
    "finding": ("检查结果", "检查结论", "故障类型", "故障部位"),
    "cause": ("原因", "故障原因"),
    "ticket_id": ("工单号", "工单编号"),
    "seal_intact": ("铅封完好", "铅封是否完好", "铅封"),
    "tamper_signs": ("人为破坏", "拆动痕迹", "破坏痕迹"),
    "body_damage": ("外壳损伤", "表体损伤", "外力损伤"),
    "submerged": ("浸水", "是否浸水", "水淹", "进水"),
    "sediment_seen": ("杂质", "泥沙", "管道杂质"),
    "display": ("显示", "显示状态", "液晶显示"),
    "display_code": ("显示代码", "错误代码", "故障代码"),
    "register_reading_m3": ("表底数", "机械读数", "字轮读数", "现场读数", "表读数"),
    "action": ("处理措施", "处理方式", "处理"),
    "new_meter_id": ("新表号", "换上表号", "新表编号"),
    "note": _NOTE,
    "recorded_at": _RECORDED_AT,
}
_INSPECTION_WORDS: Words = {
    "finding": {
        "coil": ("发讯圈", "线圈", "发讯圈故障"),
        "battery": ("电池", "电池故障"),
        "actuator": ("执行器", "阀门", "执行器故障", "阀门故障"),
        "low_temperature": ("低温", "冻坏", "冻表", "低温冻损"),
        "other": ("其他", "其它"),
        "no_defect_found": ("无故障", "未发现故障", "正常"),
    },
    "cause": {
        "low_temperature": ("低温",),
        "moisture": ("受潮", "进水", "受潮或进水"),
        "sediment": ("泥沙", "杂质", "管道内泥沙或杂质"),
        "age": ("老化", "使用年限", "使用年限（老化）"),
        "production_batch": ("批次", "生产批次"),
        "module": ("模块", "通信模块"),
        "coverage": ("信号差", "信号覆盖差"),
        "report_storm": ("频繁上报",),
        "installation": ("安装",),
        "tamper": ("人为", "人为破坏", "外力破坏"),
        "software_conflict": ("软件冲突",),
        "unknown": ("未明", "不明", "未知"),
    },
    "seal_intact": {"yes": ("完好",), "no": ("破损", "缺失", "损坏", "丢失")},
    "display": {
        "ok": ("正常",),
        "blank": ("无显示", "不显示", "黑屏"),
        "code": ("代码", "报错", "错误代码"),
    },
    "action": {
        "none": ("无", "未处理"),
        "repaired": ("维修", "修复", "已修复"),
        "exchanged": ("换表", "更换", "已更换"),
        "returned": ("返厂", "退回"),
    },
}

_REPORT_HEADERS: Mapping[str, tuple[str, ...]] = {
    "meter_id": _METER_ID,
    "reported_at": ("报修时间", "反映时间", "投诉时间", "来电时间", "报修日期"),
    "symptom": ("现象", "故障现象", "反映问题", "问题描述"),
    "urgent": ("紧急", "是否紧急", "加急"),
    "note": _NOTE,
    "recorded_at": _RECORDED_AT,
}

_WEATHER_HEADERS: Mapping[str, tuple[str, ...]] = {
    "region": HEADERS["region"],
    "date": ("日期",),
    "min_c": ("最低气温", "最低温度"),
    "mean_c": ("平均气温", "平均温度"),
    "max_c": ("最高气温", "最高温度"),
    "precipitation_mm": ("降水量", "降雨量"),
    "forecast": ("预报", "是否预报"),
    "recorded_at": (*_RECORDED_AT, "发布时间"),
}

_WORK_HEADERS: Mapping[str, tuple[str, ...]] = {
    "region": HEADERS["region"],
    "site": HEADERS["site"],
    "from": ("开始时间", "起始时间", "停水时间", "开始日期"),
    "until": ("结束时间", "截止时间", "恢复时间", "结束日期"),
    "kind": ("类型", "施工类型", "停水类型", "内容"),
    "recorded_at": (*_RECORDED_AT, "公告时间", "发布时间"),
}


def _form(kind: FactKind, headers: Mapping[str, tuple[str, ...]], words: Words | None = None, **more: Any) -> Form:
    past = frozenset() if kind.happened is None else frozenset({kind.happened})
    return Form(kind.schema.columns, kind.key, headers, words or {}, partial(row_problems, kind), past=past, **more)


FORMS: Mapping[str, Form] = {
    INSPECTION_KIND.name: _form(INSPECTION_KIND, _INSPECTION_HEADERS, _INSPECTION_WORDS),
    REPORT_KIND.name: _form(REPORT_KIND, _REPORT_HEADERS),
    WEATHER_KIND.name: _form(WEATHER_KIND, _WEATHER_HEADERS, defaults={"forecast": False}),
    WORK_KIND.name: _form(WORK_KIND, _WORK_HEADERS, ends=frozenset({"until"})),
}
