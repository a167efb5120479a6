"""Texts: complete in both languages, lines only of what is known, foreign strings made readable."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.vocabulary import CAUSES, CONDITIONS, FAULTS, METER
from tickets.texts import clean, render, render_all, texts

OTHER = {
    "fault",
    "cause",
    "count",
    "onset",
    "first_seen",
    "last_seen",
    "action",
    "probability_percent",
    "cause_percent",
    "warranty",
    "warranty_ends_on",
    "seal_broken",
    "seal_seen_by",
    "dead_on_arrival",
    "proposed_at",
    "cause_open",
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_texts_are_complete(language: str) -> None:
    """Every word of the vocabulary has a text, and no line names what does not exist."""
    words = texts(language)  # type: ignore[arg-type]
    lines = [words.title, *words.summary, *(line for step in words.worksheet for line in step.known)]
    named = {name for line in lines for _, name, _, _ in string.Formatter().parse(line) if name}

    assert set(words.faults) == {*FAULTS, *CONDITIONS}
    assert set(words.causes) == set(CAUSES)
    assert len(words.worksheet) == 8
    assert set(words.worksheet[6].to_check_for) == set(FAULTS)
    assert named <= {*METER, *OTHER}


def test_texts_of_both_languages_match() -> None:
    """Both languages have the same lines with the same unknowns."""

    def names(line: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(line)} - {None}

    english, chinese = texts("en"), texts("zh")

    assert list(map(names, english.summary)) == list(map(names, chinese.summary))
    for mine, theirs in zip(english.worksheet, chinese.worksheet, strict=True):
        assert list(map(names, mine.known)) == list(map(names, theirs.known))
    assert set(english.words) == set(chinese.words)


def test_render_does_not_read_templates_in_values() -> None:
    """A value that looks like a template stays as it is."""
    assert render("meter {meter_id}", {"meter_id": "{cause} %s {{x}}"}) == "meter {cause} %s {{x}}"
    assert render_all(("a {b}", "c"), {}) == ["c"]


@given(st.text(), st.integers(1, 50))
def test_clean_is_readable_and_short(text: str, limit: int) -> None:
    """A cleaned text is one printable line within its limit."""
    cleaned = clean(text, limit)

    assert len(cleaned) <= limit
    assert all(character.isprintable() or character.isspace() for character in cleaned)
    assert "\n" not in cleaned
