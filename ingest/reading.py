"""From untrusted fields to a reading: the checks that every decoder shares."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from ingest.excerpt import excerpt
from ingest.local_time import DAY, EARLIEST, moment
from ingest.message import ROW_COLUMNS, Row
from lake.errors import DecodingError
from lake.vocabulary import MEASURES, VALVE_COMMANDS, VALVE_REFUSALS, VALVE_STATES

LARGEST = 1e12  # beyond it a number is no measurement but an accident
LEAST = -LARGEST
LONGEST_TEXT = 256
DEEPEST = 32  # no payload shape is nested deeper

_METER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
WORDS = {
    "valve_state": frozenset(VALVE_STATES),
    "valve_command": frozenset(VALVE_COMMANDS),
    "valve_refusal": frozenset(VALVE_REFUSALS),
}
INT64 = 2**63  # one more than the largest


def check_meter_id(value: object) -> str:
    """Return `value` if it is a meter id.

    Raises
    ------
    DecodingError
        ``bad_meter_id``.
    """
    if not isinstance(value, str) or not _METER_ID.fullmatch(value):
        raise DecodingError(
            "bad_meter_id",
            f"{excerpt(value)} is no meter id: 1 to 64 of A-Z a-z 0-9 . _ : -, the first alphanumeric",
        )
    return value


def meter_id_of_topic(topic: str | None) -> str | None:
    """Return the level before ``/readings`` of an MQTT topic, None where there is none.

    Examples
    --------
    >>> meter_id_of_topic("city/meters/4711/readings")
    '4711'
    """
    if topic is None or not topic.endswith("/readings"):
        return None
    return topic[: -len("/readings")].rsplit("/", 1)[-1] or None


def agree_on_meter(payload_id: object, topic: str | None, aliases: Mapping[str, str] | None = None) -> str:
    """Return the meter that payload and topic name, each perhaps by one of its `aliases` (in lower case).

    Raises
    ------
    DecodingError
        ``no_meter_id``, ``bad_meter_id`` or ``meter_id_mismatch``.
    """
    topic_id = meter_id_of_topic(topic)
    if payload_id is None:
        if topic_id is None:
            raise DecodingError("no_meter_id", "neither meter_id nor the topic names a meter")
        return _resolved(check_meter_id(topic_id), aliases)
    named = check_meter_id(payload_id)
    meter_id = _resolved(named, aliases)
    if topic_id is not None and topic_id != named and _resolved(topic_id, aliases) != meter_id:
        raise DecodingError("meter_id_mismatch", f"the topic names {excerpt(topic_id)}, the payload {named!r}")
    return meter_id


def _resolved(meter_id: str, aliases: Mapping[str, str] | None) -> str:
    return aliases.get(meter_id.lower(), meter_id) if aliases else meter_id


def check_time(ts: int, received_at: int | None, now: int, field: str = "ts") -> None:
    """Check that a time is plausible; all in microseconds since 1970 UTC.

    Parameters
    ----------
    ts : int
        The time.
    received_at : int or None
        When the message reached us; None: not before `now`.
    now : int
        The clock.
    field : str
        Name for the error message.

    Raises
    ------
    DecodingError
        ``time_too_early`` or ``time_in_future``.
    """
    if ts < EARLIEST:
        raise DecodingError("time_too_early", f"{field} {_readable(ts)} lies before the year 2000")
    limit = now if received_at is None else received_at
    if ts > limit + DAY:
        raise DecodingError(
            "time_in_future", f"{field} {_readable(ts)} lies more than 24 h after it was received ({_readable(limit)})"
        )


def _readable(value: int) -> str:
    try:
        return moment(value).isoformat()
    except OverflowError:
        return f"{value} µs"


def check_number(field: str, value: object) -> float | None:
    """Return a measured number.

    Raises
    ------
    DecodingError
        ``wrong_type`` or ``not_finite``.
    """
    kind = type(value)
    if (kind is float or kind is int) and LEAST <= value <= LARGEST:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DecodingError("wrong_type", f"{field} must be a number, not {excerpt(value)}")
    if not LEAST <= value <= LARGEST:  # also false for NaN
        raise DecodingError("not_finite", f"{field} is {excerpt(value)}: not finite, or beyond 1e12")
    return float(value)


def check_integer(field: str, value: object) -> int | None:
    """Return a whole number that fits 64 bits.

    Raises
    ------
    DecodingError
        ``wrong_type`` or ``not_finite``.
    """
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DecodingError("wrong_type", f"{field} must be a whole number, not {excerpt(value)}")
    if not -INT64 <= value < INT64:
        raise DecodingError("not_finite", f"{field} does not fit 64 bits: {excerpt(value)}")
    return value


def check_text(field: str, value: object) -> str | None:
    """Return a short text, one of the field's words where it has a list.

    Raises
    ------
    DecodingError
        ``wrong_type`` or ``wrong_value``.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise DecodingError("wrong_type", f"{field} must be a string, not {excerpt(value)}")
    words = WORDS.get(field)
    if words is not None and value not in words:
        raise DecodingError("wrong_value", f"{field} is {excerpt(value)}; allowed are {', '.join(sorted(words))}")
    if len(value) > LONGEST_TEXT:
        raise DecodingError("wrong_value", f"{field} is longer than {LONGEST_TEXT} characters: {excerpt(value)}")
    return value


def check_codes(_field: str, value: object) -> list[str] | None:
    """Return a list of error codes, None for an empty one.

    Raises
    ------
    DecodingError
        ``wrong_type`` or ``wrong_value``.
    """
    if value is None:
        return None
    if not isinstance(value, list):
        raise DecodingError("wrong_type", f"error_codes must be a list of strings, not {excerpt(value)}")
    return [code for item in value if (code := _code(item))] or None


def _code(item: object) -> str | None:
    if not isinstance(item, str):
        raise DecodingError("wrong_type", f"error_codes must hold strings, not {excerpt(item)}")
    return check_text("error_codes", item)


def check_bool(field: str, value: object) -> bool | None:
    """Return a truth value.

    Raises
    ------
    DecodingError
        ``wrong_type``.
    """
    if value is None or isinstance(value, bool):
        return value
    raise DecodingError("wrong_type", f"{field} must be true or false, not {excerpt(value)}")


# Where each field of a reading stands in a row, and how it is checked.
_OF_TYPE: dict[str, Callable[[str, object], object]] = {
    "float64": check_number,
    "int64": check_integer,
    "string": check_text,
}
CHECKS: dict[str, tuple[int, Callable[[str, object], object]]] = {
    name: (ROW_COLUMNS.index(name), check)
    for name, check in {
        **{name: _OF_TYPE[column.dtype] for name, column in MEASURES.items()},
        "seq": check_integer,
        "status": check_integer,
        "error_codes": check_codes,
        "firmware": check_text,
        "valid": check_bool,
    }.items()
}
_METER, _TS, _SOURCE, _INVALID, _EXTRA, _AMBIGUOUS, _PROFILE, _FIXED = map(
    ROW_COLUMNS.index,
    ("meter_id", "ts", "source", "invalid_fields", "extra", "ambiguous", "profile", "profile_fixed"),
)
PLACES = {name: place for place, name in enumerate(ROW_COLUMNS)}
_EMPTY = [None] * len(ROW_COLUMNS)
BLANK = tuple(False if name in {"ambiguous", "profile_fixed"} else None for name in ROW_COLUMNS[3:])
VALUES = slice(ROW_COLUMNS.index("volume_m3"), ROW_COLUMNS.index("error_codes") + 1)
NO_VALUES = _EMPTY[VALUES]
if {*ROW_COLUMNS[VALUES]} != {*MEASURES, "status", "error_codes"}:
    raise AssertionError("values are looked for by place: the columns of the table have changed their order")
if ROW_COLUMNS[:3] != ("meter_id", "ts", "source"):
    raise AssertionError("rows begin with meter, time and source: the columns of the table have changed their order")
_EXTRA_ENCODER = msgspec.json.Encoder(order="sorted")


def build_row(
    fields: Mapping[str, Any],
    *,
    meter_id: str,
    ts: int,
    source: str,
    extra: Mapping[str, Any],
    ambiguous: bool = False,
    profile: str | None = None,
    invalid: Collection[str] = (),
) -> Row:
    """Return a checked reading in the order of :data:`ingest.message.ROW_COLUMNS`.

    Parameters
    ----------
    fields : mapping
        Values by vocabulary name, in vocabulary units, unchecked; other names are passed over.
    meter_id, ts, source
        Already checked; `ts` in microseconds since 1970 UTC.
    extra : mapping
        Unknown fields to keep.
    ambiguous : bool
        Whether `ts` was resolved in a repeated hour.
    profile : str, optional
        Vendor profile by which the meter's codes are read where neither settings nor registry say another one.
    invalid : collection of str
        Fields that the payload itself says hold no measurement.

    Raises
    ------
    DecodingError
        A value does not fit, or there is none.
    """
    row: list[Any] = _EMPTY.copy()
    for name, value in fields.items():
        if value is not None and name in CHECKS:
            place, check = CHECKS[name]
            kind = type(value)  # what most values are needs no call
            if check is check_number and (kind is float or kind is int) and LEAST <= value <= LARGEST:
                row[place] = float(value)
            else:
                row[place] = check(name, value)
    if row[VALUES] == NO_VALUES:
        raise DecodingError("no_value", "the reading has neither a value nor a status nor a code")
    row[_METER], row[_TS], row[_SOURCE], row[_AMBIGUOUS] = meter_id, ts, source, ambiguous
    row[_PROFILE], row[_FIXED] = profile, False
    if invalid:
        row[_INVALID] = sorted(invalid)
    if extra:
        row[_EXTRA] = encode_extra(extra)
    return tuple(row)


def end_row(row: list[Any], extra: Mapping[str, Any], profile: str | None = None) -> Row | None:
    """Return a row with the unknown fields to keep and its vendor profile, None where they cannot be kept."""
    row[_PROFILE] = profile
    if extra:
        try:
            row[_EXTRA] = encode_extra(extra)
        except DecodingError:
            return None
    return tuple(row)


def encode_extra(extra: Mapping[str, Any]) -> str:
    """Return unknown fields as JSON text with sorted keys.

    Raises
    ------
    DecodingError
        ``too_deep``.
    """
    try:
        encoded = _EXTRA_ENCODER.encode(extra)
    except RecursionError:
        raise DecodingError("too_deep", _TOO_DEEP) from None
    if encoded.find(b"[") > 0 or encoded.rfind(b"{") > 0:  # most hold nothing nested
        for value in extra.values():
            if isinstance(value, _NESTED):
                _check_depth(value, 1)
    return encoded.decode()


_NESTED = (dict, list)
_TOO_DEEP = f"unknown fields are nested deeper than {DEEPEST}"


def _check_depth(value: dict[str, Any] | list[Any], depth: int) -> None:
    if depth > DEEPEST:
        raise DecodingError("too_deep", _TOO_DEEP)
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, _NESTED):
            _check_depth(inner, depth + 1)
