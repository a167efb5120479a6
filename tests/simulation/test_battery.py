import numpy as np
import pytest

from simulation.battery import LithiumThionylChlorideCell, load_voltage, resting_voltage

CELL = LithiumThionylChlorideCell()


def test_resting_voltage_in_the_cold() -> None:
    """Between +15 and -10 °C a healthy cell loses 0.10 V."""
    warm, cold = resting_voltage(CELL, np.array([15.0, -10.0]), np.full(2, 0.3 * CELL.capacity_mah))

    assert pytest.approx(0.10) == warm - cold


def test_resting_voltage_at_the_knee() -> None:
    """The plateau ignores charge until the last per cent; the end is steep."""
    used = np.array([0.1, 0.9, 0.99, 1.0]) * CELL.capacity_mah
    new, old, late, empty = resting_voltage(CELL, np.full(4, 20.0), used)

    assert pytest.approx(new, abs=0.001) == old
    assert 0.005 < new - late < 0.05
    assert pytest.approx(0.9, abs=0.01) == new - empty


def test_load_voltage_dips_deeper_in_the_cold() -> None:
    """The dip under the same pulse is about three times as deep at -10 °C as at 20 °C."""
    temperature = np.array([20.0, -10.0])
    rest = np.array([3.6, 3.5])
    dip = rest - load_voltage(CELL, rest, temperature)

    assert pytest.approx(3.0) == dip[1] / dip[0]
