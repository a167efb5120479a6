"""The one list of names keeps its own rules."""

from __future__ import annotations

import pytest

from lake import vocabulary
from lake.schemas import TABLES
from lake.vocabulary import CONTENT, IDENTITY, MEASURES, READING, Column

UNIT_OF = {"m3": "m³", "m3h": "m³/h", "v": "V", "mv": "mV", "ma": "mA", "c": "°C", "dbm": "dBm", "db": "dB", "s": "s"}
COLUMNS = sorted({(name, column.dtype, column) for table in TABLES.values() for name, column in table.columns.items()},
                 key=lambda entry: entry[0])  # fmt: skip


@pytest.mark.parametrize("column", [column for _, _, column in COLUMNS], ids=[name for name, _, _ in COLUMNS])
def test_column_says_what_it_is(column: Column) -> None:
    """Every column has a meaning; its range, where it has one, is not empty."""
    assert column.meaning
    assert not column.meaning.endswith(".")
    assert column.low is None or column.high is None or column.low < column.high


@pytest.mark.parametrize("column", MEASURES.values(), ids=list(MEASURES))
def test_measure_name_ends_in_its_unit(column: Column) -> None:
    """A measured number's name ends in its unit, and its unit is that one."""
    if column.dtype == "float64":
        assert UNIT_OF[column.name.rsplit("_", 1)[-1]] == column.unit


def test_faults_and_families_of_the_contract() -> None:
    """The four faults come first, in their order; families are faults, conditions and unknown."""
    assert vocabulary.FAULTS == ("coil", "battery", "actuator", "low_temperature")
    assert vocabulary.FAMILIES == (*vocabulary.FAULTS, *vocabulary.CONDITIONS, "unknown")
    assert len(set(vocabulary.FAMILIES)) == len(vocabulary.FAMILIES)


def test_names_mean_one_thing() -> None:
    """A name has the same type in every table."""
    types: dict[str, set[str]] = {}
    for name, dtype, _ in COLUMNS:
        types.setdefault(name, set()).add(dtype)

    assert [] == [name for name, found in types.items() if len(found) > 1]


def test_identity_and_content_cover_a_reading() -> None:
    """Every column of a reading is identity, content, or made by us."""
    assert {*IDENTITY, *CONTENT, "received_at", "flags", "event_date"} == set(READING)
    assert not set(IDENTITY) & set(CONTENT)


@pytest.mark.parametrize("words", [vocabulary.FLAGS, vocabulary.QUARANTINE_REASONS])
def test_words_are_explained(words: dict[str, str]) -> None:
    """Flags and reasons are words of one spelling, each with its meaning."""
    assert all(word == word.lower() and word.isidentifier() and meaning for word, meaning in words.items())
