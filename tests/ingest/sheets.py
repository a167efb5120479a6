"""Spreadsheets for tests, in order and hostile."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from openpyxl import Workbook


def sheet(path: Path, rows: Sequence[Sequence[Any]], **options: Any) -> Path:
    """Write a spreadsheet of one sheet; `merged` areas, `formats` of cells, `title` of the sheet."""
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = options.get("title", "Sheet")
    for row in rows:
        page.append(row)
    for cell, number_format in options.get("formats", {}).items():
        page[cell].number_format = number_format
    for area in options.get("merged", ()):
        page.merge_cells(area)
    book.save(path)
    return path


def rewritten(path: Path, part: str, change: Callable[[bytes], bytes]) -> Path:
    """Change one part of a spreadsheet as no program would."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[part] = change(parts[part])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


SHEET = "xl/worksheets/sheet1.xml"


def with_cells(path: Path, cells: str) -> Path:
    """Write a spreadsheet whose rows are given as XML."""
    sheet(path, [["x"]])
    head, rest = "<sheetData>", "</sheetData>"
    return rewritten(
        path,
        SHEET,
        lambda xml: xml[: xml.index(head.encode()) + len(head)] + cells.encode() + xml[xml.index(rest.encode()) :],
    )
