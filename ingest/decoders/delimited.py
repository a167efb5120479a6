"""Rows of delimited text (CSV): which column is which field, in what unit, time format and zone, is configured."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from ingest.decoders import Context
from ingest.excerpt import excerpt
from ingest.local_time import TimePattern, microseconds, parse_time
from ingest.message import Decoded, Row
from ingest.reading import agree_on_meter, build_row, check_text, check_time
from ingest.settings import CodecSettings, unit_divisors
from lake.errors import DecodingError
from lake.vocabulary import MEASURES

_HEAD = frozenset({"meter_id", "ts", "source"})  # what every reading has
_FORMATS = frozenset({"iso", "epoch_s", "epoch_ms"})
_CODES = re.compile(r"[\s,;|，；、]+")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*", re.ASCII)
_TRUE = frozenset({"true", "1", "yes", "y", "t"})
_FALSE = frozenset({"false", "0", "no", "n", "f"})


class DelimitedDecoder:
    """Decodes one line of delimited text.

    Parameters
    ----------
    settings : CodecSettings
        Columns, units, time format and zone.
    names : sequence of str, optional
        Column names of the file's header, where the settings name columns and have no names of their own.
    """

    def __init__(self, settings: CodecSettings, names: Sequence[str] | None = None) -> None:
        self._settings = settings
        self._names = tuple(settings.names or names or ())
        self._places = {field: self._column(column) for field, column in settings.columns.items()}
        self._used = frozenset({*self._places.values(), *(self._column(column) for column in settings.ignore)})
        self._least = max(self._places.values()) + 1
        self._pattern = None if settings.time_format in _FORMATS else TimePattern(settings.time_format)
        self._values = {
            field: (place, _converter(field, settings.units.get(field), settings.code_separator))
            for field, place in self._places.items()
            if field not in _HEAD
        }
        self._constants = {
            field: _converter(field, None, settings.code_separator)(text)
            for field, text in settings.constants.items()
            if field not in _HEAD
        }

    def _column(self, column: int | str) -> int:
        """Return the place of a column from 0."""
        if isinstance(column, int):
            return column - 1
        try:
            return self._names.index(column)
        except ValueError:
            raise DecodingError(
                "not_csv", f"there is no column {column!r}; there are {', '.join(self._names)}"
            ) from None

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the reading of one line; see :class:`ingest.decoders.Decoder`."""
        cells = self._cells(payload)
        meter_id = agree_on_meter(self._head("meter_id", cells) or None, context.topic, context.aliases)
        try:
            return Decoded(context.topic, context.received_at, [self._row(cells, meter_id, context)])
        except DecodingError as error:
            error.meter_id = meter_id
            raise

    def _row(self, cells: list[str], meter_id: str, context: Context) -> Row:
        source = check_text("source", self._head("source", cells) or None) or context.source
        fields = dict(self._constants)
        for field, (place, convert) in self._values.items():
            text = self._meant(field, cells[place].strip())
            if text:
                fields[field] = convert(text)
        ts, ambiguous = self._time(self._head("ts", cells), f"{meter_id}/{source}", fields.get("volume_m3"), context)
        check_time(ts, context.received_at, context.now)
        extra = {self._name(place): cell for place, cell in enumerate(cells) if cell and place not in self._used}
        return build_row(fields, meter_id=meter_id, ts=ts, source=source, extra=extra, ambiguous=ambiguous)

    def _head(self, field: str, cells: list[str]) -> str:
        place = self._places.get(field)
        if place is None:
            return self._settings.constants.get(field, "")
        return self._meant(field, cells[place].strip())

    def _meant(self, field: str, text: str) -> str:
        words = self._settings.words.get(field)
        return words.get(text, text) if words else text

    def _cells(self, payload: bytes) -> list[str]:
        try:
            text = payload.decode(self._settings.encoding).strip("\r\n")
        except UnicodeError as error:
            raise DecodingError("not_csv", f"not {self._settings.encoding}: {error}") from None
        if '"' in text:
            try:
                cells = next(csv.reader([text], delimiter=self._settings.delimiter, strict=True), [])
            except csv.Error as error:
                raise DecodingError("not_csv", f"{error}: {excerpt(text)}") from None
        else:
            cells = text.split(self._settings.delimiter)
        if len(cells) < self._least:
            raise DecodingError(
                "not_csv", f"{len(cells)} columns where at least {self._least} are needed: {excerpt(text)}"
            )
        return cells

    def _name(self, place: int) -> str:
        return self._names[place] if place < len(self._names) else f"column_{place + 1}"

    def _time(self, text: str, meter: str, register: Any, context: Context) -> tuple[int, bool]:
        if not text:
            raise DecodingError("no_time", "the time column is empty")
        if self._settings.time_format in {"epoch_s", "epoch_ms"} and "T" not in text:
            scale = 1_000_000 if self._settings.time_format == "epoch_s" else 1000
            seconds = _number("ts", text)
            if not abs(seconds) < 1e15:
                raise DecodingError("bad_time", f"ts {excerpt(text)} is no epoch")
            return round(seconds * scale), False
        parsed = self._parse(text)
        if parsed.tzinfo is not None:
            return microseconds(parsed), False
        if self._settings.timezone is None:
            return parse_time(text), False  # raises: no zone
        return context.clock.resolve(parsed, self._settings.timezone, meter, register)

    def _parse(self, text: str) -> datetime:
        """Return a time; a spreadsheet's own times are ISO 8601, whatever the format of times that are text."""
        try:
            try:
                return datetime.fromisoformat(text) if self._pattern is None else self._pattern.parse(text)
            except ValueError:
                if not _ISO.fullmatch(text):
                    raise
                return datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            raise DecodingError("bad_time", f"ts {excerpt(text)} does not fit {self._settings.time_format!r}") from None


def _converter(field: str, unit: str | None, code_separator: str | None) -> Callable[[str], object]:
    """Return what turns a cell that is not empty into a value of `field`, in the vocabulary's unit."""
    if field == "error_codes":
        split = _CODES.split if code_separator is None else re.compile(re.escape(code_separator)).split
        return lambda text: [code.strip() for code in split(text) if code.strip()]
    if field == "status":
        return partial(_status, base=16 if unit == "hex" else 10)
    if field == "valid":
        return _truth
    dtype = MEASURES[field].dtype if field in MEASURES else {"seq": "int64", "status": "int64"}.get(field)
    if dtype == "float64":
        divisor = unit_divisors(field)[unit] if unit is not None else 1.0
        return lambda text: _number(field, text) / divisor
    return partial(_integer, field) if dtype == "int64" else str


def _number(field: str, text: str) -> float:
    try:
        if "_" not in text:  # Python reads 1_000, a meter does not write it
            return float(text)
    except ValueError:
        pass
    raise DecodingError("wrong_type", f"{field} must be a number, not {excerpt(text)}")


def _integer(field: str, text: str) -> int:
    try:
        if "_" not in text:
            return int(text)
    except ValueError:
        pass
    number = _number(field, text)
    if not number.is_integer():
        raise DecodingError("wrong_type", f"{field} must be a whole number, not {excerpt(text)}")
    return int(number)


def _status(text: str, base: int) -> int:
    """Return a status word, in hexadecimal where it says so by 0x."""
    if base == 10 and text[:2] not in {"0x", "0X"}:
        return _integer("status", text)
    try:
        if "_" not in text:
            return int(text, 16)
    except ValueError:
        pass
    raise DecodingError("wrong_type", f"status must be a hexadecimal number, not {excerpt(text)}")


def _truth(text: str) -> bool:
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise DecodingError("wrong_type", f"valid must be true or false, not {excerpt(text)}")
