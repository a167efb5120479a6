"""Water valves behind Zigbee2MQTT, such as the Sonoff SWV (https://www.zigbee2mqtt.io/devices/SWV.html).

The topic names the device. ``battery`` is a percentage and is kept; ``flow`` is in cubic metres an hour.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.field_reader import VALVE_WORDS, FieldReader
from ingest.decoders.json_payload import (
    add_row,
    check_topic,
    fields_of,
    measuring_time,
    named_device,
    of_meter,
    read_json,
)
from ingest.excerpt import excerpt
from ingest.message import Decoded
from lake.errors import DecodingError

_READER = FieldReader(
    status={"current_device_status", "error_status", "fault"},
    known={"last_seen", "device", "state"},
    special={"flow": ("flow_m3h", 1.0)},
)
_NO_DEVICE = frozenset({"set", "get", "availability"})


def _recognises(payload: bytes) -> bool:
    fields = fields_of(payload)
    return "current_device_status" in fields or "linkquality" in fields


@shape("zigbee2mqtt", topics=("zigbee2mqtt/#",), recognises=_recognises)
class Zigbee2MqttDecoder:
    """Decodes what Zigbee2MQTT publishes of a valve."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder(dict[str, Any])

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the reading of a message; see :class:`ingest.decoders.Decoder`."""
        levels = context.topic.split("/")[1:] if context.topic and context.topic.startswith("zigbee2mqtt/") else []
        if levels[:1] == ["bridge"] or (len(levels) > 1 and levels[-1] in _NO_DEVICE):
            raise DecodingError("no_value", f"{excerpt(context.topic)} is no state of a device")
        document = read_json(self._json, payload)
        meter_id = _meter(document, "/".join(levels) or None, context)
        decoded = Decoded(context.topic, context.received_at)
        try:
            ts = measuring_time(document.get("last_seen"), context, "last_seen")
            fields, extra = _READER.read(document)
        except DecodingError as error:
            raise of_meter(error, meter_id) from None
        state = document.get("state")
        word = VALVE_WORDS.get(state.lower()) if isinstance(state, str) else None
        if word is not None:
            fields.setdefault("valve_state", word)
        elif state is not None:
            extra["state"] = state
        add_row(decoded, context, meter_id, ts, fields, extra)
        return decoded


def _meter(document: dict[str, Any], named: str | None, context: Context) -> str:
    """Return the meter that the topic names, else what the payload says of its device."""
    device = document.get("device")
    if device is None and named is not None:
        return named_device(named, context, levels=".")
    known = device if isinstance(device, dict) else {}
    friendly, address = known.get("friendlyName"), known.get("ieeeAddr")
    name = next((one for one in (named, friendly, address) if one is not None), None)
    if name is None:
        raise DecodingError("no_meter_id", "neither the topic nor device.friendlyName names a device")
    meter_id = named_device(name, context, levels=".")
    if isinstance(address, str):
        meter_id = context.aliases.get(address.lower(), meter_id)
    check_topic(named, friendly, meter_id, context)
    return meter_id
