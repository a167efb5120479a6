"""What is wrong with the data file of a vendor profile: keys, words, overlaps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from ingest.profiles.format import VOLTS, Battery, Bits, ProfileFile, Refusal
from ingest.profiles.translation import Words, spelling
from lake.vocabulary import FAMILIES, MEASURES, READING, SEVERITIES, VALVE_REFUSALS, VALVE_STATES

_BATTERY_CODES = ("BATTERY_LOW", "BATTERY_EMPTY")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the file that is wrong, or that somebody should look at.

    Parameters
    ----------
    key : str
        Where, such as ``code[2].family``.
    text : str
        What is wrong and what is allowed.
    level : {"error", "warning"}
        A file with errors cannot be used.
    """

    key: str
    text: str
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


def unknown_keys(plain: object, kind: Any = ProfileFile, place: str = "") -> Iterator[Problem]:
    """Yield a problem for every key that the format does not know, with the one that was probably meant."""
    if isinstance(plain, list):
        for number, item in enumerate(plain):
            yield from unknown_keys(item, kind, f"{place}[{number}]")
        return
    if not isinstance(plain, dict):
        return
    known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in plain.items():
        key = f"{place}.{name}" if place else name
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(known)}"
            yield Problem(key, f"is no key of the format; {hint}")
            continue
        inner = next((item for item in get_args(known[name]) if _is_table(item)), None)
        if inner is not None:
            yield from unknown_keys(value, inner, key)


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def problems(definition: ProfileFile, fallback: Words | None = None) -> list[Problem]:
    """Return what is wrong with a file whose keys and types are right.

    Parameters
    ----------
    definition : ProfileFile
        The file.
    fallback : Words, optional
        Words of the profile that it falls back to.
    """
    words = Words(definition, fallback)
    return [
        *_description(definition),
        *_words(definition),
        *_bits(definition, words),
        *_batteries(definition),
        *_normalising(definition, words),
        *_cases(definition),
    ]


def _description(definition: ProfileFile) -> Iterator[Problem]:
    for name in ("description", "description_zh", "source"):
        if not getattr(definition, name):
            yield Problem(name, "is missing", "warning")
    for number, match in enumerate(definition.match):
        if not any(value not in {(), None} for value in msgspec.structs.astuple(match)):
            yield Problem(f"match[{number}]", "names nothing, so it would fit every meter")
    if definition.template and (definition.code or definition.bits):
        yield Problem("template", "is true, yet there are codes: set it to false, or take them out")


def _words(definition: ProfileFile) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for number, entry in enumerate(definition.code):
        place = f"code[{number}]"
        yield from _sense(place, entry.family, entry.severity, entry.meaning, entry.meaning_zh)
        if not entry.words:
            yield Problem(f"{place}.words", "is empty")
        yield from _repeated(f"{place}.words", entry.words, seen)
    yield from _repeated("silent", definition.silent, seen)


def _repeated(key: str, words: Iterable[str], seen: dict[str, str]) -> Iterator[Problem]:
    for word in words:
        compared = spelling(word)
        if not compared:
            yield Problem(key, f"{word!r} is no word")
        elif compared in seen:
            yield Problem(key, f"{word!r} stands twice, first in {seen[compared]}")
        else:
            seen[compared] = key


_TO_COMPLETE = "to be completed"  # what a draft says where a person has to


def _sense(place: str, family: str, severity: int | None, meaning: str, meaning_zh: str) -> Iterator[Problem]:
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        yield Problem(f"{place}.family", f"{family!r} is no family; {hint}allowed are {', '.join(FAMILIES)}")
    if severity not in SEVERITIES:
        yield Problem(f"{place}.severity", f"{severity} is no severity; allowed are 1 (worst) to 4")
    if not meaning or meaning == _TO_COMPLETE:
        yield Problem(f"{place}.meaning", "is missing", "warning")
    if not meaning_zh:
        yield Problem(f"{place}.meaning_zh", "is missing: the meaning in Chinese", "warning")


def _bits(definition: ProfileFile, words: Words) -> Iterator[Problem]:
    masks: dict[int, str] = {}
    values: dict[tuple[int, int], str] = {}
    for number, entry in enumerate(definition.bits):
        place = f"bits[{number}]"
        yield from _meaning_of_bits(place, entry, words)
        yield from _overlaps(f"{place}.mask", entry.mask, masks, shared=True)
        for value in entry.values or (entry.mask,):
            yield from _value(place, entry, value)
            first = values.setdefault((entry.mask, value), place)
            if first != place:
                yield Problem(f"{place}.values", f"{value:#x} of {entry.mask:#x} stands twice, first in {first}")
    for number, battery in enumerate(definition.battery):
        if battery.mask is not None:
            yield from _overlaps(f"battery[{number}].mask", battery.mask, masks, shared=False)


def _value(place: str, entry: Bits, value: int) -> Iterator[Problem]:
    if value & ~entry.mask or value < 0:
        yield Problem(f"{place}.values", f"{value:#x} has bits outside the mask {entry.mask:#x}")
    if value == 0 and (entry.family is not None or entry.word is not None):
        yield Problem(f"{place}.values", "0 is no code: a status without bits says that nothing is wrong")


def _overlaps(key: str, mask: int, seen: dict[int, str], *, shared: bool) -> Iterator[Problem]:
    """Two entries may look at the same bits only with the same mask."""
    for other, place in seen.items():
        if mask & other and not (shared and mask == other):
            yield Problem(
                key, f"{mask:#x} overlaps {other:#x} of {place}; let both look at {mask | other:#x}, with values"
            )
    seen.setdefault(mask, key)


def _meaning_of_bits(place: str, entry: Bits, words: Words) -> Iterator[Problem]:
    if entry.word is not None:
        if entry.family is not None:
            yield Problem(f"{place}.family", f"stands beside word = {entry.word!r}, which has one")
        if words.sense(entry.word) is None:
            yield Problem(f"{place}.word", f"{entry.word!r} is no word of this profile")
        if entry.severity is not None and entry.severity not in SEVERITIES:
            yield Problem(f"{place}.severity", f"{entry.severity} is no severity; allowed are 1 (worst) to 4")
    elif entry.family is not None:
        yield from _sense(place, entry.family, entry.severity, entry.meaning, entry.meaning_zh)
    elif not entry.meaning:
        yield Problem(f"{place}.meaning", "is missing: say why the bits are no code", "warning")
    if entry.valve_state is not None and entry.valve_state not in VALVE_STATES:
        yield Problem(
            f"{place}.valve_state", f"{entry.valve_state!r} is no state; allowed are {', '.join(VALVE_STATES)}"
        )


def _batteries(definition: ProfileFile) -> Iterator[Problem]:
    for number, entry in enumerate(definition.battery):
        place = f"battery[{number}]"
        if bool(entry.fields) == (entry.mask is not None):
            yield Problem(place, "needs either fields or mask")
        if (entry.unit == "steps") != bool(entry.steps):
            yield Problem(f"{place}.steps", 'belongs to unit = "steps", and only to it')
        yield from _limits(place, entry)


def _limits(place: str, entry: Battery) -> Iterator[Problem]:
    if entry.unit not in VOLTS and entry.unit != "steps" and entry.low_at is None and entry.empty_at is None:
        yield Problem(place, f"does nothing: {entry.unit} is no voltage, so it needs low_at or empty_at")
    if entry.low_at is not None and entry.empty_at is not None and entry.empty_at >= entry.low_at:
        yield Problem(f"{place}.empty_at", f"{entry.empty_at:g} is not below low_at = {entry.low_at:g}")


def _normalising(definition: ProfileFile, words: Words) -> Iterator[Problem]:
    for number, sentinel in enumerate(definition.sentinel):
        place = f"sentinel[{number}]"
        for name in sentinel.fields:
            if name not in MEASURES:
                yield Problem(
                    f"{place}.fields", f"{name!r} is no field of a reading; allowed are {', '.join(MEASURES)}"
                )
        if not sentinel.fields or not sentinel.values:
            yield Problem(place, "needs fields and values")
        if sentinel.extra is not None and sentinel.mask is not None:
            yield Problem(place, "has extra and mask; one of them")
        if sentinel.extra is None and sentinel.mask is None:
            yield from _measured(f"{place}.fields", sentinel.fields)
    for number, valve in enumerate(definition.valve):
        for state in valve.states.values():
            if state not in VALVE_STATES:
                yield Problem(
                    f"valve[{number}].states", f"{state!r} is no state; allowed are {', '.join(VALVE_STATES)}"
                )
    for number, refusal in enumerate(definition.refusal):
        yield from _refusal(f"refusal[{number}]", refusal, words)


def _measured(key: str, names: Iterable[str]) -> Iterator[Problem]:
    for name in names:
        if name in MEASURES and MEASURES[name].dtype == "string":
            yield Problem(key, f"{name!r} holds words, no numbers")


def _refusal(place: str, entry: Refusal, words: Words) -> Iterator[Problem]:
    if (entry.refusal is None) == (entry.code is None):
        yield Problem(place, "needs either refusal or code")
    if entry.refusal is not None and entry.refusal not in VALVE_REFUSALS:
        yield Problem(f"{place}.refusal", f"{entry.refusal!r} is no refusal; allowed are {', '.join(VALVE_REFUSALS)}")
    if entry.code is not None and words.sense(entry.code) is None:
        yield Problem(f"{place}.code", f"{entry.code!r} is no word of this profile")


def _cases(definition: ProfileFile) -> Iterator[Problem]:
    if not definition.case:
        yield Problem("case", "there is none: nothing shows that the profile does what it says", "warning")
    for number, case in enumerate(definition.case):
        names: Mapping[str, object] = {**case.fields, **case.becomes}
        for name in names:
            if name not in READING:
                yield Problem(f"case[{number}]", f"{name!r} is no field of a reading")
