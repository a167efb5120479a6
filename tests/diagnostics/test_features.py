from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from diagnostics.features import view
from lake.schemas import DAILY
from tests.diagnostics.frames import START, chained, readings


def one_a_day(**columns: list[Any]) -> pl.DataFrame:
    """Return the daily rows of one reading a day."""
    days = len(next(iter(columns.values())))
    return chained(readings({"ts": [START + timedelta(days=day, hours=8) for day in range(days)], **columns}))


def test_fall_that_stays_is_a_step_and_one_that_comes_back_a_jump() -> None:
    """Another register starts lower and goes on; a flipped bit comes back."""
    stays = one_a_day(volume_m3=[500.0, 500.1, 2.0, 2.1, 2.2])
    low = one_a_day(volume_m3=[500.0, 500.1, 488.0, 500.3, 500.4])
    high = one_a_day(volume_m3=[500.0, 500.1, 512.4, 500.3, 500.4])

    seen = [view(rows, rows["as_of"].max()).days for rows in (stays, low, high)]

    assert [days["stepped"].sum() for days in seen] == [1, 0, 0]
    assert [days["jumps"].sum() for days in seen] == [0, 1, 1]


def test_fall_of_the_newest_day_is_left_open() -> None:
    """After one low register nobody can tell whether it comes back."""
    rows = one_a_day(volume_m3=[500.0, 500.1, 2.0])

    days = view(rows, rows["as_of"].max()).days

    assert (days["stepped"].sum(), days["jumps"].sum()) == (0, 0)


def test_rows_stamped_later_are_not_seen() -> None:
    """No look-ahead: neither later rows nor later versions of a row."""
    rows = one_a_day(battery_v=[3.6, 3.5, 3.4])
    later = rows.filter(pl.col("day") == rows["day"][0]).with_columns(
        pl.col("as_of") + pl.duration(days=9), pl.lit(1.0).alias("battery_median_v")
    )

    seen = view(pl.concat([rows, later]), rows["as_of"][1])

    assert seen.days["battery_median_v"].to_list() == [3.6, 3.5]
    assert seen.features["battery_v"].to_list() == [3.5]


def test_window_ends_with_the_newest_day_of_the_meter() -> None:
    """A silent meter keeps what its last days showed."""
    rows = one_a_day(volume_m3=[10.0, 9.99, 10.0])

    features = view(rows, START + timedelta(days=50)).features

    assert features["backward_days_30d"].to_list() == [1]
    assert features["silent_h"][0] > 40 * 24


def test_row_order_of_the_daily_table_is_irrelevant() -> None:
    """The same rows in any order make the same features."""
    rows = one_a_day(volume_m3=[10.0, 10.2, 10.1, 14.0], battery_v=[3.6, None, 3.5, 3.6])

    forwards, backwards = (view(frame, rows["as_of"].max()).features for frame in (rows, rows.reverse()))

    assert_frame_equal(forwards, backwards, check_exact=True)


def test_empty_daily_table_has_no_features() -> None:
    """Nothing in, nothing out."""
    assert view(DAILY.empty(), START).features.is_empty()
