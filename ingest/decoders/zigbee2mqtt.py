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
from ingest.decoders.sound_object import VALVE
from ingest.excerpt import excerpt
from ingest.message import Decoded, Row
from ingest.reading import end_row
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
        topic = context.topic
        named = topic[len("zigbee2mqtt/") :] if topic and topic.startswith("zigbee2mqtt/") else ""
        if named == "bridge" or ("/" in named and (named.startswith("bridge/") or _last_level(named) in _NO_DEVICE)):
            raise DecodingError("no_value", f"{excerpt(topic)} is no state of a device")
        document = read_json(self._json, payload)
        meter_id = _meter(document, named or None, context)
        decoded = Decoded(context.topic, context.received_at)
        try:
            ts = measuring_time(document.get("last_seen"), context, "last_seen")
            row = _sound_row(document, meter_id, ts, context)
            if row is not None:
                decoded.rows.append(row)
                return decoded
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


def _last_level(topic: str) -> str:
    return topic.rpartition("/")[2]


def _sound_row(document: dict[str, Any], meter_id: str, ts: int, context: Context) -> Row | None:
    """Return the reading of a document in which everything is in order, None where it needs a closer look."""
    begun = _READER.begin_row(document, meter_id, ts, context.source)
    if begun is None:
        return None
    row, extra = begun
    state = document.get("state")
    word = VALVE_WORDS.get(state.lower()) if isinstance(state, str) else None
    if word is None and state is not None:
        extra["state"] = state
    elif row[VALVE] is None:
        row[VALVE] = word
    return end_row(row, extra)


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
