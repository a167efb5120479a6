"""One decoder a payload shape; a decoder is found by the codec name of its channel.

A decoder is an object with the method of :class:`Decoder`. To add a shape: one file here, a line in
:class:`ingest.decoding.MessageDecoder` that makes it, its cases in ``tests/ingest/decoders/cases/<shape>/``, and a line
in the documentation.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ingest.local_time import LocalClock
from ingest.message import Decoded


class Context(NamedTuple):
    """What a decoder may know beside the payload.

    Parameters
    ----------
    topic : str or None
        MQTT topic of the message.
    source : str
        Configured source name.
    received_at : int or None
        When the message reached us [µs since 1970 UTC]; None: the latest measuring time in it.
    now : int
        The clock [µs since 1970 UTC], a limit for measuring times of messages that do not say when they were received.
    clock : LocalClock
        Resolves local times.
    """

    topic: str | None
    source: str
    received_at: int | None
    now: int
    clock: LocalClock


class Decoder(Protocol):
    """Turns one payload into readings."""

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return readings and rejections of `payload`.

        Raises
        ------
        DecodingError
            The payload as a whole cannot be read; nothing else is ever raised.
        """
