"""What a definition says about itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from metriage.definitions import bounds, description, item_type, kind_name, words

Days = Annotated[int, Meta(ge=1, le=60)]


def test_description_of_an_annotated_type_that_is_annotated_again() -> None:
    """The outer one speaks; the bounds of the inner one hold."""
    kind = Annotated[Days, Meta(description="days looked at")]

    assert "days looked at" == description(kind)
    assert "1 to 60" == bounds(kind)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Annotated[float, Meta(gt=0)], "above 0"),
        (Annotated[float, Meta(gt=0, lt=1)], "above 0 to below 1"),
        (Annotated[float, Meta(gt=0, le=1)], "above 0 to 1"),
        (Annotated[int, Meta(ge=0)], "at least 0"),
        (Annotated[int, Meta(ge=10_000_000)], "at least 10000000"),
        (int, ""),
    ],
)
def test_bounds(kind: Any, expected: str) -> None:
    """As people say them."""
    assert expected == bounds(kind)


@pytest.mark.parametrize(
    ("kind", "name", "allowed"),
    [
        (str | None, "text", []),
        (tuple[str, ...], "list of text", []),
        (dict[str, int | str], "table", []),
        (bool, "true or false", []),
        (Annotated[Literal["a", "b"], Meta(description="x")], "text", ["a", "b"]),
        (tuple[Literal["a", "b"], ...], "list of text", ["a", "b"]),
    ],
)
def test_kind_and_words(kind: Any, name: str, allowed: list[str]) -> None:
    """In the words of TOML."""
    assert (name, allowed) == (kind_name(kind), words(kind))


def test_item_type() -> None:
    """Lists and tables of free names have one, nothing else has."""
    assert [int, float, None] == [item_type(tuple[int, ...]), item_type(dict[str, float]), item_type(str | None)]
