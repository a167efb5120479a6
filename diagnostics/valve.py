"""What a day tells of the valve: its states, the commands it got, refusals and movements."""

from __future__ import annotations

import polars as pl


def valve_profile(readings: pl.DataFrame) -> pl.DataFrame:
    """Return one row a ``key`` with the valve columns of the daily table.

    Parameters
    ----------
    readings : polars.DataFrame
        Usable readings sorted by ``key`` and ``ts``, with the valve columns of the vocabulary.
    """
    profile = readings.select("key").unique(maintain_order=True)
    for part in (_states(readings), _commands(readings), _movements(readings)):
        profile = profile.join(part, on="key", how="left", maintain_order="left")
    refused = _refusals(readings)
    since = pl.col("valve_command_ts").is_null() | (pl.col("refused_ts") >= pl.col("valve_command_ts"))
    return (
        profile.join(refused, on="key", how="left", maintain_order="left")
        .with_columns(pl.when(since).then(pl.col("valve_refusal")).alias("valve_refusal"))
        .drop("refused_ts")
    )


def _states(readings: pl.DataFrame) -> pl.DataFrame:
    told = readings.filter(pl.col("valve_state").is_not_null())
    return told.group_by("key", maintain_order=True).agg(
        pl.col("valve_state").last(),
        pl.col("ts").last().alias("valve_state_ts"),
        *(
            (pl.col("valve_state") == state).sum().cast(pl.Int64).alias(f"valve_{state}_readings")
            for state in ("open", "closed", "fault")
        ),
    )


def _commands(readings: pl.DataFrame) -> pl.DataFrame:
    """Return the last command of each day and the start of its run; the field repeats the last command received."""
    told = readings.filter(pl.col("valve_command").is_not_null())
    again = (pl.col("key") == pl.col("key").shift(1)) & (pl.col("valve_command") == pl.col("valve_command").shift(1))
    runs = told.with_columns(again.fill_null(value=False).alias("again")).with_columns(
        pl.when(~pl.col("again")).then(pl.col("ts")).forward_fill().alias("since")
    )
    return runs.group_by("key", maintain_order=True).agg(
        pl.col("valve_command").last(),
        pl.col("since").last().alias("valve_command_ts"),
        ((~pl.col("again")).sum().cast(pl.Int64) - 1).alias("valve_command_changes"),
    )


def _refusals(readings: pl.DataFrame) -> pl.DataFrame:
    told = readings.filter(pl.col("valve_refusal").is_not_null())
    return told.group_by("key", maintain_order=True).agg(
        pl.col("valve_refusal").last(), pl.col("ts").last().alias("refused_ts")
    )


def _movements(readings: pl.DataFrame) -> pl.DataFrame:
    return readings.group_by("key", maintain_order=True).agg(
        pl.col("valve_travel_s").median().alias("valve_travel_median_s"),
        pl.col("valve_current_ma").max().alias("valve_current_max_ma"),
    )
