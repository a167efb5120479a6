"""Binary frames as bytes, text and JSON."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import shapes
from ingest.frames.wrapped_frame import FRAME_FIELDS, glimpse, unwrap
from lake.errors import DecodingError
from tests.ingest.decoders.golden import cases, payload_of

FRAMES = st.binary(min_size=16, max_size=60).map(lambda tail: b"\x68\x81\x00" + tail)  # no text, as frames are


@given(FRAMES, st.sampled_from(["", " ", ":", "-"]), st.booleans(), st.sampled_from(FRAME_FIELDS))
def test_unwrap_every_form(frame: bytes, mark: str, upper: bool, field: str) -> None:
    """Bytes, hex text with and without marks, base64, and JSON of these give the same frame and are seen as it."""
    text = frame.hex(mark) if mark else frame.hex()
    texts = [text.upper() if upper else text, base64.b64encode(frame).decode()]
    forms = [frame, *(each.encode() for each in texts), *(json.dumps({field: each}).encode() for each in texts)]

    for form in forms:
        assert frame == unwrap(form).frame
        head, length = glimpse(form)
        assert (True, len(frame)) == (len(head) >= 16 and frame.startswith(head), length)


@given(st.binary(max_size=100))
def test_glimpse_arbitrary_bytes(payload: bytes) -> None:
    """Any bytes are looked at without an error, and at most one shape knows them for its own."""
    for each in (payload, b'{"data": "' + payload + b'"}'):
        glimpse(each)
        assert sum(shape.recognises(each) for shape in shapes().values()) <= 1


@pytest.mark.parametrize(
    "file",
    [file for shape in ("cjt188", "mbus", "wmbus") for file in cases(shape)],
    ids=lambda file: f"{file.parent.name}-{file.stem}",
)
def test_recognised_by_one_shape(file: Path) -> None:
    """A payload is known for its shape unless its file excepts it, and never for another one."""
    case = json.loads(file.read_text(encoding="utf-8"))
    names = [name for name, shape in shapes().items() if shape.recognises(payload_of(case))]

    assert ([file.parent.name] if case.get("recognised", True) else []) == names


def test_unwrap_wrapper_fields() -> None:
    """Fields of the contract, what has no place, and what the decoder itself uses are told apart."""
    wrapped = unwrap(b'{"data": "68", "rssi_dbm": -90, "ts": 1, "meter_id": "m", "imei": "8", "encrypted": true}')

    assert (b"\x68", {"rssi_dbm": -90}, {"imei": "8"}, True) == (
        wrapped.frame, wrapped.values, wrapped.extra, wrapped.encrypted
    )  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{}", "not_frame"),
        (b'{"data": null}', "not_frame"),
        (b'{"data": "6"}', "not_frame"),
        (b'{"data": "68 1"}', "not_frame"),
        (b'{"data": "\xc3\xa4"}', "not_frame"),
        (b'{"data": {"data": "68"}}', "wrong_type"),
        (b'{"frame": 68}', "wrong_type"),
    ],
)
def test_unwrap_no_frame(payload: bytes, reason: str) -> None:
    """JSON without a frame is refused and says why."""
    with pytest.raises(DecodingError) as caught:
        unwrap(payload)

    assert reason == caught.value.reason
