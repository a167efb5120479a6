import numpy as np
import pytest

from lake.errors import UsageError
from simulation.estate import OUTDOOR
from simulation.fault_plan import KINDS, FaultKind, FaultPlan, World, plan_faults
from simulation.happenings import PIPE_WORKS
from simulation.vendors import USUAL
from tests.simulation.blocks import draws, world


@pytest.fixture(scope="module")
def around() -> World:
    """Return a large world, so that every cause finds somebody."""
    return world(6000, 150, vendors=USUAL, seed=2, flood_share=(0.9, 0.9), works_of_a_site=(0.4, 0.4))


@pytest.fixture(scope="module")
def planned(around: World) -> FaultPlan:
    """Return its plan."""
    return plan_faults(around, draws(3))


def test_plan_faults_incidence_is_in_the_stated_range(planned: FaultPlan) -> None:
    """2 to 6 % of the meters, with every fault and nearly every cause among them."""
    share = (planned.fault != "").mean()
    kinds = {(str(f), str(c)) for f, c in zip(planned.fault, planned.cause, strict=True) if f}

    assert 0.02 <= share <= 0.06
    assert len({(kind.fault, kind.cause) for kind in KINDS} - kinds) <= 2
    assert "production_batch" in planned.cause


def test_plan_faults_causes_reach_only_whom_they_can(around: World, planned: FaultPlan) -> None:
    """Moisture needs a flood, sediment works in the pipe, age years, frost a meter outdoors, a valve fault a valve."""
    estate = around.estate
    worked = [each.site for each in around.happenings.of_kind(PIPE_WORKS)]
    moist, gritty, old = (planned.cause == cause for cause in ("moisture", "sediment", "age"))

    assert (estate.flood_prone & ~estate.waterproof)[moist].all()
    assert np.isin(estate.site[gritty], worked).all()
    assert (estate.age_y[old] >= 5).all()
    assert set(estate.installation[planned.fault == "low_temperature"].tolist()) == {OUTDOOR}
    assert estate.valve[planned.fault == "actuator"].all()
    assert (estate.first_hour[planned.fault != ""] == 0).all()


def test_plan_faults_begins_after_the_circumstance(around: World, planned: FaultPlan) -> None:
    """A wet meter fails after a flood, a gritted valve after the works."""
    for meter in np.flatnonzero(planned.cause == "moisture"):
        days = np.flatnonzero(around.happenings.flooded[around.estate.region[meter]])
        assert days.min() * 24 <= planned.onset[meter]
    ends = {each.site: each.last for each in around.happenings.of_kind(PIPE_WORKS)}
    for meter in np.flatnonzero(planned.cause == "sediment"):
        assert ends[int(around.estate.site[meter])] <= planned.onset[meter]


def test_plan_faults_bad_lots_are_over_represented(around: World, planned: FaultPlan) -> None:
    """Each named lot fails far more often than the fleet, in one fault."""
    lots = [each for each in planned.culprits if each.scope == "production_batch"]

    assert lots
    for each in lots:
        own = np.array([around.estate.lot_name(int(lot)) == each.key for lot in around.estate.lot])
        assert (planned.fault[own] == each.fault).mean() > 3 * (planned.fault == each.fault).mean()


def test_fault_kind_with_a_word_that_is_not_in_the_vocabulary() -> None:
    """A cause is one of the contract's."""
    with pytest.raises(UsageError, match="vocabulary"):
        FaultKind("coil", "bad luck", 1, ("stuck",), "none")
