"""How good findings are, in the words of docs/contract.md, section 7: hits, false acts, recall, precision, lead, cause.

Pure: tables in, tables out. A finding is judged by meter and fault; a truth is one row of the truth file, and a meter
may have several, of different faults or of the same one after another.

What the contract leaves open is decided here, and each time against the findings rather than for them:

- A pair of meter and fault that was called before onset and again after it is a false act *and* a hit.
- Of a truth that nobody noticed within the record the window has no end; it counts in precision, not in recall.
- A first act after the window, or one that goes on when the fault is long over, is neither hit nor false act. It is
  listed (``late`` among the misses, :attr:`Scores.lingering`), so that nobody overlooks it.
- "Flow that stops in the cold and returns with warmth" is a truth ``low_temperature`` or ``coil`` by cold that goes by
  itself: an act of either word is a hit. ``recall_own_word`` tells what is left when only the truth's own word counts.
- The other words that are allowed after onset (a burst also called battery) make no false act, and no hit either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from lake.errors import UsageError
from lake.schemas import FINDINGS, TIME, TableSchema
from lake.vocabulary import CAUSES, FAULTS, TRUTH

TRUTHS = TableSchema("truth", TRUTH, time="onset")

GRACE = timedelta(days=1)  # an act so long before onset is no false one
WINDOW = timedelta(days=30)  # after it was noticed, in which an act still hits
SETTLED = timedelta(days=10)  # from notice to the end of the record, for a truth to count in recall
LINGERS = timedelta(days=30)  # after its end, from which on an act is listed as lingering

ALL = "all"  # the row over all faults

# What the breakdowns go by: of the truth, and of the meter where the registry tells.
OF_TRUTH = ("cause", "reversible")
OF_METER = ("production_batch", "module_vendor", "model", "installation")

_PAIR = ["meter_id", "fault"]
_DAY_S = 86_400.0
_RATED_METER_DAYS = 1000 * 30  # false acts are told for so many


@dataclass(frozen=True, slots=True)
class Scores:
    """What findings are worth.

    Parameters
    ----------
    meters : int
        Meters of the fleet.
    meter_days : int
        Meters times days of the record.
    faults : polars.DataFrame
        One row a fault and one, ``all``, over them: ``truths`` (rows of the truth), ``due`` (those that count in
        recall), ``hits`` (truths hit), ``hits_due`` (of those that are due), ``misses``, ``false_acts``, ``precision``,
        ``recall``, ``recall_own_word``, ``lead_median_d``, ``lead_p10_d`` [days], ``cause_right``, ``false_rate`` [per
        1,000 meters and 30 days]. Shares are empty where there is nothing to divide by.
    breakdown : polars.DataFrame
        The same for the truths of each cause and each kind of end, and for the meters of each lot, vendor, model and
        installation: columns ``by, key, fault`` and those of `faults`. Causes and ends have no false acts.
    rules : polars.DataFrame
        One row for each rule that spoke in the first act of a (meter, fault): ``fault, rule, acts`` (such pairs),
        ``false_acts``, ``alone`` (false ones in which no other rule spoke).
    truths : polars.DataFrame
        The truth with ``due`` and, of those that were hit, ``first_act, latest_act, lead_d, said_cause, cause_right,
        own_word`` (an act had the truth's own word) and the ``rules`` of the first act.
    false_acts : polars.DataFrame
        One row a false (meter, fault): ``why`` (``no truth`` or ``before onset``), ``first_act, last_act, acts``, what
        the first act said, and what is truly wrong with the meter.
    misses : polars.DataFrame
        One row a truth that is due and was not hit: ``why`` (``late``, ``early``, ``other word``, ``watch``,
        ``silent``), what was said instead, and by which rules.
    lingering : polars.DataFrame
        One row a (meter, fault) with an act later than 30 days after the end of its last truth.
    """

    meters: int
    meter_days: int
    faults: pl.DataFrame
    breakdown: pl.DataFrame
    rules: pl.DataFrame
    truths: pl.DataFrame
    false_acts: pl.DataFrame
    misses: pl.DataFrame
    lingering: pl.DataFrame


def judge(truth: pl.DataFrame, findings: pl.DataFrame, first_day: date, last_day: date, meters: pl.DataFrame) -> Scores:
    """Judge findings against the truth.

    Parameters
    ----------
    truth : polars.DataFrame
        Rows of the truth file, :data:`TRUTHS`.
    findings : polars.DataFrame
        Rows of the table ``findings``, of daily diagnoses over the record.
    first_day, last_day : date
        The record, both inclusive.
    meters : polars.DataFrame
        All meters of the fleet, faulty or not: ``meter_id`` and, where known, the columns of :data:`OF_METER`.

    Raises
    ------
    UsageError
        The truth contradicts itself or has words that are none, or the record has no days or no meters.
    """
    truths = checked_truth(truth)
    fleet = meters.unique("meter_id", keep="first", maintain_order=True)
    days = (last_day - first_day).days + 1
    if days < 1 or fleet.is_empty():
        raise UsageError(f"a record of {days} days and {fleet.height} meters cannot be judged")
    ends_at = datetime.combine(last_day + timedelta(days=1), time(), UTC)
    known = [name for name in OF_METER if name in fleet.columns]
    truths = truths.with_row_index("truth").with_columns(
        (pl.col("detectable") & (pl.col("noticed_at") <= ends_at - SETTLED)).fill_null(value=False).alias("due")
    )
    truths = truths.join(fleet.select("meter_id", *known), on="meter_id", how="left", maintain_order="left")
    said = FINDINGS.conform(findings).filter(pl.col("kind") == "fault", pl.col("fault").is_in(FAULTS))
    acts = said.filter(pl.col("verdict") == "act").sort(*_PAIR, "as_of", maintain_order=True)
    words = _allowed_words(truths)
    truths = truths.join(_hits(words, acts), on="truth", how="left", maintain_order="left").with_columns(
        ((pl.col("noticed_at") - pl.col("first_act")).dt.total_seconds() / _DAY_S).alias("lead_d"),
        pl.when(pl.col("first_act").is_not_null())
        .then((pl.col("said_cause") == pl.col("cause")).fill_null(value=False))
        .alias("cause_right"),
    )
    pairs = _pairs(acts, words).join(fleet.select("meter_id", *known), on="meter_id", how="left", maintain_order="left")
    false = _with_truths_of_meter(pairs.filter(pl.col("why").is_not_null()), truths)
    return Scores(
        meters=fleet.height,
        meter_days=fleet.height * days,
        faults=_by_fault(truths, false, fleet.height * days),
        breakdown=_breakdown(truths, false, fleet, known, days),
        rules=_rules(pairs),
        truths=truths.drop("truth"),
        false_acts=false,
        misses=_misses(truths, said, acts),
        lingering=_lingering(truths, acts),
    )


def pooled(scores: Sequence[Scores]) -> pl.DataFrame:
    """Return the figures by fault over several fleets, as if they were one."""
    truths = pl.concat([each.truths for each in scores], how="diagonal")
    false = pl.concat([each.false_acts for each in scores], how="diagonal")
    return _by_fault(truths, false, sum(each.meter_days for each in scores))


def checked_truth(truth: pl.DataFrame) -> pl.DataFrame:
    """Return the truth with exactly the columns of :data:`TRUTHS`.

    Raises
    ------
    UsageError
        A column is missing, a word is none, an onset is missing or lies after the notice or the end.
    """
    missing = [name for name in TRUTH if name not in truth.columns]
    if missing:
        raise UsageError(f"the truth has no column {', '.join(missing)}")
    rows = TRUTHS.conform(truth.select(list(TRUTH))).with_columns(
        pl.col("reversible").fill_null(value=False), pl.col("detectable").fill_null(value=True)
    )
    wrong = (
        (pl.col("meter_id").is_null(), "no meter_id"),
        (~pl.col("fault").is_in(FAULTS).fill_null(value=False), f"a fault that is none of {', '.join(FAULTS)}"),
        (~pl.col("cause").is_in(CAUSES).fill_null(value=False), f"a cause that is none of {', '.join(CAUSES)}"),
        (pl.col("onset").is_null(), "no onset"),
        (pl.col("noticed_at") < pl.col("onset"), "noticed_at before onset"),
        (pl.col("end") < pl.col("onset"), "end before onset"),
    )
    for condition, problem in wrong:
        found = rows.with_row_index("row", offset=2).filter(condition)
        if not found.is_empty():
            row = found.row(0, named=True)
            raise UsageError(f"truth, row {row['row']} ({row['meter_id']}, {row['fault']}): {problem}")
    return rows


def _allowed_words(truths: pl.DataFrame) -> pl.DataFrame:
    """Return the words that are not false of each truth after its onset, and which of them hit it.

    Columns ``truth, meter_id, word, own, hits, onset, noticed_at``.
    """
    cold = pl.col("cause") == "low_temperature"
    returns = pl.col("reversible") & (cold | (pl.col("fault") == "low_temperature"))
    frost, cold_coil = pl.col("fault") == "low_temperature", (pl.col("fault") == "coil") & cold
    allowed = (
        (pl.lit(value=True), pl.col("fault"), pl.lit(value=True)),
        (frost, pl.lit("coil"), returns),
        (frost, pl.lit("battery"), pl.lit(value=False)),
        (cold_coil, pl.lit("low_temperature"), returns),
    )
    return pl.concat(
        truths.filter(condition).select(
            "truth", "meter_id", word.alias("word"), (word == pl.col("fault")).alias("own"), hits.alias("hits"),
            "onset", "noticed_at",
        )
        for condition, word, hits in allowed
    )  # fmt: skip


def _hits(words: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """Return ``truth, first_act, latest_act, said_cause, own_word, rules`` of each truth that was hit."""
    within = (pl.col("as_of") >= pl.col("onset") - GRACE) & (
        (pl.col("as_of") <= pl.col("noticed_at") + WINDOW) | pl.col("noticed_at").is_null()
    )
    return (
        words.filter("hits")
        .join(acts, left_on=["meter_id", "word"], right_on=_PAIR)
        .filter(within)
        .sort("truth", "as_of", "own")  # of one time the truth's own word comes last, so that it gives the cause
        .group_by("truth", maintain_order=True)
        .agg(
            pl.col("as_of").first().alias("first_act"),
            pl.col("as_of").last().alias("latest_act"),
            pl.col("cause").last().alias("said_cause"),
            pl.col("own").any().alias("own_word"),
            pl.col("rules").first(),
        )
    )


def _pairs(acts: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    """Return one row a (meter, fault) with acts: what the first one said, and why it is false where it is."""
    called = acts.group_by(_PAIR, maintain_order=True).agg(
        pl.col("as_of").first().alias("first_act"),
        pl.col("as_of").last().alias("last_act"),
        pl.len().alias("acts"),
        pl.col("severity", "onset", "cause", "cause_confidence", "rules", "evidence").first().name.prefix("said_"),
    )
    since = words.group_by("meter_id", pl.col("word").alias("fault")).agg(pl.col("onset").min().alias("true_onset"))
    return called.join(since, on=_PAIR, how="left", maintain_order="left").with_columns(
        pl.when(pl.col("true_onset").is_null())
        .then(pl.lit("no truth"))
        .when(pl.col("first_act") < pl.col("true_onset") - GRACE)
        .then(pl.lit("before onset"))
        .alias("why")
    )


def _scored(truths: pl.DataFrame, false: pl.DataFrame, by: list[str], scale: pl.Expr) -> pl.DataFrame:
    """Return the figures of each group of `by` and fault, and over all faults.

    `scale` is the group's exposure [1,000 meters × 30 days].
    """
    parts = []
    for each_fault in (True, False):
        keys = [*by, "fault"]
        judged = truths if each_fault else truths.with_columns(pl.lit(ALL).alias("fault"))
        wrong = false if each_fault else false.with_columns(pl.lit(ALL).alias("fault"))
        counted = judged.group_by(keys, maintain_order=True).agg(*_counts())
        called = wrong.group_by(keys, maintain_order=True).agg(pl.len().cast(pl.Int64).alias("false_acts"))
        parts.append(counted.join(called, on=keys, how="full", coalesce=True, nulls_equal=True))
    counts = ["truths", "due", "hits", "hits_due", "hits_own_word", "false_acts"]
    return (
        pl.concat(parts)
        .with_columns(pl.col(counts).fill_null(0))
        .with_columns(
            (pl.col("due") - pl.col("hits_due")).alias("misses"),
            _share(pl.col("hits"), pl.col("hits") + pl.col("false_acts")).alias("precision"),
            _share(pl.col("hits_due"), pl.col("due")).alias("recall"),
            _share(pl.col("hits_own_word"), pl.col("due")).alias("recall_own_word"),
            (pl.col("false_acts") / scale).alias("false_rate"),
        )
        .select(*by, "fault", *FIGURES)
    )


FIGURES = (
    "truths", "due", "hits", "hits_due", "misses", "false_acts", "precision", "recall", "recall_own_word",
    "lead_median_d", "lead_p10_d", "cause_right", "false_rate",
)  # fmt: skip


def _counts() -> list[pl.Expr]:
    hit = pl.col("cause_right").is_not_null()
    return [
        pl.len().cast(pl.Int64).alias("truths"),
        pl.col("due").sum().cast(pl.Int64),
        hit.sum().cast(pl.Int64).alias("hits"),
        (hit & pl.col("due")).sum().cast(pl.Int64).alias("hits_due"),
        (hit & pl.col("due") & pl.col("own_word")).sum().cast(pl.Int64).alias("hits_own_word"),
        pl.col("lead_d").median().alias("lead_median_d"),
        pl.col("lead_d").quantile(0.1, "linear").alias("lead_p10_d"),
        pl.col("cause_right").mean().alias("cause_right"),
    ]


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)


def _by_fault(truths: pl.DataFrame, false: pl.DataFrame, meter_days: int) -> pl.DataFrame:
    """Return one row a fault in the order of the vocabulary, whether anything is there or not, then all of them."""
    scored = _scored(truths, false, [], pl.lit(meter_days / _RATED_METER_DAYS))
    counts = [name for name in scored.columns if scored.schema[name] == pl.Int64]
    order = pl.DataFrame({"fault": [*FAULTS, ALL]})
    return order.join(scored, on="fault", how="left", maintain_order="left").with_columns(
        pl.col(*counts, "false_rate").fill_null(0)
    )


def _breakdown(
    truths: pl.DataFrame, false: pl.DataFrame, fleet: pl.DataFrame, known: Sequence[str], days: int
) -> pl.DataFrame:
    """Return the figures by what the truth and the registry tell."""
    nothing = pl.lit(None, dtype=pl.Float64)
    parts = []
    for name in (*OF_TRUTH, *known):
        of_truth = name in OF_TRUTH
        key = pl.col(name).cast(pl.String).alias("key")
        called = (
            false.clear().with_columns(pl.lit(None, pl.String).alias("key")) if of_truth else false.with_columns(key)
        )
        scored = _scored(truths.with_columns(key), called, ["key"], nothing)
        if of_truth:
            scored = scored.with_columns(nothing.alias("precision"), pl.lit(None, pl.Int64).alias("false_acts"))
        else:
            sizes = fleet.group_by(key).agg(pl.len().alias("size"))
            scored = scored.join(sizes, on="key", how="left", nulls_equal=True, maintain_order="left").with_columns(
                (pl.col("false_acts") / (pl.col("size") * days / _RATED_METER_DAYS)).alias("false_rate")
            )
        parts.append(scored.select(pl.lit(name).alias("by"), "key", "fault", *FIGURES))
    order = pl.col("fault").replace_strict(_ORDER, return_dtype=pl.Int64)
    place = pl.col("by").replace_strict(
        dict(zip((*OF_TRUTH, *OF_METER), range(9), strict=False)), return_dtype=pl.Int64
    )
    return pl.concat(parts).sort(place, "key", order, nulls_last=True)


_ORDER = {fault: place for place, fault in enumerate((*FAULTS, ALL))}


def _rules(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return how often each rule spoke in a first act, and how often that was false."""
    false = pl.col("why").is_not_null()
    return (
        pairs.with_columns(pl.col("said_rules").list.unique(maintain_order=True))
        .with_columns((pl.col("said_rules").list.len() == 1).alias("single"))
        .explode("said_rules")
        .group_by("fault", pl.col("said_rules").alias("rule"))
        .agg(
            pl.len().cast(pl.Int64).alias("acts"),
            false.sum().cast(pl.Int64).alias("false_acts"),
            (false & pl.col("single")).sum().cast(pl.Int64).alias("alone"),
        )
        .sort(pl.col("fault").replace_strict(_ORDER, return_dtype=pl.Int64), "rule", nulls_last=True)
    )


def _with_truths_of_meter(false: pl.DataFrame, truths: pl.DataFrame) -> pl.DataFrame:
    """Add what is truly wrong with the meter of each false act, and put the columns in order."""
    wrong = truths.group_by("meter_id").agg(
        pl.format("{} by {} from {}", "fault", "cause", pl.col("onset").dt.strftime("%Y-%m-%d"))
        .sort_by("onset", "fault")
        .alias("truly")
    )
    joined = false.join(wrong, on="meter_id", how="left", maintain_order="left")
    first = [*_PAIR, "why", "first_act", "last_act", "acts", "truly", "true_onset"]
    return joined.select(*first, pl.exclude(first)).sort(*_PAIR)


def _misses(truths: pl.DataFrame, said: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """Return the truths that are due and not hit, with what was said instead."""
    missed = truths.filter(pl.col("due") & pl.col("first_act").is_null())
    missed = missed.drop("due", "first_act", "latest_act", "lead_d", "said_cause", "cause_right", "own_word", "rules")
    return (
        missed.join(_own_word(missed, said), on="truth", how="left", maintain_order="left")
        .join(_other_words(missed, acts), on="truth", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("late_act").is_not_null())
            .then(pl.lit("late"))
            .when(pl.col("early_act").is_not_null())
            .then(pl.lit("early"))
            .when(pl.col("acted_as").is_not_null())
            .then(pl.lit("other word"))
            .when(pl.col("first_watch").is_not_null())
            .then(pl.lit("watch"))
            .otherwise(pl.lit("silent"))
            .alias("why")
        )
        .drop("truth")
        .sort(*_PAIR, "onset")
    )


def _own_word(missed: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Return what was said of each missed truth in its own word: watches in its window, acts around it."""
    since, until = pl.col("onset") - GRACE, pl.col("noticed_at") + WINDOW
    act, within = pl.col("verdict") == "act", pl.col("as_of").is_between(since, until)
    told = said.select(*_PAIR, "as_of", "verdict", "rules", "inhibited_by", pl.col("cause").alias("said"))
    return (
        missed.select("truth", *_PAIR, "onset", "noticed_at")
        .join(told, on=_PAIR)
        .sort("truth", "as_of")
        .group_by("truth", maintain_order=True)
        .agg(
            pl.col("as_of").filter(act & (pl.col("as_of") < since)).last().alias("early_act"),
            pl.col("as_of").filter(act & (pl.col("as_of") > until)).first().alias("late_act"),
            pl.col("as_of").filter(within & (pl.col("verdict") == "watch")).first().alias("first_watch"),
            pl.col("rules").filter(within).explode().drop_nulls().unique(maintain_order=True).alias("said_rules"),
            pl.col("inhibited_by").filter(within).drop_nulls().unique(maintain_order=True).alias("inhibited_by"),
        )
    )


def _other_words(missed: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """Return which other faults were acted on in the window of each missed truth."""
    within = pl.col("as_of").is_between(pl.col("onset") - GRACE, pl.col("noticed_at") + WINDOW)
    return (
        missed.select("truth", *_PAIR, "onset", "noticed_at")
        .join(acts.select("meter_id", pl.col("fault").alias("word"), "as_of"), on="meter_id")
        .filter(within, pl.col("word") != pl.col("fault"))
        .group_by("truth")
        .agg(pl.col("word").unique().sort().alias("acted_as"))
    )


def _lingering(truths: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs that are still acted on long after the last truth of them is over."""
    over = (
        truths.group_by(_PAIR)
        .agg(pl.col("end").is_null().any().alias("stays"), pl.col("end").max(), pl.col("cause", "reversible").last())
        .filter(~pl.col("stays"))
        .drop("stays")
    )
    return (
        acts.join(over, on=_PAIR, suffix="_true")
        .filter(pl.col("as_of") > pl.col("end") + LINGERS)
        .group_by(*_PAIR, "cause_true", "reversible", "end")
        .agg(
            pl.col("as_of").min().alias("first_act"),
            pl.col("as_of").max().alias("last_act"),
            pl.len().cast(pl.Int64).alias("acts"),
            pl.col("rules").last(),
        )
        .sort(_PAIR)
    )


@dataclass(frozen=True, slots=True)
class LotScores:
    """What batch findings are worth.

    Parameters
    ----------
    faults : polars.DataFrame
        One row a fault and one, ``all``: ``bad`` (truly bad lots), ``hits``, ``false_acts``, ``precision``, ``recall``.
    lots : polars.DataFrame
        Every (lot, fault) that is bad or was called so: ``key, fault, bad, act, verdict`` (the latest one told).
    """

    faults: pl.DataFrame
    lots: pl.DataFrame


def bad_lots(truth: pl.DataFrame, meters: pl.DataFrame) -> pl.DataFrame:
    """Return the truly bad lots: those with a fault whose cause is ``production_batch``.

    Parameters
    ----------
    truth : polars.DataFrame
        Rows of the truth file.
    meters : polars.DataFrame
        ``meter_id`` and ``production_batch``.

    Returns
    -------
    polars.DataFrame
        ``key`` (the lot) and ``fault``, each once.
    """
    by_lot = checked_truth(truth).filter(pl.col("cause") == "production_batch")
    lots = by_lot.join(meters.select("meter_id", "production_batch"), on="meter_id").drop_nulls("production_batch")
    return lots.select(pl.col("production_batch").alias("key"), "fault").unique().sort("key", "fault")


def judge_lots(bad: pl.DataFrame, batch_findings: pl.DataFrame, as_of: datetime | None = None) -> LotScores:
    """Judge the latest batch findings against the truly bad lots.

    Parameters
    ----------
    bad : polars.DataFrame
        ``key`` and ``fault``, as :func:`bad_lots` returns them.
    batch_findings : polars.DataFrame
        Rows of the table ``batch_findings``: at least ``as_of, scope, key, fault, verdict``.
    as_of : datetime, optional
        The diagnosis to judge; default: the latest one that told anything of any scope.
    """
    last = batch_findings["as_of"].max() if as_of is None else as_of
    told = batch_findings.with_columns(pl.col("as_of").cast(TIME)).filter(
        pl.col("as_of") == pl.lit(last, TIME), pl.col("scope") == "production_batch", pl.col("fault").is_in(FAULTS)
    )
    latest = told.select("key", "fault", "verdict").unique(["key", "fault"], keep="last", maintain_order=True)
    lots = (
        bad.select("key", "fault", pl.lit(value=True).alias("bad"))
        .join(latest, on=["key", "fault"], how="full", coalesce=True)
        .with_columns(
            pl.col("bad").fill_null(value=False), (pl.col("verdict") == "act").fill_null(value=False).alias("act")
        )
        .filter(pl.col("bad") | pl.col("act"))
        .select("key", "fault", "bad", "act", "verdict")
        .sort("key", "fault")
    )
    every = pl.concat([lots, lots.with_columns(pl.lit(ALL).alias("fault"))])
    counted = every.group_by("fault").agg(
        pl.col("bad").sum().cast(pl.Int64),
        (pl.col("bad") & pl.col("act")).sum().cast(pl.Int64).alias("hits"),
        (~pl.col("bad") & pl.col("act")).sum().cast(pl.Int64).alias("false_acts"),
    )
    order = pl.DataFrame({"fault": [*FAULTS, ALL]})
    faults = order.join(counted, on="fault", how="left", maintain_order="left").with_columns(
        pl.col("bad", "hits", "false_acts").fill_null(0)
    )
    return LotScores(
        faults.with_columns(
            _share(pl.col("hits"), pl.col("hits") + pl.col("false_acts")).alias("precision"),
            _share(pl.col("hits"), pl.col("bad")).alias("recall"),
        ),
        lots,
    )
