"""The account's database."""

from __future__ import annotations

import sqlite3
import stat
from collections import Counter
from pathlib import Path

import pytest

from ingest.account import Plan, State, Tally
from lake.errors import SpoolError

TALLY = Tally(
    Counter(stored=3, duplicate=1),
    Counter(stored=5, quarantined=2),
    Counter(not_json=2),
    1,
    {"a": (9, 3), "b": (None, 1)},
)


def test_state_new_is_empty(tmp_path: Path) -> None:
    """A new state stands at 0, is private and flushed at each commit."""
    with State(tmp_path) as state:
        modes = [state._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

        assert (0, Tally()) == state.tally()
        assert (0, {}, "") == (state.position(), state.clock_state(), state.writer_id())
    assert modes == ["wal", 2]
    assert stat.S_IMODE((tmp_path / "state.db").stat().st_mode) == 0o600


def test_state_complete_adds_up(tmp_path: Path) -> None:
    """Batches add up; the newest time of a source, register and clock state hold."""
    with State(tmp_path) as state:
        state.complete(4, TALLY, {"m/s": {"last": "x"}}, [("m", "s", 1, 1.5), ("n", "s", 1, 2.5)])
        state.complete(8, TALLY, {}, [("m", "s", 2, 1.75)])
    with State(tmp_path, read_only=True) as state:
        position, tally = state.tally()

        assert (8, {}) == (position, state.clock_state())
        assert [("m", "s", 2, 1.75)] == state.registers(["m", "unknown"])
    assert Counter(stored=6, duplicate=2) == tally.messages
    assert Counter(stored=10, quarantined=4) == tally.readings
    assert (Counter(not_json=4), 2) == (tally.reasons, tally.conflicts)
    assert {"a": (9, 6), "b": (None, 2)} == tally.sources


def test_state_complete_is_one_transaction(tmp_path: Path) -> None:
    """A batch that cannot be recorded as a whole is not recorded at all."""
    with State(tmp_path) as state:
        with pytest.raises(SpoolError):
            state.complete(4, TALLY, {}, [("m", "s", 1)])  # type: ignore[list-item]
        assert (0, Tally()) == state.tally()


def test_state_writer_is_named_once(tmp_path: Path) -> None:
    """The writer's name lasts."""
    with State(tmp_path) as state:
        state.name_writer("one")
        state.name_writer("two")

        assert state.writer_id() == "one"


def test_state_half_made_is_an_error_of_ours(tmp_path: Path) -> None:
    """A reader that comes while the database is being made gets a SpoolError, which the daemon waits out."""
    sqlite3.connect(tmp_path / "state.db").close()
    with State(tmp_path, read_only=True) as state, pytest.raises(SpoolError, match="no such table"):
        state.position()


def test_state_missing_is_an_error_of_ours(tmp_path: Path) -> None:
    """Reading makes nothing."""
    with pytest.raises(SpoolError, match="cannot be opened"):
        State(tmp_path, read_only=True)


@pytest.mark.parametrize("version", [7, None])
def test_state_plan(tmp_path: Path, version: int | None) -> None:
    """What is about to become of a batch outlives the process, until the batch is complete."""
    plan = Plan(first=1, last=4, now=5, version=version, tally=TALLY, duplicates=b"\0\xff")
    with State(tmp_path) as state:
        assert state.plan() is None
        state.begin(Plan(first=1, last=9, now=4, version=6, tally=Tally(), duplicates=b""))
        state.begin(plan)
    with State(tmp_path) as state:
        assert plan == state.plan()
        state.complete(4, plan.tally, {}, [])
        assert state.plan() is None


def test_tally_sees_sources() -> None:
    """The newest time of receipt counts, whatever the order."""
    tally = Tally()
    for received_at in (5, None, 9, 7):
        tally.see("a", received_at)
    tally.see("b", None)

    assert {"a": (9, 4), "b": (None, 1)} == tally.sources
