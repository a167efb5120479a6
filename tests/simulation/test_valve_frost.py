import json
from pathlib import Path

import pytest

from simulation.fleet import Fleet
from simulation.valve_frost import valve_frost_fleet

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """Return the sample fleet."""
    return valve_frost_fleet()


def test_valve_frost_fleet_truth(fleet: Fleet) -> None:
    """Two valves and one pipe fail; three meters only look bad."""
    assert {
        ("synthetic-valve-stripped", "actuator", "unknown"),
        ("synthetic-valve-sediment", "actuator", "sediment"),
        ("synthetic-frost-burst", "low_temperature", "low_temperature"),
    } == {(t.meter_id, t.fault, t.cause) for t in fleet.truths}


def test_valve_frost_fleet_is_the_shipped_sample(fleet: Fleet, tmp_path: Path) -> None:
    """The shipped files are what the simulation makes today (to the last digit's rounding on another processor)."""
    fleet.write(tmp_path / "readings.jsonl", tmp_path / "truth.csv")
    shipped, made = (
        [json.loads(line)["payload"] for line in file.read_text(encoding="utf-8").splitlines()]
        for file in (SAMPLES / "synthetic_valve_frost.jsonl", tmp_path / "readings.jsonl")
    )

    assert [(p["meter_id"], p["ts"]) for p in shipped] == [(p["meter_id"], p["ts"]) for p in made]
    assert [p["volume_m3"] for p in shipped] == pytest.approx([p["volume_m3"] for p in made], abs=0.002)
    assert (SAMPLES / "synthetic_valve_frost_truth.csv").read_text() == (tmp_path / "truth.csv").read_text()


def test_valve_frost_fleet_burst_sequence(fleet: Fleet) -> None:
    """Cold, then zero, then thaw, then continuous flow."""
    burst = [e.message.payload for e in fleet.envelopes if e.message.meter_id == "synthetic-frost-burst"]
    frozen = [p for p in burst if "2017-01-18T06" < p["ts"] < "2017-01-22T12"]
    after = [p for p in burst if p["ts"] > "2017-01-23"]

    assert {0.0} == {p["flow_m3h"] for p in frozen}
    assert min(p["ambient_temperature_c"] for p in frozen) < -10
    assert all(p["flow_m3h"] > 1 for p in after)
