"""Measuring times on the way in: ISO 8601, epochs, and local times of a zone with its two odd hours a year."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from ingest.excerpt import excerpt
from lake.errors import DecodingError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DIGITS = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,9})?")

EARLIEST = 946_684_800_000_000  # 2000-01-01 [µs]
DAY = 86_400_000_000  # [µs]

# Numbers above are milliseconds: as seconds they would lie in the year 5138.
_LARGEST_EPOCH_S = 10**11
_LARGEST_EPOCH_MS = 10**15


def microseconds(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """Return microseconds since 1970 UTC as an aware datetime."""
    return _EPOCH + value * _MICROSECOND


def parse_time(value: object, field: str = "ts") -> int:
    """Return a time of the contract's forms as microseconds since 1970 UTC.

    Parameters
    ----------
    value : str, int or float
        ISO 8601 with offset, or an epoch in seconds or milliseconds.
    field : str
        Name for the error message.

    Raises
    ------
    DecodingError
        ``bad_time`` or ``no_time_zone``.

    Examples
    --------
    >>> parse_time("2016-03-01T00:28:55+01:00") == parse_time(1456788535) == parse_time(1456788535000)
    True
    """
    if type(value) is int and 0 <= value < _LARGEST_EPOCH_MS:  # by far the most common form
        return value * (1_000_000 if value < _LARGEST_EPOCH_S else 1000)
    if isinstance(value, str):
        if value[4:5] != "-" and _DIGITS.fullmatch(value):
            return _from_epoch(float(value), field)
        return iso_time(value, field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(value, field)
    raise DecodingError("bad_time", f"{field} is no time: {excerpt(value)}")


def iso_time(value: str, field: str) -> int:
    """Return an ISO 8601 time as :func:`parse_time` does, to which every text comes that is no epoch."""
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise DecodingError("bad_time", f"{field} is no ISO 8601 time: {excerpt(value)}") from None
    if parsed.tzinfo is None:
        raise DecodingError(
            "no_time_zone", f"{field} {excerpt(value)} carries no zone; send an offset or configure a timezone"
        )
    since = parsed - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds  # a division would take longer


def _from_epoch(value: float, field: str) -> int:
    if not abs(value) < _LARGEST_EPOCH_MS:  # also false for NaN
        raise DecodingError("bad_time", f"{field} is no epoch in seconds or milliseconds: {excerpt(value)}")
    return round(value * 1_000_000) if abs(value) < _LARGEST_EPOCH_S else round(value * 1000)


_NUMBERS = {"%Y": "year", "%m": "month", "%d": "day", "%H": "hour", "%M": "minute", "%S": "second"}
_DIRECTIVE = re.compile("%.")


class TimePattern:
    """A strptime pattern; one made of plain numbers is read without :func:`time.strptime`, ten times as fast.

    Parameters
    ----------
    pattern : str
        Such as ``%d/%m/%Y %H:%M:%S``.

    Examples
    --------
    >>> TimePattern("%d/%m/%Y %H:%M").parse("31/12/2016 23:59")
    datetime.datetime(2016, 12, 31, 23, 59)
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        directives = _DIRECTIVE.findall(pattern)
        plain = set(directives) <= set(_NUMBERS) and len(set(directives)) == len(directives)
        literals = [re.escape(text) for text in _DIRECTIVE.split(pattern)]
        groups = [f"(?P<{_NUMBERS[name]}>[0-9]{{{4 if name == '%Y' else 2}}})" for name in directives if plain]
        text = "".join(part for pair in zip(literals, [*groups, ""], strict=True) for part in pair) if plain else None
        self._numbers = re.compile(text) if text and {"%Y", "%m", "%d"} <= set(directives) else None

    def parse(self, text: str) -> datetime:
        """Return `text` as a datetime, naive where the pattern has no zone.

        Raises
        ------
        ValueError
            It does not fit the pattern.
        """
        found = self._numbers.fullmatch(text) if self._numbers is not None else None
        if found is None:
            return datetime.strptime(text, self.pattern)  # noqa: DTZ007 - a zone comes from the settings
        return datetime(**{name: int(number) for name, number in found.groupdict().items()})  # type: ignore[arg-type]  # noqa: DTZ001


@lru_cache(maxsize=16)
def zone(name: str) -> ZoneInfo:
    """Return the zone called `name`."""
    return ZoneInfo(name)


class LocalClock:
    """Resolves local times without an offset to UTC.

    The hour that comes twice at the end of summer time is resolved by order: a meter's times run through it once, and
    when they step back, or when a measurement comes again that its register does not contradict, the second pass has
    begun. Only meters that are inside that hour are remembered, so the state is small and can be stored.

    Parameters
    ----------
    state : dict, optional
        What :attr:`state` was when the writer stopped.
    """

    def __init__(self, state: dict[str, dict[str, object]] | None = None) -> None:
        self._inside: dict[str, _Pass] = {key: _Pass.load(value) for key, value in (state or {}).items()}

    @property
    def state(self) -> dict[str, dict[str, object]]:
        """What a successor needs, ready for JSON."""
        return {key: value.dump() for key, value in self._inside.items()}

    def resolve(self, local: datetime, zone_name: str, meter: str, register: float | None) -> tuple[int, bool]:
        """Return a local time as microseconds since 1970 UTC, and whether it was ambiguous.

        Parameters
        ----------
        local : datetime
            Naive local time.
        zone_name : str
            IANA zone.
        meter : str
            Meter (and source) whose measurements come in order.
        register : float or None
            The register, where the measurement has one.

        Raises
        ------
        DecodingError
            ``nonexistent_time``: the change to summer time skipped it.
        """
        first = local.replace(tzinfo=zone(zone_name))
        second = first.replace(fold=1)
        before, after = first.utcoffset(), second.utcoffset()
        if before == after:
            if self._inside:
                self._inside.pop(meter, None)
            return microseconds(first), False
        if before is None or after is None or before < after:
            raise DecodingError("nonexistent_time", f"{local.isoformat()} does not exist in {zone_name}")
        place = self._inside.setdefault(meter, _Pass())
        return microseconds(second if place.is_second(local, register) else first), True


class _Pass:
    """Where one meter is in a repeated hour."""

    __slots__ = ("last", "register", "second", "seen")

    def __init__(self) -> None:
        self.last = ""
        self.second = False
        self.register: float | None = None
        self.seen: set[tuple[str, float | None]] = set()

    def is_second(self, local: datetime, register: float | None) -> bool:
        key = local.isoformat()
        again = (key, register) in self.seen
        behind = register is not None and self.register is not None and register < self.register
        if again and behind:
            return False  # delivered once more: the register has moved on since
        if again or key <= self.last:
            self.second = True
        if not self.second:
            self.last = key
            self.seen.add((key, register))
        if register is not None and not behind:
            self.register = register
        return self.second

    def dump(self) -> dict[str, object]:
        return {"last": self.last, "second": self.second, "register": self.register, "seen": list(self.seen)}

    @classmethod
    def load(cls, value: dict[str, object]) -> _Pass:
        place = cls()
        place.last = str(value["last"])
        place.second = bool(value["second"])
        place.register = value["register"]  # type: ignore[assignment]
        place.seen = {(key, register) for key, register in value["seen"]}  # type: ignore[attr-defined]
        return place
