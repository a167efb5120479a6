"""The lake: Delta Lake tables of Parquet, with one small typed way to append and to read.

Parquet files are written and synced first, then named by one atomic commit of the table's log, which is synced last;
so whatever the log names is on the disk. `deltalake` on its own renames but does not sync.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.schema import ArrayType, PrimitiveType
from deltalake.transaction import AddAction, RemoveAction

from lake.durability import sync_files, sync_path
from lake.errors import LakeError
from lake.schemas import TABLES, TableSchema
from lake.vocabulary import DType

_DELTA: Mapping[DType, PrimitiveType | ArrayType] = {
    "string": PrimitiveType("string"),
    "float64": PrimitiveType("double"),
    "int64": PrimitiveType("long"),
    "bool": PrimitiveType("boolean"),
    "time": PrimitiveType("timestamp"),
    "date": PrimitiveType("date"),
    "binary": PrimitiveType("binary"),
    "strings": ArrayType(PrimitiveType("string"), contains_null=True),
}

# Columns whose extremes go into the log, so that a reader opens only the files that can hold what it wants.
_INDEXED = ("meter_id", "ts", "received_at", "day", "as_of", "mode")

_SORT = ("meter_id", "ts", "day", "as_of", "received_at")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a writer has come, stored in the same transaction as its rows.

    Parameters
    ----------
    application : str
        ``<writer>/<table>``.
    value : int
        Spool position of the last message that the transaction covers.
    """

    application: str
    value: int


class Lake:
    """The tables below one folder.

    Parameters
    ----------
    folder : Path
        The ``lake/`` folder of a site; made on the first append.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._handles: dict[str, DeltaTable] = {}

    def path(self, table: TableSchema) -> Path:
        """Return the folder of `table`."""
        return self.folder / table.name

    def exists(self, table: TableSchema) -> bool:
        """Tell whether anything was ever appended to `table`."""
        log = self.path(table) / "_delta_log"
        return table.name in self._handles or any(log.glob("0*"))  # a crash may leave an empty folder

    def append(
        self,
        table: TableSchema,
        frame: pl.DataFrame,
        *,
        positions: Collection[Position] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Append rows in one transaction, durable when this returns.

        Parameters
        ----------
        table : TableSchema
            The table; made when it does not exist.
        frame : polars.DataFrame, shape (rows, columns)
            Rows; missing columns become empty.
        positions : collection of Position
            Stored in the same transaction.
        metadata : mapping of str to str, optional
            Kept with the commit.

        Returns
        -------
        int
            The table's version after the commit.

        Raises
        ------
        LakeError
            The rows do not fit the table, or it cannot be written.
        """
        try:
            rows = table.conform(frame)
        except pl.exceptions.PolarsError as error:
            raise LakeError(f"table {table.name}: {error}") from error
        handle = self._open_or_create(table)
        actions = self._write_files(table, rows)
        self._commit(table, handle, actions, positions, metadata)
        return int(handle.version())

    def _write_files(self, table: TableSchema, rows: pl.DataFrame) -> list[AddAction | RemoveAction]:
        """Write and sync the Parquet files of `rows`; leave nothing behind when that fails."""
        actions: list[AddAction | RemoveAction] = []
        try:
            for values, part in _partitions(table, rows):
                actions.append(self._write_file(table, part, values))
            sync_files(self.path(table) / action.path for action in actions)
        except (OSError, pl.exceptions.PolarsError) as error:
            for action in actions:
                (self.path(table) / action.path).unlink(missing_ok=True)
            raise LakeError(f"table {table.name} in {self.folder} cannot be written: {error}") from error
        return actions

    def _commit(
        self,
        table: TableSchema,
        handle: DeltaTable,
        actions: list[AddAction | RemoveAction],
        positions: Collection[Position],
        metadata: Mapping[str, str] | None,
    ) -> None:
        before = int(handle.version())
        try:
            handle.create_write_transaction(
                actions,
                "append",
                _delta_schema(table),
                [table.partition] if table.partition else None,
                commit_properties=CommitProperties(
                    custom_metadata=dict(metadata) if metadata else None,
                    app_transactions=[Transaction(position.application, position.value) for position in positions],
                ),
                post_commithook_properties=PostCommitHookProperties(create_checkpoint=True),
            )
            handle.update_incremental()
            # Other writers may have committed in between: their entries come before ours and must be on the disk too.
            self._sync_log(table, before + 1, int(handle.version()))
        except (DeltaError, OSError) as error:
            raise LakeError(f"table {table.name} in {self.folder}: {error}") from error

    def _sync_log(self, table: TableSchema, first: int, last: int) -> None:
        log = self.path(table) / "_delta_log"
        entries = [log / f"{version:020d}.json" for version in range(first, last + 1)]
        checkpoints = [entry.with_suffix(".checkpoint.parquet") for entry in entries]
        written = [file for file in checkpoints if file.exists()]
        sync_files([*entries, *written, *([log / "_last_checkpoint"] if written else [])])

    def sync(self, table: TableSchema) -> None:
        """Flush the newest commit of `table`, which a writer that was killed may have left unflushed.

        Raises
        ------
        LakeError
            The disk refuses.
        """
        version = self.version(table)
        try:
            self._sync_log(table, version, version)
        except OSError as error:
            raise LakeError(f"table {table.name} in {self.folder}: {error}") from error

    def _write_file(self, table: TableSchema, part: pl.DataFrame, partition: Mapping[str, str]) -> AddAction:
        name = "/".join([*(f"{key}={value}" for key, value in partition.items()), f"part-{uuid.uuid4()}.parquet"])
        file = self.path(table) / name
        if not file.parent.is_dir():
            file.parent.mkdir(parents=True)
            sync_path(file.parent.parent)
        try:
            part.write_parquet(file, compression="zstd", statistics=True)
        except (OSError, pl.exceptions.PolarsError):
            file.unlink(missing_ok=True)
            raise
        stats = json.dumps(_statistics(part))
        return AddAction(name, file.stat().st_size, dict(partition), time.time_ns() // 1_000_000, True, stats)

    def _open_or_create(self, table: TableSchema) -> DeltaTable:
        if not self.exists(table):
            try:
                DeltaTable.create(
                    str(self.path(table)),
                    _delta_schema(table),
                    mode="ignore",
                    partition_by=[table.partition] if table.partition else None,
                    name=table.name,
                )
            except (DeltaError, OSError) as error:
                raise LakeError(f"table {table.name} cannot be made in {self.folder}: {error}") from error
            log = self.path(table) / "_delta_log"
            sync_files([*log.iterdir(), self.path(table), self.folder])
        return self._handle(table)

    def _handle(self, table: TableSchema) -> DeltaTable:
        try:
            handle = self._handles.get(table.name)
            if handle is None:
                handle = self._handles[table.name] = DeltaTable(str(self.path(table)))
            else:
                handle.update_incremental()
        except (DeltaError, OSError) as error:
            raise LakeError(f"table {table.name} in {self.folder} cannot be opened: {error}") from error
        return handle

    def version(self, table: TableSchema) -> int:
        """Return the number of the table's last commit, -1 where there is no table."""
        return int(self._handle(table).version()) if self.exists(table) else -1

    def position(self, table: TableSchema, application: str) -> int:
        """Return the position that `application` last committed to `table`, 0 where it never did."""
        if not self.exists(table):
            return 0
        return int(self._handle(table).transaction_version(application) or 0)

    def commits(self, table: TableSchema) -> Iterator[Mapping[str, str]]:
        """Yield the metadata of the table's commits, newest first."""
        if self.exists(table):
            yield from self._handle(table).history()

    def files(self, table: TableSchema, days: Collection[date]) -> Mapping[date, frozenset[str]]:
        """Return the names of the Parquet files that hold each of `days` of a table partitioned by date."""
        found: dict[date, set[str]] = {day: set() for day in days}
        if self.exists(table):
            actions = pl.DataFrame(self._handle(table).get_add_actions(flatten=True))
            column = f"partition.{table.partition}"
            wanted = actions.filter(pl.col(column).is_in(list(found))).select("path", column)
            for path, day in wanted.iter_rows():
                found[day].add(path)
        return {day: frozenset(names) for day, names in found.items()}

    def added_since(self, table: TableSchema, version: int) -> list[str] | None:
        """Return the names of the Parquet files that brought new rows after a version of `table`.

        Returns
        -------
        list of str or None
            None where the log no longer tells; files that only rewrite old rows are left out.
        """
        names: list[str] = []
        for number in range(version + 1, self.version(table) + 1):
            entry = self.path(table) / "_delta_log" / f"{number:020d}.json"
            if not entry.exists():
                return None
            for line in entry.read_text(encoding="utf-8").splitlines():
                action = json.loads(line).get("add")
                if action is not None and action["dataChange"]:
                    names.append(unquote(action["path"]))
        return names

    def scan(
        self,
        table: TableSchema,
        *,
        start: datetime | date | None = None,
        end: datetime | date | None = None,
        meters: Collection[str] | None = None,
        received_after: datetime | None = None,
        received_by: datetime | None = None,
    ) -> pl.LazyFrame:
        """Return the rows of a table as a lazy frame, opening only files that can hold them.

        Parameters
        ----------
        table : TableSchema
            The table; one that does not exist yet is empty.
        start, end : datetime or date, optional
            Half-open range [start, end) of the table's own time column.
        meters : collection of str, optional
            Only these meters.
        received_after, received_by : datetime, optional
            Only rows received in (received_after, received_by]; what a diagnosis as of T may see has
            ``received_by=T``.
        """
        if not self.exists(table):
            return table.empty().lazy()
        rows = pl.scan_delta(self._handle(table))
        if table.partition and table.columns[table.partition].dtype == "date":
            rows = _restrict_days(rows, table.partition, start, end)
        if start is not None:
            rows = rows.filter(pl.col(table.time) >= start)
        if end is not None:
            rows = rows.filter(pl.col(table.time) < end)
        if meters is not None:
            rows = rows.filter(pl.col("meter_id").is_in(list(meters)))
        if received_after is not None:
            rows = rows.filter(pl.col("received_at") > received_after)
        if received_by is not None:
            rows = rows.filter(pl.col("received_at") <= received_by)
        return rows.select(list(table.columns))

    def read(
        self,
        table: TableSchema,
        *,
        start: datetime | date | None = None,
        end: datetime | date | None = None,
        meters: Collection[str] | None = None,
        received_after: datetime | None = None,
        received_by: datetime | None = None,
    ) -> pl.DataFrame:
        """Return the rows of a table, sorted by meter and time; the parameters are those of :meth:`scan`."""
        rows = self.scan(
            table,
            start=start,
            end=end,
            meters=meters,
            received_after=received_after,
            received_by=received_by,
        ).collect()
        return rows.sort([name for name in _SORT if name in rows.columns], maintain_order=True)


def open_lake(site: str | Path) -> Lake:
    """Return the lake of a site folder.

    Raises
    ------
    LakeError
        The folder holds no lake.
    """
    folder = Path(site) / "lake"
    if not folder.is_dir():
        raise LakeError(f"{site} has no lake/ folder: is it a site folder that has ingested something?")
    return Lake(folder)


def table_named(name: str) -> TableSchema:
    """Return the schema of the table called `name`.

    Raises
    ------
    LakeError
        There is no such table.
    """
    try:
        return TABLES[name]
    except KeyError:
        raise LakeError(f"there is no table {name!r}; there are {', '.join(TABLES)}") from None


def _restrict_days(
    rows: pl.LazyFrame, partition: str, start: datetime | date | None, end: datetime | date | None
) -> pl.LazyFrame:
    if start is not None:
        rows = rows.filter(pl.col(partition) >= _utc_date(start))
    if end is not None:
        rows = rows.filter(pl.col(partition) <= _utc_date(end))
    return rows


def _utc_date(moment: datetime | date) -> date:
    return moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment


def _delta_schema(table: TableSchema) -> Schema:
    return Schema([Field(name, _DELTA[column.dtype], nullable=True) for name, column in table.columns.items()])


def _partitions(table: TableSchema, rows: pl.DataFrame) -> Iterator[tuple[dict[str, str], pl.DataFrame]]:
    """Yield the rows of each Parquet file, sorted, with the partition that names its folder."""
    order = [name for name in _SORT if name in rows.columns]
    if table.partition is None:
        if rows.height:
            yield {}, rows.sort(order, maintain_order=True)
        return
    rows = rows.sort(table.partition, *order, maintain_order=True)
    lengths = rows[table.partition].rle().struct.unnest()
    rows = rows.drop(table.partition)
    start = 0
    for length, value in lengths.iter_rows():
        yield {table.partition: str(value)}, rows.slice(start, length)
        start += length


def _statistics(part: pl.DataFrame) -> dict[str, object]:
    """Return file statistics in the form of the Delta protocol; time extremes are rounded outward to its ms."""
    names = [name for name in _INDEXED if name in part.columns]
    low = {name: _extreme(part[name].min(), upper=False) for name in names}
    high = {name: _extreme(part[name].max(), upper=True) for name in names}
    return {
        "numRecords": part.height,
        "minValues": {name: value for name, value in low.items() if value is not None},
        "maxValues": {name: value for name, value in high.items() if value is not None},
        "nullCount": {name: part[name].null_count() for name in names},
    }


def _extreme(value: object, *, upper: bool) -> object:
    if isinstance(value, datetime):
        milliseconds = value.microsecond / 1000
        rounded = math.ceil(milliseconds) if upper else math.floor(milliseconds)
        moment = value.astimezone(UTC).replace(microsecond=0) + timedelta(milliseconds=rounded)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    if isinstance(value, date):
        return value.isoformat()
    return value
