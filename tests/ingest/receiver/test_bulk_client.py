"""Reading in bulk: whatever the pieces, the same messages; all other packets are paho's, whose inside is as known."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Self

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from ingest.receiver import bulk_client as module
from ingest.receiver.bulk_client import PRIVATE_ATTRIBUTES, PRIVATE_NAMES, BulkClient, FrameReader, why_not_bulk
from ingest.receiver.group import NOT_UTF_8, Group
from lake.errors import BrokerError
from tests.ingest.receiver.stub_broker import Message, _frame, _length, _publish

LIMIT = 1_000_000


class Line:
    """A client that is connected to us, and to nothing that answers."""

    def __init__(self, version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5, limit: int = LIMIT) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.group = Group(100_000, 1_000_000_000, limit)
        clean = None if version == MQTTProtocolVersion.MQTTv5 else False
        self.client = BulkClient(
            CallbackAPIVersion.VERSION2, group=self.group, client_id="c", protocol=version, clean_session=clean,
            manual_ack=True, reconnect_on_failure=False,
        )  # fmt: skip
        self.client.connect("127.0.0.1", listener.getsockname()[1], 30)
        self.broker, _ = listener.accept()
        listener.close()
        self.broker.settimeout(10)
        assert self.broker.recv(1000)[0] == 0x10

    def read(self, data: bytes, pieces: Iterator[int] | None = None) -> MQTTErrorCode:
        """Have the client read `data` in pieces of these sizes; return the first result that is no success."""
        while data:
            size = next(pieces) if pieces else 60_000
            self.broker.sendall(data[:size])
            data = data[size:]
            self.client.socket().setblocking(True)  # type: ignore[union-attr]
            result = self.client.loop_read()
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS or self.client.socket() is None:
                return result
        self.client.socket().setblocking(False)  # type: ignore[union-attr]
        for _ in range(3):
            result = self.client.loop_read()
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.close()
        self.client._sock_close()


def packets(messages: Sequence[Message], version: MQTTProtocolVersion) -> bytes:
    return b"".join(_publish(message, version_5=version == MQTTProtocolVersion.MQTTv5) for message in messages)


VERSIONS = st.sampled_from([MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
USER_PROPERTY = b"\x26\x00\x01k" + (200).to_bytes(2) + b"v" * 200
MESSAGES = st.builds(
    Message,
    st.none() | st.integers(1, 65_535),
    st.binary(max_size=300) | st.integers(0, 40_000).map(lambda size: b"x" * size),
    topic=st.sampled_from([b"meters/m1/readings", b"t", "阀门/1".encode(), b"", b"bad/\xff"]),
    retain=st.booleans(),
    dup=st.booleans(),
    properties=st.sampled_from([b"", b"\x01\x01", USER_PROPERTY]),
)


@settings(deadline=None, max_examples=60)
@given(VERSIONS, st.lists(MESSAGES, min_size=1, max_size=12), st.lists(st.integers(1, 5000), min_size=1, max_size=9))
def test_bulk_any_pieces_give_the_same_messages(
    version: MQTTProtocolVersion, messages: list[Message], pieces: list[int]
) -> None:
    """Messages and acknowledgements come out as they went in, with other packets between them, however it is cut."""
    ping_answer = bytes([0xD0, 0])
    data = ping_answer + ping_answer.join(packets([message], version) for message in messages)
    with Line(version) as line:
        result = line.read(data, itertools.cycle(pieces))

        expected = [
            (NOT_UTF_8 if message.topic == b"bad/\xff" else message.topic.decode(), None, message.payload)
            for message in messages
        ]
        assert MQTTErrorCode.MQTT_ERR_SUCCESS == result
        assert expected == line.group.rows
        ids = [message.packet_id for message in messages if message.packet_id is not None]
        assert b"".join(bytes([0x40, 2]) + number.to_bytes(2) for number in ids) == line.group.pubacks()
        assert sum(message.retain for message in messages) == line.group.retained
        assert sum(len(message.payload) for message in messages) == line.group.bytes


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
def test_bulk_every_border(version: MQTTProtocolVersion) -> None:
    """A cut at each single byte changes nothing."""
    properties = USER_PROPERTY if version == MQTTProtocolVersion.MQTTv5 else b""
    messages = [Message(258, b"a" * 200, properties=properties), Message(None, b""), Message(7, b"z")]
    data = packets(messages, version)
    for cut in range(1, len(data)):
        with Line(version) as line:
            line.read(data, iter([cut, len(data)]))

            assert [message.payload for message in messages] == [payload for _, _, payload in line.group.rows], cut
            assert [b"\x01\x02", b"\x00\x07"] == line.group.packet_ids


@pytest.mark.parametrize(
    "data",
    [
        b"\x32\xff\xff\xff\xff\x01",  # more than four bytes of length
        b"\x32\xff\xff\xff\xff",
        b"\x30\x00",  # no topic
        b"\x30\x01\x00",
        b"\x30\x03\x00\x05a",  # a topic longer than its packet
        b"\x32\x04\x00\x01ab",  # no room for the packet id and properties
        b"\x32\x06\x00\x01a\x00\x01\x05",  # properties longer than their packet
        b"\x32\x09\x00\x01a\x00\x01\xff\xff\xff\xff",  # properties of no length
        b"\x20\xff\xff\xff\x7f" + bytes(16_384),  # a CONNACK of 256 MB
        b"\x90\x01\x00",  # a SUBACK that is cut short
    ],
)
def test_bulk_malformed_ends_the_connection(data: bytes) -> None:
    """What is no MQTT is said or ends the connection; it never runs on or blocks."""
    with Line() as line:
        with contextlib.suppress(BrokerError):
            assert MQTTErrorCode.MQTT_ERR_SUCCESS != line.read(data)

        assert [] == line.group.rows


def test_bulk_quality_3_ends_the_connection() -> None:
    """A PUBLISH of a QoS that does not exist is no message."""
    with Line() as line, pytest.raises(BrokerError):
        line.read(b"\x36" + _length(LIMIT + 300_000) + b"\x00\x01a\x00\x01\x00" + bytes(LIMIT + 299_994))


def test_bulk_huge_packet_is_skimmed() -> None:
    """Of a packet larger than the limit no more than that is kept, and what follows is read as ever."""
    huge = Message(5, b"y" * 30_000_000)
    with Line(limit=100_000) as line:
        line.read(packets([Message(4, b"a"), huge, Message(6, b"b")], MQTTProtocolVersion.MQTTv5))

        assert [1, 100_001, 1] == [len(payload) for _, _, payload in line.group.rows]
        assert [b"\x00\x04", b"\x00\x05", b"\x00\x06"] == line.group.packet_ids
        assert 1 == line.group.oversized


def test_bulk_end_of_connection_is_pahos() -> None:
    """The end that the broker makes is seen, said to paho's callback, and the socket closed."""
    ends: list[Any] = []
    with Line() as line:
        line.client.on_disconnect = lambda *parts: ends.append(parts)
        line.broker.close()

        assert MQTTErrorCode.MQTT_ERR_CONN_LOST == line.client.loop_read()
        assert line.client.socket() is None
        assert 1 == len(ends)
        assert MQTTErrorCode.MQTT_ERR_NO_CONN == line.client.loop_read()


def test_bulk_acknowledgements_queue_behind_unsent_output() -> None:
    """While the socket takes nothing, PUBACKs wait in line; no packet is ever cut by another one."""
    with Line(MQTTProtocolVersion.MQTTv311) as line:
        line.client.publish("t", b"p" * 20_000_000, qos=0)
        assert line.client.want_write()
        pubacks = b"".join(bytes([0x40, 2]) + number.to_bytes(2) for number in range(1, 1001))
        line.client.acknowledge(pubacks)
        line.client.ping()
        received = bytearray()
        while line.client.want_write():
            line.client.loop_write()
            received += line.broker.recv(10_000_000)
        line.client._sock_close()
        while part := line.broker.recv(10_000_000):
            received += part

        assert b"p" * 1000 + pubacks + b"\xc0\x00" == bytes(received[-len(pubacks) - 1002 :])


def test_paho_inside_is_as_expected() -> None:
    """The installed paho can be read in bulk: each name exists, and is used by paho as assumed here."""
    assert why_not_bulk() is None
    sources = {name: inspect.getsource(getattr(mqtt.Client, name)) for name in ("_packet_read", "_packet_write")}
    assert "self._sock.recv(" not in sources["_packet_read"]  # all of its reading goes through _sock_recv
    assert "_sock_recv(" in sources["_packet_read"]
    assert "_out_packet.appendleft(packet)" in sources["_packet_write"]  # what is not sent stays first in line
    assert "_packet_read()" in inspect.getsource(mqtt.Client.loop_read)
    assert "_ping_t" in inspect.getsource(mqtt.Client.loop_misc)


def _of_another_kind(self: mqtt.Client, other: object) -> None:
    del self, other


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_paho_of_another_kind_is_not_read_in_bulk(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Where a method is missing or takes something else, the stock reader is to serve."""
    monkeypatch.setattr(mqtt.Client, name, _of_another_kind)
    assert f"{name} of paho's client takes self, other" == why_not_bulk()
    monkeypatch.delattr(mqtt.Client, name)
    assert f"paho's client has no {name}" == why_not_bulk()


def test_paho_without_an_attribute_is_not_read_in_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attribute that is gone is named."""
    monkeypatch.setattr(module, "PRIVATE_ATTRIBUTES", (*PRIVATE_ATTRIBUTES, "_gone"))
    assert "paho's client has no _gone" == why_not_bulk()


class Pipe:
    """paho's WebSocket as far as its reader is concerned."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._socket = self
        self._sendbuffer = bytearray()
        self.sent = bytearray()

    def recv(self, _size: int) -> bytes:
        """Return the next piece."""
        if not self._pieces:
            raise BlockingIOError
        return self._pieces.pop(0)

    def send(self, data: bytes) -> int:
        """Take it all."""
        self.sent += data
        return len(data)

    def _create_frame(self, opcode: int, data: bytearray) -> bytearray:
        return bytearray([opcode]) + data


def contents(reader: FrameReader) -> bytes:
    found = b""
    for _ in range(100_000):
        try:
            part = reader.recv(100)
        except BlockingIOError:
            if not reader._wrapper._pieces:
                return found
            continue
        if not part:
            return found
        found += part
    raise AssertionError("it never ends")


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 50))
def test_frames_any_pieces(parts: list[bytes], size: int) -> None:
    """What lies in frames is one stream, whatever the pieces and the pings between them."""
    data = b"".join(_frame(part, 0x82) + _frame(b"?", 0x89) for part in parts)
    pipe = Pipe([data[first : first + size] for first in range(0, len(data), size)])

    assert b"".join(parts) == contents(FrameReader(pipe))
    assert b"\x0a?" * len(parts) == bytes(pipe.sent)


def test_frames_end() -> None:
    """The broker's good-bye is answered, and nothing behind it is read; what is no frame of a server is refused."""
    pipe = Pipe([_frame(b"a", 0x82) + _frame(b"", 0x88) + _frame(b"b", 0x82)])
    assert b"a" == contents(FrameReader(pipe))
    assert b"\x08" == bytes(pipe.sent)
    for wrong in (b"\x82\x81abcd", _frame(b"x" * 126, 0x89), _frame(b"", 0x83)):
        with pytest.raises(BrokerError, match="WebSocket"):
            FrameReader(Pipe([wrong])).recv(100)
