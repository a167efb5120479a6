"""What is to be seen in the numbers of a picture: steps, silences, registers, plateaus.

For drawing only: verdicts are made in diagnostics. Times are in days, as matplotlib counts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_LEAST_STEP_M3 = 0.0005


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one column without gaps, in order of time.

    Parameters
    ----------
    t : ndarray of float, shape (n,)
        Local time [d], as matplotlib counts it.
    v : ndarray of float, shape (n,)
        Values in the column's unit.
    """

    t: Floats
    v: Floats

    def between(self, first: float, last: float) -> Series:
        """Return the part from `first` to `last` [d], inclusive."""
        inside = (self.t >= first) & (self.t <= last)
        return Series(self.t[inside], self.v[inside])

    def __len__(self) -> int:
        return len(self.t)


def odd_steps(volume: Series) -> Bools:
    """Mark steps that go backwards, or faster than this meter ever does by a factor of twenty."""
    step = np.diff(volume.v)
    rate = step / np.maximum(np.diff(volume.t), 1 / 96)
    forward = rate[step > 0]
    usual = float(np.quantile(forward, 0.98)) if len(forward) else np.inf
    return np.asarray((step < -_LEAST_STEP_M3) | ((rate > 20 * usual) & (step > 0.5)))


def in_bits(litres: float) -> str:
    """Return ' = 3 × 4096' for a step that is a small multiple of a power of two, as a flipped register bit is."""
    whole = abs(round(litres))
    for bit in (65536, 4096, 1024):
        if whole >= bit and whole % bit == 0 and whole // bit <= 16:
            return f" = {whole // bit} × {bit}"
    return ""


def longest_standstill(volume: Series, least_h: float = 72) -> tuple[float, float] | None:
    """Return start and end [d] of the longest time without advance while readings came, if longer than `least_h`."""
    if len(volume) < 2:
        return None
    moved = np.concatenate([[0], np.flatnonzero(np.diff(volume.v) > _LEAST_STEP_M3) + 1, [len(volume)]])
    start, end = volume.t[moved[:-1]], volume.t[moved[1:] - 1]
    longest = int(np.argmax(end - start))
    if 24 * (end[longest] - start[longest]) < least_h:
        return None
    return float(start[longest]), float(end[longest])


def tracks(volume: Series) -> npt.NDArray[np.int64]:
    """Tell two interleaved registers apart: a reading belongs to the register whose last value is nearer.

    The second track is the one with fewer readings until it alone goes on, as after an exchange.
    """
    track = np.zeros(len(volume), dtype=np.int64)
    if len(volume) < 3:
        return track
    usual = float(np.quantile(np.abs(np.diff(volume.v)), 0.9)) + 0.1
    last: list[float] = [float(volume.v[0])]
    for n in range(1, len(volume)):
        distance = [abs(float(volume.v[n]) - value) for value in last]
        nearest = int(np.argmin(distance))
        if distance[nearest] > 20 * usual and len(last) == 1:
            last.append(float(volume.v[n]))
            nearest = 1
        last[nearest] = float(volume.v[n])
        track[n] = nearest
    return track


def gaps_of(times: Floats) -> list[tuple[float, float]]:
    """Return start and end [d] of silences longer than a day and than six usual intervals."""
    if len(times) < 2:
        return []
    long = np.flatnonzero(np.diff(times) > longest_step(times))
    return [(float(times[n]), float(times[n + 1])) for n in long]


def longest_step(times: Floats) -> float:
    """Return the interval [d] above which a silence begins: a day, or six usual intervals."""
    return max(1.0, 6 * float(np.median(np.diff(times)))) if len(times) > 1 else 1.0


def advance(volume: Series, start: float, end: float) -> float | None:
    """Return how far the register went over a silence [m³]; None where it has no reading on one side."""
    before, after = volume.v[volume.t <= start + 1e-9], volume.v[volume.t >= end - 1e-9]
    return float(after[0] - before[-1]) if len(before) and len(after) else None


def mean_flow(volume: Series) -> float:
    """Return the mean flow over a series [m³/h]."""
    hours = 24 * float(np.ptp(volume.t)) if len(volume) > 1 else 0.0
    return float(np.ptp(volume.v)) / hours if hours else 0.0


def daily_use(volume: Series) -> tuple[Floats, Floats]:
    """Return noon of each day with readings [d] and how far the register advanced since the last such day [m³]."""
    frame = pl.DataFrame({"day": np.floor(volume.t), "v": volume.v}).group_by("day").agg(pl.col("v").last()).sort("day")
    return frame["day"].to_numpy() + 0.5, np.diff(frame["v"].to_numpy(), prepend=volume.v[0])


def daily_median(series: Series) -> tuple[Floats, Floats]:
    """Return noon of each day with values [d] and their median."""
    frame = pl.DataFrame({"day": np.floor(series.t), "v": series.v}).group_by("day").median().sort("day")
    return frame["day"].to_numpy() + 0.5, frame["v"].to_numpy()


def spread(values: Floats) -> float:
    """Return a robust standard deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def spans_of(words: list[tuple[float, str]], end: float) -> list[tuple[float, float, str]]:
    """Return (start, end, word) with equal neighbours joined."""
    spans: list[tuple[float, float, str]] = []
    for at, word in words:
        if spans and spans[-1][2] == word:
            continue
        if spans:
            spans[-1] = (spans[-1][0], at, spans[-1][2])
        spans.append((at, end, word))
    return spans


def merged(spans: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yield spans (start, end) with overlapping ones joined, in order."""
    open_span: tuple[float, float] | None = None
    for start, end in sorted(spans):
        if open_span is not None and start <= open_span[1]:
            open_span = (open_span[0], max(open_span[1], end))
            continue
        if open_span is not None:
            yield open_span
        open_span = (start, end)
    if open_span is not None:
        yield open_span
