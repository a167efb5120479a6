"""Delivery over real HTTP: nothing lost, nothing doubled, order kept, one bad receiver harms nobody else."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from lake.errors import DeliveryError
from lake.site_database import opened
from tickets import desk, dispatch
from tickets.delivery import DeliveryReport, Network, check_webhook, deliver_due
from tickets.inbox import Inbox
from tickets.settings import WebhookSettings
from tickets.signature import Secret
from tickets.sync import SyncReport

Run = Callable[..., SyncReport]
Make = Callable[..., dict[str, Any]]
Hook = Callable[..., WebhookSettings]
Deliver = Callable[..., DeliveryReport]

NO_SECRET = {"secret_file": "none"}


@pytest.fixture
def deliver(connection: sqlite3.Connection, tmp_path: Path, clock: Any) -> Deliver:
    """Return delivery with a standing clock and a middling jitter."""

    def delivered(*webhooks: WebhookSettings, **options: Any) -> DeliveryReport:
        given = {"folder": tmp_path, "now": clock, "random": lambda: 0.5} | options
        return deliver_due(connection, webhooks, **given)

    return delivered


def _numbers(server: Any) -> list[tuple[str, int]]:
    data = [json.loads(body)["data"] for body in server.bodies]
    return [(item["ticket_id"], item["seq"]) for item in data]


def test_event_arrives_signed(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook, secret: Secret
) -> None:
    """The reference verifier takes what arrives; the report says so."""
    server = serve(answer(200))
    run(finding())
    report = deliver(webhook(server.url))

    assert report == DeliveryReport(delivered=1)
    assert report.is_complete
    assert standardwebhooks.Webhook(secret.text).verify(server.bodies[0], server.headers[0])["type"] == "ticket.opened"
    assert server.headers[0]["content-type"] == "application/json"


def test_delivered_events_are_not_sent_again(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook
) -> None:
    """A second run has nothing to do."""
    server = serve(answer(200))
    run(finding())
    deliver(webhook(server.url))

    assert deliver(webhook(server.url)) == DeliveryReport()
    assert len(server.bodies) == 1


def test_order_is_kept_for_each_ticket(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook
) -> None:
    """Events of one ticket arrive in order, one at a time, while tickets go in parallel."""
    lock = threading.Lock()
    under_way: list[str] = []
    most: dict[str, int] = {}

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        key = json.loads(body)["data"]["dedup_key"]
        with lock:
            under_way.append(key)
            most[key] = max(most.get(key, 0), under_way.count(key))
        answer(200)(handler, body)
        with lock:
            under_way.remove(key)

    server = serve(respond)
    causes = ["age", "moisture", "unknown", "age", "moisture"]
    run(*[finding(n, meter_id=f"M{m}", cause=cause) for n, cause in enumerate(causes, 1) for m in range(2)])
    report = deliver(webhook(server.url))

    assert report == DeliveryReport(delivered=10)
    for ticket in {number for number, _ in _numbers(server)}:
        assert [seq for number, seq in _numbers(server) if number == ticket] == [1, 2, 3, 4, 5]
    assert set(most.values()) == {1}


@pytest.mark.parametrize(
    ("status", "headers", "waits_s"),
    [
        (500, {}, 5),
        (404, {}, 5),
        (302, {"location": "http://127.0.0.1:1/elsewhere"}, 5),
        (429, {"retry_after": "120"}, 120),
        (503, {"retry_after": "1"}, 5),
        (504, {}, 5),
    ],
)
def test_failure_waits_and_then_arrives_under_the_same_id(
    run: Run,
    finding: Make,
    deliver: Deliver,
    serve: Any,
    answer: Any,
    webhook: Hook,
    clock: Any,
    status: int,
    headers: dict[str, str],
    waits_s: int,
) -> None:
    """A failed attempt is repeated after its wait, not before, with the same webhook-id and a new stamp."""
    answers = [answer(status, **headers), answer(200)]

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        answers[min(len(server.bodies), 2) - 1](handler, body)

    server = serve(respond)
    run(finding())
    first = deliver(webhook(server.url))
    clock.pass_s(waits_s - 1)
    early = deliver(webhook(server.url))
    clock.pass_s(1)
    second = deliver(webhook(server.url))

    assert (first.delivered, first.failed, first.pending) == (0, 1, 1)
    assert f"answered {status}" in first.problems["127.0.0.1"]
    assert (early.delivered, early.failed, early.pending) == (0, 0, 1)
    assert second == DeliveryReport(delivered=1)
    assert len({received["webhook-id"] for received in server.headers}) == 1
    assert int(server.headers[1]["webhook-timestamp"]) - int(server.headers[0]["webhook-timestamp"]) == waits_s


def test_retry_after_holds_back_everything_for_the_destination(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook, clock: Any
) -> None:
    """Who asks for patience gets it from new events too."""
    server = serve(answer(429, retry_after="3600"))
    run(finding(1))
    deliver(webhook(server.url))
    run(finding(1, meter_id="B"))
    clock.pass_s(3599)
    early = deliver(webhook(server.url))
    clock.pass_s(1)
    late = deliver(webhook(server.url))

    assert (early.failed, early.pending) == (0, 2)
    assert (late.failed, len(server.bodies)) == (1, 2)


def test_redirect_is_not_followed(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook
) -> None:
    """The place a redirect points to is never asked."""
    elsewhere = serve(answer(200))
    server = serve(answer(307, location=elsewhere.url))
    run(finding())
    report = deliver(webhook(server.url))

    assert "a redirect; redirects are not followed" in report.problems["127.0.0.1"]
    assert elsewhere.bodies == []


def test_schedule_ends_with_a_dead_letter_and_replay(
    run: Run,
    finding: Make,
    deliver: Deliver,
    serve: Any,
    answer: Any,
    webhook: Hook,
    clock: Any,
    connection: sqlite3.Connection,
) -> None:
    """After ten attempts over about 75 hours an event is given up; the next of its ticket goes on; replay sends it."""
    status = [500]

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        answer(status[0])(handler, body)

    server = serve(respond)
    hook = webhook(server.url)
    run(finding(1), finding(2, cause="age"))
    start = clock.now
    reports = [deliver(hook)]
    while not reports[-1].dead:
        clock.pass_s(3600)
        reports.append(deliver(hook))
    (dead,) = dispatch.dead_letters(connection)
    hours = (clock.now - start).total_seconds() / 3600
    status[0] = 200
    clock.pass_s(86400)
    deliver(hook)
    replayed = dispatch.replay(connection, "127.0.0.1", now=clock.now)
    last = deliver(hook)

    assert (dead.type, dead.attempts, dead.last_error) == ("ticket.opened", 10, "answered 500")
    assert 70 < hours < 90
    assert (replayed, last) == (1, DeliveryReport(delivered=1))
    assert [seq for _, seq in _numbers(server)] == [1] * 10 + [2, 2, 1]


def test_gone_destination_is_disabled_until_it_changes(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook, clock: Any
) -> None:
    """After a 410 nothing is sent; a new address in the settings begins again where it stopped."""
    gone, new = serve(answer(410)), serve(answer(200))
    run(finding(1), finding(1, meter_id="B"))
    hook = webhook(gone.url, name="desk", events=["ticket.opened"])
    first = deliver(hook)
    asked = len(gone.bodies)
    clock.pass_s(10 * 86400)
    second = deliver(hook)
    third = deliver(webhook(new.url, name="desk"))

    assert "410 Gone" in first.problems["desk"]
    assert (second.failed, second.pending, len(gone.bodies)) == (0, 2, asked)
    assert third == DeliveryReport(delivered=2)


def test_destinations_are_isolated(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook, clock: Any
) -> None:
    """A destination that is away neither delays nor doubles what another gets; it is probed, not hammered."""
    good, bad = serve(answer(200)), serve(answer(503))
    run(*[finding(1, meter_id=f"M{number}") for number in range(20)])
    hooks = webhook(good.url, name="good"), webhook(bad.url, name="bad")
    first = deliver(*hooks)
    asked = len(bad.bodies)
    clock.pass_s(400)
    second = deliver(*hooks)

    assert (first.delivered, first.pending, len(good.bodies)) == (20, 20, 20)
    assert asked <= 4
    assert (second.delivered, len(good.bodies), len(bad.bodies)) == (0, 20, asked + 1)
    assert set(second.problems) == {"bad"}


def test_recovered_destination_gets_everything(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook, clock: Any
) -> None:
    """After an outage of days all events arrive, once each."""
    status = [503]

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        answer(status[0])(handler, body)

    server = serve(respond)
    run(*[finding(1, meter_id=f"M{number}") for number in range(20)])
    for _ in range(30):
        deliver(webhook(server.url))
        clock.pass_s(7200)
    status[0] = 200
    server.headers.clear()
    report = DeliveryReport(pending=20)
    for _ in range(20):
        report = deliver(webhook(server.url))
        clock.pass_s(7200)

    assert report == DeliveryReport()
    assert len(server.headers) == len({received["webhook-id"] for received in server.headers}) == 20


def test_nobody_listens(run: Run, finding: Make, deliver: Deliver, webhook: Hook) -> None:
    """A receiver that is down costs an attempt, and the event waits."""
    run(finding())
    report = deliver(webhook("http://127.0.0.1:9/", timeout_s=1))

    assert (report.failed, report.pending) == (1, 1)
    assert "no connection to 127.0.0.1" in report.problems["127.0.0.1"]


def test_slow_receiver_times_out(run: Run, finding: Make, deliver: Deliver, serve: Any, webhook: Hook) -> None:
    """Who does not answer in time did not take the event."""
    released = threading.Event()
    server = serve(lambda *_: released.wait())
    run(finding())
    try:
        report = deliver(webhook(server.url, timeout_s=0.3))
    finally:
        released.set()

    assert (report.failed, report.pending) == (1, 1)
    assert report.problems["127.0.0.1"] == "no answer in time"


def test_endless_answer_does_not_double(run: Run, finding: Make, deliver: Deliver, serve: Any, webhook: Hook) -> None:
    """A success whose body never ends is a success: sending it again would only double it."""

    def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            return

    server = serve(endless)
    run(finding())

    assert deliver(webhook(server.url)) == DeliveryReport(delivered=1)


def test_private_address_needs_permission(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook
) -> None:
    """Without allow_private nothing reaches this machine, however it is called."""
    server = serve(answer(200))
    run(finding())
    report = deliver(webhook(server.url, allow_private=False))
    rebound = deliver(
        webhook(f"http://tickets.example:{server.port}/", allow_private=False),
        network=Network(resolve=lambda *_: ("8.8.8.8", "127.0.0.1")),
    )

    assert report.problems["127.0.0.1"].endswith("this machine; allow_private = true would allow it")
    assert "has the address 127.0.0.1" in rebound.problems["tickets.example"]
    assert server.bodies == []


def test_corrected_settings_are_tried_at_once(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook
) -> None:
    """Who sets allow_private after the first refusal does not wait for the schedule."""
    server = serve(answer(200))
    run(finding())
    refused = deliver(webhook(server.url, allow_private=False))
    again = deliver(webhook(server.url, allow_private=False))
    allowed = deliver(webhook(server.url))

    assert (refused.failed, again.failed, again.pending) == (1, 0, 1)
    assert allowed == DeliveryReport(delivered=1)


def test_enabled_destination_is_tried_at_once(
    run: Run,
    finding: Make,
    deliver: Deliver,
    serve: Any,
    answer: Any,
    webhook: Hook,
    clock: Any,
    connection: sqlite3.Connection,
) -> None:
    """A person may enable a destination that answered 410."""
    status = [410]

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        answer(status[0])(handler, body)

    server = serve(respond)
    run(finding())
    deliver(webhook(server.url))
    status[0] = 200
    before = deliver(webhook(server.url))
    dispatch.enable(connection, "127.0.0.1", now=clock.now)

    assert (before.failed, before.pending) == (0, 1)
    assert deliver(webhook(server.url)) == DeliveryReport(delivered=1)


def test_name_is_resolved_once(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook
) -> None:
    """What is checked is what is connected to."""
    asked: list[str] = []

    def resolve(host: str, _: int) -> tuple[str, ...]:
        asked.append(host)
        return ("127.0.0.1",)

    server = serve(answer(200))
    run(finding())
    deliver(webhook(f"http://tickets.example:{server.port}/x"), network=Network(resolve=resolve))

    assert asked == ["tickets.example"]
    assert server.headers[0]["host"] == f"tickets.example:{server.port}"


def test_subscription_limits_what_is_sent(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook
) -> None:
    """A destination gets the events it asked for."""
    server = serve(answer(200))
    run(finding(1), finding(2, cause="age"), finding(1, meter_id="B"))
    report = deliver(webhook(server.url, events=["ticket.opened"]))

    assert report == DeliveryReport(delivered=2)
    assert {json.loads(body)["type"] for body in server.bodies} == {"ticket.opened"}


def test_later_destination_begins_with_open_tickets(
    run: Run,
    finding: Make,
    deliver: Deliver,
    serve: Any,
    answer: Any,
    webhook: Hook,
    connection: sqlite3.Connection,
    day: Any,
) -> None:
    """Who comes later is not told of what is long finished, but of everything that is open and new."""
    first, second = serve(answer(200)), serve(answer(200))
    run(finding(1), finding(1, meter_id="B"))
    deliver(webhook(first.url, name="first"))
    desk.close(connection, "1", at=day(2), actor="lin", language="en")
    deliver(webhook(first.url, name="first"), webhook(second.url, name="second"))
    run(finding(3, meter_id="C"))
    deliver(webhook(first.url, name="first"), webhook(second.url, name="second"))

    assert sorted(_numbers(first)) == [("T-000001", 1), ("T-000001", 2), ("T-000002", 1), ("T-000003", 1)]
    assert [ticket for ticket, _ in _numbers(second)] == ["T-000002", "T-000003"]


def test_missing_secret_stops_only_its_destination(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook
) -> None:
    """A destination without its secret waits and is named; the other gets its events."""
    server = serve(answer(200))
    run(finding())
    report = deliver(webhook(server.url, name="good"), webhook(server.url, name="bad", **NO_SECRET))

    assert (report.delivered, report.failed, report.pending) == (1, 0, 1)
    assert "none cannot be read: No such file or directory" in report.problems["bad"]


def test_receiver_with_a_bug_is_a_failed_attempt(
    run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in a receiver's own code neither stops delivery nor loses the event."""
    from tickets.receivers.generic import Generic

    def broken(*_: object) -> None:
        raise KeyError("title")

    monkeypatch.setattr(Generic, "deliver", broken)
    run(finding())
    report = deliver(webhook(serve(answer(200)).url))

    assert (report.failed, report.pending) == (1, 1)
    assert report.problems["127.0.0.1"] == "the receiver failed: KeyError: 'title'"


def test_nothing_configured(run: Run, finding: Make, deliver: Deliver, serve: Any, answer: Any, webhook: Hook) -> None:
    """Without destinations events wait in the outbox for the first one."""
    run(finding())
    before = deliver()
    server = serve(answer(200))

    assert before == DeliveryReport()
    assert deliver(webhook(server.url)).delivered == 1


def test_check_webhook_names_every_obstacle(tmp_path: Path, serve: Any, answer: Any, webhook: Hook) -> None:
    """The doctor looks at secret, address and connection without sending an event."""
    server = serve(answer(200))

    assert check_webhook(webhook(server.url), folder=tmp_path) == ()
    assert server.bodies == []
    problems = check_webhook(webhook(server.url, allow_private=False, **NO_SECRET), folder=tmp_path)
    assert [problem.split(": ")[0] for problem in problems] == [
        "webhook.secret_file",
        "127.0.0.1 has the address 127.0.0.1",
    ]
    (problem,) = check_webhook(webhook("http://127.0.0.1:9/", timeout_s=1), folder=tmp_path)
    assert problem.startswith("no connection to 127.0.0.1")


DELIVER = """
import os, signal, sys
from pathlib import Path
from lake.site_database import opened
from tickets import dispatch
from tickets.delivery import deliver_due
from tickets.settings import WebhookSettings

folder, url, moment, after = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])

def dying(function, before):
    calls = []
    def called(*arguments, **options):
        calls.append(1)
        if before and len(calls) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if len(calls) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return called

name, _, when = moment.partition(" ")
if name:
    setattr(dispatch, name, dying(getattr(dispatch, name), when == "before"))
with opened(folder / "metriage.db") as connection:
    deliver_due(
        connection,
        [WebhookSettings(url=url, secret_file="secret", allow_private=True)],
        folder=folder,
    )
"""

EVENTS = [f"M{meter}" for meter in range(12)]


def _ids(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT event_id FROM outbox ORDER BY position")]


@pytest.mark.parametrize(
    "moment", ["claim before", "claim after", "delivered before", "delivered after", "register after"]
)
@pytest.mark.parametrize("after", [1, 5])
def test_killed_between_two_steps_loses_and_doubles_nothing(
    tmp_path: Path,
    run: Run,
    finding: Make,
    secret: Secret,
    webhook: Hook,
    python: Callable[..., subprocess.Popen[bytes]],
    connection: sqlite3.Connection,
    moment: str,
    after: int,
) -> None:
    """Killed (-9) at any step, the next process finishes the work; the inbox has every event once, in order."""
    run(*[finding(n, meter_id=meter, cause=cause) for n, cause in ((1, "age"), (2, "moisture")) for meter in EVENTS])
    with Inbox(secret, tmp_path / "inbox") as inbox:
        killed = python(DELIVER, tmp_path, inbox.url, moment, 1 if moment.startswith("register") else after)
        code = killed.wait()
        resumed = python(DELIVER, tmp_path, inbox.url, "", 0).wait()
        received = inbox.events
    report = deliver_due(connection, [webhook(inbox.url)], folder=tmp_path)

    assert (code, resumed) == (-signal.SIGKILL, 0)
    assert report == DeliveryReport()
    assert sorted(row["webhook_id"] for row in received) == sorted(_ids(connection))
    for meter in EVENTS:
        seqs = [row["event"]["data"]["seq"] for row in received if row["event"]["data"]["meter"]["meter_id"] == meter]
        assert seqs == [1, 2]


@pytest.mark.parametrize("stored", [True, False])
def test_killed_while_the_receiver_works(
    tmp_path: Path,
    run: Run,
    finding: Make,
    secret: Secret,
    serve: Any,
    answer: Any,
    python: Callable[..., subprocess.Popen[bytes]],
    connection: sqlite3.Connection,
    stored: bool,
) -> None:
    """Killed in the middle of requests, whether the receiver had stored them or not: each event ends up there once."""
    run(*[finding(meter_id=meter) for meter in EVENTS])
    reached, released = threading.Event(), threading.Event()
    inbox = Inbox(secret, tmp_path / "inbox")

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        if len(server.bodies) > 5 and not released.is_set():
            if stored:
                inbox.take(headers, body)
            reached.set()
            released.wait()
            return
        status, _ = inbox.take(headers, body)
        answer(status)(handler, body)

    server = serve(respond)
    process = python(DELIVER, tmp_path, server.url, "", 0)
    try:
        assert reached.wait(60)
        process.kill()
        process.wait()
    finally:
        released.set()
    resumed = python(DELIVER, tmp_path, server.url, "", 0).wait()
    received = [row["webhook_id"] for row in inbox.events]
    inbox.close()

    assert resumed == 0
    assert sorted(received) == sorted(_ids(connection))
    assert len(server.bodies) > len(EVENTS)
    assert desk.explain(connection, "1").deliveries[0].state == "delivered"


def test_processes_at_once_send_each_event_once(
    tmp_path: Path,
    run: Run,
    finding: Make,
    serve: Any,
    answer: Any,
    secret: Secret,
    python: Callable[..., subprocess.Popen[bytes]],
    connection: sqlite3.Connection,
) -> None:
    """Two deliverers share the work and keep the order of each ticket."""
    assert secret
    server = serve(answer(200))
    run(*[finding(n, meter_id=meter, cause=cause) for n, cause in ((1, "age"), (2, "moisture")) for meter in EVENTS])
    codes = [process.wait() for process in [python(DELIVER, tmp_path, server.url, "", 0) for _ in range(2)]]
    seen = [received["webhook-id"] for received in server.headers]

    assert codes == [0, 0]
    assert sorted(seen) == sorted(_ids(connection))
    assert [seq for ticket, seq in sorted(_numbers(server), key=lambda item: item[0])] == [1, 2] * len(EVENTS)


def test_claim_of_a_living_process_is_left_alone_until_its_time_is_over(
    path: Path, run: Run, finding: Make, clock: Any, webhook: Hook, connection: sqlite3.Connection
) -> None:
    """Only the end of its process or of its lease takes a claim away."""
    hook = webhook("http://127.0.0.1:9/")
    run(finding())
    dispatch.register(connection, hook, now=clock.now)
    (claim,) = dispatch.claim(connection, hook, now=clock.now, limit=4, random=lambda: 0.5)
    with opened(path) as other:
        clock.pass_s(60)
        left = dispatch.reclaim(other, "127.0.0.1", now=clock.now)
        taken = dispatch.claim(other, hook, now=clock.now, limit=4, random=lambda: 0.5)
        clock.pass_s(60)
        back = dispatch.reclaim(other, "127.0.0.1", now=clock.now)
        (again,) = dispatch.claim(other, hook, now=clock.now, limit=4, random=lambda: 0.5)

    assert (left, taken, back) == (0, [], 1)
    assert (again.event_id, again.attempts) == (claim.event_id, 2)
    assert os.getpid() == int(dispatch.owner(os.getpid()).split("/")[-2])


def test_late_failure_does_not_take_another_claim_away(
    run: Run, finding: Make, clock: Any, webhook: Hook, connection: sqlite3.Connection
) -> None:
    """Who comes back after its lease was over leaves the event to who has it now; a late success counts."""
    hook = webhook("http://127.0.0.1:9/")
    run(finding())
    dispatch.register(connection, hook, now=clock.now)
    (late,) = dispatch.claim(connection, hook, now=clock.now, limit=4, random=lambda: 0.5)
    clock.pass_s(3600)
    dispatch.reclaim(connection, "127.0.0.1", now=clock.now)
    (current,) = dispatch.claim(connection, hook, now=clock.now, limit=4, random=lambda: 0.5)
    dispatch.failed(connection, late, DeliveryError("late", retry=True), now=clock.now, random=lambda: 0.5)
    state = desk.explain(connection, "1").deliveries[0].state
    dispatch.delivered(connection, late, now=clock.now)
    dispatch.failed(connection, current, DeliveryError("known", retry=True), now=clock.now, random=lambda: 0.5)

    assert state == "sending"
    assert desk.explain(connection, "1").deliveries[0].state == "delivered"


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_delay_s_is_the_published_schedule(jitter: float) -> None:
    """Ten attempts over about 75 hours, each wait 20 % around its mark."""
    delays = [dispatch.delay_s(attempts, lambda: jitter) for attempts in range(10)]
    factor = 0.8 + 0.4 * jitter

    assert delays == pytest.approx([factor * mark for mark in dispatch.SCHEDULE_S])
    assert sum(dispatch.SCHEDULE_S) / 3600 == pytest.approx(75.6, abs=0.1)
