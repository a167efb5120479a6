"""``python -m benchmarks.soak``: half an hour at half the maximum rate, brokers restarting, compaction running.

Plain readings, since only these come as fast as the line is; with ``--mixed`` everything that the crash harness sends,
poison and profiles and late data, at half of what its publisher reaches.

Every few seconds the daemon's memory (summed PSS of its processes), open files, threads, lag, spool, log of the spool
and files of the lake are taken down. At the end the lag must be back to zero, every acknowledged message in the lake
exactly once, the account exact, and the memory flat: the median of the last third no more than a tenth, or 20 MB, above
that of the first third after the warm-up.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil
from matplotlib.figure import Figure

from benchmarks.measure import anonymous_mb, tree_pss_mb
from benchmarks.plain_line import PlainLine
from benchmarks.replay_alicante import spooled
from ingest.account import State
from lake.errors import SpoolError
from tests.crash.line import Line, Outcome
from tests.processes import wait_until

AnyLine = Line | PlainLine

_BURST_S = 15.0
_MOST_RATE = 200_000.0  # messages a second, to know how far back the first readings must lie
_WARM_UP = 0.15
_SLACK_MB = 20.0
_SLACK = 1.10


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of the soak.

    Parameters
    ----------
    at_s : float
        Since the beginning [s].
    pss_mb : float
        Summed proportional memory of the daemon's processes [MB].
    own_mb : float
        Anonymous memory of those that last: the daemon and its writer, without a compaction beside them [MB].
    descriptors, threads, processes : int
        Of the daemon's processes together.
    sent : int
        Messages acknowledged to the publisher.
    lag : int
        Of these, not yet in the spool.
    waiting : int
        In the spool, not yet in the lake.
    spool_mb, wal_mb : float
        Size of the spool and of its write-ahead log [MB].
    lake_files : int
        Parquet files below ``lake/``, also those that wait to be removed.
    lake_mb : float
        Their size [MB].
    """

    at_s: float
    pss_mb: float
    own_mb: float
    descriptors: int
    threads: int
    processes: int
    sent: int
    lag: int
    waiting: int
    spool_mb: float
    wal_mb: float
    lake_files: int
    lake_mb: float


class Sampler:
    """Takes down samples of a line until told to stop.

    Parameters
    ----------
    line : Line or PlainLine
        What is watched.
    interval_s : float
        Between samples [s].
    """

    def __init__(self, line: AnyLine, interval_s: float) -> None:
        self.samples: list[Sample] = []
        self._line = line
        self._interval_s = interval_s
        self._begun = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.samples.append(self._take())

    def _take(self) -> Sample:
        root = psutil.Process(self._line.daemon.process.pid)
        members = [root, *root.children(recursive=True)]
        spool, lake = self._line.site / "spool", self._line.site / "lake"
        parquet = [size for file in lake.rglob("part-*.parquet") if (size := _size(file))]
        sent = self._line.meters.acknowledged
        received = spooled(self._line.site)
        return Sample(
            at_s=round(time.monotonic() - self._begun, 1),
            pss_mb=round(tree_pss_mb(root), 1),
            own_mb=round(sum(anonymous_mb(member) for member in (root, *filter(_lasts, members[1:]))), 1),
            descriptors=sum(_of(member.num_fds) for member in members),
            threads=sum(_of(member.num_threads) for member in members),
            processes=len(members),
            sent=sent,
            lag=max(0, sent - received),
            waiting=max(0, received - _position(self._line.site)),
            spool_mb=round(_size(spool / "spool.db") / 1e6, 2),
            wal_mb=round(_size(spool / "spool.db-wal") / 1e6, 2),
            lake_files=len(parquet),
            lake_mb=round(sum(parquet) / 1e6, 1),
        )

    def stop(self) -> list[Sample]:
        """Stop, and return the samples."""
        self._stop.set()
        self._thread.join()
        return self.samples


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # compaction was faster
        return 0


def _of(count: Callable[[], int]) -> int:
    try:
        return count()
    except psutil.Error:  # it has just ended
        return 0


def _lasts(process: psutil.Process) -> bool:
    """Tell the writer from a compaction, which comes and goes."""
    try:
        return "compact" not in process.cmdline()
    except psutil.Error:
        return False


def _position(site: Path) -> int:
    try:
        with State(site / "spool", read_only=True) as state:
            return state.position()
    except SpoolError:
        return 0


def make_line(folder: Path, *, mixed: bool, seed: int, rate: float, seconds: float, compact_every_s: float) -> AnyLine:
    """Return a line whose meters are ready to send."""
    if mixed:
        return Line(folder, seed, rate=rate, ingest=_INGEST, commit_interval_s=5, compact_every_s=compact_every_s)
    most = min(rate, _MOST_RATE) * seconds
    return PlainLine(folder, rate=rate, most=most, compact_every_s=compact_every_s)


def measure_maximum(folder: Path, seed: int, *, mixed: bool) -> float:
    """Return how many messages a second go from publisher to lake on this machine, in a short burst."""
    with make_line(folder, mixed=mixed, seed=seed, rate=float("inf"), seconds=2 * _BURST_S, compact_every_s=0) as line:
        begun = time.monotonic()
        line.meters.flow()
        time.sleep(_BURST_S)
        line.settle()
        return line.meters.sent / (time.monotonic() - begun)


_INGEST = "commit_messages = 100000"


def soak(
    folder: Path, *, minutes: float, rate: float, seed: int, restart_every_s: float, interval_s: float, mixed: bool,
    say: Callable[[str], None],
) -> tuple[list[Sample], Outcome]:  # fmt: skip
    """Run the soak; return its samples and what was found at the end."""
    outcome = Outcome("soak")
    with make_line(folder, mixed=mixed, seed=seed, rate=rate, seconds=60 * minutes + 60, compact_every_s=60) as line:
        sampler = Sampler(line, interval_s)
        begun = time.monotonic()
        line.meters.flow()
        restart_at = begun + restart_every_s
        while time.monotonic() - begun < 60 * minutes:
            time.sleep(min(1.0, interval_s))
            if line.daemon.process.poll() is not None:
                raise RuntimeError(
                    f"the daemon ended with {line.daemon.process.returncode}: {line.daemon.log()[-4000:]}"
                )
            if time.monotonic() >= restart_at:
                restart_at += restart_every_s
                outcome.runs += 1
                line.mosquitto.stop()
                line.mosquitto.start()
                say(f"{time.monotonic() - begun:6.0f} s: broker restart {outcome.runs}; {sampler.samples[-1]}")
        line.meters.pause()
        wait_until(lambda: _waits_for_nothing(line), "the lag to be zero", 300)
        samples = sampler.stop()
        line.judge(outcome)
        outcome.seconds = time.monotonic() - begun
    outcome.verdict.problems += grown(samples)
    return samples, outcome


def _waits_for_nothing(line: AnyLine) -> bool:
    received = spooled(line.site)
    return received >= line.meters.acknowledged and received == _position(line.site)


def grown(samples: Sequence[Sample]) -> list[str]:
    """Return what has grown from each third of the soak to the next, after the warm-up.

    A leak grows in both steps. What grows in the first alone fills up to its bound: the duplicate index, the backlog
    that other work on the machine causes, threads of the pool that the lake's writer keeps. Judged is the memory that
    the lasting processes have taken themselves: PSS counts pages of libraries, by how many others map them.
    """
    settled = samples[int(len(samples) * _WARM_UP) :]
    third = max(1, len(settled) // 3)
    problems = []
    for name, slack in (("own_mb", _SLACK_MB), ("descriptors", 20), ("threads", 5), ("wal_mb", 70.0)):
        first, second, last = (
            statistics.median(getattr(s, name) for s in part)
            for part in (settled[:third], settled[third:-third] or settled[-third:], settled[-third:])
        )
        grown_twice = second > first and last > second + slack / 4
        if grown_twice and last > max(first * _SLACK, first + slack):
            problems.append(f"{name} has grown: medians of the thirds {first:g}, {second:g}, {last:g}")
    return problems


def lines(samples: Sequence[Sample], outcome: Outcome, rate: float) -> list[str]:
    """Return the table of the result."""
    settled = samples[int(len(samples) * _WARM_UP) :]
    third = max(1, len(settled) // 3)
    verdict = outcome.verdict

    def thirds(name: str) -> str:
        parts = (settled[:third], settled[third:-third] or settled, settled[-third:])
        values = [statistics.median(getattr(sample, name) for sample in part) for part in parts]
        peak = max(getattr(sample, name) for sample in samples)
        return " | ".join(f"{value:,.1f}" for value in (*values, peak))

    summary = (
        f"{outcome.acknowledged:,} messages in {outcome.seconds:,.0f} s at {rate:,.0f} msg/s, {outcome.runs} broker "
        f"restarts, {verdict.redelivered:,} redelivered, {verdict.lost} lost, {verdict.doubled} doubled"
    )
    table = [
        summary,
        "",
        "| median of each third after the warm-up | first | second | last | peak |",
        "|---|---|---|---|---|",
    ]
    names = [field.name for field in fields(Sample) if field.name not in {"at_s", "sent"}]
    table += [f"| {name} | {thirds(name)} |" for name in names]
    return [*table, "", *(f"WRONG: {problem}" for problem in verdict.problems or ())] + (
        [] if verdict.problems else ["memory flat, lag zero, account exact"]
    )


def draw(samples: Sequence[Sample], file: Path) -> None:
    """Draw the samples over time."""
    names = ("pss_mb", "own_mb", "lag", "waiting", "wal_mb", "lake_files", "descriptors")
    figure = Figure(figsize=(9, 11), layout="constrained")
    axes = figure.subplots(len(names), 1, sharex=True)
    for axis, name in zip(axes, names, strict=True):
        axis.plot([s.at_s / 60 for s in samples], [getattr(s, name) for s in samples], linewidth=1)
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("minutes")
    figure.savefig(file, dpi=110)


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long [default: 30]")
    parser.add_argument("--rate", type=float, help="messages a second [default: half of what a burst shows]")
    parser.add_argument("--restart-every", type=float, default=180, help="between broker restarts [s, default: 180]")
    parser.add_argument("--interval", type=float, default=5, help="between samples [s, default: 5]")
    parser.add_argument("--seed", type=int, default=1, help="of the messages [default: 1]")
    parser.add_argument("--mixed", action="store_true", help="all that the crash harness sends, more slowly")
    parser.add_argument("--out", type=Path, help="folder for soak.csv and soak.png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metriage-soak-") as name:
        folder = Path(name)
        rate = options.rate
        if rate is None:
            rate = measure_maximum(folder / "burst", options.seed, mixed=options.mixed) / 2
            print(f"half the maximum rate is {rate:,.0f} msg/s", flush=True)
        samples, outcome = soak(
            folder / "soak", minutes=options.minutes, rate=rate, seed=options.seed,
            restart_every_s=options.restart_every, interval_s=options.interval, mixed=options.mixed,
            say=lambda text: print(text, flush=True),
        )  # fmt: skip
    print("\n".join(lines(samples, outcome, rate)))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        with (options.out / "soak.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(Sample)])
            writer.writeheader()
            writer.writerows(map(asdict, samples))
        draw(samples, options.out / "soak.png")
    return 1 if outcome.verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
