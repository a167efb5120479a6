"""The diagnosis: all rules over all meters as of a time, inhibition, clearing, one finding a meter and fault."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import polars as pl

from diagnostics.causes import CAUSE_RULES, with_causes
from diagnostics.evidence import ISO_UTC, observation
from diagnostics.facts import Facts
from diagnostics.features import WINDOW_DAYS, View, view
from diagnostics.forecasts import forecasts, water_observation
from diagnostics.rules import RULES
from diagnostics.rules.rule import FIRED, Rule
from diagnostics.settings import RuleSettings
from diagnostics.standing import SPOKEN, standing
from diagnostics.unregistered import water_not_registered
from lake.schemas import FINDINGS, FORECASTS

OPEN = ("act", "watch")
MILDEST = 4
KEY = ("meter_id", "kind", "fault")
CLEARED_SINCE = "no_symptom_since"


def diagnose(
    daily: pl.DataFrame,
    *,
    as_of: datetime,
    diagnosis_id: str,
    mode: Literal["live", "hot", "backtest"],
    settings: RuleSettings | None = None,
    language: Literal["en", "zh"] = "en",
    previous: pl.DataFrame | None = None,
    facts: Facts | None = None,
    rules: Collection[str] | None = None,
) -> pl.DataFrame:
    """Return the findings as of a time.

    Parameters
    ----------
    daily : polars.DataFrame
        Rows of the table ``daily``: each meter's newest row and those of the 60 days before; more does no harm.
    as_of : datetime
        Rows stamped later are not seen (UTC).
    diagnosis_id : str
        Written into every row.
    mode : {"live", "hot", "backtest"}
        Written into every row.
    settings : RuleSettings, optional
        Thresholds.
    language : {"en", "zh"}
        Language of the column ``action``.
    previous : polars.DataFrame, optional
        Findings of earlier diagnoses; of each meter and fault the newest counts. Needed for onset and clearing.
    facts : Facts, optional
        What the site knows beside the readings by then: registry, weather, works, inspections, reception.
    rules : collection of str, optional
        Ids of the rules to ask; all of them when left out. What the others said in `previous` stands, and nothing is
        told to be over.

    Returns
    -------
    polars.DataFrame
        Conforms to :data:`lake.schemas.FINDINGS`: at most one row a meter, kind and fault, sorted by these.
    """
    return examine(
        daily, as_of=as_of, diagnosis_id=diagnosis_id, mode=mode, settings=settings, language=language,
        previous=previous, facts=facts, rules=rules,
    ).findings  # fmt: skip


@dataclass(frozen=True, slots=True)
class Examination:
    """What one diagnosis comes to.

    Parameters
    ----------
    findings : polars.DataFrame
        Rows of :data:`lake.schemas.FINDINGS`.
    forecasts : polars.DataFrame
        Rows of :data:`lake.schemas.FORECASTS`; none where no day was given.
    """

    findings: pl.DataFrame
    forecasts: pl.DataFrame


def examine(
    daily: pl.DataFrame,
    *,
    as_of: datetime,
    diagnosis_id: str,
    mode: Literal["live", "hot", "backtest"],
    settings: RuleSettings | None = None,
    language: Literal["en", "zh"] = "en",
    previous: pl.DataFrame | None = None,
    facts: Facts | None = None,
    rules: Collection[str] | None = None,
    today: date | None = None,
) -> Examination:
    """Return findings and forecasts as of a time.

    Parameters
    ----------
    daily, as_of, diagnosis_id, mode, settings, language, previous, facts, rules
        As in :func:`diagnose`.
    today : date, optional
        Local day of the diagnosis, from which on weather is a forecast; without it no forecasts are made.
    """
    settings = settings or RuleSettings()
    seen = view(daily, as_of, facts)
    before = _newest(previous, as_of)
    fired = _fired(seen, settings, before, rules)
    found = _with_earlier_onset(_findings(fired), before)
    found = _held(found, before)
    found = with_causes(found, fired, before, seen, settings.causes)
    coils = found.filter(pl.col("kind") == "fault", pl.col("fault") == "coil", pl.col("verdict") == "act")
    unregistered = water_not_registered(seen, coils.select("meter_id", "onset"))
    found = _with_action(_with_water(found, unregistered), language)
    over = [_over(found, before, seen, settings.clearing.days)] if rules is None else []
    stamp = (pl.lit(diagnosis_id).alias("diagnosis_id"), pl.lit(mode).alias("mode"), pl.lit(as_of).alias("as_of"))
    rows = pl.concat([found, *over], how="diagonal").with_columns(*stamp, pl.col("verdict").alias("rule_verdict"))
    findings = FINDINGS.conform(_with_registry(rows, seen.facts.meters)).sort(KEY)
    if today is None:
        return Examination(findings, FORECASTS.empty())
    ahead = forecasts(seen, unregistered, today, settings)
    return Examination(findings, FORECASTS.conform(ahead.with_columns(*stamp)))


def _with_water(found: pl.DataFrame, unregistered: pl.DataFrame) -> pl.DataFrame:
    """Show in the evidence of a coil fault how much water it did not register."""
    shown = unregistered.select("meter_id", pl.lit("coil").alias("fault"), water_observation().alias("water"))
    coil = (pl.col("kind") == "fault") & pl.col("water").is_not_null()
    return (
        found.join(shown, on=["meter_id", "fault"], how="left", maintain_order="left")
        .with_columns(pl.when(coil).then(pl.concat_list("evidence", "water")).otherwise("evidence").alias("evidence"))
        .drop("water")
    )


def _fired(
    seen: View, settings: RuleSettings, before: pl.DataFrame, asked: Collection[str] | None = None
) -> pl.DataFrame:
    """Return what each rule said, muted where a condition explains it; what is not asked stands as `before`."""
    answers = [(rule, rule.evaluate(seen, settings)) for rule in RULES.values() if asked is None or rule.id in asked]
    spoken = [_complete(rule, answer).select(list(SPOKEN)) for rule, answer in answers if not answer.is_empty()]
    if asked is not None:
        spoken.append(standing(before.filter(pl.col("verdict").is_in(OPEN)), asked))
    every = pl.concat(spoken or [pl.DataFrame(schema=SPOKEN)])
    # A fault mutes another only once it is sure itself.
    explains = (pl.col("kind") == "condition") | (pl.col("strength") == "act")
    speaking = every.filter(explains)
    conditions = pl.concat([speaking.select("meter_id", pl.col(name).alias("inhibitor")) for name in ("fault", "rule")])
    muting = (
        every.select("meter_id", "rule", "inhibitors")
        .explode("inhibitors")
        .join(conditions.unique(), left_on=["meter_id", "inhibitors"], right_on=["meter_id", "inhibitor"])
        .group_by("meter_id", "rule")
        .agg(pl.col("inhibitors").sort().first().alias("inhibited_by"))
    )
    muted = pl.col("inhibited_by").is_not_null() & (pl.col("strength") == "act")
    note = pl.struct(
        rule=pl.col("rule"), what=pl.lit("muted"), value=pl.col("strength"), unit=pl.lit(""), by=pl.col("inhibited_by")
    ).struct.json_encode()
    return every.join(muting, on=["meter_id", "rule"], how="left", maintain_order="left").with_columns(
        pl.when(muted).then(pl.lit("watch")).otherwise("strength").alias("strength"),
        pl.when(muted).then(pl.concat_list("evidence", note)).otherwise("evidence").alias("evidence"),
    )


def _complete(rule: Rule, answer: pl.DataFrame) -> pl.DataFrame:
    """Return what a rule said with its defaults filled in."""
    milder = pl.when(pl.col("strength") == "act").then(rule.severity).otherwise(min(rule.severity + 1, MILDEST))
    return answer.select(list(FIRED)).with_columns(
        pl.lit(rule.id).alias("rule"),
        pl.lit(rule.kind).alias("kind"),
        pl.lit(rule.fault).alias("fault"),
        pl.lit(list(rule.inhibited_by), dtype=pl.List(pl.String)).alias("inhibitors"),
        pl.coalesce("severity", milder).cast(pl.Int64).alias("severity"),
        pl.coalesce("cause", pl.lit(rule.cause)).alias("cause"),
        pl.lit(rule.id).replace_strict(_ORDER, return_dtype=pl.Int64).alias("order"),
    )


_ORDER = {name: place for place, name in enumerate(RULES)}


def _findings(fired: pl.DataFrame) -> pl.DataFrame:
    """Return one row a meter, kind and fault: the strongest rule speaks, all show their evidence as a list."""
    ranked = fired.with_columns((pl.col("strength") == "act").cast(pl.Int64).alias("rank")).sort(
        *KEY, "rank", "severity", "order", descending=[False, False, False, True, False, False]
    )
    known = pl.col("cause_confidence").fill_null(0) * (pl.col("cause") != "unknown")
    return (
        ranked.group_by(KEY, maintain_order=True)
        .agg(
            pl.col("strength").first().alias("verdict"),
            pl.col("severity").min(),
            pl.col("onset").min(),
            pl.col("rule").alias("rules"),
            pl.col("evidence").explode().drop_nulls(),
            pl.col("cause").sort_by(known, descending=True, maintain_order=True).first(),
            pl.col("cause_confidence").sort_by(known, descending=True, maintain_order=True).first(),
            pl.col("inhibited_by").drop_nulls().first(),
            pl.col("rule").first().alias("spoke"),
        )
        .with_columns(pl.when(pl.col("verdict") != "act").then("inhibited_by").alias("inhibited_by"))
    )


def _with_action(found: pl.DataFrame, language: str) -> pl.DataFrame:
    """Add what to do: first what the cause asks for, then what the rule that spoke does; evidence becomes JSON."""
    of_rule = {name: rule.texts[language].action for name, rule in RULES.items()}
    of_cause = {name: cause.texts[language].action for name, cause in CAUSE_RULES.items()}
    asked = pl.col("cause").replace_strict(of_cause, default=None, return_dtype=pl.String)
    asked = pl.when((pl.col("kind") == "fault") & (pl.col("fault") != pl.col("cause"))).then(asked)
    acts = pl.col("spoke").replace_strict(of_rule, default=None, return_dtype=pl.String)
    return found.with_columns(
        pl.concat_str([asked, acts], separator=" " if language == "en" else "", ignore_nulls=True).alias("action"),
        pl.format("[{}]", pl.col("evidence").list.join(",")).alias("evidence"),
    ).drop("spoke")


def _newest(previous: pl.DataFrame | None, as_of: datetime) -> pl.DataFrame:
    """Return the newest earlier finding of each meter, kind and fault."""
    known = FINDINGS.empty() if previous is None else FINDINGS.conform(previous)
    return known.filter(pl.col("as_of") < as_of).sort(*KEY, "as_of").unique(KEY, keep="last", maintain_order=True)


def _with_earlier_onset(found: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Keep the onset of a finding that was open before: its window moves on, the symptom's beginning does not."""
    earlier = before.filter(pl.col("verdict").is_in(OPEN)).select(*KEY, pl.col("onset").alias("earlier"))
    return (
        found.join(earlier, on=KEY, how="left", maintain_order="left")
        .with_columns(pl.min_horizontal("onset", "earlier").alias("onset"))
        .drop("earlier")
    )


def _held(found: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Keep an act while one of its rules still sees the symptom: to raise takes more than to hold, so nothing flaps."""
    acted = before.filter((pl.col("verdict") == "act") & (pl.col("kind") == "fault")).select(
        *KEY, pl.col("rules").alias("raised_by")
    )
    holds = (
        (pl.col("verdict") == "watch")
        & pl.col("inhibited_by").is_null()
        & (pl.col("rules").list.set_intersection("raised_by").list.len() > 0)
    ).fill_null(value=False)
    note = observation("held", "held", pl.lit("watch"))
    return (
        found.join(acted, on=KEY, how="left", maintain_order="left")
        .with_columns(
            pl.when(holds).then(pl.lit("act")).otherwise("verdict").alias("verdict"),
            pl.when(holds).then(pl.concat_list("evidence", note)).otherwise("evidence").alias("evidence"),
        )
        .drop("raised_by")
    )


def _over(found: pl.DataFrame, before: pl.DataFrame, seen: View, clearing_days: int) -> pl.DataFrame:
    """Return rows for findings whose symptom is gone: kept while the meter is silent, else clearing for some days."""
    gone = before.filter(pl.col("verdict") != "refused").join(found, on=KEY, how="anti")
    silent = seen.features.select("meter_id", "silent_h")
    gone = gone.join(silent, on="meter_id", how="left", maintain_order="left")
    # Beyond the window nothing of a silent meter can be judged any more: the last word stands.
    unseen = pl.col("silent_h").is_null() | (pl.col("silent_h") >= WINDOW_DAYS * 24)
    stands = (pl.col("kind") == "fault") & unseen & pl.col("verdict").is_in(OPEN)
    since = pl.coalesce(
        pl.when(pl.col("verdict") == "clear").then(
            pl.col("evidence").str.json_path_match("$[0].from").str.to_datetime(ISO_UTC, time_zone="UTC", strict=False)
        ),
        pl.lit(seen.as_of),
    )
    cleared = observation("clearing", CLEARED_SINCE, pl.lit(clearing_days), "d", since=since)
    kept = gone.filter(stands)
    clearing = gone.filter(~stands & ((pl.lit(seen.as_of) - since) < pl.duration(days=clearing_days))).with_columns(
        pl.lit("clear").alias("verdict"),
        pl.format("[{}]", cleared).alias("evidence"),
        pl.lit(None, dtype=pl.String).alias("inhibited_by"),
    )
    columns = [*KEY, "verdict", "severity", "onset", "rules", "evidence", "cause", "cause_confidence", "inhibited_by",
               "action"]  # fmt: skip
    return pl.concat([kept, clearing]).select(columns)


def _with_registry(rows: pl.DataFrame, meters: pl.DataFrame) -> pl.DataFrame:
    """Add lot and region of each meter."""
    return rows.join(
        meters.select("meter_id", "production_batch", "region"), on="meter_id", how="left", maintain_order="left"
    )
