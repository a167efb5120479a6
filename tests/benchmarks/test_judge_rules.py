"""The tables of the evaluation, and the files for people who tune rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from benchmarks.fleets import ALL_SIGNALS
from benchmarks.judge_rules import Haste, Judged, judged, lines, main, sample_fleet, write
from diagnostics.rules import RULES
from lake.schemas import BATCH_FINDINGS, FINDINGS
from models.judging import judge, judge_lots

START = datetime(2024, 1, 1, tzinfo=UTC)


def result(fleet: str, missing: str = ALL_SIGNALS, false: str = "m3", groups: pl.DataFrame | None = None) -> Judged:
    """Return a fleet of three meters and 30 days with one hit, one miss and one false act."""
    truth = pl.DataFrame(
        {
            "meter_id": ["m1", "m2"],
            "fault": ["coil", "coil"],
            "cause": ["moisture", "age"],
            "onset": [START + timedelta(days=3)] * 2,
            "noticed_at": [START + timedelta(days=12)] * 2,
            "end": [None, None],
            "reversible": [False, False],
            "detectable": [True, True],
        }
    )
    findings = pl.DataFrame(
        {
            "meter_id": ["m1", false],
            "kind": "fault",
            "fault": "coil",
            "verdict": "act",
            "as_of": START + timedelta(days=5),
            "cause": "moisture",
            "rules": [["coil.signal", "coil.jump"], ["coil.jump"]],
        }
    )
    meters = pl.DataFrame({"meter_id": ["m1", "m2", "m3"], "production_batch": ["B1", "B1", "B2"]})
    scores = judge(truth, FINDINGS.conform(findings), date(2024, 1, 1), date(2024, 1, 30), meters)
    told = BATCH_FINDINGS.empty() if groups is None else groups
    lots = judge_lots(pl.DataFrame({"key": ["B1"], "fault": ["coil"]}), told)
    return Judged(fleet, missing, scores, lots, told, 12.0, 3.0, 30)


def test_lots_are_told_with_what_stands_out_and_what_should_have() -> None:
    """Bad ones that were called, and every group that was."""
    rows = [
        ("production_batch", "B1", "act", 0.01),
        ("production_batch", "B2", "act", 0.02),
        ("region", "N", "watch", 0.2),
    ]
    groups = BATCH_FINDINGS.conform(
        pl.DataFrame(
            [
                {"scope": scope, "key": key, "fault": "coil", "verdict": verdict, "q_value": q, "as_of": START,
                 "observed": 4, "meters": 20, "expected": 0.52, "cause": "unknown"}
                for scope, key, verdict, q in rows
            ],
            schema={name: BATCH_FINDINGS.polars[name] for name in (
                "scope", "key", "fault", "verdict", "q_value", "as_of", "observed", "meters", "expected", "cause",
            )},
        )
    )  # fmt: skip

    told = list(lines([result("one", groups=groups)]))

    place = told.index("  lots: 1 of 1 bad ones called, 1 others called")
    assert [
        "    act           production_batch B1, coil: 4 of 20, 0.5 expected, q 0.01, cause unknown, truly bad",
        "    act           production_batch B2, coil: 4 of 20, 0.5 expected, q 0.02, cause unknown",
        "    watch         region N, coil: 4 of 20, 0.5 expected, q 0.2, cause unknown",
        "",
    ] == told[place + 1 : place + 5]


def test_table_shows_each_fault_with_why_it_was_missed_and_who_was_wrong() -> None:
    """One line a fault, shares of nothing as a dash."""
    told = list(lines([result("one")]))

    assert "one, all signals: 3 meters, 30 days; made in 12.0 s, 30 diagnoses in 3.0 s" == told[0]
    assert ["coil", "2", "2", "1", "1", "1", "0.50", "0.50", "0.50", "7.0", "7.0", "1.00", "333.33"] == told[2].split()
    assert ["battery", "0", "0", "0", "0", "0", *"–––––––"[:6], "0.00"] == told[3].split()
    assert ["  missed: 1 × coil by age: silent", "  false: coil.jump 1 of 2"] == told[7:9]


def test_several_fleets_are_shown_together_as_well() -> None:
    """Counts add up."""
    told = list(lines([result("one"), result("two")]))

    place = told.index("all fleets, all signals")
    assert ["coil", "4", "4", "2", "2", "2"] == told[place + 2].split()[:6]
    assert "  lots: 0 of 2 bad ones called, 0 others called" in told[place:]


def test_missing_signals_are_compared_with_all_signals() -> None:
    """Recall and precision of each fault, side by side."""
    told = list(lines([result("one"), result("one", "codes", false="m1")]))

    place = told.index("recall / precision by what is missing")
    assert ["all", "signals", "0.50", "/", "0.50"] == told[place + 2].split()[:5]
    assert ["codes", "0.50", "/", "1.00"] == told[place + 3].split()[:4]


def test_files_hold_every_false_act_and_miss(tmp_path: Path) -> None:
    """Of all fleets, with rules and lots."""
    write([result("one"), result("two")], tmp_path)

    false = pl.read_csv(tmp_path / "false_acts.csv")
    assert [("one", "m3", "no truth", "coil.jump", "B2"), ("two", "m3", "no truth", "coil.jump", "B2")] == false.select(
        "fleet", "meter_id", "why", "said_rules", "production_batch"
    ).rows()
    assert ["m2", "m2"] == pl.read_csv(tmp_path / "misses.csv")["meter_id"].to_list()
    expected = {"faults", "breakdown", "rules", "truths", "false_acts", "misses", "lingering"}
    assert expected == {file.stem for file in tmp_path.iterdir()}


@pytest.mark.slow
def test_sample_fleet_is_judged_and_judged_again(tmp_path: Path) -> None:
    """Two valves and a burst are found, the refused valve and the cold battery are not called; twice the same."""
    fleet = sample_fleet(tmp_path / "sample")

    first = judged(fleet, None, tmp_path / "work", haste=Haste(every=3))
    second = judged(fleet, None, tmp_path / "work", haste=Haste(every=3))

    assert (3, 0) == first.scores.faults.filter(fault="all").select("hits", "false_acts").row(0)
    assert first.scores.faults.equals(second.scores.faults)
    assert (6, 30) == (first.scores.meters, first.diagnoses)


@pytest.mark.slow
def test_haste_leaves_out_days_healthy_meters_and_other_faults(tmp_path: Path) -> None:
    """And says so; all rules are there again afterwards."""
    rules = list(RULES)

    result = judged(
        sample_fleet(tmp_path / "sample"),
        None,
        tmp_path / "work",
        haste=Haste(every=15, healthy=1, faults=("actuator",)),
    )

    assert "sample (only actuator, only 1 healthy meters, every 15 days)" == result.fleet
    assert (4, 6) == (result.scores.meters, result.diagnoses)
    hits = dict(result.scores.faults.select("fault", "hits").iter_rows())
    assert (2, 0) == (hits["actuator"], hits["low_temperature"])
    assert rules == list(RULES)


def test_unknown_signal_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that can be left out."""
    with pytest.raises(SystemExit):
        main(["--without", "colour"])

    assert "valve_drive" in capsys.readouterr().err
