"""Rows that people hand in: what may not stand in a cell, and what became of the rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lake.errors import RowError
from lake.vocabulary import Column

LONGEST_TEXT = 200
LONGEST = {"note": 2000, "symptom": 2000}  # of what people tell in their own words

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Refused(NamedTuple):
    """A cell for which a row was not taken.

    Parameters
    ----------
    place : int
        The row's place among the rows given, from 0.
    error : RowError
        The cell's column, and why.
    """

    place: int
    error: RowError


class Outcome(NamedTuple):
    """What became of rows: how many were new, changed or repeated what was known, and every cell that was refused."""

    new: int
    changed: int
    unchanged: int
    refused: tuple[Refused, ...]


def cell_problems(
    row: Mapping[str, object], columns: Mapping[str, Column], words: Mapping[str, Collection[str]]
) -> Iterator[RowError]:
    """Yield what may not stand in a row's cells: ranges of numbers, closed sets of words, texts.

    Parameters
    ----------
    row : mapping of str to object
        Values of `columns`, None where nothing is known; others are not looked at.
    columns : mapping of str to Column
        Of the vocabulary.
    words : mapping of str to collection of str
        Columns in which only these words may stand.
    """
    for name, column in columns.items():
        value = row.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            yield from text_problems(name, value)
            if name in words and value not in words[name]:
                yield RowError(name, f"{shortened(value)!r} is not allowed there; allowed are {', '.join(words[name])}")
        elif isinstance(value, float) and not _within(value, column.low, column.high):
            yield RowError(name, f"{value:g} is out of range; allowed is {column.low:g} to {column.high:g}")


def id_problems(column: str, text: str | None) -> Iterator[RowError]:
    """Yield what is wrong with a meter id; that it is missing, too."""
    if not text or not _ID.fullmatch(text):
        what = f"{shortened(text)!r} is no meter id" if text else "is missing"
        yield RowError(column, f"{what}: 1 to 64 of A-Z a-z 0-9 . _ : -, the first alphanumeric")


def text_problems(column: str, text: str) -> Iterator[RowError]:
    """Yield what is wrong with a text."""
    longest = LONGEST.get(column, LONGEST_TEXT)
    if len(text) > longest:
        yield RowError(column, f"is longer than {longest} characters")
    elif _CONTROL.search(text):
        yield RowError(column, f"holds control characters: {text!r}")
    elif _SURROGATE.search(text):
        yield RowError(column, f"is no valid text: {text!r}")


@cache
def is_zone(name: str) -> bool:
    """Tell whether there is an IANA zone of that name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def shortened(text: str) -> str:
    """Return a text short enough for a message."""
    return text if len(text) <= 80 else f"{text[:80]}…"


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)  # also false for NaN
