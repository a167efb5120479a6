"""How the diagnosis of a site stands, and how people read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from lake.schemas import BATCH_FINDINGS
from lake.site_database import opened
from metriage import console, diagnosis_journal
from metriage.diagnosing import diagnose_site
from metriage.diagnosis_state import diagnosis_state
from metriage.live_findings import told_positions
from metriage.site import Site
from tests.metriage.sites import START, Done, hourly, stored

TRIAGE = {
    "alive": False, "restarts": 2, "hot_findings": 1, "ticket_events": 2, "delivered": 1, "waiting": 1, "dead": 3,
    "failures": {"tickets": "disk\x1b full"},
}  # fmt: skip
DAEMON = {"pid": 1, "brokers": [], "beside": {"triage": TRIAGE},
          "writer": {"lag_s": 0, "commits": 1, "alive": True, "restarts": 0, "failure": None}}  # fmt: skip


def night(day: int) -> datetime:
    return START + timedelta(days=day + 1, hours=3)


def ran(site: Site, day: int, **how: Any) -> None:
    """Note a scheduled diagnosis."""
    with opened(site.database) as connection:
        diagnosis_journal.prepare(connection)
        run = diagnosis_journal.begin(connection, night(day) - timedelta(hours=3), night(day))
        if how:
            diagnosis_journal.finish(connection, run, night(day) + timedelta(seconds=90), **how)


def test_site_without_anything_has_nothing(site: Site, metriage: Callable[..., Done]) -> None:
    """No database, no lake; nothing is made by looking."""
    state = json.loads(metriage("status", "--dir", site.folder, "--json").out)["diagnosis"]
    text = metriage("status", "--dir", site.folder).out

    assert (None, None, None, None) == tuple(state[name] for name in ("told_until", "last", "failure", "running"))
    assert 1 == state["missed"]
    assert "diagnosis:" not in text
    assert not site.database.exists()


def test_diagnosis_by_hand_is_told_without_a_schedule(site: Site, metriage: Callable[..., Done]) -> None:
    """There is none to run."""
    stored(site, hourly("m", 3))
    diagnose_site(site, night(2))

    assert "diagnosis: as of 2024-01-04 03:00 UTC\n" in metriage("status", "--dir", site.folder).out


def test_runs_are_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The last good one, a failure since, one at work, what is to be made up for, what is next."""
    stored(site, hourly("m", 3))
    diagnose_site(site, night(2) - timedelta(hours=3))
    ran(site, 2, days=3, findings=1, peak_bytes=5)
    ran(site, 3, error="no \x1bmemory")
    ran(site, 3)
    state = diagnosis_state(site, night(4))
    console._print_diagnosis(state)
    said = " ".join(capsys.readouterr().out.split())

    assert (90.0, 3) == (state["last"]["seconds"], state["last"]["days"])
    assert 2 == state["missed"]
    for words in (
        "diagnosis: as of 2024-01-04 00:00 UTC, the last run took 90 s (1 finding)",
        "as of 2024-01-05 00:00 UTC it FAILED at 2024-01-05 03:01 UTC: no memory",
        "as of 2024-01-05 00:00 UTC it runs since 2024-01-05 03:00 UTC",
        "2 are to be made up for",
        "next as of 2024-01-05 00:00 UTC at 2024-01-05 02:30 UTC",
    ):
        assert words in said


def test_failure_is_over_when_one_ends_well(site: Site) -> None:
    """And a daemon that ended meanwhile is none."""
    ran(site, 2, error="no memory")
    ran(site, 2, days=1)
    ran(site, 3, error=diagnosis_journal.CUT_SHORT)

    assert diagnosis_state(site, night(3))["failure"] is None


def test_triage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong in capitals, and nothing of it can paint the terminal."""
    console._print_daemon(DAEMON)
    said = " ".join(capsys.readouterr().out.split())

    assert (
        "triage: does NOT run, started again 2 times, 1 finding of hard codes, 2 ticket events, 1 delivered, "
        "1 waiting, 3 GIVEN UP, tickets FAILS: disk full"
    ) in said


def test_database_that_cannot_be_read_is_said(site: Site, metriage: Callable[..., Done]) -> None:
    """In its place; the account is shown all the same."""
    site.database.write_bytes(b"this is no database" * 100)

    done = metriage("status", "--dir", site.folder)

    assert 0 == done.code
    assert "diagnosis: cannot be looked at:" in done.out


def test_groups_that_stand_out_are_counted(site: Site, metriage: Callable[..., Done]) -> None:
    """Those of the last live diagnosis only."""
    stored(site, hourly("m", 3))
    diagnose_site(site, night(2))
    names = {"scope": "production_batch", "fault": "coil", "mode": "live"}
    rows = [
        names | {"diagnosis_id": "a", "as_of": night(1), "key": "old", "verdict": "act"},
        names | {"diagnosis_id": "b", "as_of": night(2), "key": "x", "verdict": "act"},
        names | {"diagnosis_id": "b", "as_of": night(2), "key": "y", "verdict": "watch"},
        names | {"diagnosis_id": "b", "as_of": night(2), "key": "z", "verdict": "normal"},
    ]
    frame = pl.DataFrame(rows, schema={name: BATCH_FINDINGS.polars[name] for name in rows[0]})
    site.lake.append(BATCH_FINDINGS, frame, positions=told_positions(night(2), 0))

    state = json.loads(metriage("status", "--dir", site.folder, "--json").out)["diagnosis"]
    text = metriage("status", "--dir", site.folder).out

    assert {"act": 1, "watch": 1, "not_separable": 0} == state["groups"]
    assert "groups of meters: 1 to act on, 1 to watch" in text
