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


def test_resting_voltage_leaves_the_plateau_within_days() -> None:
    """At a drain that uses a charge of e-fold in 1.4 days the last 0.3 V take less than a week."""
    drain_mah = 1.5
    cell = LithiumThionylChlorideCell(knee_share=1.4 * drain_mah / 8500.0)
    days = np.arange(-30.0, 0.0)
    rest = resting_voltage(cell, np.full(30, 20.0), 8500.0 + days * drain_mah)

    assert rest[0] - rest[20] < 0.005
    assert rest[24] - rest[-1] > 0.3


def test_load_voltage_of_a_worn_cell_sags_deeper() -> None:
    """Resistance grows towards the end of the charge while the resting voltage still lies on its plateau."""
    cell = LithiumThionylChlorideCell(worn_ratio=4.0, worn_share=0.01)
    used = np.array([0.5, 0.99]) * CELL.capacity_mah
    warm = np.full(2, 20.0)
    rest = resting_voltage(cell, warm, used)
    young, old = rest - load_voltage(cell, rest, warm, used_mah=used)

    assert 2 * young < old < 3 * young
    assert rest[0] - rest[1] < 0.05


def test_load_voltage_of_a_passivated_cell_dips() -> None:
    """The film adds its resistance."""
    rest = np.array([3.6])
    clean, filmed = (load_voltage(CELL, rest, np.array([20.0]), film_ohm=ohm)[0] for ohm in (0.0, 2.0))

    assert pytest.approx(2.0 * 0.167) == clean - filmed
