"""From the spool to the lake: one batch, one commit a table, each with the spool position in its transaction.

Order of a batch: what is about to become of it is written down in ``state.db`` (:class:`ingest.account.Plan`), then
``readings``, then ``gaps``, ``quarantine`` and ``error_codes``, then ``state.db`` is told that it is complete. A batch
with a hard code that is new of its meter is not to wait for more (:attr:`LakeWriter.hot_since`).

How a batch comes into the tables exactly once: :mod:`ingest.batch_store`.
"""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import structlog

from ingest.account import Plan, State
from ingest.batch import Batch
from ingest.batch_store import BatchStore, quarantine_rows
from ingest.collecting import Collector
from ingest.gap import Gap
from ingest.hot_codes import REMEMBERED_S, HotCodes
from ingest.local_time import LocalClock
from ingest.meters import NO_METERS, load_meters
from ingest.profiles.dialects import Dialects, SiteDialects
from ingest.settings import WriterSettings
from ingest.spool import Spool
from lake.errors import LakeError, SettingsError, SiteFolderError, SpoolError
from lake.failpoints import reach
from lake.schemas import ERROR_CODES, GAPS, QUARANTINE, TABLES, TIME
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
        self._meters = NO_METERS
        self._meters_failed = ""
        self._dialects = SiteDialects(site)
        self._checked = False
        self._hot = HotCodes(settings.hot)
        self.hot_since: float | None = None  # monotonic time at which a new hard code was seen in the open batch [s]
        self.hot_stored = 0  # hard codes of the last batch
        self._gap = 0  # number of the last gap of the spool that is in the lake
        self._spool = Spool(site / "spool")
        self._ahead_spool: Spool | None = None  # a connection of the thread that decodes ahead
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="decoding ahead")
        self._state = State(site / "spool")
        if not self._state.writer_id():
            self._state.name_writer(f"writer-{uuid.uuid4().hex[:12]}")
        self._name = self._state.writer_id()
        self._store = BatchStore(self._lake, self._state, self._name)
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

    def warm_up(self) -> None:
        """Do beforehand what the first batch would have to wait for; what cannot be done now, the batch will do."""
        self._look_at_meters()
        self._dialects.now(self._meters.makes).profile(None).normalises  # noqa: B018 - it is worked out once
        try:
            self._check()
            self._remember_codes()
        except LakeError as error:
            log.warning("the lake cannot be looked at yet", error=str(error))

    def _remember_codes(self) -> None:
        """Take note of the hard codes that the lake holds, so that after a restart they are nothing new."""
        if not self._hot:
            return
        since = datetime.fromtimestamp(self._clock() / 1e6, UTC) - timedelta(seconds=REMEMBERED_S)
        codes = self._lake.scan(ERROR_CODES, received_after=since).filter(self._hot.is_hard)
        self._hot.remember(codes.select("meter_id", "family").unique().collect(), time.monotonic())

    @property
    def conflicts(self) -> int:
        """How often another writer's commit forced a commit to be tried again."""
        return self._store.conflicts

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
        application = self._store.application(GAPS)
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
            self._be_quick()  # it may hold hard codes, and is complete as it is
            return False
        collector = self._opened.collector
        more = collector.collect(_PREPARE) >= _PREPARE
        self._look_for_hard_codes(collector)
        return more

    def _look_for_hard_codes(self, collector: Collector) -> None:
        """Note whether what was decoded since the last look carries hard codes that are new."""
        if not self._hot:
            return
        dialects = self._dialects.now(self._meters.makes)
        for readings in collector.builder.unseen():
            if self._hot.remember(self._hot.carried(readings, dialects), time.monotonic()):
                self._be_quick()

    def _be_quick(self) -> None:
        if self.hot_since is None:
            self.hot_since = time.monotonic()

    def _open(self) -> _Opened:
        """Return the next batch, still empty."""
        self._look_at_meters()
        after = self._state.position()
        begun, done = self._store.begun(after)
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
        self.hot_stored = 0
        after, begun, done, builder = opened.collector.after, opened.begun, opened.done, opened.collector.builder
        self._moment = opened.collector.moment
        opened.collector.collect()
        if builder.last == 0:
            if received <= after:
                return 0
            builder.first = after + 1  # acknowledged, and all of them gone
            builder.last = received if begun is None else begun.last
        batch = builder.build()
        dialects = self._dialects.now(self._meters.makes)
        batch.readings = dialects.apply(batch.readings)
        ahead = self._decode_ahead(opened.collector, batch.last) if received > batch.last else None
        try:
            plan = begun if begun is not None and done else self._store.store(batch, builder.tally, after, self._moment)
            self._finish(batch, plan, after, dialects)
            reach("writer.tables_done")
            collector = opened.collector
            registers = self._store.newer_registers(batch)
            self._state.complete(batch.last, plan.tally, collector.clock.state, registers, collector.memory)
        except (LakeError, SpoolError):
            if ahead is not None:
                ahead.exception()  # it follows a batch that is not there yet: wait for its end, and leave it
            raise
        reach("writer.accounted")
        self.hot_since = None
        self._opened = ahead.result() if ahead is not None else None
        return batch.last - after

    def _decode_ahead(self, collector: Collector, after: int) -> Future[_Opened | None]:
        """Decode the next batch in a thread while this one is stored: neither needs the interpreter for long."""
        self._look_at_meters()
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

    def _look_at_meters(self) -> None:
        """Take up what the registry and the file of keys say now; where they cannot be read, what they said before."""
        try:
            self._meters = load_meters(self._settings, self._meters)
            self._meters_failed = ""
        except (SettingsError, SiteFolderError, LakeError) as error:
            if str(error) != self._meters_failed:
                self._meters_failed = str(error)
                log.error("registry or keys cannot be read, they stay as they were", error=str(error))  # noqa: TRY400

    def _check(self) -> None:
        """Check the lake once, before anything is written to it."""
        if self._checked:
            return
        for table in TABLES.values():
            self._lake.repair(table)
        if self._lake.storage.options:  # a local file system links a name only once
            check_conditional_put(self._lake.storage)
        self._checked = True

    def _finish(self, batch: Batch, plan: Plan, after: int, dialects: Dialects) -> None:
        """Bring what else belongs to a batch into the lake, once its readings are there."""
        reach("writer.between_tables")
        missing = batch.last - after - batch.messages
        if missing:
            rows = _gap_rows([self._loss(batch, missing)])
            self._store.append(GAPS, rows, batch, application=f"{self._name}/spool_lost")
        self._store.append(QUARANTINE, quarantine_rows(batch, plan, self._name), batch)
        codes = self._store.store_codes(batch, plan, dialects.profile)
        hard = codes.filter(self._hot.is_hard)
        self._hot.remember(hard, time.monotonic())
        self.hot_stored = hard.height

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


def _gap_rows(gaps: Iterable[Gap]) -> pl.DataFrame:
    rows = [msgspec.to_builtins(gap) for gap in gaps]
    times = ("received_at", "since", "until")
    schema = {name: pl.Int64() if name in times else dtype for name, dtype in GAPS.polars.items()}
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col(*times).cast(TIME))
