"""What became of the scheduled diagnoses of a site: one row each in the site database."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from lake.errors import LakeError
from lake.site_database import from_text, migrate, to_text, transaction

COMPONENT = "diagnosis"
CUT_SHORT = "cut short"  # by the end of the daemon: no failure
_KEPT = 1_000

_FIRST = """
CREATE TABLE diagnosis_run (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    as_of TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    days INTEGER,
    findings INTEGER,
    peak_bytes INTEGER,
    error TEXT
) STRICT;
"""

STEPS = (_FIRST,)


@dataclass(frozen=True, slots=True)
class Run:
    """One diagnosis that was begun.

    Parameters
    ----------
    run : int
        Running number.
    as_of : datetime
        It was to see what was received by then.
    started_at : datetime
        When it began.
    finished_at : datetime or None
        When it ended; None while it runs.
    days, findings : int or None
        Daily rows computed and findings written.
    peak_bytes : int or None
        Most memory it had [B].
    error : str or None
        Why it failed; None where it did not.
    """

    run: int
    as_of: datetime
    started_at: datetime
    finished_at: datetime | None = None
    days: int | None = None
    findings: int | None = None
    peak_bytes: int | None = None
    error: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took [s]."""
        return None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()


def prepare(connection: sqlite3.Connection) -> None:
    """Create or grow the table."""
    migrate(connection, COMPONENT, STEPS)


def begin(connection: sqlite3.Connection, as_of: datetime, now: datetime) -> int:
    """Note that a diagnosis begins, and return its number."""
    with transaction(connection):
        cursor = connection.execute(
            "INSERT INTO diagnosis_run (as_of, started_at) VALUES (?, ?)", (to_text(as_of), to_text(now))
        )
        connection.execute("DELETE FROM diagnosis_run WHERE run <= ?", (int(cursor.lastrowid or 0) - _KEPT,))
    return int(cursor.lastrowid or 0)


def finish(
    connection: sqlite3.Connection,
    run: int,
    now: datetime,
    *,
    days: int | None = None,
    findings: int | None = None,
    peak_bytes: int | None = None,
    error: str | None = None,
) -> None:
    """Note how it ended."""
    with transaction(connection):
        connection.execute(
            "UPDATE diagnosis_run SET finished_at = ?, days = ?, findings = ?, peak_bytes = ?, error = ? WHERE run = ?",
            (to_text(now), days, findings, peak_bytes, error, run),
        )


def forget_unfinished(connection: sqlite3.Connection, now: datetime) -> int:
    """Note that what was running is cut short: nobody looks after it any more. Return how many there were."""
    with transaction(connection):
        return connection.execute(
            "UPDATE diagnosis_run SET finished_at = ?, error = ? WHERE finished_at IS NULL", (to_text(now), CUT_SHORT)
        ).rowcount


def forget(connection: sqlite3.Connection, run: int) -> None:
    """Take back that a diagnosis began."""
    with transaction(connection):
        connection.execute("DELETE FROM diagnosis_run WHERE run = ?", (run,))


def newest(connection: sqlite3.Connection) -> Run | None:
    """Return the diagnosis that was begun last."""
    return _one(connection, "1")


def newest_failed(connection: sqlite3.Connection) -> Run | None:
    """Return the last one that failed, where none has ended well since."""
    done = newest_done(connection)
    return _one(connection, f"error <> '{CUT_SHORT}' AND run > {0 if done is None else done.run}")


def newest_done(connection: sqlite3.Connection) -> Run | None:
    """Return the last one that was finished without error."""
    return _one(connection, "finished_at IS NOT NULL AND error IS NULL")


def _one(connection: sqlite3.Connection, where: str) -> Run | None:
    query = f"SELECT * FROM diagnosis_run WHERE {where} ORDER BY run DESC LIMIT 1"  # noqa: S608 - our own words
    try:
        row = connection.execute(query).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # no diagnosis was ever scheduled here
            return None
        raise LakeError(f"the site database cannot be read: {error}") from error
    if row is None:
        return None
    values = dict(row)
    for name in ("as_of", "started_at", "finished_at"):
        values[name] = None if values[name] is None else from_text(values[name])
    return Run(**values)
