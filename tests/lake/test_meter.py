"""A registered meter: its columns, and what may not stand in them."""

from __future__ import annotations

from typing import Any

import pytest

from lake.meter import Meter, meter_problems
from lake.vocabulary import METER


def test_meter_has_the_columns_of_the_vocabulary() -> None:
    """One list of names: a column added there is missed here."""
    assert list(METER) == list(Meter.__dataclass_fields__)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"meter_id": ""}, "meter_id: is missing"),
        ({"meter_id": "m/1"}, "meter_id: 'm/1' is no meter id"),
        ({"meter_id": "x" * 65}, "meter_id: "),
        ({"aliases": ("<script>",)}, "aliases: '<script>' is no meter id"),
        ({"aliases": tuple(map(str, range(17)))}, "aliases: 17 of them; at most 16"),
        ({"sensing": "coil"}, "sensing: 'coil' is not allowed there; allowed are reed, inductive"),
        ({"valve_type": "ball"}, "valve_type: "),
        ({"installation": "roof"}, "installation: "),
        ({"caliber_mm": -15.0}, "caliber_mm: -15 is out of range; allowed is 1 to 4000"),
        ({"latitude": float("nan")}, "latitude: nan is out of range"),
        ({"timezone": "Beijing"}, "timezone: 'Beijing' is no IANA time zone"),
        ({"model": "a\x00b"}, "model: holds control characters"),
        ({"model": "\ud800"}, "model: is no valid text"),
        ({"model": "x" * 201}, "model: is longer than 200 characters"),
    ],
)
def test_what_may_not_stand_there_is_refused(change: dict[str, Any], expected: str) -> None:
    """Column and reason are told."""
    row = Meter(**{"meter_id": "m1", **change})

    [problem] = meter_problems(row)
    assert str(problem).startswith(expected)


def test_everything_that_is_wrong_is_told() -> None:
    """Not only the first cell."""
    row = Meter(meter_id="m/1", aliases=("a b", "c d"), model="\x00", caliber_mm=0.0, timezone="Beijing")

    assert ["meter_id", "aliases", "aliases", "model", "caliber_mm", "timezone"] == [
        problem.column for problem in meter_problems(row)
    ]
