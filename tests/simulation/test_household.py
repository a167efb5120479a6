from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from simulation.household import Household, drawn_water, hourly_demand
from simulation.weather import local_hours

HOURS = local_hours(date(2016, 11, 1), 200, ZoneInfo("Asia/Shanghai"))


def test_hourly_demand_mean_of_many_days() -> None:
    """Over many days a household draws what its persons use."""
    demand = hourly_demand(HOURS, Household(people=3, litres_per_person_day=100), np.random.default_rng(5))

    assert pytest.approx(0.3, rel=0.05) == demand.sum() / 200
    assert (demand >= 0).all()


def test_hourly_demand_away() -> None:
    """Nobody at home draws nothing."""
    absence = (date(2016, 11, 5), date(2016, 11, 9))
    demand = hourly_demand(HOURS, Household(away=(absence,)), np.random.default_rng(5))
    away = np.array([absence[0] <= h.date() <= absence[1] for h in HOURS])

    assert demand[away].sum() == 0
    assert demand[~away].sum() > 0


def test_drawn_water_of_many_homes() -> None:
    """The mean is draws times their volume; no draws, no water."""
    drawn = drawn_water(np.full((200, 500), 0.4), 0.008, np.random.default_rng(2))

    assert pytest.approx(0.4 * 0.008, rel=0.02) == drawn.mean()
    assert pytest.approx(np.exp(-0.4), abs=0.01) == (drawn == 0).mean()
