"""The schedule of upkeep, and the process that does it."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.upkeep_process import UpkeepProcess, next_run
from tests.processes import wait_until

SHANGHAI = "Asia/Shanghai"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "every_s", "hour", "zone", "expected"),
    [
        ("2024-06-01T10:00", 60, 3, "UTC", "2024-06-01T10:01"),
        ("2024-06-01T10:00", 86400, None, "UTC", "2024-06-02T10:00"),
        ("2024-06-01T10:00", 86400, 3, "UTC", "2024-06-02T03:00"),
        ("2024-06-01T03:00:07", 86400, 3, "UTC", "2024-06-02T03:00"),
        ("2024-06-01T10:00", 86400, 3, SHANGHAI, "2024-06-02T19:00"),
        ("2024-06-01T19:00", 7 * 86400, 3, SHANGHAI, "2024-06-08T19:00"),
        ("2024-03-30T02:00", 86400, 3, "Europe/Madrid", "2024-03-31T01:00"),
    ],
)
def test_next_run(last: str, every_s: float, hour: int | None, zone: str, expected: str) -> None:
    """Short intervals run on; a daily run begins at the local hour, also when the last one began a little late."""
    assert at(expected) == next_run(at(last), every_s, hour, zone)


def test_due_run_is_started_at_low_priority_and_its_failure_survived(tmp_path: Path) -> None:
    """One at a time; a failing one is tried again at the next."""
    told = tmp_path / "told"
    code = f"import os; open({str(told)!r}, 'a').write(f'{{os.getppid()}} '); raise SystemExit(1)"
    with UpkeepProcess([sys.executable, "-c", code], tmp_path / "stamp", every_s=0.01) as upkeep:

        def twice() -> bool:
            upkeep.run()
            return told.exists() and len(told.read_text().split()) >= 2

        wait_until(twice, "two runs")

    assert {str(os.getpid())} == set(told.read_text().split())


def test_run_is_lower_in_priority_and_ends_with_the_daemon(tmp_path: Path) -> None:
    """A long run neither slows the receiver nor holds up its end."""
    with UpkeepProcess(["sleep", "600"], tmp_path / "stamp", every_s=0.01) as upkeep:
        wait_until(lambda: (upkeep.run(), upkeep.running)[1], "a run")
        pid = upkeep._process.pid if upkeep._process else 0
        assert os.getpriority(os.PRIO_PROCESS, 0) < os.getpriority(os.PRIO_PROCESS, pid)

    assert not upkeep.running


def test_schedule_survives_a_restart(tmp_path: Path) -> None:
    """What is overdue by the stamp of the last run starts at once; without schedule nothing does."""
    stamp = tmp_path / "stamp"
    stamp.touch()
    os.utime(stamp, (0, 0))
    for every_s, expected in ((86400.0, True), (0.0, False)):
        with UpkeepProcess(["sleep", "600"], stamp, every_s=every_s) as upkeep:
            upkeep.run()
            assert expected == upkeep.running


def test_command_that_is_not_there_is_no_end(tmp_path: Path) -> None:
    """The daemon goes on."""
    with UpkeepProcess([str(tmp_path / "nothing")], tmp_path / "stamp", every_s=0.001) as upkeep:
        upkeep.run()
        assert not upkeep.running
