"""The meter registry: rows with and without time, upsert, aliases, and what a running reader may ask cheaply."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake import registry
from lake.errors import LakeError
from lake.meter import Meter
from lake.registry import Outcome, store
from lake.site_database import opened, transaction
from lake.vocabulary import METER

MARCH = datetime(2024, 3, 1, tzinfo=UTC)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)
EVER = datetime(1, 1, 1, tzinfo=UTC)

FULL = Meter(
    meter_id="m1",
    aliases=("868123456789012", "70B3D5499ABC0001"),
    model="LXSY-20",
    manufacturer="新天",
    module_vendor="集万讯",
    module_encrypted=True,
    sensing="reed",
    valve_type="ball_motor",
    battery_type="ER26500",
    battery_capacity_mah=8500.0,
    caliber_mm=20.0,
    ip_rating="IP68",
    firmware="1.2",
    production_batch="2021-07",
    produced_on=date(2021, 7, 1),
    shipped_on=date(2021, 8, 1),
    installed_on=date(2021, 9, 1),
    removed_on=date(2024, 1, 1),
    warranty_months=72.0,
    installation="pit",
    flood_prone=False,
    installer="队一",
    project="P1",
    region="north",
    site="3 号楼",
    timezone="Asia/Shanghai",
    latitude=38.5,
    longitude=106.2,
    customer_ref="c-1",
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "metriage.db") as connection:
        yield connection


def counts(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.new, outcome.changed, outcome.unchanged


def test_every_column_comes_back(database: sqlite3.Connection) -> None:
    """All columns of the contract keep value and type."""
    outcome = store(database, [FULL])

    assert (1, 0, 0) == counts(outcome)
    assert FULL == registry.meter(database, "m1")
    assert [FULL] == list(registry.meters(database))


def test_frame_is_typed_as_the_vocabulary_says(database: sqlite3.Connection) -> None:
    """Also where nothing is known."""
    empty = registry.frame(database)
    store(database, [FULL, Meter(meter_id="m2")])
    full = registry.frame(database)

    assert empty.schema == full.schema
    assert full.schema["aliases"] == pl.List(pl.String)
    assert [["m1", date(2021, 7, 1)], ["m2", None]] == [list(row) for row in full["meter_id", "produced_on"].rows()]


def test_a_row_speaks_of_its_columns_only(database: sqlite3.Connection) -> None:
    """A file with two columns leaves the others as they are; an empty cell in it empties."""
    store(database, [FULL])
    outcome = store(database, [Meter(meter_id="m1", firmware="1.3")], ["meter_id", "firmware", "region"])

    found = registry.meter(database, "m1")
    assert (0, 1, 0) == counts(outcome)
    assert found is not None
    assert ("1.3", None, "LXSY-20") == (found.firmware, found.region, found.model)


def test_the_same_again_changes_nothing(database: sqlite3.Connection) -> None:
    """Neither rows nor version."""
    store(database, [FULL])
    before = registry.version(database)
    outcome = store(database, [FULL])

    assert (0, 0, 1) == counts(outcome)
    assert not registry.changed(database, before)


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        (MARCH - timedelta(microseconds=1), ("1.2", "reed")),
        (MARCH, ("2.0", "reed")),
        (JUNE, ("3.0", "hall")),
        (None, ("3.0", "hall")),
    ],
)
def test_newest_row_not_after_a_time_holds(
    database: sqlite3.Connection, as_of: datetime | None, expected: tuple[str, str]
) -> None:
    """Several recorded rows of a meter are kept; a row without time always counts."""
    store(database, [FULL])
    store(database, [Meter(meter_id="m1", firmware="3.0", sensing="hall", recorded_at=JUNE)], ["firmware", "sensing"])
    store(database, [Meter(meter_id="m1", firmware="2.0", recorded_at=MARCH)], ["firmware"])
    found = registry.meter(database, "m1", as_of)

    assert found is not None
    assert expected == (found.firmware, found.sensing)
    assert [found] == list(registry.meters(database, as_of))


def test_a_meter_recorded_later_is_not_known_before(database: sqlite3.Connection) -> None:
    """As of a time before its first row there is no such meter."""
    store(database, [Meter(meter_id="m1", recorded_at=MARCH)])

    assert registry.meter(database, "m1", MARCH - timedelta(days=1)) is None
    assert [] == list(registry.meters(database, MARCH - timedelta(days=1)))


def test_corrected_fact_shows_through_later_rows(database: sqlite3.Connection) -> None:
    """A row that tells a firmware does not freeze the region."""
    store(database, [Meter(meter_id="m1", region="nort")], ["region"])
    store(database, [Meter(meter_id="m1", firmware="2", recorded_at=MARCH)], ["firmware"])
    store(database, [Meter(meter_id="m1", region="north")], ["region"])
    found = registry.meter(database, "m1")

    assert found is not None
    assert ("north", "2", MARCH) == (found.region, found.firmware, found.recorded_at)


def test_aliases_are_in_lower_case(database: sqlite3.Connection) -> None:
    """As a decoder asks for them."""
    store(database, [FULL])

    assert {"868123456789012": "m1", "70b3d5499abc0001": "m1"} == registry.aliases(database)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Meter(meter_id="m2", aliases=("70b3d5499abc0001",)), "aliases: '70b3d5499abc0001' already names meter 'm1'"),
        (Meter(meter_id="m2", aliases=("M1",)), "aliases: 'M1' is the id of meter 'm1'"),
        (Meter(meter_id="868123456789012"), "meter_id: '868123456789012' is an alias of meter 'm1'"),
    ],
)
def test_alias_that_names_two_meters_is_refused(database: sqlite3.Connection, row: Meter, expected: str) -> None:
    """The row is refused with the other meter's name; the others are taken."""
    store(database, [FULL])
    outcome = store(database, [row, Meter(meter_id="m3")])

    [refused] = outcome.refused
    assert (1, 0, 0) == counts(outcome)
    assert refused.place == 0
    assert str(refused.error).startswith(expected)
    assert ["m1", "m3"] == [meter.meter_id for meter in registry.meters(database)]


def test_alias_twice_in_one_file_is_refused(database: sqlite3.Connection) -> None:
    """Of two rows that claim it the first one has it."""
    outcome = store(database, [Meter(meter_id="m1", aliases=("a",)), Meter(meter_id="m2", aliases=("A",))])

    assert [1] == [refused.place for refused in outcome.refused]
    assert {"a": "m1"} == registry.aliases(database)


@pytest.mark.parametrize("order", [1, -1])
def test_alias_moves_with_its_module(database: sqlite3.Connection, order: int) -> None:
    """Taken from one meter and given to the next in one file, in any order of the rows."""
    store(database, [Meter(meter_id=f"m{number}", aliases=(f"imei-{number}",)) for number in range(50)])
    moved = [
        Meter(meter_id=f"m{number}", aliases=(f"imei-{number + 1}",) if number < 49 else ()) for number in range(50)
    ]
    outcome = store(database, moved[::order])

    assert () == outcome.refused
    assert {f"imei-{number + 1}": f"m{number}" for number in range(49)} == registry.aliases(database)


def test_alias_follows_the_newest_row(database: sqlite3.Connection) -> None:
    """A module exchanged at a time: the newest row says who has it."""
    store(database, [Meter(meter_id="m1", aliases=("imei",))])
    store(
        database, [Meter(meter_id="m1", recorded_at=MARCH), Meter(meter_id="m2", aliases=("imei",), recorded_at=MARCH)]
    )

    assert {"imei": "m2"} == registry.aliases(database)


def test_row_that_may_not_stand_there_is_refused(database: sqlite3.Connection) -> None:
    """And nothing of it is stored."""
    outcome = store(database, [Meter(meter_id="m/1"), Meter(meter_id="m2", caliber_mm=-15.0)])

    assert [0, 1] == [refused.place for refused in outcome.refused]
    assert 0 == registry.version(database)


def test_no_registry_yet_is_an_empty_one(database: sqlite3.Connection) -> None:
    """A reader makes no tables."""
    assert ([], {}, 0) == (list(registry.meters(database)), registry.aliases(database), registry.version(database))
    assert [] == database.execute("SELECT name FROM sqlite_master").fetchall()


def test_version_grows_once_a_change(database: sqlite3.Connection) -> None:
    """However many rows it brought."""
    store(database, [FULL, Meter(meter_id="m2")])
    store(database, [Meter(meter_id="m3")])

    assert 2 == registry.version(database)
    assert registry.changed(database, 1)


def _fail_half_way(database: sqlite3.Connection) -> None:
    with transaction(database):
        registry.upsert(database, [FULL])
        raise RuntimeError("power cut")


def test_failure_half_way_leaves_nothing(database: sqlite3.Connection) -> None:
    """Rows and version are of one transaction."""
    registry.prepare(database)
    with pytest.raises(RuntimeError):
        _fail_half_way(database)

    assert ([], 0) == (list(registry.meters(database)), registry.version(database))


def test_damaged_registry_says_so(database: sqlite3.Connection) -> None:
    """A table that is not ours any more is an error of the lake, not a crash."""
    store(database, [FULL])
    database.execute("DROP TABLE registry")
    database.execute("CREATE TABLE registry (other TEXT)")

    with pytest.raises(LakeError, match="the registry cannot be read: no such column"):
        list(registry.meters(database))


TEXTS = st.none() | st.text(
    st.characters(
        min_codepoint=0x20, blacklist_categories=("Cs",), blacklist_characters="".join(map(chr, range(0x7F, 0xA0)))
    ),
    min_size=1,
    max_size=20,
)
METERS = st.builds(
    Meter,
    meter_id=st.sampled_from(["a", "b", "c"]),
    model=TEXTS,
    customer_ref=TEXTS,
    module_encrypted=st.none() | st.booleans(),
    caliber_mm=st.none() | st.floats(1, 4000),
    produced_on=st.none() | st.dates(),
    recorded_at=st.none() | st.datetimes(datetime(1, 1, 2), timezones=st.just(UTC)),  # noqa: DTZ001
)


@given(st.lists(METERS, max_size=6, unique_by=lambda meter: (meter.meter_id, meter.recorded_at)))
@settings(max_examples=30, deadline=None)
def test_rows_in_any_order_are_the_same_registry(tmp_path_factory: pytest.TempPathFactory, rows: list[Meter]) -> None:
    """What is stored comes back, and does not depend on the order in which it came."""
    known = []
    for turn in (rows, rows[::-1]):
        with opened(tmp_path_factory.mktemp("site") / "metriage.db") as connection:
            store(connection, turn)
            known.append(list(registry.meters(connection)))

            for as_of in (None, JUNE):
                rows_of = [{n: getattr(m, n) for n in METER} for m in registry.meters(connection, as_of)]
                expected = [row | {"aliases": list(row["aliases"])} for row in rows_of]
                assert expected == registry.frame(connection, as_of).to_dicts()

    newest = {row.meter_id: row for row in sorted(rows, key=lambda row: row.recorded_at or EVER)}
    assert known[0] == known[1]
    assert [newest[name] for name in sorted(newest)] == known[0]
