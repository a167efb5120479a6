"""Sparkplug B."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.sparkplug import SparkplugDecoder
from ingest.message import Channel, Decoded
from lake.vocabulary import QUARANTINE_REASONS
from tests.ingest.decoders.frames import metric, proto, sparkplug
from tests.ingest.decoders.golden import attempt, cases, outcome
from tests.ingest.messages import account_of, context, drain, lake_of, named, spool_messages

DEVICE = "spBv1.0/city/{}/gw1/m7"


def decode(payload: bytes, topic: str = DEVICE.format("DDATA"), memory: dict[str, Any] | None = None) -> Decoded:
    """Return what the decoder reads; a payload that it refuses is a rejection."""
    known = {} if memory is None else memory
    return attempt(SparkplugDecoder(), payload, context(topic)._replace(memory=known))


@pytest.mark.parametrize("file", cases("sparkplug"), ids=lambda file: file.stem)
def test_sparkplug_golden_case(file: Path) -> None:
    """The readings and rejections of a case are those that its file says."""
    case = json.loads(file.read_text(encoding="utf-8"))

    assert {"readings": case["readings"], "rejections": case["rejections"]} == outcome(case, "sparkplug")


WIDTHS = {1: (-8, 7), 2: (-16, 15), 3: (-32, 31), 4: (-64, 63), 5: (0, 8), 6: (0, 16), 7: (0, 32), 8: (0, 64)}


def _bounds(data_type: int) -> tuple[int, int]:
    low, high = WIDTHS[data_type]
    return (-(2 ** (-low - 1)) if low else 0), 2**high - 1


@given(st.sampled_from(sorted(WIDTHS)), st.data())
def test_sparkplug_reads_integers(data_type: int, data: st.DataObject) -> None:
    """An integer of every type comes back, by alias and by name, with its sign."""
    value = data.draw(st.integers(*_bounds(data_type)))
    memory: dict[str, Any] = {}
    born = decode(sparkplug([metric("x", value, data_type, alias=1), metric("volume_m3", 1.0, 10, alias=2)]),
                  DEVICE.format("DBIRTH"), memory)  # fmt: skip
    sent = decode(sparkplug([metric(None, value, alias=1, as_type=data_type), metric(None, 1.0, alias=2, as_type=10)],
                            seq=1), memory=memory)  # fmt: skip

    for decoded in (born, sent):
        assert {"x": value} == json.loads(named(decoded.rows[0])["extra"])


@given(st.integers(-128, -1))
def test_sparkplug_narrow_signed_integer(value: int) -> None:
    """A device that does not fill up a negative Int8 to 32 bits is understood too."""
    payload = sparkplug([proto(1, b"x") + proto(4, 1) + proto(10, value % 256), metric("volume_m3", 1.0, 10)])

    assert {"x": value} == json.loads(named(decode(payload).rows[0])["extra"])


@given(
    st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=0, max_value=1e6).map(lambda x: round(x, 2))
)
def test_sparkplug_float_is_what_was_meant(value: float) -> None:
    """A float of 32 bits is the short decimal number that a device meant."""
    [row] = decode(sparkplug([metric("volume_m3", value, 9)])).rows

    assert abs(value - named(row)["volume_m3"]) <= 1e-6 * value
    assert len(repr(named(row)["volume_m3"])) <= 12


@given(st.binary(max_size=80), st.sampled_from(["NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH", "DCMD", "X"]))
def test_sparkplug_arbitrary_bytes(payload: bytes, kind: str) -> None:
    """Bytes that cannot be read raise a DecodingError and nothing else."""
    topic = DEVICE.format(kind) if kind[0] == "D" else f"spBv1.0/city/{kind}/gw1"
    decoded = decode(payload, topic)

    assert all(rejection.reason in QUARANTINE_REASONS for rejection in decoded.rejections)


FIELDS = st.one_of(
    st.tuples(st.integers(1, 20), st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=12))).map(
        lambda field: proto(field[0], field[1])
    ),
    st.sampled_from([proto(1, b"volume_m3"), proto(1, b"\xff\xfe"), proto(2, 3), proto(4, 10), proto(13, 1.5, "d"),
                     proto(13, float("nan"), "d"), proto(12, float("inf"), "f"), proto(7, value=True)]),
)  # fmt: skip


@given(st.lists(st.lists(FIELDS, max_size=6).map(b"".join), max_size=4), st.sampled_from(["DBIRTH", "DDATA", "DDEATH"]),
       st.one_of(st.none(), st.integers(0, 2**64 - 1)))  # fmt: skip
def test_sparkplug_arbitrary_metrics(metrics: list[bytes], kind: str, ts: int | None) -> None:
    """Metrics of any fields become readings, rejections or a DecodingError, and the memory stays JSON."""
    memory: dict[str, Any] = {}
    decode(sparkplug(metrics, ts=ts), DEVICE.format(kind), memory)

    assert memory == json.loads(json.dumps(memory))


@given(st.text(max_size=40))
def test_sparkplug_arbitrary_topic(topic: str) -> None:
    """Any topic gives readings or a DecodingError."""
    for name in (topic, f"spBv1.0/{topic}", f"spBv1.0/g/DDATA/n/{topic}"):
        assert len(decode(sparkplug([metric("volume_m3", 1.0, 10)]), name).rows) <= 1


@pytest.mark.parametrize("length", range(len(sparkplug([metric("volume_m3", 12.5, 10)]))))
def test_sparkplug_cut_short(length: int) -> None:
    """A payload that is cut short gives no other register."""
    payload = sparkplug([metric("volume_m3", 12.5, 10)])[:length]

    assert {named(row).get("volume_m3") for row in decode(payload).rows} <= {12.5}


def test_sparkplug_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room the node that was born first is forgotten, then the same node's oldest device."""
    monkeypatch.setattr("ingest.decoders.sparkplug._MOST_METRICS", 10)
    memory: dict[str, Any] = {}
    metrics = [metric(name, 1.0, 10, alias=alias) for alias, name in enumerate(("volume_m3", "flow_m3h", "x"))]
    for node in ("a", "b", "c"):
        decode(sparkplug(metrics), f"spBv1.0/city/DBIRTH/{node}/m1", memory)
    assert ["city/b", "city/c"] == list(memory["nodes"])
    for device in ("m2", "m3"):
        decode(sparkplug(metrics), f"spBv1.0/city/DBIRTH/c/{device}", memory)

    assert {"city/c": ["m2", "m3"]} == {name: list(node["devices"]) for name, node in memory["nodes"].items()}
    assert 8 == memory["size"]
    many = [metric(f"x{alias}", 1.0, 10, alias=alias) for alias in range(10)]
    assert ["too_large"] == [
        each.reason for each in decode(sparkplug(many), "spBv1.0/city/DBIRTH/c/m4", memory).rejections
    ]


def test_sparkplug_rebirth_replaces() -> None:
    """A rebirth replaces the names, and what it takes of the memory is counted once."""
    memory: dict[str, Any] = {}
    topic = DEVICE.format("DBIRTH")
    decode(sparkplug([metric("flow_m3h", 1.0, 10, alias=1), metric("x", 1.0, 10, alias=2)]), topic, memory)
    decode(sparkplug([metric("volume_m3", 1.0, 10, alias=1)]), topic, memory)
    [row] = decode(sparkplug([metric(None, 2.0, alias=1, as_type=10)]), memory=memory).rows

    assert (2.0, 2) == (named(row)["volume_m3"], memory["size"])


def test_sparkplug_redelivery_is_no_gap() -> None:
    """The same message delivered again is no gap, and the reading is the same."""
    memory: dict[str, Any] = {}
    decode(sparkplug([metric("volume_m3", 1.0, 10, alias=1)], seq=254), DEVICE.format("DBIRTH"), memory)
    sent = [sparkplug([metric(None, 2.0, alias=1, as_type=10)], seq=seq) for seq in (255, 255, 0)]

    assert [None, None, None] == [named(decode(each, memory=memory).rows[0]).get("extra") for each in sent]


def test_sparkplug_names_survive_a_restart(tmp_path: Path) -> None:
    """What a birth told is known to the writer that comes after a restart."""
    channel = Channel("mqtt", "sparkplug", "city", enveloped=False)
    birth = sparkplug([metric("volume_m3", 6.05, 10, alias=3)])
    data = sparkplug([metric(None, 6.125, alias=3, as_type=10)], ts=1717239600000, seq=1)
    for kind, payload in (("DBIRTH", birth), ("DDATA", data)):
        spool_messages(tmp_path, [(DEVICE.format(kind), payload)], channel)
        drain(tmp_path)

    assert [6.05, 6.125] == lake_of(tmp_path)["readings"].sort("ts")["volume_m3"].to_list()
    assert {"stored": 2} == {name: count for name, count in account_of(tmp_path).messages.items() if count}
