"""The cases of a profile."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.profiles.cases import run_cases
from tests.ingest.profiles.profile_makers import CODE, profile

CASE: dict[str, Any] = {
    "status": 1,
    "codes": ["a"],
    "fields": {"volume_m3": 2.5},
    "extra": {"b": 36},
    "gives": [["a", "coil", 1], ["status:0x1", "unknown", 4]],
    "sticky": ["a"],
    "becomes": {"battery_v": 3.6, "volume_m3": 2.5},
}


def wrong(**changes: object) -> list[tuple[int, str, object, object]]:
    """Return what a case expects and does not find."""
    made = profile(
        code=[CODE | {"sticky": True}], battery=[{"fields": ["b"], "unit": "V/10"}], case=[CASE, CASE | changes]
    )
    return [tuple(outcome) for outcome in run_cases(made) if not outcome.is_right]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"gives": []}, [(1, "gives", [], [("a", "coil", 1), ("status:0x1", "unknown", 4)])]),
        ({"sticky": []}, [(1, "sticky", [], ["a"])]),
        ({"becomes": {"battery_v": 3.5}}, [(1, "battery_v", 3.5, 3.6)]),
        ({"extra": {}}, [(1, "battery_v", 3.6, None)]),
        ({"status": None}, [(1, "gives", [("a", "coil", 1), ("status:0x1", "unknown", 4)], [("a", "coil", 1)])]),
    ],
)
def test_case_that_is_wrong_is_found(changes: dict[str, Any], expected: list[tuple[int, str, object, object]]) -> None:
    """Expected beside found, by number and what."""
    assert expected == wrong(**changes)
