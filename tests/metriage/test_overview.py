"""What `status` shows beside the account: true on a full disk, cheap, and safe to print."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl
import pytest

from ingest.gap import Gap
from ingest.message import Channel
from ingest.monitoring.vitals import BrokerVitals, DaemonVitals
from ingest.monitoring.vitals_file import DaemonReport, VitalsFile, WriterReport, read_report
from ingest.spool import Spool
from metriage.console import counted, duration
from metriage.doctor import examine
from metriage.overview import overview
from metriage.site import Site, open_site
from metriage.site_template import make_site
from tests.crash.disks import SmallDisk, may_mount
from tests.metriage.sites import Done


@pytest.fixture(name="spool")
def _spool(site: Site) -> Path:
    """Return the spool's folder."""
    return site.folder / "spool"


def test_overview_of_a_new_site(site: Site) -> None:
    """Nothing runs, nothing is held, nothing is there."""
    document = overview(site, [])

    assert document["daemon"] is None
    assert document["holding"] is None
    assert [] == document["lake"]["tables"] == document["silent"] == document["quarantine_examples"]
    assert {"count": 0, "newest": None} == document["gaps"]
    assert {"spool", "lake"} == {disk["folder"] for disk in document["disk"]}


def refuse(site: Site, metriage: Callable[..., Done], *payloads: bytes) -> None:
    file = site.folder / "refused.jsonl"
    file.write_bytes(b"".join(payload + b"\n" for payload in payloads))
    metriage("ingest", "--dir", site.folder, "--from", file)


def test_newest_example_of_each_reason(site: Site, metriage: Callable[..., Done]) -> None:
    """Of several files the newest; hostile bytes reach neither terminal nor JSON."""
    refuse(site, metriage, b"first", b'{"meter_id": "A", "ts": "2024-01-01T00:00:00Z", "volume_m3": "much"}')
    refuse(site, metriage, b"second \x1b[31m\x07\xff\xfe")

    plain = metriage("status", "--dir", site.folder)
    document = json.loads(metriage("status", "--dir", site.folder, "--json").out)

    examples = {example["reason"]: example for example in document["quarantine_examples"]}
    assert set(document["quarantine"]) == set(examples)
    assert 2 == len(examples)
    assert "second" in next(example["payload"] for example in examples.values() if example["payload_bytes"] < 20)
    assert "second" in plain.out
    assert "first" not in plain.out
    assert {"\x1b", "\x07"}.isdisjoint(plain.out)
    assert "quarantined: 2 " in plain.out


def test_example_of_a_large_payload_is_short(site: Site, metriage: Callable[..., Done]) -> None:
    """Its size is told instead."""
    refuse(site, metriage, b"x" * 100_000)

    example = overview(site, ["not_json"])["quarantine_examples"][0]
    assert (200, 100_000) == (len(example["payload"]), example["payload_bytes"])


def test_gap_that_waits_in_the_spool_is_shown(site: Site, spool: Path, metriage: Callable[..., Done]) -> None:
    """Before the lake has it, and once when it has."""
    gap = Gap(kind="session_lost", received_at=3_000_000, source="s", broker="m@h:1883", topics=("t",),
              since=1_000_000, until=2_000_000)  # fmt: skip
    with Spool(spool) as stored:
        stored.add_gap(gap)

    found = overview(site, [])["gaps"]
    assert (1, "session_lost") == (found["count"], found["newest"]["kind"])
    assert "1 gap in what was received; the newest: session_lost at m@h:1883" in metriage(
        "status", "--dir", site.folder
    ).out.replace("\n", " ")

    refuse(site, metriage, b"a batch takes it along")
    assert 1 == overview(site, [])["gaps"]["count"]


def test_full_disk_is_seen_without_a_daemon(site: Site, metriage: Callable[..., Done]) -> None:
    """`status` looks itself: nobody could write it down."""
    (site.folder / "metriage.toml").write_text(
        "broker = []\n[ingest]\nmin_free_bytes = 1_000_000_000_000_000\n", encoding="utf-8"
    )

    done = metriage("status", "--dir", site.folder)
    assert 0 == done.code
    assert "ACKNOWLEDGING IS STOPPED because" in done.out
    assert "below ingest.min_free_bytes" in done.out.replace("\n", " ")


def test_disk_of_a_lake_elsewhere_is_shown(site: Site, tmp_path: Path) -> None:
    """The folder that `[lake] url` names; none for an object store, and none where the settings are wrong."""
    settings = site.folder / "metriage.toml"
    (tmp_path / "elsewhere").mkdir()
    shown = []
    for url in (str(tmp_path / "elsewhere"), "../nowhere", "s3://bucket/lake", "ftp://no"):
        settings.write_text(f'broker = []\n[lake]\nurl = "{url}"\n', encoding="utf-8")
        shown.append([disk["folder"] for disk in overview(open_site(site.folder), [])["disk"]])

    assert [["spool", "lake"], ["spool"], ["spool"], ["spool"]] == shown


@pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")
def test_disk_full_to_the_last_byte_is_said(tmp_path: Path, metriage: Callable[..., Done]) -> None:
    """SQLite cannot even read there: what cannot be counted is said, and why; the rest is shown."""
    with SmallDisk(tmp_path / "disk", 4_000_000) as disk:
        make_site(disk.folder / "site")
        site = open_site(disk.folder / "site")
        (site.folder / "metriage.toml").write_text("broker = []\n[ingest]\nmin_free_bytes = 0\n", encoding="utf-8")
        with Spool(site.folder / "spool") as spool:
            spool.append(Channel("mqtt", "native", "s", enveloped=False), [("a", 1, b"{}")])
        disk.fill()

        plain, document = (metriage("status", "--dir", site.folder, *more) for more in ((), ("--json",)))
        assert (1, 1) == (plain.code, document.code)
        assert "cannot be counted: 0 bytes are free on the disk" in plain.err
        assert "disk spool/: 0.0 GB free" in plain.out
        assert "make room" in json.loads(document.out)["error"]
        assert 0 == json.loads(document.out)["disk"][0]["free_bytes"]
        checks = {check.subject: check for check in examine(site)}
        assert ("problem", "ok", "problem") == tuple(checks[name].level for name in ("disk spool/", "daemon", "lake"))

        disk.free()
        assert 1 == json.loads(metriage("status", "--dir", site.folder, "--json").out)["messages"]["pending"]


def test_lake_that_cannot_be_looked_at_is_said(site: Site, metriage: Callable[..., Done]) -> None:
    """The account is shown all the same."""
    refuse(site, metriage, b"x")
    for file in (site.folder / "lake" / "quarantine" / "_delta_log").iterdir():
        file.write_bytes(b"rubbish")

    done = metriage("status", "--dir", site.folder)
    assert 0 == done.code
    assert "lake: cannot be looked at" in done.out
    assert "quarantined: 1 not_json" in done.out


def running() -> DaemonVitals:
    vitals = DaemonVitals(brokers=(BrokerVitals("m@h:1883", "meters", silent=True, messages=1, sessions_lost=1),))
    vitals.writer.alive = True
    return vitals


def test_running_daemon_is_shown(site: Site, spool: Path, metriage: Callable[..., Done]) -> None:
    """Its brokers, what is silent, what is lost."""
    with VitalsFile(spool) as file:
        file.write(running())
        document = overview(site, [])
        text = metriage("status", "--dir", site.folder).out

    assert ["meters"] == document["silent"]
    assert os.getpid() == document["daemon"]["pid"]
    assert f"daemon: process {os.getpid()}, the lake is 0 s behind, 0 commits" in text
    assert "broker m@h:1883: NOT connected, 1 message, last 0 s ago, SILENT, 1 session lost" in text
    assert read_report(spool) is None  # the daemon took it away


@pytest.mark.parametrize(
    ("pid", "age_s"), [(os.getpid(), 31.0), (os.getpid(), -5.0), (2**22 + 1, 0.0), (-1, 0.0), (2**70, 0.0)]
)
def test_report_that_is_stale_is_ignored(spool: Path, pid: int, age_s: float) -> None:
    """Too old, from before the machine started, or of a process that is gone."""
    (spool / "daemon.json").write_bytes(
        msgspec.json.encode(
            {"pid": pid, "started_at": 0.0, "monotonic_s": time.monotonic() - age_s, "holding": None, "brokers": [],
             "writer": {"alive": True}}
        ) if pid < 2**63 else b'{"pid": 1180591620717411303424}'
    )  # fmt: skip

    assert read_report(spool) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff\xfe"])
def test_report_that_is_rubbish_is_ignored(spool: Path, text: bytes) -> None:
    """Somebody else wrote it."""
    (spool / "daemon.json").write_bytes(text)

    assert read_report(spool) is None


def test_report_survives_the_round_trip(spool: Path) -> None:
    """And is not written again at once."""
    with VitalsFile(spool) as file:
        file.write(running())
        first = read_report(spool)
        file.write(DaemonVitals())

        assert isinstance(first, DaemonReport)
        assert WriterReport(alive=True) == first.writer
        assert first == read_report(spool)


def test_report_needs_no_room_on_the_disk(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That acknowledging stops is told at once, and where the file lies: a full disk has no room for another one."""
    with VitalsFile(spool) as file:
        file.write(running())
        before = (spool / "daemon.json").stat()
        monkeypatch.setattr(Path, "write_bytes", None)
        stopped = running()
        stopped.spool.full = "0 bytes free on the disk"
        file.write(stopped)
        report, after = read_report(spool), (spool / "daemon.json").stat()

    assert report is not None
    assert "0 bytes free on the disk" == report.holding
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)


def test_rows_and_files_come_from_the_log(site: Site, metriage: Callable[..., Done]) -> None:
    """The same as reading the table."""
    refuse(site, metriage, b"a", b"b")
    refuse(site, metriage, b"c")

    table = next(item for item in overview(site, [])["lake"]["tables"] if item["table"] == "quarantine")
    assert (3, 2) == (table["rows"], table["files"])
    assert 3 == pl.read_delta(str(site.folder / "lake" / "quarantine")).height


def test_wording_of_one_and_many() -> None:
    """No "1 messages"."""
    assert ["0 files", "1 file", "1,200 files"] == [counted(count, "file") for count in (0, 1, 1200)]
    assert ["0 s", "179 s", "3 min", "10 h"] == [duration(seconds) for seconds in (0, 179, 200, 36_000)]
