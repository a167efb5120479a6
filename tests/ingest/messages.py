"""Messages, decoders and site folders for the tests of the ingest stage."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ingest.account import State, Tally
from ingest.decoders import Context
from ingest.decoding import MessageDecoder
from ingest.lake_writer import LakeWriter
from ingest.local_time import LocalClock, parse_time
from ingest.message import ROW_COLUMNS, Channel, Decoded, RawMessage, Row
from ingest.settings import CodecSettings, IngestSettings, WriterSettings
from ingest.spool import Spool
from lake.schemas import TABLES, TableSchema
from lake.tables import Lake

NOW = parse_time("2024-06-01T12:00:00Z")
TOPIC = "meters/m1/readings"
MQTT = Channel("mqtt", "native", "default", enveloped=False)
ENVELOPED = Channel("mqtt", "native", "default", enveloped=True)
LINES = Channel("file", "native", "default", enveloped=True)

ALICANTE = CodecSettings(
    columns={"meter_id": 1, "ts": 2, "volume_m3": 3},
    ignore=(4,),
    units={"volume_m3": "l"},
    delimiter=";",
    time_format="%d/%m/%Y %H:%M:%S",
    timezone="Europe/Madrid",
)


def now() -> int:
    """Return the clock of these tests [µs since 1970 UTC]."""
    return NOW


def native(**fields: Any) -> bytes:
    """Return a native payload of meter m1 with `fields`."""
    return json.dumps({"meter_id": "m1", "ts": "2024-06-01T10:00:00Z", "volume_m3": 1.5} | fields).encode()


def decode(
    payload: bytes,
    channel: Channel = MQTT,
    topic: str = TOPIC,
    codecs: Mapping[str, CodecSettings] | None = None,
    limit: int = 4_000_000,
) -> Decoded:
    """Return what a message holds."""
    decoder = MessageDecoder(codecs or {}, limit, LocalClock(), now)
    return decoder.decode(RawMessage(1, channel, topic, None if channel.enveloped else NOW, payload))


def context(topic: str | None = TOPIC, received_at: int | None = NOW) -> Context:
    """Return what a decoder is told beside a payload."""
    return Context(topic, "default", received_at, NOW, LocalClock())


def named(row: Row) -> dict[str, Any]:
    """Return the fields of a row that hold something."""
    fields = dict(zip(ROW_COLUMNS, row, strict=True))
    false = {"ambiguous", "profile_fixed"}
    return {name: value for name, value in fields.items() if value is not None and (name not in false or value)}


def settings_of(site: Path, codecs: Mapping[str, CodecSettings] | None = None, **ingest: Any) -> WriterSettings:
    """Return what the lake writer of a site is told."""
    return WriterSettings(
        site=str(site), timezone="UTC", ingest=IngestSettings(**ingest), codecs=dict(codecs or {"alicante": ALICANTE})
    )


def spool_messages(site: Path, messages: Iterable[bytes | tuple[str, bytes]], channel: Channel = MQTT) -> int:
    """Store messages in the spool of a site as if they had just been received; return the last position."""
    group = [(TOPIC, message) if isinstance(message, bytes) else message for message in messages]
    with Spool(site / "spool") as spool:
        received_at = None if channel.enveloped else NOW
        return spool.append(channel, [(topic, received_at, payload) for topic, payload in group])


def drain(site: Path, codecs: Mapping[str, CodecSettings] | None = None, **ingest: Any) -> None:
    """Bring everything that waits in the spool of a site into its lake."""
    writer = LakeWriter(settings_of(site, codecs, **ingest), now)
    try:
        while writer.step():
            pass
    finally:
        writer.close()


def account_of(site: Path) -> Tally:
    """Return what became of the messages of a site."""
    with State(site / "spool", read_only=True) as state:
        return state.tally()[1]


def lake_of(site: Path) -> dict[str, pl.DataFrame]:
    """Return every table of the lake of a site, sorted by all its columns."""
    lake = Lake(site / "lake")
    return {name: sorted_rows(lake, table) for name, table in TABLES.items() if lake.exists(table)}


def sorted_rows(lake: Lake, table: TableSchema) -> pl.DataFrame:
    """Return the rows of a table, sorted by all its columns."""
    rows = lake.scan(table).collect()
    if "message" in rows.columns:  # every writer has a name of its own
        rows = rows.with_columns(pl.col("message").str.split(":").list.last())
    keys = [pl.col(name).list.join("\0") if rows.schema[name] == pl.List else pl.col(name) for name in rows.columns]
    return rows.sort(keys, nulls_last=True)


def same_lakes(one: Path, other: Path, but: Sequence[str] = ()) -> bool:
    """Tell whether the lakes of two sites hold the same rows, leaving some columns aside."""
    first, second = lake_of(one), lake_of(other)
    return first.keys() == second.keys() and all(
        first[name].drop(but, strict=False).equals(second[name].drop(but, strict=False)) for name in first
    )
