"""Compaction as a process of its own, at low priority, on a schedule; the receiver never waits for it.

What it runs is a command that the caller hands in, so that this package need not know the one above it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from zoneinfo import ZoneInfo

import structlog

from ingest.companion import Companion

_NICE = 10
_DAY_S = 86400.0
_STOP_S = 10.0
_BUSY = 2  # exit code: another run holds the lock

log = structlog.get_logger(__name__)


def next_run(last: datetime, every_s: float, at_hour: int | None, timezone: str) -> datetime:
    """Return when the run after the one that began at `last` is due (UTC).

    Parameters
    ----------
    last : datetime
        When the last run began, or the schedule (UTC).
    every_s : float
        Time between runs [s].
    at_hour : int, optional
        Local hour at which runs that are a day or more apart begin.
    timezone : str
        IANA zone of that hour.
    """
    if at_hour is None or every_s < _DAY_S:
        return last + timedelta(seconds=every_s)
    zone = ZoneInfo(timezone)
    # A run that began a little late must not push the next one to the day after.
    earliest = (last + timedelta(seconds=every_s - _DAY_S / 2)).astimezone(zone)
    due = earliest.replace(hour=at_hour, minute=0, second=0, microsecond=0)
    if due < earliest:
        due = (due.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
    return due.astimezone(UTC)


class UpkeepProcess(Companion):
    """Runs a command whenever it is due; what it fails at is logged and tried again the next time.

    Parameters
    ----------
    command : sequence of str
        What to run.
    stamp : Path
        File that a run touches when it begins, so that the schedule survives restarts.
    every_s : float
        Time between runs [s]; 0: never.
    at_hour : int, optional
        Local hour at which runs that are a day or more apart begin.
    timezone : str
        IANA zone of that hour.
    """

    def __init__(
        self, command: Sequence[str], stamp: Path, *, every_s: float, at_hour: int | None = None, timezone: str = "UTC"
    ) -> None:
        self._command = list(command)
        self._stamp = stamp
        self._every_s = every_s
        self._at_hour = at_hour
        self._timezone = timezone
        self._process: subprocess.Popen[bytes] | None = None
        self._due = self._first_run()

    def _first_run(self) -> datetime:
        now = datetime.now(UTC)
        try:
            last = datetime.fromtimestamp(self._stamp.stat().st_mtime, UTC)
        except OSError:  # it never ran
            last = now
        return self._after(min(last, now))  # a clock that was set back must not put it off

    def _after(self, last: datetime) -> datetime:
        return next_run(last, self._every_s, self._at_hour, self._timezone)

    @property
    def running(self) -> bool:
        """Whether the command runs now."""
        return self._process is not None and self._process.poll() is None

    def run(self) -> None:
        """Start the command if it is due, and note how the last one ended; returns at once."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            if code == _BUSY:
                log.info("compaction left out: another one runs, or the settings are wrong", exit_code=code)
            elif code:
                log.error("compaction failed; the next run tries again", exit_code=code, next=self._due.isoformat())
        now = datetime.now(UTC)
        if self._every_s > 0 and now >= self._due:
            self._due = self._after(now)
            self._start()

    def _start(self) -> None:
        log.info("compaction starts", next=self._due.isoformat())
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICE)
        except ProcessLookupError:  # it has ended already
            return
        except OSError as error:
            log.error("compaction cannot be started; the next run tries again", error=str(error))  # noqa: TRY400

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End a run that goes on: it loses nothing wherever it stands."""
        process = self._process
        if process is None:
            return
        process.terminate()
        deadline = time.monotonic() + _STOP_S
        try:
            process.wait(deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
