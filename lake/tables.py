"""The lake: Delta Lake tables of Parquet, with one small typed way to append and to read.

Parquet files are written and synced first, then named by one atomic commit of the table's log, which is synced last;
so whatever the log names is on the disk. `deltalake` on its own gives a log entry its name but does not sync it.

Everybody who commits syncs every entry before his own as well, whoever wrote it. So a commit that was ever reported as
done stands on nothing that a power cut could still take, and an entry that a power cut left torn was never reported:
:meth:`Lake.repair` may set it aside, with what follows it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import re
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import ArrayType, PrimitiveType
from deltalake.transaction import AddAction, RemoveAction

from lake.durability import sync_files, sync_path
from lake.errors import LakeError, VersionConflictError
from lake.failpoints import reach
from lake.schemas import TABLES, TableSchema
from lake.sorting import sorted_by
from lake.storage import FolderStorage, Storage, site_storage
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

_GROW_TRIES = 5

_PROPERTIES_CHANGED = "Metadata changed since last commit"  # what deltalake calls it; it has no exception of its own
_MARK = "metriage.commit"  # by which a commit is recognised when the store did not say what became of it
_ENTRY = re.compile(r"\d{20}\.json")
_MOST_TORN = 20  # log entries that a power cut can leave unsynced: one or two a writer
_CHECKPOINT = re.compile(r"\d{20}\.checkpoint\..*parquet|\d{20}\.checkpoint\.parquet")

log = structlog.get_logger(__name__)


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
    """The tables below one folder or one prefix of an object store.

    Parameters
    ----------
    where : Path, str or Storage
        A folder, made on the first append, or what :func:`lake.storage.open_storage` returned.
    """

    def __init__(self, where: Path | str | Storage) -> None:
        self.storage: Storage = FolderStorage(Path(where)) if isinstance(where, Path | str) else where
        self._handles: dict[str, DeltaTable] = {}
        self._synced: dict[str, int] = {}  # the last log entry of each table that is known to be on the disk

    def uri(self, table: TableSchema, file: str = "") -> str:
        """Return the address of `table`, or of one of its files, for deltalake and Polars."""
        return self.storage.uri(f"{table.name}/{file}" if file else table.name)

    def exists(self, table: TableSchema) -> bool:
        """Tell whether anything was ever appended to `table`."""
        if table.name in self._handles:
            return True
        log = f"{table.name}/_delta_log"  # a crash may leave it without an entry
        return any(file.path.startswith(f"{log}/0") for file in self.storage.list(log))

    def create(self, table: TableSchema) -> int:
        """Make `table` where it does not exist yet, and return its version.

        Raises
        ------
        LakeError
            It cannot be made.
        """
        return int(self._open_or_create(table).version())

    def append(
        self,
        table: TableSchema,
        frame: pl.DataFrame,
        *,
        positions: Collection[Position] = (),
        metadata: Mapping[str, str] | None = None,
        expect_version: int | None = None,
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
        expect_version : int, optional
            Commit only as the very next version after this one, for rows that were chosen by what the table held then.

        Returns
        -------
        int
            The table's version after the commit.

        Raises
        ------
        VersionConflictError
            Somebody else has committed since `expect_version`; nothing was added.
        LakeError
            The rows do not fit the table, or it cannot be written. Where the store did not say what became of the
            commit it may still come to be there, and no file is removed: ask :meth:`position`.
        """
        actions = self.write(table, frame)
        try:
            return self.commit(table, actions, positions=positions, metadata=metadata, expect_version=expect_version)
        except VersionConflictError:
            self.discard(table, [action.path for action in actions])
            raise

    def write(self, table: TableSchema, frame: pl.DataFrame) -> list[AddAction]:
        """Write rows into new Parquet files, durable when this returns, for :meth:`commit` to name.

        Raises
        ------
        LakeError
            The rows do not fit the table, or it cannot be written; nothing is left behind.
        """
        try:
            rows = table.conform(frame)
        except pl.exceptions.PolarsError as error:
            raise LakeError(f"table {table.name}: {error}") from error
        return self._write_files(table, rows)

    def commit(
        self,
        table: TableSchema,
        actions: Sequence[AddAction],
        *,
        positions: Collection[Position] = (),
        metadata: Mapping[str, str] | None = None,
        expect_version: int | None = None,
    ) -> int:
        """Add the files that :meth:`write` wrote in one transaction, durable when this returns; see :meth:`append`.

        Raises
        ------
        VersionConflictError
            Somebody else has committed since `expect_version`; the files are still there and may be committed again.
        LakeError
            The table cannot be written; the commit may still come to be there, remove no file.
        """
        handle = self._open_or_create(table)
        if expect_version is not None and handle.version() != expect_version:
            raise VersionConflictError(_conflict(table, expect_version))
        self._commit(table, handle, actions, positions, metadata, exact=expect_version is not None)
        return int(handle.version())

    def _write_files(self, table: TableSchema, rows: pl.DataFrame) -> list[AddAction]:
        """Write and sync the Parquet files of `rows`; leave nothing behind when that fails."""
        actions: list[AddAction] = []
        try:
            for values, part in _partitions(table, rows):
                actions.append(self._write_file(table, part, values))
            reach("lake.files_written")
            self.sync_data(table, [action.path for action in actions])
        except (LakeError, OSError) as error:
            self.discard(table, [action.path for action in actions])
            raise LakeError(f"table {table.name} cannot be written: {error}") from error
        reach("lake.files_synced")
        return actions

    def _write_file(self, table: TableSchema, part: pl.DataFrame, partition: Mapping[str, str]) -> AddAction:
        name = "/".join([*(f"{key}={value}" for key, value in partition.items()), f"part-{uuid.uuid4()}.parquet"])
        size = self.storage.write_parquet(f"{table.name}/{name}", part)
        stats = json.dumps(file_statistics(part))
        return AddAction(name, size, dict(partition), time.time_ns() // 1_000_000, True, stats)

    def sync_data(self, table: TableSchema, names: Collection[str]) -> None:
        """Make Parquet files of `table` durable, before a commit names them."""
        self.storage.sync(f"{table.name}/{name}" for name in names)

    def discard(self, table: TableSchema, names: Collection[str]) -> None:
        """Remove Parquet files that no commit names and none can come to name; what cannot be removed is left."""
        with contextlib.suppress(LakeError):  # vacuum removes it later
            self.storage.delete(f"{table.name}/{name}" for name in names)

    def rewrite(
        self,
        table: TableSchema,
        snapshot: DeltaTable,
        actions: Sequence[AddAction | RemoveAction],
        *,
        positions: Collection[Position] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Put files in the place of others in one commit, durable when this returns, and return its version.

        Parameters
        ----------
        table : TableSchema
            The table.
        snapshot : DeltaTable
            What :meth:`snapshot` returned; the commit is made as the very next version or not at all.
        actions : sequence of AddAction or RemoveAction
            The files; new ones are synced.
        positions, metadata
            As in :meth:`append`.

        Raises
        ------
        VersionConflictError
            Somebody else has committed since `snapshot`; nothing was changed.
        LakeError
            The table cannot be written; the commit may still come to be there, remove no file.
        """
        self._commit(table, snapshot, actions, positions, metadata, exact=True)
        return int(snapshot.version())

    def _commit(
        self,
        table: TableSchema,
        handle: DeltaTable,
        actions: Sequence[AddAction | RemoveAction],
        positions: Collection[Position],
        metadata: Mapping[str, str] | None,
        *,
        exact: bool,
    ) -> None:
        done = False
        while not done:
            before = int(handle.version())
            mark = uuid.uuid4().hex
            try:
                handle.create_write_transaction(
                    list(actions),
                    "append",
                    _delta_schema(table),
                    [table.partition] if table.partition else None,
                    commit_properties=CommitProperties(
                        custom_metadata={**(metadata or {}), _MARK: mark},
                        app_transactions=[Transaction(position.application, position.value) for position in positions],
                        # Without retries deltalake commits as the next version or not at all; with them it looks
                        # whether what others committed meanwhile contradicts, and appends of others never do.
                        **({"max_commit_retries": 0} if exact else {}),
                    ),
                    post_commithook_properties=PostCommitHookProperties(create_checkpoint=True),
                )
                done = True
            except (DeltaError, OSError) as error:
                done = self._settle(table, handle, before, mark, error, exact=exact)
        reach("lake.committed")
        self._refresh(table, handle)
        self._sync_log(table, int(handle.version()))
        reach("lake.synced")

    def _settle(
        self, table: TableSchema, handle: DeltaTable, before: int, mark: str, error: Exception, *, exact: bool
    ) -> bool:
        """Return whether a commit that was reported as failed is there after all, or False to make it again.

        Otherwise raise what became of it.

        A store may have done what it was asked although its answer was lost, a repeated request then meets its own
        entry, and a checkpoint may fail behind a commit that stands.
        """
        self._refresh(table, handle)
        entries = range(before + 1, int(handle.version()) + 1)
        if any(mark in (self._entry(table, number) or "") for number in (entries[:1] if exact else entries)):
            log.warning("commit reported as failed is there", table=table.name, error=_reason(error))
            return True
        if exact and entries:  # the one version that we asked for is somebody else's, for good
            raise VersionConflictError(_conflict(table, before)) from error
        # Another commit set properties of the table or added columns: deltalake refuses before it writes anything, and
        # none of it contradicts rows that are added.
        if entries and isinstance(error, CommitFailedError) and _PROPERTIES_CHANGED in str(error):
            return False
        raise LakeError(f"table {table.name} in {self.storage.url}: {_reason(error)}") from error

    def _entry(self, table: TableSchema, version: int) -> str | None:
        data = self.storage.read(f"{_entry_name(table, version)}.json")
        return None if data is None else data.decode(errors="replace")

    def _sync_log(self, table: TableSchema, last: int) -> None:
        """Sync every log entry up to `last` that this process has not seen synced, and the checkpoints beside them."""
        known = self._synced.get(table.name)
        first = max(0, self._checkpointed(table)) if known is None else known + 1
        checkpoint = f"{table.name}/_delta_log/_last_checkpoint"
        names = [_entry_name(table, version) for version in range(first, last + 1)]
        self.storage.sync(
            [*(f"{name}.json" for name in names), *(f"{name}.checkpoint.parquet" for name in names), checkpoint],
            missing_ok=True,
        )
        if known is None and isinstance(self.storage, FolderStorage):  # whoever made the table may have been killed
            for folder in (self.storage.folder / table.name, self.storage.folder):
                sync_path(folder)
        self._synced[table.name] = last

    def _checkpointed(self, table: TableSchema) -> int:
        """Return the version of the newest checkpoint, -1 where there is none."""
        data = self.storage.read(f"{table.name}/_delta_log/_last_checkpoint")
        try:
            return int(json.loads(data)["version"]) if data else -1
        except (ValueError, KeyError, TypeError):
            return -1

    def sync(self, table: TableSchema) -> None:
        """Make the commits of `table` durable that a writer may have left unsynced when it was killed.

        Raises
        ------
        LakeError
            The disk refuses.
        """
        self._sync_log(table, self.version(table))

    def repair(self, table: TableSchema) -> list[str]:
        """Set aside what a power cut left torn at the end of the log of `table`, and return the names of these files.

        Only entries that nobody was told of can be torn: see the top of this module. What they held is still in the
        spool of its writer. An object store has no such state.

        Raises
        ------
        LakeError
            The folder cannot be written.
        """
        if not isinstance(self.storage, FolderStorage):
            return []
        folder = self.storage.folder / table.name / "_delta_log"
        try:
            torn = set_torn_aside(folder) if folder.is_dir() else []
        except OSError as error:
            raise LakeError(f"table {table.name} in {self.storage.url} cannot be repaired: {error}") from error
        if torn:
            self._handles.pop(table.name, None)
            self._synced.pop(table.name, None)
            log.warning("log entries torn by a power cut were set aside", table=table.name, files=torn)
        return torn

    def _open_or_create(self, table: TableSchema) -> DeltaTable:
        if not self.exists(table):
            try:
                DeltaTable.create(
                    self.uri(table),
                    _delta_schema(table),
                    mode="ignore",
                    partition_by=[table.partition] if table.partition else None,
                    name=table.name,
                    storage_options=self._delta_options(),
                )
            except (DeltaError, OSError) as error:
                if not self.exists(table):  # else another writer was faster
                    where = self.storage.url
                    raise LakeError(f"table {table.name} cannot be made in {where}: {_reason(error)}") from error
            if isinstance(self.storage, FolderStorage):
                self._sync_log(table, 0)
                sync_files([self.storage.folder / table.name / "_delta_log", self.storage.folder / table.name])
                sync_path(self.storage.folder.parent)
        handle = self._handle(table)
        self._grow(table, handle)
        return handle

    def _grow(self, table: TableSchema, handle: DeltaTable) -> None:
        """Give a table that an earlier release made the columns it lacks; old files read as empty there."""
        for _ in range(_GROW_TRIES):
            held = {field.name for field in handle.schema().fields}
            lacking = [field for field in _delta_schema(table).fields if field.name not in held]
            if not lacking:
                return
            try:
                handle.alter.add_columns(lacking)
            except (DeltaError, OSError) as error:  # perhaps another writer has just done the same
                self._refresh(table, handle)
                reason = _reason(error)
                continue
            self._refresh(table, handle)
            self._sync_log(table, int(handle.version()))
            log.info("table has new columns", table=table.name, columns=[field.name for field in lacking])
            return
        raise LakeError(f"table {table.name} in {self.storage.url} cannot be given new columns: {reason}")

    def _delta_options(self) -> dict[str, str] | None:
        return dict(self.storage.options) or None

    def snapshot(self, table: TableSchema) -> DeltaTable:
        """Return `table` as it is now, for one who looks first and then commits by :meth:`rewrite`.

        Raises
        ------
        LakeError
            It cannot be opened.
        """
        try:
            return DeltaTable(self.uri(table), storage_options=self._delta_options())
        except (DeltaError, OSError) as error:
            where = self.storage.url
            raise LakeError(
                f"table {table.name} in {where} cannot be opened: {self._torn(table) or _reason(error)}"
            ) from error

    def _torn(self, table: TableSchema) -> str:
        """Say what to do where the log of `table` ends in a torn entry."""
        if not isinstance(self.storage, FolderStorage):
            return ""
        folder = self.storage.folder / table.name / "_delta_log"
        names = torn_entries(folder) if folder.is_dir() else []
        if not names:
            return ""
        return (
            f"{folder / names[0]} is cut short, as by a power cut; `metriage ingest` sets it aside when it starts, its "
            "messages are still in the spool"
        )

    def _handle(self, table: TableSchema) -> DeltaTable:
        handle = self._handles.get(table.name)
        if handle is None:
            handle = self._handles[table.name] = self.snapshot(table)
        else:
            self._refresh(table, handle)
        return handle

    def _refresh(self, table: TableSchema, handle: DeltaTable) -> None:
        try:
            handle.update_incremental()
        except (DeltaError, OSError) as error:
            self._handles.pop(table.name, None)  # opened afresh it may do without entries that were cleaned up
            reason = self._torn(table) or _reason(error)
            raise LakeError(f"table {table.name} in {self.storage.url} cannot be read: {reason}") from error

    def version(self, table: TableSchema) -> int:
        """Return the number of the table's last commit, -1 where there is no table."""
        return int(self._handle(table).version()) if self.exists(table) else -1

    def position(self, table: TableSchema, application: str) -> int:
        """Return the position that `application` last committed to `table`, 0 where it never did."""
        if not self.exists(table):
            return 0
        return int(self._handle(table).transaction_version(application) or 0)

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

    def parts(self, table: TableSchema) -> pl.DataFrame:
        """Return the Parquet files that make `table` now, one a row.

        Returns
        -------
        polars.DataFrame
            ``path``; ``day``, the date of its partition, empty where the table has none; ``rows``; ``first_meter,
            last_meter``, the least and greatest meter id, and ``last_day``, the latest day of a daily row, empty where
            the log does not tell.
        """
        names = {"path": "path", "day": f"partition.{table.partition}", "rows": "num_records",
                 "first_meter": "min.meter_id", "last_meter": "max.meter_id", "last_day": "max.day"}  # fmt: skip
        types = {"day": pl.Date, "rows": pl.Int64, "last_day": pl.Date}
        schema = {name: types.get(name, pl.String) for name in names}
        actions = pl.DataFrame(self._handle(table).get_add_actions(flatten=True)) if self.exists(table) else None
        if actions is None or actions.is_empty():
            return pl.DataFrame(schema=schema)
        told = [
            (pl.col(name) if name in actions.columns else pl.lit(None)).cast(schema[column]).alias(column)
            for column, name in names.items()
        ]
        parts = actions.select(told)
        return parts.with_columns(pl.Series("path", [unquote(path) for path in parts["path"]])).sort("day", "path")

    def filled_columns(self, table: TableSchema, name: str) -> frozenset[str]:
        """Return the columns that hold anything in a Parquet file of `table`, by its footer.

        All of them for a lake in an object store, where a footer costs as much as the empty columns do.
        """
        if not isinstance(self.storage, FolderStorage):
            return frozenset(table.columns)
        with self._reading(table):
            footer = pq.read_metadata(self.storage.folder / table.name / name)
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        filled = set()
        for place in range(footer.num_columns):
            if any(_holds_values(group.column(place)) for group in groups):
                filled.add(footer.schema.column(place).path.partition(".")[0])
        return frozenset(filled)

    @contextlib.contextmanager
    def _reading(self, table: TableSchema) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowInvalid) as error:
            raise LakeError(f"table {table.name} in {self.storage.url} cannot be read: {_reason(error)}") from error

    def scan_parts(self, table: TableSchema, names: Collection[str]) -> pl.LazyFrame:
        """Return the rows of Parquet files of `table` as they were written, without the partition column."""
        columns = {name: dtype for name, dtype in table.polars.items() if name != table.partition}
        return pl.scan_parquet(
            [self.uri(table, name) for name in names],
            schema=columns,
            hive_partitioning=False,
            missing_columns="insert",  # written by an earlier release,
            extra_columns="ignore",  # or by a later one
            **self._scan_options(),
        )

    def _scan_options(self) -> dict[str, Any]:
        options = self.storage.options
        return {"storage_options": dict(options), "credential_provider": None} if options else {}

    def added_since(self, table: TableSchema, version: int) -> list[str] | None:
        """Return the names of the Parquet files that brought new rows after a version of `table`.

        Returns
        -------
        list of str or None
            None where the log no longer tells; files that only rewrite old rows are left out.
        """
        names: list[str] = []
        for number in range(version + 1, self.version(table) + 1):
            entry = self._entry(table, number)
            if entry is None:
                return None
            for line in entry.splitlines():
                action = json.loads(line).get("add")
                if action is not None and action["dataChange"]:
                    names.append(unquote(action["path"]))
        if any(not self.storage.exists(f"{table.name}/{name}") for name in names):
            return None  # rewritten by a compaction and vacuumed since
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
        rows = pl.scan_delta(self._handle(table), **self._scan_options())
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
        held = rows.collect_schema()  # a table that was made by an earlier release may lack a column
        return rows.select(
            pl.col(name) if name in held else pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in table.polars.items()
        )

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
        return sorted_by(rows, [name for name in _SORT if name in rows.columns])


def open_lake(site: str | Path) -> Lake:
    """Return the lake of a site folder: the one its ``metriage.toml`` names, else its folder ``lake/``.

    Raises
    ------
    LakeError
        The folder holds no lake.
    SettingsError
        ``[lake]`` in its ``metriage.toml`` is wrong.
    """
    storage = site_storage(Path(site))
    if isinstance(storage, FolderStorage) and not storage.folder.is_dir():
        raise LakeError(f"{storage.url} is no folder: is {site} a site folder that has ingested something?")
    return Lake(storage)


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


def torn_entries(log_folder: Path) -> list[str]:
    """Return the names of the log entries that are no longer whole, and of those that follow one or follow a hole."""
    entries = sorted(file for file in log_folder.glob("*.json") if _ENTRY.fullmatch(file.name))
    checkpoints = [file for file in log_folder.iterdir() if _CHECKPOINT.fullmatch(file.name)]
    # A checkpoint stands for all before it, so nothing else is needed of them.
    covered = max((int(file.name[:20]) for file in checkpoints if _is_parquet(file)), default=-1)
    entries = [file for file in entries if int(file.stem) > covered]
    for place, file in enumerate(entries):
        before = log_folder / f"{int(file.stem) - 1:020d}.json"
        # A name that the listing missed was there before its successor, so it is there now.
        hole = (place or covered >= 0) and int(file.stem) - 1 > covered and not before.exists()
        if hole or not _is_whole(file):
            return [file.name for file in entries[place:]]
    return []


def set_torn_aside(log_folder: Path) -> list[str]:
    """Rename torn log entries and checkpoints so that nobody reads them, and return their names."""
    with (log_folder / ".repair.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # else a second one could set aside what was committed after the first
        names = torn_entries(log_folder)
        if len(names) > _MOST_TORN:
            raise OSError(
                f"{log_folder / names[0]} is damaged, and {len(names) - 1} entries follow it: no power cut does that; "
                "restore the table from a backup"
            )
        checkpoints = [
            file.name for file in log_folder.iterdir() if _CHECKPOINT.fullmatch(file.name) and not _is_parquet(file)
        ]
        hint = log_folder / "_last_checkpoint"
        if hint.exists() and (checkpoints or not _is_whole(hint)):
            hint.unlink()
        for name in [*reversed(names), *checkpoints]:  # the newest first: no hole if we are killed in between
            (log_folder / name).rename(log_folder / f"{name}.torn")
        if names or checkpoints:
            sync_path(log_folder)
    return [*names, *checkpoints]


def _is_whole(file: Path) -> bool:
    """Tell whether a file consists of complete lines of JSON."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:  # cleaned up behind a checkpoint meanwhile
        return True
    try:
        return bool(lines) and all(isinstance(json.loads(line), dict) for line in lines)
    except ValueError:
        return False


def _is_parquet(file: Path) -> bool:
    size = file.stat().st_size
    if size < 12:
        return False
    with file.open("rb") as stream:
        head = stream.read(4)
        stream.seek(size - 4)
        return head == stream.read(4) == b"PAR1"


def _entry_name(table: TableSchema, version: int) -> str:
    return f"{table.name}/_delta_log/{version:020d}"


def _conflict(table: TableSchema, version: int) -> str:
    return f"table {table.name}: somebody else has committed since version {version}"


def _reason(error: Exception) -> str:
    """Return what deltalake said, without the debugging report that may follow it."""
    return str(error).strip().partition("\n")[0]


def _restrict_days(
    rows: pl.LazyFrame, partition: str, start: datetime | date | None, end: datetime | date | None
) -> pl.LazyFrame:
    if start is not None:
        rows = rows.filter(pl.col(partition) >= _utc_date(start))
    if end is not None:
        rows = rows.filter(pl.col(partition) <= _utc_date(end))
    return rows


def _holds_values(chunk: pq.ColumnChunkMetaData) -> bool:
    """Tell whether a column chunk may hold a value; an empty list holds none."""
    statistics = chunk.statistics
    return statistics is None or not statistics.has_null_count or bool(statistics.null_count < chunk.num_values)


def _utc_date(moment: datetime | date) -> date:
    return moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment


def _delta_schema(table: TableSchema) -> Schema:
    return Schema([Field(name, _DELTA[column.dtype], nullable=True) for name, column in table.columns.items()])


def _partitions(table: TableSchema, rows: pl.DataFrame) -> Iterator[tuple[dict[str, str], pl.DataFrame]]:
    """Yield the rows of each Parquet file, sorted, with the partition that names its folder."""
    order = [name for name in _SORT if name in rows.columns]
    if table.partition is None:
        if rows.height:
            yield {}, sorted_by(rows, order)
        return
    rows = sorted_by(rows, [table.partition, *order])
    lengths = rows[table.partition].rle().struct.unnest()
    rows = rows.drop(table.partition)
    start = 0
    for length, value in lengths.iter_rows():
        yield {table.partition: str(value)}, rows.slice(start, length)
        start += length


def file_statistics(part: pl.DataFrame) -> dict[str, object]:
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
