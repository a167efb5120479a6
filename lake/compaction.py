"""Upkeep of the tables under running readers and writers: fewer, sorted files, retention, vacuum, a short log.

Files of one day are merged as a log-structured merge tree merges its runs: small ones with each other, and a large one
only when the smaller ones together are worth it, so that a few late rows never rewrite a day of 500 MB. Output and
inputs change places in one commit, which is made only if the table still stands at the version that was looked at and
still holds every input; `deltalake` itself takes such a commit for a blind append and would let two compactions double
their rows. Whatever a crash leaves is either not named by the log (vacuum removes it later) or complete.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import polars as pl
import structlog
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import ArrayType, PrimitiveType
from deltalake.transaction import AddAction, RemoveAction
from polars.io.plugins import register_io_source

from lake.errors import LakeError, VersionConflictError
from lake.failpoints import reach
from lake.schemas import ERROR_CODES, READINGS, TABLES, TIME, TableSchema
from lake.settings import CompactSettings
from lake.tables import Lake, Position, file_statistics

# How a rewritten file is sorted: first by what its readers ask for, so that they skip the rest of it.
_ORDER: Mapping[str, tuple[str, ...]] = {
    "readings": ("meter_id", "ts", "received_at"),
    "error_codes": ("meter_id", "ts", "received_at"),
    "daily": ("day", "meter_id", "as_of"),
    "findings": ("as_of", "diagnosis_id", "meter_id"),
    "batch_findings": ("as_of", "diagnosis_id", "scope", "key"),
    "forecasts": ("as_of", "diagnosis_id", "kind", "meter_id"),
    "quarantine": ("received_at",),
    "gaps": ("received_at",),
}

# A row that differs only in these from an earlier received one tells nothing new. Columns that a newer metriage added
# count as content.
_NOT_CONTENT: Mapping[str, frozenset[str]] = {
    READINGS.name: frozenset({"received_at", "flags", "event_date"}),
    ERROR_CODES.name: frozenset({"received_at", "event_date"}),
}

_BATCH_ROWS = 250_000  # sorted in memory at once
_ROW_GROUP_ROWS = 25_000  # a reader of one meter decodes one of these a file
_MOST_FILE_ROWS = 5_000_000
_OPEN_DAYS = 2  # days up to today that are still being written
_FULL = 0.5  # share of the largest size from which a file is left alone
_COMMIT_TRIES = 100
_LOG_KEPT = "delta.logRetentionDuration"
_SEEN_BEFORE_S = 3600.0  # by a clock that nobody sets, between noticing an old file and removing it
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class TableUpkeep:
    """What a run did to one table.

    Parameters
    ----------
    table : str
        Its name.
    files_before, files_after, bytes_before, bytes_after, rows_before, rows_after : int
        What the log names.
    rewritten : int
        Groups of files that became fewer, larger ones: days, where the table has days.
    rewritten_bytes : int
        Bytes written for that.
    deduplicated : int
        Rows removed because an earlier received one says the same.
    expired : int
        Rows removed by retention.
    vacuumed, vacuumed_bytes : int
        Files removed (with a dry run: that would be) that the log no longer names.
    given_up : int
        Groups left for the next run because somebody else changed their files meanwhile.
    seconds : float
        Time taken [s].
    """

    table: str
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    rows_before: int = 0
    rows_after: int = 0
    rewritten: int = 0
    rewritten_bytes: int = 0
    deduplicated: int = 0
    expired: int = 0
    vacuumed: int = 0
    vacuumed_bytes: int = 0
    given_up: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file that the log names.

    Parameters
    ----------
    path : str
        Below the table's folder.
    size : int
        Bytes.
    rows : int
        Rows.
    partition : str or None
        Value of the partition column, None where the table has none.
    low, high : datetime or None
        Least and greatest time of receipt, where the log tells.
    unknown : int
        Rows without time of receipt.
    """

    path: str
    size: int
    rows: int
    partition: str | None
    low: datetime | None = None
    high: datetime | None = None
    unknown: int = 0

    @property
    def day(self) -> date | None:
        """The partition as a date."""
        return None if self.partition is None else date.fromisoformat(self.partition)


class Steady(msgspec.Struct, frozen=True):
    """A moment by a clock that nobody can set.

    Parameters
    ----------
    boot : str
        Which start of the machine is meant.
    seconds : float
        Time since then, sleep included [s].
    """

    boot: str
    seconds: float


@dataclass(slots=True)
class _Rewrite:
    """What came of writing the rows of some files again."""

    added: list[AddAction] = field(default_factory=list)
    deduplicated: int = 0
    expired: int = 0


class Compaction:
    """Upkeep of the tables of one lake.

    Parameters
    ----------
    lake : Lake
        The lake.
    settings : CompactSettings
        When it pays, and how long things are kept.
    actor : str
        Under this name the removed rows are counted, in the log of each table itself: see :func:`upkeep_counters`.
    now : callable, optional
        The clock (UTC).
    steady : callable, optional
        The time since the machine was started, and an identification of that start.
    """

    def __init__(
        self,
        lake: Lake,
        settings: CompactSettings,
        *,
        actor: str,
        now: Callable[[], datetime] | None = None,
        steady: Callable[[], Steady] | None = None,
    ) -> None:
        self._lake = lake
        self._storage = lake.storage
        self._settings = settings
        self._actor = actor
        self._now = now or (lambda: datetime.now(UTC))
        self._steady = steady or _steady

    def run(self, *, dry_run: bool = False, progress: Callable[[TableUpkeep], None] | None = None) -> list[TableUpkeep]:
        """Look after every table that exists.

        Parameters
        ----------
        dry_run : bool
            Whether to change nothing and only tell what would be.
        progress : callable, optional
            Told of each table when it is done.

        Returns
        -------
        list of TableUpkeep
            One a table.

        Raises
        ------
        LakeError
            A table cannot be read or written; what was committed so far stays.
        """
        done = []
        for table in TABLES.values():
            if self._lake.exists(table):
                done.append(self.look_after(table, dry_run=dry_run))
                if progress is not None:
                    progress(done[-1])
        return done

    def look_after(self, table: TableSchema, *, dry_run: bool = False) -> TableUpkeep:
        """Expire, merge, checkpoint and vacuum one table."""
        started = time.monotonic()
        report = TableUpkeep(table.name)
        before = live_files(self._lake.snapshot(table), table)
        report.files_before, report.bytes_before, report.rows_before = _sums(before)
        if dry_run:
            report.rewritten = sum(1 for _ in self._groups(table, before))
            report.expired = sum(file.rows for file in before if self._is_expired(table, file))
        else:
            self._expire(table, report)
            self._merge(table, report)
            self._shorten_log(table)
        report.files_after, report.bytes_after, report.rows_after = _sums(live_files(self._lake.snapshot(table), table))
        report.vacuumed, report.vacuumed_bytes = self._vacuum(table, dry_run=dry_run)
        report.seconds = round(time.monotonic() - started, 3)
        return report

    # Retention

    def _cutoff(self, table: TableSchema) -> datetime | None:
        """Return the time before which rows of `table` expire."""
        days = {
            "readings": self._settings.keep_days,
            "error_codes": self._settings.keep_days,
            "quarantine": self._settings.keep_quarantine_days,
        }.get(table.name, 0)
        return self._now() - timedelta(days=days) if days else None

    def _is_expired(self, table: TableSchema, file: DataFile) -> bool:
        """Tell whether every row of `file` is older than the table keeps."""
        cutoff = self._cutoff(table)
        if cutoff is None:
            return False
        if table.partition is not None:
            return file.day is not None and file.day < cutoff.date()
        return file.high is not None and file.unknown == 0 and file.high < cutoff

    def _expire(self, table: TableSchema, report: TableUpkeep) -> None:
        """Remove the files that have expired as a whole, in one commit."""
        if self._cutoff(table) is None:
            return
        for _ in _tries():
            snapshot = self._lake.snapshot(table)
            old = [file for file in live_files(snapshot, table) if self._is_expired(table, file)]
            if not old:
                return
            result = _Rewrite(expired=sum(file.rows for file in old))
            if self._commit(table, snapshot, result, old, data_change=True):
                report.expired += result.expired
                log.info("expired", table=table.name, files=len(old), rows=result.expired)
                return

    # Merging

    def _merge(self, table: TableSchema, report: TableUpkeep) -> None:
        for group in list(self._groups(table, live_files(self._lake.snapshot(table), table))):
            snapshot = self._lake.snapshot(table)
            result = self._rewrite(table, snapshot, group)
            if not self._replace(table, snapshot, result, group):
                report.given_up += 1
                self._lake.discard(table, [action.path for action in result.added])
                log.info("left for the next run: its files were changed meanwhile", table=table.name,
                         partition=group[0].partition, files=len(group))  # fmt: skip
                continue
            report.rewritten += 1
            report.rewritten_bytes += sum(action.size for action in result.added)
            report.deduplicated += result.deduplicated
            report.expired += result.expired

    def _groups(self, table: TableSchema, files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
        """Yield the files that are worth being merged, each time of one partition."""
        today = self._now().date()
        days: dict[str | None, list[DataFile]] = {}
        for file in files:
            if not self._is_expired(table, file):
                days.setdefault(file.partition, []).append(file)
        for partition, held in sorted(days.items(), key=lambda item: item[0] or ""):
            day = held[0].day if table.partition else None
            written = table.partition is None or (day is not None and (today - day).days < _OPEN_DAYS)
            least = self._settings.small_files if written else 2
            group = worth_merging(held, least=least, share=self._settings.late_share, largest=self._settings.file_bytes)
            stale = [file for file in held if self._holds_expired(table, file)]
            if len(group) < len(held) and len(held) > 1 and self._repeats(table, partition, held):
                group = held
            if group or stale:
                yield list({file.path: file for file in [*group, *stale]}.values())

    def _holds_expired(self, table: TableSchema, file: DataFile) -> bool:
        """Tell whether so much of `file` has expired that writing the rest again pays: an eighth of what is kept."""
        cutoff = self._cutoff(table)
        if cutoff is None or table.partition is not None or file.low is None:
            return False
        return file.low < cutoff - (self._now() - cutoff) / 8

    def _repeats(self, table: TableSchema, partition: str | None, files: Sequence[DataFile]) -> bool:
        """Tell whether the largest of `files` holds a row that one of the others holds, too."""
        if table.name not in _NOT_CONTENT or partition is None:
            return False
        snapshot = self._lake.snapshot(table)
        *others, largest = sorted(files, key=lambda file: file.size)
        key = _content(table, snapshot)
        small = self._scan(table, snapshot, others)
        if sum(file.rows for file in others) > _BATCH_ROWS:
            rows = pl.concat([small, self._scan(table, snapshot, [largest])])
            hashes = rows.select(pl.struct(key).hash().alias("hash")).collect(engine="streaming")["hash"]
            return hashes.n_unique() < hashes.len()
        late = small.select(key).collect()
        if late.unique().height < late.height:
            return True
        near = self._scan(table, snapshot, [largest]).filter(pl.col("meter_id").is_in(late["meter_id"].unique()))
        identity = ["meter_id", "ts", "source"]
        same = near.join(late.lazy().select(identity).unique(), on=identity, how="semi", nulls_equal=True)
        both = pl.concat([late, same.select(key).collect().unique()])
        return both.unique().height < both.height

    def _scan(self, table: TableSchema, snapshot: DeltaTable, files: Sequence[DataFile]) -> pl.LazyFrame:
        """Return the rows of `files` with every column that the table has now, also those another release added."""
        return pl.scan_parquet(
            [self._storage.uri(f"{table.name}/{unquote(file.path)}") for file in files],
            schema=_schema(table, snapshot),
            hive_partitioning=False,
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=dict(self._storage.options),
            credential_provider=None,
        )

    def _rewrite(self, table: TableSchema, snapshot: DeltaTable, files: Sequence[DataFile]) -> _Rewrite:
        """Write the rows of `files` sorted and without repetitions into new files, flushed to the disk."""
        rows = sum(file.rows for file in files)
        size = sum(file.size for file in files)
        most = max(1, min(_MOST_FILE_ROWS, int(rows * self._settings.file_bytes / max(1, size))))
        result = _Rewrite()
        partition = {table.partition: files[0].partition} if table.partition else {}
        try:
            parts = _Parts(self._sorted_parts(table, snapshot, files, result))
            while parts.more():
                result.added.append(self._write(table, snapshot, parts, partition, most))
            self._lake.sync_data(table, [action.path for action in result.added])
        except pl.exceptions.PolarsError as error:
            self._lake.discard(table, [action.path for action in result.added])
            raise LakeError(f"table {table.name} cannot be compacted: {error}") from error
        except LakeError:
            self._lake.discard(table, [action.path for action in result.added])
            raise
        reach("compact.files_synced")
        return result

    def _write(
        self, table: TableSchema, snapshot: DeltaTable, parts: _Parts, partition: Mapping[str, str | None], most: int
    ) -> AddAction:
        """Write one file of about `most` rows."""
        name = "/".join([*(f"{key}={value}" for key, value in partition.items()), f"part-{uuid.uuid4()}.parquet"])
        statistics: dict[str, Any] = {}
        rows = parts.lazy(_schema(table, snapshot), most, statistics)
        size = self._storage.write_parquet(f"{table.name}/{name}", rows, row_group_rows=_ROW_GROUP_ROWS)
        stamp = time.time_ns() // 1_000_000
        return AddAction(name, size, partition, stamp, data_change=False, stats=json.dumps(statistics))

    def _sorted_parts(
        self, table: TableSchema, snapshot: DeltaTable, files: Sequence[DataFile], result: _Rewrite
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of `files` in order, a bounded number at a time."""
        order = [*_ORDER[table.name]]
        lead = order[0]
        cutoff = None if table.partition is not None else self._cutoff(table)
        rows = self._scan(table, snapshot, files)
        key = _content(table, snapshot)
        for low, high in _ranges(rows, lead):
            part = rows.filter(_between(lead, low, high)).collect().sort(order, maintain_order=True)
            if cutoff is not None:
                height = part.height
                part = part.filter((pl.col("received_at") >= cutoff) | pl.col("received_at").is_null())
                result.expired += height - part.height
            if key:
                height = part.height
                part = part.unique(key, keep="first", maintain_order=True)
                result.deduplicated += height - part.height
            if part.height:
                yield part

    # Committing

    def _replace(self, table: TableSchema, snapshot: DeltaTable, result: _Rewrite, files: Sequence[DataFile]) -> bool:
        """Put the new files in the place of `files`; return whether that was possible."""
        wanted = {file.path for file in files}
        for _ in _tries():
            if not wanted <= {file.path for file in live_files(snapshot, table)}:
                return False
            if self._commit(table, snapshot, result, files, data_change=False):
                return True
            snapshot = self._lake.snapshot(table)
        return False

    def _commit(
        self, table: TableSchema, snapshot: DeltaTable, result: _Rewrite, files: Sequence[DataFile], *,
        data_change: bool,
    ) -> bool:  # fmt: skip
        """Commit, unless the table has moved on since `snapshot`."""
        removed = removals_of(table, files, data_change=data_change)
        counts = {"deduplicated": result.deduplicated, "expired": result.expired}
        positions = [
            Position(application, int(snapshot.transaction_version(application) or 0) + count)
            for application, count in ((_counter(self._actor, name), count) for name, count in counts.items())
            if count
        ]
        metadata = {f"metriage.{name}": str(count) for name, count in counts.items()}
        try:
            self._lake.rewrite(table, snapshot, [*result.added, *removed], positions=positions, metadata=metadata)
        except VersionConflictError:
            return False
        reach("compact.committed")
        return True

    # Log and old files

    def _shorten_log(self, table: TableSchema) -> None:
        """Write a checkpoint and remove the log entries that are older than they are kept."""
        keep = f"interval {int(max(self._settings.log_keep_s, self._settings.vacuum_after_s))} seconds"
        snapshot = self._lake.snapshot(table)
        try:
            if snapshot.metadata().configuration.get(_LOG_KEPT) != keep:
                snapshot.alter.set_table_properties(
                    {_LOG_KEPT: keep},
                    raise_if_not_exists=False,
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
                self._lake.sync(table)
                snapshot = self._lake.snapshot(table)
            self._lake.sync(table)  # nothing is cleaned up that stands on what is not on the disk
            folder = f"{table.name}/_delta_log"
            checkpoint = f"{folder}/{snapshot.version():020d}.checkpoint.parquet"
            if not self._storage.exists(checkpoint):
                snapshot.create_checkpoint()
            self._storage.sync([checkpoint, f"{folder}/_last_checkpoint"], missing_ok=True)
            snapshot.cleanup_metadata()
        except CommitFailedError:  # a writer was quicker; the next run is soon enough
            log.info("log not shortened: the table changed meanwhile", table=table.name)
        except (DeltaError, OSError) as error:
            raise LakeError(f"table {table.name} in {self._storage.url}: {error}") from error

    def _vacuum(self, table: TableSchema, *, dry_run: bool) -> tuple[int, int]:
        """Remove data files that no version of the last `vacuum_after_s` names; return how many, and their bytes.

        A file that a writer is about to commit, and one that a reader of an older version may still open, is younger,
        or was removed from the log later than that. A clock that jumps ahead makes such files look old, so that one is
        removed only when an earlier run has found it old as well, an hour before by the time since the machine's start.
        """
        before = datetime.now(UTC) - timedelta(seconds=self._settings.vacuum_after_s)
        found = [
            file
            for file in self._storage.list(table.name)
            if file.path.endswith(".parquet") and "/_delta_log/" not in file.path and file.modified < before
        ]
        # Looked at after the listing: what is committed in between is younger than the limit anyway.
        named = {unquote(file.path) for file in live_files(self._lake.snapshot(table), table)}
        named |= self._removed_since(table, before)
        unnamed = [file for file in found if file.path.partition("/")[2] not in named]
        now, seen = self._steady(), self._seen_old(table)
        since = {file.path: _first_seen(seen.get(file.path), now) for file in unnamed}
        old = [file for file in unnamed if now.seconds - since[file.path].seconds >= _SEEN_BEFORE_S]
        if not dry_run:
            if old:
                reach("compact.vacuuming")
                self._storage.delete(file.path for file in old)
            gone = {file.path for file in old}
            self._note_old(table, seen, {path: first for path, first in since.items() if path not in gone})
        return len(old), sum(file.size for file in old)

    def _seen_old(self, table: TableSchema) -> dict[str, Steady]:
        """Return the files that an earlier run found old, and when."""
        try:
            return msgspec.json.decode(self._storage.read(_old_files(table)) or b"{}", type=dict[str, Steady])
        except msgspec.DecodeError:  # not ours, or cut short: they are noticed anew
            return {}

    def _note_old(self, table: TableSchema, seen: Mapping[str, Steady], now_seen: Mapping[str, Steady]) -> None:
        """Keep for the next run which files are old; what is lost on the way only lets them stay longer."""
        if now_seen != seen:
            self._storage.delete([_old_files(table)])
        if now_seen and now_seen != seen:
            self._storage.create(_old_files(table), msgspec.json.encode(now_seen))

    def _removed_since(self, table: TableSchema, moment: datetime) -> set[str]:
        """Return the files that left the log after `moment`; the log keeps its entries at least as long."""
        names: set[str] = set()
        limit = moment.timestamp() * 1000
        for entry in self._storage.list(f"{table.name}/_delta_log"):
            if not entry.path.endswith(".json") or entry.modified < moment:
                continue
            for line in (self._storage.read(entry.path) or b"").splitlines():
                action = json.loads(line).get("remove")
                if action is not None and action.get("deletionTimestamp", limit) >= limit:
                    names.add(unquote(action["path"]))
        return names


def _steady() -> Steady:
    boot = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""
    return Steady(boot, time.clock_gettime(time.CLOCK_BOOTTIME) if boot else time.monotonic())


def _first_seen(known: Steady | None, now: Steady) -> Steady:
    """Return since when a file is known to be old: since now, where another machine or an earlier start says more."""
    if known is None or known.boot != now.boot or known.seconds > now.seconds:
        return now
    return known


def _old_files(table: TableSchema) -> str:
    return f"_metriage/old-{table.name}.json"


class _Parts:
    """Frames that come one after the other, to be written into one or more files.

    Parameters
    ----------
    parts : iterator of polars.DataFrame
        None of them empty.
    """

    def __init__(self, parts: Iterator[pl.DataFrame]) -> None:
        self._parts = parts
        self._next = next(parts, None)

    def more(self) -> bool:
        """Tell whether frames are left."""
        return self._next is not None

    def lazy(self, schema: pl.Schema, most: int, statistics: dict[str, Any]) -> pl.LazyFrame:
        """Return the next frames, about `most` rows; `statistics` is filled when they are written."""

        def source(
            _columns: list[str] | None, _predicate: pl.Expr | None, _rows: int | None, _batch: int | None
        ) -> Iterator[pl.DataFrame]:
            written = 0
            while self._next is not None and written < most:
                part, self._next = self._next, None
                _merge_statistics(statistics, file_statistics(part))
                written += part.height
                yield part
                del part  # before the next one is sorted
                self._next = next(self._parts, None)

        return register_io_source(source, schema=schema)


def _merge_statistics(total: dict[str, Any], part: Mapping[str, Any]) -> None:
    total["numRecords"] = total.get("numRecords", 0) + part["numRecords"]
    for name, choose in (("minValues", min), ("maxValues", max)):
        known = total.setdefault(name, {})
        for column, value in part[name].items():
            known[column] = choose(known[column], value) if column in known else value
    counts = total.setdefault("nullCount", {})
    for column, count in part["nullCount"].items():
        counts[column] = counts.get(column, 0) + count


_DELTA_TYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "double": pl.Float64(),
    "float": pl.Float32(),
    "long": pl.Int64(),
    "integer": pl.Int32(),
    "short": pl.Int16(),
    "byte": pl.Int8(),
    "boolean": pl.Boolean(),
    "timestamp": TIME,
    "date": pl.Date(),
    "binary": pl.Binary(),
}


def _schema(table: TableSchema, snapshot: DeltaTable) -> pl.Schema:
    """Return the columns of the files of a table as the table has them now."""
    return pl.Schema(
        {column.name: _polars(column.type) for column in snapshot.schema().fields if column.name != table.partition}
    )


def _polars(kind: object) -> pl.DataType:
    if isinstance(kind, ArrayType):
        return pl.List(_polars(kind.element_type))
    if isinstance(kind, PrimitiveType) and kind.type in _DELTA_TYPES:
        return _DELTA_TYPES[kind.type]
    raise LakeError(f"a column of the type {kind} cannot be compacted: another program made it")


def worth_merging(files: Sequence[DataFile], *, least: int, share: float, largest: int) -> list[DataFile]:
    """Return which of the files of a day are worth being merged, none where it does not pay.

    Parameters
    ----------
    files : sequence of DataFile
        The files of one partition.
    least : int
        Files it must be.
    share : float
        A file is rewritten only when the smaller ones together are at least this share of it.
    largest : int
        Size that files are to have at most [bytes]; those beyond half of it are left alone.
    """
    group: list[DataFile] = []
    total = 0
    for file in sorted(files, key=lambda file: (file.size, file.path)):
        if file.size >= _FULL * largest or (group and total < share * file.size):
            break
        group.append(file)
        total += file.size
    return group if len(group) >= least else []


def live_files(snapshot: DeltaTable, table: TableSchema) -> list[DataFile]:
    """Return the files that make a table at a version of it."""
    actions = pl.DataFrame(snapshot.get_add_actions(flatten=True))
    if actions.is_empty():
        return []
    day = f"partition.{table.partition}"
    wanted = {
        "path": pl.col("path"),
        "size": pl.col("size_bytes"),
        "rows": _known(actions, "num_records").fill_null(0),
        "partition": pl.col(day).cast(pl.String) if day in actions.columns else pl.lit(None, pl.String),
        "low": _known(actions, "min.received_at"),
        "high": _known(actions, "max.received_at"),
        "unknown": _known(actions, "null_count.received_at").fill_null(0),
    }
    return [DataFile(**row) for row in actions.select(**wanted).iter_rows(named=True)]


def removals_of(table: TableSchema, files: Sequence[DataFile], *, data_change: bool) -> list[RemoveAction]:
    """Return what takes files out of a table; `data_change`: whether their rows are not simply written elsewhere."""
    stamp = time.time_ns() // 1_000_000
    return [
        RemoveAction(
            file.path, data_change, stamp, file.size, {table.partition: file.partition} if table.partition else {}
        )
        for file in files
    ]


def _known(actions: pl.DataFrame, column: str) -> pl.Expr:
    return pl.col(column) if column in actions.columns else pl.lit(None)


def upkeep_counters(lake: Lake, actor: str) -> dict[str, int]:
    """Return how many readings `actor` removed from a lake since it began: ``expired`` and ``deduplicated``.

    The counters stand in the table's own log, in the commits that removed the rows, so they can neither be lost nor
    counted twice. Where several sites keep one lake, each counts what it removed itself; their sum is the lake's.
    """
    return {name: lake.position(READINGS, _counter(actor, name)) for name in ("expired", "deduplicated")}


def _counter(actor: str, name: str) -> str:
    return f"{actor}/compact.{name}"


def _content(table: TableSchema, snapshot: DeltaTable) -> list[str]:
    """Return the columns that make two rows the same, none where rows are not compared."""
    ignored = _NOT_CONTENT.get(table.name)
    if ignored is None:
        return []
    return [column.name for column in snapshot.schema().fields if column.name not in ignored]


def _ranges(rows: pl.LazyFrame, lead: str) -> Iterator[tuple[Any, Any]]:
    """Yield ranges [low, high] of the column that leads the order, each of a bounded number of rows.

    Rows without a value come in the first range, (None, None).
    """
    counts = rows.group_by(lead).agg(pl.len().alias("rows")).sort(lead).collect(engine="streaming")
    if counts[lead].null_count():
        yield None, None
        counts = counts.drop_nulls(lead)
    numbered = counts.with_columns(((pl.col("rows").cum_sum() - 1) // _BATCH_ROWS).alias("batch"))
    bounds = numbered.group_by("batch", maintain_order=True).agg(
        pl.col(lead).first().alias("low"), pl.col(lead).last().alias("high")
    )
    yield from bounds.select("low", "high").iter_rows()


def _between(lead: str, low: Any, high: Any) -> pl.Expr:
    if low is None:
        return pl.col(lead).is_null()
    return pl.col(lead).is_between(pl.lit(low), pl.lit(high))


def _sums(files: Sequence[DataFile]) -> tuple[int, int, int]:
    return len(files), sum(file.size for file in files), sum(file.rows for file in files)


def _tries() -> Iterator[int]:
    """Yield the tries of a commit, waiting a little longer before each one."""
    for number in range(_COMMIT_TRIES):
        if number:
            time.sleep(random.uniform(0, min(0.5, 0.01 * number)))
        yield number
    log.warning("commit given up: the table changes too often", tries=_COMMIT_TRIES)
