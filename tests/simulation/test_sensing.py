import numpy as np
import pytest

from simulation.consumption import consume
from simulation.meter_block import MeterBlock
from simulation.sensing import Sensed, find_defects, sense
from simulation.weather import Floats
from tests.simulation.blocks import ONSET, block, outdoors, plan, world

AROUND = world(60, 90)


def sensed(mode: str, **ranges: tuple[float, float]) -> tuple[MeterBlock, Floats, Sensed]:
    """Return a block whose sensors all fail in one way, what flowed, and what was counted."""
    around = outdoors(AROUND) if mode.startswith("cold") else AROUND
    made = block(around, plan(around, "coil", "unknown", mode), **ranges)
    flow = consume(made).drawn_m3
    return made, flow, sense(made, flow, find_defects(made))


def test_sense_healthy_counts_everything() -> None:
    """To the last litre, at an amplitude that hardly moves."""
    made = block(AROUND)
    flow = consume(made).drawn_m3
    counted = sense(made, flow, find_defects(made))

    assert (flow == counted.counted_m3).all()
    assert counted.amplitude.min() > 0.9


def test_sense_pulse_loss_reduces_counts_but_not_flow_hours() -> None:
    """Half of the litres are gone, most of the hours with flow are still there."""
    _, flow, counted = sensed("partial", pulse_loss=(0.5, 0.5))
    after = slice(ONSET + 96, None)
    flowing = flow[:, after] > 0.01

    assert pytest.approx(0.5, abs=0.03) == counted.counted_m3[:, after].sum() / flow[:, after].sum()
    assert (counted.counted_m3[:, after][flowing] > 0).mean() > 0.98
    assert (flow[:, :ONSET] == counted.counted_m3[:, :ONSET]).all()


def test_sense_stuck_stutters_and_stops() -> None:
    """With a sign: first pulses are lost, then none come; without: at once."""
    _, flow, warned = sensed("stuck", stuck_with_sign_share=(1, 1))
    _, _, sudden = sensed("stuck", stuck_with_sign_share=(0, 0))
    days = slice(ONSET, ONSET + 72)

    assert 0 < warned.counted_m3[:, days].sum() < flow[:, days].sum()
    assert 0 == sudden.counted_m3[:, ONSET:].sum()
    assert 0 == warned.counted_m3[:, ONSET + 21 * 24 :].sum()


def test_sense_bounce_counts_double_or_fourfold() -> None:
    """In some hours; never less than flowed."""
    _, flow, counted = sensed("bounce", bounce_share=(0.5, 0.5))
    after = flow[:, ONSET:] > 0.01
    ratio = (counted.counted_m3[:, ONSET:] / np.maximum(flow[:, ONSET:], 1e-9))[after]

    assert {1, 2, 4} == set(np.round(ratio).astype(int).tolist())
    assert pytest.approx(0.5, abs=0.05) == (np.round(ratio) > 1).mean()


def test_sense_backward_counts_fall_a_little() -> None:
    """So often a day, no further than the range."""
    _, flow, counted = sensed("backward", backward_per_day=(1, 1))
    falls = (flow - counted.counted_m3)[:, ONSET:]

    assert pytest.approx(1.0, rel=0.2) == (falls > 0).sum() / len(falls) / (falls.shape[1] / 24)
    assert falls.max() <= 0.0301


def test_sense_register_bits_are_powers_of_two() -> None:
    """Jumps of 2^k litres, or three times that."""
    _, flow, counted = sensed("bits", bit_jumps=(4, 4))
    jumps = np.round((counted.counted_m3 - flow)[:, ONSET:] * 1000)
    ups = jumps[jumps > 400]

    assert 1 < (jumps > 400).sum() / len(jumps) < 8
    assert all(np.log2(up) % 1 == 0 or np.log2(up / 3) % 1 == 0 for up in ups)


def test_sense_fading_amplitude_halves_before_pulses_are_lost() -> None:
    """Nothing is lost while the amplitude is above its threshold."""
    _, flow, counted = sensed("fading", fade_days=(20, 20))
    early = slice(ONSET, ONSET + 10 * 24)

    assert pytest.approx(0.5, abs=0.05) == np.median(counted.amplitude[:, 50])
    assert flow[:, early].sum() == pytest.approx(counted.counted_m3[:, early].sum(), rel=0.01)
    assert counted.counted_m3[:, -240:].sum() < 0.05 * flow[:, -240:].sum()


def test_sense_cold_loss_comes_and_goes_with_the_cold() -> None:
    """Pulses are lost below the threshold only."""
    made, flow, counted = sensed("cold_loss", loss_below_c=(-1, -1))
    cold, warm = made.case_c < -5, made.case_c > 4

    assert cold.any()
    assert counted.counted_m3[cold].sum() < 0.05 * flow[cold].sum()
    assert pytest.approx(flow[warm].sum(), rel=0.01) == counted.counted_m3[warm].sum()


def test_sense_cold_damage_stays() -> None:
    """From the coldest hour on nothing is counted."""
    made, _, counted = sensed("cold_stuck")
    coldest = np.argmin(made.case_c, axis=1)
    behind = np.arange(made.case_c.shape[1]) > coldest[:, None]

    assert 0 == counted.counted_m3[behind].sum()


def test_sense_magnet_takes_the_night() -> None:
    """By day everything is counted."""
    made, flow, counted = sensed("magnet")
    hour = made.calendar.hour_of_day
    late = np.arange(len(hour)) >= ONSET
    noon, night = late & (hour == 12), late & (hour == 22)

    assert pytest.approx(flow[:, noon].sum(), rel=0.01) == counted.counted_m3[:, noon].sum()
    assert counted.counted_m3[:, night].sum() < 0.1 * flow[:, night].sum()
