"""One decoder a payload shape; a decoder is found by the codec name of its channel.

A decoder is a function ``(payload, context) -> None`` object with the method of :class:`ingest.decoders.Decoder`. To
add a shape: one file here that registers itself with :func:`decoder`, its cases in
``tests/ingest/decoders/cases/<shape>/``, and a line in the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ingest.local_time import LocalClock
from ingest.message import Decoded


@dataclass(frozen=True, slots=True)
class Context:
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
