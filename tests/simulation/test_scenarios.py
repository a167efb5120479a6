import pytest

from lake.errors import UsageError
from simulation.parameters import PARAMETERS
from simulation.scenarios import SCENARIOS, scenario
from simulation.vendors import HELD_OUT


def test_held_out_shares_no_vendor_with_any_other_scenario() -> None:
    """Nor its zone, its season or the scale of a sensing amplitude."""
    others = [each for each in SCENARIOS.values() if each.name != "held_out"]
    held_out = SCENARIOS["held_out"]

    assert set(held_out.vendors) == set(HELD_OUT)
    assert not set(HELD_OUT) & {vendor for each in others for vendor in each.vendors}
    assert held_out.zone not in {each.zone for each in others}
    assert held_out.start not in {each.start for each in others}
    assert held_out.ranges["amplitude_mv"][1] < PARAMETERS["amplitude_mv"].low


def test_scenario_that_is_none() -> None:
    """It lists those there are."""
    with pytest.raises(UsageError, match="standard, harsh_winter"):
        scenario("tropics")
