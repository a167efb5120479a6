"""``metriage run``: the ingest daemon with triage beside it: hot path, scheduled diagnoses, tickets, delivery."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from ingest.child_process import ChildProcess
from ingest.companion import Companion
from ingest.daemon import run_daemon
from ingest.monitoring.vitals import ProcessVitals
from metriage.site import Site
from metriage.triage_report import TriageReport

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_NAME = "triage"
_PATIENCE_S = 90.0
_SILENT_S = 900.0  # a look at a large lake takes a while; scheduled diagnoses are processes of their own

log = structlog.get_logger(__name__)


class TriageProcess(ChildProcess, Companion):
    """The process of :mod:`metriage.triage_process`; started again when it dies.

    Parameters
    ----------
    site : Site
        The site.
    """

    def __init__(self, site: Site) -> None:
        self.vitals = ProcessVitals()
        self.told = TriageReport()
        self._told_at: float | None = None
        self._before = TriageReport()  # counts of processes that died
        self._asked = threading.Lock()
        greeting = msgspec.json.encode(str(site.folder)) + b"\n"
        super().__init__(_NAME, "metriage.triage_process", greeting, self.vitals, _PATIENCE_S)

    def _start(self) -> None:
        self._before = _summed(self._before, self.told)
        self.told = TriageReport()
        self._told_at = None
        super()._start()

    def hear(self, line: bytes) -> None:
        """Take what it tells of itself."""
        try:
            self.told = msgspec.json.decode(line, type=TriageReport)
        except msgspec.DecodeError:  # a library printed something
            log.debug("triage said something else", line=line[:200])
            return
        self._told_at = time.monotonic()
        self.works()

    def run(self) -> None:
        """Start it again if it has died."""
        self.keep_alive()

    def wake(self) -> None:
        """Tell it that hard codes are in the lake."""
        with self._asked:
            self.send(b"look\n")

    def dead(self) -> Iterator[str]:
        """Return why it does not run."""
        if not self.vitals.alive:
            yield f"the triage process does not run: {self.vitals.failure or 'it is being started'}"
        elif self._told_at is not None and time.monotonic() - self._told_at > _SILENT_S:
            yield f"the triage process has said nothing for {time.monotonic() - self._told_at:.0f} s"

    def hindered(self) -> Iterator[str]:
        """Return which of its duties fail."""
        told = self.told
        if told.diagnosis.failure is not None:
            yield f"the diagnosis failed {told.diagnosis.failure}"
        yield from (f"{duty}: {why}" for duty, why in told.failures.items())

    def processes(self) -> Mapping[str, int | None]:
        """Return its own number and that of a diagnosis."""
        return {"triage": self.vitals.pid, "diagnosis": self.told.diagnosis.pid}

    def report(self) -> Mapping[str, Any]:
        """Return what ``status`` shows of it."""
        plain = msgspec.to_builtins(_summed(self._before, self.told))
        return {"triage": {"alive": self.vitals.alive, "restarts": self.vitals.restarts, **plain}}

    def metrics(self) -> Iterable[Metric]:
        """Return what it counts and when it diagnosed."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - as in `run_daemon`

        told = _summed(self._before, self.told)
        diagnosis = told.diagnosis
        counts = {
            "hot_findings": ("Findings of hard codes.", told.hot_findings),
            "diagnoses": ("Scheduled diagnoses that ended well.", diagnosis.done),
            "diagnosis_failures": ("Scheduled diagnoses that failed.", diagnosis.failed),
            "ticket_events": ("Events of tickets put into the outbox.", told.ticket_events),
            "deliveries": ("Events delivered.", told.delivered),
            "delivery_failures": ("Attempts of delivery that failed.", told.delivery_failures),
            "triage_restarts": ("Times the triage process was started again.", self.vitals.restarts),
        }
        for name, (text, value) in counts.items():
            yield CounterMetricFamily(f"metriage_{name}", text, value=value)
        states = {
            "triage_alive": ("1 while the triage process runs.", self.vitals.alive),
            "triage_failing": ("Duties of it that fail at present.", len(told.failures)),
            "diagnosis_running": ("1 while a scheduled diagnosis runs.", diagnosis.running_as_of is not None),
            "diagnosis_failing": ("1 after one that failed.", diagnosis.failure is not None),
            "diagnoses_missed": ("Diagnoses that are due and not begun.", diagnosis.missed),
            "undelivered_events": ("Events that wait for delivery.", told.waiting),
            "dead_letters": ("Events whose delivery was given up.", told.dead),
        }
        for name, (text, state) in states.items():
            yield GaugeMetricFamily(f"metriage_{name}", text, value=state)
        yield from _times(told)


def _times(told: TriageReport) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - as above

    diagnosis = told.diagnosis
    moments = {
        "diagnosis_as_of_timestamp": ("As-of time of the last diagnosis that is in the lake.", diagnosis.told_until),
        "diagnosis_next_timestamp": ("When the next one begins.", diagnosis.next_at),
        "diagnosis_last_timestamp": ("When the last one ended well.", diagnosis.last_finished_at),
        "hot_last_timestamp": ("When the last finding of hard codes was made.", told.hot_at),
    }
    for name, (text, moment) in moments.items():
        if moment is not None:
            yield GaugeMetricFamily(f"metriage_{name}_seconds", text, value=moment.timestamp())
    if diagnosis.last_seconds is not None:
        yield GaugeMetricFamily("metriage_diagnosis_seconds", "How long the last one took.", diagnosis.last_seconds)


def _summed(before: TriageReport, now: TriageReport) -> TriageReport:
    """Return what is told now with the counts of earlier processes added."""
    replace = msgspec.structs.replace
    runs = {name: getattr(before.diagnosis, name) + getattr(now.diagnosis, name) for name in ("done", "failed")}
    counts = ("hot_findings", "ticket_events", "delivered", "delivery_failures")
    return replace(
        now,
        diagnosis=replace(now.diagnosis, **runs),
        **{name: getattr(before, name) + getattr(now, name) for name in counts},
    )


def run_site(site: Site, stop: threading.Event, compaction: Callable[[], Companion]) -> None:
    """Run all of a site until `stop` is set.

    Parameters
    ----------
    site : Site
        The site; its lock is held.
    stop : threading.Event
        Set by a signal.
    compaction : callable
        Makes what compacts the lake on its schedule.

    Raises
    ------
    LakeError, SettingsError
        As :func:`ingest.daemon.run_daemon`.
    """
    settings = site.settings
    beside = [compaction, lambda: TriageProcess(site)]
    run_daemon(settings.broker, site.writer_settings, stop, settings.metrics, beside)
