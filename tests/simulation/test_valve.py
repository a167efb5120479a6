import numpy as np
import pytest

from simulation.valve import MotorValve, stroke

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
