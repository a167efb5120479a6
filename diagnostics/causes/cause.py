"""The one contract of all causes, and their registry.

A cause sees the cases (a meter and a fault whose symptom a rule found), what happened around their onset, and what
other meters show; it returns a weight for each case that it may explain, with the evidence. Weights are beliefs between
0 and 1: the share of such faults that the cause has where nothing is known, times how much likelier each sign is under
this cause than under the others (:func:`belief`). Shares and ratios are set by judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import polars as pl

from diagnostics.cause_settings import CauseSettings
from diagnostics.features import View
from diagnostics.rules.rule import Text
from lake.vocabulary import CAUSES

WEIGHED = pl.Schema(
    {"meter_id": pl.String(), "fault": pl.String(), "weight": pl.Float64(), "evidence": pl.List(pl.String())}
)
CASE = ("meter_id", "fault")

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Cases:
    """Symptoms that look for a cause.

    Parameters
    ----------
    seen : View
        What the diagnosis sees.
    rows : polars.DataFrame
        One row a meter and fault: ``meter_id, fault, strength, onset, onset_day`` and the columns of the registry.
    around : polars.DataFrame
        The daily rows of these meters, once for each case, with ``fault`` and ``offset_d``, days since the onset.
    fired : polars.DataFrame
        What all rules said, conditions included: at least ``meter_id, fault, kind, rule, strength, onset``.
    earlier : polars.DataFrame
        ``meter_id, fault`` of faults that were found before and are not over, whether or not they show again.
    """

    seen: View
    rows: pl.DataFrame
    around: pl.DataFrame
    fired: pl.DataFrame
    earlier: pl.DataFrame

    def near(self, first_d: int, last_d: int) -> pl.DataFrame:
        """Return the daily rows from `first_d` to `last_d` days after the onset, both inclusive."""
        return self.around.filter(pl.col("offset_d").is_between(first_d, last_d))

    def of(self, *faults: str) -> pl.DataFrame:
        """Return the cases of these faults."""
        return self.rows.filter(pl.col("fault").is_in(faults))


Weigh = Callable[[Cases, S], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause.

    Parameters
    ----------
    name : str
        A word of :data:`lake.vocabulary.CAUSES`.
    source : str
        What it rests on.
    texts : mapping of str to Text
        By language; the action comes before that of the rule.
    settings : type
        Its part of the settings.
    weigh : callable
        Cases and settings to a frame with the columns of :data:`WEIGHED`.
    """

    name: str
    source: str
    texts: dict[str, Text]
    settings: type
    weigh: Callable[[Cases, CauseSettings], pl.DataFrame]


CAUSE_RULES: dict[str, Cause] = {}


def cause(
    name: str, *, settings: Callable[[CauseSettings], S], source: str, en: Text, zh: Text
) -> Callable[[Weigh[S]], Weigh[S]]:
    """Register the decorated function as what weighs the cause `name`; `settings` picks its own."""

    def register(weigh: Weigh[S]) -> Weigh[S]:
        if name not in CAUSES or name in CAUSE_RULES:
            raise ValueError(f"{name} is no cause, or one that is registered already")

        def with_settings(cases: Cases, every: CauseSettings) -> pl.DataFrame:
            own = settings(every)
            if not getattr(own, "enabled", True):
                return no_weight()
            return weigh(cases, own)

        own = type(settings(CauseSettings()))
        CAUSE_RULES[name] = Cause(name, source, {"en": en, "zh": zh}, own, with_settings)
        return weigh

    return register


def no_weight() -> pl.DataFrame:
    """Return the answer of a cause that explains nothing."""
    return pl.DataFrame(schema=WEIGHED)


def weighed(rows: pl.DataFrame, weight: pl.Expr, evidence: pl.Expr) -> pl.DataFrame:
    """Return `rows` (one a case) as a cause's answer; rows without a positive weight are dropped."""
    if rows.is_empty():
        return no_weight()
    return (
        rows.select(*CASE, weight.cast(pl.Float64).clip(0, 1).alias("weight"), evidence.alias("evidence"))
        .filter(pl.col("weight") > 0)
        .cast(WEIGHED)
    )


def flag(condition: pl.Expr, weight: float | pl.Expr) -> pl.Expr:
    """Return `weight` where the condition holds, else 0."""
    return pl.when(condition.fill_null(value=False)).then(weight).otherwise(0.0)


def belief(share: float | pl.Expr, *ratios: pl.Expr) -> pl.Expr:
    """Return the belief in a cause: its odds are `share` times the likelihood ratios of all its signs.

    A ratio above 1 speaks for the cause, one below against it; what is unknown (null) says nothing.
    """
    start = pl.lit(share) if isinstance(share, float) else share
    odds = reduce(lambda product, ratio: product * ratio.fill_null(1.0), ratios, start)
    return odds / (1 + odds)


def share_of(settings: Mapping[str, float]) -> pl.Expr:
    """Return the share of each case's fault, 0 for faults that are not in the mapping."""
    return pl.col("fault").replace_strict(dict(settings), default=0.0, return_dtype=pl.Float64)


def ratio(condition: pl.Expr, if_so: float | pl.Expr, if_not: float | pl.Expr = 1.0) -> pl.Expr:
    """Return one likelihood ratio where the condition holds and another where it does not; 1 where nobody knows."""
    return pl.when(condition).then(if_so).when(~condition).then(if_not).otherwise(1.0)
