import csv
from pathlib import Path

import numpy as np
import pytest

from lake.vocabulary import INSPECTION, INSPECTION_ACTIONS, INSPECTION_FINDINGS, METER
from simulation.block_life import live_through
from simulation.paperwork import HEADERS, Paperwork, registry_rows, weather_rows, works_rows, write_rows
from tests.simulation.blocks import block, draws, plan, world

AROUND = world(60, 120, works_of_a_site=(1.0, 1.0), exchanged_share=(0.1, 0.1))


@pytest.fixture(scope="module")
def papers() -> Paperwork:
    """Return the papers of meters that all have a bad sensor."""
    planned = plan(AROUND, "coil", "moisture", "partial")
    return Paperwork(AROUND, planned, [live_through(block(AROUND, planned))], draws(4))


def test_registry_rows_of_meters_taken_out() -> None:
    """Twice: as a fact, and from the day on which it was taken out."""
    rows = registry_rows(AROUND)
    taken_out = [row for row in rows if row["removed_on"]]

    assert set(METER) == set(rows[0])
    assert (AROUND.estate.last_hour < AROUND.calendar.hours).sum() == len(taken_out) > 0
    assert all(row["recorded_at"] for row in taken_out)
    assert all(row["produced_on"] < row["shipped_on"] < row["installed_on"] for row in rows)


def test_weather_and_works_rows() -> None:
    """One a region and day; works are announced before they begin."""
    assert len(weather_rows(AROUND)) == 123 * len(AROUND.estate.regions)
    assert sum(row["forecast"] for row in weather_rows(AROUND)) == 3 * len(AROUND.estate.regions)
    assert works_rows(AROUND)
    assert all(row["recorded_at"] < row["from"] < row["until"] for row in works_rows(AROUND))


def test_inspections_in_words_of_the_contract(papers: Paperwork) -> None:
    """Faults that were noticed, register readings, and visits in vain."""
    rows = papers.inspections()
    findings = [row["finding"] for row in rows]

    assert set(findings) <= set(INSPECTION_FINDINGS)
    assert {row["action"] for row in rows} <= set(INSPECTION_ACTIONS)
    assert set(rows[0]) == set(INSPECTION) - {"recorded_at"} | {"recorded_at"}
    assert findings.count("coil") > 10
    read = [row["register_reading_m3"] for row in rows if row["note"]]
    assert read
    assert np.isfinite(read).all()


def test_reports_come_after_the_notice(papers: Paperwork) -> None:
    """A share of what was noticed."""
    noticed = {row["meter_id"]: row["noticed_at"] for row in papers.truths()}
    rows = papers.reports()

    assert 5 < len(rows) <= 60
    assert all(noticed[row["meter_id"]] < row["reported_at"] for row in rows)


@pytest.mark.parametrize("name", HEADERS)
def test_write_rows_without_any_has_a_header(tmp_path: Path, name: str) -> None:
    """A file of no rows says what it would hold."""
    write_rows(tmp_path / name, [])
    with (tmp_path / name).open(newline="") as file:
        assert list(HEADERS[name]) == next(csv.reader(file))
