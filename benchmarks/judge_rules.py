"""How good the rules are on labelled fleets, in the words of docs/contract.md, section 7; made to be run often.

``python -m benchmarks judge_rules --fleet DIR`` or ``--simulator NAME --meters N --seeds 1 2``. ``--reuse`` keeps the
ingested site and its daily rows, so that after a change of rules only the diagnoses are made again. ``--without``
judges each fleet once more with a signal missing. ``--out DIR`` writes every false act, miss, hit and breakdown.
Whoever tunes is in haste: ``--every 3 --healthy 300 --faults battery`` leaves out what he need not see.

Figures of simulated fleets are figures of simulated fleets.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks.fleets import ALL_SIGNALS, MISSING, MISSING_FILES, SIMULATORS, Fleet, meters_of, simulated, site_of
from benchmarks.rejudging import days_of, ends_of, findings_over, groups_at, kept_daily_rows, showing
from data import samples
from lake.vocabulary import BATCH_VERDICTS, FAULTS
from models.judging import ALL, LotScores, Scores, bad_lots, judge, judge_lots, pooled

_KEPT = Path(tempfile.gettempdir()) / "metriage-judged"
_SHOWN = 15

_HEAD = (
    f"{'':18}{'truths':>7}{'due':>5}{'hits':>6}{'missed':>7}{'false':>6}{'precision':>11}{'recall':>8}{'own word':>10}"
    f"{'lead p50':>10}{'p10 [d]':>9}{'cause':>8}{'false/1000·30d':>16}"
)


@dataclass(frozen=True, slots=True)
class Judged:
    """One fleet, judged.

    Parameters
    ----------
    fleet : str
        Its name.
    missing : str
        What is missing from it, or ``all signals``.
    scores : Scores
        What came of it.
    lots : LotScores
        The same of its lots.
    groups : polars.DataFrame
        Batch findings of the last diagnosis, those that stand out or are bad lots.
    made_s, diagnosed_s : float
        Time for site and daily rows, and for all diagnoses [s].
    diagnoses : int
        How many there were.
    """

    fleet: str
    missing: str
    scores: Scores
    lots: LotScores
    groups: pl.DataFrame
    made_s: float
    diagnosed_s: float
    diagnoses: int


@dataclass(frozen=True, slots=True)
class Haste:
    """What is left out for an answer sooner; figures for people who tune, for nobody else.

    Parameters
    ----------
    every : int
        Days between the diagnoses.
    healthy : int, optional
        So many of the healthy meters beside all faulty ones; peers are fewer, precision looks better than it is.
    faults : tuple of str
        Only these faults; default: all.
    """

    every: int = 1
    healthy: int | None = None
    faults: tuple[str, ...] = ()

    def told(self) -> str:
        """Return what is left out, in words; empty where nothing is."""
        parts = [
            f"only {' and '.join(self.faults)}" if self.faults else "",
            f"only {self.healthy} healthy meters" if self.healthy is not None else "",
            f"every {self.every} days" if self.every > 1 else "",
        ]
        return ", ".join(filter(None, parts))

    def meters(self, meters: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
        """Return the meters to look at."""
        if self.healthy is None:
            return meters
        faulty = pl.col("meter_id").is_in(truth["meter_id"].unique().implode())
        healthy = meters.filter(~faulty).sort("meter_id")
        return pl.concat([meters.filter(faulty), healthy.sample(min(self.healthy, healthy.height), seed=1)])


def judged(
    fleet: Fleet,
    missing: str | None,
    folder: Path,
    settings: str = "",
    haste: Haste = Haste(),
) -> Judged:
    """Take in a fleet, diagnose it day by day and judge the findings.

    Parameters
    ----------
    fleet : Fleet
        Readings and truth.
    missing : str, optional
        Signal or file to leave out.
    folder : Path
        Where the site of this fleet is made, or lies from an earlier run.
    settings : str
        More lines of ``metriage.toml``.
    haste : Haste
        What to leave out.
    """
    began = time.perf_counter()
    site = site_of(fleet, missing, folder, settings)
    days = days_of(site)
    times = ends_of(days, site.settings.site.timezone)
    rows = kept_daily_rows(site, times, folder / "days.parquet", showing(f"{fleet.folder.name}: daily rows"))
    made = time.perf_counter()
    truth = fleet.truth()
    meters = haste.meters(meters_of(fleet, site), truth)
    seen = rows.filter(pl.col("meter_id").is_in(meters["meter_id"].implode()))
    times = times[haste.every - 1 :: haste.every]
    findings = findings_over(site, seen, times, showing(f"{fleet.folder.name}: diagnoses"), haste.faults)
    if haste.faults:
        # Truths of other faults still excuse what they excuse, but nobody looks for them.
        sought = pl.col("fault").is_in(haste.faults)
        truth, findings = truth.with_columns(pl.col("detectable") & sought), findings.filter(sought)
    scores = judge(truth, findings, days[0], days[-1], meters)
    groups = groups_at(site, seen, findings, times[-1])
    bad = bad_lots(fleet.truth(), meters)
    lots = judge_lots(bad, groups)
    truly = pl.struct("key", "fault").is_in(bad.select(pl.struct("key", "fault")).to_series().implode())
    told = (pl.col("verdict") != "normal") | ((pl.col("scope") == "production_batch") & truly)
    done = time.perf_counter()
    name = f"{fleet.folder.name} ({haste.told()})" if haste.told() else fleet.folder.name
    return Judged(
        name, missing or ALL_SIGNALS, scores, lots, groups.filter(told), made - began, done - made, len(times)
    )


def lines(results: Sequence[Judged]) -> Iterator[str]:
    """Yield the tables: one a fleet, then all fleets together, by what is missing."""
    for result in results:
        scores = result.scores
        yield (
            f"{result.fleet}, {result.missing}: {scores.meters:,} meters, {scores.meter_days // scores.meters} days; "
            f"made in {result.made_s:.1f} s, {result.diagnoses} diagnoses in {result.diagnosed_s:.1f} s"
        )
        yield from table(scores.faults)
        yield from _reasons(scores)
        yield from _lots(result)
        yield ""
    kinds = list(dict.fromkeys(result.missing for result in results))
    if len(results) > len(kinds):
        for kind in kinds:
            yield f"all fleets, {kind}"
            own = [result for result in results if result.missing == kind]
            yield from table(pooled([result.scores for result in own]))
            yield _called([result.lots for result in own])
            yield ""
    if len(kinds) > 1:
        yield "recall / precision by what is missing"
        yield from _compared(results, kinds)


def table(faults: pl.DataFrame) -> Iterator[str]:
    """Yield the figures by fault, one a line."""
    yield _HEAD
    for row in faults.iter_rows(named=True):
        yield (
            f"{row['fault']:18}{row['truths']:>7}{row['due']:>5}{row['hits']:>6}{row['misses']:>7}{row['false_acts']:>6}"
            f"{_figure(row['precision']):>11}{_figure(row['recall']):>8}{_figure(row['recall_own_word']):>10}"
            f"{_figure(row['lead_median_d'], 1):>10}{_figure(row['lead_p10_d'], 1):>9}{_figure(row['cause_right']):>8}"
            f"{row['false_rate']:>16.2f}"
        )


def _lots(result: Judged) -> Iterator[str]:
    """Yield which bad lots were found, and every group that stands out."""
    yield _called([result.lots])
    bad = set(result.lots.lots.filter("bad").select("key", "fault").iter_rows())
    order = pl.col("verdict").replace_strict(_VERDICTS, default=9, return_dtype=pl.Int64)
    for row in result.groups.sort(order, "q_value", "scope", "key").head(_SHOWN).iter_rows(named=True):
        truly = row["scope"] == "production_batch" and (row["key"], row["fault"]) in bad
        yield (
            f"    {row['verdict']:14}{row['scope']} {row['key']}, {row['fault']}: {row['observed']} of {row['meters']},"
            f" {row['expected']:.1f} expected, q {row['q_value']:.2g}, cause {row['cause']}{', truly bad' * truly}"
        )


def _called(lots: Sequence[LotScores]) -> str:
    every = pl.concat([each.faults.filter(fault=ALL) for each in lots]).select("hits", "bad", "false_acts").sum()
    hits, bad, false = every.row(0)
    return f"  lots: {hits} of {bad} bad ones called, {false} others called"


_VERDICTS = {name: place for place, name in enumerate(BATCH_VERDICTS)}


def _figure(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _reasons(scores: Scores) -> Iterator[str]:
    """Yield why truths were missed and which rules were wrong, the most frequent first."""
    missed = scores.misses.group_by("fault", "cause", "why").len().sort("len", "fault", descending=[True, False])
    if missed.height:
        told = [
            f"{row['len']} × {row['fault']} by {row['cause']}: {row['why']}" for row in missed.iter_rows(named=True)
        ]
        yield f"  missed: {'; '.join(told[:_SHOWN])}{' …' * (len(told) > _SHOWN)}"
    wrong = scores.rules.filter(pl.col("false_acts") > 0).sort("false_acts", "rule", descending=[True, False])
    if wrong.height:
        told = [f"{row['rule']} {row['false_acts']} of {row['acts']}" for row in wrong.iter_rows(named=True)]
        yield f"  false: {', '.join(told[:_SHOWN])}{' …' * (len(told) > _SHOWN)}"


def _compared(results: Sequence[Judged], kinds: Sequence[str]) -> Iterator[str]:
    faults = results[0].scores.faults["fault"].to_list()
    yield f"{'':20}" + "".join(f"{fault:>18}" for fault in faults) + f"{'false/1000·30d':>18}"
    for kind in kinds:
        rows = pooled([result.scores for result in results if result.missing == kind])
        cells = [f"{_figure(row['recall'])} / {_figure(row['precision'])}" for row in rows.iter_rows(named=True)]
        rate = rows.filter(fault=ALL)["false_rate"].item()
        yield f"{kind:20}" + "".join(f"{cell:>18}" for cell in cells) + f"{rate:>18.2f}"


def write(results: Sequence[Judged], folder: Path) -> None:
    """Write what people who tune rules look at as CSV files, all fleets in each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("faults", "breakdown", "rules", "truths", "false_acts", "misses", "lingering"):
        parts = [
            getattr(result.scores, name).select(
                pl.lit(result.fleet).alias("fleet"), pl.lit(result.missing).alias("missing"), pl.all()
            )
            for result in results
        ]
        rows = pl.concat(parts, how="diagonal")
        lists = [column for column, dtype in rows.schema.items() if dtype == pl.List(pl.String)]
        rows.with_columns(pl.col(lists).list.join("; ")).write_csv(
            folder / f"{name}.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ", float_precision=4
        )


def run(*, smoke: bool) -> list[str]:  # noqa: ARG001 - the sample is small
    """Return the lines of the result on the sample fleet."""
    with tempfile.TemporaryDirectory(prefix="metriage-judge-") as name:
        folder = Path(name)
        return list(lines([judged(sample_fleet(folder / "sample"), None, folder / "work")]))


def sample_fleet(folder: Path) -> Fleet:
    """Return the six simulated meters of ``data/samples`` as a fleet."""
    source = Path(samples.__file__).parent
    folder.mkdir(parents=True)
    shutil.copy2(source / "synthetic_valve_frost.jsonl", folder / "readings.jsonl")
    shutil.copy2(source / "synthetic_valve_frost_truth.csv", folder / "truth.csv")
    return Fleet(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line says."""
    chosen = _parser().parse_args(arguments)
    missing = [*MISSING, *MISSING_FILES] if "each" in chosen.without else chosen.without
    haste = Haste(chosen.every, chosen.healthy, tuple(chosen.faults))
    settings = "" if chosen.settings is None else chosen.settings.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="metriage-judge-") as name:
        kept = chosen.reuse or Path(name)
        results = []
        for fleet in _fleets(chosen, kept):
            for each in (*([] if chosen.only_without else [None]), *missing):
                place = kept / f"{fleet.folder.resolve().name}-{fleet.digest()}" / (each or "whole")
                results.append(judged(fleet, each, place, settings, haste))
    print("\n".join(lines(results)))
    if chosen.out is not None:
        write(results, chosen.out)
        print(f"every false act, miss, hit and breakdown: {chosen.out}/*.csv")


def _fleets(chosen: argparse.Namespace, kept: Path) -> Iterator[Fleet]:
    for folder in chosen.fleet:
        yield Fleet(folder)
    for simulator in chosen.simulator:
        for seed in chosen.seeds:
            yield simulated(simulator, chosen.meters, chosen.days, seed, kept / "fleets")
    if not chosen.fleet and not chosen.simulator:
        shutil.rmtree(kept / "sample", ignore_errors=True)
        yield sample_fleet(kept / "sample")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks judge_rules", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fleet", type=Path, nargs="+", default=[], metavar="DIR", help="fleet folders")
    parser.add_argument(
        "--simulator", nargs="+", default=[], metavar="NAME",
        help=f"let these write fleets: {', '.join(SIMULATORS)}, metriage:SCENARIO",
    )  # fmt: skip
    parser.add_argument("--meters", type=int, default=500, help="of a simulated fleet [default: 500]")
    parser.add_argument("--days", type=int, default=150, help="of a simulated fleet [default: 150]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="one fleet a seed [default: 1]")
    parser.add_argument(
        "--without", nargs="+", default=[], choices=[*MISSING, *MISSING_FILES, "each"], metavar="SIGNAL",
        help=f"judge again without: {', '.join((*MISSING, *MISSING_FILES))}; or each",
    )  # fmt: skip
    parser.add_argument("--only-without", action="store_true", help="leave out the fleet with all its signals")
    parser.add_argument(
        "--reuse", type=Path, nargs="?", const=_KEPT, metavar="DIR",
        help=f"keep sites and daily rows in DIR, and take up those that are there [without DIR: {_KEPT}]",
    )  # fmt: skip
    parser.add_argument("--settings", type=Path, metavar="TOML", help="more lines of metriage.toml: thresholds to try")
    parser.add_argument("--every", type=int, default=1, help="days between the diagnoses [default: 1]")
    parser.add_argument("--healthy", type=int, metavar="N", help="beside the faulty meters only N healthy ones")
    parser.add_argument("--faults", nargs="+", default=[], choices=FAULTS, metavar="FAULT", help="only these")
    parser.add_argument("--out", type=Path, metavar="DIR", help="for the CSV files")
    return parser


if __name__ == "__main__":
    main()
