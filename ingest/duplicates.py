"""Which readings are already in the lake, or twice in a batch.

Identity is looked up by hash, day by day, in memory that is bounded; what the hash suggests is then compared exactly,
field by field, with the rows themselves. The lake is the only truth, so readings of other writers count as well.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable
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
        self._days: OrderedDict[date, tuple[frozenset[str], Hashes]] = OrderedDict()

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
            hashes = self._days[day][1]
            if hashes.size:
                wanted = part["_hash"].to_numpy()
                places = np.minimum(np.searchsorted(hashes, wanted), hashes.size - 1)
                found[part["row"].to_numpy()] = hashes[places] == wanted
        self._forget(keep=len(days))
        return pl.Series(found)

    def _learn(self, days: Collection[date]) -> None:
        """Bring the hashes of `days` up to what the lake holds now."""
        files = self._lake.files(READINGS, days)
        missing: dict[date, frozenset[str]] = {}
        for day in days:
            known, _ = self._days.get(day, (frozenset(), np.empty(0, np.uint64)))
            if known - files[day]:  # files were rewritten: start over
                self._days.pop(day, None)
                known = frozenset()
            missing[day] = files[day] - known
        loaded = self._load(name for names in missing.values() for name in names)
        for day in days:
            _, hashes = self._days.get(day, (frozenset(), np.empty(0, np.uint64)))
            fresh = loaded.get(day)
            if fresh is not None:
                hashes = np.sort(np.concatenate([hashes, fresh]))
            self._days[day] = (files[day], hashes)
            self._days.move_to_end(day)

    def _load(self, names: Iterable[str]) -> dict[date, Hashes]:
        wanted = list(names)
        if not wanted:
            return {}
        rows = (
            self._lake.scan_parts(READINGS, wanted)
            .select(pl.col("ts").dt.date().alias("day"), identity_hash().alias("hash"))
            .collect()
        )
        return {day: part["hash"].to_numpy() for (day,), part in rows.partition_by("day", as_dict=True).items()}

    def _forget(self, keep: int) -> None:
        while sum(hashes.size for _, hashes in self._days.values()) > self._capacity and len(self._days) > keep:
            self._days.popitem(last=False)

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


def identity_hash() -> pl.Expr:
    """Return an expression that hashes a reading's identity; only comparable within one process."""
    return pl.struct(*IDENTITY).hash(seed=0)
