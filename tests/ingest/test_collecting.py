"""From the spool to one batch, decoded as messages come."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest import collecting
from ingest.collecting import Collector
from ingest.lake_writer import LakeWriter
from ingest.local_time import LocalClock
from ingest.spool import Spool
from lake.schemas import QUARANTINE, READINGS
from lake.tables import Lake
from tests.ingest.messages import MQTT, account_of, drain, now, same_lakes, settings_of

TEXTS = [
    f'{{"ts": {1717200000 + number}, "volume_m3": {number}}}' if number % 7 else '{"ts": 1}' for number in range(60)
]


def spooled(site: Path, group: int) -> None:
    """Spool the messages in groups of a size."""
    rows = [("meters/m1/readings", now(), text.encode()) for text in TEXTS]
    with Spool(site / "spool") as spool:
        for start in range(0, len(rows), group):
            spool.append(MQTT, rows[start : start + group])


@pytest.mark.parametrize("part", [1, 5, 100])
@pytest.mark.parametrize("group", [1, 9, 60])
def test_batch_is_the_same_however_it_is_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, group: int
) -> None:
    """Whether messages are decoded at once or one by one, ahead or in the end: the lake and the account are equal."""
    spooled(tmp_path / "at_once", 60)
    drain(tmp_path / "at_once")
    monkeypatch.setattr(collecting, "_SLICE", part)
    spooled(tmp_path / "ahead", group)
    writer = LakeWriter(settings_of(tmp_path / "ahead"), now)
    monkeypatch.setattr("ingest.lake_writer._PREPARE", 10)
    ahead = 0
    while writer.prepare():
        ahead += 1
    steps = list(iter(writer.step, 0))
    writer.close()

    assert [len(TEXTS)] == steps
    assert ahead >= 1
    assert same_lakes(tmp_path / "at_once", tmp_path / "ahead")
    assert account_of(tmp_path / "at_once") == account_of(tmp_path / "ahead")


def test_nothing_is_prepared_where_nothing_waits(tmp_path: Path) -> None:
    """An idle writer opens no batch: its moment would be that of long ago when a message comes."""
    times = iter([now() - 10**12, now()])
    writer = LakeWriter(settings_of(tmp_path), lambda: next(times))
    assert not writer.prepare()
    assert next(times) < now()
    spooled(tmp_path, 60)
    assert not writer.prepare()
    assert len(TEXTS) == writer.step()
    writer.close()

    assert len(TEXTS) == sum(Lake(tmp_path / "lake").read(table).height for table in (READINGS, QUARANTINE))


def test_what_is_prepared_survives_a_failed_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a step that failed the batch is decoded anew, and counted once."""
    spooled(tmp_path, 60)
    writer = LakeWriter(settings_of(tmp_path), now)
    writer.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(writer._lake, "write", lambda *_: (_ for _ in ()).throw(RuntimeError("the disk is gone")))
        with pytest.raises(RuntimeError):
            writer.step()
    assert len(TEXTS) == writer.step()
    writer.close()

    assert len(TEXTS) == account_of(tmp_path).messages.total()
    assert len(TEXTS) == sum(Lake(tmp_path / "lake").read(table).height for table in (READINGS, QUARANTINE))


def test_collector_ends_where_it_ended_before(tmp_path: Path) -> None:
    """A batch that a crash cut short becomes the same again, whatever has come since."""
    spooled(tmp_path, 9)
    settings = settings_of(tmp_path)
    with Spool(tmp_path / "spool", read_only=True) as spool:
        collector = Collector(spool, settings, after=4, clock=LocalClock(), moment=now(), until=23)
        collector.collect()
        batch = collector.builder.build()

    assert (5, 23, 19) == (batch.first, batch.last, batch.messages)
    assert 19 == batch.readings.height + batch.quarantine.height


def test_collector_takes_no_more_than_a_batch(tmp_path: Path) -> None:
    """The next batch's messages stay where they are."""
    spooled(tmp_path, 9)
    settings = settings_of(tmp_path, commit_messages=100)
    with Spool(tmp_path / "spool", read_only=True) as spool:
        collector = Collector(spool, settings, after=0, clock=LocalClock(), moment=now())
        taken = [collector.collect(20), collector.collect(3), collector.collect(), collector.collect()]

    assert [20, 3, len(TEXTS) - 23, 0] == taken
