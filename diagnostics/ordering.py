"""Readings in the order of meter, day and time, with as little sorting as the way they are stored leaves to do.

The lake keeps each day's file sorted by meter and time. A local day that lies in one file is in order as it stands; one
that begins in one file and ends in the next is put together run by run; only rows that came in no order are sorted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from diagnostics.segments import Integers

# Of readings of one time; what a source or counter does not tell comes last.
TIE_ORDER = ("source", "seq", "received_at")
FEW_MOVED = 0.01  # of all readings: less than what it costs to look every one up


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
        Where it stood before; None: all are kept, and stand in order but for those `moved`.
    moved : tuple of numpy.ndarray, optional
        Places that hold another reading than the one that stood there, and where those stood.
    """

    heads: pl.DataFrame
    keys: Integers
    rows: Integers | None
    moved: tuple[Integers, Integers] | None = None

    @classmethod
    def empty(cls) -> Order:
        """Return the order of nothing."""
        return cls(pl.DataFrame(schema={"meter_id": pl.String, "day": pl.Date}), np.array([], dtype=np.int64), None)

    def of(self, readings: pl.DataFrame) -> pl.DataFrame:
        """Return `readings` in order, with ``key``."""
        if not readings.columns:
            return _key(self.keys).to_frame()
        return self._placed(readings).with_columns(_key(self.keys))

    def of_some(self, readings: pl.DataFrame, at: Integers) -> pl.DataFrame:
        """Return some of the readings, which stood `at` these places, in order and with ``key``."""
        place = self._place(at)
        if place is at:
            return readings.rechunk().with_columns(_key(self.keys[at]))
        chosen = np.flatnonzero(place >= 0)
        chosen = chosen[np.argsort(place[chosen], kind="stable")]
        return readings[chosen].with_columns(_key(self.keys[place[chosen]]))

    def _placed(self, readings: pl.DataFrame) -> pl.DataFrame:
        if self.rows is not None:
            return readings[self.rows]
        if self.moved is None:
            return readings.rechunk()
        return pl.DataFrame([self._with_moved(values.rechunk()) for values in readings])

    def _with_moved(self, values: pl.Series) -> pl.Series:
        if self.moved is None or values.dtype == pl.List:  # of lists no single one can be set
            return values.gather(self._rows())
        places, before = self.moved
        return values.clone().scatter(places, values.gather(before))

    def _place(self, at: Integers) -> Integers:
        """Return the places of the readings that stood `at` these, -1 for those that are not kept."""
        if self.rows is None and self.moved is None:
            return at
        if self.rows is not None:
            places = np.full(max(int(self.rows.max(initial=-1)), int(at.max(initial=-1))) + 1, -1)
            places[self.rows] = np.arange(len(self.rows))
            return places[at]
        to, before = self.moved  # type: ignore[misc]
        by_before = np.argsort(before)
        to, before = to[by_before], before[by_before]
        near = np.minimum(np.searchsorted(before, at), len(before) - 1)
        place: Integers = np.where(before[near] == at, to[near], at)
        return place

    def _rows(self) -> Integers:
        """Return where each reading in order stood before."""
        if self.rows is not None:
            return self.rows
        rows = np.arange(len(self.keys))
        if self.moved is not None:
            rows[self.moved[0]] = self.moved[1]
        return rows

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
        return Order(self.heads.filter(pl.Series(kept)), renumbered, self._rows()[there])


def _key(keys: Integers) -> pl.Series:
    return pl.Series("key", keys, dtype=pl.Int64).set_sorted()


def in_order(readings: pl.DataFrame, told: pl.DataFrame) -> Order:
    """Return the order of `readings`.

    Parameters
    ----------
    readings : polars.DataFrame
        ``meter_id, day`` and ``ts``.
    told : polars.DataFrame
        The same readings: where it has the columns :data:`TIE_ORDER`, those of one time go by them.
    """
    if readings.is_empty():
        return Order.empty()
    starts = _starts(readings)
    heads = readings.select(pl.col("meter_id", "day").gather(starts))
    ts = readings["ts"].to_physical().to_numpy()
    rows = None
    if heads.n_unique() < heads.height:
        heads, starts, rows = _run_by_run(heads, starts, ts)
        ts = ts[rows]
    took = np.diff(ts)
    took[starts[1:] - 1] = 1  # from one key to the next
    numbers = _numbered(starts, len(ts))
    if took.min(initial=1) < 0:
        return Order(heads, numbers, _sorted(told, numbers, ts, rows))
    places, before = _with_ties_settled(told, np.flatnonzero(took == 0), rows)
    if not len(places):
        return Order(heads, numbers, rows)
    if rows is None and len(places) <= FEW_MOVED * len(ts):
        return Order(heads, numbers, None, (places, before))
    rows = np.arange(len(ts)) if rows is None else rows
    rows[places] = before
    return Order(heads, numbers, rows)


def _starts(readings: pl.DataFrame) -> Integers:
    """Return where another meter or day begins, the first reading among them."""
    changed = readings.select(
        (pl.col("meter_id") != pl.col("meter_id").shift(1)) | (pl.col("day") != pl.col("day").shift(1))
    ).to_series()
    return np.append(0, np.flatnonzero(changed.fill_null(value=False).to_numpy()))


def _numbered(starts: Integers, height: int) -> Integers:
    """Return 0, 1, 2 … for each reading, one more at each of `starts`."""
    numbers: Integers = np.repeat(np.arange(len(starts)), np.diff(starts, append=height))
    return numbers


def _sorted(told: pl.DataFrame, keys: Integers, ts: Integers, rows: Integers | None) -> Integers:
    """Return where the readings stand that are in no order of time within their keys.

    Parameters
    ----------
    told : polars.DataFrame
        The readings.
    keys, ts : numpy.ndarray, shape (readings,)
        Key and time of each, by key.
    rows : numpy.ndarray, shape (readings,), or None
        The order of these.
    """
    ties = [name for name in TIE_ORDER if name in told.columns]
    row = np.arange(len(ts)) if rows is None else rows
    placed = pl.DataFrame({"key": keys, "ts": ts, "row": row}).hstack(told.select(pl.col(ties).gather(row)))
    return placed.sort("key", "ts", *ties, "row", nulls_last=True)["row"].to_numpy()


def _run_by_run(heads: pl.DataFrame, starts: Integers, ts: Integers) -> tuple[pl.DataFrame, Integers, Integers]:
    """Put runs of one meter and day that stand in several places behind each other, the earliest first.

    Parameters
    ----------
    heads : polars.DataFrame
        Meter and day of each run.
    starts, ts : numpy.ndarray
        Its first reading, and the time of every reading.

    Returns
    -------
    heads : polars.DataFrame
        Meter and day, each once.
    starts, rows : numpy.ndarray
        The first reading of each, and where every reading stood.
    """
    # Runs that begin at one time stay as they stand, as a plain sort would leave them.
    begun = heads.with_columns(pl.Series("from", ts[starts])).with_row_index("run")
    placed = begun.sort("meter_id", "day", "from", maintain_order=True)
    order = placed["run"].cast(pl.Int64).to_numpy()
    lengths = np.diff(starts, append=len(ts))[order]
    begins = np.cumsum(lengths) - lengths
    rows: Integers = np.repeat(starts[order] - begins, lengths) + np.arange(len(ts))
    first = _starts(placed)
    return placed.select(pl.col("meter_id", "day").gather(first)), begins[first], rows


def _with_ties_settled(told: pl.DataFrame, tied: Integers, rows: Integers | None) -> tuple[Integers, Integers]:
    """Return the places that change where readings of one meter and time go by :data:`TIE_ORDER`.

    Parameters
    ----------
    told : polars.DataFrame
        The readings.
    tied : numpy.ndarray
        Places in order whose next reading is of the same meter and time.
    rows : numpy.ndarray, shape (readings,), or None
        The order so far.

    Returns
    -------
    places, before : numpy.ndarray
        The places, and where the readings stood that belong there.
    """
    at = np.union1d(tied, tied + 1)
    moment = np.cumsum(~np.isin(at - 1, tied))
    ties = [name for name in TIE_ORDER if name in told.columns]
    stood = at if rows is None else rows[at]
    settled = (
        told.select(pl.col(ties).gather(stood))
        .with_columns(pl.Series("moment", moment))
        .with_row_index("place")
        .sort("moment", *ties, nulls_last=True, maintain_order=True)["place"]
        .cast(pl.Int64)
        .to_numpy()
    )
    changed = settled != np.arange(len(settled))
    return at[changed], stood[settled][changed]
