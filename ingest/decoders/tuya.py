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
    named_device,
    number,
    of_meter,
    read_json,
    scaled,
    site_time,
)
from ingest.excerpt import excerpt
from ingest.message import Decoded, Rejection
from lake.errors import DecodingError

_Moment = tuple[int, bool]  # a time, and whether it was ambiguous
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
        # Points of one message are one reading at the newest of their times, unless one comes again.
        readings: list[tuple[list[_Moment], dict[str, Any]]] = []
        times: dict[object, _Moment] = {}
        try:
            for code, value, time in _points(document):
                if not readings or code in readings[-1][1]:
                    readings.append(([], {}))
                readings[-1][1][code] = value
                if time is not None and time != "":
                    readings[-1][0].append(_moment(time, "t", times, meter_id, context))
            for moments, _ in readings:
                if not moments:
                    moments.append(_moment(*_message_time(document), times, meter_id, context))
        except DecodingError as error:
            raise of_meter(error, meter_id) from None
        if not readings:
            raise DecodingError("no_value", "there are no data points", meter_id=meter_id)
        for moments, points in readings:
            _add(points, max(moments), meter_id, context, decoded)
        return decoded


def _message_time(document: Mapping[str, Any]) -> tuple[object, str]:
    name = next((name for name in ("t", "time", "ts") if document.get(name) is not None), "t")
    return document.get(name), name


def _moment(time: object, field: str, known: dict[object, _Moment], meter_id: str, context: Context) -> _Moment:
    # Most points have the same time. One without a zone may only be resolved once: an hour may come twice.
    key = time if type(time) is int else repr(time)
    if key not in known:
        known[key] = site_time(time, context, meter_id, field)
    return known[key]


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


def _add(points: dict[str, Any], moment: _Moment, meter_id: str, context: Context, decoded: Decoded) -> None:
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
        ts, ambiguous = moment
        add_row(decoded, context, meter_id, ts, fields, extra, ambiguous=ambiguous)


def _add_registers(points: Mapping[str, Any], meter_id: str, context: Context, decoded: Decoded) -> None:
    """Add the first and last readings of a day or month, each at its own time; without a time they are only kept."""
    for code, time in _REGISTERS.items():
        if points.get(code) is None or points.get(time) is None or points[time] == "":
            continue
        try:
            # Registers of the past have an order of their own.
            volume = scaled(points[code], 1e-3)
            register = volume if isinstance(volume, int | float) else None
            ts, ambiguous = site_time(points[time], context, f"{meter_id}/{code}", time, register)
        except DecodingError as error:
            decoded.rejections.append(Rejection(error.reason, error.detail, meter_id))
            continue
        add_row(decoded, context, meter_id, ts, {"volume_m3": volume}, {}, ambiguous=ambiguous)
