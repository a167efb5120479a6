from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from benchmarks.rule_pictures import clearest
from lake.schemas import FINDINGS

AS_OF = datetime(2024, 2, 1, tzinfo=UTC)


def found(meter_id: str, verdict: str, rules: list[str], *, days: int = 0) -> dict[str, object]:
    """Return one finding about the coil."""
    return {"meter_id": meter_id, "kind": "fault", "fault": "coil", "verdict": verdict, "rules": rules,
            "as_of": AS_OF + timedelta(days=days), "inhibited_by": None}  # fmt: skip


def chosen(*rows: dict[str, object]) -> dict[str, str]:
    """Return the meter drawn for each rule; meter t is the one that really fails."""
    findings = FINDINGS.conform(pl.DataFrame(list(rows), infer_schema_length=None))
    truth = pl.DataFrame([{"meter_id": "t", "fault": "coil"}])
    return dict(clearest(findings, truth).select("rule", "meter_id").iter_rows())


def test_meter_that_really_fails_is_drawn_before_one_that_does_not() -> None:
    assert {"coil.jump": "t"} == chosen(found("a", "act", ["coil.jump"]), found("t", "watch", ["coil.jump"]))


def test_rule_that_speaks_alone_is_clearer_than_one_among_others() -> None:
    rows = found("t", "act", ["coil.jump", "coil.loss"]), found("t", "act", ["coil.jump"], days=-9)

    assert {"coil.jump", "coil.loss"} == set(chosen(*rows))


def test_cleared_findings_show_nothing() -> None:
    assert {} == chosen(found("t", "clear", ["coil.jump"]))
