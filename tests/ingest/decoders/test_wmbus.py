"""Wireless M-Bus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.wmbus import WmbusDecoder, is_wmbus
from ingest.keys import Keys
from ingest.message import Decoded
from tests.ingest.decoders.frames import (
    ell_ctr,
    en13757_crc,
    format_a,
    format_b,
    link_address,
    mode_5,
    mode_7,
    short_header,
    wireless,
)  # fmt: skip
from tests.ingest.decoders.golden import attempt, cases, outcome
from tests.ingest.messages import context, named

KEY = bytes(range(16))
RECORDS = bytes.fromhex("0413393000004413102700000159060167 15".replace(" ", ""))
PLAIN = wireless(short_header(status=4) + RECORDS)
COVERED = {
    "format_a": format_a(PLAIN),
    "format_b": format_b(PLAIN),
    "format_b_two_blocks": format_b(wireless(short_header() + RECORDS * 7)),
    "mode_7": wireless(mode_7(RECORDS, KEY)),
    "ell_ctr": wireless(ell_ctr(b"\x78" + RECORDS, KEY)),
    "ell_clear": wireless(ell_ctr(b"\x78" + RECORDS, None)),
}


def decode(payload: bytes, memory: dict[str, Any] | None = None, key: bytes = KEY) -> Decoded:
    """Return what the decoder reads; a payload that it refuses is a rejection."""
    known = {} if memory is None else memory
    return attempt(WmbusDecoder(), payload, context(topic=None)._replace(keys=Keys({"default": key}), memory=known))


def volumes(decoded: Decoded) -> set[float | None]:
    """Return the registers of all readings."""
    return {named(row).get("volume_m3") for row in decoded.rows}


@pytest.mark.parametrize("file", cases("wmbus"), ids=lambda file: file.stem)
def test_wmbus_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "wmbus")


@pytest.mark.parametrize("name", COVERED)
def test_wmbus_damaged_bit(name: str) -> None:
    """A frame that CRC or signature cover is refused with any bit changed, or tells the same register."""
    frame = COVERED[name]
    assert {12.345} == volumes(decode(frame))
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        assert volumes(decode(bytes(damaged))) <= {12.345}


@pytest.mark.parametrize("name", [*COVERED, "mode_5"])
def test_wmbus_cut_short(name: str) -> None:
    """A frame that is cut short anywhere gives nothing."""
    frame = COVERED.get(name) or wireless(mode_5(RECORDS, KEY))

    assert {0} == {len(decode(frame[:length]).rows) for length in range(len(frame))}


@given(st.binary(min_size=16, max_size=16), st.sampled_from(["mode_5", "mode_7", "ell_ctr"]))
def test_wmbus_wrong_key(key: bytes, name: str) -> None:
    """A wrong key gives no reading."""
    frame = COVERED.get(name) or wireless(mode_5(RECORDS, KEY))

    assert (key == KEY) == bool(decode(frame, key=key).rows)


@given(st.binary(max_size=80))
def test_wmbus_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    assert len(decode(payload).rows) <= 1


@given(
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"\x72", b"\x7a\x2a\x00\x00\x00", b"\x7a\x2a\x00\x20\x05", b"\x7a\x2a\x00\x20\x07", b"\x8c\x20\x11",
         b"\x8d\x20\x11", b"\x8e", b"\x8f", b"\x90\x0f\x00\x2c", b"\x90\x02\x00\x00", b"\x79", b"\x78", b"\x73"]
    ),
    st.booleans(),
)  # fmt: skip
def test_wmbus_arbitrary_content(content: bytes, head: bytes, crcs: bool) -> None:
    """Any bytes behind a link layer become one reading or a DecodingError."""
    frame = wireless(head + content)

    assert len(decode(format_a(frame) if crcs else frame).rows) <= 1


def test_wmbus_repeater() -> None:
    """The bit that a repeater sets does not change what the meter encrypted."""
    frame = bytearray(COVERED["ell_ctr"])
    frame[11] |= 0x10

    assert {12.345} == volumes(decode(bytes(frame)))


def test_wmbus_learns_formats() -> None:
    """Formats of compact frames are learnt from full ones, kept as JSON, and bounded."""
    memory: dict[str, Any] = {}
    for number in range(300):
        header = bytes([0x84, 0x80 | number & 0x0F, number >> 4, 0x13])
        decode(wireless(ell_ctr(b"\x78" + header + bytes(4), KEY)), memory)
    memory = json.loads(json.dumps(memory))
    full = header + bytes(4)
    compact = b"\x79" + en13757_crc(header)[::-1] + en13757_crc(full)[::-1] + bytes(4)
    decode(wireless(ell_ctr(b"\x78\x04\x13" + bytes(4), KEY)), memory)
    known = b"\x79" + en13757_crc(b"\x04\x13")[::-1] + en13757_crc(b"\x04\x13\x07\x00\x00\x00")[::-1] + b"\x07\0\0\0"

    assert 200 == len(memory["formats"])
    assert {0.007} == volumes(decode(wireless(ell_ctr(known, KEY)), memory))
    assert set() == volumes(decode(wireless(ell_ctr(compact, KEY))))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (PLAIN, True),
        (format_a(PLAIN), True),
        (PLAIN.hex().encode(), True),
        (b'{"telegram": "' + PLAIN.hex().encode() + b'", "rssi_dbm": -70}', True),
        (PLAIN[:-1], False),
        (wireless(RECORDS, link_address(), control=0x08), False),
        (b"", False),
    ],
)
def test_is_wmbus(payload: bytes, expected: bool) -> None:
    """A frame that a meter sent is told from its first bytes and its length."""
    assert expected == is_wmbus(payload)
