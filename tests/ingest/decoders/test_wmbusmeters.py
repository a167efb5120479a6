"""The JSON of wmbusmeters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.wmbusmeters import WmbusmetersDecoder
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.decoders.hostile import VALUES, check_bytes, check_json, objects

TOPIC = "wmbusmeters/Cellar"

TELEGRAM = {"media": "water", "meter": "multical21", "name": "Cellar", "id": "70112233", "total_m3": 1.5,
            "timestamp": "2024-05-21T14:29:47Z"}  # fmt: skip
DOCUMENTS = st.one_of(
    VALUES,
    objects(
        "id", "timestamp", "media", "meter", "driver", "name", "status", "current_status", "error_flags", "alarms",
        "total_m3", "total_volume_m3", "total_l", "flow_m3h", "flow_temperature_c", "battery_v", "rssi_dbm",
    ).map(lambda fields: TELEGRAM | fields),
)  # fmt: skip


@pytest.mark.parametrize("file", cases("wmbusmeters"), ids=lambda file: file.stem)
def test_wmbusmeters_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "wmbusmeters")


@given(st.binary())
def test_wmbusmeters_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    check_bytes(WmbusmetersDecoder(), payload, TOPIC)


@given(DOCUMENTS, st.sampled_from([TOPIC, None, "city/7"]))
def test_wmbusmeters_hostile_fields(document: object, topic: str | None) -> None:
    """Whatever stands in the fields, the message becomes rows or rejections, or raises a DecodingError."""
    check_json(WmbusmetersDecoder(), document, topic)
