"""A motor ball valve: strokes that slow down with friction, stall, or turn a motor whose gear no longer grips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from simulation.weather import Bools, Floats

Position = Literal["open", "closed"]


@dataclass(frozen=True, slots=True)
class MotorValve:
    """Parameters of a small valve.

    Parameters
    ----------
    travel_s : float
        Stroke of a clean valve [s]; assumed, below the 8 s in which meter firmware expects a small valve in position.
    running_ma : float
        Motor current of a clean valve [mA]; 60, as in the usual charge budget of a monthly run.
    stall_ma : float
        Current at which firmware calls a stall [mA]; 220 for a small valve (public meter firmware).
    time_out_s : float
        The firmware gives up [s]; assumed.
    scatter : float
        Relative standard deviation from stroke to stroke; assumed.
    """

    travel_s: float = 5.0
    running_ma: float = 60.0
    stall_ma: float = 220.0
    time_out_s: float = 20.0
    scatter: float = 0.03


@dataclass(frozen=True, slots=True)
class Stroke:
    """What a meter reports of one movement.

    Parameters
    ----------
    reached : bool
        The end switch was seen.
    travel_s : float
        Duration [s].
    current_ma : float
        Peak motor current [mA].
    stalled : bool
        The current reached the stall threshold.
    """

    reached: bool
    travel_s: float
    current_ma: float
    stalled: bool


def stroke(valve: MotorValve, friction: float, rng: np.random.Generator, *, engaged: bool = True) -> Stroke:
    """Return one movement of `valve`.

    Parameters
    ----------
    valve : MotorValve
        The valve.
    friction : float
        Torque needed against a clean valve's, 1 or more.
    rng : numpy.random.Generator
        Source of scatter.
    engaged : bool
        False: the gear is stripped; the motor turns freely with half the current and no end switch is ever seen.

    Notes
    -----
    A small direct-current motor's speed falls linearly with torque and its current grows linearly, so that
    :math:`t = t_0 (1 - i_0/i_s) / (1 - i/i_s)`.
    """
    noise = float(np.clip(rng.normal(1.0, valve.scatter), 0.9, 1.1))
    made = strokes(
        Valves(*(np.array([value]) for value in (valve.travel_s, valve.running_ma, valve.stall_ma, valve.time_out_s))),
        np.array([friction]),
        np.array([noise]),
        np.array([engaged]),
    )
    return Stroke(bool(made.reached[0]), float(made.travel_s[0]), float(made.current_ma[0]), bool(made.stalled[0]))


@dataclass(frozen=True, slots=True)
class Valves:
    """The same parameters of many valves; arrays of shape (n,)."""

    travel_s: Floats
    running_ma: Floats
    stall_ma: Floats
    time_out_s: Floats


@dataclass(frozen=True, slots=True)
class Strokes:
    """What many meters report of one movement each; arrays of shape (n,)."""

    reached: Bools
    travel_s: Floats
    current_ma: Floats
    stalled: Bools


def strokes(valves: Valves, friction: Floats, noise: Floats, engaged: Bools) -> Strokes:
    """Return one movement of each valve; the physics of :func:`stroke`.

    Parameters
    ----------
    valves : Valves
        The valves.
    friction : ndarray of float, shape (n,)
        Torque needed against a clean valve's, 1 or more.
    noise : ndarray of float, shape (n,)
        Factor on the current, near 1.
    engaged : ndarray of bool, shape (n,)
        False: the gear is stripped.
    """
    current_ma = valves.running_ma * friction * noise
    stalled = engaged & (current_ma >= valves.stall_ma)
    with np.errstate(divide="ignore"):
        slower = (1 - valves.running_ma / valves.stall_ma) / (1 - current_ma / valves.stall_ma)
    travel_s = valves.travel_s * slower
    reached = engaged & ~stalled & (travel_s <= valves.time_out_s)
    current_ma = np.where(stalled, valves.stall_ma * noise, current_ma)
    return Strokes(
        reached=reached,
        travel_s=np.where(reached, travel_s, valves.time_out_s),
        current_ma=np.where(engaged, current_ma, valves.running_ma / 2 * noise),
        stalled=stalled,
    )
