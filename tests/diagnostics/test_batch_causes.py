"""What makes a group stand out: the group itself, one that it overlaps with, its place, or nobody knows."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from diagnostics.batch_causes import Told, causes
from diagnostics.batch_settings import BatchSettings
from diagnostics.batches.cohort import Cohort
from tests.diagnostics.cohorts import acts, fleet, names, registry, weather

METERS = 400


def asked(*groups: tuple[str, str, int, str, int, float]) -> pl.DataFrame:
    columns = ("scope", "group", "devices", "verdict", "observed", "expected")
    return pl.DataFrame(groups, orient="row", schema=columns)


def cohort_of(fault: str, failed: range | list[int], **columns: Any) -> Cohort:
    """Return a fleet in which these meters failed, beside one in a hundred of the others."""
    base = {
        "production_batch": [f"L{number // 20:02d}" for number in range(METERS)],
        "module_vendor": ["V" if number < 80 else "W" for number in range(METERS)],
        "region": [f"R{number % 2}" for number in range(METERS)],
        "site": [f"S{number % 10}" for number in range(METERS)],
    }
    every = {*failed, *range(99, METERS, 100)}
    told = acts(*((names(METERS)[place], fault, date(2024, 3, 1)) for place in sorted(every)))
    return fleet(registry(METERS, **(base | columns)), told, weather=weather({"R0": 5.0, "R1": 5.0}))


def told_of(cohort: Cohort, fault: str, *groups: tuple[str, str, int, str, int, float]) -> dict[tuple[str, str], Told]:
    return causes(cohort, fault, asked(*groups), BatchSettings())


def test_smaller_group_is_the_cause_where_nothing_tells_it_from_the_larger() -> None:
    """Six of the vendor's failures are of one lot; his other lots are too few to tell."""
    cohort = cohort_of("coil", range(6), module_vendor=["V" if number < 24 else "W" for number in range(METERS)])

    told = told_of(
        cohort, "coil", ("module_vendor", "V", 24, "act", 6, 0.3), ("production_batch", "L00", 20, "act", 6, 0.2)
    )

    assert {"production_batch"} == {answer.cause for answer in told.values()}


def test_lot_is_not_the_cause_where_its_vendor_fails_everywhere() -> None:
    """All four lots of the vendor."""
    cohort = cohort_of("battery", range(0, 80, 4))

    told = told_of(
        cohort, "battery", ("module_vendor", "V", 80, "act", 20, 1.0), ("production_batch", "L00", 20, "watch", 5, 0.3)
    )

    assert {"module"} == {answer.cause for answer in told.values()}
    overlap = [item for item in told["production_batch", "L00"].evidence if item.get("scope") == "module_vendor"]
    assert ["other"] == [item["decided"] for item in overlap]


def test_no_cause_is_named_where_group_and_place_coincide() -> None:
    """Whatever the comparisons say."""
    told = told_of(cohort_of("coil", range(6)), "coil", ("production_batch", "L00", 20, "not_separable", 6, 0.2))

    assert "unknown" == told["production_batch", "L00"].cause


@pytest.mark.parametrize(
    ("fault", "columns", "cause"),
    [
        ("actuator", {}, "sediment"),
        ("low_temperature", {}, "low_temperature"),
        ("coil", {"flood_prone": [True] * METERS}, "moisture"),
        ("coil", {}, "unknown"),
        ("battery", {}, "unknown"),
    ],
)
def test_bad_place_is_a_case_of_what_the_place_is_like(fault: str, columns: dict[str, Any], cause: str) -> None:
    """Sand for valves, frost, water for what stands in it; else nobody knows."""
    told = told_of(cohort_of(fault, range(0, METERS, 10), **columns), fault, ("site", "S0", 40, "act", 40, 1.0))

    assert cause == told["site", "S0"].cause


@pytest.mark.parametrize(
    ("scope", "cause"), [("installer", "installation"), ("firmware", "module"), ("model", "unknown")]
)
def test_group_that_is_bad_by_itself_has_the_cause_of_its_kind(scope: str, cause: str) -> None:
    """A bad model has no word of its own."""
    columns = {scope: ["bad" if number % 7 == 0 else "fine" for number in range(METERS)]}
    told = told_of(cohort_of("coil", range(0, METERS, 14), **columns), "coil", (scope, "bad", 58, "act", 29, 0.6))

    assert cause == told[scope, "bad"].cause


def test_region_is_a_case_of_the_cold_only_where_like_cold_does_the_same_elsewhere() -> None:
    """Two cold regions that fail alike; a mild one that fails without any cold."""
    regions = [("A", "B", "C", "D")[number % 4] for number in range(METERS)]
    meters = registry(
        METERS, region=regions, installation="outdoor", production_batch=[f"L{n // 20}" for n in range(METERS)]
    )
    cold = weather({"A": -15.0, "B": -15.0, "C": 5.0, "D": 5.0})
    failed = [number for number in range(METERS) if regions[number] in {"A", "B"} and number % 8 < 2] + [102, 303]
    known = fleet(meters, acts(*((f"m{place:04d}", "coil", date(2024, 3, 1)) for place in failed)), weather=cold)
    odd = fleet(
        meters, acts(*((f"m{place:04d}", "coil", date(2024, 3, 1)) for place in range(2, 400, 8))), weather=cold
    )

    assert "low_temperature" == told_of(known, "coil", ("region", "A", 100, "act", 50, 17.0))["region", "A"].cause
    assert "unknown" == told_of(odd, "coil", ("region", "C", 100, "act", 50, 1.0))["region", "C"].cause


def test_lot_is_named_even_where_its_vendor_cannot_be_told_from_his_place() -> None:
    """His nine other lots fail as all do: the text says so, and the cause must not contradict it."""
    vendors = ["V" if number < 200 else "W" for number in range(METERS)]
    cohort = cohort_of("coil", range(12), module_vendor=vendors)

    told = told_of(
        cohort, "coil", ("module_vendor", "V", 200, "not_separable", 13, 2.0),
        ("production_batch", "L00", 20, "act", 12, 0.2),
    )  # fmt: skip

    assert "production_batch" == told["module_vendor", "V"].cause
