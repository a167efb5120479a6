import numpy as np
import pytest

from simulation.valve import MotorValve, Valves, stroke, strokes

STEADY = MotorValve(scatter=0.0)


def test_stroke_of_a_clean_valve() -> None:
    """A clean valve takes its nominal time and current."""
    made = stroke(STEADY, 1.0, np.random.default_rng(0))

    assert made.reached
    assert (pytest.approx(made.travel_s), pytest.approx(made.current_ma)) == (5.0, 60.0)


def test_stroke_slows_with_friction() -> None:
    """More friction takes more time and more current."""
    slow, slower = (stroke(STEADY, friction, np.random.default_rng(0)) for friction in (1.5, 2.5))

    assert slow.travel_s < slower.travel_s
    assert slow.current_ma < slower.current_ma


def test_stroke_stalls() -> None:
    """At the stall current the end switch is not seen."""
    made = stroke(STEADY, 4.0, np.random.default_rng(0))

    assert made.stalled
    assert not made.reached


def test_stroke_with_a_stripped_gear() -> None:
    """A stripped gear runs to the time-out with little current."""
    made = stroke(STEADY, 1.0, np.random.default_rng(0), engaged=False)

    assert not made.reached
    assert not made.stalled
    assert STEADY.time_out_s == made.travel_s
    assert made.current_ma < STEADY.running_ma


def test_strokes_follow_the_travel_formula() -> None:
    """Time grows as (1 - i0/is) / (1 - i/is), until it exceeds the time-out."""
    valves = Valves(np.full(3, 5.0), np.full(3, 60.0), np.full(3, 220.0), np.full(3, 20.0))
    made = strokes(valves, np.array([1.0, 2.0, 3.4]), np.ones(3), np.ones(3, dtype=np.bool_))

    assert pytest.approx([5.0, 5.0 * (1 - 60 / 220) / (1 - 120 / 220), 20.0]) == made.travel_s
    assert [True, True, False] == made.reached.tolist()
    assert not made.stalled.any()
