"""The Alicante recordings through files and through a real mosquitto: equal lakes, exact account, speed, memory.

``python -m benchmarks.replay_alicante [--rows N] [--kills N]`` prints one table. Rows are published as envelopes with
QoS 1 and a window in flight; kills are kill -9 at random places of the replay, of the whole process group and of the
receiver alone in turn, each followed by a restart.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measure import PeakMemory
from ingest.account import State
from ingest.files import open_sources
from ingest.settings import CodecSettings
from ingest.spool import Spool
from lake.errors import SpoolError
from metriage.settings import load_settings
from tests.ingest.messages import same_lakes
from tests.processes import Daemon, Mosquitto, Publisher, run_metriage, status_of, wait_until
from tests.recordings import recordings_folder

_PATIENCE_S = 900.0

FILES = ("swm_trialA.zip", "swm_trialA_extended.zip")
SETTINGS = """\
topics = ["replay/#"]
client_id = "replay"
codec = "alicante"
source = "alicante"
received_at = "envelope"

[codecs.alicante]
columns = { meter_id = 1, ts = 2, volume_m3 = 3 }
ignore = [4]
units = { volume_m3 = "l" }
delimiter = ";"
time_format = "%d/%m/%Y %H:%M:%S"
timezone = "Europe/Madrid"
source = "alicante"
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a replay showed.

    Parameters
    ----------
    rows : int
        Rows of the recordings.
    files_s, mqtt_s : float
        From the first row until the last one was in the lake [s].
    peak_mb : float
        Greatest summed PSS of the daemon's process tree [MB].
    kills : int
        Times the daemon was killed.
    equal : bool
        Whether both lakes hold the same rows.
    files_account, mqtt_account : dict
        ``status --json`` of the two sites.
    """

    rows: int
    files_s: float
    mqtt_s: float
    peak_mb: float
    kills: int
    equal: bool
    files_account: dict[str, Any]
    mqtt_account: dict[str, Any]

    def lines(self) -> Iterator[str]:
        """Yield the table."""
        yield f"{'rows':24}{self.rows:>12,}"
        yield f"{'files':24}{self.files_s:>12.1f} s {self.rows / self.files_s:>10,.0f} rows/s"
        yield f"{'mosquitto, QoS 1':24}{self.mqtt_s:>12.1f} s {self.rows / self.mqtt_s:>10,.0f} msg/s"
        yield f"{'kill -9':24}{self.kills:>12}"
        yield f"{'peak summed PSS':24}{self.peak_mb:>12.0f} MB"
        yield f"{'lakes equal':24}{'yes' if self.equal else 'NO':>12}"
        for name, account in (("files", self.files_account), ("mosquitto", self.mqtt_account)):
            for kind in ("messages", "readings"):
                yield f"{f'{name}, {kind}':24}{json.dumps(account[kind])}"


def replay(files: list[Path], folder: Path, kills: int, seed: int = 1) -> Result:
    """Bring `files` into a lake directly and through mosquitto, and compare.

    Parameters
    ----------
    files : list of Path
        Files of the Alicante recordings.
    folder : Path
        For the two sites and the broker; must be empty.
    kills : int
        Times to kill the daemon during the replay.
    seed : int
        Of the places where it is killed.
    """
    with Mosquitto(folder / "broker") as broker:
        direct = make_site(folder / "direct", broker.url)
        # Between kills the lake must get its turn; otherwise the defaults are measured.
        replayed = make_site(folder / "replayed", broker.url, "\n[ingest]\ncommit_interval_s = 5\n" if kills else "")
        begun = time.perf_counter()
        run_metriage("ingest", "--dir", direct, "--codec", "alicante", "--json", "--from", *files)
        files_s = time.perf_counter() - begun
        rows = status_of(direct)["messages"]["received"]
        places = sorted(random.Random(seed).sample(range(1, rows), kills))
        with Daemon(replayed) as daemon:
            daemon.wait_connected()
            begun = time.perf_counter()
            peak_mb = _publish(broker.port, daemon, messages(files, replayed), rows, places)
            code = daemon.stop()
            mqtt_s = time.perf_counter() - begun
            if code:
                raise RuntimeError(daemon.log())
    return Result(
        rows, files_s, mqtt_s, peak_mb, kills, same_lakes(direct, replayed), status_of(direct), status_of(replayed)
    )


def make_site(folder: Path, url: str, more: str = "") -> Path:
    """Make a site folder for the recordings, with `more` settings."""
    folder.mkdir(parents=True)
    (folder / "metriage.toml").write_text(f'[[broker]]\nurl = "{url}"\n{SETTINGS}{more}', encoding="utf-8")
    return folder


def messages(files: list[Path], site: Path) -> Iterator[tuple[str, bytes]]:
    """Yield topic and envelope of every row."""
    codec = load_settings(site / "metriage.toml").codecs["alicante"]
    for source in open_sources(files, "alicante", codec, "alicante"):
        for _, _, line in source.messages():
            yield "replay/alicante", msgspec.json.encode({"payload": line.decode()})


def _publish(
    port: int, daemon: Daemon, envelopes: Iterator[tuple[str, bytes]], rows: int, places: Sequence[int]
) -> float:
    """Publish all rows until the daemon has them, killing it when its spool reaches `places`; return its peak [MB]."""
    peak_mb = 0.0
    with Publisher(port) as publisher, ThreadPoolExecutor(1) as executor:
        publishing = executor.submit(publisher.publish_all, envelopes)
        for turn, place in enumerate(places):
            memory = PeakMemory(daemon.process.pid)
            wait_until(lambda: spooled(daemon.site) >= place, "the replay to go on", _PATIENCE_S)  # noqa: B023
            daemon.kill(whole_group=turn % 2 == 0)
            peak_mb = max(peak_mb, memory.stop())
            daemon.start()
        memory = PeakMemory(daemon.process.pid)
        publishing.result()
        # What was killed comes again, so the spool has seen more messages than there are rows: ask the lake then.
        enough = (lambda: stored(daemon.site) >= rows) if places else (lambda: spooled(daemon.site) >= rows)
        wait_until(enough, "the replay to arrive", _PATIENCE_S)
        return max(peak_mb, memory.stop())


def spooled(site: Path) -> int:
    """Return how many messages ever reached the spool of a site."""
    try:
        with Spool(site / "spool", read_only=True) as spool:
            return spool.last_position()
    except SpoolError:
        return 0


def stored(site: Path) -> int:
    """Return how many messages of a site are stored in its lake."""
    try:
        with State(site / "spool", read_only=True) as state:
            return state.tally()[1].messages["stored"]
    except SpoolError:
        return 0


def run(*, smoke: bool) -> list[str]:
    """Return the lines of the result."""
    return report(rows=3_000 if smoke else None, kills=0)


def report(rows: int | None, kills: int) -> list[str]:
    """Replay the recordings, or their first `rows` rows, and return the lines of the result."""
    recordings = recordings_folder() / "alicante"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [recordings / file for file in FILES]
        if rows is not None:
            files = [cut(files[0], rows, folder / "cut.csv")]
        return list(replay(files, folder, kills).lines())


def cut(file: Path, rows: int, target: Path) -> Path:
    """Write the header and the first rows of a packed recording to `target`."""
    codec = msgspec.toml.decode(SETTINGS)["codecs"]["alicante"]
    [source, *_] = open_sources([file], "alicante", msgspec.convert(codec, CodecSettings), "alicante")
    with target.open("wb") as stream:
        stream.writelines(line + b"\n" for _, line in itertools.islice(source.part.lines(), rows + 1))
    return target


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="benchmarks.replay_alicante", description=__doc__)
    parser.add_argument("--rows", type=int, help="only so many rows [default: all]")
    parser.add_argument("--kills", type=int, default=0, help="times to kill the daemon [default: 0]")
    arguments = parser.parse_args()
    print("\n".join(report(arguments.rows, arguments.kills)))


if __name__ == "__main__":
    main()
