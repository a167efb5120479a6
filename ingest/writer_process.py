"""The lake writer as a process of its own, so that it never fights the receiver for the interpreter lock.

Protocol, one line each on standard input: first the settings as JSON, then ``drain`` (bring everything that waits into
the lake now) as often as wanted; the answer to ``drain`` is ``drained`` on standard output. End of input
(the receiver stopped or was killed) ends the process; what waits stays in the spool.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from ingest.lake_writer import LakeWriter
from ingest.log_format import configure_logging
from ingest.settings import WriterSettings
from lake.errors import LakeError, SpoolError

_POLL_S = 0.2
_LONGEST_RETRY_S = 60.0

log = structlog.get_logger(__name__)


class Commands:
    """Reads commands from a pipe without blocking the writer.

    Parameters
    ----------
    stream : BinaryIO
        The pipe.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._descriptor = stream.fileno()
        self._buffer = b""
        self._lines: list[str] = []
        self.ended = False

    def first(self) -> str:
        """Return the first line, however long it takes to come."""
        while not self._lines and not self.ended:
            self._lines += self.wait(_POLL_S)
        return self._lines.pop(0) if self._lines else ""

    def wait(self, timeout_s: float) -> list[str]:
        """Return the commands that came within `timeout_s`."""
        if self._lines:
            lines, self._lines = self._lines, []
            return lines
        readable, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not readable:
            return []
        data = os.read(self._descriptor, 65536)
        if not data:
            self.ended = True
        *complete, self._buffer = (self._buffer + data).split(b"\n")
        return [line.decode() for line in complete]


class WriterLoop:
    """Decides when a batch is due, and tries again what failed.

    Parameters
    ----------
    writer : LakeWriter
        Brings batches into the lake.
    settings : WriterSettings
        Commit interval and sizes.
    """

    def __init__(self, writer: LakeWriter, settings: WriterSettings) -> None:
        self._writer = writer
        self._ingest = settings.ingest
        self._waiting_since: float | None = None
        self._retry_at = 0.0
        self._retry_s = 1.0

    def run(self, commands: Commands) -> None:
        """Work until the commands end."""
        draining = False
        while not commands.ended:
            failed = time.monotonic() < self._retry_at
            draining = "drain" in commands.wait(0 if draining and not failed else _POLL_S) or draining
            if time.monotonic() < self._retry_at:
                continue
            try:
                draining = self._work(draining=draining)
            except (LakeError, SpoolError) as error:
                log.warning("lake not written, will try again", error=str(error), retry_s=self._retry_s)
                self._retry_at = time.monotonic() + self._retry_s
                self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)

    def _work(self, *, draining: bool) -> bool:
        """Bring one batch into the lake if one is due; return whether draining goes on."""
        pending = self._writer.pending()
        if pending and (draining or self._due(pending)):
            self._writer.step()
            self._retry_s = 1.0
            pending = self._writer.pending()
            self._waiting_since = time.monotonic() if pending else None
        if draining and not pending:
            print("drained", flush=True)
            return False
        return draining

    def _due(self, pending: int) -> bool:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        waited = time.monotonic() - self._waiting_since
        return pending >= self._ingest.commit_messages or waited >= self._ingest.commit_interval_s


def main() -> None:
    """Run the lake writer of the site named in the settings on standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; the receiver decides, and drains us
        signal.signal(number, signal.SIG_IGN)
    configure_logging()
    commands = Commands(sys.stdin.buffer)
    line = commands.first()
    if not line:  # the receiver was killed before it could tell
        return
    settings = msgspec.json.decode(line, type=WriterSettings)
    folder = Path(settings.site) / "spool"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "writer.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a predecessor may still be finishing its last batch
        writer = LakeWriter(settings)
        try:
            WriterLoop(writer, settings).run(commands)
        finally:
            writer.close()


if __name__ == "__main__":
    main()
