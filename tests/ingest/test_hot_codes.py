"""Which meters carry hard codes that they did not carry before, and that their batch does not wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from ingest import hot_codes
from ingest.batch import BatchBuilder
from ingest.hot_codes import REMEMBERED_S, HotCodes
from ingest.lake_writer import LakeWriter
from ingest.message import RawMessage
from ingest.meters import Make
from ingest.profiles.dialects import Dialects
from ingest.profiles.vendor_profile import load_profiles
from lake.schemas import ERROR_CODES
from lake.tables import Lake
from tests.ingest.messages import MQTT, NOW, TOPIC, decode, drain, native, now, settings_of, spool_messages

LIMITS = {"coil": 2, "battery": 1}


def carried(*payloads: bytes, makes: dict[str, Make] | None = None) -> set[tuple[str, str]]:
    builder = BatchBuilder()
    for position, payload in enumerate(payloads, 1):
        builder.add(RawMessage(position, MQTT, TOPIC, NOW, payload), decode(payload, topic="x"))
    dialects = Dialects(load_profiles(None), makes or {})
    hot = HotCodes(LIMITS)
    return {pair for frame in builder.unseen() for pair in hot.carried(frame, dialects).iter_rows()}


def writer_of(site: Path, **ingest: Any) -> Iterator[LakeWriter]:
    writer = LakeWriter(msgspec.structs.replace(settings_of(site, **ingest), hot=LIMITS), now)
    writer.warm_up()
    yield writer
    writer.close()


@pytest.fixture(name="writer")
def _writer(tmp_path: Path) -> Iterator[LakeWriter]:
    yield from writer_of(tmp_path)


def test_codes_of_limited_families_and_severities_are_hard() -> None:
    """Words of the vendor profile, several in a message; a mild one, another family and an unknown one are not."""
    found = carried(
        native(meter_id="a", error_codes=["SENSOR_FAULT"]),
        native(meter_id="b", error_codes=["BATTERY_EMPTY", "SENSOR_FAULT"]),
        native(meter_id="c", error_codes=["LOW_BATTERY"]),
        native(meter_id="d", error_codes=["VALVE_FAULT"]),
        native(meter_id="e", error_codes=["nobody knows"]),
        native(meter_id="f"),
    )

    assert {("a", "coil"), ("b", "battery"), ("b", "coil")} == found


def test_bits_of_a_status_word_are_hard_by_the_meters_profile() -> None:
    """The registry tells which; for the generic profile the same word says nothing."""
    payload = native(status=0x0004)

    assert {("m1", "coil")} == carried(payload, makes={"m1": Make(model="6009")})
    assert set() == carried(payload)


def test_code_seen_again_is_nothing_new() -> None:
    """Until it was away for longer than meters are that report once a day."""
    hot = HotCodes(LIMITS)
    codes = pl.DataFrame({"meter_id": ["a", "a", "b"], "family": ["coil", "coil", "coil"]})

    assert [2, 0, 0, 2] == [
        hot.remember(codes, at) for at in (0.0, 1.0, REMEMBERED_S, 2 * REMEMBERED_S)
    ]  # fmt: skip


def test_memory_of_codes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen longest ago is forgotten."""
    monkeypatch.setattr(hot_codes, "_MOST_REMEMBERED", 2)
    hot = HotCodes(LIMITS)
    one, two, three = (pl.DataFrame({"meter_id": [name], "family": ["coil"]}) for name in "abc")
    for codes in (one, two, one, three):
        hot.remember(codes, 0.0)

    assert (0, 1) == (hot.remember(one, 1.0), hot.remember(two, 1.0))


def test_batch_with_a_new_hard_code_does_not_wait(tmp_path: Path, writer: LakeWriter) -> None:
    """Known from what is decoded ahead; the same code in the next batch waits for its time."""
    spool_messages(tmp_path, [native()])
    writer.prepare()
    before = writer.hot_since
    spool_messages(tmp_path, [native(ts="2024-06-01T10:01:00Z", error_codes=["BATTERY_EMPTY"])])
    writer.prepare()
    during = writer.hot_since
    writer.step()
    stored = writer.hot_stored
    spool_messages(tmp_path, [native(ts="2024-06-01T10:02:00Z", error_codes=["BATTERY_EMPTY"])])
    writer.prepare()
    after = writer.hot_since
    writer.step()

    assert (None, True, 1, None, 1) == (before, during is not None, stored, after, writer.hot_stored)
    assert 2 == Lake(tmp_path / "lake").read(ERROR_CODES).height


def test_code_known_to_the_lake_is_nothing_new_after_a_restart(tmp_path: Path) -> None:
    """A fleet with sticky codes must not make a commit for each meter again."""
    spool_messages(tmp_path, [native(error_codes=["BATTERY_EMPTY"])])
    drain(tmp_path)
    spool_messages(tmp_path, [native(ts="2024-06-01T10:02:00Z", error_codes=["BATTERY_EMPTY"])])
    [known] = [writer.prepare() or writer.hot_since for writer in writer_of(tmp_path)]
    spool_messages(tmp_path, [("meters/m2/readings", native(meter_id="m2", error_codes=["BATTERY_EMPTY"]))])
    [new] = [writer.prepare() or writer.hot_since for writer in writer_of(tmp_path)]

    assert known is None
    assert new is not None


def test_without_limits_nothing_is_looked_at(tmp_path: Path) -> None:
    """As in the import of files."""
    spool_messages(tmp_path, [native(error_codes=["BATTERY_EMPTY"])])
    writer = LakeWriter(settings_of(tmp_path), now)
    writer.warm_up()
    writer.prepare()
    waits = writer.hot_since
    writer.step()
    writer.close()

    assert (None, 0) == (waits, writer.hot_stored)
