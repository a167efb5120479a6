from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from diagnostics.daily import day_profile
from lake.schemas import DAILY, READINGS
from lake.vocabulary import MEASURES
from tests.diagnostics.frames import FAR, START, codes, no_codes, readings


def profile(seen: pl.DataFrame, told: pl.DataFrame | None = None, **options: Any) -> pl.DataFrame:
    """Return the daily rows, all readings seen."""
    options = {"default_zone": "UTC", "as_of": FAR, **options}
    return day_profile(seen, no_codes() if told is None else told, **options)


@pytest.mark.parametrize(
    ("change", "value"),
    [("flags", ["conflict"]), ("flags", ["ambiguous_time"]), ("valid", False), ("invalid_fields", ["volume_m3"])],
)
def test_disowned_register_makes_no_symptom(change: str, value: object) -> None:
    """A register that must not be taken at face value neither counts backwards nor jumps."""
    for wrong in (9.9, 0.0, 9e7):
        constants: dict[str, list[Any]] = {"volume_m3": [10.0, wrong, 10.1], change: [None, value, None]}

        row = profile(readings(constants)).row(0, named=True)

        assert (row["backward_counts"], row["drops"], row["surges"], row["consumption_m3"]) == (0, 0, 0, 0.1)
        assert row["readings"] == 3


@pytest.mark.parametrize("wrong", [-5.0, 1e11])
def test_value_out_of_range_makes_no_symptom(wrong: float) -> None:
    """Outside the physical range of the vocabulary nothing is believed."""
    row = profile(readings({"volume_m3": [10.0, wrong, 10.1], "battery_v": [3.6, wrong, 3.6]})).row(0, named=True)

    assert (row["drops"], row["surges"], row["battery_readings"], row["battery_min_v"]) == (0, 0, 2, 3.6)


def test_programs_that_disagree_about_a_register_leave_none() -> None:
    """Two sources with different registers at one time make no backward count."""
    seen = readings(
        {
            "ts": [START, START + timedelta(hours=1), START + timedelta(hours=1), START + timedelta(hours=2)],
            "volume_m3": [10.0, 10.5, 10.1, 10.2],
            "source": ["a", "a", "b", "a"],
        }
    )

    row = profile(seen).row(0, named=True)

    assert (row["backward_counts"], row["consumption_m3"], row["sources"]) == (0, 0.2, 2)


def test_programs_of_a_whole_fleet_need_no_flags() -> None:
    """More readings than are filtered in one piece, by two programs, none of them flagged or judged by its meter."""
    meters, hours = 20, 1000
    seen = readings(
        {
            "meter_id": [f"m{number:02}" for number in range(meters) for _ in range(hours)],
            "ts": [START + timedelta(hours=hour) for hour in range(hours)] * meters,
            "volume_m3": [float(hour) for hour in range(hours)] * meters,
            "source": ["a", "b"] * (meters * hours // 2),
        }
    )

    rows = profile(seen)

    assert meters * hours == rows["usable_readings"].sum()


def test_reading_received_later_is_not_seen() -> None:
    """A profile as of a time knows what was received by then."""
    seen = readings({"volume_m3": [1.0, 2.0], "received_at": [START, START + timedelta(days=9)]})

    assert profile(seen, as_of=START + timedelta(days=1))["readings"][0] == 1


def test_codes_belong_to_the_day_of_their_reading() -> None:
    """Family, severity and code of each, sorted; a code of a contested reading is left out."""
    seen = readings({"volume_m3": [1.0, 1.0, 1.0], "flags": [None, None, ["conflict"]]})
    told = codes(
        (START, "coil", 1, "reed <b>fault</b>"),
        (START, "battery", 3, "low"),
        (START + timedelta(hours=2), "actuator", 1, "stall"),
    )

    assert profile(seen, told)["codes"][0].to_list() == ["battery 3 low", "coil 1 reed <b>fault</b>"]


def test_voltage_step_is_the_coarsest_that_fits() -> None:
    """A meter that sends tenths of a volt is known by it."""
    steps = [profile(readings({"battery_v": volts}))["battery_step_v"][0] for volts in ([3.6, 3.5], [3.61], [3.613])]

    assert steps == [0.1, 0.01, 0.001]


def test_counter_resets_are_falls_of_the_counter() -> None:
    """The device's own counter falls when it restarts."""
    row = profile(readings({"seq": [7, 8, 1, 2], "volume_m3": [1.0] * 4})).row(0, named=True)

    assert (row["seq_first"], row["seq_last"], row["seq_resets"]) == (7, 2, 1)


def test_no_readings_make_no_rows() -> None:
    """The empty table profiles to the empty table."""
    assert_frame_equal(DAILY.empty(), profile(READINGS.empty()))


NUMBERS = [name for name, column in MEASURES.items() if column.dtype == "float64"]


@st.composite
def some_readings(draw: st.DrawFn) -> pl.DataFrame:
    """Draw readings of two meters over three days with any of the signals missing."""
    length = draw(st.integers(1, 20))
    signals = draw(st.lists(st.sampled_from(NUMBERS), unique=True, max_size=4))
    value = st.one_of(st.none(), st.floats(-10, 1e5, allow_nan=False).map(lambda number: round(number, 3)))
    columns: dict[str, Any] = {
        "meter_id": draw(st.lists(st.sampled_from(["a", "b"]), min_size=length, max_size=length)),
        "ts": [
            START + timedelta(minutes=minute)
            for minute in draw(st.lists(st.integers(0, 4320), min_size=length, max_size=length, unique=True))
        ],
        "valve_state": draw(st.lists(st.sampled_from([None, "open", "closed"]), min_size=length, max_size=length)),
    }
    for name in signals:
        columns[name] = draw(st.lists(value, min_size=length, max_size=length))
    return readings(columns)


@given(seen=some_readings(), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_profile_depends_neither_on_row_order_nor_on_how_often(seen: pl.DataFrame, seed: int) -> None:
    """The same readings make identical rows, in any order, and are left as they are; missing signals do no harm."""
    before = seen.clone()

    once = profile(seen)

    assert_frame_equal(once, profile(seen.sample(fraction=1.0, shuffle=True, seed=seed)), check_exact=True)
    assert_frame_equal(before, seen, check_exact=True)
    assert DAILY.polars == once.schema
