"""The scheduled diagnoses of a running site: begun when due, one at a time, tried again when they fail."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from ingest.account import FILE as STATE
from ingest.account import State
from ingest.child_process import passing
from ingest.spool import FILE as SPOOL
from ingest.spool import Spool
from lake.schemas import DAILY
from lake.site_database import opened
from lake.tables import Lake
from metriage import diagnosis_journal as journal
from metriage.diagnosis_process import Outcome
from metriage.live_findings import moment, told_until
from metriage.schedule import Due, Schedule
from metriage.site import Site
from metriage.triage_report import RunsReport

_RETRY_S = 60.0
_LONGEST_RETRY_S = 3600.0
_BUSY_S = 5.0
_LONGEST_WAIT = timedelta(hours=6)  # for messages that were received by then and are not in the lake
_LONGEST_RUN_S = 12 * 3600.0
_STOP_S = 10.0

log = structlog.get_logger(__name__)


class DiagnosisRuns:
    """Begins what is due and notes how it ends.

    Parameters
    ----------
    site : Site
        The site.
    lake : Lake
        Its lake.
    """

    def __init__(self, site: Site, lake: Lake) -> None:
        self._site = site
        self._lake = lake
        self._schedule = Schedule(site.settings.diagnosis, site.settings.site.timezone)
        self._process: subprocess.Popen[bytes] | None = None
        self._run = 0
        self._due: Due | None = None
        self._started_s = 0.0
        self._retry_at_s = 0.0
        self._retry_s = _RETRY_S
        self.report = RunsReport()
        with opened(site.database) as connection:
            journal.prepare(connection)
            cut = journal.forget_unfinished(connection, datetime.now(UTC))
        if cut:
            log.warning("diagnosis cut short before; it is begun anew", runs=cut)

    @property
    def running(self) -> bool:
        """Whether one is at work."""
        return self._process is not None

    def round(self, now: datetime) -> bool:
        """Look after what runs, begin what is due; tell whether a diagnosis has just ended well.

        Parameters
        ----------
        now : datetime
            The clock (UTC).

        Raises
        ------
        MetriageError
            Lake, spool or site database cannot be read; the next round tries again.
        """
        ended = self._look_after(now) if self._process is not None else False
        told = told_until(self._lake)
        missed = self._missed(told, now)
        waits = bool(missed) and self._process is None and self._lake_is_behind(missed[0], now)
        if missed and self._process is None and time.monotonic() >= self._retry_at_s and not waits:
            self._begin(missed[0], now)
        following = self._schedule.next(told, now)
        self.report = msgspec.structs.replace(
            self.report,
            told_until=told,
            missed=len(missed) - (self._process is not None),
            waits_for_lake=waits,
            next_as_of=following.as_of if following else None,
            next_at=following.begins_at if following else None,
        )
        return ended

    def _missed(self, told: datetime | None, now: datetime) -> list[Due]:
        """Return what is due; first of all what was cut short between its daily rows and its findings."""
        position = self._lake.position(DAILY, "diagnosis/as_of")
        seen = moment(position) if position else None
        missed = self._schedule.missed(told, now)
        if seen is not None and (told is None or seen > told):
            return [Due(seen, now), *(due for due in missed if due.as_of > seen)]
        return missed

    def _lake_is_behind(self, due: Due, now: datetime) -> bool:
        """Tell whether messages wait for the lake that the diagnosis is to see."""
        folder = self._site.folder / "spool"
        if now - due.begins_at > _LONGEST_WAIT or not ((folder / SPOOL).exists() and (folder / STATE).exists()):
            return False
        with Spool(folder, read_only=True) as spool, State(folder, read_only=True) as state:
            oldest = spool.oldest_received(state.position())
        return oldest is not None and moment(oldest) <= due.as_of

    def _begin(self, due: Due, now: datetime) -> None:
        with opened(self._site.database) as connection:
            self._run = journal.begin(connection, due.as_of, now)
        log.info("diagnosis starts", as_of=due.as_of.isoformat())
        self._due = due
        self._started_s = time.monotonic()
        command = [sys.executable, "-m", "metriage.diagnosis_process", str(self._site.folder), due.as_of.isoformat()]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | passing(),
                start_new_session=True,
            )
        except OSError as error:  # no memory or no process to be had just now
            self._failed(f"cannot be started: {error}", now)
            return
        self.report = msgspec.structs.replace(
            self.report, running_as_of=due.as_of, running_since=now, pid=self._process.pid
        )

    def _look_after(self, now: datetime) -> bool:
        process = self._process
        assert process is not None  # noqa: S101 - its caller has looked
        code = process.poll()
        if code is None:
            if time.monotonic() - self._started_s > _LONGEST_RUN_S:
                log.error("diagnosis takes too long and is ended", hours=_LONGEST_RUN_S / 3600)
                process.kill()
            return False
        outcome = self._outcome(process)
        self._process = None
        self.report = msgspec.structs.replace(self.report, running_as_of=None, running_since=None, pid=None)
        if code == 0:
            self._done(outcome, now)
        elif outcome.busy:
            with opened(self._site.database) as connection:
                journal.forget(connection, self._run)
            log.info("diagnosis put off", why=outcome.error)
            self.report = msgspec.structs.replace(self.report, put_off=self.report.put_off + 1)
            self._retry_at_s = time.monotonic() + _BUSY_S
        else:
            self._failed(outcome.error or f"ended with exit code {code}", now)
        return code == 0

    def _outcome(self, process: subprocess.Popen[bytes]) -> Outcome:
        with process:
            said = process.stdout.read() if process.stdout is not None else b""
        try:
            return msgspec.json.decode(said.splitlines()[-1] if said else b"{}", type=Outcome)
        except msgspec.DecodeError:  # it died while it wrote
            return Outcome()

    def _note(self, now: datetime, outcome: Outcome | None = None, error: str | None = None) -> None:
        done = outcome or Outcome()
        with opened(self._site.database) as connection:
            journal.finish(
                connection, self._run, now, days=done.days, findings=done.findings, peak_bytes=done.peak_bytes,
                error=error,
            )  # fmt: skip

    def _done(self, outcome: Outcome, now: datetime) -> None:
        self._note(now, outcome)
        self._retry_s = _RETRY_S
        self._retry_at_s = 0.0
        seconds = time.monotonic() - self._started_s
        log.info(
            "diagnosis done", as_of=self._as_of, days=outcome.days, findings=outcome.findings,
            seconds=round(seconds, 3), peak_bytes=outcome.peak_bytes,
        )  # fmt: skip
        self.report = msgspec.structs.replace(
            self.report, done=self.report.done + 1, failure=None, last_seconds=seconds, last_finished_at=now,
            last_findings=outcome.findings,
        )  # fmt: skip

    def _failed(self, why: str, now: datetime) -> None:
        self._note(now, error=why)
        log.error("diagnosis failed, it will be tried again", as_of=self._as_of, error=why, retry_s=self._retry_s)
        self._retry_at_s = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
        self.report = msgspec.structs.replace(
            self.report, failed=self.report.failed + 1, failure=f"as of {self._as_of}: {why}"
        )

    @property
    def _as_of(self) -> str:
        return self._due.as_of.isoformat() if self._due is not None else ""

    def end(self) -> None:
        """End what runs; it is begun anew by the next daemon."""
        process = self._process
        if process is None:
            return
        log.info("diagnosis is cut short, the next daemon begins it anew", as_of=self._as_of)
        with contextlib.suppress(OSError):
            process.stdin.close() if process.stdin is not None else None
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
        self._outcome(process)
        self._process = None
        self._note(datetime.now(UTC), error=journal.CUT_SHORT)
