"""Times without a measurement, and how much of them is not explained by our own reception."""

from __future__ import annotations

import polars as pl

from diagnostics.features import View

_KEY = ["meter_id", "place", "from"]


def stretches(seen: View, window_days: int) -> pl.DataFrame:
    """Return the times without a measurement of each meter.

    Parameters
    ----------
    seen : View
        What the diagnosis may see.
    window_days : int
        Days looked at, up to the diagnosis [days].

    Returns
    -------
    polars.DataFrame
        ``meter_id, place`` (``within`` a day, ``between`` two days, ``silence`` up to now), ``from, to`` (UTC; for
        ``within`` those of the day's measurements, the time lies somewhere between), ``missing_s`` [s], ``first_ts``
        (first measurement of the day) and ``usual_s``, the meter's usual interval [s].
    """
    needed = ("meter_id", "first_ts", "last_ts", "longest_gap_s", "gap_s")
    recent = seen.days.select(needed).filter((pl.lit(seen.as_of) - pl.col("first_ts")).dt.total_days() < window_days)
    columns = ["meter_id", "place", "from", "to", "missing_s", "first_ts"]
    second = pl.duration(seconds=1)
    within = recent.select(
        "meter_id",
        pl.lit("within").alias("place"),
        pl.col("first_ts").alias("from"),
        pl.col("last_ts").alias("to"),
        pl.col("longest_gap_s").alias("missing_s"),
        "first_ts",
    )
    between = recent.select(
        "meter_id",
        pl.lit("between").alias("place"),
        (pl.col("first_ts") - second * pl.col("gap_s").cast(pl.Int64)).alias("from"),
        pl.col("first_ts").alias("to"),
        pl.col("gap_s").alias("missing_s"),
        "first_ts",
    )
    silence = seen.features.select(
        "meter_id",
        pl.lit("silence").alias("place"),
        pl.col("last_ts").alias("from"),
        pl.lit(seen.as_of).dt.cast_time_unit("us").alias("to"),
        (pl.col("silent_h") * 3600).alias("missing_s"),
        pl.lit(None, dtype=recent.schema["first_ts"]).alias("first_ts"),
    )
    rows = pl.concat([part.select(columns) for part in (within, between, silence)]).drop_nulls("missing_s")
    usual = seen.features.select("meter_id", "usual_s")
    return rows.join(usual, on="meter_id", how="left", maintain_order="left").sort("meter_id", "from", "place")


def blamed(missing: pl.DataFrame, gaps: pl.DataFrame) -> pl.DataFrame:
    """Add ``blamed_s``: the longest part of each stretch in which we did receive [s].

    Parameters
    ----------
    missing : polars.DataFrame
        As :func:`stretches` returns them.
    gaps : polars.DataFrame
        Columns of :data:`diagnostics.facts.RECEPTION`.
    """
    touched = (
        missing.join(gaps.select("meter_id", "since", "until"), on="meter_id")
        .filter(pl.col("since") < pl.col("to"), pl.col("until") > pl.col("from"))
        .with_columns(
            pl.max_horizontal("since", "from").alias("since"), pl.min_horizontal("until", "to").alias("until")
        )
        .sort(*_KEY, "since")
    )
    reached = pl.col("until").cum_max().shift(1).over(_KEY).fill_null(pl.col("from"))
    left = touched.with_columns(
        (pl.col("since") - reached).dt.total_seconds().clip(0).alias("before_s"),
        (pl.col("until") - pl.max_horizontal("since", reached)).dt.total_seconds().clip(0).alias("covered_s"),
    )
    parts = left.group_by(_KEY, maintain_order=True).agg(
        pl.max_horizontal(
            pl.col("before_s").max(), (pl.col("to").first() - pl.col("until").max()).dt.total_seconds()
        ).alias("free_s"),
        pl.col("covered_s").sum(),
    )
    # Where within a day the time lies is not known: all of our gap may lie in it.
    within = (pl.col("missing_s") - pl.col("covered_s")).clip(0)
    unexplained = pl.when(pl.col("place") == "within").then(within).otherwise("free_s")
    return (
        missing.join(parts, on=_KEY, how="left", maintain_order="left")
        .with_columns(pl.coalesce(unexplained, "missing_s").alias("blamed_s"))
        .drop("free_s", "covered_s")
    )
