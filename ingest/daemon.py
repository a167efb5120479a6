"""The ingest daemon: receivers in this process, the lake writer in another, the spool between them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import msgspec
import structlog

from ingest.account import State
from ingest.files import FileSource
from ingest.message import Channel
from ingest.settings import BrokerSettings, WriterSettings
from ingest.spool import Spool
from ingest.subscriber import Subscriber, check_credentials
from lake.errors import BrokerError, LakeError, SpoolError

_UPKEEP_S = 1.0
_FORGET_AT_ONCE = 100_000
_RESTART_S = 1.0
_LONGEST_RESTART_S = 60.0
_FEED_GROUP = 5_000
_FEED_AHEAD = 400_000
_PATIENCE_S = 120.0
_GIVEN_UP = (
    f"the lake has taken nothing for {_PATIENCE_S:.0f} s (the log says why); what waits stays in the spool, and the "
    "next `metriage ingest` brings it into the lake"
)

log = structlog.get_logger(__name__)


class WriterProcess(contextlib.AbstractContextManager["WriterProcess"]):
    """The lake writer's process; started again when it dies.

    Parameters
    ----------
    settings : WriterSettings
        What it is told.
    """

    def __init__(self, settings: WriterSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._restart_at = 0.0
        self._restart_s = _RESTART_S
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ingest.writer_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._send(msgspec.json.encode(self._settings) + b"\n")

    def _send(self, line: bytes) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it died: `keep_alive` will see and say so
                process.stdin.write(line)
                process.stdin.flush()

    def keep_alive(self) -> None:
        """Start the process again if it has died."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            self._close_pipes()
            self._process = None
            self._restart_at = time.monotonic() + self._restart_s
            log.error(
                "lake writer died, nothing is lost: the spool keeps it", exit_code=code, restart_s=self._restart_s
            )
            self._restart_s = min(2 * self._restart_s, _LONGEST_RESTART_S)
        if self._process is None and time.monotonic() >= self._restart_at:
            self._start()

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
        answer = threading.Event()
        while not answer.is_set():
            process = self._process
            if process is not None and process.poll() is None:
                self._send(b"drain\n")
                threading.Thread(target=_await_answer, args=(process, answer), daemon=True).start()
            while not answer.wait(_UPKEEP_S / 4):
                if not wait():
                    return False
                if process is None or process.poll() is not None:
                    self.keep_alive()
                    break
        return True

    def _close_pipes(self) -> None:
        process = self._process
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
        process.wait()
        self._close_pipes()


def _await_answer(process: subprocess.Popen[bytes], answer: threading.Event) -> None:
    if process.stdout is not None:
        with contextlib.suppress(ValueError):  # the pipe was closed while we read
            if process.stdout.readline():
                answer.set()


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


class Upkeep:
    """Guards the spool's size and forgets what the lake has.

    Parameters
    ----------
    spool : Spool
        The spool.
    settings : WriterSettings
        Limits.
    """

    def __init__(self, spool: Spool, settings: WriterSettings) -> None:
        self._spool = spool
        self._folder = Path(settings.site) / "spool"
        self._ingest = settings.ingest
        self._full: str | None = None
        self._done = 0
        self._forgotten = 0

    def store(self, channel: Channel, messages: Iterable[tuple[str, int | None, bytes]]) -> int:
        """Store a group of messages.

        Raises
        ------
        SpoolError
            Nothing was stored: the spool or the disk is full.
        """
        if self._full is not None:
            raise SpoolError(self._full)
        return self._spool.append(channel, messages)

    def has_room(self, last: int, ahead: int) -> bool:
        """Tell whether more may be stored now that `last` is the newest position, `ahead` of the lake at most.

        Raises
        ------
        SpoolError
            Waiting for the lake cannot make room.
        """
        if self._full is not None and self._done >= last:
            raise SpoolError(self._full)
        return self._full is None and last - self._done <= ahead

    def run(self) -> int:
        """Do what is due; return the lake writer's position."""
        position = self._done = self.position()
        if position > self._forgotten:
            self._forgotten = min(position, self._forgotten + _FORGET_AT_ONCE) if self._forgotten else position
            with contextlib.suppress(SpoolError):  # a full disk: the next second tries again, nothing is lost
                self._spool.forget(self._forgotten)
        free = shutil.disk_usage(self._folder).free
        size = self._spool.size_bytes()
        self._full = None
        if free < self._ingest.min_free_bytes:
            self._full = f"{free} bytes free on the disk, below ingest.min_free_bytes = {self._ingest.min_free_bytes}"
        elif size > self._ingest.spool_limit_bytes:
            self._full = (
                f"the spool holds {size} bytes, above ingest.spool_limit_bytes = {self._ingest.spool_limit_bytes}"
            )
        return position

    def position(self) -> int:
        """Return the lake writer's position, 0 before it has one."""
        try:
            with State(self._folder, read_only=True) as state:
                return state.position()
        except SpoolError:
            return 0


def run_daemon(brokers: Sequence[BrokerSettings], settings: WriterSettings, stop: threading.Event) -> None:
    """Receive from all brokers until `stop` is set, then bring what waits into the lake.

    Parameters
    ----------
    brokers : sequence of BrokerSettings
        One receiving thread each.
    settings : WriterSettings
        Site, codecs and limits.
    stop : threading.Event
        Set by a signal.

    Raises
    ------
    BrokerError
        A receiving thread died of an error of ours.
    LakeError
        The lake did not take what waited; it stays in the spool.
    SettingsError
        A broker's password or certificates cannot be read.
    """
    site = Path(settings.site)
    for broker in brokers:
        check_credentials(broker, site)
    with Spool(site / "spool") as spool, WriterProcess(settings) as writer:
        upkeep = Upkeep(spool, settings)
        receivers = [
            threading.Thread(target=Subscriber(broker, site, upkeep.store).run, args=(stop,), name=broker.client_id)
            for broker in brokers
        ]
        upkeep.run()
        for receiver in receivers:
            receiver.start()
        died = False
        while not stop.wait(_UPKEEP_S):
            upkeep.run()
            writer.keep_alive()
            if not all(receiver.is_alive() for receiver in receivers):
                died = True
                stop.set()
        for receiver in receivers:
            receiver.join()
        log.info("stopping: bringing what waits into the lake")
        patience = Patience()
        drained = writer.drain(lambda: patience.holds(upkeep.run()))
        upkeep.run()
        if died:
            raise BrokerError("a receiving thread ended unexpectedly; its traceback is in the log above")
        if not drained:
            raise LakeError(_GIVEN_UP)


def feed_files(sources: Sequence[FileSource], settings: WriterSettings, progress: Callable[[int, int], None]) -> None:
    """Bring files into the lake through the same spool, decoders and writer as messages of a broker.

    Parameters
    ----------
    sources : sequence of FileSource
        Checked files.
    settings : WriterSettings
        Site, codecs and limits.
    progress : callable
        Told how many messages were read and how many are in the lake.

    Raises
    ------
    SpoolError
        The disk or the spool is full.
    LakeError
        The lake takes nothing; what was read so far waits in the spool.
    """
    with Spool(Path(settings.site) / "spool") as spool, WriterProcess(settings) as writer:
        upkeep = Upkeep(spool, settings)
        patience = Patience()
        before = last = spool.last_position()
        read = 0

        def advancing() -> bool:
            done = upkeep.run()
            progress(read, max(0, done - before))
            return patience.holds(done)

        advancing()
        for source in sources:
            for group in _groups(source.messages()):
                while not upkeep.has_room(last, _FEED_AHEAD):  # the lake catches up; the files wait
                    if not advancing():
                        raise LakeError(_GIVEN_UP)
                    time.sleep(_UPKEEP_S / 4)
                    writer.keep_alive()
                last = upkeep.store(source.channel, group)
                read += len(group)
                advancing()
        if not writer.drain(advancing):
            raise LakeError(_GIVEN_UP)
        advancing()


def _groups(messages: Iterator[tuple[str, None, bytes]]) -> Iterator[list[tuple[str, int | None, bytes]]]:
    group: list[tuple[str, int | None, bytes]] = []
    for message in messages:
        group.append(message)
        if len(group) >= _FEED_GROUP:
            yield group
            group = []
    if group:
        yield group
