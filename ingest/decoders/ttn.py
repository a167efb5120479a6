"""Uplinks of The Things Stack v3 (https://www.thethingsindustries.com/docs/integrations/data-formats/), as JSON.

What is zero, false or empty is left out by the sender: a frame counter that is missing is 0.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.json_payload import check_topic, fields_of, level_after, of_meter, read_json
from ingest.decoders.lorawan import Uplink, best_gateway, decode_uplink, kept
from ingest.excerpt import excerpt
from ingest.message import Decoded
from lake.errors import DecodingError

# Of the two levels: what is kept, what is read, and what tells of network, gateways and radio alone.
_KEPT = ("f_port", "last_battery_percentage")
_KNOWN = frozenset({"end_device_ids", "uplink_message", "received_at", "correlation_ids"})
_KNOWN_UPLINK = frozenset(
    {"f_cnt", "frm_payload", "decoded_payload", "rx_metadata", "received_at", "settings", "session_key_id",
     "consumed_airtime", "network_ids", "locations", "version_ids", "normalized_payload", "confirmed",
     "packet_error_rate", "last_a_f_cnt_down", *_KEPT}
)  # fmt: skip


def _recognises(payload: bytes) -> bool:
    return fields_of(payload).keys() >= {"end_device_ids", "uplink_message"}


@shape("ttn", topics=("v3/+/devices/+/up",), recognises=_recognises)
class ThingsStackDecoder:
    """Decodes the uplinks of The Things Stack."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder(dict[str, Any])

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of an uplink; see :class:`ingest.decoders.Decoder`."""
        envelope = read_json(self._json, payload)
        meter_id = _meter(envelope.get("end_device_ids"), context)
        try:
            return decode_uplink(_uplink(envelope, meter_id), context)
        except DecodingError as error:
            raise of_meter(error, meter_id) from None


def _uplink(envelope: dict[str, Any], meter_id: str) -> Uplink:
    """Return what an envelope holds.

    Raises
    ------
    DecodingError
        It is none of an uplink.
    """
    message = envelope.get("uplink_message")
    if message is None:
        kinds = ", ".join(sorted(envelope.keys() - _KNOWN))
        raise DecodingError("no_value", f"the message is no uplink; it holds {excerpt(kinds)}")
    if not isinstance(message, dict):
        raise DecodingError("wrong_type", f"uplink_message must be an object, not {excerpt(message)}")
    seq, time = message.get("f_cnt"), message.get("received_at")
    beside = kept(envelope, _KNOWN, ())
    beside.update(kept(message, _KNOWN_UPLINK, _KEPT))
    return Uplink(
        meter_id,
        envelope.get("received_at") if time is None else time,
        0 if seq is None else seq,
        best_gateway(message.get("rx_metadata")),
        message.get("decoded_payload") or _normalised(message),
        message.get("frm_payload"),
        beside,
    )


def _normalised(message: dict[str, Any]) -> object:
    """Return what the server made of the bytes where the device's decoder made nothing."""
    found = message.get("normalized_payload")
    items = found if isinstance(found, list) else [found]
    return items[0] if items and isinstance(items[0], dict) else message.get("decoded_payload")


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
