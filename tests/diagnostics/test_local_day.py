from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.local_day import day_bounds, touched_days, with_local_day
from lake.errors import SettingsError
from tests.diagnostics.frames import readings


def test_touched_days_of_two_zones_differ_for_the_same_instant() -> None:
    """A day is the local day of the meter's own zone."""
    instant = datetime(2024, 5, 1, 20, tzinfo=UTC)
    seen = readings({"meter_id": ["a", "b", "b"], "ts": [instant] * 3})
    meters = pl.DataFrame({"meter_id": ["b"], "timezone": ["Asia/Shanghai"]})

    days = touched_days(seen, meters, "Europe/Madrid")

    assert [("a", date(2024, 5, 1)), ("b", date(2024, 5, 2))] == days.rows()


@pytest.mark.parametrize(("day", "hours"), [(date(2017, 3, 26), 23), (date(2016, 10, 30), 25), (date(2016, 7, 1), 24)])
def test_day_bounds_are_23_24_or_25_hours_apart(day: date, hours: int) -> None:
    """Days of clock changes are shorter or longer."""
    bounds = day_bounds(pl.DataFrame({"meter_id": ["a"], "day": [day]}), None, "Europe/Madrid")

    assert hours * 3600 == (bounds["ends_at"] - bounds["starts_at"]).dt.total_seconds()[0]


def test_day_bounds_exist_where_clocks_change_at_midnight() -> None:
    """Where 00:00 does not exist the day begins at 01:00."""
    bounds = day_bounds(pl.DataFrame({"meter_id": ["a"], "day": [date(2018, 11, 4)]}), None, "America/Sao_Paulo")

    assert datetime(2018, 11, 4, 3, tzinfo=UTC) == bounds["starts_at"][0]


def test_unknown_zone_is_a_settings_error() -> None:
    """A zone that nobody knows is named, not passed over."""
    with pytest.raises(SettingsError, match="Mars/Olympus"):
        with_local_day(readings({"volume_m3": [1.0]}), None, "Mars/Olympus")


ZONES = ("UTC", "Asia/Shanghai", "Europe/Madrid", "America/Sao_Paulo", "Pacific/Apia", "Australia/Lord_Howe")


@given(
    zone=st.sampled_from(ZONES),
    start=st.sampled_from([datetime(2011, 12, 27, tzinfo=UTC), datetime(2018, 10, 1, tzinfo=UTC)]),
    hours=st.lists(st.integers(0, 24 * 200), min_size=1, max_size=30),
)
def test_local_day_is_the_date_on_the_wall(zone: str, start: datetime, hours: list[int]) -> None:
    """Over changes of the clock, and where a zone left a day out."""
    seen = readings({"ts": [start + timedelta(hours=hour, minutes=-1) for hour in hours]})

    found = with_local_day(seen, None, zone)["day"]

    assert seen["ts"].dt.convert_time_zone(zone).dt.date().to_list() == found.to_list()
