from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from diagnostics.diagnosis import diagnose
from diagnostics.facts import Facts
from tests.diagnostics.frames import START, chained, codes, judged, readings


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


def test_jump_by_register_bits_is_watch_once_and_act_when_it_comes_again() -> None:
    """One wrong reading flips a bit, too; a defect flips it again."""
    once = running(5)
    once[60] = round(once[60] - 12.288, 3)
    again = list(once)
    again[90] = round(again[90] - 12.288, 3)

    coil = judged(hourly(5, volume_m3=again))["coil"]

    assert (coil["verdict"], coil["rules"]) == ("act", ["coil.jump"])
    assert 12288 in [seen["value"] for seen in coil["evidence"]]
    assert judged(hourly(5, volume_m3=once))["coil"]["verdict"] == "watch"


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
    coil = judged(hourly(60, volume_m3=home(60, lambda day: 0.3 if day >= 36 else 1.0, per_day=24.0)))["coil"]

    assert ("act", ["coil.loss"]) == (coil["verdict"], coil["rules"])
    share = next(seen["value"] for seen in coil["evidence"] if seen["what"] == "draw_share")
    assert 0.2 < share < 0.4


def test_draws_that_count_double_are_bounce() -> None:
    registers = home(60, lambda day: 4.0 if day >= 32 else 1.0, per_day=24.0)

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


def test_change_that_does_not_last_is_watched() -> None:
    """Guests, a week of heat: after eight days it is over, or not clear yet."""
    for days in (52, 60):
        registers = home(days, lambda day: 0.3 if 44 <= day < 52 else 1.0, per_day=24.0)

        assert "act" != judged(hourly(days, volume_m3=registers)).get("coil", {}).get("verdict")


def test_season_is_followed_and_a_loss_is_not_learned() -> None:
    """Half of it, little by little over four months, is how people live; half of it at once stays a loss."""
    slowly = home(120, lambda day: 1 - 0.5 * day / 120, per_day=24.0)
    at_once = home(120, lambda day: 0.45 if day >= 60 else 1.0, per_day=24.0)

    assert "coil" not in judged(hourly(120, volume_m3=slowly))
    assert "act" == judged(hourly(120, volume_m3=at_once))["coil"]["verdict"]


def test_water_that_is_drawn_no_more_is_not_lost_by_the_coil() -> None:
    """The garden of the morning hours is over: the greatest flows go, the others stay."""
    house, total, registers = np.diff(home(60, lambda _day: 1.0, per_day=24.0), prepend=100), 100.0, []
    for hour, used in enumerate(house):
        total += float(used) + (0.5 if hour % 24 == 6 and hour < 24 * 38 else 0.0)
        registers.append(round(total, 3))

    assert "act" != judged(hourly(60, volume_m3=registers)).get("coil", {}).get("verdict")


def test_others_may_live_there_after_an_empty_spell() -> None:
    def scale(day: int) -> float:
        return 1.0 if day < 30 else 0.0 if day < 34 else 0.4

    registers = home(64, scale, per_day=24.0)

    assert "act" != judged(hourly(64, volume_m3=registers)).get("coil", {}).get("verdict")


def test_drip_in_an_empty_home_is_no_loss() -> None:
    """Some litre every other hour, by day and by night: nobody draws water there."""
    before = home(40, lambda _day: 1.0, per_day=24.0)
    drip = [round(before[-1] + 0.002 * (hour // 2 + 1), 3) for hour in range(24 * 25)]

    assert "act" != judged(hourly(65, volume_m3=before + drip)).get("coil", {}).get("verdict")


def test_faded_amplitude_makes_a_smaller_loss_an_act() -> None:
    """Each for itself is watched: together there is no doubt."""
    registers = home(60, lambda day: 0.6 if day >= 44 else 1.0, per_day=24.0)
    faded = [500.0 if hour < 24 * 44 else 420.0 for hour in range(24 * 60)]

    alone = judged(hourly(60, volume_m3=registers)).get("coil", {})
    both = judged(hourly(60, volume_m3=registers, coil_signal_mv=faded))["coil"]

    assert "act" != alone.get("verdict")
    assert ("act", ["coil.loss"]) == (both["verdict"], both["rules"])


def lot_of(stopped: int, faded: int, sites: int = 3) -> str | None:
    """Return what is said of a meter that stands, of a lot of eight with `stopped` others, `faded` by amplitude."""
    parts = []
    for number in range(60):
        still = 40 if number == 0 or (number <= stopped) else 60
        volume = home(60, lambda day, still=still: 1.0 if day < still else 0.0, rng_seed=number)  # type: ignore[misc]
        amplitude = [500.0 if hour < 24 * still or number > faded or number == 0 else 80.0 for hour in range(24 * 60)]
        parts.append(readings({"ts": [START + timedelta(hours=hour) for hour in range(24 * 60)], "volume_m3": volume,
                               "coil_signal_mv": amplitude}, meter_id=f"m{number:02}"))  # fmt: skip
    meters = pl.DataFrame([
        {"meter_id": f"m{number:02}", "region": "r", "site": f"s{number % sites}",
         "production_batch": "bad" if number < 8 else f"lot{number % 6}"}
        for number in range(60)
    ])  # fmt: skip
    daily = chained(pl.concat(parts))
    found = diagnose(daily, as_of=daily["as_of"].max(), diagnosis_id="d", mode="live", facts=Facts(meters=meters))
    rows = found.filter(meter_id="m00", fault="coil")
    return None if rows.is_empty() else str(rows["verdict"][0])


def test_stop_in_a_lot_of_which_others_are_sure_to_have_failed() -> None:
    """The lot speaks where the meter itself shows nothing; stops of others alone are no witness."""
    assert "act" == lot_of(4, 4)
    assert "watch" == lot_of(4, 0)


def seasons(m3: Callable[[int, float], float], days: int = 50, **columns: list[Any]) -> pl.DataFrame:
    """Return a home through two cold spells, days 15 to 19 and 30 to 34; `m3` by day and temperature."""
    warmth = [-8.0 if 15 <= day < 20 or 30 <= day < 35 else 5.0 for day in range(days)]
    registers, total = [], 100.0
    for hour in range(24 * days):
        total += m3(hour // 24, warmth[hour // 24]) / 2 if hour % 24 in (7, 19) else 0.0
        registers.append(round(total, 3))
    ambient = [warmth[hour // 24] for hour in range(24 * days)]
    return hourly(days, volume_m3=registers, ambient_temperature_c=ambient, **columns)


def test_register_that_counts_only_while_it_is_warm() -> None:
    coil = judged(seasons(lambda _day, warmth: 0.3 if warmth > 0 else 0.0))["coil"]

    assert ("act", "low_temperature") == (coil["verdict"], coil["cause"])
    assert "coil.cold" in coil["rules"]
    assert "thaw" in coil["action"].lower()


def test_one_cold_spell_without_use_may_be_a_holiday() -> None:
    coil = judged(seasons(lambda day, warmth: 0.0 if warmth < 0 and day < 25 else 0.3)).get("coil", {})

    assert "coil.cold" not in coil.get("rules", [])


def test_holidays_that_begin_before_the_cold_or_end_after_it_are_no_cold_loss() -> None:
    """Away from day 10 to 24 and from 28 to 40."""
    coil = judged(seasons(lambda day, _warmth: 0.0 if 10 <= day < 25 or 28 <= day < 41 else 0.3)).get("coil", {})

    assert "coil.cold" not in coil.get("rules", [])


def test_magnet_that_takes_part_of_the_use_is_act_and_a_magnet_alone_is_not() -> None:
    """Codes from day 25 on; every evening is missing since, or nothing is."""
    told = codes(*((START + timedelta(days=day, hours=20), "tamper", 3, "MAGNET") for day in range(25, 45)))

    def said(share: float) -> dict[str, Any]:
        registers = home(45, lambda day: share if day >= 25 else 1.0, per_day=24.0)
        times = [START + timedelta(hours=hour) for hour in range(24 * 45)]
        return judged(chained(readings({"ts": times, "volume_m3": registers}), told)).get("coil", {})

    magnet = said(0.5)

    assert ("act", "tamper") == (magnet["verdict"], magnet["cause"])
    assert "coil.magnet" in magnet["rules"]
    assert "coil.magnet" not in said(1.0).get("rules", [])


def test_amplitude_that_follows_the_cold_has_it_as_cause() -> None:
    """It is back to normal on every warm day."""
    amplitude = [200.0 if 30 <= hour // 24 < 35 else 500.0 for hour in range(24 * 35)]
    coil = judged(seasons(lambda _day, _warmth: 0.3, days=35, coil_signal_mv=amplitude))["coil"]

    assert ("act", "low_temperature") == (coil["verdict"], coil["cause"])


def test_stop_after_each_draw_had_counted_less_is_act() -> None:
    """Two weeks of lost pulses, then none at all."""

    def scale(day: int) -> float:
        return 1.0 if day < 34 else 0.35 if day < 46 else 0.0

    coil = judged(hourly(60, volume_m3=home(60, scale, per_day=24.0)))["coil"]

    assert "act" == coil["verdict"]
    assert "sign_draws" in [seen["what"] for seen in coil["evidence"]]


def test_stop_goes_on_being_told_when_its_past_has_left_the_window() -> None:
    """Whoever acted keeps acting while the register stands."""
    coil = judged(still_from(40, 110))["coil"]

    assert ("watch", ["coil.stuck"]) == (coil["verdict"], coil["rules"])


def test_reverse_register_that_counts_every_day_counts_what_people_use() -> None:
    """Now and then water flows back; this is another matter."""
    hours = range(24 * 30)
    used = [0.01 * (1 + hour // 24 % 3) for hour in hours]  # of a day more, of another less
    turn = 24 * 15
    forward = [round(10 + sum(used[: min(hour, turn)]), 3) for hour in hours]
    reverse = [round(sum(used[turn:hour]), 3) for hour in hours]
    once = [0.05 if hour > 24 * 20 else 0.0 for hour in hours]

    swings = [round(0.004 * hour, 3) for hour in hours]

    turned = judged(hourly(30, volume_m3=forward, reverse_volume_m3=reverse))["coil"]
    flows_back = judged(hourly(30, volume_m3=[10 + 0.01 * hour for hour in hours], reverse_volume_m3=once))

    to_and_fro = judged(hourly(30, volume_m3=[10 + 0.01 * hour for hour in hours], reverse_volume_m3=swings))

    assert ("act", "installation") == (turned["verdict"], turned["cause"])
    assert "coil" not in to_and_fro
    assert "coil.reversed" in turned["rules"]
    assert "coil" not in flows_back


def test_dwindling_use_that_ended_is_act() -> None:
    """Nobody leaves a home bit by bit over ten days."""
    daily = [0.4, 0.3, 0.5, 0.2, 0.45] * 7 + [0.2, 0.19, 0.15, 0.17, 0.12, 0.1, 0.11, 0.07, 0.06, 0.05] + [0.0] * 5
    registers = [10.0]
    for volume in daily:
        registers += [registers[-1] + volume * (hour >= 12) for hour in range(24)]

    coil = judged(hourly(50, volume_m3=[round(value, 4) for value in registers[1:]]))["coil"]

    assert "act" == coil["verdict"]
    assert "coil.fading" in coil["rules"]


def test_step_of_the_amplitude_is_act_where_warmth_does_not_bring_it_back() -> None:
    stepped = [400.0 + hour % 3 if hour < 24 * 30 else 305.0 + hour % 3 for hour in range(24 * 40)]

    coil = judged(hourly(40, volume_m3=running(40), coil_signal_mv=stepped))["coil"]

    assert ("act", ["coil.signal"]) == (coil["verdict"], coil["rules"])
