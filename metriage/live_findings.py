"""How far the findings of production have come: what the last live diagnosis saw and said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from lake.schemas import BATCH_FINDINGS, FINDINGS, TableSchema
from lake.tables import Lake, Position

# Stored in the same transaction as the findings of a diagnosis, also where it finds nothing: until when it saw what was
# received, and the version of the error codes by then.
_TOLD_UNTIL = "diagnosis/as_of"
_TOLD_CODES = "diagnosis/error_codes"

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def told_positions(as_of: datetime, codes_version: int) -> list[Position]:
    """Return what a diagnosis writes beside its findings.

    Parameters
    ----------
    as_of : datetime
        It saw what was received by then.
    codes_version : int
        Version of the table ``error_codes`` that it read, at least.
    """
    return [Position(_TOLD_UNTIL, microseconds(as_of)), Position(_TOLD_CODES, max(0, codes_version))]


def told_until(lake: Lake, table: TableSchema = FINDINGS) -> datetime | None:
    """Return the as-of time of the last diagnosis whose findings are in the lake, None before the first."""
    position = lake.position(table, _TOLD_UNTIL)
    return moment(position) if position else None


def told_codes(lake: Lake) -> int:
    """Return the version of the error codes that it read, at least."""
    return lake.position(FINDINGS, _TOLD_CODES)


def live_findings(lake: Lake, as_of: datetime) -> pl.DataFrame:
    """Return the rows of the newest live diagnosis as of exactly `as_of`; it may have none."""
    rows = lake.scan(FINDINGS, start=as_of, end=as_of + _MICROSECOND).filter(pl.col("mode") == "live").collect()
    return rows.filter(pl.col("diagnosis_id") == pl.col("diagnosis_id").max())


def live_groups(lake: Lake) -> pl.DataFrame:
    """Return the batch findings of the last live diagnosis; it may have none."""
    told = told_until(lake, BATCH_FINDINGS)
    if told is None or told != told_until(lake):
        return BATCH_FINDINGS.empty()
    rows = lake.scan(BATCH_FINDINGS, start=told, end=told + _MICROSECOND).filter(pl.col("mode") == "live").collect()
    return rows.filter(pl.col("diagnosis_id") == pl.col("diagnosis_id").max())


def newest_of_each_time(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return what diagnoses wrote, of a time that was diagnosed again only the rows of the newest one.

    Parameters
    ----------
    rows : polars.LazyFrame
        Rows of one mode with ``as_of`` and ``diagnosis_id``.
    """
    newest = rows.group_by("as_of").agg(pl.col("diagnosis_id").max())
    return rows.join(newest, on=["as_of", "diagnosis_id"], how="semi")


def microseconds(moment: datetime) -> int:
    """Return a time as an integer [µs since 1970 UTC]."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """Return the time of an integer [µs since 1970 UTC]."""
    return _EPOCH + value * _MICROSECOND
