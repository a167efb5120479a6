"""The short way of the JSON shapes: the same readings as the long one, whatever stands in the fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import huawei, shapes
from ingest.decoders.field_reader import FieldReader
from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from ingest.message import Channel, RawMessage
from tests.ingest.decoders.hostile import VALUES
from tests.ingest.messages import NOW

Make = Callable[[dict[str, Any], dict[str, Any]], tuple[str, Any]]
FieldSets = st.SearchStrategy[tuple[dict[str, Any], dict[str, Any]]]
TIME = "2024-06-01T09:00:00.25Z"

NUMBERS = st.one_of(
    st.floats(),
    st.integers(-200, 4000),
    st.sampled_from([0, -0.0, 127, -100, 101, 1e12, 1.1e12, 1e15, 2**63, "12.5"]),
)
FIELDS = (
    "volume_m3", "total_m3", "volume_l", "batteryVoltage", "battery_v", "battery_mv", "rssi_dbm", "rssi", "snr_db",
    "flow", "water_temperature_c", "flow_temperature_c", "external_temperature_c", "coverage_class", "valve_state",
    "valve", "valve_command", "state", "current_device_status", "fault", "status", "current_status", "alarm",
    "error_codes", "leak", "tamper", "firmware", "valid", "seq", "x", "values", "ts", "timestamp_utc", "last_seen",
    "currentReading", "cumulunt", "currentCellVoltage", "temperature", "waterTemperature", "snr", "cc", "softVersion",
    "signalStrength", "valveStatus", "isvalveclose", "batteryLevel", "isvalveerr", "leaking", "pressureAlarm",
    "battery_voltage", "error_code", "ecl", "low_flow_alarm", "water_flow", "d_begin_water_total", "d_begin_time",
    "driver", "meter", "unit", "water_unit", "water", "leak_count",
)  # fmt: skip
WORDS = st.sampled_from(
    ["L", "gal", "1", "TRUE",
     "", "OK", "ok", "DRY BURST", "open", "OFF", "closed", "close", "ajar", "normal_state", "true", "0x10", "17",
     "null", "izar", "A" * 250, "A" * 300, None, True, False, 0, 1, 7, 2**63, [], ["E1"], [[]], {"a": {"b": 1}}]
)  # fmt: skip


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    """Return an object most of whose fields are in order."""
    names = draw(st.lists(st.sampled_from(FIELDS), max_size=6, unique=True))
    value = st.one_of(NUMBERS, WORDS, VALUES, st.sampled_from([31, 32, 33, 40]).map(nested))
    return (
        {"volume_m3": draw(NUMBERS)} | {name: draw(value) for name in names}
        if draw(st.booleans())
        else {name: draw(value) for name in names}
    )


BESIDE = st.dictionaries(
    st.sampled_from(["fPort", "dr", "f_port", "fCnt", "f_cnt", "deviceInfo", "time", "rxInfo", "rx_metadata", "data",
                     "frm_payload", "received_at", "new", "devEui", "t", "eventTime", "device", "media", "name",
                     "last_battery_percentage", "normalized_payload"]),
    st.one_of(VALUES, WORDS, st.sampled_from([TIME, "2024-06-01T09:00:00", "20240601T095244Z", 1717232400000]),
              st.sampled_from([[{"rssi": -90, "snr": 5.5}], [{"rssi": -90}], [{"rssi": "x", "snr": 1}],
                               [{"snr": 1e13}]])),
    max_size=3,
)  # fmt: skip


def _chirpstack(found: dict[str, Any], beside: dict[str, Any]) -> tuple[str, Any]:
    envelope = {"deviceInfo": {"devEui": "0018b20000000001", "deviceName": "m"}, "time": TIME, "fCnt": 1, "dr": 5,
                "rxInfo": [{"rssi": -98, "snr": 5.5}], "object": found, "data": "AQID"}  # fmt: skip
    return "application/7/device/0018b20000000001/event/up", envelope | beside


def _ttn(found: dict[str, Any], beside: dict[str, Any]) -> tuple[str, Any]:
    message = {"f_cnt": 3, "f_port": 1, "decoded_payload": found, "rx_metadata": [{"rssi": -69, "snr": 8.25}]}
    envelope = {"end_device_ids": {"device_id": "m1", "dev_eui": "0018B20000000001"}, "received_at": TIME}
    outer = {name: value for name, value in beside.items() if name < "m"}
    return "v3/water@city/devices/m1/up", envelope | outer | {"uplink_message": message | beside}


def _huawei(found: dict[str, Any], beside: dict[str, Any]) -> tuple[str, Any]:
    service = {"serviceId": "Water", "data": found, "eventTime": "20240601T085244Z"} | beside
    return "nb/water", {"deviceId": "866123000000001", "service": service}


def _tuya(found: dict[str, Any], beside: dict[str, Any]) -> tuple[str, Any]:
    points = [{"code": name, "value": value, "t": beside.get("t", 1717232400000)} for name, value in found.items()]
    return "tuya/events", {"devId": "6c9d", "status": points}


MAKERS: dict[str, Make] = {
    "wmbusmeters": lambda found, beside: (
        "wmbusmeters/m", {"id": "70000001", "media": "cold water", "timestamp": TIME} | found | beside
    ),
    "thingsboard": lambda found, _: ("v1/devices/m/telemetry", {"ts": 1717232400123, "values": found}),
    "zigbee2mqtt": lambda found, beside: ("zigbee2mqtt/valve", found | beside),
    "chirpstack": _chirpstack,
    "ttn": _ttn,
    "huawei": _huawei,
    "tuya": _tuya,
}  # fmt: skip


class _Refusing:
    def decode(self, _payload: bytes) -> Any:
        raise msgspec.ValidationError


@contextmanager
def long_way(decoder: Any) -> Iterator[None]:
    """Close the short ways."""
    for name in ("_event", "_envelope"):
        if hasattr(decoder, name):
            setattr(decoder, name, _Refusing())
    with (
        patch.object(FieldReader, "begin_row", lambda *_: None),
        patch.object(huawei, "_sound_row", lambda *_: None),
    ):
        yield


def outcomes(shape: str, topic: str, document: Any) -> tuple[str, str]:
    """Return what the short way makes of a document, and what the long way does."""
    message = RawMessage(1, Channel("mqtt", shape, "s", enveloped=False), topic, NOW, json.dumps(document).encode())
    short = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)
    long = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)
    made = shapes()[shape].make()
    long._decoders[shape, ()] = made
    first = repr(short.decode(message))
    with long_way(made):
        return first, repr(long.decode(message))


@pytest.mark.parametrize("shape", MAKERS)
@given(fields(), BESIDE)
def test_sound_object_is_read_as_the_long_way_reads_it(
    shape: str, found: dict[str, Any], beside: dict[str, Any]
) -> None:
    """Both ways give the same rows and the same rejections, to the word."""
    short, long = outcomes(shape, *MAKERS[shape](found, beside))

    assert long == short


PLAIN: dict[str, dict[str, Any]] = {
    "wmbusmeters": {"total_m3": 1.5, "status": "OK", "flow_temperature_c": 11, "meter": "izar"},
    "thingsboard": {"volume_m3": 1.5, "battery_mv": 3600, "firmware": "1.2", "leak": False},
    "zigbee2mqtt": {"flow": 0.1, "state": "OFF", "current_device_status": "water_shortage"},
    "chirpstack": {"volume_m3": 1.5, "status": 4, "valve": "OPEN"},
    "ttn": {"volume_m3": 1.5, "status": "LEAK"},
    "huawei": {"currentReading": 1.5, "batteryLevel": 361, "signalStrength": -93, "sensorAlarm": 0,
               "valveStatus": "on"},
}  # fmt: skip


@pytest.mark.parametrize("shape", PLAIN)
def test_sound_object_takes_what_is_common(shape: str) -> None:
    """What most devices send goes the short way: the long one is never asked."""
    topic, document = MAKERS[shape](PLAIN[shape], {})
    message = RawMessage(1, Channel("mqtt", shape, "s", enveloped=False), topic, NOW, json.dumps(document).encode())
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), lambda: NOW)
    with (
        patch.object(FieldReader, "read", side_effect=AssertionError),
        patch.object(huawei, "_read", side_effect=AssertionError),
    ):
        decoded = decoder.decode(message)

    assert [] == decoded.rejections
    assert [decoded.rows[0]] == decoded.rows
    assert outcomes(shape, topic, document)[0] == outcomes(shape, topic, document)[1]


def test_sound_object_text_longer_than_a_code() -> None:
    """A status text from which a code comes that is too long is refused on either way."""
    short, long = outcomes("thingsboard", *MAKERS["thingsboard"]({"volume_m3": 1, "status": "A" * 257}, {}))

    assert long == short
    assert "wrong_value" in short
