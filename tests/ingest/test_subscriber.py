"""Receiving: acknowledged only after the spool's fsync, in the order of receipt, whatever broker and disk do."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ingest import subscriber as module
from ingest.settings import BrokerSettings
from ingest.spool import Spool
from ingest.subscriber import Subscriber, broker_address, broker_password, check_credentials, protocol_versions
from lake.errors import SettingsError, SpoolError
from tests.ingest.stub_broker import MQTT_5, MQTT_311, Message, StubBroker
from tests.processes import free_port, wait_until


@contextlib.contextmanager
def receiving(url: str, folder: Path, store: Any, **settings: Any) -> Iterator[Subscriber]:
    """Run a subscriber in its thread; it must end when it is told to."""
    subscriber = Subscriber(BrokerSettings(url=url, **settings), folder, store)
    stop = threading.Event()
    thread = threading.Thread(target=subscriber.run, args=(stop,))
    thread.start()
    try:
        yield subscriber
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
    assert max(groups) <= 160_000


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
    assert max(sizes) <= 10


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


@pytest.mark.parametrize(
    ("url", "expected"),
    [("mqtt://h", ("h", 1883)), ("mqtts://h", ("h", 8883)), ("mqtt://[::1]:99", ("::1", 99))],
)
def test_broker_address(url: str, expected: tuple[str, int]) -> None:
    """The ports of MQTT are the default."""
    assert expected == broker_address(BrokerSettings(url=url))


def test_broker_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password comes from a file of the site or from the environment, or is missed by name."""
    (tmp_path / "secret").write_text("hunter2\n")
    monkeypatch.setenv("BROKER_PASSWORD", "swordfish")

    assert broker_password(BrokerSettings(), tmp_path) is None
    found = [("password_file", "secret", "hunter2"), ("password_env", "BROKER_PASSWORD", "swordfish")]
    for key, value, expected in found:
        assert expected == broker_password(BrokerSettings(**{key: value}), tmp_path)
    for settings in (BrokerSettings(**{key: "NONE_SUCH"}) for key, _, _ in found):
        with pytest.raises(SettingsError, match=r"broker\.password"):
            check_credentials(settings, tmp_path)


def test_check_credentials_certificates(tmp_path: Path) -> None:
    """A CA file must exist and hold certificates; without one the system's are used."""
    (tmp_path / "ca.pem").write_text("no certificate")
    check_credentials(BrokerSettings(), tmp_path)

    for name in ("ca.pem", "gone.pem"):
        with pytest.raises(SettingsError, match=f"{name} holds no readable certificates"):
            check_credentials(BrokerSettings(url="mqtts://h", ca_file=name), tmp_path)
    assert ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED
