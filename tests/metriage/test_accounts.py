"""The account of a site: exact at any time, and clear where it cannot be told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.message import Channel
from ingest.spool import Spool
from lake.errors import SpoolError
from metriage import accounts
from metriage.accounts import account
from metriage.site import Site
from tests.ingest.messages import drain
from tests.metriage.sites import START, Done


def readings(file: Path, lines: list[str]) -> Path:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def reading(hour: int, volume: float = 1.0) -> str:
    ts = START.replace(hour=hour).isoformat()
    return json.dumps({"meter_id": "A", "ts": ts, "volume_m3": volume})


def test_account_of_a_new_site_is_zero(site: Site) -> None:
    """Before anything was ingested."""
    document = account(site)

    assert {"received": 0, "stored": 0, "duplicate": 0, "quarantined": 0, "pending": 0} == document["messages"]
    assert {"messages": 0, "oldest_s": None} == document["spool"]
    assert set(document["messages"]) | {"conflict", "expired"} == set(document["readings"])


def test_account_without_spool_folder_is_zero(site: Site) -> None:
    """A folder that init did not make."""
    (site.folder / "spool").rmdir()

    assert 0 == account(site)["messages"]["received"]


def test_every_message_has_one_outcome(site: Site, metriage: Callable[..., Done], tmp_path: Path) -> None:
    """Stored, duplicate, quarantined; readings and reasons beside them."""
    lines = [reading(0), reading(1), reading(1), reading(1, 2.0), "no json", "[" + reading(2) + "," + reading(3) + "]"]

    done = metriage("ingest", "--dir", site.folder, "--json", "--from", readings(tmp_path / "a.jsonl", lines))

    document = json.loads(done.out)
    assert 3 == done.code
    assert {"received": 6, "stored": 4, "duplicate": 1, "quarantined": 1, "pending": 0} == document["messages"]
    assert 7 == document["readings"]["received"]
    assert 1 == document["readings"]["conflict"]
    assert {"not_json": 1} == document["quarantine"]
    assert document == account(site) | {"spool": document["spool"]}


def test_what_waits_is_pending_before_the_writer_ever_ran(site: Site) -> None:
    """The daemon was killed a moment after its first message."""
    with Spool(site.folder / "spool") as spool:
        received_at = int(START.timestamp() * 1_000_000)
        spool.append(
            Channel(transport="mqtt", source="s", codec="native", enveloped=False),
            [("meters/A/readings", received_at, reading(0).encode())],
        )

    document = account(site)

    assert (1, 1) == (document["messages"]["received"], document["messages"]["pending"])
    assert 1 == document["readings"]["pending"]
    assert document["spool"]["oldest_s"] > 0


def test_spool_that_is_no_folder_is_said(site: Site) -> None:
    """It exists but cannot be read."""
    (site.folder / "spool").rmdir()
    (site.folder / "spool").touch()

    with pytest.raises(SpoolError, match="spool cannot be read: Not a directory"):
        account(site)


@pytest.mark.parametrize("name", ["spool.db", "state.db"])
def test_damaged_spool_is_said(site: Site, metriage: Callable[..., Done], tmp_path: Path, name: str) -> None:
    """Not an account of zeros."""
    metriage("ingest", "--dir", site.folder, "--from", readings(tmp_path / "a.jsonl", [reading(0)]))
    for file in (site.folder / "spool").glob(f"{name}-*"):
        file.unlink()
    (site.folder / "spool" / name).write_bytes(b"this is no database" * 500)

    with pytest.raises(SpoolError, match="not a database"):
        account(site)


def test_status_says_what_is_wrong_with_the_spool(site: Site, metriage: Callable[..., Done]) -> None:
    """As a message and exit code 1."""
    (site.folder / "spool" / "spool.db").write_bytes(b"this is no database" * 100)

    done = metriage("status", "--dir", site.folder)

    assert 1 == done.code
    assert done.err.startswith("metriage: the spool in ")


MQTT = Channel(transport="mqtt", source="s", codec="native", enveloped=False)


def spooled(site: Site, payloads: list[bytes]) -> None:
    received_at = int(START.timestamp() * 1_000_000) + 86_400_000_000
    with Spool(site.folder / "spool") as spool:
        spool.append(MQTT, [("meters/A/readings", received_at, payload) for payload in payloads])


def pair(number: int) -> bytes:
    return f"[{reading(0, number)}, {reading(1, number)}]".encode()


def test_readings_that_wait_are_counted_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was decoded to be counted is not decoded again; what came since is added, what the lake took is moved."""
    monkeypatch.setattr(accounts, "_WORTH_KEEPING", 10)
    spooled(site, [pair(number) for number in range(12)])
    first: list[tuple[int, int]] = []
    assert 24 == account(site, lambda *told: first.append(told))["readings"]["pending"]
    assert (12, 12) == first[-1]

    spooled(site, [pair(99), b"no json"])
    second: list[tuple[int, int]] = []
    document = account(site, lambda *told: second.append(told))
    assert (27, 14) == (document["readings"]["pending"], document["messages"]["pending"])
    assert [(2, 2)] == second

    drain(site.folder)
    document = account(site)
    assert (0, 27) == (document["readings"]["pending"], document["readings"]["received"])


@pytest.mark.parametrize("text", [b"rubbish", b'{"position": 5, "readings": 99, "decoder": "another"}'])
def test_count_kept_by_another_is_not_believed(site: Site, text: bytes) -> None:
    """Damaged, or made with other settings."""
    spooled(site, [pair(number) for number in range(6)])
    (site.folder / "spool" / "counted.json").write_bytes(text)

    assert 12 == account(site)["readings"]["pending"]


def test_account_is_exact_while_the_lake_takes_what_is_being_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pieces the lake writer commits everything and the spool forgets it."""
    monkeypatch.setattr(accounts, "_CHUNK", 5)
    spooled(site, [pair(number) for number in range(20)])

    def overtake(done: int, _all: int) -> None:
        if done == 5:
            drain(site.folder)
            with Spool(site.folder / "spool") as spool:
                spool.forget(20)

    document = account(site, overtake)
    assert (20, 0) == (document["messages"]["received"], document["messages"]["pending"])
    assert (40, 0) == (document["readings"]["received"], document["readings"]["pending"])


def test_age_is_never_negative(site: Site) -> None:
    """Stored by a clock that was in 2038."""
    with Spool(site.folder / "spool") as spool:
        spool.append(MQTT, [("meters/A/readings", 2**31 * 1_000_000, b"x")])

    assert 0.0 == account(site)["spool"]["oldest_s"]


def test_account_database_without_tables_is_empty(site: Site) -> None:
    """The lake writer is just making it, or the disk was full when it tried."""
    spooled(site, [pair(1)])
    sqlite3.connect(site.folder / "spool" / "state.db").close()
    (site.folder / "spool" / "state.db").touch()

    assert (1, 2) == (account(site)["messages"]["pending"], account(site)["readings"]["pending"])
