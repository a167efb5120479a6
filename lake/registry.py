"""The meter registry in the site database: what is known of each meter beside its readings.

A row is a fact without time, or, with ``recorded_at``, one that holds from then on. A row says something of the columns
it was given only; as of a time the newest row not after it that says something of a column decides that column. So a
row that tells a new firmware leaves everything else as it is, and a corrected fact without time shows through rows that
do not speak of it.

An alias names one meter, and none may be the id of another one. Of a meter's aliases those of its newest row hold: a
module that moves is taken from one meter and given to the other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lake.errors import LakeError, RowError
from lake.meter import Meter, meter_problems
from lake.rows import Outcome, Refused
from lake.site_database import from_text, migrate, to_text, transaction
from lake.vocabulary import METER

if TYPE_CHECKING:
    import polars as pl

COMPONENT = "registry"

_NO_TIME = ""  # of a fact without time; sorts before every time
_ANY_TIME = "~"  # sorts after every time
_KEY = ("meter_id", "recorded_at")
_SAID = tuple(name for name in METER if name not in _KEY)  # columns that a row may say something of
_SPOKEN_OF = frozenset(_SAID)

# Released: what it says may not change with the vocabulary, new columns are a step of their own.
_FIRST = """
CREATE TABLE registry (
    meter_id TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    said TEXT NOT NULL,
    aliases TEXT,
    model TEXT,
    manufacturer TEXT,
    module_vendor TEXT,
    module_encrypted INTEGER,
    sensing TEXT,
    valve_type TEXT,
    battery_type TEXT,
    battery_capacity_mah REAL,
    caliber_mm REAL,
    ip_rating TEXT,
    firmware TEXT,
    production_batch TEXT,
    produced_on TEXT,
    shipped_on TEXT,
    installed_on TEXT,
    removed_on TEXT,
    warranty_months REAL,
    installation TEXT,
    flood_prone INTEGER,
    installer TEXT,
    project TEXT,
    region TEXT,
    site TEXT,
    timezone TEXT,
    latitude REAL,
    longitude REAL,
    customer_ref TEXT,
    PRIMARY KEY (meter_id, recorded_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX registry_any_case ON registry (lower(meter_id));

CREATE TABLE registry_alias (
    alias TEXT PRIMARY KEY,
    meter_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX registry_alias_meter ON registry_alias (meter_id);

CREATE TABLE registry_version (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO registry_version VALUES (1, 0);
"""
STEPS = (_FIRST,)


def prepare(connection: sqlite3.Connection) -> None:
    """Bring the registry's tables to the newest version.

    Raises
    ------
    SiteFolderError
        A newer program wrote them.
    LakeError
        The database cannot be written.
    """
    migrate(connection, COMPONENT, STEPS)


def upsert(
    connection: sqlite3.Connection,
    rows: Sequence[Meter],
    columns: Collection[str] | None = None,
    *,
    told: Sequence[Collection[str]] | None = None,
) -> Outcome:
    """Take rows into the registry, all that are in order, in the caller's transaction.

    A row whose alias still belongs to a meter of a later row waits for that one.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a :func:`lake.site_database.transaction`, after :func:`prepare`.
    rows : sequence of Meter
        One a meter and ``recorded_at``.
    columns : collection of str, optional
        Columns that the rows say something of; the others are left as they are. Default: all.
    told : sequence of collection of str, optional
        The same for each row, where it is not the same for all.

    Returns
    -------
    Outcome
        Counts and refused rows.
    """
    every = frozenset(_SAID if columns is None else set(columns) & set(_SAID))
    counts = {"new": 0, "changed": 0, "unchanged": 0}
    refused: dict[int, list[RowError]] = {}
    waiting: list[tuple[int, Meter, frozenset[str]]] = []
    for place, meter in enumerate(rows):
        said = every if told is None else frozenset(told[place]) & _SPOKEN_OF
        if problems := list(meter_problems(meter)):
            refused[place] = [*problems, *_name_problems(connection, meter, said)]
        else:
            waiting.append((place, meter, said))
    while waiting:
        again = []
        for place, meter, said in waiting:
            if problems := list(_name_problems(connection, meter, said)):
                refused[place] = problems
                again.append((place, meter, said))
                continue
            refused.pop(place, None)
            counts[_put(connection, meter, said)] += 1
        if len(again) == len(waiting):
            break
        waiting = again[::-1]  # rows that hand an alias on from the last to the first need no more than this
    if counts["new"] or counts["changed"]:
        connection.execute("UPDATE registry_version SET version = version + 1")
    return Outcome(
        **counts, refused=tuple(Refused(place, each) for place in sorted(refused) for each in refused[place])
    )


def store(
    connection: sqlite3.Connection,
    rows: Sequence[Meter],
    columns: Collection[str] | None = None,
    *,
    told: Sequence[Collection[str]] | None = None,
) -> Outcome:
    """Prepare the tables and :func:`upsert` in a transaction of its own.

    Raises
    ------
    SiteFolderError
        A newer program wrote the tables.
    LakeError
        The database cannot be written; nothing was changed.
    """
    prepare(connection)
    with transaction(connection):
        return upsert(connection, rows, columns, told=told)


def meters(connection: sqlite3.Connection, as_of: datetime | None = None) -> Iterator[Meter]:
    """Yield every meter as the registry knew it, by ``meter_id``; none where there is no registry yet.

    Parameters
    ----------
    connection : sqlite3.Connection
    as_of : datetime, optional
        Rows recorded later do not count; default: all count. A meter of which all rows were recorded later is none.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    until = _ANY_TIME if as_of is None else to_text(as_of)
    query = "SELECT * FROM registry WHERE recorded_at <= ? ORDER BY meter_id, recorded_at"
    for _, rows in groupby(_rows(connection, query, until), key=lambda row: row["meter_id"]):
        yield _folded(list(rows))


def meter(connection: sqlite3.Connection, meter_id: str, as_of: datetime | None = None) -> Meter | None:
    """Return one meter as the registry knew it, None where it did not.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    until = _ANY_TIME if as_of is None else to_text(as_of)
    query = "SELECT * FROM registry WHERE meter_id = ? AND recorded_at <= ? ORDER BY recorded_at"
    rows = _rows(connection, query, meter_id, until)
    return _folded(rows) if rows else None


def frame(connection: sqlite3.Connection, as_of: datetime | None = None) -> pl.DataFrame:
    """Return what :func:`meters` yields as a table, one row a meter, typed as the vocabulary says.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    import polars as pl  # noqa: PLC0415 - who only asks for aliases need not wait for it

    from lake.schemas import METERS  # noqa: PLC0415
    from lake.stored_frame import fetched, stored_frame  # noqa: PLC0415

    until = _ANY_TIME if as_of is None else to_text(as_of)
    query = (
        f"SELECT said, {', '.join(METER)} FROM registry "  # noqa: S608 - our names
        "WHERE recorded_at <= ? ORDER BY meter_id, recorded_at"
    )
    rows = stored_frame(fetched(connection, query, until), METERS, "said")
    repeated = pl.col("meter_id").is_duplicated()
    told = pl.col("said").str.split(" ")
    newest = [pl.col(name).filter(told.list.contains(name)).last() for name in _SAID]
    folded = rows.filter(repeated).group_by("meter_id").agg(*newest, pl.col("recorded_at").last())
    every = pl.concat([rows.filter(~repeated).select(list(METER)), folded.select(list(METER))])
    return every.with_columns(pl.col("aliases").fill_null([])).sort("meter_id")


def aliases(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the meter id of every alias, the alias in lower case.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    return {row["alias"]: row["meter_id"] for row in _rows(connection, "SELECT alias, meter_id FROM registry_alias")}


def ids(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the id of every meter.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    return frozenset(row["meter_id"] for row in _rows(connection, "SELECT DISTINCT meter_id FROM registry"))


def regions(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the regions in which meters are or were.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    rows = _rows(connection, "SELECT DISTINCT region FROM registry WHERE region IS NOT NULL")
    return frozenset(row["region"] for row in rows)


def version(connection: sqlite3.Connection) -> int:
    """Return a number that grows with every change of the registry, 0 where there is none yet.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    rows = _rows(connection, "SELECT version FROM registry_version")
    return int(rows[0]["version"]) if rows else 0


def stamp(connection: sqlite3.Connection, as_of: datetime) -> tuple[int, int]:
    """Return what is the same for two times of which :func:`frame` says the same.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    rows = _rows(connection, "SELECT count(*) FROM registry WHERE recorded_at <= ?", to_text(as_of))
    return version(connection), rows[0][0] if rows else 0


def changed(connection: sqlite3.Connection, since: int) -> bool:
    """Tell whether the registry changed since :func:`version` said `since`.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    return version(connection) != since


def _rows(connection: sqlite3.Connection, query: str, *parameters: str) -> list[sqlite3.Row]:
    """Return what a query finds; nothing where the registry's tables are not there yet."""
    try:
        return connection.execute(query, parameters).fetchall()
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return []
        raise LakeError(f"the registry cannot be read: {error}") from error


def _name_problems(connection: sqlite3.Connection, meter: Meter, said: Collection[str]) -> Iterator[RowError]:
    """Yield whose alias the meter's id is, and whose id or alias its aliases are."""
    own = meter.meter_id
    query = "SELECT meter_id FROM registry_alias WHERE alias = ? AND meter_id <> ?"
    found = connection.execute(query, (own.lower(), own)).fetchone()
    if found is not None:
        yield RowError("meter_id", f"{own!r} is an alias of meter {found[0]!r}; an alias may not be another meter's id")
    for alias in meter.aliases if "aliases" in said else ():
        for query, what in (
            ("SELECT meter_id FROM registry_alias WHERE alias = ? AND meter_id <> ?", "already names meter {!r}"),
            ("SELECT meter_id FROM registry WHERE lower(meter_id) = ? AND meter_id <> ?", "is the id of meter {!r}"),
        ):
            found = connection.execute(query, (alias.lower(), own)).fetchone()
            if found is not None:
                yield RowError("aliases", f"{alias!r} {what.format(found[0])}; an alias may name one meter only")


def _put(connection: sqlite3.Connection, meter: Meter, said: frozenset[str]) -> str:
    """Write a row and say whether its meter is ``new``, or the row ``changed`` or ``unchanged``."""
    recorded_at = _NO_TIME if meter.recorded_at is None else to_text(meter.recorded_at)
    rows = _rows(connection, "SELECT * FROM registry WHERE meter_id = ? ORDER BY recorded_at", meter.meter_id)
    before = next((dict(row) for row in rows if row["recorded_at"] == recorded_at), None)
    every = sorted(said | set(before["said"].split() if before else ()))
    after = dict.fromkeys(_SAID) | (before or {}) | {name: _stored(meter, name) for name in said}
    after |= {"meter_id": meter.meter_id, "recorded_at": recorded_at, "said": " ".join(every)}
    if after == before:
        return "unchanged"
    names = ", ".join(after)
    connection.execute(
        f"INSERT OR REPLACE INTO registry ({names}) VALUES ({', '.join('?' * len(after))})",  # noqa: S608 - our names
        tuple(after.values()),
    )
    if "aliases" in said and rows:
        connection.execute("DELETE FROM registry_alias WHERE meter_id = ?", (meter.meter_id,))
        rows = _rows(connection, "SELECT * FROM registry WHERE meter_id = ? ORDER BY recorded_at", meter.meter_id)
        _put_aliases(connection, meter.meter_id, _folded(rows).aliases)
    elif "aliases" in said:
        _put_aliases(connection, meter.meter_id, meter.aliases)
    return "changed" if rows else "new"


def _put_aliases(connection: sqlite3.Connection, meter_id: str, aliases: Collection[str]) -> None:
    names = sorted({alias.lower() for alias in aliases})
    connection.executemany("INSERT INTO registry_alias VALUES (?, ?)", [(name, meter_id) for name in names])


def _folded(rows: Sequence[sqlite3.Row]) -> Meter:
    """Return what the rows of one meter say together, the later ones over the earlier ones."""
    values: dict[str, Any] = {}
    for row in rows:
        values |= {name: row[name] for name in row["said"].split()}
    newest = rows[-1]["recorded_at"]
    return Meter(
        meter_id=rows[0]["meter_id"],
        recorded_at=from_text(newest) if newest else None,
        **{name: _READERS[name](value) for name, value in values.items() if value is not None},
    )


def _stored(meter: Meter, name: str) -> object:
    value = getattr(meter, name)
    if name == "aliases":
        return json.dumps(value) if value else None
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if isinstance(value, bool) else value


def _reader(name: str) -> Any:
    if name == "aliases":
        return lambda text: tuple(json.loads(text))
    return {"date": date.fromisoformat, "bool": bool}.get(METER[name].dtype, lambda value: value)


_READERS = {name: _reader(name) for name in _SAID}
