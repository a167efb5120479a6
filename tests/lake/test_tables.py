"""The lake: append and read, positions in the transaction, durability, crashes, several writers."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import LakeError, VersionConflictError
from lake.schemas import DAILY, FINDINGS, QUARANTINE, READINGS, TABLES, TIME, TableSchema
from lake.tables import Lake, Position, open_lake, table_named

START = datetime(2024, 6, 1, 22, tzinfo=UTC)


def rows(count: int, meter: str = "m", step: timedelta = timedelta(hours=1)) -> pl.DataFrame:
    """Return readings of one meter."""
    times = [START + number * step for number in range(count)]
    return pl.DataFrame(
        {"meter_id": [meter] * count, "ts": times, "received_at": [time + timedelta(hours=2) for time in times],
         "volume_m3": [float(number) for number in range(count)]},
        schema_overrides={"ts": TIME, "received_at": TIME},
    ).with_columns(event_date=pl.col("ts").dt.date())  # fmt: skip


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(),
    "float64": st.floats(allow_nan=False),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "time": st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    "date": st.dates(date(1970, 1, 1), date(2100, 1, 1)),
    "binary": st.binary(),
    "strings": st.lists(st.text()),
}


@settings(max_examples=30)
@given(st.data(), st.sampled_from(sorted(TABLES)))
def test_append_reads_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str) -> None:
    """Whatever fits the types of a table comes back as it was, in every table."""
    table = TABLES[name]
    row = st.fixed_dictionaries(
        {
            column.name: VALUES[column.dtype] if column.name == table.partition else st.none() | VALUES[column.dtype]
            for column in table.columns.values()
        }
    )
    frame = pl.DataFrame(data.draw(st.lists(row, max_size=4)), schema=table.polars, orient="row")
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.append(table, frame)
    found = lake.scan(table).collect()

    assert frame.schema == found.schema
    assert sorted(map(repr, frame.rows())) == sorted(map(repr, found.rows()))


def test_append_is_sorted_by_day_and_meter(tmp_path: Path) -> None:
    """Each file holds one day, sorted by meter and time; readers get meter and time order."""
    lake = Lake(tmp_path)
    lake.append(READINGS, pl.concat([rows(4, "b"), rows(4, "a")]).reverse())
    files = sorted((tmp_path / "readings").glob("event_date=*/*.parquet"))

    assert [file.parent.name for file in files] == ["event_date=2024-06-01", "event_date=2024-06-02"]
    assert [row[:1] for row in pl.read_parquet(files[0], hive_partitioning=False).rows()] == [
        ("a",),
        ("a",),
        ("b",),
        ("b",),
    ]
    assert lake.read(READINGS)["meter_id"].to_list() == ["a"] * 4 + ["b"] * 4
    assert lake.read(READINGS)["volume_m3"].to_list() == [0.0, 1.0, 2.0, 3.0] * 2


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"start": START + timedelta(hours=1)}, [1, 2, 3, 4, 5]),
        ({"end": START + timedelta(hours=1)}, [0]),
        ({"start": START + timedelta(hours=2), "end": START + timedelta(hours=4)}, [2, 3]),
        ({"start": START.astimezone(tz=None) + timedelta(hours=5)}, [5]),
        ({"meters": ["m"]}, [0, 1, 2, 3, 4, 5]),
        ({"meters": ["other"]}, []),
        ({"meters": []}, []),
        ({"received_by": START + timedelta(hours=3)}, [0, 1]),
        ({"received_after": START + timedelta(hours=3)}, [2, 3, 4, 5]),
        ({"received_after": START + timedelta(hours=3), "received_by": START + timedelta(hours=4)}, [2]),
        ({"start": date(2024, 6, 2)}, [2, 3, 4, 5]),
        ({"end": date(2024, 6, 2)}, [0, 1]),
    ],
)
def test_read_by_range(tmp_path: Path, limits: dict[str, Any], expected: list[int]) -> None:
    """Times are half-open, receipts are up to and including, and limits combine."""
    lake = Lake(tmp_path)
    lake.append(READINGS, rows(6))

    assert expected == lake.read(READINGS, **limits)["volume_m3"].to_list()


def test_read_day_table_by_date(tmp_path: Path) -> None:
    """A table whose time is a day takes dates."""
    lake = Lake(tmp_path)
    days = [date(2024, 6, day) for day in (1, 2, 3)]
    lake.append(DAILY, pl.DataFrame({"meter_id": ["m"] * 3, "day": days}))

    assert days[1:] == lake.read(DAILY, start=days[1])["day"].to_list()
    assert days[:1] == lake.read(DAILY, end=days[1])["day"].to_list()


def test_read_table_that_is_not_there(tmp_path: Path) -> None:
    """A table without a commit is empty, at version -1, with every position at 0."""
    lake = Lake(tmp_path / "lake")

    assert lake.read(FINDINGS).shape == (0, len(FINDINGS.columns))
    assert (False, -1, 0) == (lake.exists(FINDINGS), lake.version(FINDINGS), lake.position(FINDINGS, "w/findings"))
    assert lake.files(READINGS, [date(2024, 6, 1)]) == {date(2024, 6, 1): frozenset()}
    assert not (tmp_path / "lake").exists()


def test_position_is_in_the_transaction(tmp_path: Path) -> None:
    """Rows, position and metadata of a commit come together, also where there are no rows."""
    lake = Lake(tmp_path)
    lake.append(READINGS, rows(1), positions=[Position("one/readings", 7)], metadata={"metriage.last": "7"})
    lake.append(READINGS, rows(0), positions=[Position("one/readings", 9), Position("two/readings", 3)])
    other = Lake(tmp_path)

    assert [9, 3, 0] == [other.position(READINGS, f"{name}/readings") for name in ("one", "two", "three")]
    assert "7" in [commit.get("metriage.last") for commit in DeltaTable(str(tmp_path / "readings")).history()]
    assert other.read(READINGS).height == 1


def test_append_sees_other_writers(tmp_path: Path) -> None:
    """Writers beside each other both get their rows in, and both see them."""
    one, two = Lake(tmp_path), Lake(tmp_path)
    for number in range(3):
        one.append(READINGS, rows(1, f"one-{number}"))
        two.append(READINGS, rows(1, f"two-{number}"))

    assert one.read(READINGS).equals(two.read(READINGS))
    assert one.read(READINGS).height == 6
    assert one.version(READINGS) == two.version(READINGS) == 6


def test_append_flushes_data_before_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data files are on the disk before the log names them, and the log entry before the append returns."""
    lake = Lake(tmp_path)
    lake.append(READINGS, rows(1))
    events: list[str] = []
    sync, commit = os.fsync, DeltaTable.create_write_transaction

    def fsync(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def create(self: DeltaTable, *args: Any, **kwargs: Any) -> None:
        events.append("commit")
        commit(self, *args, **kwargs)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(DeltaTable, "create_write_transaction", create)
    lake.append(READINGS, rows(4, "n"))
    at = events.index("commit")

    assert sum(name.startswith("part-") for name in events[:at]) == 2
    assert "event_date=2024-06-02" in events[:at]
    assert events[at + 1 :] == [f"{2:020d}.json", "_delta_log"]


def test_append_that_cannot_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full in the second file, the first and the half one are removed and nothing is committed."""
    lake = Lake(tmp_path)
    lake.append(READINGS, rows(1))
    write = pl.DataFrame.write_parquet
    written: list[Path] = []

    def full(self: pl.DataFrame, file: Path, **kwargs: Any) -> None:
        written.append(file)
        write(self, file, **kwargs)
        if len(written) == 2:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", full)
        with pytest.raises(LakeError, match=r"table readings .* cannot be written: .*No space left"):
            lake.append(READINGS, rows(4, "n"))

    assert [False, False] == [file.exists() for file in written]
    assert lake.version(READINGS) == 1
    assert lake.append(READINGS, rows(4, "n")) == 2


def test_append_unclear_commit_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that fails after it was made is found to be there, with its rows and position."""
    lake = Lake(tmp_path)
    lake.append(READINGS, rows(1))
    commit = DeltaTable.create_write_transaction

    def unclear(self: DeltaTable, *args: Any, **kwargs: Any) -> None:
        commit(self, *args, **kwargs)
        raise DeltaError("the checkpoint could not be written")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", unclear)
        lake.append(READINGS, rows(1, "n"), positions=[Position("w", 5)])

    assert lake.position(READINGS, "w") == 5
    assert lake.read(READINGS)["meter_id"].to_list() == ["m", "n"]


def test_append_flush_failing_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log entry that the disk does not take is a LakeError; `sync` tries again."""
    lake = Lake(tmp_path)
    lake.append(QUARANTINE, QUARANTINE.empty())

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(LakeError, match="Input/output error"):
            lake.append(QUARANTINE, QUARANTINE.empty())
        with pytest.raises(LakeError, match="Input/output error"):
            lake.sync(QUARANTINE)
    lake.sync(QUARANTINE)

    assert lake.version(QUARANTINE) == 2


def test_append_after_a_crash_while_making_the_table(tmp_path: Path) -> None:
    """A folder that a crash left without its first log entry becomes a table after all."""
    (tmp_path / "readings" / "_delta_log").mkdir(parents=True)
    lake = Lake(tmp_path)

    assert not lake.exists(READINGS)
    assert lake.append(READINGS, rows(1)) == 1
    assert lake.read(READINGS).height == 1


def test_append_wrong_columns(tmp_path: Path) -> None:
    """Rows that do not fit are refused before anything is made."""
    with pytest.raises(LakeError, match="table readings has no column colour"):
        Lake(tmp_path).append(READINGS, pl.DataFrame({"colour": ["red"]}))

    assert list(tmp_path.iterdir()) == []


def test_table_damaged_is_said(tmp_path: Path) -> None:
    """A table whose log is no log is named."""
    log = tmp_path / "readings" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020d}.json").write_text("this is a letter")

    with pytest.raises(LakeError, match=r"table readings in .* cannot be opened"):
        Lake(tmp_path).read(READINGS)


def test_files_of_days(tmp_path: Path) -> None:
    """The files of a day are those whose rows are of that day."""
    lake = Lake(tmp_path)
    for _ in range(2):
        lake.append(READINGS, rows(4))
    found = lake.files(READINGS, [date(2024, 6, 1), date(2024, 6, 3)])

    assert [2, 0] == [len(names) for names in found.values()]
    assert all((tmp_path / "readings" / name).is_file() for name in found[date(2024, 6, 1)])


def test_added_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that came after a version are told, and that the log no longer tells where it does not."""
    lake = Lake(tmp_path)
    lake.append(READINGS, rows(1, "a"))
    before = lake.version(READINGS)
    lake.append(READINGS, rows(1, "b"))
    [name] = lake.added_since(READINGS, before) or []

    assert pl.read_parquet(tmp_path / "readings" / name, hive_partitioning=False)["meter_id"].to_list() == ["b"]
    monkeypatch.setattr(Lake, "version", lambda *_: before + 3)  # whose log entries were cleaned away
    assert lake.added_since(READINGS, before) is None


def test_statistics_do_not_hide_microseconds(tmp_path: Path) -> None:
    """File statistics are coarser than times; no row is left out for it."""
    lake = Lake(tmp_path)
    odd = START + timedelta(microseconds=999_999)
    lake.append(READINGS, rows(1).with_columns(ts=pl.lit(odd).cast(TIME)))
    log = (tmp_path / "readings" / "_delta_log" / f"{1:020d}.json").read_text().splitlines()
    stats = next(json.loads(json.loads(line)["add"]["stats"]) for line in log if "add" in json.loads(line))

    assert lake.read(READINGS, start=odd, end=odd + timedelta(microseconds=1)).height == 1
    assert stats["maxValues"]["ts"] == "2024-06-01T22:00:01.000Z"
    assert stats["minValues"]["ts"] == "2024-06-01T22:00:00.999Z"


def test_checkpoint_after_many_commits(tmp_path: Path) -> None:
    """After a hundred commits a new reader starts from a checkpoint and sees everything, positions included."""
    lake = Lake(tmp_path)
    for number in range(1, 103):
        lake.append(QUARANTINE, pl.DataFrame({"readings": [number]}), positions=[Position("w", number)])
    other = Lake(tmp_path)

    assert (tmp_path / "quarantine" / "_delta_log" / "_last_checkpoint").is_file()
    assert (102, 102) == (other.position(QUARANTINE, "w"), other.read(QUARANTINE).height)


def test_open_lake_of_a_site(tmp_path: Path) -> None:
    """A folder without a lake is said to be none."""
    (tmp_path / "lake").mkdir()

    assert str(tmp_path / "lake") == open_lake(tmp_path).storage.url
    with pytest.raises(LakeError, match="is no folder"):
        open_lake(tmp_path / "elsewhere")


def test_open_lake_where_the_settings_say(tmp_path: Path) -> None:
    """A site whose settings name another place for its lake is read there."""
    (tmp_path / "metriage.toml").write_text(f'[lake]\nurl = "{tmp_path}/shared"\n')
    Lake(tmp_path / "shared").append(READINGS, rows(2))

    assert open_lake(tmp_path).read(READINGS).height == 2


def test_table_named() -> None:
    """Tables are found by name, and the names are told."""
    assert table_named("readings") is READINGS
    with pytest.raises(LakeError, match="there is no table 'reading'; there are readings, "):
        table_named("reading")


def test_append_expecting_a_version(tmp_path: Path) -> None:
    """A commit that was decided by an older version is refused, and leaves no file."""
    one, two = Lake(tmp_path), Lake(tmp_path)
    version = one.create(READINGS)
    two.append(READINGS, rows(1))
    files = set((tmp_path / "readings").glob("*/*.parquet"))
    with pytest.raises(VersionConflictError, match="somebody else has committed since version 0"):
        one.append(READINGS, rows(1, "n"), expect_version=version)

    assert files == set((tmp_path / "readings").glob("*/*.parquet"))
    assert one.append(READINGS, rows(1, "n"), expect_version=one.version(READINGS)) == 2


def test_commit_overtaken_after_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's commit in the last moment is a conflict, and the same files can be committed again."""
    one, two = Lake(tmp_path), Lake(tmp_path)
    version = one.create(READINGS)
    actions = one.write(READINGS, rows(1, "n"))
    commit = DeltaTable.create_write_transaction

    def overtaken(self: DeltaTable, *args: Any, **kwargs: Any) -> None:
        monkeypatch.undo()
        two.append(READINGS, rows(1))
        commit(self, *args, **kwargs)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", overtaken)
    with pytest.raises(VersionConflictError):
        one.commit(READINGS, actions, expect_version=version)
    one.commit(READINGS, actions, expect_version=one.version(READINGS))

    assert one.read(READINGS)["meter_id"].to_list() == ["m", "n"]


@pytest.mark.parametrize("exact", [False, True])
def test_commit_that_meets_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool) -> None:
    """Where a store repeats a request whose answer was lost, the commit that is already there is our own."""
    lake = Lake(tmp_path)
    version = lake.create(READINGS)
    commit = DeltaTable.create_write_transaction

    def twice(self: DeltaTable, *args: Any, **kwargs: Any) -> None:
        stale = DeltaTable(str(tmp_path / "readings"))
        commit(self, *args, **kwargs)
        commit(stale, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", twice)
        lake.append(READINGS, rows(1), positions=[Position("w", 1)], expect_version=version if exact else None)

    assert lake.version(READINGS) == 1
    assert lake.read(READINGS).height == 1


def test_commit_without_an_answer_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody knows what became of a commit, its files stay: it may still come to be there."""
    lake = Lake(tmp_path)
    version = lake.create(READINGS)
    delayed: list[Any] = []
    commit = DeltaTable.create_write_transaction

    def lost(self: DeltaTable, *args: Any, **kwargs: Any) -> None:
        delayed.append(lambda: commit(self, *args, **kwargs))
        raise OSError("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", lost)
        with pytest.raises(LakeError, match="timed out"):
            lake.append(READINGS, rows(2), positions=[Position("w", 1)], expect_version=version)
    delayed[0]()  # the request arrives late

    assert lake.position(READINGS, "w") == 1
    assert lake.read(READINGS).height == 2


def test_append_syncs_what_others_left_unsynced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that stands on one whose writer was killed before it could sync makes that one durable as well."""
    killed, lake = Lake(tmp_path), Lake(tmp_path)
    lake.append(READINGS, rows(1))
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "_sync_log", lambda *_: None)
        killed.append(READINGS, rows(1))
    lake.version(READINGS)  # it has seen that commit long before its own
    synced: list[str] = []
    sync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").readlink().name), sync(fd))[1]
    )
    lake.append(READINGS, rows(1))

    assert {f"{2:020d}.json", f"{3:020d}.json"} <= set(synced)


@pytest.mark.parametrize("cut", [0, 1, 0.5, 0.99])
def test_repair_of_a_torn_log(tmp_path: Path, cut: float) -> None:
    """What a power cut left torn is named to readers, and set aside by the next writer; the rest is untouched."""
    lake = Lake(tmp_path)
    for number in range(1, 4):
        lake.append(READINGS, rows(1, f"m{number}"), positions=[Position("w", number)])
    entry = tmp_path / "readings" / "_delta_log" / f"{3:020d}.json"
    size = entry.stat().st_size
    os.truncate(entry, int(cut) if cut in {0, 1} else int(size * cut))
    if cut:  # deltalake takes an empty entry for a commit of nothing
        with pytest.raises(LakeError, match=r"00003\.json is cut short, as by a power cut; `metriage ingest` sets it"):
            Lake(tmp_path).read(READINGS)
    repaired = Lake(tmp_path)

    assert [entry.name] == repaired.repair(READINGS)
    assert [] == repaired.repair(READINGS)
    assert (2, 2) == (repaired.version(READINGS), repaired.position(READINGS, "w"))
    assert repaired.append(READINGS, rows(1, "m3"), positions=[Position("w", 3)]) == 3
    assert Lake(tmp_path).read(READINGS)["meter_id"].to_list() == ["m1", "m2", "m3"]


def test_repair_of_a_lost_entry(tmp_path: Path) -> None:
    """Entries that follow a lost one were never reported as done; they are set aside with it."""
    lake = Lake(tmp_path)
    for number in range(1, 5):
        lake.append(READINGS, rows(1, f"m{number}"))
    log = tmp_path / "readings" / "_delta_log"
    (log / f"{3:020d}.json").unlink()

    assert [f"{4:020d}.json"] == Lake(tmp_path).repair(READINGS)
    assert Lake(tmp_path).version(READINGS) == 2


def test_repair_of_a_torn_checkpoint(tmp_path: Path) -> None:
    """A checkpoint that a power cut left torn is done without: the log entries are still there."""
    lake = Lake(tmp_path)
    for number in range(1, 103):
        lake.append(QUARANTINE, pl.DataFrame({"readings": [number]}), positions=[Position("w", number)])
    [checkpoint] = (tmp_path / "quarantine" / "_delta_log").glob("*.checkpoint.parquet")
    os.truncate(checkpoint, 100)

    assert [checkpoint.name] == Lake(tmp_path).repair(QUARANTINE)
    assert Lake(tmp_path).position(QUARANTINE, "w") == 102


def test_repair_leaves_worse_damage_alone(tmp_path: Path) -> None:
    """A damaged entry far from the end is no power cut: nothing is touched, and it is said what to do."""
    lake = Lake(tmp_path)
    for _ in range(25):
        lake.append(QUARANTINE, QUARANTINE.empty())
    log = tmp_path / "quarantine" / "_delta_log"
    os.truncate(log / f"{2:020d}.json", 10)
    before = sorted(file.name for file in log.glob("*.json"))
    with pytest.raises(LakeError, match="restore the table from a backup"):
        Lake(tmp_path).repair(QUARANTINE)

    assert before == sorted(file.name for file in log.glob("*.json"))


def test_append_beside_a_change_of_properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compaction sets how long the log is kept while we commit: that contradicts no rows, and they are added once."""
    lake = Lake(tmp_path)
    lake.append(READINGS, rows(1))
    opened = Lake._open_or_create
    intervals = iter(("interval 1 days", "interval 2 days"))

    def outrun(self: Lake, table: TableSchema) -> DeltaTable:
        handle = opened(self, table)
        for interval in intervals:
            DeltaTable(str(tmp_path / "readings")).alter.set_table_properties({"delta.logRetentionDuration": interval})
        return handle

    monkeypatch.setattr(Lake, "_open_or_create", outrun)
    lake.append(READINGS, rows(1), positions=[Position("w/readings", 7)])

    assert (2, 7) == (lake.read(READINGS).height, lake.position(READINGS, "w/readings"))
    assert 4 == lake.version(READINGS)
