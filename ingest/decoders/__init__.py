"""One decoder a payload shape, one file a decoder.

A decoder is a class with the method of :class:`Decoder`, decorated with :func:`shape`. Its name is what ``codec`` of a
source says; ``codec = "auto"`` finds it by topic, else by content. To add a shape: one file here, its golden cases in
``tests/ingest/decoders/cases/<shape>/``, and its row in ``docs/payloads.md``.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Collection, Mapping, MutableMapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeVar

from ingest.keys import NO_KEYS, Keys
from ingest.local_time import LocalClock
from ingest.message import Decoded
from ingest.reading import check_meter_id


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
    keys : Keys
        Keys of encrypted meters, by meter or device id.
    aliases : mapping of str to str
        Other names of meters (serial number, DevEUI, IMEI) as the registry knows them, in lower case.
    memory : mutable mapping
        What the decoder wants to know again at later messages, ready for JSON; kept with the account, so that a batch
        that is decoded again finds it as it was.
    timezone : str, optional
        IANA zone of local times of meters that send no zone: the site's.
    encrypted : collection of str
        Meters whose module encrypts, as the registry says.
    """

    topic: str | None
    source: str
    received_at: int | None
    now: int
    clock: LocalClock
    keys: Keys = NO_KEYS
    aliases: Mapping[str, str] = {}
    memory: MutableMapping[str, Any] = {}  # noqa: RUF012 - tests that need one give their own
    timezone: str | None = None
    encrypted: Collection[str] = frozenset()

    def meter_id(self, device_id: object) -> str:
        """Return the meter that a device id or an alias names.

        Raises
        ------
        DecodingError
            ``bad_meter_id``.
        """
        found = check_meter_id(device_id)
        return self.aliases.get(found.lower(), found) if self.aliases else found


class Decoder(Protocol):
    """Turns one payload into readings."""

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return readings and rejections of `payload`.

        Raises
        ------
        DecodingError
            The payload as a whole cannot be read; nothing else is ever raised.
        """


class Shape(NamedTuple):
    """A payload shape.

    Parameters
    ----------
    name : str
        Its name in the settings.
    make : callable
        Makes its decoder.
    topics : tuple of str
        Topic filters on which only this shape is published.
    recognises : callable
        Tells from a payload that is not on such a topic whether it is of this shape; it may not raise, and a payload
        is of one shape at most.
    """

    name: str
    make: Callable[[], Decoder]
    topics: tuple[str, ...]
    recognises: Callable[[bytes], bool]


_SHAPES: dict[str, Shape] = {}
_D = TypeVar("_D", bound=Callable[[], Decoder])


def shape(
    name: str, *, topics: tuple[str, ...] = (), recognises: Callable[[bytes], bool] = lambda _: False
) -> Callable[[_D], _D]:
    """Register a decoder class; see :class:`Shape`."""

    def register(make: _D) -> _D:
        if name in _SHAPES:
            raise ValueError(f"payload shape {name!r} stands twice")
        _SHAPES[name] = Shape(name, make, topics, recognises)
        return make

    return register


@cache
def shapes() -> Mapping[str, Shape]:
    """Return every payload shape by its name, in alphabetical order."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return dict(sorted(_SHAPES.items()))
