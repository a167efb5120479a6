"""Valves behind Zigbee2MQTT."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.zigbee2mqtt import Zigbee2MqttDecoder
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.decoders.hostile import VALUES, check_bytes, check_json, objects

TOPIC = "zigbee2mqtt/garden valve"

DOCUMENTS = st.one_of(
    VALUES,
    objects(
        "state", "flow", "battery", "current_device_status", "valve_state", "last_seen", "device", "linkquality",
        "battery_voltage", "device_temperature", "battery_low",
    ),
)  # fmt: skip


@pytest.mark.parametrize("file", cases("zigbee2mqtt"), ids=lambda file: file.stem)
def test_zigbee2mqtt_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "zigbee2mqtt")


@given(st.binary())
def test_zigbee2mqtt_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    check_bytes(Zigbee2MqttDecoder(), payload, TOPIC)


@given(DOCUMENTS, st.sampled_from([TOPIC, None, "city/7"]))
def test_zigbee2mqtt_hostile_fields(document: object, topic: str | None) -> None:
    """Whatever stands in the fields, the message becomes rows or rejections, or raises a DecodingError."""
    check_json(Zigbee2MqttDecoder(), document, topic)
