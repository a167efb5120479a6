"""Raw CJ/T 188-2004/2018 frames of water meters, one or several, as terminals and NB modules pass them on.

``68 T A0..A6 C L data CS 16``, with any number of 0xFE before; layouts and what of them is standard:
``docs/payloads/cjt188.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from ingest.decoders import Context, shape
from ingest.frames.module_cipher import decrypt
from ingest.frames.wrapped_frame import Wrapped, glimpse, unwrap
from ingest.message import Decoded, Rejection, Row
from ingest.reading import build_row, check_time, meter_id_of_topic
from lake.errors import DecodingError

_PREAMBLE = b"\xfe\xff\x00"  # wake-up bytes, and what idle lines leave before them
_HEAD = 11  # bytes before the data
_AROUND = 13  # bytes that are not data
_WATER = range(0x10, 0x1A)
_FAMILIES = {0x1: "water", 0x2: "heat", 0x3: "gas", 0x4: "custom"}

_READ_ANSWER, _WRITE_ANSWER = 0x81, 0x84
_REFUSED = 0x40  # bit of an abnormal answer
_CURRENT, _VALVE = 0x901F, 0xA017
_FROZEN = (0xD3, 0xD4)  # high bytes: snapshots taken by the clock, and on command
_HIGH = frozenset({0x81, 0x90, 0xA0, 0xA1, 0xD1, 0xD2, *_FROZEN})  # of every identifier the standard has

_CUBIC_METRES = {0x29: -3, 0x2A: -2, 0x2B: -1, 0x2C: 0, 0x2D: 1, 0x2E: 2}  # unit code: power of ten
_PER_HOUR = {0x32: -3, 0x33: -2, 0x34: -1, 0x35: 0, 0x36: 1, 0x37: 2}


class Frame(NamedTuple):
    """A frame whose checksum holds.

    Parameters
    ----------
    meter_type, control : int
        T and C.
    address : str
        Digits of A6..A0.
    data : bytes
        The data, identifier and counter included.
    """

    meter_type: int
    address: str
    control: int
    data: bytes

    @property
    def identifier(self) -> int:
        """The data identifier: the editions of the standard send its bytes in either order; 0 where there is none."""
        if len(self.data) < 3:
            return 0
        high, low = self.data[0], self.data[1]
        return low << 8 | high if low in _HIGH and high not in _HIGH else high << 8 | low


def is_cjt188(payload: bytes) -> bool:
    """Tell whether a payload begins with an answer of a CJ/T 188 meter."""
    head, _ = glimpse(payload)
    head = head.lstrip(_PREAMBLE)
    if len(head) <= 10 or head[0] != 0x68 or head[1] >> 4 not in (1, 2, 3):
        return False
    wired_mbus = head[1] == head[2] and head[3] == 0x68
    return bool(head[9] & 0x80) and not wired_mbus


@shape("cjt188", recognises=is_cjt188)
class Cjt188Decoder:
    """Decodes CJ/T 188 frames."""

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return one reading a frame; see :class:`ingest.decoders.Decoder`."""
        wrapped = unwrap(payload)
        decoded = Decoded(context.topic, context.received_at)
        _decode_frames(_frames(wrapped.frame), wrapped, context, decoded)
        if not decoded.rows and {rejection.reason for rejection in decoded.rejections} <= {"not_frame"}:
            _decode_encrypted(wrapped, context, decoded)
        return decoded


def _decode_frames(
    outcomes: Iterable[Frame | DecodingError], wrapped: Wrapped, context: Context, decoded: Decoded
) -> None:
    for outcome in outcomes:
        try:
            if isinstance(outcome, DecodingError):
                raise outcome
            decoded.rows.append(_row(outcome, wrapped, context))
        except DecodingError as error:
            decoded.rejections.append(Rejection(error.reason, error.detail, error.meter_id))


def _frames(data: bytes) -> Iterator[Frame | DecodingError]:
    """Yield every frame, or what is wrong where one should be; at least one."""
    start, number = 0, 0
    while number == 0 or data[start:].strip(_PREAMBLE):
        while start < len(data) and data[start] in _PREAMBLE:
            start += 1
        number += 1
        end = start + _AROUND + (data[start + 10] if len(data) > start + 10 else 256)
        broken = _broken(data, start, end)
        if broken:
            yield DecodingError("not_frame", f"frame {number}, byte {start}: {broken}")
            return
        body = data[start : end - 2]
        if sum(body) & 0xFF != data[end - 2]:
            yield DecodingError(
                "bad_checksum",
                f"frame {number}: the sum is {sum(body) & 0xFF:#04x}, the frame says {data[end - 2]:#04x}",
            )
        else:
            yield Frame(body[1], body[8:1:-1].hex().upper(), body[9], body[_HEAD:])
        start = end


def _broken(data: bytes, start: int, end: int) -> str | None:
    if start == len(data):
        return "there is no frame"
    if data[start] != 0x68:
        return f"a frame begins with 0x68, not {data[start]:#04x}"
    if end > len(data):
        return f"cut short: {len(data) - start} bytes of a frame"
    if data[end - 1] != 0x16:
        looks = int.from_bytes(data[start + 11 : start + 13]), int.from_bytes(data[start + 11 : start + 13], "little")
        if len(data) - start - 16 in looks and data[-1] == 0x16:
            return (
                "it is built like the NB frame with two control and two length bytes; its CRC and fields are not public"
            )
        return f"a frame ends with 0x16, not {data[end - 1]:#04x}"
    return None


def _row(frame: Frame, wrapped: Wrapped, context: Context) -> Row:
    if set(frame.address) <= {"A"}:
        raise DecodingError("bad_meter_id", "the address is that of a broadcast")
    meter_id = wrapped.agree(frame.address, context)
    try:
        if frame.meter_type not in _WATER:
            kind = _FAMILIES.get(frame.meter_type >> 4, "unknown")
            raise DecodingError("not_water", f"type {frame.meter_type:#04x} ({kind}) is no water meter")
        data = _clear_data(frame, meter_id, wrapped, context)
        return _answer(frame._replace(data=data), meter_id, wrapped, context)
    except DecodingError as error:
        error.meter_id = meter_id
        raise


def _clear_data(frame: Frame, meter_id: str, wrapped: Wrapped, context: Context) -> bytes:
    """Return the data, decrypted where a module encrypts it alone; data that is laid out as it must be is clear."""
    flagged = wrapped.encrypted or meter_id in context.encrypted
    if not flagged or not frame.control & 0x80 or _length(frame.data) == len(frame.data):
        return frame.data
    data = decrypt(frame.data, wrapped.fields, context.keys.of(meter_id, frame.address))
    length = _length(data)
    if length is None or length > len(data):
        raise DecodingError("wrong_key", "what was decrypted has no data identifier: key, cipher or iv are others")
    return data[:length]  # the rest is padding


def _length(data: bytes) -> int | None:
    """Return how long data with this identifier is, None where the identifier tells nothing."""
    identifier = Frame(0, "", 0, data).identifier
    if identifier >> 8 in _FROZEN:
        return 26
    return {_CURRENT: 22, _VALVE: 5}.get(identifier)


def _answer(frame: Frame, meter_id: str, wrapped: Wrapped, context: Context) -> Row:
    if not frame.control & 0x80:
        raise DecodingError("no_value", f"control {frame.control:#04x} is a request, no answer of the meter")
    if frame.control & _REFUSED:
        raise DecodingError("no_value", f"the meter refused (control {frame.control:#04x}, data {frame.data.hex()})")
    identifier, rest = frame.identifier, frame.data[3:]
    if frame.control == _READ_ANSWER and identifier == _CURRENT:
        return _current(rest, meter_id, wrapped, context)
    if frame.control == _READ_ANSWER and identifier >> 8 in _FROZEN:
        return _frozen(rest, meter_id, wrapped, context)
    if frame.control == _WRITE_ANSWER and identifier == _VALVE and len(rest) in (1, 2):
        moment = _time(None, meter_id, None, wrapped, context)
        return _build(
            {"status": int.from_bytes(rest, "little")}, {"answer": "valve"}, meter_id, moment, wrapped, context
        )
    raise DecodingError(
        "no_value", f"control {frame.control:#04x} with data {frame.data[:8].hex()} holds no reading of a register"
    )


def _current(data: bytes, meter_id: str, wrapped: Wrapped, context: Context) -> Row:
    """Return the reading of current and settlement-day register with their units, clock and status word."""
    if len(data) != 19:
        raise DecodingError(
            "wrong_value", f"901F holds 19 bytes by the standard, not {len(data)}: a vendor's own layout"
        )
    fields: dict[str, Any] = {"status": int.from_bytes(data[17:], "little")}
    extra: dict[str, Any] = {}
    invalid = _register(data[0:5], "volume_m3", fields, extra)
    _register(data[5:10], "settlement_volume_m3", extra, extra)
    moment = _time(data[10:17], meter_id, fields.get("volume_m3"), wrapped, context, extra)
    return _build(fields, extra, meter_id, moment, wrapped, context, invalid)


def _frozen(data: bytes, meter_id: str, wrapped: Wrapped, context: Context) -> Row:
    """Return the reading of a snapshot (2018): time, register, flow; temperature and pressure have no unit."""
    if len(data) != 23:
        raise DecodingError("wrong_value", f"a snapshot holds 23 bytes, not {len(data)}: a vendor's own layout")
    local = _clock(data[:7])
    if local is None:
        raise DecodingError("bad_time", f"the snapshot's time is {data[:7].hex()}")
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {"snapshot": True, "temperature": _bcd(data[17:20]), "pressure": _bcd(data[20:23])}
    invalid = _register(data[7:12], "volume_m3", fields, extra)
    invalid += _register(data[12:17], "flow_m3h", fields, extra, decimals=4, units=_PER_HOUR)
    if context.timezone is None:
        raise DecodingError("no_time_zone", "the snapshot's time carries no zone and the site has none")
    moment = context.clock.resolve(local, context.timezone, f"{meter_id}/{context.source}/snapshot", None)
    return _build(fields, extra, meter_id, moment, wrapped, context, invalid)


def _build(
    fields: dict[str, Any],
    extra: dict[str, Any],
    meter_id: str,
    moment: tuple[int, bool],
    wrapped: Wrapped,
    context: Context,
    invalid: list[str] | None = None,
) -> Row:
    ts, ambiguous = moment
    check_time(ts, context.received_at, context.now)
    return build_row(
        wrapped.values | fields,
        meter_id=meter_id,
        ts=ts,
        source=context.source,
        extra=wrapped.extra | extra,
        ambiguous=ambiguous,
        profile="cjt188",
        invalid=invalid or (),
    )


def _register(
    data: bytes,
    name: str,
    fields: dict[str, Any],
    extra: dict[str, Any],
    decimals: int = 2,
    units: dict[int, int] = _CUBIC_METRES,
) -> list[str]:
    """Put a number with its unit code into `fields`; return its name where no digits stand there.

    Raises
    ------
    DecodingError
        ``wrong_value``: the unit is none of a water meter, so the layout is another one.
    """
    digits, unit = _bcd(data[:4]), data[4]
    if digits is None and (unit in units or unit == 0xFF):
        extra[f"{name}_raw"] = data.hex().upper()
        return [name]
    if digits is None or unit not in units:
        raise DecodingError("wrong_value", f"the unit code of {name} is {unit:#04x}")
    exponent = units[unit] - decimals
    fields[name] = digits * 10**exponent if exponent >= 0 else digits / 10**-exponent
    return []


def _bcd(data: bytes) -> int | None:
    """Return the number of BCD bytes, the lowest first; None where one is no digit."""
    text = data[::-1].hex()
    return int(text) if text.isdecimal() else None


def _clock(data: bytes) -> datetime | None:
    """Return the meter's local time from seconds, minutes, hours, day, month, year, century; None where it has none."""
    text = data[::-1].hex()
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S") if text.isdecimal() else None  # noqa: DTZ007 - the meter's zone
    except ValueError:
        return None


def _time(
    clock: bytes | None,
    meter_id: str,
    register: float | None,
    wrapped: Wrapped,
    context: Context,
    extra: dict[str, Any] | None = None,
) -> tuple[int, bool]:
    """Return when it was measured, and whether that is ambiguous.

    It is the wrapper's time, else that of the meter's clock, else that of receipt.

    A clock that is not used is kept in `extra`.
    """
    ts = wrapped.time(context)
    local = None if clock is None else _clock(clock)
    if ts is None and local is not None and context.timezone is not None:
        return context.clock.resolve(local, context.timezone, f"{meter_id}/{context.source}", register)
    if clock is not None and extra is not None and any(clock):
        extra["meter_clock"] = clock.hex().upper() if local is None else local.isoformat()
    if ts is None:
        ts = context.received_at
    if ts is None:
        raise DecodingError("no_time", "neither the meter's clock nor the wrapper nor the envelope tells the time")
    return ts, False


def _decode_encrypted(wrapped: Wrapped, context: Context, decoded: Decoded) -> None:
    """Decode frames that a module encrypted as a whole, where wrapper or registry say so."""
    device = wrapped.fields.get("meter_id") or meter_id_of_topic(context.topic)
    meter_id = None if device is None else context.meter_id(device)
    if not wrapped.encrypted and (meter_id is None or meter_id not in context.encrypted):
        return
    try:
        clear = decrypt(wrapped.frame, wrapped.fields, context.keys.of(meter_id, device))
        frames = [outcome for outcome in _frames(clear) if isinstance(outcome, Frame)]
        if not frames:
            raise DecodingError("wrong_key", "what was decrypted is no frame: key, cipher or iv are others")
    except DecodingError as error:
        error.meter_id = meter_id
        raise
    decoded.rejections.clear()
    _decode_frames(frames, Wrapped(b"", {**wrapped.fields, "encrypted": False}), context, decoded)
