"""Registry rows as tickets carry them, and the warranty their dates give."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from msgspec.structs import replace

from lake.meter import Meter
from lake.schemas import METERS
from tickets.meters import Warranty, meters, warranties


def test_meters_missing_registry_knows_the_id() -> None:
    """Meters that are not registered have tickets too."""
    assert meters(None, ["A", "A"]) == {"A": Meter(meter_id="A")}
    assert meters(pl.DataFrame({"meter_id": ["B"], "model": ["x"]}), ["A"]) == {"A": Meter(meter_id="A")}


def test_meters_carry_what_the_registry_says() -> None:
    """Typed as the lake has it; texts are readable and short, an empty one is none."""
    row = {
        "meter_id": ["A"], "installed_on": [date(2023, 5, 1)], "caliber_mm": [15], "flood_prone": [True],
        "aliases": [["x", "y"]], "model": ["\x00"], "site": ["x" * 300],
    }  # fmt: skip
    found = meters(pl.DataFrame(row), ["A"])["A"]

    assert found == Meter(
        meter_id="A", installed_on=date(2023, 5, 1), caliber_mm=15.0, flood_prone=True, aliases=("x", "y"),
        site=found.site,
    )  # fmt: skip
    assert found.site is not None
    assert len(found.site) <= 100


ONSET = datetime(2024, 7, 1, 20, tzinfo=UTC)


def covered(meter: dict[str, Any], zone: str = "UTC") -> Warranty:
    registry = METERS.conform(pl.DataFrame([{"meter_id": "A"} | meter], schema={"meter_id": pl.String} | {
        name: METERS.polars[name] for name in meter
    }))  # fmt: skip
    faults = pl.DataFrame({"meter_id": ["A", "B"], "onset": [ONSET, ONSET]})
    found = warranties(faults, registry, None, ONSET, zone)
    assert [("A", ONSET)] == list(found)
    return found["A", ONSET]


def test_warranty_of_a_meter_and_its_fault() -> None:
    """State, basis and term; the days are those of the meter's zone, else the site's."""
    meter = {"installed_on": date(2024, 6, 16), "warranty_months": 12.0}
    expected = Warranty("in_warranty", date(2025, 6, 16), "installed_on", 12, dead_on_arrival=True)

    assert covered(meter) == expected
    assert covered(meter, "Asia/Shanghai") == replace(expected, dead_on_arrival=False)
    assert covered(meter | {"timezone": "UTC"}, "Asia/Shanghai") == expected
    assert covered({}) == Warranty()


def test_warranty_ends_while_a_ticket_is_open() -> None:
    """What is void or not known stays so."""
    running = Warranty("in_warranty", date(2025, 6, 16), "installed_on", 12)

    assert ["in_warranty", "expired"] == [running.at(date(2025, 6, day)).state for day in (16, 17)]
    assert running == running.at(date(2026, 1, 1)).at(date(2025, 1, 1))
    assert "void" == replace(running, state="void").at(date(2026, 1, 1)).state
    assert "unknown" == Warranty().at(date(2026, 1, 1)).state


def test_without_registry_no_warranty_is_known() -> None:
    """And nothing is asked of the inspections."""
    assert {} == warranties(pl.DataFrame({"meter_id": ["A"], "onset": [ONSET]}), None, None, ONSET, "UTC")
