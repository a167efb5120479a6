"""A process beside the daemon: told things on its standard input, heard on its standard output, started again."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Self

import structlog

from ingest.monitoring.vitals import ProcessVitals

RESTART_S = 1.0
LONGEST_RESTART_S = 60.0
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


def passing() -> dict[str, str]:
    """Return the same for a process that ends with its work: what one step frees, the next one has at hand.

    To give memory back between two steps and to fetch it again takes an eighth of the processor time of a profile, and
    all of it goes with the process.
    """
    return frugal() | {"_RJEM_MALLOC_CONF": "narenas:2,dirty_decay_ms:10000,muzzy_decay_ms:10000"}


class ChildProcess:
    """A process that runs as long as the daemon does. End of its input tells it to finish what it is at, and to end.

    Parameters
    ----------
    name : str
        For the log.
    module : str
        What it runs.
    greeting : bytes
        The first it is told.
    vitals : ProcessVitals
        Where to note how it is.
    patience_s : float
        How long it may take to end before it is killed [s]; it loses nothing.
    """

    def __init__(self, name: str, module: str, greeting: bytes, vitals: ProcessVitals, patience_s: float) -> None:
        self._name = name
        self._module = module
        self._greeting = greeting
        self._patience_s = patience_s
        self._health = vitals
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._restart_at = 0.0
        self._restart_s = RESTART_S
        self._start()

    def hear(self, line: bytes) -> None:
        """Take a line that it said; called by a thread of its own."""
        raise NotImplementedError

    def works(self) -> None:
        """Note that it has done something: its next death is a new one."""
        self._restart_s = RESTART_S

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-m", self._module]

    def _start(self) -> None:
        try:
            process = subprocess.Popen(
                self._command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | frugal()
            )
        except OSError as error:  # no memory or no process to be had just now
            self._failed(f"the {self._name} cannot be started: {error}")
            return
        self._process = process
        self._health.alive, self._health.pid, self._health.failure = True, process.pid, None
        self._listener = threading.Thread(target=self._listen, args=(process.stdout,), name=self._name, daemon=True)
        self._listener.start()
        self.send(self._greeting)

    def send(self, line: bytes) -> None:
        """Tell it something."""
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):  # it died: `keep_alive` will see or has seen it
                process.stdin.write(line)
                process.stdin.flush()

    def _listen(self, stream: IO[bytes]) -> None:
        """Take what the process says, line by line, until it ends."""
        with contextlib.suppress(ValueError, OSError):  # the pipe was closed while we read
            while line := stream.readline(_LONGEST_LINE):
                self.hear(line)

    def keep_alive(self) -> None:
        """Start the process again if it has died."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            self._close_pipes()
            self._process = None
            said = f": {self._health.failure}" if self._health.failure else ""
            self._failed(f"the {self._name} ended with exit code {code}{said}")
        if self._process is None and time.monotonic() >= self._restart_at:
            self._health.restarts += 1
            self._start()

    def _failed(self, why: str) -> None:
        self._health.alive, self._health.pid, self._health.failure = False, None, why
        self._restart_at = time.monotonic() + self._restart_s
        self._say_dead(why, self._restart_s)
        self._restart_s = min(2 * self._restart_s, LONGEST_RESTART_S)

    def _say_dead(self, why: str, restart_s: float) -> None:
        log.error(f"{self._name} died, it is started again", error=why, restart_s=restart_s)

    def _close_pipes(self) -> None:
        process = self._process
        if self._listener is not None:
            self._listener.join(1.0)  # it has read to the end of what the process said, unless a child holds the pipe
        for pipe in (process.stdin, process.stdout) if process is not None else ():
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(self._patience_s)
        except subprocess.TimeoutExpired:  # a lake that does not answer; it may be killed at any moment
            log.error(f"{self._name} does not end and is killed, nothing is lost")  # noqa: TRY400
            process.kill()
            process.wait()
        self._health.alive = False
        self._close_pipes()
