"""What the registry knows about one meter, as tickets carry it, and its warranty."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Literal

import msgspec
import polars as pl

from tickets.texts import clean

TEXT_LIMIT = 100


class Meter(msgspec.Struct, frozen=True, omit_defaults=False):
    """The registry's fields (contract, section 2); null where not known."""

    meter_id: str
    aliases: str | None = None
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


class Warranty(msgspec.Struct, frozen=True):
    """Warranty as far as dates tell; a missing seal found on site can still void it."""

    state: Literal["in", "out", "unknown"] = "unknown"
    ends_on: date | None = None
    basis: str | None = None


_FLAGS = frozenset({"module_encrypted", "flood_prone"})
_NUMBERS = frozenset({"battery_capacity_mah", "caliber_mm", "warranty_months", "latitude", "longitude"})
_DATES = frozenset({"produced_on", "shipped_on", "installed_on", "removed_on"})
_BASES = ("installed_on", "shipped_on", "produced_on")


def meters(registry: pl.DataFrame | None, meter_ids: Iterable[str]) -> dict[str, Meter]:
    """Look meters up; one the registry does not have knows its id only.

    Parameters
    ----------
    registry : polars.DataFrame, optional
        Columns of the contract's section 2, any of them missing; one row a ``meter_id``.
    meter_ids : iterable of str
        The meters asked for.
    """
    wanted = sorted(set(meter_ids))
    found = {meter_id: Meter(meter_id) for meter_id in wanted}
    if registry is not None and "meter_id" in registry.columns:
        names = [name for name in Meter.__struct_fields__ if name in registry.columns]
        rows = registry.select(names).filter(pl.col("meter_id").is_in(wanted))
        found |= {row["meter_id"]: meter_from(row) for row in rows.iter_rows(named=True)}
    return found


def meter_from(row: Mapping[str, Any]) -> Meter:
    """Build a meter from a row of the registry; what does not fit its field counts as not known."""
    values = {name: _value(name, value) for name, value in row.items() if value is not None}
    return Meter(**{name: value for name, value in values.items() if value is not None})


def warranty(meter: Meter, *, on: date) -> Warranty:
    """Return the warranty state on a day: counted from installation, else shipping, else production.

    Examples
    --------
    >>> warranty(Meter("1", installed_on=date(2020, 1, 31), warranty_months=1), on=date(2020, 3, 1)).ends_on
    datetime.date(2020, 2, 29)
    """
    basis = next((name for name in _BASES if getattr(meter, name) is not None), None)
    if basis is None or meter.warranty_months is None or not 0 <= meter.warranty_months <= 1200:
        return Warranty()
    ends_on = _months_later(getattr(meter, basis), int(meter.warranty_months))
    return Warranty("in" if on <= ends_on else "out", ends_on, basis)


def _months_later(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    year = min(day.year + years, 9999)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _value(name: str, value: Any) -> Any:
    if name in _FLAGS:
        return _flag(value)
    if name in _NUMBERS:
        return _number(value)
    if name in _DATES:
        return _date(value)
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(part) for part in value)
    return clean(str(value), TEXT_LIMIT) or None


def _flag(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(str(value).lower())


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) <= 1e12 else None


def _date(value: Any) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None
