"""Water that people draw, by the hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from simulation.weather import Floats

# Share of a day's draws in each local hour: morning and evening peaks; assumed, sums to one.
DRAWS_BY_HOUR = np.array(
    [6, 3, 2, 2, 3, 12, 38, 62, 58, 46, 42, 44, 52, 46, 38, 36, 40, 50, 66, 74, 70, 58, 36, 16], dtype=np.float64
)
DRAWS_BY_HOUR /= DRAWS_BY_HOUR.sum()


@dataclass(frozen=True, slots=True)
class Household:
    """People behind one meter; defaults are assumed.

    Parameters
    ----------
    people : float
        Persons at home.
    litres_per_person_day : float
        Mean use [L/(person·d)].
    draws_per_person_day : float
        Mean number of draws (a tap, a flush, a shower) a person and day.
    away : tuple of (date, date)
        First and last day of absences, inclusive.
    """

    people: float = 2.6
    litres_per_person_day: float = 110.0
    draws_per_person_day: float = 14.0
    away: tuple[tuple[date, date], ...] = ()


def hourly_demand(hours: list[datetime], household: Household, rng: np.random.Generator) -> Floats:
    """Return the water drawn in the hour that begins at each local hour [m³]."""
    weight = DRAWS_BY_HOUR[[h.hour for h in hours]]
    mean_m3 = household.litres_per_person_day / household.draws_per_person_day / 1000
    demand = drawn_water(household.people * household.draws_per_person_day * weight, mean_m3, rng)
    home = np.array([not any(first <= h.date() <= last for first, last in household.away) for h in hours])
    return np.asarray(demand * home)


def drawn_water(draws_per_hour: Floats, mean_m3: Floats | float, rng: np.random.Generator) -> Floats:
    """Return the water drawn in each hour [m³], of the shape of `draws_per_hour`.

    The number of draws is Poisson, the volume of one is exponential; their sum is therefore gamma.
    """
    draws = rng.poisson(draws_per_hour)
    return np.where(draws > 0, rng.gamma(np.maximum(draws, 1), mean_m3), 0.0)
