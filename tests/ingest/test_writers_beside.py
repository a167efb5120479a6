"""Writers beside each other on one lake: every reading once, every account exact, whoever is faster or killed."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from deltalake import DeltaTable

from ingest import lake_writer
from ingest.account import Plan
from ingest.gap import Gap
from ingest.lake_writer import LakeWriter
from ingest.spool import Spool
from lake.schemas import ERROR_CODES, GAPS, QUARANTINE, READINGS, TableSchema
from lake.settings import LakeSettings
from lake.storage import open_storage
from lake.tables import Lake
from lake.vocabulary import IDENTITY
from tests.ingest.messages import NOW, account_of, native, now, settings_of, spool_messages
from tests.processes import Daemon, Mosquitto, Publisher, status_of, wait_until
from tests.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

START = 1717200000
METERS = 40


@pytest.fixture(name="keys", autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


@pytest.fixture(name="where", params=["folder", "s3"])
def _where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LakeSettings]:
    if request.param == "folder":
        yield LakeSettings(url=str(tmp_path / "shared"))
        return
    with S3Server(tmp_path) as server:
        yield server.settings("shared")


def payload(number: int, **fields: Any) -> bytes:
    """Return a reading of its own for each number; each fifth carries a code."""
    codes = {"error_codes": ["LEAK"], "status": 2} if number % 5 == 0 else {}
    meter, hour = number % METERS, number // METERS
    return native(
        **({"meter_id": f"m{meter:02d}", "ts": START + 3600 * hour, "volume_m3": 1 + hour / 100} | codes | fields)
    )


def messages_of(numbers: range) -> list[tuple[str, bytes]]:
    """Return topic and payload of some readings."""
    return [(f"meters/m{number % METERS:02d}/readings", payload(number)) for number in numbers]


def writer_of(site: Path, where: LakeSettings) -> LakeWriter:
    """Return a writer of one site on the shared lake, with batches of ten messages."""
    writer = LakeWriter(msgspec.structs.replace(settings_of(site, commit_messages=100), lake=where), now)
    writer._settings = msgspec.structs.replace(
        writer._settings, ingest=msgspec.structs.replace(writer._settings.ingest, commit_messages=10)
    )
    return writer


def check(lake: Lake, sites: list[Path], readings: int, received: int) -> None:
    """Check that each reading and each of its codes is there once and that the accounts add up to what was received."""
    rows = lake.read(READINGS)
    codes = lake.read(ERROR_CODES)
    carrying = rows.filter(pl.col("error_codes").list.len() > 0).height
    tallies = [account_of(site) for site in sites]
    outcomes = sum((Counter(tally.readings) for tally in tallies), Counter())

    assert (readings, readings) == (rows.height, rows.select(IDENTITY).unique().height)
    assert not rows["flags"].list.contains("conflict").any()
    assert 2 * carrying == codes.height == codes.select("meter_id", "ts", "code").unique().height
    assert +Counter(stored=readings, duplicate=received - readings) == +outcomes
    assert received == sum(tally.messages.total() for tally in tallies)


def test_writers_of_the_same_readings(tmp_path: Path, where: LakeSettings) -> None:
    """Two writers in turn, each with all readings: what one stored is a duplicate of the other."""
    sites = [tmp_path / "one", tmp_path / "two"]
    for site in sites:
        spool_messages(site, messages_of(range(60)))
    writers = [writer_of(site, where) for site in sites]
    while sum(writer.step() for writer in writers):
        pass
    for writer in writers:
        writer.close()

    check(Lake(open_storage(where, tmp_path)), sites, 60, 120)


@pytest.mark.parametrize("place", ["before create", "before begin", "before commit", "in the commit", "after commit"])
@pytest.mark.parametrize("same", [True, False])
def test_writers_interleaved(tmp_path: Path, where: LakeSettings, place: str, same: bool) -> None:
    """Another writer's whole batch at any moment of ours changes neither rows nor accounts."""
    sites = [tmp_path / "one", tmp_path / "two"]
    for number, site in enumerate(sites):
        spool_messages(site, messages_of(range(10) if same else range(100 * number, 100 * number + 10)))
    one, two = (writer_of(site, where) for site in sites)
    owner, name = {
        "before create": (one._lake, "create"),
        "before begin": (one._state, "begin"),
        "before commit": (one._lake, "commit"),
        "in the commit": (DeltaTable, "create_write_transaction"),
        "after commit": (one._state, "complete"),
    }[place]
    original = getattr(owner, name)

    def other_first(*args: Any, **kwargs: Any) -> Any:
        patch.undo()
        two.step()
        return original(*args, **kwargs)

    one._lake.create(READINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, other_first)
        one.step()
    while one.step() or two.step():
        pass
    conflicts = one.conflicts
    one.close()
    two.close()

    assert conflicts == (0 if place in {"before create", "after commit"} else 1)
    check(Lake(open_storage(where, tmp_path)), sites, 10 if same else 20, 20)
    assert two.conflicts == 0


class Crash(BaseException):
    """The process was killed here."""


@pytest.mark.parametrize("point", ["lake.files_written", "lake.files_synced", "lake.committed", "lake.synced",
                                   "writer.between_tables", "writer.tables_done", "writer.accounted"])  # fmt: skip
@pytest.mark.parametrize("count", [1, 2, 3])
def test_writer_killed_while_another_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, count: int
) -> None:
    """A crash at each failpoint, and the other writer storing the same readings before we are back."""
    where = LakeSettings(url=str(tmp_path / "shared"))
    sites = [tmp_path / "one", tmp_path / "two"]
    for site in sites:
        spool_messages(site, messages_of(range(30)))
    one, two = (writer_of(site, where) for site in sites)
    left = [count]

    def kill(name: str) -> None:
        left[0] -= name == point
        if left[0] == 0:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("lake.tables.reach", kill)
        patch.setattr(lake_writer, "reach", kill)
        with pytest.raises(Crash):
            sum(iter(one.step, 0))
    one.close()
    two.step()
    one = writer_of(sites[0], where)
    while one.step() or two.step():
        pass
    one.close()
    two.close()

    check(Lake(open_storage(where, tmp_path)), sites, 30, 60)


@pytest.mark.parametrize("arriving", ["create", "begin", "commit"])
def test_commit_arriving_late_is_the_same_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arriving: str) -> None:
    """A commit whose answer was lost, and that is there in the end, is the batch that is tried again, not another."""
    where = LakeSettings(url=str(tmp_path / "shared"))
    site = tmp_path / "one"
    spool_messages(site, messages_of(range(5)))
    writer = writer_of(site, where)
    writer._lake.create(READINGS)
    commit = DeltaTable.create_write_transaction
    late: list[Callable[[], None]] = []

    def lost(self: DeltaTable, *args: Any, **kwargs: Any) -> None:
        stale = DeltaTable(self.table_uri)
        late.append(lambda: commit(stale, *args, **kwargs))
        raise OSError("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", lost)
        with pytest.raises(lake_writer.LakeError, match="timed out"):
            writer.step()
    spool_messages(site, messages_of(range(5, 9)))  # the next batch would be larger

    def create(table: TableSchema) -> int:
        patch.undo()
        late[0]()
        return writer._lake.create(table)

    def begin(plan: Plan) -> None:
        patch.undo()
        late[0]()
        writer._state.begin(plan)

    def overtaken(self: DeltaTable, *args: Any, **kwargs: Any) -> None:
        patch.undo()
        late[0]()
        commit(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*{
            "begin": (writer._state, "begin", begin),
            "commit": (DeltaTable, "create_write_transaction", overtaken),
            "create": (writer._lake, "create", create),
        }[arriving])  # fmt: skip
        writer.step()
    while writer.step():
        pass
    writer.close()

    check(Lake(open_storage(where, tmp_path)), [site], 9, 9)


def test_gaps_once(tmp_path: Path) -> None:
    """Gaps reach the lake without any message, once, also when the writer is new."""
    gap = Gap(
        kind="session_lost", received_at=NOW, source="s", broker="b", topics=("t/#", "u"), since=NOW - 9, until=NOW
    )
    for number in range(3):
        with Spool(tmp_path / "spool") as spool:
            spool.add_gap(gap)
        writer = LakeWriter(settings_of(tmp_path), now)
        assert writer.move_gaps() == 1
        assert (0, 0) == (writer.move_gaps(), writer.step())
        writer.close()
        rows = Lake(tmp_path / "lake").read(GAPS)

        assert number + 1 == rows.height
    assert ["t/#", "u"] == rows["topics"][0].to_list()
    assert ["session_lost"] * 3 == rows["kind"].to_list()


@pytest.mark.parametrize("gone", [(1, 2), (3, 4), (2, 9), (9, 10), (1, 10)])
@pytest.mark.parametrize("point", [None, "writer.between_tables", "writer.tables_done"])
def test_spool_that_lost_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: tuple[int, int], point: str | None
) -> None:
    """Acknowledged messages that vanished from the spool are a gap of so many, once, and stall nothing."""
    for number in range(10):  # a group each
        spool_messages(tmp_path, messages_of(range(number, number + 1)))
    with Spool(tmp_path / "spool") as spool:
        spool._connection.execute("DELETE FROM message_group WHERE last BETWEEN ? AND ?", gone)
    missing = gone[1] - gone[0] + 1
    if point is not None:

        def kill(name: str) -> None:
            if name == point:
                raise Crash

        writer = LakeWriter(settings_of(tmp_path), now)
        with monkeypatch.context() as patch:
            patch.setattr(lake_writer, "reach", kill)
            with pytest.raises(Crash):
                writer.step()
        writer.close()
    spool_messages(tmp_path, messages_of(range(10, 11)))
    writer = LakeWriter(settings_of(tmp_path), now)
    while writer.step():
        pass
    pending = writer.pending()
    writer.close()
    lake = Lake(tmp_path / "lake")
    gaps = lake.read(GAPS)

    assert pending == 0
    assert (["spool_lost"], missing) == (gaps["kind"].unique().to_list(), gaps["messages"].sum())
    assert 11 - missing == lake.read(READINGS).height == account_of(tmp_path).messages.total()
    assert not lake.exists(QUARANTINE)


def _site(folder: Path, broker: Mosquitto, number: int, lake: str) -> Path:
    folder.mkdir()
    (folder / "metriage.toml").write_text(
        f'[[broker]]\nurl = "{broker.url}"\ntopics = ["$share/g/meters/+/readings"]\nclient_id = "member-{number}"\n'
        f"[ingest]\ncommit_interval_s = 0.3\ncommit_messages = 150\n{lake}",
        encoding="utf-8",
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_daemons_on_a_shared_subscription(tmp_path: Path, kind: str) -> None:
    """Three daemons on one lake, killed and started again at random: every reading once, the accounts exact.

    What a killed one had not acknowledged the broker gives to another; some readings are therefore received twice.
    """
    draw = random.Random(7)
    published = 2000
    with Mosquitto(tmp_path / "broker") as broker, S3Server(tmp_path) as server:
        shared = server.toml("shared") if kind == "s3" else f'[lake]\nurl = "{tmp_path}/shared"\n'
        sites = [_site(tmp_path / f"site-{number}", broker, number, shared) for number in range(3)]
        daemons = [Daemon(site) for site in sites]
        for daemon in daemons:
            daemon.wait_connected()
        with Publisher(broker.port) as publisher:
            for part in range(4):
                messages = messages_of(range(part * published // 4, (part + 1) * published // 4))
                publisher.publish_all(messages)
                victim = draw.choice(daemons)
                victim.kill(whole_group=draw.random() < 0.5)
                victim.start()
                victim.wait_connected()

        lake = Lake(open_storage(server.settings("shared") if kind == "s3" else LakeSettings(url="shared"), tmp_path))
        wait_until(lambda: lake.scan(READINGS).select(pl.len()).collect().item() >= published, "all readings")
        for daemon in daemons:
            assert daemon.stop() == 0
        statuses = [status_of(site) for site in sites]
        received = sum(status["messages"]["received"] for status in statuses)
        conflicts = sum((site / "daemon.log").read_text().count("another writer was faster") for site in sites)
        print(json.dumps({"kind": kind, "published": published, "received": received, "conflicts": conflicts}))

        assert [0, 0, 0] == [status["messages"]["pending"] for status in statuses]
        assert received >= published
        check(lake, sites, published, received)
    shutil.rmtree(tmp_path / "shared", ignore_errors=True)
