"""The messages of one connection that wait for their common fsync, and the acknowledgements that follow it."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.message import RawRow

NOT_UTF_8 = "(topic is not UTF-8)"  # forbidden by MQTT, but not every broker checks


class Group:
    """What was received and is neither stored nor acknowledged.

    Parameters
    ----------
    most_messages, most_bytes : int
        At which it is full.
    largest_payload : int
        A longer payload is cut to one byte more than this, which is enough to see that it is too large [B].
    """

    def __init__(self, most_messages: int, most_bytes: int, largest_payload: int) -> None:
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self.largest_payload = largest_payload
        self.stamp: int | None = None
        self.rows: list[RawRow] = []
        # Packet ids of QoS 1, two bytes each, in the order of receipt; those of QoS 2 stay with paho.
        self.packet_ids: list[bytes] = []
        self.exactly_once_ids: list[int] = []
        self.bytes = 0
        self.retained = 0
        self.oversized = 0

    @property
    def full(self) -> bool:
        """Whether no more should be read."""
        return len(self.rows) >= self._most_messages or self.bytes >= self._most_bytes

    def add(self, topic: bytes, payload: bytes, qos: int, packet_id: int, *, retained: bool) -> None:
        """Take one message; the reader of whole sockets does the same inline."""
        if len(payload) > self.largest_payload:
            payload = payload[: self.largest_payload + 1]
            self.oversized += 1
        self.rows.append((topic_text(topic), self.stamp, payload))
        self.bytes += len(payload)
        self.retained += retained
        if qos == 1:
            self.packet_ids.append(packet_id.to_bytes(2, "big"))
        elif qos:
            self.exactly_once_ids.append(packet_id)

    def pubacks(self) -> bytes:
        """Return the PUBACK packets of QoS 1 joined, in the order of receipt; both MQTT versions write them so."""
        return b"".join([b"\x40\x02" + packet_id for packet_id in self.packet_ids])

    def acknowledgements(self) -> Iterator[tuple[int, int]]:
        """Yield packet id and QoS of what is to be acknowledged one by one."""
        yield from ((int.from_bytes(packet_id, "big"), 1) for packet_id in self.packet_ids)
        yield from ((packet_id, 2) for packet_id in self.exactly_once_ids)

    def clear(self) -> None:
        """Forget it all."""
        self.rows = []
        self.packet_ids = []
        self.exactly_once_ids = []
        self.bytes = self.retained = self.oversized = 0


def topic_text(topic: bytes) -> str:
    """Return a topic as text."""
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return NOT_UTF_8
