"""Uplinks of ChirpStack v4 (https://www.chirpstack.io/docs/chirpstack/integrations/events.html), as JSON.

What is zero, false or empty is left out by the sender: a frame counter that is missing is 0.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.json_payload import check_topic, fields_of, level_after, of_meter, read_json
from ingest.decoders.lorawan import Uplink, best_gateway, decode_uplink, kept
from ingest.message import Decoded
from lake.errors import DecodingError

# Of the envelope: what is kept, what is read, and what tells of network, gateways and radio alone.
_KEPT = ("fPort", "dr")
_KNOWN = frozenset(
    {"deviceInfo", "time", "fCnt", "rxInfo", "txInfo", "object", "data", "deduplicationId", "devAddr", "adr",
     "confirmed", "regionConfigId", *_KEPT}
)  # fmt: skip


def _recognises(payload: bytes) -> bool:
    fields = fields_of(payload)
    return "deviceInfo" in fields and not fields.keys().isdisjoint({"time", "rxInfo", "object", "data"})


@shape("chirpstack", topics=("application/+/device/+/event/up",), recognises=_recognises)
class ChirpstackDecoder:
    """Decodes the uplink events of ChirpStack."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder(dict[str, Any])

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of an uplink; see :class:`ingest.decoders.Decoder`."""
        envelope = read_json(self._json, payload)
        device = envelope.get("deviceInfo")
        meter_id = _meter(device, context)
        beside = kept(envelope, _KNOWN, _KEPT)
        if isinstance(device, dict) and "deviceName" in device:
            beside["deviceName"] = device["deviceName"]
        seq = envelope.get("fCnt")
        uplink = Uplink(
            meter_id,
            envelope.get("time"),
            0 if seq is None else seq,
            best_gateway(envelope.get("rxInfo")),
            envelope.get("object"),
            envelope.get("data"),
            beside,
        )
        try:
            return decode_uplink(uplink, context)
        except DecodingError as error:
            raise of_meter(error, meter_id) from None


def _meter(device: object, context: Context) -> str:
    """Return the meter that envelope and topic name by its DevEUI."""
    eui = device.get("devEui") if isinstance(device, dict) else None
    if isinstance(eui, str):
        eui = eui.lower()
        if context.topic is None or f"/{eui}/" in context.topic:
            return context.meter_id(eui)
    named = level_after(context.topic, "device")
    named = named.lower() if named else None
    found = named if eui is None else eui
    if found is None:
        raise DecodingError("no_meter_id", "neither deviceInfo.devEui nor the topic names a device")
    meter_id = context.meter_id(found)
    check_topic(named, found, meter_id, context)
    return meter_id
