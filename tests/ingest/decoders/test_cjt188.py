"""Raw CJ/T 188 frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import Context
from ingest.decoders.cjt188 import Cjt188Decoder, is_cjt188
from ingest.keys import Keys
from ingest.message import Decoded
from lake.vocabulary import QUARANTINE_REASONS
from tests.ingest.decoders.frames import aes_cbc, bcd, cjt188, cjt188_current
from tests.ingest.decoders.golden import attempt, cases, outcome
from tests.ingest.messages import context, named

KEY = bytes(range(16))
FRAME = cjt188(cjt188_current(status=0x0402), preamble=2)


def site(**known: object) -> Context:
    """Return a context of a site in Shanghai."""
    return context(topic=None)._replace(timezone="Asia/Shanghai", memory={}, **known)  # type: ignore[arg-type]


def decode(payload: bytes, **known: object) -> Decoded:
    """Return what the decoder reads; a payload that it refuses is a rejection."""
    return attempt(Cjt188Decoder(), payload, site(**known))


def volumes(decoded: Decoded) -> set[float | None]:
    """Return the registers of all readings."""
    return {named(row).get("volume_m3") for row in decoded.rows}


@pytest.mark.parametrize("file", cases("cjt188"), ids=lambda file: file.stem)
def test_cjt188_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "cjt188")


@pytest.mark.parametrize("place", range(len(FRAME)))
def test_cjt188_damaged_byte(place: int) -> None:
    """A frame with one byte changed to any other is refused, or tells the same register."""
    for value in range(256):
        damaged = FRAME[:place] + bytes([value]) + FRAME[place + 1 :]
        assert volumes(decode(damaged)) <= {1234.56}


def test_cjt188_cut_short() -> None:
    """A frame that is cut short anywhere gives nothing."""
    assert {0} == {len(decode(FRAME[:length]).rows) for length in range(len(FRAME))}


def test_cjt188_damage_costs_one_frame() -> None:
    """Of two frames a damaged byte takes one at most, and never changes the other."""
    payload = FRAME + cjt188(cjt188_current(volume=777), address="00000000000002", preamble=0)
    for place in range(len(payload)):
        damaged = payload[:place] + bytes([payload[place] ^ 0x5A]) + payload[place + 1 :]
        assert volumes(decode(damaged)) <= {1234.56, 7.77}


@given(
    st.integers(0, 99_999_999),
    st.sampled_from([(0x29, 1e5), (0x2A, 1e4), (0x2B, 1e3), (0x2C, 1e2), (0x2D, 10.0), (0x2E, 1.0)]),
    st.integers(0, 10**14 - 1),
    st.integers(0, 0xFFFF),
    st.sampled_from(["1F90", "901F"]),
)
def test_cjt188_reads_what_was_written(
    digits: int, unit: tuple[int, float], number: int, status: int, identifier: str
) -> None:
    """Register, unit, address and status come back, in either order of the identifier."""
    code, divisor = unit
    data = cjt188_current(digits, code, status=status, identifier=identifier)
    [row] = decode(cjt188(data, address=f"{number:014}")).rows

    assert (f"{number:014}", digits / divisor, status) == tuple(
        named(row)[name] for name in ("meter_id", "volume_m3", "status")
    )


@given(st.binary(max_size=80))
def test_cjt188_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    decoded = decode(payload)

    assert all(rejection.reason in QUARANTINE_REASONS for rejection in decoded.rejections)


@given(
    st.binary(max_size=40),
    st.sampled_from([0x10, 0x19, 0x20, 0x33]),
    st.sampled_from([0x81, 0x84, 0xC1, 0x01, 0xA1]),
    st.sampled_from([b"", b"\x1f\x90\x00", b"\x90\x1f\x00", b"\xd3\x00\x00", b"\xa0\x17\x00"]),
)
def test_cjt188_arbitrary_data(data: bytes, meter_type: int, control: int, head: bytes) -> None:
    """Any data within a frame whose checksum holds becomes one reading or one rejection."""
    decoded = decode(cjt188(head + data, meter_type=meter_type, control=control))

    assert len(decoded.rows) + len(decoded.rejections) == 1


@given(st.dictionaries(st.sampled_from(["data", "ts", "meter_id", "encrypted", "cipher", "iv", "rssi_dbm", "x"]),
                       st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.just(FRAME.hex()),
                                 st.lists(st.integers(), max_size=2))))  # fmt: skip
def test_cjt188_arbitrary_wrapper(document: dict[str, object]) -> None:
    """Whatever stands in a wrapper, the message becomes readings or a DecodingError."""
    assert volumes(decode(json.dumps(document).encode(), keys=Keys({"default": KEY}))) <= {1234.56}


@given(st.binary(min_size=16, max_size=16))
def test_cjt188_wrong_key(key: bytes) -> None:
    """A wrong key gives no register."""
    data = cjt188_current()
    frame = cjt188(aes_cbc(KEY, bytes(16), data + bytes(-len(data) % 16)))
    payload = json.dumps({"data": frame.hex(), "encrypted": True}).encode()

    assert volumes(decode(payload, keys=Keys({"default": key}))) <= ({1234.56} if key == KEY else set())


def test_cjt188_repeated_hour() -> None:
    """Meter times within the hour that comes twice are resolved by order, and told to be."""
    autumn = context(topic=None)._replace(timezone="Europe/Madrid", memory={})
    frames = [cjt188(cjt188_current(volume, clock="20231029023000")) for volume in (100, 200)]
    rows = [named(row) for frame in frames for row in Cjt188Decoder().decode(frame, autumn).rows]

    assert [True, True] == [row.get("ambiguous", False) for row in rows]
    assert 3600_000_000 == rows[1]["ts"] - rows[0]["ts"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (FRAME, True),
        (FRAME.hex().encode(), True),
        (FRAME.hex(" ").upper().encode() + b"\r\n", True),
        (b'{"ts": 1, "data": "' + FRAME.hex().encode() + b'"}', True),
        (b'{"deviceInfo": {}, "data": "' + FRAME.hex().encode() + b'"}', False),
        (cjt188(bcd(0, 3), control=0x01), False),
        (b"", False),
        (b"68", False),
        (b'{"volume_m3": 3}', False),
        (b"\xfe" * 20, False),
    ],
)
def test_is_cjt188(payload: bytes, expected: bool) -> None:
    """A meter's answer is told from its first bytes, in every form it comes in."""
    assert expected == is_cjt188(payload)
