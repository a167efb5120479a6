"""What is drawn in more than one picture: register, steps, flow, valve, and the axes' dates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text

from metriage.picture_marks import Bools, Series, in_bits, longest_step, merged, spans_of
from metriage.picture_story import Story, end_of, font_families, plain

# Colours that remain distinct for colour-blind eyes.
NORMAL, BAD, WARN, QUIET, SECOND, COLD = "#33638d", "#cc3311", "#e07b00", "#8a8a8a", "#117733", "#6baed6"

_MOST_REFUSALS = 6

Place = Literal["upper left", "lower left", "lower right", "center right"]


def draw_register(axis: Axes, volume: Series, story: Story, *, marker: bool = False) -> None:
    """Draw the register, broken where the meter was silent."""
    broken = np.flatnonzero(np.diff(volume.t) > longest_step(volume.t))
    t, v = np.insert(volume.t, broken + 1, np.nan), np.insert(volume.v, broken + 1, np.nan)
    axis.plot(t, v, ".-" if marker else "-", color=NORMAL, lw=1.4, markersize=3)
    axis.set_ylabel(story.labels["register"])


def draw_steps(axis: Axes, volume: Series, odd: Bools, story: Story) -> None:
    """Draw the change from each reading to the next [L], odd ones in red."""
    litres = 1000 * np.diff(volume.v)
    axis.vlines(volume.t[1:][~odd], 0, litres[~odd], color=NORMAL, lw=0.8, alpha=0.7)
    axis.vlines(volume.t[1:][odd], 0, litres[odd], color=BAD, lw=1.8)
    axis.plot(volume.t[1:][odd], litres[odd], "o", color=BAD, markersize=3)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_ylabel(story.labels["step"])
    backwards = odd & (litres < 0)
    if backwards.any() and (litres > 0).any():
        # Small backward steps must not drown in a morning's use.
        depth = -litres[backwards].min()
        axis.set_ylim(-1.6 * depth, min(litres.max() * 1.1, 4 * depth))
    finish((axis,), story)


def draw_zoom(axis: Axes, volume: Series, worst: int, odd: Bools, story: Story) -> None:
    """Draw the dozen readings around step number `worst`, the odd steps labelled."""
    first, last = max(worst - 5, 0), min(worst + 7, len(volume))
    part = slice(first, last)
    axis.plot(volume.t[part], volume.v[part], "o-", color=NORMAL, markersize=4, lw=1.2)
    axis.margins(x=0.08, y=0.22)
    labelled = range(first + 1, last)
    for n in (n for n in labelled if odd[n - 1]):
        litres = 1000 * (volume.v[n] - volume.v[n - 1])
        axis.plot(volume.t[n - 1 : n + 1], volume.v[n - 1 : n + 1], "-", color=BAD, lw=2.5)
        if litres > 0 and n > 1 and odd[n - 2]:
            continue  # the way back from the step before it
        axis.annotate(
            f"{litres:+,.0f} L{in_bits(litres)}", (volume.t[n], volume.v[n]), textcoords="offset points",
            xytext=(0, -13 if litres < 0 else 8), ha="center", fontsize=8.5, color=BAD, fontweight="bold",
        )  # fmt: skip
    axis.set_ylabel(story.labels["register"])
    axis.set_title(story.labels["close_look"], fontsize=9, loc="left", color=QUIET)
    axis.ticklabel_format(axis="y", useOffset=False)
    finish((axis,), story, mark_onset=False)


def draw_flow(axis: Axes, volume: Series, closed: list[tuple[float, float]], story: Story) -> float:
    """Draw the flow between readings, red where the valve should be shut; return what passed then [m³]."""
    passed = 0.0
    forbidden = np.zeros(max(len(volume) - 1, 0), dtype=np.bool_)
    for start, end in merged(closed):
        forbidden |= (volume.t[:-1] >= start - 1e-6) & (volume.t[1:] <= end + 1e-6)
        axis.axvspan(start, end, color=WARN, alpha=0.15, lw=0)
    if len(volume) > 1:
        hours = np.maximum(24 * np.diff(volume.t), 1 / 60)
        flow = np.diff(volume.v) / hours
        flow[hours > 36] = np.nan
        bad = forbidden & (np.diff(volume.v) > 0)
        axis.stairs(flow, volume.t, color=NORMAL, lw=0.9, baseline=None)
        if bad.any():
            # Neighbouring bars of one colour: thin hours must not vanish between pixels.
            axis.vlines(volume.t[1:][bad], 0, flow[bad], color=BAD, lw=1.2, label=story.labels["flow_shut"])
        passed = float(np.diff(volume.v)[bad].sum())
    axis.set_ylabel(story.labels["flow"])
    legend(axis, loc="upper left")
    return passed


def draw_lanes(
    axis: Axes, told: list[tuple[float, float, str]], says: list[tuple[float, float, str]], story: Story
) -> None:
    """Draw what the valve was told above what it says."""
    colours = {"open": SECOND, "close": WARN, "closed": WARN, "moving": COLD, "fault": BAD, "unknown": QUIET}
    named: set[str] = set()
    for height, spans in ((1, told), (0, says)):
        for word in sorted({word for _, _, word in spans}):
            shown = story.labels.get({"close": "closed"}.get(word, word), plain(word))
            bars = [(start, end - start) for start, end, other in spans if other == word]
            axis.broken_barh(bars, (height - 0.28, 0.56), facecolors=colours.get(word, QUIET), lw=0,
                             label=None if shown in named else shown)  # fmt: skip
            named.add(shown)
    refusals = story.words("valve_refusal")
    axis.plot([at for at, _ in refusals], [1] * len(refusals), "x", color="black", markersize=8, mew=2)
    for n, (at, _, word) in enumerate(spans_of(refusals, end_of(story))[:_MOST_REFUSALS]):
        # Neighbouring words lean away from each other, and the third climbs a line.
        left = n % 2 == 0
        axis.annotate(story.say("refused", why=plain(word)), (at, 1), textcoords="offset points", fontsize=8,
                      xytext=(-6 if left else 6, 22 + 9 * (n // 2 % 2)), ha="right" if left else "left")  # fmt: skip
    answered = {at for at, _ in refusals}
    commands = [(at, word) for at, word in story.words("valve_command") if at not in answered]
    for word, symbol in (("close", "v"), ("open", "^")):
        moments = [t for t, w in commands if w == word]
        axis.plot(moments, [1.45] * len(moments), symbol, color="black", markersize=6)
    axis.set_yticks([1, 0], [story.labels["told"], story.labels["says"]])
    axis.set_ylim(-0.45, 2.7)
    legend(axis, columns=5)


def draw_strokes(axis: Axes, story: Story) -> None:
    """Draw travel time and motor current of every stroke."""
    travel, current = story.series("valve_travel_s"), story.series("valve_current_ma")
    (line,) = axis.plot(travel.t, travel.v, "o-", color=NORMAL, markersize=4, lw=1, label=story.labels["travel"])
    axis.set_ylabel(story.labels["travel"], color=NORMAL)
    axis.set_ylim(0, 1.5 * max(travel.v.max(), 1))
    lines = [line]
    if len(current):
        twin = axis.twinx()
        lines += twin.plot(current.t, current.v, "s--", color=WARN, markersize=3.5, lw=1, label=story.labels["current"])
        twin.set_ylabel(story.labels["current"], color=WARN)
        twin.set_ylim(0, 1.5 * max(current.v.max(), 1))
    axis.legend(handles=lines, loc="upper left", fontsize=8, framealpha=0.85, ncols=2)


def finish(
    axes: tuple[Axes, ...] | npt.NDArray[Any],
    story: Story,
    *,
    crop: tuple[float, float] | None = None,
    mark_onset: bool = True,
) -> None:
    """Give axes their dates, onset line and light grid."""
    for axis in axes:
        axis.grid(visible=True, color="#dddddd", lw=0.6)
        axis.set_axisbelow(True)
        axis.xaxis_date()
        locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axis.tick_params(labelsize=8.5)
        if crop is not None:
            axis.set_xlim(*crop)
        low, high = axis.get_xlim()
        if mark_onset and story.onset is not None and low <= story.onset <= high:
            axis.axvline(story.onset, color=BAD, ls="--", lw=1.2)
            if axis is axes[0]:
                axis.annotate(story.labels["onset"], (story.onset, 1), xycoords=("data", "axes fraction"), fontsize=8.5,
                              xytext=(3, -10), textcoords="offset points", color=BAD)  # fmt: skip
            axis.set_xlim(low, high)


def legend(axis: Axes, loc: Place = "upper left", columns: int = 1) -> None:
    """Add a legend where there is something to name."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc=loc, fontsize=8, framealpha=0.85, ncols=columns)


def note(axis: Axes, text: str) -> None:
    """Write `text` where there is nothing to draw."""
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", fontsize=11, color=QUIET)


def saved(figure: Figure, file: Path) -> Path:
    """Write a figure as PNG in one step and return the file; what meters send is no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_fontfamily(font_families())
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    figure.savefig(part, format="png")
    part.replace(file)
    return file
