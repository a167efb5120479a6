"""The lake writer's process, seen from the daemon: started, watched, started again, drained."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO

import msgspec
import structlog

from ingest.monitoring.vitals import WriterVitals
from ingest.settings import WriterSettings

_LOOK_S = 0.25
_RESTART_S = 1.0
_LONGEST_RESTART_S = 60.0
_PATIENCE_S = 120.0
_MOST_DEATHS = 3  # by its own decision, while what waits is brought into the lake at the end
_LONGEST_LINE = 65_536

log = structlog.get_logger(__name__)


def frugal() -> dict[str, str]:
    """Return variables of the environment that keep a process small and leave processors to broker and receiver.

    Batches come and go: what the allocators of Polars (jemalloc), Arrow and C keep of the last one would be added to
    the next one. The writer has two threads of its own, each of which may use Polars.
    """
    cores = len(os.sched_getaffinity(0))
    ours = {
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        "POLARS_MAX_THREADS": str(max(1, cores // 2)),
    }
    wanted = {name: os.environ.get(name, value) for name, value in ours.items()}
    # Polars sets this one itself wherever it is imported, so what stands there says nothing of what anybody wants.
    return wanted | {"_RJEM_MALLOC_CONF": "narenas:2,dirty_decay_ms:200,muzzy_decay_ms:0"}


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """Any event of the writer; what a later version adds is ignored."""

    event: str
    messages: int = 0
    readings: int = 0
    seconds: float = 0.0
    conflicts: int = 0
    hot: int = 0
    error: str = ""


class WriterProcess(contextlib.AbstractContextManager["WriterProcess"]):
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
        self._settings = settings
        self._on_hot = on_hot
        self.vitals = vitals or WriterVitals()
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._drained = threading.Event()
        self._ready = threading.Event()
        self._restart_at = 0.0
        self._restart_s = _RESTART_S
        self._conflicts_before = 0
        self._start()

    def _start(self) -> None:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "ingest.writer_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | frugal(),
            )
        except OSError as error:  # no memory or no process to be had just now
            self._failed(f"the lake writer cannot be started: {error}")
            return
        self._process = process
        self.vitals.alive, self.vitals.pid, self.vitals.failure = True, process.pid, None
        self._conflicts_before = self.vitals.conflicts
        self._listener = threading.Thread(target=self._listen, args=(process.stdout,), name="lake writer", daemon=True)
        self._listener.start()
        self._send(msgspec.json.encode(self._settings) + b"\n")

    def _send(self, line: bytes) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it died: `keep_alive` will see and say so
                process.stdin.write(line)
                process.stdin.flush()

    def _listen(self, stream: IO[bytes]) -> None:
        """Take what the process says, line by line, until it ends."""
        with contextlib.suppress(ValueError, OSError):  # the pipe was closed while we read
            while line := stream.readline(_LONGEST_LINE):
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
            self._restart_s = _RESTART_S  # it works: the next death is a new one
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

    def keep_alive(self) -> None:
        """Start the process again if it has died."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            self._close_pipes()
            self._process = None
            said = f": {self.vitals.failure}" if self.vitals.failure else ""
            self._failed(f"the lake writer ended with exit code {code}{said}")
        if self._process is None and time.monotonic() >= self._restart_at:
            self.vitals.restarts += 1
            self._start()

    def _failed(self, why: str) -> None:
        self.vitals.alive, self.vitals.pid, self.vitals.failure = False, None, why
        self._restart_at = time.monotonic() + self._restart_s
        log.error("lake writer died, nothing is lost: the spool keeps it", error=why, restart_s=self._restart_s)
        self._restart_s = min(2 * self._restart_s, _LONGEST_RESTART_S)

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
                self._send(b"drain\n")
            if self._drained.wait(_LOOK_S):
                break
            if self._process is not None and (self._process.poll() or 0) > 0:
                deaths += 1
            if not wait() or deaths >= _MOST_DEATHS:  # one that ends by itself again and again will not empty it
                return False
            self.keep_alive()
        return True

    def _close_pipes(self) -> None:
        process = self._process
        if self._listener is not None:
            self._listener.join(1.0)  # it has read to the end of what the process said, unless a child holds the pipe
        for pipe in (process.stdin, process.stdout) if process is not None else ():
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # end of input: it finishes the batch it is at and stops
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:  # a lake that does not answer; a writer may be killed at any moment
            log.error("lake writer does not end and is killed, nothing is lost: the spool keeps it")  # noqa: TRY400
            process.kill()
            process.wait()
        self.vitals.alive = False
        self._close_pipes()


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
