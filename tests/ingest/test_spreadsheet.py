"""Spreadsheets: what a person sees in their cells, and files that are none or mean harm."""

from __future__ import annotations

import random
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from ingest.spreadsheet import MOST_BYTES, SheetRow, cell_text, is_spreadsheet, read_rows
from lake.errors import InputFileError
from tests.ingest.sheets import SHEET, rewritten, sheet, with_cells

NOON = datetime(2024, 7, 9, 12)  # noqa: DTZ001 - a cell has no zone


def texts(path: Path, wanted: str | int | None = None) -> list[list[str]]:
    return [row.cells for row in read_rows(path, wanted)]


@pytest.mark.parametrize(
    ("value", "number_format", "expected"),
    [
        (None, "General", ""),
        ("  a\n b ", "General", "a b"),
        (14_000_000_012_345, "General", "14000000012345"),
        (14_000_000_012_345.0, "0", "14000000012345"),
        (86_000_123, "00000000000000", "00000086000123"),
        (1_234_567_890_123_456_789, "General", "1234567890123456789"),
        (1_234_567_890_123_450_000, "General", "1.23456789012345e+18"),
        (12.34, "0.00", "12.34"),
        (0.1 + 0.2, "General", "0.3"),
        (-3, "000", "-03"),
        (True, "General", "true"),
        (NOON, "General", "2024-07-09T12:00:00"),
        (date(2024, 7, 9), "General", "2024-07-09"),
        (time(8, 30), "General", "08:30:00"),
        (timedelta(hours=30), "General", "108000"),
    ],
)
def test_cell_text(value: object, number_format: str, expected: str) -> None:
    """Digits stay, leading zeros of a format count, and what may have lost digits passes for no meter id."""
    assert expected == cell_text(value, number_format)


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_whole_number_comes_back(number: int) -> None:
    """Every whole number that Excel can hold, whether stored as integer or as float."""
    assert str(number) == cell_text(number) == cell_text(float(number))


def test_rows_as_a_person_sees_them(tmp_path: Path) -> None:
    """Numbers, times, empty rows and cells; the row number is the sheet's."""
    file = sheet(
        tmp_path / "a.xlsx",
        [["表号", "时间", "读数"], [], [14000000012345, NOON, 12.5], [42, date(2024, 7, 9)]],
        formats={"A4": "00000000"},
    )

    assert [
        SheetRow(1, ["表号", "时间", "读数"]),
        SheetRow(3, ["14000000012345", "2024-07-09T12:00:00", "12.5"]),
        SheetRow(4, ["00000042", "2024-07-09T00:00:00"]),
    ] == list(read_rows(file))


def test_title_across_merged_cells_is_no_row(tmp_path: Path) -> None:
    """Titles and notes are skipped, a text in one cell that is not merged is not."""
    rows = [["2024 年 6 月抄表", None, None], ["id", "t", "v"], ["m1", "x", 1], ["note", None, None], ["m2"]]
    file = sheet(tmp_path / "a.xlsx", rows, merged=["A1:C1", "A4:C4"])

    assert [["id", "t", "v"], ["m1", "x", "1"], ["m2"]] == texts(file)


def test_cell_merged_over_rows_is_in_each(tmp_path: Path) -> None:
    """Several readings of one meter under one merged number."""
    rows: list[list[Any]] = [["m1", 1], [None, 2], [None, 3], ["m2", 4], [None, None], [None, 5]]
    file = sheet(tmp_path / "a.xlsx", rows, merged=["A1:A3"])

    assert [["m1", "1"], ["m1", "2"], ["m1", "3"], ["m2", "4"], ["", "5"]] == texts(file)


def test_formula_gives_its_value(tmp_path: Path) -> None:
    """The value that the spreadsheet program stored; without one the formula stands there as text, never evaluated."""
    file = with_cells(
        tmp_path / "a.xlsx",
        '<row r="1"><c r="A1"><f>1+1</f><v>2</v></c><c r="B1" t="str"><f>"a"</f><v>a</v></c>'
        '<c r="C1"><f>cmd|\'/c calc\'!A1</f></c><c r="D1"><v>7</v></c></row>',
    )

    assert [["2", "a", "=cmd|'/c calc'!A1", "7"]] == texts(file)


@pytest.mark.parametrize(("wanted", "expected"), [(None, "second"), (1, "hidden"), (3, "third"), ("三", "third")])
def test_sheet_by_name_and_number(tmp_path: Path, wanted: str | int | None, expected: str) -> None:
    """Without a wish the first that is not hidden."""
    book = Workbook()
    for name, text in (("一", "hidden"), ("二", "second"), ("三", "third")):
        book.create_sheet(name).append([text])
    book.remove(book.worksheets[0])
    book["一"].sheet_state = "hidden"
    book.save(tmp_path / "a.xlsx")

    assert [[expected]] == texts(tmp_path / "a.xlsx", wanted)


@pytest.mark.parametrize("wanted", ["四", 0, 2, -1])
def test_unknown_sheet_is_named(tmp_path: Path, wanted: str | int) -> None:
    """Together with those that are there."""
    file = sheet(tmp_path / "a.xlsx", [["x"]], title="一")

    with pytest.raises(InputFileError, match=r"a\.xlsx: there is no sheet .*; there are '一'"):
        texts(file, wanted)


def test_size_that_the_file_claims_is_not_believed(tmp_path: Path) -> None:
    """A dimension over all cells of the format costs nothing."""
    file = rewritten(
        sheet(tmp_path / "a.xlsx", [["x"], ["y"]]), SHEET, lambda xml: xml.replace(b'"A1:A2"', b'"A1:XFD1048576"')
    )

    assert [["x"], ["y"]] == texts(file)


def bomb(path: Path) -> Path:
    sheet(path, [["x"]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/worksheets/b.xml", "w") as part:
        for _ in range(MOST_BYTES // 10_000_000 + 1):
            part.write(b" " * 10_000_000)
    return path


def entities(path: Path) -> Path:
    inner = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 9))
    return rewritten(sheet(path, [["x"]]), SHEET, lambda xml: b'<!DOCTYPE a [<!ENTITY l0 "lol">' + inner + b"]>" + xml)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def cut(path: Path) -> Path:
    whole = sheet(path, [["x"] * 50] * 200).read_bytes()
    return written(path, whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (bomb, "unpacks to .* bytes; split it, or save it as CSV"),
        (lambda path: with_cells(path, "<row>" + "<c/>" * 5_000_000 + "</row>"), "as no list of meters does"),
        (
            lambda path: with_cells(
                path, "<row>" + "".join(f'<c t="str"><v>{random.random()}</v></c>' for _ in range(300_000)) + "</row>"
            ),
            "has a row longer than",
        ),
        (entities, "holds a document type"),
    ],
)
def test_bomb_is_refused_before_it_goes_off(tmp_path: Path, make: Callable[[Path], Path], expected: str) -> None:
    """A few kilobytes that unpack to gigabytes fill neither time nor memory."""
    file = make(tmp_path / "a.xlsx")
    tracemalloc.start()
    try:
        with pytest.raises(InputFileError, match=expected):
            texts(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 50_000_000


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: with_cells(path, '<row r="99999999999"><c><v>1</v></c></row>'), "more than 1,048,576 rows"),
        (lambda path: with_cells(path, '<row><c r="ZZZ1"><v>1</v></c></row>'), "18,278 columns; at most 1000"),
        (lambda path: with_cells(path, '<row><c r="AAAAAAA1"><v>1</v></c></row>'), "cannot be read as a spreadsheet"),
        (lambda path: with_cells(path, '<row><c t="s"><v>77</v></c></row>'), "cannot be read as a spreadsheet"),
        (lambda path: with_cells(path, "<row><c><v>1\0</v></c></row>"), "cannot be read as a spreadsheet"),
        (lambda path: with_cells(path, "<row><c><v>x</v></c></row>"), "cannot be read as a spreadsheet"),
        (lambda path: with_cells(path, "<row><c>"), "cannot be read as a spreadsheet"),
        (lambda path: rewritten(sheet(path, [["x"]]), "xl/workbook.xml", lambda _: b"<a/>"), "has no sheet"),
        (lambda path: written(path, b"id,ts\n"), "cannot be read as a spreadsheet"),
        (lambda path: written(path, b""), "cannot be read as a spreadsheet"),
        (lambda path: written(path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "format of old Excel versions, or locked"),
        (cut, "cannot be read as a spreadsheet"),
    ],
)
def test_hostile_file_is_an_error_and_nothing_else(tmp_path: Path, make: Callable[[Path], Path], expected: str) -> None:
    """The file is named, with what to do."""
    with pytest.raises(InputFileError, match=expected) as caught:
        texts(make(tmp_path / "a.xlsx"))

    assert str(caught.value).startswith("a.xlsx")
    assert len(str(caught.value)) < 500


def test_merged_over_merged_is_refused(tmp_path: Path) -> None:
    """No program writes it, and it would cost time without end."""
    areas = "".join(f'<mergeCell ref="A1:B{row}"/>' for row in range(5000, 8000)).encode()
    file = rewritten(
        sheet(tmp_path / "a.xlsx", [["x"]] * 10),
        SHEET,
        lambda xml: xml.replace(b"</sheetData>", b"</sheetData><mergeCells>" + areas + b"</mergeCells>"),
    )

    with pytest.raises(InputFileError, match="merged cells over merged cells"):
        texts(file)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_file_is_an_error_or_rows(tmp_path: Path, seed: int) -> None:
    """Bytes changed in the parts of the archive raise the one error, or none."""
    chance = random.Random(seed)
    file = sheet(tmp_path / "a.xlsx", [["表号", NOON, 1.5, True, "=1+1"]] * 3, merged=["A1:B1"])
    with zipfile.ZipFile(file) as archive:
        part = chance.choice(archive.namelist())

    def damage(content: bytes) -> bytes:
        changed = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(len(changed))
            changed[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        return bytes(changed)

    try:
        rows = texts(rewritten(file, part, damage))
    except InputFileError:
        return
    assert all(isinstance(cell, str) for row in rows for cell in row)


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("a.xlsx", b"", True),
        ("a.XLSM", b"", True),
        ("a.csv", b"PK\x03\x04", False),
        ("a.xls", b"PK\x03\x04", True),
        ("a.xls", b"\xd0\xcf\x11\xe0", True),
        ("a.xls", b"id\ttime\n", False),
    ],
)
def test_spreadsheet_by_name(tmp_path: Path, name: str, start: bytes, expected: bool) -> None:
    """What is called .xls is often text."""
    assert expected == is_spreadsheet(written(tmp_path / name, start))
