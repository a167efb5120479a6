"""The daily rows are the same however the work was cut: at once, in the smallest slices, or day by day as data came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lake.compaction import Compaction
from lake.errors import LakeError
from lake.schemas import DAILY, ERROR_CODES, READINGS
from lake.settings import CompactSettings
from lake.tables import Lake
from metriage import daily_rows
from metriage.daily_rows import newest_rows
from metriage.diagnosing import DiagnosisLine
from metriage.settings import Settings

START = datetime(2024, 3, 28, tzinfo=UTC)  # in Madrid the clocks change on the 31st
DAYS = 8
LIMITS = {"SLICE_READINGS": 12, "SLICE_METERS": 1, "MOST_DAYS": 2, "FEW_METERS": 1, "FEW_FILES": 2, "NEAR_DAYS": 1}


@st.composite
def fleets(draw: st.DrawFn) -> pl.DataFrame:
    """Draw registers and a seldom status of four meters over eight days, some received days late, some of one time."""
    rows = []
    for meter in ("a", "b", "c", "d"):
        hours = draw(st.lists(st.integers(0, DAYS * 24 - 1), unique=True, max_size=30))
        volume = 100.0
        for hour in sorted(hours):
            ts = START + timedelta(hours=hour, minutes=draw(st.sampled_from([0, 0, 59])))
            volume = round(volume + draw(st.sampled_from([0.0, 0.01, 0.3, -0.02, -4.096])), 3)
            late = timedelta(days=draw(st.sampled_from([0, 0, 0, 0, 1, 4])))
            row = {"meter_id": meter, "ts": ts, "received_at": ts + late, "source": "s", "event_date": ts.date()}
            rows.append({**row, "volume_m3": volume, "flags": draw(st.sampled_from([[], [], [], ["conflict"]]))})
            if hour % 5 == 0:
                rows.append(
                    {**row, "battery_v": 3.6, "ambient_temperature_c": float(hour % 9), "seq": hour, "flags": []}
                )
    return READINGS.conform(pl.DataFrame(rows, schema=READINGS.polars, orient="row") if rows else READINGS.empty())


def filled(folder: Path, seen: pl.DataFrame, *, compact: bool) -> Lake:
    """Return a lake that holds readings in the order they were received, and a code for some."""
    lake = Lake(folder)
    arrived = seen.sort("received_at").with_columns(pl.col("received_at").dt.date().alias("arrived"))
    for rows in arrived.partition_by("arrived", include_key=False, maintain_order=True):
        lake.append(READINGS, rows)
    told = seen.filter(pl.col("seq").is_not_null()).select("meter_id", "ts", "received_at", "source", "event_date")
    lake.append(ERROR_CODES, told.with_columns(family=pl.lit("coil"), severity=pl.lit(1), code=pl.lit("x")))
    if compact:
        Compaction(lake, CompactSettings(small_files=2, late_share=1.0), actor="test").run()
    return lake


@contextmanager
def limited(limits: dict[str, int]) -> Iterator[None]:
    """Cut the work into slices of other sizes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(daily_rows, name, value)
        yield


def rows_of(lake: Lake, work: Path, zone: str, steps: list[datetime]) -> pl.DataFrame:
    """Return the newest daily rows after so many steps."""
    plain = Settings()
    site = msgspec.structs.replace(plain.site, timezone=zone)
    line = DiagnosisLine(lake, Lake(work), msgspec.structs.replace(plain, site=site), "live")
    for as_of in steps:
        line.profile(as_of)
    return newest_rows(Lake(work).read(DAILY)).drop("as_of")


@pytest.mark.slow
@given(seen=fleets(), zone=st.sampled_from(["UTC", "Europe/Madrid", "Asia/Shanghai"]), compact=st.booleans())
@settings(max_examples=10, deadline=None)
def test_rows_are_the_same_however_the_work_is_cut(seen: pl.DataFrame, zone: str, compact: bool) -> None:
    """Late readings, doubted readings and changes of the clock included."""
    end = START + timedelta(days=DAYS + 6)
    every_day = [START + timedelta(days=day) for day in range(1, DAYS + 7)]
    with TemporaryDirectory() as folder:
        lake = filled(Path(folder) / "lake", seen, compact=compact)
        at_once = rows_of(lake, Path(folder) / "whole", zone, [end])
        with limited(LIMITS):
            in_slices = rows_of(lake, Path(folder) / "sliced", zone, [end])
            in_sliced_steps = rows_of(lake, Path(folder) / "steps", zone, every_day)
        day_by_day = rows_of(lake, Path(folder) / "days", zone, every_day)

    for rows in (in_slices, in_sliced_steps, day_by_day):
        assert_frame_equal(at_once, rows, check_exact=True)


def test_files_of_a_failed_run_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other slices wrote must not lie about without a commit that names it."""
    times = [START + timedelta(hours=hour) for hour in range(48)]
    rows = [{"meter_id": meter, "ts": ts, "received_at": ts, "event_date": ts.date(), "volume_m3": 1.0}
            for meter in ("a", "b") for ts in times]  # fmt: skip
    lake = filled(tmp_path / "lake", READINGS.conform(pl.DataFrame(rows)), compact=False)
    profile = daily_rows.day_profile

    def failing(readings: pl.DataFrame, *arguments: object, **options: object) -> pl.DataFrame:
        if "b" in readings["meter_id"]:
            raise LakeError("the disk is full")
        return profile(readings, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(daily_rows, "day_profile", failing)
    with limited(LIMITS), pytest.raises(LakeError, match="disk"):
        rows_of(lake, tmp_path / "work", "UTC", [START + timedelta(days=3)])

    assert [] == list((tmp_path / "work").rglob("*.parquet"))
