"""One picture a finding: what the meter sent, and the one thing in it that a technician has to see.

Strings of meters are hostile: they are cut, stripped of control characters and never read as mathematics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from metriage.picture_marks import (
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
    odd_steps,
    spans_of,
    spread,
    tracks,
)
from metriage.picture_parts import (
    BAD,
    COLD,
    NORMAL,
    QUIET,
    SECOND,
    WARN,
    draw_flow,
    draw_lanes,
    draw_register,
    draw_steps,
    draw_strokes,
    draw_zoom,
    finish,
    legend,
    note,
    saved,
)
from metriage.picture_story import (
    Story,
    around_onset,
    cjk_font,
    days_of,
    end_of,
    is_synthetic,
    plain,
    story_of,
    told_of,
    unanswered,
)
from metriage.picture_texts import FAULT_NAMES, LABELS, VERDICT_WORDS

_BADGES = {"act": BAD, "watch": WARN, "clear": SECOND}


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
    chosen = "zh" if language.startswith("zh") and cjk_font() else "en"
    story = story_of(finding, readings, daily, timezone, LABELS[chosen])
    fault = str(finding.get("fault") or "")
    # Room for two lines of title above the axes and the zone below them.
    layout = ConstrainedLayoutEngine(rect=(0.005, 0.03, 0.99, 0.85))
    figure = Figure(figsize=(10, 6), dpi=100, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    painter = _PAINTERS.get(fault, _paint_register)
    sentence = painter(figure, story) if story.readings.height else _paint_nothing(figure, story)
    _write_title(figure, finding, sentence, story, chosen)
    return saved(figure, file)


def _paint_register(figure: Figure, story: Story) -> str:
    """Register with its backward steps and jumps, the steps themselves, and a close look at the worst."""
    volume = story.series("volume_m3")
    if len(volume) < 2:
        return _paint_nothing(figure, story)
    odd = odd_steps(volume)
    if not odd.any():
        return _paint_standstill(figure, story, volume)
    grid = figure.add_gridspec(2, 2, height_ratios=[1, 1.15], width_ratios=[1.15, 1])
    whole, side, zoom = (figure.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1]))
    draw_register(whole, volume, story)
    low = np.minimum(volume.v[1:], volume.v[:-1])[odd]
    whole.plot(volume.t[1:][odd], low, "v", color=BAD, markersize=6, label=story.labels["odd_step"])
    legend(whole)
    finish((whole,), story)
    draw_steps(side, volume, odd, story)
    draw_zoom(zoom, volume, int(np.argmax(np.where(odd, np.abs(np.diff(volume.v)), -1))), odd, story)
    steps = 1000 * np.diff(volume.v)
    back, jumps = steps[odd & (steps < 0)], steps[odd & (steps > 0)]
    if not len(back):
        return story.say("coil_forward", n=len(jumps), worst=jumps.max(), bits=in_bits(jumps.max()))
    key = "coil_jumps" if len(jumps) else "coil_backwards"
    return story.say(key, n=len(back), worst=back.min(), bits=in_bits(back.min()), jumps=len(jumps))


def _paint_standstill(figure: Figure, story: Story, volume: Series) -> str:
    """Register and the use of each day: what a stuck counter and an empty home have in common."""
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.3, 1]})
    draw_register(upper, volume, story)
    still = longest_standstill(volume)
    if still is not None:
        for axis in (upper, lower):
            axis.axvspan(*still, color=WARN, alpha=0.18, lw=0, label=story.labels["standstill"])
    legend(upper, loc="lower right")
    day, use = daily_use(volume)
    lower.bar(day, 1000 * use, width=1.0, color=NORMAL)
    lower.set_ylabel(story.labels["use_a_day"])
    finish((upper, lower), story)
    return story.say("coil_still", days=still[1] - still[0]) if still is not None else ""


def _paint_flow(figure: Figure, story: Story) -> str:
    """Flow between readings, and the registers."""
    volume, reverse = story.series("volume_m3"), story.series("reverse_volume_m3")
    if len(volume) < 2:
        return _paint_nothing(figure, story)
    crop = around_onset(story, 14)
    upper, lower = figure.subplots(2, 1, sharex=True)
    draw_flow(upper, volume, [], story)
    draw_register(lower, volume, story)
    if len(reverse):
        lower.plot(reverse.t, reverse.v, color=BAD, lw=1.4, label=story.labels["reverse"])
        legend(lower)
    finish((upper, lower), story, crop=crop)
    since = volume.between(story.onset or volume.t[0], volume.t[-1])
    if len(since) < 2:
        return ""
    return story.say("flow_sentence", mean=mean_flow(since), volume=float(np.ptp(since.v)), days=np.ptp(since.t))


def _paint_battery(figure: Figure, story: Story) -> str:
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
    legend(upper, loc="lower left")
    if len(warmth):
        lower.plot(*daily_median(warmth), color=WARN, lw=1.4)
        lower.axhline(0, color=COLD, lw=0.8)
    else:
        note(lower, story.labels["no_temperature"])
    lower.set_ylabel(story.labels["temperature"])
    finish((upper, lower), story)
    day = story.clock(days[-1], "%Y-%m-%d")
    if not np.isfinite(expected[-1]):
        return story.say("battery_alone", last=median[-1], day=day)
    gap = expected[-1] - median[-1]
    key = "battery_sentence" if gap > 0.01 else "battery_fine"
    return story.say(key, last=median[-1], expected=expected[-1], gap=1000 * gap, day=day)


def _paint_actuator(figure: Figure, story: Story) -> str:
    """Commands and states of the valve, the flow, and the strokes."""
    rows = [1.0, 1.3, 1.3] if len(story.series("valve_travel_s")) else [1.0, 1.8]
    axes = figure.subplots(len(rows), 1, sharex=True, gridspec_kw={"height_ratios": rows}, squeeze=False)[:, 0]
    told, says = told_of(story), spans_of(story.words("valve_state"), end_of(story))
    draw_lanes(axes[0], told, says, story)
    volume = story.series("volume_m3")
    closed = [(a, b) for a, b, word in [*told, *says] if word in {"close", "closed"}]
    passed = draw_flow(axes[1], volume, closed, story)
    if len(rows) == 3:
        draw_strokes(axes[2], story)
    finish(axes, story, crop=around_onset(story, 45))
    ignored = unanswered(story)
    if ignored and passed > 0:
        return story.say("actuator_unanswered", n=ignored, volume=passed)
    if passed > 0.01:
        return story.say("actuator_leaks", volume=passed)
    return story.labels["actuator_strokes"]


def _paint_low_temperature(figure: Figure, story: Story) -> str:
    """Temperature, flow and register around the frost."""
    temperature = story.series("ambient_temperature_c")
    if not len(temperature):
        temperature = story.series("water_temperature_c")
    volume = story.series("volume_m3")
    axes = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [1.1, 1, 1]})
    crop = around_onset(story, 10)
    if len(temperature):
        axes[0].plot(temperature.t, temperature.v, color=NORMAL, lw=1.2)
        axes[0].axhline(0, color="black", lw=0.8)
        axes[0].fill_between(
            temperature.t, temperature.v, 0, where=temperature.v < 0, color=COLD, alpha=0.6, lw=0,
            label=story.labels["below_zero"],
        )  # fmt: skip
        legend(axes[0], loc="lower left")
    else:
        note(axes[0], story.labels["no_temperature"])
    axes[0].set_ylabel(story.labels["temperature"])
    draw_flow(axes[1], volume, [], story)
    draw_register(axes[2], volume, story)
    if crop is not None:
        inside = volume.between(*crop)
        if len(inside):
            pad = 0.05 * float(np.ptp(inside.v)) + 0.05
            axes[2].set_ylim(inside.v.min() - pad, inside.v.max() + pad)
    still = longest_standstill(volume.between(*crop) if crop else volume, least_h=12)
    for axis in axes if still is not None else ():
        axis.axvspan(*still, color=WARN, alpha=0.15, lw=0)  # type: ignore[misc]
    finish(axes, story, crop=crop)
    if still is None or not len(temperature):
        return story.labels["frost_plain"]
    axes[2].text(
        float(np.mean(still)), 0.9, story.say("still_label", days=still[1] - still[0]),
        transform=axes[2].get_xaxis_transform(), ha="center", va="top", color=WARN, fontsize=9,
    )  # fmt: skip
    after = mean_flow(volume.between(still[1], still[1] + 2))
    return story.say("frost_sentence", low=temperature.v.min(), days=still[1] - still[0], flow=after)


def _paint_exchange(figure: Figure, story: Story) -> str:
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
    legend(zoom, loc="center right")
    finish((whole,), story, mark_onset=False)
    finish((zoom,), story, mark_onset=False)
    return story.say(
        "exchange_sentence", first=volume.v[near & (track == 0)][0], second=volume.v[track == 1][0],
        start=story.clock(second.min()), end=story.clock(second.max(), "%H:%M"),
    )  # fmt: skip


def _paint_communication(figure: Figure, story: Story) -> str:
    """Register with the silences shaded, and readings a day."""
    volume = story.series("volume_m3")
    times = days_of(story.readings["local"])
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.6, 1]})
    if len(volume):
        draw_register(upper, volume, story, marker=True)
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
    legend(upper, loc="lower right")
    finish((upper, lower), story)
    if lasting > longest_step(times):
        return story.say("communication_lasting", days=lasting)
    if not silences:
        return story.labels["communication_fine"]
    start, end = max(silences, key=lambda silence: silence[1] - silence[0])
    meanwhile = advance(volume, start, end)
    key = "communication_counted" if meanwhile is not None and meanwhile > 0 else "communication_sentence"
    return story.say(key, n=len(silences), days=end - start, volume=meanwhile)


def _paint_clock(figure: Figure, story: Story) -> str:
    """Minute of the hour at which each reading was taken: a clock that is set, or two senders, shows as a step."""
    times = days_of(story.readings["local"])
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1, 1.3]})
    volume = story.series("volume_m3")
    if len(volume):
        draw_register(upper, volume, story)
    minute = 60 * ((24 * times) % 1.0)
    lower.plot(times, minute, ".", color=NORMAL, markersize=3)
    close = np.flatnonzero(np.diff(times) < longest_step(times) / 24 / 6) + 1
    lower.plot(times[close], minute[close], "o", color=BAD, markersize=4, label=story.labels["too_close"]
               if len(close) else None)  # fmt: skip
    lower.set_ylabel(story.labels["minute"])
    lower.set_ylim(-2, 62)
    legend(lower)
    finish((upper, lower), story)
    return story.say("clock_sentence", n=len(close)) if len(close) else ""


def _paint_nothing(figure: Figure, story: Story) -> str:
    axis = figure.subplots()
    axis.set_axis_off()
    note(axis, story.labels["no_readings"])
    return ""


_PAINTERS: Mapping[str, Callable[[Figure, Story], str]] = {
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


def _write_title(figure: Figure, finding: Mapping[str, Any], sentence: str, story: Story, language: str) -> None:
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
    if is_synthetic(story.readings):
        figure.text(0.012, 0.008, story.labels["synthetic"], fontsize=9, fontweight="bold", color=WARN, va="bottom")


def _expected_voltage(days: Floats, median: Floats, warmth: Series, story: Story) -> Floats:
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


def _judged_voltage(days: Floats, story: Story) -> Floats | None:
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
