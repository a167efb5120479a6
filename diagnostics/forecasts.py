"""Rows of the table ``forecasts``: battery life, frost, water that was not registered, failures and spares to come."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from diagnostics.battery_life import battery_life
from diagnostics.evidence import observation, together
from diagnostics.features import View
from diagnostics.frost_risk import frost_risk
from diagnostics.settings import RuleSettings
from lake.schemas import FORECASTS


def forecasts(seen: View, unregistered: pl.DataFrame, today: date, settings: RuleSettings) -> pl.DataFrame:
    """Return what is to come for the meters of a view, and what was not counted.

    Parameters
    ----------
    seen : View
        What the diagnosis sees.
    unregistered : polars.DataFrame
        What :func:`diagnostics.unregistered.water_not_registered` returned.
    today : date
        Local day of the diagnosis.
    settings : RuleSettings

    Returns
    -------
    polars.DataFrame
        Conforms to :data:`lake.schemas.FORECASTS`, sorted by kind and meter; ``diagnosis_id, mode, as_of`` are empty.
    """
    parts = [_battery(seen, settings), _frost(seen, today, settings), _water(unregistered)]
    return pl.concat([FORECASTS.conform(part) for part in parts]).sort("kind", "meter_id")


def group_forecasts(ahead: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return failures to come and spares as rows of the table.

    Parameters
    ----------
    ahead : polars.DataFrame
        What :func:`diagnostics.failure_forecast.failure_forecast` returned.
    as_of : datetime
        Time of the diagnosis (UTC), from which on is counted.

    Returns
    -------
    polars.DataFrame
        Conforms to :data:`lake.schemas.FORECASTS`; ``diagnosis_id, mode, as_of`` are empty.
    """
    spares = pl.col("kind") == "spares"
    rests_on = observation(
        "forecast.failures", "failures_so_far", pl.when(~spares).then("observed"), "",
        expected=pl.col("expected").round(2), at_risk=pl.col("meters"), basis=pl.col("basis"),
        shape=pl.col("shape").round(3),
    )  # fmt: skip
    stock = observation(
        "forecast.spares", "failures_to_come", pl.when(spares).then(pl.col("expected").round(2)), "",
        waiting=pl.col("waiting"), service_level=pl.col("service_level"), days=pl.col("days"),
    )  # fmt: skip
    return FORECASTS.conform(
        ahead.select(
            "kind",
            "value",
            "value_low",
            "value_high",
            pl.lit("meters").alias("unit"),
            pl.lit(as_of).alias("from"),
            (pl.lit(as_of) + pl.duration(days=pl.col("days"))).alias("until"),
            _encoded(rests_on, stock),
            "fault",
            "scope",
            "key",
        )
    )


def _encoded(*observations: pl.Expr) -> pl.Expr:
    return pl.format("[{}]", together(*observations).list.join(",")).alias("evidence")


def _battery(seen: View, settings: RuleSettings) -> pl.DataFrame:
    life = battery_life(seen.days, seen.features, seen.facts.meters, seen.as_of, settings.battery.life)
    told = "forecast.battery_life"
    return life.select(
        "meter_id",
        pl.lit("battery_life").alias("kind"),
        pl.col("remaining_d").alias("value"),
        pl.col("low_d").alias("value_low"),
        pl.col("high_d").alias("value_high"),
        pl.lit("d").alias("unit"),
        pl.lit(seen.as_of).alias("from"),
        (pl.lit(seen.as_of) + pl.duration(days=pl.col("remaining_d").cast(pl.Int64))).alias("until"),
        _encoded(
            observation(
                told, "remaining_life", pl.col("remaining_d"), "d", basis=pl.col("basis"),
                capacity_mah=pl.col("capacity_mah"), used_mah=pl.col("used_mah"),
            ),
            observation(told, "daily_drain", pl.col("drain_mah_per_d"), "mAh"),
            observation(told, "uplinks", pl.col("uplinks_per_d"), "1/d"),
        ),
    )  # fmt: skip


def _frost(seen: View, today: date, settings: RuleSettings) -> pl.DataFrame:
    risk = frost_risk(seen.days, seen.features, seen.facts, today, settings.forecasts.frost)
    told = "forecast.frost"
    basis = pl.when(pl.col("learned_days") > 0).then(pl.lit("measured")).otherwise(pl.lit("installation"))
    return risk.select(
        "meter_id",
        pl.lit("frost").alias("kind"),
        pl.col("score").alias("value"),
        pl.col("score_low").alias("value_low"),
        pl.col("score_high").alias("value_high"),
        pl.lit("1").alias("unit"),
        "from",
        "until",
        "tier",
        _encoded(
            observation(
                told, "lowest_expected", pl.col("lowest_c"), "°C", since=pl.col("from"), until=pl.col("until"),
                low_c=pl.col("lowest_low_c"), high_c=pl.col("lowest_high_c"), basis=basis,
                learned_days=pl.col("learned_days"), installation=pl.col("installation"), share=pl.col("share"),
            ),
            observation(told, "degree_hours", pl.col("degree_hours"), "K·h", days=pl.col("frost_days")),
            observation(told, "water_stands", pl.when("away").then(pl.lit(value=True))),
            observation(told, "water_runs", pl.when("running").then(pl.lit(value=True))),
        ),
    )  # fmt: skip


def _water(unregistered: pl.DataFrame) -> pl.DataFrame:
    return unregistered.select(
        "meter_id",
        pl.lit("water_not_registered").alias("kind"),
        pl.col("water_m3").alias("value"),
        pl.col("low_m3").alias("value_low"),
        pl.col("high_m3").alias("value_high"),
        pl.lit("m³").alias("unit"),
        pl.col("since_ts").alias("from"),
        pl.col("until_ts").alias("until"),
        _encoded(water_observation()),
    )


def water_observation() -> pl.Expr:
    """Return what the water that was not registered rests on, as evidence."""
    return observation(
        "impact", "water_not_registered", pl.col("water_m3"), "m³", since=pl.col("since_ts"), until=pl.col("until_ts"),
        low_m3=pl.col("low_m3"), high_m3=pl.col("high_m3"), usual_m3=pl.col("usual_m3"),
        counted_m3=pl.col("counted_m3"), days=pl.col("since_days"),
    )  # fmt: skip
