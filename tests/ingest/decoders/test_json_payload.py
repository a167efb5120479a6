"""What the JSON shapes share."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.json_payload import (
    Codes,
    check_topic,
    measuring_time,
    named_device,
    number,
    outline,
    read_json,
    scaled,
    split_codes,
)
from lake.errors import DecodingError
from tests.ingest.messages import NOW, context

ANY = msgspec.json.Decoder(dict)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(b"", "not_json"), (b"{", "not_json"), (b"[]", "wrong_type"), (b'{"a":1e999}', "not_finite"),
     (b"\xff", "not_json"), (b'{"a":"\xff"}', "not_json"), (b'{"a":' * 100_000, "too_deep"), (b"7", "wrong_type"),
     (b'{"a":NaN}', "not_json")],
)  # fmt: skip
def test_read_json_refuses(payload: bytes, reason: str) -> None:
    """What cannot be read says why, whatever the bytes."""
    with pytest.raises(DecodingError) as caught:
        read_json(ANY, payload)

    assert reason == caught.value.reason


def test_outline_of_object_and_array() -> None:
    """The outermost fields of an object, or of the first of an array."""
    assert (False, {"a"}) == (outline(b' {"a": [1]}').is_array, outline(b' {"a": [1]}').fields.keys())
    assert (True, {"b"}) == (outline(b'[{"b": 1}]').is_array, outline(b'[{"b": 1}]').fields.keys())
    assert (True, set()) == (outline(b"[]").is_array, set(outline(b"[]").fields))


@given(st.binary())
def test_outline_of_arbitrary_bytes(payload: bytes) -> None:
    """Nothing is raised."""
    assert isinstance(outline(payload).is_array, bool)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1.5", 1.5), (" -2e3 ", -2000.0), (".5", 0.5), ("1_000", "1_000"), ("NaN", "NaN"), ("inf", "inf"),
     ("0x10", "0x10"), ("١", "١"), ("1" * 65, "1" * 65), (True, True), (None, None), (7, 7)],
)  # fmt: skip
def test_number(value: object, expected: object) -> None:
    """Plain decimal numbers in texts are numbers; what Python would take besides is not."""
    assert expected == number(value)


def test_scaled() -> None:
    """A factor below one divides, so that the result is the float next to the decimal number."""
    assert (3.608, 12.345, "x", True) == (
        scaled(3608, 1e-3),
        scaled("12345", 1e-3),
        scaled("x", 1e-3),
        scaled(True, 1e-3),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DRY BURST", ["DRY", "BURST"]),
        ("DRY,BURST", ["DRY", "BURST"]),
        ("DRY | BURST;LEAK", ["DRY", "BURST", "LEAK"]),
        ("DRY BURST, LEAK", ["DRY", "BURST", "LEAK"]),
        ("DRY\nBURST DRY", ["DRY", "BURST"]),
        ("leak, low battery", ["leak", "low battery"]),
        ("Low Battery", ["Low Battery"]),
        ("water_shortage water_leakage", ["water_shortage", "water_leakage"]),
        ("water_shortage & water_leakage", ["water_shortage", "water_leakage"]),
        ("ERROR_FLAGS_1100 HF", ["ERROR_FLAGS_1100", "HF"]),
        ("OK", []),
        (" ok ", []),
        ("null", []),
        ("no_alarm", []),
        ("No Error", []),
        ("", []),
        ("OK OK", []),
        ("漏水", ["漏水"]),
    ],
)
def test_split_codes(text: str, expected: list[str]) -> None:
    """Several words are several codes, phrases stay whole, words for none are none."""
    assert expected == split_codes(text)


def test_codes_of_truth_values() -> None:
    """A field that is true is a code by its name."""
    codes = Codes()
    for name, value in {"alarm": True, "fault": False, "Alarm": "TRUE", "error": "false", "leak": "0"}.items():
        codes.add(name, value)

    assert (["alarm", "Alarm"], 0) == (codes.codes, codes.status)


def test_measuring_time_of_receipt() -> None:
    """Without a time that of receipt holds; without either there is none."""
    assert measuring_time(None, context()) == measuring_time("", context()) == NOW
    with pytest.raises(DecodingError, match="no_time"):
        measuring_time(None, context(received_at=None))


def test_named_device() -> None:
    """Spaces become underscores, aliases hold, other characters are refused."""
    known = context()._replace(aliases={"device a": "4711", "yard_1": "12"})

    assert ("4711", "12", "b_c") == tuple(named_device(name, known) for name in ("Device A", "Yard 1", "b c"))
    for name in ("a/b", "<x>", "", 7, None):
        with pytest.raises(DecodingError, match="bad_meter_id"):
            named_device(name, known)


def test_check_topic() -> None:
    """A topic may name the device by an alias, and must not name another one."""
    known = context()._replace(aliases={"flat-3": "4711"})
    check_topic("flat-3", "4711", "4711", known)
    check_topic(None, "4711", "4711", known)
    with pytest.raises(DecodingError, match="meter_id_mismatch"):
        check_topic("flat-4", "4711", "4711", known)
