"""CSV that a spreadsheet opens without calculating or losing anything."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from metriage.safe_csv import safe_text, write_safe_csv


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "|calc", "%x", " =1", "\t=1", "\r=1", "＝1+1", "＠x", "－1", "\u200b=1", "\x1b=1"],
)
def test_formula_is_shown_and_not_calculated(text: str) -> None:
    """Also behind blanks, invisible characters, and in the wide forms of Chinese keyboards."""
    assert safe_text(text).startswith("'")


@pytest.mark.parametrize("text", ["LOT-7", "批次=3", "", "3.5", "a@b"])
def test_other_text_stays(text: str) -> None:
    """Only the beginning makes a formula."""
    assert text == safe_text(text)


def test_file_reads_back_with_numbers_and_times_as_they_are(tmp_path: Path) -> None:
    """Quotes and line feeds within a cell stay within it; lists are joined; negative numbers are numbers."""
    rows = pl.DataFrame(
        {
            "name": ['a"b,c\nd', None],
            "figure": [-1.5, None],
            "at": [datetime(2024, 1, 1, tzinfo=UTC), None],
            "rules": [["=x", "y"], []],
        }
    )

    text = write_safe_csv(rows, tmp_path / "a.csv").read_text(encoding="utf-8-sig")

    assert [
        ["name", "figure", "at", "rules"],
        ['a"b,c\nd', "-1.5000", "2024-01-01T00:00:00Z", "'=x; y"],
        ["", "", "", ""],
    ] == list(csv.reader(io.StringIO(text)))
