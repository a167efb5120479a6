import numpy as np
import pytest

from simulation.frost import Pipe, Pipes, freeze, freeze_all

BARE = Pipe()
NOBODY = np.zeros(200)


def test_freezing_degree_hours_of_dn20() -> None:
    """A bare DN20 pipe freezes solid in about 40 K·h."""
    assert pytest.approx(40, rel=0.05) == BARE.freezing_degree_hours


def test_freeze_blocks_breaks_and_leaks_at_the_thaw() -> None:
    """Cold blocks, more cold breaks, and only warmth lets the break show."""
    case = np.concatenate([np.full(100, -5.0), np.full(100, 5.0)])
    frost = freeze(BARE, case, NOBODY)

    assert frost.broken_from is not None
    assert frost.blocked[20]
    assert not frost.leaking[:100].any()
    assert frost.leaking[-1]


def test_freeze_not_while_water_flows() -> None:
    """Water that keeps flowing keeps the pipe from freezing."""
    frost = freeze(BARE, np.full(200, -5.0), np.full(200, 0.05))

    assert not frost.blocked.any()


def test_freeze_lagged_pipe_lasts_longer() -> None:
    """Lagging multiplies the cold a pipe stands."""
    lagged = Pipe(loss_w_per_m2_k=1.0)

    assert pytest.approx(10 * BARE.freezing_degree_hours) == lagged.freezing_degree_hours


def test_freeze_all_is_freeze_of_each() -> None:
    """Many pipes side by side do what each would do alone."""
    case = np.concatenate([np.full(100, -5.0), np.full(100, 5.0)])
    pipes = [Pipe(), Pipe(loss_w_per_m2_k=4.0), Pipe(loss_w_per_m2_k=1.0)]
    values = [(p.freezing_degree_hours, p.break_factor, p.supply_degree_hours_per_m3) for p in pipes]
    many = freeze_all(Pipes(*np.array(values).T), np.tile(case, (3, 1)), np.zeros((3, 200)))
    alone = [freeze(pipe, case, NOBODY) for pipe in pipes]

    assert [(-1 if one.broken_from is None else one.broken_from) for one in alone] == many.broken_from.tolist()
    assert (np.array([one.blocked for one in alone]) == many.blocked).all()
    assert (np.array([one.leaking for one in alone]) == many.leaking).all()


def test_freeze_all_needs_degree_hours() -> None:
    """A pipe that needs 40 K·h is frozen after eight hours at -5 °C, not before."""
    pipes = Pipes(np.array([40.0]), np.array([2.0]), np.array([1000.0]))
    ice = freeze_all(pipes, np.full((1, 24), -5.0), np.zeros((1, 24)))

    assert 7 == int(np.argmax(ice.blocked[0]))
