"""Diagnoses over kept daily rows are those of production's own back-test."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks.rejudging import DayMemory, _sources, daily_rows, days_of, ends_of, findings_over, kept_daily_rows
from metriage.diagnosing import backtest_site
from metriage.site import Site
from metriage.site_template import make_site
from tests.metriage.sites import START, hourly, stored

pytestmark = pytest.mark.slow


def quiet(done: int, of: int) -> None:
    """Show nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return 70 days of a healthy meter, one that counts backwards, one that falls silent, one that comes late."""
    folder = tmp_path_factory.mktemp("site")
    make_site(folder)
    site = Site(folder)
    readings = pl.concat(
        [
            hourly("healthy", 70),
            hourly("backward", 70, backward_on=[5, 6, 7, 8, 9, 40]),
            hourly("silent", 4),
            hourly("late", 68, delay=timedelta(days=2)),
        ]
    )
    stored(site, readings)
    return site


@pytest.fixture(scope="module")
def rows(site: Site) -> pl.DataFrame:
    """Return its daily rows as they stood at the end of each day."""
    return daily_rows(site, ends_of(days_of(site), "UTC"), quiet)


def test_record_is_from_the_first_message_to_the_last(site: Site) -> None:
    """In local days of the site; an as-of time is the end of a day."""
    days = days_of(site)

    assert (date(2024, 1, 1), date(2024, 3, 10), 70) == (days[0], days[-1], len(days))
    assert START + timedelta(days=1) == ends_of(days, "UTC")[0]
    assert timedelta(hours=23) == _length(date(2024, 3, 31), "Europe/Madrid")


def _length(day: date, zone: str) -> timedelta:
    before, after = ends_of([day - timedelta(days=1), day], zone)
    return after - before


def test_findings_are_those_of_the_backtest(site: Site, rows: pl.DataFrame) -> None:
    """Row by row, column by column, apart from the name of the diagnosis; late and silent meters included."""
    times = ends_of(days_of(site), "UTC")

    found = findings_over(site, rows, times, quiet)

    expected = backtest_site(site, times[0], times[-1], timedelta(days=1), lambda _: None)
    key = ["as_of", "meter_id", "kind", "fault"]
    assert_frame_equal(expected.drop("diagnosis_id").sort(key), found.drop("diagnosis_id").sort(key))
    assert {("backward", "coil"), ("silent", "communication")} <= set(
        found.filter(pl.col("verdict") == "act").select("meter_id", "fault").iter_rows()
    )


def test_window_knows_no_row_of_later(rows: pl.DataFrame) -> None:
    """Of a day that was filled up late it holds what was known then, and of a silent meter its last day."""
    window = DayMemory(rows).window(START + timedelta(days=66))

    assert window["as_of"].max() <= START + timedelta(days=66)
    assert 0 == window.select("meter_id", "day").is_duplicated().sum()
    assert [date(2024, 1, 4)] == window.filter(meter_id="silent")["day"].to_list()


def test_daily_rows_are_kept_until_something_they_depend_on_changes(site: Site, tmp_path: Path) -> None:
    """The second time nothing is worked out; other times are other rows, and the old ones go."""
    times = ends_of(days_of(site)[:3], "UTC")
    told: list[int] = []

    first = kept_daily_rows(site, times, tmp_path / "days.parquet", lambda done, _: told.append(done))
    second = kept_daily_rows(site, times, tmp_path / "days.parquet", lambda done, _: told.append(done))
    kept_daily_rows(site, times[:2], tmp_path / "days.parquet", quiet)

    assert_frame_equal(first, second)
    assert [1, 2, 3] == told
    assert 1 == len(list(tmp_path.iterdir()))


def test_rules_and_features_are_no_part_of_daily_rows() -> None:
    """Else every change of a rule would make them anew."""
    files = {Path(file).name for file in _sources()}

    assert {"daily.py", "chain.py", "local_day.py", "daily_rows.py"} <= files
    assert not {"features.py", "peers.py", "diagnosis.py", "settings.py", "rule.py"} & files
