from __future__ import annotations

from datetime import timedelta

from tests.diagnostics.frames import START, chained, readings


def test_last_command_begins_with_its_run() -> None:
    """The field repeats the last command received; its time is that of the first reading that carries it."""
    row = chained(readings({"valve_command": ["open", "close", None, "close"]})).row(0, named=True)

    assert ("close", START + timedelta(hours=1), 1) == (
        row["valve_command"], row["valve_command_ts"], row["valve_command_changes"],
    )  # fmt: skip


def test_refusal_before_the_last_command_is_forgotten() -> None:
    """Only a refusal since the command excuses it."""
    row = chained(readings({"valve_command": ["open", "close", "close"], "valve_refusal": ["busy", None, None]})).row(
        0, named=True
    )

    assert row["valve_refusal"] is None


def test_volume_through_the_closed_valve_needs_closed_at_both_ends() -> None:
    """What flowed before it closed is not counted."""
    row = chained(
        readings({"volume_m3": [1.0, 1.1, 1.15, 1.18], "valve_state": ["open", "closed", "closed", "closed"]})
    ).row(0, named=True)

    assert (row["closed_intervals"], row["closed_flow_m3"]) == (2, 0.08)
