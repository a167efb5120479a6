"""Tickets, their history and the outbox in the site database.

Nothing here opens a transaction: the caller does, so that a ticket and its event are written together or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal, Self

import msgspec

from lake.errors import MetriageError
from lake.site_database import from_text, migrate, to_text

COMPONENT = "tickets"

Kind = Literal["incident", "problem", "major_incident"]
State = Literal["open", "acknowledged", "pending", "resolved", "closed", "wont_fix"]

OPEN_STATES: tuple[State, ...] = ("open", "acknowledged", "pending")
STATES: tuple[State, ...] = (*OPEN_STATES, "resolved", "closed", "wont_fix")

_FIRST = """
CREATE TABLE ticket (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    dedup_key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('incident', 'problem', 'major_incident')),
    parent INTEGER REFERENCES ticket (number),
    state TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'pending', 'resolved', 'closed', 'wont_fix')),
    meter_id TEXT,
    fault TEXT NOT NULL,
    cause TEXT NOT NULL,
    cause_confidence REAL,
    probability REAL,
    severity INTEGER NOT NULL,
    impact INTEGER NOT NULL,
    urgency INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    rules TEXT NOT NULL,
    evidence TEXT NOT NULL,
    action TEXT NOT NULL,
    model_version TEXT,
    meter TEXT NOT NULL,
    onset TEXT,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    count INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    judged_at TEXT NOT NULL,
    judged_by TEXT NOT NULL,
    proposal TEXT,
    notified_at TEXT,
    repeats INTEGER NOT NULL,
    finished_at TEXT
) STRICT;
CREATE UNIQUE INDEX ticket_open ON ticket (dedup_key) WHERE state IN ('open', 'acknowledged', 'pending');
CREATE INDEX ticket_identity ON ticket (dedup_key, number);
CREATE INDEX ticket_state ON ticket (state, priority, number);
CREATE INDEX ticket_meter ON ticket (meter_id);

CREATE TABLE ticket_history (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL REFERENCES ticket (number),
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    what TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX ticket_history_number ON ticket_history (number, entry);

CREATE TABLE ticket_muted (
    meter_id TEXT NOT NULL,
    fault TEXT NOT NULL,
    inhibited_by TEXT NOT NULL,
    first_at TEXT NOT NULL,
    last_at TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (meter_id, fault, inhibited_by)
) STRICT;

CREATE TABLE ticket_progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    as_of TEXT NOT NULL
) STRICT;

CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL REFERENCES ticket (number),
    seq INTEGER NOT NULL,
    dedup_key TEXT NOT NULL,
    type TEXT NOT NULL,
    at TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (number, seq)
) STRICT;

CREATE TABLE destination (
    name TEXT PRIMARY KEY,
    settings_digest TEXT NOT NULL,
    seen_position INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    paused_until TEXT,
    disabled_at TEXT,
    last_error TEXT
) STRICT;

CREATE TABLE delivery (
    destination TEXT NOT NULL REFERENCES destination (name),
    position INTEGER NOT NULL REFERENCES outbox (position),
    dedup_key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'delivered', 'dead')),
    attempts INTEGER NOT NULL,
    due_at TEXT NOT NULL,
    owner TEXT,
    lease_until TEXT,
    delivered_at TEXT,
    last_error TEXT,
    PRIMARY KEY (destination, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_order ON delivery (destination, position) WHERE state IN ('pending', 'sending');
CREATE INDEX delivery_waiting ON delivery (destination, dedup_key, position) WHERE state IN ('pending', 'sending');
CREATE INDEX delivery_dead ON delivery (destination, position) WHERE state = 'dead';

CREATE TABLE delivery_attempt (
    attempt INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    position INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    error TEXT
) STRICT;
CREATE INDEX delivery_attempt_event ON delivery_attempt (position, destination, attempt);
"""

# What the registry knew is a record of the lake since: aliases are a list.
_WARRANTY = """
ALTER TABLE ticket ADD COLUMN warranty TEXT NOT NULL DEFAULT '{}';
UPDATE ticket SET meter = json_set(meter, '$.aliases', json_array())
WHERE json_type(meter, '$.aliases') IS NOT NULL AND json_type(meter, '$.aliases') <> 'array';
"""

STEPS = (_FIRST, _WARRANTY)


class NoSuchTicketError(MetriageError):
    """There is no ticket of that number."""


class Proposal(msgspec.Struct, frozen=True):
    """The engine's word that a ticket may be resolved; a person or a later finding decides."""

    at: str
    diagnosis_id: str
    from_state: State


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket as stored; times are UTC.

    Parameters
    ----------
    number : int
        Running number; ``ticket_id`` is made of it.
    dedup_key : str
        What the ticket is about; unique among the open ones.
    kind, state, fault, cause : str
        Words of the contract.
    parent : int, optional
        Number of the problem above.
    meter_id : str, optional
        The meter of an incident.
    cause_confidence, probability : float, optional
        0 … 1.
    severity, impact, urgency, priority : int
        1 worst … 4 mildest.
    rules : tuple of str
        All rules that have fired so far.
    evidence : str
        JSON of the latest ``act``.
    action : str
        Recommended action.
    model_version : str, optional
        Version of the model that scored.
    meter : str
        JSON of what the registry knew at the latest ``act``.
    warranty : str
        JSON of the warranty as known then.
    onset : datetime, optional
        When the symptom began.
    first_seen, last_seen : datetime
        First and latest ``act``.
    count : int
        Diagnoses that said ``act``.
    seq : int
        Events so far.
    judged_at : datetime
        The newest finding taken into account, of whatever verdict.
    judged_by : tuple of str
        Diagnoses as of ``judged_at`` already taken into account.
    proposal : Proposal, optional
        Proposed resolution.
    notified_at : datetime, optional
        When readers were last told something.
    repeats : int
        Unchanged repetitions since the last change.
    finished_at : datetime, optional
        When it was resolved, closed or refused.
    """

    number: int
    dedup_key: str
    kind: Kind
    state: State
    parent: int | None
    meter_id: str | None
    fault: str
    cause: str
    cause_confidence: float | None
    probability: float | None
    severity: int
    impact: int
    urgency: int
    priority: int
    rules: tuple[str, ...]
    evidence: str
    action: str
    model_version: str | None
    meter: str
    onset: datetime | None
    first_seen: datetime
    last_seen: datetime
    count: int
    seq: int
    judged_at: datetime
    judged_by: tuple[str, ...]
    proposal: Proposal | None = None
    notified_at: datetime | None = None
    repeats: int = 0
    finished_at: datetime | None = None
    warranty: str = "{}"

    @property
    def ticket_id(self) -> str:
        """The number as people write it, ``T-000012``."""
        return ticket_id(self.number)

    @property
    def is_open(self) -> bool:
        """Whether work on it is not finished."""
        return self.state in OPEN_STATES

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Self:
        """Build from a row of the table."""
        values: dict[str, Any] = dict(row)
        for name in _TIMES:
            values[name] = None if values[name] is None else from_text(values[name])
        for name in _LISTS:
            values[name] = tuple(msgspec.json.decode(values[name], type=list[str]))
        if values["proposal"] is not None:
            values["proposal"] = msgspec.json.decode(values["proposal"], type=Proposal)
        return cls(**values)

    def row(self) -> dict[str, Any]:
        """Return the columns as SQLite stores them."""
        values = asdict(self)
        for name in _TIMES:
            values[name] = None if values[name] is None else to_text(values[name])
        for name in _LISTS:
            values[name] = msgspec.json.encode(values[name]).decode()
        values["proposal"] = None if self.proposal is None else msgspec.json.encode(self.proposal).decode()
        return values


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a ticket's history: who did what when."""

    at: datetime
    actor: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Muted:
    """Findings of one meter that opened no ticket because something else explains them."""

    meter_id: str
    fault: str
    inhibited_by: str
    first_at: datetime
    last_at: datetime
    count: int


_TIMES = ("onset", "first_seen", "last_seen", "judged_at", "notified_at", "finished_at")
_LISTS = ("rules", "judged_by")
_COLUMNS = tuple(field.name for field in fields(Ticket))
_INSERT = f"INSERT INTO ticket ({', '.join(_COLUMNS[1:])}) VALUES ({', '.join(f':{name}' for name in _COLUMNS[1:])})"  # noqa: S608 - our own field names
_UPDATE = f"UPDATE ticket SET {', '.join(f'{name} = :{name}' for name in _COLUMNS[1:])} WHERE number = :number"  # noqa: S608 - our own field names


def prepare(connection: sqlite3.Connection) -> None:
    """Create or grow the ticket tables; every entry of this package does it first."""
    migrate(connection, COMPONENT, STEPS)


def ticket_id(number: int) -> str:
    """Return a ticket's number as people write it."""
    return f"T-{number:06d}"


def ticket_number(text: str) -> int:
    """Read a ticket's number, ``T-000012``, ``t-12`` or ``12``.

    Raises
    ------
    NoSuchTicketError
        The text is no such number.
    """
    digits = text.strip().upper().removeprefix("T-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise NoSuchTicketError(f"{text[:40]!r} is not the number of a ticket; they look like {ticket_id(12)}")
    return int(digits)


def incident_key(meter_id: str, fault: str) -> str:
    """Return the identity of an incident; neither a fault nor a kind holds a slash, so no two meters share one."""
    return f"incident/{fault}/{meter_id}"


def insert(connection: sqlite3.Connection, ticket: Ticket) -> Ticket:
    """Store a new ticket and return it with its number.

    Raises
    ------
    sqlite3.IntegrityError
        An open ticket of the same identity exists.
    """
    cursor = connection.execute(_INSERT, ticket.row())
    return replace(ticket, number=int(cursor.lastrowid or 0))


def save(connection: sqlite3.Connection, ticket: Ticket) -> None:
    """Store the changed ticket."""
    connection.execute(_UPDATE, ticket.row())


def latest(connection: sqlite3.Connection, dedup_key: str) -> Ticket | None:
    """Return the newest ticket of an identity, finished or not."""
    row = connection.execute(
        "SELECT * FROM ticket WHERE dedup_key = ? ORDER BY number DESC LIMIT 1", (dedup_key,)
    ).fetchone()
    return None if row is None else Ticket.from_row(row)


def load(connection: sqlite3.Connection, number: int) -> Ticket:
    """Return one ticket.

    Raises
    ------
    NoSuchTicketError
        There is none of that number.
    """
    row = connection.execute("SELECT * FROM ticket WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise NoSuchTicketError(f"there is no ticket {ticket_id(number)}")
    return Ticket.from_row(row)


def select(
    connection: sqlite3.Connection,
    *,
    states: Sequence[State] = OPEN_STATES,
    meter_id: str | None = None,
    fault: str | None = None,
    limit: int | None = None,
) -> list[Ticket]:
    """Return tickets, the most urgent first."""
    query = f"SELECT * FROM ticket WHERE state IN ({', '.join('?' * len(states))})"  # noqa: S608 - question marks
    values: list[object] = list(states)
    for column, value in (("meter_id", meter_id), ("fault", fault)):
        if value is not None:
            query += f" AND {column} = ?"
            values.append(value)
    values.append(-1 if limit is None else limit)
    rows = connection.execute(f"{query} ORDER BY priority, number LIMIT ?", values)
    return [Ticket.from_row(row) for row in rows]


def remember(connection: sqlite3.Connection, number: int, *, at: datetime, actor: str, what: str, detail: str) -> None:
    """Add a line to a ticket's history."""
    connection.execute(
        "INSERT INTO ticket_history (number, at, actor, what, detail) VALUES (?, ?, ?, ?, ?)",
        (number, to_text(at), actor, what, detail),
    )


def history(connection: sqlite3.Connection, number: int) -> list[HistoryEntry]:
    """Return a ticket's history, oldest first."""
    rows = connection.execute(
        "SELECT at, actor, what, detail FROM ticket_history WHERE number = ? ORDER BY entry", (number,)
    )
    return [HistoryEntry(from_text(at), actor, what, detail) for at, actor, what, detail in rows]


def mute(connection: sqlite3.Connection, *, meter_id: str, fault: str, inhibited_by: str, at: datetime) -> None:
    """Record that a finding was muted, by what; the same finding again changes nothing."""
    connection.execute(
        "INSERT INTO ticket_muted VALUES (:meter_id, :fault, :by, :at, :at, 1) "
        "ON CONFLICT DO UPDATE SET last_at = :at, count = count + 1 WHERE last_at < :at",
        {"meter_id": meter_id, "fault": fault, "by": inhibited_by, "at": to_text(at)},
    )


def muted(connection: sqlite3.Connection, meter_id: str) -> list[Muted]:
    """Return what was muted for one meter, newest first."""
    rows = connection.execute("SELECT * FROM ticket_muted WHERE meter_id = ? ORDER BY last_at DESC, fault", (meter_id,))
    return [
        Muted(row["meter_id"], row["fault"], row["inhibited_by"], from_text(row["first_at"]), from_text(row["last_at"]),
              row["count"])
        for row in rows
    ]  # fmt: skip


def put(
    connection: sqlite3.Connection, ticket: Ticket, *, event_id: str, event_type: str, at: datetime, body: bytes
) -> None:
    """Put one event of a ticket into the outbox."""
    connection.execute(
        "INSERT INTO outbox (event_id, number, seq, dedup_key, type, at, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (event_id, ticket.number, ticket.seq, ticket.dedup_key, event_type, to_text(at), body),
    )


def progress(connection: sqlite3.Connection) -> datetime | None:
    """Return the ``as_of`` of the newest finding that was ever worked through, or None."""
    row = connection.execute("SELECT as_of FROM ticket_progress").fetchone()
    return None if row is None else from_text(row[0])


def advance(connection: sqlite3.Connection, as_of: Iterable[datetime]) -> None:
    """Remember how far the findings were worked through; it never goes back."""
    newest = max(as_of, default=None)
    if newest is not None:
        connection.execute(
            "INSERT INTO ticket_progress VALUES (1, :at) "
            "ON CONFLICT DO UPDATE SET as_of = excluded.as_of WHERE as_of < excluded.as_of",
            {"at": to_text(newest)},
        )
