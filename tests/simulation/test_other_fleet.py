"""The independent fleet: its files keep the contract, whatever is in them."""

import csv
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.other_fleet import write_fleet
from benchmarks.other_fleet_plan import build_fleet
from ingest.decoders.native import NativeDecoder
from ingest.local_time import parse_time
from lake.vocabulary import CAUSES, FAULTS, METER, WEATHER, WORK
from tests.ingest.messages import context

START = date(2025, 12, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of 60 meters and 40 days."""
    out = tmp_path_factory.mktemp("fleet")
    write_fleet(build_fleet(60, 40, 3, START), out)
    return out


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def envelopes(folder: Path) -> list[dict[str, Any]]:
    """Return all messages."""
    with (folder / "readings.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_messages_keep_the_contract(folder: Path) -> None:
    """Every payload decodes without a rejection, comes in order of receipt, and holds no code and no status."""
    sent = envelopes(folder)
    received = [e["received_at"] for e in sent]
    for e in sent:
        decoded = NativeDecoder().decode(
            json.dumps(e["payload"]).encode(), context(e["topic"], parse_time(e["received_at"]))
        )
        assert not decoded.rejections

    assert sorted(received) == received
    assert {"topic", "received_at", "payload"} == set(sent[0])
    assert not {"error_codes", "status"} & {name for e in sent for name in e["payload"]}
    assert any("profile" in e["payload"] for e in sent)


def test_tables_keep_the_contract(folder: Path) -> None:
    """Registry, weather and works have the contract's columns, truth its words; onset comes before notice."""
    truth = rows(folder / "truth.csv")

    assert set(rows(folder / "registry.csv")[0]) < set(METER)
    assert set(WEATHER) >= set(rows(folder / "weather.csv")[0])
    assert set(WORK) >= set(rows(folder / "works.csv")[0])
    assert {t["fault"] for t in truth} <= set(FAULTS)
    assert {t["cause"] for t in truth} <= set(CAUSES)
    assert {t["meter_id"] for t in truth} <= {m["meter_id"] for m in rows(folder / "registry.csv")}
    assert all(datetime.fromisoformat(t["onset"]) <= datetime.fromisoformat(t["noticed_at"]) for t in truth)


def test_incidence_is_that_of_the_contract() -> None:
    """In a winter of a thousand meters 2 to 7 % are given a fault, each kind of fault among them."""
    faults = [fault.fault for _, fault in build_fleet(1000, 150, 1, date(2025, 11, 1)).truths()]

    assert 20 <= len(faults) <= 70
    assert set(FAULTS) == set(faults)


def test_seed_reproduces(folder: Path, tmp_path: Path) -> None:
    """The same seed gives the same files, another one others."""
    write_fleet(build_fleet(60, 40, 3, START), tmp_path / "same")
    write_fleet(build_fleet(60, 40, 4, START), tmp_path / "other")
    first, same, other = ((f / "readings.jsonl").read_bytes() for f in (folder, tmp_path / "same", tmp_path / "other"))

    assert same == first
    assert other != first
    assert (tmp_path / "same" / "truth.csv").read_bytes() == (folder / "truth.csv").read_bytes()


def test_signals_left_out(tmp_path: Path) -> None:
    """What is dropped comes in no message, and voltages keep to the coarse step."""
    without = frozenset({"temperature", "valve_current", "load_voltage"})
    write_fleet(build_fleet(40, 20, 3, START), tmp_path, without, battery_step=0.1)
    sent = [e["payload"] for e in envelopes(tmp_path)]
    dropped = {"ambient_temperature_c", "water_temperature_c", "valve_current_ma", "battery_load_v"}

    assert not dropped & {name for p in sent for name in p}
    assert all(round(p["battery_v"], 1) == p["battery_v"] for p in sent if "battery_v" in p)
