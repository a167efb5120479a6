"""Labelled fleets: the files of a fleet folder, what can be missing from them, and a site that has taken them in.

A fleet folder is what a simulator under the contract writes: ``readings.jsonl``, ``truth.csv`` and, where it has them,
``registry.csv``, ``weather.csv``, ``works.csv``, ``inspections.csv``, ``reports.csv``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import run as run_process
from typing import Any

import msgspec
import polars as pl

from lake.schemas import READINGS
from lake.tables import Lake
from lake.vocabulary import METER
from metriage.options import INCOMPLETE
from metriage.site import Site, open_site
from models.judging import TRUTHS
from tests.processes import ROOT, run_metriage

ALL_SIGNALS = "all signals"

# What a site imports beside the readings, in this order.
_BESIDE = ("registry", "weather", "works", "inspections", "reports")

_READY = "ready.json"


def _drop(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(reading: dict[str, Any]) -> None:
        for name in names:
            reading.pop(name, None)

    return change


def _coarse_battery(reading: dict[str, Any]) -> None:
    for name in ("battery_v", "battery_load_v"):
        if isinstance(reading.get(name), float | int):
            reading[name] = round(reading[name], 1)


# Signals that a vendor may not send, one after the other.
MISSING: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "temperature": _drop("ambient_temperature_c", "water_temperature_c"),
    "battery_resolution": _coarse_battery,
    "load_voltage": _drop("battery_load_v"),
    "valve_drive": _drop("valve_travel_s", "valve_current_ma"),
    "valve_state": _drop("valve_state", "valve_command", "valve_refusal", "valve_travel_s", "valve_current_ma"),
    "codes": _drop("status", "error_codes"),
    "coil_signal": _drop("coil_signal_mv"),
    "radio": _drop("rssi_dbm", "snr_db", "coverage_class"),
}

# Files that a site may not have.
MISSING_FILES = ("registry", "weather")


@dataclass(frozen=True, slots=True)
class Fleet:
    """A folder with readings and their truth.

    Parameters
    ----------
    folder : Path
        The folder.
    """

    folder: Path

    def __post_init__(self) -> None:
        for file in (self.readings, self.truth_file):
            if not file.is_file():
                raise SystemExit(f"{self.folder} is no fleet: there is no {file.name}")

    @property
    def readings(self) -> Path:
        """The messages, as lines of JSON."""
        return self.folder / "readings.jsonl"

    @property
    def truth_file(self) -> Path:
        """What is truly wrong with the meters."""
        return self.folder / "truth.csv"

    def beside(self, without: str | None) -> Iterator[tuple[str, Path]]:
        """Yield what else the fleet has to import, by the name of its command."""
        for name in _BESIDE:
            file = self.folder / f"{name}.csv"
            if file.is_file() and name != without:
                yield name, file

    def truth(self) -> pl.DataFrame:
        """Return the truth, as the scorer wants it."""
        return _typed(pl.read_csv(self.truth_file, infer_schema=False), TRUTHS.polars)

    def registry(self) -> pl.DataFrame:
        """Return the registry, of unlabelled columns as texts; empty where the fleet has none."""
        file = self.folder / "registry.csv"
        if not file.is_file():
            return pl.DataFrame(schema=dict.fromkeys(METER, pl.String))
        return pl.read_csv(file, infer_schema=False)

    def timezone(self) -> str:
        """Return the zone that most meters name, else UTC."""
        registry = self.registry()
        if "timezone" not in registry.columns or registry["timezone"].drop_nulls().is_empty():
            return "UTC"
        return str(registry["timezone"].drop_nulls().mode().sort()[0])

    def digest(self) -> str:
        """Return a name that changes with the files."""
        known = [
            (file.name, file.stat().st_size, file.stat().st_mtime_ns)
            for file in (self.readings, *(file for _, file in self.beside(None)))
        ]
        return hashlib.sha256(repr(known).encode()).hexdigest()[:12]


def _typed(rows: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return texts of a CSV file in the types of a table; times need a zone, as everywhere."""
    made = []
    for name, dtype in schema.items():
        if name in rows.columns:
            text = pl.col(name).str.strip_chars()
            text = pl.when(text != "").then(text)
            if dtype == pl.Boolean:
                made.append(text.str.to_lowercase().replace_strict({"true": True, "false": False}).alias(name))
            elif isinstance(dtype, pl.Datetime):
                made.append(text.str.to_datetime("%+", time_zone="UTC", time_unit="us").alias(name))
            else:
                made.append(text.cast(dtype).alias(name))
    return rows.select(made)


# The product's own simulator, and one that knows nothing of it.
SIMULATORS: Mapping[str, list[str]] = {"metriage": ["metriage", "simulate"], "other": ["benchmarks.other_fleet"]}


def simulated(simulator: str, meters: int, days: int, seed: int, folder: Path) -> Fleet:
    """Let a simulator write a fleet, unless it lies there already.

    Parameters
    ----------
    simulator : str
        One of :data:`SIMULATORS`; ``metriage:SCENARIO`` with a name or a TOML file.
    meters, days, seed : int
        Size and seed.
    folder : Path
        Where fleets are kept; one made before by the same code is taken up again.
    """
    name, _, scenario = simulator.partition(":")
    if name not in SIMULATORS or (scenario and name != "metriage"):
        raise SystemExit(f"there is no simulator {simulator!r}; there are {', '.join(SIMULATORS)}, metriage:SCENARIO")
    options = ["--meters", str(meters), "--days", str(days), "--seed", str(seed)]
    options += ["--scenario", scenario] if scenario else []
    target = (
        folder / f"{simulator.replace(':', '-').replace('/', '_')}-{meters}x{days}-seed{seed}-{_simulator_digest()}"
    )
    if not (target / "truth.csv").is_file():
        made = target.with_name(f"{target.name}.part")
        shutil.rmtree(made, ignore_errors=True)
        made.parent.mkdir(parents=True, exist_ok=True)
        run_process([sys.executable, "-m", *SIMULATORS[name], str(made), *options], cwd=ROOT, check=True)
        made.rename(target)
    return Fleet(target)


def _simulator_digest() -> str:
    """Return a name that changes with the code of the simulators."""
    files = sorted([*(ROOT / "simulation").rglob("*.*"), *(ROOT / "benchmarks").glob("other_fleet*.py")])
    texts = [file.read_bytes() for file in files if file.suffix in {".py", ".toml"}]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:6]


def without(readings: Path, missing: str, target: Path) -> None:
    """Write the messages of `readings` again without a signal.

    Parameters
    ----------
    readings : Path
        Lines of envelopes or of bare payloads; a payload is an object or an array.
    missing : str
        One of :data:`MISSING`.
    target : Path
        File to write.
    """
    change = MISSING[missing]
    with readings.open("rb") as lines, target.open("wb") as written:
        for line in lines:
            if not line.strip():
                continue
            message = msgspec.json.decode(line)
            payload = message["payload"] if isinstance(message, dict) and "payload" in message else message
            for reading in payload if isinstance(payload, list) else [payload]:
                change(reading)
            written.write(msgspec.json.encode(message) + b"\n")


def site_of(fleet: Fleet, missing: str | None, folder: Path, settings: str = "") -> Site:
    """Return a site that has taken in a fleet, made in `folder` or found there.

    Parameters
    ----------
    fleet : Fleet
        What to take in.
    missing : str, optional
        Of :data:`MISSING` or :data:`MISSING_FILES`.
    folder : Path
        Of this fleet with this missing, and of nothing else.
    settings : str
        More lines of ``metriage.toml``, such as thresholds; written anew each time.
    """
    ready = folder / _READY
    state = {"fleet": fleet.digest(), "missing": missing}
    if not (ready.is_file() and json.loads(ready.read_text(encoding="utf-8")) == state):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "site").mkdir(parents=True)
        _write_settings(fleet, folder / "site", "")
        _take_in(fleet, missing, folder)
        ready.write_text(json.dumps(state), encoding="utf-8")
    _write_settings(fleet, folder / "site", settings)
    return open_site(folder / "site")


def _write_settings(fleet: Fleet, site: Path, settings: str) -> None:
    text = f'[site]\ntimezone = "{fleet.timezone()}"\n\n{settings}'
    (site / "metriage.toml").write_text(text, encoding="utf-8")


def _take_in(fleet: Fleet, missing: str | None, folder: Path) -> None:
    """Import and ingest the files of a fleet by the commands that users give."""
    for name, file in fleet.beside(missing):
        _run(name, "import", file, "--dir", folder / "site")
    readings = fleet.readings
    if missing in MISSING:
        readings = folder / "readings.jsonl"
        without(fleet.readings, missing, readings)
    _run("ingest", "--dir", folder / "site", "--from", readings)
    if readings != fleet.readings:
        readings.unlink()


def _run(*arguments: str | Path) -> None:
    done = run_metriage(*arguments, "--json", check=False)
    if done.returncode == INCOMPLETE:  # simulators send rubbish on purpose, as meters do
        told = json.loads(done.stdout)
        left = f"{told['messages']['quarantined']} messages" if "messages" in told else f"{len(told['refused'])} rows"
        print(f"  metriage {arguments[0]} did not take {left}", file=sys.stderr)
    elif done.returncode:
        raise SystemExit(f"metriage {arguments[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")


def meters_of(fleet: Fleet, site: Site) -> pl.DataFrame:
    """Return every meter that is registered or reports, with what the registry says of it."""
    registry = fleet.registry()
    reporting = Lake(site.folder / "lake").scan(READINGS).select("meter_id").unique().collect()
    return pl.concat([registry, reporting], how="diagonal").unique("meter_id", keep="first", maintain_order=True)
