"""Golden cases of the decoders: payload in, readings out, one data file each under ``cases/<shape>/``.

A case holds ``about``, ``payload`` (an object, or the text itself), optionally ``topic`` (null: none), ``aliases`` and
``codec`` (a codec's settings; else the folder names the shape), and what must come out: ``readings`` and ``rejections``
(reason and meter). ``python -m tests.ingest.decoders.golden`` writes these two anew; read the difference before keeping
it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock, moment
from ingest.message import Channel, Decoded, RawMessage, Transport
from ingest.settings import CodecSettings
from tests.ingest.messages import NOW, TOPIC, named, now

CASES = Path(__file__).parent / "cases"


def cases(shape: str) -> list[Path]:
    """Return the case files of a shape."""
    return sorted((CASES / shape).glob("*.json"))


def payload_of(case: dict[str, Any]) -> bytes:
    """Return the payload of a case."""
    payload = case["payload"]
    return (payload if isinstance(payload, str) else json.dumps(payload)).encode()


def topic_of(case: dict[str, Any]) -> str | None:
    """Return the topic of a case."""
    topic: str | None = case.get("topic", TOPIC)
    return topic


def outcome(case: dict[str, Any], shape: str = "native") -> dict[str, Any]:
    """Return the readings and rejections of a case's payload."""
    codecs = {"case": msgspec.convert(case["codec"], CodecSettings)} if "codec" in case else {}
    topic = topic_of(case)
    transport: Transport = "file" if topic is None else "mqtt"
    channel = Channel(transport, "case" if codecs else shape, "configured", enveloped=False)
    decoder = MessageDecoder(codecs, 4_000_000, LocalClock(), now, aliases=case.get("aliases"))
    return _plain(decoder.decode(RawMessage(1, channel, topic or "file:1", NOW, payload_of(case))))


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
