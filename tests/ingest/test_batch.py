"""A batch: frames from rows, flags, newest registers, codes, outcomes."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from ingest.account import Tally
from ingest.batch import (
    Batch,
    BatchBuilder,
    backwards_mask,
    count_outcomes,
    error_code_rows,
    flag,
    newest_registers,
)
from ingest.message import BESIDE, RawMessage
from ingest.profiles.vendor_profile import shipped_profile
from lake.schemas import READINGS
from tests.ingest.messages import MQTT, NOW, TOPIC, decode, native

HOUR = 3_600_000_000


def batch_of(*payloads: bytes) -> Batch:
    builder = BatchBuilder()
    for position, payload in enumerate(payloads, start=1):
        builder.add(RawMessage(position, MQTT, TOPIC, NOW, payload), decode(payload))
    return builder.build()


def readings(*registers: tuple[float, float | None], **fields: Any) -> pl.DataFrame:
    """Return readings of m1 at so many hours after the first, with their registers."""
    payloads = [native(ts=1717200000 + 3600 * hour, volume_m3=volume, status=0, **fields) for hour, volume in registers]
    return batch_of(*payloads).readings


def flags_of(frame: pl.DataFrame, conflict: bool = False) -> list[list[str]]:
    return flag(frame.with_columns(conflict=pl.lit(conflict)), [])["flags"].to_list()


def test_batch_columns_are_the_tables() -> None:
    """What a batch brings fits the table, apart from what is worked out later."""
    frame = readings((0, 1.0))

    assert set(READINGS.columns) - {"flags"} == set(frame.columns) - {"position", *BESIDE}
    assert {name: dtype for name, dtype in frame.schema.items() if name in READINGS.columns} == {
        name: dtype for name, dtype in READINGS.polars.items() if name != "flags"
    }


def test_batch_empty_has_columns() -> None:
    """A batch of refusals alone still has readings to write: none, with their columns."""
    batch = batch_of(b"no json", b"[]")

    assert (0, 2) == (batch.readings.height, batch.quarantine.height)
    assert READINGS.columns.keys() - {"flags"} <= set(batch.readings.columns)


def test_batch_quarantine_keeps_the_message() -> None:
    """Quarantine holds the raw payload, topic, source and codec."""
    [row] = batch_of(b"\xff\x00").quarantine.rows(named=True)

    assert (b"\xff\x00", TOPIC, "default", "native", "m1", 1) == (
        row["payload"], row["topic"], row["source"], row["codec"], row["meter_id"], row["readings"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"volume_m3": -0.001}, ["negative"]),
        ({"reverse_volume_m3": -5}, ["negative"]),
        ({"volume_m3": 1e9}, ["out_of_range"]),
        ({"battery_v": -0.1}, ["out_of_range"]),
        ({"battery_v": 15}, []),
        ({"coverage_class": 3}, ["out_of_range"]),
        ({"volume_m3": -1, "rssi_dbm": 5}, ["out_of_range", "negative"]),
        ({"flow_m3h": -2}, []),
    ],
)
def test_flag_by_value(fields: dict[str, float], expected: list[str]) -> None:
    """Physical ranges hold to their edges; registers below zero have their own word."""
    assert [expected] == flags_of(batch_of(native(**fields)).readings)


def test_flag_conflict_and_ambiguous() -> None:
    """What the decoder and the index know becomes flags."""
    frame = readings((0, 1.0)).with_columns(ambiguous=pl.lit(value=True))

    assert [["ambiguous_time", "conflict"]] == flags_of(frame, conflict=True)


@pytest.mark.parametrize(
    ("registers", "expected"),
    [
        ([(0, 5), (1, 6), (2, 6)], [False, False, False]),
        ([(0, 5), (1, 4), (2, 3), (3, 4)], [False, True, True, False]),
        ([(2, 5), (0, 9), (1, 1), (3, 4)], [False, False, False, True]),  # late ones are not judged
        ([(0, 5), (0, 4), (1, 4.5)], [False, False, True]),  # the first of a time holds
        ([(0, 5), (1, None), (2, 4)], [False, False, True]),
    ],
)
def test_backwards_in_order_of_receipt(registers: list[tuple[float, float | None]], expected: list[bool]) -> None:
    """A reading newer than all before it, with a lower register than the newest of them, counts backwards."""
    assert expected == backwards_mask(readings(*registers), []).to_list()


def test_backwards_against_what_is_known() -> None:
    """The newest register known before the batch counts, by meter and source."""
    frame = readings((1, 4.0))
    before = 1717200000_000_000

    assert backwards_mask(frame, [("m1", "default", before, 5.0)]).to_list() == [True]
    assert backwards_mask(frame, [("m1", "other", before, 5.0)]).to_list() == [False]
    assert backwards_mask(frame, [("m1", "default", before + 2 * HOUR, 5.0)]).to_list() == [False]


@pytest.mark.parametrize("marked", [False, True])
def test_newest_registers_first_of_a_time(marked: bool) -> None:
    """Of two registers of the newest time the first one received holds, also where the frame is known to be sorted."""
    frame = readings((0, 1), (1, 2), (1, 3), (2, None))
    frame = frame.with_columns(pl.col("ts").set_sorted()) if marked else frame

    assert [("m1", "default", 1717203600_000_000, 2.0)] == newest_registers(frame)


def test_error_codes_of_readings() -> None:
    """Codes and a status word other than 0 become rows; a reading without them becomes none."""
    frame = batch_of(
        native(error_codes=["Leak", "X"], status=4), native(status=0, ts=1717236001), native(ts=1717236002)
    ).readings
    rows = error_code_rows(frame, lambda _: shipped_profile("generic"))

    assert [("Leak", "leak", 3), ("X", "unknown", 4), ("status:0x4", "unknown", 4)] == [
        (row["code"], row["family"], row["severity"]) for row in rows
    ]
    assert {("generic", 4, 1, False)} == {
        (row["profile_id"], row["profile_version"], row["position"], row["sticky"]) for row in rows
    }


def test_outcome_of_a_message_is_its_worst() -> None:
    """Quarantined is worse than stored, stored worse than duplicate."""
    two = [json.loads(native(ts=1717236000 + step)) for step in (0, 1)]
    batch = batch_of(
        json.dumps([*two, {"ts": 0}]).encode(),  # 2 stored, 1 refused
        json.dumps(two).encode(),  # 1 stored, 1 duplicate
        native(),  # duplicate
        b"nothing",
    )
    duplicate = pl.Series([False, False, False, True, True])
    tally = Tally()
    count_outcomes(tally, batch, batch.readings.with_columns(duplicate=duplicate, conflict=pl.lit(value=False)))

    assert {"quarantined": 2, "stored": 1, "duplicate": 1} == tally.messages
    assert {"quarantined": 2, "stored": 3, "duplicate": 2} == tally.readings
    assert {"no_time": 0, "time_too_early": 1, "not_json": 1} == {"no_time": 0} | tally.reasons
