"""What the people behind a block of meters draw: who is at home, when, and what runs all the time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.estate import BUSINESS, HOUSEHOLD, RARE
from simulation.happenings import WATER_OUTAGE
from simulation.household import DRAWS_BY_HOUR, drawn_water
from simulation.meter_block import MeterBlock, between
from simulation.parameters import Ints, constant
from simulation.weather import Bools, Floats

_BUSINESS_BY_HOUR = np.array([0] * 7 + [1, 3, 4, 4, 4, 5, 4, 4, 4, 3, 2, 1] + [0] * 5, dtype=np.float64)
_BUSINESS_BY_HOUR /= _BUSINESS_BY_HOUR.sum()
_RARE_DAYS = constant("rare_days", 0.07, "1", "days on which a seldom used meter is used")
_DAY_SPREAD = constant("day_spread", 0.3, "1", "standard deviation of the logarithm of a day's water")
_WEEKEND = constant("weekend", 1.15, "1", "water of a Saturday or Sunday against other days")


@dataclass(frozen=True, slots=True)
class Consumption:
    """What would flow if nothing stood in the way.

    Parameters
    ----------
    drawn_m3 : ndarray of float, shape (n, n_hours)
        By people [m³].
    running_m3 : ndarray of float, shape (n, n_hours)
        By leaks and running toilets [m³].
    home : ndarray of bool, shape (n, n_days)
        Somebody is there.
    leaking : ndarray of bool, shape (n, n_hours)
        A leak runs.
    dry : ndarray of bool, shape (n, n_hours)
        The main is shut.
    """

    drawn_m3: Floats
    running_m3: Floats
    home: Bools
    leaking: Bools
    dry: Bools


def consume(block: MeterBlock) -> Consumption:
    """Return the water that a block's people draw."""
    draws, rng, calendar, size = block.draws, block.draws.rng, block.calendar, block.size
    # Whose sensor, valve or pipe fails is a household, so that the fault is one that somebody could miss.
    lived_in = np.isin(block.fault, ["coil", "actuator", "low_temperature"])
    kind = np.where(lived_in, HOUSEHOLD, block.estate.kind[block.meters])
    home = _at_home(block, kind)
    by_hour = np.where(kind[:, None] == BUSINESS, _BUSINESS_BY_HOUR, DRAWS_BY_HOUR)[:, calendar.hour_of_day]
    by_day = np.exp(rng.normal(-(_DAY_SPREAD**2) / 2, _DAY_SPREAD, (size, calendar.days)))
    by_day *= np.where((calendar.weekday >= 5)[None, :] & (kind != BUSINESS)[:, None], _WEEKEND, 1.0) * home
    draws_per_day = draws.many("draws_per_person_day", size)
    litres = draws.many("litres_per_person_day", size)
    people = block.estate.people[block.meters]
    rate = by_hour * (people * draws_per_day)[:, None] * by_day[:, calendar.day_of_hour]
    drawn = drawn_water(rate, (litres / draws_per_day / 1000)[:, None], rng)
    running = np.where(draws.some("drip_share", size), draws.many("drip_m3h", size), 0.0)
    running = np.broadcast_to(running[:, None], drawn.shape).copy()
    first = rng.integers(0, calendar.hours, size)
    leaking = between(calendar.hours, first, first + 24 * draws.many("leak_days", size))
    leaking &= draws.some("leak_share", size)[:, None]
    running += leaking * draws.many("leak_m3h", size)[:, None]
    first = rng.integers(0, calendar.hours, size)
    filling = between(calendar.hours, first, first + rng.integers(4, 30, size))
    drawn += filling * (draws.some("filling_share", size) * draws.many("filling_m3h", size))[:, None]
    return Consumption(drawn, running, home, leaking, _dry(block))


def _at_home(block: MeterBlock, kind: Ints) -> Bools:
    draws, rng, days, size = block.draws, block.draws.rng, block.calendar.days, block.size
    home = np.ones((size, days), dtype=np.bool_)
    at = np.arange(days)
    lived_in = np.isin(block.fault, ["coil", "actuator"]) & (rng.random(size) < 0.93)
    home[draws.some("vacant_share", size) & ~lived_in] = False
    moved = draws.some("move_share", size) & ~lived_in
    day = rng.integers(0, days, size)[:, None]
    # Out, in, or out and after a while somebody else in.
    way = rng.integers(0, 3, size)[:, None]
    gap = rng.integers(8, 70, size)[:, None]
    away = np.where(way == 0, at >= day, np.where(way == 1, at < day, (at >= day) & (at < day + gap)))
    home &= ~(away & moved[:, None])
    for _ in range(2):
        gone = draws.some("holiday_share", size)
        first = rng.integers(-5, days, size)[:, None]
        length = np.round(draws.many("holiday_days", size))[:, None]
        home &= ~((at >= first) & (at < first + length) & gone[:, None])
    home[kind == RARE] = rng.random((int((kind == RARE).sum()), days)) < _RARE_DAYS
    home[kind == BUSINESS] = block.calendar.weekday < 6
    return home


def _dry(block: MeterBlock) -> Bools:
    """Return the hours in which the main is shut for works."""
    dry = np.zeros((block.size, block.calendar.hours), dtype=np.bool_)
    site = block.estate.site[block.meters]
    for each in block.world.happenings.of_kind(WATER_OUTAGE):
        dry[site == each.site, each.first : each.last] = True
    return dry
