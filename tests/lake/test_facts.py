"""Inspections, reports, weather, works: upsert by key, and what is known as of a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lake import registry
from lake.errors import LakeError
from lake.facts import (
    FORECAST_REACH,
    INSPECTION_KIND,
    KINDS,
    REPORT_KIND,
    WEATHER_KIND,
    WORK_KIND,
    FactKind,
    frame,
    row_problems,
    store,
)
from lake.meter import Meter
from lake.rows import Outcome
from lake.site_database import opened

MARCH = datetime(2024, 3, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)

INSPECTION: dict[str, Any] = {
    "meter_id": "m1",
    "inspected_at": MARCH,
    "inspector": "李",
    "finding": "battery",
    "cause": "moisture",
    "ticket_id": "T-1",
    "seal_intact": False,
    "tamper_signs": False,
    "body_damage": True,
    "submerged": True,
    "sediment_seen": None,
    "display": "code",
    "display_code": "E3",
    "register_reading_m3": 1234.5,
    "action": "exchanged",
    "new_meter_id": "m2",
    "note": "井内积水",
    "recorded_at": MARCH + DAY,
}
REPORT: dict[str, Any] = {"meter_id": "m1", "reported_at": MARCH, "symptom": "没水", "urgent": True, "note": None}
WEATHER: dict[str, Any] = {
    "region": "north", "date": date(2024, 3, 1), "min_c": -12.0, "mean_c": -5.0, "max_c": 1.0, "precipitation_mm": 0.0,
    "forecast": False,
}  # fmt: skip
WORK: dict[str, Any] = {"region": "north", "site": None, "from": MARCH, "until": MARCH + DAY, "kind": "outage"}
ROWS = {"inspections": INSPECTION, "reports": REPORT, "weather": WEATHER, "works": WORK}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened(tmp_path / "metriage.db") as connection:
        yield connection


def counts(outcome: Outcome) -> tuple[int, int, int]:
    assert () == outcome.refused
    return outcome.new, outcome.changed, outcome.unchanged


@pytest.mark.parametrize("name", KINDS)
def test_every_column_comes_back(database: sqlite3.Connection, name: str) -> None:
    """All columns of the contract keep value and type; the frame is typed where nothing is known, too."""
    empty = frame(database, KINDS[name])
    outcome = store(database, KINDS[name], [ROWS[name]])
    found = frame(database, KINDS[name])

    assert (1, 0, 0) == counts(outcome)
    assert empty.schema == found.schema == KINDS[name].schema.polars
    assert [{"recorded_at": None} | ROWS[name]] == found.to_dicts()


@pytest.mark.parametrize("name", KINDS)
def test_the_same_again_changes_nothing(database: sqlite3.Connection, name: str) -> None:
    """Nor does it count as changed."""
    store(database, KINDS[name], [ROWS[name]])

    assert (0, 0, 1) == counts(store(database, KINDS[name], [ROWS[name]]))


def test_a_row_changes_the_columns_it_has(database: sqlite3.Connection) -> None:
    """A file with fewer columns leaves the others as they are; None empties."""
    key = {name: INSPECTION[name] for name in ("meter_id", "inspected_at", "inspector", "recorded_at")}
    store(database, INSPECTION_KIND, [INSPECTION])

    assert (0, 1, 0) == counts(store(database, INSPECTION_KIND, [key | {"finding": "coil", "note": None}]))
    assert (0, 0, 1) == counts(store(database, INSPECTION_KIND, [key]))
    assert [INSPECTION | {"finding": "coil", "note": None}] == frame(database, INSPECTION_KIND).to_dicts()


def test_nobody_inspected_is_a_key_of_its_own(database: sqlite3.Connection) -> None:
    """An inspection without inspector is told apart from one with; it comes back without."""
    rows = [{"meter_id": "m1", "inspected_at": MARCH}, {"meter_id": "m1", "inspected_at": MARCH, "inspector": "李"}]

    assert (2, 0, 0) == counts(store(database, INSPECTION_KIND, rows))
    assert (0, 0, 2) == counts(store(database, INSPECTION_KIND, rows))
    assert [None, "李"] == frame(database, INSPECTION_KIND)["inspector"].to_list()


@pytest.mark.parametrize(
    ("kind", "row", "time"), [(INSPECTION_KIND, INSPECTION, "inspected_at"), (REPORT_KIND, REPORT, "reported_at")]
)
def test_made_later_is_not_known_yet(
    database: sqlite3.Connection, kind: FactKind, row: dict[str, Any], time: str
) -> None:
    """Known since it was made; with a later record since that."""
    store(database, kind, [row | {"recorded_at": None}, row | {"meter_id": "m9", "recorded_at": row[time] + DAY}])

    def known(moment: datetime) -> list[str]:
        return frame(database, kind, moment)["meter_id"].to_list()

    assert [] == known(row[time] - timedelta(microseconds=1))
    assert ["m1"] == known(row[time])
    assert ["m1", "m9"] == known(row[time] + DAY)


def test_works_announced_later_are_not_known_yet(database: sqlite3.Connection) -> None:
    """Without a time of record they are facts; of several records the newest holds, whole."""
    announced = WORK | {"site": "3 号楼", "recorded_at": MARCH - 7 * DAY}
    put_off = announced | {"until": MARCH + 2 * DAY, "recorded_at": MARCH - DAY}
    store(database, WORK_KIND, [WORK, announced, put_off])

    def known(moment: datetime | None) -> list[tuple[str | None, datetime]]:
        return frame(database, WORK_KIND, moment).select("site", "until").rows()

    assert [(None, MARCH + DAY)] == known(MARCH - 8 * DAY)
    assert [(None, MARCH + DAY), ("3 号楼", MARCH + DAY)] == known(MARCH - 7 * DAY)
    assert [(None, MARCH + DAY), ("3 号楼", MARCH + 2 * DAY)] == known(MARCH) == known(None)


def weather_of(database: sqlite3.Connection, moment: datetime | None) -> list[tuple[int, float, bool]]:
    found = frame(database, WEATHER_KIND, moment, timezone="Asia/Shanghai")
    return found.select(pl.col("date").dt.day(), "min_c", "forecast").rows()  # type: ignore[return-value]


def test_measured_day_is_known_when_it_is_over(database: sqlite3.Connection) -> None:
    """In the zone of the site; until then the forecast holds."""
    store(database, WEATHER_KIND, [WEATHER, WEATHER | {"forecast": True, "min_c": -14.0, "max_c": None}])
    over = datetime(2024, 3, 1, 16, tzinfo=UTC)

    assert [(1, -14.0, True)] == weather_of(database, over - timedelta(microseconds=1))
    assert [(1, -12.0, False)] == weather_of(database, over) == weather_of(database, None)


def test_forecast_is_known_since_it_came(database: sqlite3.Connection) -> None:
    """The newest one that came by then; one without time since ten days before its day."""
    at = datetime(2024, 2, 26, tzinfo=UTC)
    forecast = WEATHER | {"forecast": True}
    store(
        database,
        WEATHER_KIND,
        [
            forecast | {"min_c": -10.0},
            forecast | {"min_c": -11.0, "recorded_at": at},
            forecast | {"min_c": -13.0, "recorded_at": at + DAY},
        ],
    )
    reach = datetime(2024, 3, 1, tzinfo=UTC) - FORECAST_REACH

    assert [] == weather_of(database, reach - DAY)
    assert [(1, -10.0, True)] == weather_of(database, reach)
    assert [(1, -11.0, True)] == weather_of(database, at)
    assert [(1, -13.0, True)] == weather_of(database, at + DAY)


def test_measurement_that_came_late_is_not_known_before(database: sqlite3.Connection) -> None:
    """The forecast is what stands until then."""
    late = datetime(2024, 3, 5, tzinfo=UTC)
    store(database, WEATHER_KIND, [WEATHER | {"recorded_at": late}, WEATHER | {"forecast": True, "min_c": -14.0}])

    assert [(1, -14.0, True)] == weather_of(database, late - DAY)
    assert [(1, -12.0, False)] == weather_of(database, late)


def test_what_is_past_can_be_left_out(database: sqlite3.Connection) -> None:
    """By the day of weather and the end of works; works without end are never past."""
    store(database, WEATHER_KIND, [WEATHER, WEATHER | {"date": date(2024, 3, 5)}])
    store(database, WORK_KIND, [WORK, WORK | {"site": "x", "until": None}])
    since = MARCH + 2 * DAY

    assert [date(2024, 3, 5)] == frame(database, WEATHER_KIND, since=since)["date"].to_list()
    assert ["x"] == frame(database, WORK_KIND, since=since)["site"].to_list()


def test_alias_becomes_the_meter(database: sqlite3.Connection) -> None:
    """In any case of letters, whichever was imported first."""
    store(database, REPORT_KIND, [REPORT | {"meter_id": "Imei-1"}])
    store(database, INSPECTION_KIND, [INSPECTION | {"new_meter_id": "IMEI-1", "meter_id": "m0"}])
    registry.store(database, [Meter(meter_id="m7", aliases=("imei-1",))])

    assert ["m7"] == frame(database, REPORT_KIND)["meter_id"].to_list()
    assert [("m0", "m7")] == frame(database, INSPECTION_KIND).select("meter_id", "new_meter_id").rows()


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("inspections", {"meter_id": "m/1"}, ["meter_id: 'm/1' is no meter id"]),
        ("inspections", {"meter_id": None, "inspected_at": None}, ["meter_id: is missing", "inspected_at: is missing"]),
        ("inspections", {"finding": "rust", "cause": "?"}, ["finding: 'rust' is not allowed", "cause: '?' is not"]),
        ("inspections", {"register_reading_m3": -1.0}, ["register_reading_m3: -1 is out of range; allowed is 0 to"]),
        ("inspections", {"new_meter_id": "m1"}, ["new_meter_id: is the meter itself"]),
        ("inspections", {"action": "repaired"}, ["new_meter_id: names a meter though the action is 'repaired'"]),
        ("inspections", {"note": "x" * 2001}, ["note: is longer than 2000 characters"]),
        ("inspections", {"inspector": "\x1b[2J"}, ["inspector: holds control characters"]),
        ("weather", {"region": None}, ["region: is missing"]),
        ("weather", {"min_c": -270.0}, ["min_c: -270 is out of range"]),
        ("weather", {"mean_c": -20.0}, ["mean_c: -20 is less than min_c, -12"]),
        ("weather", {"mean_c": None, "max_c": -20.0}, ["max_c: -20 is less than min_c, -12"]),
        ("works", {"until": MARCH - DAY}, ["until: 2024-02-29 08:00 UTC lies before from, 2024-03-01 08:00 UTC"]),
        ("works", {"from": None}, ["from: is missing"]),
    ],
)
def test_what_may_not_stand_there(name: str, change: dict[str, Any], expected: list[str]) -> None:
    """Every cell, with the reason."""
    found = [str(problem) for problem in row_problems(KINDS[name], ROWS[name] | change)]

    assert len(expected) == len(found)
    assert [] == [(want, told) for want, told in zip(expected, found, strict=True) if not told.startswith(want)]


def test_refused_row_does_not_hold_up_the_others(database: sqlite3.Connection) -> None:
    """Each of its cells is told with the row's place."""
    outcome = store(database, REPORT_KIND, [REPORT, {"meter_id": "/", "reported_at": None}, REPORT | {"symptom": "b"}])

    assert 2 == outcome.new
    assert [(1, "meter_id"), (1, "reported_at")] == [(place, error.column) for place, error in outcome.refused]


def test_damaged_table_says_so(database: sqlite3.Connection) -> None:
    """A table that is not ours any more is an error of the lake, not a crash."""
    database.execute("CREATE TABLE works (other TEXT)")

    with pytest.raises(LakeError, match="the site database cannot be read: no such column"):
        frame(database, WORK_KIND)
