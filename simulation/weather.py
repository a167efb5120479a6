"""Air temperature by the hour, and what of it reaches a meter's case.

Local standard time throughout; arrays hold one value an hour and are as long as the hours they were made for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Climate:
    """What air temperature does in an ordinary year; all defaults are assumed (North China Plain, rounded).

    Parameters
    ----------
    mean_c : float
        Mean of the year [°C].
    seasonal_c : float
        Half the difference between the warmest and the coldest day of the smoothed year [K].
    coldest_day : int
        Day of the year with the lowest smoothed temperature.
    diurnal_c : float
        Half the difference between afternoon and dawn [K].
    noise_c : float
        Standard deviation of a day around the smoothed year [K].
    persistence : float
        Correlation of that deviation from one day to the next.
    """

    mean_c: float = 14.0
    seasonal_c: float = 14.0
    coldest_day: int = 20
    diurnal_c: float = 4.5
    noise_c: float = 2.0
    persistence: float = 0.7


@dataclass(frozen=True, slots=True)
class Spell:
    """Days that are colder (or milder) than the season, with a day's ramp at each end.

    Parameters
    ----------
    first, last : date
        First and last day, inclusive.
    shift_c : float
        Deviation from the season [K]; negative is cold.
    """

    first: date
    last: date
    shift_c: float


# Time constants of the case against the air [h], and how much of the daily and seasonal swing arrives; assumed.
# What does not arrive is replaced by the mean of the year: soil for a pit, heating for rooms.
_INSTALLATION: Mapping[str, tuple[float, float]] = {
    "outdoor": (1.0, 1.0),
    "pit": (36.0, 0.6),
    "basement": (24.0, 0.4),
    "indoor": (12.0, 0.2),
}


def local_hours(first: date, days: int, zone: ZoneInfo) -> list[datetime]:
    """Return the full hours of `days` local days as aware local times; a day of a clock change has 23 or 25."""
    start = datetime(first.year, first.month, first.day, tzinfo=zone)
    end_day = first + timedelta(days=days)
    end = datetime(end_day.year, end_day.month, end_day.day, tzinfo=zone)
    hours = round((end.timestamp() - start.timestamp()) / 3600)
    return [datetime.fromtimestamp(start.timestamp() + 3600 * n, zone) for n in range(hours)]


def air_temperature(
    hours: list[datetime], climate: Climate, rng: np.random.Generator, spells: tuple[Spell, ...] = ()
) -> Floats:
    """Return the air temperature [°C] of each local hour.

    Season and day are cosines; days deviate as a first-order autoregression; spells are added on top.
    """
    day_of_year = np.array([h.timetuple().tm_yday for h in hours], dtype=np.float64)
    hour = np.array([h.hour for h in hours], dtype=np.float64)
    season = -climate.seasonal_c * np.cos(2 * np.pi * (day_of_year - climate.coldest_day) / 365.25)
    # Dawn, near 06:00, is coldest.
    diurnal = -climate.diurnal_c * np.cos(2 * np.pi * (hour - 6) / 24)
    days = sorted({h.date() for h in hours})
    deviation = _day_deviation(len(days), climate, rng)
    at_noon = np.array([(d - days[0]).days * 24 + 12 for d in days], dtype=np.float64)
    shift = np.array([sum(s.shift_c for s in spells if s.first <= d <= s.last) for d in days], dtype=np.float64)
    elapsed = np.array([(h.date() - days[0]).days * 24 + h.hour for h in hours], dtype=np.float64)
    return np.asarray(climate.mean_c + season + diurnal + np.interp(elapsed, at_noon, deviation + shift))


def case_temperature(air_c: Floats, installation: str, climate: Climate) -> Floats:
    """Return the temperature [°C] of a meter's case: the damped and delayed air temperature.

    Parameters
    ----------
    air_c : ndarray of float, shape (n_hours,)
        Air temperature [°C].
    installation : str
        ``outdoor``, ``pit``, ``basement`` or ``indoor``.
    climate : Climate
        Its mean is what the damped part of the swing is replaced by.
    """
    time_constant_h, share = _INSTALLATION[installation]
    target = climate.mean_c + share * (air_c - climate.mean_c)
    keep = np.exp(-1.0 / time_constant_h)
    case = np.empty_like(target)
    previous = target[0]
    for n, goal in enumerate(target):
        previous = goal + (previous - goal) * keep
        case[n] = previous
    return case


def _day_deviation(days: int, climate: Climate, rng: np.random.Generator) -> Floats:
    innovation = rng.normal(0.0, climate.noise_c * np.sqrt(1 - climate.persistence**2), days)
    deviation = np.empty(days)
    previous = rng.normal(0.0, climate.noise_c)
    for n in range(days):
        previous = climate.persistence * previous + innovation[n]
        deviation[n] = previous
    return deviation
