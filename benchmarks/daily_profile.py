"""Daily profile and features of a whole fleet, beside a scan of the same columns and the same aggregates by others.

The lake holds hourly registers and a daily status of each meter over 90 days (:mod:`benchmarks.fleet_lake`), as ingest
stores and `compact` leaves them. Every contestant is a process of its own; time is that of the work, imports not
counted, nor in its CPU; memory is the summed PSS of the process. In turn, several rounds, medians:

- metriage: production's own path. It reads the lake, makes all daily rows with their running state, commits them to a
  lake (fsynced Parquet), reads the window back and makes the features of all meters.
- pyarrow: decodes every row of those columns that the profile reads and this lake fills, and drops it.
- pandas, DuckDB: the same plain aggregates, 54 of the daily columns and 26 of the features, day by day of UTC, written
  as plain Parquet and not flushed; without running state, peers, late or doubted readings, several sources or other
  zones. What they compute adds up to what ours does, or this fails.

``python -m benchmarks daily_profile`` measures 10,000 meters; ``python -m benchmarks.daily_profile --meters 100000
--rounds 1`` any number, ``--zone`` in another zone. DuckDB is measured where `make compare` has installed it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import TypeAlias

import msgspec

from benchmarks.fleet_lake import HOURS, START, make_lake
from benchmarks.measure import Figures, python, run_process
from diagnostics.features import WINDOW_DAYS, view
from ingest.child_process import passing
from lake.schemas import DAILY, READINGS
from lake.tables import Lake
from metriage.daily_rows import window_rows
from metriage.diagnosing import DiagnosisLine
from metriage.settings import Settings
from tests.recordings import ROOT

COMPARE = ROOT / ".venv-compare" / "bin" / "python"
YARDSTICKS = Path(__file__).parent / "yardsticks"
COLUMNS = (
    "meter_id", "ts", "received_at", "source", "seq", "firmware", "volume_m3", "battery_v", "battery_load_v",
    "ambient_temperature_c", "rssi_dbm", "snr_db", "coverage_class", "valve_state",
)  # fmt: skip
GOALS = {"pyarrow": "at most 3", "pandas": "at least 5", "duckdb": "at least 1"}
OTHERS = tuple(GOALS)
Runs: TypeAlias = dict[str, list[tuple[Figures, dict[str, float]]]]
# The allocator as the daemon sets it for the process of a diagnosis; the threads are not halved as they are there.
MEMORY = {"_RJEM_MALLOC_CONF": passing()["_RJEM_MALLOC_CONF"]}
AGREED_DAYS = ("consumption_m3", "battery_median_v", "backward_counts")
AGREED_FEATURES = ("day_m3_60d", "backward_counts_30d", "rssi_dbm_30d", "flow_days_30d")
AGREED = ("rows", "consumption_m3", "battery_v", "backward_counts", "features", *AGREED_FEATURES)


def make(lake: Path, work: Path, days: int, zone: str) -> dict[str, float]:
    """Make the daily rows and the features of a fleet, and tell how long it took and what they come to."""
    plain = Settings()
    settings = msgspec.structs.replace(plain, site=msgspec.structs.replace(plain.site, timezone=zone))
    as_of = datetime.combine(START + timedelta(days=days), clock(5), UTC)
    used, began = time.process_time(), time.perf_counter()
    rows = DiagnosisLine(Lake(lake), Lake(work), settings, "backtest").profile(as_of)
    profiled = time.perf_counter()
    features = view(window_rows(Lake(work), as_of.date() - timedelta(days=WINDOW_DAYS + 1)), as_of).features
    done, cpu = time.perf_counter(), time.process_time() - used
    daily = Lake(work).scan(DAILY).select(AGREED_DAYS).sum().collect().row(0)
    agreed = (rows, *daily, features.height, *features.select(AGREED_FEATURES).sum().row(0))
    return {
        **dict(zip(AGREED, agreed, strict=True)),
        "seconds": done - began,
        "cpu_s": cpu,
        "profile_s": profiled - began,
        "features_s": done - profiled,
    }


def contestants(lake: Path, folder: Path, days: int, zone: str) -> dict[str, list[str]]:
    """Return the command of each contestant, ours first."""
    readings = str(lake / READINGS.name)
    commands = {
        "metriage": python("-m", "benchmarks.daily_profile", "--make", str(lake), str(folder / "metriage"),
                           "--days", str(days), "--zone", zone),
        "pyarrow": python(str(YARDSTICKS / "arrow_scan.py"), readings, *COLUMNS),
        "pandas": python(str(YARDSTICKS / "pandas_days.py"), readings, str(folder / "pandas")),
    }  # fmt: skip
    if _has_duckdb():
        commands["duckdb"] = [str(COMPARE), str(YARDSTICKS / "duckdb_days.py"), readings, str(folder / "duckdb")]
    return commands


def _has_duckdb() -> bool:
    return any((COMPARE.parent.parent / "lib").glob("python*/site-packages/duckdb"))


def race(lake: Path, days: int, zone: str, rounds: int, against: Sequence[str] = OTHERS) -> Runs:
    """Run every contestant in turn, and return what each run cost and said."""
    runs: Runs = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=lake.parent) as folder:
            for name, command in contestants(lake, Path(folder), days, zone).items():
                if name != "metriage" and name not in against:
                    continue
                figures = run_process(command, MEMORY if name == "metriage" else None)
                runs.setdefault(name, []).append((figures, json.loads(figures.said)))
    return runs


def check(runs: Runs, zone: str) -> None:
    """Check that all contestants came to the same."""
    said = {name: each[0][1] for name, each in runs.items()}
    own = said["metriage"]
    for name in ("pandas", "duckdb"):
        for figure in AGREED if name in said and zone == "UTC" else ():
            told = said[name][figure]
            assert math.isclose(own[figure], told, rel_tol=1e-9), f"{name}: {figure} {told}, ours {own[figure]}"


def lines(meters: int, days: int, zone: str, runs: Runs) -> list[str]:
    """Return the lines of the result."""
    seconds, cpu = (
        {name: statistics.median(told[figure] for _, told in each) for name, each in runs.items()}
        for figure in ("seconds", "cpu_s")
    )
    rows = meters * days
    shown = [
        f"{meters:,} meters x {days} days: {rows * HOURS:,} hourly registers, {rows:,} status readings",
        f"zone {zone}, median of {len(runs['metriage'])}; columns scanned: {', '.join(COLUMNS)}",
    ]
    for name, each in runs.items():
        peak = statistics.median(figures.peak_mb for figures, _ in each)
        shown.append(f"{name:9} {seconds[name]:8.2f} s {cpu[name]:8.2f} s CPU {peak:7,.0f} MB")
    told = [told for _, told in runs["metriage"]]
    profile, features = (statistics.median(each[name] for each in told) for name in ("profile_s", "features_s"))
    shown.append(f"of these: daily rows of {len(DAILY.columns)} columns {profile:.2f} s, features {features:.2f} s")
    for name, goal in GOALS.items():
        if name in runs:
            first, second = ("metriage", name) if name == "pyarrow" else (name, "metriage")
            shown.append(f"{first} takes {seconds[first] / seconds[second]:.2f} x the time of {second} (goal: {goal}), "
                         f"{cpu[first] / cpu[second]:.2f} x its CPU")  # fmt: skip
    return shown


def measure(
    meters: int, days: int, rounds: int, zone: str = "UTC", lake: Path | None = None, against: Sequence[str] = OTHERS
) -> list[str]:
    """Return the lines of the result for a fleet; `lake` is one that was made before."""
    with tempfile.TemporaryDirectory(prefix="metriage-bench-") as folder:
        if lake is None:
            lake = Path(folder) / "lake"
            make_lake(lake, meters, days)
        runs = race(lake, days, zone, rounds, against)
    check(runs, zone)
    return lines(meters, days, zone, runs)


def run(*, smoke: bool) -> list[str]:
    """Return the lines of the result."""
    return measure(200, 8, 1) if smoke else measure(10_000, 90, 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a fleet of any size, or be the contestant."""
    parser = argparse.ArgumentParser(prog="benchmarks.daily_profile", description=__doc__)
    parser.add_argument("--meters", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--zone", default="UTC")
    parser.add_argument("--against", nargs="*", choices=OTHERS, default=OTHERS, help="who else runs")
    parser.add_argument("--lake", type=Path, help="one that benchmarks.fleet_lake made before")
    parser.add_argument("--make", type=Path, nargs=2, metavar=("LAKE", "WORK"), help="be our contestant")
    chosen = parser.parse_args(arguments)
    if chosen.make:
        print(json.dumps(make(*chosen.make, chosen.days, chosen.zone)))
        return
    for line in measure(chosen.meters, chosen.days, chosen.rounds, chosen.zone, chosen.lake, chosen.against):
        print(line)


if __name__ == "__main__":
    main()
