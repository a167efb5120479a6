"""A back-test in two parts: the daily rows of all days, which no rule changes, and the diagnoses, which are the rules.

The first is worked out once and kept, the second takes seconds: so rules can be tuned. Both are production's own steps,
and a test compares their findings with those of :func:`metriage.diagnosing.backtest_site`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from diagnostics.features import WINDOW_DAYS
from diagnostics.rules import RULES
from lake.schemas import DAILY, FINDINGS, READINGS
from lake.tables import Lake
from metriage.diagnosing import DiagnosisLine
from metriage.site import Site
from metriage.site_facts import SiteFacts

Progress = Callable[[int, int], None]

# What a daily row is worked out by, beside what these import themselves.
_PROFILE_MODULES = ("diagnostics.daily", "diagnostics.chain", "diagnostics.local_day", "metriage.daily_rows")
# Of these only values are used, which are told themselves: they may change without other daily rows.
_VALUES_ALONE = ("diagnostics.settings", "diagnostics.features")
# Methods of the line that have no part in the daily rows.
_JUDGING = (
    "step", "conclude", "can_step", "_reception", "_previous", "_recent_days", "_out_of_place", "groups", "cohort",
    "_today", "_history",
)  # fmt: skip


def days_of(site: Site) -> list[date]:
    """Return the local days of a site's record, from the first message received to the last."""
    zone = ZoneInfo(site.settings.site.timezone)
    received = pl.col("received_at")
    ends = site.lake.scan(READINGS).select(received.min().alias("first"), received.max().alias("last")).collect()
    first, last = (moment.astimezone(zone).date() for moment in ends.row(0))
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def ends_of(days: Sequence[date], timezone: str) -> list[datetime]:
    """Return when local days end: the as-of times of their diagnoses (UTC)."""
    zone = ZoneInfo(timezone)
    return [datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC) for day in days]


def daily_rows(site: Site, times: Sequence[datetime], progress: Progress) -> pl.DataFrame:
    """Return the daily rows as they stood at each of `times`, each stamped with the first it was known at.

    Parameters
    ----------
    site : Site
        Its readings are taken in the order of receipt.
    times : sequence of datetime
        As-of times, ascending.
    progress : callable
        Told how many of them are done, of how many.
    """
    with tempfile.TemporaryDirectory(prefix="metriage-judge-") as folder:
        scratch = Lake(Path(folder))
        line = DiagnosisLine(site.lake, scratch, site.settings, "backtest", facts=_facts(site))
        for number, as_of in enumerate(times, start=1):
            line.profile(as_of)
            progress(number, len(times))
        return scratch.read(DAILY)


def kept_daily_rows(site: Site, times: Sequence[datetime], file: Path, progress: Progress) -> pl.DataFrame:
    """Return :func:`daily_rows`, from `file` where they were worked out before from the same by the same code."""
    mark = f"{file.stem}-{_digest(site, times)}{file.suffix}"
    kept = file.with_name(mark)
    if kept.is_file():
        return pl.read_parquet(kept)
    rows = daily_rows(site, times, progress)
    for old in file.parent.glob(f"{file.stem}-*{file.suffix}"):
        old.unlink()
    part = kept.with_suffix(".part")
    rows.write_parquet(part)
    part.rename(kept)
    return rows


def _digest(site: Site, times: Sequence[datetime]) -> str:
    """Return a name that changes with the code, the thresholds and the times that daily rows depend on."""
    methods = [
        inspect.getsource(method)
        for name, method in vars(DiagnosisLine).items()
        if inspect.isfunction(method) and name not in _JUDGING
    ]
    known = [
        *(Path(file).read_text(encoding="utf-8") for file in _sources()),
        *methods,
        repr(site.settings.profile),
        repr(site.settings.site.timezone),
        repr(WINDOW_DAYS),
        repr(DAILY.columns),
        repr(list(times)),
        _facts(site).as_of(times[-1]).meters.select("meter_id", "timezone", "caliber_mm", "recorded_at").write_csv(),
    ]
    return hashlib.sha256("\0".join(known).encode()).hexdigest()[:12]


def _facts(site: Site) -> SiteFacts:
    return SiteFacts(site.database, site.settings.site.timezone)


def _sources() -> list[str]:
    """Return the files of the modules that daily rows are worked out by; thresholds are told by their values."""
    waiting, seen = list(_PROFILE_MODULES), {}
    while waiting:
        name = waiting.pop()
        if name in seen or name in _VALUES_ALONE:
            continue
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            continue
        seen[name] = found.origin
        nodes = ast.walk(ast.parse(Path(found.origin).read_text(encoding="utf-8")))
        imported = [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
        waiting.extend(module for module in imported if module.startswith("diagnostics."))
    return [seen[name] for name in sorted(seen)]


def showing(what: str) -> Progress:
    """Return what shows progress on a terminal, and nowhere else."""

    def show(done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r  {what} {done}/{of}", end="\n" if done == of else "", file=sys.stderr, flush=True)

    return show


class DayMemory:
    """Daily rows in memory, from which the window of any as-of time is taken at once.

    Parameters
    ----------
    rows : polars.DataFrame
        Rows of the table ``daily``, of all as-of times.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows.sort("meter_id", "day", "as_of").rechunk()
        self._keys = self._rows.select("meter_id", "day", "as_of", "readings").with_row_index("place")

    def window(self, as_of: datetime) -> pl.DataFrame:
        """Return what the line itself would read: the window, and the newest row of each meter silent since."""
        start = as_of.date() - timedelta(days=WINDOW_DAYS + 1)
        known = (
            self._keys.lazy()
            .filter(pl.col("as_of") <= as_of)
            .unique(["meter_id", "day"], keep="last", maintain_order=True)
            .filter(pl.col("readings") > 0)
            .filter((pl.col("day") >= start) | (pl.col("day") == pl.col("day").max().over("meter_id")))
            .select("place")
            .collect()
        )
        return self._rows[known["place"]]


@contextmanager
def _rules_of(faults: Collection[str]) -> Iterator[None]:
    """Leave out the rules of all other faults; those of conditions stay, as they inhibit."""
    every = dict(RULES)
    for name, rule in every.items():
        if faults and rule.kind == "fault" and rule.fault not in faults:
            del RULES[name]
    try:
        yield
    finally:
        RULES.clear()
        RULES.update(every)


def findings_over(
    site: Site, rows: pl.DataFrame, times: Sequence[datetime], progress: Progress, faults: Collection[str] = ()
) -> pl.DataFrame:
    """Return the findings of a diagnosis at each of `times`, each knowing the one before.

    Parameters
    ----------
    site : Site
        Its settings and facts.
    rows : polars.DataFrame
        What :func:`daily_rows` returned for these times.
    times : sequence of datetime
        As-of times, ascending.
    progress : callable
        Told how many of them are done, of how many.
    faults : collection of str
        Only these are looked for; default: all. Whoever tunes one need not wait for the others.
    """
    memory = DayMemory(rows)
    line = DiagnosisLine(site.lake, site.lake, site.settings, "backtest", facts=_facts(site))
    found = [FINDINGS.empty()]
    last = None
    with _rules_of(faults):
        for number, as_of in enumerate(times, start=1):
            diagnosis = line.conclude(as_of, last, recent=memory.window(as_of), previous=found[-1], forecasts=False)
            found.append(diagnosis.findings)
            last = as_of
            progress(number, len(times))
    return pl.concat(found)


def groups_at(site: Site, rows: pl.DataFrame, findings: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return the batch findings of a diagnosis.

    Parameters
    ----------
    site : Site
        Its settings and facts.
    rows : polars.DataFrame
        What :func:`daily_rows` returned.
    findings : polars.DataFrame
        What :func:`findings_over` returned for times up to this one.
    as_of : datetime
        Time of the diagnosis.
    """
    line = DiagnosisLine(site.lake, site.lake, site.settings, "backtest", facts=_facts(site))
    known = findings.filter(pl.col("as_of") <= as_of)
    own = pl.col("as_of") == as_of
    groups, _ = line.groups(
        "judged", as_of, DayMemory(rows).window(as_of), known.filter(own), known.filter(~own).lazy()
    )
    return groups
