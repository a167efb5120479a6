"""The site's SQLite database ``metriage.db``: one way to open it, to change it, and to grow its schema.

Several processes use it at once (the daemon, a command, the page). Every change is one explicit transaction that takes
the write lock when it begins, so that what it read still holds when it writes. Each component (registry, tickets, …)
owns its tables and numbers its own schema.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lake.errors import LakeError, SiteFolderError

FILE_NAME = "metriage.db"
FILE_MODE = 0o600
BUSY_TIMEOUT_S = 30.0

# A wrong statement and a violated constraint are not the database's fault. The higher bits of a code only refine it.
_CALLERS_BUSINESS = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT})

_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_version (
    component TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT
"""


def connect(path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """Open the site database, creating it when it is not there.

    The connection is in autocommit mode: changes belong into :func:`transaction`. It belongs to the thread that opened
    it, and its caller closes it; :func:`opened` does both in one ``with``.

    Parameters
    ----------
    path : Path
        The database file; its folder exists.
    busy_timeout_s : float
        How long a statement waits for another process's transaction [s].

    Raises
    ------
    SiteFolderError
        The file cannot be opened or is not a database.
    """
    try:
        if not path.exists():
            _create(path)
        elif stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(FILE_MODE)
        connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise SiteFolderError(f"{path} cannot be opened: {error}") from error
    try:
        _configure(connection)
    except sqlite3.Error as error:
        connection.close()
        raise SiteFolderError(f"{path} cannot be used as the site database: {error}") from error
    return connection


@contextmanager
def opened(path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[sqlite3.Connection]:
    """Open the site database for the length of a ``with`` block; see :func:`connect`."""
    with closing(connect(path, busy_timeout_s=busy_timeout_s)) as connection:
        yield connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Do everything inside the block or nothing of it; the write lock is taken at the beginning.

    Raises
    ------
    LakeError
        The database is locked for longer than the busy timeout, the disk is full, or the file is damaged.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _CALLERS_BUSINESS:
            raise
        raise LakeError(f"the site database cannot be written: {error}") from error


def migrate(connection: sqlite3.Connection, component: str, steps: Sequence[str]) -> int:
    """Bring the tables of one component to the newest version; safe when several processes start at once.

    Parameters
    ----------
    connection : sqlite3.Connection
        From :func:`connect`.
    component : str
        Who owns the tables, for example ``tickets``.
    steps : sequence of str
        Scripts of SQL statements; step *n* leads from version *n* to *n* + 1. A released step is never changed, only
        new ones are added.

    Returns
    -------
    int
        The version the tables have now, ``len(steps)``.

    Raises
    ------
    SiteFolderError
        The database was written by a newer program.
    LakeError
        The database cannot be written; nothing was changed.
    """
    if _version(connection, component) == len(steps):
        return len(steps)
    with transaction(connection):
        connection.execute(_VERSIONS)
        version = _version(connection, component)
        if version > len(steps):
            raise SiteFolderError(
                f"the tables of {component} have version {version}, written by a newer metriage; "
                f"this one knows versions up to {len(steps)}"
            )
        for step in steps[version:]:
            for statement in statements(step):
                connection.execute(statement)
        connection.execute(
            "INSERT INTO schema_version VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version",
            (component, len(steps)),
        )
    return len(steps)


def statements(script: str) -> list[str]:
    r"""Split an SQL script into its statements; each begins on a line of its own.

    ``sqlite3.Connection.executescript`` would commit the surrounding transaction.

    Examples
    --------
    >>> statements("CREATE TABLE a (x);\nCREATE TABLE b (x);")
    ['CREATE TABLE a (x);', 'CREATE TABLE b (x);']
    """
    found: list[str] = []
    pending = ""
    for line in script.splitlines():
        pending = f"{pending}\n{line}" if pending else line
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    if pending.strip():
        found.append(pending.strip())
    return [statement for statement in found if statement]


def to_text(moment: datetime) -> str:
    """Return the stored form of a time: UTC with microseconds, so that texts sort as times do.

    Examples
    --------
    >>> to_text(datetime(2024, 7, 9, tzinfo=UTC))
    '2024-07-09T00:00:00.000000Z'
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be stored")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)


def from_text(text: str) -> datetime:
    """Return the time that :func:`to_text` stored."""
    return datetime.fromisoformat(text)


def _configure(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")


def _create(path: Path) -> None:
    """Put an empty database in WAL mode at `path`, readable by its owner only; whoever comes first wins.

    The file gets its name when it is complete: nobody ever sees it without WAL, and no descriptor of it is closed
    while another connection of this process holds locks on it (which would drop them).
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA user_version = 1")
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return
        _sync_folder(path.parent)
    finally:
        draft.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _version(connection: sqlite3.Connection, component: str) -> int:
    try:
        row = connection.execute("SELECT version FROM schema_version WHERE component = ?", (component,)).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return 0
        raise LakeError(f"the site database cannot be read: {error}") from error
    return 0 if row is None else int(row[0])
