"""A batch of messages on its way into the lake: decoded rows as one frame, and what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import polars as pl

from ingest.account import ReplayOf, Tally
from ingest.message import BESIDE, ROW_COLUMNS, Decoded, RawMessage, Row
from ingest.profiles.vendor_profile import VendorProfile
from ingest.row_schema import ROW_SCHEMA
from lake.schemas import QUARANTINE, TIME
from lake.vocabulary import MEASURES

Register = tuple[str, str, int, float]

_CHUNK = 20_000
_LARGE_PAYLOAD = 65_536
_REGISTERS = ("volume_m3", "reverse_volume_m3")


@dataclass(slots=True)
class Batch:
    """Decoded messages in the order of receipt.

    Parameters
    ----------
    first, last : int
        Spool positions of the first and the last message.
    messages : int
        How many there are.
    readings : polars.DataFrame
        Columns of the table ``readings`` without ``flags``, with ``position`` of the message and what stands
        beside it in a row (:data:`ingest.message.BESIDE`).
    quarantine : polars.DataFrame
        Rows of the table ``quarantine``, with ``position`` of the message.
    replay : ReplayOf, optional
        What is replayed; None where it came from the spool.
    """

    first: int
    last: int
    messages: int
    readings: pl.DataFrame
    quarantine: pl.DataFrame
    replay: ReplayOf | None = None


@dataclass(slots=True)
class BatchBuilder:
    """Collects decoded messages column by column, so that a large batch stays small in memory."""

    first: int = 0
    last: int = 0
    messages: int = 0
    readings: int = 0
    tally: Tally = field(default_factory=Tally)
    _rows: list[Row] = field(default_factory=list)
    _positions: list[int] = field(default_factory=list)
    _received: list[int | None] = field(default_factory=list)
    _frames: list[pl.DataFrame] = field(default_factory=list)
    _refused: list[dict[str, object]] = field(default_factory=list)
    _looked_at: int = 0

    def add(self, message: RawMessage, decoded: Decoded) -> None:
        """Take one message."""
        self._refused.extend(_quarantine_rows(message, decoded))
        self.add_rows(message, decoded.received_at, decoded.rows)

    def add_rows(self, message: RawMessage, received_at: int | None, rows: list[Row]) -> None:
        """Take one message, of which nothing was refused."""
        count = len(rows)
        self._note(message.position, 1, count, message.channel.source, received_at)
        self._rows += rows
        if count == 1:
            self._positions.append(message.position)
            self._received.append(received_at)
        else:
            self._positions += [message.position] * count
            self._received += [received_at] * count
        if len(self._positions) >= _CHUNK:
            self._pack()

    def add_frame(self, first: int, source: str, received: Sequence[int], frame: pl.DataFrame) -> None:
        """Take messages of one reading each, of which nothing was refused.

        Parameters
        ----------
        first : int
            Position of the first of them; the others follow without gaps.
        source : str
            Configured source name.
        received : sequence of int
            When each was received [µs since 1970 UTC].
        frame : polars.DataFrame
            Their readings, those columns of :data:`ingest.row_schema.ROW_SCHEMA` that hold something.
        """
        count = len(received)
        self._note(first, count, count, source, max(received))
        if self._positions:
            self._pack()
        self._add(frame, received, range(first, first + count))

    def _note(self, first: int, messages: int, readings: int, source: str, received_at: int | None) -> None:
        self.first = self.first or first
        self.last = first + messages - 1
        self.messages += messages
        self.readings += readings
        self.tally.see(source, received_at, messages)

    def _pack(self) -> None:
        """Turn the rows that came one by one into a frame."""
        columns = zip(*self._rows, strict=True) if self._rows else ([] for _ in ROW_COLUMNS)
        frame = pl.DataFrame(
            [
                pl.Series(name, column, dtype, strict=True)
                for column, (name, dtype) in zip(columns, ROW_SCHEMA.items(), strict=True)
                if not column or name == "ts" or column.count(None) < len(column)
            ]
        )
        self._add(frame, self._received, self._positions)
        self._rows, self._positions, self._received = [], [], []

    def _add(self, frame: pl.DataFrame, received: Sequence[int | None], positions: Sequence[int]) -> None:
        self._frames.append(
            frame.with_columns(
                pl.col("ts").cast(TIME),
                pl.Series("received_at", received, pl.Int64).cast(TIME),
                pl.Series("position", positions, pl.Int64),
            ).with_columns(event_date=pl.col("ts").dt.date())
        )

    def unseen(self) -> Iterator[pl.DataFrame]:
        """Yield the readings that were taken since this was called last, with the columns that hold something."""
        if self._positions:
            self._pack()
        frames = self._frames[self._looked_at :]
        self._looked_at = len(self._frames)
        yield from frames

    def build(self) -> Batch:
        """Return the batch."""
        self._pack()
        refused = pl.DataFrame(self._refused, schema={**QUARANTINE.polars, "position": pl.Int64()})
        # Each frame has the columns that hold something in it; the last one, which is empty, has them all.
        self._pack()
        readings = pl.concat(self._frames, how="diagonal")
        self._frames = []
        false = [pl.col(name).fill_null(value=False) for name in ("ambiguous", "profile_fixed")]
        order = [*ROW_SCHEMA, "received_at", "position", "event_date"]
        return Batch(self.first, self.last, self.messages, readings.with_columns(false).select(order), refused)


def _quarantine_rows(message: RawMessage, decoded: Decoded) -> Iterator[dict[str, object]]:
    """Yield one row a reason: a message of 20,000 bad readings is not to be kept 20,000 times."""
    payload: bytes | None = message.payload
    counts = Counter(rejection.reason for rejection in decoded.rejections)
    for rejection in {rejection.reason: rejection for rejection in reversed(decoded.rejections)}.values():
        count = counts[rejection.reason]
        yield {
            "received_at": decoded.received_at,
            "source": message.channel.source,
            "codec": message.channel.codec,
            "topic": decoded.topic if decoded.topic is not None else message.origin,
            "meter_id": rejection.meter_id,
            "reason": rejection.reason,
            "detail": f"{rejection.detail} (the first of {count})" if count > 1 else rejection.detail,
            "payload": payload,
            "readings": count,
            "channel": msgspec.json.encode(message.channel).decode(),
            "position": message.position,
        }
        if len(message.payload) > _LARGE_PAYLOAD:
            payload = None  # it stands in the message's first row


def flag(readings: pl.DataFrame, registers: Collection[Register]) -> pl.DataFrame:
    """Return `readings` with the column ``flags``, without the columns it is made of.

    Parameters
    ----------
    readings : polars.DataFrame
        With ``conflict`` and ``ambiguous``, in the order of receipt.
    registers : collection of (meter_id, source, ts [µs], volume_m3)
        Newest registers known before the batch.
    """
    backwards = backwards_mask(readings, registers)
    outside = pl.any_horizontal(
        *(_outside(name, column.low, column.high) for name, column in MEASURES.items()), pl.lit(value=False)
    )
    negative = pl.any_horizontal(*(pl.col(name) < 0 for name in _REGISTERS))
    masks: dict[str, pl.Expr | pl.Series] = {
        "out_of_range": outside,
        "negative": negative,
        "backwards": backwards,
        "ambiguous_time": pl.col("ambiguous"),
        "conflict": pl.col("conflict"),
    }
    marked = readings.select(**masks).with_row_index("row").filter(pl.any_horizontal(*masks))
    words = [pl.when(pl.col(name)).then(pl.lit(name)) for name in masks]
    flags = marked.select("row", flags=pl.concat_list(words).list.drop_nulls())
    return (
        readings.drop(*BESIDE, "conflict")
        .with_row_index("row")
        .join(flags, on="row", how="left", maintain_order="left")
        .drop("row")
        .with_columns(pl.col("flags").fill_null([]))
    )


def _outside(name: str, low: float | None, high: float | None) -> pl.Expr:
    column = pl.col(name)
    conditions = []
    if low is not None and name not in _REGISTERS:
        conditions.append(column < low)
    if high is not None:
        conditions.append(column > high)
    return pl.any_horizontal(*conditions) if conditions else pl.lit(value=False)


def _with_history(readings: pl.DataFrame, registers: Collection[Register]) -> pl.DataFrame:
    """Return (meter_id, source, ts, volume_m3, row) of what is known and what is new, in the order of receipt."""
    columns = ["meter_id", "source", "ts", "volume_m3"]
    known = pl.DataFrame(
        registers,
        schema={"meter_id": pl.String, "source": pl.String, "ts": pl.Int64, "volume_m3": pl.Float64},
        orient="row",
    ).with_columns(pl.col("ts").cast(TIME), row=pl.lit(None, dtype=pl.UInt32))
    fresh = readings.with_row_index("row").select(*columns, "row")
    return pl.concat([known.select(*columns, "row"), fresh]).filter(pl.col("volume_m3").is_not_null())


def backwards_mask(readings: pl.DataFrame, registers: Collection[Register]) -> pl.Series:
    """Tell which readings are newer than all before them of their meter and source, yet have a lower register.

    Late readings are not judged here: what comes before them is not known without the lake.
    """
    rows = _with_history(readings, registers)
    keys = ["meter_id", "source"]
    ordered = rows.sort(keys, maintain_order=True)
    same = (pl.col("meter_id") == pl.col("meter_id").shift()) & (pl.col("source") == pl.col("source").shift())
    if ordered.select((same & (pl.col("ts") <= pl.col("ts").shift())).any()).item():
        hits = _record_hits(rows, keys)
    else:  # all came in the order of time, as most do: each is a record, and what is before it is the last record
        lower = same & (pl.col("volume_m3") < pl.col("volume_m3").shift())
        hits = ordered.filter(lower & pl.col("row").is_not_null())["row"]
    mask = pl.Series([False]).new_from_index(0, readings.height)
    return mask.scatter(hits, values=True) if hits.len() else mask


def _record_hits(rows: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    """Return the ``row`` of readings that are newer than all before them of their `keys`, and have a lower register."""
    latest = pl.col("ts").cum_max().shift().over(keys)
    record = (pl.col("ts") > latest) | latest.is_null()
    rows = rows.with_columns(_record=record).with_columns(
        _before=pl.when("_record").then("volume_m3").forward_fill().shift().over(keys)
    )
    lower = pl.col("_record") & (pl.col("volume_m3") < pl.col("_before"))
    return rows.filter(pl.col("row").is_not_null() & lower)["row"]


def newest_registers(readings: pl.DataFrame) -> list[Register]:
    """Return (meter_id, source, ts [µs], volume_m3) of the newest register of each meter and source in `readings`."""
    rows = (
        readings.lazy()
        .filter(pl.col("volume_m3").is_not_null())
        # Of equal times the first one received: `arg_max` of a column that is known to be sorted would give the last.
        .select("meter_id", "source", pl.col("ts").cast(pl.Int64).xor(0), "volume_m3")
        .group_by("meter_id", "source", maintain_order=True)
        .agg(pl.col("ts").max(), pl.col("volume_m3").get(pl.col("ts").arg_max()))
        .collect()
    )
    return rows.rows()


def error_code_rows(
    readings: pl.DataFrame, profile_of: Callable[[str | None], VendorProfile]
) -> list[dict[str, object]]:
    """Return rows of the table ``error_codes``, with ``position``, for the codes that `readings` carry.

    Parameters
    ----------
    readings : polars.DataFrame
        Stored readings with ``position`` and ``profile``.
    profile_of : callable
        Vendor profile of an id.
    """
    carrying = readings.filter(
        pl.col("error_codes").list.len().fill_null(0).gt(0) | pl.col("status").fill_null(0).ne(0)
    )
    rows: list[dict[str, object]] = []
    columns = ["meter_id", "ts", "received_at", "source", "status", "error_codes", "event_date", "position", "profile"]
    for reading in carrying.select(columns).iter_rows(named=True):
        profile = profile_of(reading.pop("profile"))
        codes = reading.pop("error_codes") or []
        rows.extend(
            reading | translation._asdict() | {"profile_id": profile.id, "profile_version": profile.version}
            for translation in profile.translate(reading["status"], codes)
        )
    return rows


def count_outcomes(tally: Tally, batch: Batch, classified: pl.DataFrame) -> None:
    """Add to `tally` what became of the readings and messages of `batch`.

    A message takes the worst outcome of its readings: quarantined, then stored, then duplicate.

    Parameters
    ----------
    tally : Tally
        Counted into.
    batch : Batch
        The messages.
    classified : polars.DataFrame
        Its readings with ``duplicate`` and ``conflict``.
    """
    duplicates = int(classified["duplicate"].sum())
    tally.readings.update(
        stored=classified.height - duplicates, duplicate=duplicates, quarantined=int(batch.quarantine["readings"].sum())
    )
    for reason, count in batch.quarantine.select("reason", "readings").iter_rows():
        tally.reasons[reason] += count
    tally.conflicts += int(classified["conflict"].sum())
    refused = batch.quarantine["position"].unique()
    stored = classified.filter(~pl.col("duplicate"))["position"].unique()
    kept = stored.len() - int(stored.is_in(refused.implode()).sum())
    duplicate = batch.messages - kept - refused.len()
    tally.messages.update(stored=kept, quarantined=refused.len(), duplicate=duplicate)
