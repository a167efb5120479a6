"""Golden cases of the decoders: payload in, readings out, one data file each under ``cases/<shape>/``.

A case holds ``about``, ``payload`` (an object, or the text itself) or ``hex`` (its bytes), optionally ``topic`` (null:
none), ``codec`` (a codec's settings), ``keys`` (hexadecimal, by meter), ``aliases``, ``encrypted`` (meters),
``timezone`` (of the site), ``received_at`` (null: the message must tell) and ``messages`` (further ones, decoded before
it, each with its own payload and topic), ``recognised`` (false: neither topic nor content show its shape), and what
must come out: ``readings`` and ``rejections`` (reason and meter).
The folder names the shape. ``python -m
tests.ingest.decoders.golden`` writes these two anew; read the difference before keeping it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from ingest.decoders import Context, Decoder
from ingest.decoding import MessageDecoder
from ingest.keys import Keys
from ingest.local_time import LocalClock, moment, parse_time
from ingest.message import Channel, Decoded, RawMessage, Rejection
from ingest.settings import CodecSettings
from lake.errors import DecodingError
from lake.vocabulary import QUARANTINE_REASONS
from tests.ingest.messages import NOW, TOPIC, named, now

CASES = Path(__file__).parent / "cases"


def cases(shape: str) -> list[Path]:
    """Return the case files of a shape."""
    return sorted((CASES / shape).glob("*.json"))


def payload_of(case: dict[str, Any]) -> bytes:
    """Return the payload of a case."""
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    payload = case["payload"]
    return (payload if isinstance(payload, str) else json.dumps(payload)).encode()


def topic_of(case: dict[str, Any]) -> str | None:
    """Return the topic of a case."""
    topic: str | None = case.get("topic", TOPIC)
    return topic


def outcome(case: dict[str, Any], shape: str = "native") -> dict[str, Any]:
    """Return the readings and rejections of a case's payload."""
    codecs = {"case": msgspec.convert(case["codec"], CodecSettings)} if "codec" in case else {}
    channel = Channel("mqtt", "case" if codecs else shape, "configured", enveloped=False)
    keys = Keys({name: bytes.fromhex(key) for name, key in case.get("keys", {}).items()})
    decoder = MessageDecoder(
        codecs,
        4_000_000,
        LocalClock(),
        now,
        keys=keys,
        aliases=case.get("aliases"),
        timezone=case.get("timezone"),
        encrypted=frozenset(case.get("encrypted", ())),
    )
    received_at = parse_time(case["received_at"]) if case.get("received_at") else None
    decoded = Decoded()
    for message in (*case.get("messages", ()), case):
        topic = topic_of(message)
        raw_channel = channel if topic is not None else Channel("file", shape, "configured", enveloped=False)
        received = received_at if "received_at" in case else NOW
        decoded = decoder.decode(RawMessage(1, raw_channel, topic or "case:1", received, payload_of(message)))
    return _plain(decoded)


def attempt(decoder: Decoder, payload: bytes, context: Context) -> Decoded:
    """Return what a decoder reads; a payload that it refuses as a whole is one rejection, any other error is raised."""
    try:
        decoded = decoder.decode(payload, context)
    except DecodingError as error:
        decoded = Decoded(rejections=[Rejection(error.reason, error.detail, error.meter_id)])
    for rejection in decoded.rejections:
        assert rejection.reason in QUARANTINE_REASONS
        assert len(rejection.detail) < 400
    return decoded


def _plain(decoded: Decoded) -> dict[str, Any]:
    readings = [{**named(row), "ts": moment(named(row)["ts"]).isoformat()} for row in decoded.rows]
    rejections = [{"reason": rejection.reason, "meter_id": rejection.meter_id} for rejection in decoded.rejections]
    return {"readings": readings, "rejections": rejections}


def write() -> None:
    """Write what the decoders do now into every case."""
    for file in CASES.glob("*/*.json"):
        case = json.loads(file.read_text(encoding="utf-8"))
        text = json.dumps(case | outcome(case, file.parent.name), indent=2, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
