"""Golden meters of the real recordings, diagnosed at the end of each day."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from tests.diagnostics.frames import ZONE, alicante, cell, chained, day_by_day
from tests.recordings import recordings_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def homes() -> pl.DataFrame:
    """Return all findings of the 92 meters of Alicante over 14 months."""
    daily = chained(alicante(recordings_folder()), zone=ZONE)
    return day_by_day(daily, date(2016, 3, 1), date(2017, 5, 19), ZONE)


@pytest.fixture(scope="module")
def battery() -> pl.DataFrame:
    """Return all findings about the LS14500 cell from new to dead."""
    daily = chained(cell(recordings_folder()))
    return day_by_day(daily, date(2023, 1, 4), date(2024, 7, 14), "UTC", seldom_until=date(2024, 5, 1))


def verdicts(findings: pl.DataFrame, fault: str, verdict: str) -> dict[str, date]:
    """Return the first day of `verdict` about `fault` of each meter."""
    rows = findings.filter((pl.col("fault") == fault) & (pl.col("verdict") == verdict))
    return dict(rows.group_by("meter_id").agg(pl.col("day").min()).sort("meter_id").iter_rows())


def test_coil_acts_on_the_meters_that_count_backwards_or_jump_and_on_no_other(homes: pl.DataFrame) -> None:
    """Two count backwards, one flips register bits; long zeros, gaps and an exchange are none of it."""
    acts = verdicts(homes, "coil", "act")

    assert set(acts) == {"219ffd09", "12913a45", "1de2cf65"}
    assert acts["1de2cf65"] == date(2016, 9, 30)


def test_coil_watches_falls_of_the_register_on_two_days(homes: pl.DataFrame) -> None:
    """Each of these has real falls of the register within a month."""
    backward = homes.filter(pl.col("rules").list.contains("coil.backward"))

    assert set(verdicts(backward, "coil", "watch")) == {"219ffd09", "12913a45", "4296fd72", "f7b27eee", "f52f0ae6"}


def test_standstill_and_smaller_draws_of_real_homes_are_watched_at_most(homes: pl.DataFrame) -> None:
    """People leave, come back and change: of nothing else is a sign there."""
    soft = homes.filter(pl.col("rules").list.set_intersection(["coil.stuck", "coil.loss"]).list.len() > 0)

    assert not soft.is_empty()
    assert {} == verdicts(soft.filter(pl.col("rules").list.len() == 1), "coil", "act")


def test_interleaved_registers_are_exchange(homes: pl.DataFrame) -> None:
    """Two devices under one id on the day of the exchange, and nothing else anywhere."""
    assert verdicts(homes, "exchange", "act") == {"9348c9bb": date(2017, 1, 17)}
    assert verdicts(homes, "exchange", "watch") == {}


def test_long_gap_is_communication(homes: pl.DataFrame) -> None:
    """The meter that was silent for 217 days."""
    assert "feccd95f" in verdicts(homes, "communication", "act")


def test_no_fault_is_found_that_nothing_was_sent_of(homes: pl.DataFrame) -> None:
    """No voltage, no valve, no temperature: only the coil can be judged, and how often a meter reports."""
    faults = homes.filter(pl.col("kind") == "fault")

    assert ["coil"] == faults.filter(pl.col("verdict") == "act")["fault"].unique().to_list()
    assert ["battery.life"] == faults.filter(pl.col("fault") != "coil")["rules"].explode().unique().to_list()


def test_cell_is_found_at_its_knee_and_not_before(battery: pl.DataFrame) -> None:
    """Watch or act by the end of 2024-07-09, and not once before June 2024."""
    # How often it reports, which the books of its charge watch, is another matter.
    told = battery.filter((pl.col("fault") == "battery") & (pl.col("rules") != ["battery.life"]))
    open_days = told.filter(pl.col("verdict").is_in(["act", "watch"]))["day"]

    assert date(2024, 6, 1) <= open_days.min() <= date(2024, 7, 9)
    assert verdicts(battery, "battery", "act")["ls14500"] <= date(2024, 7, 10)
