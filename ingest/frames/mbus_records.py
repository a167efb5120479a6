"""Data records of EN 13757-3: cut apart here, read by the library, its dates and missing values corrected here.

Each record is given to the library by itself, so that one that cannot be read costs no other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from ingest.frames.mbus_link import crc16
from lake.errors import DecodingError

_IDLE = 0x2F
_REST = (0x0F, 0x1F)  # what follows is the manufacturer's own
_LENGTHS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 6, 7: 8, 8: 0, 9: 1, 0xA: 2, 0xB: 3, 0xC: 4, 0xE: 6}
_VARIABLE = 0x0D
_PLAIN_TEXT = 0x7C
_MOST_EXTENSIONS = 10
_MOST_FORMATS = 200

# Header layouts of compact frames that meters use without ever sending the full frame; they prove themselves by the
# signature, which is their CRC. Kamstrup MULTICAL 21: info codes, volume, target volume, two temperatures.
_LAYOUTS = ("02FF20 0413 4413 615B 6167",)


class RawRecord(NamedTuple):
    """A record as it came.

    Parameters
    ----------
    header : bytes
        Data and value information.
    data : bytes
        The value, of a variable one with its length.
    """

    header: bytes
    data: bytes


class Record(NamedTuple):
    """A record as it was read.

    Parameters
    ----------
    quantities : tuple of str
        What it is, and what qualifies it, in the library's words.
    function : str
        ``value``, ``maximum``, ``minimum`` or ``error``: a value during error.
    storage, tariff, subunit : int
        Where it belongs; zero is now and all of it.
    value : float, int, str, date, datetime or None
        None: no value, or one that says there is none.
    unit : str
        Unit of the value, empty where it has none.
    raw : RawRecord
        The record itself.
    """

    quantities: tuple[str, ...]
    function: str
    storage: int
    tariff: int
    subunit: int
    value: float | int | str | date | datetime | None
    unit: str
    raw: RawRecord

    @property
    def current(self) -> bool:
        """Whether it is the present value of the whole meter."""
        return self.storage == self.tariff == self.subunit == 0 and self.function in ("value", "error")


def cut(content: bytes) -> tuple[list[RawRecord], bytes]:
    """Return the records of `content`, and what of it is the manufacturer's own.

    Raises
    ------
    DecodingError
        ``not_frame``: it ends within a record.
    """
    records: list[RawRecord] = []
    place = 0
    while place < len(content):
        if content[place] == _IDLE:
            place += 1
        elif content[place] in _REST:
            return records, content[place + 1 :]
        else:
            header = _header(content, place)
            data = _data(header, content, place + len(header))
            records.append(RawRecord(header, data))
            place += len(header) + len(data)
    return records, b""


def _header(content: bytes, start: int) -> bytes:
    place = _behind_extensions(content, start)
    vif = content[place : place + 1]
    if not vif:
        raise DecodingError("not_frame", f"the records are cut short at byte {start}")
    if vif[0] & 0x7F == _PLAIN_TEXT:
        # The unit in letters stands behind the value information, its length before it.
        place = _behind_extensions(content, place)
        place += 1 + (content[place] if place < len(content) else 0)
    else:
        place = _behind_extensions(content, place)
    if place > len(content):
        raise DecodingError("not_frame", f"the records are cut short at byte {start}")
    return content[start:place]


def _behind_extensions(content: bytes, place: int) -> int:
    """Return the place behind a field and those that extend it."""
    for _ in range(_MOST_EXTENSIONS + 1):
        if place >= len(content):
            raise DecodingError("not_frame", "the records are cut short within a header")
        place += 1
        if not content[place - 1] & 0x80:
            return place
    raise DecodingError("not_frame", f"a record's header is extended more than {_MOST_EXTENSIONS} times")


def _data(header: bytes, content: bytes, place: int) -> bytes:
    kind = header[0] & 0x0F
    if kind == _VARIABLE:
        if place >= len(content):
            raise DecodingError("not_frame", "the records are cut short before a length")
        length = 1 + _variable_length(content[place])
    elif kind in _LENGTHS:
        length = _LENGTHS[kind]
    else:
        raise DecodingError("not_frame", f"a record begins with {header[0]:#04x}, which is no data information")
    if place + length > len(content):
        raise DecodingError("not_frame", "the records are cut short within a value")
    return content[place : place + length]


def _variable_length(code: int) -> int:
    for low, high, base in ((0x00, 0xBF, 0x00), (0xC0, 0xC9, 0xC0), (0xD0, 0xD9, 0xD0), (0xE0, 0xEF, 0xE0)):
        if low <= code <= high:
            return code - base
    if 0xF0 <= code <= 0xF4:
        return 4 * (code - 0xEC)
    if code in (0xF5, 0xF6):
        return 48 if code == 0xF5 else 64
    raise DecodingError("not_frame", f"{code:#04x} is no length of a variable value")


def unfold(content: bytes, formats: Mapping[str, Any]) -> list[RawRecord]:
    """Return the records of a compact frame: signature of its headers, CRC of the full frame, values.

    Parameters
    ----------
    content : bytes
        As decrypted.
    formats : mapping of str to list of str
        Headers by their signature, as :func:`remember` notes them.

    Raises
    ------
    DecodingError
        ``undeclared``, ``not_frame`` or ``bad_checksum``.
    """
    if len(content) < 4:
        raise DecodingError("not_frame", "a compact frame is cut short")
    signature = content[1::-1].hex()
    headers = _shipped_formats().get(signature) or formats.get(signature)
    if headers is None:
        raise DecodingError("undeclared", f"a compact frame of format {signature}; its full frame has not come yet")
    records, place = [], 4
    for text in headers:
        header = bytes.fromhex(text)
        data = _data(header, content, place)
        records.append(RawRecord(header, data))
        place += len(data)
    if place != len(content):
        raise DecodingError("not_frame", f"a compact frame of {len(content)} bytes; its format takes {place}")
    if crc16(b"".join(record.header + record.data for record in records)) != int.from_bytes(content[2:4], "little"):
        raise DecodingError("bad_checksum", "the CRC of the compact frame's full frame does not fit")
    return records


def remember(records: list[RawRecord], formats: dict[str, Any]) -> None:
    """Note the format of a full frame, so that compact ones that follow can be read."""
    headers = [record.header for record in records]
    signature = crc16(b"".join(headers)).to_bytes(2, "big").hex()
    if signature in formats or signature in _shipped_formats() or not headers:
        return
    if len(formats) >= _MOST_FORMATS:
        del formats[next(iter(formats))]
    formats[signature] = [header.hex() for header in headers]


@lru_cache(maxsize=1)
def _shipped_formats() -> Mapping[str, list[str]]:
    shipped = {}
    for layout in _LAYOUTS:
        signature = crc16(bytes.fromhex(layout)).to_bytes(2, "big").hex()
        shipped[signature] = layout.lower().split()
    return shipped


_FUNCTIONS = {
    "Instantaneous value": "value",
    "Maximum value": "maximum",
    "Minimum value": "minimum",
    "Value during error state": "error",
}


def read(records: list[RawRecord]) -> Iterator[Record | RawRecord]:
    """Yield every record as it was read; one that cannot be, as it came."""
    for raw in records:
        found = _parse(raw.header + raw.data)
        if found is None and 0x9 <= raw.header[0] & 0x0F <= 0xE and raw.header[0] & 0x0F != _VARIABLE:
            # Digits that are none say that there is no value; with zeros in their place the library tells of what.
            found = _parse(raw.header + bytes(len(raw.data)))
            yield raw if found is None else _record(raw, found)._replace(value=None)
        else:
            yield raw if found is None else _record(raw, found)


def _parse(record: bytes) -> Mapping[str, Any] | None:
    """Return what the library reads, None where it reads nothing or more than this record."""
    from pymbusparser import MbusParserError, parse_records  # noqa: PLC0415 - only where needed

    try:
        found = parse_records(record)
    except MbusParserError:
        return None
    except BaseException as error:  # a panic of the library's Rust is no Exception, and no reason to stop the writer
        if type(error).__name__ != "PanicException":
            raise
        return None
    return found[0] if len(found) == 1 else None


def _record(raw: RawRecord, found: Mapping[str, Any]) -> Record:
    quantities = tuple(found["quantities"])
    return Record(
        quantities,
        _FUNCTIONS.get(found["function"], found["function"]),
        found["storage_number"],
        found["tariff"],
        found["subunit"],
        _value(raw, found["data_coding"], found["value"]),
        found.get("unit") or "",
        raw,
    )


def _value(raw: RawRecord, coding: str, value: Mapping[str, Any]) -> float | int | str | date | datetime | None:
    if coding.startswith("Date"):
        return _date(raw.data, coding)
    plain = value.get("value")
    if value["kind"] in ("decimal", "float") and plain is not None:
        if "integer" in coding and raw.data == bytes(len(raw.data) - 1) + b"\x80":
            return None  # the standard's word for an invalid integer
        try:
            number = float(plain)
        except ValueError:  # how the library spells infinity
            return None
        if not math.isfinite(number):
            return None
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return plain[:256] if isinstance(plain, str) else None


def _date(data: bytes, coding: str) -> date | datetime | None:
    """Return a local date or time; None where it is invalid or one that comes every so often.

    The library takes the 31st of a month for every day of it.
    """
    if coding.endswith("(type G)") and len(data) == 2:
        return _type_g(data)
    if coding.endswith("(type F)") and len(data) == 4:
        return _type_f(data)
    if coding.endswith("(type I)") and len(data) == 6:
        minute, second = _type_f(data[1:5]), data[0] & 0x3F
        return minute.replace(second=second) if minute is not None and second < 60 else None
    return None


def _type_f(data: bytes) -> datetime | None:
    day = _type_g(data[2:])
    minute, hour = data[0] & 0x3F, data[1] & 0x1F
    if day is None or data[0] & 0x80 or minute > 59 or hour > 23:
        return None
    return datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - the meter's local time


def _type_g(data: bytes) -> date | None:
    year = data[0] >> 5 | (data[1] >> 4) << 3
    try:
        return date((1900 if year >= 81 else 2000) + year, data[1] & 0x0F, data[0] & 0x1F)
    except ValueError:
        return None


def words(text: str) -> str:
    """Return the library's words as a name.

    Examples
    --------
    >>> words("Time point (date and time)")
    'time_point_date_and_time'
    """
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
