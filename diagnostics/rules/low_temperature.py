"""Frost: cold, then a register that stops, then at thaw flow that never stops, or silence. Exposure is only a risk."""

from __future__ import annotations

import polars as pl

from diagnostics.evidence import observation, together
from diagnostics.features import View
from diagnostics.rules.rule import Text, fired, nothing, rule, symptom
from diagnostics.settings import ExposureSettings, FreezeSettings

DAY_H = 24.0
FREEZE_CONFIDENCE = 0.9


@rule(
    "low_temperature.freeze",
    settings=lambda settings: settings.low_temperature.freeze,
    source="order of events in field reports: cold, zero or empty, then burst at thaw, or death",
    severity=1,
    cause="low_temperature",
    en=Text(
        "Frost damage",
        "After frost days the register of a home that always uses water stands, water never stops flowing, or the meter"
        " is silent.",
        "Shut the water off if it runs; check register, glass and pipe for cracks; exchange the meter and insulate.",
    ),
    zh=Text(
        "低温冻损",
        "受冻后，平时每日用水的表停走，或解冻后持续过水，或表计失联。",
        "如有持续过水先关阀止水；检查表玻璃、壳体和管道冻裂；换表并做好保温。",
    ),
)
def freeze(seen: View, settings: FreezeSettings) -> pl.DataFrame:
    """Fire where what happens after frost was not there before it."""
    told = "low_temperature.freeze"
    hits = _after_frost(seen, settings)
    if hits.is_empty():
        return nothing()
    used = (pl.col("usual_m3") >= settings.usual_m3) & (pl.col("used_share") >= settings.usual_share)
    stopped = (used & (pl.col("still_days") >= settings.still_days)).fill_null(value=False)
    limit = pl.max_horizontal(pl.lit(settings.burst_m3h), pl.col("least_before") * settings.burst_ratio)
    burst = (pl.col("least_after") >= limit).fill_null(value=False)
    dead = (pl.col("silent_h") >= settings.silent_days * DAY_H) & pl.col("died_cold").fill_null(value=False)
    code = pl.col("codes") > 0
    onset = pl.col("frost_ts")
    return fired(
        hits,
        act=burst | (code & (stopped | dead)),
        watch=stopped | dead,
        onset=onset,
        evidence=together(
            observation(
                told, "frost", pl.col("coldest_c").round(1), "°C", since=onset, until=pl.col("last_frost_ts"),
                threshold=settings.frost_c, window_days=settings.window_days,
            ),
            observation(
                told, "stopped_in_frost", pl.when(stopped).then("still_days"), "d", threshold=settings.still_days,
                usual_m3=pl.col("usual_m3").round(3),
            ),
            observation(
                told, "flow_after_thaw", pl.when(burst).then(pl.col("least_after").round(4)), "m³/h",
                since=pl.col("burst_ts"), threshold=limit.round(4), before_m3h=pl.col("least_before").round(4),
            ),
            observation(
                told, "silent_after_frost", pl.when(dead).then((pl.col("silent_h") / DAY_H).round(1)), "d",
                since=pl.col("last_ts"), threshold=settings.silent_days,
            ),
            observation(told, "code", pl.when(code).then("codes"), "d"),
        ),
        cause=pl.lit("low_temperature"),
        cause_confidence=pl.lit(FREEZE_CONFIDENCE),
    )  # fmt: skip


def _after_frost(seen: View, settings: FreezeSettings) -> pl.DataFrame:
    """Return meters that had frost, with what they did before and from the frost on."""
    frosty = (pl.col("ambient_min_c") <= settings.frost_c) | (pl.col("water_min_c") <= settings.water_frost_c)
    code = pl.col("codes").list.eval(pl.element().str.starts_with("low_temperature ")).list.any()
    cold = frosty.fill_null(value=False) | code.fill_null(value=False)
    frost = symptom(
        seen, cold, settings.window_days,
        frost_day=pl.col("day").min(), last_frost_day=pl.col("day").max(), frost_ts=pl.col("first_ts").min(),
        coldest_c=pl.min_horizontal("ambient_min_c", "water_min_c").min(), codes=code.sum(),
    ).rename({"last_ts": "last_frost_ts", "days": "frost_days"}).drop("first_ts")  # fmt: skip
    days = seen.days.join(frost, on="meter_id", maintain_order="left")
    before = pl.col("day") < pl.col("frost_day")
    thawed = pl.col("ambient_max_c").is_null() | (pl.col("ambient_max_c") > 0)
    after = (pl.col("day") > pl.col("frost_day")) & thawed
    since = pl.col("day") >= pl.col("frost_day")
    runs = (pl.col("standstill_s") == 0) & (pl.col("volume_readings") > 2)
    summary = days.group_by("meter_id", maintain_order=True).agg(
        pl.col("day_m3").filter(before).median().alias("usual_m3"),
        (pl.col("day_m3") > 0).filter(before).mean().alias("used_share"),
        pl.col("least_flow_m3h").filter(before).max().alias("least_before"),
        _trailing_zeros(pl.col("day_m3").filter(since)).alias("still_days"),
        pl.col("least_flow_m3h").filter(after & runs).max().alias("least_after"),
        pl.col("first_ts").filter(after & runs & (pl.col("least_flow_m3h") >= settings.burst_m3h)).min()
        .alias("burst_ts"),
        ((pl.col("day").max() - pl.col("last_frost_day").first()).dt.total_days() <= 1).alias("died_cold"),
        pl.col("last_ts").max(),
    )  # fmt: skip
    silent = seen.features.select("meter_id", "silent_h")
    return summary.join(frost, on="meter_id", maintain_order="left").join(silent, on="meter_id", maintain_order="left")


def _trailing_zeros(values: pl.Expr) -> pl.Expr:
    """Return how many values at the end are zero."""
    return (values.reverse() == 0).cum_prod().sum()


@rule(
    "low_temperature.exposure",
    settings=lambda settings: settings.low_temperature.exposure,
    source="utilities' warning scale: hard frost two days running",
    severity=3,
    cause="low_temperature",
    en=Text(
        "Exposed to hard frost",
        "Hard frost at the meter on several of the last days.",
        "Insulate the meter and its box; look at it again after thaw.",
    ),
    zh=Text("严寒暴露", "近日表位多日严寒。", "对表计及表箱保温；解冻后复查。"),
)
def exposure(seen: View, settings: ExposureSettings) -> pl.DataFrame:
    """Say watch where the meter itself measured hard frost; exposure alone is never a fault."""
    hits = symptom(
        seen, pl.col("ambient_min_c") <= settings.frost_c, settings.window_days, coldest=pl.col("ambient_min_c").min()
    ).filter(pl.col("days") >= settings.days)
    return fired(
        hits,
        act=pl.lit(value=False),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "low_temperature.exposure", "frost_days", pl.col("days"), "d", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=float(settings.days), window_days=settings.window_days,
                coldest_c=pl.col("coldest").round(1),
            ),
        ),
        cause_confidence=pl.lit(FREEZE_CONFIDENCE),
    )  # fmt: skip
