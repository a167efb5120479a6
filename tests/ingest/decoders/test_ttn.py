"""Uplinks of The Things Stack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.ttn import ThingsStackDecoder
from lake.errors import DecodingError
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.decoders.hostile import VALUES, check_bytes, check_json, objects
from tests.ingest.messages import context

TOPIC = "v3/water@city/devices/main-street-4/up"

MESSAGES = objects("decoded_payload", "f_cnt", "rx_metadata", "received_at", "frm_payload", "normalized_payload")
UPLINKS = st.fixed_dictionaries(
    {"decoded_payload": objects("volume_m3", "water", "status", "valve", "totalVolume", "current_volume_m3", "alarm")},
    optional={"f_cnt": VALUES, "rx_metadata": VALUES, "received_at": VALUES, "normalized_payload": VALUES},
)
DOCUMENTS = st.one_of(
    VALUES,
    objects("end_device_ids", "uplink_message", "received_at"),
    st.fixed_dictionaries(
        {
            "end_device_ids": st.one_of(st.just({"dev_eui": "0018B20000001A2C"}), objects("dev_eui", "device_id")),
            "uplink_message": st.one_of(MESSAGES, UPLINKS),
        },
        optional={"received_at": VALUES},
    ),
)


@pytest.mark.parametrize("file", cases("ttn"), ids=lambda file: file.stem)
def test_ttn_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "ttn")


@given(st.binary())
def test_ttn_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    check_bytes(ThingsStackDecoder(), payload, TOPIC)


@given(DOCUMENTS, st.sampled_from([TOPIC, None, "city/7"]))
def test_ttn_hostile_fields(document: object, topic: str | None) -> None:
    """Whatever stands in the fields, the message becomes rows or rejections, or raises a DecodingError."""
    check_json(ThingsStackDecoder(), document, topic)


@pytest.mark.parametrize(
    ("found", "detail"),
    [
        ({"volume_m3": "NaN"}, "not_finite.*volume_m3"),
        ({"decoded": {"volume_m3": "nan", "x": 1}}, "not_finite.*volume_m3"),
        ({"x": "NaN"}, "no_value.*known: x"),
        ({"volume_m3": None}, "no_value.*empty.*volume_m3"),
    ],
)
def test_ttn_object_without_a_measurement(found: dict[str, object], detail: str) -> None:
    """What is wrong with an object that holds no measurement is said, with the field."""
    document = {"end_device_ids": {"dev_eui": "0018B20000001A2C"}, "uplink_message": {"decoded_payload": found}}

    with pytest.raises(DecodingError, match=detail):
        ThingsStackDecoder().decode(json.dumps(document).encode(), context(TOPIC))
