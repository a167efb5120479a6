"""Delimited files into a lake: the whole line beside what a user would write with pandas.

The line spools every row with an fsync, decodes and validates it, looks for duplicates, commits in transactions and
keeps an account; pandas reads and writes Parquet once, with none of that. The ratio is the price of these guarantees.
"""

from __future__ import annotations

import random
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.measure import median, python, run_process

_SETTINGS = """
[codecs.rows]
columns = { meter_id = 1, ts = 2, volume_m3 = 3 }
units = { volume_m3 = "l" }
delimiter = ";"
time_format = "%d/%m/%Y %H:%M:%S"
timezone = "Europe/Madrid"
"""

_PANDAS = """
import sys
import pandas as pd
rows = pd.read_csv(sys.argv[1], sep=";", names=["meter_id", "ts", "litres"], header=0)
rows["ts"] = pd.to_datetime(rows["ts"], format="%d/%m/%Y %H:%M:%S").dt.tz_localize(
    "Europe/Madrid", ambiguous=True, nonexistent="shift_forward")
rows["volume_m3"] = rows.pop("litres") / 1000
rows["event_date"] = rows["ts"].dt.date
rows.to_parquet(sys.argv[2], partition_cols=["event_date"])
"""


def write_rows(file: Path, meters: int, days: int) -> int:
    """Write hourly registers of several meters; return how many rows."""
    draw = random.Random(1)
    start = datetime(2024, 4, 1)  # noqa: DTZ001 - the file holds local times
    with file.open("w", encoding="utf-8") as stream:
        stream.write("meter;time;litres\n")
        for meter in range(meters):
            litres = 0
            for hour in range(24 * days):
                litres += draw.choice((0, 0, 0, 12, 40))
                stream.write(f"meter-{meter};{start + timedelta(hours=hour):%d/%m/%Y %H:%M:%S};{litres}\n")
    return meters * days * 24


def run(*, smoke: bool) -> list[str]:
    """Return the lines of the result."""
    meters, days, repeats = (10, 10, 1) if smoke else (100, 100, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "rows.csv"
        rows = write_rows(file, meters, days)
        ours, theirs = [], []
        for number in range(repeats):
            site = folder / f"site-{number}"
            run_process(python("-m", "metriage", "init", str(site)))
            with (site / "metriage.toml").open("a", encoding="utf-8") as stream:
                stream.write(_SETTINGS)
            ingest = python("-m", "metriage", "ingest", "--dir", str(site), "--from", str(file), "--codec", "rows")
            ours.append(run_process(ingest))
            theirs.append(run_process(python("-c", _PANDAS, str(file), str(folder / f"pandas-{number}"))))
    wall = median(ours, lambda run: run.wall_s)
    other = median(theirs, lambda run: run.wall_s)
    return [
        f"{rows:,} rows, median of {repeats}, whole processes",
        (
            f"metriage ingest --from   {wall:6.2f} s  {rows / wall:9,.0f} rows/s  "
            f"{median(ours, lambda run: run.peak_mb):5.0f} MB peak PSS"
        ),
        (
            f"pandas to Parquet        {other:6.2f} s  {rows / other:9,.0f} rows/s  "
            f"{median(theirs, lambda run: run.peak_mb):5.0f} MB peak PSS"
        ),
        f"ratio of time            {wall / other:6.2f}",
    ]
