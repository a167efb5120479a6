"""A diagnosis that asks some rules only: what the others said stands."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import polars as pl

from diagnostics.diagnosis import diagnose
from diagnostics.standing import standing
from lake.schemas import FINDINGS
from tests.diagnostics.frames import START, chained, readings

AS_OF = START + timedelta(days=3)

BEFORE: dict[str, Any] = {
    "diagnosis_id": "d1",
    "mode": "live",
    "as_of": START + timedelta(days=2),
    "meter_id": "a",
    "kind": "fault",
    "fault": "battery",
    "verdict": "act",
    "severity": 2,
    "rules": ["battery.plateau", "battery.sag", "battery.codes", "gone.rule"],
    "evidence": '[{"rule":"battery.plateau","value":3.31},{"rule":"battery.codes","value":["X"]},{"rule":"cause"},'
    '{"rule":"battery.plateau","value":"°C"}]',
    "cause": "moisture",
    "cause_confidence": 0.8,
}
CONDITION = BEFORE | {"kind": "condition", "fault": "tamper", "verdict": "watch", "rules": ["tamper.codes"]}


def before(*rows: dict[str, Any]) -> pl.DataFrame:
    return FINDINGS.conform(pl.DataFrame(list(rows), schema={name: FINDINGS.polars[name] for name in rows[0]}))


def three_days() -> pl.DataFrame:
    return chained(readings({"volume_m3": [100 + hour * 0.01 for hour in range(72)]}, meter_id="a"))


def test_finding_is_taken_apart_into_its_rules() -> None:
    """Those not asked again, the first with the verdict; each with its own evidence, to the character."""
    rows = standing(before(BEFORE), {"battery.codes"})

    assert [("battery.plateau", "act"), ("battery.sag", "watch")] == rows.select("rule", "strength").rows()
    assert [['{"rule":"battery.plateau","value":3.31}', '{"rule":"battery.plateau","value":"°C"}'], []] == rows[
        "evidence"
    ].to_list()
    assert ["moisture", "moisture"] == rows["cause"].to_list()


def test_nothing_before_is_nothing_standing() -> None:
    """With the columns of what rules say."""
    assert 0 == standing(FINDINGS.empty(), set()).height


def test_rules_that_are_not_asked_stand() -> None:
    """A finding of theirs is told again, and nothing is over only because nobody was asked."""
    days = three_days()
    asked = diagnose(days, as_of=AS_OF, diagnosis_id="d2", mode="hot", previous=before(BEFORE), rules=["coil.jump"])
    every = diagnose(days, as_of=AS_OF, diagnosis_id="d2", mode="live", previous=before(BEFORE))

    assert [("battery", "act", 2)] == asked.select("fault", "verdict", "severity").rows()
    assert ["battery.plateau", "battery.sag", "battery.codes"] == sorted(
        asked["rules"][0].to_list(), key=BEFORE["rules"].index
    )
    assert 3.31 in [item.get("value") for item in json.loads(asked["evidence"][0])]
    assert "act" not in every.filter(pl.col("fault") == "battery")["verdict"].to_list()


def test_conditions_that_are_not_asked_still_explain() -> None:
    """They mute what they muted in the whole diagnosis."""
    valve = BEFORE | {"fault": "actuator", "rules": ["actuator.unopened"]}
    rows = diagnose(
        three_days(), as_of=AS_OF, diagnosis_id="d2", mode="hot", previous=before(valve, CONDITION), rules=[]
    )

    assert [("watch", "tamper")] == rows.filter(pl.col("fault") == "actuator").select("verdict", "inhibited_by").rows()
