"""Water that flowed and was not counted: what a home would have used since a coil failed, less what its register shows.

What is usual is the meter's own past before the onset, carried along by what its peers used on each day against their
own usual (holidays, heat and outages move them all). The interval comes from the day-to-day scatter of that ratio.
"""

from __future__ import annotations

import polars as pl

from diagnostics.features import View
from lake.schemas import TIME

LEAST_DAYS = 10  # before the onset, to speak of a usual day
Z90 = 1.645  # half a 90 % interval, in standard deviations
PEERS = (0.3, 3.0)  # what peers may do to the usual use of a day
JUDGED_DAYS = 1  # the day of the onset is partly before it

UNREGISTERED = pl.Schema(
    {
        "meter_id": pl.String(),
        "water_m3": pl.Float64(),
        "low_m3": pl.Float64(),
        "high_m3": pl.Float64(),
        "usual_m3": pl.Float64(),
        "counted_m3": pl.Float64(),
        "since_days": pl.Int64(),
        "since_ts": TIME,
        "until_ts": TIME,
    }
)


def water_not_registered(seen: View, onsets: pl.DataFrame) -> pl.DataFrame:
    r"""Return how much water went uncounted since the onset.

    With :math:`r_d` the use of a day over usual use times the peers' ratio, n days before the onset and m since:

    .. math:: W = u \sum_{d \le m} p_d \bar r - \sum_{d \le m} v_d, \qquad
              \sigma_W = u\, s_r \bar p \sqrt{m + m^2 / n}

    Parameters
    ----------
    seen : View
        Daily rows of the window.
    onsets : polars.DataFrame
        ``meter_id`` and ``onset`` of coil faults. Of an onset before the window only the days within it count.

    Returns
    -------
    polars.DataFrame
        ``meter_id, water_m3`` with a 90 % interval ``low_m3, high_m3`` [m³], below zero where too much was counted;
        ``usual_m3`` of a day, ``counted_m3``, ``since_days``, and from when until when in ``since_ts, until_ts``.
        Meters without a past of their own have no row.
    """
    days = seen.days.filter(pl.col("day_m3").is_not_null()).join(
        onsets.select("meter_id", pl.col("onset").dt.date().alias("onset_day")), on="meter_id", maintain_order="left"
    )
    if days.is_empty():
        return pl.DataFrame(schema=UNREGISTERED)
    peers = pl.col("peer_use_ratio").fill_null(1).clip(*PEERS)
    before = pl.col("day") < pl.col("onset_day")
    since = pl.col("day") > pl.col("onset_day")
    rows = days.with_columns(peers.alias("p"), pl.col("day_m3").alias("v"))
    rows = rows.with_columns((pl.col("v") / pl.col("p")).alias("r"))
    sums = rows.group_by("meter_id", maintain_order=True).agg(
        before.sum().alias("n"),
        since.sum().cast(pl.Int64).alias("since_days"),
        pl.col("r").filter(before).mean().alias("usual_m3"),
        pl.col("r").filter(before).std().alias("scatter_m3"),
        pl.col("p").filter(since).sum().alias("peers_sum"),
        pl.col("v").filter(since).sum().alias("counted_m3"),
        pl.col("first_ts").filter(since).min().alias("since_ts"),
        pl.col("last_ts").max().alias("until_ts"),
    )
    water = pl.col("usual_m3") * pl.col("peers_sum") - pl.col("counted_m3")
    m = pl.col("since_days")
    sd = pl.col("scatter_m3") * pl.col("peers_sum") / m * (m + m**2 / pl.col("n")).sqrt()
    return (
        sums.filter((pl.col("n") >= LEAST_DAYS) & (m >= JUDGED_DAYS))
        .select(
            "meter_id",
            water.round(3).alias("water_m3"),
            (water - Z90 * sd).round(3).alias("low_m3"),
            (water + Z90 * sd).round(3).alias("high_m3"),
            pl.col("usual_m3").round(4),
            pl.col("counted_m3").round(3),
            "since_days",
            "since_ts",
            "until_ts",
        )
        .cast(UNREGISTERED)
    )
