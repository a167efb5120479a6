"""Duplicates and conflicts, against the lake and within a batch."""

from __future__ import annotations

import itertools
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import duplicates
from ingest.duplicates import DuplicateIndex
from ingest.message import BESIDE
from lake.compaction import Compaction
from lake.schemas import READINGS
from lake.settings import CompactSettings
from lake.tables import Lake
from tests.ingest.messages import native
from tests.ingest.test_batch import batch_of

DAY_S = 86400


def frame_of(*readings: dict[str, Any]) -> pl.DataFrame:
    return batch_of(*(native(**reading) for reading in readings)).readings


def classified(index: DuplicateIndex, *readings: dict[str, Any]) -> list[str]:
    """Return a letter a reading: new, duplicate, conflict."""
    rows = index.classify(frame_of(*readings)).select("duplicate", "conflict").rows()
    return ["d" if duplicate else "c" if conflict else "n" for duplicate, conflict in rows]


def store(lake: Lake, *readings: dict[str, Any]) -> None:
    lake.append(READINGS, frame_of(*readings).drop("position", *BESIDE))


def test_duplicates_within_a_batch(tmp_path: Path) -> None:
    """The first of an identity is new, equal ones are duplicates, others conflicts, in the order of receipt."""
    index = DuplicateIndex(Lake(tmp_path))

    assert ["n", "d", "c", "d", "d"] == classified(index, {}, {}, {"volume_m3": 2}, {"volume_m3": 2}, {})


def test_duplicates_against_the_lake(tmp_path: Path) -> None:
    """What the lake holds counts, whoever wrote it, also when it came after the index looked first."""
    lake = Lake(tmp_path)
    index = DuplicateIndex(lake)

    assert ["n"] == classified(index, {})
    store(Lake(tmp_path), {}, {"ts": 1717236000 - DAY_S})
    assert ["d", "d", "c", "n"] == classified(
        index, {}, {"ts": 1717236000 - DAY_S}, {"volume_m3": 9}, {"ts": 1717236001}
    )


def test_duplicates_identity_is_meter_time_source_and_counter(tmp_path: Path) -> None:
    """Another source or counter is another reading; an absent counter is equal to an absent one."""
    lake = Lake(tmp_path)
    store(lake, {}, {"seq": 1})
    index = DuplicateIndex(lake)

    assert ["d", "d", "n", "n"] == classified(index, {}, {"seq": 1}, {"seq": 2}, {"source": "b"})


def test_duplicates_content_is_everything_decoded(tmp_path: Path) -> None:
    """Any field that differs makes a conflict: values, codes, words, unknown fields, absence."""
    lake = Lake(tmp_path)
    full = {"error_codes": ["A", "B"], "valve_state": "open", "x": 1, "valid": True, "status": 3}
    store(lake, full)
    index = DuplicateIndex(lake)
    changes = [{"error_codes": ["B", "A"]}, {"valve_state": None}, {"x": 2}, {"valid": False}, {"status": None},
               {"volume_m3": None}, {"battery_v": 3.6}]  # fmt: skip

    assert ["d"] == classified(index, full)
    for change in changes:
        assert ["c"] == classified(index, full | change)


def test_duplicates_after_a_compaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewritten files bring nothing new and are not read again; what another writer brought before that is."""
    lake, other = Lake(tmp_path), Lake(tmp_path)
    for number in range(3):
        store(lake, {"seq": number})
    index = DuplicateIndex(lake)
    assert ["d", "n"] == classified(index, {"seq": 2}, {"seq": 3})
    store(other, {"seq": 3})
    Compaction(other, CompactSettings(), actor="w").run()
    read: list[str] = []
    scan = lake.scan_parts
    monkeypatch.setattr(lake, "scan_parts", lambda table, names: read.extend(names) or scan(table, names))

    assert ["d", "d", "d", "d", "n"] == classified(index, *({"seq": number} for number in range(5)))
    assert 1 == len(read)
    assert 1 == len(lake.files(READINGS, [date(2024, 6, 1)])[date(2024, 6, 1)])
    assert read[0] not in lake.files(READINGS, [date(2024, 6, 1)])[date(2024, 6, 1)]


def test_duplicates_where_the_log_no_longer_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After log clean-up or vacuum the days are learnt anew."""
    lake = Lake(tmp_path)
    store(lake, {"seq": 0})
    index = DuplicateIndex(lake)
    assert ["d"] == classified(index, {"seq": 0})
    store(lake, {"seq": 1})
    monkeypatch.setattr(lake, "added_since", lambda *_: None)

    assert ["d", "d", "n"] == classified(index, {"seq": 0}, {"seq": 1}, {"seq": 2})


def test_duplicates_after_a_look_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day that could not be read is not taken for empty the next time."""
    lake = Lake(tmp_path)
    store(lake, {})
    index = DuplicateIndex(lake)
    with monkeypatch.context() as patch:
        patch.setattr(lake, "scan_parts", lambda *_: (_ for _ in ()).throw(OSError("gone")))
        with pytest.raises(OSError, match="gone"):
            classified(index, {})

    assert ["d"] == classified(index, {})


def test_duplicates_of_a_large_day_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows read at once are bounded, and none is left out."""
    monkeypatch.setattr(duplicates, "_LOAD_ROWS", 4)
    lake = Lake(tmp_path)
    store(lake, *({"seq": number} for number in range(8)))
    store(lake, *({"seq": number} for number in range(8, 13)))
    index = DuplicateIndex(lake)

    assert ["d"] * 13 + ["n"] == classified(index, *({"seq": number} for number in range(14)))
    sizes = [run.size for [runs] in [index._days.values()] for run in runs]
    assert 13 == sum(sizes)
    assert all(one >= 2 * two for one, two in itertools.pairwise(sizes))


def test_duplicates_memory_is_bounded(tmp_path: Path) -> None:
    """Days that were not asked for lately are forgotten, and learnt again when needed."""
    lake = Lake(tmp_path)
    days = [{"ts": 1717236000 - number * DAY_S} for number in range(6)]
    store(lake, *days)
    index = DuplicateIndex(lake, capacity=2)

    for reading in days:
        assert ["d"] == classified(index, reading)
        assert len(index._days) <= 2
    assert ["d"] * 6 == classified(index, *days)


READINGS_OF = st.fixed_dictionaries(
    {"ts": st.sampled_from([1717236000, 1717149600]), "volume_m3": st.sampled_from([1.0, 2.0])},
    optional={"seq": st.integers(1, 2), "source": st.just("b")},
)


@given(st.lists(READINGS_OF, max_size=12), st.integers(0, 12))
def test_duplicates_do_not_depend_on_batches(tmp_path_factory: Any, sequence: list[dict[str, Any]], cut: int) -> None:
    """Where the sequence is cut into batches makes no difference."""
    whole = classified(DuplicateIndex(Lake(tmp_path_factory.mktemp("one"))), *sequence)
    lake = Lake(tmp_path_factory.mktemp("two"))
    index = DuplicateIndex(lake)
    parts: list[str] = []
    for part in (sequence[:cut], sequence[cut:]):
        letters = classified(index, *part)
        store(lake, *(reading for reading, letter in zip(part, letters, strict=True) if letter != "d"))
        parts += letters

    assert whole == parts
