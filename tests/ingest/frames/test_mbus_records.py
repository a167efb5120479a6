"""Data records of M-Bus."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.frames.mbus_records import RawRecord, Record, cut, read
from lake.errors import DecodingError
from tests.ingest.decoders.frames import bcd

INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 6: 6, 7: 8}
DIGITS = {0x9: 1, 0xA: 2, 0xB: 3, 0xC: 4, 0xE: 6}
# First value information byte of a range, how many there are, power of ten of the first, quantity, unit.
RANGES = [
    (0x10, 8, -6, "Volume", "m3"),
    (0x38, 8, -6, "Volume flow", "m3.h-1"),
    (0x58, 4, -3, "Flow temperature", "Cel"),
    (0x64, 4, -3, "External temperature", "Cel"),
]


def only(content: bytes) -> Record:
    """Return the one record of `content`."""
    [record] = read(cut(content)[0])
    assert isinstance(record, Record)
    return record


@given(st.sampled_from(RANGES), st.integers(0, 7), st.sampled_from([*INTEGERS, *DIGITS]), st.integers(0, 7), st.data())
def test_read_numbers(entry: tuple[int, int, int, str, str], step: int, coding: int, storage: int, data: st.DataObject
                      ) -> None:  # fmt: skip
    """Volume, flow and temperatures of every scale and coding come back exactly, with where they belong."""
    first, count, exponent, quantity, unit = entry
    step %= count
    if coding in INTEGERS:
        limit = 2 ** min(8 * INTEGERS[coding] - 1, 52) - 1
        number = data.draw(st.integers(-limit, limit))
        value = number.to_bytes(INTEGERS[coding], "little", signed=True)
    else:
        number = data.draw(st.integers(0, 100 ** DIGITS[coding] - 1))
        value = bcd(number, DIGITS[coding])
    header = bytes([coding | (storage & 1) << 6 | 0x80, storage >> 1, first + step])
    record = only(header + value)

    assert (float(Decimal(number).scaleb(exponent + step)), (quantity,), unit, storage, "value") == (
        record.value, record.quantities, record.unit, record.storage, record.function
    )  # fmt: skip


@given(st.datetimes(datetime(2000, 1, 1), datetime(2080, 12, 31)))  # noqa: DTZ001
def test_read_local_times(moment: datetime) -> None:
    """Dates, and times in minutes and seconds, come back on every day of the month."""
    day = bytes([moment.day | (moment.year % 100 & 7) << 5, moment.month | (moment.year % 100 >> 3) << 4])
    minute = bytes([moment.minute, moment.hour])

    assert moment.date() == only(b"\x02\x6c" + day).value
    assert moment.replace(second=0, microsecond=0) == only(b"\x04\x6d" + minute + day).value
    assert moment.replace(microsecond=0) == only(b"\x06\x6d" + bytes([moment.second]) + minute + day + b"\0").value


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("046D 80 0B 01 36", None),  # marked as invalid
        ("046D 3F 0B 01 36", None),  # minute 63
        ("046D 00 0B 00 36", None),  # every day
        ("026C FF FF", None),
        ("0413 00 00 00 80", None),  # the integer that is none
        ("0413 FF FF FF FF", -0.001),
        ("0C13 15 00 00 F0", -0.015),
        ("0C13 FF FF FF FF", None),
        ("0513 00 00 C0 7F", None),
        ("0513 00 00 80 7F", None),
        ("0513 00 00 C8 42", 100),
        ("0013", None),
        ("0D13 E2 12 34", 13.33),
        ("0DFD11 03 41 42 43", "CBA"),
        ("026C 1F 3C", date(2024, 12, 31)),
    ],
)
def test_read_special_values(record: str, expected: object) -> None:
    """Values that say there is none are none, signs and lengths are those of the standard."""
    assert expected == only(bytes.fromhex(record)).value


def test_read_function() -> None:
    """Maximum, minimum and values during an error are told from present values."""
    records = [only(bytes([0x04 | bits << 4, 0x13]) + bytes(4)) for bits in range(4)]

    assert [("value", True), ("maximum", False), ("minimum", False), ("error", True)] == [
        (record.function, record.current) for record in records
    ]


def test_read_unknown_record_costs_only_itself() -> None:
    """A record that the library does not read comes back as it was; its neighbours are read."""
    content = bytes.fromhex("0413010000000D13C21A2B041302000000")
    found = list(read(cut(content)[0]))

    assert RawRecord(b"\x0d\x13", b"\xc2\x1a\x2b") == found[1]
    assert [0.001, 0.002] == [found[0].value, found[2].value]  # type: ignore[union-attr]


def test_cut_fillers_and_own_data() -> None:
    """Fillers are passed over; what is the manufacturer's own is kept apart."""
    assert ([RawRecord(b"\x01\x13", b"\x07")], b"\x01\x02") == cut(bytes.fromhex("2F2F0113072F0F0102"))
    assert ([], b"\xaa") == cut(b"\x1f\xaa")


@pytest.mark.parametrize(
    "content",
    ["04", "0413", "041301", "84", "8413", "0493", "848484848484848484848413", "0D13", "0D1303", "0D13FF", "7F13",
     "3F", "047C0541", "04FC"],
)  # fmt: skip
def test_cut_short(content: str) -> None:
    """Records that end within themselves, or have headers without end, are refused."""
    with pytest.raises(DecodingError) as caught:
        cut(bytes.fromhex(content))

    assert "not_frame" == caught.value.reason


@given(st.binary(max_size=60))
def test_cut_and_read_arbitrary_bytes(content: bytes) -> None:
    """Any bytes are cut into records that are read or kept, or refused."""
    try:
        records, own = cut(content)
    except DecodingError:
        return

    assert len(records) == len(list(read(records)))
    assert sum(len(each.header + each.data) for each in records) + len(own) <= len(content)
