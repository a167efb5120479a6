"""Registry rows as tickets carry them, and the warranty their dates give."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from tickets.meters import Meter, Warranty, meter_from, meters, warranty


def test_meters_missing_registry_knows_the_id() -> None:
    """Meters that are not registered have tickets too."""
    assert meters(None, ["A", "A"]) == {"A": Meter("A")}
    assert meters(pl.DataFrame({"meter_id": ["B"], "model": ["x"]}), ["A"]) == {"A": Meter("A")}


def test_meter_from_takes_typed_and_text_columns() -> None:
    """Dates, numbers and flags may come typed or as the texts of a CSV."""
    typed = meter_from(
        {
            "meter_id": "A",
            "installed_on": date(2023, 5, 1),
            "caliber_mm": 15,
            "flood_prone": True,
            "aliases": ["x", "y"],
        }
    )
    texts = meter_from(
        {"meter_id": "A", "installed_on": "2023-05-01", "caliber_mm": "15", "flood_prone": "true", "aliases": "x, y"}
    )

    assert typed == texts
    assert typed == Meter("A", installed_on=date(2023, 5, 1), caliber_mm=15.0, flood_prone=True, aliases="x, y")


def test_meter_from_unreadable_values_are_not_known() -> None:
    """What does not fit its field counts as missing."""
    row = {"meter_id": "A", "installed_on": "soon", "caliber_mm": "1e999", "flood_prone": "maybe", "model": "\x00"}

    assert meter_from(row) == Meter("A")


@pytest.mark.parametrize(
    ("meter", "expected"),
    [
        (Meter("A"), Warranty()),
        (Meter("A", installed_on=date(2023, 1, 1)), Warranty()),
        (Meter("A", warranty_months=12), Warranty()),
        (
            Meter("A", installed_on=date(2023, 7, 1), produced_on=date(2020, 1, 1), warranty_months=12),
            Warranty("in", date(2024, 7, 1), "installed_on"),
        ),
        (
            Meter("A", produced_on=date(2023, 6, 30), warranty_months=12),
            Warranty("out", date(2024, 6, 30), "produced_on"),
        ),
        (
            Meter("A", shipped_on=date(9999, 12, 31), warranty_months=1200),
            Warranty("in", date(9999, 12, 31), "shipped_on"),
        ),
        (Meter("A", shipped_on=date(2023, 1, 1), warranty_months=-3), Warranty()),
    ],
)
def test_warranty_from_the_dates_there_are(meter: Meter, expected: Warranty) -> None:
    """Installation counts before shipping before production; without a date or a term the state is unknown."""
    assert warranty(meter, on=date(2024, 7, 1)) == expected
