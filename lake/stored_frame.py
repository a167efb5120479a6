"""Rows of the site database as typed frames: how each type of the vocabulary is stored, and read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from lake.errors import LakeError
from lake.schemas import TableSchema

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.fZ"
_READERS: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "time": lambda text: text.replace("", None).str.to_datetime(_TIME_FORMAT, time_unit="us", time_zone="UTC"),
    "date": lambda text: text.str.to_date("%Y-%m-%d"),
    "bool": lambda number: number.cast(pl.Boolean),
    "strings": lambda text: text.fill_null("[]").str.json_decode(pl.List(pl.String)),
}
_STORED = {"float64": pl.Float64(), "int64": pl.Int64(), "bool": pl.Int64()}  # all others are texts


def fetched(connection: sqlite3.Connection, query: str, *parameters: str) -> list[tuple[Any, ...]]:
    """Return what a query finds; nothing where its tables are not there yet.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    try:
        cursor = connection.cursor()
        cursor.row_factory = None
        return cursor.execute(query, parameters).fetchall()
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return []
        raise LakeError(f"the site database cannot be read: {error}") from error


def stored_frame(rows: list[tuple[Any, ...]], schema: TableSchema, *beside: str) -> pl.DataFrame:
    """Return stored rows as a frame.

    Parameters
    ----------
    rows : list of tuple
        Stored values: texts in `beside`, then the columns of `schema`.
    schema : TableSchema
        Names and types.
    *beside : str
        Columns before those of the schema.
    """
    stored = dict.fromkeys(beside, pl.String()) | {
        name: _STORED.get(column.dtype, pl.String()) for name, column in schema.columns.items()
    }
    found = pl.DataFrame(rows, schema=stored, orient="row")
    return found.with_columns(
        _READERS[column.dtype](pl.col(name)).alias(name)
        for name, column in schema.columns.items()
        if column.dtype in _READERS
    )
