"""Figures of runs equal those of a loop over the runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.segments import Segments

VALUES = st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")))


def alone(run: list[float]) -> Segments:
    """Return one run with nothing beside it."""
    return Segments.of(np.zeros(len(run), dtype=np.int64))


@given(runs=st.lists(st.lists(VALUES, min_size=1, max_size=30), min_size=1, max_size=8))
def test_figures_of_runs_equal_those_of_each_run_alone(runs: list[list[float]]) -> None:
    """Least and greatest pass NaN over; a sum is the same to the last bit whatever stands beside the run."""
    keys = np.repeat(np.arange(len(runs)) * 3, [len(run) for run in runs])
    values = np.array([value for run in runs for value in run])
    segments = Segments.of(keys)

    assert [len(run) for run in runs] == segments.lengths.tolist()
    assert [index * 3 for index in range(len(runs))] == segments.keys.tolist()
    assert [run[-1] for run in runs] == pytest.approx(values[segments.ends].tolist(), nan_ok=True)
    for found, expected in (
        (segments.least(values), [np.fmin.reduce(run) for run in runs]),
        (segments.greatest(values), [np.fmax.reduce(run) for run in runs]),
        (segments.any(values > 0), [any(value > 0 for value in run) for run in runs]),
        (segments.sum(values > 0), [sum(value > 0 for value in run) for run in runs]),
        (segments.sum(values), [alone(run).sum(np.array(run))[0] for run in runs]),
    ):
        np.testing.assert_array_equal(expected, found)
    np.testing.assert_allclose(segments.sum(values), [np.sum(run) for run in runs], rtol=1e-9, atol=1e-6)


@given(runs=st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6), min_size=1, max_size=8))
def test_median_of_runs_of_any_length(runs: list[list[float]]) -> None:
    """Of an even number of values it lies in the middle of two."""
    keys = np.repeat(np.arange(len(runs)), [len(run) for run in runs])

    found = Segments.of(keys).median(np.array([value for run in runs for value in run]))

    np.testing.assert_allclose([np.median(run) for run in runs], found, rtol=1e-12)


def test_no_rows_make_no_runs() -> None:
    """Nothing to reduce is no error."""
    nothing = Segments.of(np.array([], dtype=np.int64))

    assert [0, 0, 0] == [
        len(part)
        for part in (nothing.sum(np.array([])), nothing.median(np.array([])), nothing.any(np.array([], dtype=bool)))
    ]
