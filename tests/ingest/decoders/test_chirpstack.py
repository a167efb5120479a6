"""Uplinks of ChirpStack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.chirpstack import ChirpstackDecoder
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.decoders.hostile import VALUES, check_bytes, check_json, objects

TOPIC = "application/7f2e/device/0018b20000001a2b/event/up"

OBJECTS = objects(
    "volume_m3", "totalVolume", "status", "StatusCode", "Alarms", "alarm", "valve", "batteryVoltage", "battery_v", "ts",
    "current_volume_m3", "log_volume_m3", "delta_1_m3", "delta_2_m3", "delta_volumes", "ListOfMeasurements", "decoded",
    "timestamp_unix", "log_timestamp", "history_multiplier", "leakState", "metering", "water", "leak", "rssi",
)  # fmt: skip
DOCUMENTS = st.one_of(
    VALUES,
    objects("deviceInfo", "time", "fCnt", "rxInfo", "object", "data", "fPort"),
    st.fixed_dictionaries(
        {"deviceInfo": st.just({"devEui": "0018b20000001a2b"}), "object": OBJECTS},
        optional={
            "time": st.one_of(VALUES, st.just("2024-06-01T10:00:00Z")),
            "fCnt": VALUES,
            "rxInfo": st.one_of(VALUES, st.lists(objects("rssi", "snr"), max_size=3)),
        },
    ),
)


@pytest.mark.parametrize("file", cases("chirpstack"), ids=lambda file: file.stem)
def test_chirpstack_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "chirpstack")


@given(st.binary())
def test_chirpstack_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    check_bytes(ChirpstackDecoder(), payload, TOPIC)


@given(DOCUMENTS, st.sampled_from([TOPIC, None, "city/7"]))
def test_chirpstack_hostile_fields(document: object, topic: str | None) -> None:
    """Whatever stands in the fields, the message becomes rows or rejections, or raises a DecodingError."""
    check_json(ChirpstackDecoder(), document, topic)
