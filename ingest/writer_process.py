"""The lake writer as a process of its own, so that it never fights the receiver for the interpreter lock.

Protocol, one line each on standard input: first the settings as JSON, then ``drain`` (bring everything that waits into
the lake now) as often as wanted; the answer to ``drain`` is ``drained`` on standard output. Between such answers stand
events, one JSON object a line (:class:`Committed`, :class:`Failed`, :class:`Recovered`), for whoever watches. End of
input (the receiver stopped or was killed) ends the process; what waits stays in the spool.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from ingest.account import OUTCOMES, State, Tally
from ingest.lake_writer import LakeWriter
from ingest.log_format import configure_logging, hide_lake_key
from ingest.replay import finish_replay
from ingest.settings import WriterSettings
from lake.errors import LakeError, SettingsError, SiteFolderError, SpoolError

_POLL_S = 0.1
_LONGEST_RETRY_S = 60.0

log = structlog.get_logger(__name__)


class Committed(msgspec.Struct, frozen=True, kw_only=True, tag="committed", tag_field="event"):
    """A batch is complete in every table and in the account.

    Parameters
    ----------
    messages, readings : int
        How many.
    outcomes : dict of str to int
        What became of its messages.
    seconds : float
        How long it took [s].
    conflicts : int
        How often another writer's commit forced a commit to be tried again, since this process started.
    hot : int
        Hard codes among its error codes.
    """

    messages: int
    readings: int
    outcomes: dict[str, int]
    seconds: float
    conflicts: int = 0
    hot: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed", tag_field="event"):
    """The lake could not be written; it will be tried again.

    Parameters
    ----------
    error : str
        Why.
    retry_s : float
        When it will be tried again [s].
    """

    error: str
    retry_s: float


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready", tag_field="event"):
    """The writer has begun."""


class Recovered(msgspec.Struct, frozen=True, kw_only=True, tag="recovered", tag_field="event"):
    """What failed at the last attempt works again."""


Event = Ready | Committed | Failed | Recovered


def tell(line: str) -> None:
    """Write one line for the receiver; where it is gone, the end of input says so too."""
    try:
        print(line, flush=True)
    except BrokenPipeError:  # whatever is printed later, also at exit, must go nowhere
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - os.devnull is a name, not a path
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


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
    account : callable
        Returns what became of everything so far.
    """

    def __init__(
        self, writer: LakeWriter, settings: WriterSettings, account: Callable[[], Tally] | None = None
    ) -> None:
        self._writer = writer
        self._ingest = settings.ingest
        self._account = account or Tally
        self._known = self._account()
        self._waiting_since: float | None = None
        self._retry_at = 0.0
        self._retry_s = 1.0
        self._failing = False
        self._more = False  # whether more waits to be decoded ahead

    def run(self, commands: Commands) -> None:
        """Work until the commands end."""
        draining = False
        while not commands.ended:
            failed = time.monotonic() < self._retry_at
            at_once = (draining or self._more) and not failed
            draining = "drain" in commands.wait(0 if at_once else _POLL_S) or draining
            if time.monotonic() < self._retry_at:
                continue
            try:
                draining = self._work(draining=draining)
                if self._failing:
                    self._failing = False
                    self._tell(Recovered())
            except (LakeError, SpoolError) as error:
                log.warning("lake not written, will try again", error=str(error), retry_s=self._retry_s)
                self._failing = True
                self._tell(Failed(error=str(error)[:1000], retry_s=self._retry_s))
                self._retry_at = time.monotonic() + self._retry_s
                self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)

    def _work(self, *, draining: bool) -> bool:
        """Bring one batch into the lake if one is due; return whether draining goes on."""
        self._writer.move_gaps()
        pending = self._writer.pending()
        if not pending:
            self._writer.move_gaps()  # a batch takes them along
        self._more = False
        if pending and (draining or self._due(pending) or self._hot_due()):
            self._step()
            self._retry_s = 1.0
            pending = self._writer.pending()
            self._waiting_since = time.monotonic() if pending else None
            self._more = pending > 0
        elif pending:
            self._more = self._writer.prepare()
        if draining and not pending:
            tell("drained")
            return False
        return draining

    def _step(self) -> None:
        """Bring one batch into the lake, and say what became of it."""
        start = time.monotonic()
        messages = self._writer.step()
        seconds = time.monotonic() - start
        if not messages:
            return
        before, self._known = self._known, self._account()
        outcomes = Counter(self._known.messages) - Counter(before.messages)
        readings = (Counter(self._known.readings) - Counter(before.readings)).total()
        log.info("batch committed", messages=messages, readings=readings, **_all(outcomes), seconds=round(seconds, 3))
        self._tell(
            Committed(
                messages=messages,
                readings=readings,
                outcomes=dict(outcomes),
                seconds=seconds,
                conflicts=int(getattr(self._writer, "conflicts", 0)),
                hot=self._writer.hot_stored,
            )
        )

    def _tell(self, event: Event) -> None:
        tell(msgspec.json.encode(event).decode())

    def _hot_due(self) -> bool:
        since = self._writer.hot_since
        return since is not None and time.monotonic() - since >= self._ingest.hot_commit_s

    def _due(self, pending: int) -> bool:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        waited = time.monotonic() - self._waiting_since
        return pending >= self._ingest.commit_messages or waited >= self._ingest.commit_interval_s


def _all(outcomes: Counter[str]) -> dict[str, int]:
    return {name: outcomes[name] for name in OUTCOMES}


def main() -> None:
    """Run the lake writer of the site named in the settings on standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; the receiver decides, and drains us
        signal.signal(number, signal.SIG_IGN)
    configure_logging()
    gc.set_threshold(50_000)  # decoding makes many objects and no cycles
    commands = Commands(sys.stdin.buffer)
    line = commands.first()
    if not line:  # the receiver was killed before it could tell
        return
    settings = msgspec.json.decode(line, type=WriterSettings)
    hide_lake_key(settings.lake, Path(settings.site))
    folder = Path(settings.site) / "spool"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "writer.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a predecessor may still be finishing its last batch
        try:
            finish_replay(settings)
            writer = LakeWriter(settings)
            writer.warm_up()
        except (LakeError, SettingsError, SiteFolderError, SpoolError) as error:
            log.error("lake writer cannot begin", error=str(error))  # noqa: TRY400 - told to an operator
            tell(msgspec.json.encode(Failed(error=str(error)[:1000], retry_s=0.0)).decode())
            sys.exit(1)
        tell(msgspec.json.encode(Ready()).decode())
        try:
            with State(folder, read_only=True) as state:
                WriterLoop(writer, settings, lambda: state.tally()[1]).run(commands)
        finally:
            writer.close()


if __name__ == "__main__":
    main()
