"""A registered meter: the columns of the registry as one record, and what may stand in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lake.errors import RowError
from lake.vocabulary import INSTALLATIONS, METER, SENSINGS, VALVE_TYPES

LONGEST_TEXT = 200
MOST_ALIASES = 16

WORDS: Mapping[str, tuple[str, ...]] = {
    "sensing": SENSINGS,
    "valve_type": VALVE_TYPES,
    "installation": INSTALLATIONS,
}

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What the registry says of one meter; the columns of :data:`lake.vocabulary.METER`, None where not known."""

    meter_id: str
    aliases: tuple[str, ...] = ()
    model: str | None = None
    manufacturer: str | None = None
    module_vendor: str | None = None
    module_encrypted: bool | None = None
    sensing: str | None = None
    valve_type: str | None = None
    battery_type: str | None = None
    battery_capacity_mah: float | None = None
    caliber_mm: float | None = None
    ip_rating: str | None = None
    firmware: str | None = None
    production_batch: str | None = None
    produced_on: date | None = None
    shipped_on: date | None = None
    installed_on: date | None = None
    removed_on: date | None = None
    warranty_months: float | None = None
    installation: str | None = None
    flood_prone: bool | None = None
    installer: str | None = None
    project: str | None = None
    region: str | None = None
    site: str | None = None
    timezone: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    customer_ref: str | None = None
    recorded_at: datetime | None = None


def check_meter(meter: Meter) -> None:
    """Check ids, words and ranges of a meter.

    Raises
    ------
    RowError
        A column holds what it may not.
    """
    _check_id("meter_id", meter.meter_id)
    if len(meter.aliases) > MOST_ALIASES:
        raise RowError("aliases", f"{len(meter.aliases)} of them; at most {MOST_ALIASES} are allowed")
    for alias in meter.aliases:
        _check_id("aliases", alias)
    for name, column in METER.items():
        value = getattr(meter, name)
        if isinstance(value, str):
            _check_text(name, value)
        elif column.dtype == "float64" and value is not None and not _within(value, column.low, column.high):
            raise RowError(name, f"{value:g} is out of range; allowed is {column.low:g} to {column.high:g}")
    for name, words in WORDS.items():
        if getattr(meter, name) not in {None, *words}:
            raise RowError(name, f"{getattr(meter, name)!r} is not allowed there; allowed are {', '.join(words)}")
    if meter.timezone is not None and not _is_zone(meter.timezone):
        raise RowError("timezone", f"{meter.timezone!r} is no IANA time zone such as Asia/Shanghai")


def _check_id(column: str, text: str) -> None:
    if not _ID.fullmatch(text):
        shown = text if len(text) <= 80 else f"{text[:80]}…"
        what = "is missing" if not text else f"{shown!r} is no meter id"
        raise RowError(column, f"{what}: 1 to 64 of A-Z a-z 0-9 . _ : -, the first alphanumeric")


def _check_text(column: str, text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise RowError(column, f"is longer than {LONGEST_TEXT} characters")
    if any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 for sign in text):
        raise RowError(column, f"holds control characters: {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RowError(column, f"is no valid text: {text!r}") from None


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)  # also false for NaN


@cache
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
