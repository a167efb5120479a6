"""The daemon: real brokers, real processes, kill -9, and the same lake whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.replay_alicante import FILES, cut, make_site, messages, replay, spooled, stored
from ingest import child_process
from ingest import lake_process as module
from ingest.daemon import feed_files
from ingest.files import open_sources
from ingest.lake_process import Patience, WriterProcess
from ingest.spool import Spool
from ingest.upkeep import Upkeep
from lake.errors import LakeError, SpoolError
from tests.ingest.messages import (
    ALICANTE,
    MQTT,
    account_of,
    drain,
    lake_of,
    native,
    same_lakes,
    settings_of,
    spool_messages,
)
from tests.ingest.test_decoding import BAD
from tests.processes import Daemon, Mosquitto, Publisher, free_port, run_metriage, status_of, wait_until
from tests.recordings import ROOT, recordings_folder

SAMPLE = ROOT / "data" / "samples" / "alicante_cut.csv"


@pytest.fixture(name="broker")
def _broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def native_site(folder: Path, url: str, **ingest: object) -> Path:
    """Make a site that listens for native readings."""
    folder.mkdir()
    limits = "".join(f"{key} = {json.dumps(value)}\n" for key, value in ingest.items())
    (folder / "metriage.toml").write_text(f'[[broker]]\nurl = "{url}"\n[ingest]\n{limits}', encoding="utf-8")
    return folder


def reading(number: int) -> tuple[str, bytes]:
    return f"meters/m{number % 7}/readings", native(meter_id=f"m{number % 7}", ts=1717200000 + number, volume_m3=number)


def test_daemon_replay_equals_files(tmp_path: Path) -> None:
    """Real rows through mosquitto with kills in between, and through files: the same lake, the account exact."""
    result = replay([SAMPLE], tmp_path, kills=4)
    account = result.mqtt_account["messages"]

    assert result.equal
    assert result.files_account["messages"] == {
        "received": result.rows, "stored": result.rows, "duplicate": 0, "quarantined": 0, "pending": 0
    }  # fmt: skip
    assert account == result.files_account["messages"] | {
        "received": result.rows + account["duplicate"], "duplicate": account["duplicate"]
    }  # fmt: skip


@pytest.mark.slow
def test_daemon_replay_of_the_recording(tmp_path: Path) -> None:
    """A large cut of the full recording: the same lake after kills, in less than 400 MB for all processes together."""
    file = cut(recordings_folder() / "alicante" / FILES[0], 30_000, tmp_path / "cut.csv")
    result = replay([file], tmp_path / "sites", kills=2, seed=2)

    assert result.equal
    assert result.mqtt_account["messages"]["stored"] == result.rows == 30_000
    assert result.mqtt_account["messages"]["pending"] == 0
    assert 0 < result.peak_mb < 400


def test_daemon_broker_restarts(tmp_path: Path, broker: Mosquitto) -> None:
    """A broker that restarts in the middle costs nothing: what was acknowledged to the publisher arrives."""
    commits = "\n[ingest]\ncommit_interval_s = 1\n"
    direct, site = (make_site(tmp_path / name, broker.url, commits) for name in ("direct", "site"))
    run_metriage("ingest", "--dir", direct, "--codec", "alicante", "--json", "--from", SAMPLE)
    rows = list(messages([SAMPLE], direct))
    with Daemon(site) as daemon:
        daemon.wait_connected()
        for part in (rows[:5000], rows[5000:]):
            with Publisher(broker.port) as publisher:
                publisher.publish_all(part)
            broker.stop()
            broker.start()
        # What was on its way comes again, so the spool sees more messages than rows: ask the lake.
        wait_until(lambda: stored(site) >= len(rows), "the rows to arrive")
        assert daemon.stop() == 0

    assert same_lakes(direct, site)
    assert stored(site) == len(rows)


def test_daemon_stopped_brings_what_waits_into_the_lake(tmp_path: Path, broker: Mosquitto) -> None:
    """SIGTERM to the whole group, as service managers send it, loses nothing and ends with exit code 0."""
    site = native_site(tmp_path / "site", broker.url, commit_interval_s=3600)
    with Daemon(site) as daemon, Publisher(broker.port) as publisher:
        daemon.wait_connected()
        publisher.publish_all(map(reading, range(500)))
        wait_until(lambda: spooled(site) == 500, "the messages to arrive")
        assert stored(site) == 0
        os.killpg(daemon.process.pid, signal.SIGTERM)
        assert daemon.process.wait(120) == 0

    assert status_of(site)["messages"] == {
        "received": 500,
        "stored": 500,
        "duplicate": 0,
        "quarantined": 0,
        "pending": 0,
    }
    assert lake_of(site)["readings"].height == 500


def test_daemon_status_while_it_runs(tmp_path: Path, broker: Mosquitto) -> None:
    """The account is exact at any time: what waits is pending, in messages and in readings."""
    site = native_site(tmp_path / "site", broker.url, commit_interval_s=3600)
    with Daemon(site) as daemon, Publisher(broker.port) as publisher:
        daemon.wait_connected()
        publisher.publish_all([("meters/m1/readings", b"[" + native() + b"," + native(seq=2) + b"]"), reading(1)])
        wait_until(lambda: spooled(site) == 2, "the messages to arrive")
        document = status_of(site)
        daemon.stop()

    assert document["messages"] == {"received": 2, "stored": 0, "duplicate": 0, "quarantined": 0, "pending": 2}
    assert (document["readings"]["received"], document["readings"]["pending"]) == (3, 3)


def test_daemon_every_bad_input(tmp_path: Path, broker: Mosquitto) -> None:
    """Every bad input of the contract, over a real broker: counted, kept with its reason, and the line goes on."""
    site = native_site(tmp_path / "site", broker.url)
    bad = [("meters/m1/readings", payload) for payload, _ in BAD.values()]
    hostile = [("meters/<img src=x onerror=alert(1)>/readings", native()), ("meters/../readings", native())]
    with Daemon(site) as daemon, Publisher(broker.port) as publisher:
        daemon.wait_connected()
        sent = publisher.publish_all([*bad, *hostile, *map(reading, range(20)), reading(3), reading(4)])
        wait_until(lambda: spooled(site) == sent, "the messages to arrive")
        assert daemon.stop() == 0

    messages_ = status_of(site)["messages"]
    assert messages_ == {
        "received": sent, "stored": 20, "duplicate": 2, "quarantined": len(bad) + len(hostile), "pending": 0
    }  # fmt: skip
    assert lake_of(site)["quarantine"]["payload"].null_count() == 0


def test_daemon_retained_message(tmp_path: Path, broker: Mosquitto) -> None:
    """A retained message is taken once, not at every start."""
    site = native_site(tmp_path / "site", broker.url)
    with Publisher(broker.port) as publisher:
        publisher.publish("meters/m1/readings", native(), retain=True)
        wait_until(lambda: publisher.acknowledged == 1, "the broker to keep it")
    for _ in range(2):
        with Daemon(site) as daemon:
            daemon.wait_connected()
            wait_until(lambda: spooled(site) == 1, "the retained message")
            assert daemon.stop() == 0

    assert status_of(site)["messages"]["received"] == 1


def test_daemon_falls_back_for_the_embedded_broker(tmp_path: Path) -> None:
    """The embedded broker does not answer MQTT 5 at all; the daemon speaks 3.1.1 with it, by itself."""
    port = free_port()
    site = native_site(tmp_path / "site", f"mqtt://127.0.0.1:{port}")
    command = [sys.executable, "-m", "metriage.embedded_broker", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as broker:
        try:
            assert broker.stdout is not None
            assert broker.stdout.readline() == b"ready\n"
            with Daemon(site) as daemon:
                daemon.wait_connected()
                assert "MQTTv311" in daemon.log()
                with Publisher(port, window=20, version="3.1.1") as publisher:
                    publisher.publish_all(map(reading, range(100)))
                wait_until(lambda: spooled(site) == 100, "the messages to arrive")
                assert daemon.stop() == 0
        finally:
            broker.kill()

    assert stored(site) == 100


def test_daemon_second_one_is_told_who_holds_the_site(tmp_path: Path, broker: Mosquitto) -> None:
    """A second daemon, or files, while one runs: exit code 2, and the message names the holder."""
    site = make_site(tmp_path / "site", broker.url)
    with Daemon(site) as daemon:
        daemon.wait_connected()
        refused = [
            run_metriage("ingest", "--dir", site, check=False),
            run_metriage("ingest", "--dir", site, "--codec", "alicante", "--from", SAMPLE, check=False),
        ]
        pid = daemon.process.pid
        daemon.stop()

    assert [2, 2] == [done.returncode for done in refused]
    assert all(f"process {pid}" in done.stderr for done in refused)


def test_daemon_credentials_missing(tmp_path: Path) -> None:
    """A password that cannot be read is a configuration error at the start."""
    site = native_site(tmp_path / "site", 'mqtt://127.0.0.1:1"\nusername = "u"\npassword_file = "gone')
    done = run_metriage("ingest", "--dir", site, check=False)

    assert done.returncode == 2
    assert "broker.password_file: cannot be read" in done.stderr


def test_daemon_without_anything_to_do(tmp_path: Path) -> None:
    """Without a reachable broker it goes on trying, and stops with exit code 0."""
    site = native_site(tmp_path / "site", f"mqtt://127.0.0.1:{free_port()}")
    with Daemon(site) as daemon:
        wait_until(lambda: daemon.said("broker not connected"), "the first attempt")
        assert daemon.stop() == 0


def test_feed_files_account(tmp_path: Path) -> None:
    """Files twice: everything is a duplicate the second time, and progress is told."""
    told: list[tuple[int, int]] = []
    sources = open_sources([SAMPLE], "alicante", ALICANTE, "trial")
    feed_files(sources, settings_of(tmp_path), lambda read, done: told.append((read, done)))
    feed_files(sources, settings_of(tmp_path), lambda read, done: told.append((read, done)))
    count = told[-1][0]

    assert told[-1] == (count, count)
    assert account_of(tmp_path).messages == {"stored": count, "duplicate": count, "quarantined": 0}


def test_feed_files_lake_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the lake cannot be written it gives up after a while, says where everything is, and loses nothing."""
    monkeypatch.setattr(module, "_PATIENCE_S", 3.0)
    (tmp_path / "lake").write_text("not a folder")
    file = tmp_path / "a.jsonl"
    file.write_bytes(native() + b"\n" + native(seq=1) + b"\n")
    with pytest.raises(LakeError, match="what waits stays in the spool"):
        feed_files(open_sources([file], "native", None, "s"), settings_of(tmp_path), lambda *_: None)
    (tmp_path / "lake").unlink()
    drain(tmp_path)

    assert account_of(tmp_path).messages["stored"] == 2


def test_feed_files_disk_full(tmp_path: Path) -> None:
    """Below the free space that is to be kept nothing is taken, and it says so at once."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(native() + b"\n" + native(seq=1) + b"\n")
    settings = settings_of(tmp_path, min_free_bytes=2**62)

    with pytest.raises(SpoolError, match=r"below ingest\.min_free_bytes"):
        feed_files(open_sources([file], "native", None, "s"), settings, lambda *_: None)


def test_upkeep_forgets_what_the_lake_has(tmp_path: Path) -> None:
    """What is complete in the lake leaves the spool; what is not stays."""
    spool_messages(tmp_path, [native(seq=number) for number in range(5)])
    drain(tmp_path)
    spool_messages(tmp_path, [native(seq=9)])
    with Spool(tmp_path / "spool") as spool:
        upkeep = Upkeep(spool, settings_of(tmp_path))

        assert upkeep.run() == 5
        assert [message.position for message in spool.read(0, limit=9, limit_bytes=9999)] == [6]


def test_upkeep_stops_taking_when_full(tmp_path: Path) -> None:
    """Beyond its size the spool takes nothing until the lake has caught up."""
    with Spool(tmp_path / "spool") as spool:
        upkeep = Upkeep(spool, settings_of(tmp_path, spool_limit_bytes=100_000))
        upkeep.run()
        last = upkeep.store(MQTT, [("t", 1, b"x" * 200_000)])
        upkeep.run()
        with pytest.raises(SpoolError, match=r"above ingest\.spool_limit_bytes"):
            upkeep.store(MQTT, [("t", 1, b"y")])
        assert not upkeep.has_room(last, 10)
        drain(tmp_path)
        upkeep.run()

        assert upkeep.has_room(last, 10)
        assert upkeep.store(MQTT, [("t", 1, b"y")]) == 2


def test_upkeep_waits_for_a_lake_that_is_behind(tmp_path: Path) -> None:
    """Files are not read further ahead of the lake than allowed."""
    with Spool(tmp_path / "spool") as spool:
        upkeep = Upkeep(spool, settings_of(tmp_path))
        upkeep.run()

        assert upkeep.has_room(10, 10)
        assert not upkeep.has_room(11, 10)


def test_patience_holds_while_the_lake_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step forward begins the wait anew."""
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    patience = Patience()
    held = []
    for moment, position in [(0, 0), (100, 0), (110, 5), (225, 5), (231, 5)]:
        clock[0] = moment
        held.append(patience.holds(position))

    assert [True, True, True, True, False] == held


def test_writer_process_that_dies_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake writer that is killed, also while it drains, is started again and finishes."""
    monkeypatch.setattr(child_process, "RESTART_S", 0.05)
    spool_messages(tmp_path, [native(seq=number) for number in range(50)])
    killed: list[int] = []
    with WriterProcess(settings_of(tmp_path)) as writer:

        def wait() -> bool:
            process = writer._process
            if len(killed) < 3 and process is not None and process.pid not in killed:
                killed.append(process.pid)
                process.kill()
            return True

        wait()
        assert writer.drain(wait)

    assert len(killed) == 3
    assert account_of(tmp_path).messages["stored"] == 50


def test_writer_process_drain_can_be_given_up(tmp_path: Path) -> None:
    """Whoever waits may stop waiting."""
    with WriterProcess(settings_of(tmp_path)) as writer:
        assert not writer.drain(lambda: False)
