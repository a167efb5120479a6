"""Golden cases of the decoders: payload in, readings out, one data file each under ``cases/<shape>/``.

A case holds ``about``, ``payload`` (an object, or the text itself), optionally ``topic`` and ``codec`` (a codec's
settings), and what must come out: ``readings`` and ``rejections`` (reason and meter). ``python -m
tests.ingest.decoders.golden`` writes these two anew; read the difference before keeping it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from ingest.local_time import moment
from ingest.message import Channel, Decoded
from ingest.settings import CodecSettings
from tests.ingest.messages import TOPIC, decode, named

CASES = Path(__file__).parent / "cases"


def cases(shape: str) -> list[Path]:
    """Return the case files of a shape."""
    return sorted((CASES / shape).glob("*.json"))


def outcome(case: dict[str, Any]) -> dict[str, Any]:
    """Return the readings and rejections of a case's payload."""
    payload = case["payload"]
    text = payload if isinstance(payload, str) else json.dumps(payload)
    codecs = {"case": msgspec.convert(case["codec"], CodecSettings)} if "codec" in case else {}
    encoding = codecs["case"].encoding if codecs else "utf-8"
    channel = Channel("mqtt", "case" if codecs else "native", "configured", enveloped=False)
    return _plain(decode(text.encode(encoding), channel, case.get("topic", TOPIC), codecs))


def _plain(decoded: Decoded) -> dict[str, Any]:
    readings = [{**named(row), "ts": moment(named(row)["ts"]).isoformat()} for row in decoded.rows]
    rejections = [{"reason": rejection.reason, "meter_id": rejection.meter_id} for rejection in decoded.rejections]
    return {"readings": readings, "rejections": rejections}


def write() -> None:
    """Write what the decoders do now into every case."""
    for file in CASES.glob("*/*.json"):
        case = json.loads(file.read_text(encoding="utf-8"))
        text = json.dumps(case | outcome(case), indent=2, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
