"""What is wrong with a data file."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.profiles.checks import Problem, problems, unknown_keys
from tests.ingest.profiles.profile_makers import CODE, definition

BIT = {"mask": 1, "family": "coil", "severity": 2, "meaning": "m", "meaning_zh": "义"}


def errors(**fields: object) -> list[str]:
    """Return the errors of a data file that is otherwise in order."""
    return [str(each) for each in problems(definition(**{"code": [CODE], **fields})) if each.level == "error"]


def test_unknown_keys_with_what_was_meant() -> None:
    """All of them, at any depth."""
    plain = {"id": "p", "versoin": 1, "code": [CODE, CODE | {"famly": "x"}], "match": [{"zzz": 1}], "case": 3}

    assert [
        ("versoin", "is no key of the format; did you mean version?"),
        ("code[1].famly", "is no key of the format; did you mean family?"),
        (
            "match[0].zzz",
            "is no key of the format; allowed are module_vendor, manufacturer, model, firmware, module_encrypted",
        ),
    ] == [(each.key, each.text) for each in unknown_keys(plain)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"code": [CODE | {"family": "batery"}]}, "code[0].family: 'batery' is no family; did you mean battery?"),
        ({"code": [CODE | {"severity": 5}]}, "code[0].severity: 5 is no severity; allowed are 1 (worst) to 4"),
        ({"code": [CODE | {"words": []}]}, "code[0].words: is empty"),
        ({"code": [CODE | {"words": ["- "]}]}, "code[0].words: '- ' is no word"),
        ({"code": [CODE, CODE | {"words": ["a"]}]}, "code[1].words: 'a' stands twice, first in code[0].words"),
        ({"silent": ["A"]}, "silent: 'A' stands twice, first in code[0].words"),
        ({"match": [{}]}, "match[0]: names nothing, so it would fit every meter"),
        ({"template": True}, "template: is true, yet there are codes"),
        ({"bits": [BIT, BIT]}, "bits[1].values: 0x1 of 0x1 stands twice, first in bits[0]"),
        ({"bits": [BIT, BIT | {"mask": 3}]}, "bits[1].mask: 0x3 overlaps 0x1 of bits[0].mask; let both look at 0x3"),
        ({"bits": [BIT | {"values": [2]}]}, "bits[0].values: 0x2 has bits outside the mask 0x1"),
        ({"bits": [BIT | {"values": [0]}]}, "bits[0].values: 0 is no code"),
        ({"bits": [BIT | {"family": "x"}]}, "bits[0].family: 'x' is no family"),
        ({"bits": [BIT | {"severity": None}]}, "bits[0].severity: None is no severity"),
        ({"bits": [BIT | {"word": "A"}]}, "bits[0].family: stands beside word = 'A', which has one"),
        ({"bits": [{"mask": 1, "word": "B"}]}, "bits[0].word: 'B' is no word of this profile"),
        ({"bits": [{"mask": 1, "word": "A", "severity": 0}]}, "bits[0].severity: 0 is no severity"),
        (
            {"bits": [BIT | {"valve_state": "ajar"}]},
            "bits[0].valve_state: 'ajar' is no state; allowed are open, closed",
        ),
        ({"bits": [BIT], "battery": [{"mask": 3, "unit": "V"}]}, "battery[0].mask: 0x3 overlaps 0x1 of bits[0].mask"),
        ({"battery": [{"unit": "V"}]}, "battery[0]: needs either fields or mask"),
        ({"battery": [{"fields": ["b"], "mask": 2, "unit": "V"}]}, "battery[0]: needs either fields or mask"),
        ({"battery": [{"fields": ["b"], "unit": "steps"}]}, 'battery[0].steps: belongs to unit = "steps"'),
        ({"battery": [{"fields": ["b"], "unit": "years"}]}, "battery[0]: does nothing: years is no voltage"),
        (
            {"battery": [{"fields": ["b"], "unit": "V", "low_at": 3, "empty_at": 3}]},
            "battery[0].empty_at: 3 is not below low_at = 3",
        ),
        ({"sentinel": [{"fields": ["temp"], "values": [1]}]}, "sentinel[0].fields: 'temp' is no field of a reading"),
        ({"sentinel": [{"fields": ["valve_state"], "values": [1]}]}, "sentinel[0].fields: 'valve_state' holds words"),
        ({"sentinel": [{"fields": ["flow_m3h"]}]}, "sentinel[0]: needs fields and values"),
        (
            {"sentinel": [{"fields": ["flow_m3h"], "values": [1], "extra": "q", "mask": 1}]},
            "sentinel[0]: has extra and mask; one of them",
        ),
        ({"valve": [{"fields": ["v"], "states": {"1": "auf"}}]}, "valve[0].states: 'auf' is no state"),
        ({"refusal": [{"fields": ["r"], "mask": 1}]}, "refusal[0]: needs either refusal or code"),
        ({"refusal": [{"fields": ["r"], "mask": 1, "refusal": "no"}]}, "refusal[0].refusal: 'no' is no refusal"),
        ({"refusal": [{"fields": ["r"], "mask": 1, "code": "B"}]}, "refusal[0].code: 'B' is no word of this profile"),
        ({"case": [{"gives": [], "fields": {"volume": 1}}]}, "case[0]: 'volume' is no field of a reading"),
    ],
)
def test_errors(fields: dict[str, Any], expected: str | None) -> None:
    """Each with its key and what is allowed."""
    found = errors(**fields)

    assert (expected is None) == (not found)
    assert expected is None or any(each.startswith(expected) for each in found), found


def test_warnings_leave_a_file_usable() -> None:
    """What somebody should look at: texts in both languages, a source, a case."""
    found = problems(definition(code=[CODE | {"meaning_zh": "", "meaning": ""}], bits=[{"mask": 2}]))

    assert {"warning"} == {each.level for each in found}
    assert [
        "description", "description_zh", "source", "code[0].meaning", "code[0].meaning_zh", "bits[0].meaning", "case",
    ] == [each.key for each in found]  # fmt: skip


def test_problem_in_words() -> None:
    """Key and text."""
    assert "code: is empty" == str(Problem("code", "is empty"))
