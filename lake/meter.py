"""A registered meter: the columns of the registry as one record, and what may stand in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from lake.errors import RowError
from lake.rows import cell_problems, id_problems, is_zone, shortened
from lake.vocabulary import INSTALLATIONS, METER, SENSINGS, VALVE_TYPES

MOST_ALIASES = 16

WORDS: Mapping[str, tuple[str, ...]] = {
    "sensing": SENSINGS,
    "valve_type": VALVE_TYPES,
    "installation": INSTALLATIONS,
}


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


def meter_problems(meter: Meter) -> Iterator[RowError]:
    """Yield what may not stand in a meter's columns: ids, words, ranges, texts, zone."""
    yield from id_problems("meter_id", meter.meter_id)
    if len(meter.aliases) > MOST_ALIASES:
        yield RowError("aliases", f"{len(meter.aliases)} of them; at most {MOST_ALIASES} are allowed")
    for alias in meter.aliases[:MOST_ALIASES]:
        yield from id_problems("aliases", alias)
    values = {name: getattr(meter, name) for name in METER if name not in {"meter_id", "aliases"}}
    yield from cell_problems(values, METER, WORDS)
    if meter.timezone is not None and not is_zone(meter.timezone):
        yield RowError("timezone", f"{shortened(meter.timezone)!r} is no IANA time zone such as Asia/Shanghai")
