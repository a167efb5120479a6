"""The share of false ones among all groups that are called: Benjamini-Hochberg over everything looked at."""

from __future__ import annotations

import numpy as np

from diagnostics.batches.tails import Floats, log_probability, upper_tail


def q_values(p_values: Floats) -> Floats:
    """Return adjusted p-values: the smallest false-discovery share at which each would be called.

    Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57 (1995) 289, doi:10.1111/j.2517-6161.1995.tb02031.x

    Parameters
    ----------
    p_values : ndarray of float, shape (n,)

    Returns
    -------
    ndarray of float, shape (n,)

    Examples
    --------
    >>> q_values(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    return _stepped_up(p_values, p_values * p_values.size)


def discrete_q_values(p_values: Floats, expected: Floats, spread: Floats, least: int = 1) -> Floats:
    """Return adjusted p-values that know which p-values counts can take at all.

    A group that expects 0.2 failures is unlikely to have any p-value below 0.05 by chance, but plain
    Benjamini-Hochberg counts it as if it had one chance in twenty. The expected number of false calls at a threshold
    is here summed over what each group can show (J. Heyse 2011; S. Döhler, G. Durand, E. Roquain, Electron. J. Stat.
    12 (2018) 1867).

    Parameters
    ----------
    p_values : ndarray of float, shape (n,)
        Exact upper tails of the groups.
    expected, spread : ndarray of float, shape (n,)
        What those tails were computed with.
    least : int
        Counts below this are never called.

    Returns
    -------
    ndarray of float, shape (n,)
    """
    if p_values.size == 0:
        return p_values
    last = int(np.max(expected + 12 * np.sqrt(expected + spread * expected**2))) + 25 + least
    counts = np.arange(least, last, dtype=np.float64)
    # Summed up from the far end, where the terms are least; a tail function for each count takes ten times as long.
    terms = np.exp(log_probability(counts[None, :], expected[:, None], spread[:, None]))
    terms[:, -1] = upper_tail(np.full_like(expected, counts[-1]), expected, spread)
    levels = np.cumsum(terms[:, ::-1], axis=1)[:, ::-1]
    jumps = levels - np.append(levels[:, 1:], np.zeros((len(levels), 1)), axis=1)
    order = np.argsort(levels, axis=None)
    sorted_levels, cumulated = levels.ravel()[order], np.cumsum(jumps.ravel()[order])
    reached = np.searchsorted(sorted_levels, p_values * (1 + 1e-6), side="right")
    false_calls = np.where(reached > 0, cumulated[np.maximum(reached, 1) - 1], 0.0)
    return _stepped_up(p_values, np.maximum(false_calls, p_values))


def _stepped_up(p_values: Floats, false_calls: Floats) -> Floats:
    """Return the running minimum of expected false calls to calls, from the largest p-value down."""
    if p_values.size == 0:
        return p_values
    order = np.argsort(p_values, kind="stable")
    # Groups with one p-value are called together.
    called = np.searchsorted(p_values[order], p_values[order], side="right")
    share = np.minimum.accumulate((false_calls[order] / called)[::-1])[::-1]
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(share, 1.0)
    return adjusted
