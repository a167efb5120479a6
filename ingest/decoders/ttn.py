"""Uplinks of The Things Stack v3 (https://www.thethingsindustries.com/docs/integrations/data-formats/), as JSON.

What is zero, false or empty is left out by the sender: a frame counter that is missing is 0.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.json_payload import UNREADABLE, check_topic, fields_of, level_after, of_meter, read_json
from ingest.decoders.lorawan import Uplink, best_gateway, decode_uplink, kept
from ingest.excerpt import excerpt
from ingest.message import Decoded
from lake.errors import DecodingError


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    """An uplink that holds nothing unknown; the last two are kept, others tell of network and radio alone."""

    f_cnt: Any = None
    frm_payload: Any = None
    decoded_payload: Any = None
    rx_metadata: Any = None
    received_at: Any = None
    settings: Any = None
    session_key_id: Any = None
    consumed_airtime: Any = None
    network_ids: Any = None
    locations: Any = None
    version_ids: Any = None
    normalized_payload: Any = None
    confirmed: Any = None
    packet_error_rate: Any = None
    last_a_f_cnt_down: Any = None
    f_port: Any = msgspec.UNSET
    last_battery_percentage: Any = msgspec.UNSET


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """The envelope where it holds nothing unknown, as most do: read as such it needs no second look."""

    uplink_message: _Message
    end_device_ids: Any = None
    received_at: Any = None
    correlation_ids: Any = None


_KNOWN = frozenset(_Envelope.__struct_encode_fields__)
_KNOWN_UPLINK = frozenset(_Message.__struct_encode_fields__)


def _recognises(payload: bytes) -> bool:
    return fields_of(payload).keys() >= {"end_device_ids", "uplink_message"}


@shape("ttn", topics=("v3/+/devices/+/up",), recognises=_recognises)
class ThingsStackDecoder:
    """Decodes the uplinks of The Things Stack."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder(dict[str, Any])
        self._envelope = msgspec.json.Decoder(_Envelope)

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of an uplink; see :class:`ingest.decoders.Decoder`."""
        try:
            envelope = self._envelope.decode(payload)
        except UNREADABLE:  # or with unknown fields, or none of an uplink
            return self._decode_other(payload, context)
        meter_id = _meter(envelope.end_device_ids, context)
        try:
            return decode_uplink(_uplink(envelope.uplink_message, envelope.received_at, meter_id, {}), context)
        except DecodingError as error:
            raise of_meter(error, meter_id) from None

    def _decode_other(self, payload: bytes, context: Context) -> Decoded:
        envelope = read_json(self._json, payload)
        meter_id = _meter(envelope.get("end_device_ids"), context)
        try:
            message, beside = _message(envelope)
            return decode_uplink(_uplink(message, envelope.get("received_at"), meter_id, beside), context)
        except DecodingError as error:
            raise of_meter(error, meter_id) from None


def _message(envelope: dict[str, Any]) -> tuple[_Message, dict[str, Any]]:
    """Return the uplink of an envelope, and what is kept of both because it is unknown.

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
    known = {name: message[name] for name in _KNOWN_UPLINK & message.keys()}
    return msgspec.convert(known, _Message), kept(envelope, _KNOWN) | kept(message, _KNOWN_UPLINK)


def _uplink(message: _Message, received_at: object, meter_id: str, beside: dict[str, Any]) -> Uplink:
    """Return what a message holds; what is kept of it is added to what is kept `beside`."""
    if message.f_port is not msgspec.UNSET:
        beside["f_port"] = message.f_port
    if message.last_battery_percentage is not msgspec.UNSET:
        beside["last_battery_percentage"] = message.last_battery_percentage
    return Uplink(
        meter_id,
        received_at if message.received_at is None else message.received_at,
        0 if message.f_cnt is None else message.f_cnt,
        best_gateway(message.rx_metadata),
        message.decoded_payload or _normalised(message),
        message.frm_payload,
        beside,
    )


def _normalised(message: _Message) -> object:
    """Return what the server made of the bytes where the device's decoder made nothing."""
    found = message.normalized_payload
    items = found if isinstance(found, list) else [found]
    return items[0] if items and isinstance(items[0], dict) else message.decoded_payload


def _meter(ids: object, context: Context) -> str:
    """Return the meter that envelope and topic name: by an alias of DevEUI or device id, else by the DevEUI."""
    known = ids if isinstance(ids, dict) else {}
    eui, device_id = known.get("dev_eui"), known.get("device_id")
    if isinstance(eui, str):
        eui = eui.lower()
    named = level_after(context.topic, "devices")
    chosen = eui if eui is not None else device_id if device_id is not None else named
    if chosen is None:
        raise DecodingError("no_meter_id", "neither end_device_ids nor the topic names a device")
    meter_id = context.meter_id(chosen)
    if context.aliases and meter_id == chosen and isinstance(device_id, str):
        meter_id = context.aliases.get(device_id.lower(), meter_id)
    if named != device_id:
        check_topic(named, device_id, meter_id, context)
    return meter_id
