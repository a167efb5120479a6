"""Error spent over repeated looks: who looks each week finds something each year, by chance alone.

A group is looked at again and again, and each look could call it. What counts is therefore the probability that *any*
look of the horizon shows an excess as improbable as the present one; it is computed exactly for a Poisson process that
is looked at so often (in the spirit of M. Kulldorff et al., Seq. Anal. 30 (2011) 58,
doi:10.1080/07474946.2011.539924, with the flat boundary of S. Pocock; spending over looks: K. Lan, D. DeMets,
Biometrika 70 (1983) 659; for warranty data H. Wu, W. Meeker, Technometrics 44 (2002) 120). Nothing is remembered
between looks: the budget follows from the data's own dates, so that the same data give the same verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import interpolate, linalg, stats

from diagnostics.batches.tails import Floats

_EXPECTED = np.geomspace(0.05, 200.0, 24)
_LEVELS = np.geomspace(1e-9, 0.6, 36)


@dataclass(frozen=True, slots=True)
class Look:
    """That the present assessment is one of many.

    Parameters
    ----------
    every_days : int
        Days between two looks [days].
    horizon : int
        Looks over which the budget of false calls is spent; who is looked at for longer has it anew.
    """

    every_days: int = 7
    horizon: int = 52


def looks_taken(days: Floats, look: Look) -> Floats:
    """Return how many looks a group has had that is exposed since `days` [days]; at least one."""
    return np.maximum(np.ceil(days / look.every_days), 1.0)


def over_looks(p_values: Floats, expected: Floats, looks: Floats, look: Look, least: int) -> Floats:
    """Return the probability that any look of the horizon shows as improbable an excess by chance.

    Parameters
    ----------
    p_values : ndarray of float, shape (n,)
        Upper tails at the present look.
    expected : ndarray of float, shape (n,)
        Failures expected up to now.
    looks : ndarray of float, shape (n,)
        Looks taken up to now, the present one included.
    look : Look
    least : int
        Counts below this are never called.

    Returns
    -------
    ndarray of float, shape (n,)
        Never below `p_values`.
    """
    if look.horizon == 1 or p_values.size == 0:
        return p_values
    at_end = expected * np.maximum(look.horizon / looks, 1.0)
    table = _crossing(look.horizon, least)
    points = np.stack(
        [
            np.log(np.clip(at_end, _EXPECTED[0], _EXPECTED[-1])),
            np.log(np.clip(p_values, _LEVELS[0], _LEVELS[-1])),
        ],
        axis=-1,
    )
    factor = np.exp(table(points))
    return np.minimum(np.maximum(p_values * factor, p_values), 1.0)


@lru_cache(maxsize=16)
def _crossing(horizon: int, least: int) -> interpolate.RegularGridInterpolator:
    """Return the logarithm of (probability that any look is as improbable) to (that one look is), interpolated."""
    table = np.array([crossing_probabilities(end, _LEVELS, horizon, least) for end in _EXPECTED])
    table = np.maximum.accumulate(table, axis=1)
    return interpolate.RegularGridInterpolator(
        (np.log(_EXPECTED), np.log(_LEVELS)), np.log(np.maximum(table, 1e-300) / _LEVELS)
    )


def crossing_probabilities(at_end: float, levels: Floats, horizon: int, least: int) -> Floats:
    """Return for each level the probability that any of `horizon` looks has an upper tail of at most that.

    Parameters
    ----------
    at_end : float
        Failures expected at the last look; they accrue evenly.
    levels : ndarray of float, shape (n,)
        Upper tails.
    horizon : int
        Number of looks.
    least : int
        Counts below this never cross.

    Returns
    -------
    ndarray of float, shape (n,)
    """
    step = at_end / horizon
    bounds = np.array([stats.poisson.isf(levels, step * number) + 1 for number in range(1, horizon + 1)])
    # isf gives the least k with P(X > k) ≤ level, so that k + 1 failures or more are as improbable as the level.
    bounds = np.maximum(bounds, least).astype(np.int64)
    size = int(bounds.max()) + 1
    move = linalg.toeplitz(stats.poisson.pmf(np.arange(size), step), np.zeros(size)).T
    counts = np.arange(size)
    state = np.zeros((levels.size, size))
    state[:, 0] = 1.0
    crossed = np.zeros(levels.size)
    for bound in bounds:
        before = state.sum(axis=1)
        state = (state @ move) * (counts[None, :] < bound[:, None])
        crossed += before - state.sum(axis=1)
    return np.clip(crossed, 0.0, 1.0)
