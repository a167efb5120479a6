"""How events are put for a receiver: one file a receiver, found by its name.

Adding a receiver
-----------------
1. Write ``tickets/receivers/<name>.py`` with a class that has ``signs`` and ``deliver`` (see :class:`Receiver`) and
   decorate it: ``@receiver("<name>")``. The name of the file is the word for ``receiver = …`` in ``metriage.toml``;
   nothing else needs to be told about it.
2. In ``deliver`` turn ``delivery.event`` into one or more requests and hand each to ``send``. ``send`` connects to the
   configured host only, checks its address, keeps the limits of time and size and raises
   :class:`lake.errors.DeliveryError` when there is no answer. A receiver that creates things searches for
   ``delivery.dedup_key`` first: an attempt may have succeeded although its answer was lost.
3. Judge the answer with :func:`tickets.answers.judge`; a receiver that answers 200 with an error in the body reads
   the body too, and raises :class:`lake.errors.DeliveryError` itself.
4. Everything a meter sent is hostile. ``delivery.event`` is JSON; whoever puts its texts into another language
   (Markdown, HTML, a URL) escapes them there.
5. Mirror it in ``tests/tickets/receivers/test_<name>.py``, against a real HTTP server on loopback.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from lake.errors import SettingsError
from tickets.signature import Secret


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to the destination's host.

    Parameters
    ----------
    body : bytes
        What is sent.
    headers : mapping of str to str
        Beside ``Host``, ``User-Agent`` and ``Content-Length``, which are set for every request.
    method : str
        HTTP method.
    target : str, optional
        Path and query; those of the configured address when left out.
    """

    body: bytes
    headers: Mapping[str, str]
    method: str = "POST"
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : mapping of str to str
        Names in lower case.
    body : bytes
        Up to the limits of size and time.
    complete : bool
        Whether the body came to its end within the limits. The status tells what became of the event either way.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to hand one event to one destination.

    Parameters
    ----------
    event_id : str
        The same over all attempts; the ``webhook-id``.
    dedup_key : str
        What the event is about; a receiver that creates things searches for it first.
    event : bytes
        The event body of the contract, JSON.
    attempted_at_s : int
        Time of this attempt [s since 1970].
    secrets : tuple of Secret
        Keys to sign with; empty where none is configured.
    """

    event_id: str
    dedup_key: str
    event: bytes = field(repr=False)
    attempted_at_s: int
    secrets: tuple[Secret, ...] = ()


Send = Callable[[Request], Answer]


class Receiver(Protocol):
    """A way to put events."""

    @property
    def signs(self) -> bool:
        """Whether it needs a secret."""

    def deliver(self, delivery: Delivery, send: Send) -> None:
        """Hand over one event; returning means the destination has it.

        Raises
        ------
        DeliveryError
            The destination did not take it.
        """


_RECEIVERS: dict[str, Receiver] = {}


def receiver(name: str) -> Callable[[type[Receiver]], type[Receiver]]:
    """Register the decorated class under `name`, which is also the name of its file."""

    def register(cls: type[Receiver]) -> type[Receiver]:
        _RECEIVERS[name] = cls()
        return cls

    return register


@cache
def names() -> tuple[str, ...]:
    """Return the receivers there are, by their files."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def receiver_named(name: str) -> Receiver:
    """Return one receiver.

    Raises
    ------
    SettingsError
        There is none of that name.
    """
    if name not in names():
        raise SettingsError(f"there is no receiver {name!r}; allowed are {', '.join(names())}", key="receiver")
    importlib.import_module(f"{__name__}.{name}")
    return _RECEIVERS[name]
