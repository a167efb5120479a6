"""A day's diagnosis on 30, 60, 90 and 365 days of history: it must not cost more the older the site is.

Each fleet of :mod:`benchmarks.fleet_lake` ends on the same day. Its daily rows are made up to the day before and the
lake is compacted, as on a site that has run so long; then a process of its own takes production's step for the last
day: daily rows, features, all rules, causes and forecasts. Features and rules look back at most 60 days, so that up to
60 the window fills and the cost rises with it; beyond, it must be level.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path

from benchmarks.fleet_lake import START, make_lake
from benchmarks.measure import Figures, python, run_process
from ingest.child_process import passing
from lake.compaction import Compaction
from lake.settings import CompactSettings
from lake.tables import Lake
from metriage.diagnosing import DiagnosisLine
from metriage.settings import Settings

LAST_DAY = 365
HISTORIES = (30, 60, 90, 365)


def as_of(day: int) -> datetime:
    """Return the time by which the last message of a day since START is in."""
    return datetime.combine(START + timedelta(days=day), clock(5), UTC)


def prepare(folder: Path, meters: int, days: int, last: int = LAST_DAY) -> None:
    """Make a lake with so many days of history before the last day, and diagnose all but that."""
    lake = make_lake(folder, meters, days, first=last - days)
    DiagnosisLine(lake, lake, Settings(), "live").step(as_of(last - 1))
    Compaction(lake, CompactSettings(small_files=2), actor="benchmark").run()


def step(folder: Path, last: int = LAST_DAY) -> dict[str, float]:
    """Take the step of the last day, and tell how long its parts took."""
    lake = Lake(folder)
    line = DiagnosisLine(lake, lake, Settings(), "live")
    used, began = time.process_time(), time.perf_counter()
    before = line.seen_until
    rows = line.profile(as_of(last))
    profiled = time.perf_counter()
    findings = line.conclude(as_of(last), before).findings.height
    done = time.perf_counter()
    cpu = time.process_time() - used
    return {
        "rows": rows, "findings": findings, "cpu_s": cpu, "profile_s": profiled - began, "conclude_s": done - profiled,
    }  # fmt: skip


def measure(meters: int, histories: Sequence[int], rounds: int, last: int = LAST_DAY) -> list[str]:
    """Return the lines of the result."""
    shown = [f"{meters:,} meters, one day's step, median of {rounds}; without imports"]
    totals = {}
    for days in histories:
        runs: list[tuple[Figures, dict[str, float]]] = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="metriage-bench-") as folder:
                prepare(Path(folder), meters, days, last)
                command = python("-m", "benchmarks.long_history", "--step", folder, "--last", str(last))
                figures = run_process(command, passing())
                runs.append((figures, json.loads(figures.said)))
        profile, conclude, cpu = (
            statistics.median(told[name] for _, told in runs) for name in ("profile_s", "conclude_s", "cpu_s")
        )
        peak = statistics.median(figures.peak_mb for figures, _ in runs)
        totals[days] = cpu
        shown.append(f"{days:4} days of history: daily rows {profile:5.2f} s, features and rules {conclude:5.2f} s, "
                     f"{cpu:6.2f} s CPU, {peak:6,.0f} MB")  # fmt: skip
    first, *_, longest = totals
    shown.append(f"CPU on {longest} days / on {first}: {totals[longest] / totals[first]:.2f}")
    return shown


def run(*, smoke: bool) -> list[str]:
    """Return the lines of the result."""
    return measure(50, (4, 8), 1, last=8) if smoke else measure(10_000, HISTORIES, 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a fleet of any size, or be the process that takes the step."""
    parser = argparse.ArgumentParser(prog="benchmarks.long_history", description=__doc__)
    parser.add_argument("--meters", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--histories", type=int, nargs="+", default=HISTORIES)
    parser.add_argument("--last", type=int, default=LAST_DAY, help="the day that is diagnosed, counted from the first")
    parser.add_argument("--step", type=Path, metavar="LAKE", help="only take the step")
    chosen = parser.parse_args(arguments)
    if chosen.step:
        print(json.dumps(step(chosen.step, chosen.last)))
        return
    for line in measure(chosen.meters, chosen.histories, chosen.rounds, chosen.last):
        print(line)


if __name__ == "__main__":
    main()
