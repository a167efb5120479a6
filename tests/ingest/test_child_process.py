"""A process beside the daemon: heard, told, started again with growing pauses, ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from ingest import child_process
from ingest.child_process import ChildProcess
from ingest.companion import Companion
from ingest.monitoring.vitals import ProcessVitals
from tests.processes import wait_until

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


class Child(ChildProcess):
    """Runs a program given as text."""

    def __init__(self, code: str, patience_s: float = 60.0) -> None:
        self.code = code
        self.heard: list[bytes] = []
        self.vitals = ProcessVitals()
        super().__init__("child", "none", b"hello\n", self.vitals, patience_s)

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-c", self.code]

    def hear(self, line: bytes) -> None:
        """Keep it."""
        self.heard.append(line)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause less."""
    monkeypatch.setattr(child_process, "RESTART_S", 0.01)
    monkeypatch.setattr(child_process, "LONGEST_RESTART_S", 0.05)


def test_child_is_greeted_told_and_heard() -> None:
    """Line by line."""
    with Child(ECHO) as child:
        child.send(b"look\n")
        wait_until(lambda: len(child.heard) == 2, "the echo")
        alive, pid = child.vitals.alive, child.vitals.pid

    assert [b"hello\n", b"look\n"] == child.heard
    assert alive
    assert pid is not None
    assert not child.vitals.alive


def test_dead_child_is_started_again_and_greeted_again() -> None:
    """And says why it died until then; what is told to a dead one is lost, not an error."""
    with Child(ECHO) as child:
        wait_until(lambda: len(child.heard) == 1, "the greeting")
        assert child._process is not None
        child._process.kill()
        child._process.wait()
        child.send(b"to nobody\n")
        child.keep_alive()
        failure = child.vitals.failure
        child.send(b"to nobody\n")
        wait_until(lambda: (child.keep_alive(), len(child.heard) == 2)[1], "the next greeting")

    assert "the child ended with exit code -9" == failure
    assert (1, None) == (child.vitals.restarts, child.vitals.failure)
    assert [b"hello\n"] * 2 == child.heard


def test_child_that_dies_at_once_is_given_pauses() -> None:
    """Longer ones each time, until it works."""
    with Child("raise SystemExit(3)") as child:
        wait_until(lambda: (child.keep_alive(), child.vitals.restarts >= 4)[1], "four restarts")
        longest = child._restart_s
        child.works()

    assert child_process.LONGEST_RESTART_S == longest
    assert child_process.RESTART_S == child._restart_s


def test_child_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory or no process to be had just now."""
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nothing/of/the/kind")
        child = Child(ECHO)
        failure = child.vitals.failure
    with child:
        wait_until(lambda: (child.keep_alive(), len(child.heard) == 1)[1], "the greeting")

    assert "the child cannot be started" in (failure or "")


def test_child_that_does_not_end_is_killed() -> None:
    """After its time."""
    with Child("import time\nprint('here', flush=True)\ntime.sleep(600)", patience_s=0.1) as child:
        wait_until(lambda: bool(child.heard), "the child")

    assert not child.vitals.alive


def test_companion_does_nothing_and_is_well() -> None:
    """Unless it says otherwise."""
    with Companion() as companion:
        companion.run()
        companion.wake()

        told = (companion.dead(), companion.hindered(), companion.metrics(), companion.processes(), companion.report())

    assert ((), (), (), {}, {}) == told
