"""``metriage status``: the exact account of messages and readings, and what waits in the spool."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import msgspec

from ingest.account import FILE as STATE
from ingest.account import OUTCOMES, State, Tally
from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from ingest.message import RawMessage
from ingest.meters import Meters, load_meters
from ingest.spool import FILE as SPOOL
from ingest.spool import Spool
from lake.errors import LakeError, SettingsError, SpoolError
from metriage import __version__
from metriage.site import Site

_CHUNK = 2_000
_CHUNK_BYTES = 8_000_000
_COUNT_FILE = "counted.json"
_SQLITE_BYTES = 100_000  # its index of the log and the log itself, where nobody has them open
_WORTH_KEEPING = 20_000  # messages; fewer are decoded again quickly

Progress = Callable[[int, int], None]


def account(site: Site, progress: Progress | None = None) -> dict[str, Any]:
    """Return the account of a site in the form of ``status --json``.

    ``received = stored + duplicate + quarantined + pending`` holds for messages and for readings; what waits is decoded
    to count its readings, in small pieces.

    Parameters
    ----------
    site : Site
        The site.
    progress : callable, optional
        Told how many waiting messages were decoded, and of how many.

    Raises
    ------
    SpoolError
        The spool cannot be read.
    """
    try:
        return _account(site, progress)
    except SpoolError as error:
        raise _explained(error, site.folder / "spool") from error


def _explained(error: SpoolError, folder: Path) -> SpoolError:
    """Say what is the matter on a disk that is full to the last byte; SQLite calls it a disk I/O error."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return error
    if free >= _SQLITE_BYTES:
        return error
    return SpoolError(
        f"what was received cannot be counted: {free} bytes are free on the disk of {folder}, and SQLite needs some "
        f"{_SQLITE_BYTES // 1000} kB beside the spool to read it; make room. What is in the spool is safe, and nothing "
        f"that does not fit is acknowledged ({error})"
    )


def _account(site: Site, progress: Progress | None) -> dict[str, Any]:
    folder = site.folder / "spool"
    if SPOOL not in _files(folder):
        return _shape(Tally(), 0, 0, None)
    with Spool(folder, read_only=True) as spool, _Ledger(folder) as ledger:
        counter = _ReadingCounter(site, spool, ledger, progress or (lambda _done, _all: None))
        received = spool.last_position()
        readings = counter.until(received)
        position, tally = ledger.tally()
        if position > received:  # the lake has overtaken us
            received, readings = position, tally.readings.total()
        # Both counts end at the same message, so what the lake took meanwhile has only moved from one to the other.
        pending = readings - tally.readings.total()
        document = _shape(tally, received - position, pending, spool.oldest_received(position))
    _count_upkeep(site, document["readings"])
    return document


def _count_upkeep(site: Site, readings: dict[str, Any]) -> None:
    """Move the doubles that a compaction removed from stored to duplicate, and tell what retention has removed.

    Expired readings stay stored: the word counts what was ever stored. Where the lake cannot be asked, ``expired`` is
    empty, and doubles are still counted as stored.
    """
    from metriage.upkeep import site_counters  # noqa: PLC0415 - it needs the whole lake

    try:
        counters = site_counters(site)
    except SpoolError:  # no account yet, so no upkeep either
        return
    except (LakeError, SettingsError):
        readings["expired"] = None
        return
    readings["stored"] -= counters["deduplicated"]
    readings["duplicate"] += counters["deduplicated"]
    readings["expired"] = counters["expired"]


def _files(folder: Path) -> set[str]:
    try:
        return {file.name for file in folder.iterdir()}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise SpoolError(f"the spool in {folder} cannot be read: {error.strerror or error}") from error


class _Ledger:
    """``state.db``, which the lake writer may not have made yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state: State | None = None

    def _open(self) -> State | None:
        if self._state is None and STATE in _files(self._folder):
            self._state = State(self._folder, read_only=True)
        return self._state

    def tally(self) -> tuple[int, Tally]:
        """Return how far the lake is, and what became of everything up to there."""
        state = self._open()
        if state is None:
            return 0, Tally()
        try:
            return state.tally()
        except SpoolError as error:
            if "no such table" in str(error):  # made a moment ago, or on a full disk: nothing was accounted for yet
                return 0, Tally()
            raise

    def memory(self) -> dict[str, Any]:
        """Return what decoders noted up to there."""
        state = self._open()
        try:
            return {} if state is None else state.memory()
        except SpoolError as error:
            if "no such table" in str(error):
                return {}
            raise

    def position(self) -> int:
        """Return how far the lake is."""
        return self.tally()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._state is not None:
            self._state.close()


class _Counted(msgspec.Struct, frozen=True):
    """How many readings the messages up to a position hold: kept beside the spool, so that none is decoded twice.

    Parameters
    ----------
    position : int
        Spool position of the last message counted.
    readings : int
        Readings of all messages ever received up to there.
    decoder : str
        What they were decoded with: program and settings.
    """

    position: int
    readings: int
    decoder: str


class _ReadingCounter:
    """Counts the readings of all messages up to a position: those in the account, and those that wait."""

    def __init__(self, site: Site, spool: Spool, ledger: _Ledger, progress: Progress) -> None:
        self._site = site
        self._spool = spool
        self._ledger = ledger
        self._progress = progress
        self._file = spool.folder / _COUNT_FILE

    @cached_property
    def _decoder(self) -> MessageDecoder:
        settings = self._site.writer_settings
        # The clock tells when a reading was, never how many there are: it may begin without a past.
        clock = LocalClock({})
        now: Callable[[], int] = lambda: time.time_ns() // 1000  # noqa: E731
        meters = self._meters
        return MessageDecoder(
            settings.codecs, settings.ingest.max_message_bytes, clock, now, keys=meters.keys, aliases=meters.aliases,
            memory=self._ledger.memory(), timezone=settings.timezone, encrypted=meters.encrypted,
        )  # fmt: skip

    @cached_property
    def _meters(self) -> Meters:
        return load_meters(self._site.writer_settings)

    @cached_property
    def _decoder_id(self) -> str:
        settings = self._site.writer_settings
        known = msgspec.json.encode(
            [__version__, settings.codecs, settings.ingest.max_message_bytes, settings.timezone, self._meters.stamp]
        )
        return hashlib.sha256(known).hexdigest()

    def until(self, last: int) -> int:
        """Return the readings of all messages ever received up to position `last`."""
        position, tally = self._ledger.tally()
        readings = tally.readings.total()
        kept = self._kept() if position < last else None
        if kept is not None and position < kept.position <= last:
            position, readings = kept.position, kept.readings
        start = position
        while position < last:
            messages = self._spool.read(position, limit=min(_CHUNK, last - position), limit_bytes=_CHUNK_BYTES)
            done = self._ledger.position()
            if done > position and (not messages or messages[0].position > position + 1 or done >= last):
                position, tally = self._ledger.tally()  # the lake has taken these meanwhile, and counted them
                readings = tally.readings.total()
                continue
            if not messages:
                break
            readings += sum(map(self._readings_of, messages))
            position = messages[-1].position
            self._progress(position - start, last - start)
        if position - start >= _WORTH_KEEPING:
            self._keep(_Counted(position, readings, self._decoder_id))
        return readings

    def _readings_of(self, message: RawMessage) -> int:
        rows = self._decoder.sound_rows(message)
        if rows is not None:
            return len(rows)
        decoded = self._decoder.decode(message)
        return len(decoded.rows) + len(decoded.rejections)

    def _kept(self) -> _Counted | None:
        try:
            counted = msgspec.json.decode(self._file.read_bytes(), type=_Counted)
        except (OSError, msgspec.DecodeError):
            return None
        return counted if counted.decoder == self._decoder_id else None

    def _keep(self, counted: _Counted) -> None:
        part = self._file.with_suffix(".part")
        with suppress(OSError):  # whoever may only read, or a full disk: the next status counts again
            part.write_bytes(msgspec.json.encode(counted))
            part.replace(self._file)


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
