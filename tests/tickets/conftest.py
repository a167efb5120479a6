"""Findings, site databases and receivers for the tests of the ticket stage; all real, all on this machine."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lake.schemas import FINDINGS
from lake.site_database import opened
from tickets import store
from tickets.settings import TicketSettings, WebhookSettings
from tickets.signature import Secret
from tickets.sync import SyncReport, sync

START = datetime(2024, 7, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """Return the end of that day of the tests' calendar."""
    return START + timedelta(days=number)


@pytest.fixture(name="day")
def _day() -> Callable[[float], datetime]:
    return day


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the file of the site database."""
    return tmp_path / "metriage.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a fresh site database."""
    with opened(path) as opened_connection:
        store.prepare(opened_connection)
        yield opened_connection


def finding(number: float = 1, **changes: Any) -> dict[str, Any]:
    """Return one row of the findings: meter A's battery, act, as of that day."""
    moment = day(number)
    row: dict[str, Any] = {
        "diagnosis_id": f"d{number:g}",
        "mode": "live",
        "as_of": moment,
        "meter_id": "A",
        "kind": "fault",
        "fault": "battery",
        "verdict": "act",
        "severity": 2,
        "onset": moment - timedelta(days=3),
        "cause": "moisture",
        "cause_confidence": 0.8,
        "rules": ["battery.knee"],
        "evidence": json.dumps([{"ts": (moment - timedelta(hours=5)).isoformat(), "battery_v": 3.31}]),
        "action": "Exchange the battery.",
        "production_batch": "2301",
        "region": "north",
    }
    return row | changes


@pytest.fixture(name="finding")
def _finding() -> Callable[..., dict[str, Any]]:
    return finding


def frame(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return findings as the lake would."""
    if not rows:
        return FINDINGS.empty()
    schema = {name: dtype for name, dtype in FINDINGS.polars.items() if any(name in row for row in rows)}
    return FINDINGS.conform(pl.DataFrame(rows, schema=schema))


@pytest.fixture(name="frame")
def _frame() -> Callable[[Sequence[dict[str, Any]]], pl.DataFrame]:
    return frame


@pytest.fixture
def run(connection: sqlite3.Connection) -> Callable[..., SyncReport]:
    """Return a function that syncs rows of findings into the database."""

    def synced(*rows: dict[str, Any], until: float = 1000, **options: Any) -> SyncReport:
        given = {"as_of": day(until), "settings": TicketSettings(), "language": "en"} | options
        return sync(connection, frame(rows), **given)

    return synced


@pytest.fixture
def outbox(connection: sqlite3.Connection) -> Callable[[], list[dict[str, Any]]]:
    """Return a function that gives the bodies in the outbox, oldest first."""
    return lambda: [json.loads(body) for (body,) in connection.execute("SELECT body FROM outbox ORDER BY position")]


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    """Return a secret that also lies in ``secret`` of the site folder."""
    created = Secret.create()
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text(created.text)
    return created


@pytest.fixture
def webhook(secret: Secret) -> Callable[..., WebhookSettings]:
    """Return a maker of destinations on this machine that sign with the secret."""
    assert secret

    def made(url: str, **changes: Any) -> WebhookSettings:
        given = {"allow_private": True, "secret_file": "secret", "timeout_s": 5.0} | changes
        return WebhookSettings(url=url, **given)

    return made


Respond = Callable[[BaseHTTPRequestHandler, bytes], None]


class Misbehaving:
    """A real HTTP server on loopback that answers as it is told and remembers what it was asked."""

    def __init__(self, respond: Respond) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 20

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.bodies.append(body)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                respond(self, body)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, *args: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self.port}/hook"

    def close(self) -> None:
        """Stop, when all answers are given."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def answer(status: int, body: bytes = b"", **headers: str) -> Respond:
    """Return a behaviour that always gives the same answer."""

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


@pytest.fixture(name="answer")
def _answer() -> Callable[..., Respond]:
    return answer


@pytest.fixture
def serve() -> Iterator[Callable[[Respond], Misbehaving]]:
    """Return a maker of servers, which are stopped after the test."""
    servers: list[Misbehaving] = []

    def started(respond: Respond) -> Misbehaving:
        servers.append(Misbehaving(respond))
        return servers[-1]

    yield started
    for server in servers:
        server.close()


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def pass_s(self, seconds: float) -> None:
        """Let time pass [s]."""
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that begins now, so that real verifiers take its stamps."""
    return Clock()


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return a starter of Python processes that see the same packages as the tests; none outlives the test."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)}
    processes: list[subprocess.Popen[bytes]] = []

    def started(script: str, *arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE))
        return processes[-1]

    yield started
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
