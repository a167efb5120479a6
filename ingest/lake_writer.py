"""From the spool to the lake: one batch, one commit a table, each with the spool position in its transaction.

Order of a batch: ``quarantine``, ``error_codes``, ``readings``, then ``state.db``. Each table's commit carries the
position of the batch's last message, so that a batch which a crash cut short is finished by doing it again: tables that
have it already skip it. The ``readings`` commit also carries the batch's account; if that commit is there and
``state.db`` is behind, the account is taken from it, since the readings could no longer be told from duplicates.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import structlog

from ingest.account import State, Tally, dump_tally, load_tally
from ingest.batch import (
    Batch,
    BatchBuilder,
    count_outcomes,
    error_code_rows,
    flag,
    newest_registers,
)
from ingest.decoding import MessageDecoder
from ingest.duplicates import DuplicateIndex
from ingest.local_time import LocalClock
from ingest.message import RawMessage
from ingest.settings import WriterSettings
from ingest.spool import Spool
from ingest.vendor_profile import VendorProfile, shipped_profile
from lake.errors import LakeError, SpoolError
from lake.schemas import ERROR_CODES, QUARANTINE, READINGS, TableSchema
from lake.tables import Lake, Position

_CHUNK = 10_000
_MOST_READINGS = 400_000  # of one batch: messages may expand to thousands of readings each

log = structlog.get_logger(__name__)


class LakeWriter:
    """Moves messages from the spool of a site to its lake.

    Parameters
    ----------
    settings : WriterSettings
        Site folder, codecs and commit sizes.
    now : callable
        The clock [µs since 1970 UTC].
    """

    def __init__(self, settings: WriterSettings, now: Callable[[], int] | None = None) -> None:
        site = Path(settings.site)
        self._settings = settings
        self._now = now or (lambda: time.time_ns() // 1000)
        self._spool = Spool(site / "spool")
        self._state = State(site / "spool")
        self._lake = Lake(site / "lake")
        self._duplicates = DuplicateIndex(self._lake)
        if not self._state.writer_id():
            self._state.name_writer(f"writer-{uuid.uuid4().hex[:12]}")
        self._name = self._state.writer_id()
        if self._spool.last_position() < self._state.position():
            self.close()
            raise SpoolError(
                f"{site}/spool: state.db has come further than spool.db, which was replaced or restored alone; "
                "restore both from the same backup, or move both away"
            )

    def close(self) -> None:
        """Close the databases."""
        self._spool.close()
        self._state.close()

    def pending(self) -> int:
        """Return how many messages wait."""
        return self._spool.last_position() - self._state.position()

    def step(self) -> int:
        """Bring the next messages into the lake, as many as make one batch.

        Returns
        -------
        int
            Messages of the batch; 0 where none was waiting.

        Raises
        ------
        LakeError, SpoolError
            Nothing is lost: the same step can be tried again.
        """
        after = self._state.position()
        committed = self._lake.position(READINGS, self._application(READINGS))
        clock = LocalClock(self._state.clock_state())
        builder = self._collect(after, clock, until=committed if committed > after else None)
        if builder.last == 0:
            return 0
        batch = builder.build()
        finished = committed > after
        tally = self._recover_tally(after, committed) if finished else self._commit(batch, builder.tally)
        self._state.complete(batch.last, tally, clock.state, newest_registers(self._newer(batch)))
        return batch.last - after

    def _newer(self, batch: Batch) -> pl.DataFrame:
        """Return the readings of `batch` that are newer than the newest register known of their meter and source."""
        known = pl.DataFrame(
            [(meter, source, ts) for meter, source, ts, _ in self._registers(batch)],
            schema={"meter_id": pl.String, "source": pl.String, "known": pl.Int64},
            orient="row",
        )
        joined = batch.readings.join(known, on=["meter_id", "source"], how="left", maintain_order="left")
        return joined.filter(pl.col("known").is_null() | (pl.col("ts").cast(pl.Int64) > pl.col("known")))

    def _registers(self, batch: Batch) -> list[tuple[str, str, int, float]]:
        return self._state.registers(batch.readings["meter_id"].unique().to_list())

    def _collect(self, after: int, clock: LocalClock, until: int | None) -> BatchBuilder:
        ingest = self._settings.ingest
        decoder = MessageDecoder(self._settings.codecs, ingest.max_message_bytes, clock, self._now)
        builder = BatchBuilder()
        wanted = ingest.commit_messages if until is None else until - after
        size = 0
        position = after
        while position - after < wanted:
            limit = min(_CHUNK, wanted - (position - after))
            messages = self._spool.read(position, limit=limit, limit_bytes=ingest.commit_bytes)
            if not messages:
                break
            _check_gapless(position, messages)
            for message in messages:
                builder.add(message, decoder.decode(message))
                size += len(message.payload)
                if until is None and (size >= ingest.commit_bytes or builder.readings >= _MOST_READINGS):
                    return builder
            position = messages[-1].position
        return builder

    def _commit(self, batch: Batch, tally: Tally) -> Tally:
        classified = self._duplicates.classify(batch.readings)
        count_outcomes(tally, batch, classified)
        fresh = classified.filter(~pl.col("duplicate")) if classified["duplicate"].any() else classified
        del classified  # a large batch is held once, not once a step
        stored = flag(fresh.drop("duplicate"), self._registers(batch))
        del fresh
        codes = pl.DataFrame(
            error_code_rows(stored, self._profile_of), schema={**ERROR_CODES.polars, "position": pl.Int64()}
        )
        self._append(QUARANTINE, batch.quarantine, batch)
        self._append(ERROR_CODES, codes, batch)
        self._append(READINGS, stored, batch, account=dump_tally(tally))
        return tally

    def _append(self, table: TableSchema, rows: pl.DataFrame, batch: Batch, account: str | None = None) -> None:
        application = self._application(table)
        committed = self._lake.position(table, application)
        if committed >= batch.last:
            self._lake.sync(table)  # an earlier attempt was cut short, perhaps before it could
            return
        rows = rows.filter(pl.col("position") > committed).drop("position")
        if rows.is_empty() and account is None:
            return
        metadata = {"metriage.first": str(batch.first), "metriage.last": str(batch.last)}
        if account is not None:
            metadata["metriage.account"] = account
        self._lake.append(table, rows, positions=[Position(application, batch.last)], metadata=metadata)

    def _recover_tally(self, after: int, committed: int) -> Tally:
        """Return the account of the one batch that is in the lake and not in ``state.db``."""
        self._lake.sync(READINGS)
        for commit in self._lake.commits(READINGS):
            if commit.get("metriage.last") == str(committed) and commit.get("metriage.first") == str(after + 1):
                log.info("batch recovered", first=after + 1, last=committed)
                return load_tally(commit["metriage.account"])
        raise LakeError(
            f"readings are committed up to position {committed}, the account stands at {after}, and the commit between "
            "them is not in the table's history: restore spool/state.db and lake/ from the same backup"
        )

    def _application(self, table: TableSchema) -> str:
        return f"{self._name}/{table.name}"

    def _profile_of(self, _meter_id: str) -> VendorProfile:
        return shipped_profile("generic")


def _check_gapless(after: int, messages: Sequence[RawMessage]) -> None:
    """Say so when acknowledged messages are gone; nothing of ours removes them, so somebody else did."""
    missing = messages[-1].position - after - len(messages)
    if missing:
        log.error("messages are missing in the spool", after=after, until=messages[-1].position, missing=missing)
