"""Readings in the order of meter, day and time, with as little sorting as the way they are stored leaves to do.

The lake keeps each day's file sorted by meter and time. A local day that lies in one file is in order as it stands; one
that begins in one file and ends in the next is put together run by run; only rows that came in no order are sorted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from diagnostics.segments import Flags, Integers, Segments

# Of readings of one time; what a source or counter does not tell comes last.
TIE_ORDER = ("source", "seq", "received_at")


@dataclass(frozen=True, slots=True)
class Order:
    """The order of readings by meter, day and time.

    Parameters
    ----------
    heads : polars.DataFrame
        ``meter_id`` and ``day`` of each key: 0, 1, 2 …
    keys : numpy.ndarray, shape (readings kept,)
        Key of each reading in order.
    rows : numpy.ndarray, shape (readings kept,), or None
        Where it stood before; None: they stand in order, and all are kept.
    """

    heads: pl.DataFrame
    keys: Integers
    rows: Integers | None

    @classmethod
    def empty(cls) -> Order:
        """Return the order of nothing."""
        return cls(pl.DataFrame(schema={"meter_id": pl.String, "day": pl.Date}), np.array([], dtype=np.int64), None)

    def of(self, readings: pl.DataFrame) -> pl.DataFrame:
        """Return `readings` in order, with ``key``."""
        if not readings.columns:
            return _key(self.keys).to_frame()
        placed = readings.rechunk() if self.rows is None else readings[self.rows]
        return placed.with_columns(_key(self.keys))

    def of_some(self, readings: pl.DataFrame, at: Integers) -> pl.DataFrame:
        """Return some of the readings, which stood `at` these places, in order and with ``key``."""
        if self.rows is None:
            return readings.rechunk().with_columns(_key(self.keys[at]))
        height = max(int(self.rows.max(initial=-1)), int(at.max(initial=-1))) + 1
        among = np.full(height, -1)
        among[at] = np.arange(len(at))
        chosen = among[self.rows]
        kept = chosen >= 0
        return readings[chosen[kept]].with_columns(_key(self.keys[kept]))

    def only(self, days: pl.DataFrame | None) -> Order:
        """Return the order of the readings that fall on `days` (``day``, or ``meter_id`` and ``day``); None: all."""
        if days is None or not len(self.keys):
            return self
        names = [name for name in ("meter_id", "day") if name in days.columns]
        wanted = days.select(names).unique().with_columns(pl.lit(value=True).alias("wanted"))
        heads = self.heads.join(wanted, on=names, how="left", maintain_order="left")
        kept = heads["wanted"].fill_null(value=False).to_numpy()
        if kept.all():
            return self
        there = np.flatnonzero(kept[self.keys])
        renumbered = (np.cumsum(kept) - 1)[self.keys[there]]
        return Order(self.heads.filter(pl.Series(kept)), renumbered, there if self.rows is None else self.rows[there])


def _key(keys: Integers) -> pl.Series:
    return pl.Series("key", keys, dtype=pl.Int64).set_sorted()


def in_order(readings: pl.DataFrame) -> Order:
    """Return the order of `readings`.

    Parameters
    ----------
    readings : polars.DataFrame
        Needs ``meter_id, day`` and ``ts``; of one time, readings go by :data:`TIE_ORDER` where there.
    """
    if readings.is_empty():
        return Order.empty()
    keys = _numbered(readings)
    heads = readings.select(pl.col("meter_id", "day").gather(Segments.of(keys).starts))
    ts = readings["ts"].to_physical().to_numpy()
    rows = None
    if heads.n_unique() < heads.height:
        heads, keys, rows = _run_by_run(heads, keys, ts)
        ts = ts[rows]
    took = np.diff(ts)
    same = np.diff(keys) == 0
    if bool((same & (took < 0)).any()):
        return _sorted(readings)
    tie = same & (took == 0)
    if tie.any():
        rows = _with_ties_settled(readings, tie, rows)
    return Order(heads, keys, rows)


def _numbered(readings: pl.DataFrame) -> Integers:
    """Return 0, 1, 2 … for each reading, one more wherever another meter or day begins."""
    changed = readings.select(
        (pl.col("meter_id") != pl.col("meter_id").shift(1)) | (pl.col("day") != pl.col("day").shift(1))
    ).to_series()
    numbers: Integers = np.cumsum(changed.fill_null(value=False).to_numpy(), dtype=np.int64)
    return numbers


def _sorted(readings: pl.DataFrame) -> Order:
    """Return the order of readings that stand in none."""
    told = [name for name in TIE_ORDER if name in readings.columns]
    placed = (
        readings.select("meter_id", "day", "ts", *told)
        .with_row_index("row")
        .sort("meter_id", "ts", *told, nulls_last=True, maintain_order=True)
    )
    keys = _numbered(placed)
    heads = placed.select(pl.col("meter_id", "day").gather(Segments.of(keys).starts))
    return Order(heads, keys, placed["row"].cast(pl.Int64).to_numpy())


def _run_by_run(heads: pl.DataFrame, keys: Integers, ts: Integers) -> tuple[pl.DataFrame, Integers, Integers]:
    """Put runs of one meter and day that stand in several places behind each other, the earliest first.

    Returns
    -------
    heads : polars.DataFrame
        Meter and day of each key.
    keys, rows : numpy.ndarray
        Key of each reading, and where it stood.
    """
    runs = Segments.of(keys)
    # Runs that begin at one time stay as they stand, as a plain sort would leave them.
    begun = heads.with_columns(pl.Series("from", ts[runs.starts])).with_row_index("run")
    placed = begun.sort("meter_id", "day", "from", maintain_order=True)
    order = placed["run"].cast(pl.Int64).to_numpy()
    lengths = runs.lengths[order]
    begins = np.cumsum(lengths) - lengths
    rows: Integers = np.repeat(runs.starts[order] - begins, lengths) + np.arange(runs.rows)
    numbers = _numbered(placed)
    first = Segments.of(numbers).starts
    return placed.select(pl.col("meter_id", "day").gather(first)), np.repeat(numbers, lengths), rows


def _with_ties_settled(readings: pl.DataFrame, tie: Flags, rows: Integers | None) -> Integers | None:
    """Return where the readings stand when those of one meter and time go by :data:`TIE_ORDER`; None: as they do.

    Parameters
    ----------
    readings : polars.DataFrame
        The readings.
    tie : numpy.ndarray, shape (readings - 1,)
        Whether the next reading in order is of the same meter and time.
    rows : numpy.ndarray, shape (readings,), or None
        The order so far.
    """
    among = np.zeros(readings.height, dtype=bool)
    among[1:] |= tie
    among[:-1] |= tie
    at = np.flatnonzero(among)
    moment = np.cumsum(np.append(True, ~tie))[at]
    told = [name for name in TIE_ORDER if name in readings.columns]
    tied = readings.select(pl.col(told).gather(at if rows is None else rows[at]))
    settled = (
        tied.with_columns(pl.Series("moment", moment))
        .with_row_index("place")
        .sort("moment", *told, nulls_last=True, maintain_order=True)["place"]
        .cast(pl.Int64)
        .to_numpy()
    )
    if (settled[1:] > settled[:-1]).all():
        return rows
    indices = np.arange(readings.height) if rows is None else rows.copy()
    indices[at] = indices[at][settled]
    return indices
