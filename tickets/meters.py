"""What the registry knows about the meters of tickets, as tickets carry it, and their warranty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Literal

import msgspec
import polars as pl

from lake.meter import Meter
from lake.rows import is_zone
from lake.schemas import INSPECTIONS, METERS
from lake.warranty import dead_on_arrival, warranty
from tickets.texts import clean

TEXT_LIMIT = 100


class Warranty(msgspec.Struct, frozen=True):
    """Whether a meter is in warranty, and why: counted from which day, for how long, or made void by whom."""

    state: Literal["in_warranty", "expired", "void", "unknown"] = "unknown"
    ends_on: date | None = None
    basis: Literal["installed_on", "shipped_on", "produced_on"] | None = None
    months: int | None = None
    void_since: datetime | None = None
    void_by: str | None = None
    dead_on_arrival: bool | None = None

    def at(self, day: date) -> Warranty:
        """Return the same as of another day: a warranty that runs ends on its last day."""
        if self.ends_on is None or self.state not in {"in_warranty", "expired"}:
            return self
        return msgspec.structs.replace(self, state="in_warranty" if day <= self.ends_on else "expired")


def meters(registry: pl.DataFrame | None, meter_ids: Iterable[str]) -> dict[str, Meter]:
    """Look meters up; one the registry does not have knows its id only.

    Parameters
    ----------
    registry : polars.DataFrame, optional
        Columns of :data:`lake.vocabulary.METER`, any of them missing; one row a ``meter_id``.
    meter_ids : iterable of str
        The meters asked for.
    """
    wanted = sorted(set(meter_ids))
    found = {meter_id: Meter(meter_id=meter_id) for meter_id in wanted}
    if registry is not None:
        rows = METERS.conform(registry).filter(pl.col("meter_id").is_in(wanted))
        found |= {row["meter_id"]: meter_from(row) for row in rows.iter_rows(named=True)}
    return found


def meter_from(row: Mapping[str, Any]) -> Meter:
    """Build a meter from a row of the registry; texts are made readable and short."""
    told = {name: _readable(value) for name, value in row.items() if value is not None}
    return Meter(**{name: value for name, value in told.items() if value not in (None, "")})


def warranties(
    faults: pl.DataFrame,
    registry: pl.DataFrame | None,
    inspections: pl.DataFrame | None,
    as_of: datetime,
    timezone: str,
) -> dict[tuple[str, datetime | None], Warranty]:
    """Return the warranty of meters whose faults began at given times.

    Parameters
    ----------
    faults : polars.DataFrame
        ``meter_id`` and ``onset`` (UTC), which may be empty.
    registry : polars.DataFrame, optional
        As for :func:`meters`.
    inspections : polars.DataFrame, optional
        Columns of :data:`lake.vocabulary.INSPECTION`.
    as_of : datetime
        Later inspections do not count.
    timezone : str
        Zone of the site, whose days are those of meters without one.

    Returns
    -------
    dict
        By meter and onset; meters that the registry does not have are left out.
    """
    if registry is None:
        return {}
    known = METERS.conform(registry)
    told = (
        faults.select("meter_id", "onset")
        .unique()
        .join(known.select("meter_id", pl.col("timezone").fill_null(timezone)), on="meter_id")
    )
    if told.is_empty():
        return {}
    own = known.join(told, on="meter_id", how="semi")
    covered = warranty(own, INSPECTIONS.empty() if inspections is None else inspections, as_of, timezone)
    begun = pl.concat(
        part.with_columns(
            pl.col("onset").dt.convert_time_zone(zone if is_zone(zone) else timezone).dt.date().alias("day")
        )
        for (zone,), part in told.partition_by("timezone", as_dict=True).items()
        if isinstance(zone, str)
    )
    rows = dead_on_arrival(begun, own).join(covered, on="meter_id")
    names = Warranty.__struct_fields__
    return {
        (row["meter_id"], row["onset"]): Warranty(**{name: _readable(row[name]) for name in names})
        for row in rows.iter_rows(named=True)
    }


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value, TEXT_LIMIT)
    if isinstance(value, list | tuple):
        return tuple(clean(str(part), TEXT_LIMIT) for part in value)
    return value
