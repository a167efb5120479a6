"""The account: what became of every message and every reading, exact at any time.

``state.db`` holds, in one transaction a batch, how far the lake writer has come, what became of the messages up to
there, the decoder's state and the newest register of each meter. Everything behind that position is pending. While a
batch is on its way into the lake it also holds the :class:`Plan` of it, by which a crash is recovered from.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from ingest.message import Channel
from ingest.spool import connect
from lake.durability import sync_path
from lake.errors import SpoolError

FILE = "state.db"

OUTCOMES = ("stored", "duplicate", "quarantined")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tally (kind TEXT, name TEXT, n INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS source (name TEXT PRIMARY KEY, last_message_at INTEGER, messages INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS register (
    meter_id TEXT, source TEXT, ts INTEGER NOT NULL, volume_m3 REAL NOT NULL, PRIMARY KEY (meter_id, source)
) WITHOUT ROWID;
"""


@dataclass(slots=True)
class Tally:
    """What became of a batch, or of everything.

    Parameters
    ----------
    messages, readings : Counter
        By outcome.
    reasons : Counter
        Quarantined readings by reason.
    conflicts : int
        Stored readings whose identity was already there with other content.
    sources : dict of str to (int or None, int)
        When the newest message of a source was received [µs since 1970 UTC], and how many came.
    """

    messages: Counter[str] = field(default_factory=Counter)
    readings: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    sources: dict[str, tuple[int | None, int]] = field(default_factory=dict)

    def see(self, source: str, received_at: int | None, messages: int = 1) -> None:
        """Count messages of a source, the newest of which was received then."""
        last, count = self.sources.get(source, (None, 0))
        if last is None or (received_at is not None and received_at > last):
            last = received_at
        self.sources[source] = (last, count + messages)


class ReplayOf(msgspec.Struct, frozen=True, kw_only=True):
    """The quarantined messages that make a batch, and how they were decoded.

    Parameters
    ----------
    messages : tuple of str
        Their names.
    codec : str or None
        By which all are decoded.
    channels : dict of str to Channel
        How messages of a source are decoded, else.
    """

    messages: tuple[str, ...]
    codec: str | None
    channels: dict[str, Channel]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to become of a batch, written down before its readings are committed.

    Once the lake holds the readings they could no longer be told from duplicates, so what was decided must be known
    from elsewhere; and it must be the same decision that a commit carries whose outcome the store did not tell.

    Parameters
    ----------
    first, last : int
        Spool positions of the first and the last message, and of all between them.
    now : int
        The clock when the batch was decoded [µs since 1970 UTC], so that it can be decoded again to the same rows.
    version : int or None
        Version of the table ``readings`` behind which they are committed; None where none has to be stored.
    tally : Tally
        What becomes of the batch.
    duplicates : bytes
        Which readings are duplicates: one bit each, in the order of receipt, compressed.
    replay : ReplayOf, optional
        What is replayed; None where the batch came from the spool.
    """

    first: int
    last: int
    now: int
    version: int | None
    tally: Tally
    duplicates: bytes
    replay: ReplayOf | None = None


class State(AbstractContextManager["State"]):
    """The lake writer's own database.

    Parameters
    ----------
    folder : Path
        The ``spool/`` folder of a site.
    read_only : bool
        Whether this process only reads.

    Raises
    ------
    SpoolError
        The database cannot be opened.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._file = Path(folder) / FILE
        try:
            self._connection = connect(self._file, read_only=read_only)
        except sqlite3.Error as error:
            raise SpoolError(f"{self._file} cannot be opened: {error}") from error
        try:
            if not read_only:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=FULL")
                self._connection.executescript(_SCHEMA)
                self._file.chmod(0o600)
                sync_path(self._file.parent)  # only the folder: see Spool
        except (sqlite3.Error, OSError) as error:
            self._connection.close()
            raise SpoolError(f"{self._file} cannot be opened: {error}") from error

    def position(self) -> int:
        """Return the position of the last message whose batch is complete in every table."""
        return int(self._value("position", "0"))

    def clock_state(self) -> dict[str, dict[str, object]]:
        """Return the state of :class:`ingest.local_time.LocalClock` at :meth:`position`."""
        state: dict[str, dict[str, object]] = json.loads(self._value("clock", "{}"))
        return state

    def memory(self) -> dict[str, Any]:
        """Return what decoders noted up to :meth:`position`."""
        memory: dict[str, Any] = json.loads(self._value("memory", "{}"))
        return memory

    def writer_id(self) -> str:
        """Return the name under which this writer's positions stand in the lake tables, empty where none was given."""
        return self._value("writer", "")

    def name_writer(self, name: str) -> None:
        """Give this writer its lasting name."""
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO state VALUES ('writer', ?)", (name,))

    def plan(self) -> Plan | None:
        """Return the plan of the batch that was begun and not completed, if there is one."""
        return self._plan("plan")

    def begin(self, plan: Plan) -> None:
        """Write down what is about to become of a batch, before its readings are committed."""
        self._begin("plan", plan)

    def _plan(self, name: str) -> Plan | None:
        text = self._value(name, "")
        return msgspec.json.decode(text, type=Plan, dec_hook=_counter) if text else None

    def _begin(self, name: str, plan: Plan) -> None:
        with self._transaction():
            text = msgspec.json.encode(plan).decode()
            self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, text))

    def _value(self, name: str, default: str) -> str:
        rows = self._query("SELECT value FROM state WHERE name = ?", name)
        return str(rows[0][0]) if rows else default

    def _query(self, sql: str, *values: str) -> list[Any]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise SpoolError(f"{self._file} cannot be read: {error}") from error

    def registers(self, meters: Collection[str]) -> list[tuple[str, str, int, float]]:
        """Return (meter_id, source, ts [µs], volume [m³]) of the newest register of each of `meters`."""
        wanted = msgspec.json.encode(sorted(meters)).decode()
        sql = (
            "SELECT r.meter_id, r.source, r.ts, r.volume_m3 FROM json_each(?) j JOIN register r ON r.meter_id = j.value"
        )
        return self._query(sql, wanted)

    def complete(
        self,
        position: int,
        tally: Tally,
        clock_state: Mapping[str, Any],
        registers: Collection[tuple[str, str, int, float]],
        memory: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a batch that is complete in every table, in one transaction that also forgets its plan.

        Parameters
        ----------
        position : int
            Position of its last message.
        tally : Tally
            What became of it.
        clock_state : mapping
            State of the local clock behind it.
        registers : collection of (meter_id, source, ts, volume_m3)
            Newest registers that it brought.
        memory : mapping, optional
            What decoders noted up to its end.
        """
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO state VALUES (?, ?)",
                [("position", str(position)), ("clock", json.dumps(clock_state)), ("memory", json.dumps(memory or {}))],
            )
            self._add(tally)
            self._connection.executemany(
                "INSERT INTO source VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
                "messages = messages + excluded.messages, "
                "last_message_at = max(coalesce(last_message_at, 0), coalesce(excluded.last_message_at, 0))",
                [(name, last, count) for name, (last, count) in tally.sources.items()],
            )
            self._connection.executemany("INSERT OR REPLACE INTO register VALUES (?, ?, ?, ?)", registers)
            self._connection.execute("DELETE FROM state WHERE name = 'plan'")

    def _add(self, tally: Tally) -> None:
        self._connection.executemany(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n", _counts(tally)
        )

    def replay_plan(self) -> Plan | None:
        """Return the plan of the replay that was begun and not completed, if there is one."""
        return self._plan("replay_plan")

    def begin_replay(self, plan: Plan) -> None:
        """Write down what is about to become of quarantined messages, before their readings are committed."""
        self._begin("replay_plan", plan)

    def replayed(self) -> int:
        """Return how many messages replays have brought to another outcome."""
        return int(self._value("replayed", "0"))

    def account_replay(self, position: int, tally: Tally, registers: Collection[tuple[str, str, int, float]]) -> None:
        """Take the differences that a replay makes into the account; its plan stays until the quarantine is cleared.

        Parameters
        ----------
        position : int
            Value of :meth:`replayed` from now on.
        tally : Tally
            Differences, of either sign.
        registers : collection of (meter_id, source, ts, volume_m3)
            Newest registers that it brought.
        """
        with self._transaction():
            self._add(tally)
            self._connection.execute("INSERT OR REPLACE INTO state VALUES ('replayed', ?)", (str(position),))
            self._connection.executemany("INSERT OR REPLACE INTO register VALUES (?, ?, ?, ?)", registers)

    def complete_replay(self) -> None:
        """Forget the plan of a replay that is complete in every table."""
        with self._transaction():
            self._connection.execute("DELETE FROM state WHERE name = 'replay_plan'")

    def tally(self) -> tuple[int, Tally]:
        """Return the position and everything that became of the messages up to there, as one snapshot."""
        with self._transaction("BEGIN"):
            total = Tally()
            for kind, name, count in self._connection.execute("SELECT kind, name, n FROM tally"):
                if kind == "conflict":
                    total.conflicts = count
                else:
                    counters = {"message": total.messages, "reading": total.readings, "reason": total.reasons}
                    counters[kind][name] = count
            for name, last, count in self._connection.execute("SELECT name, last_message_at, messages FROM source"):
                total.sources[name] = (last or None, count)
            return self.position(), total

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
        try:
            self._connection.execute(begin)
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise SpoolError(f"{self._file}: {error}") from error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _counts(tally: Tally) -> list[tuple[str, str, int]]:
    counts = [("message", name, count) for name, count in tally.messages.items()]
    counts += [("reading", name, count) for name, count in tally.readings.items()]
    counts += [("reason", name, count) for name, count in tally.reasons.items()]
    return [*counts, ("conflict", "", tally.conflicts)]


def _counter(_kind: type, value: Any) -> Counter[str]:
    """Return a count as msgspec read it as what it was."""
    return Counter(value)
