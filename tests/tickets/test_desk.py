"""What people do with tickets."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lake.errors import UsageError
from lake.site_database import opened
from tickets import desk
from tickets.store import NoSuchTicketError
from tickets.sync import SyncReport

Run = Callable[..., SyncReport]
Make = Callable[..., dict[str, Any]]
Outbox = Callable[[], list[dict[str, Any]]]
Day = Callable[[float], datetime]


def test_list_tickets_most_urgent_first(connection: sqlite3.Connection, run: Run, finding: Make, day: Day) -> None:
    """Open tickets come by priority; others when asked for."""
    run(
        finding(1, severity=4), finding(1, meter_id="B", severity=1), finding(1, fault="coil"), finding(1, meter_id="C")
    )
    desk.close(connection, "4", at=day(2), actor="lin", language="en")
    numbers = {
        "open": [ticket.number for ticket in desk.list_tickets(connection)],
        "closed": [ticket.number for ticket in desk.list_tickets(connection, states=["closed"])],
        "A": [ticket.number for ticket in desk.list_tickets(connection, meter_id="A")],
        "coil": [ticket.number for ticket in desk.list_tickets(connection, fault="coil")],
        "one": [ticket.number for ticket in desk.list_tickets(connection, limit=1)],
    }

    assert numbers == {"open": [2, 3, 1], "closed": [4], "A": [2, 1], "coil": [2], "one": [2]}


def test_new_site_has_no_tickets(path: Path) -> None:
    """Looking at a fresh site creates the tables and shows nothing."""
    with opened(path) as connection:
        assert desk.list_tickets(connection) == []


@pytest.mark.parametrize("number", ["1", "T-000001", "t-1", " T-1 "])
def test_get_takes_every_spelling(connection: sqlite3.Connection, run: Run, finding: Make, number: str) -> None:
    """People write numbers as they like."""
    run(finding())

    assert desk.get(connection, number).ticket_id == "T-000001"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("7", "there is no ticket T-000007"),
        ("", "'' is not the number of a ticket; they look like T-000012"),
        ("T-x", "'T-x' is not the number"),
        ("-1", "'-1' is not the number"),
        ("9" * 30, "is not the number"),
        ("1; DROP TABLE ticket", "is not the number"),
        ("²", "is not the number"),
    ],
)
def test_get_unknown_number_says_so(connection: sqlite3.Connection, number: str, message: str) -> None:
    """A wrong number is an error that shows how numbers look."""
    with pytest.raises(NoSuchTicketError) as caught:
        desk.get(connection, number)

    assert message in str(caught.value)


def test_close_tells_and_remembers(
    connection: sqlite3.Connection, run: Run, finding: Make, day: Day, outbox: Outbox
) -> None:
    """Closing writes the reason first and then tells."""
    run(finding())
    ticket = desk.close(connection, "1", at=day(2), actor="lin", language="zh", reason="battery\x1b[2J exchanged")
    last = desk.explain(connection, "1").history[-1]

    assert (ticket.state, ticket.finished_at, ticket.seq) == ("closed", day(2), 2)
    assert (last.actor, last.what, last.detail) == ("lin", "closed", "battery[2J exchanged")
    assert (outbox()[-1]["type"], outbox()[-1]["data"]["state"]) == ("ticket.resolved", "closed")
    with pytest.raises(UsageError, match="ticket T-000001 is closed already"):
        desk.close(connection, "1", at=day(3), actor="lin", language="en")


def test_close_after_resolved_keeps_the_time_of_repair(
    connection: sqlite3.Connection, run: Run, finding: Make, day: Day, outbox: Outbox
) -> None:
    """Closing what is resolved is an update; the repair's time stays."""
    run(finding())
    desk.close(connection, "1", at=day(2), actor="lin", language="en", state="resolved")
    ticket = desk.close(connection, "1", at=day(9), actor="lin", language="en")

    assert (ticket.state, ticket.finished_at) == ("closed", day(2))
    assert [event["type"] for event in outbox()] == ["ticket.opened", "ticket.resolved", "ticket.updated"]


def test_note_stays_in_the_house(
    connection: sqlite3.Connection, run: Run, finding: Make, day: Day, outbox: Outbox
) -> None:
    """A note is kept with the ticket and tells nobody."""
    run(finding())
    desk.note(connection, "1", "called the customer", at=day(2), actor="lin")

    assert [entry.what for entry in desk.explain(connection, "1").history] == ["opened", "note"]
    assert len(outbox()) == 1
    with pytest.raises(UsageError, match="a note needs a text"):
        desk.note(connection, "1", " \x00 ", at=day(2), actor="lin")
    with pytest.raises(NoSuchTicketError):
        desk.note(connection, "2", "x", at=day(2), actor="lin")


def test_explain_says_why(connection: sqlite3.Connection, run: Run, finding: Make) -> None:
    """Rules, evidence, history, muted findings and deliveries of a ticket are at hand."""
    run(finding(1), finding(1, fault="coil", inhibited_by="battery"))
    why = desk.explain(connection, "T-1")

    assert why.ticket.rules == ("battery.knee",)
    assert json.loads(why.ticket.evidence)[0]["battery_v"] == 3.31
    assert [(entry.what, entry.detail) for entry in why.history] == [("opened", "d1")]
    assert [(muted.fault, muted.inhibited_by) for muted in why.muted] == [("coil", "battery")]
    assert [(delivery.seq, delivery.destination, delivery.state) for delivery in why.deliveries] == [
        (1, None, "waiting")
    ]
