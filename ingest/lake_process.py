"""The lake writer's process, seen from the daemon: started, watched, started again, drained."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable

import msgspec
import structlog

from ingest.child_process import ChildProcess
from ingest.monitoring.vitals import WriterVitals
from ingest.settings import WriterSettings

_LOOK_S = 0.25
_PATIENCE_S = 120.0
_MOST_DEATHS = 3  # by its own decision, while what waits is brought into the lake at the end

log = structlog.get_logger(__name__)


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """Any event of the writer; what a later version adds is ignored."""

    event: str
    messages: int = 0
    readings: int = 0
    seconds: float = 0.0
    conflicts: int = 0
    hot: int = 0
    error: str = ""


class WriterProcess(ChildProcess):
    """The lake writer's process; started again when it dies.

    Parameters
    ----------
    settings : WriterSettings
        What it is told.
    vitals : WriterVitals, optional
        Where to note what it reports.
    on_hot : callable, optional
        Called, by a thread of its own, when a batch with hard codes is complete.
    """

    def __init__(
        self, settings: WriterSettings, vitals: WriterVitals | None = None, on_hot: Callable[[], None] = lambda: None
    ) -> None:
        self.vitals = vitals or WriterVitals()
        self._on_hot = on_hot
        self._drained = threading.Event()
        self._ready = threading.Event()
        self._conflicts_before = 0
        greeting = msgspec.json.encode(settings) + b"\n"
        super().__init__("lake writer", "ingest.writer_process", greeting, self.vitals, _PATIENCE_S)

    def _start(self) -> None:
        self._conflicts_before = self.vitals.conflicts
        super()._start()

    def hear(self, line: bytes) -> None:
        """Note what it reports."""
        if line == b"drained\n":
            self._drained.set()
        else:
            self._note(line)

    def _note(self, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line, type=_Event)
        except msgspec.DecodeError:  # a library printed something: of no use to us, and no reason to stop
            log.debug("the lake writer said something else", line=line[:200])
            return
        vitals = self.vitals
        if event.event == "committed":
            vitals.commits += 1
            vitals.last_commit_at = time.time()
            vitals.failure = None
            vitals.conflicts = self._conflicts_before + event.conflicts
            vitals.commit_s.observe(event.seconds)
            vitals.commit_messages.observe(event.messages)
            vitals.commit_readings.observe(event.readings)
            self.works()
            if event.hot:
                vitals.hot += event.hot
                self._on_hot()
        elif event.event == "ready":
            self._ready.set()
        elif event.event == "recovered":
            vitals.failure = None
        elif event.event == "failed":
            vitals.failures += 1
            vitals.failure = event.error

    def wait_ready(self, longest_s: float) -> bool:
        """Wait until the process has begun to look at the spool, but not longer than `longest_s`; tell whether it has.

        What comes in at once after a start, all that the broker kept meanwhile, is received faster when the process
        does not load its libraries beside it.
        """
        return self._ready.wait(longest_s)

    def _say_dead(self, why: str, restart_s: float) -> None:
        log.error("lake writer died, nothing is lost: the spool keeps it", error=why, restart_s=restart_s)

    def drain(self, wait: Callable[[], bool]) -> bool:
        """Have everything that waits brought into the lake.

        Parameters
        ----------
        wait : callable
            Called a few times a second; draining is given up when it returns False.

        Returns
        -------
        bool
            Whether the spool was emptied.
        """
        self._drained.clear()
        self._restart_at = time.monotonic()  # whoever waits does not wait for a pause to be over
        told: subprocess.Popen[bytes] | None = None
        deaths = 0
        while not self._drained.is_set():
            if self._process is not None and self._process is not told:
                told = self._process
                self.send(b"drain\n")
            if self._drained.wait(_LOOK_S):
                break
            if self._process is not None and (self._process.poll() or 0) > 0:
                deaths += 1
            if not wait() or deaths >= _MOST_DEATHS:  # one that ends by itself again and again will not empty it
                return False
            self.keep_alive()
        return True


class Patience:
    """Holds as long as the lake writer's position moves on now and then."""

    def __init__(self) -> None:
        self._position = -1
        self._until = 0.0

    def holds(self, position: int) -> bool:
        """Tell whether to go on waiting, now that the writer is at `position`."""
        if position != self._position:
            self._position = position
            self._until = time.monotonic() + _PATIENCE_S
        return time.monotonic() < self._until
