"""Local calendar days: which day a measurement belongs to, and when that day begins and ends in UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl

from lake.errors import SettingsError
from lake.schemas import TIME

Zoned = Callable[[str], pl.Expr]

_DAY_US = 86_400_000_000


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
    times = frame["ts"]
    return _by_zone(frame, meters, default_zone, lambda zone: pl.lit(_days(times, zone)), ["day"])


def _days(times: pl.Series, zone: str) -> pl.Series:
    """Return the local day of each time: by the beginnings of the days between the first and the last of them."""
    if times.is_empty() or times.null_count():
        return times.dt.convert_time_zone(zone).dt.date()
    ends = pl.Series([times.min(), times.max()], dtype=TIME).dt.convert_time_zone(zone).dt.date()
    days = pl.date_range(ends[0], ends[1] + timedelta(days=1), eager=True)
    begins = pl.select(_midnight(pl.lit(days), zone)).to_series().to_physical()
    offset = begins - begins[0] - pl.int_range(len(begins), eager=True) * _DAY_US
    if begins.null_count() or offset.abs().max() >= _DAY_US / 2:  # a zone that left a day out
        return times.dt.convert_time_zone(zone).dt.date()
    since = times.to_physical() - begins[0]
    number = since // _DAY_US
    if (offset != 0).any():  # a day of 23 or 25 h: those behind it begin an hour earlier or later
        moments, starts = times.to_physical().to_numpy(), begins.to_numpy()
        numbers = np.minimum(number.to_numpy(), len(starts) - 2)
        numbers = numbers - (moments < starts[numbers])
        number = pl.Series(numbers + (moments >= starts[numbers + 1]))
    first: int = days.to_physical()[0]
    day: pl.Series = (number.cast(pl.Int32) + first).cast(pl.Date)
    return day


def touched_days(readings: pl.DataFrame, meters: pl.DataFrame | None, default_zone: str) -> pl.DataFrame:
    """Return the days that `readings` fall on: unique (``meter_id``, ``day``), sorted."""
    located = with_local_day(readings.select("meter_id", "ts"), meters, default_zone).select("meter_id", "day")
    # Stored readings stand sorted: of each run of one meter and day, one is enough.
    again = (pl.col("meter_id") == pl.col("meter_id").shift(1)) & (pl.col("day") == pl.col("day").shift(1))
    return located.filter(~again.fill_null(value=False)).unique().sort("meter_id", "day")


def zones_of(meters: pl.DataFrame | None, default_zone: str) -> list[str]:
    """Return the zones that meters may live in, the default one first."""
    if meters is None or "timezone" not in meters.columns:
        return [default_zone]
    others = meters["timezone"].drop_nulls().unique().sort()
    return [default_zone, *(zone for zone in others if zone != default_zone)]


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
        if (
            meters is None
            or "timezone" not in meters.columns
            or (meters["timezone"].drop_nulls() == default_zone).all()
        ):
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
