"""Table schemas, derived from the vocabulary; writer, reader and sample makers import only these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from lake import vocabulary
from lake.vocabulary import Column, DType

TIME = pl.Datetime("us", "UTC")

_POLARS: Mapping[DType, pl.DataType] = {
    "string": pl.String(),
    "float64": pl.Float64(),
    "int64": pl.Int64(),
    "bool": pl.Boolean(),
    "time": TIME,
    "date": pl.Date(),
    "binary": pl.Binary(),
    "strings": pl.List(pl.String()),
}


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One lake table.

    Parameters
    ----------
    name : str
        Folder below ``lake/`` of the site.
    columns : mapping of str to Column
        Stored columns, in order.
    partition : str, optional
        The column that names the Parquet folders.
    time : str
        The column that a reader's time range applies to.
    """

    name: str
    columns: Mapping[str, Column]
    time: str
    partition: str | None = None
    _polars: pl.Schema = field(init=False, repr=False, compare=False)
    _empty: pl.DataFrame = field(init=False, repr=False, compare=False)
    _nulls: Mapping[pl.DataType, pl.Series] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Asked for at every turn, and making one takes longer than many a table.
        schema = pl.Schema({name: _POLARS[column.dtype] for name, column in self.columns.items()})
        object.__setattr__(self, "_polars", schema)
        object.__setattr__(self, "_empty", pl.DataFrame(schema=schema))
        nulls = {dtype: pl.Series([None], dtype=dtype) for dtype in set(schema.values())}
        object.__setattr__(self, "_nulls", nulls)

    @property
    def polars(self) -> pl.Schema:
        """Column names and Polars types, in order."""
        return self._polars

    def empty(self) -> pl.DataFrame:
        """Return a frame of this table without rows."""
        return self._empty.clone()

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with exactly this table's columns, order and types.

        Missing columns become empty ones; a column the vocabulary does not have, or a value that does not fit its
        type, raises.

        Raises
        ------
        polars.exceptions.ColumnNotFoundError
            `frame` has a column that the table has not.
        polars.exceptions.InvalidOperationError
            A value cannot be cast to the table's type.
        """
        schema = self.polars
        if frame.schema == schema:
            return frame
        unknown = [name for name in frame.columns if name not in self.columns]
        if unknown:
            raise pl.exceptions.ColumnNotFoundError(f"table {self.name} has no column {', '.join(unknown)}")
        # Series by series: of a hundred expressions most would only tell that a column is as it should be.
        there = {column.name: column for column in frame}
        height = frame.height
        columns = [
            there[name].cast(dtype) if name in there else self._nulls[dtype].new_from_index(0, height).alias(name)
            for name, dtype in schema.items()
        ]
        return pl.DataFrame(columns)


READINGS = TableSchema("readings", vocabulary.READING, time="ts", partition="event_date")
ERROR_CODES = TableSchema("error_codes", vocabulary.ERROR_CODE, time="ts", partition="event_date")
DAILY = TableSchema("daily", vocabulary.DAILY, time="day")
FINDINGS = TableSchema("findings", vocabulary.FINDING, time="as_of")
BATCH_FINDINGS = TableSchema("batch_findings", vocabulary.BATCH_FINDING, time="as_of")
FORECASTS = TableSchema("forecasts", vocabulary.FORECAST, time="as_of")
QUARANTINE = TableSchema("quarantine", vocabulary.QUARANTINE, time="received_at")
GAPS = TableSchema("gaps", vocabulary.GAP, time="until")

# What the site database holds beside the lake.
METERS = TableSchema("registry", vocabulary.METER, time="recorded_at")
INSPECTIONS = TableSchema("inspections", vocabulary.INSPECTION, time="inspected_at")
REPORTS = TableSchema("reports", vocabulary.REPORT, time="reported_at")
WEATHERS = TableSchema("weather", vocabulary.WEATHER, time="date")
WORKS = TableSchema("works", vocabulary.WORK, time="from")

TABLES: Mapping[str, TableSchema] = {
    schema.name: schema
    for schema in (READINGS, ERROR_CODES, DAILY, FINDINGS, BATCH_FINDINGS, FORECASTS, QUARANTINE, GAPS)
}
