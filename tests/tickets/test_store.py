"""What is stored comes back as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lake.site_database import opened
from tickets import desk, store
from tickets.sync import SyncReport

Run = Callable[..., SyncReport]
Make = Callable[..., dict[str, Any]]
Day = Callable[[float], datetime]


def test_ticket_comes_back_as_it_was(connection: sqlite3.Connection, run: Run, finding: Make, day: Day) -> None:
    """Every field survives the database."""
    run(finding(1))
    ticket = desk.get(connection, "1")
    changed = replace(
        ticket,
        state="pending",
        probability=0.1,
        rules=("b", "a"),
        judged_by=("x",),
        proposal=store.Proposal("2024-07-01T00:00:00Z", "d", "open"),
        notified_at=None,
        finished_at=day(3),
    )
    store.save(connection, changed)

    assert desk.get(connection, "1") == changed


def test_database_holds_the_closed_sets(connection: sqlite3.Connection, run: Run, finding: Make) -> None:
    """A state that does not exist cannot be stored."""
    run(finding(1))
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
        store.save(connection, replace(desk.get(connection, "1"), state="lost"))  # type: ignore[arg-type]


def test_incident_keys_do_not_collide() -> None:
    """Whatever characters meter ids have, two meters never share a key."""
    ids = ["A", "a", "A:coil", "coil/A", "A.B"]
    keys = {store.incident_key(meter_id, fault) for meter_id in ids for fault in ("coil", "battery")}

    assert len(keys) == 2 * len(ids)


def test_tables_outlive_the_connection(path: Path, run: Run, finding: Make) -> None:
    """Another process sees what was written."""
    run(finding(1))
    with opened(path) as other:
        assert [ticket.ticket_id for ticket in desk.list_tickets(other)] == ["T-000001"]


def test_progress_never_goes_back(connection: sqlite3.Connection, day: Day) -> None:
    """An old run finished late does not undo a newer one."""
    for number in (3, 1):
        store.advance(connection, [day(number)])
    store.advance(connection, [])

    assert store.progress(connection) == day(3)
