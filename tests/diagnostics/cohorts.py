"""Small fleets with registry, acts and weather, for the tests of groups of meters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from diagnostics.batches.cohort import ACTS, SEEN, Cohort, cohort
from diagnostics.facts import Facts
from lake.schemas import INSPECTIONS, METERS, TIME, WEATHERS
from lake.vocabulary import FAULTS

TODAY = date(2024, 7, 1)
AS_OF = datetime(2024, 7, 1, tzinfo=UTC)
FIRST = date(2024, 1, 1)


def registry(count: int, **columns: Sequence[Any] | str) -> pl.DataFrame:
    """Return a registry of meters ``m0000, m0001, …`` installed three years ago; a text holds for all of them."""
    held: dict[str, Any] = {
        "meter_id": names(count),
        "installed_on": [date(2021, 1, 1)] * count,
        "region": ["north"] * count,
        "installation": ["indoor"] * count,
    }
    held |= {name: [value] * count if isinstance(value, str) else list(value) for name, value in columns.items()}
    return METERS.conform(pl.DataFrame(held, schema={name: METERS.polars[name] for name in held}))


def names(count: int) -> list[str]:
    """Return the ids of so many meters."""
    return [f"m{number:04d}" for number in range(count)]


def seen(meters: Sequence[str], **columns: Any) -> pl.DataFrame:
    """Return what daily rows tell of meters: seen from the first day to the last."""
    held: dict[str, Any] = {"meter_id": list(meters), "first_day": FIRST, "last_day": TODAY - timedelta(days=1)}
    return pl.DataFrame(held | columns).select(
        pl.col(name).cast(dtype) if name in held | columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in SEEN.items()
    )


def acts(*rows: tuple[str, str, date], last: datetime = AS_OF) -> pl.DataFrame:
    """Return acts from (meter, fault, day of onset), told a day later and still open."""
    return pl.DataFrame(
        [
            {"meter_id": meter, "fault": fault, "onset": moment(day), "first_act": moment(day + timedelta(days=1)),
             "last_act": last}
            for meter, fault, day in rows
        ],
        schema=ACTS,
    )  # fmt: skip


def moment(day: date) -> datetime:
    """Return the begin of a day (UTC)."""
    return datetime.combine(day, datetime.min.time(), UTC)


def weather(lows: Mapping[str, float], days: int = 182, first: date = FIRST) -> pl.DataFrame:
    """Return measured weather with the same lowest temperature each day, by region [°C]."""
    rows = [
        {"region": region, "date": first + timedelta(days=number), "min_c": low}
        for region, low in lows.items()
        for number in range(days)
    ]
    return WEATHERS.conform(pl.DataFrame(rows))


def inspections(*rows: tuple[str, date, str]) -> pl.DataFrame:
    """Return inspections from (meter, day, finding)."""
    table = pl.DataFrame(
        [{"meter_id": meter, "inspected_at": moment(day), "finding": finding} for meter, day, finding in rows],
        schema={"meter_id": pl.String, "inspected_at": TIME, "finding": pl.String},
    )
    return INSPECTIONS.conform(table)


def fleet(meters: pl.DataFrame, told: pl.DataFrame, **facts: pl.DataFrame) -> Cohort:
    """Return the cohort of a registry whose meters are all seen."""
    return cohort(seen(meters["meter_id"].to_list()), told, Facts(meters=meters, **facts), AS_OF, TODAY)


def odd_fleet(seed: int) -> tuple[Cohort, pl.DataFrame]:
    """Return a small fleet whose registry has holes and dates that contradict each other, and its weather."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 60))
    ids = names(count)

    def picked(*words: Any) -> list[Any]:
        return [None if rng.random() < 0.2 else words[int(rng.integers(len(words)))] for _ in ids]

    def days(first: int, last: int) -> list[date | None]:
        return [None if rng.random() < 0.3 else TODAY + timedelta(days=int(rng.integers(first, last))) for _ in ids]

    meters = registry(
        count, production_batch=picked("A", "B", "C"), region=picked("r", "s"), site=picked("x", "y", "z"),
        module_vendor=picked("v", "w"), model=picked("k", "l"), firmware=picked("1", "2"), installer=picked("i", "j"),
        installation=picked("indoor", "outdoor", "pit", "basement"), valve_type=picked("none", "ball_motor"),
        flood_prone=picked(True, False), installed_on=days(-2000, 50), removed_on=days(-400, 20),
        produced_on=days(-3000, 0),
    )  # fmt: skip
    first = pl.Series([TODAY - timedelta(days=int(rng.integers(1, 300))) for _ in ids], dtype=pl.Date)
    last = pl.Series([TODAY - timedelta(days=int(rng.integers(1, 300))) for _ in ids], dtype=pl.Date)
    known = seen(ids, first_day=first, last_day=last, cold_share=0.1).with_columns(
        pl.max_horizontal("first_day", "last_day").alias("last_day")
    )
    told = acts(
        *(
            (meter, fault, TODAY - timedelta(days=int(rng.integers(1, 330))))
            for meter in ids
            for fault in FAULTS
            if rng.random() < 0.25
        ),
        last=AS_OF - timedelta(days=int(rng.integers(0, 2))),
    )
    visits = inspections(
        *(
            (meter, TODAY - timedelta(days=int(rng.integers(0, 300))), str(rng.choice([*FAULTS, "other"])))
            for meter in ids
            if rng.random() < 0.3
        )
    )
    air = weather({"r": -5.0, "s": 4.0}, days=int(rng.integers(1, 400)), first=TODAY - timedelta(days=400))
    facts = Facts(meters=meters, inspections=visits, weather=air)
    return cohort(known.filter(pl.lit(pl.Series(rng.random(count) < 0.8))), told, facts, AS_OF, TODAY), air
