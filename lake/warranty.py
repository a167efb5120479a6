"""Warranty of meters: whether it still runs, since when it is counted, and what made it void; dead on arrival.

It is counted from installation, else delivery, else production, and ends at the end of the day of the month that many
months later. A lead seal that an inspection found missing or damaged before that day voids it for good. Without dates
or months nobody knows.
"""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import polars as pl

from lake.schemas import TIME

STATES = ("in_warranty", "expired", "void", "unknown")
BASES = ("installed_on", "shipped_on", "produced_on")
DEAD_ON_ARRIVAL_DAYS = 15  # the trade's rule: a fault within 15 days of the first installation means exchange
LONGEST_MONTHS = 1200

WARRANTY = pl.Schema(
    {
        "meter_id": pl.String(),
        "state": pl.String(),  # one of STATES
        "ends_on": pl.Date(),  # last day
        "basis": pl.String(),  # one of BASES
        "months": pl.Int64(),
        "void_since": TIME,  # the inspection that found the seal broken
        "void_by": pl.String(),  # and its inspector
    }
)


def warranty(meters: pl.DataFrame, inspections: pl.DataFrame, as_of: datetime, timezone: str = "UTC") -> pl.DataFrame:
    """Return the warranty of each meter as of a time.

    Parameters
    ----------
    meters : polars.DataFrame
        ``meter_id, installed_on, shipped_on, produced_on, warranty_months``; one row a meter.
    inspections : polars.DataFrame
        ``meter_id, inspected_at, inspector, seal_intact``; later ones do not count.
    as_of : datetime
        The time.
    timezone : str
        Zone in which its day and those of inspections are counted.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`WARRANTY`, one row a row of `meters`, in their order.

    Examples
    --------
    >>> from datetime import UTC
    >>> meters = pl.DataFrame(
    ...     {"meter_id": ["m1"], "installed_on": [date(2020, 1, 31)], "warranty_months": [1.0]}
    ... ).with_columns(pl.lit(None, dtype=pl.Date).alias(name) for name in ("shipped_on", "produced_on"))
    >>> seals = pl.DataFrame(schema={"meter_id": pl.String, "inspected_at": TIME, "inspector": pl.String,
    ...                              "seal_intact": pl.Boolean})
    >>> warranty(meters, seals, datetime(2020, 3, 1, tzinfo=UTC)).select("state", "ends_on", "basis").row(0)
    ('expired', datetime.date(2020, 2, 29), 'installed_on')
    """
    today = as_of.astimezone(ZoneInfo(timezone)).date()
    months = pl.col("warranty_months")
    whole = pl.when(months.is_between(0, LONGEST_MONTHS)).then(months.floor().cast(pl.Int64))
    basis = pl.coalesce(pl.when(pl.col(name).is_not_null()).then(pl.lit(name)) for name in BASES)
    start = pl.coalesce(BASES)
    counted = meters.select(
        "meter_id", "installed_on", whole.alias("months"), basis.alias("basis"), start.alias("start")
    )
    ends_on = pl.col("start").dt.offset_by(pl.format("{}mo", "months"))
    dated = counted.with_columns(ends_on.clip(upper_bound=date.max).alias("ends_on"))
    voided = _voided(dated, inspections.filter(pl.col("inspected_at") <= as_of), timezone)
    state = (
        pl.when(pl.col("void_since").is_not_null())
        .then(pl.lit("void"))
        .when(pl.col("ends_on").is_null())
        .then(pl.lit("unknown"))
        .when(pl.col("ends_on") >= today)
        .then(pl.lit("in_warranty"))
        .otherwise(pl.lit("expired"))
    )
    return voided.with_columns(state.alias("state")).select(list(WARRANTY)).cast(WARRANTY)


def dead_on_arrival(faults: pl.DataFrame, meters: pl.DataFrame) -> pl.DataFrame:
    """Return `faults` with the column ``dead_on_arrival``: whether they began within 15 days of the installation.

    Parameters
    ----------
    faults : polars.DataFrame
        ``meter_id`` and ``day``, the local day on which the fault began.
    meters : polars.DataFrame
        ``meter_id`` and ``installed_on``; empty where it is not known, and so is the answer.
    """
    placed = faults.join(meters.select("meter_id", "installed_on"), on="meter_id", how="left", maintain_order="left")
    age = (pl.col("day") - pl.col("installed_on")).dt.total_days()
    return placed.with_columns(age.is_between(0, DEAD_ON_ARRIVAL_DAYS).alias("dead_on_arrival")).drop("installed_on")


def _voided(dated: pl.DataFrame, inspections: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """Add who found the seal broken first, and when, while the warranty ran and since the meter hangs there."""
    day = pl.col("inspected_at").dt.convert_time_zone(timezone).dt.date()
    found = (
        inspections.filter(~pl.col("seal_intact"))
        .select(
            "meter_id",
            pl.col("inspected_at").alias("void_since"),
            pl.col("inspector").alias("void_by"),
            day.alias("day"),
        )
        .join(dated.select("meter_id", "installed_on", "ends_on"), on="meter_id")
        .filter(
            (pl.col("day") >= pl.col("installed_on")).fill_null(value=True),
            (pl.col("day") <= pl.col("ends_on")).fill_null(value=True),
        )
        .sort("void_since", "void_by")
        .unique("meter_id", keep="first", maintain_order=True)
    )
    return dated.join(
        found.select("meter_id", "void_since", "void_by"), on="meter_id", how="left", maintain_order="left"
    )
