"""Telemetry as ThingsBoard takes it, of single devices and of gateways (https://thingsboard.io/docs/reference/mqtt-api/).

The keys are the user's: names of the contract are taken as such, others by their words (:mod:`ingest.decoders.
field_names`), the rest is kept. A register whose name says no unit is in cubic metres; a number of pulses is none.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.field_reader import FieldReader
from ingest.decoders.json_payload import add_row, measuring_time, named_device, outline, read_json
from ingest.excerpt import excerpt
from ingest.message import Decoded, Rejection
from lake.errors import DecodingError

_DEVICE = ("meter_id", "deviceName", "device_name", "deviceId", "device_id", "serialNumber", "serial_number", "devEui")
_DEVICE_NAMES = frozenset(_DEVICE)
_READER = FieldReader(
    status={"status", "error_codes", "errorCodes", "alarm", "alarms", "errorCode"},
    known={"ts", "meter_id"},
    plain={"seq", "firmware", "valid", "valve_command", "valve_refusal"},
    nested=True,
)


def _recognises(payload: bytes) -> bool:
    """Tell telemetry with times; objects of bare values say nothing of what they are."""
    is_array, fields = outline(payload)
    if fields.keys() == {"ts", "values"}:
        return True
    if is_array or not fields:
        return False
    # Gateways send a list of telemetry a device.
    device = outline(bytes(next(iter(fields.values()))))
    return device.is_array and device.fields.keys() == {"ts", "values"}


@shape("thingsboard", topics=("v1/devices/+/telemetry", "v1/gateway/telemetry"), recognises=_recognises)
class ThingsboardDecoder:
    """Decodes device and gateway telemetry."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder()

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of a message; see :class:`ingest.decoders.Decoder`."""
        document = read_json(self._json, payload)
        decoded = Decoded(context.topic, context.received_at)
        if _is_gateway(document, context.topic):
            for name, telemetry in document.items():
                _add_device(telemetry, name, context, decoded, f"{excerpt(name)}: ")
        else:
            _add_device(document, _device_of_topic(context.topic), context, decoded, "")
        if not decoded.rows and not decoded.rejections:
            raise DecodingError("no_value", "the telemetry is empty")
        return decoded


def _is_gateway(document: object, topic: str | None) -> bool:
    if topic == "v1/gateway/telemetry":
        if not isinstance(document, dict):
            raise DecodingError("wrong_type", f"gateway telemetry must be an object, not {excerpt(document)}")
        return True
    if topic is not None and topic.startswith("v1/devices/"):
        return False
    return isinstance(document, dict) and bool(document) and all(isinstance(one, list) for one in document.values())


def _device_of_topic(topic: str | None) -> str | None:
    """Return the device that a topic ``v1/devices/<name>/telemetry`` names; ``me`` is whoever is logged in."""
    if topic is None or not topic.startswith("v1/devices/"):
        return None
    name, _, rest = topic[len("v1/devices/") :].partition("/")
    return name if rest and "/" not in rest and name != "me" else None


def _add_device(telemetry: object, device: str | None, context: Context, decoded: Decoded, where: str) -> None:
    """Add the readings of one device: one object, or a list of them."""
    items = telemetry if isinstance(telemetry, list) else [telemetry]
    for index, item in enumerate(items):
        place = f"{where}telemetry {index}: " if isinstance(telemetry, list) else where
        meter_id = None
        try:
            if not isinstance(item, dict):
                raise DecodingError("wrong_type", f"telemetry must be an object, not {excerpt(item)}")
            values = item.get("values", item)
            if not isinstance(values, dict):
                raise DecodingError("wrong_type", f"values must be an object, not {excerpt(values)}")
            meter_id = _meter(values, device, context)
            ts = measuring_time(item.get("ts"), context)
            if _READER.add_sound(values, meter_id, ts, context, decoded):
                continue
            fields, extra = _READER.read(values)
        except DecodingError as error:
            decoded.rejections.append(Rejection(error.reason, place + error.detail, meter_id or error.meter_id))
            continue
        add_row(decoded, context, meter_id, ts, fields, extra, where=place)


def _meter(values: dict[str, Any], device: str | None, context: Context) -> str:
    """Return the meter that the device's name and the values name."""
    named = not _DEVICE_NAMES.isdisjoint(values)  # most devices are named by the topic alone
    field = next((name for name in _DEVICE if values.get(name) is not None), None) if named else None
    if field is None:
        if device is None:
            raise DecodingError("no_meter_id", f"neither the topic nor one of {', '.join(_DEVICE)} names a device")
        return named_device(device, context)
    meter_id = named_device(values[field], context)
    # Only meter_id contradicts the device: the others may be another name of it.
    if device is not None and field != "meter_id":
        return named_device(device, context)
    if device is not None and named_device(device, context) != meter_id:
        raise DecodingError(
            "meter_id_mismatch",
            f"the device is {excerpt(device)}, {field} is {excerpt(values[field])}",
            meter_id=meter_id,
        )
    return meter_id
