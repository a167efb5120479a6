"""A message between its source and the lake: as it came, and as decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from lake.vocabulary import READING

Transport = Literal["mqtt", "file"]

# A decoded reading is a plain tuple in this order; times are integers, microseconds since 1970 UTC. `ambiguous` is
# the one flag that only a decoder can know, the others are worked out for whole batches. `profile` is the vendor
# profile that the decoder takes the meter's codes for, or the one that the settings fix (`profile_fixed`).
BESIDE = ("ambiguous", "profile", "profile_fixed")  # columns of a row that the table has not
ROW_COLUMNS = (*(name for name in READING if name not in {"received_at", "flags", "event_date"}), *BESIDE)
TS = ROW_COLUMNS.index("ts")

Row = tuple[Any, ...]

RawRow = tuple[str, int | None, bytes]  # origin, received_at, payload of a message


@dataclass(frozen=True, slots=True)
class Channel:
    """What is known of a message from where it came in.

    Parameters
    ----------
    transport : {"mqtt", "file"}
        Whether ``origin`` of its messages is an MQTT topic or a file and line.
    codec : str
        Name of a payload shape, ``auto``, or the name of a ``[codecs.NAME]`` table.
    source : str
        Configured source name.
    enveloped : bool
        The payload must be (MQTT) or may be (file) an envelope ``{"topic", "received_at", "payload"}``.
    header : tuple of str
        Column names of the file, where it has a header.
    profile : str, optional
        Vendor profile that the settings fix for all its meters.
    topic_codecs, topic_profiles : tuple of (filter, name)
        Codecs and vendor profiles of single topics; the first filter that matches holds.
    """

    transport: Transport
    codec: str
    source: str
    enveloped: bool
    header: tuple[str, ...] = ()
    profile: str | None = None
    topic_codecs: tuple[tuple[str, str], ...] = ()
    topic_profiles: tuple[tuple[str, str], ...] = ()


class RawMessage(NamedTuple):
    """A message as it came in.

    Parameters
    ----------
    position : int
        Place in the spool, counted from 1 without gaps.
    channel : Channel
        Where it came in.
    origin : str
        MQTT topic, or file and line.
    received_at : int or None
        Microseconds since 1970 UTC; None where the message itself must tell.
    payload : bytes
        The message.
    """

    position: int
    channel: Channel
    origin: str
    received_at: int | None
    payload: bytes


class RawGroup(NamedTuple):
    """Messages of one channel that were received together.

    Parameters
    ----------
    first : int
        Place of the first in the spool; the others follow it without gaps.
    channel : Channel
        Where they came in.
    rows : list of (origin, received_at, payload)
        As in :class:`RawMessage`.
    """

    first: int
    channel: Channel
    rows: list[RawRow]

    def messages(self) -> list[RawMessage]:
        """Return the messages one by one."""
        return [RawMessage(position, self.channel, *row) for position, row in enumerate(self.rows, self.first)]


@dataclass(frozen=True, slots=True)
class Rejection:
    """One reading, or a whole message, that goes to quarantine.

    Parameters
    ----------
    reason : str
        One of :data:`lake.vocabulary.QUARANTINE_REASONS`.
    detail : str
        What was wrong, where in the payload.
    meter_id : str, optional
        The meter, where it could be told.
    """

    reason: str
    detail: str
    meter_id: str | None = None


class Decoded(msgspec.Struct):
    """What one message holds.

    Parameters
    ----------
    topic : str or None
        MQTT topic of the message, the envelope's where it has one.
    received_at : int or None
        When it was received [µs since 1970 UTC].
    rows : list of tuple
        Readings in the order of :data:`ROW_COLUMNS`.
    rejections : list of Rejection
        Readings that could not be taken; a message that cannot be read at all has exactly one.
    """

    topic: str | None = None
    received_at: int | None = None
    rows: list[Row] = []  # a struct gives every instance a list of its own
    rejections: list[Rejection] = []
