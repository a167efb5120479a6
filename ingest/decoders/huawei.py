"""Service data of NB-IoT meters on Huawei's platforms and on CTWing, and the flags of Longi modules.

The envelopes differ, what is inside does not: a device id, and services with their data and the time of the event.
Names are those of published device models: Huawei's water meter sample
(https://support.huaweicloud.com/intl/en-us/devg-IoT/iot_02_4015.html), CTWing's "Maituo" model, Suntront's and Longi's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from ingest.decoders import Context, shape
from ingest.decoders.field_reader import VALVE_WORDS
from ingest.decoders.json_payload import (
    Codes,
    add_row,
    check_topic,
    fields_of,
    level_after,
    measuring_time,
    number,
    read_json,
    scaled,
    site_time,
)
from ingest.decoders.sound_object import MOST_VOLTS, SoundPlan, make_sound_plan, sound_row
from ingest.excerpt import excerpt
from ingest.message import Decoded, Rejection, Row
from ingest.reading import CHECKS, end_row
from lake.errors import DecodingError

_DEVICE = ("deviceId", "device_id", "imei", "IMEI", "meterCode", "meterNo")

_REGISTERS = ("currentReading", "current_reading", "cumulunt")

# Measurements: column and factor to its unit.
_COLUMNS = {
    **dict.fromkeys(_REGISTERS, ("volume_m3", 1.0)),
    "currentCellVoltage": ("battery_v", 1e-3),
    **dict.fromkeys(("temperature", "internalTemperature", "innerTemperature"), ("ambient_temperature_c", 1.0)),
    **dict.fromkeys(("waterTemperature", "water_temperature"), ("water_temperature_c", 1.0)),
    "snr": ("snr_db", 1.0),
    **dict.fromkeys(("cc", "ecl"), ("coverage_class", 1.0)),
    **dict.fromkeys(
        (
            "softVersion",
            "softwareVersion",
            "firmwareVersion",
            "softwareVerNum",
            "soft_version",
            "software_version",
            "firmware_version",
        ),
        ("firmware", 1.0),
    ),
}
_SIGNAL = frozenset({"rssi", "signalStrength", "signal_strength"})
_VALVE = frozenset({"valveStatus", "valveState", "valve_state", "valve_status"})
_VOLTAGE = frozenset({"batteryVoltage", "battery_voltage"})
_CODES = frozenset({"errorCode", "error_code"})
_SPECIAL_COLUMNS = {
    **dict.fromkeys(_SIGNAL, "rssi_dbm"),
    **dict.fromkeys(_VALVE | {"isvalveclose"}, "valve_state"),
    **dict.fromkeys(_VOLTAGE | {"batteryLevel"}, "battery_v"),
}
_SPECIAL = _SPECIAL_COLUMNS.keys()
_LONGEST_REMEMBERED = 4_000  # names of fields in larger payloads are not remembered [B]

_LONGI = frozenset({"isvalveerr", "reederr", "isbatterybad", "batteryAlarm1", "ismagneticdisturbance",
                    "isflowexception", "contactException", "arrearsclosevalue", "usenumTz", "isremoteclosevalve",
                    "balanceAlarm", "signExceptionPro", "pressUpPro", "notUseExceptionPro"})  # fmt: skip
_LONGI_SIGNS = _LONGI | {"currentCellVoltage", "cumulunt", "isvalveclose"}
_FLAGS = _LONGI | {"mialarm", "lowBatteryWarning", "networkLeak", "reverseFlow", "emptyPipe", "lowPressure",
                   "highPressure", "highInnerTemperature", "highTemperature", "lowTemperature", "storageFault",
                   "flowSensorFault", "temperatureSensorFault", "innerTemperatureSensorFault", "magneticInterference",
                   "leaking", "flowAbnormal", "nonSamplingCloseValve", "directReadingAbnormal", "overdraft",
                   "insufficientBalance", "lowWaterPressure", "highWaterPressure"}  # fmt: skip
_FLAG = re.compile(
    r"[A-Za-z]{3,60}(Alarm|Fault|Abnormal|Exception|Error)[0-9]?|"
    r"[a-z][a-z0-9_]{1,55}_(alarm|fault|abnormal|exception|error)[0-9]?"
)
_LONGEST_FLAG = 70  # characters that the pattern takes

# Envelope fields beside the data of a flat message.
_ENVELOPE = frozenset({"deviceId", "device_id", "eventTime", "event_time", "timestamp"})
_SMALLEST_CENTIVOLT = 100  # a batteryLevel up to it is in per cent


class _Service(NamedTuple):
    """Data of one service.

    Parameters
    ----------
    name : object
        For error messages.
    data : object
        Its fields.
    time : object
        When they were measured.
    time_field : str
        What the sender calls the time, for error messages.
    """

    name: object
    data: object
    time: object
    time_field: str


class _Reading(NamedTuple):
    """What was measured at one time: by vocabulary name, what is kept beside it, and fields of Longi modules alone."""

    fields: dict[str, Any]
    extra: dict[str, Any]
    longi: set[str]
    ambiguous: bool


class _Plan(NamedTuple):
    """Where in a row the fields of a service's data go, and whether their names are those of a Longi module."""

    sound: SoundPlan
    special: tuple[str, ...]
    flags: tuple[str, ...]
    longi: bool


def _recognises(payload: bytes) -> bool:
    fields = fields_of(payload)
    if fields.keys() & {"service", "services", "notify_data"}:
        named = "deviceId" in fields or "device_id" in fields
        return named or b'"serviceId"' in payload or b'"service_id"' in payload
    if "devices" in fields:
        return b'"device_id"' in payload and b'"services"' in payload
    if "deviceId" in fields and ("eventContent" in fields or ("payload" in fields and _is_ctwing(fields, payload))):
        return True
    return len(fields.keys() & _LONGI_SIGNS) > 1


def _is_ctwing(fields: Mapping[str, Any], payload: bytes) -> bool:
    return "messageType" in fields or b'"serviceData"' in payload


@shape(
    "huawei",
    topics=("$oc/devices/+/sys/properties/report", "$oc/devices/+/sys/gateway/sub_devices/properties/report"),
    recognises=_recognises,
)
class HuaweiDecoder:
    """Decodes service data."""

    def __init__(self) -> None:
        self._json = msgspec.json.Decoder(dict[str, Any])

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of a message; see :class:`ingest.decoders.Decoder`."""
        document = read_json(self._json, payload)
        decoded = Decoded(context.topic, context.received_at)
        devices = document.get("devices")
        if isinstance(devices, list):
            _add_devices(devices, context, decoded)
            return decoded
        meter_id = _meter(document, context)
        services = list(_services(document))
        short = len(services) == 1 and len(payload) <= _LONGEST_REMEMBERED
        row = _sound_row(services[0], meter_id, context) if short else None
        if row is not None:
            decoded.rows.append(row)
        else:
            _add_services(services, meter_id, context, decoded)
        return decoded


def _add_devices(devices: list[Any], context: Context, decoded: Decoded) -> None:
    """Add the readings of the devices behind a gateway, which the topic names."""
    if not devices:
        raise DecodingError("no_value", "the gateway's message has no devices")
    behind = context._replace(topic=None)
    for index, item in enumerate(devices):
        meter_id = None
        try:
            meter_id = _meter(_object(item), behind)
            _add_services(list(_services(_object(item))), meter_id, context, decoded)
        except DecodingError as error:
            decoded.rejections.append(Rejection(error.reason, f"device {index}: {error.detail}", meter_id))


def _add_services(services: list[_Service], meter_id: str, context: Context, decoded: Decoded) -> None:
    """Add the readings that the services of one device are."""
    readings: dict[int, _Reading] = {}
    refused = False
    # A time that several services share is resolved once: at its second call an hour that comes twice would have begun.
    times: dict[str, tuple[int, bool]] = {}
    for service in services:
        try:
            if not isinstance(service.data, dict):
                raise DecodingError("wrong_type", f"the data must be an object, not {excerpt(service.data)}")
            key = repr(service.time)
            if key not in times:
                register = _register(service.time, services)
                times[key] = site_time(service.time, context, meter_id, service.time_field, register)
        except DecodingError as error:
            refused = True
            where = f"service {excerpt(service.name)}"
            decoded.rejections.append(Rejection(error.reason, f"{where}: {error.detail}", meter_id))
            continue
        ts, ambiguous = times[key]
        _read(service.data, readings.setdefault(ts, _Reading({}, {}, set(), ambiguous)))
    for ts, (fields, extra, longi, ambiguous) in _with_values(readings).items():
        profile = "longi" if longi else "ctwing"
        add_row(decoded, context, meter_id, ts, fields, extra, profile=profile, ambiguous=ambiguous)
    if not readings and not refused:
        raise DecodingError("no_value", "the message has no services", meter_id=meter_id)


def _register(time: object, services: list[_Service]) -> float | None:
    """Return the register that the services of one time tell [m³], None where they tell none."""
    for service in services:
        if service.time == time and isinstance(service.data, dict):
            for name in _REGISTERS:
                value = number(service.data.get(name))
                if isinstance(value, int | float) and not isinstance(value, bool):
                    return value
    return None


def _sound_row(service: _Service, meter_id: str, context: Context) -> Row | None:
    """Return the reading of a message's one service where everything is in order, None where it needs a closer look."""
    data = service.data
    plan = _plan(tuple(data)) if isinstance(data, dict) else None
    if plan is None or not isinstance(data, dict):
        return None
    for name in plan.flags:
        if data[name] != 0:  # most say that there is nothing; false is zero too
            return None
    try:
        ts = measuring_time(service.time, context, service.time_field)
        begun = sound_row(data, plan.sound, meter_id, ts, context.source, VALVE_WORDS)
        if begun is None:
            return None
        row, extra = begun
        fields: dict[str, Any] = {}
        for name in plan.special:
            if not _read_special(name, number(data[name]), fields):
                extra[name] = data[name]
        for column, value in fields.items():
            place, check = CHECKS[column]
            row[place] = check(column, value)
    except DecodingError:
        return None
    return end_row(row, extra, "longi" if plan.longi else "ctwing")


@lru_cache(maxsize=1_000)
def _plan(names: tuple[str, ...]) -> _Plan | None:
    """Return where the fields of data with these names go; None where two of them could fill one column."""
    columns: dict[str, tuple[tuple[str, float], ...]] = {}
    kinds: dict[str, list[str]] = {kind: [] for kind in ("columns", "special", "flags", "beside")}
    for name in names:
        kinds[_kind(name)].append(name)
    filled = [_COLUMNS[name][0] for name in kinds["columns"]] + [_SPECIAL_COLUMNS[name] for name in kinds["special"]]
    if not names or len({*filled}) < len(filled) or not _CODES.isdisjoint(names):
        return None
    for name in kinds["columns"]:
        column, factor = _COLUMNS[name]
        columns[column] = ((name, factor),)
    return _Plan(
        sound=make_sound_plan(columns, beside=tuple(kinds["beside"])),
        special=tuple(kinds["special"]),
        flags=tuple(kinds["flags"]),
        longi=not _LONGI_SIGNS.isdisjoint(names),
    )


def _kind(name: str) -> str:
    if name in _COLUMNS:
        return "columns"
    if name in _SPECIAL:
        return "special"
    return "flags" if name in _FLAGS or _FLAG.fullmatch(name) else "beside"


def _with_values(readings: dict[int, _Reading]) -> dict[int, _Reading]:
    """Return the readings that hold a value; schedules and settings of other times are kept beside the first."""
    if len(readings) < 2:
        return readings
    valued = {ts: reading for ts, reading in readings.items() if _has_value(reading)}
    if not valued:
        return readings
    first = next(iter(valued.values()))
    for ts, reading in readings.items():
        if ts not in valued:
            first.extra.update({name: value for name, value in reading.extra.items() if name not in first.extra})
    return valued


def _has_value(reading: _Reading) -> bool:
    return any(value is not None and value != [] for value in reading.fields.values())


def _meter(document: Mapping[str, Any], context: Context) -> str:
    """Return the meter that payload and topic name."""
    found = document.get("deviceId")
    if found is None:
        header = _object(_object(document.get("notify_data")).get("header"))
        places = (document, header, _object(document.get("payload")))
        found = next((one[name] for one in places for name in _DEVICE if one.get(name) is not None), None)
    named = level_after(context.topic, "devices") if context.topic and context.topic.startswith("$oc/") else None
    if found is None and named is None:
        raise DecodingError("no_meter_id", f"none of {', '.join(_DEVICE)} names a device")
    meter_id = context.meter_id(named if found is None else found)
    if named is not None:
        check_topic(named, found, meter_id, context)
    return meter_id


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _services(document: Mapping[str, Any]) -> Iterator[_Service]:
    """Yield the services of a message, whatever its envelope."""
    notified = _object(_object(document["notify_data"]).get("body")) if "notify_data" in document else {}
    found = document.get("services", notified.get("services"))
    listed = found if isinstance(found, list) else [document["service"]] if "service" in document else None
    if listed is not None:
        for index, item in enumerate(listed):
            service = _object(item)
            name = service.get("serviceId", service.get("service_id", index))
            data = service.get("data", service.get("properties"))
            yield _Service(name, data, *_time(service, ("eventTime", "event_time")))
        return
    time = _time(document, ("eventTime", "event_time", "timestamp"))
    if isinstance(document.get("payload"), dict):
        payload = document["payload"]
        data = payload.get("serviceData", {name: value for name, value in payload.items() if name != "serviceId"})
        yield _Service("payload", data, *time)
    elif "eventContent" in document:
        yield _Service("eventContent", document["eventContent"], *time)
    else:
        yield _Service("message", {name: value for name, value in document.items() if name not in _ENVELOPE}, *time)


def _time(fields: Mapping[str, Any], names: tuple[str, ...]) -> tuple[object, str]:
    """Return the first time that is there, and the name of its field."""
    found = next((name for name in names if fields.get(name) is not None), names[0])
    return fields.get(found), found


def _read(data: Mapping[str, Any], reading: _Reading) -> None:
    """Add the measurements and codes of a service to a reading."""
    fields, extra, longi, _ = reading
    codes: list[str] = fields.setdefault("error_codes", [])
    if not _LONGI_SIGNS.isdisjoint(data):
        longi.update(_LONGI_SIGNS & data.keys())
    for name, value in data.items():
        column = _COLUMNS.get(name)
        if column is not None:
            asis = column[0] == "firmware" or (column[1] == 1 and type(value) is float)
            fields[column[0]] = value if asis else scaled(value, column[1])
        elif name in _SPECIAL:
            if not _read_special(name, number(value), fields):
                extra[name] = value
        elif name in _CODES:
            _read_codes(name, value, fields, extra)
        elif name in _FLAGS or (len(name) <= _LONGEST_FLAG and _is_flag(name)):
            _read_flag(name, value, codes, extra)
        else:
            extra[name] = value


@lru_cache(maxsize=1_000)
def _is_flag(name: str) -> bool:
    return _FLAG.fullmatch(name) is not None


def _read_flag(name: str, value: object, codes: list[str], extra: dict[str, Any]) -> None:
    """Take an alarm that is raised by its name; anything but a truth value is kept."""
    if value == 0:  # by far the most common one; false is one too
        return
    known = number(value.strip() if isinstance(value, str) else value)
    if known in (1, "true", "TRUE", "True") and name not in codes:
        codes.append(name)
    elif known not in (0, None, "", "false", "FALSE", "False"):
        extra[name] = value


def _read_codes(name: str, value: object, fields: dict[str, Any], extra: dict[str, Any]) -> None:
    """Take a field with a code, or the status word that it is as a number; anything else is kept."""
    if value is None:
        return
    found = Codes()
    found.codes, found.status = fields["error_codes"], fields.get("status")
    try:
        taken = found.add(name, value)
    except DecodingError:
        taken = False
    if taken:
        fields["status"] = found.status
    else:
        extra[name] = value


def _read_special(name: str, value: Any, fields: dict[str, Any]) -> bool:
    """Take a field whose value says what it is; return whether it was one."""
    kind = type(value)
    if kind is bool and name != "isvalveclose":
        return False
    numeric = kind is int or kind is float
    if name == "batteryLevel" and numeric and value > _SMALLEST_CENTIVOLT:
        fields["battery_v"] = value / 100
    elif name in _VOLTAGE and numeric and 0 <= value <= MOST_VOLTS:
        fields["battery_v"] = value
    elif name in _SIGNAL and numeric and value < 0:
        fields["rssi_dbm"] = value
    elif name in _VALVE and isinstance(value, str) and value.lower() in VALVE_WORDS:
        fields["valve_state"] = VALVE_WORDS[value.lower()]
    elif name == "isvalveclose" and value in (0, 1):
        fields["valve_state"] = "closed" if value else "open"
    else:
        return False
    return True
