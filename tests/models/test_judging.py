"""Each definition of docs/contract.md, section 7, on a case of its own that can be counted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from lake.errors import UsageError
from lake.schemas import FINDINGS
from models.judging import ALL, TRUTHS, LotScores, Scores, bad_lots, judge, judge_lots, pooled

FIRST, LAST = date(2024, 1, 1), date(2024, 4, 29)  # 120 days
DAYS = 120
METERS = 100


def day(number: float) -> datetime:
    """Return the begin of a day of the record; day 1 is its first."""
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number - 1)


def fault(meter: str = "A", fault: str = "coil", onset: float = 30, noticed: float | None = 50, **changes: Any) -> dict:
    """Return one row of the truth: a lasting coil fault of age, to be seen from day 30, noticed on day 50."""
    row = {
        "meter_id": meter,
        "fault": fault,
        "cause": "age",
        "onset": day(onset),
        "noticed_at": None if noticed is None else day(noticed),
        "end": None,
        "reversible": False,
        "detectable": True,
    }
    return row | changes


def act(meter: str = "A", fault: str = "coil", at: float = 35, **changes: Any) -> dict:
    """Return one row of the findings: an act of age on day 35."""
    row = {
        "as_of": day(at),
        "mode": "backtest",
        "meter_id": meter,
        "kind": "fault",
        "fault": fault,
        "verdict": "act",
        "severity": 2,
        "cause": "age",
        "rules": [f"{fault}.first"],
        "evidence": "[]",
    }
    return row | changes


def acts(meter: str = "A", fault: str = "coil", *, since: int, until: int, **changes: Any) -> list[dict]:
    """Return an act at the begin of each of some days, both inclusive."""
    return [act(meter, fault, number, **changes) for number in range(since, until + 1)]


def scored(truth: Sequence[Mapping], findings: Sequence[Mapping], meters: pl.DataFrame | None = None) -> Scores:
    """Judge rows in a fleet of 100 meters A, M001 … over 120 days."""
    fleet = pl.DataFrame({"meter_id": ["A", "B", *(f"M{number:03}" for number in range(METERS - 2))]})
    return judge(
        pl.DataFrame(list(truth), schema=TRUTHS.polars, orient="row"),
        FINDINGS.conform(pl.DataFrame(list(findings), schema=_said()) if findings else FINDINGS.empty()),
        FIRST,
        LAST,
        fleet if meters is None else meters,
    )


def _said() -> dict[str, Any]:
    names = [*act(), "inhibited_by"]
    return {name: FINDINGS.polars[name] for name in names}


def of(scores: Scores, fault: str = "coil") -> dict[str, Any]:
    """Return the figures of a fault."""
    return scores.faults.row(by_predicate=pl.col("fault") == fault, named=True)


def counts(scores: Scores, fault: str = "coil") -> tuple[int, int, int]:
    """Return hits, false acts and misses of a fault."""
    row = of(scores, fault)
    return row["hits"], row["false_acts"], row["misses"]


def test_act_between_onset_and_notice_is_a_hit_with_its_lead() -> None:
    """From the first act until it would have been noticed."""
    scores = scored([fault()], acts(since=35, until=60))

    assert (1, 0, 0) == counts(scores)
    assert (1.0, 1.0) == (of(scores)["precision"], of(scores)["recall"])
    assert (15.0, 15.0) == (of(scores)["lead_median_d"], of(scores)["lead_p10_d"])


def test_faults_stand_in_the_order_of_the_contract_with_all_of_them_last() -> None:
    """Whether anything happened or not; shares of nothing are empty, counts are zero."""
    scores = scored([], [])

    assert ["coil", "battery", "actuator", "low_temperature", ALL] == scores.faults["fault"].to_list()
    assert (0, 0, 0) == counts(scores, ALL)
    assert (None, None, None) == tuple(of(scores)[name] for name in ("precision", "recall", "cause_right"))
    assert of(scores, ALL)["false_rate"] == 0.0


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (28.99, (0, 1, 1)),  # more than a day before onset
        (29, (1, 0, 0)),  # a day's grace
        (30, (1, 0, 0)),
        (50, (1, 0, 0)),
        (80, (1, 0, 0)),  # 30 days after it was noticed
        (80.01, (0, 0, 1)),  # too late: no hit, but not false either
    ],
)
def test_window_reaches_from_a_day_before_onset_to_thirty_days_after_notice(
    at: float, expected: tuple[int, int, int]
) -> None:
    """Both ends belong to it."""
    assert expected == counts(scored([fault()], [act(at=at)]))


def test_lead_of_an_act_after_notice_is_negative() -> None:
    """A hit all the same."""
    assert of(scored([fault()], [act(at=60)]))["lead_median_d"] == -10.0


def test_lead_is_counted_from_the_first_act_within_the_window() -> None:
    """One before onset is false and brings no lead."""
    scores = scored([fault()], [act(at=10), act(at=40)])

    assert (1, 1, 0) == counts(scores)
    assert of(scores)["lead_median_d"] == 10.0
    assert ["before onset"] == scores.false_acts["why"].to_list()


def test_lead_median_and_tenth_percentile_are_over_the_hits() -> None:
    """Leads of 0, 10, 20, 30 and 40 days: 10 % of the way is 4 days."""
    meters = ["A", "B", "M001", "M002", "M003"]
    truth = [fault(meter, noticed=70) for meter in meters]

    scores = scored(truth, [act(meter, at=70 - 10 * place) for place, meter in enumerate(meters)])

    assert (20.0, 4.0) == (of(scores)["lead_median_d"], pytest.approx(of(scores)["lead_p10_d"]))


def test_act_without_truth_is_false_and_repeats_count_once() -> None:
    """Per meter and fault: another fault of the same meter is another false act."""
    scores = scored([], [*acts(since=5, until=9), act(at=90), act(fault="battery"), act("B")])

    assert (0, 2, 0) == counts(scores)
    assert (0, 3, 0) == counts(scores, ALL)
    assert ["no truth"] * 3 == scores.false_acts["why"].to_list()
    assert (day(5), day(90), 6) == scores.false_acts.select("first_act", "last_act", "acts").row(1)


def test_truth_of_another_fault_or_meter_does_not_excuse_an_act() -> None:
    """The pair of meter and fault counts."""
    scores = scored([fault(fault="battery")], [act(), act("B", "battery")])

    assert (0, 1, 0) == counts(scores)
    assert (0, 1, 1) == counts(scores, "battery")
    assert [["battery by age from 2024-01-30"], None] == scores.false_acts["truly"].to_list()


@pytest.mark.parametrize("verdict", ["watch", "clear", "refused"])
def test_only_act_counts(verdict: str) -> None:
    """Everything else neither hits nor is false."""
    scores = scored([fault()], [act(verdict=verdict), act("B", verdict=verdict)])

    assert (0, 0, 1) == counts(scores)


def test_conditions_do_not_count() -> None:
    """They open no tickets of their own."""
    assert (0, 0, 0) == counts(scored([], [act(kind="condition", fault="leak")]), ALL)


def test_recall_counts_only_detectable_truths() -> None:
    """Of the others nothing was ever sent; called all the same they are hits in precision."""
    truth = [fault(), fault("B", detectable=False), fault("M001", detectable=False)]

    scores = scored(truth, [act(), act("B")])

    assert (3, 1, 2) == tuple(of(scores)[name] for name in ("truths", "due", "hits"))
    assert (1.0, 1.0) == (of(scores)["recall"], of(scores)["precision"])
    assert scores.misses.is_empty()


@pytest.mark.parametrize(("noticed", "due"), [(111, 1), (111.01, 0), (None, 0)])
def test_recall_counts_only_truths_noticed_ten_days_before_the_end(noticed: float | None, due: int) -> None:
    """The record ends with day 120; one that nobody noticed within it is not due."""
    scores = scored([fault(noticed=noticed)], [])

    assert (due, due) == (of(scores)["due"], of(scores)["misses"])


def test_hit_of_a_truth_that_is_not_due_counts_in_precision_alone() -> None:
    """Found before anybody noticed; its lead is known where the notice is."""
    scores = scored([fault(noticed=None), fault("B", noticed=119)], [act(at=115), act("B", at=115)])

    assert (2, 0, 0, 0) == tuple(of(scores)[name] for name in ("hits", "hits_due", "due", "false_acts"))
    assert (1.0, None) == (of(scores)["precision"], of(scores)["recall"])
    assert of(scores)["lead_median_d"] == 4.0


def test_cause_is_that_of_the_latest_act_of_the_hit() -> None:
    """An earlier guess does not matter, nor what is said after the window."""
    said = [act(at=35, cause="unknown"), act(at=60, cause="age"), act(at=90, cause="moisture")]

    assert of(scored([fault()], said))["cause_right"] == 1.0
    assert of(scored([fault()], [*said, act(at=79, cause="moisture")]))["cause_right"] == 0.0


def test_cause_unknown_is_right_where_the_truth_is_unknown() -> None:
    """An honest answer; no cause at all is none."""
    truth = [fault(cause="unknown"), fault("B", cause="unknown")]

    assert of(scored(truth, [act(cause="unknown"), act("B", cause=None)]))["cause_right"] == 0.5


def test_cause_share_is_over_all_hits() -> None:
    """Misses have no part in it."""
    truth = [fault(), fault("B"), fault("M001"), fault("M002")]

    scores = scored(truth, [act(), act("B"), act("M001", cause="moisture")])

    assert of(scores)["cause_right"] == pytest.approx(2 / 3)


def test_false_rate_is_per_thousand_meters_and_thirty_days() -> None:
    """3 of 100 meters in 120 days are 7.5; faults share one denominator and add up."""
    scores = scored([], [act(), act("B"), act("B", "battery")])

    assert (5.0, 2.5, 7.5) == tuple(of(scores, name)["false_rate"] for name in ("coil", "battery", ALL))


# One event, several words ---------------------------------------------------------------------------------------------

FROST = {"fault": "low_temperature", "cause": "low_temperature"}


@pytest.mark.parametrize(("word", "false"), [("coil", 0), ("battery", 0), ("actuator", 1)])
def test_meter_hit_by_frost_may_also_be_called_coil_or_battery_after_onset(word: str, false: int) -> None:
    """Not false, but no hit of a burst either."""
    scores = scored([fault(**FROST)], [act(fault=word, cause="low_temperature")])

    assert (0, false, 0) == counts(scores, word)
    assert (0, 0, 1) == counts(scores, "low_temperature")


@pytest.mark.parametrize("word", ["coil", "battery"])
def test_other_word_for_frost_is_false_before_onset(word: str) -> None:
    """The frost had not come."""
    scores = scored([fault(**FROST)], [act(fault=word, at=20), act(fault=word, at=35)])

    assert (0, 1, 0) == counts(scores, word)


def test_coil_failing_in_the_cold_may_also_be_called_frost() -> None:
    """After onset; no hit of a coil that does not come back."""
    scores = scored([fault(cause="low_temperature")], [act(fault="low_temperature", at=35)])

    assert (0, 0, 0) == counts(scores, "low_temperature")
    assert (0, 0, 1) == counts(scores)
    assert (0, 1, 0) == counts(scored([fault(cause="low_temperature")], [act(fault="low_temperature", at=20)]),
                               "low_temperature")  # fmt: skip


@pytest.mark.parametrize("truth", [fault(), fault(fault="battery", cause="low_temperature"), fault(fault="actuator")])
def test_no_other_fault_may_be_called_frost(truth: dict) -> None:
    """A coil that fails for another reason, and a battery that fails in the cold, are not frost."""
    assert (0, 1, 0) == counts(scored([truth], [act(fault="low_temperature")]), "low_temperature")


@pytest.mark.parametrize(("truly", "word"), [("coil", "low_temperature"), ("low_temperature", "coil")])
def test_flow_that_stops_in_the_cold_and_returns_is_hit_by_either_word(truly: str, word: str) -> None:
    """With cause and lead; how much of the recall is owed to it is told."""
    truth = fault(fault=truly, cause="low_temperature", reversible=True, end=day(45))

    scores = scored([truth], [act(fault=word, cause="low_temperature")])

    assert (1, 0, 0) == counts(scores, truly)
    assert (1.0, 0.0) == (of(scores, truly)["recall"], of(scores, truly)["recall_own_word"])
    assert (15.0, 1.0) == (of(scores, truly)["lead_median_d"], of(scores, truly)["cause_right"])
    assert (0, 0, 0) == counts(scores, word)


def test_both_words_for_one_event_are_one_hit() -> None:
    """The first act of either gives the lead; of two on one day the truth's own gives the cause."""
    truth = fault(cause="low_temperature", reversible=True, end=day(45))
    said = [act(fault="low_temperature", at=33, cause="unknown"), act(at=40, cause="low_temperature")]

    scores = scored([truth], [*said, act(fault="low_temperature", at=40, cause="unknown")])

    assert (1, 0, 0) == counts(scores, ALL)
    assert (17.0, 1.0, 1.0) == tuple(of(scores)[name] for name in ("lead_median_d", "cause_right", "recall_own_word"))


def test_reversible_fault_of_another_cause_has_one_word() -> None:
    """A coil that comes back from moisture is no frost."""
    assert (0, 1, 0) == counts(scored([fault(cause="moisture", reversible=True, end=day(45))],
                                      [act(fault="low_temperature")]), "low_temperature")  # fmt: skip


# Several truths of one meter ------------------------------------------------------------------------------------------


def test_each_fault_of_a_meter_is_judged_by_its_own_acts() -> None:
    """A moist module takes coil and battery; only one of them is called."""
    scores = scored([fault(), fault(fault="battery")], [act()])

    assert (1, 0, 0) == counts(scores)
    assert (0, 0, 1) == counts(scores, "battery")


def test_second_truth_of_a_fault_needs_an_act_of_its_own_window() -> None:
    """Frozen twice, called once: one hit, one miss."""
    twice = [fault(onset=10, noticed=15, end=day(17)), fault(onset=60, noticed=65, end=day(67))]

    assert (1, 0, 1) == counts(scored(twice, [act(at=12)]))
    assert (2, 0, 0) == counts(scored(twice, [act(at=12), act(at=61)]))


def test_act_between_two_truths_of_a_fault_is_not_before_onset() -> None:
    """The earliest of them counts."""
    twice = [fault(onset=10, noticed=15, end=day(17)), fault(onset=60, noticed=65)]

    assert (1, 0, 1) == counts(scored(twice, [act(at=20)]))
    assert (0, 1, 2) == counts(scored(twice, [act(at=5)]))


def test_word_allowed_by_one_truth_is_not_before_the_onset_of_a_later_one() -> None:
    """Frost on day 10 excuses a coil act on day 20, although the coil itself fails on day 60."""
    scores = scored([fault(onset=60, noticed=70), fault(onset=10, noticed=20, **FROST)], [act(at=20), act(at=61)])

    assert (1, 0, 0) == counts(scores)


def test_act_that_hits_two_truths_counts_for_both() -> None:
    """Their windows overlap; each is a truth of the recall."""
    twice = [fault(onset=30, noticed=40), fault(onset=50, noticed=60)]

    assert (2, 0, 0) == counts(scored(twice, acts(since=35, until=55)))


# What people who tune look at -----------------------------------------------------------------------------------------


def test_act_long_after_the_end_lingers_and_is_not_false() -> None:
    """Thirty days of clearing are allowed; the last truth of the pair counts."""
    gone = fault(reversible=True, end=day(55))

    assert scored([gone], acts(since=40, until=85)).lingering.is_empty()
    scores = scored([gone], acts(since=40, until=90))
    assert (1, 0, 0) == counts(scores)
    assert (day(86), day(90), 5) == scores.lingering.select("first_act", "last_act", "acts").row(0)
    assert scored([gone, fault(onset=80, noticed=100)], acts(since=40, until=90)).lingering.is_empty()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "silent"),
        ([act(verdict="clear")], "silent"),
        ([act(verdict="watch", inhibited_by="communication")], "watch"),
        ([act(verdict="watch", at=90)], "silent"),
        ([act(verdict="watch"), act(fault="battery")], "other word"),
        ([act(at=20), act(at=40, verdict="watch")], "early"),
        ([act(at=20), act(at=90)], "late"),
    ],
)
def test_miss_says_what_was_said_instead(said: list[dict], why: str) -> None:
    """In the order: too late, too early, under another word, only watched, nothing."""
    misses = scored([fault()], said).misses

    assert [("A", "coil", "age", why)] == misses.select("meter_id", "fault", "cause", "why").rows()


def test_miss_names_rules_inhibition_and_other_words() -> None:
    """Of the window alone."""
    said = [
        act(verdict="watch", rules=["coil.second"], inhibited_by="empty_pipe"),
        act(verdict="watch", at=3, rules=["coil.third"]),
        act(fault="actuator"),
    ]

    [miss] = scored([fault()], said).misses.rows(named=True)

    assert (["coil.second"], ["empty_pipe"], ["actuator"]) == (
        miss["said_rules"],
        miss["inhibited_by"],
        miss["acted_as"],
    )


def test_rules_of_the_first_act_are_counted() -> None:
    """Who raised it, and whether anybody else agreed."""
    said = [
        act(rules=["coil.first", "coil.second"]),
        act(at=36, rules=["coil.third"]),
        act("B", rules=["coil.first", "coil.second"]),
        act("M001", rules=["coil.first"]),
    ]

    scores = scored([fault()], said)

    assert [("coil", "coil.first", 3, 2, 1), ("coil", "coil.second", 2, 1, 0)] == scores.rules.rows()


def test_breakdown_by_cause_and_end_of_the_truth() -> None:
    """False acts have no cause, so these rows have none."""
    truth = [fault(), fault("B", cause="moisture", reversible=True, end=day(60))]

    rows = scored(truth, [act(), act("M001")]).breakdown.filter(fault="coil")

    kept = rows.select("by", "key", "due", "hits", "recall", "false_acts", "precision").rows()
    assert [
        ("cause", "age", 1, 1, 1.0, None, None),
        ("cause", "moisture", 1, 0, 0.0, None, None),
        ("reversible", "false", 1, 1, 1.0, None, None),
        ("reversible", "true", 1, 0, 0.0, None, None),
    ] == kept


def test_breakdown_by_what_the_registry_tells_of_the_meter() -> None:
    """Each lot with its own share of the fleet as exposure; meters without a lot are a group as well."""
    fleet = pl.DataFrame({"meter_id": ["A", "B", "M001", "M002"], "production_batch": ["L1", "L1", "L2", None]})

    scores = scored([fault(), fault("M002")], [act(), act("B"), act("M001"), act("M002")], fleet)

    rows = scores.breakdown.filter(by="production_batch", fault=ALL).select(
        "key", "hits", "false_acts", "precision", "false_rate"
    )
    assert [
        ("L1", 1, 1, 0.5, 125.0),  # 1 in 2 meters and 4 times 30 days
        ("L2", 0, 1, 0.0, 250.0),
        (None, 1, 0, 1.0, 0.0),
    ] == rows.rows()
    assert ["L1", "L2"] == scores.false_acts["production_batch"].to_list()


def test_fleets_are_pooled_as_if_they_were_one() -> None:
    """Counts add up, leads are taken together, the rate is over all meters and days."""
    one, two = scored([fault()], [act(at=40)]), scored([fault(), fault("B")], [act(at=30), act("M001")])

    [row] = pooled([one, two]).filter(fault="coil").rows(named=True)

    assert (3, 2, 1, 1) == tuple(row[name] for name in ("truths", "hits", "misses", "false_acts"))
    assert (15.0, pytest.approx(2 / 3), 1.25) == (row["lead_median_d"], row["recall"], row["false_rate"])


def test_meters_named_twice_count_once() -> None:
    """An export of the registry may repeat itself."""
    fleet = pl.DataFrame({"meter_id": ["A", "A", "B"]})

    assert scored([], [], fleet).meters == 2


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"fault": "radio"}, "a fault that is none of"),
        ({"fault": None}, "a fault that is none of"),
        ({"cause": "wear"}, "a cause that is none of"),
        ({"meter_id": None}, "no meter_id"),
        ({"onset": None}, "no onset"),
        ({"noticed_at": day(29)}, "noticed_at before onset"),
        ({"end": day(29)}, "end before onset"),
    ],
)
def test_truth_that_contradicts_itself_is_refused(changes: dict, problem: str) -> None:
    """With the row of the file that is wrong: the header is row 1."""
    with pytest.raises(UsageError, match=f"truth, row 3 .*{problem}"):
        scored([fault("B"), fault() | changes], [])


def test_truth_without_a_column_is_refused() -> None:
    """By its name."""
    with pytest.raises(UsageError, match="noticed_at"):
        judge(TRUTHS.empty().drop("noticed_at"), FINDINGS.empty(), FIRST, LAST, pl.DataFrame({"meter_id": ["A"]}))


@pytest.mark.parametrize(("last", "meters"), [(date(2023, 12, 31), ["A"]), (LAST, [])])
def test_record_without_days_or_meters_is_refused(last: date, meters: list[str]) -> None:
    """There is nothing to divide by."""
    fleet = pl.DataFrame({"meter_id": meters}, schema={"meter_id": pl.String})

    with pytest.raises(UsageError, match="cannot be judged"):
        judge(TRUTHS.empty(), FINDINGS.empty(), FIRST, last, fleet)


def test_inputs_are_left_as_they_were() -> None:
    """And the order of their rows does not matter."""
    rows = [fault(), fault("B", "battery", cause="moisture")]
    said = [*acts(since=20, until=40), act("B", "battery", cause="moisture"), act("B")]

    first, second = scored(rows, said), scored(rows[::-1], said[::-1])

    assert first.faults.equals(second.faults)
    assert first.breakdown.equals(second.breakdown)
    assert first.false_acts.equals(second.false_acts)


# Lots -----------------------------------------------------------------------------------------------------------------


def told(*rows: tuple[float, str, str, str, str]) -> pl.DataFrame:
    """Return batch findings from (day, scope, key, fault, verdict)."""
    return pl.DataFrame(
        [(day(at), *rest) for at, *rest in rows], schema=["as_of", "scope", "key", "fault", "verdict"], orient="row"
    )


def lot_counts(scores: LotScores, fault: str = ALL) -> tuple[int, int, int]:
    """Return bad lots, hits and false acts."""
    return scores.faults.filter(fault=fault).select("bad", "hits", "false_acts").row(0)


def test_bad_lots_are_those_with_faults_caused_by_the_lot() -> None:
    """Each lot and fault once; meters without a lot tell nothing."""
    truth = pl.DataFrame(
        [
            fault(cause="production_batch"),
            fault("B", cause="production_batch"),
            fault("M001", cause="production_batch"),
            fault("M002", "battery"),
        ],
        schema=TRUTHS.polars,
        orient="row",
    )
    meters = pl.DataFrame({"meter_id": ["A", "B", "M001", "M002"], "production_batch": ["L1", "L1", None, "L2"]})

    assert [("L1", "coil")] == bad_lots(truth, meters).rows()


def test_lots_are_judged_by_the_latest_batch_findings() -> None:
    """What was thought earlier does not count, nor watch, nor another scope."""
    bad = pl.DataFrame({"key": ["L1", "L2"], "fault": ["coil", "battery"]})
    findings = told(
        (50, "production_batch", "L3", "coil", "act"),
        (120, "production_batch", "L1", "coil", "act"),
        (120, "production_batch", "L2", "battery", "watch"),
        (120, "production_batch", "L4", "coil", "act"),
        (120, "region", "L2", "battery", "act"),
    )

    scores = judge_lots(bad, findings)

    assert (2, 1, 1) == lot_counts(scores)
    assert (1, 1, 1) == lot_counts(scores, "coil")
    row = scores.faults.filter(fault=ALL)
    assert (0.5, 0.5) == row.select("precision", "recall").row(0)
    assert [("L1", True, True), ("L2", True, False), ("L4", False, True)] == scores.lots.select(
        "key", "bad", "act"
    ).rows()


def test_lot_is_bad_of_one_fault_only() -> None:
    """The right lot for the wrong fault is a miss and a false act."""
    scores = judge_lots(
        pl.DataFrame({"key": ["L1"], "fault": ["coil"]}), told((120, "production_batch", "L1", "battery", "act"))
    )

    assert (1, 0, 1) == lot_counts(scores)


def test_lots_as_of_a_diagnosis_that_told_nothing_are_all_missed() -> None:
    """An older act is no longer the latest word."""
    scores = judge_lots(
        pl.DataFrame({"key": ["L1"], "fault": ["coil"]}),
        told((50, "production_batch", "L1", "coil", "act")),
        as_of=day(121),
    )

    assert (1, 0, 0) == lot_counts(scores)
