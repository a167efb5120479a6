"""Codes and status words of a vendor, translated by its profile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ingest.profiles.format import Bits, ProfileFile

MILDEST = 4
UNKNOWN = "unknown"

_BETWEEN = re.compile(r"[\s_\-]+")  # no difference within a word
_APART = re.compile(r"[\s,;|]+")  # between words that came as one
_WORD = 2**64 - 1


class Translation(NamedTuple):
    """One code of a reading, translated."""

    code: str
    family: str
    severity: int
    meaning: str | None
    sticky: bool = False


class Sense(NamedTuple):
    """What a word or a bit stands for."""

    family: str
    severity: int
    meaning: str
    meaning_zh: str
    sticky: bool


def spelling(word: str) -> str:
    """Return a word as it is compared.

    Examples
    --------
    >>> spelling("low-battery"), spelling(" LowBattery"), spelling("LOW_BATTERY")
    ('LOWBATTERY', 'LOWBATTERY', 'LOWBATTERY')
    """
    return _BETWEEN.sub("", word).upper()


def reversed_bytes(number: int) -> int:
    """Return a number with the bits of each byte in reverse order.

    Examples
    --------
    >>> hex(reversed_bytes(0x0103))
    '0x80c0'
    """
    size = max(1, (number.bit_length() + 7) // 8)
    return int.from_bytes(bytes(int(f"{byte:08b}"[::-1], 2) for byte in number.to_bytes(size, "big")), "big")


class Words:
    """The words of a profile.

    Parameters
    ----------
    definition : ProfileFile
        The data file, free of problems.
    fallback : Words, optional
        Where words are looked up that the file does not have.
    """

    def __init__(self, definition: ProfileFile, fallback: Words | None = None) -> None:
        self._senses = {
            spelling(word): Sense(entry.family, entry.severity, entry.meaning, entry.meaning_zh, entry.sticky)
            for entry in definition.code
            for word in entry.words
        }
        self._silent = frozenset(map(spelling, definition.silent))
        self._past = tuple(_BETWEEN.sub("_", prefix).upper() for prefix in definition.past_prefixes)
        self._fallback = fallback

    def sense(self, code: str) -> Sense | None:
        """Return what a word stands for, None where nobody knows."""
        return self._sense(spelling(code)) or self._past_sense(_BETWEEN.sub("_", code.strip()).upper())

    def is_silent(self, code: str) -> bool:
        """Tell whether a word says that nothing is wrong."""
        word = spelling(code)
        own = word in self._silent or not word
        if own or word in self._senses or self._fallback is None:
            return own
        return self._fallback.is_silent(word)

    def _sense(self, word: str) -> Sense | None:
        found = self._senses.get(word)
        if found is None and self._fallback is not None and word not in self._silent:
            return self._fallback._sense(word)  # noqa: SLF001 - of its own class
        return found

    def _past_sense(self, word: str) -> Sense | None:
        """Return what a word stands for that a prefix puts into the past."""
        for prefix in self._prefixes():
            sense = self._sense(spelling(word[len(prefix) :])) if word.startswith(prefix) else None
            if sense is not None:
                return Sense(sense.family, MILDEST, f"earlier: {sense.meaning}", f"曾出现：{sense.meaning_zh}", True)
        return None

    def _prefixes(self) -> tuple[str, ...]:
        return self._past + (self._fallback._prefixes() if self._fallback is not None else ())  # noqa: SLF001

    def translate(self, code: str) -> Iterator[Translation]:
        """Yield what a code says; several words in one text only where each of them is known."""
        if self.is_silent(code):
            return
        sense = self.sense(code)
        parts = _APART.split(code.strip()) if sense is None else []
        if len(parts) > 1 and all(self.is_silent(part) or self.sense(part) for part in parts):
            for part in parts:
                yield from self.translate(part)
        else:
            yield told(code, sense)


class StatusWord:
    """The bits of a profile's status word.

    Parameters
    ----------
    definition : ProfileFile
        The data file, free of problems.
    words : Words
        What its bits may refer to.
    """

    def __init__(self, definition: ProfileFile, words: Words) -> None:
        turn = reversed_bytes if definition.reversed_bytes else _as_it_is
        self.fields: dict[int, dict[int, Bits]] = {}
        for entry in definition.bits:
            values = self.fields.setdefault(turn(entry.mask), {})
            values.update({turn(value): entry for value in entry.values or (entry.mask,)})
        self._senses = {
            id(entry): _sense_of_bits(entry, words) for values in self.fields.values() for entry in values.values()
        }
        self._covered = 0
        for mask in (*self.fields, *(turn(entry.mask) for entry in definition.battery if entry.mask)):
            self._covered |= mask

    def translate(self, status: int) -> Iterator[Translation]:
        """Yield what a status word says; bits that nobody knows each by its own name."""
        if not status:
            return
        if not self._covered:
            yield told(f"status:{status:#x}", None)
            return
        word = status & _WORD
        for mask, values in self.fields.items():
            value = word & mask
            entry = values.get(value)
            if entry is None and value:
                yield told(f"status:{value:#x}", None)
            elif entry is not None and self._senses[id(entry)] is not None:
                yield told(f"status:{value:#x}", self._senses[id(entry)])
        yield from (told(f"status:{bit:#x}", None) for bit in _single_bits(word & ~self._covered))

    def sense(self, code: str) -> Sense | None:
        """Return what a code of :meth:`translate` stands for, None where nobody knows."""
        for values in self.fields.values():
            for value, entry in values.items():
                if code == f"status:{value:#x}":
                    return self._senses[id(entry)]
        return None

    def valve_states(self) -> Iterator[tuple[int, Mapping[int, str]]]:
        """Yield each mask that tells of the valve, with what its values mean."""
        for mask, values in self.fields.items():
            states = {value: entry.valve_state for value, entry in values.items() if entry.valve_state is not None}
            if states:
                yield mask, states


def _as_it_is(number: int) -> int:
    return number


def _sense_of_bits(entry: Bits, words: Words) -> Sense | None:
    if entry.word is not None:
        sense = words.sense(entry.word)
        if sense is None:
            return None
        return sense._replace(
            **{name: value for name in ("severity", "sticky") if (value := getattr(entry, name)) is not None},
            **{name: value for name in ("meaning", "meaning_zh") if (value := getattr(entry, name))},
        )
    if entry.family is None:
        return None
    return Sense(
        entry.family, entry.severity or MILDEST, entry.meaning, entry.meaning_zh, entry.sticky or False
    )  # fmt: skip


def _single_bits(word: int) -> Iterable[int]:
    return (1 << place for place in range(word.bit_length()) if word >> place & 1)


def told(code: str, sense: Sense | None) -> Translation:
    """Return a code with what it stands for; one that nobody knows is kept as ``unknown``."""
    if sense is None:
        return Translation(code, UNKNOWN, MILDEST, None)
    return Translation(code, sense.family, sense.severity, sense.meaning, sense.sticky)
