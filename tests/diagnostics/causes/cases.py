"""Fleets of daily rows for the causes: each meter's story in a few words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from diagnostics.diagnosis import diagnose
from diagnostics.facts import Facts
from lake.schemas import READINGS
from tests.diagnostics.frames import START, chained, codes, no_codes

DAYS = 40


@dataclass(frozen=True)
class Story:
    """One meter: its registry row, and from which day on it fails how."""

    fails_from: int | None = None
    fault: str = "coil"
    registry: Mapping[str, Any] = field(default_factory=dict)
    rssi_dbm: Sequence[float] | float | None = None
    temperature_c: Sequence[float] | float | None = None
    per_day: Sequence[int] | int = 4


def _each_day(value: Sequence[float] | float | None, day: int) -> float | None:
    return value[day] if isinstance(value, Sequence) else value


def _readings(meter_id: str, story: Story) -> pl.DataFrame:
    rows, seq = [], 0
    register = 10.0
    for day in range(DAYS):
        number = story.per_day[day] if isinstance(story.per_day, Sequence) else story.per_day
        for n in range(number):
            register += 0.05
            seq += 1
            rows.append(
                {
                    "meter_id": meter_id, "ts": START + timedelta(days=day, hours=24 * n / number + 0.5),
                    "received_at": START + timedelta(days=day, hours=24 * n / number + 0.5), "source": "s",
                    "volume_m3": round(register, 3), "seq": seq,
                    "rssi_dbm": _each_day(story.rssi_dbm, day),
                    "ambient_temperature_c": _each_day(story.temperature_c, day),
                }
            )  # fmt: skip
    return READINGS.conform(pl.DataFrame(rows, schema={name: READINGS.polars[name] for name in rows[0]}))


def causes(
    stories: Mapping[str, Story],
    *,
    weather: Sequence[Mapping[str, Any]] = (),
    works: Sequence[Mapping[str, Any]] = (),
    inspections: Sequence[Mapping[str, Any]] = (),
) -> dict[str, dict[str, Any]]:
    """Return the finding of each failing meter, its evidence decoded; a fault shows as codes of its family."""
    seen = pl.concat([_readings(meter_id, story) for meter_id, story in stories.items()])
    told = [
        codes(*((START + timedelta(days=day, hours=0.5), story.fault, 1, "fault") for day in
                range(story.fails_from, DAYS)), meter_id=meter_id)
        for meter_id, story in stories.items()
        if story.fails_from is not None
    ]  # fmt: skip
    joined = pl.concat(told).with_columns(pl.lit("s").alias("source")) if told else no_codes()
    daily = chained(seen, joined)
    facts = Facts(
        meters=pl.DataFrame(
            [{"meter_id": meter_id, **story.registry} for meter_id, story in stories.items()], infer_schema_length=None
        ),
        **{
            name: pl.DataFrame(list(rows), infer_schema_length=None)
            for name, rows in (("weather", weather), ("works", works), ("inspections", inspections))
            if rows
        },
    )
    as_of = daily["as_of"].max()
    found = diagnose(daily, as_of=as_of, diagnosis_id="d", mode="live", facts=facts)  # type: ignore[arg-type]
    faults = found.filter(pl.col("kind") == "fault", pl.col("verdict") == "act")
    return {row["meter_id"]: {**row, "evidence": json.loads(row["evidence"])} for row in faults.iter_rows(named=True)}


def day(number: int) -> date:
    """Return the calendar day of a story's day."""
    return (START + timedelta(days=number)).date()
