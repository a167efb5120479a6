"""Delimited text: columns, units, time formats and zones from the settings."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.delimited import DelimitedDecoder
from ingest.local_time import microseconds
from ingest.settings import CodecSettings
from lake.errors import DecodingError
from tests.ingest.decoders.golden import cases, outcome
from tests.ingest.messages import ALICANTE, context, named

MADRID = ZoneInfo("Europe/Madrid")


@pytest.mark.parametrize("file", cases("delimited"), ids=lambda file: file.stem)
def test_delimited_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case)


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True),
    st.datetimes(datetime(2000, 1, 2), datetime(2024, 6, 1)),  # noqa: DTZ001
    st.integers(-(10**12), 10**12),
)
def test_delimited_reads_what_was_written(meter_id: str, local: datetime, litres: int) -> None:
    """A row of the Alicante trial comes back as meter, UTC and cubic metres."""
    local = local.replace(microsecond=0)
    line = f"{meter_id};{local:%d/%m/%Y %H:%M:%S};{litres};0"
    if local.replace(tzinfo=MADRID).utcoffset() != local.replace(tzinfo=MADRID, fold=1).utcoffset():
        return  # the two odd hours of a year have their own tests
    [row] = DelimitedDecoder(ALICANTE).decode(line.encode(), context(topic=None)).rows

    assert {
        "meter_id": meter_id, "ts": microseconds(local.replace(tzinfo=MADRID)), "source": "default",
        "volume_m3": litres / 1000,
    } == named(row)  # fmt: skip


CODECS: list[dict[str, Any]] = [
    {"columns": {"meter_id": 1, "ts": 2, "volume_m3": 3}},
    {"columns": {"meter_id": 1, "ts": 2, "seq": 3, "status": 3}, "time_format": "epoch_s"},
    {"columns": {"meter_id": 1, "ts": 2, "valid": 3, "error_codes": 3, "battery_v": 3}, "time_format": "epoch_ms"},
    {"columns": {"meter_id": 1, "ts": 2, "battery_v": 3}, "time_format": "%d/%m/%Y %H:%M:%S", "timezone": "UTC"},
    {"columns": {"meter_id": 1, "ts": 2, "battery_v": 3}, "time_format": "%Y-%m-%d %H:%M %z", "encoding": "gb18030"},
]
CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["m1", "1717236000", "nan", "inf", "1e400", "9" * 30, "9" * 5000]),
    st.sampled_from(["2024-06-01T10:00:00Z", "01/06/2024 10:00:00", '"', "1_0"]),
    st.floats().map(str),
    st.integers().map(str),
)  # fmt: skip


@given(st.sampled_from(CODECS), st.lists(CELLS, max_size=5).map(",".join))
def test_delimited_hostile_cells(codec: dict[str, Any], line: str) -> None:
    """Whatever stands in the cells, the answer is one reading or a DecodingError."""
    decoder = DelimitedDecoder(CodecSettings(**codec))
    try:
        decoded = decoder.decode(line.encode("gb18030", errors="replace"), context(topic=None))
    except DecodingError:
        return

    assert len(decoded.rows) == 1


@given(st.sampled_from(CODECS), st.binary())
def test_delimited_arbitrary_bytes(codec: dict[str, Any], line: bytes) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    try:
        decoded = DelimitedDecoder(CodecSettings(**codec)).decode(line, context(topic=None))
    except DecodingError:
        return

    assert len(decoded.rows) == 1


def test_delimited_unknown_column_of_header() -> None:
    """A column that the header lacks is named, together with those that are there."""
    with pytest.raises(DecodingError, match="there is no column 'volume'; there are meter, time"):
        DelimitedDecoder(CodecSettings(columns={"volume_m3": "volume", "ts": "time"}), ("meter", "time"))


@pytest.mark.parametrize(
    ("text", "expected"), [("TRUE", True), ("1", True), ("y", True), ("No", False), ("0", False), ("F", False)]
)
def test_delimited_truth(text: str, expected: bool) -> None:
    """Truth values in the spellings that files use."""
    codec = CodecSettings(columns={"meter_id": 1, "ts": 2, "status": 3, "valid": 4}, time_format="epoch_s")
    [row] = DelimitedDecoder(codec).decode(f"m1,1717236000,1,{text}".encode(), context(topic=None)).rows

    assert expected is named(row)["valid"]
