"""A small receiver for the demo and for tests: verifies what comes, keeps it, shows it.

It listens on this machine only. ``POST`` to any path takes an event; ``GET /`` is a page for people, ``GET /events``
the same as JSON. An event is kept once, however often it is sent.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jinja2

from tickets.signature import ID_HEADER, Secret, refusal

BODY_LIMIT_BYTES = 64 * 1024
ID_LIMIT = 256
FILE_NAME = "events.jsonl"
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PAGE = jinja2.Environment(
    loader=jinja2.PackageLoader("tickets", "templates"), autoescape=True, undefined=jinja2.ChainableUndefined
).get_template("inbox.html")


class Inbox:
    """An HTTP server on loopback; use it in a ``with`` block, or call :meth:`start` and :meth:`close`.

    Parameters
    ----------
    secret : Secret or sequence of Secret
        What senders sign with.
    folder : Path
        Where ``events.jsonl`` is kept; created when it is not there. What it holds already counts as received.
    port : int
        0 takes a free one.
    clock : callable
        Seconds since 1970, for the age of signatures [s].
    """

    def __init__(
        self,
        secret: Secret | Sequence[Secret],
        folder: Path,
        port: int = 0,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.secrets = (secret,) if isinstance(secret, Secret) else tuple(secret)
        self.clock = clock
        self._kept = _Kept(folder)
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="inbox", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where people look and senders post."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was received, oldest first: ``webhook_id``, ``received_at`` [s since 1970] and ``event``."""
        return self._kept.rows()

    def start(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop listening; requests that are being answered are finished."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def take(self, headers: dict[str, str], body: bytes) -> tuple[HTTPStatus, str]:
        """Judge one request and keep its event; return the answer."""
        now_s = self.clock()
        reason = refusal(self.secrets, headers, body, now_s=now_s)
        if reason is not None:
            return HTTPStatus.UNAUTHORIZED, reason
        try:
            event = json.loads(body)
        except (ValueError, RecursionError):
            return HTTPStatus.BAD_REQUEST, "the body is not JSON"
        if not isinstance(event, dict):
            return HTTPStatus.BAD_REQUEST, "the body is not a JSON object"
        webhook_id = headers[ID_HEADER]
        if len(webhook_id) > ID_LIMIT:
            return HTTPStatus.BAD_REQUEST, "the webhook-id is too long"
        is_new = self._kept.add(webhook_id, now_s, event)
        return HTTPStatus.OK, "taken" if is_new else "known already"

    def page(self) -> str:
        """Return the page for people, newest event first."""
        rows = self.events[::-1]
        return _PAGE.render(rows=rows, url=self.url)


class _Kept:
    """The events on disk, one JSON object a line; a line that a crash cut off is ignored and overwritten."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._rows, end = _read(self._path)
        self._ids = {row["webhook_id"] for row in self._rows}
        if self._path.exists() and self._path.stat().st_size > end:
            os.truncate(self._path, end)

    def add(self, webhook_id: str, received_at: float, event: dict[str, Any]) -> bool:
        row = {"webhook_id": webhook_id, "received_at": received_at, "event": event}
        line = json.dumps(row, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            if webhook_id in self._ids:
                return False
            with self._path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            self._ids.add(webhook_id)
            self._rows.append(row)
        return True

    def rows(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._rows)


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    rows: list[dict[str, Any]] = []
    end = 0
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            rows.append(json.loads(line))
            end += len(line)
    return rows, end


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], inbox: Inbox) -> None:
        self.inbox = inbox
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that hang up; there is nobody to tell."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "metriage"
    sys_version = ""
    timeout = 10

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10):
            self._answer(HTTPStatus.LENGTH_REQUIRED, b"a content-length is needed")
            return
        if int(length) > BODY_LIMIT_BYTES:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {BODY_LIMIT_BYTES} bytes".encode())
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, text = self.server.inbox.take(headers, body)
        self._answer(status, text.encode())

    def do_GET(self) -> None:
        host = self.headers.get("host", "").rpartition(":")[0] or self.headers.get("host", "")
        if host not in {"127.0.0.1", "localhost"}:
            self._answer(HTTPStatus.FORBIDDEN, b"ask by 127.0.0.1 or localhost")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, self.server.inbox.page().encode(), "text/html; charset=utf-8")
        elif self.path == "/events":
            rows = json.dumps({"events": self.server.inbox.events}).encode()
            self._answer(HTTPStatus.OK, rows, "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there are / and /events")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the method it overrides
        """Write nothing: the events are the record."""

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        with suppress(OSError):
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **_SECURITY_HEADERS}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
