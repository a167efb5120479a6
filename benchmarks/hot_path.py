"""How soon a hard code is a finding and a delivered ticket, and whether a diagnosis slows what is acknowledged.

``metriage run`` on a real mosquitto, with a receiver of webhooks. Background readings come at a steady rate; now and
then a meter sends a code of severity 1. In the last part a first diagnosis works through weeks of history meanwhile.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
import psutil

from ingest.spool import Spool
from lake.schemas import READINGS
from lake.tables import Lake
from tests.ingest.test_operation import Page
from tests.processes import Daemon, Mosquitto, Publisher, wait_until
from tickets.inbox import Inbox
from tickets.signature import Secret

_POLL_S = 0.005
_TICK_S = 0.02
_LONGEST_S = 1800.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much to do.

    Parameters
    ----------
    codes : int
        Hard codes of each part, one after the other.
    rate : float
        Background readings a second.
    meters, days : int
        History that the first diagnosis works through, hourly.
    """

    codes: int = 20
    rate: float = 1000.0
    meters: int = 6000
    days: int = 60


@dataclass(slots=True)
class Background(AbstractContextManager["Background"]):
    """Readings at a steady rate, and how long each took into the spool, after which it is acknowledged.

    Parameters
    ----------
    port : int
        The broker's.
    site : Path
        Whose spool is looked at.
    rate : float
        Readings a second.
    waits_s : list of (float, float)
        When readings were published, and how long they took to be fsynced [s].
    """

    port: int
    site: Path
    rate: float
    waits_s: list[tuple[float, float]] = field(default_factory=list)
    _sent: list[tuple[int, float]] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        with Spool(self.site / "spool", read_only=True) as spool:
            before = spool.last_position()
        self._threads = [
            threading.Thread(target=self._publish), threading.Thread(target=self._watch, args=(before,))
        ]  # fmt: skip
        for thread in self._threads:
            thread.start()
        return self

    def _publish(self) -> None:
        begin, sent = time.monotonic(), 0
        with Publisher(self.port, window=1000) as publisher:
            while not self._end.wait(_TICK_S):
                due = int((time.monotonic() - begin) * self.rate)
                self._sent.append((due, time.monotonic()))
                for number in range(sent, due):
                    payload = {"ts": 1_700_000_000 + number, "volume_m3": 1.0}
                    publisher.publish(f"meters/b{number % 997}/readings", json.dumps(payload).encode())
                sent = due

    def _watch(self, before: int) -> None:
        seen = 0
        with Spool(self.site / "spool", read_only=True) as spool:
            while not self._end.wait(_POLL_S):
                stored, now = spool.last_position() - before, time.monotonic()
                while seen < len(self._sent) and self._sent[seen][0] <= stored:
                    published = self._sent[seen][1]
                    self.waits_s.append((published, now - published))
                    seen += 1

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def history(size: Size) -> pl.DataFrame:
    """Return hourly registers of a fleet up to yesterday."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    hours = pl.datetime_range(end - timedelta(days=size.days), end, "1h", time_unit="us", time_zone="UTC", eager=True)
    meters = pl.DataFrame({"meter_id": [f"h{number:06d}" for number in range(size.meters)]})
    rows = meters.join(pl.DataFrame({"ts": hours}), how="cross").with_columns(
        volume_m3=(pl.col("ts").cum_count().over("meter_id") * 0.02).round(3),
        received_at=pl.col("ts") + pl.duration(minutes=5),
        source=pl.lit("default"),
        valid=pl.lit(value=True),
        event_date=pl.col("ts").dt.date(),
    )
    return READINGS.conform(rows)


def site_of(folder: Path, broker: Mosquitto, inbox: Inbox, secret: Secret) -> Path:
    """Make a site that delivers to `inbox`."""
    folder.mkdir()
    file = folder / "webhook.secret"
    file.touch(mode=0o600)
    file.write_text(secret.text, encoding="utf-8")
    (folder / "metriage.toml").write_text(
        f'[[broker]]\nurl = "{broker.url}"\nclient_id = "{folder.name}"\n[[webhook]]\nname = "desk"\n'
        f'url = "http://127.0.0.1:{inbox.port}/"\nsecret_file = "webhook.secret"\nallow_private = true\n',
        encoding="utf-8",
    )
    return folder


def send_codes(daemon: Daemon, broker: Mosquitto, inbox: Inbox, part: str, count: int) -> list[tuple[float, float]]:
    """Publish hard codes one after the other, and return the seconds from each to its finding and to its receiver."""
    took: list[tuple[float, float]] = []
    with Publisher(broker.port) as publisher:
        for number in range(count):
            before, found = len(inbox.events), len(_findings(daemon))
            sent = time.time()
            payload = {"ts": int(sent), "volume_m3": 1.0, "error_codes": ["BATTERY_EMPTY"]}
            publisher.publish_all([(f"meters/{part}{number}/readings", json.dumps(payload).encode())])
            wait_until(lambda before=before: len(inbox.events) > before, "the webhook")  # type: ignore[misc]
            finding = datetime.fromisoformat(_findings(daemon)[found]["timestamp"]).timestamp()
            took.append((finding - sent, inbox.events[before]["received_at"] - sent))
    return took


def _findings(daemon: Daemon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.log().splitlines() if '"hard codes found"' in line]


def _row(what: str, took: list[tuple[float, float]]) -> str:
    findings, webhooks = ([pair[place] for pair in took] for place in (0, 1))
    return (
        f"{what}: publish to finding {statistics.median(findings):.2f} s (worst {max(findings):.2f}), to webhook "
        f"{statistics.median(webhooks):.2f} s (worst {max(webhooks):.2f}), {len(took)} codes"
    )


def _waits(what: str, waits_s: list[float]) -> str:
    ordered = sorted(waits_s)
    p99 = ordered[int(0.99 * (len(ordered) - 1))]
    return (
        f"{what}: publish to fsync, after which it is acknowledged: median {1e3 * statistics.median(ordered):.0f} ms, "
        f"99 % {1e3 * p99:.0f} ms, worst {1e3 * ordered[-1]:.0f} ms, {len(ordered):,} samples"
    )


def _memory(daemon: Daemon) -> str:
    names = {"writer_process": "lake writer", "triage_process": "triage", "diagnosis_process": "diagnosis"}
    root = psutil.Process(daemon.process.pid)
    sizes = {"receiver": root.memory_full_info().pss}
    for child in root.children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            said = " ".join(child.cmdline())
            sizes |= {label: child.memory_full_info().pss for part, label in names.items() if part in said}
    return "memory (PSS): " + ", ".join(f"{label} {size / 1e6:.0f} MB" for label, size in sizes.items())


def run(*, smoke: bool = False) -> Iterator[str]:
    """Yield what was measured."""
    size = Size(codes=2, rate=200.0, meters=20, days=5) if smoke else Size()
    secret = Secret.create()
    with tempfile.TemporaryDirectory(prefix="metriage-hot-") as name:
        folder = Path(name)
        with Mosquitto(folder / "broker") as broker, Inbox(secret, folder / "inbox") as inbox:
            site = site_of(folder / "small", broker, inbox, secret)
            page = Page(site)
            with Daemon(site, command="run") as daemon:
                daemon.wait_connected()
                wait_until(lambda: page.value("metriage_diagnoses_total") == 1, "the first diagnosis")
                yield _row("quiet", send_codes(daemon, broker, inbox, "q", size.codes))
                with Background(broker.port, site, size.rate) as background:
                    yield _row(f"{size.rate:,.0f} readings/s", send_codes(daemon, broker, inbox, "l", size.codes))
                yield _waits("without a diagnosis", [wait for _, wait in background.waits_s])
                yield _memory(daemon)
                daemon.stop()
            yield from _beside_a_diagnosis(site_of(folder / "large", broker, inbox, secret), broker, inbox, size)


def _beside_a_diagnosis(site: Path, broker: Mosquitto, inbox: Inbox, size: Size) -> Iterator[str]:
    page = Page(site)
    Lake(site / "lake").append(READINGS, history(size))
    with Daemon(site, command="run") as daemon:
        daemon.wait_connected()
        with Background(broker.port, site, size.rate) as background:
            wait_until(
                lambda: page.value("metriage_diagnosis_running") == 1 or page.value("metriage_diagnoses_total") == 1,
                "the diagnosis",
            )
            begin = time.monotonic()
            took = send_codes(daemon, broker, inbox, "d", size.codes)
            memory = _memory(daemon)
            wait_until(lambda: page.value("metriage_diagnoses_total") == 1, "the diagnosis", _LONGEST_S)
            end = page.value("metriage_diagnosis_last_timestamp_seconds") - time.time() + time.monotonic()
        yield _row(f"the same beside a diagnosis of {size.meters:,} meters and {size.days} days", took)
        yield _waits(
            f"meanwhile ({page.value('metriage_diagnosis_seconds'):.0f} s)",
            [wait for moment, wait in background.waits_s if begin <= moment <= end],
        )
        yield memory
        daemon.stop()
