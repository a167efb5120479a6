"""A pipe that freezes, blocks, thaws, and leaks where the ice broke it.

The ice is followed by its latent heat alone: the water is taken to be at 0 °C when the cold begins. A full block of
ice stops the flow and, if it goes on cooling, breaks the pipe. The break shows only at the thaw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulation.weather import Bools, Floats

_LATENT_HEAT_J_PER_KG = 334_000.0
_HEAT_CAPACITY_J_PER_KG_K = 4186.0
_WATER_KG_PER_M3 = 1000.0


@dataclass(frozen=True, slots=True)
class Pipe:
    """The exposed piece of pipe at the meter.

    Parameters
    ----------
    inner_mm, outer_mm : float
        Diameters [mm]; defaults are DN20 steel.
    loss_w_per_m2_k : float
        Heat loss to the air [W/(m²·K)]; 10 is bare pipe in still air, 1 to 2 is lagged (textbook orders, assumed).
    break_factor : float
        The pipe breaks once it lost this many times the heat that freezes it solid; assumed.
    exposed_m : float
        Length of the exposed piece [m]; assumed.
    supply_c : float
        Temperature of the water that comes in [°C]; assumed, winter mains.
    """

    inner_mm: float = 21.6
    outer_mm: float = 26.9
    loss_w_per_m2_k: float = 10.0
    break_factor: float = 1.5
    exposed_m: float = 1.0
    supply_c: float = 6.0

    @property
    def freezing_degree_hours(self) -> float:
        """Degree-hours below 0 °C that freeze the pipe solid [K·h].

        Examples
        --------
        >>> round(Pipe().freezing_degree_hours)
        40
        """
        water_kg_per_m = _WATER_KG_PER_M3 * np.pi * (self.inner_mm / 2000) ** 2
        return float(water_kg_per_m * _LATENT_HEAT_J_PER_KG / self._loss_w_per_m_k / 3600)

    @property
    def supply_degree_hours_per_m3(self) -> float:
        """What a cubic metre of supply water brings, in the same measure [K·h/m³]."""
        heat_j = _WATER_KG_PER_M3 * _HEAT_CAPACITY_J_PER_KG_K * self.supply_c
        return float(heat_j / self.exposed_m / self._loss_w_per_m_k / 3600)

    @property
    def _loss_w_per_m_k(self) -> float:
        return self.loss_w_per_m2_k * np.pi * self.outer_mm / 1000


@dataclass(frozen=True, slots=True)
class Frost:
    """What the cold did to a pipe, hour by hour.

    Parameters
    ----------
    blocked : ndarray of bool, shape (n_hours,)
        Ice stops the flow.
    broken_from : int or None
        First hour in which the pipe is broken.
    leaking : ndarray of bool, shape (n_hours,)
        The pipe is broken and no longer blocked.
    """

    blocked: Bools
    broken_from: int | None
    leaking: Bools


def freeze(pipe: Pipe, case_c: Floats, demand_m3: Floats) -> Frost:
    """Return what the cold does to `pipe`, hour by hour.

    Parameters
    ----------
    pipe : Pipe
        The exposed piece.
    case_c : ndarray of float, shape (n_hours,)
        Temperature of its surroundings [°C].
    demand_m3 : ndarray of float, shape (n_hours,)
        Water drawn in the hour [m³]; it warms the pipe as long as it flows, which is why pipes freeze at night and in
        empty homes.
    """
    pipes = Pipes(
        *(np.array([v]) for v in (pipe.freezing_degree_hours, pipe.break_factor, pipe.supply_degree_hours_per_m3))
    )
    ice = freeze_all(pipes, case_c[None, :], demand_m3[None, :])
    broken_from = int(ice.broken_from[0])
    return Frost(ice.blocked[0], None if broken_from < 0 else broken_from, ice.leaking[0])


@dataclass(frozen=True, slots=True)
class Pipes:
    """Many pipes, by what counts in :func:`freeze_all`; arrays of shape (n,).

    Parameters
    ----------
    solid_k_h : ndarray of float
        Degree-hours that freeze each solid [K·h].
    break_factor : ndarray of float
        It breaks after so many times that.
    supply_k_h_per_m3 : ndarray of float
        What a cubic metre of supply water brings [K·h/m³].
    """

    solid_k_h: Floats
    break_factor: Floats
    supply_k_h_per_m3: Floats


@dataclass(frozen=True, slots=True)
class Ice:
    """What the cold did to many pipes.

    Parameters
    ----------
    blocked, leaking : ndarray of bool, shape (n, n_hours)
        As in :class:`Frost`.
    broken_from : ndarray of int, shape (n,)
        First hour in which each is broken, -1 where none is.
    """

    blocked: Bools
    broken_from: npt.NDArray[np.int64]
    leaking: Bools


def freeze_all(pipes: Pipes, case_c: Floats, demand_m3: Floats) -> Ice:
    """Return what the cold does to many pipes, hour by hour; temperature and demand of shape (n, n_hours)."""
    count, hours = case_c.shape
    solid, breaks = pipes.solid_k_h, pipes.break_factor * pipes.solid_k_h
    lost = np.zeros(count)
    frozen = np.zeros(count, dtype=np.bool_)
    blocked = np.zeros((hours, count), dtype=np.bool_)
    broken_from = np.full(count, -1, dtype=np.int64)
    warmth = np.ascontiguousarray((demand_m3 * pipes.supply_k_h_per_m3[:, None]).T)
    temperature = np.ascontiguousarray(case_c.T)
    for n in range(hours):
        lost = np.where(frozen, lost, np.maximum(lost - warmth[n], 0.0))
        # More cold than breaks the pipe only cools the ice: the thaw does not have to make up for it.
        lost = np.minimum(np.maximum(lost - temperature[n], 0.0), breaks)
        # Solid ice blocks at once; on the way back the block opens when a third has melted.
        frozen = (lost >= solid) | (frozen & (lost > 2 / 3 * solid))
        blocked[n] = frozen
        broken_from[(broken_from < 0) & (lost >= breaks)] = n
    by_pipe = np.ascontiguousarray(blocked.T)
    broken = (broken_from >= 0)[:, None] & (np.arange(hours) >= broken_from[:, None])
    return Ice(by_pipe, broken_from, broken & ~by_pipe)
