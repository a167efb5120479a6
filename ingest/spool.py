"""The spool: messages that are acknowledged and not yet in the lake.

A SQLite database in WAL mode with ``synchronous=FULL``: one transaction a group of messages is one fsync a group. The
process that receives is its only writer; the lake writer reads it and says in ``state.db`` how far it has come, and
the receiver forgets what lies before that.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import quote

import msgspec

from ingest.gap import Gap
from ingest.message import Channel, RawMessage
from lake.durability import sync_path
from lake.errors import SpoolError

FILE = "spool.db"

_T = TypeVar("_T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS channel (id INTEGER PRIMARY KEY, definition TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS message (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    channel INTEGER NOT NULL,
    origin TEXT NOT NULL,
    received_at INTEGER,
    payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS gap (id INTEGER PRIMARY KEY AUTOINCREMENT, definition TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS session (broker TEXT PRIMARY KEY, seen_at INTEGER NOT NULL) WITHOUT ROWID;
"""


def connect(file: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open a database of the spool; transactions are begun and ended by hand.

    Raises
    ------
    sqlite3.Error
        It cannot be opened.
    """
    mode = "ro" if read_only else "rwc"
    return sqlite3.connect(
        f"file:{quote(str(file))}?mode={mode}", uri=True, timeout=30, isolation_level=None, check_same_thread=False
    )


class Spool(AbstractContextManager["Spool"]):
    """Messages between their acknowledgement and the lake.

    Parameters
    ----------
    folder : Path
        The ``spool/`` folder of a site; made when missing.
    read_only : bool
        Whether this process only reads.

    Raises
    ------
    SpoolError
        The database cannot be opened.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()  # several brokers, one spool
        self._channels: dict[Channel, int] = {}
        self._definitions: dict[int, Channel] = {}
        try:
            if not read_only:
                self.folder.mkdir(parents=True, exist_ok=True)
            self._connection = connect(self.folder / FILE, read_only=read_only)
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(f"the spool in {self.folder} cannot be opened: {error}") from error
        try:
            if not read_only:
                self._prepare()
        except (sqlite3.Error, OSError) as error:
            self._connection.close()
            raise SpoolError(f"the spool in {self.folder} cannot be opened: {error}") from error

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA journal_size_limit=67108864")
        self._connection.executescript(_SCHEMA)
        (self.folder / FILE).chmod(0o600)
        # Never open and close the database file itself beside SQLite: that drops the locks this process holds on it,
        # and another process that closes its connection then deletes the log we are writing to.
        sync_path(self.folder)

    def append(self, channel: Channel, messages: Iterable[tuple[str, int | None, bytes]]) -> int:
        """Store one group of messages; they are on the disk when this returns.

        Parameters
        ----------
        channel : Channel
            Where they came in.
        messages : iterable of (origin, received_at, payload)
            In the order of receipt; `received_at` in microseconds since 1970 UTC.

        Returns
        -------
        int
            Position of the last message.

        Raises
        ------
        SpoolError
            Nothing of the group was stored, for instance because the disk is full.
        """
        with self._lock:
            return self._append(channel, messages)

    def _append(self, channel: Channel, messages: Iterable[tuple[str, int | None, bytes]]) -> int:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            number = self._channel_number(channel)
            self._connection.executemany(
                "INSERT INTO message (channel, origin, received_at, payload) VALUES (?, ?, ?, ?)",
                ((number, origin, received_at, payload) for origin, received_at, payload in messages),
            )
            last = self._last()
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._channels.pop(channel, None)
            raise SpoolError(f"the spool in {self.folder} cannot be written: {error}") from error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        return last

    def _channel_number(self, channel: Channel) -> int:
        number = self._channels.get(channel)
        if number is None:
            definition = msgspec.json.encode(channel).decode()
            self._connection.execute("INSERT OR IGNORE INTO channel (definition) VALUES (?)", (definition,))
            found = self._connection.execute("SELECT id FROM channel WHERE definition = ?", (definition,)).fetchone()
            number = self._channels[channel] = int(found[0])
        return number

    def _last(self) -> int:
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
        return int(row[0]) if row else 0

    def last_position(self) -> int:
        """Return the position of the newest message ever stored: how many were received."""
        return self._query(self._last)

    def read(self, after: int, *, limit: int, limit_bytes: int) -> Sequence[RawMessage]:
        """Return the next messages in order.

        Parameters
        ----------
        after : int
            Position of the last message that is not wanted.
        limit, limit_bytes : int
            At most so many messages, and about so many bytes of payload, but at least one message.
        """

        def fetch() -> list[RawMessage]:
            cursor = self._connection.execute(
                "SELECT position, channel, origin, received_at, payload FROM message WHERE position > ? "
                "ORDER BY position LIMIT ?",
                (after, limit),
            )
            messages: list[RawMessage] = []
            size = 0
            for position, number, origin, received_at, payload in cursor:
                messages.append(RawMessage(position, self._definition(number), origin, received_at, payload))
                size += len(payload)
                if size >= limit_bytes:
                    break
            cursor.close()
            return messages

        return self._query(fetch)

    def _definition(self, number: int) -> Channel:
        channel = self._definitions.get(number)
        if channel is None:
            row = self._connection.execute("SELECT definition FROM channel WHERE id = ?", (number,)).fetchone()
            channel = self._definitions[number] = msgspec.json.decode(row[0], type=Channel)
        return channel

    def oldest_received(self, after: int) -> int | None:
        """Return when the oldest message behind position `after` was received [µs since 1970 UTC], where it says so."""
        sql = "SELECT received_at FROM message WHERE position > ? ORDER BY position LIMIT 1"
        row = self._query(lambda: self._connection.execute(sql, (after,)).fetchone())
        return None if row is None else row[0]

    def forget(self, until: int) -> None:
        """Forget the messages up to and including position `until`; they are in the lake.

        Raises
        ------
        SpoolError
            The database cannot be written.
        """
        try:
            with self._lock:
                self._connection.execute("DELETE FROM message WHERE position <= ?", (until,))
        except sqlite3.Error as error:
            raise SpoolError(f"the spool in {self.folder} cannot be trimmed: {error}") from error

    def add_gap(self, gap: Gap) -> int:
        """Store a gap until the lake has it; it is on the disk when this returns.

        Returns
        -------
        int
            Its number, counted from 1.

        Raises
        ------
        SpoolError
            The database cannot be written.
        """
        definition = msgspec.json.encode(gap).decode()
        try:
            with self._lock:
                return int(
                    self._connection.execute("INSERT INTO gap (definition) VALUES (?)", (definition,)).lastrowid or 0
                )
        except sqlite3.Error as error:
            raise SpoolError(f"the spool in {self.folder} cannot be written: {error}") from error

    def gaps(self, after: int) -> list[tuple[int, Gap]]:
        """Return number and gap of every gap behind number `after`, in order."""
        sql = "SELECT id, definition FROM gap WHERE id > ? ORDER BY id"
        rows = self._query(lambda: self._connection.execute(sql, (after,)).fetchall())
        return [(number, msgspec.json.decode(definition, type=Gap)) for number, definition in rows]

    def session_seen_at(self, broker: str) -> int | None:
        """Return when the session with `broker` was last known to live [µs since 1970 UTC], None before the first."""
        sql = "SELECT seen_at FROM session WHERE broker = ?"
        row = self._query(lambda: self._connection.execute(sql, (broker,)).fetchone())
        return None if row is None else int(row[0])

    def see_session(self, broker: str, seen_at: int) -> None:
        """Record that the session with `broker` lives at `seen_at` [µs since 1970 UTC].

        Raises
        ------
        SpoolError
            The database cannot be written.
        """
        try:
            with self._lock:
                self._connection.execute("INSERT OR REPLACE INTO session VALUES (?, ?)", (broker, seen_at))
        except sqlite3.Error as error:
            raise SpoolError(f"the spool in {self.folder} cannot be written: {error}") from error

    def size_bytes(self) -> int:
        """Return the bytes that the messages occupy [B]."""

        def fetch() -> int:
            pages, free, size = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
            return (pages - free) * size

        return self._query(fetch)

    def _query(self, fetch: Callable[[], _T]) -> _T:
        try:
            return fetch()
        except sqlite3.Error as error:
            raise SpoolError(f"the spool in {self.folder} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
