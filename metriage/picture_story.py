"""What a picture may draw from: one meter's rows in local time, its finding, and strings made harmless."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from matplotlib import font_manager

from metriage.picture_marks import Floats, Series, spans_of

_LONGEST_NAME = 64
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
class Story:
    """What a painter may draw from."""

    readings: pl.DataFrame
    daily: pl.DataFrame
    evidence: list[Any]
    onset: float | None
    as_of: float | None
    zone: str
    labels: Mapping[str, str]

    def series(self, column: str) -> Series:
        """Return the finite values of a column; none where there is no such column."""
        if column not in self.readings.columns:
            return Series(np.empty(0), np.empty(0))
        rows = self.readings.select("local", pl.col(column).cast(pl.Float64, strict=False).alias("v"))
        rows = rows.filter(pl.col("v").is_finite())
        return Series(days_of(rows["local"]), rows["v"].to_numpy())

    def words(self, column: str) -> list[tuple[float, str]]:
        """Return (local time [d], word) where the column has one."""
        rows = self.readings.filter(pl.col(column).is_not_null())
        return list(zip(days_of(rows["local"]).tolist(), rows[column].to_list(), strict=True))

    def say(self, key: str, **values: object) -> str:
        """Return the label `key` with its places filled."""
        return self.labels[key].format(**values)

    def clock(self, t: float, pattern: str = "%Y-%m-%d %H:%M") -> str:
        """Return a local time [d] as text."""
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=t)).strftime(pattern)


def story_of(
    finding: Mapping[str, Any], readings: pl.DataFrame, daily: pl.DataFrame, timezone: str, labels: Mapping[str, str]
) -> Story:
    """Return what a picture of `finding` may draw from."""
    zone = ZoneInfo(timezone)
    rows = readings
    if "valid" in rows.columns:
        rows = rows.filter(pl.col("valid").fill_null(value=True))
    rows = rows.with_columns(
        pl.col("ts").dt.convert_time_zone(timezone).dt.replace_time_zone(None).alias("local")
    ).sort("ts", maintain_order=True)
    return Story(
        rows,
        daily,
        evidence_of(finding),
        moment_of(finding, "onset", zone),
        moment_of(finding, "as_of", zone),
        timezone,
        labels,
    )


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


def told_of(story: Story) -> list[tuple[float, float, str]]:
    """Return spans in which the valve was told to be open or closed, refused commands left out."""
    refused = {at for at, _ in story.words("valve_refusal")}
    return spans_of([(at, word) for at, word in story.words("valve_command") if at not in refused], end_of(story))


def unanswered(story: Story) -> int:
    """Return how many commands left the valve in another state than they asked for."""
    wanted = {"open": "open", "close": "closed"}
    rows = story.readings.filter(pl.col("valve_command").is_not_null() & pl.col("valve_refusal").is_null())
    pairs = zip(rows["valve_command"].to_list(), rows["valve_state"].to_list(), strict=True)
    return sum(state is not None and state not in {wanted.get(command), "moving"} for command, state in pairs)


def around_onset(story: Story, days: float) -> tuple[float, float] | None:
    """Return the window [d] from `days` before the onset to the end, where that crops anything."""
    if story.onset is None:
        return None
    times = days_of(story.readings["local"])
    first = max(float(times.min()), story.onset - days)
    return (first, float(times.max()) + 0.2) if first < times.max() else None


def end_of(story: Story) -> float:
    """Return the local time of the last reading [d]."""
    return float(days_of(story.readings["local"]).max())


def days_of(local: pl.Series) -> Floats:
    """Return wall-clock times in days since 1970, as matplotlib counts them."""
    return local.dt.timestamp("us").to_numpy() / 86400e6


def is_synthetic(readings: pl.DataFrame) -> bool:
    """Return whether any reading is marked synthetic."""
    if "extra" not in readings.columns:
        return False
    return bool(readings["extra"].str.contains('"synthetic": ?true').any())


@cache
def cjk_font() -> str | None:
    """Return the family name of an installed font with Chinese characters."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in _CJK_FONTS if name in installed), None)


def font_families() -> list[str]:
    """Return the fonts to write with, the first that has a character wins."""
    font = cjk_font()
    return ["DejaVu Sans", font] if font else ["DejaVu Sans"]


@cache
def _drawable() -> frozenset[int]:
    """Return the characters that the fonts at hand have."""
    files = (font_manager.findfont(family) for family in font_families())
    return frozenset(code for file in files for code in font_manager.get_font(file).get_charmap())


def evidence_of(finding: Mapping[str, Any]) -> list[Any]:
    """Return the evidence as a list, whatever its shape."""
    evidence = finding.get("evidence")
    try:
        loaded = json.loads(evidence) if isinstance(evidence, str | bytes) else evidence
    except (ValueError, RecursionError):
        loaded = None
    return loaded if isinstance(loaded, list) else [loaded]


def moment_of(finding: Mapping[str, Any], column: str, zone: ZoneInfo) -> float | None:
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
