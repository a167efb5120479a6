"""Poisson regression: closed forms, and what it says where nothing can be told apart."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import optimize

from diagnostics.batches import poisson_regression, regression_ratios


def test_one_factor_has_a_closed_form() -> None:
    """The ratio of two rates, and its variance."""
    fit = poisson_regression(np.array([30.0, 20.0]), np.array([1000.0, 200.0]), np.array([[1.0, 0.0], [1.0, 1.0]]))

    assert np.exp(fit.coefficients) == pytest.approx([0.03, 20 / 200 / 0.03], rel=1e-3)
    assert fit.covariance[1, 1] == pytest.approx(1 / 30 + 1 / 20, rel=1e-3)


def test_coefficients_maximise_the_likelihood() -> None:
    """As a general optimiser finds them."""
    generator = np.random.default_rng(4)
    design = np.column_stack([np.ones(40), generator.normal(size=(40, 2))])
    days = generator.uniform(500, 5000, 40)
    failures = generator.poisson(days * np.exp(design @ [-5.0, 0.5, -0.7])).astype(float)

    def loss(beta: np.ndarray) -> float:
        return float(np.sum(days * np.exp(design @ beta) - failures * (design @ beta)))

    best = optimize.minimize(loss, [-5.0, 0.0, 0.0], method="BFGS", options={"gtol": 1e-8})

    assert poisson_regression(failures, days, design).coefficients == pytest.approx(best.x, abs=1e-3)


def test_overdispersion_widens_the_intervals() -> None:
    """Counts that spread more than chance tell less."""
    design = np.ones((6, 1))
    even = poisson_regression(np.full(6, 20.0), np.full(6, 1e3), design)
    spread = poisson_regression(np.array([2.0, 40.0, 5.0, 38.0, 1.0, 34.0]), np.full(6, 1e3), design)

    assert 1.0 == even.dispersion
    assert spread.covariance[0, 0] > 10 * even.covariance[0, 0]


def test_ratios_are_adjusted_for_strata() -> None:
    """The lot in the cold has the rate of others in the cold; the bad one has three times that."""
    rows = [
        ("cold_lot", True, 40_000, 160), ("cold_lot", False, 1000, 1), ("bad", True, 5000, 60),
        ("bad", False, 20_000, 60), (None, True, 50_000, 200), ("rest", False, 400_000, 400),
    ]  # fmt: skip
    cells = pl.DataFrame(rows, schema=["group", "cold", "days", "failures"], orient="row")

    found = regression_ratios(cells, ["bad", "cold_lot"], strata=["cold"])

    assert ["bad", "cold_lot"] == found["group"].to_list()
    assert [3.0, 1.0] == pytest.approx(found["regression_ratio"].to_list(), rel=0.1)


def test_what_coincides_has_no_useful_interval() -> None:
    """Only the lot was ever in the cold."""
    rows = [("alone", True, 40_000, 160), ("rest", False, 400_000, 400)]
    cells = pl.DataFrame(rows, schema=["group", "cold", "days", "failures"], orient="row")

    row = regression_ratios(cells, ["alone"], strata=["cold"]).row(0, named=True)

    assert row["regression_high"] / row["regression_low"] > 1e3
