"""Which readings are already in the lake, or twice in a batch.

Identity is looked up by hash, day by day, in memory that is bounded; what the hash suggests is then compared exactly,
field by field, with the rows themselves. The lake is the only truth, so readings of other writers count as well.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.schemas import READINGS
from lake.tables import Lake
from lake.vocabulary import CONTENT, IDENTITY

Hashes = npt.NDArray[np.uint64]

_CAPACITY = 4_000_000  # readings whose hashes are remembered, 8 bytes each
_LOAD_ROWS = 500_000  # at once


class DuplicateIndex:
    """Finds readings that are already stored.

    Parameters
    ----------
    lake : Lake
        Where readings are stored.
    capacity : int
        Hashes to remember; the days used longest ago are dropped first.
    """

    def __init__(self, lake: Lake, capacity: int = _CAPACITY) -> None:
        self._lake = lake
        self._capacity = capacity
        # Of each day sorted runs, each at least twice as long as the next one: adding a few costs no sorting of all.
        self._days: OrderedDict[date, list[Hashes]] = OrderedDict()
        self._version = -1  # of the table, up to which these days are complete

    def classify(self, readings: pl.DataFrame) -> pl.DataFrame:
        """Return `readings` with the columns ``duplicate`` and ``conflict`` (bool), in the same order.

        Parameters
        ----------
        readings : polars.DataFrame
            Columns of the table ``readings`` with ``event_date``, in the order of receipt.
        """
        readings = readings.with_row_index("_place").with_columns(identity_hash().alias("_hash"))
        suspects = readings.filter(self._in_lake(readings) | pl.col("_hash").is_duplicated())
        duplicate, conflict = self._compare(suspects)
        return readings.with_columns(
            duplicate=pl.col("_place").is_in(duplicate), conflict=pl.col("_place").is_in(conflict)
        ).drop("_place", "_hash")

    def _in_lake(self, readings: pl.DataFrame) -> pl.Series:
        days = readings["event_date"].unique().to_list()
        self._learn(days)
        found = np.zeros(readings.height, dtype=bool)
        numbered = readings.select("event_date", "_hash").with_row_index("row")
        for (day,), part in numbered.partition_by("event_date", as_dict=True).items():
            wanted, numbers = part["_hash"].to_numpy(), part["row"].to_numpy()
            for hashes in self._days[day]:
                places = np.minimum(np.searchsorted(hashes, wanted), hashes.size - 1)
                found[numbers] |= hashes[places] == wanted
        self._forget(keep=len(days))
        return pl.Series(found)

    def _learn(self, days: Collection[date]) -> None:
        """Bring the hashes of `days` up to what the lake holds now.

        What a compaction rewrote is known already. A hash whose row is gone does no harm: each match is compared with
        the rows themselves.
        """
        version = self._lake.version(READINGS)
        if self._days and version != self._version:
            names = self._lake.added_since(READINGS, self._version)
            if names is None:  # the log no longer tells: start over
                self._days.clear()
            else:
                known = tuple(f"{READINGS.partition}={day}/" for day in self._days)
                for day, runs in self._load([name for name in names if name.startswith(known)]).items():
                    for run in runs:
                        _add_run(self._days[day], run)
        self._version = version
        unknown = [day for day in days if day not in self._days]
        files = self._lake.files(READINGS, unknown)
        loaded = self._load([name for names in files.values() for name in sorted(names)])
        for day in unknown:
            self._days[day] = loaded[day]
        for day in days:
            self._days.move_to_end(day)

    def _load(self, names: Sequence[str]) -> defaultdict[date, list[Hashes]]:
        """Return the runs of what stands in these files, read a bounded number of rows at a time."""
        loaded: defaultdict[date, list[Hashes]] = defaultdict(list)
        if not names:
            return loaded
        rows = self._lake.scan_parts(READINGS, names).select(
            pl.col("ts").dt.date().alias("day"), identity_hash().alias("hash")
        )
        for start in itertools.count(step=_LOAD_ROWS):
            part = rows.slice(start, _LOAD_ROWS).collect()
            for (day,), hashes in part.partition_by("day", as_dict=True).items():
                _add_run(loaded[day], np.sort(hashes["hash"].to_numpy()))
            if part.height < _LOAD_ROWS:
                break
        return loaded

    def _forget(self, keep: int) -> None:
        size = sum(run.size for runs in self._days.values() for run in runs)
        while size > self._capacity and len(self._days) > keep:
            _, runs = self._days.popitem(last=False)
            size -= sum(run.size for run in runs)

    def _compare(self, suspects: pl.DataFrame) -> tuple[list[int], list[int]]:
        """Return the places of duplicates and of conflicts, by exact comparison in the order of receipt."""
        if suspects.is_empty():
            return [], []
        seen = self._stored(suspects)
        duplicate: list[int] = []
        conflict: list[int] = []
        width = len(IDENTITY)
        for place, *values in suspects.select("_place", *IDENTITY, *CONTENT).iter_rows():
            contents = seen[tuple(values[:width])]
            content = values[width:]
            if content in contents:
                duplicate.append(place)
                continue
            if contents:
                conflict.append(place)
            contents.append(content)
        return duplicate, conflict

    def _stored(self, suspects: pl.DataFrame) -> defaultdict[tuple[Any, ...], list[list[Any]]]:
        """Return the contents that the lake holds under the identities of `suspects`."""
        seen: defaultdict[tuple[Any, ...], list[list[Any]]] = defaultdict(list)
        times = suspects["ts"].sort()
        rows = self._lake.scan(
            READINGS,
            start=times[0],
            end=times[-1] + timedelta(microseconds=1),
            meters=suspects["meter_id"].unique().to_list(),
        ).filter(pl.col("event_date").is_in(suspects["event_date"].unique().to_list()))
        wanted = suspects.select(IDENTITY).unique().lazy()
        found = rows.join(wanted, on=list(IDENTITY), how="semi", nulls_equal=True).select(*IDENTITY, *CONTENT)
        width = len(IDENTITY)
        for row in found.collect().iter_rows():
            seen[tuple(row[:width])].append(list(row[width:]))
        return seen


def _add_run(runs: list[Hashes], run: Hashes) -> None:
    """Add a sorted run, and merge it with those before it that are not much longer."""
    while runs and runs[-1].size < 2 * run.size:
        run = np.concatenate([runs.pop(), run])
        run.sort(kind="stable")  # two sorted runs: a merge
    if run.size:
        runs.append(run)


def identity_hash() -> pl.Expr:
    """Return an expression that hashes a reading's identity; only comparable within one process."""
    return pl.struct(*IDENTITY).hash(seed=0)
