"""Small lakes, findings and programs for the tests of the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from lake.schemas import FINDINGS, READINGS
from lake.tables import Lake
from metriage.site import Site

START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


def hourly(
    meter: str,
    days: int,
    *,
    first: int = 0,
    backward_on: Sequence[int] = (),
    delay: timedelta = timedelta(minutes=5),
) -> pl.DataFrame:
    """Return readings of a household every hour from day `first` on; on some days the register counts backwards."""
    rows: list[dict[str, Any]] = []
    volume = 100.0
    for hour in range((first + days) * 24):
        used = 0.02 if hour % 24 in {6, 7, 19, 20} else 0.0
        if hour // 24 in backward_on and hour % 24 in {10, 15}:
            used = -0.004
        volume = round(volume + used, 4)
        ts = START + timedelta(hours=hour)
        if hour >= first * 24:
            rows.append(
                {
                    "meter_id": meter,
                    "ts": ts,
                    "received_at": ts + delay,
                    "source": "test",
                    "volume_m3": volume,
                    "battery_v": 3.6,
                    "ambient_temperature_c": 15.0,
                    "valid": True,
                    "invalid_fields": [],
                    "flags": [],
                    "error_codes": [],
                    "event_date": ts.date(),
                }
            )
    return READINGS.conform(pl.DataFrame(rows, schema={name: READINGS.polars[name] for name in rows[0]}))


def stored(site: Site, *frames: pl.DataFrame) -> Lake:
    """Append readings to the lake of a site, one commit a frame."""
    lake = Lake(site.folder / "lake")
    for frame in frames:
        lake.append(READINGS, frame)
    return lake


def finding(**changes: Any) -> dict[str, Any]:
    """Return one row of the findings: battery, act."""
    row: dict[str, Any] = {
        "diagnosis_id": "d1",
        "mode": "live",
        "as_of": START,
        "meter_id": "A",
        "kind": "fault",
        "fault": "battery",
        "verdict": "act",
        "severity": 2,
        "onset": START - timedelta(days=3),
        "cause": "moisture",
        "cause_confidence": 0.8,
        "rules": ["battery.plateau"],
        "evidence": '[{"rule":"battery.plateau","what":"voltage","value":3.31,"unit":"V"}]',
        "action": "Exchange the battery.",
    }
    return row | changes


def told(site: Site, *rows: dict[str, Any]) -> None:
    """Append findings to the lake of a site."""
    schema = {name: FINDINGS.polars[name] for name in rows[0]}
    Lake(site.folder / "lake").append(FINDINGS, pl.DataFrame(list(rows), schema=schema))


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program of this environment beside the test."""
    command = [sys.executable, *(str(argument) for argument in arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()
