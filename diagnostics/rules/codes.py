"""Codes that a meter's vendor profile has translated into a family: one rule for each fault and condition."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from diagnostics.common_mode import dips_of_codes
from diagnostics.evidence import observation, together
from diagnostics.features import View
from diagnostics.rules.rule import Text, fired, nothing, rule
from diagnostics.settings import CodeSettings, RuleSettings
from lake.vocabulary import CAUSES, CONDITIONS, FAULTS

SHOWN = 5  # codes in the evidence

FAMILIES = {
    "coil": ("sensing element", "发讯圈"),
    "battery": ("battery", "电池"),
    "actuator": ("actuator", "执行器（电控阀）"),
    "low_temperature": ("low temperature", "低温"),
    "leak": ("leak", "漏水"),
    "backflow": ("backflow", "倒流"),
    "tamper": ("tamper", "磁干扰或拆表"),
    "communication": ("communication", "通信"),
    "clock": ("clock", "时钟"),
    "software_conflict": ("software conflict", "软件冲突"),
    "empty_pipe": ("empty pipe", "空管"),
    "memory": ("memory", "存储器"),
    "credit": ("credit", "余额"),
    "high_flow": ("high flow", "大流量"),
}  # fmt: skip

ACTIONS = {
    "coil": ("Compare register and display on site; check coil, cable and magnets; exchange the sensing module.",
             "现场核对基表字轮与显示读数；检查发讯圈、连线及磁干扰；更换采样模块。"),
    "battery": ("Measure the battery at rest and under load; look for moisture; exchange the battery.",
                "测量静态及带载电压；检查进水受潮；更换电池。"),
    "actuator": ("Run the valve both ways on site; look for sediment; exchange the actuator.",
                 "现场开关阀各一次；检查泥沙杂质；更换执行器。"),
    "low_temperature": ("Check for ice, cracks and wet parts; insulate; read again after thaw.",
                        "检查结冰、开裂及受潮；做好保温；解冻后复核读数。"),
    "leak": ("Look for a leak behind the meter.", "检查表后漏水。"),
    "backflow": ("Check the direction of installation and the check valve.", "检查安装方向及止回阀。"),
    "tamper": ("Check seal, magnets and screws; take photos.", "检查铅封、磁铁及螺钉；拍照留证。"),
    "communication": ("Check signal strength, antenna and SIM.", "检查信号、天线及卡。"),
    "clock": ("Set the clock; check who else sets it.", "校时；检查是否有其他程序校时。"),
    "software_conflict": ("Find every program that operates this meter.", "查明操作该表的所有软件。"),
    "empty_pipe": ("Check supply and air in the pipe.", "检查供水及管内空气。"),
    "memory": ("Read the stored values and exchange the module.", "读出存储数据并更换模块。"),
    "credit": ("Nothing technical: settle the account.", "非技术问题：处理账户余额。"),
    "high_flow": ("Check for a burst pipe and for the right meter size.", "检查爆管及表计口径。"),
}  # fmt: skip


def code_rule(family: str) -> Callable[[View, CodeSettings], pl.DataFrame]:
    """Return the rule function for the codes of `family`."""
    name = f"{family}.codes"
    exposure = family == "low_temperature"  # a freeze code alone is exposure, at most watch

    def evaluate(seen: View, settings: CodeSettings) -> pl.DataFrame:
        told = seen.codes.filter((pl.col("family") == family) & (pl.col("age_days") < settings.window_days))
        if told.is_empty():
            return nothing()
        bad = pl.col("severity") <= settings.act_severity
        if family == "battery":
            dips = dips_of_codes(seen).with_columns(pl.lit(value=True).alias("dip"))
            told = told.join(dips, on=["meter_id", "day"], how="left", maintain_order="left")
            bad &= pl.col("dip").is_null()
        hits = told.group_by("meter_id", maintain_order=True).agg(
            pl.col("severity").min(),
            pl.col("day").filter(bad).n_unique().alias("bad_days"),
            pl.col("first_ts").min(),
            pl.col("last_ts").max(),
            pl.col("day").n_unique().alias("days"),
            pl.col("code").unique().sort().head(SHOWN).alias("codes"),
        )
        at_once = pl.col("severity") <= settings.act_at_once_severity
        seen_code = observation(
            name, "code", pl.col("codes"), since=pl.col("first_ts"), until=pl.col("last_ts"),
            window_days=settings.window_days, days=pl.col("days"), severity=pl.col("severity"),
        )  # fmt: skip
        return fired(
            hits,
            act=pl.lit(value=False) if exposure else at_once | (pl.col("bad_days") >= settings.act_days),
            onset=pl.col("first_ts"),
            evidence=together(seen_code),
            severity=pl.col("severity"),
        )

    evaluate.__doc__ = f"Fire on codes of the family {family}."
    return evaluate


def _settings_of(family: str) -> Callable[[RuleSettings], CodeSettings]:
    def chosen(settings: RuleSettings) -> CodeSettings:
        own: CodeSettings = getattr(settings, family).codes
        return own

    return chosen


for _family in (*FAULTS, *CONDITIONS):
    if _family not in FAMILIES:
        continue
    _english, _chinese = FAMILIES[_family]
    rule(
        f"{_family}.codes",
        settings=_settings_of(_family),
        source="status word and error codes of the meter, translated by its vendor profile",
        severity=2,
        cause=_family if _family in CAUSES else "unknown",
        en=Text(f"The meter reports: {_english}", f"A code of the family {_english} within the window.",
                ACTIONS[_family][0]),
        zh=Text(f"表计自报：{_chinese}", f"窗口内出现{_chinese}类代码。", ACTIONS[_family][1]),
    )(code_rule(_family))  # fmt: skip
