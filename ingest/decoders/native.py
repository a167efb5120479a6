"""The native JSON of the contract: one reading, an array of them, or readings with a ``profile``.

There are two ways through: :class:`NativeDecoder` looks at every field by itself and says what is wrong with it;
:class:`SoundReadings` checks a whole payload in one typed pass, several times as fast, and leaves everything that is
not entirely in order, or not of the common form, to the first. Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import le
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ingest.decoders import Context
from ingest.excerpt import excerpt
from ingest.local_time import DAY, EARLIEST, parse_time
from ingest.message import ROW_COLUMNS, TS, Decoded, RawRow, Rejection, Row
from ingest.reading import (
    INT64,
    LARGEST,
    LONGEST_TEXT,
    WORDS,
    agree_on_meter,
    build_row,
    check_meter_id,
    check_text,
    check_time,
    meter_id_of_topic,
)
from lake.errors import DecodingError
from lake.vocabulary import MEASURES

_KNOWN = frozenset(
    {"meter_id", "ts", "source", "seq", *MEASURES, "status", "error_codes", "firmware", "valid", "profile"}
)
_LONGEST_PROFILE = 100_000
_LONGEST_STEP_S = 31 * 86400


class NativeDecoder:
    """Decodes the native shape."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder()

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of a native payload; see :class:`ingest.decoders.Decoder`."""
        try:
            document = self._json.decode(payload)
        except msgspec.ValidationError as error:  # JSON, but with a number that no float holds
            raise DecodingError("not_finite", f"{error}; begins with {excerpt(payload)}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodingError("not_json", f"{error}; begins with {excerpt(payload)}") from None
        except RecursionError:
            raise DecodingError("too_deep", "the JSON is nested too deeply") from None
        decoded = Decoded(context.topic, context.received_at)
        items = document if isinstance(document, list) else [document]
        if not items:
            raise DecodingError("no_value", "the array is empty")
        for index, item in enumerate(items):
            where = f"reading {index}: " if isinstance(document, list) else ""
            _decode_item(item, where, context, decoded)
        return decoded


def _decode_item(item: object, where: str, context: Context, decoded: Decoded) -> None:
    meter_id: str | None = None
    try:
        if not isinstance(item, dict):
            raise DecodingError("wrong_type", f"a reading must be an object, not {excerpt(item)}")
        meter_id = agree_on_meter(item.get("meter_id"), context.topic)
        source = check_text("source", item.get("source")) or context.source
        read = _decode_reading(item, meter_id, source, context, decoded)
    except DecodingError as error:
        decoded.rejections.append(Rejection(error.reason, where + error.detail, meter_id))
        return
    outcomes = list(_profile_rows(item, meter_id, source, context))
    if not outcomes and not read:
        outcomes = [Rejection("no_value", "the profile is empty")]
    for outcome in outcomes:
        if isinstance(outcome, Rejection):
            decoded.rejections.append(Rejection(outcome.reason, where + outcome.detail, meter_id))
        else:
            decoded.rows.append(outcome)


def _decode_reading(item: dict[str, Any], meter_id: str, source: str, context: Context, decoded: Decoded) -> bool:
    """Decode what stands beside a profile; return whether there was anything."""
    if item.get("ts") is None:
        raise DecodingError("no_time", "the reading has no ts")
    ts = parse_time(item["ts"])
    check_time(ts, context.received_at, context.now)
    extra = {key: value for key, value in item.items() if key not in _KNOWN}
    try:
        decoded.rows.append(build_row(item, meter_id=meter_id, ts=ts, source=source, extra=extra))
    except DecodingError as error:
        # A message that holds nothing but a profile is no reading of its own.
        if error.reason != "no_value" or item.get("profile") is None:
            raise
        return False
    return True


def _profile_rows(item: Mapping[str, Any], meter_id: str, source: str, context: Context) -> Iterator[Row | Rejection]:
    profile = item.get("profile")
    if profile is None:
        return
    try:
        start, step, registers = _check_profile(profile)
    except DecodingError as error:
        yield Rejection(error.reason, error.detail)
        return
    for index, register in enumerate(registers, start=1):
        if register is None:
            continue
        ts = start + index * step
        try:
            check_time(ts, context.received_at, context.now)
            fields = {"volume_m3": register, "valid": item.get("valid"), "firmware": item.get("firmware")}
            yield build_row(fields, meter_id=meter_id, ts=ts, source=source, extra={})
        except DecodingError as error:
            yield Rejection(error.reason, f"profile.volume_m3[{index - 1}]: {error.detail}")


def _check_profile(profile: object) -> tuple[int, int, list[object]]:
    """Return start [µs], step [µs] and registers [m³] of a profile."""
    if not isinstance(profile, dict):
        raise DecodingError("wrong_type", f"profile must be an object, not {excerpt(profile)}")
    step, registers = profile.get("step_s"), profile.get("volume_m3")
    if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= _LONGEST_STEP_S:
        raise DecodingError("wrong_value", f"profile.step_s must be 1 to 2678400 whole seconds, not {excerpt(step)}")
    if not isinstance(registers, list) or len(registers) > _LONGEST_PROFILE:
        raise DecodingError("wrong_type", f"profile.volume_m3 must be a list of at most {_LONGEST_PROFILE} numbers")
    if profile.get("start") is None:
        raise DecodingError("no_time", "profile.start is missing")
    return parse_time(profile["start"], "profile.start"), step * 1_000_000, registers


_Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)] | None
_Integer = Annotated[int, Meta(ge=-INT64, le=INT64 - 1)] | None
_Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
_Time = int | float | str


class _Profile(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    start: _Time
    step_s: Annotated[int, Meta(ge=1, le=_LONGEST_STEP_S)]
    volume_m3: Annotated[list[_Number], Meta(max_length=_LONGEST_PROFILE)]


def _type_of(name: str) -> Any:
    if name in WORDS:
        return Literal[tuple(sorted(WORDS[name]))] | None
    special = {"meter_id": str | None, "ts": _Time, "error_codes": list[_Text] | None, "valid": bool | None}
    of_type = {"float64": _Number, "int64": _Integer}
    dtype = MEASURES[name].dtype if name in MEASURES else "int64" if name in {"seq", "status"} else "string"
    return special.get(name) or of_type.get(dtype, _Text | None)


# The columns of a row that a payload can fill, in their order; the others follow them.
_FILLED = tuple(name for name in ROW_COLUMNS if name in _KNOWN)
_HEAD = ("meter_id", "ts", "source", "seq", "volume_m3")
_SOURCE = ROW_COLUMNS.index("source")
_REST = (None,) * (len(ROW_COLUMNS) - len(_FILLED) - 1) + (False,)
if ROW_COLUMNS[: len(_FILLED)] != _FILLED or ROW_COLUMNS[-1] != "ambiguous" or _FILLED[:5] != _HEAD:
    raise AssertionError("rows are put together by place: the columns of the table have changed their order")

# Required fields must come first in a struct, so `ts` has a default too: None fails as a time.
_Reading: Any = msgspec.defstruct(
    "_Reading",
    [*((name, _type_of(name), None) for name in _FILLED), ("profile", _Profile | None, None)],
    forbid_unknown_fields=True,
    gc=False,
)
_METER = ROW_COLUMNS.index("meter_id")
_CODES = ROW_COLUMNS.index("error_codes")
_FIRST_VALUE = ROW_COLUMNS.index("volume_m3")
_AFTER_VALUES = ROW_COLUMNS.index("error_codes") + 1
_NO_VALUES = (None,) * (_AFTER_VALUES - _FIRST_VALUE)
_OF_PROFILE = frozenset({"firmware", "valid"})  # what holds for all readings of a message
_MOST_TOPICS = 50_000


class SoundReadings:
    """Reads payloads that hold one reading, perhaps with a profile, of known fields that are all in order.

    Parameters
    ----------
    largest : int
        A longer payload is left to others [B].
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._decode = msgspec.json.Decoder(_Reading).decode
        self._meters: dict[str, str | None] = {}

    def rows(self, payload: bytes, topic: str, source: str, received_at: int | None) -> list[Row] | None:
        """Return the rows of a payload, or None where :class:`NativeDecoder` must look at it.

        Parameters
        ----------
        payload : bytes
            The message.
        topic : str
            Its MQTT topic.
        source : str
            Configured source name.
        received_at : int
            When it reached us [µs since 1970 UTC].
        """
        meter_id = self._meter_of(topic)
        if meter_id is None or received_at is None or len(payload) > self._largest:
            return None
        try:
            reading = self._decode(payload)
            ts = parse_time(reading.ts)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DecodingError):
            return None
        latest = received_at + DAY
        if not _agree(reading.meter_id, meter_id) or not EARLIEST <= ts <= latest:
            return None
        if reading.error_codes is not None:
            reading.error_codes = [code for code in reading.error_codes if code] or None
        values = msgspec.structs.astuple(reading)
        row = (meter_id, ts, values[_SOURCE] or source, *values[_SOURCE + 1 : -1], *_REST)
        profile = reading.profile
        if profile is None and row[_FIRST_VALUE] is not None:
            return [row]
        rows = [] if row[_FIRST_VALUE:_AFTER_VALUES] == _NO_VALUES else [row]
        if profile is not None and not _add_profile(rows, row, profile, latest):
            return None
        return rows or None

    def columns(self, messages: Sequence[RawRow], source: str) -> list[Sequence[Any]] | None:
        """Return the readings of messages that hold one each, column by column in the order of a row.

        Parameters
        ----------
        messages : sequence of (topic, received_at, payload)
            As they came in.
        source : str
            Configured source name.

        Returns
        -------
        list of sequence or None
            None where one of the messages is not entirely in order or holds a profile; :meth:`rows` tells which.
        """
        topics, received, payloads = zip(*messages, strict=True)
        if None in received or max(map(len, payloads)) > self._largest:
            return None
        try:
            readings = list(map(self._decode, payloads))
            columns: list[Sequence[Any]] = list(zip(*map(msgspec.structs.astuple, readings), strict=True))
            times = list(map(parse_time, columns[TS]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DecodingError):
            return None
        count = len(readings)
        meters = list(map(self._meters.get, topics))
        if None in meters:
            meters = list(map(self._meter_of, topics))
        named = columns[_METER]
        agree = named.count(None) == count or list(named) == meters or all(map(_agree, named, meters))
        in_time = min(times) >= EARLIEST and (
            max(times) <= min(received) + DAY or all(map(le, times, map(DAY.__add__, received)))
        )
        if None in meters or not agree or not in_time:
            return None
        if columns.pop().count(None) < count or columns[_CODES].count(None) < count:
            return None  # profiles and codes need a closer look
        if None in columns[_FIRST_VALUE] and _NO_VALUES in zip(*columns[_FIRST_VALUE:_AFTER_VALUES], strict=True):
            return None
        columns[_METER], columns[TS] = meters, times
        columns[_SOURCE] = [own or source for own in columns[_SOURCE]]
        return columns + [(value,) * count for value in _REST]

    def _meter_of(self, topic: str) -> str | None:
        """Return the meter that a topic names, None where it names none; remember it."""
        if topic in self._meters:
            return self._meters[topic]
        try:
            meter_id = check_meter_id(meter_id_of_topic(topic))
        except DecodingError:
            meter_id = None
        if len(self._meters) >= _MOST_TOPICS:
            self._meters.clear()
        self._meters[topic] = meter_id
        return meter_id


def _agree(named: str | None, meter_id: str | None) -> bool:
    return named is None or named == meter_id


def _add_profile(rows: list[Row], row: Row, profile: _Profile, latest: int) -> bool:
    """Add the rows of a profile to the `row` that carries it; return whether all of its times are plausible."""
    try:
        start, step = parse_time(profile.start, "profile.start"), profile.step_s * 1_000_000
    except DecodingError:
        return False
    registers = profile.volume_m3
    if start + step < EARLIEST or start + len(registers) * step > latest:
        return False
    meter_id, source = row[0], row[_SOURCE]
    rest = tuple(value if name in _OF_PROFILE else None for name, value in zip(ROW_COLUMNS, row, strict=True))
    rest = (*rest[_FIRST_VALUE + 1 : -1], False)
    rows.extend(
        (meter_id, ts, source, None, register, *rest)
        for ts, register in zip(range(start + step, start + (len(registers) + 1) * step, step), registers, strict=True)
        if register is not None
    )
    return True
