import json

import numpy as np
import pytest

from simulation.block_life import BlockResult, live_through
from simulation.fault_plan import World
from simulation.vendors import ALDER, ELM, Vendor
from tests.simulation.blocks import ONSET, block, outdoors, plan, with_valves, world


def lived(fault: str, mode: str, vendor: Vendor = ALDER, cause: str = "unknown") -> tuple[World, BlockResult]:
    """Return what becomes of meters that all fail in one way."""
    around = with_valves(world(40, 120, vendors=(vendor,), new_share=(0, 0), exchanged_share=(0, 0)))
    if fault == "low_temperature" or mode.startswith("cold"):
        around = outdoors(around)
    return around, live_through(block(around, plan(around, fault, cause, mode)))


@pytest.mark.parametrize(
    ("fault", "mode"),
    [("coil", "partial"), ("coil", "bits"), ("battery", "knee"), ("battery", "storm"), ("actuator", "stripped"),
     ("actuator", "grit"), ("low_temperature", "pipe"), ("low_temperature", "dead")],
)  # fmt: skip
def test_live_through_truth_of_a_fault_that_shows(fault: str, mode: str) -> None:
    """Noticed after its onset, visited after that, detectable where the vendor sends nearly everything."""
    _, result = lived(fault, mode)
    truth = result.outcome

    assert {fault} == set(truth.fault.tolist())
    assert len(truth.meter) > 15
    assert (truth.onset <= truth.noticed).all()
    assert (truth.visited > truth.noticed)[~np.isnan(truth.visited)].all()
    assert (truth.end > truth.onset).all()
    assert truth.detectable.mean() > 0.7


def test_live_through_register_that_stands_without_a_sign_is_not_detectable() -> None:
    """Nothing tells it from an empty home, unless something ran, or a reader came by."""
    around = world(60, 120, vendors=(ELM,), new_share=(0, 0))
    ranges = {"stuck_with_sign_share": (0.0, 0.0), "drip_share": (0.0, 0.0), "leak_share": (0.0, 0.0)}
    silent = live_through(block(around, plan(around, "coil", "unknown", "stuck"), read_share=(0.0, 0.0), **ranges))
    read = live_through(block(around, plan(around, "coil", "unknown", "stuck"), read_share=(1.0, 1.0), **ranges))

    assert 0 == silent.outcome.detectable.sum()
    assert read.outcome.detectable.mean() > 0.5


def test_live_through_reversible_cold_faults_end_with_the_cold() -> None:
    """Nobody has to come."""
    _, result = lived("coil", "cold_loss", cause="low_temperature")

    assert result.outcome.reversible.all()
    assert np.isfinite(result.outcome.end).mean() > 0.9
    assert not result.outcome.repaired.any()


def test_live_through_mended_sensor_counts_again() -> None:
    """The register of a stuck meter moves from its end on, that of the others does not."""
    around, result = lived("coil", "stuck")
    truth = result.outcome
    volume: dict[str, float] = {}
    for line in result.messages["line"]:
        payload = json.loads(line)["payload"]
        volume.setdefault(payload["meter_id"], payload["volume_m3"])
        volume[payload["meter_id"]] = max(volume[payload["meter_id"]], payload["volume_m3"])
    mended = truth.repaired & ~truth.exchanged & (truth.end < around.calendar.hours - 24 * 20)
    lasting = ~np.isfinite(truth.end)
    grown = np.array([volume[around.estate.meter_id(int(m))] - around.estate.start_m3[m] for m in truth.meter])

    assert mended.any()
    assert grown[mended].mean() > 1.4 * grown[lasting].mean()


def test_live_through_empty_cell_is_silent() -> None:
    """No message after it is empty, unless it was mended."""
    around, result = lived("battery", "knee")
    last: dict[str, str] = {}
    for line in result.messages["line"]:
        payload = json.loads(line)["payload"]
        last[payload["meter_id"]] = max(last.get(payload["meter_id"], ""), payload["ts"])
    lasting = result.outcome.meter[~np.isfinite(result.outcome.end)]
    limit = around.calendar.moment(ONSET + 24 * 12).isoformat()

    assert len(lasting) > 5
    assert all(last[around.estate.meter_id(int(m))] < limit for m in lasting)


def test_live_through_burst_pipe_runs_until_it_is_mended() -> None:
    """Frozen, thawed, running, mended: the meter counts more than people draw."""
    around, result = lived("low_temperature", "pipe", cause="low_temperature")
    burst = ~result.outcome.reversible

    assert burst.any()
    assert np.isfinite(result.outcome.end[burst]).mean() > 0.8
    assert around.weather.case_c.min() < -5


def test_live_through_healthy_meters_have_no_truth() -> None:
    """And all the look-alikes."""
    around = world(60, 60)
    result = live_through(block(around))

    assert 0 == len(result.outcome.meter)
    assert result.messages.height > 3000
