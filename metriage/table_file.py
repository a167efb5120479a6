"""Tables that people keep in files: CSV in the encodings and with the delimiters of their programs, and XLSX."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.excerpt import excerpt
from ingest.spreadsheet import MOST_COLUMNS, SheetRow, is_spreadsheet, read_rows
from lake.errors import InputFileError

DELIMITERS = (",", ";", "\t")
HEADER_WITHIN = 50  # rows in which the header stands, behind titles and notes
MOST_BYTES = 500_000_000

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows below one header.

    Parameters
    ----------
    name : str
        The file's name, for messages.
    header : SheetRow
        The row that names the columns.
    rows : iterator of SheetRow
        The rows behind it that hold something.
    """

    name: str
    header: SheetRow
    rows: Iterator[SheetRow]


def open_table(path: Path, is_header: Callable[[Sequence[str]], bool]) -> Table:
    """Return the table in a file.

    Parameters
    ----------
    path : Path
        CSV (comma, semicolon or tab; UTF-8, UTF-16 or GB18030) or XLSX.
    is_header : callable
        Tells whether cells are those of the header.

    Raises
    ------
    InputFileError
        The file is missing, empty, no such file, or has no header; some of it may show only while rows are read.
    """
    name = path.name.encode(errors="replace").decode()
    try:
        if not path.is_file():
            raise InputFileError(str(path), "there is no such file")
        kinds = [read_rows(path)] if is_spreadsheet(path) else _delimited(path, name)
    except OSError as error:
        raise InputFileError(name, f"cannot be read: {error.strerror or error}") from error
    first: SheetRow | None = None
    problem: InputFileError | None = None
    for rows in kinds:
        try:
            for row in itertools.islice(rows, HEADER_WITHIN):
                if is_header(row.cells):
                    return Table(name, row, rows)
                if first is None or len(row.cells) > len(first.cells):
                    first = row
        except InputFileError as error:  # perhaps only because the delimiter is another one
            problem = problem or error
    if first is None:
        raise problem or InputFileError(name, "the file is empty")
    shown = ", ".join(cell for cell in first.cells[:20] if cell)
    raise InputFileError(name, f"names no column for meter_id; there are {excerpt(shown)}", line=first.number)


def _delimited(path: Path, name: str) -> Iterator[Iterator[SheetRow]]:
    """Yield the rows of a text as each of the delimiters would have them."""
    if path.stat().st_size > MOST_BYTES:
        raise InputFileError(name, f"is larger than {MOST_BYTES:,} bytes; split it")
    text = _decoded(path.read_bytes(), name)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputFileError(name, "holds NUL bytes; save it as CSV in UTF-8", line=line)
    for delimiter in DELIMITERS:
        yield _rows(text, delimiter, name)


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
