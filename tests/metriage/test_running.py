"""``metriage run`` from end to end: a real broker, real processes, a receiver of webhooks, kill -9 in the middle."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import psutil
import pytest

from ingest.health import not_alive, not_ready
from ingest.monitoring.metrics import DaemonCollector
from ingest.monitoring.vitals import DaemonVitals
from ingest.monitoring.vitals_file import VitalsFile, read_report
from lake.schemas import FINDINGS, READINGS
from lake.tables import Lake
from metriage.running import TriageProcess
from metriage.site import Site
from metriage.triage_report import RunsReport, TriageReport
from tests.ingest.test_operation import Page
from tests.processes import Daemon, Mosquitto, Publisher, run_metriage, status_of, wait_until
from tests.recordings import ROOT
from tickets.inbox import Inbox
from tickets.signature import Secret


class Running:
    """A site with a broker, metrics and a webhook, and what reaches its receiver."""

    def __init__(self, folder: Path, broker: Mosquitto, inbox: Inbox, secret: Secret) -> None:
        self.site = folder / "site"
        self.site.mkdir()
        self.broker = broker
        self._inbox = inbox
        file = self.site / "webhook.secret"
        file.touch(mode=0o600)
        file.write_text(secret.text, encoding="utf-8")
        # A minute between commits: what comes sooner came by the hot path.
        (self.site / "metriage.toml").write_text(
            f'[[broker]]\nurl = "{broker.url}"\n[[webhook]]\nname = "desk"\nurl = "http://127.0.0.1:{inbox.port}/"\n'
            'secret_file = "webhook.secret"\nallow_private = true\n',
            encoding="utf-8",
        )
        self.page = Page(self.site)

    def daemon(self, **environment: str) -> Daemon:
        """Return a running daemon."""
        return Daemon(self.site, environment, command="run")

    def publish(self, *meters: str, code: str = "BATTERY_EMPTY", ago_s: int = 0) -> None:
        """Let meters report now, with a code."""
        at = int(time.time()) - ago_s
        payload = {"ts": at, "volume_m3": 1.0, "error_codes": [code]}
        with Publisher(self.broker.port) as publisher:
            publisher.publish_all([(f"meters/{meter}/readings", json.dumps(payload).encode()) for meter in meters])

    def hot(self) -> list[tuple[str, str, str]]:
        """Return the hot findings in the lake."""
        lake = Lake(self.site / "lake")
        rows = lake.scan(FINDINGS).filter(pl.col("mode") == "hot").select("meter_id", "fault", "verdict").collect()
        return sorted(rows.rows())

    def delivered(self) -> list[tuple[str, str]]:
        """Return the events that the receiver has, by meter."""
        events = [row["event"] for row in self._inbox.events]
        return sorted((event["data"]["meter"]["meter_id"], event["type"]) for event in events)

    def wait_delivered(self, *meters: str) -> None:
        """Wait until the receiver knows of a ticket of each."""
        wanted = [(meter, "ticket.opened") for meter in meters]
        wait_until(lambda: set(wanted) <= set(self.delivered()), f"the tickets of {', '.join(meters)}")

    def wait_diagnosed(self) -> None:
        """Wait until the diagnosis is over that a new site begins with."""
        wait_until(lambda: self.page.value("metriage_diagnoses_total") >= 1, "the first diagnosis")


@pytest.fixture(name="line")
def _line(tmp_path: Path) -> Iterator[Running]:
    secret = Secret.create()
    with Mosquitto(tmp_path / "broker") as broker, Inbox(secret, tmp_path / "inbox") as inbox:
        yield Running(tmp_path, broker, inbox, secret)


def triage_of(process: Daemon) -> psutil.Process:
    [found] = [child for child in psutil.Process(process.process.pid).children() if "triage" in str(child.cmdline())]
    return found


@pytest.mark.slow
def test_hard_code_reaches_the_receiver_once(line: Running) -> None:
    """Broker, spool, lake, finding, ticket, webhook; the same code again is nothing new; all of it can be seen."""
    with line.daemon() as process:
        process.wait_connected()
        line.wait_diagnosed()
        line.publish("m1", "m2")
        line.wait_delivered("m1", "m2")
        found = line.hot()
        line.publish("m1", ago_s=600)
        line.publish("m3")
        line.wait_delivered("m3")
        again = line.hot()
        wait_until(lambda: line.page.value("metriage_deliveries_total") == 3, "the deliveries to be counted")
        values = {name: line.page.value(f"metriage_{name}") for name in (
            "hot_findings_total", "hard_codes_total", "diagnosis_failures_total", "triage_alive", "diagnosis_failing",
        )}  # fmt: skip
        memory = [line.page.value("metriage_resident_memory_bytes", process=name) for name in ("triage", "writer")]
        ready = line.page.get("/readyz")
        wait_until(lambda: status_of(line.site)["daemon"]["beside"]["triage"]["delivered"] == 3, "the report")
        state, text = status_of(line.site), run_metriage("status", "--dir", line.site).stdout
        second = run_metriage("run", "--dir", line.site, check=False)
        beside = run_metriage("ingest", "--dir", line.site, check=False)
        triage = triage_of(process)
        assert process.stop() == 0

    battery = [(meter, "battery", "act") for meter in ("m1", "m2", "m3")]
    assert (battery[:2], battery) == (found, again)
    assert [(meter, "ticket.opened") for meter in ("m1", "m2", "m3")] == line.delivered()
    assert {"hot_findings_total": 3, "hard_codes_total": 4, "diagnosis_failures_total": 0, "triage_alive": 1,
            "diagnosis_failing": 0} == values  # fmt: skip
    assert min(memory) > 1e7
    assert 200 == ready[0], ready[1]
    assert state["diagnosis"]["told_until"] == state["diagnosis"]["last"]["as_of"]
    assert state["diagnosis"]["missed"] == 0
    assert "triage: 3 findings of hard codes, 3 ticket events, 3 delivered, 0 waiting" in text
    assert "diagnosis: as of " in text
    for refused in (second, beside):
        assert 2 == refused.returncode
        assert f"is in use by process {process.process.pid} (metriage); stop that first" in refused.stderr
    assert not triage.is_running()
    assert 4 == Lake(line.site / "lake").read(READINGS).height


@pytest.mark.slow
@pytest.mark.parametrize("point", ["hot.found", "tickets.taken"])
def test_triage_killed_in_the_middle_is_started_again(line: Running, tmp_path: Path, point: str) -> None:
    """One finding, one ticket, one event, whatever it had done; ingest does not notice."""
    trigger = tmp_path / "kill"
    with line.daemon(METRIAGE_KILL_FILE=str(trigger)) as process:
        process.wait_connected()
        line.wait_diagnosed()
        draft = trigger.with_suffix(".new")
        draft.write_text(point, encoding="ascii")
        draft.rename(trigger)
        line.publish("m1")
        wait_until(lambda: list(tmp_path.glob("kill.reached.*")), "the kill")
        line.wait_delivered("m1")
        wait_until(lambda: line.page.value("metriage_triage_restarts_total") == 1, "the restart to be counted")
        wait_until(lambda: line.page.get("/healthz")[0] == 200, "the daemon to be whole")
        line.publish("m2")
        line.wait_delivered("m2")
        assert process.said("triage died, it is started again")
        assert process.stop() == 0

    assert [("m1", "battery", "act"), ("m2", "battery", "act")] == line.hot()
    assert [("m1", "ticket.opened"), ("m2", "ticket.opened")] == line.delivered()
    assert 0 == status_of(line.site)["messages"]["pending"]


@pytest.mark.slow
def test_daemon_killed_its_successor_goes_on(line: Running) -> None:
    """Everything dies with a message on its way; the next daemon finds it, once, and the one before not again."""
    with line.daemon() as process:
        process.wait_connected()
        line.publish("m1")
        line.wait_delivered("m1")
        line.publish("m2")
        process.kill(whole_group=True)
        process.start()
        process.wait_connected()
        line.wait_delivered("m2")
        process.kill(whole_group=False)  # the receiver alone: the others see the end of their input
        process.start()
        process.wait_connected()
        line.publish("m3")
        line.wait_delivered("m3")
        assert process.stop() == 0

    meters = ("m1", "m2", "m3")
    assert [(meter, "battery", "act") for meter in meters] == line.hot()
    assert [(meter, "ticket.opened") for meter in meters] == line.delivered()


@pytest.mark.slow
def test_failing_diagnosis_and_damaged_tickets_do_not_stop_ingest(line: Running) -> None:
    """Both are said: in status, metrics, health and log; messages go on into the lake."""
    (line.site / "metriage.db").write_bytes(b"this is no database" * 100)
    with line.daemon() as process:
        process.wait_connected()
        wait_until(lambda: process.said("triage cannot begin"), "the triage to refuse")
        line.publish("m1")
        wait_until(lambda: line.page.value("metriage_messages_total", outcome="stored") == 1, "the message")
        wait_until(lambda: line.page.get("/healthz")[0] == 503, "the dead triage to be said")
        problems = line.page.problems("/healthz")
        (line.site / "metriage.db").unlink()
        line.wait_delivered("m1")
        wait_until(lambda: line.page.get("/readyz")[0] == 200, "the daemon to be well again")
        assert process.stop() == 0

    assert ["the triage process does not run"] == [problem.partition(":")[0] for problem in problems]
    assert [("m1", "battery", "act")] == line.hot()


@pytest.fixture(name="quiet")
def _quiet(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[TriageProcess]:
    """Return a triage process that only reads."""
    monkeypatch.setattr("metriage.running.TriageProcess._command", lambda _: ["cat"])
    with TriageProcess(site) as process:
        yield process


def told(**report: Any) -> bytes:
    return msgspec.json.encode(TriageReport(**report)) + b"\n"


def test_counts_go_on_over_a_restart(quiet: TriageProcess) -> None:
    """As counters of Prometheus must."""
    quiet.hear(told(hot_findings=2, delivered=1, waiting=5, diagnosis=RunsReport(done=1, failed=1)))
    assert quiet._process is not None
    quiet._process.kill()
    wait_until(lambda: (quiet.run(), quiet.vitals.restarts == 1)[1], "the restart")
    quiet.hear(told(hot_findings=3, delivered=1, diagnosis=RunsReport(done=1, failed=0)))
    values = {sample.name: sample.value for family in quiet.metrics() for sample in family.samples}

    assert (5, 2, 0) == tuple(values[f"metriage_{name}"] for name in
                              ("hot_findings_total", "deliveries_total", "undelivered_events"))  # fmt: skip
    assert (2, 1) == (values["metriage_diagnoses_total"], values["metriage_diagnosis_failures_total"])
    assert (5, 1) == (quiet.report()["triage"]["hot_findings"], quiet.report()["triage"]["restarts"])


def test_every_metric_is_documented_and_follows_the_conventions(quiet: TriageProcess) -> None:
    """Beside those of the daemon, with a page for operators that names each."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    now = datetime.now(UTC)
    runs = RunsReport(told_until=now, next_at=now, last_finished_at=now, last_seconds=1.0)
    quiet.hear(told(hot_at=now, diagnosis=runs))
    vitals = DaemonVitals(companions=[quiet])
    own = {metric.name: metric for metric in quiet.metrics()}
    names = {f"{name}_total" if metric.type == "counter" else name for name, metric in own.items()}

    assert set() == {name for name in names if f"`{name}`" not in page}
    assert 19 == len(own)
    assert all(name.startswith("metriage_") and metric.documentation.endswith(".") for name, metric in own.items())
    assert set(own) <= {metric.name for metric in DaemonCollector(vitals).collect()}


def test_companions_are_part_of_health_and_report(quiet: TriageProcess, tmp_path: Path) -> None:
    """Of the pages and of what `status` reads."""
    vitals = DaemonVitals(companions=[quiet], beat=time.monotonic())
    vitals.writer.alive = True
    quiet.hear(told(hot_findings=1, failures={"tickets": "disk full"}))
    with VitalsFile(tmp_path) as file:
        file.write(vitals)
        report = read_report(tmp_path)
    well, hindered = not_alive(vitals), not_ready(vitals, 600)
    quiet.vitals.alive, quiet.vitals.failure = False, "no memory"

    assert ([], ["tickets: disk full"]) == (well, hindered)
    assert ["the triage process does not run: no memory"] == not_alive(vitals)
    assert report is not None
    assert (1, True) == (report.beside["triage"]["hot_findings"], report.beside["triage"]["alive"])


def test_what_fails_is_said(quiet: TriageProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A duty, a diagnosis; and a process that hangs."""
    quiet.hear(told(failures={"tickets": "disk full"}, diagnosis=RunsReport(failure="as of x: no memory")))
    hindered, dead = list(quiet.hindered()), list(quiet.dead())
    monkeypatch.setattr("metriage.running._SILENT_S", -1.0)

    assert ["the diagnosis failed as of x: no memory", "tickets: disk full"] == hindered
    assert [] == dead
    assert "has said nothing for" in next(quiet.dead())


def test_noise_on_its_output_is_ignored(quiet: TriageProcess) -> None:
    """A library that prints; a later version that tells more."""
    for line in (b"\n", b"hello\n", b"[1]\n", b'{"hot_findings": 1, "later": 2}\n'):
        quiet.hear(line)

    assert 1 == quiet.told.hot_findings
    assert {"triage": quiet.vitals.pid, "diagnosis": None} == quiet.processes()


def test_site_without_broker_is_said(site: Site) -> None:
    """As `metriage ingest` does; nothing is begun."""
    done = run_metriage("run", "--dir", site.folder, check=False)

    assert 2 == done.returncode
    assert "names no [[broker]]" in done.stderr
    assert not (site.folder / "metriage.lock").exists()
