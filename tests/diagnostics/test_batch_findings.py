"""Rows of batch findings: bad lots found, cold regions and zones of sand not blamed on lots, causes by comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from diagnostics.batch_findings import batch_findings
from diagnostics.batches.cohort import Cohort
from diagnostics.evidence import OBSERVATIONS
from diagnostics.failure_forecast import failure_forecast
from lake.schemas import BATCH_FINDINGS
from lake.vocabulary import BATCH_SCOPES, BATCH_VERDICTS, CAUSES
from tests.diagnostics.cohorts import TODAY, acts, fleet, odd_fleet, registry, weather

METERS = 3000
REGIONS = ("north", "east", "south", "west")
NUMBER = np.arange(METERS)
LOT = NUMBER % 30  # 100 meters each
REGION = (NUMBER // 30) % 4
SITE = REGION * 10 + (NUMBER // 120) % 5


def cohort_of(fault: str, share: np.ndarray[Any, Any], *, lots: Sequence[str] | None = None, **more: Any) -> Cohort:
    """Return a fleet in which so many meters failed by chance: `share` is the probability of each."""
    rng = np.random.default_rng(7)
    failed = np.flatnonzero(rng.random(METERS) < share)
    columns: dict[str, Any] = {
        "production_batch": lots or [f"L{number:02d}" for number in LOT],
        "region": [REGIONS[number] for number in REGION],
        "site": [f"estate {number}" for number in SITE],
        "module_vendor": [f"vendor {number % 3}" for number in LOT],
        "installer": [f"installer {number % 7}" for number in NUMBER],
        "installation": "outdoor",
    }
    told = acts(
        *((f"m{place:04d}", fault, date(2024, 1, 10) + timedelta(days=int(rng.integers(150)))) for place in failed)
    )
    return fleet(registry(METERS, **(columns | more)), told, weather=weather(dict.fromkeys(REGIONS, 5.0)))


def called(found: pl.DataFrame, scope: str) -> dict[str, tuple[str, str]]:
    rows = found.filter(pl.col("scope") == scope, pl.col("verdict") != "normal")
    return {row["key"]: (row["verdict"], row["cause"]) for row in rows.iter_rows(named=True)}


def seen_of(found: pl.DataFrame, scope: str, key: str, what: str) -> list[dict[str, Any]]:
    evidence = found.filter(pl.col("scope") == scope, pl.col("key") == key, pl.col("verdict") != "normal")["evidence"][
        0
    ]
    return [item for item in json.loads(evidence) if item["what"] == what]


def test_bad_lot_is_found_and_nothing_else_is_called() -> None:
    """A lot with ten times the failures, spread over all regions."""
    found = batch_findings(cohort_of("coil", np.where(LOT == 4, 0.2, 0.01)))

    assert {"L04": ("act", "production_batch")} == called(found, "production_batch")
    assert {} == called(found, "region")
    assert BATCH_FINDINGS.polars == found.schema
    places = seen_of(found, "production_batch", "L04", "batch_places")[0]
    assert (4, 4) == (places["value"], places["of"])


def test_bad_lot_is_the_cause_where_its_vendor_stands_out_through_it() -> None:
    """The other lots of the vendor are fine, and it is said so."""
    found = batch_findings(cohort_of("coil", np.where(LOT == 4, 0.4, 0.01)))

    vendor = called(found, "module_vendor").get("vendor 1")
    assert ("act", "production_batch") == called(found, "production_batch")["L04"]
    assert vendor is None or vendor[1] == "production_batch"
    overlaps = seen_of(found, "production_batch", "L04", "batch_overlap")
    assert ["itself"] == [item["decided"] for item in overlaps if item["scope"] == "module_vendor"]


def test_bad_module_is_not_blamed_on_its_lots() -> None:
    """All ten lots of a vendor fail; none of them alone is the cause."""
    found = batch_findings(cohort_of("battery", np.where(LOT % 3 == 2, 0.08, 0.01)))

    assert ("act", "module") == called(found, "module_vendor")["vendor 2"]
    assert {"module"} >= {cause for _, cause in called(found, "production_batch").values()}


def test_cold_region_is_not_blamed_on_lots() -> None:
    """Frost in one region: the region is called, by its cold."""
    share = np.where(REGION == 0, 0.1, 0.004)
    meters = cohort_of("low_temperature", share)
    cold = weather({"north": -15.0, "east": 5.0, "south": 5.0, "west": 5.0})
    told = meters.failures.select("device", "fault", "failed").rows()
    known = fleet(
        registry(METERS, production_batch=[f"L{number:02d}" for number in LOT],
                 region=[REGIONS[number] for number in REGION], installation="outdoor"),
        acts(*told), weather=cold,
    )  # fmt: skip

    found = batch_findings(known)

    assert {} == called(found, "production_batch")
    assert {"north": ("act", "low_temperature")} == called(found, "region")


def test_zone_of_sand_is_not_blamed_on_lots() -> None:
    """One estate's valves fail, whatever their lot."""
    found = batch_findings(cohort_of("actuator", np.where(SITE == 12, 0.25, 0.01)))

    assert {} == called(found, "production_batch")
    assert {"estate 12": ("act", "sediment")} == called(found, "site")


def test_lot_that_lives_in_one_failing_region_is_not_separable() -> None:
    """Nobody else hangs there: no cause is named."""
    lots = ["lonely" if REGION[number] == 0 else f"L{LOT[number]:02d}" for number in range(METERS)]
    found = batch_findings(cohort_of("coil", np.where(REGION == 0, 0.1, 0.01), lots=lots))

    assert {"lonely": ("not_separable", "unknown")} == called(found, "production_batch")
    assert 1.0 == seen_of(found, "production_batch", "lonely", "batch_alone")[0]["value"]


def test_installer_is_called_by_his_work() -> None:
    """In all regions and lots."""
    found = batch_findings(cohort_of("coil", np.where(NUMBER % 7 == 3, 0.1, 0.01)))

    assert {"installer 3": ("act", "installation")} == called(found, "installer")
    assert {} == called(found, "production_batch")


def test_healthy_fleet_has_no_finding() -> None:
    """Every group is told all the same, in words of the vocabulary."""
    found = batch_findings(cohort_of("coil", np.full(METERS, 0.01)))

    assert {"normal"} == set(found["verdict"])
    assert {None} == set(found["cause"])
    assert set(found["scope"]) <= set(BATCH_SCOPES)
    assert set(found["verdict"]) <= set(BATCH_VERDICTS)
    assert 30 * 4 == found.filter(pl.col("scope") == "production_batch").height


def test_scope_with_one_group_or_none_is_left_out() -> None:
    """There is nobody to compare it with."""
    meters = registry(50, firmware="1", production_batch=[f"L{number % 2}" for number in range(50)])

    assert {"production_batch"} == set(batch_findings(fleet(meters, acts()))["scope"])


def test_order_of_meters_does_not_matter() -> None:
    """Neither of the registry nor of the acts."""
    known = cohort_of("coil", np.where(LOT == 4, 0.2, 0.01))
    turned = Cohort(known.meters.reverse(), known.failures.reverse(), known.excluded)

    drop = ["expected", "ratio", "ratio_low", "ratio_high", "p_value", "q_value", "evidence"]
    assert batch_findings(known).drop(drop).equals(batch_findings(turned).drop(drop))


def test_evidence_is_in_words_that_people_are_told() -> None:
    """Every observation has its words, and every cause is one of ours."""
    found = batch_findings(cohort_of("battery", np.where(LOT % 3 == 2, 0.08, 0.01)))

    told = [item for text in found["evidence"] for item in json.loads(text)]
    assert {item["what"] for item in told} <= set(OBSERVATIONS)
    assert set(found["cause"].drop_nulls()) <= set(CAUSES)


@pytest.mark.parametrize("seed", range(6))
def test_registry_with_holes_and_contradictions_is_told_all_the_same(seed: int) -> None:
    """Every figure is a number, and every interval has its ends in order."""
    cohort, air = odd_fleet(seed)

    found, ahead = batch_findings(cohort), failure_forecast(cohort, air, TODAY)

    figures = ("expected", "ratio", "ratio_low", "ratio_high", "p_value", "q_value")
    assert all(found[name].is_finite().all() for name in figures)
    assert (found["ratio_low"] <= found["ratio_high"]).all()
    assert (found["observed"] <= found["meters"]).all()
    assert (ahead["value_low"] <= ahead["value_high"]).all()
    assert ahead["value"].is_finite().all()
