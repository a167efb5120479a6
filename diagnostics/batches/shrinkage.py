"""Ratios of observed to expected, drawn towards what is usual by as much as little data deserve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from diagnostics.batches.tails import Floats, log_probability, sums

_SPREADS = np.geomspace(0.002, 4.0, 20)
CAUTIOUS = 0.7  # quantile of what is believed about the spread that widens the tails
# Who looks again and again sees an estimate at its luckiest: with one for each look it has to be more cautious.
CAUTIOUS_OFTEN = 0.85
_LOG_SPREAD = 0.8  # two thirds of fleets lie within a factor of 2.2 of the typical spread
_STEPS, _CLOSE = 60, 1e-9
_ODD_RATIOS = np.array([2.0, 2.7, 3.6, 5.0, 8.0])
_ODD_SHARES = np.array([0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15])
_ODD_SHAPE = 4.0  # odd groups differ among each other by half their mean
_SHARE_PRIOR = 20.0  # odd groups are rare before data tell: density ∝ (1 - share)^20


@dataclass(frozen=True, slots=True)
class Usual:
    """How true ratios of groups spread: most of them around 1, a few odd ones apart.

    A mixture of gamma distributions (after W. DuMouchel, Am. Stat. 53 (1999) 177,
    doi:10.1080/00031305.1999.10474456): some for ordinary groups, whose spread widens the tails, and some for odd ones,
    so that these neither widen the tails of the others nor are drawn to 1 themselves.

    Parameters
    ----------
    spread : float
        Variance of the ratios of ordinary groups, whose mean is 1; rather too large than too small, because it widens
        the tails, and those are wrong by more where it is too small.
    odd_share : float
        Share of odd groups.
    weights, shapes, rates : ndarray of float, shape (k,)
        The gamma distributions; several for the ordinary ones, because their spread is not known exactly.
    """

    spread: float
    odd_share: float
    weights: Floats
    shapes: Floats
    rates: Floats

    @classmethod
    def of(cls, spreads: Floats, odd_share: float, odd_ratios: Floats, caution: float) -> Usual:
        """Return the mixture for a posterior of spreads and of odd ratios on their grids."""
        ordinary_weights, ordinary_spreads = _thinned(spreads, _SPREADS)
        odd_weights, odd_means = _thinned(odd_ratios, _ODD_RATIOS)
        shapes = 1.0 / np.maximum(ordinary_spreads, 1e-4)
        return cls(
            spread=_at(caution, spreads, _SPREADS),
            odd_share=odd_share,
            weights=np.concatenate([(1 - odd_share) * ordinary_weights, odd_share * odd_weights]),
            shapes=np.concatenate([shapes, np.full(odd_means.size, _ODD_SHAPE)]),
            rates=np.concatenate([shapes, _ODD_SHAPE / odd_means]),
        )


def _thinned(weights: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return at most four values with the same mean that stand for a distribution on a grid."""
    part = np.minimum((4 * (np.cumsum(weights) - weights / 2)).astype(np.int64), 3)
    mass = sums(part, weights, 4)
    kept = mass > 1e-6
    return mass[kept], sums(part, weights * values, 4)[kept] / mass[kept]


def spread_of(observed: Floats, expected: Floats, prior: float) -> float:
    r"""Return how much more the rates spread than chance alone: :math:`\varphi` of the negative binomial.

    The mean over the posterior on a grid, with an exponential prior: with few counts the prior speaks, with many they
    do.

    Parameters
    ----------
    observed, expected : ndarray of float, shape (n,)
    prior : float
        Spread to expect before data tell.
    """
    kept = expected > 0
    if kept.sum() < 2:
        return prior
    likelihood = log_probability(observed[kept], expected[kept], _SPREADS[:, None]).sum(axis=1)
    return _at(0.5, _posterior(likelihood + _log_prior(prior)), _SPREADS)


def overdispersion_p(observed: Floats, expected: Floats, ordinary: NDArray[np.bool_]) -> float:
    """Return how improbable it is by chance alone that counts spread as much about what is expected.

    C. Dean, J. F. Lawless, J. Am. Stat. Assoc. 84 (1989) 467: the score test of Poisson against a gamma mixture.

    Parameters
    ----------
    observed, expected : ndarray of float, shape (n,)
    ordinary : ndarray of bool, shape (n,)
        Groups that are asked.
    """
    count, mean = observed[ordinary], expected[ordinary]
    scale = float(np.sqrt(2 * np.sum(mean**2)))
    return float(stats.norm.sf(np.sum((count - mean) ** 2 - count) / scale)) if scale > 0 else 1.0


def usual_ratios(observed: Floats, expected: Floats, extra: Floats, prior: float, caution: float = CAUTIOUS) -> Usual:
    """Learn from all groups how true ratios spread.

    Parameters
    ----------
    observed, expected : ndarray of float, shape (n,)
    extra : ndarray of float, shape (n,)
        Spread that each group has beside the common one: its expected count is an estimate itself.
    prior : float
        Spread of ordinary groups to expect before data tell.
    caution : float
        Quantile of the spread that widens the tails.
    """
    kept = expected > 0
    count, mean, own = observed[kept], expected[kept], extra[kept]
    prior_of_spread = _posterior(_log_prior(prior))
    if count.size == 0:
        even = np.full(_ODD_RATIOS.size, 1 / _ODD_RATIOS.size)
        return Usual.of(prior_of_spread, float(_ODD_SHARES[0]), even, caution)
    ordinary = log_probability(count, mean, _SPREADS[:, None] + own)
    odd = log_probability(count, mean * _ODD_RATIOS[:, None], 1 / _ODD_SHAPE + own)
    total = np.empty((len(_SPREADS), len(_ODD_RATIOS), len(_ODD_SHARES)))
    for place, share in enumerate(_ODD_SHARES):
        both = np.logaddexp(np.log1p(-share) + ordinary[:, None, :], np.log(share) + odd[None, :, :])
        total[:, :, place] = both.sum(axis=2)
    total += _log_prior(prior)[:, None, None]
    total += (np.log(np.gradient(_ODD_SHARES)) + _SHARE_PRIOR * np.log1p(-_ODD_SHARES))[None, None, :]
    weight = _posterior(total)
    odd_share = float(np.sum(weight.sum(axis=(0, 1)) * _ODD_SHARES))
    return Usual.of(weight.sum(axis=(1, 2)), odd_share, weight.sum(axis=(0, 2)), caution)


def _log_prior(typical: float) -> Floats:
    """Return the logarithm of the prior of spreads on their grid: log-normal around what is typical."""
    return -0.5 * (np.log(_SPREADS / typical) / _LOG_SPREAD) ** 2


def _at(level: float, weights: Floats, values: Floats) -> float:
    """Return the quantile of a distribution on a grid."""
    return float(np.interp(level, np.cumsum(weights) - weights / 2, values))


def _posterior(log_weight: Floats) -> Floats:
    weight = np.exp(log_weight - np.max(log_weight))
    return np.asarray(weight / weight.sum())


def shrunken(
    observed: Floats, expected: Floats, extra: Floats, usual: Usual, interval: float
) -> tuple[Floats, Floats, Floats]:
    """Return the ratio of each group and its interval.

    Parameters
    ----------
    observed, expected : ndarray of float, shape (n,)
    extra : ndarray of float, shape (n,)
        Relative variance of each expected count: it counts as if less had been seen.
    usual : Usual
        How true ratios spread.
    interval : float
        Probability of the interval.

    Returns
    -------
    tuple of ndarray of float, shape (n,)
        Mean, lower and upper end of the posterior.
    """
    worth = 1.0 / (1.0 + expected * extra)
    count, mean = observed * worth, expected * worth
    shape, rate = usual.shapes, usual.rates
    prior = np.log(usual.weights)
    a, b = shape[:, None] + count, rate[:, None] + mean
    marginal = (
        prior[:, None] + shape[:, None] * np.log(rate[:, None]) - special.gammaln(shape[:, None])
        + special.gammaln(a) - a * np.log(b)
    )  # fmt: skip
    weight = np.exp(marginal - np.max(marginal, axis=0))
    weight /= weight.sum(axis=0)
    ends = [_quantile(level, weight, a, b) for level in ((1 - interval) / 2, (1 + interval) / 2)]
    return np.sum(weight * a / b, axis=0), ends[0], ends[1]


def _quantile(level: float, weight: Floats, a: Floats, b: Floats) -> Floats:
    """Return the quantile of mixtures of gamma distributions by Newton's steps, halving where these go astray."""
    low = np.zeros(weight.shape[1])
    high = np.max((a + 12 * np.sqrt(a) + 12) / b, axis=0)
    value = np.sum(weight * a / b, axis=0)
    log_scale = a * np.log(b) - special.gammaln(a)
    for _ in range(_STEPS):
        beyond = np.sum(weight * special.gammainc(a, b * value), axis=0) - level
        low, high = np.where(beyond < 0, value, low), np.where(beyond < 0, high, value)
        density = np.sum(weight * np.exp(log_scale + (a - 1) * np.log(value) - b * value), axis=0)
        step = beyond / np.maximum(density, 1e-300)
        value = np.where((value - step > low) & (value - step < high), value - step, (low + high) / 2)
        if np.all(np.abs(beyond) < _CLOSE):
            break
    return np.asarray(value, dtype=np.float64)
