"""What tickets say, from ``texts/<language>.toml``: a line appears when everything it names is known."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

Language = Literal["en", "zh"]

_FORMATTER = string.Formatter()
# Categories whose characters steer a terminal or turn the reading direction instead of being read.
_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class WorksheetText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of the procedure: lines that may be known and questions for the site visit."""

    title: str
    known: tuple[str, ...]
    to_check: tuple[str, ...]
    to_check_for: dict[str, tuple[str, ...]] = {}


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All texts of one language."""

    title: str
    summary: tuple[str, ...]
    faults: dict[str, str]
    causes: dict[str, str]
    words: dict[str, str]
    worksheet: tuple[WorksheetText, ...]


@cache
def texts(language: Language) -> Texts:
    """Return the texts of one language."""
    resource = files("tickets").joinpath("texts", f"{language}.toml")
    return msgspec.toml.decode(resource.read_bytes(), type=Texts)


def render(template: str, known: Mapping[str, str]) -> str | None:
    """Fill a line, or return None when something it names is not known.

    Examples
    --------
    >>> render("model {model}", {"model": "LXS"})
    'model LXS'
    >>> render("model {model}", {}) is None
    True
    """
    names = {name for _, name, _, _ in _FORMATTER.parse(template) if name is not None}
    if not names <= known.keys():
        return None
    return "".join(
        literal + (known[name] if name is not None else "") for literal, name, _, _ in _FORMATTER.parse(template)
    )


def render_all(templates: tuple[str, ...], known: Mapping[str, str]) -> list[str]:
    """Return the lines of which everything is known."""
    return [line for line in (render(template, known) for template in templates) if line is not None]


def clean(text: str, limit: int) -> str:
    r"""Make a foreign text fit for one line: no control or steering characters, at most `limit` characters.

    Examples
    --------
    >>> clean("a\tb\x1b[31mc", 100)
    'a b[31mc'
    """
    readable = "".join(
        character
        for character in " ".join(text[: 4 * limit].split())
        if unicodedata.category(character) not in _UNREADABLE
    )
    return readable if len(readable) <= limit else readable[: limit - 1] + "…"
