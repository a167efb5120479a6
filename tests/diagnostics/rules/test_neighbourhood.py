"""A whole place that is silent or without water, and works that were announced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from diagnostics.diagnosis import diagnose
from diagnostics.facts import Facts
from tests.diagnostics.frames import START, chained, readings

DAYS = 30


def place(last_day: Mapping[str, int], dry_from: Mapping[str, int] | None = None) -> pl.DataFrame:
    """Return daily rows of meters of one site: until when they report, and from when on nothing flows."""
    rows = []
    for meter, last in last_day.items():
        dry = (dry_from or {}).get(meter, DAYS)
        hours = range(0, 24 * last, 6)
        volumes = [round(10 + 0.05 * min(hour // 6, dry * 4 - 1), 3) for hour in hours]
        rows.append(readings({"ts": [START + timedelta(hours=hour) for hour in hours], "volume_m3": volumes},
                             meter_id=meter))  # fmt: skip
    return chained(pl.concat(rows))


def conditions(daily: pl.DataFrame, **facts: Any) -> dict[str, set[str]]:
    """Return the rules of conditions that speak of each meter at the end of the last day."""
    meters = pl.DataFrame([{"meter_id": meter, "region": "r", "site": "s"} for meter in daily["meter_id"].unique()])
    known = Facts(meters=meters, **facts)
    as_of = START + timedelta(days=DAYS)
    found = diagnose(daily, as_of=as_of, diagnosis_id="d", mode="live", facts=known).filter(kind="condition")
    said: dict[str, set[str]] = {}
    for row in found.iter_rows(named=True):
        assert json.loads(row["evidence"])
        said.setdefault(row["meter_id"], set()).update(row["rules"])
    return said


def test_place_that_fell_silent_together() -> None:
    """Six of eight meters stop on one day; two are read by another way."""
    said = conditions(place({f"m{n}": 27 if n < 6 else DAYS for n in range(8)}))

    assert {f"m{n}" for n in range(6)} == {meter for meter, rules in said.items() if "communication.area" in rules}


def test_lone_silent_meter_has_no_area_outage() -> None:
    said = conditions(place({f"m{n}": 27 if n < 1 else DAYS for n in range(8)}))

    assert "communication.area" not in said["m0"]
    assert "communication.gap" in said["m0"]


def test_meter_that_stays_silent_after_its_place_came_back_is_not_excused() -> None:
    """The gateway was down for two days; one meter never returned."""
    daily = place({f"m{n}": DAYS for n in range(8)})
    outage = [(START + timedelta(days=day)).date() for day in (20, 21)]
    gone = (pl.col("meter_id") == "m0") & (pl.col("day") >= outage[0])
    seen = daily.filter(~pl.col("day").is_in(outage) & ~gone)

    assert "communication.area" not in conditions(seen)["m0"]


def test_place_without_water() -> None:
    meters = {f"m{n}": DAYS for n in range(8)}
    said = conditions(place(meters, dry_from=dict.fromkeys(list(meters)[:7], 28)))

    assert {f"m{n}" for n in range(7)} == {meter for meter, rules in said.items() if "empty_pipe.area" in rules}


def test_home_that_alone_uses_nothing_is_no_outage() -> None:
    said = conditions(place({f"m{n}": DAYS for n in range(8)}, dry_from={"m0": 25}))

    assert "empty_pipe.area" not in said.get("m0", set())


@pytest.mark.parametrize(
    ("kind", "rule"), [("pipe works", "empty_pipe.works"), ("停水", "empty_pipe.works"),
                       ("radio maintenance", "communication.works")],
)  # fmt: skip
def test_announced_works(kind: str, rule: str) -> None:
    begins = START + timedelta(days=DAYS - 1)
    works = pl.DataFrame([{"region": "r", "site": "s", "from": begins, "until": None, "kind": kind}],
                         schema_overrides={"until": pl.Datetime("us", "UTC")})  # fmt: skip
    said = conditions(place({"m0": DAYS}), works=works)

    assert rule in said["m0"]


def test_works_elsewhere_or_long_over_say_nothing() -> None:
    begins = START + timedelta(days=2)
    works = pl.DataFrame(
        [{"region": "r", "site": "other", "from": START + timedelta(days=DAYS - 1), "until": None, "kind": "outage"},
         {"region": "r", "site": None, "from": begins, "until": begins + timedelta(hours=8), "kind": "outage"}],
        schema_overrides={"until": pl.Datetime("us", "UTC"), "site": pl.String},
    )  # fmt: skip

    assert {} == conditions(place({"m0": DAYS}), works=works)
