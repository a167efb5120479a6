from datetime import UTC, date, datetime

import numpy as np

from simulation.calendar_hours import Calendar


def test_calendar_over_a_change_to_summer_time() -> None:
    """One day has 23 hours; day and hour of the clock fit."""
    calendar = Calendar(date(2022, 3, 26), 3, "Europe/Bucharest")

    assert 71 == calendar.hours
    assert [0, 24, 47, 71] == calendar.day_start.tolist()
    assert 3 not in calendar.hour_of_day[24:47]
    assert [24, 23, 24] == np.bincount(calendar.day_of_hour).tolist()


def test_calendar_moment_is_utc() -> None:
    """Local midnight of the first day, and an hour and a half later."""
    calendar = Calendar(date(2023, 10, 15), 1, "Asia/Shanghai")

    assert datetime(2023, 10, 14, 16, tzinfo=UTC) == calendar.moment(0)
    assert datetime(2023, 10, 14, 17, 30, tzinfo=UTC) == calendar.moment(1.5)
