"""The readings of a profile in order, and those of them that may make a symptom.

Most meters send a register every hour and their status once a day. So the columns that most readings leave empty are
kept apart, for the few readings that fill them: what is done a reading is then done for what every reading has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from diagnostics.local_day import with_local_day
from diagnostics.ordering import Order, in_order
from diagnostics.sources import several_sources
from lake.vocabulary import MEASURES

NEEDED = (
    "meter_id", "ts", "received_at", "source", "seq", "firmware", "valid", "invalid_fields", "flags", *MEASURES,
)  # fmt: skip
TOLD = ("seq", "firmware", *MEASURES)
VALVE = ("valve_state", "valve_command", "valve_refusal", "valve_travel_s", "valve_current_ma")
# What is looked at together is kept together.
TOGETHER = (VALVE, ("battery_v", "battery_load_v", "ambient_temperature_c", "water_temperature_c"))


@dataclass(frozen=True, slots=True)
class Keyed:
    """Readings, and their order by meter, day and time.

    Parameters
    ----------
    told : polars.DataFrame
        The readings as they came, without the columns that say nothing.
    order : Order
        Which of them make up each meter's day.
    has_several_sources : bool
        Whether they came by more than one source.
    """

    told: pl.DataFrame
    order: Order
    has_several_sources: bool

    @property
    def is_plain(self) -> bool:
        """Tell whether all came by one source and none is flagged or disowned."""
        doubted = {"flags", "invalid_fields"}.intersection(self.told.columns)
        return not doubted and not self.has_several_sources and not is_disowned(self.told)

    def rows(self, names: Sequence[str]) -> pl.DataFrame:
        """Return some columns, where there, in order and with ``key``."""
        there = [name for name in names if name in self.told.columns]
        return self.order.of(self.told.select(there))

    def rows_where(self, names: Sequence[str], filled: Sequence[str]) -> pl.DataFrame:
        """Return the same of the readings that fill any of `filled`."""
        mask = self.told.select(pl.any_horizontal(pl.col(filled).is_not_null())).to_series()
        there = [name for name in names if name in self.told.columns]
        return self.order.of_some(self.told.select(there).filter(mask), mask.arg_true().cast(pl.Int64).to_numpy())


def keyed_readings(
    readings: pl.DataFrame, meters: pl.DataFrame | None, default_zone: str, days: pl.DataFrame | None
) -> Keyed:
    """Return readings with their order.

    Parameters
    ----------
    readings : polars.DataFrame
        Rows of the table ``readings``; columns may be missing.
    meters : polars.DataFrame, optional
        ``meter_id`` and ``timezone``.
    default_zone : str
        IANA zone of the other meters.
    days : polars.DataFrame, optional
        The only ones to keep: ``day``, or ``meter_id`` and ``day``.
    """
    told = readings.select(name for name in NEEDED if name in readings.columns and not _says_nothing(readings[name]))
    if told.is_empty():
        return Keyed(told, Order.empty(), has_several_sources=False)
    located = with_local_day(told.select("meter_id", "ts").rechunk(), meters, default_zone)
    return Keyed(told, in_order(located, told).only(days), several_sources(told))


def _says_nothing(values: pl.Series) -> bool:
    """Tell whether a column is empty everywhere, or holds lists without anything in them."""
    if values.null_count() == len(values):
        return True
    return values.dtype == pl.List and not values.list.len().max()


def is_disowned(readings: pl.DataFrame) -> bool:
    """Tell whether a meter disowns any of its readings."""
    return "valid" in readings.columns and not readings["valid"].all()


@dataclass(frozen=True, slots=True)
class Usable:
    """The readings that may make a symptom, with values that may not taken out.

    Parameters
    ----------
    every : polars.DataFrame
        All of them, sorted by ``key`` and ``ts``: columns that nobody sent are not there, nor are those of `seldom`
        but for ``valve_state`` where a register stands beside it.
    seldom : frozenset of str
        Columns that most of them leave empty.
    status : polars.DataFrame
        The readings that fill any of `seldom`, with all columns.
    """

    every: pl.DataFrame
    seldom: frozenset[str]
    status: pl.DataFrame

    def has(self, name: str) -> bool:
        """Tell whether anybody sent this column."""
        return name in self.seldom or name in self.every.columns

    def telling(self, names: Sequence[str]) -> pl.DataFrame:
        """Return the readings that fill any of `names`, with all columns; none where nobody sent them."""
        sent = [name for name in names if self.has(name)]
        if not sent:
            return self.every.clear()
        rows = self.status if self.seldom.issuperset(sent) else self.every
        if any(rows[name].null_count() == 0 for name in sent):
            return rows
        return rows.filter(pl.any_horizontal(pl.col(sent).is_not_null()))


def usable_readings(keyed: Keyed) -> Usable:
    """Return the readings that may make a symptom, with values that may not taken out."""
    told = [name for name in TOLD if name in keyed.told.columns]
    seldom = _seldom(keyed.told.select(told))
    if not keyed.is_plain:
        every = _sound(keyed.rows(["ts", "source", "valid", "invalid_fields", "flags", *told]))
        return Usable(every, frozenset(), every.clear())
    status = keyed.rows_where(["ts", *told], seldom) if seldom else None
    beside = set(seldom)
    if status is not None and "volume_m3" in status.columns and status["volume_m3"].null_count() < status.height:
        beside.discard("valve_state")
    every = _within_range(keyed.rows(["ts", *(name for name in told if name not in beside)]))
    status = every.clear() if status is None else _within_range(status)
    return Usable(every, frozenset(seldom).intersection(status.columns), status)


def _seldom(told: pl.DataFrame) -> list[str]:
    """Return the columns that most readings leave empty, and those looked at together with them."""
    often = {name for name in told.columns if 2 * told[name].null_count() <= told.height}
    for names in TOGETHER:
        if often.intersection(names):
            often.update(names)
    return [name for name in told.columns if name not in often]


def _sound(rows: pl.DataFrame) -> pl.DataFrame:
    """Take out the readings that are contested or disowned, and the values that a meter disowns."""
    kept = rows.with_columns(pl.lit(value=False).alias("ambiguous"))
    if "flags" in rows.columns:
        ambiguous, contested = (
            pl.col("flags").list.contains(flag).fill_null(value=False) for flag in ("ambiguous_time", "conflict")
        )
        kept = kept.with_columns(ambiguous.alias("ambiguous")).filter(~contested)
    if "valid" in rows.columns:
        kept = kept.filter(pl.col("valid").fill_null(value=True))
    if "invalid_fields" in kept.columns:
        disowned = pl.col("invalid_fields")
        kept = kept.with_columns(
            pl.when(~disowned.list.contains(name).fill_null(value=False)).then(pl.col(name)).alias(name)
            for name in MEASURES
            if name in kept.columns
        )
    return _within_range(kept.drop("flags", "valid", "invalid_fields", strict=False))


def _within_range(rows: pl.DataFrame) -> pl.DataFrame:
    """Take out values outside their physical range, and measures without a value left."""
    wrong = []
    for name, column in MEASURES.items():
        if name in rows.columns and column.low is not None and column.high is not None:
            good = rows[name].is_between(column.low, column.high)
            if not good.all():
                wrong.append(pl.when(good).then(pl.col(name)).alias(name))
    kept = rows.with_columns(wrong) if wrong else rows
    return kept.drop(name for name in MEASURES if name in kept.columns and kept[name].null_count() == kept.height)
