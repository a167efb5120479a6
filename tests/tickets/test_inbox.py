"""The embedded inbox: keeps what is genuine once, refuses the rest, shows it harmlessly."""

from __future__ import annotations

import html.parser
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tickets.inbox import BODY_LIMIT_BYTES, Inbox
from tickets.signature import Secret, sign
from tickets.sync import SyncReport

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> =1+1 {{7*7}} \x1b[31m\u202e \"'><svg/onload=x> "
    + "A" * 10_000
)


@pytest.fixture
def inbox(secret: Secret, tmp_path: Path) -> Iterator[Inbox]:
    """Run an inbox."""
    with Inbox(secret, tmp_path / "inbox") as running:
        yield running


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    """Return an HTTP client that does nothing by itself."""
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


def _post(http: urllib3.PoolManager, inbox: Inbox, secret: Secret, body: bytes, message_id: str = "msg_1") -> int:
    headers = sign([secret], message_id=message_id, timestamp_s=int(time.time()), body=body)
    return http.request("POST", f"{inbox.url}hook", body=body, headers=headers).status


def test_genuine_event_is_kept_once(http: urllib3.PoolManager, inbox: Inbox, secret: Secret, tmp_path: Path) -> None:
    """The same webhook-id again is taken and not kept again."""
    statuses = [_post(http, inbox, secret, b'{"type": "ticket.opened", "data": {}}') for _ in range(3)]
    lines = (tmp_path / "inbox" / "events.jsonl").read_text().splitlines()

    assert statuses == [200, 200, 200]
    assert [row["webhook_id"] for row in inbox.events] == ["msg_1"]
    assert [json.loads(line)["event"]["type"] for line in lines] == ["ticket.opened"]


def test_events_survive_a_restart(http: urllib3.PoolManager, secret: Secret, tmp_path: Path) -> None:
    """What lies in the folder counts as received; a line cut off by a crash does not."""
    with Inbox(secret, tmp_path) as first:
        _post(http, first, secret, b'{"n": 1}', "msg_1")
        _post(http, first, secret, b'{"n": 2}', "msg_2")
    file = tmp_path / "events.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    with Inbox(secret, tmp_path) as second:
        statuses = [_post(http, second, secret, b'{"n": %d}' % number, f"msg_{number}") for number in (1, 2, 3)]
        events = [row["event"]["n"] for row in second.events]

    assert (statuses, events) == ([200, 200, 200], [1, 2, 3])
    assert [json.loads(line)["event"]["n"] for line in file.read_text().splitlines()] == [1, 2, 3]


def test_wrong_signature_is_refused(http: urllib3.PoolManager, inbox: Inbox) -> None:
    """Another secret, no headers, an old stamp: 401 and nothing kept."""
    old = sign(inbox.secrets, message_id="m", timestamp_s=int(time.time()) - 400, body=b"{}")
    statuses = [
        _post(http, inbox, Secret.create(), b"{}"),
        http.request("POST", inbox.url, body=b"{}").status,
        http.request("POST", inbox.url, body=b"{}", headers=old).status,
    ]

    assert (statuses, inbox.events) == ([401, 401, 401], [])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1" * 5000, b"\xff", b"[" * 20_000])
def test_signed_nonsense_is_refused(http: urllib3.PoolManager, inbox: Inbox, secret: Secret, body: bytes) -> None:
    """A genuine body that is no JSON object is a bad request."""
    assert _post(http, inbox, secret, body) == 400
    assert inbox.events == []


def test_two_secrets_are_both_taken(http: urllib3.PoolManager, secret: Secret, tmp_path: Path) -> None:
    """A receiver may know the old and the new key."""
    other = Secret.create()
    with Inbox([other, secret], tmp_path / "inbox") as inbox:
        assert [_post(http, inbox, key, b"{}", key.text) for key in (secret, other)] == [200, 200]


def _raw(inbox: Inbox, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", inbox.port), timeout=10) as sock:
        sock.sendall(request)
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
    return answer


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT_BYTES + 1), b"413"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"PUT / HTTP/1.1\r\nHost: x\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403"),
        (b"GET /../secret HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"NONSENSE\r\n\r\n", b"400"),
    ],
)
def test_odd_requests_are_answered(inbox: Inbox, request_line: bytes, status: bytes) -> None:
    """Too large, without length, of another method, by another name: each has its answer, and the inbox lives on."""
    assert status in _raw(inbox, request_line)[:200]
    assert b"200 OK" in _raw(inbox, b"GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n")


class _Page(html.parser.HTMLParser):
    """Collects the elements, attributes and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


HEAD = {"html", "head", "meta", "title", "style"}
BODY = {
    "body",
    "h1",
    "h2",
    "p",
    "a",
    "article",
    "div",
    "span",
    "details",
    "summary",
    "pre",
    "table",
    "tr",
    "th",
    "td",
    "ul",
    "li",
    "b",
}
TAGS = HEAD | BODY


def test_page_of_an_empty_inbox(http: urllib3.PoolManager, inbox: Inbox) -> None:
    """The page is called metriage and says that there is nothing yet."""
    answer = http.request("GET", inbox.url)

    assert "<title>metriage</title>" in answer.data.decode()
    assert f"Nothing yet. Events posted to {inbox.url}" in answer.data.decode()
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_page_shows_real_tickets(
    http: urllib3.PoolManager,
    inbox: Inbox,
    secret: Secret,
    run: Callable[..., SyncReport],
    finding: Callable[..., dict[str, Any]],
    connection: Any,
) -> None:
    """Title, cause, evidence and worksheet of a ticket, with everything hostile in it as harmless text."""
    run(finding(meter_id="发讯圈-1", action=HOSTILE, evidence=json.dumps([{"code": HOSTILE[:200]}, HOSTILE[:100]])))
    (body,) = connection.execute("SELECT body FROM outbox").fetchone()
    _post(http, inbox, secret, body)
    page = _Page(http.request("GET", inbox.url).data.decode())
    events = http.request("GET", f"{inbox.url}events").json()["events"]

    assert page.tags <= TAGS
    assert page.attributes <= {"lang", "charset", "name", "content", "class", "href"}
    assert "Battery fault: meter 发讯圈-1" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert "Lead seal present" in page.text
    assert events[0]["event"]["data"]["evidence"][1] == HOSTILE[:100]


@pytest.mark.parametrize(
    "data",
    [
        HOSTILE,
        7,
        None,
        [],
        dict.fromkeys(("title", "summary", "priority", "language", "evidence", "worksheet"), HOSTILE),
    ],
)
def test_page_survives_any_genuine_event(http: urllib3.PoolManager, inbox: Inbox, secret: Secret, data: Any) -> None:
    """An event of another shape does not break the page."""
    _post(http, inbox, secret, json.dumps({"type": HOSTILE, "timestamp": HOSTILE, "data": data}).encode(), "m" * 200)
    answer = http.request("GET", inbox.url)
    page = _Page(answer.data.decode())

    assert answer.status == 200
    assert page.tags <= TAGS
    assert not page.attributes & {"onerror", "onload", "src"}
