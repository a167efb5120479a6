"""What is to be delivered where, and how far it has come: the stored side of delivery.

Every function is one transaction. The order of an attempt is: :func:`claim` (recorded, committed) → the request →
:func:`delivered` or :func:`failed`. A process that dies in between leaves a claim whose owner is gone;
:func:`reclaim` gives it back, and the event is sent again under the same ``webhook-id``.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from lake.errors import DeliveryError
from lake.site_database import from_text, to_text, transaction
from tickets.answers import DestinationBusyError, DestinationGoneError
from tickets.settings import WebhookSettings
from tickets.store import OPEN_STATES

# Waits before each attempt, the first one included; about 75 h together (Standard Webhooks).
SCHEDULE_S = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
JITTER = 0.2
# A destination that is away is probed at least this often, so that what is due gets through soon after its return.
PAUSE_LIMIT_S = 300.0
LEASE_MARGIN_S = 60.0

Random = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Claim:
    """One event that this process is about to send to one destination."""

    destination: str
    position: int
    attempt: int
    attempts: int
    event_id: str
    dedup_key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Destination:
    """The stored state of one destination."""

    name: str
    failures: int
    paused_until: datetime | None
    disabled_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a destination did not take within the whole schedule."""

    destination: str
    event_id: str
    type: str
    dedup_key: str
    attempts: int
    last_error: str | None


def register(connection: sqlite3.Connection, webhook: WebhookSettings, *, now: datetime) -> None:
    """Make the destination known and queue what it has not been told yet.

    The first destination of a site gets everything; one that is added later begins with the tickets that are open.
    When its settings have changed, a disabled or paused destination is tried again at once.
    """
    digest = _digest(webhook)
    with transaction(connection):
        row = connection.execute(
            "SELECT settings_digest, seen_position FROM destination WHERE name = ?", (webhook.label,)
        ).fetchone()
        is_later = row is None and connection.execute("SELECT 1 FROM destination LIMIT 1").fetchone() is not None
        if row is None:
            connection.execute("INSERT INTO destination VALUES (?, ?, 0, 0, NULL, NULL, NULL)", (webhook.label, digest))
        elif row["settings_digest"] != digest:
            connection.execute("UPDATE destination SET settings_digest = ? WHERE name = ?", (digest, webhook.label))
            _enable(connection, webhook.label, now=now)
        _queue(connection, webhook, 0 if row is None else row["seen_position"], open_only=is_later, now=now)


def destination(connection: sqlite3.Connection, name: str) -> Destination:
    """Return the stored state of a registered destination."""
    row = connection.execute("SELECT * FROM destination WHERE name = ?", (name,)).fetchone()
    return Destination(
        name,
        row["failures"],
        None if row["paused_until"] is None else from_text(row["paused_until"]),
        None if row["disabled_at"] is None else from_text(row["disabled_at"]),
        row["last_error"],
    )


def reclaim(connection: sqlite3.Connection, name: str, *, now: datetime) -> int:
    """Give back claims whose process is gone or whose time is over, and return how many."""
    with transaction(connection):
        rows = connection.execute(
            "SELECT position, owner, lease_until FROM delivery "
            "WHERE destination = ? AND state IN ('pending', 'sending') AND state = 'sending'",
            (name,),
        ).fetchall()
        lost = [row["position"] for row in rows if row["lease_until"] <= to_text(now) or _is_gone(row["owner"])]
        connection.executemany(
            "UPDATE delivery SET state = 'pending', owner = NULL, lease_until = NULL, due_at = ? "
            "WHERE destination = ? AND position = ?",
            [(to_text(now), name, position) for position in lost],
        )
    return len(lost)


def claim(
    connection: sqlite3.Connection, webhook: WebhookSettings, *, now: datetime, limit: int, random: Random
) -> list[Claim]:
    """Take up to `limit` due events, at most the oldest of each ``dedup_key``, and record the attempts.

    Nothing is taken while the destination is disabled or paused, and only one event while it has not recovered.
    """
    with transaction(connection):
        state = destination(connection, webhook.label)
        if state.disabled_at is not None or (state.paused_until is not None and now < state.paused_until):
            return []
        width = min(limit, 1 - _sending(connection, webhook.label)) if state.failures else limit
        rows = connection.execute(
            "SELECT position, d.dedup_key, attempts, event_id, body FROM delivery AS d JOIN outbox USING (position) "
            "WHERE destination = :name AND d.state IN ('pending', 'sending') AND d.state = 'pending' "
            "AND due_at <= :now AND position = ("
            "  SELECT min(position) FROM delivery AS e WHERE e.destination = :name AND e.dedup_key = d.dedup_key"
            "  AND e.state IN ('pending', 'sending')"
            ") ORDER BY position LIMIT :width",
            {"name": webhook.label, "now": to_text(now), "width": max(width, 0)},
        )
        columns = "position", "dedup_key", "attempts", "event_id", "body"
        taken = [tuple(row[column] for column in columns) for row in rows]
        return [_record_claim(connection, webhook, *row, now=now, random=random) for row in taken]


def delivered(connection: sqlite3.Connection, claimed: Claim, *, now: datetime) -> None:
    """Record that the destination has the event."""
    with transaction(connection):
        _finish_attempt(connection, claimed, now=now, error=None)
        connection.execute(
            "UPDATE delivery SET state = 'delivered', delivered_at = ?, owner = NULL, lease_until = NULL, "
            "last_error = NULL WHERE destination = ? AND position = ?",
            (to_text(now), claimed.destination, claimed.position),
        )
        connection.execute(
            "UPDATE destination SET failures = 0, paused_until = NULL, last_error = NULL "
            "WHERE name = ? AND (failures > 0 OR paused_until IS NOT NULL OR last_error IS NOT NULL)",
            (claimed.destination,),
        )


def failed(
    connection: sqlite3.Connection, claimed: Claim, error: DeliveryError, *, now: datetime, random: Random
) -> None:
    """Record why the destination did not take the event, and when it is tried again."""
    with transaction(connection):
        _finish_attempt(connection, claimed, now=now, error=str(error))
        connection.execute("UPDATE destination SET last_error = ? WHERE name = ?", (str(error), claimed.destination))
        if isinstance(error, DestinationGoneError):
            connection.execute(
                "UPDATE destination SET disabled_at = ? WHERE name = ?", (to_text(now), claimed.destination)
            )
        if isinstance(error, DestinationBusyError):
            _pause(connection, claimed.destination, error, now=now, random=random)
        is_over = claimed.attempts >= len(SCHEDULE_S) and not isinstance(error, DestinationGoneError)
        wait_s = max(delay_s(claimed.attempts, random), error.retry_after_s or 0.0)
        connection.execute(
            "UPDATE delivery SET state = ?, due_at = ?, owner = NULL, lease_until = NULL, last_error = ? "
            "WHERE destination = ? AND position = ? AND state = 'sending' AND attempts = ?",
            (
                "dead" if is_over else "pending",
                to_text(now + timedelta(seconds=wait_s)),
                str(error),
                claimed.destination,
                claimed.position,
                claimed.attempts,
            ),
        )


def delay_s(attempts: int, random: Random) -> float:
    """Return the wait after that many attempts, with jitter [s].

    Examples
    --------
    >>> delay_s(1, lambda: 0.5)
    5.0
    """
    base = SCHEDULE_S[min(attempts, len(SCHEDULE_S) - 1)]
    return base * (1 - JITTER + 2 * JITTER * random())


def counts(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Return how many events wait for a destination and how many are dead letters."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM delivery WHERE destination = :name AND state IN ('pending', 'sending')), "
        "(SELECT count(*) FROM delivery WHERE destination = :name AND state = 'dead')",
        {"name": name},
    ).fetchone()
    return int(row[0]), int(row[1])


def dead_letters(connection: sqlite3.Connection) -> list[DeadLetter]:
    """Return the events that were given up, oldest first."""
    rows = connection.execute(
        "SELECT destination, event_id, type, delivery.dedup_key, attempts, last_error "
        "FROM delivery JOIN outbox USING (position) WHERE state = 'dead' ORDER BY position, destination"
    )
    return [DeadLetter(*row) for row in rows]


def replay(connection: sqlite3.Connection, name: str, *, now: datetime) -> int:
    """Queue all dead letters of a destination again, with a fresh schedule, and return how many."""
    with transaction(connection):
        return connection.execute(
            "UPDATE delivery SET state = 'pending', attempts = 0, due_at = ? WHERE destination = ? AND state = 'dead'",
            (to_text(now), name),
        ).rowcount


def enable(connection: sqlite3.Connection, name: str, *, now: datetime) -> None:
    """Try a destination again at once that answered 410, is paused, or whose events wait for their next attempt."""
    with transaction(connection):
        _enable(connection, name, now=now)


def _enable(connection: sqlite3.Connection, name: str, *, now: datetime) -> None:
    connection.execute(
        "UPDATE destination SET failures = 0, paused_until = NULL, disabled_at = NULL, last_error = NULL "
        "WHERE name = ?",
        (name,),
    )
    connection.execute(
        "UPDATE delivery SET due_at = ? "
        "WHERE destination = ? AND state IN ('pending', 'sending') AND state = 'pending' AND due_at > ?",
        (to_text(now), name, to_text(now)),
    )


def _digest(webhook: WebhookSettings) -> str:
    """Return what tells changed settings without keeping an address, which may hold a token."""
    told = f"{webhook.url}\n{webhook.allow_private}\n{webhook.receiver}"
    return hashlib.sha256(told.encode()).hexdigest()


def _queue(
    connection: sqlite3.Connection, webhook: WebhookSettings, seen: int, *, open_only: bool, now: datetime
) -> None:
    newest = connection.execute("SELECT coalesce(max(position), 0) FROM outbox").fetchone()[0]
    if newest == seen:
        return
    types = ", ".join("?" * len(webhook.events))
    states = ", ".join("?" * len(OPEN_STATES))
    connection.execute(
        "INSERT INTO delivery (destination, position, dedup_key, state, attempts, due_at) "  # noqa: S608 - question marks
        "SELECT ?, position, outbox.dedup_key, 'pending', 0, ? FROM outbox JOIN ticket USING (number) "
        f"WHERE position > ? AND type IN ({types}) AND (NOT ? OR state IN ({states})) ORDER BY position",
        (webhook.label, to_text(now), seen, *webhook.events, open_only, *OPEN_STATES),
    )
    connection.execute("UPDATE destination SET seen_position = ? WHERE name = ?", (newest, webhook.label))


def _sending(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute(
        "SELECT count(*) FROM delivery WHERE destination = ? AND state IN ('pending', 'sending') AND state = 'sending'",
        (name,),
    ).fetchone()
    return int(row[0])


def _record_claim(
    connection: sqlite3.Connection,
    webhook: WebhookSettings,
    position: int,
    dedup_key: str,
    attempts: int,
    event_id: str,
    body: bytes,
    *,
    now: datetime,
    random: Random,
) -> Claim:
    lease_until = now + timedelta(seconds=4 * webhook.timeout_s + LEASE_MARGIN_S)
    connection.execute(
        "UPDATE delivery SET state = 'sending', attempts = attempts + 1, due_at = ?, owner = ?, lease_until = ? "
        "WHERE destination = ? AND position = ?",
        (
            to_text(now + timedelta(seconds=delay_s(attempts + 1, random))),
            owner(os.getpid()),
            to_text(lease_until),
            webhook.label,
            position,
        ),
    )
    cursor = connection.execute(
        "INSERT INTO delivery_attempt (destination, position, started_at) VALUES (?, ?, ?)",
        (webhook.label, position, to_text(now)),
    )
    return Claim(webhook.label, position, int(cursor.lastrowid or 0), attempts + 1, event_id, dedup_key, body)


def _finish_attempt(connection: sqlite3.Connection, claimed: Claim, *, now: datetime, error: str | None) -> None:
    connection.execute(
        "UPDATE delivery_attempt SET finished_at = ?, error = ? WHERE attempt = ?",
        (to_text(now), error, claimed.attempt),
    )


def _pause(
    connection: sqlite3.Connection, name: str, error: DestinationBusyError, *, now: datetime, random: Random
) -> None:
    failures = destination(connection, name).failures + 1
    wait_s = max(min(delay_s(failures, random), PAUSE_LIMIT_S), error.retry_after_s or 0.0)
    connection.execute(
        "UPDATE destination SET failures = ?, paused_until = max(coalesce(paused_until, ''), ?) WHERE name = ?",
        (failures, to_text(now + timedelta(seconds=wait_s)), name),
    )


@cache
def owner(pid: int) -> str:
    """Name a process so that another one can tell whether it still runs."""
    return f"{socket.gethostname()}/{pid}/{_started(pid)}"


def _is_gone(name: str) -> bool:
    host, pid, started = name.rsplit("/", 2)
    return host == socket.gethostname() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty when there is no such process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = status.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
