"""A strict little broker on a socket: sends what a test tells it to, and sees every acknowledgement as it arrives."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

_CONNECT, _CONNACK, _PUBACK, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 0x10, 0x20, 0x40, 0x80, 0xC0, 0xE0
MQTT_5 = 5
MQTT_311 = 4


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker publishes; `packet_id` None is QoS 0."""

    packet_id: int | None
    payload: bytes
    topic: bytes = b"meters/m1/readings"


@dataclass(slots=True)
class Visit:
    """One connection of a client.

    Parameters
    ----------
    protocol : int
        Protocol level of its CONNECT.
    flags : int
        Connect flags.
    properties : bytes
        Its properties, as they were written (MQTT 5).
    acknowledged : list of int
        Packet ids, in the order of their acknowledgement.
    """

    protocol: int
    flags: int
    properties: bytes
    acknowledged: list[int] = field(default_factory=list)


class StubBroker(contextlib.AbstractContextManager["StubBroker"]):
    """Serves one client after the other.

    Parameters
    ----------
    scripts : sequence of sequence of Message
        What each connection is sent; it is closed when it has acknowledged all of it, the last one stays.
    on_acknowledgement : callable, optional
        Told the number of acknowledgements of the connection so far, before the next packet is read.
    refuse : dict of int to int
        Protocol levels that are refused, and with which code; -1 never answers.
    leave_after : int, optional
        Acknowledgements after which the first connection is cut.
    subscription : int
        Reason code of the subscription.
    """

    def __init__(
        self,
        scripts: Sequence[Sequence[Message]],
        *,
        on_acknowledgement: Callable[[int], None] | None = None,
        refuse: dict[int, int] | None = None,
        leave_after: int | None = None,
        subscription: int = 1,
    ) -> None:
        self.visits: list[Visit] = []
        self.errors: queue.Queue[BaseException] = queue.Queue()
        self._scripts = list(scripts)
        self._on_acknowledgement = on_acknowledgement or (lambda _: None)
        self._refuse = refuse or {}
        self._leave_after = leave_after
        self._subscription = subscription
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._client: socket.socket | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        """Address for the settings."""
        return f"mqtt://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed by __exit__
            while not self._ended:
                client, _ = self._listener.accept()
                self._client = client
                with client, contextlib.suppress(ConnectionError, EOFError):
                    try:
                        self._talk(client)
                    except AssertionError as error:
                        self.errors.put(error)

    def _talk(self, client: socket.socket) -> None:
        kind, body = _packet(client)
        assert kind & 0xF0 == _CONNECT
        visit = _visit(body)
        self.visits.append(visit)
        code = self._refuse.get(visit.protocol)
        if code == -1:
            _packet(client)  # waits until the client gives up
            return
        tail = b"\0" if visit.protocol == MQTT_5 else b""
        client.sendall(bytes([_CONNACK, 2 + len(tail), 0, code or 0]) + tail)
        if code is not None:
            return
        script = self._scripts.pop(0) if self._scripts else []
        expected = sum(message.packet_id is not None for message in script)
        while self._leave_after is None or len(visit.acknowledged) < self._leave_after:
            kind, body = _packet(client)
            if kind & 0xF0 == _SUBSCRIBE:
                client.sendall(bytes([0x90, 3 + len(tail)]) + body[:2] + tail + bytes([self._subscription]))
                client.sendall(b"".join(_publish(message, visit.protocol) for message in script))
            elif kind & 0xF0 == _PUBACK:
                visit.acknowledged.append(int.from_bytes(body[:2]))
                self._on_acknowledgement(len(visit.acknowledged))
            elif kind & 0xF0 == _PINGREQ:
                client.sendall(bytes([0xD0, 0]))
            elif kind & 0xF0 == _DISCONNECT:
                return
            if self._scripts and expected and len(visit.acknowledged) == expected:
                return
        self._leave_after = None

    def cut(self) -> None:
        """Cut the connection, as a network does."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        if not self.errors.empty():
            raise self.errors.get()


def _packet(client: socket.socket) -> tuple[int, bytes]:
    kind = _exactly(client, 1)[0]
    length, shift = 0, 0
    while True:
        byte = _exactly(client, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return kind, _exactly(client, length)


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _visit(body: bytes) -> Visit:
    start = 2 + int.from_bytes(body[:2])
    protocol, flags = body[start], body[start + 1]
    length = body[start + 4] if protocol == MQTT_5 else 0
    return Visit(protocol, flags, body[start + 5 : start + 5 + length] if length else b"")


def _publish(message: Message, protocol: int) -> bytes:
    body = len(message.topic).to_bytes(2) + message.topic
    if message.packet_id is not None:
        body += message.packet_id.to_bytes(2)
    if protocol == MQTT_5:
        body += b"\0"
    body += message.payload
    length, coded = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        coded += bytes([digit | (0x80 if length else 0)])
        if not length:
            return bytes([0x30 if message.packet_id is None else 0x32]) + coded + body
