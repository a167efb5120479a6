from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from tests.diagnostics.frames import START, chained, codes, judged, readings


def hourly(**columns: list[Any]) -> pl.DataFrame:
    """Return the daily rows of hourly readings."""
    hours = len(next(iter(columns.values())))
    return chained(readings({"ts": [START + timedelta(hours=hour) for hour in range(hours)], **columns}))


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
    registers = [round(10 + 0.01 * (hour // 2), 3) for hour in range(72)]

    assert verdicts(hourly(valve_state=["closed"] * 72, volume_m3=registers)) == {"actuator": "act"}
    assert verdicts(hourly(valve_state=["closed"] * 72, volume_m3=[10.0] * 72)) == {}


def test_state_fault_that_stays_is_act_and_one_that_went_is_watch() -> None:
    """A single fault state passes."""
    assert verdicts(hourly(valve_state=["open"] * 40 + ["fault"] * 8)) == {"actuator": "act"}
    assert verdicts(hourly(valve_state=["open"] * 40 + ["fault"] + ["open"] * 7)) == {"actuator": "watch"}


def test_travel_time_and_current_that_rise_are_sediment() -> None:
    """The newest movements against the meter's own first ones."""
    daily = hourly(
        valve_travel_s=[8.0 if hour < 24 * 20 else 14.0 for hour in range(24 * 30)],
        valve_current_ma=[60.0 if hour < 24 * 20 else 130.0 for hour in range(24 * 30)],
    )

    row = judged(daily)["actuator"]

    assert (row["verdict"], row["cause"], row["rules"]) == ("watch", "sediment", ["actuator.drift"])


def test_longer_travel_at_less_current_has_no_known_cause() -> None:
    """A motor that turns freely does not work against grit."""
    daily = hourly(
        valve_travel_s=[5.0 if hour < 24 * 20 else 20.0 for hour in range(24 * 30)],
        valve_current_ma=[60.0 if hour < 24 * 20 else 30.0 for hour in range(24 * 30)],
    )

    row = judged(daily)["actuator"]

    assert (row["verdict"], row["cause"], row["cause_confidence"]) == ("act", "unknown", None)


def test_worst_code_is_act_at_once_milder_ones_on_the_second_day() -> None:
    """A stall code of severity 1 needs no second."""
    seen = readings({"ts": [START, START + timedelta(days=1)], "valve_state": ["open", "open"]})
    later = START + timedelta(days=1)

    assert verdicts(chained(seen, codes((START, "actuator", 1, "stall")))) == {"actuator": "act"}
    assert verdicts(chained(seen, codes((START, "actuator", 2, "slow")))) == {"actuator": "watch"}
    assert verdicts(chained(seen, codes((START, "actuator", 2, "slow"), (later, "actuator", 2, "slow")))) == {
        "actuator": "act"
    }
