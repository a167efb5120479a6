"""From the spool to the lake: one batch, one commit a table, each with the spool position in its transaction.

Order of a batch: what is about to become of it is written down in ``state.db`` (:class:`ingest.account.Plan`), then
``readings``, then ``gaps``, ``quarantine`` and ``error_codes``, then ``state.db`` is told that it is complete.

Which readings are new is decided by what the lake holds, and other writers write it too. So the readings are committed
only as the very next version after the one they were compared with; where somebody else was faster they are compared
with what he brought, and only if that changes the outcome they are written again. The other tables take rows of
several writers in any order; what goes into ``error_codes`` follows from the readings that are in the lake by then.

After a crash the plan tells what was decided, and the position in ``readings`` whether it was done. If so, the batch is
decoded again, with the clock of then, and finished: tables that have it already skip it. If not, it begins anew.
"""

from __future__ import annotations

import copy
import random
import time
import uuid
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import structlog
from deltalake.transaction import AddAction

from ingest.account import Plan, State, Tally
from ingest.batch import (
    Batch,
    count_outcomes,
    error_code_rows,
    flag,
    newest_registers,
)
from ingest.collecting import Collector
from ingest.duplicates import DuplicateIndex
from ingest.gap import Gap
from ingest.local_time import LocalClock
from ingest.meters import load_meters
from ingest.settings import WriterSettings
from ingest.spool import Spool
from ingest.vendor_profile import VendorProfile, shipped_profile
from lake.errors import LakeError, SpoolError, VersionConflictError
from lake.failpoints import reach
from lake.schemas import ERROR_CODES, GAPS, QUARANTINE, READINGS, TABLES, TIME, TableSchema
from lake.storage import check_conditional_put, open_storage
from lake.tables import Lake, Position

_PREPARE = 10_000  # messages decoded ahead at once
_CONFLICT_TRIES = 50
_LONGEST_PAUSE_S = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A batch on its way: what is decoded of it, and what an earlier attempt decided and did."""

    collector: Collector
    begun: Plan | None
    done: bool


class LakeWriter:
    """Moves messages from the spool of a site to its lake.

    Parameters
    ----------
    settings : WriterSettings
        Site folder, codecs and commit sizes.
    now : callable
        The clock [µs since 1970 UTC].
    """

    def __init__(self, settings: WriterSettings, now: Callable[[], int] | None = None) -> None:
        site = Path(settings.site)
        self._settings = settings
        self._clock = now or (lambda: time.time_ns() // 1000)
        self._opened: _Opened | None = None
        self._moment = 0  # at which the batch was decoded
        self._lake = Lake(open_storage(settings.lake, site))
        self._duplicates = DuplicateIndex(self._lake)
        self._meters = load_meters(settings)
        self._checked = False
        self._gap = 0  # number of the last gap of the spool that is in the lake
        self.conflicts = 0
        self._spool = Spool(site / "spool")
        self._ahead_spool: Spool | None = None  # a connection of the thread that decodes ahead
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="decoding ahead")
        self._state = State(site / "spool")
        if not self._state.writer_id():
            self._state.name_writer(f"writer-{uuid.uuid4().hex[:12]}")
        self._name = self._state.writer_id()
        if self._spool.last_position() < self._state.position():
            self.close()
            raise SpoolError(
                f"{site}/spool: state.db has come further than spool.db, which was replaced or restored alone; "
                "restore both from the same backup, or move both away"
            )

    def close(self) -> None:
        """Close the databases."""
        self._ahead.shutdown()
        if self._ahead_spool is not None:
            self._ahead_spool.close()
        self._spool.close()
        self._state.close()

    def pending(self) -> int:
        """Return how many messages wait."""
        return self._spool.last_position() - self._state.position()

    def move_gaps(self) -> int:
        """Bring the gaps that the receiver noticed into the lake, and return how many; cheap where there are none.

        Raises
        ------
        LakeError, SpoolError
            Nothing is lost: it can be tried again.
        """
        gaps = self._spool.gaps(self._gap)
        if not gaps:
            return 0
        self._check()
        application = self._application(GAPS)
        committed = self._lake.position(GAPS, application)
        fresh = [(number, gap) for number, gap in gaps if number > committed]
        last = gaps[-1][0]
        if fresh:
            self._lake.append(GAPS, _gap_rows(gap for _, gap in fresh), positions=[Position(application, last)])
        else:
            self._lake.sync(GAPS)  # by a predecessor, perhaps cut short
        self._gap = last
        return len(fresh)

    def prepare(self) -> bool:
        """Decode what waits for the next batch, a little at a time; return whether there may be more.

        Nothing of it is in the lake before :meth:`step`, which then has less to do.

        Raises
        ------
        LakeError, SpoolError
            It can be tried again.
        """
        if self._opened is None:
            if not self.pending():
                return False
            self._opened = self._open()
        if self._opened.begun is not None:
            return False  # it is complete as it is
        return self._opened.collector.collect(_PREPARE) >= _PREPARE

    def _open(self) -> _Opened:
        """Return the next batch, still empty."""
        after = self._state.position()
        begun, done = self._begun(after)
        collector = Collector(
            self._spool,
            self._settings,
            after=after,
            clock=LocalClock(self._state.clock_state()),
            moment=self._clock() if begun is None else begun.now,
            until=None if begun is None else begun.last,
            meters=self._meters,
            memory=self._state.memory(),
        )
        return _Opened(collector, begun, done)

    def step(self) -> int:
        """Bring the next messages into the lake, as many as make one batch.

        Returns
        -------
        int
            Messages of the batch; 0 where none was waiting.

        Raises
        ------
        LakeError, SpoolError
            Nothing is lost: the same step can be tried again.
        """
        self._check()
        self.move_gaps()
        received = self._spool.last_position()
        opened = self._opened or self._open()
        self._opened = None  # after a failure the batch is decoded anew
        after, begun, done, builder = opened.collector.after, opened.begun, opened.done, opened.collector.builder
        self._moment = opened.collector.moment
        opened.collector.collect()
        if builder.last == 0:
            if received <= after:
                return 0
            builder.first = after + 1  # acknowledged, and all of them gone
            builder.last = received if begun is None else begun.last
        batch = builder.build()
        ahead = self._decode_ahead(opened.collector, batch.last) if received > batch.last else None
        try:
            plan = begun if begun is not None and done else self._store(batch, builder.tally, after)
            self._finish(batch, plan, after)
            reach("writer.tables_done")
            collector = opened.collector
            registers = newest_registers(self._newer(batch))
            self._state.complete(batch.last, plan.tally, collector.clock.state, registers, collector.memory)
        except (LakeError, SpoolError):
            if ahead is not None:
                ahead.exception()  # it follows a batch that is not there yet: wait for its end, and leave it
            raise
        reach("writer.accounted")
        self._opened = ahead.result() if ahead is not None else None
        return batch.last - after

    def _decode_ahead(self, collector: Collector, after: int) -> Future[_Opened | None]:
        """Decode the next batch in a thread while this one is stored: neither needs the interpreter for long."""
        clock = LocalClock(copy.deepcopy(collector.clock.state))
        memory = copy.deepcopy(collector.memory)
        if self._ahead_spool is None:
            self._ahead_spool = Spool(self._spool.folder, read_only=True)
        ahead = Collector(
            self._ahead_spool, self._settings, after=after, clock=clock, moment=self._clock(), meters=self._meters,
            memory=memory,
        )  # fmt: skip

        def decode() -> _Opened | None:
            try:
                while ahead.collect(_PREPARE) >= _PREPARE:
                    pass
            except SpoolError:  # the next step meets it again, and says so
                return None
            return _Opened(ahead, None, done=False) if ahead.builder.messages else None

        return self._ahead.submit(decode)

    def _check(self) -> None:
        """Check the lake once, before anything is written to it."""
        if self._checked:
            return
        for table in TABLES.values():
            self._lake.repair(table)
        if self._lake.storage.options:  # a local file system links a name only once
            check_conditional_put(self._lake.storage)
        self._checked = True

    def _begun(self, after: int) -> tuple[Plan | None, bool]:
        """Return the plan that a crash or a failure left, if it still binds us, and whether its readings are stored."""
        plan = self._state.plan()
        committed = self._lake.position(READINGS, self._application(READINGS))
        if plan is None or plan.first != after + 1:
            plan = None
        if committed > after and (plan is None or committed != plan.last):
            raise LakeError(
                f"readings are committed up to position {committed}, the account stands at {after} and knows nothing "
                "of it: restore spool/ and the lake from the same backup"
            )
        if plan is None:
            return None, False
        if committed == plan.last:
            self._lake.sync(READINGS)
            log.info("batch recovered", first=plan.first, last=plan.last)
            return plan, True
        if plan.version is None:
            return plan, True
        # As long as no other commit has taken its place, a commit whose outcome the store did not tell may yet come to
        # be: what is tried now must be the same batch.
        return (plan, False) if self._lake.version(READINGS) == plan.version else (None, False)

    def _newer(self, batch: Batch) -> pl.DataFrame:
        """Return the readings of `batch` that are newer than the newest register known of their meter and source."""
        known = pl.DataFrame(
            [(meter, source, ts) for meter, source, ts, _ in self._registers(batch)],
            schema={"meter_id": pl.String, "source": pl.String, "known": pl.Int64},
            orient="row",
        )
        joined = batch.readings.join(known, on=["meter_id", "source"], how="left", maintain_order="left")
        return joined.filter(pl.col("known").is_null() | (pl.col("ts").cast(pl.Int64) > pl.col("known")))

    def _registers(self, batch: Batch) -> list[tuple[str, str, int, float]]:
        return self._state.registers(batch.readings["meter_id"].unique().to_list())

    def _store(self, batch: Batch, tally: Tally, after: int) -> Plan:
        """Commit the readings of `batch` that are new, and return what was decided."""
        written: list[AddAction] = []
        outcome = pl.DataFrame()
        for attempt in range(_CONFLICT_TRIES):
            version = self._lake.create(READINGS) if batch.readings.height else None
            begun = self._state.plan()
            if begun is not None and self._lake.position(READINGS, self._application(READINGS)) == batch.last:
                return begun  # a commit whose outcome the store had not told came to be there meanwhile
            classified = self._duplicates.classify(batch.readings)
            if attempt == 0 or not outcome.equals(classified.select("duplicate", "conflict")):
                outcome = classified.select("duplicate", "conflict")
                self._lake.discard(READINGS, [action.path for action in written])
                written = self._write(batch, classified)
            plan = self._plan(batch, tally, after, classified, version if written else None)
            del classified
            self._state.begin(plan)
            if plan.version is None:
                return plan
            try:
                self._lake.commit(
                    READINGS,
                    written,
                    positions=[Position(self._application(READINGS), batch.last)],
                    metadata=_metadata(batch),
                    expect_version=version,
                )
            except VersionConflictError:
                self.conflicts += 1
                log.info("another writer was faster", table=READINGS.name, version=version, conflicts=self.conflicts)
                # Waiting at random, and longer each time, lets one of many writers through.
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.01 * 2**attempt)))
                continue
            return plan
        self._lake.discard(READINGS, [action.path for action in written])
        raise LakeError(f"readings: {_CONFLICT_TRIES} times another writer was faster")

    def _write(self, batch: Batch, classified: pl.DataFrame) -> list[AddAction]:
        fresh = classified.filter(~pl.col("duplicate")) if classified["duplicate"].any() else classified
        if fresh.is_empty():
            return []
        stored = flag(fresh.drop("duplicate"), self._registers(batch)).drop("position")
        return self._lake.write(READINGS, stored)

    def _plan(self, batch: Batch, tally: Tally, after: int, classified: pl.DataFrame, version: int | None) -> Plan:
        tally = copy.deepcopy(tally)
        count_outcomes(tally, batch, classified)
        duplicates = zlib.compress(np.packbits(classified["duplicate"].to_numpy()).tobytes(), 1)
        return Plan(
            first=after + 1, last=batch.last, now=self._moment, version=version, tally=tally, duplicates=duplicates
        )

    def _finish(self, batch: Batch, plan: Plan, after: int) -> None:
        """Bring what else belongs to a batch into the lake, once its readings are there."""
        reach("writer.between_tables")
        missing = batch.last - after - batch.messages
        if missing:
            rows = _gap_rows([self._loss(batch, missing)])
            self._append(GAPS, rows, batch, application=f"{self._name}/spool_lost")
        self._append(QUARANTINE, batch.quarantine.drop("position"), batch)
        bits = np.unpackbits(np.frombuffer(zlib.decompress(plan.duplicates), np.uint8))
        stored = batch.readings
        if bits.size >= stored.height:
            stored = stored.filter(~pl.Series(bits[: stored.height].astype(bool)))
        else:  # the codecs of the site were changed between a crash and its recovery
            log.warning("batch decodes to more readings than before", first=plan.first, last=plan.last)
        rows = pl.DataFrame(
            error_code_rows(stored, self._profile_of), schema={**ERROR_CODES.polars, "position": pl.Int64()}
        )
        self._append(ERROR_CODES, rows.drop("position"), batch)

    def _loss(self, batch: Batch, missing: int) -> Gap:
        """Return the gap of acknowledged messages that are no longer in the spool."""
        times = [last for last, _ in self._state.tally()[1].sources.values() if last is not None]
        received = batch.readings["received_at"].drop_nulls().cast(pl.Int64)
        until = received.max() if received.len() else self._moment
        assert isinstance(until, int)  # noqa: S101 - of a column of integers
        return Gap(
            kind="spool_lost",
            received_at=self._moment,
            source="",
            broker="",
            topics=(),
            since=min(max(times, default=until), until),
            until=until,
            messages=missing,
            detail=f"{missing} acknowledged messages up to position {batch.last} are no longer in the spool",
        )

    def _append(self, table: TableSchema, rows: pl.DataFrame, batch: Batch, application: str | None = None) -> None:
        if rows.is_empty():
            return
        application = application or self._application(table)
        if self._lake.position(table, application) >= batch.last:
            self._lake.sync(table)  # an earlier attempt was cut short, perhaps before it could
            return
        self._lake.append(table, rows, positions=[Position(application, batch.last)], metadata=_metadata(batch))
        reach("writer.between_tables")

    def _application(self, table: TableSchema) -> str:
        return f"{self._name}/{table.name}"

    def _profile_of(self, _meter_id: str) -> VendorProfile:
        return shipped_profile("generic")


def _metadata(batch: Batch) -> dict[str, str]:
    return {"metriage.first": str(batch.first), "metriage.last": str(batch.last)}


def _gap_rows(gaps: Iterable[Gap]) -> pl.DataFrame:
    rows = [msgspec.to_builtins(gap) for gap in gaps]
    times = ("received_at", "since", "until")
    schema = {name: pl.Int64() if name in times else dtype for name, dtype in GAPS.polars.items()}
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col(*times).cast(TIME))
