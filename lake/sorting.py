"""Sorting of rows that mostly stand sorted: to look at their keys costs less than to move a hundred columns."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def sorted_by(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return `rows` in the order of some columns, those that are equal in them as they stand.

    Parameters
    ----------
    rows : polars.DataFrame
        Left as it is where it stands so.
    names : sequence of str
        The columns; what is empty comes first.

    Examples
    --------
    >>> sorted_by(pl.DataFrame({"a": [2, 1, 1], "b": [1, 2, 1]}), ["a"]).rows()
    [(1, 2), (1, 1), (2, 1)]
    """
    follows = pl.lit(value=True)
    for name in reversed(names):
        column, before = pl.col(name), pl.col(name).shift(1)
        follows = (column > before) | ((column == before) & follows)
    if rows.height < 2 or rows.select(follows.slice(1).fill_null(value=False).all()).item():
        return rows
    return rows.sort(names, maintain_order=True)
