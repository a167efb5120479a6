"""What a batch finding says: in both languages, with the comparison that decided it, and harmlessly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lake.vocabulary import BATCH_SCOPES, BATCH_VERDICTS, CAUSES, FAULTS
from metriage.batch_sentences import cause_sentence, observations, sentences, title_of
from metriage.batch_texts import scope_title, stratum_value
from metriage.labels import Language

LANGUAGES: tuple[Language, ...] = ("en", "zh")


def finding(evidence: Any = None, **more: Any) -> dict[str, Any]:
    """Return a batch finding that acts."""
    row = {
        "scope": "production_batch", "key": "L-7", "fault": "coil", "verdict": "act", "cause": "production_batch",
        "meters": 200, "observed": 20, "expected": 4.25, "ratio": 4.1, "ratio_low": 2.8, "ratio_high": 5.7,
        "evidence": json.dumps(evidence if evidence is not None else []),
    }  # fmt: skip
    return row | more


def overlap(decided: str) -> dict[str, Any]:
    return {
        "rule": "batch", "what": "batch_overlap", "value": "Cellio", "scope": "module_vendor", "decided": decided,
        "inside_observed": 14.0, "inside_expected": 3.0, "elsewhere_observed": 6.0, "elsewhere_expected": 1.9,
        "elsewhere_keys": 2, "others_observed": 31.0, "others_expected": 29.4, "others_groups": 8,
    }  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("scope", BATCH_SCOPES)
@pytest.mark.parametrize("verdict", BATCH_VERDICTS)
def test_every_scope_and_verdict_has_its_sentences(language: Language, scope: str, verdict: str) -> None:
    """And names what it is about."""
    row = finding(scope=scope, verdict=verdict)

    assert all(sentences(row, language))
    for fault in FAULTS:
        assert title_of(row | {"fault": fault}, language).startswith(f"{scope_title(scope, language)} L-7")


def test_excess_is_told_with_figures_of_few_digits() -> None:
    """How many of how many, how many would be usual, and how sure that is."""
    assert sentences(finding(), "en")[0] == (
        "20 of 200 meters have the fault; at the rate of others in the same place 4.2 would. After shrinking, 4.1 times"
        " as many (90 %: 2.8 to 5.7)."
    )


@pytest.mark.parametrize(
    ("decided", "end"),
    [
        ("itself", "So it is not the module vendor."),
        ("other", "So it is the module vendor."),
        ("together", "Only the two together fail."),
        ("open", "That is too little to tell the two apart."),
        ("<b>", "That is too little to tell the two apart."),
    ],
)
def test_comparison_that_decided_is_told(decided: str, end: str) -> None:
    """Others of the same module, and the same lot elsewhere."""
    told = sentences(finding([overlap(decided)]), "en")

    assert (
        "14 of its failures are of module vendor Cellio. Others of that module vendor: 31 failed, 29.4 expected; the"
        f" same group elsewhere: 6 failed, 1.9 expected. {end}"
    ) in told


def test_places_are_listed_and_cut() -> None:
    """The first six of them."""
    places = [{"place": f"P{n}", "observed": n, "expected": 1.0} for n in range(8)]
    told = sentences(finding([{"what": "batch_places", "value": 6, "of": 8, "places": places}]), "en")

    line = next(line for line in told if line.startswith("More than expected in 6 of 8 regions: "))
    assert "P5 5 (1.0 expected)…." in line
    assert "P6" not in line


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("cause", [*CAUSES, None, "", "not a word"])
def test_every_cause_is_said_and_so_is_that_nobody_knows(language: Language, cause: str | None) -> None:
    """What is not known is no conclusion."""
    said = cause_sentence(cause, language)

    assert said
    assert (not cause or cause == "unknown") == ("not known" in said or "原因未明" in said)


@pytest.mark.parametrize(
    "evidence", [None, "", "{", "7", "null", '["x", 7]', '[{"what": 7}]', "[" * 5000, '[{"what":"batch_places"}]',
                 '[{"what":"batch_places","places":[7]}]', '[{"what":"batch_alone","value":"x"}]',
                 '[{"what":"batch_overlap"}]', '[{"what":"batch_chance"}]', '[{"what":"batch_cold"}]'],
)  # fmt: skip
def test_foreign_evidence_is_passed_over(evidence: str | None) -> None:
    """Nothing in a table can make the sentences fail."""
    row = finding() | {"evidence": evidence}

    assert isinstance(observations(row), list)
    assert all(isinstance(line, str) for language in LANGUAGES for line in sentences(row, language))


def test_hostile_names_are_cut_and_stripped() -> None:
    """They come from registry files."""
    name = "x\x1b[31m\u202e" + "水" * 500
    row = finding([overlap("itself") | {"value": name}], key=name)

    for line in [*sentences(row, "en"), title_of(row, "en")]:
        assert "\x1b" not in line
        assert "\u202e" not in line
        assert len(line) < 600


def test_values_of_strata_are_said_in_words() -> None:
    """Ages in years."""
    assert ("3 years on", "3 年以上") == tuple(stratum_value("age_from_days", "1095", each) for each in LANGUAGES)
    assert ("outdoor", "户外") == tuple(stratum_value("installation", "outdoor", each) for each in LANGUAGES)
    assert stratum_value("installation", "attic", "zh") == "attic"
