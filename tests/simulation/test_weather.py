from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from simulation.weather import Climate, Spell, air_temperature, case_temperature, local_hours

MADRID = ZoneInfo("Europe/Madrid")


@pytest.mark.parametrize(("day", "hours"), [(date(2016, 3, 27), 23), (date(2016, 10, 30), 25), (date(2016, 7, 1), 24)])
def test_local_hours_of_a_clock_change(day: date, hours: int) -> None:
    """A local day has 23, 24 or 25 hours."""
    assert hours == len(local_hours(day, 1, MADRID))


def test_air_temperature_of_a_spell() -> None:
    """A cold spell lowers its days by its depth and leaves days further away alone."""
    hours = local_hours(date(2017, 1, 1), 30, ZoneInfo("Asia/Shanghai"))
    spell = Spell(date(2017, 1, 10), date(2017, 1, 16), -10.0)
    usual = air_temperature(hours, Climate(), np.random.default_rng(1))
    cold = air_temperature(hours, Climate(), np.random.default_rng(1), (spell,))
    day = np.array([h.day for h in hours])

    assert np.allclose(-10.0, (cold - usual)[day == 13])
    assert np.allclose(0.0, (cold - usual)[day > 17])


def test_case_temperature_damped_in_a_pit() -> None:
    """A pit swings less than the open air."""
    hours = local_hours(date(2017, 1, 1), 30, ZoneInfo("Asia/Shanghai"))
    air = air_temperature(hours, Climate(), np.random.default_rng(1))

    assert np.ptp(case_temperature(air, "pit", Climate())) < 0.5 * np.ptp(case_temperature(air, "outdoor", Climate()))
