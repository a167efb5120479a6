"""Topic filters: what a broker would refuse is refused before it is asked."""

from __future__ import annotations

import pytest

from ingest.receiver.topic_filter import bare_filter, filter_mistake, is_shared, topic_mistake


@pytest.mark.parametrize(
    "text", ["#", "+", "/", "a", "a/#", "+/a/+", "a//b", "$SYS/#", "$share/g/#", "$share/g/a/+", "$shared/a", "阀/#"]
)
def test_filter_right(text: str) -> None:
    """Every filter that the standard allows is taken."""
    assert filter_mistake(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must not be empty"),
        ("a/#/b", "# may only be the last level"),
        ("a#", "# must be a whole level"),
        ("a+/b", "+ must be a whole level"),
        ("a\0", "U+0000"),
        ("\ud800", "UTF-8"),
        ("x" * 65_536, "longer than 65535"),
        ("$share", "$share/GROUP/FILTER"),
        ("$share/g", "$share/GROUP/FILTER"),
        ("$share/g/", "$share/GROUP/FILTER"),
        ("$share//a", "$share/GROUP/FILTER"),
        ("$share/+/a", "neither + nor #"),
        ("$share/g/a#", "# must be a whole level"),
    ],
)
def test_filter_wrong(text: str, expected: str) -> None:
    """What is wrong is said."""
    assert expected in str(filter_mistake(text))


def test_topic() -> None:
    """A topic to publish on has no wildcards and is no broker's own."""
    assert topic_mistake("metriage/status") is None
    for text in ("", "a/+", "#", "$SYS/x"):
        assert topic_mistake(text) is not None


def test_shared() -> None:
    """A shared subscription is compared without its group."""
    assert (True, False) == (is_shared("$share/g/a/#"), is_shared("a"))
    assert ("a/#", "a") == (bare_filter("$share/g/a/#"), bare_filter("a"))
