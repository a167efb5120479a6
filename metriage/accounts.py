"""``metriage status``: the exact account of messages and readings, and what waits in the spool."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.account import FILE as STATE
from ingest.account import OUTCOMES, State, Tally
from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from ingest.spool import FILE as SPOOL
from ingest.spool import Spool
from lake.errors import SpoolError
from metriage.site import Site

_CHUNK = 10_000


def account(site: Site) -> dict[str, Any]:
    """Return the account of a site in the form of ``status --json``.

    ``received = stored + duplicate + quarantined + pending`` holds for messages and for readings; what waits is decoded
    once to count its readings.

    Raises
    ------
    SpoolError
        The spool cannot be read.
    """
    folder = site.folder / "spool"
    names = _files(folder)
    if SPOOL not in names:
        return _shape(Tally(), 0, 0, None)
    if STATE not in names:  # the daemon has just begun; its lake writer makes that file
        with Spool(folder, read_only=True) as spool:
            received = spool.last_position()
            return _shape(Tally(), received, _pending_readings(site, spool, {}, 0, received), spool.oldest_received(0))
    with Spool(folder, read_only=True) as spool, State(folder, read_only=True) as state:
        while True:
            position, tally = state.tally()
            received = spool.last_position()
            readings = _pending_readings(site, spool, state.clock_state(), position, received)
            oldest = spool.oldest_received(position)
            if state.position() == position:  # no batch was completed while we counted
                return _shape(tally, received - position, readings, oldest)


def _files(folder: Path) -> set[str]:
    try:
        return {file.name for file in folder.iterdir()}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise SpoolError(f"the spool in {folder} cannot be read: {error.strerror or error}") from error


def _pending_readings(site: Site, spool: Spool, clock_state: dict[str, Any], position: int, until: int) -> int:
    settings = site.writer_settings
    clock = LocalClock(clock_state)
    decoder = MessageDecoder(settings.codecs, settings.ingest.max_message_bytes, clock, lambda: time.time_ns() // 1000)
    count = 0
    while position < until:
        messages = spool.read(position, limit=min(_CHUNK, until - position), limit_bytes=64_000_000)
        if not messages:
            break
        for message in messages:
            decoded = decoder.decode(message)
            count += len(decoded.rows) + len(decoded.rejections)
        position = messages[-1].position
    return count


def _shape(tally: Tally, messages: int, readings: int, oldest: int | None) -> dict[str, Any]:
    waited = None if oldest is None else max(0.0, time.time() - oldest / 1e6)
    return {
        "messages": _with_sum(tally.messages, messages),
        "readings": _with_sum(tally.readings, readings) | {"conflict": tally.conflicts, "expired": 0},
        "quarantine": dict(sorted(tally.reasons.items())),
        "sources": [
            {"source": name, "last_message_at": _iso(last), "messages": count}
            for name, (last, count) in sorted(tally.sources.items())
        ],
        "spool": {"messages": messages, "oldest_s": waited},
    }


def _with_sum(counted: dict[str, int], pending: int) -> dict[str, int]:
    outcomes = {name: counted.get(name, 0) for name in OUTCOMES}
    return {"received": sum(outcomes.values()) + pending, **outcomes, "pending": pending}


def _iso(microseconds: int | None) -> str | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()
