"""A motor ball valve: strokes that slow down with friction, stall, or turn a motor whose gear no longer grips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

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
    if not engaged:
        return Stroke(reached=False, travel_s=valve.time_out_s, current_ma=valve.running_ma / 2 * noise, stalled=False)
    current_ma = valve.running_ma * friction * noise
    if current_ma >= valve.stall_ma:
        return Stroke(reached=False, travel_s=valve.time_out_s, current_ma=valve.stall_ma * noise, stalled=True)
    slower = (1 - valve.running_ma / valve.stall_ma) / (1 - current_ma / valve.stall_ma)
    travel_s = valve.travel_s * slower
    if travel_s > valve.time_out_s:
        return Stroke(reached=False, travel_s=valve.time_out_s, current_ma=current_ma, stalled=False)
    return Stroke(reached=True, travel_s=travel_s, current_ma=current_ma, stalled=False)
