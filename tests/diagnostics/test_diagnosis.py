from __future__ import annotations

import json
from datetime import datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diagnostics.diagnosis import diagnose
from diagnostics.facts import Facts
from diagnostics.rules import RULES
from diagnostics.settings import RuleSettings
from lake.schemas import DAILY, FINDINGS
from lake.vocabulary import CAUSES, CONDITIONS, FAULTS
from tests.diagnostics.frames import START, chained, codes, judged, readings


def backwards(days: int, falls: int) -> pl.DataFrame:
    """Return daily rows with backward counts on the first `falls` days."""
    hours = [24 * day + hour for day in range(days) for hour in (1, 2, 3)]
    registers = [10 + day * 0.1 + step for day in range(days) for step in (0.0, 0.02, 0.015 if day < falls else 0.03)]
    return chained(
        readings(
            {
                "ts": [START + timedelta(hours=hour) for hour in hours],
                "volume_m3": [round(register, 3) for register in registers],
            }
        )
    )


def diagnosed(daily: pl.DataFrame, as_of: datetime, previous: pl.DataFrame | None = None) -> pl.DataFrame:
    return diagnose(daily, as_of=as_of, diagnosis_id="d", mode="live", previous=previous)


def test_finding_conforms_and_says_why_since_when_and_what_to_do() -> None:
    """One row with the columns of the contract."""
    found = diagnosed(backwards(6, 5), START + timedelta(days=6))

    row = found.row(0, named=True)
    assert found.schema == FINDINGS.polars
    assert found.height == 1
    assert (row["fault"], row["verdict"], row["rule_verdict"], row["kind"]) == ("coil", "act", "act", "fault")
    assert row["rules"] == ["coil.backward"]
    assert row["onset"] == START + timedelta(hours=3)
    assert json.loads(row["evidence"])[0]["value"] == 5
    assert row["action"] == RULES["coil.backward"].texts["en"].action
    assert (row["cause"], row["model_verdict"], row["probability"]) == ("unknown", None, None)


def test_action_speaks_the_language_of_the_site() -> None:
    """Chinese where Chinese is configured."""
    daily = backwards(6, 5)

    assert judged(daily, language="zh")["coil"]["action"] == RULES["coil.backward"].texts["zh"].action


def test_registry_adds_lot_and_region() -> None:
    """Where the registry knows them."""
    registry = pl.DataFrame({"meter_id": ["m1"], "production_batch": ["L7"], "region": ["north"]})

    row = judged(backwards(6, 5), facts=Facts(meters=registry))["coil"]

    assert (row["production_batch"], row["region"]) == ("L7", "north")


def test_finding_clears_for_some_days_and_then_ends() -> None:
    """An act stands until its rule sees nothing any more; clear rows are written until clearing is complete."""
    daily = backwards(60, 4)
    previous, verdicts = None, []
    for day in range(4, 60):
        previous = diagnosed(daily, START + timedelta(days=day), previous)
        verdicts.append(previous["verdict"].to_list())

    assert verdicts[0] == ["act"]
    assert [] in verdicts
    assert [verdict for index, verdict in enumerate(verdicts) if index == 0 or verdict != verdicts[index - 1]] == [
        ["act"],
        ["clear"],
        [],
    ]
    assert verdicts.count(["clear"]) == RuleSettings().clearing.days


def test_act_is_held_while_its_rule_still_watches() -> None:
    """Days leave the window one by one: the finding says so instead of flapping."""
    daily = backwards(40, 4)
    first = diagnosed(daily, START + timedelta(days=6))

    later = diagnosed(daily, START + timedelta(days=32), first)

    assert ["act"] == later["verdict"].to_list()
    assert "held" in {seen["what"] for seen in json.loads(later["evidence"][0])}
    assert ["watch"] == diagnosed(daily, START + timedelta(days=32))["verdict"].to_list()


def test_onset_stays_when_the_window_moves_on() -> None:
    """The first day of the symptom leaves the window, not the finding."""
    daily = backwards(50, 50)
    first = diagnosed(daily, START + timedelta(days=6))

    later = diagnosed(daily, START + timedelta(days=45), first)

    assert later["onset"][0] == START + timedelta(hours=3)


def test_silent_meter_keeps_its_finding_beyond_the_window() -> None:
    """Silence is no sign that anything got better."""
    daily = backwards(6, 5)
    first = diagnosed(daily, START + timedelta(days=6))

    later = diagnosed(daily.tail(1), START + timedelta(days=200), first)

    coil = later.filter(pl.col("fault") == "coil").row(0, named=True)
    assert (coil["verdict"], coil["rules"]) == ("act", ["coil.backward"])
    assert coil["as_of"] == START + timedelta(days=200)


def test_condition_mutes_what_it_explains_and_says_so() -> None:
    """A reverse register that counts explains backward counts: watch, with the reason."""
    daily = backwards(6, 5).with_columns(pl.lit(0.005).alias("reverse_m3"))

    row = judged(daily)["coil"]

    assert (row["verdict"], row["inhibited_by"]) == ("watch", "backflow")
    assert [seen["by"] for seen in row["evidence"] if seen["what"] == "muted"] == ["backflow"]


def test_one_row_for_each_meter_and_fault_whatever_fires() -> None:
    """Several rules of a fault make one finding with the evidence of all."""
    hours = range(24 * 4)
    seen = readings(
        {
            "ts": [START + timedelta(hours=hour) for hour in hours],
            "volume_m3": [round(10 - 0.01 * (hour % 2), 3) for hour in hours],
        }
    )
    told = codes((START, "coil", 1, "reed fault"), (START, "battery", 3, "low"), (START, "tamper", 2, "magnet"))

    found = judged(chained(seen, told))

    assert set(found) >= {"coil", "battery", "tamper"}
    assert set(found["coil"]["rules"]) == {"coil.backward", "coil.codes"}
    shown = {seen["rule"] for seen in found["coil"]["evidence"]}
    assert {"coil.backward", "coil.codes"} == {rule for rule in shown if rule in RULES}
    assert (found["battery"]["verdict"], found["battery"]["severity"]) == ("watch", 3)


def test_input_is_left_as_it_is_and_row_order_irrelevant() -> None:
    """Pure: tables in, tables out."""
    daily = backwards(6, 5)
    before = daily.clone()
    as_of = START + timedelta(days=6)

    assert_frame_equal(diagnosed(daily, as_of), diagnosed(daily.reverse(), as_of))
    assert_frame_equal(before, daily)


def test_empty_table_gives_no_findings() -> None:
    """Nothing in, nothing out."""
    assert diagnosed(DAILY.empty(), START).is_empty()


def test_rows_without_any_signal_never_crash_a_rule() -> None:
    """A meter that sends only a status has daily rows of nulls."""
    seen = readings({"status": [1, 2, 3]})

    assert judged(chained(seen)) == {}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_every_rule_keeps_the_contract(rule: object) -> None:
    """Id, words, source, severity, cause and a settings entry of its own."""
    from diagnostics.rules import Rule

    assert isinstance(rule, Rule)
    fault, name = rule.id.split(".")
    assert rule.fault == fault
    assert fault in (*FAULTS, *CONDITIONS)
    assert rule.cause in CAUSES
    assert rule.source
    assert set(rule.inhibited_by) <= {*CONDITIONS, *FAULTS, *RULES}
    for language in ("en", "zh"):
        text = rule.texts[language]
        assert text.title
        assert text.trigger
        assert text.action
    assert hasattr(getattr(RuleSettings(), fault), name)


def test_switched_off_rule_is_silent() -> None:
    """Every rule can be switched off."""
    import msgspec

    settings = msgspec.toml.decode(b"[coil.backward]\nenabled = false", type=RuleSettings)

    assert judged(backwards(6, 5), settings=settings) == {}
