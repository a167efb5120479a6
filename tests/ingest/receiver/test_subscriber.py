"""Receiving: acknowledged only after the spool's fsync, in the order of receipt, whatever broker and disk do."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ingest.monitoring.vitals import BrokerVitals
from ingest.receiver import subscriber as module
from ingest.receiver.connection import protocol_versions
from ingest.receiver.subscriber import Subscriber
from ingest.settings import BrokerSettings
from ingest.spool import Spool
from lake.errors import SpoolError
from tests.ingest.receiver.stub_broker import MQTT_5, MQTT_311, Message, StubBroker
from tests.processes import free_port, wait_until

READER: ContextVar[Any] = ContextVar("READER", default="auto")


@pytest.fixture(autouse=True, params=["auto", "stock"])
def _reader(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every behaviour holds with both readers."""
    token = READER.set(request.param)
    yield
    READER.reset(token)


class Kept:
    """A spool whose `store` a test watches or breaks; it keeps gaps and sessions in memory."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.gaps: list[Any] = []
        self.sessions: dict[str, int] = {}
        self.add_gap = self.gaps.append
        self.session_seen_at = self.sessions.get
        self.asked: set[str] = set()

    def see_session(self, broker: str, seen_at: int) -> None:
        """As the spool does."""
        self.sessions[broker] = seen_at
        self.asked.discard(broker)

    def connecting(self, broker: str) -> bool:
        """As the spool does."""
        missing = broker in self.asked
        self.asked.add(broker)
        return missing

    def not_connected(self, broker: str) -> None:
        """As the spool does."""
        self.asked.discard(broker)


@contextlib.contextmanager
def receiving(url: str, folder: Path, store: Any, **settings: Any) -> Iterator[None]:
    """Run a subscriber in its thread; it must end when it is told to."""
    spool = Kept(store) if callable(store) else store
    with running(Subscriber(BrokerSettings(**{"url": url, "reader": READER.get(), **settings}), folder, spool)):
        yield


@contextlib.contextmanager
def running(subscriber: Subscriber) -> Iterator[None]:
    """Run a subscriber in its thread; it must end when it is told to."""
    stop = threading.Event()
    thread = threading.Thread(target=subscriber.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def numbered(count: int, first: int = 1) -> list[Message]:
    return [Message(number, f"payload {number}".encode()) for number in range(first, first + count)]


def payloads(spool: Spool) -> list[bytes]:
    return [message.payload for message in spool.read(0, limit=100_000, limit_bytes=1_000_000_000)]


def test_subscriber_acknowledges_after_fsync_in_order(tmp_path: Path) -> None:
    """At each acknowledgement its message is already in the spool's database, as another connection sees it."""
    script = [*numbered(300), *numbered(300, first=40_000)]
    with Spool(tmp_path) as spool, Spool(tmp_path, read_only=True) as seen:

        def check(count: int) -> None:
            assert seen.last_position() >= count

        with StubBroker([script], on_acknowledgement=check) as broker, receiving(broker.url, tmp_path, spool.append):
            wait_until(lambda: broker.visits and len(broker.visits[0].acknowledged) == 600, "all acknowledgements")

        assert [message.packet_id for message in script] == broker.visits[0].acknowledged
        assert [message.payload for message in script] == payloads(spool)


def test_subscriber_disk_full_holds_back_then_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the spool takes nothing, nothing is acknowledged; later everything is, once and in order."""
    monkeypatch.setattr(module, "_RETRY_SPOOL_S", 0.05)
    attempts: list[int] = []
    acknowledged_while_full: list[int] = []
    with Spool(tmp_path) as spool, StubBroker([numbered(50)]) as broker:

        def store(channel: Any, messages: Any) -> int:
            attempts.append(len(messages))
            if len(attempts) <= 3:
                acknowledged_while_full.append(len(broker.visits[0].acknowledged))
                raise SpoolError("disk full")
            return spool.append(channel, messages)

        with capture_logs() as logs, receiving(broker.url, tmp_path, store):
            wait_until(lambda: broker.visits and len(broker.visits[0].acknowledged) == 50, "all acknowledgements")

        assert [0, 0, 0] == acknowledged_while_full
        assert list(range(1, 51)) == broker.visits[0].acknowledged
        assert [message.payload for message in numbered(50)] == payloads(spool)
    assert ["not acknowledging: the spool takes nothing", "acknowledging again"] == [
        entry["event"] for entry in logs if "acknowledging" in entry["event"]
    ]


def test_subscriber_never_acknowledges_an_earlier_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not acknowledged when a connection broke is left to the broker to send again, under its new number."""
    monkeypatch.setattr(module, "_RETRY_SPOOL_S", 0.05)
    full = True
    with Spool(tmp_path) as spool, StubBroker([numbered(20), numbered(20, first=1000)]) as broker:

        def store(channel: Any, messages: Any) -> int:
            nonlocal full
            if full:
                full = False
                broker.cut()
                raise SpoolError("disk full")
            return spool.append(channel, messages)

        with receiving(broker.url, tmp_path, store):
            wait_until(lambda: len(broker.visits) == 2 and len(broker.visits[1].acknowledged) == 20, "the second visit")

        assert [] == broker.visits[0].acknowledged
        assert list(range(1000, 1020)) == broker.visits[1].acknowledged
        # What came in after the cut but had been read already may be stored; it is never acknowledged there.
        assert [message.payload for message in numbered(20, first=1000)] == payloads(spool)[-20:]


def test_subscriber_comes_back_after_connection_lost(tmp_path: Path) -> None:
    """A connection that breaks is made again, with the same session."""
    with Spool(tmp_path) as spool, StubBroker([numbered(5), numbered(5, first=6)], leave_after=5) as broker:
        with receiving(broker.url, tmp_path, spool.append):
            wait_until(lambda: len(broker.visits) == 2 and len(broker.visits[1].acknowledged) == 5, "the second visit")

        assert [f"payload {number}".encode() for number in range(1, 11)] == payloads(spool)


def test_subscriber_keeps_its_session(tmp_path: Path) -> None:
    """It asks for a lasting session, its expiry and a wide window; MQTT 3.1.1 for a session that is not clean."""
    asked = {"session_expiry_s": 86400, "receive_maximum": 2000}
    with (
        Spool(tmp_path) as spool,
        StubBroker([[], []], refuse={MQTT_5: 0x84}) as broker,
        receiving(broker.url, tmp_path, spool.append, **asked),
    ):
        wait_until(lambda: len(broker.visits) == 2, "the second attempt")

    assert [MQTT_5, MQTT_311] == [visit.protocol for visit in broker.visits]
    assert [0, 0] == [visit.flags & 0x02 for visit in broker.visits]
    assert bytes([0x11]) + (86400).to_bytes(4) in broker.visits[0].properties
    assert bytes([0x21]) + (2000).to_bytes(2) in broker.visits[0].properties


@pytest.mark.parametrize("code", [0x84, 0x01, -1])
def test_subscriber_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A broker that refuses MQTT 5, in either spelling, or does not answer it at all, is spoken to in 3.1.1."""
    monkeypatch.setattr(module, "_FALLBACK_TIMEOUT_S", 0.3)
    with (
        Spool(tmp_path) as spool,
        StubBroker([numbered(3)], refuse={MQTT_5: code}) as broker,
        receiving(broker.url, tmp_path, spool.append),
    ):
        wait_until(lambda: spool.last_position() == 3, "the messages")
        wait_until(lambda: len(broker.visits[-1].acknowledged) == 3, "their acknowledgements")

    assert [MQTT_5, MQTT_311] == [visit.protocol for visit in broker.visits]


def test_subscriber_configured_version_alone(tmp_path: Path) -> None:
    """A version that is configured is the only one tried."""
    assert [1, 1, 2] == [len(protocol_versions(name)) for name in ("5", "3.1.1", "auto")]
    with (
        Spool(tmp_path) as spool,
        StubBroker([[], []], refuse={MQTT_5: 0x84}) as broker,
        capture_logs() as logs,
        receiving(broker.url, tmp_path, spool.append, protocol="5"),
    ):
        wait_until(lambda: len(broker.visits) >= 2, "two attempts")

    assert {MQTT_5} == {visit.protocol for visit in broker.visits}
    assert any("Unsupported protocol version" in entry.get("error", "") for entry in logs)


def test_subscriber_stores_qos_0_without_acknowledgement(tmp_path: Path) -> None:
    """A message that nobody wants acknowledged is stored like any other."""
    script = [Message(None, b"a"), Message(7, b"b"), Message(None, b"c")]
    with Spool(tmp_path) as spool, StubBroker([script]) as broker:
        with receiving(broker.url, tmp_path, spool.append):
            wait_until(lambda: spool.last_position() == 3, "the messages")
            wait_until(lambda: broker.visits[0].acknowledged, "the acknowledgement")

        assert [b"a", b"b", b"c"] == payloads(spool)
        assert [7] == broker.visits[0].acknowledged


def test_subscriber_topic_that_is_no_text(tmp_path: Path) -> None:
    """A topic that is not UTF-8 does not stop the line."""
    with (
        Spool(tmp_path) as spool,
        StubBroker([[Message(1, b"a", topic=b"meters/\xff/readings"), Message(2, b"b")]]) as broker,
    ):
        with receiving(broker.url, tmp_path, spool.append):
            wait_until(lambda: spool.last_position() == 2, "the messages")

        origins = [message.origin for message in spool.read(0, limit=9, limit_bytes=99)]
        assert ["(topic is not UTF-8)", "meters/m1/readings"] == origins


def test_subscriber_group_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large messages are stored a few at a time, so that memory stays small."""
    monkeypatch.setattr(module, "_GROUP_BYTES", 100_000)
    groups: list[int] = []
    script = [Message(number, b"x" * 60_000) for number in range(1, 31)]
    with Spool(tmp_path) as spool, StubBroker([script]) as broker:

        def store(channel: Any, messages: Any) -> int:
            groups.append(sum(len(payload) for _, _, payload in messages))
            return spool.append(channel, messages)

        with receiving(broker.url, tmp_path, store):
            wait_until(lambda: broker.visits and len(broker.visits[0].acknowledged) == 30, "all acknowledgements")

    assert sum(groups) == 30 * 60_000
    assert max(groups) <= 100_000 + 262_144 + 60_000  # it ends with the read that fills it


def test_subscriber_full_group_waits_for_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full group is held while the spool takes nothing; no more is read, nothing is dropped, and it does not spin."""
    monkeypatch.setattr(module, "_GROUP", 10)
    monkeypatch.setattr(module, "_IDLE_S", 0.02)
    monkeypatch.setattr(module, "_RETRY_SPOOL_S", 0.2)
    sizes: list[int] = []
    with Spool(tmp_path) as spool, StubBroker([numbered(35)]) as broker:

        def store(channel: Any, messages: Any) -> int:
            sizes.append(len(messages))
            if len(sizes) < 3:
                raise SpoolError("disk full")
            return spool.append(channel, messages)

        with receiving(broker.url, tmp_path, store):
            wait_until(lambda: broker.visits and len(broker.visits[0].acknowledged) == 35, "all acknowledgements")

        assert [message.payload for message in numbered(35)] == payloads(spool)
    assert len({size for size in sizes[:3] if size >= 10}) == 1  # once it is full, no more is read


def test_subscriber_filter_refused_is_said(tmp_path: Path) -> None:
    """A topic filter that the broker refuses is named in the log."""
    with (
        Spool(tmp_path) as spool,
        StubBroker([[]], subscription=0x87) as broker,
        capture_logs() as logs,
        receiving(broker.url, tmp_path, spool.append),
    ):
        wait_until(lambda: any("refused" in entry["event"] for entry in logs), "the log")

    [refused] = [entry for entry in logs if "refused" in entry["event"]]
    assert ("error", "meters/+/readings") == (refused["log_level"], refused["topic"])


def test_subscriber_nobody_listens(tmp_path: Path) -> None:
    """Without a broker it goes on trying, says so, and stops when told."""
    with capture_logs() as logs, receiving(f"mqtt://127.0.0.1:{free_port()}", tmp_path, lambda *_: None):
        wait_until(lambda: len(logs) >= 2, "two attempts")

    assert {"broker not connected"} == {entry["event"] for entry in logs}


def test_subscriber_credentials_lost_while_running(tmp_path: Path) -> None:
    """A password file that is gone is logged and tried again, it does not end the receiver."""
    secret = {"username": "u", "password_file": "gone"}
    with capture_logs() as logs, receiving("mqtt://127.0.0.1:1", tmp_path, lambda *_: None, **secret):
        wait_until(lambda: len(logs) >= 2, "two attempts")

    assert all("broker.password_file" in entry["error"] for entry in logs)


@pytest.mark.parametrize("window", [10, 20, 65_535])
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_subscriber_never_stalls(tmp_path: Path, window: int, version: str) -> None:
    """Whatever the in-flight limit of a broker that insists on order, everything comes through, stored once."""
    count = 20_000 if window == 20 and READER.get() == "auto" else 3_000
    script = numbered(count)
    with Spool(tmp_path) as spool, StubBroker([script], window=window) as broker:
        with receiving(broker.url, tmp_path, spool.append, protocol=version):
            wait_until(lambda: broker.visits and len(broker.visits[0].acknowledged) == count, "all acknowledgements")

        assert [message.payload for message in script] == payloads(spool)
    assert broker.visits[0].most_in_flight <= window
    assert broker.errors.empty()


@pytest.mark.parametrize("cut_after", [1, 250, 777])
def test_subscriber_killed_connection_loses_and_mixes_nothing(tmp_path: Path, cut_after: int) -> None:
    """A connection that is cut in the middle of a group: what was not acknowledged comes again, on its own numbers."""
    script = numbered(1000)
    with (
        Spool(tmp_path) as spool,
        StubBroker([script], window=500, cut_after_sent=cut_after, redeliver=True, sessions=[False, True]) as broker,
    ):
        with receiving(broker.url, tmp_path, spool.append):
            wait_until(lambda: sum(len(visit.acknowledged) for visit in broker.visits) == 1000, "all acknowledgements")

        stored = payloads(spool)
    assert [message.payload for message in script] == list(dict.fromkeys(stored))
    assert list(range(1, 1001)) == [number for visit in broker.visits for number in visit.acknowledged]


def test_subscriber_connection_cut_before_the_store_is_not_acknowledged(tmp_path: Path) -> None:
    """A group whose connection died while it was being stored is stored, and acknowledged nowhere."""
    with Spool(tmp_path) as spool, StubBroker([numbered(20)], redeliver=True, sessions=[False, True]) as broker:
        cut = False

        def store(channel: Any, messages: Any) -> int:
            nonlocal cut
            if not cut:
                cut = True
                broker.cut()
            return spool.append(channel, messages)

        with receiving(broker.url, tmp_path, store):
            wait_until(lambda: len(broker.visits) == 2 and len(broker.visits[1].acknowledged) == 20, "the second visit")

        assert [] == broker.visits[0].acknowledged
        assert set(payloads(spool)) == {message.payload for message in numbered(20)}


def test_subscriber_holding_keeps_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the spool takes nothing, reading stops, the broker is pinged, and all comes at last."""
    if READER.get() == "stock":
        pytest.skip("the stock reader lets the connection go and comes back")
    monkeypatch.setattr(module, "_GROUP", 100)
    monkeypatch.setattr(module, "_RETRY_SPOOL_S", 0.05)
    monkeypatch.setattr(module, "_IDLE_S", 0.02)
    full = True
    sizes: list[int] = []
    vitals = BrokerVitals("b", "s")
    script = [Message(number, b"x" * 5000) for number in range(1, 1001)]
    with Spool(tmp_path) as spool, StubBroker([script]) as broker:

        def store(channel: Any, messages: Any) -> int:
            sizes.append(len(messages))
            if full:
                raise SpoolError("disk full")
            return spool.append(channel, messages)

        settings = BrokerSettings(url=broker.url, keepalive_s=5)
        subscriber = Subscriber(settings, tmp_path, Kept(store), vitals)
        with running(subscriber):
            wait_until(lambda: broker.visits and broker.visits[0].pings >= 2, "two pings while nothing is read")
            held = (vitals.holding, vitals.acknowledged, max(sizes))
            unacknowledged_since = vitals.oldest_unacknowledged_at
            full = False
            wait_until(lambda: len(broker.visits[0].acknowledged) == 1000, "all acknowledgements")
            wait_until(lambda: vitals.acknowledged == 1000, "their count")

        assert ("disk full", 0) == held[:2]
        assert held[2] < 200
        assert unacknowledged_since is not None
        assert (None, None) == (vitals.holding, vitals.oldest_unacknowledged_at)
        assert len(broker.visits) == 1
        assert 1000 == spool.last_position()


def test_subscriber_session_lost_is_a_gap(tmp_path: Path) -> None:
    """A broker that no longer has our session has lost messages: from when to when is stored, counted and said."""
    kept = Kept(lambda *_: 0)
    vitals = BrokerVitals("b", "s")
    with (
        StubBroker([numbered(1), numbered(1), numbered(1)], sessions=[False, True, False]) as broker,
        capture_logs() as logs,
    ):
        settings = BrokerSettings(url=broker.url, client_id="c", source="head-end", reader=READER.get())
        clock = iter(range(1_000_000, 10**12, 1_000_000))
        with running(Subscriber(settings, tmp_path, kept, vitals, lambda: next(clock))):
            wait_until(lambda: len(broker.visits) == 3 and kept.gaps, "the gap")

    [gap] = kept.gaps
    assert ("session_lost", "head-end", ("meters/+/readings",)) == (gap.kind, gap.source, gap.topics)
    assert f"c@127.0.0.1:{broker.port}" == gap.broker
    assert gap.since < gap.until == gap.received_at
    assert vitals.sessions_lost == 1
    [said] = [entry for entry in logs if "no longer has our session" in entry["event"]]
    assert "error" == said["log_level"]


def test_subscriber_answer_never_seen_is_a_gap(tmp_path: Path) -> None:
    """Who died before the broker's answer was taken down does not know whether the session is the old one: a gap."""
    kept = Kept(lambda *_: 0)
    vitals = BrokerVitals("b", "s")
    with StubBroker([numbered(1), numbered(1)], sessions=[True, True]) as broker, capture_logs() as logs:
        name = f"c@127.0.0.1:{broker.port}"
        kept.sessions[name] = 5
        kept.asked.add(name)
        settings = BrokerSettings(url=broker.url, client_id="c", source="head-end", reader=READER.get())
        with running(Subscriber(settings, tmp_path, kept, vitals)):
            wait_until(lambda: len(broker.visits) == 2 and vitals.connections == 2, "a second connection")
            wait_until(lambda: not kept.asked, "its answer to be taken down")

    [gap] = kept.gaps
    assert ("session_unsure", 5) == (gap.kind, gap.since)
    assert vitals.sessions_lost == 0
    assert ["warning"] == [entry["log_level"] for entry in logs if "perhaps the broker" in entry["event"]]


def test_subscriber_unreached_broker_leaves_no_doubt(tmp_path: Path) -> None:
    """A broker that cannot be reached was not asked for the session: no gap when it is there again."""
    kept = Kept(lambda *_: 0)
    url = f"mqtt://127.0.0.1:{free_port()}"
    kept.sessions[f"metriage@{url.removeprefix('mqtt://')}"] = 5
    vitals = BrokerVitals("b", "s")
    with running(Subscriber(BrokerSettings(url=url, reader=READER.get()), tmp_path, kept, vitals)):
        wait_until(lambda: vitals.refusal is not None, "a refusal")
        wait_until(lambda: not kept.asked, "the question to be taken back")

    assert kept.gaps == []


def test_subscriber_gap_is_stored_when_the_disk_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap that cannot be stored is tried again, and until then the old time of the session is kept."""
    monkeypatch.setattr(module, "_RETRY_SPOOL_S", 0.01)
    kept = Kept(lambda *_: 0)
    tries: list[Any] = []
    with StubBroker([[]], sessions=[False]) as broker:
        name = f"metriage@127.0.0.1:{broker.port}"
        kept.sessions[name] = 5

        def add_gap(gap: Any) -> None:
            tries.append((gap, kept.sessions[name]))
            if len(tries) < 3:
                raise SpoolError("disk full")

        kept.add_gap = add_gap  # type: ignore[assignment]
        with receiving(broker.url, tmp_path, kept):
            wait_until(lambda: kept.sessions[name] != 5, "the session to be seen")

    assert [5, 5, 5] == [seen_at for _, seen_at in tries]
    assert {5} == {gap.since for gap, _ in tries}


def test_subscriber_silence_is_answered(tmp_path: Path) -> None:
    """Connected and silent: it warns and subscribes again, then connects again; a message ends it."""
    vitals = BrokerVitals("b", "s")
    with (
        Spool(tmp_path) as spool,
        StubBroker([[], numbered(1)], sessions=[False, True]) as broker,
        capture_logs() as logs,
    ):
        settings = BrokerSettings(url=broker.url, silent_after_s=1, reader=READER.get())
        with running(Subscriber(settings, tmp_path, Kept(spool.append), vitals)):
            wait_until(lambda: vitals.silent, "the silence")
            wait_until(lambda: broker.visits and len(broker.visits[0].subscriptions) == 2, "the second subscription")
            wait_until(lambda: len(broker.visits) == 2, "the second connection")
            wait_until(lambda: vitals.messages and not vitals.silent, "the message")

    events = [entry["event"] for entry in logs]
    assert any("connected but silent" in event for event in events)
    assert "messages arrive again" in events
    assert vitals.resubscriptions >= 1


def test_subscriber_status_topic(tmp_path: Path) -> None:
    """Online when connected, stopped when left, a last will for the rest; our own status is no message of a meter."""
    own = Message(2, b'{"state": "online"}', topic=b"fleet/status")
    script = [Message(1, b"a", topic=b"fleet/m1"), own, Message(3, b"b", topic=b"fleet/m2")]
    vitals = BrokerVitals("b", "s")
    with Spool(tmp_path) as spool, StubBroker([script]) as broker:
        settings = BrokerSettings(
            url=broker.url, topics=("$share/g/fleet/#",), status_topic="fleet/status", reader=READER.get()
        )
        with running(Subscriber(settings, tmp_path, Kept(spool.append), vitals)):
            wait_until(lambda: broker.visits and len(broker.visits[0].acknowledged) == 3, "all acknowledgements")
            wait_until(lambda: vitals.acknowledged == 3, "their count")
        wait_until(lambda: broker.visits[0].left, "the good-bye")

        assert [b"a", b"b"] == payloads(spool)
    [visit] = broker.visits
    assert b"fleet/status" in visit.connect
    assert b'{"state": "offline"}' in visit.connect
    assert 0x04 | 0x08 | 0x20 == visit.flags & 0x3C  # a will, of QoS 1, retained
    assert [b"fleet/status"] * 2 == [topic for topic, _, _ in visit.published]
    assert ["online", "stopped"] == [json.loads(payload)["state"] for _, payload, _ in visit.published]
    assert all(flags & 1 for _, _, flags in visit.published)
    assert 2 == vitals.messages


def test_subscriber_counts(tmp_path: Path) -> None:
    """Messages, bytes, retained ones are counted, and what was too large: that is cut, stored and acknowledged."""
    limit = 1_000_000
    script = [
        Message(1, b"a" * 100, retain=True),
        Message(2, b"b" * 700_000),
        Message(3, b"c" * (limit + 1)),
        Message(4, b"d" * 3_000_000),
        Message(None, b"e" * 2_000_000),
        Message(5, b"f" * 3_000_000, qos=2),
        Message(6, b"g"),
    ]
    vitals = BrokerVitals("b", "s")
    with Spool(tmp_path) as spool, StubBroker([script]) as broker, capture_logs() as logs:
        settings = BrokerSettings(url=broker.url, reader=READER.get())
        with running(Subscriber(settings, tmp_path, Kept(spool.append), vitals, most_bytes=limit)):
            wait_until(lambda: vitals.acknowledged == 6, "all acknowledgements")

        stored = payloads(spool)
    lengths = {payload[:1]: len(payload) for payload in stored}
    assert {b"a": 100, b"b": 700_000, b"g": 1} | dict.fromkeys((b"c", b"d", b"e", b"f"), limit + 1) == lengths
    assert (7, 1, 4) == (vitals.messages, vitals.retained, vitals.oversized)
    assert vitals.bytes == sum(lengths.values())
    assert any("too large" in entry["event"] for entry in logs)


def test_subscriber_tries_the_newer_version_again(tmp_path: Path) -> None:
    """After a connection in MQTT 3.1.1 the next one is tried in MQTT 5 again."""
    refuse = {MQTT_5: 0x84}
    with (
        Spool(tmp_path) as spool,
        StubBroker([numbered(1), numbered(1)], refuse=refuse) as broker,
        receiving(broker.url, tmp_path, spool.append),
    ):
        wait_until(lambda: len(broker.visits) == 2 and broker.visits[1].acknowledged, "the older version")
        refuse.clear()
        wait_until(lambda: len(broker.visits) >= 3, "the third attempt")

    assert [MQTT_5, MQTT_311, MQTT_5] == [visit.protocol for visit in broker.visits[:3]]


def test_subscriber_says_who_took_over(tmp_path: Path) -> None:
    """A broker that throws us out says why, and what to do is said with it."""
    thrown_out = Message(None, b"", raw=bytes([0xE0, 2, 0x8E, 0]))
    with (
        StubBroker([[thrown_out]]) as broker,
        capture_logs() as logs,
        receiving(broker.url, tmp_path, lambda *_: 0, protocol="5"),
    ):
        wait_until(lambda: any("client_id" in entry.get("error", "") for entry in logs), "the reason")


def test_subscriber_websocket(tmp_path: Path) -> None:
    """Through WebSocket frames in pieces of any size the same comes through."""
    sizes = itertools.cycle([1, 2, 3, 5, 7, 1000, 70_000])
    script = [*numbered(300), Message(301, b"x" * 100_000), *numbered(50, first=302)]
    with (
        Spool(tmp_path) as spool,
        StubBroker([script], websocket=True, window=100, fragment=lambda: next(sizes)) as broker,
    ):
        with receiving(broker.url, tmp_path, spool.append):
            wait_until(lambda: broker.visits and len(broker.visits[0].acknowledged) == 351, "all acknowledgements")

        assert [message.payload for message in script] == payloads(spool)
