"""Uplinks of The Things Stack v3 (https://www.thethingsindustries.com/docs/integrations/data-formats/), as JSON.

What is zero, false or empty is left out by the sender: a frame counter that is missing is 0.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.json_payload import OfMeter, check_topic, fields_of, level_after, read_json
from ingest.decoders.lorawan import Uplink, best_gateway, decode_uplink
from ingest.excerpt import excerpt
from ingest.message import Decoded
from lake.errors import DecodingError

_Fields = dict[str, msgspec.Raw]

# Of the two levels: what is read, and what tells of network, gateways and radio alone.
_KNOWN = frozenset({"end_device_ids", "uplink_message", "received_at", "correlation_ids"})
_KNOWN_UPLINK = frozenset(
    {"f_cnt", "frm_payload", "decoded_payload", "rx_metadata", "received_at", "settings", "session_key_id",
     "consumed_airtime", "network_ids", "locations", "version_ids", "last_battery_percentage", "normalized_payload",
     "confirmed", "packet_error_rate", "last_a_f_cnt_down"}
)  # fmt: skip


def _recognises(payload: bytes) -> bool:
    return fields_of(payload).keys() >= {"end_device_ids", "uplink_message"}


@shape("ttn", topics=("v3/+/devices/+/up",), recognises=_recognises)
class ThingsStackDecoder:
    """Decodes the uplinks of The Things Stack."""

    def __init__(self) -> None:
        self._fields = msgspec.json.Decoder(_Fields)
        self._json = msgspec.json.Decoder()

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of an uplink; see :class:`ingest.decoders.Decoder`."""
        envelope = read_json(self._fields, payload)
        meter_id = _meter(self._of(envelope, "end_device_ids"), context)
        with OfMeter(meter_id):
            return decode_uplink(self._uplink(envelope, meter_id), context)

    def _uplink(self, envelope: _Fields, meter_id: str) -> Uplink:
        if "uplink_message" not in envelope:
            kinds = ", ".join(sorted(envelope.keys() - _KNOWN))
            raise DecodingError("no_value", f"the message is no uplink; it holds {excerpt(kinds)}")
        message = read_json(self._fields, envelope["uplink_message"])
        seq = self._of(message, "f_cnt")
        time = self._of(message, "received_at")
        beside = {name: self._of(envelope, name) for name in envelope if name not in _KNOWN}
        beside.update({name: self._of(message, name) for name in message if name not in _KNOWN_UPLINK})
        battery = self._of(message, "last_battery_percentage")
        return Uplink(
            meter_id=meter_id,
            time=self._of(envelope, "received_at") if time is None else time,
            seq=0 if seq is None else seq,
            radio=best_gateway(self._of(message, "rx_metadata")),
            found=self._found(message),
            data=self._of(message, "frm_payload"),
            beside=beside if battery is None else beside | {"last_battery_percentage": battery},
        )

    def _found(self, message: _Fields) -> object:
        """Return what the codec made of the bytes, else what the server made of that."""
        found = self._of(message, "decoded_payload")
        if found:
            return found
        normalised = self._of(message, "normalized_payload")
        items = normalised if isinstance(normalised, list) else [normalised]
        return items[0] if items and isinstance(items[0], dict) else found

    def _of(self, fields: _Fields, name: str) -> Any:
        raw = fields.get(name)
        return None if raw is None else read_json(self._json, raw)


def _meter(ids: object, context: Context) -> str:
    """Return the meter that envelope and topic name: by an alias of DevEUI or device id, else by the DevEUI."""
    known = ids if isinstance(ids, dict) else {}
    eui, device_id = known.get("dev_eui"), known.get("device_id")
    if isinstance(eui, str):
        eui = eui.lower()
    named = level_after(context.topic, "devices")
    chosen = next((one for one in (eui, device_id, named) if one is not None), None)
    if chosen is None:
        raise DecodingError("no_meter_id", "neither end_device_ids nor the topic names a device")
    meter_id = context.meter_id(chosen)
    if context.aliases and meter_id == chosen and isinstance(device_id, str):
        meter_id = context.aliases.get(device_id.lower(), meter_id)
    check_topic(named, device_id, meter_id, context)
    return meter_id
