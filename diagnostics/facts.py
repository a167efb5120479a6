"""What is known beside the readings as of a diagnosis: registry, weather, works, inspections, reports, reception."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from diagnostics.shelter import BARE, drivers, of_kind
from lake.schemas import INSPECTIONS, METERS, REPORTS, TIME, WEATHERS, WORKS, TableSchema

# Times in which we did not receive, one row for each meter that may be concerned.
RECEPTION = pl.Schema({"meter_id": pl.String(), "received_at": TIME, "since": TIME, "until": TIME, "kind": pl.String()})

LEAST_PEERS = 3  # meters of a region and kind of installation that tell how cold it is at others


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

    Adds the columns :data:`BESIDE`; ``air_min_c, air_max_c, precipitation_mm`` of the region [°C, mm]; ``case_min_c,
    case_max_c`` [°C], lowest and highest temperature at the meter: measured by itself, or else the median of those that
    others of its region and kind of installation measured, or else supposed from the air
    (:mod:`diagnostics.shelter`); and ``case_measured``, whether it was by itself.
    """
    # Joined are the keys alone: a join copies all columns of a row.
    placed = days.select("meter_id", "day", "ambient_min_c", "ambient_max_c").join(
        facts.meters.select("meter_id", *BESIDE), on="meter_id", how="left", maintain_order="left"
    )
    weather = facts.weather.filter(~pl.col("forecast").fill_null(value=False))
    air = weather.select(
        "region",
        pl.col("date").alias("day"),
        pl.col("min_c").alias("air_min_c"),
        pl.col("max_c").alias("air_max_c"),
        "precipitation_mm",
    ).unique(["region", "day"], keep="last", maintain_order=True)
    beside = placed.with_columns(pl.col("installation").fill_null(BARE).alias("kind")).join(
        air, on=["region", "day"], how="left", maintain_order="left"
    )
    place = ["region", "kind", "day"]
    share, lift = of_kind(pl.col("kind"))
    driven = drivers(weather).select(
        *place,
        (lift + share * pl.col("driver_c")).alias("supposed_min_c"),
        (lift + share * (pl.col("driver_c") + pl.col("swing_c"))).alias("supposed_max_c"),
    )
    measured = (
        beside.filter(pl.col("ambient_min_c").is_not_null() & pl.col("region").is_not_null())
        .group_by(place)
        .agg(
            pl.col("ambient_min_c").median().alias("others_min_c"),
            pl.col("ambient_max_c").median().alias("others_max_c"),
            pl.len().alias("n"),
        )
        .filter(pl.col("n") >= LEAST_PEERS)
        .drop("n")
    )
    for part in (driven, measured):
        beside = beside.join(part, on=place, how="left", maintain_order="left")
    found = beside.with_columns(
        pl.coalesce("ambient_min_c", "others_min_c", "supposed_min_c").alias("case_min_c"),
        pl.coalesce("ambient_max_c", "others_max_c", "supposed_max_c").alias("case_max_c"),
        pl.col("ambient_min_c").is_not_null().alias("case_measured"),
    ).select(*BESIDE, "air_min_c", "air_max_c", "precipitation_mm", "case_min_c", "case_max_c", "case_measured")
    return days.hstack(found)
