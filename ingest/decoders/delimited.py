"""Rows of delimited text (CSV): which column is which field, in what unit, time format and zone, is configured."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ingest.decoders import Context
from ingest.local_time import microseconds, parse_time
from ingest.message import Decoded
from ingest.reading import agree_on_meter, build_row, check_text, check_time
from ingest.settings import CodecSettings, unit_divisors
from lake.errors import DecodingError
from lake.vocabulary import MEASURES

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
        self._index = {field: self._column(column) for field, column in settings.columns.items()}
        used = {*self._index.values(), *(self._column(column) for column in settings.ignore)}
        self._used = frozenset(used)
        self._least = max(self._index.values()) + 1
        self._divisors = {field: unit_divisors(field)[unit] for field, unit in settings.units.items()}

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
        values: dict[str, Any] = dict(self._settings.constants)
        values |= {field: cells[place].strip() for field, place in self._index.items()}
        meter_id = agree_on_meter(values.pop("meter_id", None) or None, context.topic)
        source = check_text("source", values.pop("source", None)) or context.source
        written = values.pop("ts")
        fields = {field: self._value(field, text) for field, text in values.items()}
        ts, ambiguous = self._time(written, f"{meter_id}/{source}", fields.get("volume_m3"), context)
        check_time(ts, context.received_at, context.now)
        extra = {self._name(place): cell for place, cell in enumerate(cells) if place not in self._used and cell}
        row = build_row(fields, meter_id=meter_id, ts=ts, source=source, extra=extra, ambiguous=ambiguous)
        return Decoded(context.topic, context.received_at, [row])

    def _cells(self, payload: bytes) -> list[str]:
        try:
            text = payload.decode(self._settings.encoding).strip("\r\n")
        except UnicodeDecodeError as error:
            raise DecodingError("not_csv", f"not {self._settings.encoding}: {error}") from None
        if '"' in text:
            try:
                cells = next(csv.reader([text], delimiter=self._settings.delimiter, strict=True), [])
            except csv.Error as error:
                raise DecodingError("not_csv", f"{error}: {text!r:.80}") from None
        else:
            cells = text.split(self._settings.delimiter)
        if len(cells) < self._least:
            raise DecodingError(
                "not_csv", f"{len(cells)} columns where at least {self._least} are needed: {text!r:.80}"
            )
        return cells

    def _name(self, place: int) -> str:
        return self._names[place] if place < len(self._names) else f"column_{place + 1}"

    def _value(self, field: str, text: str) -> Any:
        if not text:
            return None
        if field == "error_codes":
            return text.split()
        if field == "valid":
            return _truth(text)
        dtype = MEASURES[field].dtype if field in MEASURES else {"seq": "int64", "status": "int64"}.get(field)
        if dtype == "float64":
            return _number(field, text) / self._divisors.get(field, 1)
        return _integer(field, text) if dtype == "int64" else text

    def _time(self, text: str, meter: str, register: Any, context: Context) -> tuple[int, bool]:
        if not text:
            raise DecodingError("no_time", "the time column is empty")
        if self._settings.time_format in {"epoch_s", "epoch_ms"}:
            scale = 1_000_000 if self._settings.time_format == "epoch_s" else 1000
            seconds = _number("ts", text)
            if not abs(seconds) < 1e15:
                raise DecodingError("bad_time", f"ts {text!r:.40} is no epoch")
            return round(seconds * scale), False
        parsed = self._parse(text)
        if parsed.tzinfo is not None:
            return microseconds(parsed), False
        if self._settings.timezone is None:
            return parse_time(text), False  # raises: no zone
        return context.clock.resolve(parsed, self._settings.timezone, meter, register)

    def _parse(self, text: str) -> datetime:
        try:
            if self._settings.time_format == "iso":
                return datetime.fromisoformat(text)
            return datetime.strptime(text, self._settings.time_format)  # noqa: DTZ007 - the zone comes next
        except ValueError:
            raise DecodingError("bad_time", f"ts {text!r:.60} does not fit {self._settings.time_format!r}") from None


def _number(field: str, text: str) -> float:
    try:
        if "_" not in text:  # Python reads 1_000, a meter does not write it
            return float(text)
    except ValueError:
        pass
    raise DecodingError("wrong_type", f"{field} must be a number, not {text!r:.80}")


def _integer(field: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = _number(field, text)
        if not number.is_integer():
            raise DecodingError("wrong_type", f"{field} must be a whole number, not {text!r:.80}") from None
        return int(number)


def _truth(text: str) -> bool:
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise DecodingError("wrong_type", f"valid must be true or false, not {text!r:.80}")
