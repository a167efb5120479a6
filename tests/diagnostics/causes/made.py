"""Cases made of the few columns that a cause looks at, where whole days of readings would hide what is tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from diagnostics.causes.cause import Cases
from diagnostics.facts import Facts
from diagnostics.features import View
from lake.schemas import METERS

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
ONSET = date(2024, 2, 1)
COLUMNS: dict[str, pl.DataType] = {
    "current_ratio": pl.Float64(), "travel_ratio": pl.Float64(), "valve_moved": pl.Boolean(),
    "closed_flow_m3": pl.Float64(), "usual_m3": pl.Float64(), "case_min_c": pl.Float64(),
    "case_measured": pl.Boolean(), "cell_sag_v": pl.Float64(), "cell_fall_v": pl.Float64(),
    "coil_share": pl.Float64(), "drop_bits": pl.Int64(), "jumps": pl.Int64(), "rssi_median_dbm": pl.Float64(),
    "coverage_worst": pl.Int64(), "seq_resets": pl.Int64(), "seq_first": pl.Int64(), "seq_last": pl.Int64(),
    "messages": pl.Int64(), "readings": pl.Int64(), "sources": pl.Int64(), "source_disagreements": pl.Int64(),
    "source_names": pl.List(pl.String()),
}  # fmt: skip


def made(
    failing: Mapping[str, str],
    *,
    registry: Mapping[str, Mapping[str, Any]],
    days: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    onsets: Mapping[str, date] | None = None,
) -> Cases:
    """Return the cases of meters that fail with a fault each.

    Parameters
    ----------
    failing : mapping of str to str
        Fault by meter; its onset is :data:`ONSET` unless `onsets` says another.
    registry : mapping of str to mapping
        Registry of every meter, healthy ones too.
    days : mapping of str to sequence of mapping, optional
        Daily rows by meter, the first thirty days before :data:`ONSET`, with those of :data:`COLUMNS` that matter.
    onsets : mapping of str to date, optional
        Onset by meter.
    """
    meters = METERS.conform(
        pl.DataFrame(
            [{"meter_id": meter, **dict.fromkeys(("region", "site")), **row} for meter, row in registry.items()],
            infer_schema_length=None,
        )
    )
    begun = dict(onsets or {})
    rows = pl.DataFrame(
        [{"meter_id": meter, "fault": fault, "strength": "act", "onset_day": begun.get(meter, ONSET)}
         for meter, fault in failing.items()]
    ).with_columns(pl.col("onset_day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("onset"))  # fmt: skip
    daily = pl.DataFrame(
        [
            {"meter_id": meter, "day": ONSET + timedelta(days=number - 30), **dict.fromkeys(COLUMNS), **row}
            for meter, every in (days or {}).items()
            for number, row in enumerate(every)
        ],
        schema={"meter_id": pl.String(), "day": pl.Date(), **COLUMNS},
    ).with_columns(
        pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("first_ts"),
        pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("last_ts"),
    )  # fmt: skip
    placed = daily.join(meters.select("meter_id", "model"), on="meter_id", how="left")
    around = placed.join(rows.select("meter_id", "fault", "onset_day"), on="meter_id").with_columns(
        (pl.col("day") - pl.col("onset_day")).dt.total_days().alias("offset_d")
    )
    features = meters.select("meter_id", pl.lit(None, dtype=pl.Float64).alias("rssi_dbm_30d"))
    seen = View(AS_OF, placed, features, pl.DataFrame(), Facts(meters=meters).conformed())
    fired = pl.DataFrame(schema={"meter_id": pl.String, "fault": pl.String, "rule": pl.String, "strength": pl.String})
    return Cases(
        seen, rows.join(meters, on="meter_id", how="left"), around, fired,
        pl.DataFrame(schema={"meter_id": pl.String, "fault": pl.String}),
    )  # fmt: skip


def weights(answer: pl.DataFrame) -> dict[str, float]:
    """Return the weight of each meter."""
    return dict(answer.select("meter_id", "weight").iter_rows())
