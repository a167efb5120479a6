"""Water that a faulty coil did not register."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest

from diagnostics.diagnosis import examine
from diagnostics.facts import Facts
from diagnostics.features import view
from diagnostics.unregistered import water_not_registered
from tests.diagnostics.frames import FAR, START, chained, readings

DAYS = 40


def homes(use_m3: dict[str, list[float]]) -> pl.DataFrame:
    """Return daily rows of homes by what they count on each day, drawn in the morning and in the evening."""
    parts = []
    for meter, days in use_m3.items():
        total, volumes = 10.0, []
        for hour in range(24 * len(days)):
            total += days[hour // 24] / 2 if hour % 24 in (7, 19) else 0.0
            volumes.append(round(total, 6))
        hours = [START + timedelta(hours=hour) for hour in range(len(volumes))]
        parts.append(readings({"ts": hours, "volume_m3": volumes}, meter_id=meter))
    return chained(pl.concat(parts))


def water(use_m3: dict[str, list[float]], onset_day: int = 30) -> dict[str, float]:
    """Return what the first home did not register since its onset."""
    meters = pl.DataFrame([{"meter_id": meter, "region": "r", "site": "s"} for meter in use_m3])
    seen = view(homes(use_m3), FAR, Facts(meters=meters))
    onsets = pl.DataFrame({"meter_id": [next(iter(use_m3))], "onset": [START + timedelta(days=onset_day)]})
    rows = water_not_registered(seen, onsets)
    return {} if rows.is_empty() else rows.row(0, named=True)


def test_half_of_the_pulses_lost_is_half_of_the_water() -> None:
    found = water({"m1": [0.3] * 31 + [0.15] * 9})

    assert found["since_days"] == 9
    assert found["water_m3"] == pytest.approx(9 * 0.15, abs=0.01)
    assert found["counted_m3"] == pytest.approx(9 * 0.15, abs=0.01)
    assert found["low_m3"] <= found["water_m3"] <= found["high_m3"]


def test_interval_grows_with_the_scatter_of_the_days() -> None:
    wild = [0.1, 0.5] * 15 + [0.3]
    steady, scattered = water({"m1": [0.3] * 31 + [0.0] * 9}), water({"m1": wild + [0.0] * 9})

    assert scattered["high_m3"] - scattered["low_m3"] > 1 > steady["high_m3"] - steady["low_m3"]


def test_doubled_pulses_are_water_below_zero() -> None:
    assert water({"m1": [0.3] * 31 + [0.6] * 9})["water_m3"] == pytest.approx(-9 * 0.3, abs=0.01)


def test_holiday_of_all_neighbours_is_not_missing_water() -> None:
    """The peers use a third from the onset on: so would this home have done."""
    away = [0.3] * 31 + [0.1] * 9
    peers = {f"p{n}": away for n in range(8)}

    assert water({"m1": away, **peers})["water_m3"] == pytest.approx(0, abs=0.05)
    assert water({"m1": [0.3] * 31 + [0.0] * 9, **peers})["water_m3"] == pytest.approx(0.9, abs=0.1)


def test_meter_without_a_past_has_no_figure() -> None:
    assert water({"m1": [0.3] * DAYS}, onset_day=3) == {}


def test_figure_stands_in_the_finding_and_among_the_forecasts() -> None:
    """A register that counts backwards on many days."""
    volumes = [10 + 0.02 * hour - (0.05 if hour > 480 and hour % 24 == 5 else 0.0) for hour in range(24 * DAYS)]
    hours = [START + timedelta(hours=hour) for hour in range(len(volumes))]
    daily = chained(readings({"ts": hours, "volume_m3": volumes}))
    as_of = START + timedelta(days=DAYS)

    found = examine(daily, as_of=as_of, diagnosis_id="d", mode="live", today=as_of.date())

    coil = found.findings.filter(kind="fault", fault="coil").row(0, named=True)
    row = found.forecasts.filter(kind="water_not_registered").row(0, named=True)
    shown = [each for each in json.loads(coil["evidence"]) if each["what"] == "water_not_registered"]
    assert coil["verdict"] == "act"
    assert [row["value"]] == [each["value"] for each in shown]
    assert row["unit"] == "m³"
    assert row["as_of"] == as_of
    assert row["value_low"] <= row["value"] <= row["value_high"]


def test_without_a_day_there_are_no_forecasts() -> None:
    daily = homes({"m1": [0.3] * DAYS})

    assert examine(daily, as_of=FAR, diagnosis_id="d", mode="live").forecasts.is_empty()
