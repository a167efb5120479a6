"""Pictures of groups of meters: the funnel of a scope, and failures against expectation over time.

Names of lots, regions and installers are foreign texts: cut, stripped and never read as mathematics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from scipy import stats

from metriage.batch_texts import fault_title, said, scope_title
from metriage.labels import Language
from metriage.picture_parts import BAD, NORMAL, QUIET, SECOND, WARN, saved
from metriage.picture_story import cjk_font, plain

_MOST_NAMED = 10
_MOST_LINES = 400  # beyond these the quiet ones are no longer told apart
_LEAST_RATIO = 0.05
_LIMITS = ((0.95, "--", "limits_90"), (0.999, ":", "limits_998"))
_COLOURS = {"act": BAD, "watch": WARN, "not_separable": SECOND, "normal": QUIET}
_RANK = {"act": 0, "watch": 1, "not_separable": 2, "normal": 3}


def drawable(language: Language) -> Language:
    """Return the language a picture can be written in: English where no Chinese font is installed."""
    return "zh" if language == "zh" and cjk_font() else "en"


def funnel_picture(
    rows: pl.DataFrame, file: Path, *, scope: str, fault: str, key: str | None = None, language: Language = "en"
) -> Path:
    """Draw each group's ratio of observed to expected over what was expected, with the limits of chance.

    Parameters
    ----------
    rows : polars.DataFrame
        Rows of the table ``batch_findings`` of one scope, fault and diagnosis.
    file : Path
        PNG to write.
    scope, fault : str
        For the title.
    key : str, optional
        The group to point out.
    language : {"en", "zh"}
    """
    spoken = drawable(language)
    figure = _figure()
    axis = figure.add_subplot()
    shown = rows.filter(pl.col("expected") > 0).sort(
        pl.col("verdict").replace_strict(_RANK, default=3), descending=True
    )
    if shown.is_empty():
        _nothing(axis, spoken)
        return saved(figure, file)
    expected = shown["expected"].to_numpy()
    ratio = np.maximum(shown["observed"].to_numpy() / expected, _LEAST_RATIO)
    _limits(axis, float(expected.min()), float(expected.max()), spoken)
    for verdict in ("normal", "not_separable", "watch", "act"):
        own = (shown["verdict"] == verdict).to_numpy()
        if own.any():
            axis.plot(expected[own], ratio[own], "o", color=_COLOURS[verdict], alpha=0.55 if verdict == "normal" else 1,
                      markersize=4 if verdict == "normal" else 7, lw=0, label=said(verdict, spoken))  # fmt: skip
    spots = shown.with_columns(pl.Series("drawn", ratio)).filter(
        (pl.col("verdict") != "normal") | (pl.col("key") == (key or ""))
    )
    _named(axis, spots.sort(pl.col("key") != (key or ""), "q_value").head(_MOST_NAMED))
    own_row = shown.with_columns(pl.Series("drawn", ratio)).filter(pl.col("key") == (key or ""))
    for row in own_row.iter_rows(named=True):
        axis.plot(row["expected"], row["drawn"], "o", mfc="none", mec="black", markersize=13, mew=1.6)
        low, high = row["ratio_low"], row["ratio_high"]
        if low is not None and high is not None:
            axis.vlines(row["expected"], max(low, _LEAST_RATIO), high, color="black", lw=1.4,
                        label=said("interval", spoken))  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.axhline(1, color="black", lw=0.9)
    axis.set_xlabel(said("axis_expected", spoken))
    axis.set_ylabel(said("axis_ratio", spoken))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(lambda *_: "")
    axis.xaxis.set_minor_formatter(lambda *_: "")
    axis.grid(visible=True, which="major", color="#dddddd", lw=0.6)
    figure.legend(loc="outside lower center", fontsize=8.5, frameon=False, ncols=6)  # names fill the room above
    title = said("funnel_title", spoken).format(scope=scope_title(scope, spoken), fault=fault_title(fault, spoken))
    _title(figure, title, said("funnel_sentence", spoken).format(groups=f"{rows.height:,}"))
    return saved(figure, file)


def _limits(axis: Axes, low: float, high: float, language: Language) -> None:
    """Draw between which ratios nearly all groups lie by chance alone, exactly."""
    grid = np.geomspace(max(low / 1.5, 0.01), high * 1.5, 300)
    for share, style, name in _LIMITS:
        upper = stats.poisson.ppf(share, grid) / grid
        lower = stats.poisson.ppf(1 - share, grid) / grid
        axis.plot(grid, np.where(upper > 0, upper, np.nan), style, color=NORMAL, lw=1.2, label=said(name, language))
        axis.plot(grid, np.where(lower > 0, lower, np.nan), style, color=NORMAL, lw=1.2)
    axis.set_ylim(_LEAST_RATIO * 0.8, None)


def _named(axis: Axes, spots: pl.DataFrame) -> None:
    for place, row in enumerate(spots.iter_rows(named=True)):
        lifted = 7 if place % 2 == 0 else -13
        axis.annotate(plain(row["key"], 28), (row["expected"], row["drawn"]), textcoords="offset points",
                      xytext=(8, lifted), fontsize=8.5, color=_COLOURS.get(row["verdict"], QUIET))  # fmt: skip


def group_timeline(
    days: Sequence[date],
    observed: Sequence[float],
    expected: Sequence[float],
    file: Path,
    *,
    title: str,
    language: Language = "en",
) -> Path:
    """Draw a group's failures and what was expected, cumulated, and their difference below.

    Parameters
    ----------
    days : sequence of date
        Ends of weeks, ascending.
    observed, expected : sequence of float
        Cumulated up to each of them.
    file : Path
        PNG to write.
    title : str
    language : {"en", "zh"}
    """
    spoken = drawable(language)
    figure = _figure()
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.2, 1]})
    if len(days) < 2:
        _nothing(upper, spoken)
        lower.set_axis_off()
        return saved(figure, file)
    t = mdates.date2num(list(days))  # type: ignore[no-untyped-call]
    seen, due = np.asarray(observed, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    upper.step(t, seen, where="post", color=BAD, lw=1.8, label=said("observed_line", spoken))
    upper.plot(t, due, "--", color=NORMAL, lw=1.6, label=said("expected_line", spoken))
    low, high = (stats.poisson.ppf(share, np.maximum(due, 1e-9)) for share in (0.05, 0.95))
    upper.fill_between(t, low, high, color=NORMAL, alpha=0.15, lw=0, label=said("chance_band", spoken))
    upper.set_ylabel(said("axis_meters", spoken))
    upper.legend(loc="upper left", fontsize=8.5, framealpha=0.9)
    lower.step(t, seen - due, where="post", color=BAD, lw=1.6)
    lower.fill_between(t, low - due, high - due, color=NORMAL, alpha=0.15, lw=0)
    lower.axhline(0, color="black", lw=0.8)
    lower.set_ylabel(said("axis_difference", spoken))
    _dates((upper, lower))
    sentence = said("timeline_sentence", spoken).format(observed=f"{seen[-1]:.0f}", expected=f"{due[-1]:.1f}")
    _title(figure, plain(title, 90), sentence)
    return saved(figure, file)


def scope_timeline(history: pl.DataFrame, file: Path, *, scope: str, fault: str, language: Language = "en") -> Path:
    """Draw observed minus expected of every group of a scope, diagnosis after diagnosis.

    Parameters
    ----------
    history : polars.DataFrame
        Rows of the table ``batch_findings`` of one scope and fault, one diagnosis a time.
    file : Path
        PNG to write.
    scope, fault : str
        For the title.
    language : {"en", "zh"}
    """
    spoken = drawable(language)
    figure = _figure()
    axis = figure.add_subplot()
    lines = history.sort("key", "as_of").with_columns((pl.col("observed") - pl.col("expected")).alias("difference"))
    if lines["as_of"].n_unique() < 2:
        _nothing(axis, spoken, "one_diagnosis")
        return saved(figure, file)
    last = lines.unique("key", keep="last", maintain_order=True)
    ranked = last.sort(pl.col("verdict").replace_strict(_RANK, default=3), pl.col("difference").abs(),
                       descending=[False, True])  # fmt: skip
    wanted = ranked.head(_MOST_LINES)
    by_key = {key: part for (key,), part in lines.partition_by("key", as_dict=True).items()}
    for place, row in enumerate(reversed(wanted.to_dicts()), start=1):
        part = by_key[row["key"]]
        t = mdates.date2num(part["as_of"].dt.date().to_list())  # type: ignore[no-untyped-call]
        loud = row["verdict"] != "normal"
        axis.plot(t, part["difference"].to_numpy(), color=_COLOURS.get(row["verdict"], QUIET), lw=1.8 if loud else 0.7,
                  alpha=1 if loud else 0.4)  # fmt: skip
        if loud and place > len(wanted) - _MOST_NAMED:
            axis.annotate(plain(row["key"], 28), (t[-1], part["difference"][-1]), textcoords="offset points",
                          xytext=(4, 0), fontsize=8.5, color=_COLOURS[row["verdict"]], va="center")  # fmt: skip
    axis.axhline(0, color="black", lw=0.8)
    axis.set_ylabel(said("axis_difference", spoken))
    axis.margins(x=0.12)
    _dates((axis,))
    _title(figure, said("scope_timeline_title", spoken).format(scope=scope_title(scope, spoken),
                                                               fault=fault_title(fault, spoken)),
           said("scope_timeline_sentence", spoken).format(groups=f"{last.height:,}"))  # fmt: skip
    return saved(figure, file)


def places_picture(rows: Sequence[Mapping[str, Any]], file: Path, *, title: str, language: Language = "en") -> Path:
    """Draw observed and expected failures of a group in each of its places, side by side.

    Parameters
    ----------
    rows : sequence of mapping
        ``place, observed, expected`` of each place.
    file : Path
        PNG to write.
    title : str
    language : {"en", "zh"}
    """
    spoken = drawable(language)
    figure = _figure(height=max(2.6, 1.5 + 0.42 * len(rows)))
    axis = figure.add_subplot()
    if not rows:
        _nothing(axis, spoken)
        return saved(figure, file)
    at = np.arange(len(rows))[::-1]
    axis.barh(at + 0.19, [row["observed"] for row in rows], 0.36, color=BAD, label=said("observed_line", spoken))
    axis.barh(at - 0.19, [row["expected"] for row in rows], 0.36, color=NORMAL, label=said("expected_line", spoken))
    axis.set_yticks(at, [plain(row["place"], 30) for row in rows])
    axis.set_xlabel(said("axis_meters", spoken))
    axis.grid(visible=True, axis="x", color="#dddddd", lw=0.6)
    axis.set_axisbelow(True)
    axis.legend(loc="lower right", fontsize=8.5, framealpha=0.9)
    _title(figure, plain(title, 90), said("places_sentence", spoken))
    return saved(figure, file)


def _figure(height: float = 5.6) -> Figure:
    # Room for two lines of title above the axes.
    share = 0.85 / height
    layout = ConstrainedLayoutEngine(rect=(0.005, 0.01, 0.985, 0.99 - share))
    figure = Figure(figsize=(10, height), dpi=100, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _title(figure: Figure, title: str, sentence: str) -> None:
    height = figure.get_figheight()
    figure.text(0.012, 1 - 0.12 / height, title, fontsize=13, fontweight="bold", ha="left", va="top")
    figure.text(0.012, 1 - 0.46 / height, sentence, fontsize=10, color="#333333", ha="left", va="top")


def _dates(axes: Sequence[Axes]) -> None:
    for axis in axes:
        axis.grid(visible=True, color="#dddddd", lw=0.6)
        axis.set_axisbelow(True)
        axis.xaxis_date()
        locator = mdates.AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _nothing(axis: Axes, language: Language, why: str = "nothing_to_draw") -> None:
    axis.set_axis_off()
    axis.text(0.5, 0.5, said(why, language), transform=axis.transAxes, ha="center", va="center",
              fontsize=12, color=QUIET)  # fmt: skip
