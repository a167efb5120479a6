"""Warranty: from which day, until when, what voids it; dead on arrival."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from lake.schemas import INSPECTIONS, METERS
from lake.warranty import WARRANTY, dead_on_arrival, warranty

JULY = datetime(2024, 7, 1, 12, tzinfo=UTC)


def meters(*rows: dict[str, Any]) -> pl.DataFrame:
    return METERS.conform(pl.DataFrame(list(rows), schema={n: METERS.polars[n] for row in rows for n in row}))


def inspections(*rows: tuple[datetime, bool | None]) -> pl.DataFrame:
    schema = {name: INSPECTIONS.polars[name] for name in ("meter_id", "inspected_at", "inspector", "seal_intact")}
    told = [("m1", moment, f"p{place}", intact) for place, (moment, intact) in enumerate(rows)]
    return INSPECTIONS.conform(pl.DataFrame(told, schema=schema, orient="row"))


def one(row: dict[str, Any], *seals: tuple[datetime, bool | None], on: datetime = JULY) -> dict[str, Any]:
    found = warranty(meters({"meter_id": "m1"} | row), inspections(*seals), on).to_dicts()
    assert 1 == len(found)
    return found[0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, ("unknown", None, None, None)),
        ({"installed_on": date(2023, 7, 1)}, ("unknown", None, "installed_on", None)),
        ({"warranty_months": 12.0}, ("unknown", None, None, 12)),
        (
            {"installed_on": date(2023, 7, 1), "produced_on": date(2020, 1, 1), "warranty_months": 12.0},
            ("in_warranty", date(2024, 7, 1), "installed_on", 12),
        ),
        (
            {"shipped_on": date(2023, 6, 30), "produced_on": date(2023, 7, 9), "warranty_months": 12.0},
            ("expired", date(2024, 6, 30), "shipped_on", 12),
        ),
        (
            {"produced_on": date(2023, 8, 31), "warranty_months": 18.0},
            ("in_warranty", date(2025, 2, 28), "produced_on", 18),
        ),
        (
            {"shipped_on": date(9999, 12, 31), "warranty_months": 1200.0},
            ("in_warranty", date(9999, 12, 31), "shipped_on", 1200),
        ),
        ({"shipped_on": date(2023, 1, 1), "warranty_months": -3.0}, ("unknown", None, "shipped_on", None)),
        ({"shipped_on": date(2023, 1, 1), "warranty_months": 0.0}, ("expired", date(2023, 1, 1), "shipped_on", 0)),
    ],
)
def test_warranty_from_the_dates_there_are(row: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """Installation before delivery before production; the last day belongs to it; months end with short months."""
    found = one(row)

    assert expected == tuple(found[name] for name in ("state", "ends_on", "basis", "months"))
    assert (None, None) == (found["void_since"], found["void_by"])


RUNNING = {"installed_on": date(2023, 7, 1), "warranty_months": 24.0}
MAY = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "seals", "expected"),
    [
        (RUNNING, [(MAY, False)], "void"),
        (RUNNING, [(MAY, True), (MAY, None)], "in_warranty"),
        (RUNNING, [(MAY, False), (datetime(2024, 6, 1, tzinfo=UTC), True)], "void"),
        (RUNNING, [(datetime(2024, 8, 1, tzinfo=UTC), False)], "in_warranty"),
        (RUNNING, [(datetime(2023, 6, 1, tzinfo=UTC), False)], "in_warranty"),
        (RUNNING | {"warranty_months": 6.0}, [(MAY, False)], "expired"),
        (RUNNING | {"warranty_months": 6.0}, [(datetime(2023, 9, 1, tzinfo=UTC), False)], "void"),
        ({}, [(MAY, False)], "void"),
    ],
    ids=["broken", "whole", "sealed again", "later", "before it hung", "after the end", "before the end", "no dates"],
)
def test_broken_seal_voids_a_running_warranty(
    row: dict[str, Any], seals: list[tuple[datetime, bool | None]], expected: str
) -> None:
    """For good; who found it first, and when, is told."""
    found = one(row, *seals)

    assert expected == found["state"]
    if expected == "void":
        assert (seals[0][0], "p0") == (found["void_since"], found["void_by"])


def test_days_are_those_of_the_zone() -> None:
    """In Shanghai the last day is over eight hours earlier."""
    known = meters({"meter_id": "m1", "installed_on": date(2023, 7, 1), "warranty_months": 12.0})
    evening = datetime(2024, 7, 1, 17, tzinfo=UTC)

    states = [warranty(known, inspections(), evening, zone)["state"][0] for zone in ("UTC", "Asia/Shanghai")]

    assert ["in_warranty", "expired"] == states


def test_one_row_a_meter_in_their_order() -> None:
    """However many inspections there are; typed where there is nothing."""
    known = meters({"meter_id": "m2"}, RUNNING | {"meter_id": "m1"}, {"meter_id": "m0"})
    found = warranty(known, inspections((MAY, False), (JULY, False)), JULY)
    empty = warranty(METERS.empty(), INSPECTIONS.empty(), JULY)

    assert ["m2", "m1", "m0"] == found["meter_id"].to_list()
    assert ["unknown", "void", "unknown"] == found["state"].to_list()
    assert WARRANTY == found.schema == empty.schema


def test_dead_on_arrival() -> None:
    """Within fifteen days of the installation; not known where that is not."""
    known = meters({"meter_id": "m1", "installed_on": date(2024, 3, 1)}, {"meter_id": "m2"})
    days = [date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 16), date(2024, 3, 17), None]
    faults = pl.DataFrame({"meter_id": ["m1"] * 5 + ["m2", "m3"], "day": [*days, date(2024, 3, 1), date(2024, 3, 1)]})

    found = dead_on_arrival(faults, known)

    assert [False, True, True, False, None, None, None] == found["dead_on_arrival"].to_list()
    assert [*faults.columns, "dead_on_arrival"] == found.columns
