"""What ChirpStack and The Things Stack share: the object that a device's codec made, and the radio it came by.

A codec is the user's or the vendor's, so fields are told by their names (:mod:`ingest.decoders.field_names`); the
objects of the Axioma W1 and of Quandify, whose names say too little, are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ingest.decoders import Context
from ingest.decoders.axioma_object import AXIOMA_NAMES, hourly_registers, is_axioma, read_axioma
from ingest.decoders.field_reader import FieldReader
from ingest.decoders.json_payload import add_row, measuring_time
from ingest.excerpt import excerpt
from ingest.message import Decoded, Rejection, Row
from ingest.reading import INT64, PLACES, check_number, check_time, end_row
from lake.errors import DecodingError

_STATUS = {"status", "status_code", "statusCode", "error_code", "errorCode", "error_codes", "errors", "alarm", "alarms",
           "Alarm", "Alarms", "alarm_code", "alarmCode", "state_code"}  # fmt: skip
_TIME = ("ts", "timestamp_utc", "timestamp_unix")
_PLAIN = {"firmware", "valid", "coverage_class", "valve_command", "valve_refusal"}

_READER = FieldReader(status=_STATUS, known=_TIME, plain=_PLAIN, nested=True)
# Quandify sends litres, and millivolts under load (active) and at rest (recovered).
_QUANDIFY = FieldReader(
    status=_STATUS,
    special={"totalVolume": ("volume_m3", 1e-3), "batteryActive": ("battery_load_v", 1e-3),
             "batteryRecovered": ("battery_v", 1e-3)},
    nested=True,
)  # fmt: skip
# The Things Network's normalised payload: litres and volts, in objects of their own.
_NORMALISED = FieldReader(
    status=(),
    special={"metering_water_total": ("volume_m3", 1e-3), "battery": ("battery_v", 1),
             "water_temperature_avg": ("water_temperature_c", 1)},
    nested=True,
)  # fmt: skip
_WRAPPERS = ("decoded", "data", "decoded_payload")
_TELLING = frozenset({*_TIME, *_WRAPPERS, *AXIOMA_NAMES, "leakState", "metering", "water"})
_RENAMED = {"water_leak": "leak"}
_DEEPEST_OBJECT = 4
_SEQ, _RSSI, _SNR = (PLACES[name] for name in ("seq", "rssi_dbm", "snr_db"))


class Radio(NamedTuple):
    """How a gateway heard an uplink.

    Parameters
    ----------
    rssi_dbm, snr_db : object
        Unchecked; None where it does not say.
    """

    rssi_dbm: object
    snr_db: object


_UNHEARD = Radio(None, None)


def best_gateway(receptions: object, snr: str = "snr") -> Radio:
    """Return the strongest reception of an uplink.

    Both network servers leave out what is zero: a gateway that tells a signal strength but no ratio heard it at 0 dB.

    Parameters
    ----------
    receptions : object
        Of every gateway, as the server lists them.
    snr : str
        What it calls the ratio.
    """
    if not isinstance(receptions, list) or not receptions:
        return _UNHEARD
    best = receptions[0]
    if len(receptions) > 1:
        best = max((item for item in receptions if isinstance(item, dict)), key=_strength, default=None)
    if not isinstance(best, dict):
        return _UNHEARD
    rssi = best.get("rssi")
    ratio = best.get(snr)
    return Radio(rssi, 0.0 if ratio is None and rssi is not None else ratio)


def _strength(reception: Mapping[str, Any]) -> float:
    rssi = reception.get("rssi")
    return float(rssi) if isinstance(rssi, int | float) and -1000 < rssi < 1000 else -1000.0


def kept(envelope: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return what is kept of an envelope because it is unknown."""
    return {name: value for name, value in envelope.items() if name not in known}


class Uplink(NamedTuple):
    """An uplink as its network server tells it.

    Parameters
    ----------
    meter_id : str
        The meter.
    time : object
        When the server received it.
    seq : object
        The device's frame counter.
    radio : Radio
        How it was heard.
    found : object
        What the codec made of it, None where there is no codec.
    data : object
        Its bytes in base64.
    beside : dict
        What is kept of the envelope.
    """

    meter_id: str
    time: object
    seq: object
    radio: Radio
    found: object
    data: object
    beside: dict[str, Any]


def decode_uplink(uplink: Uplink, context: Context) -> Decoded:
    """Return the readings of an uplink.

    Raises
    ------
    DecodingError
        It cannot be read as a whole.
    """
    found = uplink.found
    if found is None or found == {}:
        only = f", only the bytes {excerpt(uplink.data)}" if uplink.data else ""
        raise DecodingError("no_value", f"there is no decoded object{only}: the network server has no codec for it")
    if not isinstance(found, dict):
        raise DecodingError("wrong_type", f"the decoded object must be an object, not {excerpt(found)}")
    sent = measuring_time(uplink.time, context, "time")
    if _TELLING.isdisjoint(found):  # most objects say no more than their names do
        row = _sound_row(uplink, found, sent, context)
        if row is not None:
            return Decoded(context.topic, context.received_at, [row], [])
        decoded = Decoded(context.topic, context.received_at)
        fields, extra = _READER.read(found)
        _add(uplink, fields, extra, sent, context, decoded, None)
        return decoded
    decoded = Decoded(context.topic, context.received_at)
    if is_axioma(found):
        _add_axioma(uplink, found, sent, context, decoded)
        return decoded
    fields, extra, time = _read_object(found)
    ts = sent if time is None else measuring_time(time, context, "ts of the object")
    _add(uplink, fields, extra, ts, context, decoded, None)
    return decoded


def _sound_row(uplink: Uplink, found: dict[str, Any], ts: int, context: Context) -> Row | None:
    """Return the reading of an uplink in which everything is in order, None where it needs a closer look."""
    begun = _READER.begin_row(found, uplink.meter_id, ts, context.source)
    seq = uplink.seq
    if begun is None or type(seq) is not int or not -INT64 <= seq < INT64:
        return None
    row, extra = begun
    row[_SEQ] = seq
    if row[_RSSI] is None and not _heard(row, uplink.radio):
        return None
    if uplink.data is not None:
        extra["data"] = uplink.data
    extra.update(uplink.beside)
    return end_row(row, extra)


def _heard(row: list[Any], radio: Radio) -> bool:
    """Fill in how an uplink was heard; return whether that is in order."""
    try:
        row[_RSSI], row[_SNR] = check_number("rssi_dbm", radio[0]), check_number("snr_db", radio[1])
    except DecodingError:
        return False
    return True


def _add(
    uplink: Uplink, fields: dict[str, Any], extra: dict[str, Any], ts: int, context: Context, decoded: Decoded,
    profile: str | None, invalid: tuple[str, ...] = (),
) -> None:  # fmt: skip
    if fields.get("volume_m3") is None and [*fields.values()].count(None) == len(fields):
        raise _nothing_found(uplink.found, extra)
    if fields.get("rssi_dbm") is None:
        fields["rssi_dbm"], fields["snr_db"] = uplink.radio
    fields["seq"] = uplink.seq
    if uplink.data is not None:
        extra["data"] = uplink.data
    extra.update(uplink.beside)
    add_row(decoded, context, uplink.meter_id, ts, fields, extra, profile=profile, invalid=invalid)


def _nothing_found(found: object, extra: Mapping[str, Any]) -> DecodingError:
    """Return why there is no measurement in an object: a field that says it holds no number, or none that is known."""
    fields = _unwrapped(found) if isinstance(found, dict) else {}
    name = next((name for name, value in fields.items() if name not in extra and _is_nan(value)), None)
    if name is not None:
        return DecodingError("not_finite", f"{excerpt(name)} of the decoded object is {excerpt(fields[name])}")
    if not extra:
        return DecodingError("no_value", f"the fields of the decoded object are empty: {excerpt(', '.join(fields))}")
    names = ", ".join(sorted(extra)[:10])
    return DecodingError("no_value", f"no field of the decoded object is known: {names[:200]}")


def _is_nan(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() == "nan"


def _add_axioma(uplink: Uplink, found: dict[str, Any], sent: int, context: Context, decoded: Decoded) -> None:
    axioma = read_axioma(found)
    ts = sent if axioma.time is None else measuring_time(axioma.time, context, "time of the object")
    _add(uplink, axioma.fields, axioma.extra, ts, context, decoded, "axioma", axioma.invalid)
    try:
        for time, register in hourly_registers(found, ts):
            if time != ts:
                check_time(time, context.received_at, context.now, "hour of the object")
                add_row(decoded, context, uplink.meter_id, time, {"volume_m3": register}, {}, profile="axioma")
    except DecodingError as error:
        decoded.rejections.append(Rejection(error.reason, error.detail, uplink.meter_id))


def _read_object(found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], object]:
    """Return measurements, what is kept, and the measuring time of a codec's object."""
    found = _unwrapped(found)
    if "leakState" in found and "totalVolume" in found:
        fields, extra = _QUANDIFY.read(found)
    elif isinstance(found.get("metering"), dict) or isinstance(found.get("water"), dict):
        fields, extra = _NORMALISED.read({_RENAMED.get(name, name): value for name, value in _flat(found).items()})
    else:
        fields, extra = _READER.read(found)
    return fields, extra, next((found[name] for name in _TIME if found.get(name) is not None), None)


def _unwrapped(found: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what some codecs wrap it in once more."""
    for wrapper in _WRAPPERS:
        inner = found.get(wrapper)
        if isinstance(inner, dict):
            found = {name: value for name, value in found.items() if name != wrapper} | inner
    return found


def _flat(found: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Return the fields of objects within an object, named by the way to them."""
    fields: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, dict) and depth < _DEEPEST_OBJECT:
            fields.update(_flat(value, f"{prefix}{name}_", depth + 1))
        else:
            fields[prefix + name] = value
    return fields
