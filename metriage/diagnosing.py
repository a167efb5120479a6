"""From readings to findings: which days changed, their profiles, the diagnosis, and the back-test of the same steps.

This is where tables are read and written; what is computed from them is :mod:`diagnostics`, which does neither.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl

from diagnostics.batch_findings import batch_findings
from diagnostics.batches.cohort import Cohort, acts_of, cohort, seen_of
from diagnostics.diagnosis import examine
from diagnostics.facts import RECEPTION, Facts
from diagnostics.failure_forecast import failure_forecast
from diagnostics.features import WINDOW_DAYS
from diagnostics.forecasts import group_forecasts
from diagnostics.local_day import touched_days, with_local_day
from lake.errors import UsageError
from lake.failpoints import reach
from lake.schemas import BATCH_FINDINGS, DAILY, ERROR_CODES, FINDINGS, FORECASTS, GAPS, READINGS
from lake.tables import Lake, Position
from metriage.daily_rows import DailyRows, Written, newest_rows, window_rows
from metriage.live_findings import microseconds, moment, newest_of_each_time, told_positions, told_until
from metriage.settings import Settings
from metriage.site import Site
from metriage.site_facts import SiteFacts

Mode = Literal["live", "backtest"]

# Positions stored with the daily rows: how far the profile has come, in time of receipt and in commits of readings.
_SEEN_UNTIL = "diagnosis/as_of"
_SEEN_ZONES = "diagnosis/zones"  # a digest of the zones that the days of the stored rows are of
_SEEN_CODES = "diagnosis/error_codes"
_SEEN_VERSIONS = ((READINGS, "diagnosis/readings"), (ERROR_CODES, _SEEN_CODES))

_SHORTEST_GAP = timedelta(minutes=1)  # of our own reception
_MOST_GAPS = 50  # looked at of a source
_HEARD_BEFORE = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one diagnosis did.

    Parameters
    ----------
    diagnosis_id : str
        Its name in the findings.
    as_of : datetime
        It saw what was received by then.
    days : int
        Daily rows computed.
    findings : polars.DataFrame
        Rows of the table ``findings``.
    forecasts : polars.DataFrame
        Rows of the table ``forecasts``.
    batch_findings : polars.DataFrame
        Rows of the table ``batch_findings``.
    unregistered : tuple of str
        Meters that were diagnosed without being in the registry.
    after_removal : tuple of str
        Meters that reported after the day on which the registry or an inspection ends their record.
    """

    diagnosis_id: str
    as_of: datetime
    days: int
    findings: pl.DataFrame
    forecasts: pl.DataFrame = field(default_factory=FORECASTS.empty)
    batch_findings: pl.DataFrame = field(default_factory=BATCH_FINDINGS.empty)
    unregistered: tuple[str, ...] = ()
    after_removal: tuple[str, ...] = ()


class DiagnosisLine:
    """Takes the steps of a diagnosis, one as-of time after the other.

    Parameters
    ----------
    source : Lake
        Where readings and error codes are.
    work : Lake
        Where daily rows and findings go: the same lake in production, a scratch of its own in a back-test.
    settings : Settings
        Zone, language, thresholds.
    mode : {"live", "backtest"}
        Written into every finding.
    told : Lake, optional
        Where the findings of earlier diagnoses are; `work` when left out.
    facts : SiteFacts, optional
        What the site knows beside its readings; nothing when left out.
    """

    def __init__(
        self,
        source: Lake,
        work: Lake,
        settings: Settings,
        mode: Mode,
        told: Lake | None = None,
        facts: SiteFacts | None = None,
    ) -> None:
        self._source = source
        self._work = work
        self._facts = facts
        self._told = told or work
        self._settings = settings
        self._mode = mode
        self._zone = settings.site.timezone

    @property
    def seen_until(self) -> datetime | None:
        """As-of time of the last step, None before the first."""
        position = self._work.position(DAILY, _SEEN_UNTIL)
        return moment(position) if position else None

    def can_step(self, as_of: datetime) -> bool:
        """Tell whether the daily rows can be brought up to `as_of`.

        They cannot go back, nor take up readings that came too late for an as-of time they already have.
        """
        before = self.seen_until
        if before is None or as_of > before:
            return True
        if as_of < before or self._zones_changed(as_of):
            return False
        return all(part.is_empty() for part in self._arrived(before, as_of))

    def step(self, as_of: datetime) -> Diagnosis:
        """Bring the daily rows up to `as_of` and diagnose.

        Parameters
        ----------
        as_of : datetime
            One that :meth:`can_step` allows (UTC).
        """
        # Of a diagnosis that was killed between its daily rows and its findings there are no findings to go on from.
        told = told_until(self._work) or self.seen_until
        days = self.profile(as_of)
        reach("diagnosis.profiled")
        diagnosis = self.conclude(as_of, told if told is not None and told < as_of else None, days=days)
        _write(self._work, diagnosis, told_positions(as_of, self._work.position(DAILY, _SEEN_CODES)))
        reach("diagnosis.told")
        return diagnosis

    def profile(self, as_of: datetime) -> int:
        """Bring the daily rows up to `as_of` and return how many were computed; no rule has a part in it.

        Parameters
        ----------
        as_of : datetime
            One that :meth:`can_step` allows (UTC).
        """
        versions = [Position(application, max(0, self._source.version(table))) for table, application in _SEEN_VERSIONS]
        registry = self._known(as_of).meters
        written = self._changes(self.seen_until, as_of, registry)
        seen = [Position(_SEEN_UNTIL, microseconds(as_of)), Position(_SEEN_ZONES, self._zones(registry)), *versions]
        self._work.commit(DAILY, written.actions, positions=seen)
        return written.rows

    def conclude(
        self,
        as_of: datetime,
        last: datetime | None,
        *,
        days: int = 0,
        recent: pl.DataFrame | None = None,
        previous: pl.DataFrame | None = None,
        forecasts: bool = True,
    ) -> Diagnosis:
        """Diagnose from the daily rows; nothing is written.

        Parameters
        ----------
        as_of : datetime
            Which the daily rows have come up to (UTC).
        last : datetime or None
            The as-of time before it, where there was one.
        days : int
            Daily rows that were computed for it.
        recent, previous : polars.DataFrame, optional
            Daily rows of the window and findings of the diagnosis before, for one who has them at hand; else they are
            read.
        forecasts : bool
            Whether forecasts are made and groups of meters looked at, too.
        """
        # The clock in it puts diagnoses of the same as-of time in order.
        name = f"{self._mode}-{as_of:%Y%m%dT%H%M%SZ}-{time.time_ns() // 1000:013x}{uuid.uuid4().hex[:4]}"
        if previous is None:
            previous = self._previous(last, as_of)
        if recent is None:
            recent = self._recent_days(as_of, last, previous)
        facts = replace(self._known(as_of), gaps=self._reception(as_of))
        found = examine(
            recent,
            as_of=as_of,
            diagnosis_id=name,
            mode=self._mode,
            settings=self._settings.rules,
            language=self._settings.site.language,
            previous=previous,
            facts=facts,
            today=self._today(as_of) if forecasts else None,
        )
        # Which meters are out of place is for people to see; a back-test shows nobody.
        stray = ((), ()) if self._mode == "backtest" else self._out_of_place(recent, facts.meters)
        if not forecasts:
            return Diagnosis(name, as_of, days, found.findings, found.forecasts, BATCH_FINDINGS.empty(), *stray)
        groups, ahead = self.groups(name, as_of, recent, found.findings, self._history(as_of))
        return Diagnosis(name, as_of, days, found.findings, pl.concat([found.forecasts, ahead]), groups, *stray)

    def groups(
        self, name: str, as_of: datetime, recent: pl.DataFrame, findings: pl.DataFrame, history: pl.LazyFrame
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the batch findings and the forecasts of failures of a diagnosis.

        Parameters
        ----------
        name : str
            Its diagnosis_id.
        as_of : datetime
            Its time (UTC).
        recent : polars.DataFrame
            Daily rows of its window.
        findings : polars.DataFrame
            Its own findings.
        history : polars.LazyFrame
            Findings of earlier ones in the same mode, one diagnosis a time.
        """
        members = self.cohort(as_of, recent, pl.concat([history, findings.lazy()]))
        stamp = (
            pl.lit(name).alias("diagnosis_id"), pl.lit(self._mode).alias("mode"), pl.lit(as_of).alias("as_of"),
        )  # fmt: skip
        groups = batch_findings(members, self._settings.batches).with_columns(stamp)
        today = self._today(as_of)
        ahead = failure_forecast(members, self._known(as_of).weather, today, self._settings.rules.forecasts.failures)
        return BATCH_FINDINGS.conform(groups), FORECASTS.conform(group_forecasts(ahead, as_of).with_columns(stamp))

    def cohort(self, as_of: datetime, recent: pl.DataFrame, findings: pl.LazyFrame) -> Cohort:
        """Return who was at risk and who failed, as of a time.

        Parameters
        ----------
        as_of : datetime
            The time (UTC).
        recent : polars.DataFrame
            Daily rows up to then, at least the newest of each meter.
        findings : polars.LazyFrame
            Findings of one mode, one diagnosis a time, up to then.
        """
        settings = self._settings.cohort
        seen = seen_of(recent, settings.cold_c)
        return cohort(seen, acts_of(findings), self._known(as_of), as_of, self._today(as_of), settings)

    def _today(self, as_of: datetime) -> date:
        """Return the local day that has begun at `as_of`."""
        return as_of.astimezone(ZoneInfo(self._zone)).date()

    def _history(self, as_of: datetime) -> pl.LazyFrame:
        """Return the findings of all diagnoses before `as_of`; of a time that was diagnosed again the newest count."""
        return newest_of_each_time(self._told.scan(FINDINGS, end=as_of).filter(pl.col("mode") == self._mode))

    def _out_of_place(self, recent: pl.DataFrame, meters: pl.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the meters that are not registered, and those that reported after their removal."""
        seen = recent.group_by("meter_id").agg(pl.col("day").max())
        registered = pl.DataFrame(schema={"meter_id": pl.String}) if self._facts is None else self._facts.registered
        unregistered = seen.join(registered, on="meter_id", how="anti")["meter_id"].sort()
        removed = meters.select("meter_id", "removed_on").drop_nulls()
        late = seen.join(removed, on="meter_id").filter(pl.col("day") > pl.col("removed_on"))["meter_id"].sort()
        return tuple(unregistered), tuple(late)

    def _known(self, as_of: datetime) -> Facts:
        return Facts() if self._facts is None else self._facts.as_of(as_of)

    def glimpse(self, as_of: datetime, touched: pl.DataFrame) -> pl.DataFrame:
        """Return the daily rows of some meters' windows as a step to `as_of` would leave them; nothing is written.

        Parameters
        ----------
        as_of : datetime
            Not before the last step (UTC).
        touched : polars.DataFrame
            ``meter_id, ts`` of readings whose days are looked at, beside those of what was received since.
        """
        meters = touched["meter_id"].unique().to_list()
        earliest: datetime = touched["ts"].min()  # type: ignore[assignment]
        start = earliest - timedelta(days=WINDOW_DAYS)
        arrived = self._source.scan(
            READINGS, start=start, meters=meters, received_after=self.seen_until, received_by=as_of
        )
        readings = pl.concat([arrived.select("meter_id", "ts").collect(), touched.select("meter_id", "ts")])
        registry = self._known(as_of).meters
        days = touched_days(readings, registry, self._zone)
        return self._rows(as_of, registry).window(days)

    def _rows(self, as_of: datetime, registry: pl.DataFrame) -> DailyRows:
        return DailyRows(self._source, self._work, self._zone, self._settings.profile, as_of, registry)

    def _changes(self, before: datetime | None, as_of: datetime, registry: pl.DataFrame) -> Written:
        """Write the daily rows that what was received since the last step makes or changes."""
        rows = self._rows(as_of, registry)
        if before is None:
            return rows.all()
        moved = self._moved(as_of, registry) if self._zones_changed(as_of) else []
        held = pl.col("meter_id").is_in(moved)
        parts = [part.filter(~held) for part in self._arrived(before, as_of)]
        if moved:
            parts += [part.filter(held) for part in self._every(as_of)]
        days = pl.concat([touched_days(part, registry, self._zone) for part in parts]).unique()
        written = rows.of(days, sum(part.height for part in parts), anew=moved)
        gone = self._without_readings(moved, days, as_of)
        return Written([*written.actions, *self._work.write(DAILY, gone)], written.rows + gone.height)

    def _zones(self, registry: pl.DataFrame) -> int:
        """Return a digest of the zones in which the days of meters are counted."""
        other = registry.filter(pl.col("timezone") != self._zone).select("meter_id", "timezone").sort("meter_id")
        known = f"{self._zone}\n{other.write_csv()}".encode()
        return int.from_bytes(hashlib.sha256(known).digest()[:7], "big")

    def _zones_changed(self, as_of: datetime) -> bool:
        return self._work.position(DAILY, _SEEN_ZONES) != self._zones(self._known(as_of).meters)

    def _moved(self, as_of: datetime, registry: pl.DataFrame) -> list[str]:
        """Return the meters whose rows of the window are of days of another zone than the registry says now."""
        start = as_of.date() - timedelta(days=WINDOW_DAYS + 1)
        columns = ["meter_id", "day", "as_of", "readings", "first_ts", "last_ts"]
        rows = newest_rows(self._work.scan(DAILY, start=start).select(columns).collect())
        ends = rows.unpivot(["first_ts", "last_ts"], index=["meter_id", "day"], value_name="ts")
        found = with_local_day(ends.rename({"day": "stored_day"}), registry, self._zone)
        return found.filter(pl.col("day") != pl.col("stored_day"))["meter_id"].unique().sort().to_list()

    def _without_readings(self, moved: list[str], days: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
        """Return rows that take the place of days of another zone on which there are no readings any more."""
        if not moved:
            return DAILY.empty()
        stored = self._work.scan(DAILY, meters=moved).select("meter_id", "day").unique().collect()
        gone = stored.join(days, on=["meter_id", "day"], how="anti")
        return DAILY.conform(gone.with_columns(pl.lit(as_of).alias("as_of"), pl.lit(0).alias("readings")))

    def _arrived(self, before: datetime, as_of: datetime) -> Iterator[pl.DataFrame]:
        """Yield meter and time of the readings that no step has seen yet.

        These are the ones received since, those of files that were imported since with an earlier time of receipt, and
        those whose codes were translated again since.
        """
        columns = ["meter_id", "ts"]
        yield self._source.scan(READINGS, received_after=before, received_by=as_of).select(columns).collect()
        for table, application in _SEEN_VERSIONS:
            names = self._source.added_since(table, self._work.position(DAILY, application))
            if names is None:  # the log was cleaned: look at everything once
                yield from self._every(as_of)
                return
            if names:
                rows = self._source.scan_parts(table, names)
                yield rows.filter(pl.col("received_at") <= before).select(columns).collect()

    def _every(self, as_of: datetime) -> Iterator[pl.DataFrame]:
        """Yield meter and time of all readings, those of one date after the other."""
        for files in self._source.parts(READINGS).partition_by("day"):
            rows = self._source.scan_parts(READINGS, files["path"].to_list())
            yield rows.filter(pl.col("received_at") <= as_of).select("meter_id", "ts").collect()

    def _recent_days(self, as_of: datetime, before: datetime | None, previous: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the window, and the newest row of each silent meter that has none there."""
        start = as_of.date() - timedelta(days=WINDOW_DAYS + 1)
        near = window_rows(self._work, start)
        present = near.select("meter_id").unique()
        silent = None
        if before is not None and as_of - before < timedelta(days=WINDOW_DAYS):
            # A meter that fell silent since was in the window of the last step, so it stands in its findings.
            silent = previous.join(present, on="meter_id", how="anti")["meter_id"].unique().to_list()
        if silent is not None and not silent:
            return near
        older = self._work.scan(DAILY, end=start, meters=silent).join(present.lazy(), on="meter_id", how="anti")
        return pl.concat([near, newest_rows(older.collect()).group_by("meter_id").tail(1).select(near.columns)])

    def _reception(self, as_of: datetime) -> pl.DataFrame:
        """Return when we did not receive, as far as known at `as_of`, with the meters that each gap may concern.

        Topics cannot be matched to meters, so the source tells: a gap concerns the meters that its source delivered
        within a month before, and those of sources that no broker is configured for, which may have come by any.
        """
        start = as_of - timedelta(days=WINDOW_DAYS)
        gaps = self._source.scan(GAPS, start=start, received_by=as_of).drop_nulls(["since", "until"]).collect()
        gaps = gaps.filter(pl.col("until") - pl.col("since") >= _SHORTEST_GAP)
        if gaps.is_empty():
            return pl.DataFrame(schema=RECEPTION)
        # The longest of each source: a broker that comes and goes must not multiply the meters by thousands.
        longest = (pl.col("until") - pl.col("since")).top_k_by(pl.col("until") - pl.col("since"), _MOST_GAPS).min()
        gaps = gaps.filter((pl.col("until") - pl.col("since") >= longest).over("source"))
        since, until = gaps["since"].min(), gaps["until"].max()
        meters = (
            self._source.scan(READINGS, start=since - _HEARD_BEFORE, end=until, received_by=as_of)  # type: ignore[operator, arg-type]
            .select("meter_id", "source")
            .unique()
            .collect(engine="streaming")
        )
        configured = [broker.source for broker in self._settings.broker]
        exact = meters.join(gaps, on="source")
        foreign = meters.filter(~pl.col("source").is_in(configured)).select("meter_id").join(gaps, how="cross")
        columns = list(RECEPTION)
        return pl.concat([exact.select(columns), foreign.select(columns)]).unique().sort(columns)

    def _previous(self, last: datetime | None, as_of: datetime) -> pl.DataFrame:
        """Return the findings of the diagnosis before `as_of`, at `last` where that is known.

        Every diagnosis writes the open ones again, so that one is enough.
        """
        rows = self._told.scan(FINDINGS, start=last, end=as_of).filter(pl.col("mode") == self._mode)
        newest = rows.select("as_of", "diagnosis_id").sort("as_of", "diagnosis_id").tail(1).collect()
        if newest.is_empty():
            return FINDINGS.empty()
        moment, name = newest.row(0)
        return rows.filter(pl.col("as_of") == moment, pl.col("diagnosis_id") == name).collect()


def diagnose_site(site: Site, as_of: datetime) -> Diagnosis:
    """Diagnose a site as of a time; the findings are in its lake when this returns.

    A time before the last diagnosis, or its own again after files with earlier readings were imported, is looked at
    apart, from all readings received by then.
    """
    lake = site.lake
    facts = SiteFacts(site.database, site.settings.site.timezone)
    line = DiagnosisLine(lake, lake, site.settings, "live", facts=facts)
    if line.can_step(as_of):
        return line.step(as_of)
    with tempfile.TemporaryDirectory(prefix="metriage-") as folder:
        apart = DiagnosisLine(lake, Lake(Path(folder)), site.settings, "live", told=lake, facts=facts).step(as_of)
    _write(lake, apart)
    return apart


def backtest_site(
    site: Site, start: datetime, end: datetime, every: timedelta, progress: Callable[[Diagnosis], None]
) -> pl.DataFrame:
    """Take production's own steps from `start` to `end` and return their findings, with ``mode = backtest``.

    Parameters
    ----------
    site : Site
        Its readings are replayed in the order of receipt into a scratch of its own.
    start, end : datetime
        First and last as-of time (UTC).
    every : timedelta
        Between the steps.
    progress : callable
        Told each diagnosis.

    Raises
    ------
    UsageError
        `end` lies before `start`, or `every` is no time.
    """
    if end < start or every <= timedelta(0):
        raise UsageError(f"a back-test runs forward: from {start} to {end} every {every} it does not")
    source = site.lake
    with tempfile.TemporaryDirectory(prefix="metriage-backtest-") as folder:
        scratch = Lake(Path(folder))
        facts = SiteFacts(site.database, site.settings.site.timezone)
        line = DiagnosisLine(source, scratch, site.settings, "backtest", facts=facts)
        for as_of in _times(start, end, every):
            progress(line.step(as_of))
        told = {table.name: scratch.read(table) for table in _TOLD}
    for table in _TOLD:
        if told[table.name].height:
            source.append(table, told[table.name])
    return told[FINDINGS.name]


# What a diagnosis writes; its findings last, since they tell how far production has come.
_TOLD = (FORECASTS, BATCH_FINDINGS, FINDINGS)


def _write(lake: Lake, diagnosis: Diagnosis, positions: Sequence[Position] = ()) -> None:
    """Write what a diagnosis comes to, once."""
    done = told_until(lake)
    for table, rows in ((FORECASTS, diagnosis.forecasts), (BATCH_FINDINGS, diagnosis.batch_findings)):
        # Rows of this time without findings are those of a diagnosis that was killed in between.
        killed = bool(positions) and told_until(lake, table) == diagnosis.as_of != done
        if rows.height and not killed:
            lake.append(table, rows, positions=positions)
    if diagnosis.findings.height or positions:
        lake.append(FINDINGS, diagnosis.findings, positions=positions)


def _times(start: datetime, end: datetime, every: timedelta) -> Iterator[datetime]:
    moment = start
    while moment <= end:
        yield moment
        moment += every
