"""Scheduled diagnoses as real processes: begun when due, made up for, killed in between, tried again, told of."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ingest.spool import Spool
from lake import registry
from lake.meter import Meter
from lake.schemas import DAILY, FINDINGS, FORECASTS, TableSchema
from lake.site_database import opened
from lake.tables import Lake
from metriage import diagnosis_journal as journal
from metriage import diagnosis_runs
from metriage.diagnosing import diagnose_site
from metriage.diagnosis_runs import DiagnosisRuns
from metriage.diagnosis_state import diagnosis_state
from metriage.live_findings import told_until
from metriage.site import Site
from tests.ingest.messages import MQTT, drain, native
from tests.metriage.sites import START, hourly, stored
from tests.processes import wait_until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once what fails."""
    for name in ("_RETRY_S", "_BUSY_S"):
        monkeypatch.setattr(diagnosis_runs, name, 0.0)


def night(day: int, hours: float = 3.0) -> datetime:
    """Return a time in the night after a day, when that day is due."""
    return START + timedelta(days=day + 1, hours=hours)


def fleet(site: Site) -> None:
    stored(site, hourly("healthy", 9), hourly("backward", 9, backward_on=[2, 3, 4, 5, 6]))


def runs_of(site: Site) -> DiagnosisRuns:
    return DiagnosisRuns(site, site.lake)


def until(runs: DiagnosisRuns, now: datetime, condition: Callable[[], bool], what: str) -> None:
    """Go round at the same clock until a condition holds."""
    wait_until(lambda: (runs.round(now), condition())[1], what)


def live(site: Site) -> pl.DataFrame:
    rows = site.lake.read(FINDINGS).filter(pl.col("mode") == "live")
    return rows.drop("diagnosis_id").sort("as_of", "meter_id", "kind", "fault")


def test_missed_days_are_made_up_for_as_if_they_had_run(site: Site, tmp_path: Path) -> None:
    """One after the other, each as of its own end: the same findings as day by day."""
    fleet(site)
    shutil.copytree(site.folder, tmp_path / "by_hand")
    by_hand = Site(tmp_path / "by_hand")
    for day in range(5, 9):
        diagnose_site(by_hand, night(day, 0))
    diagnose_site(site, night(5, 0))
    runs = runs_of(site)

    until(runs, night(8), lambda: runs.report.done == 3, "three diagnoses")

    assert_frame_equal(live(by_hand), live(site))
    assert night(8, 0) == runs.report.told_until
    assert (0, 0, None) == (runs.report.missed, runs.report.failed, runs.report.failure)
    assert night(9, 2.5) == runs.report.next_at


def test_what_is_not_due_is_not_begun(site: Site) -> None:
    """Before its time, and where nothing is scheduled."""
    fleet(site)
    diagnose_site(site, night(5, 0))
    runs = runs_of(site)
    runs.round(night(6, 2))
    early = runs.running
    (site.folder / "metriage.toml").write_text('broker = []\n[diagnosis]\nat = ""\n', encoding="utf-8")
    never = runs_of(Site(site.folder))
    never.round(night(6))

    assert (False, False) == (early, never.running)
    assert never.report.next_at is None


@pytest.mark.parametrize("point", ["diagnosis.profiled", "diagnosis.told", "lake.committed"])
def test_killed_in_the_middle_nothing_is_lost_or_doubled(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Begun anew where its findings are not in the lake; where they are, it counts as done."""
    fleet(site)
    shutil.copytree(site.folder, tmp_path / "whole")
    whole = Site(tmp_path / "whole")
    for day in (7, 8):
        diagnose_site(whole, night(day, 0))
    diagnose_site(site, night(7, 0))
    trigger = tmp_path / "kill"
    trigger.write_text(point, encoding="ascii")
    monkeypatch.setenv("METRIAGE_KILL_FILE", str(trigger))
    runs = runs_of(site)

    until(runs, night(8), lambda: runs.report.failed == 1, "the kill")
    until(runs, night(8), lambda: not runs.running and runs.report.missed == 0, "the work to be done")

    assert f"ended with exit code {-signal.SIGKILL}" in (runs.report.failure or "") or runs.report.done == 1
    assert_frame_equal(live(whole), live(site))
    days = [lake.read(DAILY).drop("as_of").unique(["meter_id", "day"], keep="last").sort("meter_id", "day")
            for lake in (whole.lake, site.lake)]  # fmt: skip
    assert_frame_equal(days[0], days[1])


def test_killed_between_forecasts_and_findings_doubles_neither(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tables, two commits: the findings come last."""
    fleet(site)
    with opened(site.database) as connection:
        registry.prepare(connection)
        cell = {"battery_type": "ER26500", "battery_capacity_mah": 8500.0, "installed_on": date(2020, 1, 1)}
        registry.store(connection, [Meter(meter_id="healthy", **cell)])  # type: ignore[arg-type]
    append = Lake.append

    def dies(self: Lake, table: TableSchema, *arguments: Any, **more: Any) -> int:
        if table == FINDINGS:
            raise KeyboardInterrupt
        return append(self, table, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            diagnose_site(site, night(8, 0))
    before = told_until(site.lake)
    diagnose_site(site, night(8, 0))
    forecasts = site.lake.read(FORECASTS)

    assert before is None
    assert night(8, 0) == told_until(site.lake)
    assert forecasts.height == forecasts.unique(["kind", "meter_id", "as_of"]).height > 0
    assert live(site).height > 0


def test_daemon_killed_beside_it_its_successor_begins_anew(site: Site) -> None:
    """The process ends with its parent's end of the pipe, and the journal says that it was cut short."""
    fleet(site)
    first = runs_of(site)
    first.round(night(8))
    process = first._process
    assert process is not None
    assert process.stdin is not None
    with process:
        process.stdin.close()  # as the kernel does when the parent is killed
    second = runs_of(site)

    until(second, night(8), lambda: second.report.done == 1, "the diagnosis")

    assert night(8, 0) == told_until(site.lake)
    with opened(site.database) as connection:
        errors = connection.execute("SELECT error FROM diagnosis_run ORDER BY run").fetchall()
    assert ["cut short", None] == [row[0] for row in errors]


def test_failure_is_told_and_tried_again(site: Site) -> None:
    """A table that cannot be read, until it can."""
    fleet(site)
    log = site.folder / "lake" / "readings" / "_delta_log" / f"{0:020d}.json"
    whole = log.read_bytes()
    log.write_bytes(b"rubbish")
    runs = runs_of(site)
    until(runs, night(8), lambda: runs.report.failed >= 2, "two failures")
    told, state = runs.report.failure, diagnosis_state(site, night(8))
    log.write_bytes(whole)
    until(runs, night(8), lambda: runs.report.done == 1, "the diagnosis")
    after = diagnosis_state(site, night(8))

    assert "table readings" in (told or "")
    assert "table readings" in state["failure"]["error"]
    assert 1 == state["missed"]
    assert (None, None, 0) == (runs.report.failure, after["failure"], after["missed"])
    assert (night(8, 0), 2 * 9) == (after["last"]["as_of"], after["last"]["days"])
    assert after["last"]["peak_bytes"] > 1e7


def test_diagnosis_by_hand_comes_first(site: Site) -> None:
    """It holds the lock: no failure, only put off."""
    fleet(site)
    runs = runs_of(site)
    with site.lock("diagnosis"):
        until(runs, night(8), lambda: runs.report.put_off > 0, "the process to meet the lock")
    until(runs, night(8), lambda: runs.report.done == 1, "the diagnosis")

    assert (0, []) == (runs.report.failed, _errors(site))


def _errors(site: Site) -> list[str]:
    with opened(site.database) as connection:
        rows = connection.execute("SELECT error FROM diagnosis_run WHERE error IS NOT NULL").fetchall()
    return [row[0] for row in rows]


def test_messages_received_by_then_are_waited_for(site: Site) -> None:
    """They are in the spool, and the lake is behind; not for ever."""
    fleet(site)
    drain(site.folder)  # makes the account
    received = night(7, 0)
    with Spool(site.folder / "spool") as spool:
        spool.append(MQTT, [("meters/m1/readings", int(received.timestamp() * 1e6), native())])
    runs = runs_of(site)
    runs.round(night(8))
    waiting, running = runs.report.waits_for_lake, runs.running
    drain(site.folder)
    until(runs, night(8), lambda: runs.report.done == 1, "the diagnosis")

    assert (True, False) == (waiting, running)
    assert not runs.report.waits_for_lake


def test_end_cuts_short_what_runs(site: Site) -> None:
    """SIGTERM to the daemon does not wait for it."""
    fleet(site)
    runs = runs_of(site)
    runs.round(night(8))
    process = runs._process
    assert process is not None
    assert os.getpgid(process.pid) != os.getpgid(0)  # a Ctrl-C at the terminal does not reach it
    runs.end()
    runs.end()

    assert process.returncode is not None
    assert ["cut short"] == _errors(site)
    assert not runs.running


def test_journal_is_bounded_and_knows_the_last_of_each_kind(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old rows go."""
    monkeypatch.setattr(journal, "_KEPT", 3)
    with opened(site.database) as connection:
        before = journal.newest(connection)
        journal.prepare(connection)
        for day in range(5):
            run = journal.begin(connection, night(day, 0), night(day))
            error = "disk full" if day == 4 else None
            journal.finish(connection, run, night(day, 3.5), days=day, findings=1, peak_bytes=2, error=error)
        done, newest = journal.newest_done(connection), journal.newest(connection)
        [count] = connection.execute("SELECT count(*) FROM diagnosis_run").fetchone()

    assert before is None
    assert (3, 1800.0) == (done.days if done else None, done.seconds if done else None)
    assert ("disk full", 3) == (newest.error if newest else None, count)
