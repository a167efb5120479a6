"""Data points of Tuya."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.tuya import TuyaDecoder
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.decoders.hostile import VALUES, check_bytes, check_json, objects

TOPIC = "tylink/d1/thing/property/report"

CODES = ("valve_state", "water_flow", "d_end_water_total", "d_end_time", "d_begin_water_total", "d_begin_time", "fault")
POINT = st.fixed_dictionaries(
    {"code": st.one_of(st.sampled_from(CODES), VALUES), "value": VALUES}, optional={"t": VALUES}
)
DOCUMENTS = st.one_of(
    VALUES,
    objects("devId", "status", "data", "t", *CODES),
    st.fixed_dictionaries({"devId": st.just("d1"), "status": st.lists(st.one_of(POINT, VALUES), max_size=4)}),
    st.fixed_dictionaries({"devId": st.just("d1"), "data": st.one_of(objects(*CODES), VALUES), "time": VALUES}),
    objects(*CODES).map(lambda fields: {"devId": "d1"} | fields),
)


@pytest.mark.parametrize("file", cases("tuya"), ids=lambda file: file.stem)
def test_tuya_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "tuya")


@given(st.binary())
def test_tuya_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    check_bytes(TuyaDecoder(), payload, TOPIC)


@given(DOCUMENTS, st.sampled_from([TOPIC, None, "city/7"]))
def test_tuya_hostile_fields(document: object, topic: str | None) -> None:
    """Whatever stands in the fields, the message becomes rows or rejections, or raises a DecodingError."""
    check_json(TuyaDecoder(), document, topic)
