"""What a profile makes of a vendor's numbers: valve, refusal, battery, sentinels and flags, for whole batches."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec
import polars as pl

from ingest.profiles.format import VOLTS, Battery, ProfileFile, Refusal, Sentinel
from ingest.profiles.translation import StatusWord

_LONGEST = 64  # of a value that becomes part of a code
_SAYS_NOTHING = ("false", "0")
_SAYS_YES = ("true", "1")


class Normaliser:
    """Fills ``valve_state``, ``valve_refusal``, ``battery_v``, ``invalid_fields`` and ``error_codes``.

    What a reading already says is never changed, only added to; the second time nothing is added.

    Parameters
    ----------
    definition : ProfileFile
        The data file, free of problems.
    status : StatusWord
        Its status word.
    fallback : Normaliser, optional
        Whose batteries and sentinels hold too.
    """

    def __init__(self, definition: ProfileFile, status: StatusWord, fallback: Normaliser | None = None) -> None:
        self.batteries: tuple[Battery, ...] = definition.battery
        self.sentinels: tuple[Sentinel, ...] = definition.sentinel
        if fallback is not None:
            self.batteries += fallback.batteries
            self.sentinels += fallback.sentinels
        self._valve = definition.valve
        self._valve_bits = tuple(status.valve_states())
        self._refusals = definition.refusal
        self._flags = tuple(name for entry in definition.flags for name in entry.fields)
        self._names = tuple(dict.fromkeys(self._wanted(definition)))
        self.is_active = bool(self._names or self.batteries or self.sentinels or self._valve_bits)

    def _wanted(self, definition: ProfileFile) -> Iterator[str]:
        yield from (name for entry in self.batteries for name in entry.fields)
        yield from (name for entry in definition.valve for name in entry.fields)
        yield from (name for entry in definition.refusal for name in entry.fields)
        yield from self._flags
        yield from (entry.extra for entry in self.sentinels if entry.extra is not None)

    def normalise(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with what its numbers mean; other columns are left alone."""
        if not self.is_active or frame.is_empty():
            return frame
        extra = Extra(frame["extra"], self._names)
        battery, battery_codes = self._battery(frame, extra)
        refusal, refusal_codes = self._refusal(frame, extra)
        columns = [
            self._valve_state(frame, extra),
            battery,
            refusal,
            _joined(frame["invalid_fields"], self._invalid(frame, extra), ordered=True),
            _joined(frame["error_codes"], [*self._flag_codes(extra), *battery_codes, *refusal_codes], ordered=False),
        ]
        return frame.with_columns(column for column in columns if column is not None)

    def _valve_state(self, frame: pl.DataFrame, extra: Extra) -> pl.Series | None:
        told = [
            text.replace_strict(codes, default="unknown", return_dtype=pl.String).set(text.is_null(), None)
            for entry in self._valve
            if (text := extra.text(entry.fields)) is not None
            for codes in [{_folded(code): state for code, state in entry.states.items()}]
        ]
        for mask, states in self._valve_bits:
            bits = frame["status"] & mask
            told.append(bits.replace_strict(dict(states), default=None, return_dtype=pl.String))
        return _filled(frame["valve_state"], told)

    def _battery(self, frame: pl.DataFrame, extra: Extra) -> tuple[pl.Series | None, list[pl.Series]]:
        volts: list[pl.Series] = []
        codes: list[pl.Series] = []
        for entry in self.batteries:
            number = extra.number(entry.fields) if entry.mask is None else _bits(frame["status"], entry.mask)
            if number is None:
                continue
            number = number.set(number < 0, None)
            if entry.unit in VOLTS:
                volts.append((number * VOLTS[entry.unit]).round(4))
            elif entry.unit == "steps":
                volts.append(number.replace_strict(dict(enumerate(entry.steps)), default=None, return_dtype=pl.Float64))
            codes += _limit_codes(number, entry)
        return _filled(frame["battery_v"], volts), codes

    def _refusal(self, frame: pl.DataFrame, extra: Extra) -> tuple[pl.Series | None, list[pl.Series]]:
        told: list[pl.Series] = []
        codes: list[pl.Series] = []
        for fields in dict.fromkeys(entry.fields for entry in self._refusals):
            number = extra.number(fields)
            if number is None:
                continue
            own = [entry for entry in self._refusals if entry.fields == fields]
            word = number.cast(pl.Int64, strict=False)
            told += [_where(_all_set(word, entry), entry.refusal) for entry in own if entry.refusal is not None]
            codes += [_where(_all_set(word, entry), entry.code) for entry in own if entry.code is not None]
            codes.append(_unknown_bits(word, own, fields[0]))
        return _filled(frame["valve_refusal"], told), codes

    def _invalid(self, frame: pl.DataFrame, extra: Extra) -> list[pl.Series]:
        return [
            _where(hits, name)
            for entry in self.sentinels
            for name in entry.fields
            if (hits := _sentinel_hits(frame, extra, entry, name)) is not None
        ]

    def _flag_codes(self, extra: Extra) -> Iterator[pl.Series]:
        for name in self._flags:
            text = extra.text((name,))
            if text is not None:
                code = name + "=" + text
                code = code.set(text.is_in(_SAYS_YES).fill_null(value=False), name)
                yield code.set(text.is_in(_SAYS_NOTHING).fill_null(value=True), None)


class Extra:
    """The wanted fields of readings' ``extra``, read once.

    Parameters
    ----------
    texts : polars.Series
        JSON objects; anything else holds no fields.
    names : collection of str
        The wanted fields, a dot between levels.
    """

    def __init__(self, texts: pl.Series, names: Collection[str]) -> None:
        self._columns: dict[str, pl.Series] = {}
        if not names or texts.null_count() == len(texts):
            return
        paths = [(name, name.split(".")) for name in names if "." in name]
        wanted = frozenset(names)
        holding = texts.str.contains_any([name.rpartition(".")[2] for name in names]).fill_null(value=False)
        columns: defaultdict[str, list[str | None]] = defaultdict(lambda: [None] * len(texts))
        for row, text in zip(holding.arg_true().to_list(), texts.filter(holding).to_list(), strict=True):
            fields = _object(text)
            found = [(name, fields[name]) for name in fields if name in wanted]
            found += [(name, _at(fields, path)) for name, path in paths if path[0] in fields]
            for name, value in found:
                told = _scalar(value)
                if told is not None:
                    columns[name][row] = told
        self._columns = {name: pl.Series(name, column, pl.String) for name, column in columns.items()}

    def text(self, names: Sequence[str]) -> pl.Series | None:
        """Return the first of `names` that holds something in each row, None where none does in any."""
        columns = [self._columns[name] for name in names if name in self._columns]
        return _filled(columns[0], columns[1:]) if columns else None

    def number(self, names: Sequence[str]) -> pl.Series | None:
        """Return the same as a number; what is none is nothing."""
        text = self.text(names)
        return None if text is None else pl.Series([_number(item) for item in text], dtype=pl.Float64)


def _object(text: str) -> Mapping[str, object]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _at(fields: object, path: Sequence[str]) -> object:
    """Return what stands at a path, None where nothing does."""
    for name in path:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields


def _scalar(value: object) -> str | None:
    """Return a value as it is compared with the words of a profile, None where it is no single value."""
    if isinstance(value, str):
        return _folded(value)[:_LONGEST] or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 2**64 else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)
    return None


def _folded(text: str) -> str:
    return text.strip().casefold()


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(int(text, 16)) if text.startswith("0x") else float(text)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _bits(status: pl.Series, mask: int) -> pl.Series:
    """Return the number that the bits of a mask make; a status of zero says nothing."""
    return ((status & mask) // (mask & -mask)).cast(pl.Float64).set(status == 0, None)


def _where(hits: pl.Series, word: str | None) -> pl.Series:
    return pl.Series([word], dtype=pl.String).new_from_index(0, len(hits)).set(~hits.fill_null(value=False), None)


def _limit_codes(number: pl.Series, entry: Battery) -> Iterator[pl.Series]:
    empty = number <= entry.empty_at if entry.empty_at is not None else number.is_null() & False
    if entry.empty_at is not None:
        yield _where(empty, "BATTERY_EMPTY")
    if entry.low_at is not None:
        yield _where((number <= entry.low_at) & ~empty, "BATTERY_LOW")


def _all_set(word: pl.Series, entry: Refusal) -> pl.Series:
    return (word & entry.mask) == entry.mask


def _unknown_bits(word: pl.Series, entries: Iterable[Refusal], name: str) -> pl.Series:
    """Return the bits that no entry explains as a code each row, such as ``valve_result:0x40``."""
    covered = 0
    for entry in entries:
        covered |= entry.mask
    left = [None if number is None else number & ~covered for number in word]
    return pl.Series([f"{name}:{number:#x}" if number else None for number in left], dtype=pl.String)


def _sentinel_hits(frame: pl.DataFrame, extra: Extra, entry: Sentinel, name: str) -> pl.Series | None:
    measured = frame[name]
    if measured.null_count() == len(measured):
        return None
    if entry.extra is not None:
        number = extra.number((entry.extra,))
    elif entry.mask is not None:
        number = (frame["status"] & entry.mask).cast(pl.Float64)
    else:
        number = measured.cast(pl.Float64)
    return None if number is None else number.is_in(entry.values) & measured.is_not_null()


def _filled(column: pl.Series, candidates: Iterable[pl.Series]) -> pl.Series | None:
    """Return a column whose gaps the first candidate that has something fills, None where nothing changes."""
    filled = column
    for candidate in candidates:
        filled = filled.zip_with(filled.is_not_null(), candidate.cast(column.dtype))
    return filled.alias(column.name)


def _joined(lists: pl.Series, added: Sequence[pl.Series], *, ordered: bool) -> pl.Series | None:
    """Return lists with the words of `added`, each word once; rows without an added word as they were."""
    added = [words for words in added if words.null_count() < len(words)]
    if not added:
        return None
    parts = {f"_{number}": words for number, words in enumerate(added)}
    frame = pl.DataFrame({"lists": lists, **parts})
    joined = pl.concat_list(pl.col("lists").fill_null([]), *parts).list.drop_nulls().list.unique(maintain_order=True)
    touched = pl.any_horizontal(pl.col(name).is_not_null() for name in parts)
    result = frame.select(
        pl.when(touched).then(joined.list.sort() if ordered else joined).otherwise(pl.col("lists")).alias("lists")
    )
    return result["lists"].alias(lists.name)
