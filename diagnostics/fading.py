"""Use that dwindles over days before it ends: what a coil that loses ever more pulses shows, and a departure does not.

Who moves out or goes on holiday stops using water from one day to the next. An element that fails loses some pulses,
then most, then all: days of a part of the usual use lie before the end, far more of them than there ever were.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from diagnostics.settings import FadingSettings

LEAD_DAYS = 5  # before the days that are looked at
MOST_EMPTY = 1.5  # times as many empty days as usual may lie there

FADED = {
    "fade_days": pl.Int64(),
    "fade_p_value": pl.Float64(),
    "fade_share": pl.Float64(),
    "fade_usual_m3": pl.Float64(),
    "ended_days": pl.Int64(),
    "fade_ts": pl.Datetime("us", "UTC"),
    "last_ts": pl.Datetime("us", "UTC"),
}


def faded(days: pl.DataFrame, settings: FadingSettings) -> pl.DataFrame:
    """Return the meters whose use dwindled over days and has ended since.

    The oldest days of the window tell the usual use. A day *between* counts more than next to nothing and less than the
    usual; the chance of so many of them before the end follows from how many there usually are (binomial upper tail).

    Parameters
    ----------
    days : polars.DataFrame
        Rows of the view, by meter and day.
    settings : FadingSettings
        How many days, and of what share of the usual use.

    Returns
    -------
    polars.DataFrame
        ``meter_id, fade_days, fade_p_value, fade_share`` (what is counted since, of the usual use) ``fade_usual_m3,
        ended_days, fade_ts`` (from when) and ``last_ts``.
    """
    told = days.lazy().filter(pl.col("day_m3").is_not_null() & (pl.col("volume_readings") > 0)).select(
        "meter_id", "day_m3", "first_ts", "last_ts", "peer_zero_share",
        ((pl.col("valve_state") == "closed") | (pl.col("standing_command") == "close")).fill_null(value=False)
        .alias("shut"),
    ).collect()  # fmt: skip
    place = pl.int_range(pl.len(), dtype=pl.Int64).over("meter_id")
    rows = told.with_columns(place.alias("place"), pl.len().cast(pl.Int64).over("meter_id").alias("n")).filter(
        pl.col("n") >= settings.base_days + settings.days + settings.ended_days
    )
    base = rows.filter(pl.col("place") < settings.base_days).group_by("meter_id").agg(
        pl.col("day_m3").mean().alias("fade_usual_m3")
    ).filter(pl.col("fade_usual_m3") >= settings.usual_m3)  # fmt: skip
    low = settings.ended_share * pl.col("fade_usual_m3")
    between = (pl.col("day_m3") > low) & (pl.col("day_m3") < settings.between_share * pl.col("fade_usual_m3"))
    rows = rows.join(base, on="meter_id", maintain_order="left").with_columns(
        between.alias("between"),
        pl.when(pl.col("day_m3") > low).then("place").max().over("meter_id").alias("end"),
    )
    last = (pl.col("place") > pl.col("end") - settings.days) & (pl.col("place") <= pl.col("end"))
    older = pl.col("place") < settings.base_days
    half = pl.col("end") - settings.days // 2
    # After empty days other people may live there, or those who left come by.
    lead = (pl.col("place") > pl.col("end") - settings.days - LEAD_DAYS) & (pl.col("place") <= half)
    empty = pl.col("day_m3") <= 0
    hits = rows.group_by("meter_id", maintain_order=True).agg(
        (pl.col("n").first() - 1 - pl.col("end").first()).alias("ended_days"),
        pl.col("end").first(),
        pl.col("fade_usual_m3").first(),
        (pl.col("between") & last).sum().cast(pl.Int64).alias("fade_days"),
        ((pl.col("day_m3") >= settings.between_share * pl.col("fade_usual_m3")) & last).sum().alias("full"),
        (pl.col("between") & older).sum().alias("usually"),
        (empty & lead).sum().alias("empty_days"),
        empty.filter(older).mean().alias("empty_share"),
        pl.col("day_m3").filter(last & (pl.col("place") <= half)).mean().alias("first_half"),
        pl.col("day_m3").filter(last & (pl.col("place") > half)).mean().alias("second_half"),
        (pl.col("day_m3") / pl.col("fade_usual_m3")).filter(pl.col("place") > pl.col("end")).mean()
        .alias("fade_share"),
        pl.col("shut").filter(pl.col("place") >= pl.col("end")).any(),
        pl.col("peer_zero_share").filter(pl.col("place") > pl.col("end")).median().alias("peers_still"),
        pl.col("first_ts").filter(last & pl.col("between")).first().alias("fade_ts"),
        pl.col("last_ts").last(),
    ).filter(
        (pl.col("ended_days") >= settings.ended_days)
        & (pl.col("end") >= settings.base_days + settings.days - 1)
        & (pl.col("fade_days") >= settings.fade_days)
        & (pl.col("full") <= settings.full_days)
        & (pl.col("second_half") <= settings.falls * pl.col("first_half"))
        & (pl.col("empty_days") <= MOST_EMPTY * (LEAD_DAYS + settings.days) * pl.col("empty_share"))
        & ~pl.col("shut")
        & ~(pl.col("peers_still") > settings.peers_still).fill_null(value=False)
    )  # fmt: skip
    chance = (hits["usually"].to_numpy() + 1) / (settings.base_days + 2)
    tail = np.asarray(stats.binom.sf(hits["fade_days"].to_numpy() - 1, settings.days, chance), dtype=np.float64)
    return (
        hits.with_columns(pl.Series("fade_p_value", tail, dtype=pl.Float64))
        .filter(pl.col("fade_p_value") <= settings.p_value)
        .select("meter_id", *FADED)
    )
