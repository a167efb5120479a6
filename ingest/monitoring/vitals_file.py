"""``spool/daemon.json``: what a running daemon tells ``metriage status`` beside the account.

Written every few seconds, and at once when acknowledging stops or goes on; without sync, since it is worth nothing once
the daemon is gone. It is written in place, into room that it took when the daemon began: a full disk is just what it
must be able to tell of. Its age is told by the monotonic clock, which all processes of a machine share and which does
not jump.
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import structlog

from ingest.monitoring.vitals import BrokerVitals, DaemonVitals

FILE = "daemon.json"

_EVERY_S = 5.0
_STALE_S = 30.0
_ROOM_BYTES = 16_384  # more than some dozens of brokers need
_TRIES, _PAUSE_S = 5, 0.01  # whoever reads while it is written reads again

log = structlog.get_logger(__name__)


class BrokerReport(msgspec.Struct, frozen=True, kw_only=True):
    """One broker of the running daemon; ages in seconds."""

    broker: str
    source: str
    connected: bool
    protocol: str | None = None
    refusal: str | None = None
    messages: int = 0
    last_message_at: float | None = None
    idle_s: float = 0.0
    silent: bool = False
    holding: str | None = None
    oldest_unacknowledged_s: float = 0.0
    connections: int = 0
    sessions_lost: int = 0
    resubscriptions: int = 0


class WriterReport(msgspec.Struct, frozen=True, kw_only=True):
    """The lake writer of the running daemon."""

    alive: bool
    restarts: int = 0
    failure: str | None = None
    commits: int = 0
    last_commit_at: float | None = None
    lag_s: float = 0.0


class DaemonReport(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the file."""

    pid: int
    started_at: float
    monotonic_s: float
    holding: str | None
    brokers: list[BrokerReport]
    writer: WriterReport
    beside: dict[str, Any] = {}


class VitalsFile(AbstractContextManager["VitalsFile"]):
    """The file, written by the daemon.

    Parameters
    ----------
    folder : Path
        The ``spool/`` folder of a site.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._started_at = time.time()
        self._written_s = -_EVERY_S
        self._failed = False
        self._holding: str | None = None
        self._size = 0
        self._descriptor: int | None = None

    def write(self, vitals: DaemonVitals) -> None:
        """Write what is known, if it is time to."""
        now = time.monotonic()
        if now - self._written_s < _EVERY_S and vitals.spool.full == self._holding:
            return
        self._written_s, self._holding = now, vitals.spool.full
        try:
            self._overwrite(msgspec.json.encode(self._report(vitals)))
            self._failed = False
        except OSError as error:  # a full disk: `status` looks at the disk itself
            if not self._failed:
                log.warning("daemon.json is not written, `metriage status` knows less", error=str(error))
            self._failed = True

    def _overwrite(self, text: bytes) -> None:
        if self._descriptor is None:
            self._file.unlink(missing_ok=True)  # of a predecessor that was killed
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._size = max(self._size, _ROOM_BYTES, len(text))
        os.pwrite(self._descriptor, text.ljust(self._size), 0)

    def _report(self, vitals: DaemonVitals) -> DaemonReport:
        writer = vitals.writer
        return DaemonReport(
            pid=os.getpid(),
            started_at=self._started_at,
            monotonic_s=time.monotonic(),
            holding=vitals.spool.full,
            brokers=[_broker(broker, vitals) for broker in vitals.brokers],
            writer=WriterReport(
                alive=writer.alive,
                restarts=writer.restarts,
                failure=writer.failure,
                commits=writer.commits,
                last_commit_at=writer.last_commit_at,
                lag_s=vitals.spool.lag_s,
            ),
            beside={name: told for companion in vitals.companions for name, told in companion.report().items()},
        )

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._file.unlink(missing_ok=True)


def _broker(broker: BrokerVitals, vitals: DaemonVitals) -> BrokerReport:
    return BrokerReport(
        broker=broker.broker,
        source=broker.source,
        connected=broker.connected,
        protocol=broker.protocol,
        refusal=broker.refusal,
        messages=broker.messages,
        last_message_at=broker.last_message_at,
        idle_s=vitals.idle_s.get(broker.broker, 0.0),
        silent=broker.silent,
        holding=broker.holding,
        oldest_unacknowledged_s=vitals.unacknowledged_s.get(broker.broker, 0.0),
        connections=broker.connections,
        sessions_lost=broker.sessions_lost,
        resubscriptions=broker.resubscriptions,
    )


def read_report(folder: Path) -> DaemonReport | None:
    """Return what the running daemon told last; None where none runs, or where it has told nothing for a while."""
    report = _read(folder / FILE)
    if report is None:
        return None
    age_s = time.monotonic() - report.monotonic_s
    return report if 0 <= age_s <= _STALE_S and _runs(report.pid) else None


def _read(file: Path) -> DaemonReport | None:
    for _ in range(_TRIES):
        try:
            return msgspec.json.decode(file.read_bytes(), type=DaemonReport)
        except OSError:
            return None
        except msgspec.DecodeError:
            time.sleep(_PAUSE_S)
    return None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # it runs as somebody else
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return pid > 0


def as_plain(report: DaemonReport) -> dict[str, Any]:
    """Return a report for JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain
