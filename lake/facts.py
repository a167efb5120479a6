"""What the site knows beside meters and readings: inspections, customer reports, weather, planned works.

One table a kind in the site database. A row is known by its key. With ``recorded_at`` it holds from then on and the
newest row of a key not after a time holds as of that time; without, it holds since what it tells of happened, or, of
works, always. Meters may be named by an alias of the registry.

Weather knows two kinds of rows. A measured day is known when it is over. A forecast without ``recorded_at`` is taken
for one that reached :data:`FORECAST_REACH` ahead; it says nothing of days of which the measurement is known.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from lake.errors import RowError
from lake.rows import Outcome, Refused, cell_problems, id_problems
from lake.schemas import INSPECTIONS, REPORTS, WEATHERS, WORKS, TableSchema
from lake.site_database import migrate, to_text, transaction
from lake.stored_frame import fetched, stored_frame
from lake.vocabulary import CAUSES, DISPLAYS, INSPECTION_ACTIONS, INSPECTION_FINDINGS

Row = Mapping[str, Any]  # values by column, None where nothing is known; a column that is left out stays as it was

# Public services tell single days for about ten days ahead.
FORECAST_REACH = timedelta(days=10)

_NO_TIME = ""  # of a row without `recorded_at`; sorts before every time
_ANY_TIME = "~"  # sorts after every time
_ALIASED = ("meter_id", "new_meter_id")

# Released: what they say may not change with the vocabulary, new columns are a step of their own.
_INSPECTIONS = """
CREATE TABLE inspections (
    meter_id TEXT NOT NULL,
    inspected_at TEXT NOT NULL,
    inspector TEXT NOT NULL,
    finding TEXT,
    cause TEXT,
    ticket_id TEXT,
    seal_intact INTEGER,
    tamper_signs INTEGER,
    body_damage INTEGER,
    submerged INTEGER,
    sediment_seen INTEGER,
    display TEXT,
    display_code TEXT,
    register_reading_m3 REAL,
    action TEXT,
    new_meter_id TEXT,
    note TEXT,
    recorded_at TEXT NOT NULL,
    PRIMARY KEY (meter_id, inspected_at, inspector, recorded_at)
) STRICT, WITHOUT ROWID;
"""
_REPORTS = """
CREATE TABLE reports (
    meter_id TEXT NOT NULL,
    reported_at TEXT NOT NULL,
    symptom TEXT NOT NULL,
    urgent INTEGER,
    note TEXT,
    recorded_at TEXT NOT NULL,
    PRIMARY KEY (meter_id, reported_at, symptom, recorded_at)
) STRICT, WITHOUT ROWID;
"""
_WEATHER = """
CREATE TABLE weather (
    region TEXT NOT NULL,
    date TEXT NOT NULL,
    min_c REAL,
    mean_c REAL,
    max_c REAL,
    precipitation_mm REAL,
    forecast INTEGER NOT NULL,
    recorded_at TEXT NOT NULL,
    PRIMARY KEY (region, date, forecast, recorded_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX weather_date ON weather (date);
"""
_WORKS = """
CREATE TABLE works (
    region TEXT NOT NULL,
    site TEXT NOT NULL,
    "from" TEXT NOT NULL,
    until TEXT,
    kind TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    PRIMARY KEY (region, site, "from", kind, recorded_at)
) STRICT, WITHOUT ROWID;
"""


def _no_more(_: Row) -> Iterator[RowError]:
    return iter(())


def _of_inspection(row: Row) -> Iterator[RowError]:
    successor, action = row.get("new_meter_id"), row.get("action")
    if successor is None:
        return
    yield from id_problems("new_meter_id", successor)
    if successor == row.get("meter_id"):
        yield RowError("new_meter_id", "is the meter itself; it names the one that took its place")
    if action not in {None, "exchanged"}:
        yield RowError("new_meter_id", f"names a meter though the action is {action!r}; make it exchanged")


def _of_weather(row: Row) -> Iterator[RowError]:
    known = [(name, row[name]) for name in ("min_c", "mean_c", "max_c") if row.get(name) is not None]
    for (low_name, low), (name, value) in pairwise(known):
        if value < low:
            yield RowError(name, f"{value:g} is less than {low_name}, {low:g}")


def _of_work(row: Row) -> Iterator[RowError]:
    start, end = row.get("from"), row.get("until")
    if start is not None and end is not None and end < start:
        yield RowError("until", f"{end:%Y-%m-%d %H:%M} UTC lies before from, {start:%Y-%m-%d %H:%M} UTC")


@dataclass(frozen=True, slots=True)
class FactKind:
    """One kind of facts.

    Parameters
    ----------
    schema : TableSchema
        Name of its table and component, columns.
    steps : tuple of str
        Its schema in the site database.
    key : tuple of str
        What names a row, beside ``recorded_at``.
    required : tuple of str
        Columns of the key that may not be empty.
    happened : str, optional
        The time from which on a row without ``recorded_at`` is known; none: always.
    over : str
        The time or day at which a row is past, for readers that want the recent ones.
    words : mapping of str to tuple of str
        Closed sets of words.
    check : callable
        Yields what is wrong between the cells of a row.
    """

    schema: TableSchema
    steps: tuple[str, ...]
    key: tuple[str, ...]
    required: tuple[str, ...]
    over: str
    happened: str | None = None
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    check: Callable[[Row], Iterator[RowError]] = _no_more

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.schema.name


INSPECTION_WORDS = {
    "finding": INSPECTION_FINDINGS,
    "cause": CAUSES,
    "display": DISPLAYS,
    "action": INSPECTION_ACTIONS,
}
INSPECTION_KIND = FactKind(
    INSPECTIONS,
    (_INSPECTIONS,),
    key=("meter_id", "inspected_at", "inspector"),
    required=("meter_id", "inspected_at"),
    over="inspected_at",
    happened="inspected_at",
    words=INSPECTION_WORDS,
    check=_of_inspection,
)
REPORT_KIND = FactKind(
    REPORTS,
    (_REPORTS,),
    key=("meter_id", "reported_at", "symptom"),
    required=("meter_id", "reported_at"),
    over="reported_at",
    happened="reported_at",
)
WEATHER_KIND = FactKind(
    WEATHERS,
    (_WEATHER,),
    key=("region", "date", "forecast"),
    required=("region", "date"),
    over="date",
    check=_of_weather,
)
WORK_KIND = FactKind(
    WORKS,
    (_WORKS,),
    key=("region", "site", "from", "kind"),
    required=("region", "from"),
    over="until",
    check=_of_work,
)
KINDS: Mapping[str, FactKind] = {kind.name: kind for kind in (INSPECTION_KIND, REPORT_KIND, WEATHER_KIND, WORK_KIND)}


def row_problems(kind: FactKind, row: Row) -> Iterator[RowError]:
    """Yield everything that may not stand in a row."""
    for name in kind.required:
        if name == "meter_id":
            yield from id_problems(name, row.get(name))
        elif row.get(name) is None:
            yield RowError(name, "is missing")
    yield from cell_problems(
        {name: value for name, value in row.items() if name not in _ALIASED}, kind.schema.columns, kind.words
    )
    yield from kind.check(row)


def prepare(connection: sqlite3.Connection, kind: FactKind) -> None:
    """Bring the table of a kind to its newest version.

    Raises
    ------
    SiteFolderError
        A newer program wrote it.
    LakeError
        The database cannot be written.
    """
    migrate(connection, kind.name, kind.steps)


def upsert(connection: sqlite3.Connection, kind: FactKind, rows: Sequence[Row]) -> Outcome:
    """Take rows in, all that are in order, in the caller's transaction.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a :func:`lake.site_database.transaction`, after :func:`prepare`.
    kind : FactKind
        What they tell of.
    rows : sequence of mapping
        A row with the key and ``recorded_at`` of one that is known changes the columns it has.

    Returns
    -------
    Outcome
        Counts, and every cell that was refused.
    """
    good: list[Row] = []
    refused: list[Refused] = []
    for place, row in enumerate(rows):
        found = [Refused(place, problem) for problem in row_problems(kind, row)]
        refused += found
        if not found:
            good.append(row)
    before, known = connection.total_changes, _count(connection, kind)
    for said, some in groupby(good, key=frozenset):
        names = [name for name in kind.schema.columns if name in {*kind.key, "recorded_at", *said}]
        connection.executemany(
            _upserting(kind, names), [tuple(_stored(kind, row, name) for name in names) for row in some]
        )
    new = _count(connection, kind) - known
    changed = connection.total_changes - before - new
    return Outcome(new, changed, len(good) - new - changed, tuple(refused))


def store(connection: sqlite3.Connection, kind: FactKind, rows: Sequence[Row]) -> Outcome:
    """Prepare the table and :func:`upsert` in a transaction of its own.

    Raises
    ------
    SiteFolderError
        A newer program wrote the table.
    LakeError
        The database cannot be written; nothing was changed.
    """
    prepare(connection, kind)
    with transaction(connection):
        return upsert(connection, kind, rows)


def frame(
    connection: sqlite3.Connection,
    kind: FactKind,
    as_of: datetime | None = None,
    *,
    since: datetime | None = None,
    timezone: str = "UTC",
) -> pl.DataFrame:
    """Return what was known at a time, one row a key, sorted by it.

    Parameters
    ----------
    connection : sqlite3.Connection
    kind : FactKind
        What to read; where nothing of it was ever stored the frame is empty.
    as_of : datetime, optional
        What happened or was recorded later does not count; default: all counts.
    since : datetime, optional
        What was past by then is left out.
    timezone : str
        Zone of the days of weather.

    Returns
    -------
    polars.DataFrame
        Columns and types of the kind's schema. Of weather one row a region and day: the measured one, else the newest
        forecast.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    where, parameters = ["recorded_at <= ?"], [_ANY_TIME if as_of is None else to_text(as_of)]
    if as_of is not None and kind.happened is not None:
        where.append(f"{kind.happened} <= ?")
        parameters.append(to_text(as_of))
    if since is not None:
        is_day = kind.schema.columns[kind.over].dtype == "date"
        where.append(f"({kind.over} IS NULL OR {kind.over} >= ?)")
        parameters.append(since.date().isoformat() if is_day else to_text(since))
    names = list(kind.schema.columns)
    query = f"SELECT {_listed(names)} FROM {kind.name} WHERE {' AND '.join(where)}"  # noqa: S608 - our names
    found = stored_frame(fetched(connection, query, *parameters), kind.schema)
    if kind is WEATHER_KIND:
        return _weather(found, None if as_of is None else as_of.astimezone(ZoneInfo(timezone)).date())
    known = _newest(_renamed(connection, kind, found), kind.key)
    return known.with_columns(pl.col(name).replace("", None) for name in kind.key if known.schema[name] == pl.String)


def _newest(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    return rows.sort(*key, "recorded_at").unique(key, keep="last", maintain_order=True)


def _weather(rows: pl.DataFrame, today: date | None) -> pl.DataFrame:
    """Return one row a region and day, from those that could be known on the local day `today`."""
    if today is not None:
        over = pl.col("date") < today
        within_reach = pl.col("recorded_at").is_not_null() | (pl.col("date") <= today + FORECAST_REACH)
        rows = rows.filter(pl.when("forecast").then(within_reach).otherwise(over))
    known = _newest(rows, ("region", "date", "forecast"))  # the measured one before the forecast
    return known.unique(["region", "date"], keep="first", maintain_order=True)


def _renamed(connection: sqlite3.Connection, kind: FactKind, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the meter's id where they were given an alias."""
    for name in (name for name in _ALIASED if name in kind.schema.columns):
        query = (
            f"SELECT DISTINCT {kind.name}.{name}, registry_alias.meter_id FROM {kind.name} "  # noqa: S608 - our names
            f"JOIN registry_alias ON registry_alias.alias = lower({kind.name}.{name})"
        )
        known = dict(fetched(connection, query))
        if known:
            rows = rows.with_columns(pl.col(name).replace(known))
    return rows


def _stored(kind: FactKind, row: Row, name: str) -> object:
    value = row.get(name)
    if value is None:
        if name == "recorded_at" or name in kind.key:
            return 0 if kind.schema.columns[name].dtype == "bool" else ""
        return None
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if isinstance(value, bool) else value


def _upserting(kind: FactKind, names: Sequence[str]) -> str:
    key = [*kind.key, "recorded_at"]
    rest = [name for name in names if name not in key]
    told = f"INSERT INTO {kind.name} ({_listed(names)}) VALUES ({', '.join('?' * len(names))}) "  # noqa: S608 - our names
    if not rest:
        return f"{told} ON CONFLICT DO NOTHING"
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in rest)
    differs = " OR ".join(f'{kind.name}."{name}" IS NOT excluded."{name}"' for name in rest)
    return f"{told} ON CONFLICT ({_listed(key)}) DO UPDATE SET {changes} WHERE {differs}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _count(connection: sqlite3.Connection, kind: FactKind) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {kind.name}").fetchone()[0])  # noqa: S608 - our names
