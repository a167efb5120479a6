"""From raw messages to decoded ones: envelope, decoder of the channel, time of receipt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from functools import cache
from typing import Any

import msgspec
import polars as pl

from ingest.decoders import Context, Decoder, Shape, shapes
from ingest.decoders.delimited import DelimitedDecoder
from ingest.excerpt import excerpt
from ingest.keys import NO_KEYS, Keys
from ingest.local_time import LocalClock, parse_time
from ingest.message import TS, Channel, Decoded, RawMessage, RawRow, Rejection, Row
from ingest.reading import check_meter_id, check_time, meter_id_of_topic
from ingest.settings import KEPT_BYTES, CodecSettings
from ingest.sound_readings import SoundReadings
from ingest.topic_names import TopicNames
from lake.errors import DecodingError

_LARGEST_TOPIC = 1024
_MOST_TOPICS = 50_000
_new_tuple = tuple.__new__


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
    keys : Keys
        Keys of encrypted meters.
    aliases : mapping of str to str
        Other names of meters, in lower case.
    memory : mutable mapping, optional
        What decoders noted at earlier messages; changed as messages are decoded.
    timezone : str, optional
        IANA zone of local times that carry none.
    encrypted : collection of str
        Meters whose module encrypts.
    """

    def __init__(
        self,
        codecs: Mapping[str, CodecSettings],
        max_message_bytes: int,
        clock: LocalClock,
        now: Callable[[], int],
        *,
        keys: Keys = NO_KEYS,
        aliases: Mapping[str, str] | None = None,
        memory: MutableMapping[str, Any] | None = None,
        timezone: str | None = None,
        encrypted: Collection[str] = frozenset(),
    ) -> None:
        self._codecs = codecs
        self._max_message_bytes = max_message_bytes
        self._clock = clock
        self._now = now
        self._keys = keys
        self._aliases = aliases or {}
        self._timezone = timezone
        self._encrypted = encrypted
        self.memory = {} if memory is None else memory
        self._decoders: dict[tuple[str, tuple[str, ...]], Decoder] = {}
        self._topic_names: dict[tuple[tuple[str, str], ...], TopicNames] = {}
        self._shape_of_topic: dict[str, str | None] = {}
        self._last_recognised: Shape | None = None
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._sound = SoundReadings(max_message_bytes, self._aliases)

    def sound_frame(self, messages: Sequence[RawRow], channel: Channel) -> pl.DataFrame | None:
        """Return the readings of messages that hold one each, all of them in order, as one frame.

        The short way for what most messages are: native readings of a meter's own topic.

        Parameters
        ----------
        messages : sequence of (origin, received_at, payload)
            As they came in.
        channel : Channel
            Where they came in.

        Returns
        -------
        polars.DataFrame or None
            Those columns of :data:`ingest.row_schema.ROW_SCHEMA` that hold something, the same that :meth:`decode`
            gives one by one; None where it must look at them.
        """
        frame = self._sound.frame(messages, channel.source) if _short(channel) else None
        if frame is not None and channel.profile is not None:
            frame = frame.with_columns(profile=pl.lit(channel.profile), profile_fixed=True)
        return frame

    def sound_rows(self, message: RawMessage) -> list[Row] | None:
        """Return the rows of a message in which everything is in order, None where :meth:`decode` must look at it."""
        _, channel, topic, received_at, payload = message
        rows = self._sound.rows(payload, topic, channel.source, received_at) if _short(channel) else None
        return rows if rows is None or channel.profile is None else _with_profile(rows, channel.profile)

    def decode(self, message: RawMessage) -> Decoded:
        """Return what `message` holds; what cannot be decoded comes back as its rejection, nothing is raised."""
        _, channel, origin, received_at, payload = message
        topic = origin if channel.transport == "mqtt" else None
        try:
            if len(payload) > self._max_message_bytes:
                raise DecodingError("too_large", _too_large(len(payload), self._max_message_bytes))
            if channel.enveloped:
                payload, topic, received_at = self._open_envelope(payload, topic, channel)
            decoder, name = self._decoder(channel, topic, payload)
            memory = self.memory.get(name)
            if memory is None:
                memory = self.memory[name] = {}
            # As Context(...) does, without the call between: there is one of them a message.
            context: Context = _new_tuple(
                Context,
                (topic, channel.source, received_at, self._now(), self._clock, self._keys, self._aliases, memory,
                 self._timezone, self._encrypted),
            )  # fmt: skip
            decoded = decoder.decode(payload, context)
        except DecodingError as error:
            meter_id = error.meter_id or _known_meter(topic)
            return Decoded(topic, received_at, [], [Rejection(error.reason, error.detail, meter_id)])
        if decoded.received_at is None and decoded.rows:
            decoded.received_at = max(row[TS] for row in decoded.rows)
        profile = channel.profile
        if channel.topic_profiles:
            profile = self._named(channel.topic_profiles, topic) or profile
        if profile is not None:
            decoded.rows = _with_profile(decoded.rows, profile)
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

    def _decoder(self, channel: Channel, topic: str | None, payload: bytes) -> tuple[Decoder, str]:
        """Return the decoder of a payload, and its name."""
        name = channel.codec
        if channel.topic_codecs:
            name = self._named(channel.topic_codecs, topic) or name
        if name == "auto":
            name = self._recognised(topic, payload)
        decoder = self._decoders.get((name, channel.header))
        if decoder is None:
            decoder = self._decoders[name, channel.header] = self._make_decoder(name, channel.header)
        return decoder, name

    def _make_decoder(self, name: str, header: tuple[str, ...]) -> Decoder:
        settings = self._codecs.get(name)
        if settings is not None:
            return DelimitedDecoder(settings, header or None)
        if name not in shapes():
            raise DecodingError("unknown_codec", f"there is no payload shape and no [codecs.{name}] of that name")
        return shapes()[name].make()

    def _named(self, names: tuple[tuple[str, str], ...], topic: str | None) -> str | None:
        """Return the name that stands beside the first filter that a topic matches."""
        if not names or topic is None:
            return None
        known = self._topic_names.get(names)
        if known is None:
            known = self._topic_names[names] = TopicNames(names)
        return known.find(topic)

    def _recognised(self, topic: str | None, payload: bytes) -> str:
        """Return the name of the shape that topic or content show, the native one where they show none."""
        if topic is not None:
            name = self._shape_of_topic.get(topic, "")
            if name == "":
                if len(self._shape_of_topic) >= _MOST_TOPICS:
                    self._shape_of_topic.clear()
                name = self._shape_of_topic[topic] = _shape_topics().find(topic)
            if name is not None:
                return name
        # A payload is of one shape at most: if it is of the last one's, none other need be asked.
        last = self._last_recognised
        if last is not None and last.recognises(payload):
            return last.name
        found = next((shape for shape in shapes().values() if shape.recognises(payload)), None)
        if found is None:
            return "native"
        self._last_recognised = found
        return found.name


@cache
def _shape_topics() -> TopicNames:
    """Return the topic filters of all shapes, with their names."""
    return TopicNames((filter_, name) for name, shape in shapes().items() for filter_ in shape.topics)


def _too_large(size: int, limit: int) -> str:
    if size > KEPT_BYTES:
        return f"more than {KEPT_BYTES} bytes, the rest of which is not kept; the limit is {limit}"
    return f"{size} bytes; the limit is {limit} (ingest.max_message_bytes)"


def _short(channel: Channel) -> bool:
    return (
        channel.codec == "native"
        and channel.transport == "mqtt"
        and not (channel.enveloped or channel.topic_codecs or channel.topic_profiles)
    )


def _with_profile(rows: list[Row], profile: str) -> list[Row]:
    return [(*row[:-2], profile, True) for row in rows]


def _known_meter(topic: str | None) -> str | None:
    try:
        return check_meter_id(meter_id_of_topic(topic))
    except DecodingError:
        return None
