"""Which profile a meter has, from what the registry knows of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from ingest.profiles.format import Match

KEYS = ("module_vendor", "manufacturer", "model", "firmware")


class Rank(NamedTuple):
    """How specific a match is: the more keys, then the more of them without wildcards, the more."""

    keys: int
    exact: int


def rank(match: Match, facts: Mapping[str, str | None], module_encrypted: bool | None) -> Rank | None:
    """Return how specifically a match fits a meter, None where it does not fit."""
    keys = exact = 0
    for name in KEYS:
        patterns: tuple[str, ...] = getattr(match, name)
        if not patterns:
            continue
        fact = facts.get(name)
        fitting = [pattern for pattern in patterns if fact is not None and _compiled(pattern).fullmatch(_plain(fact))]
        if not fitting:
            return None
        keys += 1
        exact += any(not _is_wild(pattern) for pattern in fitting)
    if match.module_encrypted is not None:
        if match.module_encrypted is not module_encrypted:
            return None
        keys, exact = keys + 1, exact + 1
    return Rank(keys, exact) if keys else None


def twins(first: Sequence[Match], second: Sequence[Match]) -> Iterator[str]:
    """Yield what two profiles both claim with the same right, in words."""
    for one in first:
        for other in second:
            common = [_common(getattr(one, name), getattr(other, name)) for name in KEYS]
            if one.module_encrypted is other.module_encrypted and all(item is not None for item in common):
                yield ", ".join(f"{name} = {item!r}" for name, item in zip(KEYS, common, strict=True) if item)


def _common(first: Sequence[str], second: Sequence[str]) -> str | None:
    """Return a pattern that both have, ``""`` where neither has any, None where they differ."""
    if not first and not second:
        return ""
    others = set(map(_plain, second))
    return next((pattern for pattern in first if _plain(pattern) in others), None)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _is_wild(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"([*?])", _plain(pattern))
    return re.compile("".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in parts), re.DOTALL)
