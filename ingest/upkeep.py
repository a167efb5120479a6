"""The daemon's look around, once a second: the spool's limits, what the lake has, how far it is behind."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import structlog

from ingest.account import State
from ingest.gap import Gap
from ingest.message import Channel
from ingest.monitoring.vitals import HoldReason, SpoolVitals
from ingest.settings import WriterSettings
from ingest.spool import Spool
from lake.errors import SpoolError

# Forgetting takes the same lock as storing: many small steps keep an acknowledgement from waiting behind a large one.
_FORGET_AT_ONCE = 10_000
_FORGET_S = 0.5
_MARKS = 2_000

log = structlog.get_logger(__name__)


class Lag:
    """How long the oldest message has waited that the lake does not have; a clock that jumps does not disturb it."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque()

    def note(self, last: int, waited_s: float = 0.0) -> None:
        """Remember that everything up to position `last` has been here for `waited_s` at least."""
        if not self._marks or last > self._marks[-1][0]:
            self._marks.append((last, time.monotonic() - waited_s))
        if len(self._marks) > _MARKS:  # a long backlog is remembered more coarsely
            self._marks = deque(mark for index, mark in enumerate(self._marks) if index % 2 == 0 or index > _MARKS)

    def seconds(self, done: int) -> float:
        """Return the age of the oldest message behind position `done` [s], 0 where nothing waits."""
        while self._marks and self._marks[0][0] <= done:
            self._marks.popleft()
        return max(0.0, time.monotonic() - self._marks[0][1]) if self._marks else 0.0


class Upkeep:
    """Guards the spool's size and forgets what the lake has.

    Parameters
    ----------
    spool : Spool
        The spool.
    settings : WriterSettings
        Limits.
    vitals : SpoolVitals, optional
        Where to note what was seen.
    """

    def __init__(self, spool: Spool, settings: WriterSettings, vitals: SpoolVitals | None = None) -> None:
        self._spool = spool
        self._folder = Path(settings.site) / "spool"
        lake = settings.lake.url
        self._lake_folder = None if "://" in lake else Path(settings.site) / lake
        self._ingest = settings.ingest
        self.vitals = vitals or SpoolVitals()
        self._lag = Lag()
        self._done = 0
        self._forgotten: int | None = None
        self._failure = ""

    def store(self, channel: Channel, messages: Iterable[tuple[str, int | None, bytes]]) -> int:
        """Store a group of messages.

        Raises
        ------
        SpoolError
            Nothing was stored: the spool or the disk is full.
        """
        if self.vitals.full is not None and self.vitals.hold != "spool_error":
            raise SpoolError(self.vitals.full)
        try:
            last = self._spool.append(channel, messages)
        except SpoolError as error:
            self._hold("spool_error", str(error))
            raise
        if self.vitals.hold == "spool_error":
            self._hold(None, None)
        return last

    def _hold(self, reason: HoldReason | None, why: str | None) -> None:
        self.vitals.hold, self.vitals.full = reason, why

    def add_gap(self, gap: Gap) -> int:
        """Store a gap until the lake has it."""
        number = self._spool.add_gap(gap)
        self.vitals.gaps += 1
        return number

    def session_seen_at(self, broker: str) -> int | None:
        """Return when the session with `broker` was last known to live [µs since 1970 UTC]."""
        return self._spool.session_seen_at(broker)

    def see_session(self, broker: str, seen_at: int) -> None:
        """Record that the session with `broker` lives at `seen_at` [µs since 1970 UTC]."""
        self._spool.see_session(broker, seen_at)

    def connecting(self, broker: str) -> bool:
        """Record that `broker` is about to be asked for the session; return whether an earlier answer is missing."""
        return self._spool.connecting(broker)

    def not_connected(self, broker: str) -> None:
        """Record that `broker` was not asked for the session after all, or refused it."""
        self._spool.not_connected(broker)

    def has_room(self, last: int, ahead: int) -> bool:
        """Tell whether more may be stored now that `last` is the newest position, `ahead` of the lake at most.

        Raises
        ------
        SpoolError
            Waiting for the lake cannot make room.
        """
        full = self.vitals.full
        if full is not None and self._done >= last:
            raise SpoolError(full)
        return full is None and last - self._done <= ahead

    def run(self) -> int:
        """Do what is due; return the lake writer's position."""
        try:
            self._look()
            if self._failure:
                log.info("the spool can be read again")
                self._failure = ""
        except (SpoolError, OSError) as error:  # the next second tries again; what was seen last still stands
            if str(error) != self._failure:
                self._failure = str(error)
                log.error("the spool cannot be looked at", error=self._failure)  # noqa: TRY400 - no fault of the code
        return self._done

    def _look(self) -> None:
        self._account()
        self._forget()
        vitals = self.vitals
        vitals.free_bytes = shutil.disk_usage(self._folder).free
        vitals.bytes = self._spool.size_bytes()
        reason, why = self._limit()
        if reason is not None or vitals.hold != "spool_error":
            self._hold(reason, why)
        if self._lake_folder is not None:
            with contextlib.suppress(FileNotFoundError):  # the writer makes it with the first table
                vitals.lake_free_bytes = shutil.disk_usage(self._lake_folder).free

    def _limit(self) -> tuple[HoldReason | None, str | None]:
        free, size = self.vitals.free_bytes, self.vitals.bytes
        if free < self._ingest.min_free_bytes:
            least = self._ingest.min_free_bytes
            return "disk_full", f"{free} bytes free on the disk, below ingest.min_free_bytes = {least}"
        if size > self._ingest.spool_limit_bytes:
            most = self._ingest.spool_limit_bytes
            return "spool_full", f"the spool holds {size} bytes, above ingest.spool_limit_bytes = {most}"
        return None, None

    def _account(self) -> None:
        """Look up how far the lake is, and what became of everything up to there."""
        vitals = self.vitals
        first = vitals.received == 0
        try:
            with State(self._folder, read_only=True) as state:
                if state.position() != self._done or first:
                    self._done, vitals.tally = state.tally()
        except SpoolError:
            if self._done:  # otherwise the lake writer has just begun, and makes that file now
                raise
        vitals.received = self._spool.last_position()
        vitals.waiting = max(0, vitals.received - self._done)
        self._lag.note(vitals.received, self._age_of_backlog() if first and vitals.waiting else 0.0)
        vitals.lag_s = self._lag.seconds(self._done)

    def _age_of_backlog(self) -> float:
        """Return how long the oldest message of an earlier run waits by the wall clock [s]."""
        oldest = self._spool.oldest_received(self._done)
        return max(0.0, time.time() - oldest / 1e6) if oldest is not None else 0.0

    def _forget(self) -> None:
        if self._forgotten is None:
            first = self._spool.read(0, limit=1, limit_bytes=1)
            self._forgotten = first[0].position - 1 if first else self._done
        until = time.monotonic() + _FORGET_S
        while self._forgotten < self._done and time.monotonic() < until:
            upto = min(self._done, self._forgotten + _FORGET_AT_ONCE)
            try:
                self._spool.forget(upto)
            except SpoolError as error:  # a full disk: the next second tries again, nothing is lost
                log.debug("the spool is not trimmed", error=str(error))
                return
            self._forgotten = upto
