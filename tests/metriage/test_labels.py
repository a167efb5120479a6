"""Words for people in both languages, and texts that cannot steer a terminal."""

from __future__ import annotations

import json
import string

import pytest

from diagnostics.evidence import OBSERVATIONS
from lake.vocabulary import CAUSES, CONDITIONS, FAULTS, VERDICTS
from metriage.labels import _WORDS, FAULTS_ZH, cause_name, cell, evidence_lines, fault_name, printable, word
from tickets.store import STATES

HOSTILE = "\x1b[31m\x9b2J[bold]x[/]\x00\u202e\u2028\u200b\r\n\tb"


def placeholders(text: str) -> list[str | None]:
    return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]


@pytest.mark.parametrize("key", _WORDS)
def test_both_languages_take_the_same_values(key: str) -> None:
    """A translation that forgot one would print half a sentence."""
    english, chinese = _WORDS[key]

    assert english
    assert chinese
    assert placeholders(english) == placeholders(chinese)


def test_every_fault_condition_verdict_and_state_has_a_chinese_word() -> None:
    """Nothing of the vocabulary is left in English."""
    assert {*FAULTS, *CONDITIONS} == set(FAULTS_ZH)
    assert [] == [name for name in (*VERDICTS, *STATES) if word(name, "zh").isascii()]
    assert [] == [name for name in CAUSES if cause_name(name, "zh").isascii()]


def test_english_tables_show_the_words_of_the_contract() -> None:
    """So that they can be searched for and given to --fault."""
    assert ["low_temperature", "发讯圈"] == [fault_name("low_temperature", "en"), fault_name("coil", "zh")]


def test_cell_is_one_bounded_line() -> None:
    """Whatever a stranger sent."""
    assert "[31m2J[bold]x[/] b" == cell(HOSTILE)
    assert 200 == len(cell("水" * 10_000))


def test_printable_keeps_lines() -> None:
    """Messages may have several."""
    assert "a\nb" == printable("a\x1b\nb\x07")


def test_evidence_reads_like_a_sentence() -> None:
    """Value, unit, from when to when, limit, window, further figures."""
    evidence = json.dumps(
        [
            {
                "rule": "battery.plateau",
                "what": "plateau_fall",
                "value": 0.3747,
                "unit": "V",
                "from": "2024-07-08T22:53:31Z",
                "to": "2024-07-11T16:53:37Z",
                "threshold": 0.05,
                "window_days": 3,
                "days": 2,
                "baseline_v": 3.5757,
            }
        ]
    )

    english = (
        "resting voltage below its baseline, temperature taken off: 0.3747 V, 2024-07-08 22:53 UTC to 2024-07-11 16:53 "
        "UTC, limit 0.05 V, within 3 days, on 2 days, baseline 3.5757 V"
    )
    chinese = (
        "扣除温度后静态电压低于基线：0.3747 V，2024-07-08 22:53 UTC 至 2024-07-11 16:53 UTC，限值 0.05 V，3 天内，"
        "共 2 天，基线 3.5757 V"
    )
    assert [english] == evidence_lines(evidence, "en")
    assert [chinese] == evidence_lines(evidence, "zh")


def test_muted_evidence_names_what_explains_it() -> None:
    """The condition in the reader's language."""
    evidence = '{"rule":"coil.jump","what":"muted","value":"act","unit":"","by":"exchange"}'

    assert [f"{OBSERVATIONS['muted'][1]}：act，换表"] == evidence_lines(evidence, "zh")


@pytest.mark.parametrize("evidence", [None, "", "null", "[]", "{}"])
def test_no_evidence_is_no_line(evidence: str | None) -> None:
    """Older rows may have none."""
    assert [] == evidence_lines(evidence, "en")


@pytest.mark.parametrize(
    "evidence",
    [
        "{",
        "[1, null]",
        json.dumps([{"what": HOSTILE, "value": HOSTILE, "unit": HOSTILE, "from": HOSTILE, HOSTILE: {"a": [1]}}]),
        json.dumps([{"value": 1e308, "threshold": True, "to": 5}]),
        '[{"value": NaN}]',
    ],
)
def test_odd_evidence_is_shown_harmless(evidence: str) -> None:
    """It comes from the lake, which others may write."""
    lines = evidence_lines(evidence, "en")

    assert lines
    assert not {"\x1b", "\x9b", "\u202e", "\n"} & set("".join(lines))
