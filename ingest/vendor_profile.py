"""Vendor profiles: what a vendor's codes and status word mean, as data files with their own cases."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import NamedTuple

import msgspec

from lake.errors import SettingsError
from lake.vocabulary import FAMILIES


class CodeWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words of a vendor that mean the same."""

    words: tuple[str, ...]
    family: str
    severity: int
    meaning: str


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a reading's codes and status word must become: (code, family, severity)."""

    gives: tuple[tuple[str, str, int], ...]
    codes: tuple[str, ...] = ()
    status: int | None = None


class ProfileFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A profile's data file."""

    id: str
    version: int
    code: tuple[CodeWords, ...]
    case: tuple[Case, ...]


class Translation(NamedTuple):
    """One code of a reading, translated."""

    code: str
    family: str
    severity: int
    meaning: str | None


class VendorProfile:
    """Translates codes and status words.

    Parameters
    ----------
    definition : ProfileFile
        The data file.

    Raises
    ------
    SettingsError
        The file names an unknown family, or a word twice.
    """

    def __init__(self, definition: ProfileFile) -> None:
        self.id = definition.id
        self.version = definition.version
        self.cases = definition.case
        self._words: dict[str, CodeWords] = {}
        for entry in definition.code:
            if entry.family not in FAMILIES:
                raise SettingsError(
                    f"{entry.family!r} is no family; allowed are {', '.join(FAMILIES)}", key=f"{self.id}.code.family"
                )
            for word in entry.words:
                if word in self._words:
                    raise SettingsError(f"{word!r} stands twice", key=f"{self.id}.code.words")
                self._words[word] = entry

    def translate(self, status: int | None, codes: Iterable[str]) -> list[Translation]:
        """Return every code of a reading with its family and severity; unknown ones are kept as ``unknown``."""
        found = [self._translate_code(code) for code in codes]
        if status:
            found.append(Translation(f"status:{status:#x}", "unknown", 4, None))
        return found

    def _translate_code(self, code: str) -> Translation:
        entry = self._words.get(code.strip().upper().replace(" ", "_").replace("-", "_"))
        if entry is None:
            return Translation(code, "unknown", 4, None)
        return Translation(code, entry.family, entry.severity, entry.meaning)


@cache
def shipped_profile(name: str) -> VendorProfile:
    """Return a profile that comes with the product.

    Raises
    ------
    SettingsError
        There is none of that name, or its file is wrong.
    """
    file = resources.files("ingest.profiles") / f"{name}.toml"
    try:
        plain = tomllib.loads(file.read_text(encoding="utf-8"))
        return VendorProfile(msgspec.convert(plain, ProfileFile))
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(str(error), key=name, file=str(file)) from error
