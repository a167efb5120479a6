"""Compaction: same rows, fewer files, under writers, readers, kills and other compactions."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.compaction import Compaction, DataFile, Steady, TableUpkeep, live_files, upkeep_counters, worth_merging
from lake.schemas import DAILY, ERROR_CODES, FINDINGS, QUARANTINE, READINGS, TABLES, TIME, TableSchema
from lake.settings import CompactSettings
from lake.storage import open_storage
from lake.tables import Lake, Position
from lake.vocabulary import CONTENT, IDENTITY, Column
from tests.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

START = datetime(2024, 6, 1, tzinfo=UTC)
NOW = START + timedelta(days=10)
EAGER = CompactSettings(small_files=2)


def reading(meter: str = "m", hour: float = 0, volume: float = 1.0, **more: Any) -> dict[str, Any]:
    ts = START + timedelta(hours=hour)
    row: dict[str, Any] = {
           "meter_id": meter, "ts": ts, "received_at": ts + timedelta(hours=1), "source": "s", "volume_m3": volume,
           "error_codes": [], "invalid_fields": [], "flags": [], "event_date": ts.date()}  # fmt: skip
    return row | more


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    schema = {name: READINGS.polars[name] for row in rows for name in row}
    return READINGS.conform(pl.DataFrame(list(rows), schema=schema))


def compacted(
    lake: Lake, wishes: CompactSettings = EAGER, now: datetime = NOW, *, dry_run: bool = False
) -> dict[str, TableUpkeep]:
    upkeep = Compaction(lake, wishes, actor="w", now=lambda: now)
    return {report.table: report for report in upkeep.run(dry_run=dry_run)}


def files(folder: Path, table: TableSchema = READINGS) -> list[DataFile]:
    return live_files(DeltaTable(str(folder / table.name)), table)


def refused(*received: datetime | None) -> pl.DataFrame:
    return pl.DataFrame({"received_at": list(received)}, schema={"received_at": TIME}).with_columns(
        pl.lit(b"x").alias("payload")
    )


def parquet(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*.parquet") if "_delta_log" not in file.parts}


def contents(rows: pl.DataFrame) -> Counter[str]:
    return Counter(map(repr, rows.select(*IDENTITY, *CONTENT).iter_rows()))


def test_days_become_one_sorted_file_each(tmp_path: Path) -> None:
    """Sorted by meter and time, with all rows and the extremes that let readers skip it."""
    lake = Lake(tmp_path)
    for hour in (30, 2, 26, 3, 1):
        lake.append(READINGS, frame(reading("b", hour, hour), reading("a", hour, hour)))

    report = compacted(lake)["readings"]

    held = files(tmp_path)
    assert (5, 2, 10, 10, 2) == (
        report.files_before, report.files_after, report.rows_before, report.rows_after, report.rewritten,
    )  # fmt: skip
    assert ["2024-06-01", "2024-06-02"] == sorted(str(file.partition) for file in held)
    first = next(file for file in held if file.day == date(2024, 6, 1))
    rows = pl.read_parquet(tmp_path / "readings" / first.path, hive_partitioning=False)
    assert [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)] == rows.select("meter_id", "volume_m3").rows()
    assert (START + timedelta(hours=2), START + timedelta(hours=4)) == (first.low, first.high)
    assert [1, 2, 3, 26, 30] == Lake(tmp_path).read(READINGS, meters=["b"])["volume_m3"].to_list()


def test_rewritten_rows_are_not_new(tmp_path: Path) -> None:
    """A diagnosis that looks for what was added since finds the rows once, in their first files."""
    lake = Lake(tmp_path)
    lake.append(READINGS, frame(reading(hour=1)))
    before = lake.version(READINGS)
    lake.append(READINGS, frame(reading(hour=2)))
    compacted(lake)

    assert 1 == len(lake.added_since(READINGS, before) or [])


def test_exact_duplicates_go_conflicts_stay(tmp_path: Path) -> None:
    """Of rows with the same identity and content the earliest received is kept, and the others are counted."""
    lake = Lake(tmp_path)
    late = START + timedelta(days=3)
    lake.append(READINGS, frame(reading(volume=1.0, received_at=late), reading(volume=2.0, flags=["conflict"])))
    lake.append(READINGS, frame(reading(volume=1.0), reading(volume=1.0, seq=1)))

    report = compacted(lake)["readings"]

    rows = lake.read(READINGS).select("volume_m3", "seq", "received_at").rows()
    hour = START + timedelta(hours=1)
    assert {(1.0, None, hour), (1.0, 1, hour), (2.0, None, hour)} == set(rows)
    assert (1, 3) == (report.deduplicated, len(rows))
    assert {"deduplicated": 1, "expired": 0} == upkeep_counters(lake, "w")
    assert {"deduplicated": 0, "expired": 0} == upkeep_counters(lake, "other")


def test_duplicate_in_late_file_is_found_beside_large_one(tmp_path: Path) -> None:
    """The day file is not worth rewriting for one late row, unless that row is in it already."""
    lake = Lake(tmp_path)
    rows = [
        reading(f"m{number}", hour, number, extra=os.urandom(40).hex()) for number in range(500) for hour in range(3)
    ]
    rows[23]["extra"] = None
    lake.append(READINGS, frame(*rows))
    lake.append(READINGS, frame(reading("m7", 20, 7.0)))
    assert 0 == compacted(lake)["readings"].rewritten

    lake.append(READINGS, frame(reading("m7", 2, 7.0)))
    report = compacted(lake)["readings"]

    assert (1, 1, 1501) == (report.deduplicated, report.files_after, lake.read(READINGS).height)


def test_same_code_told_twice_is_one_row(tmp_path: Path) -> None:
    """Error codes are compared by everything but the time of receipt; quarantined messages never."""
    lake = Lake(tmp_path)
    row = {"meter_id": "m", "ts": START, "received_at": START, "code": "E1", "event_date": START.date()}
    for hour, code in ((0, "E1"), (1, "E1"), (2, "E2")):
        one = row | {"received_at": START + timedelta(hours=hour), "code": code}
        lake.append(ERROR_CODES, pl.DataFrame([one], schema={name: ERROR_CODES.polars[name] for name in one}))
        lake.append(QUARANTINE, refused(START))

    reports = compacted(lake)

    assert [("E1", START), ("E2", START + timedelta(hours=2))] == sorted(
        lake.read(ERROR_CODES).select("code", "received_at").rows()
    )
    assert (1, 0, 3) == (reports["error_codes"].deduplicated, reports["quarantine"].deduplicated,
                         lake.read(QUARANTINE).height)  # fmt: skip


def test_tables_without_days_are_merged_too(tmp_path: Path) -> None:
    """Daily rows and findings of many diagnoses."""
    lake = Lake(tmp_path)
    for number in range(8):
        day = date(2024, 6, 1) + timedelta(days=number)
        lake.append(DAILY, pl.DataFrame({"meter_id": ["m"], "day": [day]}))
        lake.append(FINDINGS, pl.DataFrame({"meter_id": ["m"], "fault": ["coil"]}))

    reports = compacted(lake, CompactSettings())

    assert [(8, 1), (8, 1)] == [
        (reports[name].files_before, reports[name].files_after) for name in ("daily", "findings")
    ]
    assert 8 == lake.read(DAILY).height == lake.read(FINDINGS).height


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_table_can_be_merged(tmp_path: Path, table: TableSchema) -> None:
    """Each has an order for its rows, also those that were added later."""
    lake = Lake(tmp_path)
    at = datetime(2024, 1, 1, tzinfo=UTC)
    known = {"date": at.date(), "time": at, "string": "a"}
    row = {name: known[column.dtype] for name, column in table.columns.items() if column.dtype in known}
    for number in range(9):
        rows = pl.DataFrame([row | {table.time: row[table.time] + timedelta(days=number * (table.partition is None))}])
        lake.append(table, table.conform(rows.select(pl.col(name).cast(table.polars[name]) for name in rows.columns)))

    compacted(lake)

    assert 1 == len(files(tmp_path, table))


def held(*sizes: int) -> list[DataFile]:
    return [DataFile(f"f{place}", size, size, "2024-06-01") for place, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "least", "expected"),
    [
        ([], 2, []),
        ([5], 2, []),
        ([5, 5], 2, [5, 5]),
        ([5, 5], 3, []),
        ([1, 100], 2, []),
        ([1, 1, 100], 2, [1, 1]),
        ([20, 100], 2, [20, 100]),
        ([1, 4, 20, 100], 2, [1, 4, 20, 100]),
        ([600, 600], 2, []),
        ([1, 1, 600], 2, [1, 1]),
    ],
)
def test_large_file_is_rewritten_only_for_a_share_of_it(sizes: list[int], least: int, expected: list[int]) -> None:
    """Small ones among themselves, a large one when they reach a fifth of it, a full one never."""
    group = worth_merging(held(*sizes), least=least, share=0.2, largest=1000)

    assert expected == [file.size for file in group]


def test_late_rows_cost_little() -> None:
    """A year of one late row a day rewrites the large file a few times, not 365 times."""
    sizes, written, large = [1_000_000], 0, 0
    for _ in range(365):
        sizes.append(1000)
        group = [file.size for file in worth_merging(held(*sizes), least=2, share=0.2, largest=10**9)]
        for size in group:
            sizes.remove(size)
        if group:
            sizes.append(sum(group))
            written += sum(group)
            large += 1_000_000 in group
    assert 1_365_000 == sum(sizes)
    assert len(sizes) < 12
    assert written < 6_000_000
    assert large <= 1


def test_open_day_waits_for_more_files(tmp_path: Path) -> None:
    """A day that is still being written is merged by number, one that is over at once."""
    lake = Lake(tmp_path)
    for hour in range(4):
        lake.append(READINGS, frame(reading(hour=hour)))
    wishes = CompactSettings(small_files=8)

    assert 0 == compacted(lake, wishes, START + timedelta(hours=5))["readings"].rewritten
    assert 1 == compacted(lake, wishes, START + timedelta(days=2))["readings"].rewritten


def test_files_have_a_largest_size(tmp_path: Path) -> None:
    """A day that is larger becomes several files in order."""
    lake = Lake(tmp_path)
    for part in range(2):
        rows = [reading(f"m{number:05}", part, number, extra=os.urandom(400).hex()) for number in range(2000)]
        lake.append(READINGS, frame(*rows))
    wishes = CompactSettings(small_files=2, file_bytes=1_000_000)
    before = contents(lake.read(READINGS))
    assert sum(file.size for file in files(tmp_path)) > 1_500_000

    report = compacted(lake, wishes)["readings"]

    assert before == contents(lake.read(READINGS))
    assert 1 <= report.files_after <= 4


def test_expired_days_are_removed_and_counted(tmp_path: Path) -> None:
    """By measuring time; the counter grows in the commit that removes them and never forgets."""
    lake = Lake(tmp_path)
    for day in range(10):
        lake.append(READINGS, frame(reading(hour=24 * day), reading("n", 24 * day)))
    wishes = CompactSettings(keep_days=4)

    first = compacted(lake, wishes)["readings"]
    again = compacted(lake, wishes, NOW + timedelta(days=1))["readings"]

    assert (12, 2) == (first.expired, again.expired)
    assert {"expired": 14, "deduplicated": 0} == upkeep_counters(Lake(tmp_path), "w")
    assert START + timedelta(days=7) == lake.read(READINGS)["ts"].min()


def test_quarantine_expires_by_receipt(tmp_path: Path) -> None:
    """Whole files at once, and old rows of a merged file when they are an eighth of what is kept."""
    lake = Lake(tmp_path)
    for day in (0, 1, 8):
        lake.append(QUARANTINE, refused(START + timedelta(days=day), None))

    compacted(lake, CompactSettings(small_files=3, keep_quarantine_days=5))

    assert [None, None, None, START + timedelta(days=8)] == lake.read(QUARANTINE)["received_at"].to_list()


def aged(file: Path, days: float) -> None:
    moment = time.time() - days * 86400
    os.utime(file, (moment, moment))


def vacuumed(lake: Lake, hour: float, *, boot: str = "one", dry_run: bool = False) -> int:
    """Look after the readings so many hours after a start of the machine; return how many files that removed."""
    upkeep = Compaction(lake, EAGER, actor="w", steady=lambda: Steady(boot, 3600 * hour))
    return upkeep.look_after(READINGS, dry_run=dry_run).vacuumed


def test_vacuum_keeps_what_anybody_may_still_need(tmp_path: Path) -> None:
    """Removed: old orphans, and files that left the log long ago. Kept: live, just removed, and just written ones."""
    lake = Lake(tmp_path)
    lake.append(READINGS, frame(reading(hour=1)))
    lake.append(READINGS, frame(reading(hour=2)))
    inputs = parquet(tmp_path)
    compacted(lake)
    folder = next(iter(inputs)).parent
    orphan, fresh = folder / "part-orphan.parquet", folder / "part-fresh.parquet"
    for file in (orphan, fresh):
        file.write_bytes(b"PAR1")
    for file in parquet(tmp_path) - {fresh}:
        aged(file, 30)

    assert 0 == vacuumed(lake, 1)
    assert (1, True) == (vacuumed(lake, 2, dry_run=True), orphan.exists())
    assert (1, False, True) == (vacuumed(lake, 2), orphan.exists(), fresh.exists())
    assert all(file.exists() for file in inputs)

    for entry in (tmp_path / "readings" / "_delta_log").glob("*.json"):
        aged(entry, 8)
    assert [0, 2, 0] == [vacuumed(lake, hour) for hour in (3, 4, 5)]
    assert not any(file.exists() for file in inputs)
    assert not list((tmp_path / "_metriage").iterdir())
    assert 2 == Lake(tmp_path).read(READINGS).height
    assert lake.added_since(READINGS, 0) is None


def test_clock_that_jumps_removes_no_file_before_its_commit(tmp_path: Path) -> None:
    """A writer's file looks old to a clock that jumped ahead; runs shortly after each other leave it in peace."""
    lake = Lake(tmp_path)
    lake.append(READINGS, frame(reading(hour=1)))
    uncommitted = next(iter(parquet(tmp_path))).with_name("part-uncommitted.parquet")
    uncommitted.write_bytes(b"PAR1")
    aged(uncommitted, 30)

    assert [0, 0, 0] == [vacuumed(lake, hour) for hour in (1, 1.1, 1.9)]
    assert uncommitted.exists()
    assert 1 == vacuumed(lake, 2)


@pytest.mark.parametrize(("boot", "hour"), [("two", 9), ("one", 0.5)])
def test_old_file_is_noticed_anew_after_a_start_of_the_machine(tmp_path: Path, boot: str, hour: float) -> None:
    """Times of another start, or of another machine, tell nothing."""
    lake = Lake(tmp_path)
    lake.append(READINGS, frame(reading(hour=1)))
    orphan = next(iter(parquet(tmp_path))).with_name("part-orphan.parquet")
    orphan.write_bytes(b"PAR1")
    aged(orphan, 30)

    assert 0 == vacuumed(lake, 1)
    assert [0, 0, 1] == [vacuumed(lake, hour + more, boot=boot) for more in (0, 0.9, 1)]


def test_unreadable_note_of_old_files_is_made_anew(tmp_path: Path) -> None:
    """It only lets them stay longer."""
    lake = Lake(tmp_path)
    lake.append(READINGS, frame(reading(hour=1)))
    orphan = next(iter(parquet(tmp_path))).with_name("part-orphan.parquet")
    orphan.write_bytes(b"PAR1")
    aged(orphan, 30)
    vacuumed(lake, 1)
    (tmp_path / "_metriage" / "old-readings.json").write_text('{"readings/')

    assert [0, 1] == [vacuumed(lake, hour) for hour in (2, 3)]


def test_positions_and_counters_survive_a_cleaned_log(tmp_path: Path) -> None:
    """The checkpoint keeps them when every older entry is gone."""
    lake = Lake(tmp_path)
    for number in range(4):
        lake.append(READINGS, frame(reading(hour=number)), positions=[Position("w/readings", number + 1)])
    log = tmp_path / "readings" / "_delta_log"
    compacted(lake)
    for entry in log.glob("*"):
        aged(entry, 60)
    lake.append(READINGS, frame(reading(hour=9)), positions=[Position("w/readings", 9)])

    compacted(lake, CompactSettings())

    other = Lake(tmp_path)
    assert not (log / f"{0:020d}.json").exists()
    assert len(list(log.glob("*.json"))) < 4
    assert (9, 5) == (other.position(READINGS, "w/readings"), other.read(READINGS).height)
    assert other.added_since(READINGS, 0) is None
    lake.append(READINGS, frame(reading(hour=10)))
    assert 6 == lake.read(READINGS).height


def test_dry_run_changes_nothing(tmp_path: Path) -> None:
    """It tells what would be done."""
    lake = Lake(tmp_path)
    for day in (0, 0, 9):
        lake.append(READINGS, frame(reading(hour=24 * day)))
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}

    report = compacted(lake, CompactSettings(keep_days=5), dry_run=True)["readings"]

    assert (2, 0) == (report.expired, report.rewritten)
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}


PROGRAM = """
import sys
from datetime import datetime
from lake.compaction import Compaction
from lake.settings import CompactSettings
from lake.tables import Lake
sys.path.insert(0, sys.argv[1])
from tests.lake.test_compaction import frame, reading
what, folder, count = sys.argv[2], sys.argv[3], int(sys.argv[4])
lake = Lake(folder)
from lake.schemas import READINGS
for number in range(count):
    if what == "compact":
        Compaction(lake, CompactSettings(small_files=2), actor=sys.argv[5]).run()
    else:
        lake.append(READINGS, frame(reading(sys.argv[5], number % 40, float(number))))
"""


def program(what: str, folder: Path, count: int, name: str, **environment: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), what, str(folder), str(count), name], cwd=root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | environment,
    )  # fmt: skip


@pytest.mark.slow
def test_compactions_and_writers_at_once(tmp_path: Path) -> None:
    """Two writers, two compactions and a reader beside each other: every row once, at any moment as at the end."""
    lake = Lake(tmp_path)
    lake.append(READINGS, frame(reading("x")))
    with contextlib.ExitStack() as running:
        processes = [
            running.enter_context(program(what, tmp_path, count, name))
            for what, count, name in (
                ("append", 25, "a"), ("append", 25, "b"), ("compact", 12, "one"), ("compact", 12, "two"),
            )
        ]  # fmt: skip
        seen = 1
        while any(process.poll() is None for process in processes):
            rows = Lake(tmp_path).read(READINGS)
            assert rows.select(IDENTITY).unique().height == rows.select("meter_id", "ts").unique().height
            assert rows.height == rows.select("meter_id", "ts", "volume_m3").unique().height
            assert rows.height >= seen
            seen = rows.height
        for process in processes:
            output, errors = process.communicate()
            assert 0 == process.returncode, output + errors

    compacted(lake)
    rows = lake.read(READINGS)
    assert 51 == rows.height
    assert {"a": 25, "b": 25, "x": 1} == dict(rows.group_by("meter_id").len().iter_rows())
    assert 2 >= len(files(tmp_path))
    assert {0} == {upkeep_counters(lake, name)["deduplicated"] for name in ("one", "two", "w")}


def seen_old(lake: Path, file: Path) -> None:
    """Note that a run long ago has found `file` old."""
    note = lake / "_metriage" / "old-readings.json"
    note.parent.mkdir()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    note.write_text(json.dumps({file.relative_to(lake).as_posix(): {"boot": boot, "seconds": -1e6}}))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compact.files_synced", "compact.committed", "compact.vacuuming"])
def test_kill_loses_and_doubles_nothing(tmp_path: Path, name: str) -> None:
    """Killed at each moment, the next run finishes, and its leftovers are vacuumed once they are old."""
    lake = Lake(tmp_path)
    for number in range(3):
        lake.append(READINGS, frame(reading(hour=number)))
    orphan = next(iter(parquet(tmp_path))).with_name("part-orphan.parquet")
    orphan.write_bytes(b"PAR1")
    aged(orphan, 30)
    seen_old(tmp_path, orphan)
    before = contents(lake.read(READINGS))

    killed = program("compact", tmp_path, 1, "w", METRIAGE_KILL_AT=name)
    killed.communicate()
    assert -9 == killed.returncode
    assert before == contents(Lake(tmp_path).read(READINGS))

    compacted(Lake(tmp_path))
    assert before == contents(Lake(tmp_path).read(READINGS))
    assert 1 == len(files(tmp_path))
    live = {tmp_path / "readings" / file.path for file in files(tmp_path)}
    for file in [*parquet(tmp_path), *(tmp_path / "readings" / "_delta_log").glob("*.json")]:
        aged(file, 30)
    for hour in (1, 2):
        vacuumed(Lake(tmp_path), hour)
    assert live == parquet(tmp_path)


STEPS = st.one_of(
    st.tuples(
        st.just("append"),
        st.lists(
            st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=6, unique=True
        ),
    ),
    st.tuples(st.sampled_from(["compact", "cut short", "overtaken"]), st.just([])),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=1, max_size=8))
def test_any_sequence_keeps_every_row(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, list[Any]]]
) -> None:
    """Appends, compactions, compactions that die before their commit, and ones that another one overtakes."""

    class Cut(BaseException):
        pass

    lake = Lake(tmp_path_factory.mktemp("lake"))
    expected: set[Any] = set()
    rewrite = Lake.rewrite

    def cut(*_: Any, **__: Any) -> int:
        raise Cut

    def overtaken(self: Lake, *args: Any, **options: Any) -> int:
        monkeypatch.setattr(Lake, "rewrite", rewrite)
        compacted(Lake(lake.storage))
        return rewrite(self, *args, **options)

    for what, rows in steps:
        if what == "append":
            expected |= set(rows)
            lake.append(READINGS, frame(*(reading(meter, hour, volume) for meter, hour, volume in rows)))
        elif what == "compact":
            compacted(lake)
        elif what == "cut short":
            monkeypatch.setattr(Lake, "rewrite", cut)
            with contextlib.suppress(Cut):
                compacted(lake)
        else:
            monkeypatch.setattr(Lake, "rewrite", overtaken)
            compacted(lake)
        monkeypatch.setattr(Lake, "rewrite", rewrite)
        assert expected == plain(lake.read(READINGS)) if expected else True
    if expected:
        compacted(lake)
        rows_now = lake.read(READINGS)
        assert (len(expected), expected) == (rows_now.height, plain(rows_now))


def plain(rows: pl.DataFrame) -> set[Any]:
    hours = (pl.col("ts") - START).dt.total_hours()
    return set(rows.select("meter_id", hours, pl.col("volume_m3").cast(pl.Int64)).iter_rows())


def narrow(*missing: str, **more: Column) -> TableSchema:
    """Return the readings of an earlier release, without some columns, or of a later one, with more."""
    columns = {name: column for name, column in READINGS.columns.items() if name not in missing}
    return TableSchema("readings", columns | more, time="ts", partition="event_date")


def test_table_of_an_earlier_release_grows(tmp_path: Path) -> None:
    """The first append adds the column; old files read as empty there, are not rewritten, and merge with new ones."""
    early, lake = narrow("snr_db", "extra"), Lake(tmp_path)
    lake.append(early, frame(reading(hour=1)).select(list(early.columns)))
    old = parquet(tmp_path)

    assert [None] == Lake(tmp_path).read(READINGS)["snr_db"].to_list()
    lake = Lake(tmp_path)
    lake.append(READINGS, frame(reading(hour=2, snr_db=7.0, extra="{}")))
    assert [None, 7.0] == lake.read(READINGS)["snr_db"].to_list()
    assert old < parquet(tmp_path)
    names = sorted(str(file.path) for file in files(tmp_path))
    assert [1.0, 1.0] == lake.scan_parts(READINGS, names).collect()["volume_m3"].to_list()
    compacted(lake)
    assert [(None, None), (7.0, "{}")] == lake.read(READINGS).select("snr_db", "extra").rows()
    assert 1 == len(files(tmp_path))

    lake.append(early, frame(reading(hour=3)).select(list(early.columns)))
    assert [None, 7.0, None] == lake.read(READINGS)["snr_db"].to_list()


def test_column_of_a_later_release_is_left_alone(tmp_path: Path) -> None:
    """Not read, empty in what we append, kept by compaction; it counts as content."""
    later = narrow(pressure_bar=Column("pressure_bar", "float64", "pressure", "bar"))
    lake = Lake(tmp_path)
    rows = frame(reading(hour=1))
    for bar in (2.5, 3.5):
        lake.append(later, rows.with_columns(pl.lit(bar).alias("pressure_bar")))
    lake = Lake(tmp_path)

    lake.append(READINGS, frame(reading(hour=2)))
    assert list(READINGS.columns) == lake.read(READINGS).columns
    compacted(lake)

    assert 1 == len(files(tmp_path))
    assert [2.5, 3.5, None] == Lake(tmp_path).read(later).sort("ts", "pressure_bar")["pressure_bar"].to_list()


def test_commit_says_what_was_removed(tmp_path: Path) -> None:
    """In words of its own, for whoever reads the log."""
    lake = Lake(tmp_path)
    for _ in range(2):
        lake.append(READINGS, frame(reading()))
    compacted(lake)
    log = (tmp_path / "readings" / "_delta_log").glob("*.json")
    entries = [json.loads(entry.read_text().splitlines()[0]) for entry in log]

    assert ["1"] == [entry["commitInfo"]["metriage.deduplicated"] for entry in entries
                     if "metriage.deduplicated" in entry.get("commitInfo", {})]  # fmt: skip


@pytest.mark.slow
def test_compaction_on_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows, conflicts and counters where the lake is a bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    with S3Server(tmp_path) as server:
        lake = Lake(open_storage(server.settings("one"), tmp_path))
        for number in range(4):
            lake.append(READINGS, frame(reading(hour=number), reading("n", 1)))

        report = compacted(lake)["readings"]

        assert (4, 1, 3, 5) == (
            report.files_before,
            report.files_after,
            report.deduplicated,
            lake.read(READINGS).height,
        )
        assert {"deduplicated": 3, "expired": 0} == upkeep_counters(lake, "w")
        assert 5 == compacted(lake, CompactSettings(keep_days=1))["readings"].expired
