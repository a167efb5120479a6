"""A ticket and the event that tells of it, written together."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from tickets import store
from tickets.events import event_body, event_data
from tickets.settings import EventType
from tickets.store import Ticket
from tickets.texts import Language

Links = Callable[[Ticket], Mapping[str, str]]


def announce(
    connection: sqlite3.Connection,
    ticket: Ticket,
    event_type: EventType,
    *,
    at: datetime,
    language: Language,
    links: Links | None = None,
) -> Ticket:
    """Save the ticket and put its event into the outbox, in the caller's transaction.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a transaction.
    ticket : Ticket
        The changed ticket.
    event_type : str
        What happened.
    at : datetime
        When it happened.
    language : {'en', 'zh'}
        Language of the event's texts.
    links : callable, optional
        Returns the links of a ticket, by name.

    Returns
    -------
    Ticket
        With its new ``seq``.
    """
    told = replace(ticket, seq=ticket.seq + 1, notified_at=at)
    store.save(connection, told)
    moment = at.astimezone(UTC)
    data = event_data(told, on=moment.date(), language=language, links=links(told) if links else None)
    body = event_body(event_type, at=moment, data=data)
    store.put(connection, told, event_id=f"msg_{uuid.uuid4().hex}", event_type=event_type, at=at, body=body)
    return told
