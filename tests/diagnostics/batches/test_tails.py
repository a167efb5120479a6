"""Tails and probabilities equal those of a library."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from diagnostics.batches.tails import log_probability, sums, upper_tail

COUNTS, MEANS = (axis.ravel() for axis in np.meshgrid(np.arange(0.0, 60.0), np.geomspace(1e-6, 80.0, 15)))


def test_the_tail_without_spread_is_that_of_poisson() -> None:
    """To twelve digits."""
    np.testing.assert_allclose(stats.poisson.sf(COUNTS - 1, MEANS), upper_tail(COUNTS, MEANS), rtol=1e-12)


@pytest.mark.parametrize("spread", [1e-3, 0.05, 1.0, 4.0])
def test_the_tail_with_spread_is_negative_binomial(spread: float) -> None:
    """A gamma mixture of Poisson counts."""
    size = 1 / spread

    np.testing.assert_allclose(
        stats.nbinom.sf(COUNTS - 1, size, size / (size + MEANS)),
        upper_tail(COUNTS, MEANS, spread),
        rtol=1e-6,
        atol=1e-200,
    )
    np.testing.assert_allclose(
        stats.nbinom.logpmf(COUNTS, size, size / (size + MEANS)), log_probability(COUNTS, MEANS, spread), rtol=1e-6,
        atol=1e-7,
    )  # fmt: skip


def test_probabilities_without_spread_are_those_of_poisson() -> None:
    """The limit of no spread."""
    np.testing.assert_allclose(
        stats.poisson.logpmf(COUNTS, MEANS), log_probability(COUNTS, MEANS), rtol=1e-10, atol=1e-10
    )


def test_sums_by_code() -> None:
    """Codes without a value sum to nothing."""
    assert [3.0, 0.0, 4.0, 0.0] == sums(np.array([0, 2, 0]), np.array([1.0, 4.0, 2.0]), 4).tolist()
