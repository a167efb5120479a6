"""Tables in files: encodings, delimiters, titles, and files that are none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from lake.errors import InputFileError
from metriage.table_file import open_table
from tests.ingest.sheets import sheet


def is_header(cells: Sequence[str]) -> bool:
    return "表号" in cells


def rows(path: Path) -> list[tuple[int, list[str | None]]]:
    table = open_table(path, is_header, "meter_id")
    return [(table.header.number, table.header.cells), *((row.number, list(row.cells)) for row in table.rows)]


def written(path: Path, content: bytes | str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encoding_and_delimiter_are_found_out(tmp_path: Path, encoding: str, delimiter: str, end: str) -> None:
    """With quotes and line ends inside cells; the number is that of a row's first line."""
    text = f'"表号"{delimiter}小区{end}1{delimiter}"a{end}{delimiter} ""b"""{end}{end}2{delimiter}c'
    file = written(tmp_path / "a.csv", text, encoding)
    inner = " ".join(f'a {delimiter} "b"'.split())

    assert [(1, ["表号", "小区"]), (2, ["1", inner]), (5, ["2", "c"])] == rows(file)


def test_title_above_the_header_is_passed_over(tmp_path: Path) -> None:
    """In CSV as in spreadsheets."""
    plain = written(tmp_path / "a.csv", "台账,,\n\n小区,表号\na,1\n")
    book = sheet(tmp_path / "a.xlsx", [["台账"], ["小区", "表号"], [date(2024, 7, 9), 14000000012345]])

    assert [(3, ["小区", "表号"]), (4, ["a", "1"])] == rows(plain)
    assert [(2, ["小区", "表号"]), (3, ["2024-07-09T00:00:00", "14000000012345"])] == rows(book)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"", "a.csv: the file is empty"),
        ("a.csv", b"\n \n", "a.csv: the file is empty"),
        ("a.csv", b"id;model\n", "a.csv, line 1: names no column for meter_id; there are"),
        ("a.csv", "表号\n1\n\0\n".encode(), "a.csv, line 3: holds NUL bytes; save it as CSV in UTF-8"),
        ("a.csv", "表号\n".encode() + b"\xff\xff\n", "a.csv, line 2: is neither UTF-8 nor GB18030"),
        ("a.csv", b"\xff\xfea", "is neither UTF-8 nor utf-16"),
        (
            "a.csv",
            '表号\n"1'.encode(),
            "a.csv, line 2: unexpected end of data; is there a quote without",
        ),
        ("a.csv", "表号\n".encode() + b"," * 1_000_000, "a.csv, line 2: 1,000,001 columns; at most 1000 are read"),
        ("a.csv", b"," * 1_000_000, "a.csv, line 1: 1,000,001 columns; at most 1000 are read"),
        ("a.csv", "表号\n".encode() + b"1" * 200_000, "line 2: field larger than field limit"),
        ("a.xlsx", b"PK", "a.xlsx: cannot be read as a spreadsheet"),
        ("a.xls", b"\xd0\xcf\x11\xe0", "a.xls: is in the format of old Excel versions"),
    ],
)
def test_hostile_file_is_an_error_and_nothing_else(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    """File, line, what is wrong and what to do."""
    with pytest.raises(InputFileError) as caught:
        rows(written(tmp_path / name, content))
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 500


def test_missing_file_and_folder(tmp_path: Path) -> None:
    """Say so."""
    for path in (tmp_path / "a.csv", tmp_path):
        with pytest.raises(InputFileError, match="there is no such file"):
            rows(path)
