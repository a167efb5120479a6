"""A small fleet from end to end: the same bytes, consistent truth, files that the product takes."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lake.errors import UsageError
from lake.vocabulary import CAUSES, FAULTS, METER
from simulation.labelled_fleet import FleetOrder, write_fleet
from simulation.scenarios import SCENARIOS

TRUTH = ["meter_id", "fault", "cause", "onset", "noticed_at", "end", "reversible", "detectable"]


def made(folder: Path, seed: int = 3, meters: int = 150, scenario: str = "standard") -> dict[str, Any]:
    chosen = SCENARIOS[scenario]
    folder.mkdir(exist_ok=True)
    return write_fleet(FleetOrder(chosen, meters, 100, seed, chosen.start), folder)


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a fleet."""
    folder = tmp_path_factory.mktemp("fleet")
    made(folder, meters=400)
    return folder


def test_write_fleet_same_seed_same_bytes(tmp_path: Path) -> None:
    """Every file, to the last byte; another seed gives others."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        made(tmp_path / name, seed)

    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a")["readings.jsonl"] != digests(tmp_path / "c")["readings.jsonl"]


def test_write_fleet_truth_is_consistent(fleet: Path) -> None:
    """In the vocabulary, of registered meters, noticed after its onset; a fault and meter stand there once."""
    truth = rows(fleet / "truth.csv")
    registered = {row["meter_id"] for row in rows(fleet / "registry.csv")}

    assert TRUTH == list(truth[0])
    assert {row["fault"] for row in truth} <= set(FAULTS)
    assert {row["cause"] for row in truth} <= set(CAUSES)
    assert {row["meter_id"] for row in truth} <= registered
    assert all(row["onset"] <= row["noticed_at"] for row in truth)
    assert all(row["onset"] < row["end"] for row in truth if row["end"])
    assert len(truth) == len({(row["meter_id"], row["fault"]) for row in truth})
    assert {row["detectable"] for row in truth} <= {"true", "false"}


def test_write_fleet_readings_are_envelopes_in_order(fleet: Path) -> None:
    """Each of a registered, synthetic meter; nothing in them names a fault."""
    lines = (fleet / "readings.jsonl").read_text(encoding="utf-8").splitlines()
    envelopes = [json.loads(line) for line in lines]
    registered = {row["meter_id"] for row in rows(fleet / "registry.csv")}

    assert [each["received_at"] for each in envelopes] == sorted(each["received_at"] for each in envelopes)
    assert {each["payload"]["meter_id"] for each in envelopes} <= registered
    assert all(each["topic"] == f"meters/{each['payload']['meter_id']}/readings" for each in envelopes)
    assert all(each["payload"]["synthetic"] for each in envelopes)
    assert not {"fault", "cause", "onset", "mode", "truth"} & {name for each in envelopes for name in each["payload"]}
    assert set(METER) == set(rows(fleet / "registry.csv")[0])


def test_write_fleet_marks_itself_synthetic(fleet: Path) -> None:
    """In its readme, in its description, in every meter id."""
    assert json.loads((fleet / "fleet.json").read_text(encoding="utf-8"))["synthetic"]
    assert "synthetic" in (fleet / "README.md").read_text(encoding="utf-8")
    assert all(row["meter_id"].startswith("synthetic-") for row in rows(fleet / "registry.csv"))


@pytest.mark.parametrize(
    ("meters", "days", "seed", "start"),
    [(0, 100, 1, date(2023, 1, 1)), (10, 5, 1, date(2023, 1, 1)), (10, 100, -1, date(2023, 1, 1)),
     (10, 100, 1, date(1999, 1, 1))],
)  # fmt: skip
def test_fleet_order_that_cannot_be_met(meters: int, days: int, seed: int, start: date) -> None:
    """It says what can."""
    with pytest.raises(UsageError, match=r"take|make"):
        FleetOrder(SCENARIOS["standard"], meters, days, seed, start)
