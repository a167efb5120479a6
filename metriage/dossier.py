"""The dossier of a group of meters: all that the site knows of it as of the diagnosis that told of it.

Gathered anew from lake and site database for the time of that diagnosis; nothing known later gets in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from diagnostics.batches.cohort import Cohort, acts_of, cohort, seen_of
from diagnostics.facts import Facts
from lake.errors import UsageError
from lake.schemas import BATCH_FINDINGS, DAILY, FINDINGS, FORECASTS, READINGS
from lake.tables import Lake
from lake.vocabulary import BATCH_SCOPES, FAULTS
from lake.warranty import warranty
from metriage.batch_texts import said, scope_title
from metriage.daily_rows import newest_rows
from metriage.labels import Language, cell
from metriage.live_findings import newest_of_each_time
from metriage.picture_story import is_synthetic
from metriage.site import Site
from metriage.site_facts import SiteFacts

Ints = npt.NDArray[np.int64]

READINGS_BEFORE = timedelta(days=30)  # of a failure that go along
READINGS_AFTER = timedelta(days=14)
MOST_METERS = 200  # whose raw readings go along, those that failed first
MICROSECOND = timedelta(microseconds=1)

# Nobody outside needs to know whose meter it is and where he lives.
PRIVATE = ("customer_ref", "latitude", "longitude")

RANK = {"act": 0, "watch": 1, "not_separable": 2, "normal": 3}


@dataclass(frozen=True, slots=True)
class Dossier:
    """What is known of a group and a fault.

    Parameters
    ----------
    finding : dict
        Its row of the table ``batch_findings``.
    same_key : polars.DataFrame
        The rows of the same group and diagnosis for all faults.
    same_scope : polars.DataFrame
        The rows of all groups of the scope for the fault.
    meters : polars.DataFrame
        Registry rows of its meters, with ``entered, left, ended, cold, radio, failed, told_by, first_act, open`` and
        the state of their warranty.
    excluded : polars.DataFrame
        ``meter_id, fault, why`` of meters and findings that do not count.
    failures : polars.DataFrame
        The meters that failed, with cause and evidence of their finding; sorted by the day.
    findings, daily, readings : polars.DataFrame
        Rows of the lake's tables that tell of the failures.
    forecasts : polars.DataFrame
        Failures to come of the group, and spares of its regions.
    weeks : polars.DataFrame
        ``day, observed, expected``, cumulated.
    synthetic : bool
        Whether the readings are simulated.
    """

    finding: dict[str, Any]
    same_key: pl.DataFrame
    same_scope: pl.DataFrame
    meters: pl.DataFrame
    excluded: pl.DataFrame
    failures: pl.DataFrame
    findings: pl.DataFrame
    daily: pl.DataFrame
    readings: pl.DataFrame
    forecasts: pl.DataFrame
    weeks: pl.DataFrame
    synthetic: bool


def newest_groups(site: Site, as_of: datetime) -> pl.DataFrame:
    """Return the batch findings of the newest diagnosis not after a time: a live one, else one of a back-test.

    Empty where there is none.
    """
    told = site.lake.scan(BATCH_FINDINGS, end=as_of + MICROSECOND)
    times = told.select("mode", "as_of", "diagnosis_id").unique().collect()
    if times.is_empty():
        return BATCH_FINDINGS.empty()
    newest = times.sort(pl.col("mode") == "live", "as_of", "diagnosis_id").row(-1, named=True)
    same = [pl.col(name) == newest[name] for name in ("as_of", "diagnosis_id")]
    return told.filter(*same).collect()


def ranked(rows: pl.DataFrame) -> pl.DataFrame:
    """Return batch findings as people look at them: what to act on first, and small groups do not lead."""
    return rows.sort(
        pl.col("verdict").replace_strict(RANK, default=9, return_dtype=pl.Int64), pl.col("ratio_low"), "scope", "key",
        "fault", descending=[False, True, False, False, False], nulls_last=True,
    )  # fmt: skip


def known_words(scope: str | None, fault: str | None) -> None:
    """Refuse a scope or fault that there is not.

    Raises
    ------
    UsageError
        With those that there are.
    """
    for name, value, words in (("--scope", scope, BATCH_SCOPES), ("--fault", fault, FAULTS)):
        if value is not None and value not in words:
            raise UsageError(f"{name} {cell(value)} is none of {', '.join(words)}")


def chosen(rows: pl.DataFrame, key: str, scope: str | None, fault: str | None) -> pl.DataFrame:
    """Return the batch findings of a group, the one that stands out most first.

    Parameters
    ----------
    rows : polars.DataFrame
        Batch findings of one diagnosis.
    key : str
        Which group.
    scope, fault : str, optional
        Where several come into question.

    Raises
    ------
    UsageError
        There is no such scope, fault or group; or the name is that of groups of several scopes.
    """
    known_words(scope, fault)
    named = rows.filter(pl.col("key") == key)
    found = named if scope is None else named.filter(pl.col("scope") == scope)
    if found.is_empty():
        near = rows.filter(pl.col("key").str.contains(key, literal=True))
        if scope is not None:
            near = near.filter(pl.col("scope") == scope)
        names = [cell(name) for name in near["key"].unique().sort().head(5).to_list()]
        others = [scope_title(other, "en") for other in named["scope"].unique().sort().to_list()]
        hint = "; `metriage batch list --all` shows all"
        if others:
            hint = f"; it is the name of a {' and a '.join(others)}"
        elif names:
            hint = f"; there are {', '.join(names)}"
        where = "group" if scope is None else scope_title(scope, "en")
        raise UsageError(f"the last diagnosis has no {where} {cell(key)}{hint}")
    scopes = found["scope"].unique().to_list()
    if len(scopes) > 1:
        raise UsageError(f"{cell(key)} is the name of several groups; say which: --scope {' or '.join(sorted(scopes))}")
    if fault is not None:
        found = found.filter(pl.col("fault") == fault)
        if found.is_empty():
            raise UsageError(f"nobody of {cell(key)} is at risk of {fault}")
    return ranked(found)


def dossier(site: Site, rows: pl.DataFrame, finding: dict[str, Any]) -> Dossier:
    """Gather what is known of a group and a fault.

    Parameters
    ----------
    site : Site
        The site.
    rows : polars.DataFrame
        All batch findings of the diagnosis.
    finding : dict
        The one of them that it is about.
    """
    lake, as_of, zone = site.lake, finding["as_of"], site.settings.site.timezone
    scope, key, fault = finding["scope"], finding["key"], finding["fault"]
    facts = SiteFacts(site.database, zone).as_of(as_of)
    named = pl.col(scope) == key
    # Firmware may be known from the meters alone: then all of them are looked at.
    names = None if scope == "firmware" else facts.meters.filter(named)["meter_id"].to_list()
    seen = seen_of(_daily(lake, as_of, names), site.settings.cohort.cold_c)
    told = _told(lake, finding["mode"], as_of, names)
    today = as_of.astimezone(ZoneInfo(zone)).date()
    known = facts if names is None else _only(facts, names)
    members = cohort(seen, acts_of(told.lazy()), known, as_of, today, site.settings.cohort)
    group = members.at_risk(fault).filter(named)
    own = pl.col("meter_id").is_in(pl.concat([group["device"], facts.meters.filter(named)["meter_id"]]).implode())
    failed = group.drop_nulls("failed")["device"].to_list()
    findings = told.filter(pl.col("meter_id").is_in(failed), pl.col("fault") == fault).sort("meter_id", "as_of")
    meters = _meters(group, members, facts.meters, fault).join(
        warranty(facts.meters.filter(own), facts.inspections, as_of, zone).select(
            "meter_id", pl.col("state").alias("warranty"), pl.col("ends_on").alias("warranty_ends_on")
        ),
        on="meter_id", how="left", maintain_order="left",
    )  # fmt: skip
    readings = _readings(lake, meters, as_of)
    return Dossier(
        finding=finding,
        same_key=rows.filter(pl.col("scope") == scope, pl.col("key") == key),
        same_scope=rows.filter(pl.col("scope") == scope, pl.col("fault") == fault),
        meters=meters,
        excluded=members.excluded.filter(own, pl.col("fault").is_null() | (pl.col("fault") == fault)),
        failures=_failures(meters, findings),
        findings=findings,
        daily=_whole_days(lake, failed, as_of),
        readings=readings,
        forecasts=_forecasts(lake, finding, meters["region"].drop_nulls().unique().to_list()),
        weeks=weeks(group, finding["expected"] or 0.0, today),
        synthetic=is_synthetic(readings),
    )


def _only(facts: Facts, names: list[str]) -> Facts:
    own = pl.col("meter_id").is_in(names)
    return replace(facts, meters=facts.meters.filter(own), inspections=facts.inspections.filter(own))


def _daily(lake: Lake, as_of: datetime, meters: list[str] | None) -> pl.DataFrame:
    """Return what the cohort needs of daily rows."""
    columns = ["meter_id", "day", "as_of", "readings", "first_seen_ts", "firmware", "rssi_median_dbm",
               "coverage_worst", "ambient_min_c"]  # fmt: skip
    return newest_rows(_as_they_stood(lake, as_of, meters).select(columns).collect())


def _as_they_stood(lake: Lake, as_of: datetime, meters: list[str] | None) -> pl.LazyFrame:
    """Return daily rows of a diagnosis.

    One of a time before the first live one was looked at apart, and left no rows of its own: then those of the days
    before it have to do.
    """
    rows = lake.scan(DAILY, end=as_of.date() + timedelta(days=2), meters=meters)
    own = rows.filter(pl.col("as_of") <= as_of)
    if own.select(pl.len()).collect().item():
        return own
    return rows.filter(pl.col("day") < as_of.date())


def _told(lake: Lake, mode: str, as_of: datetime, meters: list[str] | None) -> pl.DataFrame:
    rows = newest_of_each_time(lake.scan(FINDINGS, end=as_of + MICROSECOND).filter(pl.col("mode") == mode))
    if meters is not None:
        rows = rows.filter(pl.col("meter_id").is_in(meters))
    return rows.filter(pl.col("kind") == "fault").collect()


def _meters(group: pl.DataFrame, members: Cohort, registry: pl.DataFrame, fault: str) -> pl.DataFrame:
    told = members.failures.filter(pl.col("fault") == fault).select("device", "told_by", "first_act", "open")
    columns = ["device", "entered", "left", "ended", "cold", "radio", "failed"]
    held = [name for name in registry.columns if name not in PRIVATE]
    return (
        group.select(columns)
        .join(told, on="device", how="left", maintain_order="left")
        .rename({"device": "meter_id"})
        .join(registry.select(held), on="meter_id", how="left", maintain_order="left")
        .sort("failed", "meter_id", nulls_last=True)
    )


def _failures(meters: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """Return the meters that failed, with what the newest act on them said."""
    newest = (
        findings.filter(pl.col("verdict") == "act")
        .sort("meter_id", "as_of")
        .unique("meter_id", keep="last", maintain_order=True)
        .select("meter_id", "onset", "severity", "cause", "cause_confidence", "rules", "evidence")
    )
    failed = meters.drop_nulls("failed")
    return failed.join(newest, on="meter_id", how="left", maintain_order="left")


def _whole_days(lake: Lake, meters: list[str], as_of: datetime) -> pl.DataFrame:
    if not meters:
        return DAILY.empty()
    return newest_rows(_as_they_stood(lake, as_of, meters).collect())


def _readings(lake: Lake, meters: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return what the failed meters sent around their failure."""
    failed = meters.drop_nulls("failed").head(MOST_METERS)
    if failed.is_empty():
        return READINGS.empty()
    first: date = failed["failed"].min()  # type: ignore[assignment]
    rows = lake.scan(
        READINGS, start=datetime.combine(first, datetime.min.time(), as_of.tzinfo) - READINGS_BEFORE,
        meters=failed["meter_id"].to_list(), received_by=as_of,
    )  # fmt: skip
    day = pl.col("failed").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return (
        rows.join(failed.lazy().select("meter_id", day.alias("failed_at")), on="meter_id")
        .filter(pl.col("ts").is_between(pl.col("failed_at") - READINGS_BEFORE, pl.col("failed_at") + READINGS_AFTER))
        .drop("failed_at")
        .sort("meter_id", "ts")
        .collect()
    )


def history_of(lake: Lake, rows: pl.DataFrame) -> pl.DataFrame:
    """Return what all diagnoses up to that of `rows` told of their scope and fault, those of the same mode.

    Where that was the only one of its mode, those of other modes tell what was before.

    Parameters
    ----------
    lake : Lake
        The lake.
    rows : polars.DataFrame
        Batch findings of one diagnosis, scope and fault.
    """
    one = rows.row(0, named=True)
    same = [pl.col(name) == one[name] for name in ("scope", "fault")]
    every = lake.scan(BATCH_FINDINGS, end=one["as_of"] + MICROSECOND).filter(*same)
    told = newest_of_each_time(every.filter(pl.col("mode") == one["mode"])).sort("as_of", "key").collect()
    if told["as_of"].n_unique() > 1:
        return told
    return newest_of_each_time(every).sort("as_of", "key").collect()


def _forecasts(lake: Lake, finding: dict[str, Any], regions: list[str]) -> pl.DataFrame:
    """Return what the diagnosis of the same time expects: failures of the group, spares of its regions."""
    rows = newest_of_each_time(
        lake.scan(FORECASTS, start=finding["as_of"], end=finding["as_of"] + MICROSECOND).filter(
            pl.col("mode") == finding["mode"]
        )
    )
    own = (
        (pl.col("kind") == "failures")
        & (pl.col("scope") == finding["scope"])
        & (pl.col("key") == finding["key"])
        & (pl.col("fault") == finding["fault"])
    )
    spares = (pl.col("kind") == "spares") & pl.col("key").is_in(regions)
    return rows.filter(own | spares).sort("kind", "key", "until").collect()


def weeks(group: pl.DataFrame, expected: float, today: date) -> pl.DataFrame:
    """Return failures of a group week by week, and what was expected by then: it accrues with the days at risk.

    Parameters
    ----------
    group : polars.DataFrame
        ``entered, left, failed`` of its meters.
    expected : float
        Expected failures over all of its exposure.
    today : date
        First day nobody was watched on.

    Returns
    -------
    polars.DataFrame
        ``day, observed, expected``, cumulated, one row a week and one for the last day.
    """
    if group.is_empty():
        return pl.DataFrame(schema={"day": pl.Date, "observed": pl.Int64, "expected": pl.Float64})
    since = group["entered"].cast(pl.Int32).to_numpy().astype(np.int64)
    until = group.select(pl.coalesce("failed", "left")).to_series().cast(pl.Int32).to_numpy().astype(np.int64)
    failed = np.sort(group["failed"].drop_nulls().cast(pl.Int32).to_numpy().astype(np.int64))
    last = (today - date(1970, 1, 1)).days
    ends = np.unique(np.append(np.arange(int(since.min()) + 7, last, 7), last))
    # Days at risk up to an end: a sum of ramps, each of which rises from entering to leaving.
    starts, stops = np.sort(since), np.sort(np.maximum(until, since + 1))

    def ramps(points: Ints) -> Ints:
        number = np.searchsorted(points, ends)
        return np.asarray(number * ends - np.append(0, np.cumsum(points))[number], dtype=np.int64)

    days = ramps(starts) - ramps(stops)
    whole = max(float(stops.sum() - starts.sum()), 1.0)
    return pl.DataFrame(
        {
            "day": pl.Series(ends.astype(np.int32)).cast(pl.Date),
            "observed": np.searchsorted(failed, ends, side="left"),
            "expected": expected * days / whole,
        }
    )


def nothing_told(site: Site, as_of: datetime, language: Language) -> str:
    """Return what to say where no diagnosis has looked at groups by a time."""
    first = site.lake.scan(BATCH_FINDINGS).select(pl.col("as_of").min()).collect().item()
    if first is None:
        return said("nothing_told", language)
    zone = ZoneInfo(site.settings.site.timezone)
    # The end of a day is the midnight after it.
    days = [(moment - MICROSECOND).astimezone(zone).date().isoformat() for moment in (as_of, first)]
    return said("nothing_told_by", language).format(*days)
