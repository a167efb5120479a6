"""Service data of Huawei, CTWing and Longi."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.huawei import HuaweiDecoder
from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from ingest.message import Channel, RawMessage
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.decoders.hostile import VALUES, check_bytes, check_json, objects
from tests.ingest.messages import NOW, now

TOPIC = "nb/water"

DATA = objects(
    "currentReading", "batteryLevel", "signalStrength", "rssi", "snr", "cc", "valveStatus", "sensorAlarm", "mialarm",
    "softVersion", "isvalveclose", "reederr", "cumulunt", "currentCellVoltage", "unknownFault", "intervalFlow",
    "battery_voltage", "error_code", "errorCode", "low_flow_alarm",
)  # fmt: skip
SERVICE = st.fixed_dictionaries({"serviceId": VALUES, "data": st.one_of(DATA, VALUES), "eventTime": VALUES})
DOCUMENTS = st.one_of(
    VALUES,
    DATA.map(lambda fields: {"deviceId": "d1"} | fields),
    objects(
        "deviceId", "service", "services", "payload", "notify_data", "timestamp", "imei", "eventContent", "devices"
    ),
    st.fixed_dictionaries({"deviceId": st.just("d1"), "eventContent": st.one_of(DATA, VALUES), "timestamp": VALUES}),
    st.fixed_dictionaries({"devices": st.lists(st.one_of(VALUES, objects("device_id", "services")), max_size=3)}),
    st.fixed_dictionaries({"deviceId": st.just("d1"), "services": st.lists(st.one_of(SERVICE, VALUES), max_size=3)}),
    st.fixed_dictionaries({"deviceId": st.just("d1"), "payload": st.one_of(DATA, VALUES), "timestamp": VALUES}),
)


@pytest.mark.parametrize("file", cases("huawei"), ids=lambda file: file.stem)
def test_huawei_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "huawei")


@pytest.mark.parametrize(
    ("field", "document"),
    [
        ("timestamp", {"imei": "8661", "cumulunt": 1, "isvalveclose": 0, "timestamp": "2024-06-01 08:00:00"}),
        (
            "event_time",
            {"deviceId": "d1", "services": [{"properties": {"cc": 1}, "event_time": "2024-06-01T08:00:00"}]},
        ),
        ("eventTime", {"deviceId": "d1", "service": {"data": {"cc": 1}, "eventTime": "2024-06-01T08:00:00"}}),
    ],
)
def test_huawei_time_without_zone_names_its_field(field: str, document: dict[str, object]) -> None:
    """Where nobody knows the zone, the rejection names the field that holds the time."""
    channel = Channel("mqtt", "huawei", "s", enveloped=False)
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), now)

    decoded = decoder.decode(RawMessage(1, channel, TOPIC, NOW, json.dumps(document).encode()))

    assert ["no_time_zone"] == [rejection.reason for rejection in decoded.rejections]
    assert f": {field} '2024" in decoded.rejections[0].detail


@pytest.mark.parametrize("local", ["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"])
@pytest.mark.parametrize("timezone", ["Asia/Shanghai", "America/Lima"])
def test_huawei_local_time_at_the_ends_of_time(local: str, timezone: str) -> None:
    """The first and the last local time that can be written are refused as implausible."""
    document = {"deviceId": "d1", "service": {"data": {"cc": 1}, "eventTime": local}}
    channel = Channel("mqtt", "huawei", "s", enveloped=False)
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), now, timezone=timezone)

    decoded = decoder.decode(RawMessage(1, channel, TOPIC, NOW, json.dumps(document).encode()))

    reason = "time_too_early" if local.startswith("0001") else "time_in_future"
    assert [reason] == [rejection.reason for rejection in decoded.rejections]


@given(st.binary())
def test_huawei_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    check_bytes(HuaweiDecoder(), payload, TOPIC)


@given(DOCUMENTS, st.sampled_from([TOPIC, None, "city/7"]))
def test_huawei_hostile_fields(document: object, topic: str | None) -> None:
    """Whatever stands in the fields, the message becomes rows or rejections, or raises a DecodingError."""
    check_json(HuaweiDecoder(), document, topic)
