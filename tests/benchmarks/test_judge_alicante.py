"""Acts on the recorded homes, and what differs from those that people have looked at."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from benchmarks.judge_alicante import ACCEPTED, acts_of, differences
from lake.schemas import FINDINGS


def findings(*rows: tuple[str, str, str, int, str]) -> pl.DataFrame:
    """Return findings from (meter, kind, fault, day of June, verdict)."""
    frame = pl.DataFrame(
        [
            {
                "meter_id": f"{meter}-long-key",
                "kind": kind,
                "fault": fault,
                "as_of": datetime(2016, 6, day, 22, tzinfo=UTC),
                "verdict": verdict,
                "rules": [f"{fault}.first"],
                "cause": "unknown",
            }
            for meter, kind, fault, day, verdict in rows
        ]
    )
    return FINDINGS.conform(frame)


def accepted(*rows: tuple[str, str, str]) -> pl.DataFrame:
    """Return the list of acts from (meter, fault, first day)."""
    return pl.DataFrame(
        [(meter, fault, first, f"{fault}.first", "unknown") for meter, fault, first in rows],
        schema=["meter", "fault", "first", "rules", "cause"],
        orient="row",
    )


def test_acts_are_one_a_meter_and_fault_faults_first() -> None:
    """Of the local day that ends with the as-of time; other verdicts are none."""
    acts = acts_of(
        findings(
            ("12345678", "condition", "leak", 3, "act"),
            ("12345678", "fault", "coil", 5, "act"),
            ("12345678", "fault", "coil", 9, "act"),
            ("87654321", "fault", "coil", 9, "watch"),
        )
    )

    told = [(row["meter"], row["fault"], str(row["first"]), str(row["last"]), row["days"]) for row in acts.to_dicts()]
    assert [
        ("12345678", "coil", "2016-06-05", "2016-06-09", 2),
        ("12345678", "leak", "2016-06-03", "2016-06-03", 1),
    ] == told


def test_acts_that_people_have_looked_at_are_no_difference() -> None:
    """Conditions are not compared."""
    acts = acts_of(findings(("12345678", "fault", "coil", 5, "act"), ("12345678", "condition", "leak", 5, "act")))

    assert [] == differences(acts, accepted(("12345678", "coil", "2016-06-05")))


def test_new_gone_and_changed_acts_are_told() -> None:
    """Each with its day and rules."""
    acts = acts_of(findings(("aaaaaaaa", "fault", "coil", 5, "act"), ("bbbbbbbb", "fault", "coil", 6, "act")))

    told = differences(acts, accepted(("aaaaaaaa", "coil", "2016-06-03"), ("cccccccc", "battery", "2016-06-01")))

    assert [
        "changed: coil of aaaaaaaa, first 2016-06-03 -> 2016-06-05",
        "new: coil of bbbbbbbb on 2016-06-06, coil.first",
        "gone: battery of cccccccc on 2016-06-01, battery.first",
    ] == told


def test_nothing_found_at_all_is_a_difference() -> None:
    """Every act of the list is gone."""
    assert ["gone"] == [
        line.split(":")[0] for line in differences(acts_of(FINDINGS.empty()), accepted(("a", "coil", "2016-06-03")))
    ]


def test_list_holds_what_people_have_looked_at() -> None:
    """Meters that count backwards or flip register bits; no home that stands empty."""
    assert {"12913a45", "1de2cf65", "219ffd09"} == set(pl.read_csv(ACCEPTED)["meter"])
