"""Data points of Tuya water meters (https://developer.tuya.com/en/docs/iot/smart_water_meter?id=Kbd65zka4pe7f).

As the cloud's message service tells them (``status``), as a gateway does by MQTT (``data``), or as a plain object.
Volumes are thousandths of a cubic metre. ``water_flow`` has that unit too, and no one says since when it counts, so it
is kept and not taken for a register; the first and last reading of a day are registers with times of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.field_reader import VALVE_WORDS
from ingest.decoders.json_payload import (
    add_row,
    check_topic,
    fields_of,
    level_after,
    measuring_time,
    named_device,
    number,
    of_meter,
    read_json,
    scaled,
)
from ingest.excerpt import excerpt
from ingest.message import Decoded, Rejection
from lake.errors import DecodingError

_DEVICE = ("devId", "dev_id", "deviceId", "device_id", "id")
_POINTS = frozenset(
    {"water_flow", "monthly_water_total", "daily_water_total", "switch_state", "valve_state", "auto_clean",
     "d_begin_water_total", "d_end_water_total", "d_begin_time", "d_end_time",
     "m_begin_water_total", "m_end_water_total", "m_begin_time", "m_end_time"}
)  # fmt: skip
# Registers with the time at which they were read.
_REGISTERS = {f"{kind}_water_total": f"{kind}_time" for kind in ("d_begin", "d_end", "m_begin", "m_end")}
_TIMED = frozenset(_REGISTERS)
_ENVELOPE = frozenset({*_DEVICE, "t", "time", "ts", "msgId", "productKey", "dataId", "bizCode", "bizData"})


def _recognises(payload: bytes) -> bool:
    fields = fields_of(payload)
    if "devId" in fields and "status" in fields:
        return True
    return len(fields.keys() & _POINTS) > 1 or ({"msgId", "data"} <= fields.keys() and "time" in fields)


@shape("tuya", topics=("tylink/+/thing/property/report",), recognises=_recognises)
class TuyaDecoder:
    """Decodes data points."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder(dict[str, Any])

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of a message; see :class:`ingest.decoders.Decoder`."""
        document = read_json(self._json, payload)
        meter_id = _meter(document, context)
        decoded = Decoded(context.topic, context.received_at)
        default = _first(document, ("t", "time", "ts"))
        # Points of one message are one reading at the newest of their times, unless one comes again.
        readings: list[tuple[list[int], dict[str, Any]]] = []
        last: int | None = None
        ts = 0
        try:
            for code, value, time in _points(document):
                known = default if time is None else time
                if type(known) is not int or known != last:  # most points have the time of the one before
                    ts = measuring_time(known, context, "t")
                    last = known if type(known) is int else None
                if not readings or code in readings[-1][1]:
                    readings.append(([], {}))
                readings[-1][0].append(ts)
                readings[-1][1][code] = value
        except DecodingError as error:
            raise of_meter(error, meter_id) from None
        if not readings:
            raise DecodingError("no_value", "there are no data points", meter_id=meter_id)
        for times, points in readings:
            _add(points, max(times), meter_id, context, decoded)
        return decoded


def _first(document: Mapping[str, Any], names: tuple[str, ...]) -> object:
    for name in names:
        if document.get(name) is not None:
            return document[name]
    return None


def _meter(document: Mapping[str, Any], context: Context) -> str:
    """Return the meter that payload and topic name."""
    found = _first(document, _DEVICE)
    named = level_after(context.topic, "tylink")
    if found is None and named is None:
        raise DecodingError("no_meter_id", f"neither the topic nor one of {', '.join(_DEVICE)} names a device")
    meter_id = named_device(named if found is None else found, context)
    check_topic(named, found, meter_id, context)
    return meter_id


def _points(document: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield code, value and time of the data points."""
    status, data = document.get("status"), document.get("data")
    if isinstance(status, list):
        for item in status:
            if not isinstance(item, dict) or not isinstance(item.get("code"), str):
                raise DecodingError("wrong_type", f"a data point must be an object with a code, not {excerpt(item)}")
            yield item["code"], item.get("value"), item.get("t")
    elif isinstance(data, dict):
        for code, item in data.items():
            if isinstance(item, dict) and "value" in item:
                yield code, item["value"], item.get("time")
            else:
                yield code, item, None
    else:
        for code, value in document.items():
            if code not in _ENVELOPE:
                yield code, value, None


def _add(points: dict[str, Any], ts: int, meter_id: str, context: Context, decoded: Decoded) -> None:
    """Add the readings that the data points of one time are."""
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for code, value in points.items():
        if code == "valve_state":
            fields[code] = VALVE_WORDS.get(value.lower(), value) if isinstance(value, str) else value
        elif code == "fault" and not isinstance(value, bool) and isinstance(number(value), int | float):
            fields["status"] = number(value)
        else:
            extra[code] = value
    found = False
    if not _TIMED.isdisjoint(points):
        registers = len(decoded.rows) + len(decoded.rejections)
        _add_registers(points, meter_id, context, decoded)
        found = len(decoded.rows) + len(decoded.rejections) > registers
    if not found or any(value is not None for value in fields.values()):
        add_row(decoded, context, meter_id, ts, fields, extra)


def _add_registers(points: Mapping[str, Any], meter_id: str, context: Context, decoded: Decoded) -> None:
    """Add the first and last readings of a day or month, each at its own time; without a time they are only kept."""
    for code, time in _REGISTERS.items():
        if points.get(code) is None or points.get(time) is None or points[time] == "":
            continue
        try:
            ts = measuring_time(points[time], context, time)
        except DecodingError as error:
            decoded.rejections.append(Rejection(error.reason, error.detail, meter_id))
            continue
        add_row(decoded, context, meter_id, ts, {"volume_m3": scaled(points[code], 1e-3)}, {})
