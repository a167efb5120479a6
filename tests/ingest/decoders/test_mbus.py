"""Wired M-Bus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.mbus import MbusDecoder, is_mbus
from ingest.message import Decoded
from tests.ingest.decoders.frames import long_header, wired
from tests.ingest.decoders.golden import attempt, cases, outcome
from tests.ingest.messages import context, named

FRAME = wired(long_header(status=4) + bytes.fromhex("041339300000023B1200025A6900"))


def decode(payload: bytes) -> Decoded:
    """Return what the decoder reads; a payload that it refuses is a rejection."""
    return attempt(MbusDecoder(), payload, context(topic=None)._replace(memory={}))


@pytest.mark.parametrize("file", cases("mbus"), ids=lambda file: file.stem)
def test_mbus_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "mbus")


@pytest.mark.parametrize("place", range(len(FRAME)))
def test_mbus_damaged_byte(place: int) -> None:
    """A frame with one byte changed to any other gives nothing."""
    for value in set(range(256)) - {FRAME[place]}:
        assert [] == decode(FRAME[:place] + bytes([value]) + FRAME[place + 1 :]).rows


def test_mbus_cut_short() -> None:
    """A frame that is cut short anywhere gives nothing."""
    assert {0} == {len(decode(FRAME[:length]).rows) for length in range(len(FRAME))}


@given(st.binary(max_size=80))
def test_mbus_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    assert [] == decode(payload).rows


@given(st.binary(max_size=60), st.sampled_from([long_header(), b"\x7a\x2a\x00\x00\x00", b"\x78", b""]))
def test_mbus_arbitrary_records(records: bytes, header: bytes) -> None:
    """Any bytes within a frame whose checksum holds become one reading or one rejection."""
    decoded = decode(wired(header + records))

    assert len(decoded.rows) + len(decoded.rejections) == 1


def test_mbus_value_during_error_is_invalid() -> None:
    """A register during an error is no measurement, whatever number stands there."""
    [row] = decode(wired(long_header() + bytes.fromhex("341339300000"))).rows

    assert (None, ["volume_m3"]) == (named(row).get("volume_m3"), named(row)["invalid_fields"])


@pytest.mark.parametrize(
    ("payload", "expected"), [(FRAME, True), (FRAME.hex().encode(), True), (FRAME[1:], False), (b"h", False)]
)
def test_is_mbus(payload: bytes, expected: bool) -> None:
    """A long frame is told from its first bytes."""
    assert expected == is_mbus(payload)
