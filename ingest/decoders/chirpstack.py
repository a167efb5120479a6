"""Uplinks of ChirpStack v4 (https://www.chirpstack.io/docs/chirpstack/integrations/events.html), as JSON.

What is zero, false or empty is left out by the sender: a frame counter that is missing is 0.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.json_payload import UNREADABLE, check_topic, fields_of, level_after, of_meter, read_json
from ingest.decoders.lorawan import Uplink, best_gateway, decode_uplink, kept
from ingest.message import Decoded
from lake.errors import DecodingError


class _Event(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The envelope where it holds nothing unknown, as most do: read as such it needs no second look."""

    device_info: Any = None
    time: Any = None
    f_cnt: Any = None
    rx_info: Any = None
    tx_info: Any = None
    object: Any = None
    data: Any = None
    deduplication_id: Any = None
    dev_addr: Any = None
    adr: Any = None
    confirmed: Any = None
    region_config_id: Any = None
    f_port: Any = msgspec.UNSET
    dr: Any = msgspec.UNSET


_KNOWN = frozenset(_Event.__struct_encode_fields__)


def _recognises(payload: bytes) -> bool:
    fields = fields_of(payload)
    return "deviceInfo" in fields and not fields.keys().isdisjoint({"time", "rxInfo", "object", "data"})


@shape("chirpstack", topics=("application/+/device/+/event/up",), recognises=_recognises)
class ChirpstackDecoder:
    """Decodes the uplink events of ChirpStack."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder(dict[str, Any])
        self._event = msgspec.json.Decoder(_Event)

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of an uplink; see :class:`ingest.decoders.Decoder`."""
        try:
            event = self._event.decode(payload)
        except UNREADABLE:  # or with unknown fields
            envelope = read_json(self._json, payload)
            event = msgspec.convert({name: envelope[name] for name in _KNOWN & envelope.keys()}, _Event)
            beside = kept(envelope, _KNOWN)
        else:
            beside = {}
        meter_id = _meter(event.device_info, context)
        try:
            return decode_uplink(_uplink(event, meter_id, beside), context)
        except DecodingError as error:
            raise of_meter(error, meter_id) from None


def _uplink(event: _Event, meter_id: str, beside: dict[str, Any]) -> Uplink:
    """Return what an event holds; what is kept of it is added to what is kept `beside`."""
    if event.f_port is not msgspec.UNSET:
        beside["fPort"] = event.f_port
    if event.dr is not msgspec.UNSET:
        beside["dr"] = event.dr
    device = event.device_info
    if isinstance(device, dict) and "deviceName" in device:
        beside["deviceName"] = device["deviceName"]
    seq = 0 if event.f_cnt is None else event.f_cnt
    return Uplink(meter_id, event.time, seq, best_gateway(event.rx_info), event.object, event.data, beside)


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
