"""Words and bits of a profile."""

from __future__ import annotations

import pytest

from ingest.profiles.translation import Translation, reversed_bytes
from tests.ingest.profiles.profile_makers import CODE, profile

LOW = {"words": ["LOW_POWER"], "family": "battery", "severity": 2, "meaning": "low", "meaning_zh": "低"}


def told(found: list[Translation]) -> list[tuple[str, str, int]]:
    return [(each.code, each.family, each.severity) for each in found]


def test_spelling_does_not_matter() -> None:
    """Case, blanks, hyphens and underscores are no difference; the code is kept as it came."""
    found = profile(code=[LOW | {"sticky": True}]).translate(None, [" low-Power ", "lowPower"])

    assert [(" low-Power ", "battery", 2, "low", True), ("lowPower", "battery", 2, "low", True)] == found


def test_unknown_code_is_kept() -> None:
    """A code or status that nobody explains is of family unknown, the mildest."""
    assert [("<b>", "unknown", 4, None, False), ("status:0x44", "unknown", 4, None, False)] == profile().translate(
        68, ["<b>"]
    )


def test_negative_status() -> None:
    """A status word is any 64-bit integer; with known bits its negative ones are looked at as they were sent."""
    bits = profile(bits=[{"mask": 1, "word": "A"}])

    assert [("status:-0x1", "unknown", 4)] == told(profile().translate(-1, []))
    assert [("status:0x1", "coil", 1), ("status:0x8000000000000000", "unknown", 4)] == [
        *told(bits.translate(-(2**63) + 1, []))
    ]


def test_silent_words_are_no_codes() -> None:
    """Own and inherited ones; a profile may make a code of one that is silent elsewhere."""
    generic = profile(silent=["OK", "FINE"])
    own = profile(generic, code=[LOW | {"words": ["FINE"]}], silent=["NOTHING"])

    assert [("FINE", "battery", 2)] == told(own.translate(0, ["ok", "nothing", "FINE", "-", ""]))


def test_fallback_only_where_the_file_wants_it() -> None:
    """Own words go first."""
    generic = profile(code=[CODE, LOW])

    assert [("A", "memory", 4), ("LOW_POWER", "battery", 2)] == told(
        profile(generic, code=[CODE | {"family": "memory", "severity": 4}]).translate(None, ["A", "LOW_POWER"])
    )
    assert [("LOW_POWER", "unknown", 4)] == told(profile(generic, falls_back=False).translate(None, ["LOW_POWER"]))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("A LOW_POWER", [("A", "coil", 1), ("LOW_POWER", "battery", 2)]),
        ("A,LOW_POWER; OK", [("A", "coil", 1), ("LOW_POWER", "battery", 2)]),
        ("A E7", [("A E7", "unknown", 4)]),
        ("low power", [("low power", "battery", 2)]),
    ],
)
def test_several_words_in_one_text(code: str, expected: list[tuple[str, str, int]]) -> None:
    """Taken apart only where each of them is known; else the vendor's text is kept whole."""
    assert expected == told(profile(code=[CODE, LOW], silent=["OK"]).translate(None, [code]))


def test_past_is_mild_and_sticky() -> None:
    """A prefix puts a known word into the past, and nothing else."""
    found = profile(code=[CODE, LOW], past_prefixes=["P_", "WAS-"]).translate(
        None, ["P_A", "was low power", "PA", "P_X"]
    )

    assert ("P_A", "coil", 4, "earlier: m", True) == found[0]
    assert [("was low power", "battery", 4), ("PA", "unknown", 4), ("P_X", "unknown", 4)] == told(found[1:])


def test_bits_refer_to_words_and_may_differ() -> None:
    """Severity, meaning and stickiness of their own stand before those of the word."""
    found = profile(bits=[
        {"mask": 1, "word": "A"},
        {"mask": 2, "word": "A", "severity": 3, "meaning": "x", "sticky": True},
    ]).translate(3, [])  # fmt: skip

    assert [("status:0x1", "coil", 1, "m", False), ("status:0x2", "coil", 3, "x", True)] == found


def test_enum_is_no_set_of_flags() -> None:
    """Only listed values are known; the others are kept as the value they are."""
    enum = profile(bits=[{"mask": 0xE0, "values": [0x60, 0x20], "word": "A"}])

    assert [("status:0x60", "coil", 1)] == told(enum.translate(0x60, []))
    assert [("status:0x40", "unknown", 4), ("status:0x1", "unknown", 4)] == told(enum.translate(0x41, []))


def test_reversed_bytes_are_named_as_they_came() -> None:
    """The file is written in the standard's order, the code is the bit that was sent."""
    turned = profile(reversed_bytes=True, bits=[{"mask": 0x0104, "values": [0x0100], "word": "A"}])

    assert [("status:0x8000", "coil", 1)] == told(turned.translate(0x8000, []))
    assert [("status:0x20", "unknown", 4)] == told(turned.translate(0x20, []))
    assert [0x80, 0x0100, 0] == [reversed_bytes(number) for number in (0x01, 0x8000, 0)]
