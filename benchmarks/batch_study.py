"""Do batch findings hold up? Thousands of fleets whose bad lots are known, judged by four methods side by side.

``python -m benchmarks batch_study`` prints every table of docs/batches.md; ``--runs 300``, ``--look-runs 60`` and
``--only TABLE`` choose less. ``--scale`` measures 1,000,000 meters in 5,000 lots at 52 looks instead.

The reference set-up is the one that stratification was first compared in: 200 lots of lognormal size around 300, five
of them with three times the rate; 0.6 % of the meters fail in 90 days, four times as many in the cold; the share of a
lot that stands in the cold is Beta(0.4, 1.6); rates spread as gamma(20). Figures of simulations are called so.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from diagnostics.batches import BatchSettings, Look, assess, exposure
from diagnostics.batches.discoveries import discrete_q_values
from diagnostics.batches.tails import upper_tail

Floats = NDArray[np.float64]
Calls = NDArray[np.bool_]
START = date(2026, 1, 1)
LEVEL = 0.10
TABLES = ("one_look", "regions", "looks", "separable")


@dataclass(frozen=True, slots=True)
class Setting:
    """A kind of fleet.

    Parameters
    ----------
    name : str
        What is special about it.
    days : int
        How long it is seen [days].
    effect : float
        Ratio of the rate of bad lots to that of others.
    lots, bad : int
        How many lots there are, and how many of them are bad.
    size, size_spread : float
        Median meters of a lot and standard deviation of its logarithm.
    cold : tuple of float
        Beta distribution of the share of a lot that stands in the cold.
    shape : float
        Gamma shape of how rates spread; 0 means not at all.
    by_lot : bool
        Whether rates spread from lot to lot; else from each lot and stratum to the next.
    share : float
        Share of meters in the warm that fail in 90 days.
    cold_ratio : float
        By how much more meters fail in the cold.
    """

    name: str
    days: int = 90
    effect: float = 3.0
    lots: int = 200
    bad: int = 5
    size: float = 300.0
    size_spread: float = 0.6
    cold: tuple[float, float] = (0.4, 1.6)
    shape: float = 20.0
    by_lot: bool = False
    share: float = 0.006
    cold_ratio: float = 4.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is to be seen of one fleet, and what is true; arrays of shape (strata, lots).

    Parameters
    ----------
    meters : ndarray of int
    rates : ndarray of float
        True failures a day at risk.
    bad : ndarray of bool, shape (lots,)
    ratio : ndarray of float, shape (lots,)
        True rate to that of an ordinary lot in the same strata.
    """

    meters: NDArray[np.int64]
    rates: Floats
    bad: Calls
    ratio: Floats


def fleet_of(setting: Setting, generator: np.random.Generator) -> Fleet:
    """Draw a fleet."""
    size = np.maximum(generator.lognormal(np.log(setting.size), setting.size_spread, setting.lots), 1).astype(np.int64)
    cold = generator.binomial(size, generator.beta(*setting.cold, setting.lots))
    meters = np.stack([size - cold, cold])
    ratio = np.ones((2, setting.lots))
    if setting.shape:
        drawn = generator.gamma(setting.shape, 1 / setting.shape, (1 if setting.by_lot else 2, setting.lots))
        ratio = ratio * drawn
    bad = np.arange(setting.lots) < setting.bad
    ratio[:, bad] *= setting.effect
    usual = setting.share / 90 * np.array([[1.0], [setting.cold_ratio]])
    weight = meters * usual
    return Fleet(meters, usual * ratio, bad, np.sum(weight * ratio, axis=0) / np.sum(weight, axis=0))


def cells_of(meters: NDArray[np.int64], failures: NDArray[np.int64], days: int) -> pl.DataFrame:
    """Return the cells of a fleet as the analysts' API takes them."""
    lots = meters.shape[1]
    frame = pl.DataFrame(
        {
            "group": [f"lot{number:04}" for number in range(lots)] * 2,
            "cold": [False] * lots + [True] * lots,
            "devices": meters.ravel(),
            "days": meters.ravel() * days,
            "failures": failures.ravel(),
            "since": START,
            "until": START + timedelta(days),
        }
    )
    return frame.filter(pl.col("days") > 0)


def benjamini_hochberg(p_values: Floats) -> Calls:
    """Return which of them are called at a false-discovery share of :data:`LEVEL`."""
    return np.asarray(stats.false_discovery_control(p_values) <= LEVEL)


def twice_the_fleet(meters: Floats, failures: Floats) -> Calls:
    """Call lots with more than twice the rate of the fleet: what spreadsheets do."""
    rate = failures.sum() / meters.sum()
    return np.asarray(failures.sum(axis=0) > 2 * rate * meters.sum(axis=0))


def unstratified(meters: Floats, failures: Floats) -> Calls:
    """Test each lot against the rate of the fleet."""
    expected = meters.sum(axis=0) * failures.sum() / meters.sum()
    return benjamini_hochberg(stats.poisson.sf(failures.sum(axis=0) - 1, expected))


def stratified(meters: Floats, failures: Floats) -> Calls:
    """Test each lot against the rates of the fleet in the cold and in the warm."""
    rates = failures.sum(axis=1) / np.maximum(meters.sum(axis=1), 1)
    return benjamini_hochberg(stats.poisson.sf(failures.sum(axis=0) - 1, rates @ meters))


BASELINES: dict[str, Callable[[Floats, Floats], Calls]] = {
    "rate > 2 x fleet": twice_the_fleet,
    "Poisson, BH": unstratified,
    "stratified Poisson, BH": stratified,
}
OURS = "metriage"
GIVEN = "true rates given"


def true_rates_given(setting: Setting, fleet: Fleet, failures: Floats) -> Calls:
    """Test each lot against the true rates of ordinary ones and their true spread: what nobody has."""
    usual = setting.share / 90 * np.array([1.0, setting.cold_ratio])
    expected = usual @ fleet.meters * setting.days
    observed = failures.sum(axis=0)
    spread = np.full(expected.size, 1 / setting.shape if setting.shape else 0.0)
    tails = np.where(observed >= 3, upper_tail(observed, expected, spread), 1.0)
    return np.asarray(discrete_q_values(tails, expected, spread, 3) <= LEVEL)


REFERENCE = Setting("reference set-up")
SETTINGS = (
    REFERENCE,
    replace(REFERENCE, days=180),
    replace(REFERENCE, days=360),
    replace(REFERENCE, name="rates spread by lot", by_lot=True),
    replace(REFERENCE, name="rates spread by lot", by_lot=True, days=180),
    replace(REFERENCE, name="rates spread by lot", by_lot=True, days=360),
    replace(REFERENCE, name="rates spread more, by lot", by_lot=True, shape=5.0, days=180),
    replace(REFERENCE, name="no spread", shape=0.0),
    replace(REFERENCE, name="twice the rate", effect=2.0, days=180),
    replace(REFERENCE, name="five times the rate", effect=5.0),
    replace(REFERENCE, name="lots around 60", size=60.0, days=180),
    replace(REFERENCE, name="lots around 1000", size=1000.0),
    replace(REFERENCE, name="lots wholly warm or cold", cold=(0.05, 0.2), days=180),
    replace(REFERENCE, name="ten times in the cold", cold_ratio=10.0, days=180),
    replace(REFERENCE, name="20 lots, one bad", lots=20, bad=1, days=180),
    replace(REFERENCE, name="no bad lot", bad=0, days=180),
)


def one_look(runs: int, settings: Sequence[Setting] = SETTINGS) -> Iterator[str]:
    """Yield what a single look finds: recall and false-discovery share of each method, coverage of our intervals."""
    yield (
        f"{'one look':28}{'days':>5}{'runs':>5}  {'method':24}{'recall':>8}{'false share':>13}{'pooled':>8}"
        f"{'watch':>8}{'coverage':>10}"
    )
    for setting in settings:
        tallies = {name: Tally() for name in (*BASELINES, GIVEN, OURS)}
        for run in range(runs):
            generator = np.random.default_rng([run, setting.days, int(setting.size)])
            fleet = fleet_of(setting, generator)
            failures = generator.poisson(fleet.meters * fleet.rates * setting.days)
            for name, method in BASELINES.items():
                tallies[name].add(method(fleet.meters.astype(float), failures.astype(float)), fleet.bad)
            tallies[GIVEN].add(true_rates_given(setting, fleet, failures.astype(float)), fleet.bad)
            found = assess(cells_of(fleet.meters, failures, setting.days), strata=["cold"]).sort("group")
            lot = found["group"].str.slice(3).cast(pl.Int64).to_numpy()
            ratio = fleet.ratio[lot]
            within = (found["ratio_low"].to_numpy() <= ratio) & (ratio <= found["ratio_high"].to_numpy())
            tallies[OURS].add(
                (found["verdict"] == "act").to_numpy(), fleet.bad[lot],
                found["verdict"].is_in(["act", "watch"]).to_numpy(), within,
            )  # fmt: skip
        for name, tally in tallies.items():
            yield f"{setting.name:28}{setting.days:5}{runs:5}  {name:24}{tally.told()}"


class Tally:
    """Counts of calls over runs."""

    def __init__(self) -> None:
        self.hits = self.false = self.bad = self.watched = 0
        self.shares: list[float] = []
        self.covered: list[float] = []

    def add(self, called: Calls, bad: Calls, watched: Calls | None = None, within: Calls | None = None) -> None:
        """Count one run."""
        false = int(np.sum(called & ~bad))
        self.hits += int(np.sum(called & bad))
        self.false += false
        self.bad += int(bad.sum())
        self.shares.append(false / max(int(called.sum()), 1))
        if watched is not None and within is not None:
            self.watched += int(np.sum(watched & bad))
            self.covered.append(float(within.mean()))

    @property
    def false_share(self) -> float:
        """Mean share of false calls of a run, what Benjamini-Hochberg bounds; a run without calls has none."""
        return float(np.mean(self.shares))

    @property
    def recall(self) -> float:
        """Share of the bad lots that was called."""
        return self.hits / self.bad if self.bad else float("nan")

    def told(self) -> str:
        """Return the figures as a line."""
        pooled = self.false / max(self.false + self.hits, 1)
        line = f"{self.recall:8.2f}{self.false_share:13.3f}{pooled:8.2f}"
        if self.covered:
            line += f"{self.watched / max(self.bad, 1):8.2f}{np.mean(self.covered):10.3f}"
        return line


def looks(runs: int, count: int = 52) -> Iterator[str]:
    """Yield what weekly looks of a year find: calls at any look count."""
    yield (
        f"{'weekly looks':28}{'looks':>6}{'runs':>5}  {'method':26}{'recall':>8}{'false share':>13}"
        f"{'false acts/fleet':>18}{'fleets with one':>17}{'day of call':>13}"
    )
    weekly_look = Look(every_days=7, horizon=count)
    for setting in (replace(REFERENCE, name="no bad lot", bad=0), REFERENCE):
        # What looking again costs who does not count it: told once, on the fleets where every call is false.
        uncounted = {"metriage, each look alone": None} if setting.bad == 0 else {}
        ways: dict[str, Look | None] = {**uncounted, OURS: weekly_look}
        tallies = {name: LookTally() for name in ("stratified Poisson, BH", *ways)}
        for run in range(runs):
            generator = np.random.default_rng([run, count, 7])
            fleet = fleet_of(setting, generator)
            weekly = generator.poisson(np.broadcast_to(fleet.meters * fleet.rates * 7, (count, *fleet.meters.shape)))
            first = {name: np.full(setting.lots, np.inf) for name in tallies}
            for number, so_far in enumerate(np.cumsum(weekly, axis=0), start=1):
                acts = {"stratified Poisson, BH": stratified(fleet.meters.astype(float), so_far.astype(float))}
                for name, look in ways.items():
                    found = assess(cells_of(fleet.meters, so_far, 7 * number), strata=["cold"], look=look)
                    lots = found.filter(pl.col("verdict") == "act")["group"].str.slice(3).cast(pl.Int64).to_numpy()
                    acts[name] = np.isin(np.arange(setting.lots), lots)
                for name, called in acts.items():
                    first[name][called] = np.minimum(first[name][called], 7 * number)
            for name, tally in tallies.items():
                tally.add(first[name], fleet.bad)
        for name, tally in tallies.items():
            yield f"{setting.name:28}{count:6}{runs:5}  {name:26}{tally.told()}"


class LookTally:
    """Counts of first calls over runs."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.false: list[int] = []
        self.days: list[float] = []

    def add(self, first: Floats, bad: Calls) -> None:
        """Count one fleet by the day on which each lot was first called."""
        called = np.isfinite(first)
        self.tally.add(called, bad)
        self.false.append(int(np.sum(called & ~bad)))
        self.days.extend(first[called & bad].tolist())

    def told(self) -> str:
        """Return the figures as a line."""
        false = np.array(self.false)
        day = float(np.median(self.days)) if self.days else float("nan")
        return (
            f"{self.tally.recall:8.2f}{self.tally.false_share:13.3f}{false.mean():18.2f}{np.mean(false > 0):17.2f}"
            f"{day:13.0f}"
        )


def regions(runs: int) -> Iterator[str]:
    """Yield what is found where regions differ for unknown reasons as gamma(4), and each lot lives in three of them."""
    yield f"{'regions differ':28}{'days':>5}{'runs':>5}  {'method':24}{'recall':>8}{'false share':>13}{'pooled':>8}"
    lots, count, days = 150, 25, 180
    tallies = {name: Tally() for name in (*BASELINES, "metriage, without places", OURS)}
    for run in range(runs):
        generator = np.random.default_rng([run, 25])
        effect = generator.gamma(4, 1 / 4, count)
        lives = np.stack([generator.choice(count, 3, replace=False) for _ in range(lots)])
        meters = np.maximum(generator.lognormal(np.log(130), 0.5, lives.shape), 1).astype(np.int64)
        bad = np.arange(lots) < 5
        cold = lives < 5
        rate = 0.006 / 90 * np.where(cold, 4.0, 1.0) * effect[lives] * np.where(bad, 3.0, 1.0)[:, None]
        rate *= generator.gamma(20, 1 / 20, (lots, 1))
        failures = generator.poisson(meters * days * rate)
        for name, method in BASELINES.items():
            by_cold = [np.stack([np.sum(part * (cold == side), axis=1) for side in (False, True)]).astype(float)
                       for part in (meters, failures)]  # fmt: skip
            tallies[name].add(method(*by_cold), bad)
        cells = pl.DataFrame(
            {
                "group": np.repeat([f"lot{number:04}" for number in range(lots)], 3),
                "region": lives.ravel(),
                "cold": cold.ravel(),
                "devices": meters.ravel(),
                "days": meters.ravel() * days,
                "failures": failures.ravel(),
            }
        )
        for name, places in (("metriage, without places", []), (OURS, ["region"])):
            found = assess(cells, strata=["cold"], places=places).sort("group")
            tallies[name].add((found["verdict"] == "act").to_numpy(), bad)
    for name, tally in tallies.items():
        yield f"{'regions differ':28}{days:5}{runs:5}  {name:24}{tally.told()}"


REGIONS = 12
COLD_REGIONS = 3
CASES = {
    "bad lot in shared regions": "act",
    "bad lot, mostly in the cold, shared": "act",
    "good lot in shared cold regions": "normal",
    "good lot in a bad region it shares": "normal",
    "bad lot alone in its region": "not_separable",
    "good lot alone in a bad region": "not_separable",
    "lot alone in the only cold region": "not_separable",
    "bad lot alone in five regions": "act",
    "good lot alone in its region": "normal",
    "good lot, alone in a bad region, elsewhere shared": "normal",
}


def separable(runs: int) -> Iterator[str]:
    """Yield what is said of one lot whose place is shared, or not."""
    head = "".join(f"{verdict:>15}" for verdict in ("act", "watch", "normal", "not_separable"))
    yield f"{'what is true of the lot':52}{'runs':>5}{head}  right"
    for case, right in CASES.items():
        said = {"act": 0, "watch": 0, "normal": 0, "not_separable": 0}
        for run in range(runs):
            generator = np.random.default_rng([run, len(case)])
            found = assess(_regional(case, generator), strata=["cold"], places=["region"])
            said[found.filter(pl.col("group") == "lot")["verdict"].item()] += 1
        told = "".join(f"{count / runs:15.2f}" for count in said.values())
        yield f"{case:52}{runs:5}{told}  {right}"


def _regional(case: str, generator: np.random.Generator) -> pl.DataFrame:
    """Draw 60 ordinary lots in 12 regions that differ somewhat, and the lot in question; 180 days."""
    alone = "alone" in case
    cold_regions = 0 if "only cold" in case else COLD_REGIONS
    places = np.arange(REGIONS)
    effect = generator.gamma(20, 1 / 20, REGIONS + 5)
    rows = []
    for number in range(60):
        lives = generator.choice(places, size=int(generator.integers(1, 5)), replace=False)
        rows += [
            (f"other{number:02}", int(region), int(generator.lognormal(np.log(120), 0.5)), 1.0) for region in lives
        ]
    cold = places < cold_regions
    where = {
        "good lot in shared cold regions": [0, 1, 2],
        "bad lot, mostly in the cold, shared": [0, 1, 2, 7],
        "good lot in a bad region it shares": [5],
        "good lot, alone in a bad region, elsewhere shared": [REGIONS, 6, 7, 8, 9, 10, 11],
        "bad lot alone in five regions": list(range(REGIONS, REGIONS + 5)),
    }.get(case, [REGIONS] if alone else [4, 5, 6, 7])
    if case in ("good lot alone in a bad region", "good lot, alone in a bad region, elsewhere shared"):
        effect[REGIONS] = 4.0
    if case == "good lot in a bad region it shares":
        effect[5] = 4.0
    size = 1200 // len(where)
    rows += [("lot", region, size, 4.0 if case.startswith("bad") else 1.0) for region in where]
    frame = pl.DataFrame(rows, schema=["group", "number", "devices", "ratio"], orient="row")
    number = frame["number"].to_numpy()
    in_cold = np.append(cold, np.full(5, "only cold" in case))[number]
    spread = generator.gamma(20, 1 / 20, frame.height)
    rate = 0.006 / 90 * np.where(in_cold, 4.0, 1.0) * effect[number] * spread * frame["ratio"].to_numpy()
    return frame.select(
        "group", pl.format("R{}", "number").alias("region"), pl.Series("cold", in_cold), "devices",
        (pl.col("devices") * 180).alias("days"),
        pl.Series("failures", generator.poisson(frame["devices"].to_numpy() * 180 * rate)),
    )  # fmt: skip


def scale(meters: int = 1_000_000, lots: int = 5_000, count: int = 52) -> Iterator[str]:
    """Yield time and memory of weekly looks at a large fleet, from the device table each time."""
    generator = np.random.default_rng(1)
    lot = np.sort(generator.integers(0, lots, meters))
    region = (lot * 7 + generator.integers(0, 4, meters)) % 40
    cold = (region < 8) & (generator.random(meters) < 0.7)
    entered = generator.integers(0, 200, meters)
    rate = 0.006 / 90 * np.where(cold, 4.0, 1.0) * np.where(lot % 500 == 7, 5.0, 1.0)
    fails = entered + np.ceil(generator.exponential(1 / rate)).astype(np.int64)
    end = 7 * count
    day = pl.lit(START)
    devices = pl.DataFrame({"lot": lot, "number": np.arange(meters), "region": region, "cold": cold,
                            "entered": entered, "fails": np.minimum(fails, 10 * end)}).select(
        pl.format("m{}", "number").alias("device"), pl.format("lot{}", "lot").alias("group"), "region", "cold",
        (day + pl.duration(days="entered")).alias("entered"), (day + pl.duration(days="fails")).alias("fails"),
    )  # fmt: skip
    began = time.perf_counter()
    acts: pl.DataFrame | None = None
    cells_s = 0.0
    for number in range(1, count + 1):
        as_of = START + timedelta(7 * number)
        step = time.perf_counter()
        seen = devices.filter(pl.col("entered") < as_of).with_columns(
            pl.lit(as_of).alias("left"), pl.when(pl.col("fails") < as_of).then("fails").alias("failed")
        )
        cells = exposure(seen, ["cold", "region"])
        cells_s += time.perf_counter() - step
        acts = assess(cells, strata=["cold"], places=["region"], look=Look()).filter(pl.col("verdict") == "act")
    wall = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert acts is not None
    bad = acts["group"].str.slice(3).cast(pl.Int64) % 500 == 7
    yield (
        f"{meters:,} meters, {lots:,} lots, {count} looks: {wall:.0f} s ({cells_s:.0f} s of it exposure), "
        f"{peak_mb:.0f} MB at most; last look: {acts.height} act, of them "
        f"{int(bad.sum())} of {len(range(7, lots, 500))} bad lots"
    )


def run(*, smoke: bool) -> Iterator[str]:
    """Yield every table; with `smoke` of two runs each."""
    yield from one_look(2 if smoke else 300, SETTINGS[:1] if smoke else SETTINGS)
    yield from regions(2 if smoke else 300)
    yield from looks(1 if smoke else 60, 3 if smoke else 52)
    yield from separable(1 if smoke else 300)
    if smoke:
        yield from scale(3000, 20, 2)


def main(arguments: Sequence[str]) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="benchmarks batch_study", description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="fleets of each setting")
    parser.add_argument("--look-runs", type=int, default=60, help="fleets looked at each week of a year")
    parser.add_argument("--only", choices=TABLES, nargs="+", default=list(TABLES), help="the tables to make")
    parser.add_argument("--scale", action="store_true", help="measure a large fleet instead")
    parser.add_argument("--smoke", action="store_true", help="little of everything: only that it still works")
    given = parser.parse_args(arguments)
    if given.smoke:
        lines = run(smoke=True)
    elif given.scale:
        lines = scale()
    else:
        made: dict[str, Callable[[], Iterator[str]]] = {
            "one_look": lambda: one_look(given.runs),
            "regions": lambda: regions(given.runs),
            "looks": lambda: looks(given.look_runs),
            "separable": lambda: separable(given.runs),
        }
        settings = BatchSettings()
        print(f"declared: false share of act {settings.act_false_share}, of act and watch {settings.watch_false_share}")
        lines = (line for name in given.only for line in made[name]())
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main([])
