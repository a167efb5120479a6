"""One picture a finding: what the meter sent, and the one thing in it that a technician has to see.

Strings of meters are hostile: they are cut, stripped of control characters and never read as mathematics.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from metriage.picture_marks import (
    Bools,
    Floats,
    Series,
    advance,
    daily_median,
    daily_use,
    gaps_of,
    in_bits,
    longest_standstill,
    longest_step,
    mean_flow,
    merged,
    odd_steps,
    spans_of,
    spread,
    tracks,
)
from metriage.picture_texts import FAULT_NAMES, LABELS, VERDICT_WORDS

# Colours that remain distinct for colour-blind eyes.
NORMAL, BAD, WARN, QUIET, SECOND, COLD = "#33638d", "#cc3311", "#e07b00", "#8a8a8a", "#117733", "#6baed6"
_BADGES = {"act": BAD, "watch": WARN, "clear": SECOND}

_LONGEST_NAME = 64
_MOST_REFUSALS = 6
_CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "SimHei",
    "Noto Sans CJK JP",  # the face that matplotlib finds first in the collection; it has the Chinese characters too
)


@dataclass(frozen=True, slots=True)
class _Story:
    """What a painter may draw from."""

    readings: pl.DataFrame
    daily: pl.DataFrame
    evidence: list[Any]
    onset: float | None
    as_of: float | None
    zone: str
    labels: Mapping[str, str]

    def series(self, column: str) -> Series:
        if column not in self.readings.columns:
            return Series(np.empty(0), np.empty(0))
        rows = self.readings.select("local", pl.col(column).cast(pl.Float64, strict=False).alias("v"))
        rows = rows.filter(pl.col("v").is_finite())
        return Series(_days(rows["local"]), rows["v"].to_numpy())

    def words(self, column: str) -> list[tuple[float, str]]:
        """Return (local time [d], word) where the column has one."""
        rows = self.readings.filter(pl.col(column).is_not_null())
        return list(zip(_days(rows["local"]).tolist(), rows[column].to_list(), strict=True))

    def say(self, key: str, **values: object) -> str:
        return self.labels[key].format(**values)

    def clock(self, t: float, pattern: str = "%Y-%m-%d %H:%M") -> str:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=t)).strftime(pattern)


def finding_picture(
    finding: Mapping[str, Any],
    readings: pl.DataFrame,
    daily: pl.DataFrame,
    file: Path,
    *,
    language: str = "en",
    timezone: str = "UTC",
) -> Path:
    """Draw why a finding says what it says, and write it as PNG of 1000 x 600 pixels.

    Parameters
    ----------
    finding : mapping
        A row of the lake table `findings`. Its `evidence` may have any shape; what it lacks is drawn from `readings`.
    readings : polars.DataFrame
        Rows of the lake table `readings` of that meter, in the window to show: about sixty days before the onset to the
        diagnosis; for a meter that is silent, its last ones.
    daily : polars.DataFrame
        Rows of the lake table `daily` of that meter; may be empty.
    file : Path
        Where to write; its folder is made.
    language : str
        ``en`` or ``zh``; Chinese falls back to English where no Chinese font is installed.
    timezone : str
        IANA zone of the time axis.

    Returns
    -------
    Path
        `file`.
    """
    chosen = "zh" if language.startswith("zh") and _cjk_font() else "en"
    story = _story(finding, readings, daily, timezone, LABELS[chosen])
    fault = str(finding.get("fault") or "")
    # Room for two lines of title above the axes and the zone below them.
    layout = ConstrainedLayoutEngine(rect=(0.005, 0.03, 0.99, 0.85))
    figure = Figure(figsize=(10, 6), dpi=100, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    painter = _PAINTERS.get(fault, _paint_register)
    sentence = painter(figure, story) if story.readings.height else _paint_nothing(figure, story)
    _write_title(figure, finding, sentence, story, chosen)
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_fontfamily(_families())
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    figure.savefig(part, format="png")
    part.replace(file)
    return file


def plain(text: object, longest: int = _LONGEST_NAME) -> str:
    r"""Return `text` as one harmless line that the fonts at hand can show.

    Examples
    --------
    >>> plain("a\x1b[31m\nb")
    'a[31m b'
    >>> plain("x" * 100, longest=5)
    'xxxx…'
    """
    line = " ".join(str(text)[: 10 * longest].split())
    line = "".join(c for c in line if not unicodedata.category(c).startswith("C"))
    line = "".join(c if ord(c) in _drawable() else "?" for c in line)
    return line if len(line) <= longest else line[: longest - 1] + "…"


# ---------------------------------------------------------------------------------------------------------------------
# One painter a kind of finding. Each returns the sentence that says what the picture shows.


def _paint_register(figure: Figure, story: _Story) -> str:
    """Register with its backward steps and jumps, the steps themselves, and a close look at the worst."""
    volume = story.series("volume_m3")
    if len(volume) < 2:
        return _paint_nothing(figure, story)
    odd = odd_steps(volume)
    if not odd.any():
        return _paint_standstill(figure, story, volume)
    grid = figure.add_gridspec(2, 2, height_ratios=[1, 1.15], width_ratios=[1.15, 1])
    whole, side, zoom = (figure.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1]))
    _draw_register(whole, volume, story)
    low = np.minimum(volume.v[1:], volume.v[:-1])[odd]
    whole.plot(volume.t[1:][odd], low, "v", color=BAD, markersize=6, label=story.labels["odd_step"])
    _legend(whole)
    _finish((whole,), story)
    _draw_steps(side, volume, odd, story)
    _draw_zoom(zoom, volume, int(np.argmax(np.where(odd, np.abs(np.diff(volume.v)), -1))), odd, story)
    steps = 1000 * np.diff(volume.v)
    back, jumps = steps[odd & (steps < 0)], steps[odd & (steps > 0)]
    if not len(back):
        return story.say("coil_forward", n=len(jumps), worst=jumps.max(), bits=in_bits(jumps.max()))
    key = "coil_jumps" if len(jumps) else "coil_backwards"
    return story.say(key, n=len(back), worst=back.min(), bits=in_bits(back.min()), jumps=len(jumps))


def _paint_standstill(figure: Figure, story: _Story, volume: Series) -> str:
    """Register and the use of each day: what a stuck counter and an empty home have in common."""
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.3, 1]})
    _draw_register(upper, volume, story)
    still = longest_standstill(volume)
    if still is not None:
        for axis in (upper, lower):
            axis.axvspan(*still, color=WARN, alpha=0.18, lw=0, label=story.labels["standstill"])
    _legend(upper, loc="lower right")
    day, use = daily_use(volume)
    lower.bar(day, 1000 * use, width=1.0, color=NORMAL)
    lower.set_ylabel(story.labels["use_a_day"])
    _finish((upper, lower), story)
    return story.say("coil_still", days=still[1] - still[0]) if still is not None else ""


def _paint_flow(figure: Figure, story: _Story) -> str:
    """Flow between readings, and the registers."""
    volume, reverse = story.series("volume_m3"), story.series("reverse_volume_m3")
    if len(volume) < 2:
        return _paint_nothing(figure, story)
    crop = _around_onset(story, 14)
    upper, lower = figure.subplots(2, 1, sharex=True)
    _draw_flow(upper, volume, [], story)
    _draw_register(lower, volume, story)
    if len(reverse):
        lower.plot(reverse.t, reverse.v, color=BAD, lw=1.4, label=story.labels["reverse"])
        _legend(lower)
    _finish((upper, lower), story, crop=crop)
    since = volume.between(story.onset or volume.t[0], volume.t[-1])
    if len(since) < 2:
        return ""
    return story.say("flow_sentence", mean=mean_flow(since), volume=float(np.ptp(since.v)), days=np.ptp(since.t))


def _paint_battery(figure: Figure, story: _Story) -> str:
    """Daily median voltage against what is expected at that temperature, and the temperature."""
    volt, warmth = story.series("battery_v"), story.series("ambient_temperature_c")
    if not len(volt):
        volt = story.series("battery_load_v")
    if not len(volt):
        return _paint_register(figure, story)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 1]})
    days, median = daily_median(volt)
    expected = _expected_voltage(days, median, warmth, story)
    upper.plot(volt.t, volt.v, ".", color=QUIET, markersize=2.5, alpha=0.5, label=story.labels["frames"])
    upper.plot(days, median, "-o", color=NORMAL, markersize=3.5, lw=1.6, label=story.labels["daily_median"])
    upper.plot(days, expected, "--", color=SECOND, lw=1.6, label=story.labels["explained"])
    limit = _fall_limit(story.evidence)
    if limit is not None:
        upper.plot(days, expected - limit, ":", color=BAD, lw=1.3, label=story.say("fall_limit", fall=1000 * limit))
    fallen = expected - median > (limit or max(0.015, 4 * spread((expected - median)[np.isfinite(expected)])))
    upper.fill_between(days, median, expected, where=fallen, color=BAD, alpha=0.25, lw=0,
                       label=story.labels["missing"] if fallen.any() else None)  # fmt: skip
    upper.set_ylabel(story.labels["voltage"])
    shown = np.concatenate([median, expected[np.isfinite(expected)]])
    pad = max(0.03, 0.12 * float(np.ptp(shown)))
    upper.set_ylim(shown.min() - pad, shown.max() + pad)
    _legend(upper, loc="lower left")
    if len(warmth):
        lower.plot(*daily_median(warmth), color=WARN, lw=1.4)
        lower.axhline(0, color=COLD, lw=0.8)
    else:
        _note(lower, story.labels["no_temperature"])
    lower.set_ylabel(story.labels["temperature"])
    _finish((upper, lower), story)
    day = story.clock(days[-1], "%Y-%m-%d")
    if not np.isfinite(expected[-1]):
        return story.say("battery_alone", last=median[-1], day=day)
    gap = expected[-1] - median[-1]
    key = "battery_sentence" if gap > 0.01 else "battery_fine"
    return story.say(key, last=median[-1], expected=expected[-1], gap=1000 * gap, day=day)


def _paint_actuator(figure: Figure, story: _Story) -> str:
    """Commands and states of the valve, the flow, and the strokes."""
    rows = [1.0, 1.3, 1.3] if len(story.series("valve_travel_s")) else [1.0, 1.8]
    axes = figure.subplots(len(rows), 1, sharex=True, gridspec_kw={"height_ratios": rows}, squeeze=False)[:, 0]
    told, says = _told(story), spans_of(story.words("valve_state"), _end(story))
    _draw_lanes(axes[0], told, says, story)
    volume = story.series("volume_m3")
    closed = [(a, b) for a, b, word in [*told, *says] if word in {"close", "closed"}]
    passed = _draw_flow(axes[1], volume, closed, story)
    if len(rows) == 3:
        _draw_strokes(axes[2], story)
    _finish(axes, story, crop=_around_onset(story, 45))
    unanswered = _unanswered(story)
    if unanswered and passed > 0:
        return story.say("actuator_unanswered", n=unanswered, volume=passed)
    if passed > 0.01:
        return story.say("actuator_leaks", volume=passed)
    return story.labels["actuator_strokes"]


def _paint_low_temperature(figure: Figure, story: _Story) -> str:
    """Temperature, flow and register around the frost."""
    temperature = story.series("ambient_temperature_c")
    if not len(temperature):
        temperature = story.series("water_temperature_c")
    volume = story.series("volume_m3")
    axes = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [1.1, 1, 1]})
    crop = _around_onset(story, 10)
    if len(temperature):
        axes[0].plot(temperature.t, temperature.v, color=NORMAL, lw=1.2)
        axes[0].axhline(0, color="black", lw=0.8)
        axes[0].fill_between(
            temperature.t, temperature.v, 0, where=temperature.v < 0, color=COLD, alpha=0.6, lw=0,
            label=story.labels["below_zero"],
        )  # fmt: skip
        _legend(axes[0], loc="lower left")
    else:
        _note(axes[0], story.labels["no_temperature"])
    axes[0].set_ylabel(story.labels["temperature"])
    _draw_flow(axes[1], volume, [], story)
    _draw_register(axes[2], volume, story)
    if crop is not None:
        inside = volume.between(*crop)
        if len(inside):
            pad = 0.05 * float(np.ptp(inside.v)) + 0.05
            axes[2].set_ylim(inside.v.min() - pad, inside.v.max() + pad)
    still = longest_standstill(volume.between(*crop) if crop else volume, least_h=12)
    for axis in axes if still is not None else ():
        axis.axvspan(*still, color=WARN, alpha=0.15, lw=0)  # type: ignore[misc]
    _finish(axes, story, crop=crop)
    if still is None or not len(temperature):
        return story.labels["frost_plain"]
    axes[2].text(
        float(np.mean(still)), 0.9, story.say("still_label", days=still[1] - still[0]),
        transform=axes[2].get_xaxis_transform(), ha="center", va="top", color=WARN, fontsize=9,
    )  # fmt: skip
    after = mean_flow(volume.between(still[1], still[1] + 2))
    return story.say("frost_sentence", low=temperature.v.min(), days=still[1] - still[0], flow=after)


def _paint_exchange(figure: Figure, story: _Story) -> str:
    """Two registers under one meter id, each in its colour."""
    volume = story.series("volume_m3")
    track = tracks(volume)
    second = volume.t[track == 1]
    if not len(second):
        return _paint_register(figure, story)
    whole, zoom = figure.subplots(2, 1, gridspec_kw={"height_ratios": [1, 1.3]})
    span = max(float(np.ptp(second)), 1 / 24)
    near = (volume.t >= second.min() - 2 * span) & (volume.t <= second.max() + 2 * span)
    for axis, shown in ((whole, np.ones_like(near)), (zoom, near)):
        for number, colour in ((0, NORMAL), (1, WARN)):
            mine = shown & (track == number)
            axis.plot(
                volume.t[mine], volume.v[mine], "o-", color=colour, lw=1.3,
                markersize=5 if axis is zoom or number else 2, label=story.say("register_n", n=number + 1),
            )  # fmt: skip
        axis.set_ylabel(story.labels["register"])
        axis.margins(y=0.15)
    whole.axvspan(second.min() - span, second.max() + span, color=QUIET, alpha=0.2, lw=0)
    order = np.flatnonzero(near)
    zoom.plot(volume.t[order], volume.v[order], ":", color=QUIET, lw=1, zorder=0, label=story.labels["as_received"])
    for n in order:
        zoom.annotate(f"{volume.v[n]:.3f}", (volume.t[n], volume.v[n]), textcoords="offset points", xytext=(0, 7),
                      ha="center", fontsize=7.5, color=WARN if track[n] else NORMAL)  # fmt: skip
    _legend(zoom, loc="center right")
    _finish((whole,), story, mark_onset=False)
    _finish((zoom,), story, mark_onset=False)
    return story.say(
        "exchange_sentence", first=volume.v[near & (track == 0)][0], second=volume.v[track == 1][0],
        start=story.clock(second.min()), end=story.clock(second.max(), "%H:%M"),
    )  # fmt: skip


def _paint_communication(figure: Figure, story: _Story) -> str:
    """Register with the silences shaded, and readings a day."""
    volume = story.series("volume_m3")
    times = _days(story.readings["local"])
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.6, 1]})
    if len(volume):
        _draw_register(upper, volume, story, marker=True)
    silences = gaps_of(times)
    silent_since = float(times[-1])
    lasting = story.as_of - silent_since if story.as_of is not None else 0.0
    # A silence of years would leave no room for what was sent before it: it is drawn cut off, its length is said.
    room = silent_since + min(lasting, 2 * max(float(np.ptp(times)), 1.0))
    shaded = [(start, end, end - start) for start, end in silences]
    if lasting > longest_step(times):
        shaded.append((silent_since, room, lasting))
    span = max(room, silent_since) - float(times[0])
    for n, (start, end, days) in enumerate(shaded):
        for axis in (upper, lower):
            axis.axvspan(start, end, color=BAD, alpha=0.15, lw=0, label=story.labels["silence"] if n == 0 else None)
        if end - start > 0.04 * span:
            upper.text((start + end) / 2, 0.93, story.say("days", days=days), fontsize=9, color=BAD,
                       ha="center", va="top", transform=upper.get_xaxis_transform())  # fmt: skip
    day, count = np.unique(np.floor(times), return_counts=True)
    lower.bar(day + 0.5, count, width=1.0, color=NORMAL)
    lower.set_ylabel(story.labels["readings_a_day"])
    _legend(upper, loc="lower right")
    _finish((upper, lower), story)
    if lasting > longest_step(times):
        return story.say("communication_lasting", days=lasting)
    if not silences:
        return story.labels["communication_fine"]
    start, end = max(silences, key=lambda silence: silence[1] - silence[0])
    meanwhile = advance(volume, start, end)
    key = "communication_counted" if meanwhile is not None and meanwhile > 0 else "communication_sentence"
    return story.say(key, n=len(silences), days=end - start, volume=meanwhile)


def _paint_clock(figure: Figure, story: _Story) -> str:
    """Minute of the hour at which each reading was taken: a clock that is set, or two senders, shows as a step."""
    times = _days(story.readings["local"])
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1, 1.3]})
    volume = story.series("volume_m3")
    if len(volume):
        _draw_register(upper, volume, story)
    minute = 60 * ((24 * times) % 1.0)
    lower.plot(times, minute, ".", color=NORMAL, markersize=3)
    close = np.flatnonzero(np.diff(times) < longest_step(times) / 24 / 6) + 1
    lower.plot(times[close], minute[close], "o", color=BAD, markersize=4, label=story.labels["too_close"]
               if len(close) else None)  # fmt: skip
    lower.set_ylabel(story.labels["minute"])
    lower.set_ylim(-2, 62)
    _legend(lower)
    _finish((upper, lower), story)
    return story.say("clock_sentence", n=len(close)) if len(close) else ""


def _paint_nothing(figure: Figure, story: _Story) -> str:
    axis = figure.subplots()
    axis.set_axis_off()
    _note(axis, story.labels["no_readings"])
    return ""


_PAINTERS: Mapping[str, Callable[[Figure, _Story], str]] = {
    "coil": _paint_register,
    "battery": _paint_battery,
    "actuator": _paint_actuator,
    "low_temperature": _paint_low_temperature,
    "exchange": _paint_exchange,
    "leak": _paint_flow,
    "backflow": _paint_flow,
    "high_flow": _paint_flow,
    "empty_pipe": _paint_flow,
    "communication": _paint_communication,
    "clock": _paint_clock,
    "software_conflict": _paint_clock,
}


# ---------------------------------------------------------------------------------------------------------------------
# What is drawn in more than one picture.


def _draw_register(axis: Axes, volume: Series, story: _Story, *, marker: bool = False) -> None:
    broken = np.flatnonzero(np.diff(volume.t) > longest_step(volume.t))
    t, v = np.insert(volume.t, broken + 1, np.nan), np.insert(volume.v, broken + 1, np.nan)
    axis.plot(t, v, ".-" if marker else "-", color=NORMAL, lw=1.4, markersize=3)
    axis.set_ylabel(story.labels["register"])


def _draw_steps(axis: Axes, volume: Series, odd: Bools, story: _Story) -> None:
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
    _finish((axis,), story)


def _draw_zoom(axis: Axes, volume: Series, worst: int, odd: Bools, story: _Story) -> None:
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
    _finish((axis,), story, mark_onset=False)


def _draw_flow(axis: Axes, volume: Series, closed: list[tuple[float, float]], story: _Story) -> float:
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
    _legend(axis, loc="upper left")
    return passed


def _draw_lanes(
    axis: Axes, told: list[tuple[float, float, str]], says: list[tuple[float, float, str]], story: _Story
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
    for n, (at, _, word) in enumerate(spans_of(refusals, _end(story))[:_MOST_REFUSALS]):
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
    _legend(axis, columns=5)


def _draw_strokes(axis: Axes, story: _Story) -> None:
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


def _finish(
    axes: tuple[Axes, ...] | npt.NDArray[Any],
    story: _Story,
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


def _write_title(figure: Figure, finding: Mapping[str, Any], sentence: str, story: _Story, language: str) -> None:
    fault, verdict = str(finding.get("fault") or ""), str(finding.get("verdict") or "")
    name = FAULT_NAMES[language].get(fault, plain(fault))
    words = VERDICT_WORDS[language].get(verdict, plain(verdict))
    figure.text(0.012, 0.975, f"{plain(finding.get('meter_id'))}   ·   {name}", fontsize=13, fontweight="bold",
                ha="left", va="top")  # fmt: skip
    figure.text(0.988, 0.97, words, fontsize=11, fontweight="bold", color="white", ha="right", va="top",
                bbox={"boxstyle": "round,pad=0.35", "facecolor": _BADGES.get(verdict, QUIET), "lw": 0})  # fmt: skip
    since = story.say("since", onset=story.clock(story.onset)) if story.onset is not None else ""
    line = "   ·   ".join(part for part in (sentence, since) if part)
    figure.text(0.012, 0.922, line, fontsize=10, color="#333333", ha="left", va="top")
    figure.text(0.988, 0.008, story.zone, fontsize=7.5, color=QUIET, ha="right", va="bottom")
    if _is_synthetic(story.readings):
        figure.text(0.012, 0.008, story.labels["synthetic"], fontsize=9, fontweight="bold", color=WARN, va="bottom")


_Place = Literal["upper left", "lower left", "lower right", "center right"]


def _legend(axis: Axes, loc: _Place = "upper left", columns: int = 1) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc=loc, fontsize=8, framealpha=0.85, ncols=columns)


def _note(axis: Axes, text: str) -> None:
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", fontsize=11, color=QUIET)


# ---------------------------------------------------------------------------------------------------------------------
# What a story tells.


def _expected_voltage(days: Floats, median: Floats, warmth: Series, story: _Story) -> Floats:
    """Return what the meter's own past expects at that day's temperature [V].

    It is what the rules compared with, where the daily rows have it; else a line through the days before the onset.
    """
    known = _judged_voltage(days, story)
    if known is not None:
        return known
    limit = story.onset if story.onset is not None else float(np.quantile(days, 0.7))
    # A knee casts its shadow weeks ahead: fit on what lies well before it, where there is enough.
    candidates = (days < limit - 30, days < limit - 3, days <= np.quantile(days, 0.5))
    healthy = next((mask for mask in candidates if mask.sum() >= 20), candidates[-1])
    flat = np.full(len(days), float(np.median(median[healthy])))
    if not len(warmth):
        return flat
    temperature = np.interp(days, *daily_median(warmth))
    if healthy.sum() < 5 or np.ptp(temperature[healthy]) < 3:
        return flat
    slope, level = np.polyfit(temperature[healthy], median[healthy], 1)
    return np.asarray(level + slope * temperature)


def _judged_voltage(days: Floats, story: _Story) -> Floats | None:
    """Return `battery_expected_v` of the daily rows on these days; None where there is none."""
    if "battery_expected_v" not in story.daily.columns:
        return None
    rows = story.daily.filter(pl.col("battery_expected_v").is_finite()).sort("day", "as_of").unique("day", keep="last")
    by_day = dict(zip(rows["day"].cast(pl.Int32).to_list(), rows["battery_expected_v"].to_list(), strict=True))
    expected = np.array([by_day.get(int(day), np.nan) for day in days])
    return expected if np.isfinite(expected).sum() >= min(5, len(days)) else None


def _fall_limit(evidence: list[Any]) -> float | None:
    """Return below what fall the battery rule stays silent [V], where the evidence says it."""
    for item in evidence:
        if isinstance(item, dict) and item.get("what") == "plateau_fall":
            threshold = item.get("threshold")
            if isinstance(threshold, int | float) and 0 < threshold < 2:
                return float(threshold)
    return None


def _told(story: _Story) -> list[tuple[float, float, str]]:
    """Return spans in which the valve was told to be open or closed, refused commands left out."""
    refused = {at for at, _ in story.words("valve_refusal")}
    return spans_of([(at, word) for at, word in story.words("valve_command") if at not in refused], _end(story))


def _unanswered(story: _Story) -> int:
    """Return how many commands left the valve in another state than they asked for."""
    wanted = {"open": "open", "close": "closed"}
    rows = story.readings.filter(pl.col("valve_command").is_not_null() & pl.col("valve_refusal").is_null())
    pairs = zip(rows["valve_command"].to_list(), rows["valve_state"].to_list(), strict=True)
    return sum(state is not None and state not in {wanted.get(command), "moving"} for command, state in pairs)


def _around_onset(story: _Story, days: float) -> tuple[float, float] | None:
    """Return the window [d] from `days` before the onset to the end, where that crops anything."""
    if story.onset is None:
        return None
    times = _days(story.readings["local"])
    first = max(float(times.min()), story.onset - days)
    return (first, float(times.max()) + 0.2) if first < times.max() else None


# ---------------------------------------------------------------------------------------------------------------------
# From rows and strings to what can be drawn.


def _story(
    finding: Mapping[str, Any], readings: pl.DataFrame, daily: pl.DataFrame, timezone: str, labels: Mapping[str, str]
) -> _Story:
    zone = ZoneInfo(timezone)
    rows = readings
    if "valid" in rows.columns:
        rows = rows.filter(pl.col("valid").fill_null(value=True))
    rows = rows.with_columns(
        pl.col("ts").dt.convert_time_zone(timezone).dt.replace_time_zone(None).alias("local")
    ).sort("ts", maintain_order=True)
    return _Story(
        rows,
        daily,
        _evidence(finding),
        _moment(finding, "onset", zone),
        _moment(finding, "as_of", zone),
        timezone,
        labels,
    )


def _evidence(finding: Mapping[str, Any]) -> list[Any]:
    evidence = finding.get("evidence")
    try:
        loaded = json.loads(evidence) if isinstance(evidence, str | bytes) else evidence
    except (ValueError, RecursionError):
        loaded = None
    return loaded if isinstance(loaded, list) else [loaded]


def _moment(finding: Mapping[str, Any], column: str, zone: ZoneInfo) -> float | None:
    """Return a time of the finding in local days, None where it has none that can be read."""
    moment = finding.get(column)
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return None
    if not isinstance(moment, datetime):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(zone).replace(tzinfo=UTC).timestamp() / 86400


def _days(local: pl.Series) -> Floats:
    return local.dt.timestamp("us").to_numpy() / 86400e6


def _end(story: _Story) -> float:
    return float(_days(story.readings["local"]).max())


def _is_synthetic(readings: pl.DataFrame) -> bool:
    if "extra" not in readings.columns:
        return False
    return bool(readings["extra"].str.contains('"synthetic": ?true').any())


@cache
def _cjk_font() -> str | None:
    """Return the family name of an installed font with Chinese characters."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in _CJK_FONTS if name in installed), None)


def _families() -> list[str]:
    font = _cjk_font()
    return ["DejaVu Sans", font] if font else ["DejaVu Sans"]


@cache
def _drawable() -> frozenset[int]:
    """Return the characters that the fonts at hand have."""
    files = (font_manager.findfont(family) for family in _families())
    return frozenset(code for file in files for code in font_manager.get_font(file).get_charmap())
