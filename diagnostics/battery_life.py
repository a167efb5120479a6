"""How long the battery of each meter lasts: charge used and charge drawn a day against its capacity, with an interval.

A Li-SOCl2 cell's voltage says nothing of its charge until days to weeks before the end: until then only bookkeeping
does. What an uplink, the base current and the cell itself take is known roughly: the interval holds the whole range.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from diagnostics.settings import BatteryLifeSettings

# Nominal capacities where the registry knows the type alone [mAh]: data sheets, and trade figures of the same sizes.
CAPACITIES_MAH = {
    "ER10450": 800.0, "ER14250": 1200.0, "ER14335": 1650.0, "ER14505": 2600.0, "LS14500": 2600.0, "ER17505": 3400.0,
    "ER18505": 4000.0, "ER26500": 8500.0, "LS26500": 7700.0, "ER34615": 19000.0, "LS33600": 17000.0,
}  # fmt: skip
YEAR_D = 365.25
LONGEST_D = 30 * YEAR_D
# From these on, on two of three days, the voltage tells more than the books.
KNEE_FALL_V = 0.06
KNEE_SAG_V = 0.15
KNEE_STEPS = 1.5  # of the voltage resolution
PLATEAU_V = (3.3, 3.8)
BASES = ("drain", "voltage")  # what a forecast rests on

FORECAST = pl.Schema(
    {
        "meter_id": pl.String(),
        "remaining_d": pl.Float64(),
        "low_d": pl.Float64(),
        "high_d": pl.Float64(),
        "basis": pl.String(),
        "capacity_mah": pl.Float64(),
        "used_mah": pl.Float64(),
        "drain_mah_per_d": pl.Float64(),
        "uplinks_per_d": pl.Float64(),
    }
)


def battery_life(
    days: pl.DataFrame,
    features: pl.DataFrame,
    meters: pl.DataFrame,
    as_of: datetime,
    settings: BatteryLifeSettings | None = None,
) -> pl.DataFrame:
    """Return the remaining life of each meter's battery.

    Parameters
    ----------
    days, features : polars.DataFrame
        As in :class:`diagnostics.features.View`.
    meters : polars.DataFrame
        Registry: ``meter_id, battery_type, battery_capacity_mah, produced_on, installed_on``, empty where not known.
    as_of : datetime
        From when the days are counted (UTC).
    settings : BatteryLifeSettings, optional

    Returns
    -------
    polars.DataFrame
        ``meter_id, remaining_d, low_d, high_d`` [days]: the middle and the range that the settings span; ``basis``:
        ``drain``, or ``voltage`` once the cell leaves its plateau; ``capacity_mah, used_mah, drain_mah_per_d,
        uplinks_per_d`` (of the last 14 days, weighted by coverage). Meters whose capacity is not known have a row
        only once the voltage tells. Sorted by meter.
    """
    settings = settings or BatteryLifeSettings()
    known = _known(days, features, meters, as_of)
    for name, place in (("low", 2), ("middle", 1), ("high", 0)):
        known = known.with_columns(_books(settings, name, place))
    life = {name: pl.col(f"left_{name}_mah") / pl.col(f"drain_{name}_mah") for name in ("low", "middle", "high")}
    left = {name: each.clip(0, LONGEST_D) for name, each in life.items()}
    knee = pl.col("knee").fill_null(value=False)
    spans = dict(zip(("low", "middle", "high"), settings.knee_days, strict=True))
    return (
        known.select(
            "meter_id",
            *(
                pl.when(knee)
                .then(pl.min_horizontal(pl.lit(float(spans[name])), left[name]))
                .otherwise(left[name])
                .round(0)
                .alias(told)
                for name, told in (("middle", "remaining_d"), ("low", "low_d"), ("high", "high_d"))
            ),
            pl.when(knee).then(pl.lit("voltage")).otherwise(pl.lit("drain")).alias("basis"),
            "capacity_mah",
            pl.col("used_middle_mah").round(1).alias("used_mah"),
            pl.col("drain_middle_mah").round(3).alias("drain_mah_per_d"),
            pl.col("radio_per_d").round(2).alias("uplinks_per_d"),
        )
        .filter(pl.col("remaining_d").is_not_null())
        .cast(FORECAST)
        .sort("meter_id")
    )


def _known(days: pl.DataFrame, features: pl.DataFrame, meters: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return one row a meter with its capacity, its ages and what it sent and moved."""
    base = pl.col("battery_base_sum_v") / pl.col("battery_base_days")
    fine = base.is_between(*PLATEAU_V) & (pl.col("battery_fall_v") >= pl.col("battery_base_step_v") * KNEE_STEPS)
    fall = pl.when(pl.col("cell_fall_v").is_not_null()).then(pl.when(fine).then("cell_fall_v").otherwise(0.0))
    newest = days.group_by("meter_id", maintain_order=True).agg(
        pl.col("first_seen_ts", "total_radio_uplinks", "total_movement_days", "days_seen").last(),
        (_newest(fall, KNEE_FALL_V) | _newest(pl.col("cell_sag_v"), KNEE_SAG_V)).alias("knee"),
    )
    registry = meters.select("meter_id", "battery_type", "battery_capacity_mah", "produced_on", "installed_on")
    rates = features.select(
        "meter_id",
        pl.coalesce("radio_uplinks_14d", "uplinks_14d", "uplinks_60d").alias("radio_per_d"),
        pl.col("uplinks_60d").alias("usual_per_d"),
        pl.col("movement_days_60d").fill_null(0).alias("movements_per_d"),
    )
    kind = pl.col("battery_type").str.to_uppercase().str.extract(r"([A-Z]{2}\d{5})")
    nominal = kind.replace_strict(CAPACITIES_MAH, default=None, return_dtype=pl.Float64)
    seen = pl.col("first_seen_ts").dt.date()
    installed = pl.min_horizontal(pl.coalesce("installed_on", "produced_on"), seen)
    produced = pl.min_horizontal(pl.coalesce("produced_on", "installed_on"), installed)
    now = pl.lit(as_of).dt.date()
    return (
        newest.join(registry, on="meter_id", how="left", maintain_order="left")
        .join(rates, on="meter_id", how="left", maintain_order="left")
        .with_columns(
            pl.coalesce("battery_capacity_mah", nominal).alias("capacity_mah"),
            (now - produced).dt.total_days().clip(0).alias("old_d"),
            (now - installed).dt.total_days().clip(0).alias("served_d"),
            (seen - installed).dt.total_days().clip(0).alias("unseen_d"),
        )
    )


def _newest(figure: pl.Expr, limit_v: float) -> pl.Expr:
    """Tell whether two of the newest three measured days exceed a limit."""
    return (figure.drop_nulls().tail(3) >= limit_v).sum() >= 2


def _books(settings: BatteryLifeSettings, name: str, place: int) -> list[pl.Expr]:
    """Return used charge, charge left and daily drain [mAh], each with the figures at `place` of their range."""
    uplink, base_a_day = settings.uplink_mah[place], settings.base_ma[place] * 24
    movement = settings.movement_mah[place]
    itself = pl.col("capacity_mah") * settings.self_discharge_per_year[place] / YEAR_D
    usual = pl.col("usual_per_d").fill_null(1.0)
    sent = pl.col("total_radio_uplinks").fill_null(0) + pl.col("unseen_d") * usual
    moved = pl.col("total_movement_days").fill_null(0) + pl.col("unseen_d") * pl.col("movements_per_d")
    used = sent * uplink + moved * movement + pl.col("served_d") * base_a_day + pl.col("old_d") * itself
    drain = pl.col("radio_per_d").fill_null(1.0) * uplink + pl.col("movements_per_d") * movement + base_a_day + itself
    return [
        used.alias(f"used_{name}_mah"),
        drain.alias(f"drain_{name}_mah"),
        (pl.col("capacity_mah") * settings.usable_share[2 - place] - used).alias(f"left_{name}_mah"),
    ]
