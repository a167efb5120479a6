"""Which measurement a field of somebody else's making holds, told from the words of its name.

Meters, codecs and dashboards put the same few words together: ``total_water_consumption_m3``, ``currentVolume``,
``batteryVoltage``, ``flow_temperature_c``. A name is taken apart into words and a unit; it stands for a measurement
only if all of its words are known there. So ``target_m3``, ``max_flow_m3h`` or ``consumption_at_set_date_m3``, which
are of the past, stay unknown whatever a driver calls them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from lake.vocabulary import MEASURES

_LONGEST = 64  # characters of a name that says what it holds
_WORDS = re.compile(r"[A-Z]+(?![a-z])[0-9]*h?|[A-Z]?[a-z]+[0-9]*h?|[0-9]+")

# Unit words: quantity, and the factor to the unit of the vocabulary.
_UNITS = {
    **dict.fromkeys(("m3", "cbm"), ("m3", 1.0)),
    **dict.fromkeys(("l", "liter", "liters", "litre", "litres"), ("m3", 1e-3)),
    **dict.fromkeys(("m3h",), ("m3h", 1.0)),
    **dict.fromkeys(("lh", "lph"), ("m3h", 1e-3)),
    **dict.fromkeys(("v", "volt", "volts"), ("v", 1.0)),
    **dict.fromkeys(("mv", "millivolt"), ("v", 1e-3)),
    **dict.fromkeys(("c", "celsius", "degc"), ("c", 1.0)),
    "dbm": ("dbm", 1.0),
    "db": ("db", 1.0),
}

# Units as fields of their own tell them, in cubic metres.
_VOLUMES = {
    **dict.fromkeys(("m3", "m^3", "cbm", "kl", "cubic meter", "cubic meters", "cubic metre", "cubic metres"), 1.0),
    **dict.fromkeys(("hl", "hectoliter", "hectoliters", "hectolitre", "hectolitres"), 1e-1),
    **dict.fromkeys(("l", "liter", "liters", "litre", "litres"), 1e-3),
    **dict.fromkeys(("ml", "milliliter", "milliliters", "millilitre", "millilitres"), 1e-6),
    **dict.fromkeys(("gal", "gals", "gallon", "gallons"), 0.003785411784),
    **dict.fromkeys(("ft3", "ft^3", "cf", "cubic feet", "cubic foot"), 0.028316846592),
}
_UNIT_WORDS = ("unit", "units")
_ANY_VOLUME = (("water",), ("volume",), ())

_TOTAL = {"total", "totalizer", "totaliser", "cumulative", "cumulated", "accumulated", "volume", "reading", "register",
          "water", "forward", "positive"}  # fmt: skip
_VOLUME = _TOTAL | {"consumption", "usage", "used", "current", "actual", "meter", "metering", "cold", "hot", "warm"}
_BACK = {"reverse", "reversed", "backward", "backwards", "backflow", "negative"}
_FLOW = {"flow", "flowrate", "rate", "volume", "water", "current", "actual", "instantaneous", "momentary", "instant"}
_WATER = {"water", "flow", "medium", "media", "fluid", "liquid", "current", "actual"}
_AIR = {"external", "ambient", "air", "environment", "environmental", "room", "internal", "inside", "device", "module",
        "board", "housing", "case", "current", "actual"}  # fmt: skip
_CELL = {"battery", "batt", "bat", "cell"}
_VOLTAGE = {"voltage", "volt", "volts", "vol"}


class Measured(NamedTuple):
    """What a field holds.

    Parameters
    ----------
    column : str
        Column of the vocabulary; ``temperature_c`` where the name does not say of what.
    factor : float
        From the field's unit to the column's.
    rank : int
        Of several fields for one column the one with the lowest rank is taken.
    stated : bool
        Whether the name says the unit.
    """

    column: str
    factor: float
    rank: int
    stated: bool


def measured(name: str) -> Measured | None:
    """Return what a field holds, None where its name does not say.

    Examples
    --------
    >>> measured("total_backwards_m3").column, measured("currentVolume").column, measured("target_m3")
    ('reverse_volume_m3', 'volume_m3', None)
    """
    return _measured(name) if len(name) <= _LONGEST else None


def words_of(name: str) -> frozenset[str]:
    """Return the words of a name in lower case, none where it is too long or in another alphabet.

    Examples
    --------
    >>> sorted(words_of("lowBatteryAlarm"))
    ['alarm', 'battery', 'low']
    """
    return frozenset(_words(name))


def volume_factor(unit: object) -> float | None:
    """Return what one of a unit is in cubic metres, None where it is no known unit of a volume.

    Examples
    --------
    >>> volume_factor("Litres"), volume_factor("m³"), volume_factor("bar")
    (0.001, 1.0, None)
    """
    if not isinstance(unit, str) or unit.strip() == "ML":  # megalitres with some, millilitres with others
        return None
    return _VOLUMES.get(unit.strip().lower().replace("³", "3"))


def unit_fields(names: Iterable[str]) -> dict[tuple[str, ...], str]:
    """Return the fields that tell a unit by the words for what they tell it of; no words: of all.

    Examples
    --------
    >>> unit_fields(["unit", "meterReadingUnit", "x"])
    {(): 'unit', ('meter', 'reading'): 'meterReadingUnit'}
    """
    found: dict[tuple[str, ...], str] = {}
    for name in names:
        words = _words(name)
        if words and words[-1] in _UNIT_WORDS:
            found.setdefault(words[:-1], name)
    return found


def units_of(field: str, told: Mapping[tuple[str, ...], str]) -> tuple[str, ...]:
    """Return those of :func:`unit_fields` that tell the unit of a volume, the most particular ones first.

    Examples
    --------
    >>> units_of("meterReading", unit_fields(["unit", "meterReadingUnit", "temperature_unit"]))
    ('meterReadingUnit', 'unit')
    """
    return tuple(dict.fromkeys(told[words] for words in (_words(field), *_ANY_VOLUME) if words in told))


def _words(name: str) -> tuple[str, ...]:
    return tuple(_split(name)) if len(name) <= _LONGEST else ()


def _split(name: str) -> list[str]:
    plain = name.replace("³", "3").replace("/h", "h")
    # A word in another alphabet may say something else.
    return [word.lower() for word in _WORDS.findall(plain)] if plain.isascii() else []


@lru_cache(maxsize=10_000)
def _measured(name: str) -> Measured | None:
    if name in MEASURES:
        return Measured(name, 1.0, 0, stated=True)
    words = _split(name)
    quantity, factor = _UNITS.get(words[-1], ("", 1.0)) if len(words) > 1 else ("", 1.0)
    if quantity:
        words.pop()
    found = _column(set(words), quantity)
    if found is None:
        return None
    column, rank = found
    return Measured(column, factor, rank + 10 * (factor != 1), bool(quantity))


def _column(words: set[str], quantity: str) -> tuple[str, int] | None:
    """Return the column that words stand for, and how well they do."""
    if words & {"temperature", "temp"}:
        return _temperature(words - {"temperature", "temp"}) if quantity in {"c", ""} else None
    if quantity in {"v", ""} and words & (_CELL | _VOLTAGE):
        return _battery(words, stated=bool(quantity))
    if words <= {"rssi"} and words and quantity in {"dbm", ""}:
        return "rssi_dbm", 1
    if words <= {"snr"} and words and quantity in {"db", ""}:
        return "snr_db", 1
    if quantity == "m3h":
        return ("flow_m3h", 1) if words and words <= _FLOW else None
    return _register(words, stated=bool(quantity)) if quantity in {"m3", ""} else None


def _register(words: set[str], *, stated: bool) -> tuple[str, int] | None:
    if words & _BACK:
        known = words - _BACK <= _VOLUME | {"flow", "flowing"}
        return ("reverse_volume_m3", 1) if known and (stated or words & {"volume", "total"}) else None
    if stated and "total" in words:
        words -= {"flow"}
    if not words or not words <= _VOLUME or not (stated or words & _TOTAL):
        return None
    if not stated and not words & {"total", "totalizer", "totaliser", "volume", "reading", "register", "water"}:
        return None
    if not stated and words & {"consumption", "usage", "used"} and not words & {"total", "cumulative"}:
        return None  # perhaps of a day
    return "volume_m3", 3 if words & {"forward", "positive"} else 1 if words == {"total"} else 2


def _temperature(words: set[str]) -> tuple[str, int] | None:
    if words <= {"current", "actual"}:
        return "temperature_c", 3
    if words <= _WATER:
        return "water_temperature_c", 1
    return ("ambient_temperature_c", 1) if words <= _AIR else None


def _battery(words: set[str], *, stated: bool) -> tuple[str, int] | None:
    if not words <= _CELL | _VOLTAGE | {"level", "current"} or (words & {"level"} and not stated):
        return None
    named = bool(words & _CELL)
    if stated:
        return "battery_v", 1 if named else 2
    return ("battery_v", 3) if named and words & _VOLTAGE else None
