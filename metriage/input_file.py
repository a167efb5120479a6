"""Files that people keep: which header means which column, which word which value, and all that is wrong in a row.

CSV, XLSX and JSON become rows of one :class:`Form`. What a cell may look like is said here once for all forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ingest.excerpt import excerpt
from ingest.local_time import parse_time, zone
from lake.errors import DecodingError, InputFileError, RowError
from lake.vocabulary import Column
from metriage.table_file import Table, open_table

Words = Mapping[str, Mapping[str, tuple[str, ...]]]

YES = ("yes", "true", "1", "y", "是", "有")
NO = ("no", "false", "0", "n", "否", "无")
NOTHING = ("", "-", "--", "—", "/", "n/a", "null")  # an empty cell

_LONGEST_NOTHING = max(map(len, NOTHING))

# What may stand beside a number or in brackets behind a header, and what it stands for.
_UNITS: Mapping[str, Mapping[str, float]] = {
    "mm": {"mm": 1, "毫米": 1},
    "mAh": {"mah": 1, "毫安时": 1, "ah": 1000},
    "months": {"月": 1, "个月": 1, "months": 1, "年": 12, "years": 12},
    "°": {"°": 1, "度": 1},
    "°C": {"°c": 1, "℃": 1, "c": 1, "度": 1},
    "m³": {"m³": 1, "m3": 1, "立方米": 1, "方": 1, "吨": 1},
}

_DAY = r"(\d{4})(?:-(\d{1,2})-|/(\d{1,2})/|\.(\d{1,2})\.|年(\d{1,2})月|(\d\d))(\d{1,2})日?"
_CLOCK = r"(\d{1,2})(?:[:：]([0-5]\d)(?:[:：]([0-5]\d)(?:\.(\d{1,9}))?)?|[时点](?:([0-5]?\d)分?(?:([0-5]?\d)秒)?)?)"
_DATE = re.compile(_DAY, re.ASCII)
_CLOCK_BEHIND = re.compile(r"[T ]\d{1,2}:\d\d(:\d\d(\.\d+)?)?$", re.ASCII)
_TIME = re.compile(rf"({_DAY})(?:(?:T| ?){_CLOCK} ?(Z|UTC|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII | re.IGNORECASE)
_EPOCH = re.compile(r"\d{9,13}(\.\d{1,6})?", re.ASCII)
_NUMBER = re.compile(r"(?:DN)?(-?\d+(?:\.\d+)?)\s*(\D*)", re.ASCII | re.IGNORECASE)
_LOST = re.compile(r"\d(\.\d+)?[eE]\+\d+", re.ASCII)
_ALIASES = re.compile(r"[\s,;|，；、]+")
_FORMULA = re.compile(r"=|#(?:REF!|N/A|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|SPILL!|CALC!|GETTING_DATA)", re.IGNORECASE)

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_CLOCKS_APART = timedelta(days=1)
_TIME_WANTED = "write 2024-07-09T12:00:00+08:00, or 2024-07-09 12:00 of the site's zone"


@dataclass(frozen=True)
class Form:
    """What a kind of file looks like.

    Parameters
    ----------
    columns : mapping of str to Column
        Of the vocabulary.
    key : tuple of str
        Columns that name a row; the first of them shows which row is the header.
    headers : mapping of str to tuple of str
        Other headers of each column.
    words : mapping of str to mapping of str to tuple of str
        Of the columns with a closed set of words, or of yes and no, other words for each.
    problems : callable
        Yields all that may not stand in a row that could be read.
    several : str, optional
        A column that several columns of one file may make up.
    ends : frozenset of str
        Times for which a day means its end, and not its beginning.
    past : frozenset of str
        Times that cannot lie in the future.
    defaults : mapping of str to object
        What an empty cell of a key stands for.
    """

    columns: Mapping[str, Column]
    key: tuple[str, ...]
    headers: Mapping[str, tuple[str, ...]]
    words: Words
    problems: Callable[[Mapping[str, Any]], Iterator[RowError]]
    several: str | None = None
    ends: frozenset[str] = field(default_factory=frozenset)
    past: frozenset[str] = field(default_factory=frozenset)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def column_named(self, header: str) -> str | None:
        """Return the column that a header means, None where it means none."""
        plain = header.lower().replace(" ", "").replace("（", "(").replace("）", ")").strip("*")
        name, _, unit = plain.removesuffix(")").partition("(")
        column = self._spellings.get(plain) or self._spellings.get(name)
        if column is None or plain in self._spellings:
            return column
        return None if unit and _UNITS.get(self.columns[column].unit, {}).get(unit) != 1 else column

    def documented(self) -> Iterator[tuple[str, tuple[str, ...], str]]:
        """Yield (column, other headers, words of its values), for the documentation."""
        for name, column in self.columns.items():
            others = self.words.get(name, {})
            words = [f"`{word}` {' '.join(spellings)}".strip() for word, spellings in others.items()]
            if column.dtype == "bool":
                words = [
                    f"`{word}` {' '.join((*general[1:], *others.get(word, ())))}"
                    for word, general in (("yes", YES), ("no", NO))
                ]
            yield name, self.headers[name], "; ".join(words)

    @cached_property
    def _spellings(self) -> Mapping[str, str]:
        return {spelling.lower(): name for name, others in self.headers.items() for spelling in (name, *others)}

    @cached_property
    def readers(self) -> Mapping[str, _Reader]:
        """What reads the cells of each column."""
        return {name: self._reader(name, column) for name, column in self.columns.items()}

    def _reader(self, name: str, column: Column) -> _Reader:
        if column.dtype == "strings":
            return partial(_ids, name)
        if name.endswith("meter_id"):
            return partial(_id, name)
        if column.dtype == "bool":
            return partial(_flag, name, self.words.get(name, {}))
        if name in self.words:
            return partial(_word, name, self.words[name])
        by_type: dict[str, _Reader] = {
            "float64": partial(_number, name, column.unit),
            "date": partial(_date, name),
            "time": partial(_time, name, name in self.ends),
        }
        return by_type.get(column.dtype, _text)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a cell.

    Parameters
    ----------
    row : int
        1-based row or line of the file.
    column : str
        The column as the file calls it; empty where the row as a whole is wrong.
    problem : str
        What is wrong and what to do.
    """

    row: int
    column: str
    problem: str


@dataclass(frozen=True, slots=True)
class InputFile:
    """The rows of a file that can be taken, and what is wrong with the others.

    Parameters
    ----------
    name : str
        The file's name.
    columns : tuple of str
        Columns of the form that it speaks of.
    ignored : tuple of str
        Its other columns.
    headers : mapping of str to str
        What the file calls each column.
    rows : list of dict
        The rows in order: of each the columns it speaks of, None where a cell is empty.
    numbers : list of int
        The row or line of each.
    problems : list of Problem
        Every cell for which a row cannot be taken.
    """

    name: str
    columns: tuple[str, ...]
    ignored: tuple[str, ...]
    headers: Mapping[str, str]
    rows: list[dict[str, Any]]
    numbers: list[int]
    problems: list[Problem]


def read_input(path: Path, form: Form, timezone: str) -> InputFile:
    """Return the rows of a file.

    Parameters
    ----------
    path : Path
        CSV, XLSX, a JSON list or JSON lines.
    form : Form
        What its columns may be.
    timezone : str
        Zone of times that carry none.

    Raises
    ------
    InputFileError
        It cannot be read at all, or two of its columns mean the same.
    """
    anchor = form.key[0]
    table = open_table(path, lambda cells: any(form.column_named(cell) == anchor for cell in cells), anchor)
    places, headers = _places(table, form)
    columns = tuple(name for name in form.columns if name in headers)
    ignored = tuple(cell for cell in table.header.cells if cell and form.column_named(cell) is None)
    read = InputFile(table.name, columns, ignored, headers, [], [], [])
    seen: dict[tuple[Any, ...], tuple[int, dict[str, Any]]] = {}
    for number, cells in table.rows:
        if cells == table.header.cells:  # printed lists repeat it on every page
            continue
        row, errors = _row(cells, places, len(table.header.cells), form, timezone)
        if not errors:
            key = tuple(row.get(name) for name in (*form.key, "recorded_at"))
            before, other = seen.setdefault(key, (number, row))
            if other != row:
                told = f"{excerpt(row[anchor])} stands in row {before} already, with other values"
                errors = [RowError(anchor, told)]
        if errors:
            read.problems.extend(
                Problem(number, headers.get(error.column, error.column), error.message) for error in errors
            )
        else:
            read.rows.append(row)
            read.numbers.append(number)
    return read


def _places(table: Table, form: Form) -> tuple[list[tuple[int, str]], dict[str, str]]:
    """Return (place, column) of the columns that mean something, and what the file calls them."""
    named = ((place, form.column_named(cell)) for place, cell in enumerate(table.header.cells))
    places = [(place, name) for place, name in named if name]
    headers: dict[str, str] = {}
    for place, name in places:
        header = table.header.cells[place]
        if name in headers and name != form.several:
            raise InputFileError(
                table.name, f"{headers[name]!r} and {header!r} both mean {name}; take one out", line=table.header.number
            )
        headers.setdefault(name, header)
    return places, headers


def _row(
    cells: Sequence[str | None], places: Sequence[tuple[int, str]], width: int, form: Form, timezone: str
) -> tuple[dict[str, Any], list[RowError]]:
    """Return the values of a row, and all that is wrong with it; a JSON object may leave columns out."""
    surplus = next((cell for cell in cells[width:] if cell), None)
    if surplus is not None:
        told = f"has {len(cells)} cells, the header {width}; is {excerpt(surplus)} a part of another cell?"
        return {}, [RowError("", told)]
    values: dict[str, Any] = {}
    errors: list[RowError] = []
    readers = form.readers
    for place, name in places:
        text = cells[place] if place < len(cells) else ""
        if text is None:
            continue
        if len(text) <= _LONGEST_NOTHING and text.lower() in NOTHING:
            values.setdefault(name, None)
            continue
        try:
            if text[0] in "=#" and _FORMULA.match(text):
                raise RowError(name, f"{excerpt(text)} is a formula without its value, or an error of the spreadsheet")
            value = readers[name](text, timezone)
        except RowError as error:
            errors.append(error)
            continue
        values[name] = (*(values.get(name) or ()), *value) if name == form.several else value
    values |= {name: value for name, value in form.defaults.items() if values.get(name) is None}
    errors += _of_the_future(values, form)
    if errors:  # the cells that could be read may be wrong as well
        broken = {error.column for error in errors}
        errors += [error for error in form.problems(values) if error.column not in broken]
    return values, errors


def _of_the_future(values: Mapping[str, Any], form: Form) -> Iterator[RowError]:
    for name in form.past:
        moment = values.get(name)
        if moment is not None and moment > datetime.now(UTC) + _CLOCKS_APART:
            yield RowError(name, f"{moment:%Y-%m-%d %H:%M} UTC lies in the future")


_Reader = Callable[[str, str], Any]  # of a cell and the zone of times that carry none


def _id(name: str, text: str, _: str) -> str:
    if _LOST.fullmatch(text):
        raise RowError(name, f"{text!r} has lost digits in a spreadsheet; make its column text and enter it anew")
    return text


def _ids(name: str, text: str, _: str) -> tuple[str, ...]:
    return tuple(_id(name, each, _) for each in _ALIASES.split(text) if each)


def _text(text: str, _: str) -> str:
    return text


def _word(name: str, words: Mapping[str, tuple[str, ...]], text: str, _: str) -> str:
    plain = text.lower().replace(" ", "_").replace("-", "_")
    found = next((word for word, others in words.items() if plain == word or text in others), None)
    if found is None:
        allowed = ", ".join(f"{word} ({others[0]})" if others else word for word, others in words.items())
        raise RowError(name, f"{excerpt(text)} is not allowed there; allowed are {allowed}")
    return found


def _flag(name: str, words: Mapping[str, tuple[str, ...]], text: str, _: str) -> bool:
    word = text.lower()
    if word in YES or text in words.get("yes", ()):
        return True
    if word in NO or text in words.get("no", ()):
        return False
    raise RowError(name, f"{excerpt(text)} is neither yes (是) nor no (否)")


def _number(name: str, unit: str, text: str, _: str) -> float:
    found = _NUMBER.fullmatch(text)
    factor = None if found is None else {"": 1.0, **_UNITS.get(unit, {})}.get(found[2].lower())
    if found is None or factor is None:
        raise RowError(name, f"{excerpt(text)} is no number{f' in {unit}' if unit else ''}; write 20 or 0.5")
    return float(found[1]) * factor


def _date(name: str, text: str, _: str) -> date:
    try:
        return _day(_DATE.fullmatch(_CLOCK_BEHIND.sub("", text)), 0)
    except ValueError:
        raise RowError(name, f"{excerpt(text)} is no day; write 2024-07-09, 2024/7/9 or 2024年7月9日") from None


def _day(found: re.Match[str] | None, first: int) -> date:
    """Return the day of the groups of :data:`_DAY` behind the group `first`.

    Raises
    ------
    ValueError
        There is no such day.
    """
    year, *months, day = found.groups()[first : first + 7] if found else ()
    return date(int(year), int(next(filter(None, months))), int(day))


def _time(name: str, end: bool, text: str, timezone: str) -> datetime:
    """Return a time: with offset, in epoch seconds or milliseconds, or of the site's zone; or a day."""
    try:
        if _EPOCH.fullmatch(text):
            moment = datetime.fromtimestamp(parse_time(text, name) / 1e6, UTC)
        else:
            moment = _moment(name, end, text, timezone)
    except (ValueError, OverflowError, DecodingError):
        raise RowError(name, f"{excerpt(text)} is no time; {_TIME_WANTED}") from None
    if not _EARLIEST <= moment < _LATEST:
        raise RowError(name, f"{excerpt(text)} lies before 2000 or after 2100")
    return moment.astimezone(UTC)


def _moment(name: str, end: bool, text: str, timezone: str) -> datetime:
    found = _TIME.fullmatch(text)
    if found is None:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else _in_zone(name, moment, text, timezone)
    day = _day(found, 1)
    hour, minute, second, fraction, minute_zh, second_zh, offset = found.groups()[8:]
    local = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - its zone comes below
    if hour is None or (end and text.endswith("T00:00:00")):  # a spreadsheet gives its days so
        begin = local + timedelta(days=1) if end else local
        return begin.replace(tzinfo=zone(timezone))  # where the clocks change at midnight: the first instant of the day
    local += timedelta(
        hours=int(hour),
        minutes=int(minute or minute_zh or 0),
        seconds=int(second or second_zh or 0),
        microseconds=int((fraction or "0")[:6].ljust(6, "0")),
    )
    if int(hour) > 24 or local > datetime(day.year, day.month, day.day) + timedelta(days=1):  # noqa: DTZ001
        raise ValueError(text)
    if offset is None:
        return _in_zone(name, local, text, timezone)
    if offset.upper() in {"Z", "UTC"}:
        return local.replace(tzinfo=UTC)
    return datetime.fromisoformat(f"{local.isoformat()}{offset}")


def _in_zone(name: str, local: datetime, text: str, timezone: str) -> datetime:
    """Return a local time of the site; of the two odd hours a year the file must say more."""
    first = local.replace(tzinfo=zone(timezone))
    second = first.replace(fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    if first.utcoffset() < second.utcoffset():  # type: ignore[operator]
        raise RowError(name, f"{excerpt(text)} does not exist in {timezone}: the clocks were put forward over it")
    both = " or ".join(each.isoformat() for each in (first, second))
    raise RowError(name, f"{excerpt(text)} comes twice in {timezone}, the clocks were put back; write {both}")
