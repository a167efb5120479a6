"""Who was at risk of a fault, where and how long, and who failed: the cohort behind all batch findings.

A meter enters on the day it was first seen, not when it was made: what failed before is not known (late entry). It
leaves when it was taken down, when it fell silent, or with the diagnosis (censoring). A failure is the onset of the
first ``act`` for a meter and fault, or what an inspection found; what turned out to be none is left out and listed with
the reason.

What a meter went through does not change within its row: its place, the share of cold days since it entered, its radio.
That keeps a cohort at one row a meter, however long the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from diagnostics.cohort_settings import CohortSettings
from diagnostics.facts import Facts
from diagnostics.shelter import of_kind
from lake.vocabulary import BATCH_SCOPES, FAULTS, INSTALLATIONS

# What the cohort needs of the daily rows, one row a meter.
SEEN = pl.Schema(
    {
        "meter_id": pl.String(),
        "first_day": pl.Date(),
        "last_day": pl.Date(),
        "seen_firmware": pl.String(),
        "rssi_dbm": pl.Float64(),
        "coverage": pl.Int64(),
        "cold_share": pl.Float64(),
    }
)

# What it needs of the findings, one row a meter and fault.
ACTS = pl.Schema(
    {
        "meter_id": pl.String(),
        "fault": pl.String(),
        "onset": pl.Datetime("us", "UTC"),
        "first_act": pl.Datetime("us", "UTC"),
        "last_act": pl.Datetime("us", "UTC"),
    }
)

EXCLUDED = pl.Schema({"meter_id": pl.String(), "fault": pl.String(), "why": pl.String()})

# Why a meter, or a fault of a meter, does not count: English and Chinese.
REASONS = {
    "never_seen": ("in the registry, but never seen", "台账有登记，但从未上报"),
    "not_within": ("taken down before it was first seen", "首次上报前已拆除"),
    "before_entry": ("had the fault already when it was first seen", "首次上报时已有该故障"),
    "cleared": ("the finding was over again before it had stood", "判定未持续即恢复"),
    "no_defect": ("an inspection found no defect", "现场检查未见缺陷"),
    "other_found": ("an inspection found something else", "现场检查为其他问题"),
    "no_valve": ("has no valve", "无阀门"),
}

_FOUND_AFTER_D = 90  # after a meter left: a silent one is visited late

# What is compared with what: first the exposures that matter to a fault, the most telling one first, so that thin
# strata are drawn to what they have in common; then the places, since sand comes with the pipe of an estate.
STRATA = {
    "coil": ("cold", "installation"),
    "battery": ("cold", "radio", "installation", "flood"),
    "actuator": ("cold", "flood"),
    "low_temperature": ("cold", "installation"),
}
PLACES = ("region", "site")

# What a scope is not compared within: what makes it special. A region is compared without its cold; whether the cold
# explains it is asked afterwards.
_SPECIAL = {"region": ("region", "site", "cold"), "site": ("site",)}


def strata_of(scope: str, fault: str) -> tuple[str, ...]:
    """Return the exposures that meters of a scope are compared within."""
    return tuple(name for name in STRATA[fault] if name not in _SPECIAL.get(scope, ()))


def places_of(scope: str) -> tuple[str, ...]:
    """Return the places that meters of a scope are compared within."""
    return tuple(name for name in PLACES if name not in _SPECIAL.get(scope, ()))


@dataclass(frozen=True, slots=True)
class Cohort:
    """Meters at risk and their failures.

    Parameters
    ----------
    meters : polars.DataFrame
        One row a meter, sorted: ``device``, the columns of :data:`lake.vocabulary.BATCH_SCOPES`, the strata
        ``installation, cold, radio, flood``, ``valve_type``, ``entered``, ``left`` (exclusive), ``born`` and ``ended``
        (removed, silent, or observed to the end).
    failures : polars.DataFrame
        One row a meter and fault: ``device, fault, failed, first_act, told_by`` (findings or inspection) and ``open``,
        whether it still has the fault.
    excluded : polars.DataFrame
        Columns of :data:`EXCLUDED`; ``fault`` is empty where the whole meter is left out.
    """

    meters: pl.DataFrame
    failures: pl.DataFrame
    excluded: pl.DataFrame

    def at_risk(self, fault: str) -> pl.DataFrame:
        """Return the meters at risk of a fault, with ``failed``; who has it ends there."""
        out = self.excluded.filter(pl.col("why").is_in(["before_entry", "no_valve"]) & (pl.col("fault") == fault))
        meters = self.meters.join(out, left_on="device", right_on="meter_id", how="anti") if out.height else self.meters
        failed = self.failures.filter(pl.col("fault") == fault).select("device", "failed")
        return meters.join(failed, on="device", how="left", maintain_order="left").with_columns(
            pl.max_horizontal("left", pl.col("failed") + pl.duration(days=1)).alias("left")
        )

    def devices(self, scope: str, fault: str) -> pl.DataFrame:
        """Return the table of devices that :mod:`diagnostics.batches` takes: who is in which group of a scope."""
        columns = ["device", "entered", "left", "failed", "born", *STRATA[fault]]
        return self.at_risk(fault).select(pl.col(scope).alias("group"), *columns, *PLACES)


def seen_of(recent: pl.DataFrame, cold_c: float) -> pl.DataFrame:
    """Return what the cohort needs of daily rows; the running state tells when a meter was seen first.

    Parameters
    ----------
    recent : polars.DataFrame
        Daily rows of the window, and the newest one of each silent meter.
    cold_c : float
        Lowest temperature that makes a cold day [°C].

    Returns
    -------
    polars.DataFrame
        Columns of :data:`SEEN`.
    """
    newest = pl.col("day").arg_max()
    began, first = pl.col("first_seen_ts").min().dt.date(), pl.col("day").min()
    return (
        recent.lazy()
        .group_by("meter_id")
        .agg(
            # A day of the meter's zone may have begun on the day before in UTC.
            pl.when(began < first - pl.duration(days=1)).then(began).otherwise(first).alias("first_day"),
            pl.col("day").max().alias("last_day"),
            pl.col("firmware").get(newest).alias("seen_firmware"),
            pl.col("rssi_median_dbm").median().alias("rssi_dbm"),
            pl.col("coverage_worst").median().round().cast(pl.Int64).alias("coverage"),
            (pl.col("ambient_min_c").drop_nulls() < cold_c).mean().alias("cold_share"),
        )
        .select(list(SEEN))
        .cast(SEEN)
        .sort("meter_id")
        .collect()
    )


def acts_of(findings: pl.LazyFrame) -> pl.DataFrame:
    """Return the acts of a history of findings, one row a meter and fault.

    Parameters
    ----------
    findings : polars.LazyFrame
        Rows of the table ``findings`` of one mode, by the time of the diagnosis.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`ACTS`.
    """
    acts = findings.filter((pl.col("kind") == "fault") & (pl.col("verdict") == "act"))
    return (
        acts.group_by("meter_id", "fault")
        .agg(
            pl.col("onset").min(),
            pl.col("as_of").min().alias("first_act"),
            pl.col("as_of").max().alias("last_act"),
        )
        .select(list(ACTS))
        .sort("meter_id", "fault")
        .collect()
    )


def cohort(
    seen: pl.DataFrame,
    acts: pl.DataFrame,
    facts: Facts,
    as_of: datetime,
    today: date,
    settings: CohortSettings | None = None,
) -> Cohort:
    """Return the cohort as of a time.

    Parameters
    ----------
    seen : polars.DataFrame
        Columns of :data:`SEEN`, one row a meter.
    acts : polars.DataFrame
        Columns of :data:`ACTS`, those of the diagnosis itself included.
    facts : Facts
        Registry with its exchanges, weather and inspections known by then.
    as_of : datetime
        Time of the diagnosis (UTC).
    today : date
        Local day of the site that has begun at `as_of`: the first one that nobody was watched on.
    settings : CohortSettings, optional
    """
    settings = settings or CohortSettings()
    known = facts.conformed()
    meters, gone = _meters(seen, known, today, settings)
    failures, no_failures = _failures(meters, acts, known.inspections, as_of, settings)
    valveless = meters.filter(pl.col("valve_type") == "none").select(
        pl.col("device").alias("meter_id"), pl.lit("actuator").alias("fault"), pl.lit("no_valve").alias("why")
    )
    failures = failures.join(valveless, left_on=["device", "fault"], right_on=["meter_id", "fault"], how="anti")
    excluded = pl.concat([gone, no_failures, valveless]).sort("meter_id", "fault", "why")
    return Cohort(meters, failures, excluded)


def _meters(
    seen: pl.DataFrame, facts: Facts, today: date, settings: CohortSettings
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return who was at risk from when to when, and who never was and why."""
    registry = facts.meters.select(
        "meter_id", *BATCH_SCOPES, "installation", "flood_prone", "valve_type", "installed_on", "removed_on",
        pl.coalesce("installed_on", "shipped_on", "produced_on").alias("born"),
    )  # fmt: skip
    began = seen["first_day"].min()
    every = registry.join(seen.select(list(SEEN)), on="meter_id", how="full", coalesce=True)
    # Of a meter that left before the days at hand the registry alone knows when it hung.
    entered = pl.max_horizontal(
        pl.coalesce("first_day", pl.max_horizontal("installed_on", pl.lit(began, dtype=pl.Date))),
        pl.when((pl.col("installed_on") <= pl.col("last_day")).fill_null(value=True)).then("installed_on"),
    )
    entered = pl.when(pl.col("first_day").is_not_null() | pl.col("removed_on").is_not_null()).then(entered)
    silent = (pl.lit(today) - pl.col("last_day")).dt.total_days() > settings.silent_days
    # One that is put up elsewhere reports on; its record here is over.
    removed = (pl.col("removed_on") < today).fill_null(value=False)
    left = pl.when(removed).then("removed_on").when(silent).then(pl.col("last_day") + pl.duration(days=1))
    ended = pl.when(removed).then(pl.lit("removed")).when(silent).then(pl.lit("silent")).otherwise(pl.lit("observed"))
    dated = every.with_columns(
        entered.alias("entered"), left.otherwise(pl.lit(today)).alias("left"), ended.alias("ended")
    )
    why = (
        pl.when(pl.col("entered").is_null())
        .then(pl.lit("never_seen"))
        .when(pl.col("entered") >= pl.col("left"))
        .then(pl.lit("not_within"))
    )
    judged = dated.with_columns(why.alias("why")).sort("meter_id")
    out = judged.filter(pl.col("why").is_not_null()).select(
        "meter_id", pl.lit(None, dtype=pl.String).alias("fault"), "why"
    )
    placed = _with_exposure(judged.filter(pl.col("why").is_null()), facts.weather, today, settings)
    columns: list[str | pl.Expr] = [
        pl.col("meter_id").alias("device"),
        *(pl.col(name) for name in BATCH_SCOPES if name != "firmware"),
        pl.coalesce("firmware", "seen_firmware").alias("firmware"),
        "installation",
        "cold",
        "radio",
        pl.col("flood_prone").fill_null(value=False).alias("flood"),
        "valve_type",
        "entered",
        "left",
        pl.coalesce("born", "entered").alias("born"),
        "ended",
    ]
    return placed.select(columns), out


def _with_exposure(meters: pl.DataFrame, weather: pl.DataFrame, today: date, settings: CohortSettings) -> pl.DataFrame:
    """Add the classes of cold and radio that a meter stood in.

    Cold counts up to the diagnosis, or to where the meter left its place, and not to its failure: else who failed in
    autumn would pass for one that never saw the winter.
    """
    until = pl.min_horizontal(pl.when(pl.col("ended") == "removed").then("left"), pl.lit(today))
    kind = pl.col("installation").fill_null("outdoor")
    keyed = meters.with_columns(kind.alias("kind"), until.alias("until"), pl.col("entered").alias("since"))
    days = cold_days(weather, settings.cold_c)
    counted = keyed
    for edge in ("since", "until"):
        counted = counted.sort(edge).join_asof(
            days.select(
                "region", "kind", pl.col("date").alias(edge), pl.col("days", "cold_days").name.suffix(f"_{edge}")
            ),
            on=edge, by=["region", "kind"], strategy="backward", check_sortedness=False,
        )  # fmt: skip
    watched = pl.col("days_until") - pl.col("days_since").fill_null(0)
    cold = pl.col("cold_days_until") - pl.col("cold_days_since").fill_null(0)
    share = pl.coalesce(pl.when(watched > 0).then(cold / watched), pl.col("cold_share"))
    rssi, worst = pl.col("rssi_dbm"), pl.col("coverage")
    return counted.with_columns(
        pl.when(share >= settings.hard_cold)
        .then(pl.lit("hard"))
        .when(share >= settings.some_cold)
        .then(pl.lit("some"))
        .when(share.is_not_null())
        .then(pl.lit("none"))
        .otherwise(pl.lit("unknown"))
        .alias("cold"),
        pl.when((worst >= 2).fill_null(rssi < settings.weak_dbm))
        .then(pl.lit("weak"))
        .when((worst >= 1).fill_null(rssi < settings.fair_dbm))
        .then(pl.lit("fair"))
        .when(worst.is_not_null() | rssi.is_not_null())
        .then(pl.lit("good"))
        .otherwise(pl.lit("unknown"))
        .alias("radio"),
    ).sort("meter_id")


def cold_days(weather: pl.DataFrame, cold_c: float) -> pl.DataFrame:
    """Return for each region and kind of installation how many measured days, and cold ones, there were up to a day."""
    measured = (
        weather.filter(~pl.col("forecast").fill_null(value=False) & pl.col("min_c").is_not_null())
        .unique(["region", "date"], keep="last", maintain_order=True)
        .select("region", "date", "min_c")
    )
    kinds = pl.DataFrame({"kind": list(INSTALLATIONS)})
    share, lift = of_kind(pl.col("kind"))
    each = measured.join(kinds, how="cross").with_columns((pl.col("min_c") * share + lift < cold_c).alias("cold"))
    by = ["region", "kind"]
    return each.sort("date").with_columns(
        pl.col("date").cum_count().over(by).cast(pl.Int64).alias("days"),
        pl.col("cold").cast(pl.Int64).cum_sum().over(by).alias("cold_days"),
    )


def _failures(
    meters: pl.DataFrame, acts: pl.DataFrame, inspections: pl.DataFrame, as_of: datetime, settings: CohortSettings
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the failures, and the findings that are none and why."""
    found = inspections.filter(pl.col("inspected_at") <= as_of, pl.col("finding").is_not_null())
    told = acts.filter(pl.col("first_act") <= as_of, pl.col("fault").is_in(FAULTS)).join(
        _verdicts(acts, found), on=["meter_id", "fault"], how="left", maintain_order="left"
    )
    placed = told.join(meters, left_on="meter_id", right_on="device", maintain_order="left").with_columns(
        pl.min_horizontal(pl.coalesce("onset", "first_act"), "first_act").dt.date().alias("day")
    )
    held = (pl.col("last_act") - pl.col("first_act")) >= pl.duration(days=settings.held_days)
    over = pl.col("last_act") < as_of
    went_on = (pl.col("left") - pl.col("last_act").dt.date()).dt.total_days() > settings.held_days
    old = (pl.col("entered") - pl.col("born")).dt.total_days() > settings.prior_days
    why = (
        pl.when(pl.col("seen_instead") == "no_defect_found")
        .then(pl.lit("no_defect"))
        .when(pl.col("seen_instead").is_not_null())
        .then(pl.lit("other_found"))
        .when(over & ~held & went_on & ~pl.col("confirmed").fill_null(value=False))
        .then(pl.lit("cleared"))
        .when((pl.col("day") <= pl.col("entered")) & old)
        .then(pl.lit("before_entry"))
    )
    judged = placed.with_columns(why.alias("why"))
    failed = judged.filter(pl.col("why").is_null()).select(
        pl.col("meter_id").alias("device"),
        "fault",
        pl.max_horizontal("entered", pl.min_horizontal("day", "left")).alias("failed"),
        "first_act",
        pl.lit("findings").alias("told_by"),
        (pl.col("last_act") >= as_of).alias("open"),
    )
    none = judged.filter(pl.col("why").is_not_null()).select("meter_id", "fault", "why")
    site = _inspected(meters, found, acts)
    return pl.concat([failed, site]).sort("device", "fault"), none


def _verdicts(acts: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Return what the first inspection after an act says of it: confirmed, or what was seen instead.

    A meter has another fault beside the one it was sent for often enough; only where nothing or no fault of ours was
    found the finding is taken back.
    """
    visits = acts.select("meter_id", "fault", "first_act").join(
        found.select("meter_id", "inspected_at", "finding"), on="meter_id"
    )
    after = visits.filter(pl.col("inspected_at") >= pl.col("first_act")).sort("meter_id", "fault", "inspected_at")
    confirmed = pl.col("finding") == pl.col("fault")
    instead = pl.col("finding").is_in(["no_defect_found", "other"])
    return after.group_by("meter_id", "fault", maintain_order=True).agg(
        confirmed.any().alias("confirmed"),
        pl.when(~confirmed.any() & instead.first()).then(pl.col("finding").first()).alias("seen_instead"),
    )


def _inspected(meters: pl.DataFrame, found: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """Return faults that somebody found on site and no finding told of."""
    alone = found.filter(pl.col("finding").is_in(FAULTS)).join(
        acts, left_on=["meter_id", "finding"], right_on=["meter_id", "fault"], how="anti"
    )
    mended = pl.col("action").is_in(["repaired", "exchanged", "returned"]).fill_null(value=False)
    first = alone.group_by("meter_id", pl.col("finding").alias("fault")).agg(
        pl.col("inspected_at").min(), (~mended.any()).alias("open")
    )
    day = pl.col("inspected_at").dt.date()
    return (
        first.join(meters, left_on="meter_id", right_on="device")
        # A meter is taken down when somebody has found it broken.
        .filter((day >= pl.col("entered")) & (day <= pl.col("left") + pl.duration(days=_FOUND_AFTER_D)))
        .select(
            pl.col("meter_id").alias("device"),
            "fault",
            pl.min_horizontal(day, "left").alias("failed"),
            pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias("first_act"),
            pl.lit("inspection").alias("told_by"),
            "open",
        )
    )
