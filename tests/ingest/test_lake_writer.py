"""From the spool to the lake: an exact account at any commit size, across crashes and full disks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest import collecting
from ingest.account import State
from ingest.lake_writer import LakeWriter
from ingest.spool import Spool
from lake.errors import LakeError, SpoolError
from lake.schemas import ERROR_CODES, QUARANTINE, READINGS, TableSchema
from lake.tables import Lake
from tests.ingest.messages import (
    ENVELOPED,
    TOPIC,
    account_of,
    drain,
    lake_of,
    native,
    now,
    same_lakes,
    settings_of,
    spool_messages,
)
from tests.ingest.test_decoding import BAD

START = 1717200000


def reading(hour: int = 0, **fields: Any) -> dict[str, Any]:
    return {"meter_id": "m1", "ts": START + 3600 * hour, "volume_m3": 1.0} | fields


def packed(*readings: dict[str, Any]) -> bytes:
    return json.dumps(readings).encode()


# Every outcome at least once: new, twice in a message, again, in conflict, backwards, refused whole and in part, codes.
MESSAGES = [
    packed(reading(0), reading(1, volume_m3=2.0)),
    packed(reading(0), reading(0)),
    packed(reading(2, volume_m3=1.5), reading(2, volume_m3=1.6)),
    b"no json",
    packed(reading(3), {"ts": 0}),
    packed(reading(3)),
    packed(reading(4, error_codes=["LEAK"], status=2), reading(4, error_codes=["LEAK"], status=2)),
    packed(reading(5, volume_m3=0.5, battery_v=-1)),
    b"[]",
    packed(
        reading(-30), reading(6, volume_m3=3.0, profile={"start": START, "step_s": 3600, "volume_m3": [1, 2, None]})
    ),
    packed(reading(6, volume_m3=3.0)),
]
ACCOUNT = {
    "messages": {"stored": 5, "duplicate": 3, "quarantined": 3},
    "readings": {"stored": 11, "duplicate": 5, "quarantined": 3},
    "reasons": {"not_json": 1, "time_too_early": 1, "no_value": 1},
}


def identity_holds(site: Path) -> None:
    """Check that the account adds up, and that the lake holds what it says."""
    tally = account_of(site)
    with Spool(site / "spool", read_only=True) as spool, State(site / "spool", read_only=True) as state:
        received, position = spool.last_position(), state.position()
    lake = lake_of(site)

    assert received == tally.messages.total() + received - position
    assert position == tally.messages.total()
    assert tally.readings["stored"] == (lake["readings"].height if "readings" in lake else 0)
    assert tally.readings["quarantined"] == (lake["quarantine"]["readings"].sum() if "quarantine" in lake else 0)
    assert tally.readings["quarantined"] == tally.reasons.total()
    conflicts = sum("conflict" in flags for flags in lake["readings"]["flags"]) if "readings" in lake else 0
    assert tally.conflicts == conflicts


@pytest.fixture(name="expected", scope="module")
def _expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a site that brought the messages into its lake in one quiet batch."""
    site = tmp_path_factory.mktemp("expected")
    spool_messages(site, MESSAGES)
    drain(site)
    return site


def test_lake_writer_account(expected: Path) -> None:
    """Every message and every reading has one outcome."""
    tally = account_of(expected)

    identity_holds(expected)
    assert ACCOUNT["messages"] == tally.messages
    assert ACCOUNT["readings"] == tally.readings
    assert ACCOUNT["reasons"] == tally.reasons


def test_lake_writer_rows(expected: Path) -> None:
    """Flags, codes and raw payloads are where the contract puts them."""
    lake = lake_of(expected)
    flags = {(row["ts"].hour, row["volume_m3"]): row["flags"] for row in lake["readings"].rows(named=True)}

    assert flags[2, 1.5] == ["backwards"]
    assert flags[2, 1.6] == ["conflict"]
    assert flags[5, 0.5] == ["out_of_range", "backwards"]
    assert sorted(lake["error_codes"]["code"]) == ["LEAK", "status:0x2"]
    assert b"no json" in lake["quarantine"]["payload"].to_list()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_lake_writer_batch_size_makes_no_difference(tmp_path: Path, expected: Path, size: int) -> None:
    """The same messages give the same lake and account in batches of any size."""
    spool_messages(tmp_path, MESSAGES)
    drain(tmp_path, commit_messages=size)

    assert same_lakes(expected, tmp_path)
    assert account_of(expected) == account_of(tmp_path)


def test_lake_writer_batch_ends_at_bytes_and_readings(
    tmp_path: Path, expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch also ends where its messages are large or expand to many readings."""
    monkeypatch.setattr(collecting, "_MOST_READINGS", 2)
    spool_messages(tmp_path, MESSAGES)
    writer = LakeWriter(settings_of(tmp_path), now)
    steps = list(iter(writer.step, 0))
    writer.close()

    assert steps[0] == 1
    assert sum(steps) == len(MESSAGES)
    assert same_lakes(expected, tmp_path)


class Crash(BaseException):
    """The process was killed here."""


@contextmanager
def crashing(monkeypatch: pytest.MonkeyPatch, point: str, *, after: bool) -> Iterator[None]:
    """Crash at the next commit of a table, or at the completion in state.db, before or after it."""
    owner: Any = State if point == "state" else Lake
    method = "complete" if point == "state" else "commit"
    original: Callable[..., Any] = getattr(owner, method)
    done: list[bool] = []

    def crash(self: Any, first: Any, *args: Any, **kwargs: Any) -> Any:
        if done or (isinstance(first, TableSchema) and first.name != point):
            return original(self, first, *args, **kwargs)
        done.append(True)
        if after:
            original(self, first, *args, **kwargs)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, crash)
        yield
    assert done, f"nothing was written at {point}"


POINTS = [QUARANTINE.name, ERROR_CODES.name, READINGS.name, "state"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(("before", "then"), [(100, 100), (4, 4), (7, 2), (7, 100)])
def test_lake_writer_crash(
    tmp_path: Path,
    expected: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    after: bool,
    before: int,
    then: int,
) -> None:
    """A crash around any commit changes neither lake nor account, also when the next batch is cut elsewhere."""
    spool_messages(tmp_path, MESSAGES)
    with crashing(monkeypatch, point, after=after), pytest.raises(Crash):
        drain(tmp_path, commit_messages=before)
    identity_of_state = account_of(tmp_path).messages.total()
    drain(tmp_path, commit_messages=then)

    assert identity_of_state < len(MESSAGES) or (point == "state" and after)
    assert same_lakes(expected, tmp_path)
    assert account_of(expected) == account_of(tmp_path)
    identity_holds(tmp_path)


def test_lake_writer_crash_again_and_again(tmp_path: Path, expected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash at every point in turn, while more messages come in, changes nothing."""
    rest = list(MESSAGES)
    for point in POINTS:
        spool_messages(tmp_path, rest[:5])
        del rest[:5]
        try:
            with crashing(monkeypatch, point, after=True):
                drain(tmp_path, commit_messages=3)
        except (Crash, AssertionError):  # a batch without codes or refusals has no such commit
            continue
    drain(tmp_path)

    assert same_lakes(expected, tmp_path)
    assert account_of(expected) == account_of(tmp_path)


def test_lake_writer_lake_failing_is_tried_again(
    tmp_path: Path, expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the lake cannot be written nothing is lost, and the same step goes through later."""
    spool_messages(tmp_path, MESSAGES)
    writer = LakeWriter(settings_of(tmp_path), now)
    original = Lake._write_file
    with monkeypatch.context() as patch:

        def full(self: Lake, *args: Any) -> Any:
            if args[0] is READINGS:
                raise OSError(28, "No space left on device")
            return original(self, *args)

        patch.setattr(Lake, "_write_file", full)
        for _ in range(3):
            with pytest.raises(LakeError, match="No space left on device"):
                writer.step()
    assert writer.pending() == len(MESSAGES)
    while writer.step():
        pass
    writer.close()

    assert same_lakes(expected, tmp_path)
    assert account_of(expected) == account_of(tmp_path)


def test_lake_writer_two_channels_in_one_spool(tmp_path: Path) -> None:
    """Messages of different sources lie beside each other and keep their own shape."""
    spool_messages(tmp_path, [native()])
    spool_messages(
        tmp_path, [b'{"topic": "x/m2/readings", "payload": ' + native(meter_id="m2") + b"}", native()], ENVELOPED
    )
    drain(tmp_path)
    lake = lake_of(tmp_path)

    assert lake["readings"]["meter_id"].to_list() == ["m1", "m2"]
    assert lake["quarantine"]["reason"].to_list() == ["not_envelope"]


def test_lake_writer_every_bad_input_at_once(tmp_path: Path) -> None:
    """All bad inputs of the contract together: everything is accounted for, the good reading between them is kept."""
    bad = [payload for payload, _ in BAD.values()]
    topics = ["meters/<script>/readings", "a\0b/readings", "/".join("x" * 1000), "$SYS/readings"]
    spool_messages(tmp_path, [*bad, *((topic, native(meter_id=None)) for topic in topics), native()])
    drain(tmp_path, commit_messages=7)

    identity_holds(tmp_path)
    tally = account_of(tmp_path)
    assert tally.messages.total() == len(bad) + len(topics) + 1
    assert tally.messages["quarantined"] == len(bad) + len(topics)
    # The good reading, and what stood beside a profile that could not be read.
    assert tally.readings["stored"] + tally.readings["duplicate"] == 2


def test_lake_writer_spool_replaced_alone(tmp_path: Path) -> None:
    """A spool that is younger than its account would lose messages silently: it is refused."""
    spool_messages(tmp_path, MESSAGES)
    drain(tmp_path)
    for file in (tmp_path / "spool").glob("spool.db*"):
        file.unlink()
    spool_messages(tmp_path, MESSAGES[:1])

    with pytest.raises(SpoolError, match=r"state\.db has come further than spool.db"):
        LakeWriter(settings_of(tmp_path), now)


def test_lake_writer_state_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that is behind by more than one batch cannot be repaired; it says what to restore."""
    spool_messages(tmp_path, MESSAGES)
    drain(tmp_path, commit_messages=4)
    monkeypatch.setattr(State, "position", lambda _: 1)

    with pytest.raises(LakeError, match=r"restore spool/ and the lake from the same backup"):
        drain(tmp_path)


HOSTILE = st.sampled_from([payload for payload, _ in BAD.values() if len(payload) < 1000])
READING = st.builds(
    reading,
    hour=st.integers(-2, 3),
    volume_m3=st.sampled_from([1.0, 2.0, -1.0, 1e300]),
    meter_id=st.sampled_from(["m1", "m1", "m2"]),
    seq=st.sampled_from([None, 1, 2]),
    error_codes=st.sampled_from([None, ["LEAK"]]),
)
MESSAGE = st.one_of(st.lists(READING, min_size=1, max_size=3).map(lambda readings: packed(*readings)), HOSTILE)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MESSAGE, min_size=1, max_size=12), st.integers(1, 5), st.sampled_from([None, *POINTS]), st.booleans())
def test_lake_writer_random_sequences(
    tmp_path_factory: pytest.TempPathFactory,
    messages: list[bytes],
    size: int,
    point: str | None,
    after: bool,
) -> None:
    """Any sequence, with or without a crash, gives the same lake and account at any commit size."""
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    sent = [("any/topic" if b"m2" in message else TOPIC, message) for message in messages]
    spool_messages(one, sent)
    drain(one)
    spool_messages(other, sent)
    if point is not None:
        with pytest.MonkeyPatch.context() as patch:
            try:
                with crashing(patch, point, after=after):
                    drain(other, commit_messages=size)
            except (Crash, AssertionError):
                pass
    drain(other, commit_messages=size)

    identity_holds(one)
    identity_holds(other)
    assert same_lakes(one, other)
    assert account_of(one) == account_of(other)
