"""Readings in the order of meter, day and time, with as little sorting as the way they are stored leaves to do.

The lake keeps each day's file sorted by meter and time. A local day that lies in one file is in order as it stands; one
that begins in one file and ends in the next is put together run by run; only rows that came in no order are sorted.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from diagnostics.segments import Flags, Integers, Segments

# Of readings of one time; what a source or counter does not tell comes last.
TIE_ORDER = ("source", "seq", "received_at")


def in_order(readings: pl.DataFrame) -> pl.DataFrame:
    """Return `readings` with ``key``, 0, 1, 2 … for each meter and day, sorted by key and time.

    Parameters
    ----------
    readings : polars.DataFrame
        Needs ``meter_id, day`` and ``ts``; of one time, readings go by :data:`TIE_ORDER` where there.
    """
    if readings.is_empty():
        return readings.with_columns(pl.lit(0, dtype=pl.Int64).alias("key"))
    rows = _numbered(readings)
    keys, ts = rows["key"].to_numpy(), rows["ts"].to_physical().to_numpy()
    order = None
    heads = _heads(rows)
    if heads.n_unique() < heads.height:
        order, keys = _run_by_run(rows, heads)
        ts = ts[order]
    took = np.diff(ts)
    same = np.diff(keys) == 0
    if bool((same & (took < 0)).any()):
        told = [name for name in TIE_ORDER if name in readings.columns]
        return _numbered(readings.sort("meter_id", "ts", *told, nulls_last=True, maintain_order=True))
    tie = same & (took == 0)
    if tie.any():
        order = _with_ties_settled(rows, tie, order)
    return rows if order is None else rows[order].with_columns(pl.Series("key", keys).set_sorted())


def of_days(rows: pl.DataFrame, days: pl.DataFrame | None) -> pl.DataFrame:
    """Return those of `rows`, as :func:`in_order` returns them, that fall on `days` (``meter_id, day``); None: all."""
    if days is None or rows.is_empty():
        return rows
    wanted = days.select("meter_id", "day").unique().with_columns(pl.lit(value=True).alias("wanted"))
    heads = _heads(rows).join(wanted, on=["meter_id", "day"], how="left", maintain_order="left")
    kept = heads["wanted"].fill_null(value=False).to_numpy()
    if kept.all():
        return rows
    keys = rows["key"].to_numpy()
    there = kept[keys]
    renumbered = (np.cumsum(kept) - 1)[keys[there]]
    return rows.filter(pl.Series(there)).with_columns(pl.Series("key", renumbered, dtype=pl.Int64).set_sorted())


def _numbered(readings: pl.DataFrame) -> pl.DataFrame:
    """Return `readings` with ``key``, one more wherever another meter or day begins."""
    changed = readings.select(
        (pl.col("meter_id") != pl.col("meter_id").shift(1)) | (pl.col("day") != pl.col("day").shift(1))
    ).to_series()
    keys = np.cumsum(changed.fill_null(value=False).to_numpy(), dtype=np.int64)
    return readings.with_columns(pl.Series("key", keys).set_sorted())


def _heads(rows: pl.DataFrame) -> pl.DataFrame:
    """Return meter and day of each key."""
    starts = Segments.of(rows["key"].to_numpy()).starts
    return rows.select(pl.col("meter_id", "day").gather(starts))


def _run_by_run(rows: pl.DataFrame, heads: pl.DataFrame) -> tuple[Integers, Integers]:
    """Return the order in which runs of one meter and day stand behind each other, the earliest first, and its keys."""
    runs = Segments.of(rows["key"].to_numpy())
    first = rows["ts"].gather(runs.starts)
    placed = heads.with_columns(first, pl.int_range(pl.len()).alias("run")).sort("meter_id", "day", "ts")
    order = placed["run"].to_numpy()
    lengths = runs.lengths[order]
    begins = np.cumsum(lengths) - lengths
    indices: Integers = np.repeat(runs.starts[order] - begins, lengths) + np.arange(runs.rows)
    return indices, np.repeat(_numbered(placed)["key"].to_numpy(), lengths)


def _with_ties_settled(rows: pl.DataFrame, tie: Flags, order: Integers | None) -> Integers | None:
    """Return the order in which readings of one meter and time go by :data:`TIE_ORDER`, None for that of the rows.

    Parameters
    ----------
    rows : polars.DataFrame
        The readings.
    tie : numpy.ndarray, shape (rows - 1,)
        Whether the next reading in `order` is of the same meter and time.
    order : numpy.ndarray, shape (rows,), or None
        The order so far.
    """
    among = np.zeros(rows.height, dtype=bool)
    among[1:] |= tie
    among[:-1] |= tie
    at = np.flatnonzero(among)
    moment = np.cumsum(np.append(True, ~tie))[at]
    told = [name for name in TIE_ORDER if name in rows.columns]
    tied = rows.select(pl.col(told).gather(at if order is None else order[at]))
    settled = (
        tied.with_columns(pl.Series("moment", moment), pl.int_range(pl.len()).alias("place"))
        .sort("moment", *told, nulls_last=True, maintain_order=True)["place"]
        .to_numpy()
    )
    if (settled[1:] > settled[:-1]).all():
        return order
    indices = np.arange(rows.height) if order is None else order.copy()
    indices[at] = indices[at][settled]
    return indices
