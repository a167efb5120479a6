"""The checks that every decoder shares."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.local_time import DAY, EARLIEST
from ingest.reading import (
    DEEPEST,
    agree_on_meter,
    build_row,
    check_codes,
    check_integer,
    check_number,
    check_text,
    check_time,
    encode_extra,
    meter_id_of_topic,
)
from lake.errors import DecodingError
from lake.vocabulary import MEASURES
from tests.ingest.messages import NOW, named

HOSTILE_IDS = ["", "a/b", "..", "../../etc/passwd", "<script>alert(1)</script>", "=1+1", "a" * 65, "a" * 10_000, "-a",
               "a b", "a\n", "a\0", "ａ", 4711, True, 1.5, [], {}]  # fmt: skip


def reason_of(call: object, *arguments: object) -> str:
    with pytest.raises(DecodingError) as caught:
        call(*arguments)  # type: ignore[operator]

    assert len(caught.value.detail) < 300
    return caught.value.reason


@pytest.mark.parametrize("value", HOSTILE_IDS)
def test_agree_on_meter_hostile_id(value: object) -> None:
    """An id that could be a path, markup, a formula or a book is refused, and shown shortened."""
    assert reason_of(agree_on_meter, value, None) == "bad_meter_id"


@pytest.mark.parametrize("value", ["4711", "A", "0018b2000000abcd", "a.b_c:d-e", "1" * 64])
def test_agree_on_meter_accepts(value: str) -> None:
    """Ids of the contract are taken from the payload or from the topic."""
    assert value == agree_on_meter(value, None)
    assert value == agree_on_meter(None, f"city/{value}/readings")
    assert value == agree_on_meter(value, f"meters/{value}/readings")


@pytest.mark.parametrize(
    ("topic", "expected"),
    [("meters/1/readings", "1"), ("readings", None), ("/readings", None), ("meters/1/state", None), (None, None)],
)
def test_meter_id_of_topic(topic: str | None, expected: str | None) -> None:
    """The level before ``/readings`` names the meter."""
    assert expected == meter_id_of_topic(topic)


def test_agree_on_meter_disagreement() -> None:
    """Topic and payload that name different meters are not trusted."""
    assert reason_of(agree_on_meter, "a", "meters/b/readings") == "meter_id_mismatch"


def test_agree_on_meter_nobody_tells() -> None:
    """Without an id there is no reading."""
    assert reason_of(agree_on_meter, None, "state/online") == "no_meter_id"


def test_agree_on_meter_hostile_topic() -> None:
    """A topic is as hostile as a payload."""
    assert reason_of(agree_on_meter, None, "meters/<img src=x>/readings") == "bad_meter_id"


@pytest.mark.parametrize(
    ("ts", "received_at", "expected"),
    [
        (EARLIEST - 1, NOW, "time_too_early"),
        (0, NOW, "time_too_early"),
        (NOW + DAY + 1, NOW, "time_in_future"),
        (NOW + DAY + 1, None, "time_in_future"),
        (2**62, NOW, "time_in_future"),
        (-(2**62), NOW, "time_too_early"),
    ],
)
def test_check_time_refuses(ts: int, received_at: int | None, expected: str) -> None:
    """Before 2000, or more than 24 h after receipt, a clock is wrong."""
    assert expected == reason_of(check_time, ts, received_at, NOW)


@pytest.mark.parametrize("ts", [EARLIEST, NOW, NOW + DAY])
def test_check_time_accepts_the_edges(ts: int) -> None:
    """The edges themselves are plausible; lateness alone is nothing."""
    check_time(ts, NOW, NOW)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e308, 1.0001e12, -1.0001e12, 10**400])
def test_check_number_not_finite(value: float) -> None:
    """What is not finite, or beyond 1e12, is no measurement."""
    assert reason_of(check_number, "volume_m3", value) == "not_finite"


@pytest.mark.parametrize("value", [True, False, "1", [], {}])
def test_check_number_wrong_type(value: object) -> None:
    """A truth value or a text is no number."""
    assert reason_of(check_number, "volume_m3", value) == "wrong_type"


@pytest.mark.parametrize(("value", "expected"), [(2**63, "not_finite"), (-(2**63) - 1, "not_finite"),
                                                 (1.5, "wrong_type"), (True, "wrong_type"), ("1", "wrong_type"),
                                                 (1e300, "not_finite")])  # fmt: skip
def test_check_integer_refuses(value: object, expected: str) -> None:
    """A counter is whole and fits 64 bits."""
    assert expected == reason_of(check_integer, "seq", value)


def test_check_integer_whole_float() -> None:
    """Writers without integers send 3.0."""
    assert check_integer("seq", 3.0) == 3


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [("valve_state", "OPEN", "wrong_value"), ("valve_command", "opened", "wrong_value"),
     ("valve_refusal", "tired", "wrong_value"), ("firmware", "x" * 257, "wrong_value"), ("firmware", 3, "wrong_type")],
)  # fmt: skip
def test_check_text_refuses(field: str, value: object, expected: str) -> None:
    """Fields with a list of words take these only; no text is a book."""
    assert expected == reason_of(check_text, field, value)


@pytest.mark.parametrize(("value", "expected"), [([], None), ([""], None), (["E1", "", "E2"], ["E1", "E2"])])
def test_check_codes(value: object, expected: object) -> None:
    """Empty codes are none."""
    assert expected == check_codes("error_codes", value)


@pytest.mark.parametrize("value", ["E1", 7, [7], {"a": 1}, [None]])
def test_check_codes_wrong_type(value: object) -> None:
    """Codes are a list of strings."""
    assert reason_of(check_codes, "error_codes", value) == "wrong_type"


def test_build_row_nothing_measured() -> None:
    """A reading needs a value, a status or a code."""
    with pytest.raises(DecodingError, match="no_value"):
        build_row({"firmware": "1", "seq": 3}, meter_id="m", ts=1, source="s", extra={})


def test_build_row_places_every_field() -> None:
    """Every field lands under its own name, and unknown names are passed over."""
    words = {"valve_state": "open", "valve_command": "close", "valve_refusal": "busy"}
    values = {name: words.get(name) or (1 if column.dtype == "int64" else 1.5) for name, column in MEASURES.items()}
    fields = values | {"seq": 9, "status": 4, "error_codes": ["E1"], "firmware": "1.0", "valid": True, "what": 3}
    row = build_row(fields, meter_id="m", ts=1, source="s", extra={"b": 1, "a": [2]}, ambiguous=True)

    fields.pop("what")
    assert fields | {
        "meter_id": "m", "ts": 1, "source": "s", "extra": '{"a":[2],"b":1}', "ambiguous": True
    } == named(row)  # fmt: skip


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def test_encode_extra_deep() -> None:
    """Unknown fields may be nested, but not without end."""
    assert encode_extra({"x": nested(DEEPEST)}).startswith('{"x":[[')
    assert reason_of(encode_extra, {"x": nested(DEEPEST + 1)}) == "too_deep"
    assert reason_of(encode_extra, {"x": nested(900)}) == "too_deep"


def test_encode_extra_huge_integer() -> None:
    """Unknown numbers are kept to the digit."""
    assert encode_extra({"x": 10**30}) == '{"x":1000000000000000000000000000000}'


NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(), JSON, min_size=1))
def test_encode_extra_keeps_everything(extra: dict[str, object]) -> None:
    """Unknown fields come back as they were."""
    assert extra == json.loads(encode_extra(extra))
