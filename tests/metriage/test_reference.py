"""The reference pages are what their definitions say today."""

from __future__ import annotations

import re

import pytest

from diagnostics.rules import RULES
from lake.vocabulary import READING
from metriage.reference import PAGES
from tests.metriage.test_command_line import COMMANDS
from tests.recordings import ROOT


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str) -> None:
    """Rewrite it with: python -m metriage.reference."""
    assert PAGES[name]() == (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_command_of_the_contract_that_exists_is_documented() -> None:
    """By its full name."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    assert [f"metriage {name}" for name in COMMANDS] == sorted(re.findall(r"^## `(.*)`$", page, re.MULTILINE))


def test_every_command_is_named_in_the_contract() -> None:
    """The page holds nothing that the contract does not promise."""
    contract = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    section = contract.partition("## 4. Command line")[2].partition("\n## ")[0]

    missing = [name for name in COMMANDS if not re.search(rf"\b{name.split()[-1]}\b", section)]
    assert [] == missing


def test_every_rule_and_column_is_documented() -> None:
    """One row and one page a rule, one row a column."""
    rules = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")

    assert set(RULES) == set(re.findall(r"^\| \[`(.*)`\]", rules, re.MULTILINE))
    assert set(RULES) == {page.stem for page in (ROOT / "docs" / "rules").glob("*.md")}
    assert [] == [name for name in READING if f"| `{name}` |" not in glossary]


@pytest.mark.parametrize("name", PAGES)
def test_tables_have_as_many_cells_as_columns(name: str) -> None:
    """No text breaks a table."""
    for block in re.findall(r"(?:^\|.*\n)+", PAGES[name](), re.MULTILINE):
        lengths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert 1 == len(lengths), block
