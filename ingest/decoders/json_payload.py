"""What the JSON shapes share: reading a payload, telling what it is, and the forms that numbers, codes and ids take."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, TypeVar

import msgspec

from ingest.decoders import Context
from ingest.excerpt import excerpt
from ingest.local_time import EARLIEST, iso_time, parse_time
from ingest.message import Decoded, Rejection, Row
from ingest.reading import build_row, check_time
from lake.errors import DecodingError

_T = TypeVar("_T")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?\s*", re.ASCII)
_WHOLE = re.compile(r"\d{1,20}|0[xX][0-9a-fA-F]{1,16}")
_SEPARATOR = re.compile(r"\s*[,;|/+&\n]\s*")
_LONGEST_STATUS = 200  # characters of a text that is remembered
_NOT_PLAIN = re.compile(r"\s+")

# Words by which senders say that there is no code.
NO_CODE = frozenset(
    {"", "ok", "none", "null", "nil", "no", "-", "--", "n/a", "na", "normal", "false", "no_alarm", "no_alarms",
     "no_error", "no_errors", "no_type_info", "normal_state"}
)  # fmt: skip


def read_json(decoder: msgspec.json.Decoder[_T], payload: bytes | msgspec.Raw) -> _T:
    """Return what a payload says.

    Raises
    ------
    DecodingError
        ``not_json``, ``not_finite``, ``wrong_type`` or ``too_deep``.
    """
    try:
        return decoder.decode(payload)
    except UNREADABLE as error:
        _refuse(error, payload)


def _refuse(error: Exception, payload: bytes | msgspec.Raw) -> NoReturn:
    if isinstance(error, RecursionError):
        raise DecodingError("too_deep", "the JSON is nested too deeply") from None
    # A validation error is JSON that is right but does not fit: a number that no float holds, or another type.
    misfit = "not_finite" if "out of range" in str(error) else "wrong_type"
    reason = misfit if isinstance(error, msgspec.ValidationError) else "not_json"
    raise DecodingError(reason, f"{error}; begins with {excerpt(bytes(payload))}") from None


class Outline(NamedTuple):
    """The outermost level of a JSON payload.

    Parameters
    ----------
    is_array : bool
        Whether it is an array of objects; `fields` are then those of the first.
    fields : mapping of str to msgspec.Raw
        Fields of the object, unread; empty where the payload is none.
    """

    is_array: bool
    fields: Mapping[str, msgspec.Raw]


_NOTHING = Outline(is_array=False, fields={})
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


@lru_cache(maxsize=2)  # every shape asks for the outline of the same payload, one for that of a part
def outline(payload: bytes) -> Outline:
    """Return the outermost level of a payload; nothing is raised."""
    try:
        start = payload[:64].lstrip()[:1]
        if start == b"{":
            return Outline(is_array=False, fields=_FIELDS.decode(payload))
        if start == b"[":
            items = _ITEMS.decode(payload)
            return Outline(is_array=True, fields=_FIELDS.decode(items[0]) if items else {})
    except UNREADABLE:
        return _NOTHING
    return _NOTHING


def fields_of(payload: bytes) -> Mapping[str, msgspec.Raw]:
    """Return the fields of a payload that is one object; nothing is raised."""
    found = outline(payload)
    return {} if found.is_array else found.fields


def number(value: object) -> object:
    """Return a number that stands in a string as a number, everything else as it is.

    Examples
    --------
    >>> number("12.5"), number("1_000"), number(7)
    (12.5, '1_000', 7)
    """
    if isinstance(value, str) and len(value) <= 64 and _NUMBER.fullmatch(value):
        return float(value)
    return value


def scaled(value: object, factor: float) -> object:
    """Return a number times `factor`, also where it stands in a string; everything else as it is.

    Factors below one are divisions, so that 3608 mV are 3.608 V and not the float beside it.
    """
    found = number(value)
    if factor == 1 or isinstance(found, bool) or not isinstance(found, int | float):
        return found
    return found / round(1 / factor) if factor < 1 else found * factor


def split_codes(text: str) -> list[str]:
    """Return the codes that a status text names, in their order, each once; words for none left out.

    Examples
    --------
    >>> split_codes("DRY BURST"), split_codes("leak, low battery"), split_codes("OK")
    (['DRY', 'BURST'], ['leak', 'low battery'], [])
    """
    parts = [] if is_no_code(text) else _SEPARATOR.split(text.strip())
    found: dict[str, None] = {}
    for part in parts:
        # Words in capitals or with underscores are codes each; "low battery" is one.
        words = part.split() if "_" in part or part == part.upper() else [part]
        found.update(dict.fromkeys(word for word in words if not is_no_code(word)))
    return list(found)


def text_codes(text: str) -> tuple[str, ...] | None:
    """Return the codes of a status text; None where it is a number or a truth value.

    Meters say the same few things, which are remembered.
    """
    return _text_codes(text) if len(text) <= _LONGEST_STATUS else _text_codes.__wrapped__(text)


@lru_cache(maxsize=2_000)
def _text_codes(text: str) -> tuple[str, ...] | None:
    plain = text.strip()
    return None if plain.lower() == "true" or _WHOLE.fullmatch(plain) else tuple(split_codes(plain))


def is_no_code(word: str) -> bool:
    """Tell whether a word says that there is no code."""
    return _NOT_PLAIN.sub("_", word.strip().lower()) in NO_CODE


class Codes:
    """Collects codes and the status word of one reading, from fields that may hold either."""

    __slots__ = ("codes", "status")

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.status: int | None = None

    def add(self, name: str, value: object) -> bool:
        """Take up the value of the field `name`; return False where it is a second status word.

        A truth value says whether the field's name is a code.

        Raises
        ------
        DecodingError
            ``wrong_type``.
        """
        if isinstance(value, bool):
            self.extend([name] if value else [])
            return True
        if isinstance(value, str):
            found, text = text_codes(value), value.strip()
            if found is not None or text.lower() == "true":
                self.extend([name] if found is None else found)
                return True
            value = int(text, 16 if text[1:2] in {"x", "X"} else 10)
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            self.extend(item for item in value if not is_no_code(item))
            return True
        if not isinstance(value, int):
            raise DecodingError("wrong_type", f"{name} must be a status word or text, not {excerpt(value)}")
        if self.status is not None and self.status != value:
            return False
        self.status = value
        return True

    def extend(self, codes: Iterable[str]) -> None:
        """Take up codes that are not there yet."""
        self.codes += [code for code in codes if code not in self.codes]

    def into(self, fields: dict[str, Any]) -> None:
        """Add what was found to the fields of a reading."""
        if self.codes:
            fields["error_codes"] = self.codes
        if self.status is not None:
            fields["status"] = self.status


def measuring_time(value: object, context: Context, field: str = "ts") -> int:
    """Return a checked measuring time [µs since 1970 UTC]; that of receipt where the payload has none.

    Raises
    ------
    DecodingError
        ``no_time``, ``bad_time``, ``no_time_zone``, ``time_too_early`` or ``time_in_future``.
    """
    if value is None or value == "":
        if context.received_at is None:
            raise DecodingError("no_time", f"there is no {field}, and it is not known when the message was received")
        return context.received_at
    # Of what parse_time takes, dates with and without hyphens are no epochs in a string, and need not be tried as such.
    is_date = type(value) is str and (value[4:5] == "-" or value[8:9] == "T")
    ts = iso_time(value, field) if is_date else parse_time(value, field)  # type: ignore[arg-type]
    limit = context.now if context.received_at is None else context.received_at
    if not EARLIEST <= ts <= limit:  # most times need no closer look
        check_time(ts, context.received_at, context.now, field)
    return ts


def site_time(
    value: object, context: Context, meter_id: str, field: str = "ts", register: float | None = None
) -> tuple[int, bool]:
    """Return a checked measuring time [µs since 1970 UTC], and whether it was ambiguous.

    A time without a zone is one of the site's zone, where it has one. The clock remembers what it resolved in an hour
    that comes twice, so this is called once for each measurement.

    Parameters
    ----------
    value, context, field
        As in :func:`measuring_time`.
    meter_id : str
        Meter whose times come in order, or what of it they are of.
    register : float, optional
        The register [m³], where the measurement has one.

    Raises
    ------
    DecodingError
        As :func:`measuring_time`, and ``nonexistent_time``.
    """
    try:
        return measuring_time(value, context, field), False
    except DecodingError as error:
        if error.reason != "no_time_zone" or context.timezone is None:
            raise
    local = datetime.fromisoformat(str(value))  # it is a time: only its zone was missing
    ts, ambiguous = context.clock.resolve(local, context.timezone, f"{meter_id}/{context.source}", register)
    check_time(ts, context.received_at, context.now, field)
    return ts, ambiguous


def of_meter(error: DecodingError, meter_id: str) -> DecodingError:
    """Return an error that names the meter, so that what was quarantined can be found by it."""
    if error.meter_id is None:
        error.meter_id = meter_id
    return error


def check_topic(named: str | None, found: object, meter_id: str, context: Context) -> None:
    """Check that the device which a topic names, where it names one, is the one that the payload `found`.

    Raises
    ------
    DecodingError
        ``meter_id_mismatch``.
    """
    if named is None or found is None or named == found or context.aliases.get(named.lower(), named) == meter_id:
        return
    raise DecodingError(
        "meter_id_mismatch", f"the topic names {excerpt(named)}, the payload {excerpt(found)}", meter_id=meter_id
    )


def level_after(topic: str | None, word: str) -> str | None:
    """Return the level after the level `word` of a topic, None where there is none.

    Examples
    --------
    >>> level_after("v3/app@tenant/devices/dev1/up", "devices")
    'dev1'
    """
    _, found, rest = f"/{topic}".partition(f"/{word}/") if topic else ("", "", "")
    return rest.partition("/")[0] if found else None


def named_device(name: object, context: Context, levels: str = "") -> str:
    """Return the meter of a device that has a name rather than an id: an alias, else the name without spaces.

    Parameters
    ----------
    name : object
        Spaces become ``_``; whatever else no meter id may have is refused.
    context : Context
        Knows the aliases.
    levels : str
        Takes the place of ``/`` where a name may have several levels.

    Raises
    ------
    DecodingError
        ``bad_meter_id``.
    """
    if not isinstance(name, str):
        return context.meter_id(name)
    alias = context.aliases.get(name.lower()) if context.aliases else None
    if alias is not None:
        return alias
    return context.meter_id(name.replace(" ", "_").replace("/", levels or "/"))


def add_row(
    decoded: Decoded, context: Context, meter_id: str, ts: int, fields: Mapping[str, Any], extra: Mapping[str, Any], *,
    profile: str | None = None, invalid: Collection[str] = (), where: str = "", ambiguous: bool = False,
) -> Row | None:  # fmt: skip
    """Add a reading to what a message holds, or why it cannot be taken; return the reading."""
    try:
        row = build_row(
            fields, meter_id=meter_id, ts=ts, source=context.source, extra=extra, ambiguous=ambiguous, profile=profile,
            invalid=invalid,
        )  # fmt: skip
    except DecodingError as error:
        decoded.rejections.append(Rejection(error.reason, where + error.detail, meter_id))
        return None
    decoded.rows.append(row)
    return row
