"""The daemon as an operator sees it: real processes, a real broker, real HTTP, a disk that is really full."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingest import daemon
from ingest.daemon import Receiver
from ingest.settings import BrokerSettings
from ingest.spool import Spool
from ingest.upkeep import Lag, Upkeep
from ingest.writer_process import tell
from lake.errors import SpoolError
from tests.ingest.messages import MQTT, native, settings_of
from tests.ingest.test_daemon import native_site, reading
from tests.processes import Daemon, Mosquitto, Publisher, free_port, run_metriage, status_of, wait_until
from tests.recordings import ROOT


@pytest.fixture(name="broker")
def _broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


class Page:
    """A site with ``[metrics]``, and what its daemon answers."""

    def __init__(self, site: Path) -> None:
        self.port = free_port()
        with (site / "metriage.toml").open("a", encoding="utf-8") as stream:
            stream.write(f'[metrics]\nlisten = "127.0.0.1:{self.port}"\n')

    def get(self, path: str) -> tuple[int, str]:
        """Return code and body; code 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def value(self, sample: str, **labels: str) -> float:
        """Return one sample, -1 while nobody answers."""
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for item in family.samples:
                if item.name == sample and labels.items() <= item.labels.items():
                    return float(item.value)
        return -1.0

    def problems(self, path: str) -> list[str]:
        """Return what a health page complains about."""
        return list(json.loads(self.get(path)[1] or '{"problems": []}')["problems"])


def test_daemon_is_seen_from_outside(tmp_path: Path, broker: Mosquitto) -> None:
    """Metrics and health follow what happens: messages, a writer that is killed, a broker that leaves; the log too."""
    site = native_site(tmp_path / "site", broker.url, commit_interval_s=0.5)
    page = Page(site)
    with Daemon(site) as process:
        process.wait_connected()
        wait_until(lambda: page.get("/readyz")[0] == 200, "the daemon to be ready")
        with Publisher(broker.port) as publisher:
            publisher.publish_all([*map(reading, range(50)), ("meters/m1/readings", b"no json")])
        received = page.value
        wait_until(lambda: received("metriage_messages_total", outcome="stored") >= 50, "the batch")
        wait_until(lambda: received("metriage_messages_total", outcome="quarantined") == 1, "the refusal")
        assert received("metriage_quarantined_readings_total", reason="not_json") == 1
        assert received("metriage_broker_connected") == 1
        assert received("metriage_lake_commits_total") >= 1
        assert received("metriage_lake_commit_seconds_count") == received("metriage_lake_commits_total")
        assert received("metriage_resident_memory_bytes", process="receiver") > 1e6
        account = status_of(site)
        outcomes = ("stored", "duplicate", "quarantined")
        total = sum(received("metriage_messages_total", outcome=name) for name in outcomes)
        assert account["messages"]["received"] == total

        _kill_writer(process)
        wait_until(lambda: page.get("/healthz")[0] == 503, "the dead writer to be said")
        wait_until(lambda: page.get("/healthz")[0] == 200, "the next writer")
        assert received("metriage_writer_restarts_total") == 1

        broker.stop()
        wait_until(lambda: page.get("/readyz")[0] == 503, "the broker's end to be said")
        assert "is not connected" in " ".join(page.problems("/readyz"))
        assert page.get("/healthz")[0] == 200
        broker.start()
        wait_until(lambda: page.get("/readyz")[0] == 200, "the broker again")
        assert process.stop() == 0

    events = [json.loads(line) for line in process.log().splitlines() if line.startswith("{")]
    committed = [event for event in events if event["event"] == "batch committed"]
    assert sum(event["messages"] for event in committed) == account["messages"]["received"]
    assert {"messages", "readings", "stored", "duplicate", "quarantined", "seconds"} <= set(committed[0])
    assert events[-1]["event"] == f"stopped: {account['messages']['received']:,} messages in the lake, 0 waiting"
    assert not (site / "spool" / "daemon.json").exists()


def _kill_writer(process: Daemon) -> None:
    [writer] = psutil.Process(process.process.pid).children()
    assert "ingest.writer_process" in writer.cmdline()
    writer.kill()


def test_daemon_metrics_port_taken(tmp_path: Path) -> None:
    """Said before anything is done, with exit code 2."""
    site = native_site(tmp_path / "site", "mqtt://127.0.0.1:1")
    page = Page(site)
    code = f"import socket; s = socket.create_server(('127.0.0.1', {page.port})); print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as taken:
        assert taken.stdout is not None
        assert taken.stdout.readline() == b"ready\n"
        done = run_metriage("ingest", "--dir", site, check=False)
        taken.communicate(b"\n")

    assert done.returncode == 2
    assert f"metrics.listen: 127.0.0.1:{page.port} cannot be listened on (Address already in use)" in done.stderr
    assert not (site / "spool").exists()


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return the spool folder of a site to be, on a file system of 64 MB."""
    folder = tmp_path / "site" / "spool"
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("reserve", [8_000_000, 0])
def test_daemon_disk_full(tmp_path: Path, broker: Mosquitto, small_disk: Path, reserve: int) -> None:
    """Acknowledging stops, with and without a reserve; status, metrics and health say so; it recovers by itself."""
    site = tmp_path / "site"
    (site / "metriage.toml").write_text(
        f'[[broker]]\nurl = "{broker.url}"\n[ingest]\ncommit_interval_s = 0.5\nmin_free_bytes = {reserve}\n',
        encoding="utf-8",
    )
    page = Page(site)
    filler = small_disk / "filler"
    with Daemon(site) as process, Publisher(broker.port, window=1000) as publisher:
        process.wait_connected()
        publisher.publish_all([reading(10_000)])
        wait_until(lambda: page.value("metriage_messages_total", outcome="stored") > 0, "the lake writer to have begun")
        _fill(filler, 60_000_000)
        for number in range(2_000):  # 8 MB: more than is left
            publisher.publish("meters/m1/readings", native(ts=1717200000 + number, extra="x" * 4_000))
        wait_until(lambda: any(page.value("metriage_holding", reason=reason) == 1
                               for reason in ("disk_full", "spool_error")), "acknowledging to stop")  # fmt: skip
        wait_until(lambda: page.get("/readyz")[0] == 503, "the daemon to be not ready")
        assert "nothing is acknowledged" in " ".join(page.problems("/readyz"))
        if reserve:
            assert "bytes free on the disk" in run_metriage("status", "--dir", site).stdout
        filler.unlink()
        before_full = 2_000
        wait_until(lambda: publisher.acknowledged > before_full, "the broker to have everything")
        wait_until(lambda: page.value("metriage_oldest_unacknowledged_seconds") == 0, "everything to be acknowledged")
        wait_until(lambda: page.get("/readyz")[0] == 200, "the daemon to be ready again")
        assert process.said("acknowledging again") or reserve
        assert process.stop() == 0

    account = status_of(site)["messages"]
    assert account["stored"] + account["duplicate"] >= 2_000
    assert account["pending"] == account["quarantined"] == 0


def _fill(file: Path, size: int) -> None:
    with file.open("wb") as stream:
        stream.write(b"\0" * size)


def test_receiver_that_dies_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours in one receiving thread neither ends the daemon nor stays unseen."""
    monkeypatch.setattr(daemon, "_RESTART_S", 0.01)
    lives: list[int] = []

    class Mortal:
        """Dies twice."""

        def __init__(self, *_: object, **__: object) -> None:
            lives.append(1)

        def run(self, stop: threading.Event) -> None:
            """Die, or wait."""
            if len(lives) < 3:
                raise RuntimeError("an error of ours")
            stop.wait()

    monkeypatch.setattr(daemon, "Subscriber", Mortal)
    stop = threading.Event()
    with Spool(tmp_path / "spool") as spool:
        receiver = Receiver(BrokerSettings(), tmp_path, Upkeep(spool, settings_of(tmp_path)), stop)
        receiver.start()
        restarts = 0

        def settled() -> bool:
            nonlocal restarts
            restarts += receiver.keep_alive()
            return len(lives) == 3

        wait_until(settled, "the third life")
        assert restarts == 2
        assert receiver.alive
        stop.set()
        receiver.join()
        assert not receiver.keep_alive()


def test_spool_that_cannot_be_written_is_held_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it can be."""
    with Spool(tmp_path / "spool") as spool:
        upkeep = Upkeep(spool, settings_of(tmp_path))
        with monkeypatch.context() as broken:
            broken.setattr(spool, "append", _refuse)
            with pytest.raises(SpoolError):
                upkeep.store(MQTT, [("t", 1, b"x")])
        upkeep.run()
        assert ("spool_error", "disk I/O error") == (upkeep.vitals.hold, upkeep.vitals.full)
        upkeep.store(MQTT, [("t", 1, b"x")])
        assert (None, None) == (upkeep.vitals.hold, upkeep.vitals.full)


def _refuse(*_: object) -> int:
    raise SpoolError("disk I/O error")


def test_lag_is_not_disturbed_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts from the receipt of the oldest message that waits, by the monotonic clock."""
    clock = [1000.0]
    monkeypatch.setattr("ingest.upkeep.time.monotonic", lambda: clock[0])
    lag = Lag()
    lag.note(10, waited_s=50.0)
    ages = [lag.seconds(0)]
    for _ in range(5_000):
        clock[0] += 1
        lag.note(int(clock[0]))
    ages += [lag.seconds(5), lag.seconds(10), lag.seconds(6_000)]
    clock[0] += 1000

    assert [50.0, 5050.0] == ages[:2]
    assert 4_900 <= ages[2] <= 5_000  # a long backlog is remembered more coarsely
    assert 0.0 == ages[3] == lag.seconds(6_000)
    assert len(lag._marks) <= 2_001


def test_upkeep_with_clocks_that_are_wrong(tmp_path: Path) -> None:
    """A backlog that was stored by a clock in 2038, or in 1970: an age that is not negative, and no crash."""
    with Spool(tmp_path / "spool") as spool:
        spool.append(MQTT, [("t", 2**31 * 1_000_000, b"x")])
        assert Upkeep(spool, settings_of(tmp_path)).run() == 0
        upkeep = Upkeep(spool, settings_of(tmp_path))
        upkeep.run()
        assert upkeep.vitals.lag_s >= 0
        assert upkeep.vitals.waiting == 1


def test_tell_after_the_receiver_is_gone() -> None:
    """A writer whose receiver was killed ends quietly, with exit code 0."""
    code = "import sys; from ingest.writer_process import tell; sys.stdin.read(); tell('a'); tell('b')"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stderr is not None
        writer.stdout.close()
        writer.stdin.close()
        assert (b"", 0) == (writer.stderr.read(), writer.wait(60))
    assert tell
