from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from diagnostics.chain import chain
from diagnostics.daily import day_profile
from diagnostics.local_day import touched_days, with_local_day
from lake.schemas import DAILY
from tests.diagnostics.frames import FAR, START, chained, no_codes, readings


def daily_readings(days: int, **columns: list[Any]) -> pl.DataFrame:
    """Return one reading a day."""
    return readings({"ts": [START + timedelta(days=day, hours=8) for day in range(days)], **columns})


def test_increment_over_a_gap_is_carried() -> None:
    """What flowed between two days belongs to the later one; the gap is known."""
    seen = readings(
        {"ts": [START + timedelta(hours=hour) for hour in (0, 1, 80, 81)], "volume_m3": [1.0, 1.1, 2.1, 2.2]}
    )

    row = chained(seen).row(-1, named=True)

    assert (row["carried_m3"], row["gap_s"], row["total_m3"]) == (1.0, 79 * 3600.0, 1.2)


def test_last_register_is_handed_on_over_days_without_one() -> None:
    """A day of voltages only does not break the chain of registers."""
    rows = chained(daily_readings(3, volume_m3=[1.0, None, 1.5], battery_v=[3.6, 3.6, 3.6]))

    assert rows["carried_m3"].to_list() == [None, None, 0.5]
    assert [START + timedelta(days=day, hours=8) for day in (2,)] == rows["last_flow_ts"].drop_nulls().to_list()


def test_fall_between_days_is_backward_or_drop() -> None:
    """Meters that report once a day show their falls between the days."""
    rows = chained(daily_readings(4, volume_m3=[10.0, 9.99, 10.0, 5.0]))

    assert rows["edge_backward_m3"].to_list() == [None, 0.01, None, None]
    assert rows["edge_drop_m3"].to_list() == [None, None, None, 5.0]


def test_battery_expectation_follows_the_temperature() -> None:
    """Cold days are expected lower once the meter's own days have told how much."""
    warmth = [15.0, 5.0] * 20
    volts = [3.60 if c > 10 else 3.57 for c in warmth]

    row = chained(daily_readings(40, battery_v=volts, ambient_temperature_c=warmth)).row(-1, named=True)

    assert row["battery_compensated"]
    assert abs(row["battery_expected_v"] - 3.57) < 0.006


def test_fallen_voltage_does_not_join_its_own_baseline() -> None:
    """The days of the knee must not teach that the knee is normal."""
    rows = chained(daily_readings(30, battery_v=[3.6] * 15 + [3.3] * 15))

    assert rows["battery_base_days"][-1] == 15
    assert abs(rows["battery_expected_v"][-1] - 3.6) < 1e-9


def test_command_contradicted_after_the_travel_time() -> None:
    """The first state after the travel time that contradicts the command starts the count."""
    rows = chained(
        readings(
            {
                "ts": [START + timedelta(hours=hour) for hour in (0, 1, 2, 30, 31)],
                "valve_command": ["open", "close", "close", None, None],
                "valve_state": ["open", "open", "open", "open", "open"],
            }
        )
    )

    last = rows.row(-1, named=True)
    assert (last["standing_command"], last["command_obeyed"], last["disagree_readings"]) == ("close", False, 3)
    assert START + timedelta(hours=1, minutes=2) == last["disagree_since_ts"]


def test_command_once_obeyed_or_refused_is_not_contradicted() -> None:
    """A valve that closes by itself later, or said why it did not move, did not disobey."""
    obeyed = chained(daily_readings(3, valve_command=["open"] * 3, valve_state=["open", "closed", "closed"]))
    refused = chained(
        daily_readings(3, valve_command=["close"] * 3, valve_state=["open"] * 3, valve_refusal=["busy", None, None])
    )

    assert obeyed["disagree_since_ts"].null_count() == 3
    assert refused["disagree_since_ts"].null_count() == 3


DAYS = 8


@st.composite
def histories(draw: st.DrawFn) -> pl.DataFrame:
    """Draw readings of two meters with gaps, wrong registers, commands and temperatures, some received days late."""
    length = draw(st.integers(4, 40))
    minutes = draw(st.lists(st.integers(0, DAYS * 1440), min_size=length, max_size=length, unique=True))
    steps = draw(st.lists(st.sampled_from([0.0, 0.01, 0.3, -0.02, -4.096]), min_size=length, max_size=length))
    late = draw(st.lists(st.sampled_from([0, 0, 0, 1, 3]), min_size=length, max_size=length))
    times = [START + timedelta(minutes=minute) for minute in sorted(minutes)]
    pick = lambda *words: draw(st.lists(st.sampled_from(words), min_size=length, max_size=length))  # noqa: E731
    return readings(
        {
            "meter_id": pick("a", "b"),
            "ts": times,
            "received_at": [ts + timedelta(days=lag) for ts, lag in zip(times, late, strict=True)],
            "volume_m3": [round(100 + sum(steps[: index + 1]), 3) for index in range(length)],
            "battery_v": pick(3.6, 3.58, 3.4, None),
            "battery_load_v": pick(3.4, None),
            "ambient_temperature_c": pick(-8.0, 3.3, 17.7, None),
            "valve_command": pick(None, None, "open", "close"),
            "valve_state": pick(None, "open", "closed"),
            "valve_refusal": pick(None, None, None, "busy"),
            "coil_signal_mv": pick(None, 300.0, 120.5),
            "valve_travel_s": pick(None, 8.1, 9.7),
            "seq": list(range(length)),
        }
    )


def latest(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the newest version of each daily row."""
    return rows.sort("as_of").unique(["meter_id", "day"], keep="last").sort("meter_id", "day")


@given(seen=histories())
@settings(max_examples=15, deadline=None)
def test_chain_built_as_data_arrives_equals_chain_built_at_once(seen: pl.DataFrame) -> None:
    """Day by day in order of receipt, late data included, gives the very rows that all data at once gives."""
    table = DAILY.empty()
    before = START - timedelta(days=1)
    for number in range(1, DAYS + 6):
        as_of = START + timedelta(days=number)
        arrived = seen.filter(pl.col("received_at").is_between(before, as_of, closed="right"))
        before = as_of
        if arrived.is_empty():
            continue
        days = touched_days(arrived, None, "UTC")
        whole = with_local_day(seen.filter(pl.col("received_at") <= as_of), None, "UTC")
        fresh = day_profile(
            whole.join(days, on=["meter_id", "day"]).drop("day"), no_codes(), default_zone="UTC", as_of=as_of
        )
        table = pl.concat([table, chain(latest(table), fresh, as_of=as_of)])

    at_once = chain(DAILY.empty(), day_profile(seen, no_codes(), default_zone="UTC", as_of=FAR), as_of=FAR)

    assert_frame_equal(at_once.drop("as_of"), latest(table).drop("as_of"), check_exact=True)


def test_late_day_is_put_in_its_place() -> None:
    """A day that arrives late is chained between its neighbours, and they are chained again."""
    seen = daily_readings(4, volume_m3=[1.0, 1.2, 1.3, 1.9])
    known = chained(seen.filter(pl.col("ts") != START + timedelta(days=1, hours=8)))
    fresh = day_profile(seen[1:2], no_codes(), default_zone="UTC", as_of=FAR)

    rows = chain(known, fresh, as_of=FAR)

    assert [date(2024, 1, day) for day in (2, 3, 4)] == rows["day"].to_list()
    assert rows["carried_m3"].to_list() == [0.2, 0.1, 0.6]
