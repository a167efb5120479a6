"""Draw one simulated meter for each rule, for its page in ``docs/rules/``: ``python -m benchmarks rule_pictures``.

A fleet is simulated, taken in and diagnosed as :mod:`benchmarks.judge_rules` does; of the findings in which a rule
spoke, the one that speaks of the truth, acts, and names the fewest other rules is drawn. A rule that spoke nowhere
keeps the picture it has. The pictures say themselves that they are synthetic.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from benchmarks.fleets import Fleet, simulated, site_of
from benchmarks.rejudging import days_of, ends_of, findings_over, kept_daily_rows, showing
from lake.schemas import DAILY, READINGS
from metriage.pictures import finding_picture
from metriage.reference import PICTURES
from metriage.site import Site

_KEPT = Path(tempfile.gettempdir()) / "metriage-judged"


def clearest(findings: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Return one finding a rule, with the column ``rule``.

    Parameters
    ----------
    findings : polars.DataFrame
        Rows of the table ``findings``.
    truth : polars.DataFrame
        ``meter_id, fault`` of what really is wrong.
    """
    true = truth.select("meter_id", "fault").unique().with_columns(pl.lit(value=True).alias("true"))
    told = (
        findings.filter(pl.col("verdict").is_in(["act", "watch"]))
        .with_columns(pl.col("rules").alias("rule"), pl.col("rules").list.len().alias("others"))
        .explode("rule")
        .join(true, on=["meter_id", "fault"], how="left")
        .with_columns(
            pl.col("true").fill_null(value=False),
            (pl.col("verdict") == "act").alias("acts"),
            pl.col("inhibited_by").is_not_null().alias("muted"),
        )
    )
    return (
        told.sort(
            "rule", "true", "acts", "muted", "others", "as_of", "meter_id",
            descending=[False, True, True, False, False, True, False],
        )
        .unique("rule", keep="first", maintain_order=True)
        .drop("true", "acts", "muted", "others")
    )  # fmt: skip


def draw(site: Site, rows: pl.DataFrame, chosen: pl.DataFrame, folder: Path) -> list[Path]:
    """Draw the chosen findings into `folder`, each named as its rule; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    zone = site.settings.site.timezone
    drawn = []
    for finding in chosen.iter_rows(named=True):
        seen = site.lake.read(READINGS, meters=[finding["meter_id"]], received_by=finding["as_of"])
        days = (
            rows.filter(pl.col("meter_id") == finding["meter_id"], pl.col("as_of") <= finding["as_of"])
            .sort("day", "as_of")
            .unique("day", keep="last", maintain_order=True)
            .select(list(DAILY.columns))
        )
        file = folder / f"{finding['rule']}.png"
        drawn.append(finding_picture(finding, seen, days, file, language="en", timezone=zone))
    return drawn


def picture_rules(fleets: Sequence[Fleet], every: int, folder: Path) -> list[Path]:
    """Draw what can be drawn of the rules from these fleets, the first that shows a rule counts."""
    drawn: dict[str, Path] = {}
    for fleet in fleets:
        place = _KEPT / f"pictures-{fleet.folder.name}"
        site = site_of(fleet, None, place)
        times = ends_of(days_of(site)[every - 1 :: every], site.settings.site.timezone)
        rows = kept_daily_rows(site, times, place / "days.parquet", showing("daily rows"))
        findings = findings_over(site, rows, times, showing("diagnoses"))
        chosen = clearest(findings, fleet.truth()).filter(~pl.col("rule").is_in(list(drawn)))
        drawn |= {file.stem: file for file in draw(site, rows, chosen, folder)}
    return list(drawn.values())


def main(arguments: Sequence[str]) -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks rule_pictures", description=__doc__)
    parser.add_argument("--meters", type=int, default=800, help="of each simulated fleet [default: 800]")
    parser.add_argument("--every", type=int, default=5, help="days between the diagnoses [default: 5]")
    parser.add_argument("--scenarios", nargs="+", default=["harsh_winter", "prepaid", "wet"], help="simulated fleets")
    parser.add_argument("--out", type=Path, default=PICTURES, metavar="DIR", help="folder of the pictures")
    given = parser.parse_args(arguments)
    kept = _KEPT / "fleets"
    fleets = [simulated(f"metriage:{name}", given.meters, 150, 11, kept) for name in given.scenarios]
    for file in picture_rules(fleets, given.every, given.out):
        print(file)
