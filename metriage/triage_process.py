"""Hot path, scheduled diagnoses, tickets and their delivery, in a process of their own beside the daemon.

Its first line of input is the site folder; each later one says that hard codes came. It looks for itself as well, every
few seconds, since others may write the same lake. It says on standard output, one JSON object a line, what it is doing
(:class:`metriage.triage_report.TriageReport`). End of input ends it, after one last look.

Nothing here needs to survive a kill: what is known is read from the lake and the site database, and each duty is done
again from what they tell.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import polars as pl
import structlog
from deltalake.exceptions import DeltaError

from ingest.log_format import configure_logging, hide_lake_key
from ingest.writer_process import Commands, tell
from lake.errors import MetriageError
from lake.schemas import FINDINGS
from lake.site_database import opened
from metriage.diagnosis_runs import DiagnosisRuns
from metriage.hot_findings import HotPath
from metriage.site import Site, open_site
from metriage.site_facts import SiteFacts
from metriage.ticketing import take_findings
from metriage.triage_report import TriageReport
from tickets.delivery import DeliveryReport, deliver_due

_NICE = 5
_LOOK_S = 2.0
_LOOK_AT_STORE_S = 20.0  # each look lists a few names, and object stores count requests
_DELIVER_S = 5.0
_SAY_S = 5.0
_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0
_LAST_DELIVERY_S = 30.0

# What a lake, a disk or a database may do to us; anything else is a fault of the code and ends the process.
_FAILURES = (MetriageError, OSError, sqlite3.Error, DeltaError, pl.exceptions.PolarsError)

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Duty:
    """Something to be done again and again; what fails is said once, and tried again later and later.

    Parameters
    ----------
    name : str
        For log and report.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: str | None = None
        self._retry_at = 0.0
        self._retry_s = _RETRY_S

    def do(self, work: Callable[[], T]) -> T | None:
        """Do it, if it is time to; return None where it was not done."""
        if time.monotonic() < self._retry_at:
            return None
        try:
            result = work()
        except _FAILURES as error:
            if str(error) != self.failure:
                log.exception("triage: not done, will be tried again", what=self.name, error=str(error))
            self.failure = str(error)[:1000]
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
            return None
        if self.failure is not None:
            log.info("triage: works again", what=self.name)
            self.failure = None
        self._retry_s = _RETRY_S
        return result


class Deliverer:
    """Delivers what is due, in a thread of its own: a receiver that does not answer holds up nothing else.

    Parameters
    ----------
    site : Site
        Its outbox and webhooks.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._wanted = threading.Event()
        self._end = threading.Event()
        self._duty = Duty("delivery")
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self.delivered = 0
        self.failed = 0
        self.last = DeliveryReport()

    def start(self) -> None:
        """Begin, where there is anywhere to deliver to."""
        if self._site.settings.webhook:
            self._thread.start()

    def wake(self) -> None:
        """Take note that the outbox holds something new."""
        self._wanted.set()

    def failures(self) -> dict[str, str]:
        """Return what does not work: the database, or webhooks by name."""
        own = {} if self._duty.failure is None else {self._duty.name: self._duty.failure}
        return own | {f"webhook {name}": problem for name, problem in self.last.problems.items()}

    def _run(self) -> None:
        while not self._end.is_set():
            self._wanted.wait(_DELIVER_S)
            self._wanted.clear()
            self._duty.do(self._deliver)

    def _deliver(self) -> None:
        with opened(self._site.database) as connection:
            report = deliver_due(connection, self._site.settings.webhook, folder=self._site.folder)
        self.delivered += report.delivered
        self.failed += report.failed
        self.last = report

    def end(self) -> None:
        """Deliver what is due once more, and end; what is not answered soon is sent again by the next daemon."""
        if self._thread.is_alive():
            self._end.set()
            self._wanted.set()
            self._thread.join(_LAST_DELIVERY_S)


class Triage:
    """All duties of the process.

    Parameters
    ----------
    site : Site
        The site.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lake = site.lake
        self._runs = DiagnosisRuns(site, self._lake)
        self._facts = SiteFacts(site.database, site.settings.site.timezone)
        self._hot = HotPath(site, self._lake, self._facts)
        self._deliverer = Deliverer(site)
        self._duties = {name: Duty(name) for name in ("hot path", "diagnosis", "tickets")}
        self._taken = -1  # version of the findings that the tickets know
        self._newest = datetime.min.replace(tzinfo=UTC)
        self._report = TriageReport()
        self._said: TriageReport | None = None
        self._said_at = 0.0
        self.look_s = _LOOK_AT_STORE_S if self._lake.storage.options else _LOOK_S

    def start(self) -> None:
        """Begin to deliver."""
        self._deliverer.start()

    def round(self, *, last: bool = False) -> None:
        """Do what is due.

        Parameters
        ----------
        last : bool
            Whether the process is about to end: nothing is begun that takes long.
        """
        now = datetime.now(UTC)
        self._duties["hot path"].do(lambda: self._look(now))
        if not last:
            self._duties["diagnosis"].do(lambda: self._runs.round(now))
        self._duties["tickets"].do(lambda: self._take(now))
        self._say()

    def _look(self, now: datetime) -> None:
        rows = pl.concat([self._hot.settle(), self._hot.look(now)])
        if rows.is_empty():
            return
        newest: datetime = rows["as_of"].max()  # type: ignore[assignment]
        self._newest = max(self._newest, newest)
        self._report = msgspec.structs.replace(
            self._report, hot_findings=self._report.hot_findings + rows.height, hot_at=now
        )

    def _take(self, now: datetime) -> None:
        version = self._lake.version(FINDINGS)
        if version <= self._taken:
            return
        with opened(self._site.database) as connection:
            report = take_findings(self._site, self._lake, connection, max(now, self._newest), self._facts)
        self._taken = version
        if report.events:
            log.info("tickets", opened=report.opened, reopened=report.reopened, events=report.events)
            self._report = msgspec.structs.replace(
                self._report, ticket_events=self._report.ticket_events + report.events
            )
        self._deliverer.wake()

    def _say(self) -> None:
        deliverer = self._deliverer
        failures = {duty.name: duty.failure for duty in self._duties.values() if duty.failure is not None}
        report = msgspec.structs.replace(
            self._report,
            diagnosis=self._runs.report,
            delivered=deliverer.delivered,
            delivery_failures=deliverer.failed,
            waiting=deliverer.last.pending,
            dead=deliverer.last.dead,
            failures=failures | deliverer.failures(),
        )
        self._report = report
        if report != self._said or time.monotonic() - self._said_at >= _SAY_S:
            self._said, self._said_at = report, time.monotonic()
            tell(msgspec.json.encode(report).decode())

    def end(self) -> None:
        """Do what can be done quickly, and end what runs."""
        self._runs.end()
        self.round(last=True)
        self._deliverer.end()
        self._say()


def main() -> None:
    """Run the triage of the site named on the first line of standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; the daemon decides
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    configure_logging()
    commands = Commands(sys.stdin.buffer)
    line = commands.first()
    if not line:  # the daemon was killed before it could tell
        return
    try:
        site = open_site(Path(msgspec.json.decode(line, type=str)))
        hide_lake_key(site.settings.lake, site.folder)
        with (site.folder / "triage.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a predecessor may still be at its last round
            _work(site, commands)
    except (MetriageError, OSError) as error:
        log.error("triage cannot begin", error=str(error))  # noqa: TRY400 - told to an operator
        tell(msgspec.json.encode(TriageReport(failures={"start": str(error)[:1000]})).decode())
        sys.exit(1)


def _work(site: Site, commands: Commands) -> None:
    triage = Triage(site)
    triage.start()
    triage.round()
    while not commands.ended:
        commands.wait(triage.look_s)
        triage.round()
    triage.end()


if __name__ == "__main__":
    main()
