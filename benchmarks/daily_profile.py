"""The daily profile of many meters beside the same basic aggregates by ``pandas.groupby.agg``.

The profile computes some hundred columns a meter and day (backward counts, jumps, gaps, battery, valve …) and the
running state; pandas computes eight. Columns: hourly ``volume_m3``, ``battery_v``, ``ambient_temperature_c``.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from diagnostics.chain import chain
from diagnostics.daily import day_profile
from lake.schemas import DAILY, ERROR_CODES, READINGS


def readings(meters: int, days: int) -> pl.DataFrame:
    """Return hourly readings of `meters` over `days`, in the form of the table."""
    random = np.random.default_rng(1)
    hours = days * 24
    start = datetime(2024, 4, 1, tzinfo=UTC)
    times = pl.datetime_range(start, start + timedelta(hours=hours - 1), "1h", time_unit="us", eager=True)
    registers = np.cumsum(random.exponential(0.012, (meters, hours)), axis=1).ravel()
    frame = pl.DataFrame(
        {
            "meter_id": np.repeat([f"meter-{number:06}" for number in range(meters)], hours),
            "ts": pl.concat([times] * meters),
            "volume_m3": registers,
            "battery_v": random.normal(3.58, 0.005, meters * hours),
            "ambient_temperature_c": random.normal(12, 5, meters * hours),
            "source": "default",
        }
    )
    return READINGS.conform(frame.with_columns(received_at=pl.col("ts"), event_date=pl.col("ts").dt.date()))


def ours(rows: pl.DataFrame) -> int:
    """Return how many daily rows the profile makes."""
    as_of: datetime = rows["received_at"].max()  # type: ignore[assignment]
    fresh = day_profile(rows, ERROR_CODES.empty(), default_zone="UTC", as_of=as_of)
    return chain(DAILY.empty(), fresh, as_of=as_of).height


def theirs(rows: pl.DataFrame) -> int:
    """Return how many rows pandas makes."""
    frame = rows.select("meter_id", "ts", "volume_m3", "battery_v", "ambient_temperature_c").to_pandas()
    frame["day"] = frame["ts"].dt.floor("D")
    grouped = frame.groupby(["meter_id", "day"], sort=True)
    result = grouped.agg(
        readings=("ts", "size"),
        first_ts=("ts", "min"),
        last_ts=("ts", "max"),
        first_m3=("volume_m3", "first"),
        last_m3=("volume_m3", "last"),
        battery_v=("battery_v", "median"),
        coldest_c=("ambient_temperature_c", "min"),
        warmest_c=("ambient_temperature_c", "max"),
    )
    return len(result)


def run(*, smoke: bool) -> list[str]:
    """Return the lines of the result."""
    meters, days, repeats = (20, 10, 1) if smoke else (1000, 90, 5)
    rows = readings(meters, days)
    times: dict[str, list[float]] = {"metriage": [], "pandas": []}
    for _ in range(repeats):
        for name, function in (("metriage", ours), ("pandas", theirs)):
            began = time.perf_counter()
            made = function(rows)
            times[name].append(time.perf_counter() - began)
            assert made == meters * days, f"{name} made {made} rows"
    profile, groupby = statistics.median(times["metriage"]), statistics.median(times["pandas"])
    return [
        f"{meters:,} meters x {days} days, {rows.height:,} readings, median of {repeats}, in one process",
        f"daily profile and running state, {len(DAILY.columns)} columns   {profile:6.2f} s",
        f"pandas groupby.agg, 8 columns                       {groupby:6.2f} s",
        f"ratio of time                                       {profile / groupby:6.2f}",
    ]
