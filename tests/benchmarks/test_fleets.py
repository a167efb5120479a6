"""Fleets are taken in as users take them in, whole or with a signal missing."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from benchmarks.fleets import MISSING, Fleet, meters_of, simulated, site_of, without
from lake.schemas import READINGS
from lake.tables import Lake

READING = {
    "meter_id": "m1",
    "ts": "2024-01-01T03:00:00+08:00",
    "volume_m3": 1.5,
    "battery_v": 3.567,
    "battery_load_v": 3.41,
    "ambient_temperature_c": -3.5,
    "water_temperature_c": 4.0,
    "valve_state": "open",
    "valve_command": "open",
    "valve_travel_s": 5.0,
    "valve_current_ma": 61,
    "status": 4,
    "error_codes": ["E1"],
    "coil_signal_mv": 812.0,
    "rssi_dbm": -101,
}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Return a fleet of two meters, of which one is registered."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    messages = [
        {"topic": "meters/m1/readings", "received_at": "2023-12-31T19:05:00Z", "payload": READING},
        {"received_at": "2023-12-31T19:06:00Z", "payload": [READING | {"meter_id": "m2"}]},
    ]
    lines = "\n".join(json.dumps(message) for message in messages)
    (folder / "readings.jsonl").write_text(f"{lines}\n\n", encoding="utf-8")
    (folder / "registry.csv").write_text(
        "meter_id,model,timezone,production_batch\nm1,LXS,Asia/Shanghai,B7\n", encoding="utf-8"
    )
    (folder / "truth.csv").write_text(
        "meter_id,fault,cause,onset,noticed_at,end,reversible,detectable\n"
        "m1,coil,low_temperature,2024-01-01T00:00:00+08:00,2024-01-05T00:00:00Z,,True,false\n",
        encoding="utf-8",
    )
    return Fleet(folder)


def test_truth_is_read_with_its_types(fleet: Fleet) -> None:
    """Times of any zone, empty ends, yes and no in any case."""
    [row] = fleet.truth().rows(named=True)

    assert ("2023-12-31T16:00:00+00:00", None) == (row["onset"].isoformat(), row["end"])
    assert (True, False) == (row["reversible"], row["detectable"])


def test_folder_without_truth_is_no_fleet(fleet: Fleet) -> None:
    """It cannot be judged."""
    fleet.truth_file.unlink()

    with pytest.raises(SystemExit, match=r"truth\.csv"):
        Fleet(fleet.folder)


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ("temperature", {"ambient_temperature_c", "water_temperature_c"}),
        ("load_voltage", {"battery_load_v"}),
        ("valve_drive", {"valve_travel_s", "valve_current_ma"}),
        ("codes", {"status", "error_codes"}),
        ("coil_signal", {"coil_signal_mv"}),
        ("radio", {"rssi_dbm"}),
        ("battery_resolution", set()),
    ],
)
def test_without_leaves_out_one_signal_of_every_reading(
    fleet: Fleet, tmp_path: Path, missing: str, gone: set[str]
) -> None:
    """Of single readings and of those in a list; envelopes stay as they are."""
    without(fleet.readings, missing, tmp_path / "changed.jsonl")

    first, second = [json.loads(line) for line in (tmp_path / "changed.jsonl").read_text(encoding="utf-8").splitlines()]
    assert ("2023-12-31T19:05:00Z", "meters/m1/readings") == (first["received_at"], first["topic"])
    assert set(READING) - gone == set(first["payload"]) == set(second["payload"][0])


def test_battery_resolution_is_a_tenth_of_a_volt(fleet: Fleet, tmp_path: Path) -> None:
    """As many vendors send it."""
    without(fleet.readings, "battery_resolution", tmp_path / "changed.jsonl")

    payload = json.loads((tmp_path / "changed.jsonl").read_text(encoding="utf-8").splitlines()[0])["payload"]
    assert (3.6, 3.4) == (payload["battery_v"], payload["battery_load_v"])


def test_every_missing_signal_is_a_name_of_a_reading() -> None:
    """A word that no reading has would leave out nothing."""
    for change in MISSING.values():
        reading = dict.fromkeys(READINGS.columns, 1.234)
        change(reading)
        assert reading != dict.fromkeys(READINGS.columns, 1.234)


@pytest.mark.parametrize("simulator", ["nobody", "other:harsh_winter"])
def test_unknown_simulator_is_refused(simulator: str, tmp_path: Path) -> None:
    """With those that there are; only our own has scenarios."""
    with pytest.raises(SystemExit, match="metriage:SCENARIO"):
        simulated(simulator, 10, 30, 1, tmp_path)


@pytest.mark.slow
def test_simulated_fleet_is_made_once(tmp_path: Path) -> None:
    """A fleet of the same code, size and seed is taken up again."""
    first = simulated("other", 20, 30, 1, tmp_path)
    written = first.readings.stat().st_mtime_ns

    again = simulated("other", 20, 30, 1, tmp_path)

    assert (first.folder, written) == (again.folder, again.readings.stat().st_mtime_ns)
    assert 20 == first.registry()["meter_id"].n_unique()


@pytest.mark.slow
def test_site_takes_a_fleet_in_once(fleet: Fleet, tmp_path: Path) -> None:
    """By the commands of the product; settings may change without it, another missing signal is another site."""
    site = site_of(fleet, None, tmp_path / "whole")
    readings = Lake(site.folder / "lake").read(READINGS)

    assert (["m1", "m2"], [3.567] * 2) == (readings["meter_id"].to_list(), readings["battery_v"].to_list())
    assert "2023-12-31T19:05:00+00:00" == readings["received_at"][0].isoformat()
    assert "Asia/Shanghai" == site.settings.site.timezone
    meters = meters_of(fleet, site).sort("meter_id")
    assert [("m1", "B7"), ("m2", None)] == meters.select("meter_id", "production_batch").rows()
    again = site_of(fleet, None, tmp_path / "whole", "[rules.clearing]\ndays = 3\n")
    assert 3 == again.settings.rules.clearing.days
    assert readings.equals(Lake(again.folder / "lake").read(READINGS))
    coarse = site_of(fleet, "battery_resolution", tmp_path / "coarse")
    assert pl.Series("battery_v", [3.6, 3.6]).equals(Lake(coarse.folder / "lake").read(READINGS)["battery_v"])
