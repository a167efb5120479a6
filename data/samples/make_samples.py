"""Cut the sample files out of the full recordings, and simulate the rest.

::

    PYTHONPATH=. python data/samples/make_samples.py

The recordings' folder (`alicante/swm_trialA.zip`, `lisocl2/elsys_ls14500.csv.gz`) is taken from METRIAGE_RECORDINGS,
else from `shared/data` beside the repository. The same recordings give the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import zipfile
from datetime import date
from pathlib import Path

from simulation.valve_frost import valve_frost_fleet

SAMPLES = Path(__file__).resolve().parent
REPOSITORY = SAMPLES.parents[1]

# Meter (first 8 characters of its key), first and last local day. Events lie months apart: the cuts end together,
# on 2016-10-09 or on 2017-01-29, so that two looks at the lake show every one of them while it is fresh.
ALICANTE: tuple[tuple[str, date, date, str], ...] = (
    ("12913a45", date(2016, 8, 8), date(2016, 10, 9), "counts backwards, -1 to -40 L, 12 times"),
    ("1de2cf65", date(2016, 8, 22), date(2016, 10, 9), "jumps by 3 x 4096 L on 2016-09-30"),
    ("be4c16fa", date(2016, 9, 5), date(2016, 10, 9), "healthy neighbour"),
    ("219ffd09", date(2016, 12, 12), date(2017, 1, 29), "counts backwards, -1 to -6 L, almost daily"),
    ("9348c9bb", date(2016, 12, 12), date(2017, 1, 29), "two registers interleaved on 2017-01-17: exchange day"),
    ("14388098", date(2016, 9, 26), date(2017, 1, 29), "zero since 2016-10-09, still reporting: stuck or vacant?"),
    ("965950f5", date(2016, 11, 28), date(2017, 1, 29), "silent for 4.9 and 10.5 days in January"),
    ("feccd95f", date(2016, 5, 31), date(2017, 1, 29), "silent for 217 days, then back"),
    ("0860fc3b", date(2016, 12, 26), date(2017, 1, 29), "healthy neighbour"),
    ("df789230", date(2016, 12, 26), date(2017, 1, 29), "healthy neighbour"),
)

CELL_FROM = "2024-03-01"
CELL_EVERY = 5
CELL_COLUMNS = ("time", "fcnt", "temperature_c", "vdd_mv", "rssi", "snr")


def recordings() -> Path:
    """Return the folder of the full recordings."""
    configured = os.environ.get("METRIAGE_RECORDINGS")
    return Path(configured) if configured else REPOSITORY.parent / "shared" / "data"


def cut_alicante(source: Path, target: Path) -> int:
    """Copy the lines of the chosen meters and days, unaltered and in their order; return how many."""
    windows = {meter: (first, last) for meter, first, last, _ in ALICANTE}
    with zipfile.ZipFile(source / "swm_trialA.zip") as archive, archive.open("swm_trialA.csv") as file:
        header, *lines = file.read().decode("ascii").splitlines()
    chosen = [line for line in lines if line[:8] in windows and _within(line, *windows[line[:8]])]
    target.write_text("\n".join([header, *chosen]) + "\n", encoding="ascii")
    return len(chosen)


def _within(line: str, first: date, last: date) -> bool:
    stamp = line.split(";", 2)[1]
    day = date(int(stamp[6:10]), int(stamp[3:5]), int(stamp[:2]))
    return first <= day <= last


def cut_cell(source: Path, target: Path) -> int:
    """Copy six columns of every fifth frame of the cell's last months, counted back from its last; return how many."""
    with gzip.open(source / "elsys_ls14500.csv.gz", "rt", encoding="utf-8", newline="") as file:
        frames = [row for row in csv.DictReader(file) if row["time"] >= CELL_FROM]
    kept = frames[::-1][::CELL_EVERY][::-1]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, CELL_COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    return len(kept)


def main() -> None:
    """Write every sample file and copy the licences of the recordings beside them."""
    source = recordings()
    lines = cut_alicante(source / "alicante", SAMPLES / "alicante_cut.csv")
    frames = cut_cell(source / "lisocl2", SAMPLES / "cell_cut.csv")
    fleet = valve_frost_fleet()
    fleet.write(SAMPLES / "synthetic_valve_frost.jsonl", SAMPLES / "synthetic_valve_frost_truth.csv")
    shutil.copyfile(source / "alicante" / "LICENCE", SAMPLES / "LICENCE-alicante.txt")
    shutil.copyfile(source / "lisocl2" / "LICENSE.txt", SAMPLES / "LICENSE-cell.txt")
    print(f"alicante {lines}, cell {frames}, synthetic {len(fleet.envelopes)} messages")


if __name__ == "__main__":
    main()
