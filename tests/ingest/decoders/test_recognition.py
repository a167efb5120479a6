"""Which shape a payload is of, where the source does not say: exactly one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import shapes
from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from tests.ingest.decoders.golden import CASES, payload_of, topic_of
from tests.ingest.messages import now

GOLDEN = sorted(file for file in CASES.glob("*/*.json") if file.parent.name in shapes())


def _name(file: Path) -> str:
    return f"{file.parent.name}-{file.stem}"


def _by_content(payload: bytes) -> list[str]:
    return [name for name, shape in shapes().items() if shape.recognises(payload)]


@pytest.mark.parametrize("file", GOLDEN, ids=_name)
def test_recognition_of_golden_case(file: Path) -> None:
    """Topic or content show the shape of every case that its file does not except; no other shape claims it."""
    case = json.loads(file.read_text(encoding="utf-8"))
    payload, topic = payload_of(case), topic_of(case)
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), now)

    assert set(_by_content(payload)) <= {file.parent.name}
    if case.get("recognised", True):
        assert file.parent.name == decoder._recognised(topic, payload)


@pytest.mark.parametrize("name", sorted({file.parent.name for file in GOLDEN} - {"native"}))
def test_recognition_by_topic_or_content(name: str) -> None:
    """Every shape has a case that its topic or its content shows."""
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), now)
    found = [json.loads(file.read_text(encoding="utf-8")) for file in GOLDEN if file.parent.name == name]

    assert name in {decoder._recognised(topic_of(case), payload_of(case)) for case in found}


@pytest.mark.parametrize("name", ["wmbusmeters", "chirpstack", "ttn", "huawei", "tuya", "zigbee2mqtt", "thingsboard"])
def test_recognition_on_a_foreign_topic(name: str) -> None:
    """The plain case of a JSON shape is recognised on any topic."""
    plain = json.loads((CASES / name / "plain.json").read_text(encoding="utf-8"))
    decoder = MessageDecoder({}, 4_000_000, LocalClock(), now)

    assert name == decoder._recognised("city/anything", payload_of(plain))
    assert [name] == _by_content(payload_of(plain))


@given(st.binary())
def test_recognition_of_arbitrary_bytes(payload: bytes) -> None:
    """Nothing is raised, whatever the bytes."""
    assert len(_by_content(payload)) <= 1


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff{", b"{}", b"[]", b"[1]", b"", b" {"])
def test_recognition_of_broken_json(payload: bytes) -> None:
    """What is no object of any shape is left to the native decoder, which says what is wrong."""
    assert [] == _by_content(payload)
