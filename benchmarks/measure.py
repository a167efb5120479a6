"""Measuring whole processes: time, CPU and the summed proportional memory (PSS) of a process tree."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run cost.

    Parameters
    ----------
    wall_s, cpu_s : float
        Time on the clock and on the processors [s].
    peak_mb : float
        Highest summed PSS of the process and its children [MB].
    said : str
        What it wrote on its standard output.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    said: str = ""


def tree_pss_mb(process: psutil.Process) -> float:
    """Return the summed PSS of a process and its descendants [MB]; what has just ended counts nothing."""
    total = 0
    for member in (process, *_children(process)):
        try:
            total += member.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


def anonymous_mb(process: psutil.Process) -> float:
    """Return the anonymous memory of one process [MB]: what it has taken itself, without pages of files.

    PSS divides the pages of libraries by how many processes map them, so that it moves when a neighbour comes or goes.
    """
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:  # it has just ended, or this is no Linux
        return 0.0
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss_Anon:")) * 1024 / 1e6


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


class PeakMemory:
    """Samples the memory of a process tree until told to stop.

    Parameters
    ----------
    pid : int
        Root of the tree.
    interval_s : float
        Between samples [s].
    """

    def __init__(self, pid: int, interval_s: float = 0.1) -> None:
        self.peak_mb = 0.0
        self._process = psutil.Process(pid)
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.peak_mb = max(self.peak_mb, tree_pss_mb(self._process))

    def stop(self) -> float:
        """Stop sampling and return the peak [MB]."""
        self._stop.set()
        self._thread.join()
        return self.peak_mb


def run_process(command: Sequence[str], variables: Mapping[str, str] | None = None) -> Figures:
    """Run a command to its end, with `variables` added to its environment, and return what it cost.

    Raises
    ------
    subprocess.CalledProcessError
        It failed.
    """
    before = time.perf_counter()
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(command, stdout=output, env=os.environ | (variables or {})) as process,
    ):
        peak = PeakMemory(process.pid)
        used = _wait(process)
        wall = time.perf_counter() - before
        peak_mb = peak.stop()
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Figures(wall, used, peak_mb, said)


def _wait(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process and return the CPU seconds that it and its waited-for children used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def median(runs: Sequence[Figures], figure: Callable[[Figures], float]) -> float:
    """Return the median of one figure over several runs."""
    return statistics.median(figure(run) for run in runs)


def python(*arguments: str) -> list[str]:
    """Return the command that runs this interpreter."""
    return [sys.executable, *arguments]
