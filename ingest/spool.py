"""The spool: messages that are acknowledged and not yet in the lake.

A SQLite database in WAL mode with ``synchronous=FULL``: one transaction a group of messages is one fsync a group. A
group is one row, its messages packed together: a row a message would cost more than everything else that receiving and
reading them takes. The process that receives is the only writer; the lake writer reads and says in ``state.db`` how far
it has come, and the receiver forgets the groups before that.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import quote

import msgspec

from ingest.gap import Gap
from ingest.message import Channel, RawGroup, RawMessage, RawRow
from lake.durability import sync_path
from lake.errors import SpoolError
from lake.failpoints import reach

FILE = "spool.db"

_PAGE_BYTES = 8192  # of a new database: fewer pages a group than with 4096, little waste for small groups
_LOG_LIMIT_BYTES = 67_108_864
_INSERT = "INSERT INTO message_group (last, first, channel, received_at, messages) VALUES (?, ?, ?, ?, ?)"
_FIRST_TRIM, _MOST_TRIM = 1, 1_000  # groups
_TRIM_S = 0.05  # appending may have to wait so long for a trimming step

_T = TypeVar("_T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS channel (id INTEGER PRIMARY KEY, definition TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS message_group (
    last INTEGER PRIMARY KEY AUTOINCREMENT,
    first INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    received_at INTEGER,
    messages BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS gap (id INTEGER PRIMARY KEY AUTOINCREMENT, definition TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS session (broker TEXT PRIMARY KEY, seen_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS connecting (broker TEXT PRIMARY KEY) WITHOUT ROWID;
"""


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[RawRow]).decode


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
        self._trim = _FIRST_TRIM
        try:
            if not read_only:
                self.folder.mkdir(parents=True, exist_ok=True)
            self._connection = connect(self.folder / FILE, read_only=read_only)
        except (sqlite3.Error, OSError) as error:
            raise self._failure("opened", error) from error
        try:
            if not read_only:
                self._prepare()
        except (sqlite3.Error, OSError) as error:
            self._connection.close()
            raise self._failure("opened", error) from error

    def _prepare(self) -> None:
        self._connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # an existing database keeps its own
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(f"PRAGMA journal_size_limit={_LOG_LIMIT_BYTES}")
        self._connection.execute("PRAGMA secure_delete=OFF")  # some builds overwrite what is forgotten, at our cost
        self._connection.executescript(_SCHEMA)
        if self._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'message'").fetchone():
            raise SpoolError(
                f"{self.folder / FILE} was made by an earlier layout of metriage; bring what waits in it into the lake "
                "with that version, then move the folder away"
            )
        (self.folder / FILE).chmod(0o600)
        # Never open and close the database file itself beside SQLite: that drops the locks this process holds on it,
        # and another process that closes its connection then deletes the log we are writing to.
        sync_path(self.folder)

    def append(self, channel: Channel, messages: Iterable[RawRow]) -> int:
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

    def _append(self, channel: Channel, messages: Iterable[RawRow]) -> int:
        rows = messages if isinstance(messages, list) else list(messages)
        if not rows:
            return self.last_position()
        execute = self._connection.execute
        stored = False
        try:
            packed = _pack(rows)
            execute("BEGIN IMMEDIATE")
            first = self._last() + 1
            last = first + len(rows) - 1
            execute(_INSERT, (last, first, self._channel_number(channel), rows[0][1], packed))
            reach("spool.begun")
            execute("COMMIT")
            stored = True
            reach("spool.committed")
        except sqlite3.Error as error:
            raise self._failure("written", error) from error
        finally:
            if not stored:  # the channel's number may have been new, and goes with the transaction
                self._channels.pop(channel, None)
            if self._connection.in_transaction:
                execute("ROLLBACK")
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
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message_group'").fetchone()
        return int(row[0]) if row else 0

    def last_position(self) -> int:
        """Return the position of the newest message ever stored: how many were received."""
        return self._query(self._last)

    def read(self, after: int, *, limit: int, limit_bytes: int) -> Sequence[RawMessage]:
        """Return the next messages in order; the parameters are those of :meth:`read_groups`."""
        groups = self.read_groups(after, limit=limit, limit_bytes=limit_bytes)
        return [message for group in groups for message in group.messages()]

    def read_groups(self, after: int, *, limit: int, limit_bytes: int) -> Sequence[RawGroup]:
        """Return the next messages in order, as they were received together.

        Parameters
        ----------
        after : int
            Position of the last message that is not wanted.
        limit, limit_bytes : int
            At most so many messages, and about so many bytes of payload, but at least one message.
        """

        def fetch() -> list[RawGroup]:
            cursor = self._connection.execute(
                "SELECT first, channel, messages FROM message_group WHERE last > ? ORDER BY last", (after,)
            )
            groups: list[RawGroup] = []
            count = size = 0
            for first, number, packed in cursor:
                channel = self._definition(number)
                skipped = max(0, after + 1 - first)
                rows = _unpack(packed)[skipped : skipped + limit - count]
                size += len(packed)
                if size > limit_bytes:  # only now is it worth to look where
                    rows = _within(rows, limit_bytes - size + len(packed))
                    size = limit_bytes
                groups.append(RawGroup(first + skipped, channel, rows))
                count += len(rows)
                if count >= limit or size >= limit_bytes:
                    break
            cursor.close()
            return groups

        return self._query(fetch)

    def _definition(self, number: int) -> Channel:
        channel = self._definitions.get(number)
        if channel is None:
            row = self._connection.execute("SELECT definition FROM channel WHERE id = ?", (number,)).fetchone()
            channel = self._definitions[number] = msgspec.json.decode(row[0], type=Channel)
        return channel

    def oldest_received(self, after: int) -> int | None:
        """Return when the group of the oldest message behind `after` came [µs since 1970 UTC], where it says so."""
        sql = "SELECT received_at FROM message_group WHERE last > ? ORDER BY last LIMIT 1"
        row = self._query(lambda: self._connection.execute(sql, (after,)).fetchone())
        return None if row is None else row[0]

    def forget(self, until: int) -> None:
        """Forget the groups up to and including position `until`; they are in the lake.

        Raises
        ------
        SpoolError
            The database cannot be written.
        """
        try:
            while self._trim_step(until):
                time.sleep(0)  # whoever waits to append comes first
        except sqlite3.Error as error:
            raise self._failure("trimmed", error) from error

    def _trim_step(self, until: int) -> bool:
        """Forget a few groups, as many as take a moment; return whether there are more."""
        start = time.monotonic()
        with self._lock:
            sql = "SELECT last FROM message_group WHERE last <= ? ORDER BY last LIMIT ?"
            wanted = self._trim
            groups = self._connection.execute(sql, (until, wanted)).fetchall()
            if not groups:
                return False
            self._connection.execute("DELETE FROM message_group WHERE last <= ?", groups[-1])
        reach("spool.trimmed")
        took = time.monotonic() - start
        self._trim = max(1, self._trim // 2) if took > _TRIM_S else min(2 * self._trim, _MOST_TRIM)
        return len(groups) == wanted

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
            raise self._failure("written", error) from error

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
        """Record that the session with `broker` lives at `seen_at` [µs since 1970 UTC], after :meth:`connecting` too.

        Raises
        ------
        SpoolError
            The database cannot be written.
        """
        self._write(
            ("INSERT OR REPLACE INTO session VALUES (?, ?)", (broker, seen_at)),
            ("DELETE FROM connecting WHERE broker = ?", (broker,)),
        )

    def connecting(self, broker: str) -> bool:
        """Record that `broker` is about to be asked for the session, and return whether an earlier answer is missing.

        The broker makes a new session in place of a lost one as it answers; whoever dies before the answer is taken
        down would find that new one and notice nothing.

        Raises
        ------
        SpoolError
            The database cannot be written.
        """
        missing = self._query(
            lambda: self._connection.execute("SELECT 1 FROM connecting WHERE broker = ?", (broker,)).fetchone()
        )
        if missing is None:
            self._write(("INSERT INTO connecting VALUES (?)", (broker,)))
        return missing is not None

    def not_connected(self, broker: str) -> None:
        """Record that `broker` was not asked for the session after all, or refused it.

        Raises
        ------
        SpoolError
            The database cannot be written.
        """
        self._write(("DELETE FROM connecting WHERE broker = ?", (broker,)))

    def _write(self, *statements: tuple[str, tuple[object, ...]]) -> None:
        """Execute statements in one transaction."""
        execute = self._connection.execute
        try:
            with self._lock:
                try:
                    execute("BEGIN IMMEDIATE")
                    for sql, values in statements:
                        execute(sql, values)
                    execute("COMMIT")
                finally:
                    if self._connection.in_transaction:
                        execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._failure("written", error) from error

    def size_bytes(self) -> int:
        """Return the bytes that the messages occupy, and the log where it outgrew its limit [B].

        SQLite cannot shorten its log while another process reads an old state of the database, for example a copy
        that takes hours; counting the log lets the spool's limit hold then as well.
        """

        def fetch() -> int:
            pages, free, size = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
            return (pages - free) * size

        try:
            log = (self.folder / f"{FILE}-wal").stat().st_size
        except OSError:
            log = 0
        return self._query(fetch) + max(0, log - _LOG_LIMIT_BYTES)

    def _query(self, fetch: Callable[[], _T]) -> _T:
        try:
            return fetch()
        except sqlite3.Error as error:
            raise self._failure("read", error) from error

    def _failure(self, done: str, error: Exception) -> SpoolError:
        """Return the error that says what could not be done, and what to do where the database is damaged."""
        text = f"the spool in {self.folder} cannot be {done}: {error}"
        # The lower byte of SQLite's code is the kind of error, the others say more about it.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            text += (
                f". {FILE} is damaged, and nothing of it was removed: stop metriage, keep a copy of the whole folder, "
                f"check the disk, and save what is readable with `sqlite3 {FILE} .recover`; to go on without it, move "
                "the folder away as a whole"
            )
        return SpoolError(text)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _within(rows: list[RawRow], room: int) -> list[RawRow]:
    """Return the first of `rows`, until their payloads make up `room` bytes."""
    for count, (_, _, payload) in enumerate(rows, start=1):
        room -= len(payload)
        if room <= 0:
            return rows[:count]
    return rows
