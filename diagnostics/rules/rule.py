"""The one contract of all rules, and their registry.

A rule sees the daily rows and features of many meters and its own settings, and returns one row for each meter where
it fires. It is registered by its decorator; nothing else lists the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from diagnostics.features import View
from diagnostics.settings import RuleSettings
from lake.schemas import TIME
from lake.vocabulary import FAULTS

FIRED = pl.Schema(
    {
        "meter_id": pl.String(),
        "strength": pl.String(),  # act or watch
        "severity": pl.Int64(),
        "onset": TIME,
        "evidence": pl.List(pl.String()),  # JSON objects
        "cause": pl.String(),
        "cause_confidence": pl.Float64(),
    }
)

S = TypeVar("S")
Evaluate = Callable[[View, S], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Text:
    """What people read about a rule in one language."""

    title: str
    trigger: str
    action: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Parameters
    ----------
    id : str
        ``fault.rule``, as in the settings.
    fault : str
        The fault or condition it speaks of.
    source : str
        What it rests on.
    severity : int
        Of an ``act``; a ``watch`` is one milder.
    cause : str
        Cause where the rule itself knows none better.
    texts : mapping of str to Text
        By language: ``en`` and ``zh``.
    evaluate : callable
        View and all rule settings to a frame with the columns of :data:`FIRED`.
    inhibited_by : tuple of str
        Conditions, faults, or ids of rules that explain this symptom: while one is found the rule says at most
        ``watch``. Of a fault only an ``act`` explains.
    """

    id: str
    fault: str
    source: str
    severity: int
    cause: str
    texts: Mapping[str, Text]
    evaluate: Callable[[View, RuleSettings], pl.DataFrame]
    inhibited_by: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``fault`` or ``condition``."""
        return "fault" if self.fault in FAULTS else "condition"


RULES: dict[str, Rule] = {}


def rule(
    name: str,
    *,
    settings: Callable[[RuleSettings], S],
    source: str,
    severity: int,
    en: Text,
    zh: Text,
    cause: str = "unknown",
    inhibited_by: tuple[str, ...] = (),
) -> Callable[[Evaluate[S]], Evaluate[S]]:
    """Register the decorated function as the rule `name` (``fault.rule``); `settings` picks its own."""

    def register(evaluate: Evaluate[S]) -> Evaluate[S]:
        if name in RULES:
            raise ValueError(f"rule {name} is registered twice")

        def with_settings(seen: View, every: RuleSettings) -> pl.DataFrame:
            own = settings(every)
            if not getattr(own, "enabled", True):
                return nothing()
            return evaluate(seen, own)

        fault = name.partition(".")[0]
        RULES[name] = Rule(name, fault, source, severity, cause, {"en": en, "zh": zh}, with_settings, inhibited_by)
        return evaluate

    return register


def nothing() -> pl.DataFrame:
    """Return the answer of a rule that fires nowhere."""
    return pl.DataFrame(schema=FIRED)


def fired(
    hits: pl.DataFrame,
    *,
    act: pl.Expr,
    watch: pl.Expr | bool = True,
    onset: pl.Expr,
    evidence: pl.Expr,
    severity: pl.Expr | None = None,
    cause: pl.Expr | None = None,
    cause_confidence: pl.Expr | None = None,
) -> pl.DataFrame:
    """Return `hits` (one row a meter) as the rule's answer; rows that are neither act nor watch are dropped.

    Columns left out are filled from the rule's own defaults by the diagnosis.
    """
    if hits.is_empty():
        return nothing()
    weak = pl.lit(watch) if isinstance(watch, bool) else watch
    strength = pl.when(act.fill_null(value=False)).then(pl.lit("act")).when(weak).then(pl.lit("watch"))
    empty = pl.lit(None)
    return (
        hits.select(
            pl.col("meter_id"),
            strength.alias("strength"),
            (empty if severity is None else severity).cast(pl.Int64).alias("severity"),
            onset.cast(TIME).alias("onset"),
            evidence.alias("evidence"),
            (empty if cause is None else cause).cast(pl.String).alias("cause"),
            (empty if cause_confidence is None else cause_confidence).cast(pl.Float64).alias("cause_confidence"),
        )
        .filter(pl.col("strength").is_not_null())
        .cast(FIRED)
    )


def symptom(seen: View, when: pl.Expr, window_days: int, **figures: pl.Expr) -> pl.DataFrame:
    """Return one row a meter with the days of its last `window_days` on which `when` holds.

    Returns
    -------
    polars.DataFrame
        ``meter_id, days`` (how many), ``first_ts, last_ts`` (first and last measurement of these days) and `figures`,
        aggregated over these days.
    """
    return (
        seen.days.lazy()  # so that of the many columns only those that are asked for are filtered
        .filter((pl.col("age_days") < window_days) & when.fill_null(value=False))
        .group_by("meter_id", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("days"),
            pl.col("first_ts").min(),
            pl.col("last_ts").max(),
            *(figure.alias(name) for name, figure in figures.items()),
        )
        .collect()
    )


def newest_measured(seen: View, measured: pl.Expr, days: int, within_days: int = 60) -> pl.LazyFrame:
    """Return the newest `days` rows of each meter that have a measurement, of its last `within_days`.

    Lazy, so that of the many columns only those that are asked for are copied.
    """
    places = (
        seen.days.select("meter_id", ((pl.col("age_days") < within_days) & measured).alias("wanted"))
        .with_row_index("place")
        .filter("wanted")
        .group_by("meter_id", maintain_order=True)
        .tail(days)
    )
    return seen.days.lazy().select(pl.all().gather(places["place"]))


def cold_around(seen: View, since: pl.DataFrame, limit_c: float = -5.0, days: int = 3) -> pl.DataFrame:
    """Return ``meter_id`` and ``cold_c``, the lowest temperature within `days` of ``onset`` where below `limit_c`.

    Parameters
    ----------
    since : polars.DataFrame
        ``meter_id`` and ``onset``.
    """
    near = (pl.col("first_ts") - pl.col("onset")).abs() <= pl.duration(days=days)
    return (
        seen.days.select("meter_id", "first_ts", "ambient_min_c")
        .join(since.select("meter_id", "onset"), on="meter_id")
        .filter(near & (pl.col("ambient_min_c") <= limit_c))
        .group_by("meter_id", maintain_order=True)
        .agg(pl.col("ambient_min_c").min().alias("cold_c"))
    )
