from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from lake.errors import UsageError
from simulation.meter import Command, MeterPlan, Truth, ValvePlan, simulate_meter
from simulation.weather import Climate, local_hours

ZONE = ZoneInfo("Asia/Shanghai")
HOURS = local_hours(date(2016, 11, 1), 10, ZONE)
MILD = np.full(len(HOURS), 10.0)


def test_simulate_meter_register_never_falls() -> None:
    """The register of a simulated meter only rises, over profiles and single readings alike."""
    plan = MeterPlan("synthetic-a", "indoor", hourly=((date(2016, 11, 4), date(2016, 11, 5)),))
    messages, truths = simulate_meter(plan, HOURS, MILD, Climate(), np.random.default_rng(3))
    registers = [
        v for m in messages for v in [*m.payload.get("profile", {}).get("volume_m3", ()), m.payload["volume_m3"]]
    ]

    assert truths == []
    assert sorted(registers) == registers
    assert list(range(1, len(messages) + 1)) == [m.payload["seq"] for m in messages]
    assert all(m.payload["synthetic"] for m in messages)


def test_simulate_meter_closed_valve_stops_the_flow() -> None:
    """Between close and open nothing flows through a healthy valve."""
    close, reopen = datetime(2016, 11, 3, 9, tzinfo=ZONE), datetime(2016, 11, 5, 9, tzinfo=ZONE)
    valve = ValvePlan(commands=(Command(close, "close"), Command(reopen, "open")))
    messages, _ = simulate_meter(
        MeterPlan("synthetic-a", "indoor", valve=valve), HOURS, MILD, Climate(), np.random.default_rng(3)
    )
    while_closed = [m.payload for m in messages if close < m.ts < reopen]

    assert {"closed"} == {p["valve_state"] for p in while_closed}
    assert len({p["volume_m3"] for p in while_closed}) == 1


def test_simulate_meter_refused_command_moves_nothing() -> None:
    """A refused command reports why and leaves the valve where it was."""
    refused = Command(datetime(2016, 11, 3, 9, tzinfo=ZONE), "close", refusal="busy")
    messages, truths = simulate_meter(
        MeterPlan("synthetic-a", "indoor", valve=ValvePlan(commands=(refused,))),
        HOURS,
        MILD,
        Climate(),
        np.random.default_rng(3),
    )
    (event,) = [m.payload for m in messages if "valve_refusal" in m.payload]

    assert truths == []
    assert (event["valve_command"], event["valve_refusal"], event["valve_state"]) == ("close", "busy", "open")
    assert "valve_travel_s" not in event


@pytest.mark.parametrize(("command", "refusal"), [("shut", None), ("close", "bored")])
def test_command_with_a_word_that_is_not_in_the_vocabulary(command: str, refusal: str | None) -> None:
    """Commands and refusals are the contract's words."""
    with pytest.raises(UsageError, match="none of"):
        Command(datetime(2016, 11, 3, tzinfo=UTC), command, refusal)


def test_meter_plan_with_an_id_that_looks_real() -> None:
    """No simulated meter may pass for a real one."""
    with pytest.raises(UsageError, match="synthetic-"):
        MeterPlan("12913a45", "indoor")


def test_truth_with_an_unknown_fault() -> None:
    """The truth speaks the vocabulary."""
    now = datetime(2016, 11, 3, tzinfo=UTC)
    with pytest.raises(UsageError, match="vocabulary"):
        Truth("synthetic-a", "leak", "age", now, now)
