"""The ingest daemon: receivers in this process, the lake writer in another, the spool between them.

Whatever else runs with it (compaction, triage) is a :class:`ingest.companion.Companion`, of which it knows no more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import structlog

from ingest.companion import Companion
from ingest.files import FileSource
from ingest.lake_process import Patience, WriterProcess
from ingest.log_format import hide, hide_lake_key
from ingest.monitoring.vitals import BrokerVitals, DaemonVitals
from ingest.monitoring.vitals_file import VitalsFile
from ingest.receiver.connection import broker_name, broker_password, check_credentials
from ingest.receiver.subscriber import Subscriber
from ingest.settings import KEPT_BYTES, BrokerSettings, MetricsSettings, WriterSettings
from ingest.spool import Spool
from ingest.upkeep import Upkeep
from lake.errors import LakeError

_UPKEEP_S = 1.0
_READY_S = 5.0
_RESTART_S = 1.0
_LONGEST_RESTART_S = 60.0
_FEED_GROUP = 5_000
_FEED_AHEAD = 400_000
_GIVEN_UP = (
    "the lake takes nothing (the log says why); what waits stays in the spool, and the next `metriage ingest` brings "
    "it into the lake"
)

log = structlog.get_logger(__name__)


class Receiver:
    """One receiving thread; started again when it dies of an error.

    Parameters
    ----------
    settings : BrokerSettings
        Its broker.
    site : Path
        The site folder.
    upkeep : Upkeep
        Takes what it receives.
    stop : threading.Event
        Ends it.
    most_bytes : int
        A longer message is cut [B].
    """

    def __init__(
        self,
        settings: BrokerSettings,
        site: Path,
        upkeep: Upkeep,
        stop: threading.Event,
        most_bytes: int = KEPT_BYTES,
    ) -> None:
        self._most_bytes = most_bytes
        self._settings = settings
        self._site = site
        self._upkeep = upkeep
        self._stop = stop
        self.vitals = BrokerVitals(
            broker_name(settings), settings.source, silent_after_s=float(getattr(settings, "silent_after_s", 0.0))
        )
        self._restart_at = 0.0
        self._restart_s = _RESTART_S
        self._thread: threading.Thread | None = None
        self._messages = -1
        self._message_at = time.monotonic()
        self._unacknowledged: float | None = None
        self._unacknowledged_at = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"receiver {self._settings.client_id}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            Subscriber(self._settings, self._site, self._upkeep, self.vitals, most_bytes=self._most_bytes).run(
                self._stop
            )
        except Exception as error:
            # An error of ours. What was not acknowledged comes again over the next connection.
            log.exception("receiver died", url=self._settings.url, error=str(error), restart_s=self._restart_s)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def keep_alive(self) -> bool:
        """Start the thread again if it has died; return whether that was so."""
        if self.alive or self._stop.is_set():
            return False
        now = time.monotonic()
        if self._thread is not None:
            self._thread = None
            self._restart_at = now + self._restart_s
            self._restart_s = min(2 * self._restart_s, _LONGEST_RESTART_S)
            self.vitals.connected = False
        if now < self._restart_at:
            return False
        self.start()
        return True

    def join(self) -> None:
        """Wait for the thread's end."""
        if self._thread is not None:
            self._thread.join()

    def idle_s(self) -> float:
        """Return how long no message has come [s]; a clock that jumps does not disturb it."""
        if self.vitals.messages != self._messages:
            self._messages = self.vitals.messages
            self._message_at = time.monotonic()
        return time.monotonic() - self._message_at

    def unacknowledged_s(self) -> float:
        """Return the age of the oldest message that is not acknowledged [s], 0 where there is none."""
        since = self.vitals.oldest_unacknowledged_at
        if since is None:
            self._unacknowledged = None
            return 0.0
        if since != self._unacknowledged:
            self._unacknowledged = since
            self._unacknowledged_at = time.monotonic()
        return time.monotonic() - self._unacknowledged_at


class _Watch:
    """Comes round once a second while the daemon runs and while it drains."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        writer: WriterProcess,
        upkeep: Upkeep,
        file: VitalsFile,
        companions: Sequence[Companion],
    ) -> None:
        self._receivers = receivers
        self._writer = writer
        self._upkeep = upkeep
        self._file = file
        self.vitals = DaemonVitals(
            brokers=tuple(receiver.vitals for receiver in receivers),
            writer=writer.vitals,
            spool=upkeep.vitals,
            companions=companions,
        )

    def round(self) -> int:
        """Look at everything once; return the lake writer's position."""
        position = self._upkeep.run()
        vitals = self.vitals
        vitals.receiver_restarts += sum(receiver.keep_alive() for receiver in self._receivers)
        vitals.receivers_alive = all(receiver.alive for receiver in self._receivers)
        vitals.idle_s = {receiver.vitals.broker: receiver.idle_s() for receiver in self._receivers}
        vitals.unacknowledged_s = {receiver.vitals.broker: receiver.unacknowledged_s() for receiver in self._receivers}
        vitals.beat = time.monotonic()
        self._file.write(vitals)
        return position


def run_daemon(
    brokers: Sequence[BrokerSettings],
    settings: WriterSettings,
    stop: threading.Event,
    metrics: MetricsSettings | None = None,
    beside: Sequence[Callable[[], Companion]] = (),
) -> None:
    """Receive from all brokers until `stop` is set, then bring what waits into the lake.

    Parameters
    ----------
    brokers : sequence of BrokerSettings
        One receiving thread each.
    settings : WriterSettings
        Site, codecs and limits.
    stop : threading.Event
        Set by a signal.
    metrics : MetricsSettings, optional
        Where to serve metrics and health.
    beside : sequence of callable
        Make what runs beside while messages are received.

    Raises
    ------
    LakeError
        The lake did not take what waited; it stays in the spool.
    SettingsError
        A broker's password or certificates cannot be read, or the address for metrics is taken.
    """
    site = Path(settings.site)
    for broker in brokers:
        check_credentials(broker, site)
        hide(broker_password(broker, site))
    hide_lake_key(settings.lake, site)
    with contextlib.ExitStack() as stack:
        page = None
        if metrics is not None and metrics.listen is not None:
            from ingest.monitoring.http_page import HttpPage  # noqa: PLC0415 - who wants no metrics does not pay for them

            page = stack.enter_context(HttpPage(metrics))
        spool = stack.enter_context(Spool(site / "spool"))
        companions: list[Companion] = []
        writer = stack.enter_context(WriterProcess(settings, on_hot=lambda: _wake(companions)))
        upkeep = Upkeep(spool, settings)
        receivers = [Receiver(broker, site, upkeep, stop) for broker in brokers]
        watch = _Watch(receivers, writer, upkeep, stack.enter_context(VitalsFile(site / "spool")), companions)
        upkeep.run()
        writer.wait_ready(_READY_S)  # receiving needs no lake: where that does not come, we begin without it
        for receiver in receivers:
            receiver.start()
        watch.round()
        if page is not None:
            page.serve(watch.vitals)
        log.info("started", brokers=len(brokers), waiting=upkeep.vitals.waiting, metrics=metrics and metrics.listen)
        companions.extend(stack.enter_context(make()) for make in beside)
        while not stop.wait(_UPKEEP_S):
            watch.round()
            writer.keep_alive()
            for companion in companions:
                companion.run()
        for receiver in receivers:
            receiver.join()
        log.info("stopping: bringing what waits into the lake", waiting=upkeep.vitals.waiting)
        patience = Patience()
        drained = writer.drain(lambda: patience.holds(watch.round()))
        upkeep.run()
        _say_end(upkeep)
    if not drained:
        raise LakeError(_GIVEN_UP)


def _wake(companions: Sequence[Companion]) -> None:
    for companion in companions:
        companion.wake()


def _say_end(upkeep: Upkeep) -> None:
    """Say in the last line of the log where everything is."""
    outcomes = upkeep.vitals.tally.messages
    log.info(
        f"stopped: {outcomes.total():,} messages in the lake, {upkeep.vitals.waiting:,} waiting",
        **{name: outcomes[name] for name in ("stored", "duplicate", "quarantined")},
        waiting=upkeep.vitals.waiting,
    )


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
    # Nobody waits for a code that stands in a file: batches are as large as may be.
    patient = msgspec.structs.replace(settings, hot={})
    with Spool(Path(settings.site) / "spool") as spool, WriterProcess(patient) as writer:
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
