from dataclasses import replace

import numpy as np
import pytest

from simulation.meter_block import MeterBlock
from simulation.parameters import Ints
from simulation.valve import Valves
from simulation.valve_life import (
    EXERCISE,
    IN_POSITION,
    NOT_REFUSED,
    STATE_FAULT,
    STATE_UNKNOWN,
    TO_CLOSE,
    Defect,
    Movements,
    Schedule,
    find_defects,
    live,
    passage_m3,
    schedule,
)
from tests.simulation.blocks import ONSET, block, outdoors, plan, with_valves, world

AROUND = with_valves(world(50, 90))
OBEDIENT = {"refusal_share": (0.0, 0.0), "commanded_share": (1.0, 1.0)}


def lived(mode: str = "", orders: Schedule | None = None) -> tuple[MeterBlock, Movements, Defect]:
    """Return a block whose valves all fail in one way, and what they did; without a mode they are sound."""
    around = outdoors(AROUND) if mode == "cold_stall" else AROUND
    made = block(around, plan(around, "actuator" if mode else "", "unknown", mode), **OBEDIENT)
    defect = find_defects(made)
    count = made.size
    valves = Valves(np.full(count, 5.0), np.full(count, 60.0), np.full(count, 220.0), np.full(count, 20.0))
    return made, live(made, orders or schedule(made, defect), defect, valves, np.full(count, 0.1)), defect


def after(moved: Movements) -> Movements:
    """Return the movements from a day behind the onset on that were not refused."""
    keep = (moved.hour > ONSET + 24) & (moved.refusal == NOT_REFUSED) & ~np.isnan(moved.travel_s)
    return Movements(**{name: getattr(moved, name)[keep] for name in Movements.__slots__})


def test_live_sound_valves_obey() -> None:
    """Every order reaches its end, in about the time of a clean valve."""
    _, moved, _ = lived()
    ran = moved.refusal == NOT_REFUSED
    strokes = ran & ~np.isnan(moved.travel_s)

    assert moved.reached[strokes].all()
    assert pytest.approx(5.2, abs=1.0) == moved.travel_s[strokes].mean()
    assert (moved.state == moved.position).all()


def test_live_closed_valves_are_not_exercised() -> None:
    """The run is left out."""
    _, moved, _ = lived()
    runs = moved.kind == EXERCISE

    assert np.isnan(moved.travel_s[runs & (moved.position == 1)]).all()
    assert not np.isnan(moved.travel_s[runs & (moved.position == 0)]).any()


def test_live_same_order_twice_is_refused_as_in_position() -> None:
    """That is no fault."""
    _, moved, _ = lived()
    refused = moved.refusal == IN_POSITION

    assert refused.any()
    assert np.isnan(moved.travel_s[refused]).all()


def test_live_stripped_gear_runs_to_the_time_out_with_half_the_current() -> None:
    """The valve stays where it was, and says so."""
    moved = after(lived("stripped")[1])

    assert not moved.reached.any()
    assert {20.0} == set(moved.travel_s.tolist())
    assert pytest.approx(30, abs=4) == moved.current_ma.mean()
    assert not (moved.position == 1).any()


def test_live_grit_slows_down_until_it_stalls() -> None:
    """Travel and current grow with every stroke; the closed seat leaks."""
    made, moved, defect = lived("grit")
    strokes = after(moved)
    early, late = (strokes.current_ma[strokes.hour < 1100], strokes.current_ma[strokes.hour > 1700])
    passage = passage_m3(made, moved, defect)

    assert late.mean() > 1.5 * early.mean()
    assert (defect.seat_leak_m3h > 0).all()
    assert (passage[np.isfinite(passage)] > 0).mean() > 0.9


def test_live_stalled_valve_says_fault() -> None:
    """Its current reaches the threshold."""
    moved = after(lived("stall")[1])

    assert {STATE_FAULT} == set(moved.state.tolist())
    assert pytest.approx(220, rel=0.12) == moved.current_ma.mean()


def test_live_unseen_end_switch_moves_the_valve() -> None:
    """It closes; its meter does not know."""
    moved = after(lived("end_switch")[1])
    told = moved.kind == TO_CLOSE

    assert {STATE_UNKNOWN} == set(moved.state[told].tolist())
    assert (moved.position[told] == 1).all()


def test_live_broken_shaft_moves_nothing_and_claims_to() -> None:
    """State and position part."""
    moved = after(lived("dead_valve")[1])

    assert moved.reached.all()
    assert (moved.state != moved.position).any()


def test_live_cold_stall_only_in_the_cold() -> None:
    """In warmth the same valve obeys."""
    made, moved, _ = lived("cold_stall")
    strokes = ~np.isnan(moved.travel_s)
    case_c = made.case_c[moved.meter, moved.hour.astype(np.int64)]

    assert (~moved.reached & strokes).any()
    assert case_c[~moved.reached & strokes].max() < -3


def test_live_repetitions_only_until_obeyed_or_told_otherwise() -> None:
    """A sound valve sees no repetition; none follows a contrary order."""
    made = block(AROUND, plan(AROUND), refusal_share=(1.0, 1.0), commanded_share=(1.0, 1.0))
    orders = schedule(made, find_defects(made))
    _, refused, _ = lived("", orders)
    _, obeyed, _ = lived()

    def told(moved: Movements) -> Ints:
        return np.bincount(moved.meter[moved.kind != EXERCISE], minlength=50)

    assert told(refused).mean() > 1.3 * told(obeyed).mean()
    last = {int(m): int(k) for m, k in zip(refused.meter, refused.position, strict=True)}
    assert set(last.values()) <= {0, 1}


def test_passage_of_mended_valves() -> None:
    """A seat leaks only while the defect is there."""
    made, moved, defect = lived("seat_leak")
    mended = replace(defect, last=np.full(made.size, ONSET + 24.0))
    closed = np.isfinite(passage_m3(made, moved, mended))
    late = np.arange(closed.shape[1]) > ONSET + 24

    assert (passage_m3(made, moved, mended)[closed & late] == 0).all()
