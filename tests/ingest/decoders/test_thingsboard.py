"""Telemetry of ThingsBoard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.thingsboard import ThingsboardDecoder
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.decoders.hostile import VALUES, check_bytes, check_json, objects

TOPIC = "v1/devices/water-17/telemetry"

TELEMETRY = st.one_of(
    VALUES,
    objects(
        "water", "volume_m3", "ts", "status", "valveState", "batteryVoltage", "meter_id", "deviceName", "seq", "leak"
    ),
    st.fixed_dictionaries({"ts": VALUES, "values": objects("water", "totalVolume", "error_codes", "alarm", "rssi")}),
)
DOCUMENTS = st.one_of(TELEMETRY, st.lists(TELEMETRY, max_size=3), st.dictionaries(st.text(), st.lists(TELEMETRY)))


@pytest.mark.parametrize("file", cases("thingsboard"), ids=lambda file: file.stem)
def test_thingsboard_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "thingsboard")


@given(st.binary())
def test_thingsboard_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    check_bytes(ThingsboardDecoder(), payload, TOPIC)


@given(DOCUMENTS, st.sampled_from([TOPIC, None, "city/7"]))
def test_thingsboard_hostile_fields(document: object, topic: str | None) -> None:
    """Whatever stands in the fields, the message becomes rows or rejections, or raises a DecodingError."""
    check_json(ThingsboardDecoder(), document, topic)
