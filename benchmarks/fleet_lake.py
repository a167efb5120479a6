"""A lake of hourly registers and daily status readings of a fleet, as ingest stores them and `compact` leaves them.

Each meter sends one message a day with its 24 hourly registers and its status (battery at rest and under load,
temperature, signal strength, valve state, message counter, firmware): 25 rows a meter and day, one sorted file a UTC
day. A few meters count backwards, jump, stand still or come by two programs, so that no part of the profile runs idle.
The numbers are drawn, not recorded.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from deltalake.transaction import AddAction

from lake.schemas import READINGS, TIME
from lake.tables import Lake, file_statistics

START = date(2024, 1, 1)
HOURS = 24
_ROW_GROUP_ROWS = 25_000  # as `compact` writes them
_USE_BY_HOUR = np.array([1, 1, 1, 1, 1, 4, 12, 14, 10, 6, 5, 6, 8, 6, 5, 5, 6, 9, 12, 12, 9, 6, 3, 2]) / 25
_HOUR_US = 3_600_000_000


def meter_ids(meters: int) -> pl.Series:
    """Return the names of the meters, sorted."""
    return pl.Series("meter_id", [f"meter-{number:07}" for number in range(meters)])


class Fleet:
    """Draws one day after the other.

    Parameters
    ----------
    meters : int
        How many.
    seed : int
        Of the random numbers.
    """

    def __init__(self, meters: int, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        self._ids = meter_ids(meters)
        self._litres = self._random.integers(0, 2_000_000, meters).astype(np.float64)
        self._vacant = self._random.random(meters) < 0.03
        self._backward = np.flatnonzero(self._random.random(meters) < 0.005)
        self._jumping = np.flatnonzero(self._random.random(meters) < 0.001)
        self._volts = np.round(3.6 + self._random.normal(0, 0.02, meters), 2)
        self._delay_us = self._random.integers(60, 4 * 3600, meters) * 1_000_000
        self._rssi = np.round(self._random.normal(-95, 8, meters))

    def day(self, number: int) -> pl.DataFrame:
        """Return the rows of the UTC day `number` since START in the form of the table, sorted by meter and time."""
        begin = datetime.combine(START + timedelta(days=number), datetime.min.time(), UTC)
        begin_us = int(begin.timestamp()) * 1_000_000
        meters = len(self._ids)
        registers = self._registers(number)
        # The message of the day before comes after its last register, which is this day's first.
        hours = np.arange(HOURS) * _HOUR_US
        sent = begin_us + self._delay_us
        ts = np.concatenate([begin_us + np.broadcast_to(hours, (meters, HOURS)), sent[:, None]], axis=1)
        received = np.repeat(sent[:, None] + 86_400_000_000, HOURS + 1, axis=1)
        received[:, 0] = received[:, HOURS] = sent
        order = np.argsort(ts, axis=1, kind="stable")
        status = np.zeros(ts.shape, dtype=bool)
        status[:, HOURS] = True
        volume = np.concatenate([registers, np.full((meters, 1), np.nan)], axis=1)
        ts, received, status, volume = (
            np.take_along_axis(values, order, axis=1).ravel() for values in (ts, received, status, volume)
        )
        every = np.repeat(np.arange(meters), HOURS + 1)
        frame = pl.DataFrame(
            {
                "meter_id": self._ids.gather(every),
                "ts": pl.Series(ts).cast(TIME),
                "received_at": pl.Series(received).cast(TIME),
                "source": pl.repeat("default", len(ts), eager=True),
                "volume_m3": pl.Series(volume, nan_to_null=True),
                "flags": pl.repeat([], len(ts), dtype=pl.List(pl.String), eager=True),
            }
        )
        told = self._status(number)
        at = np.full(len(ts), -1)
        at[status] = np.arange(meters)
        picked = pl.Series(at).replace(-1, None)
        values = told.select(pl.all().gather(pl.lit(picked)))
        return READINGS.conform(frame.hstack(values).with_columns(pl.lit(begin.date()).alias("event_date")))

    def _registers(self, number: int) -> np.ndarray:
        """Return the registers of a day by meter and hour [m³]."""
        meters = len(self._litres)
        used = self._random.random((meters, HOURS), dtype=np.float32) < _USE_BY_HOUR
        litres = np.where(used, self._random.integers(1, 60, (meters, HOURS), dtype=np.int16), 0).astype(np.float64)
        litres[self._vacant] = 0
        registers = self._litres[:, None] + np.cumsum(litres, axis=1)
        self._litres = registers[:, -1].copy()
        if number % 3 == 0:
            registers[self._backward, 12:14] -= 3
            registers[self._jumping, 15:17] -= 4096
        return registers / 1000

    def _status(self, number: int) -> pl.DataFrame:
        meters = len(self._litres)
        cold = 8 + 6 * np.sin(number / 15) + self._random.normal(0, 2, meters)
        volts = self._volts + 0.002 * (cold - 10) + self._random.normal(0, 0.004, meters)
        return pl.DataFrame(
            {
                "battery_v": np.round(volts, 2),
                "battery_load_v": np.round(volts - 0.2, 2),
                "ambient_temperature_c": np.round(cold, 1),
                "rssi_dbm": self._rssi + self._random.integers(-3, 4, meters),
                "snr_db": np.round(self._random.normal(8, 3, meters), 1),
                "coverage_class": self._random.integers(0, 2, meters),
                "valve_state": pl.repeat("open", meters, eager=True),
                "seq": np.full(meters, number),
                "status": np.zeros(meters, dtype=np.int64),
                "firmware": pl.repeat("V1.2", meters, eager=True),
            }
        )


def make_lake(folder: Path, meters: int, days: int, first: int = 0, seed: int = 1) -> Lake:
    """Fill a lake with the readings of a fleet, one file a day, and return it.

    Parameters
    ----------
    folder : Path
        Of the lake.
    meters, days : int
        How many.
    first : int
        Day since START that is the first [days].
    seed : int
        Of the random numbers.
    """
    lake = Lake(folder)
    lake.create(READINGS)
    for rows in _days(meters, days, first, seed):
        day = str(rows["event_date"][0])
        part = rows.drop("event_date")
        name = f"event_date={day}/part-{uuid.uuid4()}.parquet"
        size = lake.storage.write_parquet(f"{READINGS.name}/{name}", part, row_group_rows=_ROW_GROUP_ROWS)
        stats = json.dumps(file_statistics(part))
        lake.commit(READINGS, [AddAction(name, size, {"event_date": day}, time.time_ns() // 1_000_000, True, stats)])
    return lake


def _days(meters: int, days: int, first: int, seed: int) -> Iterator[pl.DataFrame]:
    fleet = Fleet(meters, seed)
    for number in range(first, first + days):
        yield fleet.day(number)
