"""Rows of a table changed in place, exactly once: the files that hold them are replaced in one commit.

A Delta table knows no update of a row. Whoever corrects what is stored (a replay, an erased meter) writes the files
anew that hold such rows, under running readers and writers.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from urllib.parse import unquote

import polars as pl
from deltalake.transaction import AddAction

from lake.compaction import DataFile, live_files, removals_of
from lake.errors import LakeError, VersionConflictError
from lake.schemas import TableSchema
from lake.tables import Lake, Position

_TRIES = 50


def change_rows(
    lake: Lake,
    table: TableSchema,
    change: Callable[[pl.DataFrame], pl.DataFrame | None],
    *,
    added: pl.DataFrame | None = None,
    positions: Collection[Position] = (),
    partitions: Collection[str] | None = None,
) -> int:
    """Replace rows of a table, and add others, in one commit.

    Parameters
    ----------
    lake : Lake
        The lake.
    table : TableSchema
        The table; one that does not exist is left so, unless rows are added.
    change : callable
        Given all rows of a partition, or of a file where the table has none; returns what stands there from now on, or
        None where nothing changes. It may be called again with other rows when another writer was faster.
    added : polars.DataFrame, optional
        Rows to add beside.
    positions : collection of Position
        Stored in the same transaction.
    partitions : collection of str, optional
        Only look at these.

    Returns
    -------
    int
        Files that were replaced.

    Raises
    ------
    LakeError
        The table cannot be read or written, or others keep changing it.
    """
    if added is not None and added.height:
        lake.create(table)
    if not lake.exists(table):
        return 0
    for attempt in range(_TRIES):
        snapshot = lake.snapshot(table)
        removed: list[DataFile] = []
        written: list[AddAction] = []
        try:
            for files in _groups(live_files(snapshot, table), table, partitions):
                after = change(_rows(lake, table, files))
                if after is not None:
                    removed += files
                    written += lake.write(table, after) if after.height else []
            written += lake.write(table, added) if added is not None and added.height else []
            if not (removed or written or positions):
                return 0
            removals = removals_of(table, removed, data_change=True)
            lake.rewrite(table, snapshot, [*written, *removals], positions=positions)
        except VersionConflictError:
            lake.discard(table, [action.path for action in written])
            time.sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))
            continue
        return len(removed)
    raise LakeError(f"table {table.name}: {_TRIES} times another writer was faster")


def _groups(
    files: Sequence[DataFile], table: TableSchema, partitions: Collection[str] | None
) -> Iterator[list[DataFile]]:
    """Yield the files of each partition; of a table without partitions each file."""
    if table.partition is None:
        yield from ([file] for file in files)
        return
    held: dict[str | None, list[DataFile]] = {}
    for file in files:
        if partitions is None or file.partition in partitions:
            held.setdefault(file.partition, []).append(file)
    yield from held.values()


def _rows(lake: Lake, table: TableSchema, files: Sequence[DataFile]) -> pl.DataFrame:
    rows = lake.scan_parts(table, [unquote(file.path) for file in files])
    if table.partition is not None:  # every table that has one has it by date
        rows = rows.with_columns(pl.lit(files[0].day, dtype=pl.Date).alias(table.partition))
    return rows.select(table.polars.names()).collect()
