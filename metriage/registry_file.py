"""The registry as people keep it: which header means which column, and which word which value.

The one list of headers and words; ``docs/registry.md`` is made from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lake.errors import RowError
from lake.meter import Meter, meter_problems
from lake.vocabulary import METER
from metriage.input_file import Form

# Beside the column's own name. Several columns of one file may hold aliases.
HEADERS: Mapping[str, tuple[str, ...]] = {
    "meter_id": ("表号", "水表号", "水表编号", "表编号", "表具编号", "表计编号"),
    "aliases": (
        "别名",
        "表身号",
        "钢号",
        "出厂编号",
        "序列号",
        "通讯地址",
        "表地址",
        "卡号",
        "DevEUI",
        "IMEI",
        "IMEI号",
    ),
    "model": ("型号", "水表型号", "表型号", "规格型号"),
    "manufacturer": ("厂家", "水表厂家", "生产厂家", "表厂", "制造商"),
    "module_vendor": ("模块厂家", "模块厂商", "模组厂家", "通讯模块厂家"),
    "module_encrypted": ("模块加密", "是否加密"),
    "sensing": ("采样方式", "传感方式", "发讯方式"),
    "valve_type": ("阀门类型", "阀型"),
    "battery_type": ("电池型号", "电池类型"),
    "battery_capacity_mah": ("电池容量",),
    "caliber_mm": ("口径", "公称口径", "管径", "DN"),
    "ip_rating": ("防护等级",),
    "firmware": ("固件版本", "软件版本", "程序版本"),
    "production_batch": ("生产批次", "批次", "批次号", "批号"),
    "produced_on": ("生产日期", "制造日期"),
    "shipped_on": ("发货日期", "出厂日期", "供货日期"),
    "installed_on": ("安装日期", "装表日期", "挂表日期"),
    "removed_on": ("拆除日期", "拆表日期", "换下日期"),
    "warranty_months": ("质保月数", "质保期(月)", "保修期(月)"),
    "installation": ("安装环境",),
    "flood_prone": ("易积水", "是否易积水", "易淹"),
    "installer": ("安装单位", "施工单位", "安装队", "安装人"),
    "project": ("项目", "项目名称", "工程名称"),
    "region": ("区域", "地区", "片区"),
    "site": ("小区", "小区名称", "站点", "地点"),
    "timezone": ("时区",),
    "latitude": ("纬度",),
    "longitude": ("经度",),
    "customer_ref": ("户号", "用户号", "用户编号", "客户编号"),
    "recorded_at": ("记录时间", "登记时间"),
}

# Beside the word itself.
VALUES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sensing": {
        "reed": ("干簧管", "双干簧管", "干簧"),
        "inductive": ("无磁", "无磁传感", "电感"),
        "hall": ("霍尔",),
        "optical": ("光电", "光电直读", "直读"),
        "ultrasonic": ("超声波", "超声"),
    },
    "valve_type": {
        "none": ("无", "无阀", "不带阀"),
        "ball_motor": ("球阀", "电动球阀"),
        "pilot": ("先导阀", "先导式", "电磁先导阀"),
        "ceramic": ("陶瓷阀", "陶瓷片", "陶瓷"),
    },
    "installation": {
        "indoor": ("室内", "户内"),
        "outdoor": ("室外", "户外"),
        "basement": ("地下室",),
        "pit": ("表井", "水表井", "井内"),
    },
}


def meter_of(row: Mapping[str, Any]) -> Meter:
    """Return the meter of a row that was read; a cell that is not there or empty says nothing."""
    told = {name: value for name, value in row.items() if value is not None}
    return Meter(**{"meter_id": "", **told})


def _problems(row: Mapping[str, Any]) -> Iterator[RowError]:
    return meter_problems(meter_of(row))


REGISTRY_FORM = Form(METER, ("meter_id",), HEADERS, VALUES, _problems, several="aliases")
