"""A check by other means: Poisson regression with the days at risk as offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from diagnostics.batches.tails import Floats
from lake.errors import UsageError

_RIDGE = 1e-3  # a column without failures has no finite effect; this much prior keeps it finite
_ROUNDS, _CLOSE = 60, 1e-9


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted Poisson regression.

    Parameters
    ----------
    coefficients : ndarray of float, shape (k,)
        Logarithms of rate ratios; the first one, of a constant column, that of the rate [1/d].
    covariance : ndarray of float, shape (k, k)
        Of the coefficients, times `dispersion`.
    dispersion : float
        Pearson's chi-square to its degrees of freedom, 1 or more: how much counts spread beyond chance.
    """

    coefficients: Floats
    covariance: Floats
    dispersion: float


def poisson_regression(failures: Floats, days: Floats, design: Floats) -> Fit:
    """Fit ``log(rate) = design @ coefficients`` by iteratively reweighted least squares.

    A dozen lines for one small dense system; no package we depend on fits counts with an offset and tells their
    covariance.

    Parameters
    ----------
    failures, days : ndarray of float, shape (n,)
        Counts and exposure [days]; rows without exposure are left out.
    design : ndarray of float, shape (n, k)
        Columns, the first one constant.
    """
    seen = days > 0
    count, offset, columns = failures[seen], np.log(days[seen]), design[seen]
    ridge = np.full(columns.shape[1], _RIDGE)
    ridge[0] = 0.0
    beta = np.zeros(columns.shape[1])
    beta[0] = np.log((count.sum() + 0.5) / days[seen].sum())
    information = np.eye(columns.shape[1])
    for _ in range(_ROUNDS):
        mean = np.exp(np.clip(columns @ beta + offset, -50.0, 50.0))
        information = (columns * mean[:, None]).T @ columns + np.diag(ridge)
        step = np.linalg.solve(information, columns.T @ (count - mean) - ridge * beta)
        beta = beta + np.clip(step, -2.0, 2.0)
        if np.max(np.abs(step)) < _CLOSE:
            break
    mean = np.exp(np.clip(columns @ beta + offset, -50.0, 50.0))
    freedom = max(count.size - columns.shape[1], 1)
    dispersion = max(float(np.sum((count - mean) ** 2 / np.maximum(mean, 1e-12)) / freedom), 1.0)
    return Fit(beta, np.asarray(np.linalg.inv(information) * dispersion), dispersion)


def regression_ratios(cells: pl.DataFrame, groups: Sequence[str], *, strata: Sequence[str]) -> pl.DataFrame:
    """Return the rate ratio of some groups to all others, adjusted for the main effects of the strata.

    Parameters
    ----------
    cells : polars.DataFrame
        As :func:`~diagnostics.batches.exposure.exposure` returns them.
    groups : sequence of str
        The groups to check, usually those that were called; each has an effect of its own.
    strata : sequence of str
        Columns whose values have effects.

    Returns
    -------
    polars.DataFrame
        ``group, regression_ratio, regression_low, regression_high`` (90 %), in the order of `groups`. Where a group and
        a stratum coincide, the interval has no useful ends: that is the answer.
    """
    missing = [name for name in ("group", *strata, "days", "failures") if name not in cells.columns]
    if missing:
        raise UsageError(f"the cells have no column {', '.join(missing)}")
    chosen = list(dict.fromkeys(groups))
    own = pl.when(pl.col("group").is_in(chosen)).then("group").otherwise(None).alias("group")
    rows = cells.group_by(own, *strata).agg(pl.col("days", "failures").sum()).sort("group", *strata)
    columns = [np.ones(rows.height)]
    columns += [(rows["group"] == name).fill_null(value=False).to_numpy().astype(np.float64) for name in chosen]
    for name in strata:
        weights = rows.group_by(name).agg(pl.col("days").sum()).sort("days", name, descending=[True, False])
        for value in weights[name].to_list()[1:]:  # the commonest value is what others are compared with
            same = rows.select(pl.col(name).eq_missing(pl.lit(value)).alias("same"))["same"]
            columns.append(same.to_numpy().astype(np.float64))
    fit = poisson_regression(
        rows["failures"].to_numpy().astype(np.float64), rows["days"].to_numpy().astype(np.float64),
        np.stack(columns, axis=1),
    )  # fmt: skip
    effect = fit.coefficients[1 : len(chosen) + 1]
    width = stats.norm.isf(0.05) * np.sqrt(np.diag(fit.covariance)[1 : len(chosen) + 1])
    return pl.DataFrame(
        {
            "group": pl.Series(chosen, dtype=pl.String),
            "regression_ratio": np.exp(effect),
            "regression_low": np.exp(effect - width),
            "regression_high": np.exp(effect + width),
        }
    )
