"""The weather of several regions: air temperature by the hour, rain by the day, cold snaps that most of them share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from simulation.calendar_hours import Calendar
from simulation.parameters import Draws
from simulation.weather import Climate, Floats, Spell, air_temperature, case_temperature

FORECAST_DAYS = 3  # behind the record, as a forecast
_INSTALLATIONS = ("indoor", "outdoor", "basement", "pit")


@dataclass(frozen=True, slots=True)
class RegionalWeather:
    """What the air and the sky did.

    Parameters
    ----------
    climate : Climate
        The ordinary year.
    air_c : ndarray of float, shape (n_regions, n_hours)
        Air temperature [°C].
    case_c : ndarray of float, shape (n_regions, n_installations, n_hours)
        Temperature of a meter's case [°C].
    rain_mm : ndarray of float, shape (n_regions, n_days + forecast)
        Rain of each day [mm].
    day_c : ndarray of float, shape (n_regions, n_days + forecast, 3)
        Lowest, mean and highest air temperature of each day [°C].
    """

    climate: Climate
    air_c: Floats
    case_c: Floats
    rain_mm: Floats
    day_c: Floats


def make_weather(calendar: Calendar, regions: int, draws: Draws) -> RegionalWeather:
    """Return the weather of `regions` regions over the record and some days of forecast behind it."""
    rng = draws.rng
    climate = Climate(
        mean_c=draws.one("mean_c"),
        seasonal_c=draws.one("seasonal_c"),
        diurnal_c=draws.one("diurnal_c"),
        noise_c=draws.one("day_noise_c"),
    )
    longer = replace(calendar, days=calendar.days + FORECAST_DAYS)
    spells = _cold_snaps(calendar, draws)
    air, case = [], []
    for offset in draws.many("region_offset_c", regions):
        own = replace(climate, mean_c=climate.mean_c + float(offset))
        shared = tuple(replace(spell, shift_c=spell.shift_c * float(rng.uniform(0.85, 1.15))) for spell in spells)
        hourly = air_temperature(longer.local, own, rng, shared)
        air.append(hourly)
        case.append([case_temperature(hourly[: calendar.hours], kind, own) for kind in _INSTALLATIONS])
    air_c = np.array(air)
    days = [air_c[:, longer.day_start[n] : longer.day_start[n + 1]] for n in range(longer.days)]
    day_c = np.stack([np.stack([day.min(1), day.mean(1), day.max(1)], axis=1) for day in days], axis=1)
    return RegionalWeather(
        climate, air_c[:, : calendar.hours], np.array(case), _rain(longer.days, regions, draws), day_c
    )


def _cold_snaps(calendar: Calendar, draws: Draws) -> tuple[Spell, ...]:
    """Return cold snaps, each followed by a thaw, in the colder half of the record and apart from each other."""
    count = draws.count("cold_snaps")
    if count == 0:
        return ()
    season = np.array([np.cos(2 * np.pi * (day.timetuple().tm_yday - 20) / 365.25) for day in calendar.dates])
    cold = np.flatnonzero(season >= np.median(season))
    cold = cold[(cold >= min(20, calendar.days // 4)) & (cold < calendar.days - min(15, calendar.days // 4))]
    if len(cold) == 0:
        return ()
    spells = []
    for part in np.array_split(cold, count):
        length = draws.one("cold_snap_days")
        first = calendar.first + timedelta(days=int(part[0]) + int(draws.rng.integers(0, max(len(part) // 2, 1))))
        last = first + timedelta(days=round(length) - 1)
        spells.append(Spell(first, last, draws.one("cold_snap_c")))
        spells.append(Spell(last + timedelta(days=2), last + timedelta(days=6), 4.0))
    return tuple(spells)


def _rain(days: int, regions: int, draws: Draws) -> Floats:
    rng = draws.rng
    share, mean_mm = draws.one("wet_day_share"), draws.one("rain_mm")
    wet = rng.random((regions, days)) < share
    # Half of the regions' rain falls on the same days.
    common = rng.random(days) < share
    wet = np.where(rng.random((regions, days)) < 0.5, common, wet)
    rain = np.where(wet, rng.gamma(0.8, mean_mm / 0.8, (regions, days)), 0.0)
    for region in range(regions):
        for _ in range(draws.count("downpours")):
            rain[region, int(rng.integers(days // 8, days))] += draws.one("downpour_mm")
    return np.asarray(np.round(rain, 1), dtype=np.float64)
