"""The whole line, MQTT to files that last, beside mq-bridge, Pathway and a script of paho and pandas.

One broker, the same messages, the contestants in turn, several rounds, medians. The broker has queued everything in the
contestant's own session before it connects. Time and CPU count from the broker's acceptance of the connection (so no
imports) until the last message lies in its final place:

- metriage ingest, default settings: decoded, validated, deduplicated, flagged, fsynced and committed in the lake, and
  the account closed. Messages come in multiples of its commit of 100,000, so no round waits for the commit interval;
  where they do not (``--smoke``), SIGTERM drains the spool into the lake as soon as it has everything.
- mq-bridge, Pathway, pandas: see the programs in ``yardsticks/``; the rows are in closed Parquet files or JSON lines.

``python -m benchmarks whole_line`` compares; ``python -m benchmarks.whole_line --only metriage --messages 1000000``
shows one contestant with another backlog, ``--profiles`` sends daily messages with 24 hourly registers instead.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psutil

from benchmarks.flood import drop_session, open_session, publish
from benchmarks.measure import PeakMemory
from ingest.account import State
from ingest.spool import Spool
from lake.errors import SpoolError
from tests.processes import Mosquitto, run_metriage, wait_until
from tests.recordings import ROOT

COMPARE = ROOT / ".venv-compare" / "bin" / "python"
_TOPIC = "meters/+/readings"
METERS = 10_000
_POLL_S = 0.05
_PATIENCE_S = 600.0
_COMMIT = 100_000  # messages that our daemon commits at once by default

Messages = Iterator[tuple[str, bytes]]


def hourly(count: int, begin: int) -> Messages:
    """Yield so many messages of some 180 bytes, one reading each, hour by hour from `begin` [s since 1970 UTC]."""
    for number in range(count):
        yield hourly_message(number, begin)


def hourly_message(number: int, begin: int) -> tuple[str, bytes]:
    """Return topic and payload of such a message."""
    hour, meter = divmod(number, METERS)
    text = (
        f'{{"meter_id": "meter-{meter:06}", "ts": {begin + hour * 3600}, "volume_m3": {100 + number / 1e4:.4f}, '
        f'"battery_v": 3.58, "rssi_dbm": -97, "ambient_temperature_c": {12 + meter % 80 / 10}, '
        f'"valve_state": "open", "seq": {hour}, "status": 0}}'
    )
    return f"meters/meter-{meter:06}/readings", text.encode()


def daily(count: int, begin: int) -> Messages:
    """Yield so many messages with a profile of 24 hourly registers each, day by day from `begin`."""
    for number in range(count):
        day, meter = divmod(number, METERS)
        start = begin + day * 86_400
        registers = ", ".join(f"{100 + number / 1e4 + hour / 50:.3f}" for hour in range(24))
        text = (
            f'{{"meter_id": "meter-{meter:06}", "ts": {start + 86_400}, "battery_v": 3.58, "rssi_dbm": -97, '
            f'"seq": {day}, "status": 0, '
            f'"profile": {{"start": {start}, "step_s": 3600, "volume_m3": [{registers}]}}}}'
        )
        yield f"meters/meter-{meter:06}/readings", text.encode()


@dataclass(frozen=True, slots=True)
class Result:
    """What one contestant needed in one round.

    Parameters
    ----------
    seconds, cpu_s : float
        On the clock, and of its process tree on the processors [s].
    peak_mb : float
        Highest summed PSS of its tree [MB].
    files, size : int
        Files with rows that it left, and their bytes.
    """

    seconds: float
    cpu_s: float
    peak_mb: float
    files: int
    size: int


class Parquet:
    """Counts the rows of the Parquet files of a folder; each footer is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[Path, int] = {}

    def rows(self) -> int:
        """Return how many rows are there; a file without its footer counts nothing."""
        for file in self._folder.rglob("*.parquet"):
            if file not in self._rows:
                try:
                    self._rows[file] = int(pl.scan_parquet(file).select(pl.len()).collect().item())
                except (pl.exceptions.PolarsError, OSError):
                    continue
        return sum(self._rows.values())


class Lines:
    """Counts the lines of a file that grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = self._count = 0

    def rows(self) -> int:
        """Return how many lines are there."""
        if self._file.exists():
            with self._file.open("rb") as stream:
                stream.seek(self._read)
                while data := stream.read(1 << 20):
                    self._read += len(data)
                    self._count += data.count(b"\n")
        return self._count


class Committed:
    """Counts the messages of a site that are in the lake and in the account."""

    def __init__(self, site: Path) -> None:
        self._spool = site / "spool"

    def received(self) -> int:
        """Return how many messages the spool has ever held."""
        with Spool(self._spool, read_only=True) as spool:
            return spool.last_position()

    def rows(self) -> int:
        """Return how many messages are accounted for."""
        try:
            with State(self._spool, read_only=True) as state:
                return state.position()
        except SpoolError:
            return 0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way from the broker to files.

    Parameters
    ----------
    name : str
        How the table calls it.
    command : callable
        What to run, from port, client id and folder.
    done : callable
        What counts the durable messages in the folder.
    pattern : str
        Its files with rows.
    """

    name: str
    command: Callable[[int, str, Path], list[str]]
    done: Callable[[Path], Parquet | Lines | Committed]
    pattern: str


def _metriage(port: int, client_id: str, folder: Path) -> list[str]:
    run_metriage("init", folder)
    broker = f'[[broker]]\nurl = "mqtt://127.0.0.1:{port}"\nclient_id = "{client_id}"\n'
    with (folder / "metriage.toml").open("a", encoding="utf-8") as stream:
        stream.write(f'\n{broker}topics = ["{_TOPIC}"]\n')
    return [sys.executable, "-m", "metriage", "ingest", "--dir", str(folder)]


def _yardstick(program: str) -> Callable[[int, str, Path], list[str]]:
    path = ROOT / "benchmarks" / "yardsticks" / f"{program}.py"
    return lambda port, client_id, folder: [str(COMPARE), str(path), str(port), client_id, str(folder)]


METRIAGE = Contestant("metriage ingest", _metriage, Committed, "lake/readings/**/*.parquet")
YARDSTICKS = (
    Contestant("mq-bridge 1.2 to Parquet", _yardstick("mq_bridge_line"), Parquet, "**/*.parquet"),
    Contestant("Pathway 0.33 to JSON lines", _yardstick("pathway_line"),
               lambda folder: Lines(folder / "readings.jsonl"), "*.jsonl"),
    Contestant("paho + pandas to Parquet", _yardstick("pandas_line"), Parquet, "**/*.parquet"),
)  # fmt: skip


class Broker(Mosquitto):
    """A mosquitto that leaves the window of unacknowledged messages to its clients: each takes what suits it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stop()
        file = folder / "mosquitto.conf"
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub("max_inflight_messages .*", "max_inflight_messages 0", text), encoding="utf-8")
        self._messages = folder / "mosquitto.log"
        self.start()

    def accepted(self, client_id: str) -> int:
        """Return how many connections of a client it has accepted."""
        return self._messages.read_text(encoding="utf-8", errors="replace").count(f" as {client_id} (")


def tree_cpu_s(root: psutil.Process) -> float:
    """Return the CPU seconds of a process and its descendants, 0 where it is gone."""
    try:
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    except psutil.Error:
        return 0.0
    return sum(time.user + time.system for time in times)


def compete(contestant: Contestant, broker: Broker, folder: Path, messages: Messages, *, drain: bool) -> Result:
    """Bring `messages` from `broker` through one contestant into `folder`, and measure.

    Parameters
    ----------
    contestant : Contestant
        Who.
    broker : Broker
        Where it connects.
    folder : Path
        Its own; must not exist.
    messages : iterator of (topic, payload)
        What is queued for it.
    drain : bool
        Whether to stop our daemon as soon as its spool has everything: a last commit would wait for its interval.
    """
    client_id = f"line-{folder.name}"
    open_session(broker.port, client_id, _TOPIC)
    before = broker.accepted(client_id)
    count = publish(broker.port, messages)
    folder.mkdir()
    command = contestant.command(broker.port, client_id, folder)
    log = folder.with_suffix(".log")
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream, start_new_session=True)
    root = psutil.Process(process.pid)
    memory = PeakMemory(process.pid, interval_s=0.25)
    try:
        result = _watch(contestant, broker, folder, process, root, client_id, before, count, drain=drain)
    except BaseException:
        print(log.read_text(encoding="utf-8", errors="replace")[-3000:])
        raise
    finally:
        peak = memory.stop()
        _end(process, root)
        drop_session(broker.port, client_id)
    files = [file for file in folder.glob(contestant.pattern) if file.is_file()]
    return Result(*result, peak, len(files), sum(file.stat().st_size for file in files))


def _watch(
    contestant: Contestant, broker: Broker, folder: Path, process: subprocess.Popen[bytes], root: psutil.Process,
    client_id: str, before: int, count: int, *, drain: bool,
) -> tuple[float, float]:  # fmt: skip
    """Return the seconds and the CPU seconds from the connection until all is durable."""
    wait_until(lambda: process.poll() is not None or broker.accepted(client_id) > before, "a connection", _PATIENCE_S)
    begin, idle = time.perf_counter(), tree_cpu_s(root)
    used = idle
    done = contestant.done(folder)
    stopped = False
    while done.rows() < count:
        if process.poll() is not None and done.rows() < count:
            raise RuntimeError(f"{contestant.name} ended with {process.returncode}, {done.rows()} of {count} there")
        if time.perf_counter() - begin > _PATIENCE_S:
            raise TimeoutError(f"{contestant.name} has {done.rows()} of {count} after {_PATIENCE_S:g} s")
        if drain and not stopped and isinstance(done, Committed) and done.received() >= count:
            process.terminate()
            stopped = True
        time.sleep(_POLL_S)
        used = max(used, tree_cpu_s(root))
    return time.perf_counter() - begin, used - idle


def _end(process: subprocess.Popen[bytes], root: psutil.Process) -> None:
    """End a contestant: politely, then with all that it started."""
    members = [root, *root.children(recursive=True)] if process.poll() is None else []
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        for member in members:
            if member.is_running():
                member.kill()
        process.wait()


def table(results: dict[str, list[Result]], messages: int, readings: int) -> list[str]:
    """Return a line a contestant, of medians, and the ratios to the first."""
    lines = [f"{'':28}{'msg/s':>9}{'s':>8}{'CPU us/msg':>12}{'peak MB':>9}{'files':>7}{'kB a file':>11}"]
    rates: dict[str, float] = {}
    for name, runs in results.items():
        seconds = statistics.median(run.seconds for run in runs)
        rates[name] = messages / seconds
        cpu = statistics.median(run.cpu_s for run in runs) / messages * 1e6
        peak = statistics.median(run.peak_mb for run in runs)
        files = statistics.median(run.files for run in runs)
        size = statistics.median(run.size for run in runs) / files / 1e3
        lines.append(f"{name:28}{rates[name]:9,.0f}{seconds:8.1f}{cpu:12.1f}{peak:9.0f}{files:7.0f}{size:11,.0f}")
        if readings != messages:
            lines[-1] += f"   {readings / seconds:,.0f} readings/s"
    first, *others = rates
    return [*lines, *(f"ratio of msg/s to {name:26}{rates[first] / rates[name]:6.2f}" for name in others)]


def measure(
    contestants: Sequence[Contestant], messages: int, rounds: int, kind: Callable[[int, int], Messages] = hourly
) -> list[str]:
    """Return the table of several rounds."""
    begin = int(time.time()) // 3600 * 3600 - (messages // METERS + 2) * (86_400 if kind is daily else 3600)
    results: dict[str, list[Result]] = {contestant.name: [] for contestant in contestants}
    with tempfile.TemporaryDirectory() as name, Broker(Path(name) / "broker") as broker:
        for number in range(rounds):
            for place, contestant in enumerate(contestants):
                folder = Path(name) / f"{number}-{place}"
                drain = bool(messages % _COMMIT) or kind is daily
                result = compete(contestant, broker, folder, kind(messages, begin), drain=drain)
                results[contestant.name].append(result)
                print(f"  round {number + 1}: {contestant.name} {result.seconds:.1f} s", file=sys.stderr)
                shutil.rmtree(folder)
    return table(results, messages, messages * (25 if kind is daily else 1))


def run(*, smoke: bool) -> list[str]:
    """Return the lines of the result."""
    messages, rounds = (3_000, 1) if smoke else (300_000, 5)
    backlog = 5_000 if smoke else 1_000_000
    days = messages // 100 if smoke else 40_000
    contestants = [METRIAGE]
    remarks = []
    if COMPARE.exists():
        contestants += YARDSTICKS
    else:
        remarks.append("NOT MEASURED: mq-bridge, Pathway, pandas. There is no .venv-compare; run: make compare")
    fastest = [contestant for contestant in contestants if contestant.name.startswith(("metriage", "Pathway"))]
    return [
        f"{messages:,} messages of one reading in the broker's queue, median of {rounds}",
        *measure(contestants, messages, rounds),
        *remarks,
        f"{backlog:,} of them, median of {rounds}",
        *measure(fastest, backlog, rounds),
        f"{days:,} daily messages with a profile of 24 hours and a reading of their own, median of {rounds}",
        *measure([METRIAGE], days, rounds, daily),
    ]


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks.whole_line", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--messages", type=int, default=300_000, help="default 300000")
    parser.add_argument("--rounds", type=int, default=1, help="default 1")
    parser.add_argument("--only", action="append", help="contestants whose name begins so; default: all")
    parser.add_argument("--profiles", action="store_true", help="daily messages with 24 hourly registers")
    arguments = parser.parse_args()
    wanted = tuple(arguments.only or ("",))
    contestants = [contestant for contestant in (METRIAGE, *YARDSTICKS) if contestant.name.startswith(wanted)]
    kind = daily if arguments.profiles else hourly
    print("\n".join(measure(contestants, arguments.messages, arguments.rounds, kind)))


if __name__ == "__main__":
    main()
