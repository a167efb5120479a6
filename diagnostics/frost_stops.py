"""How many of the homes that stop in a frost stop by it: those that stand beyond what their number would be anyway.

Nothing tells one frozen pipe from one home whose people left. Of many the number does: in a frost that freezes pipes
far more homes of exposed meters stop within days than before it, and than homes of sheltered meters at the same time.
"""

from __future__ import annotations

import polars as pl

from diagnostics.settings import FreezeSettings

PAST_DAYS, LEAST_PAST_DAYS = 30, 14  # that tell whether a home uses water every day
COLDEST_DAYS, LEAST_COLDEST_DAYS = 30, 10  # that tell what cold its pipe has borne
SPELL_DAYS = 4  # in which the cold that stopped it lies
BEFORE_DAYS = 60  # that tell how many homes stop without frost
PRIOR_METER_DAYS = 400.0  # the rate of all homes stands for so many


def stops_by_frost(days: pl.DataFrame, settings: FreezeSettings) -> pl.DataFrame:
    """Return each stop of a regular home in frost, with the share of such stops around it that is beyond the usual.

    Parameters
    ----------
    days : polars.DataFrame
        Rows of the view with ``region, case_min_c, day_m3``, by meter and day.
    settings : FreezeSettings
        ``frost_c, usual_m3, usual_share, colder_c, around_days``.

    Returns
    -------
    polars.DataFrame
        ``meter_id, stop_day, frozen_share`` (1 − expected ÷ observed, at least 0) [1], ``observed, expected`` stops
        around it, and ``record``: whether it was as cold as on no day of the month before.
    """
    meter = "meter_id"
    flow = pl.col("day_m3") > 0
    told = days.lazy().filter(pl.col("volume_readings") > 0).select(
        meter, "day", "region", "case_min_c",
        flow.alias("flow"),
        flow.cast(pl.Float64).rolling_mean(PAST_DAYS, min_samples=LEAST_PAST_DAYS).shift(1).over(meter).alias("used"),
        pl.col("day_m3").rolling_median(PAST_DAYS, min_samples=LEAST_PAST_DAYS).shift(1).over(meter).alias("usual"),
        flow.shift(1).over(meter).alias("flowed"),
        flow.shift(-1).over(meter).alias("flows_next"),
        pl.col("case_min_c").rolling_min(SPELL_DAYS, min_samples=1).over(meter).alias("night_c"),
        pl.col("case_min_c").rolling_min(COLDEST_DAYS, min_samples=LEAST_COLDEST_DAYS).shift(SPELL_DAYS).over(meter)
        .alias("coldest_c"),
    ).collect()  # fmt: skip
    regular = (pl.col("used") >= settings.usual_share) & (pl.col("usual") >= settings.usual_m3) & pl.col("flowed")
    risk = told.filter(regular.fill_null(value=False)).with_columns(
        (pl.col("night_c") <= settings.frost_c).fill_null(value=False).alias("frosty"),
        (~pl.col("flow") & ~pl.col("flows_next")).fill_null(value=False).alias("stop"),
    )
    if risk.is_empty() or not risk["stop"].any():
        return pl.DataFrame(schema=_STOPS)
    rate_of_all = float(risk["stop"].sum()) / risk.height
    counts = risk.group_by("region", "day", "frosty").agg(pl.len().alias("homes"), pl.col("stop").sum())
    events = risk.filter("stop", "frosty").select(
        meter, pl.col("day").alias("stop_day"), "region",
        (pl.col("coldest_c") - pl.col("night_c") >= settings.colder_c).fill_null(value=False).alias("record"),
    )  # fmt: skip
    around = events.select("region", "stop_day").unique().join(counts, on="region", nulls_equal=True).filter(
        (pl.col("day") - pl.col("stop_day")).dt.total_days().is_between(-BEFORE_DAYS, settings.around_days)
    )  # fmt: skip
    near = (pl.col("day") - pl.col("stop_day")).dt.total_days() >= -settings.around_days
    cold, mild, before = near & pl.col("frosty"), near & ~pl.col("frosty"), ~near
    prior = PRIOR_METER_DAYS * rate_of_all
    rates = [
        (pl.col("stop").filter(which).sum() + prior) / (pl.col("homes").filter(which).sum() + PRIOR_METER_DAYS)
        for which in (mild, before)
    ]
    figures = around.group_by("region", "stop_day").agg(
        pl.col("stop").filter(cold).sum().cast(pl.Int64).alias("observed"),
        (pl.col("homes").filter(cold).sum() * pl.max_horizontal(rates)).alias("expected"),
    )
    return events.join(figures, on=["region", "stop_day"], nulls_equal=True).select(
        meter, "stop_day", (1 - pl.col("expected") / pl.col("observed")).clip(0).alias("frozen_share"), "observed",
        "expected", "record",
    )  # fmt: skip


_STOPS = {
    "meter_id": pl.String(),
    "stop_day": pl.Date(),
    "frozen_share": pl.Float64(),
    "observed": pl.Int64(),
    "expected": pl.Float64(),
    "record": pl.Boolean(),
}
