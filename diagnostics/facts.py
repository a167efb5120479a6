"""What is known beside the readings as of a diagnosis: registry, weather, works, inspections, reports, reception."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from lake.schemas import INSPECTIONS, METERS, REPORTS, TIME, WEATHERS, WORKS, TableSchema

# Times in which we did not receive, one row for each meter that may be concerned.
RECEPTION = pl.Schema({"meter_id": pl.String(), "received_at": TIME, "since": TIME, "until": TIME, "kind": pl.String()})

# How far a case follows the outdoor air, where the meter sends no temperature of its own: the share of the difference
# to the mean of the recent days that arrives, and days over which the air is averaged. Assumed; the order is that of
# field reports (exposed boxes freeze in a night, pits after several cold days, heated rooms hardly).
_SHELTER: Mapping[str, tuple[float, float]] = {
    "outdoor": (1.0, 0.0),
    "pit": (0.5, 8.0),
    "basement": (0.4, 8.0),
    "indoor": (0.15, 15.0),
}


def shelter(kind: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Return share of the air temperature that arrives at the case of a kind of installation [1], and lift [°C]."""
    share = kind.replace_strict({name: share for name, (share, _) in _SHELTER.items()}, return_dtype=pl.Float64)
    lift = kind.replace_strict({name: lift for name, (_, lift) in _SHELTER.items()}, return_dtype=pl.Float64)
    return share, lift


def _empty(schema: TableSchema) -> pl.DataFrame:
    return schema.empty()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the site knows as of a diagnosis; frames are empty where it knows nothing.

    Parameters
    ----------
    meters : polars.DataFrame
        Registry, one row a meter: columns of :data:`lake.vocabulary.METER`, those missing are empty.
    weather : polars.DataFrame
        Columns of :data:`lake.vocabulary.WEATHER`: measured days, and forecasts for days to come.
    works : polars.DataFrame
        Columns of :data:`lake.vocabulary.WORK`: announced works and outages.
    inspections, reports : polars.DataFrame
        Columns of :data:`lake.vocabulary.INSPECTION` and :data:`lake.vocabulary.REPORT`.
    gaps : polars.DataFrame
        Columns of :data:`RECEPTION`: times in which we did not receive ourselves.
    """

    meters: pl.DataFrame = field(default_factory=lambda: _empty(METERS))
    weather: pl.DataFrame = field(default_factory=lambda: _empty(WEATHERS))
    works: pl.DataFrame = field(default_factory=lambda: _empty(WORKS))
    inspections: pl.DataFrame = field(default_factory=lambda: _empty(INSPECTIONS))
    reports: pl.DataFrame = field(default_factory=lambda: _empty(REPORTS))
    gaps: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RECEPTION))

    def conformed(self) -> Facts:
        """Return the same with every frame brought to its schema; of a meter the first registry row counts."""
        return Facts(
            METERS.conform(self.meters).unique("meter_id", keep="first", maintain_order=True),
            WEATHERS.conform(self.weather),
            WORKS.conform(self.works),
            INSPECTIONS.conform(self.inspections),
            REPORTS.conform(self.reports),
            self.gaps.select(list(RECEPTION)).cast(RECEPTION),
        )


# Registry columns that stand beside every daily row.
BESIDE = ("region", "site", "installation", "model", "module_vendor", "production_batch", "flood_prone")


def with_place(days: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """Return `days` with what the registry says of the meter and the weather of its region on that day.

    Adds the columns :data:`BESIDE`; ``air_min_c, air_max_c, precipitation_mm`` of the region [°C, mm]; ``case_min_c``
    [°C], the lowest temperature at the meter: measured, or else supposed from the air and the kind of installation;
    and ``case_measured``.
    """
    # Joined are the keys alone: a join copies all columns of a row.
    placed = days.select("meter_id", "day", "ambient_min_c").join(
        facts.meters.select("meter_id", *BESIDE), on="meter_id", how="left", maintain_order="left"
    )
    measured = facts.weather.filter(~pl.col("forecast").fill_null(value=False))
    air = measured.select(
        "region",
        pl.col("date").alias("day"),
        pl.col("min_c").alias("air_min_c"),
        pl.col("max_c").alias("air_max_c"),
        "precipitation_mm",
    ).unique(["region", "day"], keep="last", maintain_order=True)
    beside = placed.join(air, on=["region", "day"], how="left", maintain_order="left")
    share, lift = shelter(pl.col("installation").fill_null("outdoor"))
    supposed = pl.col("air_min_c") * share + lift
    found = beside.with_columns(
        pl.coalesce("ambient_min_c", supposed).alias("case_min_c"),
        pl.col("ambient_min_c").is_not_null().alias("case_measured"),
    )
    return days.hstack(found.drop("meter_id", "day", "ambient_min_c"))
