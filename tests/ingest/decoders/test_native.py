"""The native JSON of the contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.native import NativeDecoder
from ingest.local_time import microseconds
from ingest.reading import LARGEST
from lake.errors import DecodingError
from lake.vocabulary import MEASURES, VALVE_COMMANDS, VALVE_REFUSALS, VALVE_STATES
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.messages import context, named
from tests.ingest.test_reading import JSON

WORDS = {"valve_state": VALVE_STATES, "valve_command": VALVE_COMMANDS, "valve_refusal": VALVE_REFUSALS}


@pytest.mark.parametrize("file", cases("native"), ids=lambda file: file.stem)
def test_native_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case)


def _value(name: str) -> st.SearchStrategy[Any]:
    if name in WORDS:
        return st.sampled_from(WORDS[name])
    if MEASURES[name].dtype == "int64":
        return st.integers(-(2**63), 2**63 - 1)
    return st.floats(-LARGEST, LARGEST)


READINGS = st.fixed_dictionaries(
    {
        "meter_id": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True),
        "ts": st.datetimes(datetime(2000, 1, 1), datetime(2024, 6, 2), timezones=st.just(UTC)),  # noqa: DTZ001
        "volume_m3": st.floats(-LARGEST, LARGEST),
    },
    optional={
        **{name: _value(name) for name in MEASURES if name != "volume_m3"},
        "status": st.integers(-(2**63), 2**63 - 1),
        "seq": st.integers(-(2**63), 2**63 - 1),
        "error_codes": st.lists(st.text(min_size=1, max_size=256), min_size=1),
        "firmware": st.text(max_size=256),
        "source": st.text(min_size=1, max_size=256),
        "valid": st.booleans(),
    },
)


@given(READINGS)
def test_native_reads_what_was_written(reading: dict[str, Any]) -> None:
    """Every field of the contract comes back with its value."""
    payload = json.dumps(reading | {"ts": reading["ts"].isoformat()}).encode()
    [row] = NativeDecoder().decode(payload, context(topic=None)).rows

    assert {"source": "default"} | reading | {"ts": microseconds(reading["ts"])} == named(row)


ITEMS = st.dictionaries(
    st.sampled_from([*MEASURES, "meter_id", "ts", "status", "error_codes", "seq", "firmware", "valid", "source", "x"]),
    JSON,
)
PROFILES = st.fixed_dictionaries({}, optional={"start": JSON, "step_s": JSON, "volume_m3": JSON})


@given(st.lists(st.tuples(ITEMS, st.one_of(st.none(), JSON, PROFILES)), min_size=1, max_size=4))
def test_native_hostile_fields(items: list[tuple[dict[str, Any], object]]) -> None:
    """Whatever stands in the fields of the contract, every reading becomes rows or a rejection."""
    document = [{"ts": 1717236000, "status": 1} | item | {"profile": profile} for item, profile in items]
    decoded = NativeDecoder().decode(json.dumps(document).encode(), context())

    assert len(decoded.rows) + len(decoded.rejections) >= len(items)


@given(st.binary())
def test_native_arbitrary_bytes(payload: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    try:
        decoded = NativeDecoder().decode(payload, context())
    except DecodingError:
        return

    assert decoded.rows or decoded.rejections


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (7, "wrong_type"),
        ([], "wrong_type"),
        ({}, "wrong_value"),
        ({"step_s": 0}, "wrong_value"),
        ({"step_s": -3600}, "wrong_value"),
        ({"step_s": 1.5}, "wrong_value"),
        ({"step_s": True}, "wrong_value"),
        ({"step_s": 10**20}, "wrong_value"),
        ({"step_s": 3600}, "wrong_type"),
        ({"step_s": 3600, "volume_m3": 3}, "wrong_type"),
        ({"step_s": 3600, "volume_m3": [1]}, "no_time"),
        ({"step_s": 3600, "volume_m3": [1], "start": "today"}, "bad_time"),
        ({"step_s": 3600, "volume_m3": [1], "start": 1e14}, "time_in_future"),
        ({"step_s": 3600, "volume_m3": [1], "start": 0}, "time_too_early"),
        ({"step_s": 3600, "volume_m3": [1] * 100_001, "start": 1717113600}, "wrong_type"),
    ],
)
def test_native_bad_profile(profile: object, reason: str) -> None:
    """A profile that is none is refused and says why; the reading beside it stays."""
    payload = json.dumps({"ts": 1717236000, "volume_m3": 1, "profile": profile}).encode()
    decoded = NativeDecoder().decode(payload, context())

    assert [reason] == [rejection.reason for rejection in decoded.rejections]
    assert len(decoded.rows) == 1
