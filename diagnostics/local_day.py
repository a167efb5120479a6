"""Local calendar days: which day a measurement belongs to, and when that day begins and ends in UTC."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from lake.errors import SettingsError
from lake.schemas import TIME

Zoned = Callable[[str], pl.Expr]


def with_local_day(frame: pl.DataFrame, meters: pl.DataFrame | None, default_zone: str) -> pl.DataFrame:
    """Return `frame` with a column ``day``, the local calendar day of its ``ts``.

    Parameters
    ----------
    frame : polars.DataFrame
        Needs ``meter_id`` and ``ts`` (UTC).
    meters : polars.DataFrame, optional
        ``meter_id`` and ``timezone`` (IANA); meters that are not in it live in `default_zone`.
    default_zone : str
        IANA zone.

    Raises
    ------
    SettingsError
        A zone is not known.
    """
    return _by_zone(
        frame, meters, default_zone, lambda zone: pl.col("ts").dt.convert_time_zone(zone).dt.date(), ["day"]
    )


def touched_days(readings: pl.DataFrame, meters: pl.DataFrame | None, default_zone: str) -> pl.DataFrame:
    """Return the days that `readings` fall on: unique (``meter_id``, ``day``), sorted."""
    located = with_local_day(readings.select("meter_id", "ts"), meters, default_zone)
    return located.select("meter_id", "day").unique().sort("meter_id", "day")


def day_bounds(days: pl.DataFrame, meters: pl.DataFrame | None, default_zone: str) -> pl.DataFrame:
    """Return `days` with ``starts_at`` (inclusive) and ``ends_at`` (exclusive), in UTC; 23, 24 or 25 h apart.

    Examples
    --------
    >>> from datetime import date
    >>> days = pl.DataFrame({"meter_id": ["a"], "day": [date(2016, 10, 30)]})
    >>> bounds = day_bounds(days, None, "Europe/Madrid")
    >>> bounds["ends_at"][0] - bounds["starts_at"][0]
    datetime.timedelta(days=1, seconds=3600)
    """
    started = _by_zone(days, meters, default_zone, lambda zone: _midnight(pl.col("day"), zone), ["starts_at"])
    return _by_zone(
        started, meters, default_zone, lambda zone: _midnight(pl.col("day") + pl.duration(days=1), zone), ["ends_at"]
    )


def _midnight(day: pl.Expr, zone: str) -> pl.Expr:
    """Return the first instant of a local day; some zones change their clocks at midnight."""
    local = day.cast(pl.Datetime("us"))

    def instant(hours: int) -> pl.Expr:
        shifted = local + pl.duration(hours=hours)
        return shifted.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")

    return pl.coalesce(instant(0), instant(1)).dt.convert_time_zone("UTC").cast(TIME)


def _by_zone(
    frame: pl.DataFrame, meters: pl.DataFrame | None, default_zone: str, value: Zoned, names: list[str]
) -> pl.DataFrame:
    """Add one column whose expression depends on the meter's zone."""
    (name,) = names
    try:
        if meters is None or "timezone" not in meters.columns:
            return frame.with_columns(value(default_zone).alias(name))
        zones = meters.select("meter_id", pl.col("timezone").alias("_zone")).unique("meter_id", keep="first")
        zoned = frame.join(zones, on="meter_id", how="left", maintain_order="left").with_columns(
            pl.col("_zone").fill_null(default_zone)
        )
        found = zoned["_zone"].unique().sort().to_list() or [default_zone]
        chosen = pl.lit(None)
        for zone in found:
            chosen = pl.when(pl.col("_zone") == zone).then(value(zone)).otherwise(chosen)
        return zoned.with_columns(chosen.alias(name)).drop("_zone")
    except pl.exceptions.ComputeError as error:
        raise SettingsError(f"a time zone is not known: {error}", key="timezone") from error
