"""The short way for objects whose fields are all in order: from their values to a checked row, without a stop between.

What is not in order, or not common, is left to the long way (:meth:`ingest.decoders.field_reader.FieldReader.read` and
:func:`ingest.reading.build_row`), which says what is wrong with it; both give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ingest.decoders.json_payload import text_codes
from ingest.reading import BLANK, CHECKS, INT64, LARGEST, LEAST, LONGEST_TEXT, NO_VALUES, PLACES, VALUES, check_number
from lake.errors import DecodingError

VALVE = PLACES["valve_state"]
_STATUS, _CODES, _BATTERY = map(PLACES.__getitem__, ("status", "error_codes", "battery_v"))
NO_STATUS = (None, "", "OK")  # by far the most common ones
MOST_VOLTS = 100  # of a battery; a field without a unit that holds more is in millivolts


class SoundPlan(NamedTuple):
    """Where in a row the fields of an object go.

    Parameters
    ----------
    numbers : tuple of (place, name)
        Fields that hold a column's value in its unit.
    divided : tuple of (place, name, divisor)
        Fields that hold it in a smaller unit.
    checked : tuple of (place, name, check)
        Fields that have a check of their own, as they are.
    status, flags, beside : tuple of str
        Fields with codes, truth values that are alarms, and fields that are only kept.
    valve : str or None
        The field with the state of a valve.
    loose_voltage : bool
        Whether the battery's voltage may be in millivolts.
    uncommon : bool
        Whether there is more than numbers, codes and what is only kept.
    """

    numbers: tuple[tuple[int, str], ...]
    divided: tuple[tuple[int, str, int], ...]
    checked: tuple[tuple[int, str, Callable[[str, object], object]], ...]
    status: tuple[str, ...]
    flags: tuple[str, ...]
    valve: str | None
    beside: tuple[str, ...]
    loose_voltage: bool
    uncommon: bool


def make_sound_plan(
    columns: Mapping[str, tuple[tuple[str, float], ...]], *, plain: tuple[str, ...] = (), status: tuple[str, ...] = (),
    flags: tuple[str, ...] = (), valve: str | None = None, beside: tuple[str, ...] = (), loose_voltage: bool = False,
) -> SoundPlan:  # fmt: skip
    """Return the plan for fields that fill a column each.

    Parameters
    ----------
    columns : mapping of str to ((name, factor),)
        The one field of each column, and its factor to the column's unit, at most 1.
    plain : tuple of str
        Fields of the contract that are no measurements.
    status, flags, valve, beside, loose_voltage
        As in :class:`SoundPlan`.
    """
    numbers: list[tuple[int, str]] = []
    divided: list[tuple[int, str, int]] = []
    checked = [(CHECKS[name][0], name, CHECKS[name][1]) for name in plain]
    for column, ((name, factor),) in columns.items():
        place, check = CHECKS[column]
        if factor != 1:
            divided.append((place, name, round(1 / factor)))
        elif check is check_number:
            numbers.append((place, name))
        else:
            checked.append((place, name, check))
    uncommon = bool(divided or checked or flags or valve or loose_voltage)
    return SoundPlan(
        tuple(numbers), tuple(divided), tuple(checked), status, flags, valve, beside, loose_voltage, uncommon
    )


def sound_row(
    document: Mapping[str, Any], plan: SoundPlan, meter_id: str, ts: int, source: str, valve_words: Mapping[str, str]
) -> tuple[list[Any], dict[str, Any]] | None:
    """Return a row with the values of an object, and what is to be kept beside it.

    Parameters
    ----------
    document : mapping
        The object.
    plan : SoundPlan
        Where its fields go.
    meter_id, ts, source
        As in :func:`ingest.reading.build_row`.
    valve_words : mapping of str to str
        States of a valve by the words that senders have for them.

    Returns
    -------
    (list, dict) or None
        The row is still to be ended (:func:`ingest.reading.end_row`); None where the object must take the long way.
    """
    row: list[Any] = [meter_id, ts, source, *BLANK]
    for place, name in plan.numbers:
        value = document[name]
        kind = type(value)  # as in build_row: what most values are needs no call
        if kind is float and LEAST <= value <= LARGEST:
            row[place] = value
        elif kind is int and LEAST <= value <= LARGEST:
            row[place] = float(value)
        elif value is not None:
            return None
    extra = {name: document[name] for name in plan.beside}
    if plan.uncommon and not _fill_uncommon(row, document, plan, valve_words, extra):
        return None
    reported = False
    for name in plan.status:
        if document[name] not in NO_STATUS:
            # Of several fields that say something the long way makes one status.
            if reported or not _fill_status(row, document[name]):
                return None
            reported = True
    return None if row[VALUES] == NO_VALUES else (row, extra)


def _fill_uncommon(
    row: list[Any], document: Mapping[str, Any], plan: SoundPlan, valve_words: Mapping[str, str], extra: dict[str, Any]
) -> bool:
    """Fill in what most objects have not; return whether all of it is in order."""
    return (
        _fill_divided(row, document, plan)
        and _fill_checked(row, document, plan)
        and _fill_flags(document, plan, extra)
        and _fill_valve(row, document, plan, valve_words)
    )


def _fill_divided(row: list[Any], document: Mapping[str, Any], plan: SoundPlan) -> bool:
    for place, name, divisor in plan.divided:
        value = document[name]
        kind = type(value)
        if (kind is float or kind is int) and LEAST <= value <= LARGEST:
            row[place] = value / divisor
        elif value is not None:
            return False
    battery = row[_BATTERY]
    return not plan.loose_voltage or battery is None or battery <= MOST_VOLTS


def _fill_checked(row: list[Any], document: Mapping[str, Any], plan: SoundPlan) -> bool:
    try:
        for place, name, check in plan.checked:
            if document[name] is not None:
                row[place] = check(name, document[name])
    except DecodingError:
        return False
    return True


def _fill_flags(document: Mapping[str, Any], plan: SoundPlan, extra: dict[str, Any]) -> bool:
    for name in plan.flags:
        value = document[name]
        if value is not False and (value == 1 or type(value) is str):
            return False  # a code, perhaps beside others
        extra[name] = value
    return True


def _fill_valve(row: list[Any], document: Mapping[str, Any], plan: SoundPlan, words: Mapping[str, str]) -> bool:
    value = document[plan.valve] if plan.valve is not None else None
    if value is None:
        return True
    row[VALVE] = words.get(value.strip().lower()) if type(value) is str else None
    return row[VALVE] is not None


def _fill_status(row: list[Any], value: object) -> bool:
    """Take up a status word, or a text with codes."""
    if type(value) is int and -INT64 <= value < INT64:
        row[_STATUS] = value
        return True
    codes = text_codes(value) if type(value) is str and len(value) <= LONGEST_TEXT else None
    if codes:
        row[_CODES] = [*codes]
    return codes is not None
