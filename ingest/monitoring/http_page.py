"""Three pages over HTTP for monitoring: ``/metrics``, ``/healthz``, ``/readyz``; nothing else, and only to be read.

Made for one Prometheus and one supervisor, hardened against everybody else who reaches the port: a few connections at
a time, each closed after a few seconds whatever it does, one request each.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any

import structlog
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from ingest.health import not_alive, not_ready
from ingest.monitoring.metrics import DaemonCollector
from ingest.monitoring.vitals import DaemonVitals
from ingest.settings import MetricsSettings
from lake.errors import SettingsError

_CONNECTIONS = 16
_LONGEST_S = 10.0
_POLL_S = 0.5

log = structlog.get_logger(__name__)


class HttpPage(contextlib.AbstractContextManager["HttpPage"]):
    """Serves metrics and health; its port is taken at once, so that a taken one is said before anything else begins.

    Parameters
    ----------
    settings : MetricsSettings
        Address and limits.

    Raises
    ------
    SettingsError
        The address cannot be listened on.
    """

    def __init__(self, settings: MetricsSettings) -> None:
        host, port = settings.address()
        self._settings = settings
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _Server(family, address)
        except OSError as error:
            raise SettingsError(
                f"{settings.listen} cannot be listened on ({error.strerror or error}); choose another port or address, "
                "or stop what holds it",
                key="metrics.listen",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)

    def serve(self, vitals: DaemonVitals) -> None:
        """Begin to answer."""
        self._server.vitals = vitals
        self._server.lag_limit_s = self._settings.ready_lag_s
        self._server.registry.register(DaemonCollector(vitals))
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingMixIn, TCPServer):
    """A few connections at a time, none of them for long."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = _CONNECTIONS

    def __init__(self, family: socket.AddressFamily, address: Any) -> None:
        self.address_family = family
        self.vitals: DaemonVitals
        self.lag_limit_s = 0.0
        self.registry = CollectorRegistry()
        self._open: dict[socket.socket, float] = {}
        self._guard = threading.Lock()
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the base class's names
        with self._guard:
            if len(self._open) >= _CONNECTIONS:
                return False  # closed without a word
            self._open[request] = time.monotonic()
        return True

    def close_request(self, request: Any) -> None:
        with self._guard:
            self._open.pop(request, None)
        super().close_request(request)

    def service_actions(self) -> None:
        """End what has lasted too long: it may be a client that sends one byte now and then."""
        now = time.monotonic()
        with self._guard:
            overdue = [request for request, since in self._open.items() if now - since > _LONGEST_S]
        for request in overdue:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's names
        log.debug("metrics: a connection ended early", error=str(sys.exception()))


class _Handler(BaseHTTPRequestHandler):
    """Answers one request of a connection."""

    server: _Server
    timeout = 5.0
    server_version = "metriage"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a page."""
        page = self.path.partition("?")[0]
        if page == "/metrics":
            self._metrics()
        elif page == "/healthz":
            self._health("alive", not_alive(self.server.vitals))
        elif page == "/readyz":
            self._health("ready", not_ready(self.server.vitals, self.server.lag_limit_s))
        else:
            self.send_error(404)

    do_HEAD = do_GET  # noqa: N815 - as http.server finds them

    def _metrics(self) -> None:
        try:
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        except (TypeError, ValueError):  # a version that is none
            self.send_error(400)
            return
        self._answer(200, content_type, encode(self.server.registry))

    def _health(self, word: str, problems: list[str]) -> None:
        body = json.dumps({word: not problems, "problems": problems}).encode()
        self._answer(503 if problems else 200, "application/json", body)

    def _answer(self, code: int, content_type: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self) -> None:
        self.send_error(405)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse  # noqa: N815 - as above

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse, without repeating what was asked."""
        phrase = self.responses.get(code, ("refused", ""))[0]
        self.close_connection = True
        self._answer(code, "text/plain; charset=utf-8", f"{phrase}\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: requests are no events of ours."""
