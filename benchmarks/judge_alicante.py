"""What is found in the recordings of Alicante: 92 real homes over 14 months, diagnosed at the end of each day.

``python -m benchmarks judge_alicante [--reuse] [--pictures] [--accept]``. Nobody knows the truth of these homes, but
people have looked at every act: ``alicante_acts.csv`` holds those on faults, and what differs from it is printed first
and ends with exit code 1. Many of the homes stand empty for weeks; an act on the coil of one of them is the mistake to
look for. ``--accept`` writes the list anew, after looking at the pictures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from benchmarks.rejudging import days_of, ends_of, findings_over, kept_daily_rows, showing
from benchmarks.replay_alicante import FILES, SETTINGS
from lake.schemas import DAILY
from metriage.findings_pictures import draw_findings
from metriage.site import Site, open_site
from tests.processes import run_metriage
from tests.recordings import recordings_folder

ACCEPTED = Path(__file__).with_name("alicante_acts.csv")
ZONE = "Europe/Madrid"

_KEPT = Path(tempfile.gettempdir()) / "metriage-alicante"
_ROW = ("meter", "fault", "first", "rules", "cause")


@dataclass(frozen=True, slots=True)
class Result:
    """What was found.

    Parameters
    ----------
    acts : polars.DataFrame
        One row a meter and fault or condition with acts: ``kind, meter, fault, first, last, days, rules, cause``.
    diagnoses : int
        Number of days.
    made_s, diagnosed_s : float
        Time for site and daily rows, and for all diagnoses [s].
    """

    acts: pl.DataFrame
    diagnoses: int
    made_s: float
    diagnosed_s: float


def site_in(folder: Path, files: Sequence[Path]) -> Site:
    """Return a site that has taken in the recordings, made in `folder` or found there."""
    ready = folder / "ready.json"
    state = json.dumps([[file.name, file.stat().st_size] for file in files])
    if not (ready.is_file() and ready.read_text(encoding="utf-8") == state):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "site").mkdir(parents=True)
        settings = SETTINGS[SETTINGS.index("[codecs.") :]
        (folder / "site" / "metriage.toml").write_text(f'[site]\ntimezone = "{ZONE}"\n\n{settings}', encoding="utf-8")
        run_metriage("ingest", "--dir", folder / "site", "--codec", "alicante", "--json", "--from", *files)
        ready.write_text(state, encoding="utf-8")
    return open_site(folder / "site")


def found(folder: Path, files: Sequence[Path], pictures: Path | None = None) -> Result:
    """Diagnose the recordings day by day.

    Parameters
    ----------
    folder : Path
        Where the site is made, or lies from an earlier run.
    files : sequence of Path
        The recordings.
    pictures : Path, optional
        Where to draw the first act on each meter and fault.
    """
    began = time.perf_counter()
    site = site_in(folder, files)
    times = ends_of(days_of(site), ZONE)
    rows = kept_daily_rows(site, times, folder / "days.parquet", showing("daily rows"))
    made = time.perf_counter()
    findings = findings_over(site, rows, times, showing("diagnoses"))
    done = time.perf_counter()
    acts = acts_of(findings)
    if pictures is not None:
        _draw(site, rows, findings, pictures)
    return Result(acts, len(times), made - began, done - made)


def acts_of(findings: pl.DataFrame) -> pl.DataFrame:
    """Return one row a meter and fault or condition with acts, faults first; what its first act said."""
    return (
        findings.filter(pl.col("verdict") == "act")
        .sort("as_of")
        .group_by("kind", pl.col("meter_id").str.slice(0, 8).alias("meter"), "fault")
        .agg(
            # An as-of time is the end of a day: half a day before, it is that day.
            pl.col("as_of").first().dt.offset_by("-12h").dt.date().alias("first"),
            pl.col("as_of").last().dt.offset_by("-12h").dt.date().alias("last"),
            pl.len().alias("days"),
            pl.col("rules").first().list.join("; "),
            pl.col("cause").first(),
        )
        .sort(pl.col("kind") != "fault", "fault", "first", "meter")
    )


def _draw(site: Site, rows: pl.DataFrame, findings: pl.DataFrame, folder: Path) -> None:
    if not site.lake.exists(DAILY):  # pictures show daily rows
        site.lake.append(DAILY, rows)
    faults = findings.filter(pl.col("verdict") == "act", pl.col("kind") == "fault").sort("as_of")
    first = faults.unique(["meter_id", "fault"], keep="first", maintain_order=True)
    folder.mkdir(parents=True, exist_ok=True)
    for file in draw_findings(site, first.to_dicts()):
        shutil.move(file, folder / file.name)


def differences(acts: pl.DataFrame, accepted: pl.DataFrame) -> list[str]:
    """Return what acts on faults are new, gone or different from those that people have looked at."""
    key = ["meter", "fault"]
    now = acts.filter(pl.col("kind") == "fault").select(_ROW).cast({"first": pl.String})
    both = now.join(accepted, on=key, how="full", coalesce=True, suffix="_before").sort(key)
    told = []
    for row in both.iter_rows(named=True):
        name = f"{row['fault']} of {row['meter']}"
        if row["first_before"] is None:
            told.append(f"new: {name} on {row['first']}, {row['rules']}")
        elif row["first"] is None:
            told.append(f"gone: {name} on {row['first_before']}, {row['rules_before']}")
        else:
            changed = [name for name in ("first", "rules", "cause") if row[name] != row[f"{name}_before"]]
            told.extend(f"changed: {name}, {each} {row[f'{each}_before']} -> {row[each]}" for each in changed)
    return told


def lines(result: Result, told: Sequence[str]) -> Iterator[str]:
    """Yield the table."""
    yield f"{result.diagnoses} diagnoses; made in {result.made_s:.1f} s, diagnosed in {result.diagnosed_s:.1f} s"
    yield from told or ["acts on faults: those that people have looked at, no other"]
    yield f"{'':20}{'meter':10}{'first':12}{'last':12}{'days':>5}  cause, rules"
    for row in result.acts.iter_rows(named=True):
        yield (
            f"{row['fault']:20}{row['meter']:10}{row['first']!s:12}{row['last']!s:12}{row['days']:>5}  "
            f"{row['cause'] or '–'}, {row['rules']}"
        )


def run(*, smoke: bool) -> list[str]:
    """Return the lines of the result; of the smoke run on the first file alone, which no list is compared with."""
    files = _files()[: 1 if smoke else None]
    with tempfile.TemporaryDirectory(prefix="metriage-alicante-") as name:
        result = found(Path(name), files)
    return list(lines(result, [] if smoke else differences(result.acts, _accepted())))


def _files() -> list[Path]:
    try:
        return [recordings_folder() / "alicante" / name for name in FILES]
    except pytest.skip.Exception as missing:
        raise SystemExit(str(missing)) from missing


def _accepted() -> pl.DataFrame:
    return pl.read_csv(ACCEPTED, infer_schema=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line says."""
    chosen = _parser().parse_args(arguments)
    files = _files()
    with tempfile.TemporaryDirectory(prefix="metriage-alicante-") as name:
        result = found(chosen.reuse or Path(name), files, chosen.pictures)
    if chosen.accept:
        faults = result.acts.filter(pl.col("kind") == "fault").select(_ROW).sort("fault", "meter")
        faults.write_csv(ACCEPTED)
    told = differences(result.acts, _accepted())
    print("\n".join(lines(result, told)))
    sys.exit(1 if told else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks judge_alicante", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--reuse", type=Path, nargs="?", const=_KEPT, metavar="DIR",
        help=f"keep the site and its daily rows in DIR, and take them up again [without DIR: {_KEPT}]",
    )  # fmt: skip
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="draw the first act on each meter and fault")
    parser.add_argument("--accept", action="store_true", help="write the acts on faults as those looked at")
    return parser


if __name__ == "__main__":
    main()
