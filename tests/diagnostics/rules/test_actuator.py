from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from diagnostics.facts import Facts
from tests.diagnostics.frames import START, chained, codes, judged, readings


def hourly(**columns: list[Any]) -> pl.DataFrame:
    """Return the daily rows of hourly readings."""
    hours = len(next(iter(columns.values())))
    return chained(readings({"ts": [START + timedelta(hours=hour) for hour in range(hours)], **columns}))


def once_a_day(**columns: list[Any]) -> pl.DataFrame:
    """Return the daily rows of one reading a day."""
    days = len(next(iter(columns.values())))
    return chained(readings({"ts": [START + timedelta(days=day, hours=8) for day in range(days)], **columns}))


def monthly(travel_s: list[float], current_ma: list[float] | None, **columns: list[Any]) -> pl.DataFrame:
    """Return the daily rows of a valve that is exercised every 20 days, one reading a day."""
    days = 20 * len(travel_s) - 10
    moved = [day for day in range(days) if day % 20 == 5]
    strokes: dict[str, list[Any]] = {
        "valve_travel_s": [travel_s[moved.index(day)] if day in moved else None for day in range(days)]
    }
    if current_ma is not None:
        strokes["valve_current_ma"] = [current_ma[moved.index(day)] if day in moved else None for day in range(days)]
    return once_a_day(valve_state=["open"] * days, **strokes, **columns)


def verdicts(daily: pl.DataFrame) -> dict[str, str]:
    """Return the verdict of each fault found."""
    return {fault: row["verdict"] for fault, row in judged(daily).items()}


def test_command_never_carried_out_is_act() -> None:
    """Told to close, still open a day later."""
    daily = hourly(valve_command=["open"] * 10 + ["close"] * 38, valve_state=["open"] * 48)

    row = judged(daily)["actuator"]

    assert (row["verdict"], row["rules"]) == ("act", ["actuator.disobeyed"])
    assert row["onset"] == START + timedelta(hours=10, minutes=2)


def test_command_of_the_last_hours_is_watch() -> None:
    """A contradiction of a few hours may still be a late uplink."""
    daily = hourly(valve_command=["open"] * 40 + ["close"] * 8, valve_state=["open"] * 48)

    assert verdicts(daily) == {"actuator": "watch"}


def test_refused_command_is_no_fault() -> None:
    """The meter says why it did not move."""
    daily = hourly(
        valve_command=["open"] * 10 + ["close"] * 38,
        valve_state=["open"] * 48,
        valve_refusal=[None] * 10 + ["under_voltage"] + [None] * 37,
    )

    assert verdicts(daily) == {}


def test_valve_that_closes_by_itself_is_no_fault() -> None:
    """Opened as told, closed later for arrears."""
    daily = hourly(valve_command=["open"] * 72, valve_state=["open"] * 30 + ["closed"] * 42)

    assert verdicts(daily) == {}


def test_closed_from_the_first_day_for_credit_mutes_the_finding() -> None:
    """A closed valve that money explains is not a broken one."""
    seen = readings({"valve_command": ["open"] * 48, "valve_state": ["closed"] * 48})
    told = codes((START + timedelta(hours=30), "credit", 3, "arrears"))

    found = judged(chained(seen, told))

    assert (found["actuator"]["verdict"], found["actuator"]["inhibited_by"]) == ("watch", "credit")


def test_water_through_the_closed_valve_is_act_on_the_second_day() -> None:
    """It does not seal; and a closed valve without flow is nothing."""
    registers = [round(10 + 0.01 * (hour // 2), 3) for hour in range(96)]
    states = ["open"] * 24 + ["closed"] * 72

    assert verdicts(hourly(valve_state=states, volume_m3=registers)) == {"actuator": "act"}
    assert verdicts(hourly(valve_state=states, volume_m3=[10.0] * 96)) == {}


def test_meter_that_always_says_closed_has_a_wrong_state() -> None:
    """Nobody told it to close and it was never open: the water is no leak of the valve."""
    registers = [round(10 + 0.01 * (hour // 2), 3) for hour in range(96)]

    assert verdicts(hourly(valve_state=["closed"] * 96, volume_m3=registers)) == {"actuator": "watch"}


def test_day_of_closing_and_one_step_of_the_register_feign_no_leak() -> None:
    """A register told once a day lags a day behind the state, and a coarse one steps once more."""
    daily = once_a_day(
        valve_state=["open"] * 10 + ["closed"] * 10,
        volume_m3=[10 + 0.2 * day for day in range(11)] + [12.2] + [12.2] * 4 + [12.3] * 4,
    )

    assert verdicts(daily) == {"actuator": "watch"}


def test_leak_is_found_in_a_register_told_once_a_day_with_a_profile() -> None:
    """Profile points carry no state: the day is closed if it was before and is after."""
    days, points = 14, []
    for day in range(days):
        opened = day < 8
        for hour in range(24):
            litres = (day * 240 + hour * 10) if opened else 8 * 240 + (day - 8) * 48 + hour * 2
            points.append((START + timedelta(days=day, hours=hour), litres / 1000, None))
        points.append((START + timedelta(days=day, hours=23, minutes=30), None, "open" if opened else "closed"))
    daily = chained(
        readings(
            {
                "ts": [point[0] for point in points],
                "volume_m3": [point[1] for point in points],
                "valve_state": [point[2] for point in points],
            }
        )
    )

    row = judged(daily)["actuator"]

    assert (row["verdict"], row["rules"], row["cause"]) == ("act", ["actuator.closed_flow"], "sediment")


def test_state_fault_that_stays_is_act_and_one_that_went_is_watch() -> None:
    """A single fault state passes."""
    assert verdicts(hourly(valve_state=["open"] * 30 + ["fault"] * 18)) == {"actuator": "act"}
    assert verdicts(hourly(valve_state=["open"] * 40 + ["fault"] * 8)) == {"actuator": "watch"}
    assert verdicts(hourly(valve_state=["open"] * 40 + ["fault"] + ["open"] * 7)) == {"actuator": "watch"}


def test_travel_time_and_current_that_rise_are_sediment() -> None:
    """The newest movements against the meter's own first ones."""
    row = judged(monthly(travel_s=[8.0, 8.2, 7.9, 8.1, 14.0, 15.0], current_ma=[60.0, 61, 59, 60, 130, 140]))[
        "actuator"
    ]

    assert (row["verdict"], row["cause"], row["rules"]) == ("act", "sediment", ["actuator.drift"])


def test_one_hard_movement_is_nothing() -> None:
    """Two in a row are needed."""
    assert verdicts(monthly(travel_s=[8.0, 8.2, 7.9, 8.1, 8.0, 15.0], current_ma=[60.0] * 6)) == {}


def test_movement_that_every_reading_repeats_counts_once() -> None:
    """The field holds the last movement until the next one."""
    daily = hourly(
        valve_travel_s=[8.0 if hour < 24 * 20 else 14.0 for hour in range(24 * 30)],
        valve_current_ma=[60.0 if hour < 24 * 20 else 130.0 for hour in range(24 * 30)],
    )

    assert daily["total_movement_days"][-1] == 2
    assert verdicts(daily) == {}


def test_longer_travel_at_less_current_turns_freely() -> None:
    """A motor that turns freely does not work against grit."""
    row = judged(monthly(travel_s=[5.0, 5.1, 4.9, 5.0, 20.0, 20.1], current_ma=[60.0, 61, 60, 59, 30, 31]))["actuator"]

    assert (row["verdict"], row["cause"], row["cause_confidence"]) == ("act", "unknown", None)
    assert set(row["rules"]) == {"actuator.idle", "actuator.drift"}


def test_slow_valve_of_an_empty_battery_is_muted() -> None:
    """The motor has no voltage: the battery is the fault."""
    volts = [3.6] * 90 + [3.3] * 20
    daily = monthly(
        travel_s=[8.0, 8.2, 7.9, 8.1, 14.0, 15.0], current_ma=None, battery_v=volts, ambient_temperature_c=[15.0] * 110
    )

    found = judged(daily)

    assert (found["battery"]["verdict"], found["actuator"]["verdict"]) == ("act", "watch")
    assert found["actuator"]["inhibited_by"] == "battery"


def test_end_position_never_seen_is_act_on_the_second_day() -> None:
    """Still moving a day later."""
    assert verdicts(once_a_day(valve_state=["open"] * 5 + ["moving"])) == {"actuator": "watch"}
    assert verdicts(once_a_day(valve_state=["open"] * 5 + ["moving"] * 2)) == {"actuator": "act"}
    assert verdicts(once_a_day(valve_state=["unknown"] * 9)) == {}


def test_commands_replaced_before_they_were_obeyed_are_counted() -> None:
    """Told to close and, when nothing happened, told to open again: twice in a month."""
    command = (["open"] * 24 + ["close"] * 4) * 2 + ["open"] * 24
    daily = hourly(valve_command=command, valve_state=["open"] * 80)

    row = judged(daily)["actuator"]

    assert (row["verdict"], row["rules"]) == ("act", ["actuator.missed"])


def test_no_water_since_the_command_to_open_is_act_once_the_customer_reports() -> None:
    """Closed, told to open, says open, and the home that used water every day has none: empty, or a broken valve."""
    states = ["open"] * 20 + ["closed"] * 5 + ["open"] * 6
    commands = ["open"] * 20 + ["close"] * 5 + ["open"] * 6
    registers = [10 + 0.2 * min(day, 20) for day in range(31)]
    daily = once_a_day(valve_state=states, valve_command=commands, volume_m3=registers)
    report = pl.DataFrame({"meter_id": ["m1"], "reported_at": [START + timedelta(days=29)], "symptom": ["no water"]})

    row = judged(daily, facts=Facts(reports=report))["actuator"]

    assert (row["verdict"], row["rules"]) == ("act", ["actuator.no_flow"])
    assert verdicts(daily) == {"actuator": "watch"}


def test_empty_home_after_an_exercise_of_the_valve_is_at_most_watch() -> None:
    """Holidays begin on such days, too."""
    travel = [None] * 20 + [5.0] + [None] * 10
    registers = [10 + 0.2 * min(day, 20) for day in range(31)]

    daily = once_a_day(valve_state=["open"] * 31, valve_travel_s=travel, volume_m3=registers)

    assert "act" not in verdicts(daily).values()
    assert "watch" == verdicts(daily)["actuator"]


def test_worst_code_is_act_at_once_milder_ones_on_the_second_day() -> None:
    """A stall code of severity 1 needs no second."""
    seen = readings({"ts": [START, START + timedelta(days=1)], "valve_state": ["open", "open"]})
    later = START + timedelta(days=1)

    assert verdicts(chained(seen, codes((START, "actuator", 1, "stall")))) == {"actuator": "act"}
    assert verdicts(chained(seen, codes((START, "actuator", 2, "slow")))) == {"actuator": "watch"}
    assert verdicts(chained(seen, codes((START, "actuator", 2, "slow"), (later, "actuator", 2, "slow")))) == {
        "actuator": "act"
    }
