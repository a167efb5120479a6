"""Shrunken ratios: what the data deserve, and intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from diagnostics.batches.shrinkage import Usual, overdispersion_p, shrunken, spread_of, usual_ratios


def mixture(spread: float = 0.05, odd_share: float = 0.03) -> Usual:
    """Return ordinary groups of one spread, and odd ones around 3."""
    return Usual(
        spread, odd_share, np.array([1 - odd_share, odd_share]), np.array([1 / spread, 4.0]),
        np.array([1 / spread, 4 / 3]),
    )  # fmt: skip


def test_the_posterior_is_that_of_bayes() -> None:
    """Mean and quantiles against numerical integration."""
    usual = mixture()

    def density(ratio: float) -> float:
        prior = sum(
            w * stats.gamma.pdf(ratio, a, scale=1 / b)
            for w, a, b in zip(usual.weights, usual.shapes, usual.rates, strict=True)
        )
        return float(prior * stats.poisson.pmf(9, 3.0 * ratio))

    mass = integrate.quad(density, 0, 20, points=[0.5, 1, 3])[0]
    mean, low, high = (float(part[0]) for part in shrunken(np.array([9.0]), np.array([3.0]), np.zeros(1), usual, 0.9))

    assert integrate.quad(lambda r: r * density(r), 0, 20, points=[0.5, 1, 3])[0] / mass == pytest.approx(
        mean, rel=1e-5
    )
    assert integrate.quad(density, 0, low)[0] / mass == pytest.approx(0.05, abs=1e-4)
    assert integrate.quad(density, 0, high, points=[0.5, 1, 3])[0] / mass == pytest.approx(0.95, abs=1e-4)


def test_without_data_the_ratio_is_the_usual_one() -> None:
    """And with many, what was seen."""
    usual = mixture()
    mean, low, high = shrunken(np.array([0.0, 3000.0]), np.array([1e-9, 1000.0]), np.zeros(2), usual, 0.9)

    assert mean[0] == pytest.approx(0.97 * 1 + 0.03 * 3, rel=1e-3)
    assert mean[1] == pytest.approx(3.0, rel=0.02)
    assert low[1] > 2.9 * 0.95
    assert high[0] - low[0] > high[1] - low[1]


def test_an_expected_count_that_is_not_known_well_tells_less() -> None:
    """The ratio stays nearer to the usual one, and its interval is wider."""
    count, expected = np.array([60.0, 60.0]), np.array([40.0, 40.0])

    mean, low, high = shrunken(count, expected, np.array([0.0, 0.1]), mixture(odd_share=0.001), 0.9)

    assert mean[1] < mean[0]
    assert high[1] - low[1] > high[0] - low[0]


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.5])
def test_the_spread_is_found_where_there_are_counts_enough(spread: float) -> None:
    """Of 800 groups that expect 30 failures each."""
    generator = np.random.default_rng(11)
    ratios = generator.gamma(1 / spread, spread, 800) if spread else np.ones(800)
    observed = generator.poisson(30.0 * ratios).astype(float)

    found = spread_of(observed, np.full(800, 30.0), 0.03)

    assert spread == pytest.approx(found, abs=max(0.2 * spread, 0.006))


def test_bad_groups_do_not_widen_the_spread_of_ordinary_ones() -> None:
    """Twenty of 800 have three times the rate."""
    generator = np.random.default_rng(11)
    ratios = generator.gamma(20, 1 / 20, 800) * np.where(np.arange(800) < 20, 3.0, 1.0)
    expected = np.full(800, 20.0)
    observed = generator.poisson(expected * ratios).astype(float)

    usual = usual_ratios(observed, expected, np.zeros(800), 0.03)

    assert usual.spread == pytest.approx(0.05, abs=0.015)
    assert 0.01 < usual.odd_share < 0.08
    assert usual.spread < spread_of(observed, expected, 0.03) * 2 / 3
    assert usual.weights.sum() == pytest.approx(1.0)


def test_intervals_hold_the_truth_as_often_as_they_promise() -> None:
    """Ninety of a hundred ratios, of ordinary and of bad groups together."""
    generator = np.random.default_rng(11)
    ratios = generator.gamma(20, 1 / 20, 2000) * np.where(np.arange(2000) < 50, 3.0, 1.0)
    expected = generator.uniform(1, 12, 2000)
    observed = generator.poisson(expected * ratios).astype(float)

    usual = usual_ratios(observed, expected, np.zeros(2000), 0.03)
    _, low, high = shrunken(observed, expected, np.zeros(2000), usual, 0.9)

    assert 0.85 < np.mean((low <= ratios) & (ratios <= high)) < 0.95


def test_no_groups_have_the_prior() -> None:
    """An empty table is no error."""
    nothing = np.zeros(0)

    usual = usual_ratios(nothing, nothing, nothing, 0.03)

    assert 0.03 < usual.spread < 0.06
    assert [0, 0, 0] == [len(part) for part in shrunken(nothing, nothing, nothing, usual, 0.9)]


def test_more_spread_than_chance_is_told_from_chance() -> None:
    """Of Poisson counts the test is wrong as often as it says; spread is seen."""
    generator = np.random.default_rng(12)
    expected, everyone = np.full(200, 8.0), np.ones(200, dtype=bool)

    chance = [overdispersion_p(generator.poisson(expected).astype(float), expected, everyone) for _ in range(400)]
    spread = generator.poisson(expected * generator.gamma(5, 1 / 5, 200)).astype(float)

    assert 0.02 < np.mean(np.array(chance) < 0.05) < 0.08
    assert overdispersion_p(spread, expected, everyone) < 1e-6
