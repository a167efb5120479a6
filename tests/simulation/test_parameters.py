import re

import numpy as np
import pytest

from lake.errors import UsageError
from simulation.parameters import PARAMETERS, SECTIONS, check_ranges
from tests.simulation.blocks import draws


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_has_a_range_a_unit_and_a_source(name: str) -> None:
    """A share lies between 0 and 1, what is drawn by its logarithm above 0."""
    each = PARAMETERS[name]

    assert each.low <= each.high
    assert each.unit
    assert each.meaning
    assert each.source
    assert not each.log or each.low > 0
    assert not name.endswith("_share") or (each.low >= 0 and each.high <= 1)


def test_parameters_have_names_of_their_own() -> None:
    """No section repeats one of another."""
    assert len(PARAMETERS) == sum(len(group) for group in SECTIONS.values())


@pytest.mark.parametrize("name", ["people", "leak_m3h"])
def test_draws_stay_in_their_range(name: str) -> None:
    """Evenly or by their logarithm."""
    drawn = draws().many(name, 1000)

    assert PARAMETERS[name].low <= drawn.min() < drawn.max() <= PARAMETERS[name].high


def test_draws_of_a_scenario_come_from_its_range() -> None:
    """The default does not count."""
    assert 9.0 <= draws(people=(9.0, 9.5)).one("people") <= 9.5


def test_draws_by_logarithm_have_their_middle_at_the_geometric_mean() -> None:
    """Half of the leaks are smaller than that."""
    drawn = draws().many("leak_m3h", 4000)
    each = PARAMETERS["leak_m3h"]

    assert pytest.approx(np.sqrt(each.low * each.high), rel=0.1) == np.median(drawn)


@pytest.mark.parametrize(
    ("name", "span", "said"),
    [
        ("peopel", (1, 2), "no parameter 'peopel'"),
        ("people", (2, 1), "no range"),
        ("people", (1, float("inf")), "no range"),
        ("leak_m3h", (0, 1), "above 0"),
        ("vacant_share", (0.5, 1.5), "a share"),
    ],
)
def test_ranges_that_cannot_be_drawn_from(name: str, span: tuple[float, float], said: str) -> None:
    """It says which and why."""
    with pytest.raises(UsageError, match=re.escape(said)):
        check_ranges({name: span})
