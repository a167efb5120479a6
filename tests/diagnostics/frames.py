"""Small and recorded frames of the tables that the diagnosis reads."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from diagnostics.chain import chain
from diagnostics.daily import day_profile
from diagnostics.diagnosis import diagnose
from diagnostics.local_day import day_bounds
from lake.schemas import DAILY, ERROR_CODES, FINDINGS, READINGS, TIME

START = datetime(2024, 1, 1, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def readings(values: Mapping[str, Sequence[Any]], **constants: Any) -> pl.DataFrame:
    """Return a frame of the table ``readings``; times default to hourly from START, received when measured."""
    length = len(next(iter(values.values())))
    columns: dict[str, Any] = {
        "meter_id": ["m1"] * length,
        "ts": [START + timedelta(hours=hour) for hour in range(length)],
        **values,
        **{name: [value] * length for name, value in constants.items()},
    }
    columns.setdefault("received_at", columns["ts"])
    return READINGS.conform(pl.DataFrame(columns, schema={name: READINGS.polars[name] for name in columns}))


def codes(*rows: tuple[datetime, str, int, str], meter_id: str = "m1") -> pl.DataFrame:
    """Return a frame of the table ``error_codes`` from (time, family, severity, code)."""
    frame = pl.DataFrame(
        {
            "meter_id": [meter_id for _ in rows],
            "ts": [row[0] for row in rows],
            "received_at": [row[0] for row in rows],
            "family": [row[1] for row in rows],
            "severity": [row[2] for row in rows],
            "code": [row[3] for row in rows],
        },
        schema={name: ERROR_CODES.polars[name] for name in ("meter_id", "ts", "received_at", "family", "severity",
                                                             "code")},
    )  # fmt: skip
    return ERROR_CODES.conform(frame)


def no_codes() -> pl.DataFrame:
    """Return the empty table ``error_codes``."""
    return ERROR_CODES.empty()


def chained(seen: pl.DataFrame, told: pl.DataFrame | None = None, zone: str = "UTC", **options: Any) -> pl.DataFrame:
    """Return the daily rows of readings, computed at once, each stamped with the end of its day."""
    profile = day_profile(seen, no_codes() if told is None else told, default_zone=zone, as_of=FAR, **options)
    rows = chain(DAILY.empty(), profile, as_of=FAR)
    return day_bounds(rows, None, zone).with_columns(pl.col("ends_at").alias("as_of")).drop("starts_at", "ends_at")


def judged(daily: pl.DataFrame, as_of: datetime | None = None, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the open findings of one meter by fault, as of the end of its newest day; evidence decoded."""
    moment = daily["as_of"].max() if as_of is None else as_of
    found = diagnose(daily, as_of=moment, diagnosis_id="d", mode="live", **options)
    rows = found.filter(pl.col("verdict") != "clear").iter_rows(named=True)
    return {row["fault"]: {**row, "evidence": json.loads(row["evidence"])} for row in rows}


def day_by_day(
    daily: pl.DataFrame, first: date, last: date, zone: str, seldom_until: date | None = None
) -> pl.DataFrame:
    """Return the findings of a diagnosis at the end of each local day, each knowing those before it.

    Up to `seldom_until` only every third day: a finding stays open for longer than that, so that none is overlooked.
    """
    found, newest = [], FINDINGS.empty()
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if seldom_until is not None and day < seldom_until and number % 3:
            continue
        ends = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)
        known = daily.filter(pl.col("as_of") <= ends)
        recent = known.filter(
            (pl.col("day") > day - timedelta(days=61)) | (pl.col("day") == pl.col("day").max().over("meter_id"))
        )
        findings = diagnose(recent, as_of=ends, diagnosis_id=str(day), mode="backtest", previous=newest)
        newest = (
            pl.concat([newest, findings])
            .sort("as_of")
            .unique(["meter_id", "kind", "fault"], keep="last", maintain_order=True)
        )
        found.append(findings.with_columns(pl.lit(day).alias("day")))
    return pl.concat(found)


def alicante(folder: Path) -> pl.DataFrame:
    """Return the recordings of Alicante as readings, received when measured; meters by 8 characters of their key."""
    raw = pl.concat([_alicante_file(folder / "alicante" / f"{name}.zip") for name in FILES])
    local = pl.col("local")
    placed = raw.with_columns(pl.int_range(pl.len()).over("meter_id", "local").alias("again")).with_columns(
        local.dt.replace_time_zone(ZONE, ambiguous="earliest").alias("first"),
        local.dt.replace_time_zone(ZONE, ambiguous="latest").alias("second"),
    )
    repeated = pl.col("first") != pl.col("second")
    ts = pl.when(pl.col("again") > 0).then("second").otherwise("first").dt.convert_time_zone("UTC").cast(TIME)
    return READINGS.conform(
        placed.select(
            "meter_id", ts.alias("ts"), ts.alias("received_at"), pl.lit("alicante").alias("source"), "volume_m3",
            pl.when(repeated).then(pl.lit(["ambiguous_time"])).otherwise(pl.lit([], pl.List(pl.String))).alias("flags"),
        )
    )  # fmt: skip


FILES = ("swm_trialA", "swm_trialA_extended")
ZONE = "Europe/Madrid"


def _alicante_file(path: Path) -> pl.DataFrame:
    with zipfile.ZipFile(path) as archive:
        content = archive.read(archive.namelist()[0])
    columns = ["key", "local", "litres", "difference"]
    raw = pl.read_csv(io.BytesIO(content), separator=";", new_columns=columns, infer_schema=False)
    return raw.select(
        pl.col("key").str.slice(0, 8).alias("meter_id"),
        pl.col("local").str.to_datetime("%d/%m/%Y %H:%M:%S"),
        (pl.col("litres").cast(pl.Float64) / 1000).alias("volume_m3"),
    )


def cell(folder: Path) -> pl.DataFrame:
    """Return the recording of the LS14500 cell as readings, received when measured."""
    raw = pl.read_csv(folder / "lisocl2" / "elsys_ls14500.csv.gz")
    ts = pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_zone="UTC").cast(TIME)
    return READINGS.conform(
        raw.select(
            pl.lit("ls14500").alias("meter_id"), ts.alias("ts"), ts.alias("received_at"),
            pl.lit("lisocl2").alias("source"), pl.col("fcnt").alias("seq"),
            (pl.col("vdd_mv") / 1000).alias("battery_v"), pl.col("temperature_c").alias("ambient_temperature_c"),
            pl.col("rssi").cast(pl.Float64).alias("rssi_dbm"), pl.col("snr").alias("snr_db"),
        )
    )  # fmt: skip
