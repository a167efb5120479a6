"""Upper tails of counts: Poisson's, and the negative binomial's where rates spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_POISSON = 1e-9  # a spread below this is none; the incomplete beta function loses digits there


def upper_tail(observed: Floats, expected: Floats, spread: Floats | float = 0.0) -> Floats:
    r"""Return the exact probability of `observed` or more failures.

    .. math:: X \sim \mathrm{Poisson}(\Theta E),\quad \Theta \sim \mathrm{Gamma}(1/\varphi, 1/\varphi)

    whose marginal is the negative binomial distribution; without spread it is Poisson's.

    Parameters
    ----------
    observed : ndarray of float, shape (n,)
        Counts; 0 gives 1.
    expected : ndarray of float, shape (n,)
        Expected counts, 0 or more.
    spread : ndarray of float, shape (n,), or float
        :math:`\varphi`, the variance of the rates to their mean².

    Returns
    -------
    ndarray of float, shape (n,)

    Examples
    --------
    >>> upper_tail(np.array([0.0, 5.0]), np.array([1.8, 1.8])).round(4).tolist()
    [1.0, 0.0364]
    """
    count, mean, phi = np.broadcast_arrays(
        np.asarray(observed, dtype=np.float64), np.maximum(expected, 1e-300), np.asarray(spread, dtype=np.float64)
    )
    tail = np.ones(count.shape)
    some = count > 0
    mixed = some & (phi > _POISSON)
    plain = some & ~mixed
    shape = 1.0 / phi[mixed]
    tail[mixed] = special.betainc(count[mixed], shape, mean[mixed] / (shape + mean[mixed]))
    tail[plain] = special.gammainc(count[plain], mean[plain])
    return tail


def log_probability(observed: Floats, expected: Floats, spread: Floats | float = 0.0) -> Floats:
    """Return the logarithm of the probability of exactly `observed` failures; arrays are broadcast."""
    mean = np.maximum(np.asarray(expected, dtype=np.float64), 1e-300)
    phi = np.asarray(spread, dtype=np.float64)
    count = np.asarray(observed, dtype=np.float64)
    shape = 1.0 / np.maximum(phi, _POISSON)
    plain = special.xlogy(count, mean) - mean - special.gammaln(count + 1)
    mixed = (
        special.gammaln(count + shape)
        - special.gammaln(shape)
        - special.gammaln(count + 1)
        - shape * np.log1p(mean / shape)
        + special.xlogy(count, mean / (shape + mean))
    )
    return np.where(phi > _POISSON, mixed, plain)


def sums(code: Codes, values: Floats, size: int = 0) -> Floats:
    """Return the sums of `values` by `code`, of at least `size` codes."""
    return np.bincount(code, weights=values, minlength=size).astype(np.float64)
