"""100,000 hostile payloads through the decoder: nothing raises, each becomes readings or a refusal with a reason."""

from __future__ import annotations

import itertools

import pytest

from ingest.batch import BatchBuilder
from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from ingest.message import Channel, RawMessage
from lake.vocabulary import QUARANTINE_REASONS
from tests.crash.hostile import Hostile
from tests.ingest.messages import ALICANTE, ENVELOPED, MQTT, NOW, decode, now

CHANNELS = [MQTT, MQTT, ENVELOPED, Channel("mqtt", "alicante", "default", enveloped=False)]


@pytest.mark.slow
def test_decode_hostile_payloads() -> None:
    """Every payload is accounted for, every refusal has a known reason and a short detail without control bytes."""
    decoder = MessageDecoder({"alicante": ALICANTE}, 4_000_000, LocalClock(), now)
    seen: set[str] = set()
    stream = zip(
        itertools.islice(Hostile(1, largest=20_000).messages(), 100_000), itertools.cycle(CHANNELS), strict=False
    )
    for (topic, payload), channel in stream:
        received_at = None if channel.enveloped else NOW
        decoded = decoder.decode(RawMessage(1, channel, topic, received_at, payload))
        assert decoded.rows or decoded.rejections, payload
        for rejection in decoded.rejections:
            seen.add(rejection.reason)
            assert len(rejection.detail) < 500, payload
            assert rejection.detail.isprintable(), payload

    assert seen <= set(QUARANTINE_REASONS)
    assert len(seen) >= 14


def test_batch_message_of_many_bad_readings() -> None:
    """A message of thousands of bad readings is kept once a reason, not once a reading; all of them are counted."""
    payload = b"[" + b'{"ts":1},' * 5_000 + b"{}]"
    builder = BatchBuilder()
    builder.add(RawMessage(1, MQTT, "meters/m1/readings", NOW, payload), decode(payload))
    batch = builder.build()

    assert batch.quarantine.height == 2
    assert batch.quarantine["readings"].sum() == 5_001
    assert batch.quarantine["payload"].to_list() == [payload, payload]


def test_batch_large_payload_is_kept_once() -> None:
    """A large payload that is refused for two reasons stands in the first row only."""
    payload = b"[" + b'{"ts":1},' * 20_000 + b"{}]"
    builder = BatchBuilder()
    builder.add(RawMessage(1, MQTT, "meters/m1/readings", NOW, payload), decode(payload))

    assert [True, False] == [value == payload for value in builder.build().quarantine["payload"]]
