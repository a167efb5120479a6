"""One batch into the tables of the lake, exactly once: what is decided is written down before it is done.

Which readings are new is decided by what the lake holds, and other writers write it too. So the readings are committed
only as the very next version after the one they were compared with; where somebody else was faster they are compared
with what he brought, and only if that changes the outcome they are written again. The other tables take rows of
several writers in any order; what goes into ``error_codes`` follows from the readings that are in the lake by then.

After a crash the plan tells what was decided, and the position in ``readings`` whether it was done. If so, the batch is
decoded again, with the clock of then, and finished: tables that have it already skip it. If not, it begins anew.
"""

from __future__ import annotations

import copy
import random
import time
import zlib
from collections.abc import Callable
from typing import Protocol

import numpy as np
import polars as pl
import structlog
from deltalake.transaction import AddAction

from ingest.account import Plan, Tally
from ingest.batch import Batch, Register, count_outcomes, error_code_rows, flag, newest_registers
from ingest.duplicates import DuplicateIndex
from ingest.profiles.vendor_profile import VendorProfile
from lake.errors import LakeError, VersionConflictError
from lake.failpoints import reach
from lake.schemas import ERROR_CODES, QUARANTINE, READINGS, TableSchema
from lake.tables import Lake, Position

_CONFLICT_TRIES = 50
_LONGEST_PAUSE_S = 2.0

log = structlog.get_logger(__name__)


class PlanKeeper(Protocol):
    """Where the plan of the batch that is on its way is kept, and the newest registers are known."""

    def plan(self) -> Plan | None:
        """Return the plan of the batch that was begun and not completed, if there is one."""

    def begin(self, plan: Plan) -> None:
        """Write down what is about to become of a batch, before its readings are committed."""

    def registers(self, meters: list[str]) -> list[Register]:
        """Return the newest register of each of `meters`."""


class BatchStore:
    """Brings batches into the lake under the name of one writer.

    Parameters
    ----------
    lake : Lake
        Where to.
    keeper : PlanKeeper
        Keeps what is decided.
    name : str
        Of the writer, for its positions in the tables.
    count : callable, optional
        Adds to a tally what becomes of a batch, from the batch and its readings with ``duplicate`` and ``conflict``.
    """

    def __init__(
        self,
        lake: Lake,
        keeper: PlanKeeper,
        name: str,
        count: Callable[[Tally, Batch, pl.DataFrame], None] = count_outcomes,
    ) -> None:
        self._lake = lake
        self._keeper = keeper
        self._name = name
        self._count = count
        self._duplicates = DuplicateIndex(lake)
        self._known: tuple[int, list[Register]] | None = None  # position of a batch, and registers known before it
        self.conflicts = 0

    def application(self, table: TableSchema) -> str:
        """Return the name under which our position stands in a table."""
        return f"{self._name}/{table.name}"

    def begun(self, after: int) -> tuple[Plan | None, bool]:
        """Return the plan that a crash or a failure left, if it still binds us, and whether its readings are stored.

        Raises
        ------
        LakeError
            The lake holds more than the keeper knows of.
        """
        plan = self._keeper.plan()
        committed = self._lake.position(READINGS, self.application(READINGS))
        if plan is None or plan.first != after + 1:
            plan = None
        if committed > after and (plan is None or committed != plan.last):
            raise LakeError(
                f"readings are committed up to position {committed}, the account stands at {after} and knows nothing "
                "of it: restore spool/ and the lake from the same backup"
            )
        if plan is None:
            return None, False
        if committed == plan.last:
            self._lake.sync(READINGS)
            log.info("batch recovered", first=plan.first, last=plan.last)
            return plan, True
        if plan.version is None:
            return plan, True
        # As long as no other commit has taken its place, a commit whose outcome the store did not tell may yet come to
        # be: what is tried now must be the same batch.
        return (plan, False) if self._lake.version(READINGS) == plan.version else (None, False)

    def store(self, batch: Batch, tally: Tally, after: int, moment: int) -> Plan:
        """Commit the readings of `batch` that are new, and return what was decided.

        Parameters
        ----------
        batch : Batch
            Decoded messages.
        tally : Tally
            What is known of them so far.
        after : int
            Position of the last message before the batch.
        moment : int
            The clock when they were decoded [µs since 1970 UTC].

        Raises
        ------
        LakeError
            It can be tried again.
        """
        written: list[AddAction] = []
        outcome = pl.DataFrame()
        for attempt in range(_CONFLICT_TRIES):
            version = self._lake.create(READINGS) if batch.readings.height else None
            begun = self._keeper.plan()
            if begun is not None and self._lake.position(READINGS, self.application(READINGS)) == batch.last:
                return begun  # a commit whose outcome the store had not told came to be there meanwhile
            classified = self._duplicates.classify(batch.readings)
            if attempt == 0 or not outcome.equals(classified.select("duplicate", "conflict")):
                outcome = classified.select("duplicate", "conflict")
                self._lake.discard(READINGS, [action.path for action in written])
                written = self._write(batch, classified)
            plan = self._plan(batch, tally, after, classified, version if written else None, moment)
            del classified
            self._keeper.begin(plan)
            if plan.version is None:
                return plan
            try:
                self._lake.commit(
                    READINGS,
                    written,
                    positions=[Position(self.application(READINGS), batch.last)],
                    metadata=_metadata(batch),
                    expect_version=version,
                )
            except VersionConflictError:
                self.conflicts += 1
                log.info("another writer was faster", table=READINGS.name, version=version, conflicts=self.conflicts)
                # Waiting at random, and longer each time, lets one of many writers through.
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.01 * 2**attempt)))
                continue
            return plan
        self._lake.discard(READINGS, [action.path for action in written])
        raise LakeError(f"readings: {_CONFLICT_TRIES} times another writer was faster")

    def _plan(
        self, batch: Batch, tally: Tally, after: int, classified: pl.DataFrame, version: int | None, moment: int
    ) -> Plan:
        tally = copy.deepcopy(tally)
        self._count(tally, batch, classified)
        duplicates = zlib.compress(np.packbits(classified["duplicate"].to_numpy()).tobytes(), 1)
        return Plan(
            first=after + 1, last=batch.last, now=moment, version=version, tally=tally, duplicates=duplicates,
            replay=batch.replay,
        )  # fmt: skip

    def _write(self, batch: Batch, classified: pl.DataFrame) -> list[AddAction]:
        fresh = classified.filter(~pl.col("duplicate")) if classified["duplicate"].any() else classified
        if fresh.is_empty():
            return []
        return self._lake.write(READINGS, flag(fresh.drop("duplicate"), self._registers(batch)).drop("position"))

    def _registers(self, batch: Batch) -> list[Register]:
        """Return the newest registers of the meters of `batch` known before it; asked twice, looked up once."""
        if self._known is None or self._known[0] != batch.last:
            self._known = batch.last, self._keeper.registers(batch.readings["meter_id"].unique().to_list())
        return self._known[1]

    def newer_registers(self, batch: Batch) -> list[Register]:
        """Return the newest registers of `batch` that are newer than what is known of their meter and source."""
        known = pl.DataFrame(
            [(meter, source, ts) for meter, source, ts, _ in self._registers(batch)],
            schema={"meter_id": pl.String, "source": pl.String, "known": pl.Int64},
            orient="row",
        )
        joined = batch.readings.join(known, on=["meter_id", "source"], how="left", maintain_order="left")
        newer = pl.col("known").is_null() | (pl.col("ts").cast(pl.Int64) > pl.col("known"))
        return newest_registers(joined.filter(newer))

    def store_codes(self, batch: Batch, plan: Plan, profile_of: Callable[[str | None], VendorProfile]) -> pl.DataFrame:
        """Commit the error codes of the readings of `batch` that are no duplicates, and return them.

        Parameters
        ----------
        batch : Batch
            Whose readings are in the lake.
        plan : Plan
            What was decided of it.
        profile_of : callable
            Vendor profile of an id.

        Raises
        ------
        LakeError
            It can be tried again.
        """
        stored = batch.readings
        duplicates = decided_duplicates(plan)
        if duplicates.len() >= stored.height:
            stored = stored.filter(~duplicates.head(stored.height))
        else:  # the codecs of the site were changed between a crash and its recovery
            log.warning("batch decodes to more readings than before", first=plan.first, last=plan.last)
        rows = pl.DataFrame(error_code_rows(stored, profile_of), schema={**ERROR_CODES.polars, "position": pl.Int64()})
        codes = rows.drop("position")
        self.append(ERROR_CODES, codes, batch)
        return codes

    def append(self, table: TableSchema, rows: pl.DataFrame, batch: Batch, application: str | None = None) -> None:
        """Commit rows that belong to `batch`, once.

        Raises
        ------
        LakeError
            It can be tried again.
        """
        if rows.is_empty():
            return
        application = application or self.application(table)
        if self._lake.position(table, application) >= batch.last:
            self._lake.sync(table)  # an earlier attempt was cut short, perhaps before it could
            return
        self._lake.append(table, rows, positions=[Position(application, batch.last)], metadata=_metadata(batch))
        reach("writer.between_tables")


def decided_duplicates(plan: Plan) -> pl.Series:
    """Return which readings of a plan's batch are duplicates (bool), in their order; the end may be filled up."""
    bits = np.unpackbits(np.frombuffer(zlib.decompress(plan.duplicates), np.uint8))
    return pl.Series(bits.astype(bool))


def quarantine_rows(batch: Batch, plan: Plan, writer: str) -> pl.DataFrame:
    """Return the rows of the table ``quarantine`` for what was refused of `batch`, named after `writer` and position.

    They say what became of the other readings of the same messages, so that a replay can tell what is new.
    """
    refused = batch.quarantine
    if refused.is_empty():
        return refused.drop("position")
    duplicate = decided_duplicates(plan).head(batch.readings.height)
    taken = batch.readings.select("position").head(duplicate.len()).with_columns(duplicate.alias("again"))
    counts = (
        taken.filter(pl.col("position").is_in(refused["position"].unique().implode()))
        .group_by("position")
        .agg(stored=(~pl.col("again")).sum().cast(pl.Int64), duplicate=pl.col("again").sum().cast(pl.Int64))
    )
    rows = refused.drop("message", "stored", "duplicate").join(counts, on="position", how="left", maintain_order="left")
    return rows.with_columns(
        pl.col("stored", "duplicate").fill_null(0), message=pl.format("{}:{}", pl.lit(writer), "position")
    ).select(QUARANTINE.polars.names())


def _metadata(batch: Batch) -> dict[str, str]:
    return {"metriage.first": str(batch.first), "metriage.last": str(batch.last)}
