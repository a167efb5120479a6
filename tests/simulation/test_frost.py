import numpy as np
import pytest

from simulation.frost import Pipe, freeze

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
