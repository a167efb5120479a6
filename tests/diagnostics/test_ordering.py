"""Readings come into one order however they are stored, and only the days asked for are left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from diagnostics import ordering
from diagnostics.ordering import TIE_ORDER, Order, in_order
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


def order_of(stood: pl.DataFrame, few: float = ordering.FEW_MOVED) -> Order:
    """Return the order of readings with their day; `few` of them are moved one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "FEW_MOVED", few)
        return in_order(stood.select("meter_id", "day", "ts"), stood)


SHARES = st.sampled_from([0.0, 1.0])


@given(seen=stored(), shift_h=st.sampled_from([0, 8, -5]), few=SHARES)
@settings(max_examples=60)
def test_order_is_that_of_a_plain_sort(seen: pl.DataFrame, shift_h: int, few: float) -> None:
    """Whether nothing, runs or every row had to be moved."""
    stood = placed(seen, shift_h)
    order = order_of(stood, few)

    rows = order.of(stood)
    expected = stood.sort("meter_id", "ts", *TIE_ORDER, nulls_last=True, maintain_order=True)
    by_day = rows.drop("key").sort("meter_id", "day", maintain_order=True)
    assert_frame_equal(expected, by_day)
    heads = rows.unique("key", maintain_order=True)
    assert list(range(heads.height)) == heads["key"].to_list()
    assert heads.height == heads.unique(["meter_id", "day"]).height
    assert_frame_equal(heads.select("meter_id", "day"), order.heads)


@given(seen=stored(), shift_h=st.sampled_from([0, 8]), few=SHARES)
@settings(max_examples=40)
def test_only_the_days_asked_for_are_left(seen: pl.DataFrame, shift_h: int, few: float) -> None:
    """Their keys run on without a gap."""
    stood = placed(seen, shift_h)
    order = order_of(stood, few)
    wanted = order.heads[::2]

    left = order.only(wanted).of(stood)

    rows = order.of(stood)
    assert_frame_equal(
        rows.join(wanted, on=["meter_id", "day"], how="semi", maintain_order="left").drop("key"), left.drop("key")
    )
    assert list(range(wanted.height)) == left["key"].unique(maintain_order=True).to_list()
    assert_frame_equal(rows, order.only(None).of(stood))


@given(seen=stored(), shift_h=st.sampled_from([0, 8]), few=SHARES, first=st.sampled_from([0, 1]))
@settings(max_examples=60)
def test_some_readings_stand_where_they_stand_among_all(
    seen: pl.DataFrame, shift_h: int, few: float, first: int
) -> None:
    """Those that fill a column, of the days asked for."""
    stood = placed(seen, shift_h)
    every = order_of(stood, few)
    order = every.only(every.heads[first:])
    mask = stood["seq"].is_not_null()

    some = order.of_some(stood.filter(mask), mask.arg_true().cast(pl.Int64).to_numpy())

    assert_frame_equal(order.of(stood).filter(pl.col("seq").is_not_null()), some)


def test_readings_in_no_order_need_nothing_but_their_times() -> None:
    """Where nobody tells source, counter or receipt, time alone puts a meter's day in order."""
    seen = placed(readings({"ts": [START + timedelta(hours=hour) for hour in (2, 0, 1)]}), 0)
    located = seen.select("meter_id", "day", "ts")

    order = in_order(located, seen.select("volume_m3"))

    assert_frame_equal(located.sort("ts"), order.of(located).drop("key"))


def test_few_ties_are_settled_where_they_stand() -> None:
    """Of many readings two pairs of one time change places, and what was read stays as it was."""
    seen = readings(
        {
            "ts": [START + timedelta(hours=hour - (hour in (100, 300))) for hour in range(400)],
            "seq": [None if hour in (99, 299) else hour for hour in range(400)],
            "volume_m3": [float(hour) for hour in range(400)],
            "valve_state": ["closed" if hour == 100 else "open" for hour in range(400)],
            "flags": [["conflict"] if hour == 99 else [] for hour in range(400)],
        }
    )
    stood = placed(seen, 0)
    before = stood.clone()
    order = order_of(stood)
    mask = stood["seq"].is_null() | (stood["seq"] > 298)
    expected = stood.sort("meter_id", "ts", *TIE_ORDER, nulls_last=True, maintain_order=True)

    assert_frame_equal(expected, order.of(stood).drop("key"))
    some = order.of_some(stood.filter(mask), mask.arg_true().cast(pl.Int64).to_numpy())
    assert_frame_equal(expected.filter(pl.col("seq").is_null() | (pl.col("seq") > 298)), some.drop("key"))
    assert_frame_equal(before, stood)
