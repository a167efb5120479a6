"""Which profile fits how specifically."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.profiles.format import Match
from ingest.profiles.matching import Rank, rank, twins


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (Match(manufacturer=("acme",)), Rank(1, 1)),
        (Match(manufacturer=(" ACME ",)), Rank(1, 1)),
        (Match(manufacturer=("ac*", "acme")), Rank(1, 1)),
        (Match(manufacturer=("ac*",)), Rank(1, 0)),
        (Match(manufacturer=("acm?",)), Rank(1, 0)),
        (Match(manufacturer=("acm",)), None),
        (Match(manufacturer=("a.me",)), None),
        (Match(manufacturer=("acme",), model=("w*",)), Rank(2, 1)),
        (Match(manufacturer=("acme",), firmware=("*",)), None),
        (Match(module_encrypted=True), Rank(1, 1)),
        (Match(module_encrypted=False), None),
        (Match(), None),
    ],
)
def test_rank(match: Match, expected: Rank | None) -> None:
    """Every key must fit; one that the registry does not know fits nothing, not even ``*``."""
    facts: dict[str, Any] = {"manufacturer": "Acme", "model": "W [1]", "firmware": None}

    assert expected == rank(match, facts, module_encrypted=True)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Match(model=("A", "B")), Match(model=("b",)), ["model = 'B'"]),
        (Match(model=("A",)), Match(model=("A",), firmware=("1",)), []),
        (Match(model=("A",)), Match(model=("A*",)), []),
        (Match(model=("A",), module_encrypted=True), Match(model=("A",)), []),
    ],
)
def test_twins(first: Match, second: Match, expected: list[str]) -> None:
    """The same keys with a pattern in common."""
    assert expected == list(twins([first], [second]))
