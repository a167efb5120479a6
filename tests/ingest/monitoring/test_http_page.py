"""The pages for monitoring, over real HTTP: right answers, nothing else, and slow clients do not block them."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from ingest.monitoring import http_page
from ingest.monitoring.http_page import HttpPage
from ingest.monitoring.vitals import BrokerVitals, DaemonVitals
from ingest.settings import MetricsSettings
from lake.errors import SettingsError
from tests.processes import free_port, wait_until


@pytest.fixture(name="vitals")
def _vitals() -> DaemonVitals:
    """Return the vitals of a daemon that is well."""
    vitals = DaemonVitals(brokers=(BrokerVitals("metriage@h:1883", "meters", connected=True),))
    vitals.writer.alive = True
    vitals.beat = time.monotonic()
    return vitals


@pytest.fixture(name="port")
def _port(vitals: DaemonVitals) -> Iterator[int]:
    port = free_port()
    with HttpPage(MetricsSettings(listen=f"127.0.0.1:{port}")) as page:
        page.serve(vitals)
        yield port


def asked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def test_metrics_can_be_read_by_prometheus(port: int) -> None:
    """In the old text format, and in OpenMetrics where that is asked for."""
    code, text, headers = asked(port, "/metrics")
    assert 200 == code
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "metriage_broker_connected" in {family.name for family in plain_text(text)}

    code, text, headers = asked(port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert 200 == code
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert "metriage_broker_connected" in {family.name for family in open_metrics(text)}


def test_health_of_a_daemon_that_is_well(port: int) -> None:
    """Both pages say so."""
    assert (200, {"alive": True, "problems": []}) == _health(port, "/healthz")
    assert (200, {"ready": True, "problems": []}) == _health(port, "/readyz")


def _health(port: int, path: str) -> tuple[int, object]:
    code, text, _ = asked(port, path)
    return code, json.loads(text)


def test_broken_daemon_is_said_on_both_pages(port: int, vitals: DaemonVitals) -> None:
    """What a new start would mend."""
    vitals.writer.alive, vitals.writer.failure = False, "the lake writer ended with exit code 1"

    for path, word in (("/healthz", "alive"), ("/readyz", "ready")):
        problem = "the lake writer's process does not run: the lake writer ended with exit code 1"
        assert (503, {word: False, "problems": [problem]}) == _health(port, path)


def test_hindered_daemon_is_alive_but_not_ready(port: int, vitals: DaemonVitals) -> None:
    """A new start would not bring the broker back."""
    vitals.brokers[0].connected = False
    vitals.spool.full = "0 bytes free on the disk"
    vitals.spool.lag_s = 601
    vitals.writer.failure = "no such bucket"

    assert 200 == asked(port, "/healthz")[0]
    code, document = _health(port, "/readyz")
    assert 503 == code
    assert {
        "ready": False,
        "problems": [
            "broker metriage@h:1883 is not connected",
            "nothing is acknowledged: 0 bytes free on the disk",
            "the lake is not written: no such bucket",
            "the lake is 601 s behind, more than metrics.ready_lag_s = 600",
        ],
    } == document


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metricsx", "/../metrics", "/healthz/x", "/%2e"])
def test_other_paths_are_not_there(port: int, path: str) -> None:
    """And what was asked is not repeated."""
    code, text, _ = asked(port, path)

    assert (404, "Not Found\n") == (code, text)


def test_query_is_ignored(port: int) -> None:
    """Some supervisors add one."""
    assert 200 == asked(port, "/healthz?verbose=1")[0]


@pytest.mark.parametrize(("method", "code"), [("HEAD", 200), ("POST", 405), ("PUT", 405), ("DELETE", 405), ("X", 501)])
def test_only_reading_is_allowed(port: int, method: str, code: int) -> None:
    """HEAD answers without a body."""
    answer, text, _ = asked(port, "/metrics", method)

    assert code == answer
    assert method != "HEAD" or text == ""


@pytest.mark.parametrize(
    "request_line", [b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"G" * 70_000 + b"\r\n\r\n"]
)
def test_what_is_no_http_is_refused(port: int, request_line: bytes) -> None:
    """TLS, rubbish, endless lines; the next one is answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request_line)
        client.settimeout(30)
        try:
            answer = client.recv(1000)
        except ConnectionResetError:
            answer = b""
    assert b"G" * 100 not in answer
    assert 200 == asked(port, "/healthz")[0]


def test_accept_header_that_is_rubbish(port: int) -> None:
    """Neither a crash nor silence."""
    code, _, _ = asked(port, "/metrics", Accept="application/openmetrics-text; version=x.y")

    assert code in {200, 400}
    assert 200 == asked(port, "/metrics")[0]


def test_slow_clients_do_not_block_the_page(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More connections than allowed that never finish their request: each is ended, then the page answers again."""
    monkeypatch.setattr(http_page, "_LONGEST_S", 0.5)
    slow = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(40)]
    try:
        for client in slow:
            try:
                client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
            except OSError:  # one too many: closed at once
                continue

        def answers() -> bool:
            try:
                return asked(port, "/healthz")[0] == 200
            except (OSError, http.client.HTTPException):
                return False

        wait_until(answers, "the page to answer again")
    finally:
        for client in slow:
            client.close()


def test_port_that_is_taken_is_said() -> None:
    """Which, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(SettingsError, match=rf"metrics\.listen: {address} cannot be listened on \(Address already"):
            HttpPage(MetricsSettings(listen=address))


@pytest.mark.parametrize("text", ["9464", "127.0.0.1", "127.0.0.1:0", "h:99999", "u:p@h:1", "h:1/x", "h:x", "", ":80"])
def test_address_that_is_none_is_said(text: str) -> None:
    """With what one looks like."""
    with pytest.raises(SettingsError, match=r"metrics\.listen: .* is no address; allowed is host:port"):
        MetricsSettings(listen=text).check("metrics")


def test_address_may_be_of_version_six() -> None:
    """In brackets, as in a URL."""
    assert ("::1", 9464) == MetricsSettings(listen="[::1]:9464").address()
