from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from tests.diagnostics.frames import START, chained, judged, readings


def hourly(days: int, **columns: list[Any]) -> pl.DataFrame:
    """Return the daily rows of hourly readings."""
    return chained(readings({"ts": [START + timedelta(hours=hour) for hour in range(24 * days)], **columns}))


def running(days: int, hourly_m3: float = 0.02) -> list[float]:
    """Return hourly registers of a home that uses water by day [m³]."""
    used = [hourly_m3 if hour % 24 >= 6 else 0.0 for hour in range(24 * days)]
    return [round(100 + sum(used[: hour + 1]), 3) for hour in range(24 * days)]


def test_single_day_of_backward_counts_is_nothing() -> None:
    """One episode of reverse flow is hydraulics."""
    registers = running(10)
    registers[50] = round(registers[49] - 0.005, 3)

    assert judged(hourly(10, volume_m3=registers)) == {}


def test_backward_counts_on_two_days_are_watch_on_four_act() -> None:
    """The register falls again and again."""
    registers = running(10)
    verdicts = []
    for day in range(1, 6):
        registers[24 * day + 3] = round(registers[24 * day + 2] - 0.002, 3)
        verdicts.append(judged(hourly(10, volume_m3=registers)).get("coil", {}).get("verdict"))

    assert verdicts == [None, "watch", "watch", "act", "act"]


def test_jump_by_register_bits_is_act_once_and_another_jump_watch() -> None:
    """A flipped bit comes back; a lone wrong register of any size is only watched."""
    flipped, wrong = running(5), running(5)
    flipped[60] = round(flipped[60] - 12.288, 3)
    wrong[60] = round(wrong[60] - 9.5, 3)

    coil = judged(hourly(5, volume_m3=flipped))["coil"]

    assert (coil["verdict"], coil["rules"]) == ("act", ["coil.jump"])
    assert 12288 in [seen["value"] for seen in coil["evidence"]]
    assert judged(hourly(5, volume_m3=wrong))["coil"]["verdict"] == "watch"


def test_two_registers_under_one_id_are_exchange_and_never_coil() -> None:
    """Two devices that alternate are not one that is broken."""
    registers = running(5)
    for hour in (61, 63, 65, 67):
        registers[hour] = round(456 + hour * 0.01, 3)

    found = judged(hourly(5, volume_m3=registers))

    assert {fault: row["verdict"] for fault, row in found.items()} == {"exchange": "act"}


def test_register_that_starts_again_lower_is_exchange() -> None:
    """A new meter under the old id."""
    registers = [*running(3), *(round(register - 100, 3) for register in running(2))]

    assert {fault: row["verdict"] for fault, row in judged(hourly(5, volume_m3=registers)).items()} == {
        "exchange": "watch"
    }


def test_long_zero_alone_is_no_finding() -> None:
    """Vacant looks like stuck."""
    assert judged(hourly(60, volume_m3=[100.0] * 24 * 60)) == {}


def test_standing_register_with_flow_signal_is_act() -> None:
    """Water flows by the meter's own word and the register stands."""
    found = judged(hourly(4, volume_m3=[100.0] * 96, flow_m3h=[0.3] * 96))

    assert (found["coil"]["verdict"], found["coil"]["rules"]) == ("act", ["coil.frozen"])


def test_fading_signal_after_hard_frost_has_low_temperature_as_cause() -> None:
    """The amplitude falls with the cold: coil, because of the cold."""
    signal = [300.0] * 24 * 20 + [120.0] * 24 * 4
    warmth = [8.0] * 24 * 19 + [-9.0] * 24 * 5

    coil = judged(hourly(24, volume_m3=running(24), coil_signal_mv=signal, ambient_temperature_c=warmth))["coil"]

    assert (coil["verdict"], coil["cause"], coil["rules"]) == ("act", "low_temperature", ["coil.signal"])


def test_gap_is_communication_and_not_coil() -> None:
    """What was not received says nothing of the register; what flowed meanwhile is consumption."""
    hours = [*range(48), *range(120, 168)]
    seen = readings(
        {
            "ts": [START + timedelta(hours=hour) for hour in hours],
            "volume_m3": [running(7)[hour] for hour in hours],
        }
    )

    found = judged(chained(seen))

    assert {fault: row["verdict"] for fault, row in found.items()} == {"communication": "watch"}
    assert found["communication"]["onset"] == START + timedelta(hours=47)
