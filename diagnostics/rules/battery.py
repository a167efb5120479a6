"""The battery: the plateau left, voltage low against its own past, sag under load.

A lithium thionyl chloride cell stays on a flat plateau for years and leaves it days to weeks before its end, so the
daily median is judged against the meter's own days on the plateau at the same temperature; one dip means nothing.
"""

from __future__ import annotations

import polars as pl

from diagnostics.evidence import observation, together
from diagnostics.features import View
from diagnostics.rules.rule import Text, fired, newest_measured, nothing, rule
from diagnostics.settings import LowSettings, PlateauSettings, SagSettings

STORM_RATIO = 5.0  # readings a day against the median of the window
WEAK_DBM = -115.0
WEAK_CLASS = 2
STORM_CONFIDENCE = 0.5
COVERAGE_CONFIDENCE = 0.5


@rule(
    "battery.plateau",
    settings=lambda settings: settings.battery.plateau,
    source="discharge curve of Li-SOCl2 cells: flat at 3.6 V, knee days to weeks before the end",
    severity=2,
    en=Text(
        "The battery leaves its plateau",
        "The daily median of the resting voltage, temperature taken off, lies below the meter's own baseline on several"
        " of the newest measured days.",
        "Exchange the battery within days; read the register first; look for moisture and a drain.",
    ),
    zh=Text(
        "电池电压离开平台",
        "扣除温度影响后，静态电压日中值在最近多个测量日低于该表自身基线。",
        "数日内更换电池；先抄读并保存读数；检查受潮及异常耗电。",
    ),
)
def plateau(seen: View, settings: PlateauSettings) -> pl.DataFrame:
    """Fire where the compensated daily median left the plateau on N of M measured days."""
    told = "battery.plateau"
    fall = pl.col("battery_fall_v")
    base = pl.col("battery_base_sum_v") / pl.col("battery_base_days")
    colder = (pl.col("battery_base_min_c") - pl.col("battery_temperature_c")).clip(0).fill_null(0)
    unknown = pl.when(pl.col("battery_compensated")).then(0.0).otherwise(settings.uncompensated_v)
    allowed = colder * settings.extrapolation_v_per_c + unknown
    grain = pl.col("battery_base_step_v").fill_null(0) * settings.steps

    def below(limit_v: float) -> pl.Expr:
        return (fall >= limit_v + allowed) & (fall >= grain)

    measured = fall.is_not_null() & base.is_between(settings.plateau_low_v, settings.plateau_high_v)
    newest = newest_measured(seen, measured, settings.window_days)
    hits = newest.group_by("meter_id", maintain_order=True).agg(
        below(settings.watch_v).sum().alias("days"),
        below(settings.act_v).sum().alias("act_days"),
        (settings.watch_v + allowed).last().alias("threshold"),
        *_voltages(below(settings.watch_v)),
    )
    return _answer(
        seen, hits, act=pl.col("act_days") >= settings.days, watch=pl.col("days") >= settings.days,
        first=observation(
            told, "plateau_fall", pl.col("fall_v").round(4), "V", since=pl.col("onset"), until=pl.col("last_ts"),
            threshold=pl.col("threshold").round(4), window_days=settings.window_days, days=pl.col("days"),
            baseline_v=pl.col("expected_v").round(4),
        ),
        told=told,
    )  # fmt: skip


@rule(
    "battery.low",
    settings=lambda settings: settings.battery.low,
    source="voltage as a share of the meter's own, for cells without a plateau",
    severity=2,
    en=Text(
        "The battery voltage is low",
        "The daily median of the resting voltage is a small share of what the meter's own past expects.",
        "Exchange the battery; read the register first; look for moisture and a drain.",
    ),
    zh=Text(
        "电池欠压",
        "静态电压日中值明显低于该表历史预期。",
        "更换电池；先抄读并保存读数；检查受潮及异常耗电。",
    ),
)
def low(seen: View, settings: LowSettings) -> pl.DataFrame:
    """Fire where the voltage fell to a fraction of what is expected on N of M measured days."""
    told = "battery.low"
    share = pl.col("battery_median_v") / pl.col("battery_expected_v")
    newest = newest_measured(seen, share.is_not_null(), settings.window_days)
    hits = newest.group_by("meter_id", maintain_order=True).agg(
        (share <= settings.watch_fraction).sum().alias("days"),
        (share <= settings.act_fraction).sum().alias("act_days"),
        share.last().alias("share"),
        *_voltages(share <= settings.watch_fraction),
    )
    return _answer(
        seen, hits, act=pl.col("act_days") >= settings.days, watch=pl.col("days") >= settings.days,
        first=observation(
            told, "low_voltage", pl.col("share").round(3), "1", since=pl.col("onset"), until=pl.col("last_ts"),
            threshold=settings.watch_fraction, window_days=settings.window_days, days=pl.col("days"),
            expected_v=pl.col("expected_v").round(4),
        ),
        told=told,
    )  # fmt: skip


@rule(
    "battery.sag",
    settings=lambda settings: settings.battery.sag,
    source="the inner resistance of a cell near its end, wet or cold, shows under transmit and valve load first",
    severity=2,
    en=Text(
        "The battery sags under load",
        "The median sag under load exceeds that of the meter's own first days on several of the newest measured days.",
        "Measure the battery under load; exchange it before the next cold spell or valve run.",
    ),
    zh=Text(
        "电池带载压降增大",
        "带载压降日中值在最近多个测量日超过该表初期水平。",
        "带载测量电池；在下次降温或阀门动作前更换。",
    ),
)
def sag(seen: View, settings: SagSettings) -> pl.DataFrame:
    """Fire where the sag, the share of the cold taken off, grew on N of M measured days."""
    told = "battery.sag"
    cold = (settings.cold_c - pl.col("battery_temperature_c")).clip(0).fill_null(0) * settings.cold_v_per_c
    deeper = pl.col("sag_excess_v") - cold
    measured = pl.col("sag_excess_v").is_not_null()
    newest = newest_measured(seen, measured, settings.window_days)
    hits = newest.group_by("meter_id", maintain_order=True).agg(
        (deeper >= settings.watch_v).sum().alias("days"),
        (deeper >= settings.act_v).sum().alias("act_days"),
        deeper.last().alias("deeper"),
        pl.col("battery_load_median_v").last(),
        pl.col("load_base_sag_v").last(),
        *_voltages(deeper >= settings.watch_v),
    )
    return _answer(
        seen, hits, act=pl.col("act_days") >= settings.days, watch=pl.col("days") >= settings.days,
        first=observation(
            told, "load_sag", pl.col("deeper").round(4), "V", since=pl.col("onset"), until=pl.col("last_ts"),
            threshold=settings.watch_v, window_days=settings.window_days, days=pl.col("days"),
            load_v=pl.col("battery_load_median_v").round(4), baseline_v=pl.col("load_base_sag_v").round(4),
        ),
        told=told,
    )  # fmt: skip


def _voltages(below: pl.Expr) -> list[pl.Expr]:
    """Return what every battery rule shows of the newest measured day."""
    return [
        pl.col("first_ts").filter(below).min().alias("onset"),
        pl.col("last_ts").max(),
        pl.col("battery_fall_v").last().alias("fall_v"),
        pl.col("battery_expected_v").last().alias("expected_v"),
        pl.col("battery_median_v").last().alias("voltage_v"),
        pl.col("battery_temperature_c").last().alias("temperature_c"),
    ]


def _answer(seen: View, hits: pl.DataFrame, *, act: pl.Expr, watch: pl.Expr, first: pl.Expr, told: str) -> pl.DataFrame:
    """Add voltage, temperature and counter resets to the evidence, and the drain that the reception shows."""
    if hits.is_empty():
        return nothing()
    drains = seen.features.select(
        "meter_id",
        pl.when(pl.col("seq_resets_60d") > 0).then("seq_resets_60d").alias("resets"),
        (pl.col("readings_7d") >= STORM_RATIO * pl.col("readings_60d")).alias("storm"),
        ((pl.col("coverage_30d") >= WEAK_CLASS) | (pl.col("rssi_dbm_30d") <= WEAK_DBM)).alias("weak"),
    )
    storm, weak = pl.col("storm").fill_null(value=False), pl.col("weak").fill_null(value=False)
    return fired(
        hits.join(drains, on="meter_id", how="left", maintain_order="left"),
        act=act,
        watch=watch,
        onset=pl.col("onset"),
        evidence=together(
            first,
            observation(told, "voltage", pl.col("voltage_v").round(4), "V", until=pl.col("last_ts")),
            observation(told, "temperature", pl.col("temperature_c").round(1), "°C", until=pl.col("last_ts")),
            observation(told, "counter_resets", pl.col("resets"), window_days=60),
        ),
        cause=pl.when(storm).then(pl.lit("report_storm")).when(weak).then(pl.lit("coverage")),
        cause_confidence=pl.when(storm).then(STORM_CONFIDENCE).when(weak).then(COVERAGE_CONFIDENCE),
    )
