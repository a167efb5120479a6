"""A Li-SOCl2 cell: a flat plateau that follows temperature, a resistance that grows in the cold, a knee at the end.

The resting voltage on the plateau is nearly independent of charge; what moves it is temperature. The knee comes in the
last per cents of the charge and takes days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.weather import Floats


@dataclass(frozen=True, slots=True)
class LithiumThionylChlorideCell:
    """Parameters of one cell with its pulse capacitor, or of many: arrays that broadcast against charge.

    Parameters
    ----------
    capacity_mah : float
        Charge at 20 °C [mAh]; 8500 is an ER26500 (trade figure, unconfirmed).
    working_v : float
        Resting voltage at 20 °C under the meter's base current [V]; 3.60 (Tadiran data sheet: working voltage).
    temperature_v_per_k : float
        Slope of the plateau [V/K]; 0.004 is 0.10 V between +15 and -10 °C, which is no fault.
    resistance_ohm : float
        At 20 °C, of the cell with its capacitor [Ω]; assumed.
    resistance_ratio_cold : float
        Resistance at -10 °C against 20 °C; 3 (trade page, order of magnitude only).
    knee_share : float
        Share of the charge in which the end grows by e; 0.0025, by eye from the last five days of a recorded LS14500
        that lasted 553 days (Tour Perret data, CampusIoT).
    knee_v : float
        Voltage lost when the charge is used up [V]; 0.9, from the same recording.
    worn_ratio : float
        By how many times the resistance has grown when the charge is used up; assumed, 0 leaves it as it is.
    worn_share : float
        Share of the charge in which that growth falls by e, back from the end; assumed.
    """

    capacity_mah: Floats | float = 8500.0
    working_v: Floats | float = 3.60
    temperature_v_per_k: Floats | float = 0.004
    resistance_ohm: Floats | float = 0.4
    resistance_ratio_cold: Floats | float = 3.0
    knee_share: Floats | float = 0.0025
    knee_v: Floats | float = 0.9
    worn_ratio: Floats | float = 0.0
    worn_share: Floats | float = 0.01


def resting_voltage(cell: LithiumThionylChlorideCell, temperature_c: Floats, used_mah: Floats) -> Floats:
    """Return the voltage at rest [V]; temperature and charge of one shape."""
    plateau = cell.working_v + cell.temperature_v_per_k * (temperature_c - 20.0)
    used = used_mah / cell.capacity_mah
    knee = cell.knee_v * np.exp(np.minimum((used - 1.0) / cell.knee_share, 3.0))
    return np.asarray(np.maximum(plateau - knee, 0.0))


def resistance(cell: LithiumThionylChlorideCell, temperature_c: Floats, used_mah: Floats | None = None) -> Floats:
    """Return the resistance [Ω]: it grows exponentially towards the cold, and towards the end of the charge."""
    ratio = cell.resistance_ratio_cold ** ((20.0 - temperature_c) / 30.0)
    if used_mah is None:
        return np.asarray(cell.resistance_ohm * ratio)
    worn = np.exp(np.minimum((used_mah / cell.capacity_mah - 1.0) / cell.worn_share, 0.0))
    return np.asarray(cell.resistance_ohm * ratio * (1.0 + cell.worn_ratio * worn))


def load_voltage(
    cell: LithiumThionylChlorideCell,
    resting_v: Floats,
    temperature_c: Floats,
    load_ma: float = 167.0,
    used_mah: Floats | None = None,
    film_ohm: Floats | float = 0.0,
) -> Floats:
    """Return the voltage under a pulse [V].

    167 mA is an NB-IoT module's transmission at 23 dBm (M5311). `film_ohm` is what a passivation film adds [Ω].
    """
    ohm = resistance(cell, temperature_c, used_mah) + film_ohm
    return np.asarray(np.maximum(resting_v - load_ma / 1000.0 * ohm, 0.0))


def used_charge(hours: int, start_mah: Floats | float, base_ma: float = 0.029) -> Floats:
    """Return the charge used up by each hour [mAh].

    0.029 mA is 250 mAh a year: base current, a daily uplink, a monthly valve run and self-discharge together.
    """
    return np.asarray(start_mah + base_ma * np.arange(hours, dtype=np.float64))
