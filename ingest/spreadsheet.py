"""Rows of a spreadsheet (XLSX) as texts, the way a person sees them: numbers keep their digits, formulas give values.

Excel keeps 15 digits of a number. A whole number that may have lost digits is written with an exponent, so that it
still is that number but passes for no meter id.
"""

from __future__ import annotations

import itertools
import re
import warnings
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from lake.errors import InputFileError

SUFFIXES = (".xlsx", ".xlsm")
MOST_ROWS = 1_048_576  # of the format itself
MOST_COLUMNS = 1000
MOST_BYTES = 500_000_000  # unpacked
MOST_PART_BYTES = 100_000_000  # unpacked, of a part that is read as a whole
LONGEST_ROW_BYTES = 8_000_000
MOST_RATIO = 250  # unpacked to packed; a sheet of one repeated row reaches 150

_DIGITS = 15
_CHUNK = 1 << 20
_OVERLAP = 512
_ROWS_AT_ONCE = 500
_ZIP = b"PK\x03\x04"
_OLD_OR_LOCKED = b"\xd0\xcf\x11\xe0"

_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_END = re.compile(rb"</(?:\w+:)?row>|<(?:\w+:)?mergeCell\s")  # of what is read as one piece
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]{0,200}?ref="([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})"')
_ZEROS = re.compile("0{2,64}")

# What a file that is no spreadsheet makes zipfile, the XML parser and openpyxl raise.
_BROKEN = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_SAVE_AGAIN = "open it in a spreadsheet program, save it as .xlsx or as CSV, and try again"


class SheetRow(NamedTuple):
    """One row that holds something.

    Parameters
    ----------
    number : int
        Its number in the sheet, from 1.
    cells : list of str
        Its cells from the first column to the last that holds something, empty where there is nothing.
    """

    number: int
    cells: list[str]


class _Area(NamedTuple):
    """Merged cells; rows and columns from 1, both ends belong to it."""

    first_row: int
    first_column: int
    last_row: int
    last_column: int


@dataclass(slots=True)
class _Layout:
    """What the text of a sheet shows before its cells are read."""

    formulas: bool = False
    areas: set[_Area] = field(default_factory=set)


def is_spreadsheet(path: Path) -> bool:
    """Tell whether a file is a spreadsheet: by its name, or, called ``.xls``, by its first bytes; many are text."""
    suffix = path.suffix.lower()
    if suffix != ".xls":
        return suffix in SUFFIXES
    with path.open("rb") as stream:
        return stream.read(4) in {_OLD_OR_LOCKED, _ZIP}


def read_rows(path: Path, sheet: str | int | None = None) -> Iterator[SheetRow]:
    """Yield the rows of a sheet that hold something; titles and notes across merged cells are none.

    A cell merged over several rows belongs to each of them. Times are ISO 8601 without zone, with a ``T``.

    Parameters
    ----------
    path : Path
        The file.
    sheet : str or int, optional
        Name or number from 1 of the sheet; default: the first that is not hidden.

    Raises
    ------
    InputFileError
        It is no spreadsheet, damaged, locked, larger than any list of meters, or has no such sheet.
    """
    with _reporting(path):
        _check_archive(path)
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")  # openpyxl tells of styles and extensions that are none of our business
            book = _open(stream, formulas=False)
            number = _place(book, sheet, path)
        layout = _layout(path, _part(book, number))
    with path.open("rb") as stream, path.open("rb") as again:
        with _reporting(path):
            values = _numbered(_open(stream, formulas=False), number, path)
            formulas = _numbered(_open(again, formulas=True), number, path) if layout.formulas else None
        yield from _without_titles(_texts(values, formulas), layout.areas, path.name)


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    try:
        yield
    except InputFileError:
        raise
    except _BROKEN as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputFileError(path.name, f"cannot be read as a spreadsheet ({why}); {_SAVE_AGAIN}") from error


def _check_archive(path: Path) -> None:
    """Refuse what is no spreadsheet, and what would unpack to more than one has."""
    with path.open("rb") as stream:
        if stream.read(4) == _OLD_OR_LOCKED:
            raise InputFileError(
                path.name, f"is in the format of old Excel versions, or locked with a password; {_SAVE_AGAIN}"
            )
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        size = sum(part.file_size for part in parts)
        read_whole = [part for part in parts if "/worksheets/" not in part.filename and "/media/" not in part.filename]
        if size > MOST_BYTES or any(part.file_size > MOST_PART_BYTES for part in read_whole):
            raise InputFileError(path.name, f"unpacks to {size:,} bytes; split it, or save it as CSV")
        packed = max(1, sum(part.compress_size for part in parts))
        if size > MOST_PART_BYTES / 10 and size / packed > MOST_RATIO:
            raise InputFileError(
                path.name, f"unpacks from {packed:,} to {size:,} bytes, as no list of meters does; save it as CSV"
            )
        for part in parts:
            if part.filename.endswith((".xml", ".rels")):
                with archive.open(part) as content:
                    if b"<!DOCTYPE" in content.read(4096).replace(b"\0", b""):
                        raise InputFileError(path.name, f"{part.filename} holds a document type; {_SAVE_AGAIN}")


def _open(stream: Any, *, formulas: bool) -> Any:
    from openpyxl import load_workbook  # noqa: PLC0415 - slow to import, and few sites have spreadsheets

    return load_workbook(stream, read_only=True, data_only=not formulas, keep_links=False)


def _place(book: Any, sheet: str | int | None, path: Path) -> int:
    """Return the place of the wanted sheet among the worksheets, from 0."""
    names = [each.title for each in book.worksheets]
    if not names:
        raise InputFileError(path.name, "has no sheet")
    if sheet is None:
        return next((place for place, each in enumerate(book.worksheets) if each.sheet_state == "visible"), 0)
    if isinstance(sheet, str) and sheet in names:
        return names.index(sheet)
    if isinstance(sheet, int) and 1 <= sheet <= len(names):
        return sheet - 1
    raise InputFileError(path.name, f"there is no sheet {sheet!r}; there are {', '.join(map(repr, names[:20]))}")


def _part(book: Any, number: int) -> str:
    # Without it merged cells could only be known with the whole sheet in memory.
    return str(book.worksheets[number]._worksheet_path)  # noqa: SLF001


def _layout(path: Path, part: str) -> _Layout:
    """Look through the text of a sheet: formulas, merged cells, and rows longer than any."""
    found = _Layout()
    with zipfile.ZipFile(path) as archive, archive.open(part) as stream:
        tail = b""
        since_row = 0
        while chunk := stream.read(_CHUNK):
            text = tail + chunk
            found.formulas = found.formulas or _FORMULA.search(text) is not None
            found.areas.update(_area(*match.groups()) for match in _MERGED.finditer(text))
            ends = [match.end() for match in _END.finditer(text)]
            since_row = len(text) - ends[-1] if ends else since_row + len(chunk)
            if since_row > LONGEST_ROW_BYTES:
                raise InputFileError(path.name, f"has a row longer than {LONGEST_ROW_BYTES:,} bytes; save it as CSV")
            tail = text[-_OVERLAP:]
    return found


def _area(first_column: bytes, first_row: bytes, last_column: bytes, last_row: bytes) -> _Area:
    from openpyxl.utils import column_index_from_string  # noqa: PLC0415

    first, last = (column_index_from_string(name.decode()) for name in (first_column, last_column))
    return _Area(int(first_row), first, int(last_row), last)


def _numbered(book: Any, number: int, path: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield (number, cells) of each row, also of empty ones."""
    sheet = book.worksheets[number]
    sheet.reset_dimensions()  # what the file says of its own size may be anything
    rows = enumerate(sheet.iter_rows(), start=1)
    while True:
        with _reporting(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            some = list(itertools.islice(rows, _ROWS_AT_ONCE))
        for row_number, cells in some:
            if row_number > MOST_ROWS:
                raise InputFileError(path.name, f"has more than {MOST_ROWS:,} rows", line=row_number)
            if len(cells) > MOST_COLUMNS:
                raise InputFileError(
                    path.name, f"{len(cells):,} columns; at most {MOST_COLUMNS} are read", line=row_number
                )
            yield row_number, cells
        if len(some) < _ROWS_AT_ONCE:
            return


def _texts(
    values: Iterator[tuple[int, tuple[Any, ...]]], formulas: Iterator[tuple[int, tuple[Any, ...]]] | None
) -> Iterator[SheetRow]:
    """Yield rows as texts; a formula without its value stands there as it was written."""
    if formulas is None:
        for number, cells in values:
            yield SheetRow(number, _row_texts(cells))
        return
    for (number, cells), (_, written) in zip(values, formulas, strict=True):
        texts = _row_texts(cells)
        for place, cell in enumerate(written):
            if cell.data_type == "f" and not texts[place]:
                texts[place] = " ".join(str(getattr(cell.value, "text", cell.value)).split()) or "="
        yield SheetRow(number, texts)


def _row_texts(cells: Iterable[Any]) -> list[str]:
    return [
        cell_text(value, cell.number_format if isinstance(value, int | float) else "")
        for cell in cells
        for value in (cell.value,)
    ]


def cell_text(value: object, number_format: str = "General") -> str:
    """Return the text of a cell.

    Parameters
    ----------
    value : object
        What openpyxl gives: None, a string, a number, a truth value, a time.
    number_format : str
        How Excel shows it; a format of zeros gives a number its leading ones.

    Examples
    --------
    >>> cell_text(12345678901234.0), cell_text(42, "00000000"), cell_text(12.340000000000002)
    ('12345678901234', '00000042', '12.34')
    >>> cell_text(1234567890123450000), cell_text(date(2024, 7, 9)), cell_text(True), cell_text(" a  b ")
    ('1.23456789012345e+18', '2024-07-09', 'true', 'a b')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number_text(value, number_format)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.15g}"
    return "" if value is None else " ".join(str(value).split())


def _number_text(value: float, number_format: str) -> str:
    if isinstance(value, float) and not (value.is_integer() and abs(value) < 10**_DIGITS):
        return f"{value:.{_DIGITS}g}"
    digits = str(int(value))
    if len(digits.lstrip("-")) > _DIGITS and not digits.lstrip("-")[_DIGITS:].strip("0"):
        return f"{value:.{_DIGITS - 1}e}"
    return digits.zfill(len(number_format)) if _ZEROS.fullmatch(number_format) else digits


def _without_titles(rows: Iterator[SheetRow], areas: Iterable[_Area], file: str) -> Iterator[SheetRow]:
    """Yield rows that hold more than a text across merged columns; cells merged over rows are in each of them."""
    waiting = deque(sorted(areas))
    wide: list[_Area] = []
    tall: list[tuple[_Area, str]] = []
    for number, cells in rows:
        while waiting and waiting[0].first_row <= number:
            area = waiting.popleft()
            if area.last_column > area.first_column:
                wide.append(area)
            else:
                tall.append((area, "".join(cells[area.first_column - 1 : area.first_column])))
        wide = [area for area in wide if area.last_row >= number]
        tall = [(area, text) for area, text in tall if area.last_row >= number]
        if len(wide) + len(tall) > MOST_COLUMNS:
            raise InputFileError(file, f"has merged cells over merged cells; {_SAVE_AGAIN}", line=number)
        filled = {place for place, text in enumerate(cells, start=1) if text}
        for area in wide:
            filled.difference_update(range(area.first_column, min(area.last_column, len(cells)) + 1))
        if filled:
            whole = _filled(cells, tall)
            yield SheetRow(number, whole[: max(place for place, text in enumerate(whole, start=1) if text)])


def _filled(cells: list[str], tall: Iterable[tuple[_Area, str]]) -> list[str]:
    """Return cells with the text of those that are merged over rows."""
    for area, text in tall:
        place = area.first_column - 1
        if text and place < MOST_COLUMNS:
            cells.extend([""] * (place + 1 - len(cells)))
            cells[place] = cells[place] or text
    return cells
