"""Replay: quarantined messages decoded again, exactly once, with the account exact, also where it is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.account import State
from ingest.message import Channel
from ingest.replay import Replay, Replayed, finish_replay
from ingest.settings import CodecSettings
from lake.errors import LakeError
from lake.failpoints import FAILPOINTS
from lake.schemas import QUARANTINE
from lake.tables import Lake
from tests.ingest.messages import (
    account_of,
    drain,
    lake_of,
    native,
    now,
    same_lakes,
    settings_of,
    spool_messages,
)
from tests.recordings import ROOT

WRONG = Channel("mqtt", "columns", "s", enveloped=False)
RIGHT = Channel("mqtt", "native", "s", enveloped=False)
COLUMNS = {"columns": CodecSettings(columns={"meter_id": 1, "ts": 2, "volume_m3": 3})}

# What a site receives: a plain reading, an array of good and bad ones, one without sense, a profile, a code, poison.
MESSAGES = [
    native(seq=1),
    b"[" + native(seq=2) + b", " + native(seq=3, volume_m3="much") + b"]",
    b"not json at all",
    b'{"meter_id": "m1", "ts": 1717236000, "profile": {"start": 1717113600, "step_s": 3600, "volume_m3": [1, 2, 3]}}',
    native(seq=4, error_codes=["E7"], status=12),
    native(seq=1),
]


def replayed(site: Path, **options: Any) -> Replayed:
    replay = Replay(settings_of(site, COLUMNS), {"s": RIGHT}, now=now, **options)
    try:
        return replay.run()
    finally:
        replay.close()


def quarantine_of(site: Path) -> list[tuple[str, int]]:
    rows = Lake(site / "lake").scan(QUARANTINE).collect()
    return [(reason, count) for reason, count in rows.select("reason", "readings").iter_rows()]


@pytest.fixture
def right(tmp_path: Path) -> Path:
    """Return a site that decoded everything rightly from the beginning."""
    spool_messages(tmp_path / "right", MESSAGES, RIGHT)
    drain(tmp_path / "right", COLUMNS)
    return tmp_path / "right"


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """Return a site that got the same messages through a codec that fits none of them."""
    spool_messages(tmp_path / "wrong", MESSAGES, WRONG)
    drain(tmp_path / "wrong", COLUMNS)
    assert {"quarantined": 6} == counts(account_of(tmp_path / "wrong").messages)
    return tmp_path / "wrong"


def counts(counter: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in counter.items() if count}


def same_accounts(one: Path, other: Path) -> bool:
    first, second = account_of(one), account_of(other)
    return (counts(first.messages), counts(first.readings), counts(first.reasons), first.conflicts) == (
        counts(second.messages), counts(second.readings), counts(second.reasons), second.conflicts
    )  # fmt: skip


def test_replay_gives_what_would_have_been(right: Path, wrong: Path) -> None:
    """After the codec is put right, lake and account are those of a site that never had the wrong one."""
    done = replayed(wrong)

    assert (6, 6, 0) == (done.looked_at, done.changed, done.left_out)
    assert same_lakes(right, wrong, but=["codec", "channel", "message", "stored", "duplicate"])
    assert same_accounts(right, wrong)


def test_replay_again_changes_nothing(right: Path, wrong: Path) -> None:
    """A second replay finds what is still refused, and leaves it and the account alone."""
    replayed(wrong)
    before = lake_of(wrong)
    done = replayed(wrong)

    assert (2, 0) == (done.looked_at, done.changed)
    assert all(before[name].equals(rows) for name, rows in lake_of(wrong).items())
    assert same_accounts(right, wrong)


def test_replay_of_a_message_that_was_taken_in_part(tmp_path: Path) -> None:
    """The readings that were good are not counted again; the others are."""
    payload = b"[" + native(seq=1) + b", " + native(seq=2, ts=1717236000 + 2 * 86400) + b"]"
    spool_messages(tmp_path, [payload, native(seq=1)])
    drain(tmp_path)
    assert {"stored": 1, "quarantined": 1, "duplicate": 1} == counts(account_of(tmp_path).readings)
    replay = Replay(settings_of(tmp_path), now=now)  # the time of receipt still forbids it
    assert 0 == replay.run().changed
    replay.close()
    [(reason, count)] = quarantine_of(tmp_path)

    assert ("time_in_future", 1) == (reason, count)


def test_replay_counts_what_was_known_before(tmp_path: Path) -> None:
    """A quarantined message whose readings came again meanwhile, rightly, becomes a duplicate."""
    spool_messages(tmp_path, [native(seq=1)], WRONG)
    spool_messages(tmp_path, [native(seq=1)], RIGHT)
    drain(tmp_path, COLUMNS)
    replayed(tmp_path)

    assert {"stored": 1, "duplicate": 1} == counts(account_of(tmp_path).messages)
    assert {"stored": 1, "duplicate": 1} == counts(account_of(tmp_path).readings)
    assert [] == quarantine_of(tmp_path)


def test_replay_with_a_codec_for_all(right: Path, wrong: Path) -> None:
    """A codec that the command names is used for messages of any source."""
    replay = Replay(settings_of(wrong, COLUMNS), codec="native", now=now)
    replay.run()
    replay.close()

    assert same_accounts(right, wrong)


def test_replay_leaves_rows_of_others(wrong: Path) -> None:
    """Rows of another site's writer, or without a name, are told and left alone."""
    lake = Lake(wrong / "lake")
    rows = lake.scan(QUARANTINE).collect().head(1)
    lake.append(QUARANTINE, rows.with_columns(message=None))
    done = replayed(wrong)

    assert 1 == done.left_out
    assert 3 == len(quarantine_of(wrong))


POINTS = [name for name in FAILPOINTS if name.startswith(("replay.", "lake."))]


@pytest.mark.slow
@pytest.mark.parametrize("place", [*POINTS, "lake.committed:2", "lake.files_synced:2", "lake.committed:3"])
@pytest.mark.parametrize("finisher", ["replay", "daemon"])
def test_replay_killed(right: Path, wrong: Path, place: str, finisher: str) -> None:
    """Kill -9 at any step: the next replay, or the daemon that starts, finishes it; once, with the account exact."""
    (wrong / "metriage.toml").write_text(
        '[[broker]]\nsource = "s"\n[codecs.columns]\ncolumns = { meter_id = 1, ts = 2, volume_m3 = 3 }\n'
    )
    command = [sys.executable, "-m", "metriage", "replay", "--codec", "native", "--dir", str(wrong), "--json"]
    environment = {"PATH": "/usr/bin:/bin", "METRIAGE_KILL_AT": place}
    killed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert -9 == killed.returncode, killed.stderr
    if finisher == "daemon":
        finish_replay(settings_of(wrong, COLUMNS))
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert 3 == again.returncode, again.stderr  # the poison is still refused
    assert 2 == json.loads(again.stdout)["quarantined"]
    assert same_lakes(right, wrong, but=["codec", "channel", "message", "stored", "duplicate", "received_at"])
    assert same_accounts(right, wrong)


def test_replay_failed_store_is_tried_again(wrong: Path, right: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake that takes nothing for a while: the replay says so and loses nothing."""
    attempts: Iterator[bool] = iter([True])
    original = Lake.commit

    def commit(self: Lake, *args: Any, **options: Any) -> int:
        if next(attempts, False):
            raise LakeError("no room")
        return original(self, *args, **options)

    monkeypatch.setattr(Lake, "commit", commit)
    with pytest.raises(LakeError, match="no room"):
        replayed(wrong)
    replayed(wrong)

    assert same_accounts(right, wrong)
    with State(wrong / "spool", read_only=True) as state:
        assert state.replay_plan() is None
