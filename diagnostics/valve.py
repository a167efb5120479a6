"""What a day tells of the valve: its states, the commands it got, refusals and movements."""

from __future__ import annotations

import polars as pl

from diagnostics.settings import ProfileSettings


def valve_profile(readings: pl.DataFrame, settings: ProfileSettings | None = None) -> pl.DataFrame:
    """Return one row a ``key`` with the valve columns of the daily table.

    Parameters
    ----------
    readings : polars.DataFrame
        Usable readings sorted by ``key`` and ``ts``, with the valve columns of the vocabulary.
    settings : ProfileSettings, optional
        ``travel_limit_s`` is the time a valve has to obey a command.
    """
    profile = readings.select("key").unique(maintain_order=True)
    parts = [_states(readings)]
    # Most valves are told nothing on most days, and nothing is asked of a column that nobody filled.
    if _told(readings, "valve_command"):
        parts += [_commands(readings), _missed(readings, settings or ProfileSettings())]
    if _told(readings, "valve_travel_s", "valve_current_ma"):
        parts.append(_movements(readings))
    for part in parts:
        profile = profile.join(part, on="key", how="left", maintain_order="left")
    return _with_refusals(profile, readings) if _told(readings, "valve_refusal") else profile


def _told(readings: pl.DataFrame, *names: str) -> bool:
    """Tell whether any reading fills any of the columns."""
    return any(readings[name].null_count() < readings.height for name in names)


def _with_refusals(profile: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """Add the last refusal since the day's command."""
    refused = profile.join(_refusals(readings), on="key", how="left", maintain_order="left")
    since = pl.lit(value=True)
    if "valve_command_ts" in profile.columns:
        since = pl.col("valve_command_ts").is_null() | (pl.col("refused_ts") >= pl.col("valve_command_ts"))
    return refused.with_columns(pl.when(since).then(pl.col("valve_refusal")).alias("valve_refusal")).drop("refused_ts")


def _states(readings: pl.DataFrame) -> pl.DataFrame:
    told = readings.filter(pl.col("valve_state").is_not_null())
    return told.group_by("key", maintain_order=True).agg(
        pl.col("valve_state").last(),
        pl.col("ts").last().alias("valve_state_ts"),
        *(
            (pl.col("valve_state") == state).sum().cast(pl.Int64).alias(f"valve_{state}_readings")
            for state in ("open", "closed", "fault")
        ),
        pl.col("valve_state").is_in(["moving", "unknown"]).sum().cast(pl.Int64).alias("valve_between_readings"),
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


def _missed(readings: pl.DataFrame, settings: ProfileSettings) -> pl.DataFrame:
    """Count the day's commands that were neither refused nor obeyed when the next one came.

    Only states told after the travel time speak for or against a command; where there is none, nothing is counted.
    """
    told = readings.filter(pl.col("valve_command").is_not_null())
    turns = told.filter(
        (pl.col("key") == pl.col("key").shift(1)) & (pl.col("valve_command") != pl.col("valve_command").shift(1))
    )
    if turns.is_empty():
        return pl.DataFrame(schema={"key": readings.schema["key"], "valve_commands_missed": pl.Int64})
    turn = pl.col("valve_command") != pl.col("valve_command").shift(1).over("key")
    runs = (
        readings.join(turns.select("key").unique(), on="key", how="semi", maintain_order="left")
        .with_columns(pl.col("valve_command").forward_fill().over("key"))
        .filter(pl.col("valve_command").is_not_null())
        .with_columns(turn.fill_null(value=False).cum_sum().over("key").alias("run"))
        .with_columns(
            pl.col("ts").first().over("key", "run").alias("since"), pl.col("run").max().over("key").alias("last")
        )
    )
    late = pl.col("ts") >= pl.col("since") + pl.duration(seconds=settings.travel_limit_s)
    wanted = pl.col("valve_command").replace_strict({"open": "open", "close": "closed"}, default=None)
    contrary = pl.col("valve_command").replace_strict({"open": "closed", "close": "open"}, default=None)
    each = (
        runs.filter(pl.col("run") < pl.col("last"))
        .group_by("key", "run", maintain_order=True)
        .agg(
            (
                ((pl.col("valve_state") == contrary) & late).any()
                & ~(pl.col("valve_state") == wanted).any()
                & pl.col("valve_refusal").is_null().all()
            ).alias("missed")
        )
    )
    return each.group_by("key", maintain_order=True).agg(
        pl.col("missed").sum().cast(pl.Int64).alias("valve_commands_missed")
    )


def _movements(readings: pl.DataFrame) -> pl.DataFrame:
    """Return the movements of each day: some meters tell a movement once, others repeat the last one in every reading.

    A value after none, or another value than before, is a movement. What the first reading of a day tells may be a
    repetition from the day before: the day's figures leave it out where there is another, and the running state
    compares it with the row before where there is none.
    """
    figures = ("valve_travel_s", "valve_current_ma")
    told = pl.any_horizontal(pl.col(figures).is_not_null())
    same_day = pl.col("key") == pl.col("key").shift(1)
    repeated = same_day & pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in figures)
    moves = readings.with_columns((~same_day).fill_null(value=True).alias("opening")).filter(
        told & ~repeated.fill_null(value=False)
    )
    others = (~pl.col("opening")).sum().over("key")
    counted = moves.filter(~pl.col("opening") | (others == 0))
    counts = counted.group_by("key", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("valve_movements"),
        pl.col("valve_travel_s").median().alias("valve_travel_median_s"),
        pl.col("valve_current_ma").max().alias("valve_current_max_ma"),
    )
    last = moves.group_by("key", maintain_order=True).agg(
        pl.col("valve_travel_s").last().alias("valve_travel_last_s"),
        pl.col("valve_current_ma").last().alias("valve_current_last_ma"),
    )
    return counts.join(last, on="key", how="left", maintain_order="left")
