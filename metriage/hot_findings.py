"""The hot path: hard codes become findings as they come, without waiting for the next diagnosis.

A hot finding says what the next live diagnosis will say, as far as the meter's own rows tell: the same rules of codes
see the same daily rows, made of what was received by now; what the other rules said last stands, and so do the
conditions that explain a symptom. What it takes other meters to know (causes of a lot or a place) is left to the
diagnosis.

Nothing is remembered that the lake does not tell, so a kill at any moment loses and doubles nothing:

- **New** are codes that the last live diagnosis did not see: received after its as-of time, or committed after it read.
- **Known** is what that diagnosis said, and what the hot path said since. A finding is written only where it says more:
  another meter or fault, act instead of watch, a worse severity, codes where other rules spoke before.
- Findings are committed only onto the version of the table that "known" was read from.

Live diagnoses never read hot findings, so a back-test finds what production found. The price is paid here: a hot
finding that no live diagnosis shared (a reading that turned out contested, a profile that was put right) is cleared by
the hot path itself (:meth:`HotPath.settle`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import polars as pl
import structlog

from diagnostics.diagnosis import OPEN, diagnose
from diagnostics.evidence import observation
from diagnostics.features import WINDOW_DAYS
from diagnostics.rules import RULES
from diagnostics.settings import RuleSettings
from lake.errors import LakeError, VersionConflictError
from lake.failpoints import reach
from lake.schemas import ERROR_CODES, FINDINGS
from lake.tables import Lake
from metriage.diagnosing import DiagnosisLine
from metriage.live_findings import live_findings, told_codes, told_until
from metriage.site import Site
from metriage.site_facts import SiteFacts

CODE_RULES = frozenset(name for name in RULES if name.endswith(".codes"))

_KEY = ["meter_id", "fault"]
_CODE = ["meter_id", "ts", "received_at", "family", "severity"]
# What makes a code the same as one that was judged since the last live diagnosis: it can say no more.
_MARK = pl.Schema({"meter_id": pl.String(), "family": pl.String(), "severity": pl.Int64(), "day": pl.Date()})
_FIRST_LOOK = timedelta(days=1)  # back, where there was no diagnosis yet
_METERS_AT_ONCE = 500
_CONFLICT_TRIES = 20
_NEVER = 2**31
_MICROSECOND = timedelta(microseconds=1)

log = structlog.get_logger(__name__)


class HotPath:
    """Turns hard codes of a site into findings.

    Parameters
    ----------
    site : Site
        Its settings, and what it knows beside its readings.
    lake : Lake
        Its lake: codes are read, findings written.
    facts : SiteFacts, optional
        Its facts, where others of the process read them too; a registry is held in memory once.
    """

    def __init__(self, site: Site, lake: Lake, facts: SiteFacts | None = None) -> None:
        settings = site.settings
        self._lake = lake
        self._settings = settings
        self._rules = _without_groups(settings.rules)
        self._facts = facts or SiteFacts(site.database, settings.site.timezone)
        self._line = DiagnosisLine(lake, lake, settings, "live", facts=self._facts)
        self._hard = pl.any_horizontal(
            pl.lit(value=False),
            *(
                (pl.col("family") == fault) & (pl.col("severity") <= limit)
                for fault, limit in settings.hard_severities.items()
            ),
        )
        self._told: datetime | None = None  # as-of time of the live diagnosis that "new" refers to
        self._looked: int | None = None  # version of the codes that all was looked at of since
        self._judged = pl.DataFrame(schema=_MARK)
        self._settled: datetime | None = None

    def look(self, now: datetime) -> pl.DataFrame:
        """Judge the codes that came since the last look, and return the findings that were written.

        Parameters
        ----------
        now : datetime
            The clock (UTC).

        Raises
        ------
        LakeError
            Nothing is lost: the next look begins where this one did.
        """
        told = told_until(self._lake)
        if told != self._told:
            self._told, self._looked, self._judged = told, None, self._judged.clear()
        version = self._lake.version(ERROR_CODES)
        if self._looked is not None and version <= self._looked:
            return FINDINGS.empty()
        codes = self._new_codes(now).join(self._judged, on=list(_MARK), how="anti")
        written = [self._take(part, now) for part in _by_meters(codes)]
        self._judged = pl.concat([self._judged, codes.select(list(_MARK))]).unique()
        self._looked = version
        return pl.concat([FINDINGS.empty(), *written])

    def _new_codes(self, now: datetime) -> pl.DataFrame:
        """Return the hard codes that neither the live diagnosis nor an earlier look has seen."""
        since = None if self._looked is None else self._lake.added_since(ERROR_CODES, self._looked)
        parts = self._unseen(now) if since is None else [self._lake.scan_parts(ERROR_CODES, since)] if since else []
        rows = [part.filter(self._hard, pl.col("received_at") <= now).select(_CODE) for part in parts]
        codes = pl.concat(rows).collect() if rows else ERROR_CODES.empty().select(_CODE)
        zone = self._settings.site.timezone
        return codes.with_columns(day=pl.col("ts").dt.convert_time_zone(zone).dt.date())

    def _unseen(self, now: datetime) -> list[pl.LazyFrame]:
        """Return the codes that the live diagnosis has not seen."""
        if self._told is None:
            return [self._lake.scan(ERROR_CODES, received_after=now - _FIRST_LOOK)]
        parts = [self._lake.scan(ERROR_CODES, received_after=self._told).drop("event_date")]
        late = self._lake.added_since(ERROR_CODES, told_codes(self._lake))
        if late:
            rows = self._lake.scan_parts(ERROR_CODES, late)
            parts.append(rows.filter(pl.col("received_at") <= self._told))
        return parts

    def _take(self, codes: pl.DataFrame, now: datetime) -> pl.DataFrame:
        """Judge codes of some meters and write what is not known yet."""
        for _ in range(_CONFLICT_TRIES):
            version = self._lake.create(FINDINGS)
            live = FINDINGS.empty() if self._told is None else live_findings(self._lake, self._told)
            known = self._known(live)
            wanted = _uncovered(codes, known)
            rows = _saying_more(self._judge(wanted, live, now), known) if wanted.height else FINDINGS.empty()
            if rows.is_empty():
                return rows
            try:
                self._lake.append(FINDINGS, rows, expect_version=version)
            except VersionConflictError:
                continue
            reach("hot.found")
            log.info("hard codes found", findings=rows.height, meters=rows["meter_id"].n_unique())
            return rows
        raise LakeError(f"findings: {_CONFLICT_TRIES} times somebody else was faster")

    def _known(self, live: pl.DataFrame) -> pl.DataFrame:
        """Return what the last live diagnosis and the hot path since said of each meter and fault."""
        since = None if self._told is None else self._told + _MICROSECOND
        hot = self._lake.scan(FINDINGS, start=since).filter(pl.col("mode") == "hot").collect()
        said = pl.concat([live, hot]).filter(pl.col("kind") == "fault").sort("as_of", "diagnosis_id")
        return said.unique(_KEY, keep="last").filter(pl.col("verdict").is_in(OPEN))

    def _judge(self, codes: pl.DataFrame, live: pl.DataFrame, now: datetime) -> pl.DataFrame:
        """Return what the rules of codes say of the meters that sent `codes`."""
        as_of = now if self._told is None else max(now, self._told + _MICROSECOND)
        meters = codes["meter_id"].unique()
        rows = diagnose(
            self._line.glimpse(as_of, codes),
            as_of=as_of,
            diagnosis_id=_diagnosis_id(as_of),
            mode="hot",
            settings=self._rules,
            language=self._settings.site.language,
            previous=live.filter(pl.col("meter_id").is_in(meters.implode())),
            facts=self._facts.as_of(as_of),
            rules=CODE_RULES,
        )
        told = codes.select("meter_id", fault="family").unique()
        return rows.filter(_by_codes(), pl.col("kind") == "fault").join(told, on=_KEY, how="semi")

    def settle(self) -> pl.DataFrame:
        """Clear hot findings that no live diagnosis shared though one saw what they had seen; return what was written.

        Raises
        ------
        LakeError
            It is done the next time.
        """
        told = told_until(self._lake)
        if told is None or told == self._settled:
            return FINDINGS.empty()
        version = self._lake.create(FINDINGS)
        rows = self._unshared(told)
        if rows.height:
            self._lake.append(FINDINGS, rows, expect_version=version)
            reach("hot.found")
            log.info("hard codes not shared by the diagnosis", findings=rows.height)
        self._settled = told
        return rows

    def _unshared(self, told: datetime) -> pl.DataFrame:
        """Return what clears open hot findings that no live diagnosis since, the one as of `told` among them, has."""
        rows = self._lake.scan(FINDINGS, start=told - timedelta(days=WINDOW_DAYS), end=told + _MICROSECOND)
        hot = rows.filter(pl.col("mode") == "hot").collect().sort("as_of", "diagnosis_id")
        last = hot.unique(_KEY, keep="last", maintain_order=True).filter(pl.col("verdict").is_in(OPEN))
        if last.is_empty():
            return last
        meters = last["meter_id"].unique()
        live = rows.filter(pl.col("mode") == "live", pl.col("meter_id").is_in(meters.implode()))
        shared = (
            live.select(*_KEY, "as_of")
            .collect()
            .join(last.select(*_KEY, since="as_of"), on=_KEY)
            .filter(pl.col("as_of") >= pl.col("since"))
        )
        note = observation("clearing", "unconfirmed", pl.col("rules").list.join(", "), since=pl.lit(told))
        return last.join(shared, on=_KEY, how="anti", maintain_order="left").with_columns(
            pl.lit(_diagnosis_id(told)).alias("diagnosis_id"),
            pl.lit(told).alias("as_of"),
            pl.lit("clear").alias("verdict"),
            pl.lit("clear").alias("rule_verdict"),
            pl.format("[{}]", note).alias("evidence"),
            pl.lit(None, dtype=pl.String).alias("inhibited_by"),
        )


def _without_groups(rules: RuleSettings) -> RuleSettings:
    """Return settings under which no lot, module or installer is a cause: a few meters tell nothing of a group."""
    replace = msgspec.structs.replace
    groups = {name: getattr(rules.causes, name) for name in ("lot", "module", "installer")}
    silent = {name: replace(own, least_cases=_NEVER) for name, own in groups.items()}
    return replace(rules, causes=replace(rules.causes, **silent))


def _diagnosis_id(as_of: datetime) -> str:
    """Return a name; the clock in it puts those of the same as-of time in order."""
    return f"hot-{as_of:%Y%m%dT%H%M%SZ}-{time.time_ns() // 1000:013x}{uuid.uuid4().hex[:4]}"


def _by_meters(codes: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the codes of so many meters at once as are judged together."""
    meters = codes["meter_id"].unique().sort()
    for start in range(0, meters.len(), _METERS_AT_ONCE):
        yield codes.filter(pl.col("meter_id").is_in(meters.slice(start, _METERS_AT_ONCE).implode()))


def _by_codes() -> pl.Expr:
    """Return whether the codes of its own fault are among the rules of a finding."""
    return pl.col("rules").list.contains(pl.format("{}.codes", pl.col("fault")))


def _uncovered(codes: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return the codes that may say more than what is known: not where that is act, by codes, of such a severity."""
    said = known.filter(_by_codes(), pl.col("verdict") == "act").select("meter_id", family="fault", said="severity")
    joined = codes.join(said, on=["meter_id", "family"], how="left", maintain_order="left")
    return joined.filter(pl.col("said").is_null() | (pl.col("severity") < pl.col("said"))).drop("said")


def _saying_more(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return the findings that say more than what is known."""
    before = known.select(*_KEY, said="verdict", said_severity="severity", said_by_codes=_by_codes())
    joined = rows.join(before, on=_KEY, how="left", maintain_order="left")
    act, acted = pl.col("verdict") == "act", pl.col("said") == "act"
    worse = (pl.col("severity") < pl.col("said_severity")) | ~pl.col("said_by_codes")
    return joined.filter(pl.col("said").is_null() | (act & ~acted) | ((act == acted) & worse)).select(rows.columns)
