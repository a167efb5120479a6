"""A strict little broker on a socket: sends what a test tells it to, and takes nothing that the standard forbids.

It never has more messages on their way than its in-flight limit, insists on acknowledgements in the order of delivery
and of this connection only, cuts its bytes into any pieces, redelivers with DUP, stalls and forgets sessions on demand.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import queue
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PUBREC, _PUBREL, _PUBCOMP = 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70
_SUBSCRIBE, _PINGREQ, _DISCONNECT = 0x80, 0xC0, 0xE0
MQTT_5 = 5
MQTT_311 = 4


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker publishes; `packet_id` None is QoS 0, `properties` are those of MQTT 5 as they are written.

    With `raw`, these bytes are sent instead, and nothing is expected.
    """

    packet_id: int | None
    payload: bytes
    topic: bytes = b"meters/m1/readings"
    retain: bool = False
    dup: bool = False
    qos: int = 1
    properties: bytes = b""
    raw: bytes | None = None


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
    connect : bytes
        The whole CONNECT behind its fixed header.
    acknowledged : list of int
        Packet ids, in the order of their acknowledgement.
    published : list of (bytes, bytes, int)
        Topic, payload and flags of what the client published.
    subscriptions : list of bytes
        Its SUBSCRIBE packets behind the packet id.
    pings : int
        How often it asked whether we live.
    most_in_flight : int
        Most messages that were on their way at once.
    left : bool
        Whether it said good-bye.
    """

    protocol: int
    flags: int
    properties: bytes
    connect: bytes
    acknowledged: list[int] = field(default_factory=list)
    published: list[tuple[bytes, bytes, int]] = field(default_factory=list)
    subscriptions: list[bytes] = field(default_factory=list)
    pings: int = 0
    most_in_flight: int = 0
    left: bool = False


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
    cut_after_sent : int, optional
        Messages after which the first connection is cut, whatever was acknowledged.
    subscription : int
        Reason code of the subscription.
    window : int
        Unacknowledged messages at most.
    fragment : callable, optional
        Returns the size of the next piece that is sent.
    redeliver : bool
        Whether what a connection did not acknowledge is sent to the next one, with DUP where it had been sent.
    sessions : sequence of bool
        ``session_present`` of each visit, the last for all others.
    limits : bytes
        Properties of the CONNACK (MQTT 5), as they are written.
    websocket : bool
        Whether to speak through WebSocket frames; `fragment` cuts the bytes of the frames.
    """

    def __init__(
        self,
        scripts: Sequence[Sequence[Message]],
        *,
        on_acknowledgement: Callable[[int], None] | None = None,
        refuse: dict[int, int] | None = None,
        leave_after: int | None = None,
        cut_after_sent: int | None = None,
        subscription: int = 1,
        window: int = 65_535,
        fragment: Callable[[], int] | None = None,
        redeliver: bool = False,
        sessions: Sequence[bool] = (False,),
        limits: bytes = b"",
        websocket: bool = False,
    ) -> None:
        self.visits: list[Visit] = []
        self.errors: queue.Queue[BaseException] = queue.Queue()
        self.stalled = threading.Event()
        self._scripts = [list(script) for script in scripts]
        self._on_acknowledgement = on_acknowledgement or (lambda _: None)
        self._refuse = refuse or {}
        self._leave_after = leave_after
        self._cut_after_sent = cut_after_sent
        self._subscription = subscription
        self._window = window
        self._fragment = fragment
        self._redeliver = redeliver
        self._sessions = list(sessions)
        self._limits = limits
        self._websocket = websocket
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._client: socket.socket | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        """Address for the settings."""
        return f"ws://127.0.0.1:{self.port}/mqtt" if self._websocket else f"mqtt://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed by __exit__
            while not self._ended:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._client = client
                with client, contextlib.suppress(ConnectionError, EOFError):
                    try:
                        self._talk(_Wire(client, self._fragment, self.stalled, websocket=self._websocket))
                    except AssertionError as error:
                        self.errors.put(error)

    def _talk(self, wire: _Wire) -> None:
        kind, body = wire.packet()
        assert kind & 0xF0 == _CONNECT
        visit = _visit(body)
        self.visits.append(visit)
        code = self._refuse.get(visit.protocol)
        if code == -1:
            wire.packet()  # waits until the client gives up
            return
        present = self._sessions.pop(0) if len(self._sessions) > 1 else self._sessions[0]
        version_5 = visit.protocol == MQTT_5
        tail = (_length(len(self._limits)) + self._limits) if version_5 else b""
        wire.send(bytes([_CONNACK, 2 + len(tail), present and code is None, code or 0]) + tail)
        if code is not None:
            wire.flush()
            return
        script = self._scripts.pop(0) if self._scripts else []
        flight = _Flight(script, self._window, visit, version_5=version_5)
        try:
            self._converse(wire, visit, flight)
        finally:
            if self._redeliver:
                self._scripts.insert(0, flight.unacknowledged())
        self._leave_after = None

    def _converse(self, wire: _Wire, visit: Visit, flight: _Flight) -> None:
        reply = b"\0" if visit.protocol == MQTT_5 else b""
        while self._leave_after is None or len(visit.acknowledged) < self._leave_after:
            kind, body = wire.packet()
            match kind & 0xF0:
                case 0x80:
                    visit.subscriptions.append(body[2:])
                    count = _filters(body[2 + len(reply) :])
                    reasons = bytes([self._subscription]) * count
                    wire.send(bytes([0x90, 2 + len(reply) + count]) + body[:2] + reply + reasons)
                    flight.open = True
                case 0x40:
                    assert body[2:] in {b"", b"\0", b"\0\0"}, f"PUBACK with a reason: {body.hex()}"
                    flight.acknowledged(int.from_bytes(body[:2]))
                    self._on_acknowledgement(len(visit.acknowledged))
                case 0x50:
                    wire.send(bytes([_PUBREL | 2, 2]) + body[:2])
                case 0x70:
                    flight.acknowledged(int.from_bytes(body[:2]))
                    self._on_acknowledgement(len(visit.acknowledged))
                case 0x30:
                    self._take(wire, visit, kind, body)
                case 0xC0:
                    visit.pings += 1
                    wire.send(bytes([0xD0, 0]))
                case 0xE0:
                    visit.left = True
                    return
                case _:
                    raise AssertionError(f"a client does not send {kind:#x}")
            while (message := flight.next()) is not None:
                wire.send(message)
                if self._cut_after_sent is not None and flight.sent >= self._cut_after_sent:
                    self._cut_after_sent = None
                    wire.flush()
                    self.cut()
                    return
            if self._scripts and flight.expected and len(visit.acknowledged) == flight.expected:
                return

    def _take(self, wire: _Wire, visit: Visit, kind: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2])
        topic, rest = body[2:end], body[end:]
        if kind & 6:
            wire.send(bytes([_PUBACK, 2]) + rest[:2])
            rest = rest[2:]
        if visit.protocol == MQTT_5:
            rest = rest[1 + rest[0] :]
        visit.published.append((topic, rest, kind & 0x0F))

    def cut(self) -> None:
        """Cut the connection, as a network does."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self.stalled.clear()
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        if not self.errors.empty():
            raise self.errors.get()


class _Flight:
    """What one connection is sent, never more of it at once than the window, and acknowledged strictly in order."""

    def __init__(self, script: Sequence[Message], window: int, visit: Visit, *, version_5: bool) -> None:
        self.open = False  # until the client has subscribed
        self.sent = 0
        self.expected = sum(message.packet_id is not None for message in script)
        self._waiting = deque(script)
        self._under_way: deque[Message] = deque()
        self._window = window
        self._visit = visit
        self._version_5 = version_5

    def next(self) -> bytes | None:
        """Return the next packet that may be sent now."""
        if not self.open or not self._waiting:
            return None
        message = self._waiting[0]
        if message.packet_id is not None:
            if len(self._under_way) >= self._window:
                return None
            self._under_way.append(message)
            self._visit.most_in_flight = max(self._visit.most_in_flight, len(self._under_way))
        self._waiting.popleft()
        self.sent += 1
        return _publish(message, version_5=self._version_5)

    def acknowledged(self, packet_id: int) -> None:
        assert self._under_way, f"packet {packet_id} is acknowledged, nothing is on its way on this connection"
        # The handshake of QoS 2 takes longer; what is acknowledged by PUBACK may overtake it.
        qos = next((message.qos for message in self._under_way if message.packet_id == packet_id), 1)
        message = next(message for message in self._under_way if message.qos == qos)
        expected = message.packet_id
        assert expected == packet_id, f"packet {packet_id} is acknowledged, {expected} comes before it"
        self._under_way.remove(message)
        self._visit.acknowledged.append(packet_id)

    def unacknowledged(self) -> list[Message]:
        again = [
            Message(m.packet_id, m.payload, m.topic, m.retain, True, m.qos, m.properties, m.raw)
            for m in self._under_way
        ]
        return [*again, *self._waiting]


class _Wire:
    """Packets on a socket: reads and writes at the same time, in pieces of any size, in frames or without."""

    def __init__(
        self, client: socket.socket, fragment: Callable[[], int] | None, stalled: threading.Event, *, websocket: bool
    ) -> None:
        self._socket = client
        self._fragment = fragment
        self._stalled = stalled
        self._out = bytearray()
        self._raw = bytearray()
        self._in = bytearray()
        self._websocket = websocket
        if websocket:
            self._greet()
        client.setblocking(False)

    def send(self, data: bytes) -> None:
        self._out += _frame(data, 0x82) if self._websocket else data

    def flush(self) -> None:
        while self._out:
            self._step()

    def packet(self) -> tuple[int, bytes]:
        """Return the next packet of the client; send meanwhile what can be sent."""
        while True:
            found = self._cut_packet()
            if found is not None:
                return found
            self._step()

    def _cut_packet(self) -> tuple[int, bytes] | None:
        length, shift = 0, 0
        for index in range(1, min(5, len(self._in))):
            byte = self._in[index]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                end = index + 1 + length
                if len(self._in) < end:
                    return None
                kind, body = self._in[0], bytes(self._in[index + 1 : end])
                del self._in[:end]
                return kind, body
        return None

    def _step(self) -> None:
        if self._stalled.is_set():
            threading.Event().wait(0.01)
            return
        readable, writable, _ = select.select([self._socket], [self._socket] if self._out else [], [], 0.05)
        if writable:
            size = min(len(self._out), self._fragment() if self._fragment else len(self._out))
            with contextlib.suppress(BlockingIOError):
                del self._out[: self._socket.send(memoryview(bytes(self._out[:size])))]
        if readable:
            data = self._socket.recv(65_536)
            if not data:
                raise EOFError
            self._take(data)

    def _take(self, data: bytes) -> None:
        if not self._websocket:
            self._in += data
            return
        self._raw += data
        while (frame := _unframe(self._raw)) is not None:
            opcode, content, size = frame
            del self._raw[:size]
            if opcode == 0x8:
                raise EOFError
            if opcode == 0x2:
                self._in += content

    def _greet(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = self._socket.recv(1)
            if not part:
                raise EOFError
            head += part
        [key] = [line[19:] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: ")]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324 - RFC 6455
        self._socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        self._out += _frame(b"are you there?", 0x89)  # a ping in front of everything


def _frame(data: bytes, opcode: int) -> bytes:
    size = len(data)
    if size < 126:
        return bytes([opcode, size]) + data
    if size < 65_536:
        return bytes([opcode, 126]) + size.to_bytes(2) + data
    return bytes([opcode, 127]) + size.to_bytes(8) + data


def _unframe(data: bytearray) -> tuple[int, bytes, int] | None:
    if len(data) < 2:
        return None
    masked = bool(data[1] & 0x80)
    assert masked or data[0] & 0x08, "a client masks its frames"  # paho's stock reader answers pings without a mask
    width = {126: 2, 127: 8}.get(data[1] & 0x7F, 0)
    size = int.from_bytes(data[2 : 2 + width]) if width else data[1] & 0x7F
    start = 2 + width + 4 * masked
    if len(data) < start + size:
        return None
    mask = data[start - 4 : start] if masked else bytes(4)
    content = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[start : start + size]))
    return data[0] & 0x0F, content, start + size


def _filters(body: bytes) -> int:
    count = 0
    while body:
        body = body[3 + int.from_bytes(body[:2]) :]
        count += 1
    return count


def _visit(body: bytes) -> Visit:
    start = 2 + int.from_bytes(body[:2])
    protocol, flags = body[start], body[start + 1]
    length = body[start + 4] if protocol == MQTT_5 else 0
    return Visit(protocol, flags, body[start + 5 : start + 5 + length] if length else b"", body)


def _length(value: int) -> bytes:
    coded = b""
    while True:
        value, digit = divmod(value, 128)
        coded += bytes([digit | (0x80 if value else 0)])
        if not value:
            return coded


def _publish(message: Message, *, version_5: bool) -> bytes:
    if message.raw is not None:
        return message.raw
    body = len(message.topic).to_bytes(2) + message.topic
    if message.packet_id is not None:
        body += message.packet_id.to_bytes(2)
    if version_5:
        body += _length(len(message.properties)) + message.properties
    body += message.payload
    qos = 0 if message.packet_id is None else message.qos
    kind = _PUBLISH | qos << 1 | message.retain | message.dup << 3
    return bytes([kind]) + _length(len(body)) + body
