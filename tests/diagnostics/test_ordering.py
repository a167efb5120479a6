"""Readings come into one order however they are stored, and only the days asked for are left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from diagnostics.ordering import TIE_ORDER, in_order
from tests.diagnostics.frames import START, readings


@st.composite
def stored(draw: st.DrawFn) -> pl.DataFrame:
    """Draw readings of three meters, some of one time, in files of a day sorted by meter and time."""
    length = draw(st.integers(1, 40))
    pick = lambda *words: draw(st.lists(st.sampled_from(words), min_size=length, max_size=length))  # noqa: E731
    values: dict[str, Any] = {
        "meter_id": pick("a", "b", "c"),
        "ts": [START + timedelta(hours=hour) for hour in draw(st.lists(st.integers(0, 70), min_size=length,
                                                                       max_size=length))],
        "source": pick("x", "y", None),
        "seq": pick(1, 2, None),
        "volume_m3": [float(number) for number in range(length)],
    }  # fmt: skip
    seen = readings(values)
    return seen.sort("event_date", "meter_id", "ts", maintain_order=True) if draw(st.booleans()) else seen


def placed(seen: pl.DataFrame, shift_h: int) -> pl.DataFrame:
    """Return readings with the day of a zone so many hours ahead."""
    return seen.with_columns((pl.col("ts") + pl.duration(hours=shift_h)).dt.date().alias("day"))


@given(seen=stored(), shift_h=st.sampled_from([0, 8, -5]))
@settings(max_examples=60)
def test_order_is_that_of_a_plain_sort(seen: pl.DataFrame, shift_h: int) -> None:
    """Whether nothing, runs or every row had to be moved."""
    stood = placed(seen, shift_h)
    order = in_order(stood)

    rows = order.of(stood)
    expected = stood.sort("meter_id", "ts", *TIE_ORDER, nulls_last=True, maintain_order=True)
    by_day = rows.drop("key").sort("meter_id", "day", maintain_order=True)
    assert_frame_equal(expected, by_day)
    heads = rows.unique("key", maintain_order=True)
    assert list(range(heads.height)) == heads["key"].to_list()
    assert heads.height == heads.unique(["meter_id", "day"]).height
    assert_frame_equal(heads.select("meter_id", "day"), order.heads)


@given(seen=stored(), shift_h=st.sampled_from([0, 8]))
@settings(max_examples=40)
def test_only_the_days_asked_for_are_left(seen: pl.DataFrame, shift_h: int) -> None:
    """Their keys run on without a gap."""
    stood = placed(seen, shift_h)
    order = in_order(stood)
    wanted = order.heads[::2]

    left = order.only(wanted).of(stood)

    rows = order.of(stood)
    assert_frame_equal(
        rows.join(wanted, on=["meter_id", "day"], how="semi", maintain_order="left").drop("key"), left.drop("key")
    )
    assert list(range(wanted.height)) == left["key"].unique(maintain_order=True).to_list()
    assert_frame_equal(rows, order.only(None).of(stood))


@given(seen=stored(), shift_h=st.sampled_from([0, 8]))
@settings(max_examples=40)
def test_some_readings_stand_where_they_stand_among_all(seen: pl.DataFrame, shift_h: int) -> None:
    """Those that fill a column, of the days asked for."""
    stood = placed(seen, shift_h)
    order = in_order(stood).only(in_order(stood).heads[1:])
    mask = stood["seq"].is_not_null()

    some = order.of_some(stood.filter(mask), mask.arg_true().cast(pl.Int64).to_numpy())

    assert_frame_equal(order.of(stood).filter(pl.col("seq").is_not_null()), some)
