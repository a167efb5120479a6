"""The table ``daily`` brought up to date: in slices of meters and days of bounded size, several beside each other.

A slice is all that is needed at once: its readings are read, profiled and chained in one go, and its rows are written
before the next one is begun. So neither the number of meters nor the length of the history shows in the memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

import numpy as np
import polars as pl
from deltalake.transaction import AddAction

from diagnostics.chain import STATE_BEFORE, chain
from diagnostics.daily import day_profile
from diagnostics.features import UNREAD, WINDOW_DAYS
from diagnostics.local_day import day_bounds, zones_of
from diagnostics.settings import ProfileSettings
from diagnostics.usable import NEEDED
from lake.schemas import DAILY, ERROR_CODES, READINGS, TableSchema
from lake.tables import Lake

SLICE_READINGS = 1_000_000  # profiled at once: each slice costs some time of its own, and its readings memory
SLICE_METERS = 1_000  # at least: the lake keeps the readings of so many meters together
MOST_DAYS = 8  # of a slice
FEW_FILES = 500  # whose footers are looked at for columns that need not be read
WINDOW_METERS = 25_000  # whose rows of the window are put in order at once; files keep so many rows of a day together
FEW_METERS = 1_000  # picked out by their names; more are read with whoever stands between them
NEAR_DAYS = 3  # before the first day of a slice within which the row before it is looked for first
_DAYS = 10_000_000  # more days than there are, to number meters and days in one
SELDOM = 0.1  # a day with fewer meters than this share of the busiest day's is one of late readings


@dataclass(frozen=True, slots=True)
class Written:
    """What was written and waits for its commit.

    Parameters
    ----------
    actions : list of AddAction
        The files.
    rows : int
        Daily rows in them.
    """

    actions: list[AddAction]
    rows: int


@dataclass(frozen=True, slots=True)
class Meters:
    """Some meters: those from one name up to another, all or those of a list.

    Parameters
    ----------
    low, high : str, optional
        First name and the first one that no longer belongs to them; None: no limit.
    names : polars.Series, optional
        Only these.
    """

    low: str | None = None
    high: str | None = None
    names: pl.Series | None = None

    def within(self) -> list[pl.Expr]:
        """Return what holds of a row of these meters."""
        meter = pl.col("meter_id")
        held = [] if self.low is None else [meter >= self.low]
        held += [] if self.high is None else [meter < self.high]
        return held if self.names is None else [*held, meter.is_in(self.names.implode())]

    def may_be_in(self, files: pl.DataFrame) -> pl.DataFrame:
        """Return the files that may hold one of these meters."""
        if self.low is not None:
            files = files.filter(pl.col("last_meter").is_null() | (pl.col("last_meter") >= self.low))
        if self.high is not None:
            files = files.filter(pl.col("first_meter").is_null() | (pl.col("first_meter") < self.high))
        return files


class DailyRows:
    """Makes the daily rows of what was received.

    Parameters
    ----------
    source : Lake
        Where readings and error codes are.
    work : Lake
        Where daily rows are.
    zone : str
        IANA zone of the meters.
    settings : ProfileSettings
        Thresholds.
    as_of : datetime
        What was received later is not seen (UTC).
    registry : polars.DataFrame
        ``meter_id`` and, where known, ``timezone`` and ``caliber_mm`` of the meters.
    """

    def __init__(
        self,
        source: Lake,
        work: Lake,
        zone: str,
        settings: ProfileSettings,
        as_of: datetime,
        registry: pl.DataFrame,
    ) -> None:
        self._source = source
        self._work = work
        self._zone = zone
        self._settings = settings
        self._as_of = as_of
        self._registry = registry
        self._zones = zones_of(registry, zone)
        last = as_of.date() + timedelta(days=1)  # nothing measured later than a day ahead is stored
        self._readings = source.parts(READINGS).filter(pl.col("day") <= last)
        self._columns: dict[str, frozenset[str]] = {}  # of each file of readings that was opened
        self._codes = source.parts(ERROR_CODES).filter(pl.col("day") <= last)

    def all(self) -> Written:
        """Write the rows of everything received."""
        if self._readings.is_empty():
            return Written([], 0)
        slices, days = self._cut()
        return self._run(partial(self._backfill, meters, days) for meters in slices)

    def of(self, days: pl.DataFrame, readings: int, anew: Sequence[str] = ()) -> Written:
        """Write the rows of some days, and those after them of the same meters.

        Parameters
        ----------
        days : polars.DataFrame
            ``meter_id`` and ``day`` that have changed, each once.
        readings : int
            About how many readings they have; bounds the slices.
        anew : sequence of str
            Meters whose stored rows no longer count.
        """
        pieces = max(1, -(-readings // SLICE_READINGS))
        size = max(1, -(-days.height // pieces))
        return self._run(
            partial(self._change, part, anew)
            for group in _apart(days)
            for part in _whole_meters(group.sort("meter_id", "day"), size)
        )

    def window(self, days: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the window of the meters of `days`, as writing the rows of `days` would leave them.

        Parameters
        ----------
        days : polars.DataFrame
            ``meter_id`` and ``day`` of a few meters.

        Returns
        -------
        polars.DataFrame
            Conforms to :data:`lake.schemas.DAILY`; of a meter and day the latest row holds.
        """
        return pl.concat(self._changed(days, WINDOW_DAYS))

    def _run(self, tasks: Iterator[Callable[[], Written]]) -> Written:
        """Run slices beside each other; where one fails, what the others wrote is removed."""
        with _executor() as executor:
            futures = [executor.submit(task) for task in tasks]
        failed = next((future for future in futures if future.exception() is not None), None)
        written = [future.result() for future in futures if future.exception() is None]
        actions = [action for each in written for action in each.actions]
        if failed is not None:
            self._work.discard(DAILY, [action.path for action in actions])
            failed.result()
        return Written(actions, sum(each.rows for each in written))

    def _cut(self) -> tuple[list[Meters], list[tuple[date, date]]]:
        """Return slices of meters, and of days, that have a bounded number of readings where they cross."""
        by_day = self._readings.group_by("day").agg(pl.col("rows").sum()).sort("rows", "day")
        busiest, most = by_day.row(-1)
        names = (
            self._source.scan_parts(READINGS, self._readings.filter(pl.col("day") == busiest)["path"].to_list())
            .select("meter_id")
            .collect()["meter_id"]
            .sort()
        )
        meters = max(1, names.n_unique())
        of_meter = most / meters
        at_once = max(SLICE_METERS, int(SLICE_READINGS / of_meter / MOST_DAYS))
        places = [int(place * at_once * of_meter) for place in range(1, -(-meters // at_once))]
        cuts = names.gather(places).unique(maintain_order=True).to_list()
        slices = [Meters(low, high) for low, high in zip([None, *cuts], [*cuts, None], strict=True)]
        length = max(1, min(MOST_DAYS, int(SLICE_READINGS / (at_once * of_meter))))
        first: date = by_day["day"].min()  # type: ignore[assignment] # there are some
        last: date = by_day["day"].max()  # type: ignore[assignment]
        start = first - timedelta(days=1)  # local days may begin before and end after those of UTC
        days = []
        while start <= last + timedelta(days=1):
            days.append((start, start + timedelta(days=length)))
            start = days[-1][1]
        return slices, days

    def _backfill(self, meters: Meters, spans: list[tuple[date, date]]) -> Written:
        """Write the rows of some meters, from the first day on; nothing is known of them."""
        actions: list[AddAction] = []
        count = 0
        newest = DAILY.empty().select(STATE_BEFORE)
        for first, until in spans:
            fresh = self._profile(meters, first, until, None)
            if fresh.is_empty():
                continue
            rows = chain(newest, fresh, as_of=self._as_of, settings=self._settings)
            ends = rows.filter((pl.col("meter_id") != pl.col("meter_id").shift(-1)).fill_null(value=True))
            silent = newest.join(ends, on="meter_id", how="anti")
            newest = pl.concat([silent, ends.select(STATE_BEFORE)])
            actions += self._work.write(DAILY, rows)
            count += rows.height
        return Written(actions, count)

    def _change(self, days: pl.DataFrame, anew: Sequence[str]) -> Written:
        _, rows = self._changed(days, NEAR_DAYS, anew)
        return Written(self._work.write(DAILY, rows), rows.height)

    def _changed(
        self, days: pl.DataFrame, back_days: int, anew: Sequence[str] = ()
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the stored rows of some meters since so many days before the first of `days`, and what these make."""
        first: date = days["day"].min()  # type: ignore[assignment] # days of at least one meter
        last: date = days["day"].max()  # type: ignore[assignment]
        names = days["meter_id"].unique().sort()
        few = names if len(names) <= FEW_METERS or (last - first).days > NEAR_DAYS else None
        meters = Meters(names[0], _after(names[-1]), few)
        fresh = self._profile(meters, first, last + timedelta(days=1), days)
        known = self._known(days, first, meters, back_days).filter(~pl.col("meter_id").is_in(anew))
        return known, chain(known, fresh, as_of=self._as_of, settings=self._settings)

    def _profile(self, meters: Meters, first: date, until: date, days: pl.DataFrame | None) -> pl.DataFrame:
        """Return the rows of the days from `first` to before `until`, or of `days` among them."""
        wanted = pl.date_range(first, until, closed="left", eager=True) if days is None else days["day"].unique().sort()
        bounds = self._bounds(wanted)
        readings = self._rows(READINGS, self._readings, meters, bounds)
        if readings.is_empty():
            return DAILY.empty()
        codes = self._rows(ERROR_CODES, self._codes, meters, bounds)
        whole = wanted.alias("day").to_frame() if days is None and len(self._zones) > 1 else days
        return day_profile(
            readings,
            codes,
            default_zone=self._zone,
            as_of=self._as_of,
            meters=self._registry,
            settings=self._settings,
            days=whole,
        )

    def _bounds(self, days: pl.Series) -> pl.DataFrame:
        """Return begin and end of days, from the first zone that begins one to the last that ends it (UTC)."""
        frame = days.alias("day").to_frame()
        zones = [day_bounds(frame, None, zone) for zone in self._zones]
        ends = pl.concat(zones).group_by("day").agg(pl.col("starts_at").min(), pl.col("ends_at").max())
        return ends.sort("day")

    def _rows(self, table: TableSchema, files: pl.DataFrame, meters: Meters, bounds: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of some meters from the begin of the first day to the end of the last of `bounds`.

        Only files of dates (of UTC) that those days touch are opened.
        """
        start, end = bounds["starts_at"], bounds["ends_at"]
        dates = pl.concat([start.dt.date(), end.dt.offset_by("-1us").dt.date()]).unique()
        near = meters.may_be_in(files).filter(pl.col("day").is_in(dates.implode()))
        columns = [name for name in table.polars if name != table.partition]
        if table is READINGS:
            columns = [name for name in columns if name in NEEDED]
        if near.is_empty():
            return table.empty().select(columns)
        names = near["path"].to_list()
        columns = self._filled(table, names, columns)
        held = meters.within()
        if len(dates) > len(bounds):  # else the days are those of the files
            held += [pl.col("ts") >= start[0], pl.col("ts") < end[-1]]
        return self._source.scan_parts(table, names).filter(*held).select(columns).collect()

    def _filled(self, table: TableSchema, names: Sequence[str], columns: Sequence[str]) -> list[str]:
        """Return those of `columns` that any of the files fills, in many small files all of them."""
        if table is not READINGS or len(names) > FEW_FILES:
            return list(columns)
        filled = {"meter_id", "ts", "received_at"}
        for name in names:
            if name not in self._columns:
                self._columns[name] = self._source.filled_columns(table, name)
            filled |= self._columns[name]
        return [column for column in columns if column in filled]

    def _known(self, days: pl.DataFrame, first: date, meters: Meters, back_days: int) -> pl.DataFrame:
        """Return the stored rows of `meters` since so many days before `first`.

        Where a meter of `days` has none there before its own first day, its last one before that is with them.
        """
        daily = self._work.scan(DAILY)
        begin = first - timedelta(days=back_days)
        known = newest_rows(daily.filter(pl.col("day") >= begin, *meters.within()).collect())
        firsts = days.group_by("meter_id").agg(pl.col("day").min().alias("first_day"))
        for earlier in (first - timedelta(days=WINDOW_DAYS), None):
            before = known.join(firsts, on="meter_id").filter(pl.col("day") < pl.col("first_day"))
            missing = firsts.join(before, on="meter_id", how="anti")["meter_id"]
            if missing.is_empty():
                break
            held = [pl.col("day") < begin, *Meters(names=missing).within()]
            held += [] if earlier is None else [pl.col("day") >= earlier]
            older = newest_rows(daily.filter(*held).collect())
            known = pl.concat([older.unique("meter_id", keep="last", maintain_order=True), known])
            begin = earlier or begin
        return known


def newest_rows(rows: pl.DataFrame, days: int | None = None) -> pl.DataFrame:
    """Return the latest row of each meter and day, sorted; a row without readings only takes back an earlier one.

    Parameters
    ----------
    rows : polars.DataFrame
        Daily rows, of a meter and day several.
    days : int, optional
        Of each meter only so many days are kept, up to its newest row [days].
    """
    if rows.is_empty():
        return rows
    names = rows["meter_id"].unique().sort()
    keys = rows.select(
        pl.col("meter_id").cast(pl.Enum(names)).to_physical().cast(pl.Int64).alias("meter"),
        pl.col("day").to_physical().cast(pl.Int64),
        "as_of",
        "readings",
    )
    # Numbers are sorted where names would be compared, and many columns are moved once.
    place = keys["meter"] * _DAYS + keys["day"]
    order = np.argsort(place.to_numpy(), kind="stable")
    placed = keys.select(place.alias("place"), "as_of", "readings")[order].with_columns(pl.Series("row", order))
    if not placed["place"].is_unique().all():
        placed = placed.sort("place", "as_of", maintain_order=True).unique("place", keep="last", maintain_order=True)
    there = placed.filter(pl.col("readings") > 0)
    if days is not None:
        places = there["place"].to_numpy()
        meters = places // _DAYS
        newest = places[np.searchsorted(meters, meters, side="right") - 1]
        there = there.filter(pl.Series(places > newest - days))
    kept = there["row"]
    return rows if kept.equals(pl.Series("row", range(rows.height))) else rows[kept]


def window_rows(lake: Lake, start: date) -> pl.DataFrame:
    """Return the rows of the table ``daily`` from a day on that a diagnosis looks at, sorted and without UNREAD.

    Of a meter and day the latest counts, of a meter the days of the window up to its newest.
    They are put in order some meters at a time, and a column that no file fills or no diagnosis reads is not read, so
    that little more than the result is held at once.
    """
    files = lake.parts(DAILY).filter(pl.col("last_day").is_null() | (pl.col("last_day") >= start))
    if files.is_empty():
        return DAILY.empty()
    filled = _filled_in_any(lake, files["path"].to_list())
    columns = [name for name in DAILY.columns if name in filled and name not in UNREAD]
    since = pl.col("day") >= start
    names = lake.scan_parts(DAILY, files["path"].to_list()).filter(since).select("meter_id").collect()["meter_id"]
    cuts = names.unique().sort().gather_every(WINDOW_METERS)[1:].to_list()
    pieces = []
    for low, high in zip([None, *cuts], [*cuts, None], strict=True):
        meters = Meters(low, high)
        near = meters.may_be_in(files)["path"].to_list()
        rows = lake.scan_parts(DAILY, near).filter(since, *meters.within()).select(columns).collect()
        pieces.append(newest_rows(rows, WINDOW_DAYS).to_dict(as_series=True))
    # Column by column, so that no second copy of all of them is made.
    whole = [pl.concat([piece.pop(name) for piece in pieces], rechunk=True) for name in columns]
    return DAILY.conform(pl.DataFrame(whole))


def _filled_in_any(lake: Lake, names: Sequence[str]) -> frozenset[str]:
    if len(names) > FEW_FILES:
        return frozenset(DAILY.columns)
    keys = ("meter_id", "day", "as_of", "readings")
    return frozenset(keys).union(*(lake.filled_columns(DAILY, name) for name in names))


def _after(name: str) -> str:
    """Return the first text that comes after `name`."""
    return name + "\0"


def _apart(days: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the days of meters that report as most do, then those of meters that sent something late.

    The files of a day must be opened for each slice that has one of its readings: a few late meters in each would have
    all of them opened again and again.
    """
    counts = days.group_by("day").len("meters")
    seldom = counts.filter(pl.col("meters") < SELDOM * pl.col("meters").max()).select("day")
    late = days.join(seldom, on="day", how="semi").select("meter_id").unique()
    for part in (days.join(late, on="meter_id", how="anti"), days.join(late, on="meter_id", how="semi")):
        if part.height:
            yield part


def _whole_meters(days: pl.DataFrame, size: int) -> Iterator[pl.DataFrame]:
    """Cut days, sorted by meter, into runs of about `size` that tear no meter apart."""
    number = pl.int_range(pl.len()).first().over("meter_id") // size
    yield from days.with_columns(number.alias("piece")).partition_by("piece", maintain_order=True, include_key=False)


def _executor() -> Executor:
    """Return what runs slices beside each other; numpy and Polars leave the interpreter while they work."""
    return ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0)), thread_name_prefix="daily")
