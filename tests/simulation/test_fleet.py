import csv
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from simulation.fleet import FleetPlan, simulate_fleet
from simulation.meter import MeterPlan
from simulation.weather import Climate

PLAN = FleetPlan(
    (MeterPlan("synthetic-a", "indoor"), MeterPlan("synthetic-b", "pit")),
    date(2016, 11, 1),
    5,
    ZoneInfo("Asia/Shanghai"),
    Climate(),
)


def test_simulate_fleet_seed_reproduces() -> None:
    """The same seed gives the same lines, another seed others."""
    first, again, other = ([e.line() for e in simulate_fleet(PLAN, seed).envelopes] for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_simulate_fleet_meters_are_independent() -> None:
    """A meter more changes nothing about the others."""
    more = replace(PLAN, meters=(*PLAN.meters, MeterPlan("synthetic-c", "outdoor")))
    lines = {e.line() for e in simulate_fleet(more, 1).envelopes}

    assert {e.line() for e in simulate_fleet(PLAN, 1).envelopes} < lines


def test_fleet_write(tmp_path: Path) -> None:
    """The file holds envelopes in order of receipt, the truth file the contract's columns."""
    simulate_fleet(PLAN, 1).write(tmp_path / "readings.jsonl", tmp_path / "truth.csv")
    envelopes = [json.loads(line) for line in (tmp_path / "readings.jsonl").read_text().splitlines()]
    with (tmp_path / "truth.csv").open() as file:
        header = next(csv.reader(file))

    assert {"topic", "received_at", "payload"} == set(envelopes[0])
    assert len(envelopes) == 10
    assert sorted(e["received_at"] for e in envelopes) == [e["received_at"] for e in envelopes]
    assert header == ["meter_id", "fault", "cause", "onset", "noticed_at", "end", "reversible", "detectable"]
