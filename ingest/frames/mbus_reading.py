"""From an M-Bus frame in clear to a reading: which record is which field, and what becomes of the rest."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from ingest.decoders import Context
from ingest.frames.mbus_link import WATER, LinkFrame
from ingest.frames.mbus_records import RawRecord, Record, cut, read, remember, unfold, words
from ingest.frames.mbus_security import Clear, address_of, clear
from ingest.frames.wrapped_frame import Wrapped
from ingest.message import Row
from ingest.reading import INT64, build_row, check_time
from lake.errors import DecodingError

_FORWARD, _BACKWARD = "Accumulation only if value is positive", "Accumulation only if value is negative"
_FIELDS = {
    (("Volume",), "m3"): ("volume_m3", 1.0),
    (("Volume", _FORWARD), "m3"): ("volume_m3", 1.0),
    (("Volume", _BACKWARD), "m3"): ("reverse_volume_m3", 1.0),
    (("Volume flow",), "m3.h-1"): ("flow_m3h", 1.0),
    (("Volume flow",), "m3.min-1"): ("flow_m3h", 60.0),
    (("Volume flow",), "m3.s-1"): ("flow_m3h", 3600.0),
    (("Flow temperature",), "Cel"): ("water_temperature_c", 1.0),
    (("External temperature",), "Cel"): ("ambient_temperature_c", 1.0),
    (("Voltage",), "V"): ("battery_v", 1.0),  # a water meter has no other
    (("Error flags",), ""): ("status", 1.0),
}
_CLOCK = ("Time point (date and time)",)
_UNITS = {"m3": "m3", "m3.h-1": "m3h", "Cel": "c", "V": "v", "K": "k", "s": "s", "min": "min", "h": "h", "d": "d"}
_UNNAMED = {"Remaining battery life time": "remaining_battery_days"}  # the library has no unit for it
# Kamstrup's own word of information codes, by header: the vendor profile that reads it.
_INFO_CODES = {bytes.fromhex("02FF20"): "kamstrup_16bit", bytes.fromhex("04FF23"): "kamstrup"}
_KAMSTRUP = ("KAM", "KAW")
_STATUS_BITS = (
    (0x04, "POWER_LOW"),
    (0x08, "PERMANENT_ERROR"),
    (0x10, "TEMPORARY_ERROR"),
    (0x20, "MANUFACTURER_1"),
    (0x40, "MANUFACTURER_2"),
    (0x80, "MANUFACTURER_3"),
)
_APPLICATION = {1: "BUSY", 2: "ERROR", 3: "ALARM"}  # bits 1 and 0 of the status byte are a number


def mbus_row(frame: LinkFrame, wrapped: Wrapped, context: Context) -> Row:
    """Return the reading of a frame.

    Raises
    ------
    DecodingError
        It cannot be read, or is no water meter's; with the meter where that could be told.
    """
    address = address_of(frame)
    meter_id = wrapped.agree(address.device_id, context)
    try:
        if address.device_type not in WATER:
            raise DecodingError("not_water", f"device type {address.device_type:#04x} is no water meter")
        found = clear(frame, context.keys.of(meter_id, address.device_id))
        return _row(found, meter_id, wrapped, context)
    except DecodingError as error:
        error.meter_id = meter_id
        raise


def _row(found: Clear, meter_id: str, wrapped: Wrapped, context: Context) -> Row:
    formats = context.memory.setdefault("formats", {})
    own = b""
    if found.compact:
        records = unfold(found.content, formats)
    else:
        records, own = cut(found.content)
        if found.status is None:  # frames without header are those that have compact ones beside them
            remember(records, formats)
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {
        "manufacturer": found.address.manufacturer,
        "version": found.address.version,
        "device_type": WATER[found.address.device_type],
    }
    invalid: set[str] = set()
    for record in read(records):
        _take(record, found, fields, extra, invalid)
    if own:
        extra["manufacturer_data"] = own.hex()
    info = next((profile for record in records if (profile := _info_profile(record, found))), None)
    profile = _status(found.status, fields, extra) or info
    ts, ambiguous = _time(meter_id, fields, extra, wrapped, context)
    check_time(ts, context.received_at, context.now)
    return build_row(
        wrapped.values | fields,
        meter_id=meter_id,
        ts=ts,
        source=context.source,
        extra=wrapped.extra | extra,
        ambiguous=ambiguous,
        profile=profile,
        invalid=invalid,
    )


def _take(
    record: Record | RawRecord, found: Clear, fields: dict[str, Any], extra: dict[str, Any], invalid: set[str]
) -> None:
    """Put one record where it belongs."""
    if isinstance(record, RawRecord):
        extra.setdefault("unread_records", []).append((record.header + record.data).hex())
        return
    name, factor = _FIELDS.get((record.quantities, record.unit), ("", 1.0))
    if _info_profile(record.raw, found) is not None:
        name = "status"
    if name and record.current and name not in fields and name not in invalid:
        value = _flags(record) if name == "status" else record.value
        if record.function != "error" and isinstance(value, int | float):
            fields[name] = value if name == "status" else value * factor
            return
        if name != "status" and record.raw.data:
            invalid.add(name)
    if record.value is not None:
        key = _free(_name(record), fields, extra)
        extra[key] = record.value.isoformat() if isinstance(record.value, date) else record.value


def _info_profile(record: RawRecord, found: Clear) -> str | None:
    return _INFO_CODES.get(record.header) if found.address.manufacturer in _KAMSTRUP else None


def _flags(record: Record) -> int | None:
    """Return flags as the number without sign that they are; None where it would not fit a status."""
    number = int.from_bytes(record.raw.data, "little")
    return number if number < INT64 else None


def _name(record: Record) -> str:
    """Return the name of a record among the extra fields: what, unit, function, storage, tariff, subunit."""
    unnamed = _UNNAMED.get(record.quantities[0]) if record.quantities else None
    parts = [unnamed or "_".join(map(words, record.quantities)) or "record"]
    if record.unit:
        parts.append(_UNITS.get(record.unit) or words(record.unit))
    if record.function != "value":
        parts.append(words(record.function))
    for word, number in (("storage", record.storage), ("tariff", record.tariff), ("subunit", record.subunit)):
        if number:
            parts.append(f"{word}_{number}")
    return "_".join(parts)


def _free(name: str, fields: dict[str, Any], extra: dict[str, Any]) -> str:
    """Return `name`, with a number where a record of that name came before."""
    number, free = 1, name
    while free in extra or free in fields:
        number += 1
        free = f"{name}_{number}"
    return free


def _status(status: int | None, fields: dict[str, Any], extra: dict[str, Any]) -> str | None:
    """Put the status byte where it belongs; return the vendor profile that reads ``status``.

    The meter's own error flags are ``status`` where it sends them; they are the vendor's, and the byte's bits are told
    as codes. Else the byte is ``status``, which the profile ``en13757`` reads.
    """
    if status is None:
        return None
    if "status" not in fields:
        fields["status"] = status
        return "en13757"
    extra["status_byte"] = status
    codes = [_APPLICATION[status & 3]] if status & 3 else []
    codes += [word for bit, word in _STATUS_BITS if status & bit]
    if codes:
        fields["error_codes"] = codes
    return None


def _time(
    meter_id: str, fields: dict[str, Any], extra: dict[str, Any], wrapped: Wrapped, context: Context
) -> tuple[int, bool]:
    """Return when it was measured, and whether that is ambiguous.

    It is the wrapper's time, else that of receipt, else that of the meter's clock: the clock is local and shows
    minutes, and a reading comes as it is measured.
    """
    ts = wrapped.time(context)
    ts = context.received_at if ts is None else ts
    if ts is not None:
        return ts, False
    clock = extra.get(words(_CLOCK[0]))
    if isinstance(clock, str) and context.timezone is not None:
        local = datetime.fromisoformat(clock)
        return context.clock.resolve(local, context.timezone, f"{meter_id}/{context.source}", fields.get("volume_m3"))
    raise DecodingError("no_time", "neither wrapper nor envelope nor the meter's clock tells the time")
