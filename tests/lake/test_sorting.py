"""Rows come into the order of their keys, and stay as they are where they stand in it."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lake.sorting import sorted_by

VALUES = st.one_of(st.none(), st.integers(0, 3))


@given(rows=st.lists(st.tuples(VALUES, VALUES), max_size=12))
def test_order_is_that_of_a_stable_sort(rows: list[tuple[int | None, int | None]]) -> None:
    """Also where a key is empty, or several rows share one."""
    frame = pl.DataFrame(rows, schema={"a": pl.Int64, "b": pl.Int64}, orient="row").with_row_index("row")

    assert_frame_equal(frame.sort("a", "b", maintain_order=True), sorted_by(frame, ["a", "b"]))


def test_sorted_rows_are_not_moved() -> None:
    """What stands in order is returned itself."""
    frame = pl.DataFrame({"a": [1, 1, 2], "b": [1, 1, 0]})

    assert sorted_by(frame, ["a", "b"]) is frame
