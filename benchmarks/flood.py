"""A publisher fast enough not to be what is measured: MQTT 3.1.1 packets built beforehand, written in large pieces."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator

_WINDOW = 20_000  # messages that the broker has not acknowledged yet; packet ids run to 65,535
_GROUP = 500
_PUBACK_BYTES = 4
_CONNECT, _PUBLISH_QOS_1, _SUBSCRIBE, _DISCONNECT = 0x10, 0x32, 0x82, 0xE0


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def _packet(kind: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (128 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


def connect(port: int, client_id: str, *, clean: bool) -> socket.socket:
    """Return a connection that the broker has accepted.

    Raises
    ------
    OSError
        It is not there, or refuses.
    """
    link = socket.create_connection(("127.0.0.1", port), timeout=120)
    link.sendall(
        _packet(_CONNECT, _text("MQTT") + bytes([4, 2 if clean else 0]) + struct.pack(">H", 0) + _text(client_id))
    )
    if _exactly(link, 4)[3]:
        raise ConnectionError(f"the broker refuses {client_id}")
    return link


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        data += piece
    return data


def open_session(port: int, client_id: str, topic: str) -> None:
    """Make a persistent session that subscribes to `topic` with QoS 1, and leave it: the broker queues for it."""
    with connect(port, client_id, clean=False) as link:
        link.sendall(_packet(_SUBSCRIBE, struct.pack(">H", 1) + _text(topic) + b"\x01"))
        if _exactly(link, 5)[4] != 1:
            raise ConnectionError(f"the broker grants no QoS 1 on {topic}")
        link.sendall(_packet(_DISCONNECT, b""))


def drop_session(port: int, client_id: str) -> None:
    """End a session and what is queued for it."""
    with connect(port, client_id, clean=True) as link:
        link.sendall(_packet(_DISCONNECT, b""))


def publish_packet(number: int, topic: str, payload: bytes) -> bytes:
    """Return the PUBLISH packet of QoS 1 of message `number`; its id comes again after 65,535 others."""
    return _packet(_PUBLISH_QOS_1, _text(topic) + struct.pack(">H", number % 65_535 + 1) + payload)


def _groups(messages: Iterable[tuple[str, bytes]]) -> Iterator[tuple[int, bytes]]:
    pieces: list[bytes] = []
    for number, (topic, payload) in enumerate(messages):
        pieces.append(publish_packet(number, topic, payload))
        if len(pieces) == _GROUP:
            yield len(pieces), b"".join(pieces)
            pieces = []
    yield len(pieces), b"".join(pieces)


def publish(port: int, messages: Iterable[tuple[str, bytes]]) -> int:
    """Publish with QoS 1 and return how many, once the broker has acknowledged every one."""
    sent = acknowledged = 0
    with connect(port, "flood", clean=True) as link:
        for count, data in _groups(messages):
            link.sendall(data)
            sent += count
            while sent - acknowledged > _WINDOW:
                acknowledged += len(_exactly(link, _GROUP * _PUBACK_BYTES)) // _PUBACK_BYTES
        _exactly(link, (sent - acknowledged) * _PUBACK_BYTES)
        link.sendall(_packet(_DISCONNECT, b""))
    return sent
