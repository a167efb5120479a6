"""The local hours and days of a record as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from simulation.parameters import Ints
from simulation.weather import local_hours

HOUR_S = 3600


@dataclass(frozen=True)
class Calendar:
    """Local days from the first one on, with 23, 24 or 25 hours each.

    Parameters
    ----------
    first : date
        First local day.
    days : int
        Number of local days.
    zone : str
        IANA zone.
    """

    first: date
    days: int
    zone: str

    @cached_property
    def local(self) -> list[datetime]:
        """Full local hours, aware."""
        return local_hours(self.first, self.days, ZoneInfo(self.zone))

    @cached_property
    def hours(self) -> int:
        """Number of hours."""
        return len(self.local)

    @cached_property
    def start_s(self) -> int:
        """Begin of the first hour [s since 1970 UTC]."""
        return round(self.local[0].timestamp())

    @cached_property
    def hour_of_day(self) -> Ints:
        """Local hour of the clock, shape (n_hours,)."""
        return np.array([moment.hour for moment in self.local], dtype=np.int64)

    @cached_property
    def day_of_hour(self) -> Ints:
        """Index of the local day, shape (n_hours,)."""
        return np.array([(moment.date() - self.first).days for moment in self.local], dtype=np.int64)

    @cached_property
    def day_start(self) -> Ints:
        """First hour of each day, and the hour behind the last one, shape (n_days + 1,)."""
        return np.searchsorted(self.day_of_hour, np.arange(self.days + 1)).astype(np.int64)

    @cached_property
    def weekday(self) -> Ints:
        """0 is Monday, shape (n_days,)."""
        return (self.first.weekday() + np.arange(self.days)) % 7

    @cached_property
    def dates(self) -> list[date]:
        """Local days."""
        return [self.first + timedelta(days=n) for n in range(self.days)]

    def moment(self, hour: float) -> datetime:
        """Return the UTC time of an hour, counted from the first; fractions are taken to the second."""
        return datetime.fromtimestamp(self.start_s + round(hour * HOUR_S), UTC)
