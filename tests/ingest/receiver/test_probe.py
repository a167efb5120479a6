"""The doctor's look at a broker: what it says of itself, and what that means for us."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ingest.receiver.probe import look_at_broker
from ingest.settings import BrokerSettings
from tests.ingest.receiver.stub_broker import MQTT_5, Message, StubBroker
from tests.processes import Mosquitto, free_port

LISTEN_S = 0.5


def seen(limits: bytes, **settings: Any) -> Any:
    """Look at a broker with these properties in its CONNACK."""
    with StubBroker([[]], limits=limits) as broker:
        return look_at_broker(BrokerSettings(url=broker.url, **settings), Path(), LISTEN_S)


@pytest.mark.parametrize(
    ("limits", "settings", "expected"),
    [
        (b"\x24\x00", {}, "QoS 0 only"),
        (b"\x2a\x00", {"topics": ("$share/g/a/#",)}, "no shared subscriptions"),
        (b"\x28\x00", {}, r"allows no \+ and # in topic filters"),
        (b"\x11\x00\x00\x00\x00", {}, "keeps our session for 0 s only"),
        (b"\x11\x00\x00\x0e\x10", {}, "keeps our session for 3600 s only"),
        (b"", {"session_expiry_s": 0}, "session_expiry_s = 0"),
    ],
)
def test_probe_problems(limits: bytes, settings: dict[str, Any], expected: str) -> None:
    """A broker that loses data by its own words is a problem."""
    view = seen(limits, **settings)

    assert "MQTT 5" == view.protocol
    [problem] = view.problems
    assert re.search(expected, problem)


@pytest.mark.parametrize(
    ("limits", "settings", "expected"),
    [
        (b"\x11\x00\x09\x3a\x80", {}, "keeps our session for 604800 s only"),
        (b"\x27\x00\x00\x10\x00", {}, "packets of 4096 bytes at most"),
        (b"\x25\x00", {"status_topic": "s"}, "retains nothing"),
    ],
)
def test_probe_warnings(limits: bytes, settings: dict[str, Any], expected: str) -> None:
    """What may lose data or hides something is a warning."""
    view = seen(limits, **settings)

    assert [] == view.problems
    [warning] = view.warnings
    assert expected in warning


def test_probe_healthy_broker() -> None:
    """Limits that do not hurt are told and not complained of; a shared subscription is looked at without its group."""
    with StubBroker([[]], limits=b"\x21\x00\x14\x2a\x00") as broker:
        view = look_at_broker(BrokerSettings(url=broker.url), Path(), LISTEN_S)

    assert ([], []) == (view.problems, view.warnings)
    assert {"ReceiveMaximum": 20, "SharedSubscriptionAvailable": 0} == view.limits


def test_probe_leaves_the_group_alone() -> None:
    """The look never becomes a member of a group, which would take messages away."""
    with StubBroker([[Message(None, b"x")]]) as broker:
        view = look_at_broker(BrokerSettings(url=broker.url, topics=("$share/g/a/#",)), Path(), LISTEN_S)

    assert 1 == view.messages
    assert all(b"$share" not in asked for visit in broker.visits for asked in visit.subscriptions)
    assert all(visit.flags & 2 for visit in broker.visits)  # a session of its own, clean


def test_probe_falls_back_and_says_refusals() -> None:
    """An older broker is looked at in its version; a filter that it refuses is named."""
    with StubBroker([[]], refuse={MQTT_5: 0x84}, subscription=0x80) as broker:
        view = look_at_broker(BrokerSettings(url=broker.url), Path(), LISTEN_S)

    assert "MQTT 3.1.1" == view.protocol
    assert ["the broker refuses the topic filter meters/+/readings"] == [text.split(":")[0] for text in view.problems]


def test_probe_nobody_listens() -> None:
    """A broker that is not there is said, with its address."""
    port = free_port()
    view = look_at_broker(BrokerSettings(url=f"mqtt://127.0.0.1:{port}"), Path(), LISTEN_S)

    assert view.protocol is None
    assert f"127.0.0.1:{port} cannot be reached" in view.problems[0]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_probe_mosquitto(tmp_path: Path, protocol: Any) -> None:
    """A real broker is recognised, and its own settings are named."""
    with Mosquitto(tmp_path) as broker:
        view = look_at_broker(BrokerSettings(url=broker.url, protocol=protocol), Path(), LISTEN_S)

    assert [] == view.problems
    assert str(view.software).startswith("mosquitto version")
    assert "max_queued_messages 0" in view.advice
