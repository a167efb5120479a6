"""Service data of Huawei, CTWing and Longi."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.huawei import HuaweiDecoder
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.decoders.hostile import VALUES, check_bytes, check_json, objects

TOPIC = "nb/water"

DATA = objects(
    "currentReading", "batteryLevel", "signalStrength", "rssi", "snr", "cc", "valveStatus", "sensorAlarm", "mialarm",
    "softVersion", "isvalveclose", "reederr", "cumulunt", "currentCellVoltage", "unknownFault", "intervalFlow",
)  # fmt: skip
SERVICE = st.fixed_dictionaries({"serviceId": VALUES, "data": st.one_of(DATA, VALUES), "eventTime": VALUES})
DOCUMENTS = st.one_of(
    VALUES,
    DATA.map(lambda fields: {"deviceId": "d1"} | fields),
    objects("deviceId", "service", "services", "payload", "notify_data", "timestamp", "imei"),
    st.fixed_dictionaries({"deviceId": st.just("d1"), "services": st.lists(st.one_of(SERVICE, VALUES), max_size=3)}),
    st.fixed_dictionaries({"deviceId": st.just("d1"), "payload": st.one_of(DATA, VALUES), "timestamp": VALUES}),
)


@pytest.mark.parametrize("file", cases("huawei"), ids=lambda file: file.stem)
def test_huawei_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "huawei")


@given(st.binary())
def test_huawei_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    check_bytes(HuaweiDecoder(), payload, TOPIC)


@given(DOCUMENTS, st.sampled_from([TOPIC, None, "city/7"]))
def test_huawei_hostile_fields(document: object, topic: str | None) -> None:
    """Whatever stands in the fields, the message becomes rows or rejections, or raises a DecodingError."""
    check_json(HuaweiDecoder(), document, topic)
