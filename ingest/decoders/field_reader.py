"""Reads free-form objects: measurements, codes and valve states by the names of their fields, all else kept.

Devices send the same fields again and again, so which field holds what is worked out once for each set of names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ingest.decoders import Context
from ingest.decoders.field_names import measured, unit_fields, units_of, volume_factor, words_of
from ingest.decoders.json_payload import Codes, scaled, text_codes
from ingest.decoders.sound_object import MOST_VOLTS, NO_STATUS, SoundPlan, make_sound_plan, sound_row
from ingest.message import Decoded
from ingest.reading import CHECKS, LARGEST, LEAST, check_text, end_row

# What makes the name of a truth value an alarm.
_ALARM = {"alarm", "alert", "warning", "leak", "leaking", "leakage", "burst", "tamper", "tampering", "backflow",
          "freeze", "frost", "fault", "error", "fraud", "magnetic", "removed", "removal", "dismantled", "dry",
          "overflow", "blocked", "reverse", "empty"}  # fmt: skip
_LOW_BATTERY = ({"low", "battery"}, {"low", "batt"}, {"low", "bat"})
_NO_ALARM = {"enabled", "enable", "active", "external", "charging", "present", "ok", "clear"}
# Names of these words alone are alarms and no counts, codes or thresholds, so that 1 is as good as true under them.
_SURE = (_ALARM - {"reverse"}) | {"low", "high", "battery", "batt", "bat", "flag", "detected", "detection", "water",
                                  "pipe", "flow", "pressure", "temperature", "temp", "sensor", "case", "cover",
                                  "attack", "meter", "device", "module"}  # fmt: skip
_SPOKEN = {"alarm", "alert", "warning", "flag", "detected", "detection"}  # without one, reverse flow may be measured
_VALVE = {"valve", "state", "status", "position"}
VALVE_WORDS = {
    **dict.fromkeys(("open", "opened", "on"), "open"),
    **dict.fromkeys(("closed", "close", "shut", "off"), "closed"),
    **dict.fromkeys(("opening", "closing", "moving", "running"), "moving"),
    **dict.fromkeys(("fault", "abnormal", "error", "stuck"), "fault"),
    "unknown": "unknown",
}

_VOLUMES = {"volume_m3", "reverse_volume_m3"}
_NULLS = {"", "null", "none", "nan", "n/a"}
_MOST_NAMES = 200  # more fields than that, or longer names, are no device's, and not remembered
_LONGEST_NAMES = 4_000
_MOST_PLANS = 1_000


class _Plan(NamedTuple):
    """Which field holds what.

    Parameters
    ----------
    single : tuple of (column, name)
        Fields that alone fill a column, in its unit.
    columns : tuple of (column, choices)
        Columns with the fields (name, factor to its unit) that could fill them, the best first.
    plain : tuple of (column, name)
        Fields of the contract, passed on as they are.
    status, flags, valve, beside : tuple of str
        Fields with codes, truth values that are alarms, states of a valve, and fields that are only kept.
    units : mapping of str to tuple of str
        For volumes whose names say no unit the fields that may tell it.
    loose_voltage : bool
        Whether the battery's voltage comes from a field that does not say whether it is in volts.
    sound : SoundPlan or None
        The short way to a row; None where several fields could fill a column, or one's values need a longer look.
    """

    single: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
    plain: tuple[str, ...]
    status: tuple[str, ...]
    flags: tuple[str, ...]
    valve: tuple[str, ...]
    beside: tuple[str, ...]
    units: Mapping[str, tuple[str, ...]]
    loose_voltage: bool
    sound: SoundPlan | None


class FieldReader:
    """Reads the objects of a shape.

    Parameters
    ----------
    status : collection of str
        Fields with codes or a status word.
    known : collection of str
        Fields that the decoder itself looks at; they are not kept.
    stated : bool
        Whether only fields count whose name says the unit.
    temperature : str
        Column of a temperature that does not say of what.
    special : mapping of str to (column, factor)
        Fields whose names do not say it.
    plain : collection of str
        Fields of the contract that are no measurements and are passed on.
    flags : bool
        Whether truth values may be alarms.
    nested : bool
        Whether objects and lists may stand under known names; they mean something else to their sender and are kept.
    """

    def __init__(
        self, *, status: Collection[str], known: Collection[str] = (), stated: bool = False,
        temperature: str = "ambient_temperature_c", special: Mapping[str, tuple[str, float]] | None = None,
        plain: Collection[str] = (), flags: bool = True, nested: bool = False,
    ) -> None:  # fmt: skip
        self._status = frozenset(status)
        self._known = frozenset(known)
        self._stated = stated
        self._temperature = temperature
        self._special = special or {}
        self._plain = frozenset(plain)
        self._flags = flags
        self._nested = nested
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def read(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return measurements and codes of an object by vocabulary name, and what is kept beside them.

        Raises
        ------
        DecodingError
            ``wrong_type``: a status field holds neither a text nor a whole number.
        """
        nested = self._structures(document) if self._nested else {}
        if nested:
            fields, extra = self._read({name: value for name, value in document.items() if name not in nested})
            return fields, extra | nested
        return self._read(document)

    def _structures(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the objects and lists of a document, but for lists of codes."""
        return {
            name: value
            for name, value in document.items()
            if isinstance(value, dict | list) and self._holds_value(name) and not self._is_codes(name, value)
        }

    def _holds_value(self, name: str) -> bool:
        """Tell whether a field is known to hold a value; all others are kept anyway."""
        return self._column(name) is not None or name in self._plain or name in self._status or name == "valve_state"

    def _is_codes(self, name: str, value: object) -> bool:
        return name in self._status and isinstance(value, list) and all(isinstance(item, str) for item in value)

    def _read(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        names = tuple(document)
        plan = self._plans.get(names) or self._make_plan(names)
        fields: dict[str, Any] = {name: document[name] for name in plan.plain}
        extra = {name: document[name] for name in plan.beside}
        for column, name in plan.single:
            value = document[name]
            kind = type(value)
            fields[column] = value if kind is float or kind is int else _first(document, ((name, 1.0),), extra)
        for column, choices in plan.columns:
            stated = _in_units(document, choices, plan.units, extra) if plan.units else choices
            fields[column] = _first(document, stated, extra)
        if plan.loose_voltage:
            fields["battery_v"] = _volts(fields["battery_v"])
        for name in plan.valve:
            _read_valve(name, document[name], fields, extra)
        reported = [name for name in plan.status if document[name] not in NO_STATUS]
        if len(reported) == 1 and not plan.flags:
            value = document[reported[0]]
            found = text_codes(value) if type(value) is str else None
            if found is not None:
                if found:
                    fields["error_codes"] = [*found]
                return fields, extra
            if type(value) is int:
                fields["status"] = value
                return fields, extra
        if reported or plan.flags:
            self._read_codes(document, reported, plan.flags, fields, extra)
        return fields, extra

    def begin_row(
        self, document: Mapping[str, Any], meter_id: str, ts: int, source: str
    ) -> tuple[list[Any], dict[str, Any]] | None:
        """Return a row with measurements and codes of an object, checked, and what is kept beside them.

        The short way of :meth:`read`, for objects that hold a value and in which everything is in order.

        Returns
        -------
        (list, dict) or None
            The row is still to be ended (:func:`ingest.reading.end_row`); None where the object must take the long way.
        """
        names = tuple(document)
        plan = (self._plans.get(names) or self._make_plan(names)).sound
        return None if plan is None else sound_row(document, plan, meter_id, ts, source, VALVE_WORDS)

    def add_sound(
        self, document: Mapping[str, Any], meter_id: str, ts: int, context: Context, decoded: Decoded,
        profile: str | None = None,
    ) -> bool:  # fmt: skip
        """Add the reading that an object is to what a message holds; return False where it must take the long way."""
        begun = self.begin_row(document, meter_id, ts, context.source)
        row = None if begun is None else end_row(*begun, profile)
        if row is not None:
            decoded.rows.append(row)
        return row is not None

    def _read_codes(
        self, document: Mapping[str, Any], reported: list[str], flags: tuple[str, ...], fields: dict[str, Any],
        extra: dict[str, Any],
    ) -> None:  # fmt: skip
        codes = Codes()
        for name in reported:
            if not codes.add(name, document[name]):
                extra[name] = document[name]
        raised = {name for name in flags if _is_raised(name, document[name])}
        codes.extend(name for name in flags if name in raised)
        extra.update({name: document[name] for name in flags if name not in raised})
        codes.into(fields)

    def _make_plan(self, names: tuple[str, ...]) -> _Plan:
        """Work out which field holds what, and remember it."""
        plan = self._plan(names)
        if len(names) <= _MOST_NAMES and sum(map(len, names)) <= _LONGEST_NAMES:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[names] = plan
        return plan

    def _plan(self, names: tuple[str, ...]) -> _Plan:
        columns: dict[str, list[tuple[int, str, float]]] = {}
        kinds: dict[str, list[str]] = {kind: [] for kind in ("plain", "status", "flags", "valve", "beside", "known")}
        for name in names:
            column = self._column(name)
            if column is not None:
                columns.setdefault(column[0], []).append((column[2], name, column[1]))
            else:
                kinds[self._kind(name)].append(name)
        del kinds["known"]
        choices = {
            column: tuple((name, factor) for _, name, factor in sorted(fields)) for column, fields in columns.items()
        }
        told = unit_fields(names)
        units = {
            name: found
            for fields in choices.values()
            for name, _ in fields
            if told and self._is_volume_without_unit(name) and (found := units_of(name, told))
        }
        simple = {
            column: found[0][0]
            for column, found in choices.items()
            if len(found) == 1 and found[0][1] == 1 and found[0][0] not in units
        }
        named = {kind: tuple(found) for kind, found in kinds.items()}
        loose = "battery_v" in choices and self._is_loose(choices["battery_v"][0][0])
        return _Plan(
            single=tuple(simple.items()),
            columns=tuple((column, found) for column, found in choices.items() if column not in simple),
            units=units,
            loose_voltage=loose,
            sound=None if units else _sound_plan(choices, named, loose_voltage=loose),
            **named,
        )

    def _is_volume_without_unit(self, name: str) -> bool:
        found = None if name in self._special else measured(name)
        return found is not None and not found.stated and found.column in _VOLUMES

    def _is_loose(self, name: str) -> bool:
        found = None if name in self._special else measured(name)
        return found is not None and not found.stated

    def _column(self, name: str) -> tuple[str, float, int] | None:
        """Return column, factor and rank of a field that is a measurement."""
        if name in self._special:
            return *self._special[name], 0
        if name in self._status or name in self._plain or name == "valve_state":
            return None
        found = measured(name)
        if found is None or (self._stated and not found.stated):
            return None
        return self._temperature if found.column == "temperature_c" else found.column, found.factor, found.rank

    def _kind(self, name: str) -> str:
        for kind, names in (("status", self._status), ("plain", self._plain), ("known", self._known)):
            if name in names:
                return kind
        words = words_of(name)
        if "valve" in words and words <= _VALVE:
            return "valve"
        alarm = words & _ALARM or any(words >= low for low in _LOW_BATTERY)
        return "flags" if self._flags and alarm and not words & _NO_ALARM else "beside"


def _sound_plan(
    choices: Mapping[str, tuple[tuple[str, float], ...]], named: Mapping[str, tuple[str, ...]], *, loose_voltage: bool
) -> SoundPlan | None:
    """Return the short way of a plan, where it has one."""
    if len(named["valve"]) > 1 or any(len(found) > 1 or found[0][1] > 1 for found in choices.values()):
        return None
    checks = {column: CHECKS[column][1] for column in choices if column in CHECKS}
    if checks.keys() != choices.keys() or check_text in checks.values() or not CHECKS.keys() >= {*named["plain"]}:
        return None
    return make_sound_plan(
        choices,
        plain=named["plain"],
        status=named["status"],
        flags=named["flags"],
        valve=next(iter(named["valve"]), None),
        beside=named["beside"],
        loose_voltage=loose_voltage,
    )


def _is_raised(name: str, value: object) -> bool:
    """Tell whether an alarm's value says true, in whichever of the ways that codecs have for it."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if value is True or text == "true":
        return True
    return (text == "1" or (type(value) is int and value == 1)) and _is_sure(name)


def _is_sure(name: str) -> bool:
    words = words_of(name)
    return words <= _SURE or (words <= _SURE | {"reverse"} and not words.isdisjoint(_SPOKEN))


def _in_units(
    document: Mapping[str, Any], choices: tuple[tuple[str, float], ...], units: Mapping[str, tuple[str, ...]],
    extra: dict[str, Any],
) -> tuple[tuple[str, float], ...]:  # fmt: skip
    """Return the fields for a column with the factors that other fields tell; keep those that are no volumes."""
    found: list[tuple[str, float]] = []
    for name, factor in choices:
        unit = next((document[one] for one in units.get(name, ()) if document[one] not in (None, "")), None)
        told = factor if unit is None else volume_factor(unit)
        if told is not None:
            found.append((name, told))
        elif document[name] is not None:
            extra[name] = document[name]
    return tuple(found)


def _in_unit(value: object, factor: float) -> object:
    """Return a number times `factor`, whose inverse need not be whole."""
    if factor == 1 or (1 / factor).is_integer():
        return scaled(value, factor)
    found = scaled(value, 1.0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not LEAST <= found <= LARGEST:
        return found  # for the check to refuse it
    return found * factor


def _first(document: Mapping[str, Any], choices: tuple[tuple[str, float], ...], extra: dict[str, Any]) -> object:
    """Return the value of the first field that has one, in its column's unit; keep the others."""
    found: object = None
    for name, factor in choices:
        value = document[name]
        if value is None or (isinstance(value, str) and value.strip().lower() in _NULLS):
            continue
        if found is None:
            found = _in_unit(value, factor)
        else:
            extra[name] = value
    return found


def _volts(value: object) -> object:
    """Return a voltage of a field without a unit: no battery has more than a hundred volts, these are millivolts."""
    millivolts = isinstance(value, int | float) and not isinstance(value, bool) and value > MOST_VOLTS
    return scaled(value, 1e-3) if millivolts else value


def _read_valve(name: str, value: object, fields: dict[str, Any], extra: dict[str, Any]) -> None:
    """Take the state of a valve where it is a word; numbers mean something else with every vendor and are kept."""
    state = VALVE_WORDS.get(value.strip().lower()) if isinstance(value, str) else None
    if state is not None and "valve_state" not in fields:
        fields["valve_state"] = state
    elif name == "valve_state" and value is not None:
        fields["valve_state"] = value  # for the check to refuse it
    elif value is not None:
        extra[name] = value
