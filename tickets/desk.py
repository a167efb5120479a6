"""What people do with tickets: look, note, close, and ask why."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from lake.errors import UsageError
from lake.site_database import from_text, transaction
from tickets import store
from tickets.outbox import Links, announce
from tickets.store import OPEN_STATES, HistoryEntry, Muted, State, Ticket, ticket_number
from tickets.texts import Language, clean

Resolution = Literal["resolved", "closed", "wont_fix"]
NOTE_LIMIT = 4_000


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How far one event of a ticket has come at one destination."""

    seq: int
    type: str
    destination: str | None
    state: str
    attempts: int
    due_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why there is this ticket.

    Parameters
    ----------
    ticket : Ticket
        As it is now: rules that fired, evidence, cause.
    history : list of HistoryEntry
        What happened to it, oldest first.
    muted : list of Muted
        Other findings of its meter that something else explains.
    deliveries : list of DeliveryState
        Its events at their destinations.
    """

    ticket: Ticket
    history: list[HistoryEntry]
    muted: list[Muted]
    deliveries: list[DeliveryState]


def list_tickets(
    connection: sqlite3.Connection,
    *,
    states: Sequence[State] = OPEN_STATES,
    meter_id: str | None = None,
    fault: str | None = None,
    limit: int | None = None,
) -> list[Ticket]:
    """Return tickets, the most urgent first; the open ones unless other states are asked for."""
    store.prepare(connection)
    return store.select(connection, states=states, meter_id=meter_id, fault=fault, limit=limit)


def get(connection: sqlite3.Connection, ticket_id: str) -> Ticket:
    """Return one ticket by its number, ``T-000012`` or ``12``.

    Raises
    ------
    NoSuchTicketError
        There is none.
    """
    store.prepare(connection)
    return store.load(connection, ticket_number(ticket_id))


def explain(connection: sqlite3.Connection, ticket_id: str) -> Explanation:
    """Return a ticket with what led to it and what became of it.

    Raises
    ------
    NoSuchTicketError
        There is none.
    """
    ticket = get(connection, ticket_id)
    return Explanation(
        ticket,
        store.history(connection, ticket.number),
        [] if ticket.meter_id is None else store.muted(connection, ticket.meter_id),
        _deliveries(connection, ticket.number),
    )


def note(connection: sqlite3.Connection, ticket_id: str, text: str, *, at: datetime, actor: str) -> None:
    """Add a note to a ticket's history; nobody is notified.

    Raises
    ------
    NoSuchTicketError
        There is none.
    UsageError
        The note is empty.
    """
    store.prepare(connection)
    said = clean(text, NOTE_LIMIT)
    if not said:
        raise UsageError("a note needs a text")
    with transaction(connection):
        ticket = store.load(connection, ticket_number(ticket_id))
        store.remember(connection, ticket.number, at=at, actor=clean(actor, 100), what="note", detail=said)


def close(
    connection: sqlite3.Connection,
    ticket_id: str,
    *,
    at: datetime,
    actor: str,
    language: Language,
    state: Resolution = "closed",
    reason: str = "",
    links: Links | None = None,
) -> Ticket:
    """Finish a ticket by hand; the reason first, then ``ticket.resolved``.

    Parameters
    ----------
    connection : sqlite3.Connection
        From :func:`lake.site_database.connect`.
    ticket_id : str
        ``T-000012`` or ``12``.
    at : datetime
        When the work was finished: later evidence opens the ticket again.
    actor : str
        Who closed it.
    language : {'en', 'zh'}
        Language of the event's texts.
    state : {'closed', 'resolved', 'wont_fix'}
        How it ended; ``wont_fix`` is never opened again.
    reason : str
        A word why.
    links : callable, optional
        Returns the links of a ticket, by name.

    Raises
    ------
    NoSuchTicketError
        There is none.
    UsageError
        It is finished already in this way.
    """
    store.prepare(connection)
    with transaction(connection):
        ticket = store.load(connection, ticket_number(ticket_id))
        if ticket.state == state:
            raise UsageError(f"ticket {ticket.ticket_id} is {state} already")
        finished_at = at if ticket.is_open else ticket.finished_at
        finished = replace(ticket, state=state, finished_at=finished_at, proposal=None, repeats=0)
        store.remember(
            connection, ticket.number, at=at, actor=clean(actor, 100), what=state, detail=clean(reason, NOTE_LIMIT)
        )
        event_type: Literal["ticket.resolved", "ticket.updated"] = (
            "ticket.resolved" if ticket.is_open else "ticket.updated"
        )
        return announce(connection, finished, event_type, at=at, language=language, links=links)


def _deliveries(connection: sqlite3.Connection, number: int) -> list[DeliveryState]:
    rows = connection.execute(
        "SELECT seq, type, destination, coalesce(state, 'waiting'), coalesce(attempts, 0), due_at, last_error "
        "FROM outbox LEFT JOIN delivery USING (position) WHERE number = ? ORDER BY seq, destination",
        (number,),
    )
    return [
        DeliveryState(seq, kind, name, state, attempts, None if due_at is None else from_text(due_at), error)
        for seq, kind, name, state, attempts, due_at, error in rows
    ]
