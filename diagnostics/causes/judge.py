"""Which cause a symptom has: the heaviest of all, or none where nothing explains it well enough."""

from __future__ import annotations

import polars as pl

from diagnostics.cause_settings import CauseSettings
from diagnostics.causes.cause import CASE, CAUSE_RULES, WEIGHED, Cases, belief
from diagnostics.evidence import observation
from diagnostics.facts import BESIDE
from diagnostics.features import WINDOW_DAYS, View
from lake.schemas import METERS

UNKNOWN = "unknown"


def with_causes(
    findings: pl.DataFrame, fired: pl.DataFrame, before: pl.DataFrame, seen: View, settings: CauseSettings
) -> pl.DataFrame:
    """Return the findings with the cause of each fault.

    The confidence is the share of the heaviest cause in the weights of all and that of *unknown*, which is set.

    Parameters
    ----------
    findings : polars.DataFrame
        One row a meter, kind and fault: ``meter_id, kind, fault, verdict, onset, cause, cause_confidence, evidence``;
        the cause is that which the rules themselves know.
    fired : polars.DataFrame
        What all rules said.
    before : polars.DataFrame
        Earlier findings of the same meters: their cause stands while what led to it has left the window.
    seen : View
        What the diagnosis sees.
    settings : CauseSettings
    """
    faults = findings.filter(pl.col("kind") == "fault")
    if faults.is_empty():
        return findings
    cases = _cases(faults, fired, before, seen)
    weights = [
        rule.weigh(cases, settings).select(*WEIGHED, pl.lit(name).alias("cause")) for name, rule in CAUSE_RULES.items()
    ]
    own = _told(faults, cases, before, settings)
    every = pl.concat([*weights, own]).filter(pl.col("weight") > 0)
    best = every.sort(*CASE, "weight", descending=[False, False, True], maintain_order=True).group_by(
        [*CASE, "cause"], maintain_order=True
    ).agg(pl.col("weight").first(), pl.col("evidence").filter(pl.col("evidence").list.len() > 0).first())  # fmt: skip
    chosen = (
        best.with_columns(pl.col("weight").sum().over(CASE).alias("all"))
        .sort(*CASE, "weight", descending=[False, False, True], maintain_order=True)
        .group_by(CASE, maintain_order=True)
        .agg(
            pl.col("cause", "weight", "evidence", "all").first(),
            pl.col("cause").slice(1, 1).first().alias("else"),
        )
        .filter(pl.col("weight") >= settings.unknown_weight)
        .with_columns((pl.col("weight") / (pl.col("all") + settings.unknown_weight)).round(3).alias("confidence"))
    )
    line = observation("cause", "likely_cause", pl.col("chosen"), confidence=pl.col("confidence"), other=pl.col("else"))
    return (
        findings.join(chosen.rename({"cause": "chosen", "evidence": "shown"}), on=CASE, how="left",
                      maintain_order="left")
        .with_columns(line.alias("line"))
        .with_columns(
            pl.when(pl.col("kind") != "fault").then("cause").otherwise(pl.col("chosen").fill_null(UNKNOWN))
            .alias("cause"),
            pl.when(pl.col("kind") != "fault").then("cause_confidence").otherwise("confidence")
            .alias("cause_confidence"),
            pl.when(pl.col("line").is_not_null())
            .then(pl.concat_list("evidence", "line", pl.col("shown").fill_null([])))
            .otherwise("evidence")
            .alias("evidence"),
        )
        .drop("chosen", "shown", "weight", "all", "confidence", "line", "else")
    )  # fmt: skip


def _cases(faults: pl.DataFrame, fired: pl.DataFrame, before: pl.DataFrame, seen: View) -> Cases:
    known = seen.facts.meters
    registry = [name for name in METERS.columns if name != "meter_id"]
    rows = (
        faults.select("meter_id", "fault", pl.col("verdict").alias("strength"), "onset")
        .with_columns(pl.col("onset").dt.date().alias("onset_day"))
        .join(known.select("meter_id", *registry), on="meter_id", how="left", maintain_order="left")
    )
    around = (
        seen.days.join(rows.select(*CASE, "onset_day"), on="meter_id", maintain_order="left")
        .with_columns((pl.col("day") - pl.col("onset_day")).dt.total_days().alias("offset_d"))
        .drop([name for name in BESIDE if name not in seen.days.columns])
    )
    earlier = before.filter(pl.col("kind") == "fault", pl.col("verdict") == "act").select(CASE)
    return Cases(seen, rows, around, fired, earlier)


def _told(faults: pl.DataFrame, cases: Cases, before: pl.DataFrame, settings: CauseSettings) -> pl.DataFrame:
    """Return the causes that rules themselves know, and those of earlier findings whose onset leaves the window."""
    empty = pl.lit([], dtype=pl.List(pl.String))
    # A rule sees its symptom alone and the causes weigh the same signs again: its word counts for less than it says.
    said = pl.col("cause_confidence").fill_null(settings.told_weight).clip(0, 0.99)
    rules = faults.filter(pl.col("cause").is_not_null() & (pl.col("cause") != UNKNOWN)).select(
        *CASE, belief(said / (1 - said), pl.lit(settings.told_ratio)).alias("weight"), empty.alias("evidence"), "cause"
    )
    oldest = cases.seen.as_of.date()
    leaves = (pl.lit(oldest) - pl.col("onset_day")).dt.total_days() > WINDOW_DAYS - settings.kept_days
    held = before.filter(
        (pl.col("kind") == "fault") & (pl.col("cause") != UNKNOWN) & pl.col("cause_confidence").is_not_null()
    ).select(*CASE, (pl.col("cause_confidence") * settings.kept_share).alias("weight"), "cause")
    kept = cases.rows.filter(leaves).select(CASE).join(held, on=CASE)
    return pl.concat([rules, kept.select(*CASE, "weight", empty.alias("evidence"), "cause")])
