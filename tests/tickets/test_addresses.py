"""Where webhooks may go: private networks only when allowed, and only to the address that was checked."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lake.errors import DeliveryError
from tickets.addresses import Target, checked_addresses, reach, resolve, send, why_refused
from tickets.answers import DestinationBusyError
from tickets.receivers import Request

REQUEST = Request(b"{}", {"content-type": "application/json"})

PUBLIC = ["8.8.8.8", "2606:4700::1111", "172.32.0.1", "::ffff:8.8.8.8"]
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1",
]  # fmt: skip
NEVER = [
    "169.254.169.254", "fe80::1", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255",  # noqa: S104
    "198.18.0.1", "203.0.113.1", "240.0.0.1", "fec0::1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::", "::7f00:1",
    "::ffff:169.254.169.254", "not an address", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_why_refused_public_is_allowed(address: str) -> None:
    """The internet is open."""
    assert why_refused(address, allow_private=False) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_why_refused_private_needs_permission(address: str) -> None:
    """Loopback and private networks are open to who asks for it."""
    assert why_refused(address, allow_private=False) is not None
    assert why_refused(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_why_refused_special_stays_refused(address: str) -> None:
    """Metadata services, multicast, reserved and wrapped addresses are never sent to."""
    assert why_refused(address, allow_private=False) is not None
    assert why_refused(address, allow_private=True) is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost"])
def test_checked_addresses_sees_through_spellings(host: str) -> None:
    """Other spellings of this machine are resolved before they are judged."""
    target = Target.parse(f"http://{host}/")
    with pytest.raises(DeliveryError, match="this machine; allow_private = true would allow it"):
        checked_addresses(target, allow_private=False)


def test_checked_addresses_one_bad_address_refuses_all() -> None:
    """A name with a public and a private address is not sent to at all."""
    target = Target.parse("https://mixed.example/")
    with pytest.raises(DeliveryError, match=r"mixed\.example has the address 10\.0\.0\.1: private network"):
        checked_addresses(target, allow_private=False, resolver=lambda *_: ("8.8.8.8", "10.0.0.1"))


def test_checked_addresses_unknown_name_is_busy() -> None:
    """A name that cannot be resolved now may be resolved later."""

    def fails(*_: object) -> tuple[str, ...]:
        raise socket.gaierror("no such name")

    with pytest.raises(DestinationBusyError, match=r"the name a\.example cannot be resolved: no such name"):
        checked_addresses(Target.parse("http://a.example"), allow_private=False, resolver=fails)
    with pytest.raises(DestinationBusyError, match="has no address"):
        checked_addresses(Target.parse("http://a.example"), allow_private=False, resolver=lambda *_: ())


def test_resolve_loopback() -> None:
    """The system's resolver gives plain addresses, each once."""
    assert resolve("127.0.0.1", 80) == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("url", "target", "header"),
    [
        ("https://a.example/x?y=1", Target("https", "a.example", 443, "/x?y=1"), "a.example"),
        ("http://A.example:8080", Target("http", "a.example", 8080, "/"), "a.example:8080"),
        ("http://[::1]:80/x", Target("http", "::1", 80, "/x"), "[::1]"),
    ],
)
def test_target_parse(url: str, target: Target, header: str) -> None:
    """Host, port and path come apart; the Host header is as a browser would send it."""
    assert Target.parse(url) == target
    assert target.host_header == header


def test_send_goes_to_the_checked_address_under_its_name(serve: Any, answer: Any) -> None:
    """The name is not resolved again: only the given address is connected to, the Host header keeps the name."""
    server = serve(answer(200, b"taken", x_note="seen"))
    target = Target("http", "tickets.example", server.port, "/hook?a=b")
    got = send(REQUEST, target=target, addresses=("127.0.0.1",), timeout_s=5)

    assert (got.status, got.body, got.complete, got.headers["x-note"]) == (200, b"taken", True, "seen")
    assert server.headers[0]["host"] == f"tickets.example:{server.port}"
    assert server.headers[0]["user-agent"] == "metriage"


def test_send_tries_the_next_address_when_nobody_listens(serve: Any, answer: Any) -> None:
    """An address without a listener is passed over; nothing was sent to it."""
    server = serve(answer(204))
    target = Target("http", "localhost", server.port, "/")
    got = send(REQUEST, target=target, addresses=("127.0.0.9", "127.0.0.1"), timeout_s=5)

    assert got.status == 204


def _nobody(port: int = 0) -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        return int(sock.getsockname()[1])


def test_send_nobody_listens() -> None:
    """A refused connection is the destination's absence."""
    target = Target("http", "localhost", _nobody(), "/")
    with pytest.raises(DestinationBusyError, match=r"no connection to localhost: .*refused"):
        send(REQUEST, target=target, addresses=("127.0.0.1",), timeout_s=5)


def test_send_reads_no_more_than_the_limit(serve: Any) -> None:
    """An endless body is cut; its status counts."""

    def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            return

    target = Target("http", "localhost", serve(endless).port, "/")
    got = send(REQUEST, target=target, addresses=("127.0.0.1",), timeout_s=20, answer_limit_bytes=1000)

    assert (got.status, got.body, got.complete) == (200, b"x" * 1000, False)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Let a server that holds its answer back end with the test."""
    event = threading.Event()
    yield event
    event.set()


def test_send_gives_up_on_a_silent_server(serve: Any, released: threading.Event) -> None:
    """No answer within the time limit is a failure."""
    server = serve(lambda *_: released.wait())
    target = Target("http", "localhost", server.port, "/")
    try:
        with pytest.raises(DestinationBusyError, match="no answer in time"):
            send(REQUEST, target=target, addresses=("127.0.0.1",), timeout_s=0.3)
    finally:
        released.set()


@pytest.mark.parametrize("part", ["head", "body"])
def test_send_gives_up_on_a_dripping_server(serve: Any, released: threading.Event, part: str) -> None:
    """A byte now and then does not extend the limit: in the head it is a failure, in the body the status counts."""

    def drip(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X: " if part == "head" else b"\r\n"))
        try:
            while not released.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            return

    target = Target("http", "localhost", serve(drip).port, "/")
    try:
        if part == "head":
            with pytest.raises(DestinationBusyError, match="no answer in time"):
                send(REQUEST, target=target, addresses=("127.0.0.1",), timeout_s=0.5)
        else:
            got = send(REQUEST, target=target, addresses=("127.0.0.1",), timeout_s=0.5)
            assert (got.status, got.complete) == (200, False)
    finally:
        released.set()


@pytest.mark.parametrize(
    "raw", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500]
)
def test_send_broken_answer_is_a_failure(serve: Any, raw: bytes) -> None:
    """What is no HTTP answer is a failure of the connection."""
    server = serve(lambda handler, _: handler.wfile.write(raw))
    target = Target("http", "localhost", server.port, "/")
    with pytest.raises(DestinationBusyError, match="the connection broke"):
        send(REQUEST, target=target, addresses=("127.0.0.1",), timeout_s=5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for ``tickets.example``, with its key in the same file."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI"):
            pytest.fail("openssl is needed: apt-get install openssl")
        pytest.skip("openssl is not installed: apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")
    made = folder / "both.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3 -subj /CN=tickets.example "
        "-addext subjectAltName=DNS:tickets.example -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    made.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return made


@pytest.fixture
def tls_port(certificate: Path) -> Iterator[int]:
    """Serve HTTPS on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, *args: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def test_send_verifies_the_certificate_for_the_name(tls_port: int, certificate: Path) -> None:
    """The connection goes to the address, the certificate must be the name's."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    right = Target("https", "tickets.example", tls_port, "/")
    wrong = Target("https", "other.example", tls_port, "/")

    reach(target=right, addresses=("127.0.0.1",), timeout_s=5, tls=trusting)
    assert send(REQUEST, target=right, addresses=("127.0.0.1",), timeout_s=5, tls=trusting).status == 200
    with pytest.raises(
        DestinationBusyError, match=r"the certificate of other\.example does not hold: Hostname mismatch"
    ):
        send(REQUEST, target=wrong, addresses=("127.0.0.1",), timeout_s=5, tls=trusting)
    with pytest.raises(DestinationBusyError, match=r"does not hold: self.signed certificate"):
        send(REQUEST, target=right, addresses=("127.0.0.1",), timeout_s=5)


def test_send_https_to_a_plain_server(serve: Any, answer: Any) -> None:
    """A server without TLS is named as such."""
    target = Target("https", "tickets.example", serve(answer(200)).port, "/")
    with pytest.raises(DestinationBusyError, match=r"no TLS with tickets\.example"):
        send(REQUEST, target=target, addresses=("127.0.0.1",), timeout_s=5)


def test_reach_sends_nothing(serve: Any, answer: Any) -> None:
    """Looking whether somebody is there is no event."""
    server = serve(answer(200))
    reach(target=Target.parse(server.url), addresses=("127.0.0.9", "127.0.0.1"), timeout_s=5)

    assert server.bodies == []
    with pytest.raises(DestinationBusyError, match="no connection"):
        reach(target=Target("http", "localhost", _nobody(), "/"), addresses=("127.0.0.1",), timeout_s=5)
