"""From raw messages to decoded ones: envelope, decoder of the channel, time of receipt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ingest.decoders import Context, Decoder
from ingest.decoders.delimited import DelimitedDecoder
from ingest.decoders.native import NativeDecoder, SoundReadings
from ingest.excerpt import excerpt
from ingest.local_time import LocalClock, parse_time
from ingest.message import TS, Channel, Decoded, RawMessage, RawRow, Rejection, Row
from ingest.reading import check_meter_id, check_time, meter_id_of_topic
from ingest.settings import CodecSettings
from lake.errors import DecodingError

_LARGEST_TOPIC = 1024


class _Envelope(msgspec.Struct):
    """A message as it is replayed; the payload is kept as it was written."""

    payload: msgspec.Raw = msgspec.Raw()
    topic: Any = None
    received_at: Any = None


class MessageDecoder:
    """Decodes messages of any channel.

    Parameters
    ----------
    codecs : mapping of str to CodecSettings
        The ``[codecs.NAME]`` tables.
    max_message_bytes : int
        A larger message is refused undecoded [B].
    clock : LocalClock
        Resolves local times.
    now : callable
        The clock [µs since 1970 UTC].
    """

    def __init__(
        self, codecs: Mapping[str, CodecSettings], max_message_bytes: int, clock: LocalClock, now: Callable[[], int]
    ) -> None:
        self._codecs = codecs
        self._max_message_bytes = max_message_bytes
        self._clock = clock
        self._now = now
        self._decoders: dict[Channel, Decoder] = {}
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._sound = SoundReadings(max_message_bytes)

    def sound_columns(self, messages: Sequence[RawRow], channel: Channel) -> list[Sequence[Any]] | None:
        """Return the readings of messages that hold one each, all of them in order, column by column.

        The short way for what most messages are: native readings of a meter's own topic.

        Parameters
        ----------
        messages : sequence of (origin, received_at, payload)
            As they came in.
        channel : Channel
            Where they came in.

        Returns
        -------
        list of sequence or None
            In the order of :data:`ingest.message.ROW_COLUMNS`, the same that :meth:`decode` gives one by one; None
            where it must look at them.
        """
        return self._sound.columns(messages, channel.source) if _short(channel) else None

    def sound_rows(self, message: RawMessage) -> list[Row] | None:
        """Return the rows of a message in which everything is in order, None where :meth:`decode` must look at it."""
        _, channel, topic, received_at, payload = message
        return self._sound.rows(payload, topic, channel.source, received_at) if _short(channel) else None

    def decode(self, message: RawMessage) -> Decoded:
        """Return what `message` holds; what cannot be decoded comes back as its rejection, nothing is raised."""
        topic = message.origin if message.channel.transport == "mqtt" else None
        received_at = message.received_at
        try:
            if len(message.payload) > self._max_message_bytes:
                raise DecodingError(
                    "too_large", f"{len(message.payload)} bytes; the limit is {self._max_message_bytes}"
                )
            payload = message.payload
            if message.channel.enveloped:
                payload, topic, received_at = self._open_envelope(payload, topic, message.channel)
            context = Context(topic, message.channel.source, received_at, self._now(), self._clock)
            decoded = self._decoder(message.channel).decode(payload, context)
        except DecodingError as error:
            meter_id = error.meter_id or _known_meter(topic)
            return Decoded(topic, received_at, [], [Rejection(error.reason, error.detail, meter_id)])
        if decoded.received_at is None and decoded.rows:
            decoded.received_at = max(row[TS] for row in decoded.rows)
        return decoded

    def _open_envelope(
        self, payload: bytes, topic: str | None, channel: Channel
    ) -> tuple[bytes, str | None, int | None]:
        """Return payload, topic and time of receipt of an envelope; a line of a file may also be a bare payload."""
        if channel.transport == "file" and b'"payload"' not in payload:
            return payload, topic, None
        try:
            envelope = self._envelope.decode(payload)
            inner = bytes(envelope.payload)
            if inner.startswith(b'"'):
                inner = msgspec.json.decode(inner, type=str).encode()
            problem = "" if envelope.payload else "the source is configured for envelopes; there is no payload"
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problem = f"{error}; begins with {excerpt(payload)}"
        if problem:
            if channel.transport == "file":
                return payload, topic, None
            raise DecodingError("not_envelope", problem)
        own_topic = topic if envelope.topic is None else envelope.topic
        if own_topic is not None and (not isinstance(own_topic, str) or len(own_topic) > _LARGEST_TOPIC):
            raise DecodingError("wrong_type", f"the envelope's topic is {excerpt(own_topic)}")
        return inner, own_topic, self._received_at(envelope)

    def _received_at(self, envelope: _Envelope) -> int | None:
        if envelope.received_at is None:
            return None
        received_at = parse_time(envelope.received_at, "received_at")
        check_time(received_at, None, self._now(), "received_at")
        return received_at

    def _decoder(self, channel: Channel) -> Decoder:
        decoder = self._decoders.get(channel)
        if decoder is None:
            decoder = self._decoders[channel] = self._make_decoder(channel)
        return decoder

    def _make_decoder(self, channel: Channel) -> Decoder:
        if channel.codec == "native":
            return NativeDecoder()
        settings = self._codecs.get(channel.codec)
        if settings is None:
            raise DecodingError("unknown_codec", f"there is no [codecs.{channel.codec}] in the settings")
        return DelimitedDecoder(settings, channel.header or None)


def _short(channel: Channel) -> bool:
    return channel.codec == "native" and channel.transport == "mqtt" and not channel.enveloped


def _known_meter(topic: str | None) -> str | None:
    try:
        return check_meter_id(meter_id_of_topic(topic))
    except DecodingError:
        return None
