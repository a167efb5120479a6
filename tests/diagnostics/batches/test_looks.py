"""The budget over repeated looks: what is computed is what happens."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

from diagnostics.batches import Look, assess
from diagnostics.batches.looks import crossing_probabilities, looks_taken, over_looks


def test_crossing_probabilities_are_what_happens() -> None:
    """Against 20,000 simulated groups: the share that any of 26 looks finds as improbable."""
    end, horizon, least = 6.0, 26, 3
    generator = np.random.default_rng(3)
    counts = np.cumsum(generator.poisson(end / horizon, (20_000, horizon)), axis=1)
    tails = stats.poisson.sf(counts - 1, end / horizon * np.arange(1, horizon + 1))
    levels = np.array([0.003, 0.02, 0.1])

    expected = [np.mean(np.any((tails <= level) & (counts >= least), axis=1)) for level in levels]

    assert expected == pytest.approx(crossing_probabilities(end, levels, horizon, least), abs=0.006)


def test_one_look_costs_nothing() -> None:
    """The tail itself, up to the steps that counts take."""
    levels = np.array([0.001, 0.01, 0.1])
    found = crossing_probabilities(5.0, levels, 1, 1)

    bounds = stats.poisson.isf(levels, 5.0)
    assert stats.poisson.sf(bounds, 5.0) == pytest.approx(found, rel=1e-9)
    values = np.array([0.01, 0.2])
    assert values.tolist() == over_looks(values, np.ones(2), np.ones(2), Look(horizon=1), 3).tolist()


def test_what_any_look_shows_is_never_less_probable_than_what_one_shows() -> None:
    """And it grows with what one look shows."""
    p_values = np.geomspace(1e-12, 1.0, 40)

    for expected in (0.01, 0.3, 4.0, 80.0, 900.0):
        found = over_looks(p_values, np.full(40, expected), np.full(40, 20.0), Look(), 3)
        assert np.all(found >= p_values)
        assert np.all(found <= 1.0)
        assert np.all(np.diff(found) >= -1e-12)


def test_looks_are_counted_from_the_first_day_of_exposure() -> None:
    """A group of one day has been looked at once."""
    assert [1.0, 1.0, 2.0, 52.0] == looks_taken(np.array([1.0, 7.0, 8.0, 364.0]), Look()).tolist()


def test_the_verdict_follows_from_the_data_alone() -> None:
    """Looks before change nothing, and a later look asks for more than a single one."""
    start = date(2026, 1, 1)
    cells = pl.DataFrame(
        {
            "group": [f"lot{number:02}" for number in range(40)],
            "cold": False,
            "devices": 100,
            "days": 100 * 140,
            "failures": [7, *([2] * 39)],
            "since": start,
            "until": start + timedelta(140),
        }
    )

    once = assess(cells, strata=["cold"])
    weekly = assess(cells, strata=["cold"], look=Look())

    assert 20 == weekly["looks"][0]
    assert weekly["p_value"][0] == pytest.approx(once["p_value"][0], rel=0.5)
    assert weekly["q_value"][0] > 2 * once["q_value"][0]
    assert ("lot00", "lot00") == (once["group"][0], weekly["group"][0])
