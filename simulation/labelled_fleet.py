"""A labelled fleet: thousands of meters through a season, written as the files a site would have, and the truth."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lake.errors import UsageError
from simulation.block_life import BlockResult, live_through
from simulation.calendar_hours import Calendar
from simulation.estate import make_estate, succeed
from simulation.fault_plan import FaultPlan, World, plan_faults
from simulation.happenings import make_happenings
from simulation.meter_block import MeterBlock
from simulation.paperwork import Paperwork, registry_rows, weather_rows, works_rows, write_rows
from simulation.parameters import Draws, Ints
from simulation.regional_weather import make_weather
from simulation.scenarios import Scenario
from simulation.vendors import without

FORMAT = 1  # of the fleet; another number may mean other bytes from the same seed
MOST_DAYS, LEAST_DAYS = 1500, 30
_BLOCK_HOURS = 900_000  # meters times hours of a block: what bounds memory
_ROW_GROUP = 20_000

_README = """\
# A synthetic fleet

Every meter, reading, customer and technician in this folder was made by `metriage simulate`: nothing was measured
anywhere. Meter ids begin with `synthetic-`, every payload carries `"synthetic": true`. Figures found on it are figures
from simulation.

`truth.csv` says what is wrong with which meter, `truth_culprits.csv` which lots, firmwares and installers are behind
it: for judging only, nothing else here may know them. `fleet.json` says how the fleet was made.
"""


@dataclass(frozen=True, slots=True)
class FleetOrder:
    """What to make.

    Parameters
    ----------
    scenario : Scenario
        Ranges, vendors, season and zone.
    meters, days : int
        Size.
    seed : int
        The same order gives the same bytes.
    start : date
        First local day.
    without : tuple of str
        Signals that no vendor sends; everything else stays as it is with them.
    """

    scenario: Scenario
    meters: int
    days: int
    seed: int
    start: date
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.meters <= 1_000_000:
            raise UsageError(f"{self.meters} meters; make 1 to 1,000,000")
        if not LEAST_DAYS <= self.days <= MOST_DAYS:
            raise UsageError(f"{self.days} days; make {LEAST_DAYS} to {MOST_DAYS}, faults take weeks to show")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"seed {self.seed}; take a whole number from 0 to 4294967295")
        if not 2000 <= self.start.year <= 2090:
            raise UsageError(f"a record that starts on {self.start}; take a day between 2000 and 2090")
        without(self.scenario.vendors, self.without)  # says which signals there are


def write_fleet(order: FleetOrder, folder: Path, progress: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """Make a fleet and write its files into `folder`; return what was made.

    Parameters
    ----------
    order : FleetOrder
        What to make.
    folder : Path
        Must exist; files of the same names are replaced.
    progress : callable
        Told how many meters are done since it was told last.
    """
    calendar = Calendar(order.start, order.days, order.scenario.zone)
    draws = Draws(order.scenario.ranges, np.random.default_rng([order.seed, 0]))
    estate = make_estate(order.meters, without(order.scenario.vendors, order.without), calendar, draws)
    weather = make_weather(calendar, len(estate.regions), draws)
    world = World(calendar, estate, weather, make_happenings(calendar, estate, weather, draws))
    plan = plan_faults(world, draws)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as scratch:
        results = list(_blocks(order, world, plan, np.arange(estate.size), Path(scratch), progress))
        world, plan = _with_successors(world, plan, results, draws)
        new = np.arange(estate.size, world.estate.size)
        results += _blocks(order, world, plan, new, Path(scratch), progress)
        count = _merge(Path(scratch), calendar, folder / "readings.jsonl")
    papers = Paperwork(world, plan, results, Draws(order.scenario.ranges, np.random.default_rng([order.seed, 1])))
    write_rows(folder / "registry.csv", registry_rows(world))
    write_rows(folder / "weather.csv", weather_rows(world))
    write_rows(folder / "works.csv", works_rows(world))
    write_rows(folder / "inspections.csv", papers.inspections())
    write_rows(folder / "reports.csv", papers.reports())
    truths = papers.truths()
    write_rows(folder / "truth.csv", truths)
    write_rows(folder / "truth_culprits.csv", papers.culprits())
    (folder / "README.md").write_text(_README, encoding="utf-8")
    document = _document(order, world, truths, papers, count, sum(each.quarantined for each in results))
    (folder / "fleet.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return document


def _with_successors(
    world: World, plan: FaultPlan, results: list[BlockResult], draws: Draws
) -> tuple[World, FaultPlan]:
    """Return the fleet with a new meter for each that was exchanged, for its age or because it failed."""
    hours = world.calendar.hours
    aged = np.flatnonzero(world.estate.last_hour < hours)
    failed = np.concatenate([each.outcome.meter[each.outcome.exchanged] for each in results])
    visited = np.concatenate([each.outcome.visited[each.outcome.exchanged] for each in results])
    old = np.append(aged, failed)
    taken_out = np.append(world.estate.last_hour[aged], visited.astype(np.int64))
    order = np.argsort(old)
    estate = succeed(world.estate, old[order], taken_out[order], world.calendar, draws)
    return replace(world, estate=estate), plan.extended(estate.size)


def _blocks(
    order: FleetOrder, world: World, plan: FaultPlan, meters: Ints, scratch: Path, progress: Callable[[int], None]
) -> Iterator[BlockResult]:
    """Work through meters block by block; messages go to a file of their own, in order of receipt."""
    size = max(_BLOCK_HOURS // world.calendar.hours, 1)
    for place in range(0, len(meters), size):
        block = meters[place : place + size]
        draws = Draws(order.scenario.ranges, np.random.default_rng([order.seed, 2, int(block[0])]))
        result = live_through(MeterBlock(world, plan, block, draws))
        file = scratch / f"{int(block[0]):09d}.parquet"
        result.messages.write_parquet(file, row_group_size=_ROW_GROUP, compression="lz4")
        progress(len(block))
        yield replace(result, messages=result.messages.clear())


def _merge(scratch: Path, calendar: Calendar, target: Path) -> int:
    """Write the messages of all blocks in order of receipt, a day at a time; return how many."""
    messages = pl.scan_parquet(scratch / "*.parquet")
    edges = [None, *(int(calendar.start_s + hour * 3600) * 1000 for hour in calendar.day_start[1:]), None]
    count = 0
    with target.open("wb") as file:
        for first, last in itertools.pairwise(edges):
            part = messages
            if first is not None:
                part = part.filter(pl.col("received_ms") >= first)
            if last is not None:
                part = part.filter(pl.col("received_ms") < last)
            day = part.collect().sort("received_ms", "name", "line")
            count += day.height
            day.select("line").write_csv(file, include_header=False, quote_style="never")
    return count


def _document(
    order: FleetOrder, world: World, truths: list[dict[str, Any]], papers: Paperwork, messages: int, quarantined: int
) -> dict[str, Any]:
    by: dict[str, dict[str, int]] = {}
    for row in truths:
        causes = by.setdefault(row["fault"], {})
        causes[row["cause"]] = causes.get(row["cause"], 0) + 1
    meters = len({row["meter_id"] for row in truths})
    return {
        "synthetic": True,
        "format": FORMAT,
        "scenario": order.scenario.name,
        "seed": order.seed,
        "meters": order.meters,
        "days": order.days,
        "start": order.start.isoformat(),
        "timezone": order.scenario.zone,
        "regions": list(world.estate.regions),
        "module_vendors": [each.name for each in world.estate.vendors],
        "without": list(order.without),
        "ranges": {name: list(span) for name, span in order.scenario.ranges.items()},
        "messages": messages,
        "meant_for_quarantine": quarantined,
        "exchanged_meters": world.estate.size - order.meters,
        "faulty_meters": meters,
        "incidence": round(meters / order.meters, 4),
        "faults": {fault: dict(sorted(causes.items())) for fault, causes in sorted(by.items())},
        "detectable": sum(row["detectable"] for row in truths),
        "culprits": len(papers.culprits()),
    }
