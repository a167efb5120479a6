"""Tables that people keep in files: CSV in the encodings and with the delimiters of their programs, XLSX, and JSON."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from ingest.excerpt import excerpt
from ingest.spreadsheet import MOST_COLUMNS, SheetRow, is_spreadsheet, read_rows
from lake.errors import InputFileError

DELIMITERS = (",", ";", "\t")
HEADER_WITHIN = 50  # rows in which the header stands, behind titles and notes
MOST_BYTES = 500_000_000

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class TableRow(NamedTuple):
    """One row that holds something.

    Parameters
    ----------
    number : int
        Its row or line in the file, from 1; of a JSON list its place.
    cells : sequence of str or None
        Its cells as texts; None where a JSON object does not have the column.
    """

    number: int
    cells: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows below one header.

    Parameters
    ----------
    name : str
        The file's name, for messages.
    header : SheetRow
        The row that names the columns.
    rows : iterator of TableRow
        The rows behind it that hold something.
    """

    name: str
    header: SheetRow
    rows: Iterator[TableRow]


def open_table(path: Path, is_header: Callable[[Sequence[str]], bool], anchor: str) -> Table:
    """Return the table in a file.

    Parameters
    ----------
    path : Path
        CSV (comma, semicolon or tab; UTF-8, UTF-16 or GB18030), XLSX, or JSON (a list of objects, or one a line).
    is_header : callable
        Tells whether cells are those of the header.
    anchor : str
        The column that it looks for, for messages.

    Raises
    ------
    InputFileError
        The file is missing, empty, no such file, or has no header; some of it may show only while rows are read.
    """
    name = path.name.encode(errors="replace").decode()
    try:
        if not path.is_file():
            raise InputFileError(str(path), "there is no such file")
        text = None if is_spreadsheet(path) else _text(path, name)
    except OSError as error:
        raise InputFileError(name, f"cannot be read: {error.strerror or error}") from error
    if text is not None and text.lstrip()[:1] in {"[", "{"}:
        return _of_objects(text, name, is_header, anchor)
    kinds = [read_rows(path)] if text is None else (_rows(text, delimiter, name) for delimiter in DELIMITERS)
    first: SheetRow | None = None
    problem: InputFileError | None = None
    for rows in kinds:
        try:
            for row in itertools.islice(rows, HEADER_WITHIN):
                if is_header(row.cells):
                    return Table(name, row, (TableRow(*each) for each in rows))
                if first is None or len(row.cells) > len(first.cells):
                    first = row
        except InputFileError as error:  # perhaps only because the delimiter is another one
            problem = problem or error
    if first is None:
        raise problem or InputFileError(name, "the file is empty")
    shown = ", ".join(cell for cell in first.cells[:20] if cell)
    raise InputFileError(name, f"names no column for {anchor}; there are {excerpt(shown)}", line=first.number)


def _text(path: Path, name: str) -> str:
    """Return what stands in a file of text."""
    if path.stat().st_size > MOST_BYTES:
        raise InputFileError(name, f"is larger than {MOST_BYTES:,} bytes; split it")
    text = _decoded(path.read_bytes(), name)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputFileError(name, "holds NUL bytes; save it as CSV in UTF-8", line=line)
    return text


def _decoded(content: bytes, name: str) -> str:
    """Return a text in the encoding of its byte order mark, else in UTF-8, else in GB18030."""
    marked = next((encoding for mark, encoding in _MARKS.items() if content.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
    raise InputFileError(name, f"is neither UTF-8 nor {marked or 'GB18030'}; save it as CSV in UTF-8", line=line)


def _rows(text: str, delimiter: str, name: str) -> Iterator[SheetRow]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputFileError(name, f"{error}; is there a quote without its other half?", line=number) from error
        if cells is None:
            return
        if len(cells) > MOST_COLUMNS:
            raise InputFileError(name, f"{len(cells):,} columns; at most {MOST_COLUMNS} are read", line=number)
        cells = [" ".join(cell.split()) for cell in cells]
        if any(cells):
            yield SheetRow(number, cells)
        number = reader.line_num + 1


def _of_objects(text: str, name: str, is_header: Callable[[Sequence[str]], bool], anchor: str) -> Table:
    """Return the table of JSON objects; its columns are those of any of them."""
    objects = list(_objects(text, name))
    header = list(dict.fromkeys(key for _, each in objects for key in each))
    if len(header) > MOST_COLUMNS:
        raise InputFileError(name, f"{len(header):,} different names; at most {MOST_COLUMNS} are read")
    if objects and not is_header(header):
        shown = ", ".join(header[:20])
        raise InputFileError(name, f"names no {anchor}; there are {excerpt(shown)}", line=objects[0][0])
    rows = (TableRow(number, [_cell(each[key]) if key in each else None for key in header]) for number, each in objects)
    return Table(name, SheetRow(1, header), rows)


def _objects(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, object) of a list of objects, of one object that holds such a list, or of one object a line."""
    try:
        whole = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
        if text.lstrip().startswith("["):
            lines = [(1, text)]
        for number, line in lines:
            yield number, _only_object(_loaded(line, number, name), number, name)
        return
    if isinstance(whole, dict):
        inside = [value for value in whole.values() if isinstance(value, list)]
        whole = inside[0] if len(whole) == len(inside) == 1 else [whole]
    for number, each in enumerate(whole, start=1):
        yield number, _only_object(each, number, name)


def _loaded(line: str, number: int, name: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_object)
    except ValueError as error:
        place = error.lineno if isinstance(error, json.JSONDecodeError) and error.lineno > 1 else number
        why = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise InputFileError(name, f"is no JSON: {why}", line=place) from error
    except RecursionError as error:
        raise InputFileError(name, "is nested too deep", line=number) from error


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; a name that stands in it twice would hide a value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"{excerpt(twice)} stands twice in an object")
    return found


def _only_object(value: Any, number: int, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputFileError(name, f"{excerpt(value)} is no JSON object", line=number)
    return value


def _cell(value: Any) -> str:
    """Return the text of a JSON value, as a cell would show it."""
    if isinstance(value, list):
        return " ".join(each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in value)
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, float):
        return format(Decimal(str(value)), "f")
    return "" if value is None else json.dumps(value, ensure_ascii=False)
