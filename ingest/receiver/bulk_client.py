"""paho's client, but PUBLISH packets are cut out of large socket reads and acknowledged in one write.

paho reads a socket byte by byte and makes an object of each message: that is most of what a message costs. Here 256 KB
are read at once and every complete PUBLISH of QoS 0 or 1 is taken out of them; each other packet is handed to paho's
own reader, byte for byte, which goes on to connect, subscribe, ping and close as always. Writing stays paho's as well:
the joined PUBACKs of a group go through its queue, so that packets never run into each other.

What is used of paho's inside is listed in :data:`PRIVATE_NAMES`; where it is not as expected, the stock client serves.
"""

from __future__ import annotations

import inspect
import ssl
import struct
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from ingest.receiver.group import NOT_UTF_8, Group
from lake.errors import BrokerError

# Methods of paho's client that are called or replaced here, with their parameters.
PRIVATE_NAMES = {
    "_sock_recv": ("bufsize",),
    "_packet_queue": ("command", "packet", "mid", "qos"),
}
# Attributes of its objects; those of a WebSocket matter only where one is used.
PRIVATE_ATTRIBUTES = ("_ping_t", "_sock", "_protocol", "_transport")

_CHUNK = 262_144
_COLLECT = 16_384  # a longer packet that is not complete is collected apart, not joined again with each read
_PUBLISH, _PUBACK, _PINGREQ = 0x30, 0x40, 0xC0
_LONGEST_HEADER = 5  # packet type and at most four bytes of length
_DATA_FRAMES = (0x0, 0x2)
_CLOSE_FRAME, _PING_FRAME, _PONG_FRAME = 0x8, 0x9, 0xA
_CONTROL_FRAMES = (_CLOSE_FRAME, _PING_FRAME, _PONG_FRAME)
_LONGEST_CONTROL = 125
# What paho's parsing may raise on bytes that are no packet.
_PAHO_ERRORS = (MQTTException, ValueError, IndexError, KeyError, struct.error)
# What of a packet that is too large is kept besides its payload: topic, packet id and properties.
_MOST_VARIABLE_HEADER = 200_000


class BulkClient(mqtt.Client):
    """A client that reads in bulk.

    Parameters
    ----------
    callback_api_version : CallbackAPIVersion
        As paho's.
    group : Group
        Takes the messages.
    options : dict
        What paho's client takes.
    """

    def __init__(self, callback_api_version: CallbackAPIVersion, *, group: Group, **options: Any) -> None:
        self._group = group
        self._rest = b""  # received, not yet a whole packet
        self._large: _LargePacket | None = None
        self._feed: memoryview | None = None  # what paho's own reader gets instead of the socket
        self._feed_ended = False
        self._frames: FrameReader | None = None
        super().__init__(callback_api_version, **options)

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read from the socket once, and take every packet that is complete.

        Raises
        ------
        BrokerError
            The broker broke the protocol.
        """
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            data = self._sock_recv(_CHUNK)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            data = b""
        if not data:
            return self._hand_over(b"", max_packets)  # paho sees the end and closes
        self._ping_t = 0.0  # what arrives proves the connection alive as well as the answer to a ping does
        if self._large is not None:
            data = self._large.take(data)
            if self._large.missing:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            large, self._large = self._large, None
            if large.cut:
                self._take_cut(large)
            else:
                data = bytes(large.kept) + data
        elif self._rest:
            data = self._rest + data
            self._rest = b""
        return self._take_packets(data)

    def acknowledge(self, pubacks: bytes) -> MQTTErrorCode:
        """Send joined PUBACKs, behind whatever paho has still to send."""
        return self._packet_queue(_PUBACK, pubacks, 0, 0)

    def ping(self) -> MQTTErrorCode:
        """Send a PINGREQ whose answer nobody waits for: the broker shall keep us though we read nothing for a while."""
        return self._packet_queue(_PINGREQ, bytes((_PINGREQ, 0)), 0, 0)

    def _sock_recv(self, bufsize: int) -> bytes:
        """Read from the socket, or, while a packet is handed over, from that packet."""
        feed = self._feed
        if feed is not None:
            if not feed.nbytes and not self._feed_ended:
                raise BlockingIOError
            self._feed = feed[bufsize:]
            return bytes(feed[:bufsize])
        if self._transport != "websockets":
            return super()._sock_recv(bufsize)
        if self._frames is None:
            self._frames = FrameReader(self._sock)
        return self._frames.recv(bufsize)

    def _hand_over(self, packet: bytes, max_packets: int = 1) -> MQTTErrorCode:
        """Have paho read one packet, or the end of the connection, as if it came from the socket."""
        self._feed = memoryview(packet)
        self._feed_ended = not packet
        try:
            return super().loop_read(max_packets)
        except _PAHO_ERRORS as error:
            raise BrokerError(
                f"the broker sent a malformed packet: {packet[:1].hex()}… of {len(packet)} bytes"
            ) from error
        finally:
            self._feed = None

    def _take_packets(self, data: bytes) -> MQTTErrorCode:  # noqa: PLR0912, PLR0915 - a call a message would cost more
        group = self._group
        stamp, largest = group.stamp, group.largest_payload
        add_row, add_id = group.rows.append, group.packet_ids.append
        version_5 = self._protocol == MQTTProtocolVersion.MQTTv5
        position, end, size = 0, len(data), 0
        # This loop is the cost of a message; what is rare leaves it at once.
        while position + 1 < end:
            kind = data[position]
            length = data[position + 1]
            start = position + 2
            if length > 127:
                header = _remaining_length(data, position + 1)
                if header is None:
                    break
                length, start = header
            stop = start + length
            if stop > end:
                break
            if kind & 0xF4 != _PUBLISH:  # anything else, or a PUBLISH of QoS 2 or of a QoS that does not exist
                group.bytes += size
                size = 0
                result = self._hand_over(data[position:stop])
                if result != MQTTErrorCode.MQTT_ERR_SUCCESS or self._sock is None:
                    return result
                version_5 = self._protocol == MQTTProtocolVersion.MQTTv5
                position = stop
                continue
            head = start + 2
            body = head + (data[start] << 8 | data[start + 1]) if length > 1 else stop + 1
            topic = data[head:body]
            if kind & 2:
                packet_id = data[body : body + 2]
                body += 2
            if version_5:
                body = _behind_properties(data, body, stop)
            if body > stop:
                raise BrokerError(f"the broker sent a PUBLISH packet of {length} bytes that is too short for itself")
            payload = data[body:stop]
            if stop - body > largest:
                payload = payload[: largest + 1]
                group.oversized += 1
            try:
                add_row((topic.decode(), stamp, payload))
            except UnicodeDecodeError:
                add_row((NOT_UTF_8, stamp, payload))
            if kind & 2:
                add_id(packet_id)
            if kind & 1:
                group.retained += 1
            size += len(payload)
            position = stop
        group.bytes += size
        if position < end:
            self._keep_rest(data, position)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _keep_rest(self, data: bytes, position: int) -> None:
        """Keep what is not yet a whole packet; a long one is collected apart."""
        rest = data[position:]
        header = _remaining_length(rest, 1)
        if header is None:
            if len(rest) >= _LONGEST_HEADER:
                raise BrokerError("the broker sent a packet whose length is no length of MQTT")
            self._rest = rest
            return
        size = sum(header)
        if size <= _COLLECT:
            self._rest = rest
            return
        is_publish = rest[0] & 0xF0 == _PUBLISH
        if not is_publish and size > _CHUNK:
            raise BrokerError(f"the broker sent {size} bytes in a packet of type {rest[0] >> 4}")
        self._large = _LargePacket(size, self._group.largest_payload + 1 + _MOST_VARIABLE_HEADER)
        self._large.take(rest)

    def _take_cut(self, large: _LargePacket) -> None:
        """Take the beginning of a PUBLISH that is too large; enough of it is kept to see that."""
        kept, kind = large.kept, large.kept[0]
        start = (_remaining_length(kept, 1) or (0, 0))[1]
        body = start + 2 + int.from_bytes(kept[start : start + 2], "big")
        topic = bytes(kept[start + 2 : body])
        qos = kind >> 1 & 3
        packet_id = int.from_bytes(kept[body : body + 2], "big") if qos else 0
        body += 2 if qos else 0
        version_5 = self._protocol == MQTTProtocolVersion.MQTTv5
        if version_5:
            body = _behind_properties(kept, body, len(kept))
        if body >= len(kept) or qos == 3:
            raise BrokerError(f"the broker sent a malformed PUBLISH packet of {large.size} bytes")
        payload = bytes(memoryview(kept)[body : body + self._group.largest_payload + 1])
        if qos == 2:  # its handshake is paho's, which need not see more than we keep
            packet = len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big") + b"\0" * version_5 + payload
            self._hand_over(bytes([kind]) + _packed_length(len(packet)) + packet)
            return
        self._group.add(topic, payload, qos, packet_id, retained=bool(kind & 1))


class _LargePacket:
    """A packet that is longer than one read: its beginning is kept, what lies behind is counted and dropped.

    Parameters
    ----------
    size : int
        Its length, with its header [B].
    most : int
        What is kept of it [B].
    """

    def __init__(self, size: int, most: int) -> None:
        self.size = size
        self.missing = size
        self.kept = bytearray()
        self._most = min(size, most)

    @property
    def cut(self) -> bool:
        """Whether not all of it is kept."""
        return self._most < self.size

    def take(self, data: bytes) -> bytes:
        """Take what belongs to the packet, return what lies behind it."""
        mine = data[: self.missing] if len(data) > self.missing else data
        self.missing -= len(mine)
        room = self._most - len(self.kept)
        if room > 0:
            self.kept += mine if len(mine) <= room else mine[:room]
        return data[len(mine) :]


def _remaining_length(data: bytes | bytearray, position: int) -> tuple[int, int] | None:
    """Return the variable-length number at `position` and where it ends; None where it is not there as a whole."""
    value = 0
    for index, byte in enumerate(data[position : position + 4]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, position + index + 1
    return None


def _packed_length(value: int) -> bytes:
    packed = b""
    while True:
        value, digit = divmod(value, 128)
        packed += bytes([digit | (128 if value else 0)])
        if not value:
            return packed


def _behind_properties(data: bytes | bytearray, position: int, stop: int) -> int:
    """Return where the properties at `position` of an MQTT 5 packet end; behind `stop` where they cannot be."""
    if position >= stop:
        return stop + 1
    if data[position] < 128:
        return position + 1 + data[position]
    header = _remaining_length(data[:stop], position)
    return stop + 1 if header is None else sum(header)


class FrameReader:
    """Takes the contents out of WebSocket frames; what lies in a frame is one stream, whatever its borders.

    paho's own reader collects a whole frame before it gives anything of it, and reads its header byte by byte.

    Parameters
    ----------
    wrapper : object
        paho's WebSocket, connected: it has greeted, and it writes.
    """

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = wrapper
        self._rest = b""
        self._left = 0  # of the data frame that we are in
        self._closed = False

    def recv(self, size: int) -> bytes:
        """Return what frames hold, at most `size` bytes of them are read; nothing when the broker has closed.

        Raises
        ------
        BlockingIOError
            There is nothing at the moment.
        BrokerError
            What came is no WebSocket frame of a server.
        """
        if self._closed:
            return b""
        try:
            data: bytes = self._wrapper._socket.recv(size)  # noqa: SLF001 - see PRIVATE_NAMES
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error
        if not data:
            return b""
        content = self._contents(self._rest + data)
        if not content and not self._closed:
            raise BlockingIOError
        return content

    def _contents(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        position, end = 0, len(data)
        while position < end and not self._closed:
            if self._left:
                parts.append(data[position : position + self._left])
                position += len(parts[-1])
                self._left -= len(parts[-1])
                continue
            header = _frame_header(data, position)
            if header is None:
                break
            kind, length, start = header
            if kind in _DATA_FRAMES:
                self._left = length
                position = start
                continue
            if length > _LONGEST_CONTROL or kind not in _CONTROL_FRAMES:
                raise BrokerError(f"the broker sent a WebSocket frame of kind {kind} and {length} bytes")
            if start + length > end:
                break
            self._answer(kind, data[start : start + length])
            position = start + length
        self._rest = data[position:]
        return b"".join(parts)

    def _answer(self, kind: int, content: bytes) -> None:
        if kind == _PONG_FRAME:
            return
        self._closed = kind == _CLOSE_FRAME
        reply = _CLOSE_FRAME if self._closed else _PONG_FRAME
        wrapper = self._wrapper
        frame = wrapper._create_frame(reply, bytearray(content))  # noqa: SLF001
        if wrapper._sendbuffer:  # noqa: SLF001 - a frame is on its way: ours goes behind it
            wrapper._sendbuffer += frame  # noqa: SLF001
            return
        try:
            sent = wrapper._socket.send(frame)  # noqa: SLF001
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # the broker asks again
        if sent < len(frame):
            raise BrokerError("the connection takes less than an answer to a ping")


def _frame_header(data: bytes, position: int) -> tuple[int, int, int] | None:
    """Return opcode and length of the frame at `position`, and where its contents start; None if that is not there."""
    if position + 2 > len(data):
        return None
    length, start = data[position + 1], position + 2
    if length & 0x80:
        raise BrokerError("the broker sent a masked WebSocket frame, which only clients may")
    width = {126: 2, 127: 8}.get(length, 0)
    if start + width > len(data):
        return None
    if width:
        length = int.from_bytes(data[start : start + width], "big")
    return data[position] & 0x0F, length, start + width


def why_not_bulk() -> str | None:
    """Return why paho's client cannot be read in bulk, None where it can."""
    for name, parameters in PRIVATE_NAMES.items():
        method = getattr(mqtt.Client, name, None)
        if method is None:
            return f"paho's client has no {name}"
        known = inspect.signature(method).parameters
        positional = tuple(known)[1 : 1 + len(parameters)]
        if positional != parameters or any(
            parameter.default is inspect.Parameter.empty for parameter in list(known.values())[1 + len(parameters) :]
        ):
            return f"{name} of paho's client takes {', '.join(known)}"
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    for name in PRIVATE_ATTRIBUTES:
        if not hasattr(client, name):
            return f"paho's client has no {name}"
    wrapper = getattr(mqtt, "_WebsocketWrapper", None)
    return None if hasattr(wrapper, "_create_frame") else "paho has no WebSocket that can be read"
