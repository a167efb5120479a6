"""The spool: durable groups, positions without gaps, readable beside its writer."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import spool as module
from ingest.account import State
from ingest.message import Channel
from ingest.spool import Spool
from lake.errors import SpoolError
from tests.ingest.messages import ENVELOPED, MQTT
from tests.recordings import ROOT


def texts(*payloads: bytes) -> list[tuple[str, int | None, bytes]]:
    return [("t", 7, payload) for payload in payloads]


def test_spool_keeps_order_and_channel(tmp_path: Path) -> None:
    """Messages come back in the order of receipt, each with its channel, origin and time."""
    other = Channel("file", "alicante", "trial", enveloped=False, header=("a", "b"))
    with Spool(tmp_path) as spool:
        assert spool.append(MQTT, [("t/1", 5, b"a"), ("t/2", None, b"\x00\xff")]) == 2
        assert spool.append(other, [("file:1", None, b"")]) == 3
        found = [tuple(message) for message in spool.read(0, limit=10, limit_bytes=100)]

    assert found == [(1, MQTT, "t/1", 5, b"a"), (2, MQTT, "t/2", None, b"\x00\xff"), (3, other, "file:1", None, b"")]


def test_spool_is_there_after_reopening(tmp_path: Path) -> None:
    """What was stored is stored; positions go on behind it, also when all was forgotten."""
    with Spool(tmp_path) as spool:
        spool.append(MQTT, texts(b"1", b"2", b"3"))
        spool.forget(3)
    with Spool(tmp_path) as spool:
        assert spool.last_position() == 3
        assert spool.append(MQTT, texts(b"4")) == 4
        assert [message.position for message in spool.read(0, limit=10, limit_bytes=100)] == [4]


def test_spool_is_private_and_synced(tmp_path: Path) -> None:
    """Only the owner may read it, and each commit is flushed."""
    with Spool(tmp_path) as spool:
        modes = [spool._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert modes == ["wal", 2]
    assert stat.S_IMODE((tmp_path / "spool.db").stat().st_mode) == 0o600


def test_spool_append_failing_stores_nothing(tmp_path: Path) -> None:
    """A group that does not fit the disk is refused as a whole; the next one gets its positions."""
    with Spool(tmp_path) as spool:
        spool.append(MQTT, texts(b"first"))
        pages = spool._connection.execute("PRAGMA page_count").fetchone()[0]
        spool._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(SpoolError, match="full"):
            spool.append(ENVELOPED, texts(b"small", b"x" * 1_000_000))
        spool._connection.execute("PRAGMA max_page_count = 1000000")
        last = spool.append(ENVELOPED, texts(b"again"))
        found = [
            (message.position, message.channel, message.payload) for message in spool.read(0, limit=9, limit_bytes=99)
        ]

    assert last == 2
    assert found == [(1, MQTT, b"first"), (2, ENVELOPED, b"again")]


def test_spool_append_source_failing_stores_nothing(tmp_path: Path) -> None:
    """Messages that cannot be produced leave no half group and no open transaction."""

    def broken() -> Iterator[tuple[str, int | None, bytes]]:
        yield "t", 1, b"one"
        raise RuntimeError("the source broke")

    with Spool(tmp_path) as spool:
        with pytest.raises(RuntimeError, match="the source broke"):
            spool.append(MQTT, broken())
        assert spool.append(MQTT, texts(b"one")) == 1


def test_spool_reads_at_least_one_and_about_so_many_bytes(tmp_path: Path) -> None:
    """A message larger than the limit still comes; a batch ends where the limit is reached."""
    with Spool(tmp_path) as spool:
        spool.append(MQTT, texts(b"x" * 50, b"y" * 50, b"z" * 50))

        assert [message.position for message in spool.read(0, limit=10, limit_bytes=10)] == [1]
        assert [message.position for message in spool.read(0, limit=10, limit_bytes=60)] == [1, 2]
        assert [message.position for message in spool.read(1, limit=1, limit_bytes=1000)] == [2]
        assert list(spool.read(3, limit=10, limit_bytes=10)) == []


def test_spool_second_reader(tmp_path: Path) -> None:
    """Another connection sees what was stored, reads it while more is stored, and learns new channels."""
    with Spool(tmp_path) as spool, Spool(tmp_path, read_only=True) as reader:
        spool.append(MQTT, texts(b"1"))
        assert reader.last_position() == 1
        spool.append(ENVELOPED, [("t", None, b"2")])
        assert [message.channel for message in reader.read(0, limit=9, limit_bytes=99)] == [MQTT, ENVELOPED]
        assert (reader.oldest_received(0), reader.oldest_received(1), reader.oldest_received(2)) == (7, None, None)


def test_spool_size_falls_when_forgotten(tmp_path: Path) -> None:
    """Room that was forgotten counts as free."""
    with Spool(tmp_path) as spool:
        spool.append(MQTT, texts(*[b"x" * 10_000] * 100))
        full = spool.size_bytes()
        spool.forget(100)

        assert full > 1_000_000
        assert spool.size_bytes() < 100_000


def test_spool_of_another_kind(tmp_path: Path) -> None:
    """A file that is no database is named."""
    (tmp_path / "spool.db").write_bytes(b"this is a letter" * 1000)

    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(tmp_path)


def test_spool_read_only_missing(tmp_path: Path) -> None:
    """Reading makes nothing."""
    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(tmp_path, read_only=True)

    assert list(tmp_path.iterdir()) == []


def test_spool_damaged_is_said(tmp_path: Path) -> None:
    """A table that is gone is an error of ours, not of SQLite."""
    with Spool(tmp_path) as spool:
        with sqlite3.connect(tmp_path / "spool.db") as other:
            other.execute("DROP TABLE message_group")
        other.close()
        with pytest.raises(SpoolError, match="cannot be read"):
            spool.read(0, limit=1, limit_bytes=1)


def test_spool_of_an_earlier_layout_is_refused(tmp_path: Path) -> None:
    """Messages that would not be read are not passed over."""
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as other:
        other.execute("CREATE TABLE message (position INTEGER PRIMARY KEY)")

    with pytest.raises(SpoolError, match="earlier layout"):
        Spool(tmp_path)


@given(st.lists(st.lists(st.binary(max_size=20), max_size=5), max_size=6), st.integers(1, 4))
def test_spool_positions_have_no_gaps(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[bytes]], limit: int
) -> None:
    """However messages are grouped, they are numbered from 1 and read in chunks of any size."""
    folder = tmp_path_factory.mktemp("spool")
    with Spool(folder) as spool:
        for group in groups:
            spool.append(MQTT, texts(*group))
        found: list[tuple[int, bytes]] = []
        while messages := spool.read(len(found), limit=limit, limit_bytes=30):
            found += [(message.position, message.payload) for message in messages]

    payloads = [payload for group in groups for payload in group]
    assert list(enumerate(payloads, start=1)) == found


def test_spool_folder_of_any_name(tmp_path: Path) -> None:
    """Characters that mean something in a URI mean nothing in a folder's name."""
    folder = tmp_path / "a b#c?d%20é"
    with Spool(folder) as spool, Spool(folder, read_only=True) as reader:
        spool.append(MQTT, texts(b"1"))

        assert reader.last_position() == 1
    assert (folder / "spool.db").is_file()


def test_spool_folder_cannot_be_made(tmp_path: Path) -> None:
    """A folder that cannot be made is an error of ours."""
    (tmp_path / "file").touch()

    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(tmp_path / "file" / "spool")


@pytest.mark.parametrize("made", ["Spool(folder)", "State(folder)"])
def test_databases_keep_their_locks(tmp_path: Path, made: str) -> None:
    """Another process that closes a database while we hold it does not take its log from under us.

    Opening and closing the database's file anywhere in this process would drop SQLite's lock on it; the other process
    would then think it is the last one, and remove a log that we still write to.
    """
    with Spool(tmp_path) as spool, State(tmp_path) as state:
        spool.append(MQTT, texts(b"1"))
        state.name_writer("w")
        code = (
            "import sys; from pathlib import Path; from ingest.spool import Spool; from ingest.account import State; "
            f"folder = Path(sys.argv[1]); {made}.close()"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)

        assert {"spool.db-wal", "state.db-wal"} <= {file.name for file in tmp_path.iterdir()}
        assert spool.append(MQTT, texts(b"2")) == 2
    with Spool(tmp_path) as spool:
        assert [message.payload for message in spool.read(0, limit=9, limit_bytes=99)] == [b"1", b"2"]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 350])
def test_spool_groups_of_any_size(tmp_path: Path, count: int) -> None:
    """Groups are inserted a hundred at a time; what is left over is not forgotten."""
    rows = [(f"t/{number}", number if number % 2 else None, b"%d" % number) for number in range(count)]
    with Spool(tmp_path) as spool:
        spool.append(MQTT, texts(b"before"))
        assert 1 + count == spool.append(MQTT, rows)
        found = [tuple(message[2:]) for message in spool.read(1, limit=1000, limit_bytes=10**9)]

    assert rows == found


def test_spool_new_channel_of_a_group_that_failed(tmp_path: Path) -> None:
    """The number of a channel that came with a failed group is not used again for the next one."""
    with Spool(tmp_path) as spool:
        with pytest.raises(UnicodeEncodeError):
            spool.append(MQTT, [("t", 1, b"a"), ("\ud800", 1, b"b")])
        spool.append(ENVELOPED, texts(b"c"))
        spool.append(MQTT, texts(b"d"))

        assert [ENVELOPED, MQTT] == [message.channel for message in spool.read(0, limit=9, limit_bytes=99)]


def test_spool_forgets_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the steps of a long trim others may append; the step is made to fit the disk."""
    monkeypatch.setattr(module, "_FIRST_TRIM", 10)
    with Spool(tmp_path) as spool:
        for _ in range(1000):
            spool.append(MQTT, texts(b"x"))
        steps: list[int] = []

        def step(until: int, do: Any = spool._trim_step) -> bool:
            steps.append(spool.append(MQTT, texts(b"meanwhile")))
            return bool(do(until))

        monkeypatch.setattr(spool, "_trim_step", step)
        spool.forget(990)

        assert 1 < len(steps) < 20
        found = [message.position for message in spool.read(0, limit=10_000, limit_bytes=10**9)]
    assert list(range(991, 1001 + len(steps))) == found


def test_spool_size_counts_a_log_that_cannot_shrink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody reads an old state, the log grows; the spool's size says so, and it ends with the reader."""
    monkeypatch.setattr(module, "_LOG_LIMIT_BYTES", 1_000_000)
    with Spool(tmp_path) as spool, contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as other:
        spool.append(MQTT, texts(b"1"))
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM message_group").fetchone()
        for _ in range(60):
            spool.append(MQTT, texts(*[b"x" * 10_000] * 100))
            spool.forget(spool.last_position())
        while_read = spool.size_bytes()
        other.execute("ROLLBACK")
        for _ in range(30):
            spool.append(MQTT, texts(*[b"x" * 10_000] * 100))
            spool.forget(spool.last_position())

        assert while_read > 30_000_000
        assert spool.size_bytes() < 10_000_000


def test_spool_damaged_is_kept_and_explained(tmp_path: Path) -> None:
    """A database with overwritten pages is named as damaged with what to do, and nothing of it is removed."""
    with Spool(tmp_path) as spool:
        spool.append(MQTT, texts(*[b"x" * 1000] * 1000))
    file = tmp_path / "spool.db"
    damaged = bytearray(file.read_bytes())
    damaged[8192 * 5 : 8192 * 60] = b"\xa5" * (8192 * 55)
    file.write_bytes(damaged)

    with Spool(tmp_path) as spool, pytest.raises(SpoolError, match=r"is damaged.* nothing of it was removed"):
        spool.read(0, limit=10_000, limit_bytes=10**9)
    assert len(damaged) == file.stat().st_size


def test_spool_failpoints_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its named moments the spool is where the crash harness expects it."""
    seen: list[tuple[str, int, int]] = []
    with Spool(tmp_path) as spool, Spool(tmp_path, read_only=True) as other:

        def reach(name: str) -> None:
            left = len(other.read(0, limit=10, limit_bytes=99))
            seen.append((name, other.last_position(), left))

        monkeypatch.setattr(module, "reach", reach)
        spool.append(MQTT, texts(b"1", b"2"))
        spool.forget(1)
        spool.forget(2)

    # The group goes as a whole, when its last message is in the lake.
    assert [("spool.begun", 0, 0), ("spool.committed", 2, 2), ("spool.trimmed", 2, 0)] == seen
