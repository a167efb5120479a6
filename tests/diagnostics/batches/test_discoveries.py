"""False-discovery shares equal those of a library, and never call what plain ones would not without reason."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from diagnostics.batches.discoveries import discrete_q_values, q_values
from diagnostics.batches.tails import upper_tail


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_q_values_are_those_of_benjamini_and_hochberg(p_values: list[float]) -> None:
    """Adjusted p-values of the library."""
    values = np.array(p_values)

    np.testing.assert_allclose(stats.false_discovery_control(values), q_values(values), rtol=1e-12)


def test_counts_that_can_show_little_cost_little() -> None:
    """Ninety groups that expect next to nothing do not hide the one that has a case."""
    expected, spread = np.array([3.0] + [0.001] * 90), np.zeros(91)
    p_values = upper_tail(np.array([12.0] + [0.0] * 90), expected, spread)

    discrete = discrete_q_values(p_values, expected, spread, 3)

    assert discrete[0] < q_values(p_values)[0] / 50
    assert discrete[0] >= p_values[0]


@given(
    cases=st.lists(st.tuples(st.integers(0, 20), st.floats(0.01, 15)), min_size=1, max_size=25),
)
def test_discrete_shares_follow_their_definition(cases: list[tuple[int, float]]) -> None:
    """Expected false calls at each threshold, summed group by group, to the number called."""
    observed, expected = np.array([case[0] for case in cases], dtype=float), np.array([case[1] for case in cases])
    spread = np.zeros(len(cases))
    p_values = upper_tail(observed, expected, spread)

    found = discrete_q_values(p_values, expected, spread)

    counts = np.arange(1.0, 200.0)
    levels = upper_tail(counts[None, :], expected[:, None])
    shares = []
    for threshold in p_values:
        attained = np.where(levels <= threshold * (1 + 1e-6), levels, 0.0).max(axis=1)
        shares.append(max(attained.sum(), threshold) / (p_values <= threshold).sum())
    wanted = [min(1.0, *(s for s, t in zip(shares, p_values, strict=True) if t >= p), 1.0) for p in p_values]
    np.testing.assert_allclose(wanted, found, rtol=1e-6, atol=1e-12)
