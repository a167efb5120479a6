"""The site database: durable settings, explicit transactions, versioned schemas, safe beside other processes."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import LakeError, SiteFolderError
from lake.site_database import connect, from_text, migrate, opened, statements, to_text, transaction

STEPS = ("CREATE TABLE thing (name TEXT UNIQUE);", "ALTER TABLE thing ADD COLUMN size INTEGER;\nCREATE TABLE box (n);")


def test_connect_new_file_is_private_and_durable(tmp_path: Path) -> None:
    """A new database is readable by its owner only, in WAL mode, fully synchronous, with foreign keys."""
    path = tmp_path / "metriage.db"
    with opened(path) as connection:
        pragmas = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
        modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}

    assert pragmas == ["wal", 2, 1, 30000]
    assert modes == {0o600}
    assert [file.name for file in tmp_path.iterdir()] == ["metriage.db"]


def test_connect_open_file_becomes_private(tmp_path: Path) -> None:
    """A database that others could read is closed to them."""
    path = tmp_path / "metriage.db"
    connect(path).close()
    path.chmod(0o644)
    connect(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_connect_other_file_says_so(tmp_path: Path) -> None:
    """A file that is no database is named and left alone."""
    path = tmp_path / "metriage.db"
    path.write_bytes(b"this is a letter, not a database" * 100)

    with pytest.raises(SiteFolderError, match=r"metriage\.db cannot be used as the site database: file is not a"):
        connect(path)
    assert path.read_bytes().startswith(b"this is a letter")


def test_connect_missing_folder_says_so(tmp_path: Path) -> None:
    """A folder that is not there is an error of the set-up."""
    with pytest.raises(SiteFolderError, match="cannot be opened"):
        connect(tmp_path / "nowhere" / "metriage.db")


def _insert_and_fail(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO thing (name) VALUES ('a')")
        raise RuntimeError("half way")


def test_transaction_failure_leaves_nothing(tmp_path: Path) -> None:
    """What a failing block wrote is gone, and its error comes out unchanged."""
    with opened(tmp_path / "metriage.db") as connection:
        migrate(connection, "things", STEPS)
        with pytest.raises(RuntimeError, match="half way"):
            _insert_and_fail(connection)
        count = connection.execute("SELECT count(*) FROM thing").fetchone()[0]

    assert count == 0


def test_transaction_integrity_error_stays_itself(tmp_path: Path) -> None:
    """A violated constraint is the caller's business, not a broken database."""
    with opened(tmp_path / "metriage.db") as connection:
        migrate(connection, "things", STEPS)
        with pytest.raises(sqlite3.IntegrityError), transaction(connection):
            connection.execute("INSERT INTO thing (name) VALUES ('a'), ('a')")
        in_transaction = connection.in_transaction

    assert not in_transaction


def test_transaction_held_by_another_is_reported(tmp_path: Path) -> None:
    """Who waits longer than the busy timeout is told that the database is locked."""
    path = tmp_path / "metriage.db"
    with (
        opened(path) as first,
        opened(path, busy_timeout_s=0) as second,
        transaction(first),
        pytest.raises(LakeError, match="database is locked"),
        transaction(second),
    ):
        pytest.fail("two writers at once")


def test_migrate_twice_changes_nothing(tmp_path: Path) -> None:
    """Components have versions of their own; a step is done once."""
    with opened(tmp_path / "metriage.db") as connection:
        first = migrate(connection, "things", STEPS[:1])
        connection.execute("INSERT INTO thing (name) VALUES ('a')")
        second = migrate(connection, "things", STEPS)
        third = migrate(connection, "things", STEPS)
        other = migrate(connection, "other", ())
        rows = connection.execute("SELECT name, size FROM thing").fetchall()

    assert [first, second, third, other] == [1, 2, 2, 0]
    assert [tuple(row) for row in rows] == [("a", None)]


def test_migrate_broken_step_changes_nothing(tmp_path: Path) -> None:
    """A step that fails leaves the tables as they were."""
    with opened(tmp_path / "metriage.db") as connection:
        with pytest.raises(sqlite3.OperationalError, match="syntax error"):
            migrate(connection, "things", ("CREATE TABLE thing (name);\nCREATE NONSENSE;",))
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

    assert tables == 0


def test_migrate_newer_database_is_refused(tmp_path: Path) -> None:
    """An older program does not touch what a newer one wrote."""
    with opened(tmp_path / "metriage.db") as connection:
        migrate(connection, "things", STEPS)
        with pytest.raises(SiteFolderError, match="version 2, written by a newer metriage; this one knows versions up"):
            migrate(connection, "things", STEPS[:1])


COUNT_UP = """
import sys
from pathlib import Path
from lake.site_database import migrate, opened, transaction

with opened(Path(sys.argv[1])) as connection:
    migrate(connection, "counter", ("CREATE TABLE counter (n INTEGER);\\nINSERT INTO counter VALUES (0);",))
    for _ in range(25):
        with transaction(connection):
            (count,) = connection.execute("SELECT n FROM counter").fetchone()
            connection.execute("UPDATE counter SET n = ?", (count + 1,))
"""


def test_processes_at_once_lose_no_change(tmp_path: Path) -> None:
    """Processes that create, migrate and change one database together see each other's changes."""
    path = tmp_path / "metriage.db"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)}
    command = [sys.executable, "-W", "error", "-c", COUNT_UP, str(path)]
    processes = [subprocess.Popen(command, env=environment) for _ in range(4)]
    codes = [process.wait() for process in processes]
    with opened(path) as connection:
        (count,) = connection.execute("SELECT n FROM counter").fetchone()

    assert (codes, count) == ([0, 0, 0, 0], 100)


def test_statements_keeps_semicolons_in_texts() -> None:
    """Only the end of a statement splits a script."""
    script = "INSERT INTO a VALUES ('x; y');\n\n-- a remark\nSELECT 1;\nSELECT 2"

    assert statements(script) == ["INSERT INTO a VALUES ('x; y');", "-- a remark\nSELECT 1;", "SELECT 2"]


@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=8)))), st.datetimes(timezones=st.just(UTC)))
def test_to_text_sorts_and_comes_back(first: datetime, second: datetime) -> None:
    """Texts compare as their times do and lose nothing."""
    if min(first, second) < datetime(1, 1, 2, tzinfo=UTC):
        return

    assert from_text(to_text(first)) == first
    assert (to_text(first) < to_text(second)) == (first < second)


def test_to_text_without_zone_is_refused() -> None:
    """A time without a zone has no place in the database."""
    with pytest.raises(ValueError, match="without a zone"):
        to_text(datetime(2024, 7, 9))  # noqa: DTZ001
