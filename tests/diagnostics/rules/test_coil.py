from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from diagnostics.facts import Facts
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


def home(days: int, scale: Callable[[int], float], rng_seed: int = 5, per_day: float = 14.0) -> list[float]:
    """Return hourly registers of a home whose draws come at random; `scale` is what a draw of a day counts [1]."""
    rng = np.random.default_rng(rng_seed)
    weight = np.array([0.2] * 6 + [1.0] * 18) / 19.2
    used = [
        round(float(rng.gamma(draws, 0.012)) * scale(day), 3) if draws else 0.0
        for day in range(days)
        for draws in rng.poisson(per_day * weight)
    ]
    return [round(float(total), 3) for total in 100 + np.cumsum(used)]


def test_draws_that_count_half_while_their_number_stays_are_lost_pulses() -> None:
    coil = judged(hourly(60, volume_m3=home(60, lambda day: 0.3 if day >= 44 else 1.0, per_day=24.0)))["coil"]

    assert ("act", ["coil.loss"]) == (coil["verdict"], coil["rules"])
    share = next(seen["value"] for seen in coil["evidence"] if seen["what"] == "draw_share")
    assert 0.2 < share < 0.4


def test_draws_that_count_double_are_bounce() -> None:
    registers = home(60, lambda day: 4.0 if day >= 44 else 1.0, per_day=24.0)

    assert "act" == judged(hourly(60, volume_m3=registers))["coil"]["verdict"]


def test_people_who_leave_take_their_draws_with_them() -> None:
    """Half the people, half the draws, each as large as ever."""
    before, after = home(44, lambda _day: 1.0), home(16, lambda _day: 1.0, rng_seed=6, per_day=6.0)
    registers = before + [round(before[-1] - 100 + value, 3) for value in after]

    assert "coil" not in judged(hourly(60, volume_m3=registers))


@pytest.mark.parametrize("seed", range(8))
def test_ordinary_home_has_no_coil_finding(seed: int) -> None:
    assert "coil" not in judged(hourly(60, volume_m3=home(60, lambda _day: 1.0, rng_seed=seed)))


def test_trickle_of_the_usual_use_on_every_day_is_watched() -> None:
    """Real homes left with a dripping tap look the same."""
    assert "coil" in judged(hourly(60, volume_m3=home(60, lambda day: 0.04 if day >= 44 else 1.0)))


def still_from(day: int, days: int = 60, **columns: list[Any]) -> pl.DataFrame:
    """Return a home that uses water every day until `day` and none from then on."""
    return hourly(days, volume_m3=home(days, lambda number: 1.0 if number < day else 0.0), **columns)


def test_stop_without_any_sign_is_watched_however_long() -> None:
    """A vacant home looks the same."""
    assert "watch" == judged(still_from(40))["coil"]["verdict"]


def test_stop_after_the_amplitude_faded_is_act() -> None:
    faded = [80.0 if hour < 24 * 30 else 45.0 for hour in range(24 * 60)]
    coil = judged(still_from(50, coil_signal_mv=faded))["coil"]

    assert "act" == coil["verdict"]
    assert "sign_amplitude" in [seen["what"] for seen in coil["evidence"]]


def test_leak_and_use_that_end_at_once_are_watched() -> None:
    """Whoever shuts the main tap on leaving ends both in the same hour; it takes a second sign."""
    used = [0.02 + (0.03 if hour % 24 in (7, 19) else 0.0) if hour < 24 * 50 else 0.0 for hour in range(24 * 60)]
    registers = [round(100 + sum(used[: hour + 1]), 3) for hour in range(24 * 60)]

    assert "watch" == judged(hourly(60, volume_m3=registers))["coil"]["verdict"]


def test_customer_who_reports_after_the_stop_is_heard() -> None:
    reports = pl.DataFrame([{"meter_id": "m1", "reported_at": START + timedelta(days=55), "symptom": "不走字"}])

    assert "act" == judged(still_from(50), facts=Facts(reports=reports))["coil"]["verdict"]


def test_reading_on_site_above_ours_proves_the_loss() -> None:
    seen = pl.DataFrame(
        [{"meter_id": "m1", "inspected_at": START + timedelta(days=56), "inspector": "i",
          "register_reading_m3": 500.0}]
    )  # fmt: skip

    assert "act" == judged(still_from(50), facts=Facts(inspections=seen))["coil"]["verdict"]


def test_closed_valve_explains_a_stop() -> None:
    states = ["open" if hour < 24 * 50 else "closed" for hour in range(24 * 60)]

    assert "coil" not in judged(still_from(50, valve_state=states, coil_signal_mv=[40.0] * 24 * 60))


def test_meter_that_disowns_its_measurements() -> None:
    valid = [hour < 24 * 54 for hour in range(24 * 60)]

    assert "act" == judged(hourly(60, volume_m3=home(60, lambda _day: 1.0), valid=valid))["coil"]["verdict"]


def test_frozen_register_with_seldom_flow_signals() -> None:
    """Four readings a day catch flow only now and then."""
    hours = range(0, 24 * 40, 6)
    registers = [round(100 + 0.05 * min(hour // 6, 120), 3) for hour in hours]
    flow = [0.2 if hour // 6 > 120 and hour % 24 == 18 else 0.0 for hour in hours]
    daily = chained(readings({"ts": [START + timedelta(hours=hour) for hour in hours], "volume_m3": registers,
                              "flow_m3h": flow}))  # fmt: skip

    assert "coil.frozen" in judged(daily)["coil"]["rules"]
