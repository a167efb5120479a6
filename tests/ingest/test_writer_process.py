"""The lake writer's process: when a batch is due, what is tried again, and how it starts and ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ingest import writer_process
from ingest.settings import IngestSettings
from ingest.writer_process import Commands, WriterLoop
from lake.errors import LakeError
from tests.ingest.messages import account_of, native, settings_of, spool_messages
from tests.processes import wait_until
from tests.recordings import ROOT


class Pipe:
    """Commands, and the end that a receiver would write to."""

    def __init__(self) -> None:
        reader, self.writer = os.pipe()
        self.stream = os.fdopen(reader, "rb", buffering=0)
        self.commands = Commands(self.stream)

    def send(self, data: bytes) -> None:
        """Write to it."""
        os.write(self.writer, data)

    def end(self) -> None:
        """Close it, as a receiver that stops or dies does."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@pytest.fixture(name="pipe")
def _pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.end()
    pipe.stream.close()


def test_commands_come_line_by_line(pipe: Pipe) -> None:
    """Lines may come in pieces or several at once; the end is noticed."""
    pipe.send(b'{"set')
    assert pipe.commands.wait(0) == []
    pipe.send(b'tings": 1}\ndrain\nanother\nha')
    assert pipe.commands.first() == '{"settings": 1}'
    assert pipe.commands.wait(0) == ["drain", "another"]
    pipe.end()
    assert (pipe.commands.wait(1), pipe.commands.ended) == ([], True)


def test_commands_receiver_gone_at_once(pipe: Pipe) -> None:
    """A receiver that was killed before it said anything leaves an empty line."""
    pipe.end()

    assert pipe.commands.first() == ""


class Lake:
    """A writer whose lake can be told to fail."""

    def __init__(self, waiting: int, failures: int = 0) -> None:
        self.waiting = waiting
        self.failures = failures
        self.steps: list[float] = []
        self.hot_since: float | None = None
        self.hot_stored = 0

    def move_gaps(self) -> int:
        """Have none."""
        return 0

    def pending(self) -> int:
        """Return how many messages wait."""
        return self.waiting

    def prepare(self) -> bool:
        """Have nothing to decode ahead."""
        return False

    def step(self) -> int:
        """Take ten messages, or fail."""
        self.steps.append(time.monotonic())
        if len(self.steps) <= self.failures:
            raise LakeError("disk full")
        done = min(10, self.waiting)
        self.waiting -= done
        return done


def loop_of(lake: Lake, tmp_path: Path, **ingest: float) -> WriterLoop:
    return WriterLoop(lake, msgspec.structs.replace(settings_of(tmp_path), ingest=IngestSettings(**ingest)))  # type: ignore[arg-type]


def run(loop: WriterLoop, pipe: Pipe) -> threading.Thread:
    thread = threading.Thread(target=loop.run, args=(pipe.commands,))
    thread.start()
    return thread


def test_loop_drains_everything_when_told(
    pipe: Pipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Draining takes as many batches as there are, tries again what fails, and answers at the end, once."""
    monkeypatch.setattr(writer_process, "_LONGEST_RETRY_S", 0.05)
    lake = Lake(35, failures=3)
    loop = loop_of(lake, tmp_path, commit_interval_s=3600)
    loop._retry_s = 0.05
    pipe.send(b"drain\n")
    thread = run(loop, pipe)
    wait_until(lambda: lake.waiting == 0, "the lake to have everything")
    wait_until(lambda: "drained" in capsys.readouterr().out, "the answer")
    pipe.end()
    thread.join(30)

    assert not thread.is_alive()
    assert len(lake.steps) == 3 + 4


def test_loop_commits_by_size(pipe: Pipe, tmp_path: Path) -> None:
    """Enough messages make a batch at once; fewer wait for their time."""
    lake = Lake(25)
    thread = run(loop_of(lake, tmp_path, commit_messages=10, commit_interval_s=3600), pipe)
    wait_until(lambda: lake.waiting == 5, "two batches")
    pipe.end()
    thread.join(30)

    assert len(lake.steps) == 2


def test_loop_does_not_wait_with_hard_codes(pipe: Pipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A batch that holds a new one is due after a time of its own, and says how many it held."""
    lake = Lake(5)
    lake.hot_since, lake.hot_stored = time.monotonic(), 2
    thread = run(loop_of(lake, tmp_path, commit_interval_s=3600, hot_commit_s=0.1), pipe)
    wait_until(lambda: lake.waiting == 0, "the batch")
    wait_until(lambda: '"hot":2' in capsys.readouterr().out, "the event")
    pipe.end()
    thread.join(30)

    assert len(lake.steps) == 1


def test_loop_commits_by_time(pipe: Pipe, tmp_path: Path) -> None:
    """A few messages wait no longer than the interval."""
    lake = Lake(3)
    thread = run(loop_of(lake, tmp_path, commit_messages=1000, commit_interval_s=0.1), pipe)
    wait_until(lambda: lake.waiting == 0, "the batch")
    pipe.end()
    thread.join(30)

    assert len(lake.steps) == 1


def process(site: Path, *, settings: bool = True) -> subprocess.Popen[bytes]:
    started = subprocess.Popen(
        [sys.executable, "-m", "ingest.writer_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert started.stdin is not None
    if settings:
        started.stdin.write(msgspec.json.encode(settings_of(site)) + b"\n")
        started.stdin.flush()
    return started


def drained(writer: subprocess.Popen[bytes]) -> bytes:
    """Have a writer drain and end; return its answer."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(b"drain\n")
    writer.stdin.flush()
    answer = b""
    while not (answer := writer.stdout.readline()).startswith(b"drained"):  # events come before it
        assert msgspec.json.decode(answer)["event"] in {"ready", "committed"}
    writer.stdin.close()
    writer.wait(60)
    return answer


def test_process_drains_and_ends(tmp_path: Path) -> None:
    """It brings what waits into the lake when told, and ends with its input, with exit code 0."""
    spool_messages(tmp_path, [native(), native(), b"no json"])
    with process(tmp_path) as writer:
        answer = drained(writer)

    assert (b"drained\n", 0) == (answer, writer.returncode)
    assert account_of(tmp_path).messages == {"stored": 1, "duplicate": 1, "quarantined": 1}


def test_process_without_settings_ends_quietly(tmp_path: Path) -> None:
    """When its receiver is killed before it was told anything it ends without a traceback."""
    with process(tmp_path, settings=False) as writer:
        assert writer.stdin is not None
        writer.stdin.close()
        writer.wait(60)

    assert writer.returncode == 0
    assert not (tmp_path / "spool").exists()


def test_process_waits_for_its_predecessor(tmp_path: Path) -> None:
    """Two writers never work on one site at once: the second waits until the first has ended."""
    with process(tmp_path) as first:
        wait_until((tmp_path / "spool" / "state.db").exists, "the first writer")
        spool_messages(tmp_path, [native()])
        with process(tmp_path) as second:
            assert drained(first) == b"drained\n"
            assert drained(second) == b"drained\n"

    assert account_of(tmp_path).messages == {"stored": 1, "duplicate": 0, "quarantined": 0}
