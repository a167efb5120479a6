"""Schemas derived from the vocabulary."""

from __future__ import annotations

import polars as pl
import pytest

from lake.schemas import QUARANTINE, READINGS, TABLES, TIME, TableSchema


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_schema_is_the_vocabulary(table: TableSchema) -> None:
    """Every table has its columns in order, a time column, and a partition that is one of them."""
    assert list(table.columns) == list(table.polars)
    assert table.columns[table.time].dtype in {"time", "date"}
    assert table.partition is None or table.partition in table.columns
    assert (0, len(table.columns)) == table.empty().shape


def test_conform_fills_and_orders() -> None:
    """Missing columns become empty ones, in the table's order and types."""
    frame = pl.DataFrame({"readings": [1], "reason": ["not_json"]})
    rows = QUARANTINE.conform(frame)

    assert rows.schema == QUARANTINE.polars
    assert rows.rows(named=True)[0] == dict.fromkeys(QUARANTINE.columns) | {"readings": 1, "reason": "not_json"}


def test_conform_refuses_what_the_table_has_not() -> None:
    """A column that the vocabulary does not know is an error, not a loss."""
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="table readings has no column volume, when"):
        READINGS.conform(pl.DataFrame({"volume": [1.0], "when": [2], "meter_id": ["m"]}))


def test_conform_refuses_what_does_not_fit() -> None:
    """A value that the type cannot hold is an error."""
    with pytest.raises(pl.exceptions.InvalidOperationError):
        READINGS.conform(pl.DataFrame({"volume_m3": ["a lot"]}))


def test_times_are_utc_microseconds() -> None:
    """There is one type for times."""
    assert {TIME} == {table.polars[name] for table in TABLES.values() for name in table.columns if name.endswith("_at")}
