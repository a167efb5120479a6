"""The duties of triage: each fails and recovers on its own; a receiver that hangs holds up nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from lake.errors import LakeError
from lake.schemas import FINDINGS
from lake.site_database import opened
from metriage import triage_process
from metriage.site import Site
from metriage.triage_process import Deliverer, Duty, Triage
from metriage.triage_report import TriageReport
from tests.metriage.sites import START, finding, told
from tests.metriage.test_hot_findings import EMPTY, reported
from tests.metriage.test_ticketing import with_webhook
from tests.processes import wait_until
from tests.recordings import ROOT
from tickets import desk
from tickets.inbox import Inbox
from tickets.signature import Secret

UNSCHEDULED = 'broker = []\n[diagnosis]\nat = ""\n'


@pytest.fixture(name="site")
def _site(site: Site) -> Site:
    """Return a site that diagnoses only by hand."""
    (site.folder / "metriage.toml").write_text(UNSCHEDULED, encoding="utf-8")
    return Site(site.folder)


def delivering(site: Site, port: int, secret: Secret) -> Site:
    connected = with_webhook(site, port, secret)
    with (site.folder / "metriage.toml").open("a", encoding="utf-8") as stream:
        stream.write(UNSCHEDULED.partition("\n")[2])
    return connected


def failing(text: str) -> None:
    raise LakeError(text)


def test_duty_that_fails_is_tried_again_later_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """And at once as ever after it worked."""
    clock = [0.0]
    monkeypatch.setattr(triage_process.time, "monotonic", lambda: clock[0])
    duty = Duty("tickets")
    tried = []
    for clock[0] in range(200):
        duty.do(lambda: (tried.append(clock[0]), failing("disk full")))
    failure = duty.failure
    clock[0] = 1000
    worked = duty.do(lambda: "done")

    assert [0, 1, 3, 7, 15, 31, 63, 123, 183] == tried
    assert ("disk full", "done", None) == (failure, worked, duty.failure)
    assert "again" == duty.do(lambda: "again")


def test_fault_of_the_code_is_no_failure_of_a_duty() -> None:
    """It ends the process, which is started again."""
    with pytest.raises(ZeroDivisionError):
        Duty("tickets").do(lambda: 1 // 0)


def open_tickets(site: Site) -> int:
    with opened(site.database) as connection:
        return len(desk.list_tickets(connection))


def test_findings_of_others_become_tickets(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a diagnosis by hand, or of another daemon; looked for at each round, read only when they change."""
    triage = Triage(site)
    triage.round()
    told(site, finding())
    triage.round()
    triage.round()
    reports = [msgspec.json.decode(line, type=TriageReport) for line in capsys.readouterr().out.splitlines()
               if line.startswith("{")]  # fmt: skip

    assert 1 == open_tickets(site)
    assert (0, 1) == (reports[0].ticket_events, reports[-1].ticket_events)


def test_hot_path_that_fails_does_not_hold_up_tickets(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each duty by itself, and each is told."""
    monkeypatch.setattr("metriage.hot_findings.HotPath.look", lambda *_: failing("no lake"))
    triage = Triage(site)
    told(site, finding())
    triage.round()

    assert 1 == open_tickets(site)
    assert {"hot path": "no lake"} == triage._report.failures


def test_end_looks_once_more(site: Site) -> None:
    """Hard codes that were brought into the lake while the daemon was stopping."""
    triage = Triage(site)
    triage.round()
    reported(site, "a", START, EMPTY)
    told(site, finding(meter_id="b"))
    triage.end()

    assert 2 == open_tickets(site)


def test_receiver_that_hangs_holds_up_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked in a thread of its own, and not waited for at the end."""
    monkeypatch.setattr(triage_process, "_LAST_DELIVERY_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        connected = delivering(site, hanging.getsockname()[1], Secret.create())
        triage = Triage(connected)
        triage.start()
        told(connected, finding())
        triage.round()
        hanging.accept()[0].close()  # it was asked
        told(connected, finding(meter_id="b", as_of=START + timedelta(days=1), diagnosis_id="d2"))
        triage.round()
        triage.end()

    assert 2 == open_tickets(connected)


def test_what_was_not_delivered_is_delivered_later(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anything new to wake it: retries are due by themselves."""
    monkeypatch.setattr(triage_process, "_DELIVER_S", 0.05)
    secret = Secret.create()
    with Inbox(secret, tmp_path / "inbox") as inbox:
        connected = delivering(site, inbox.port, secret)
        triage = Triage(connected)
        told(connected, finding())
        triage.round()
        deliverer = Deliverer(connected)
        deliverer.start()
        wait_until(lambda: len(inbox.events) == 1, "the delivery")
        wait_until(lambda: deliverer.delivered == 1, "the count")
        deliverer.end()

    assert {} == deliverer.failures()


def test_process_says_what_it_does_and_ends_with_its_input(site: Site) -> None:
    """One object a line."""
    told(site, finding())
    process = subprocess.Popen(
        [sys.executable, "-m", "metriage.triage_process"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = process.communicate(json.dumps(str(site.folder)).encode() + b"\nlook\n", timeout=120)
    last = msgspec.json.decode(out.splitlines()[-1], type=TriageReport)

    assert 0 == process.returncode, err.decode()
    assert 1 == last.ticket_events == open_tickets(site)
    assert not last.failures


def test_process_without_a_word_ends(site: Site) -> None:
    """Its daemon was killed before it could tell."""
    done = subprocess.run(
        [sys.executable, "-m", "metriage.triage_process"], cwd=ROOT, input=b"", capture_output=True, check=False
    )

    assert (0, b"") == (done.returncode, done.stdout)
    assert not site.lake.exists(FINDINGS)
