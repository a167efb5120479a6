"""What several head-ends or programs say of one meter on one day, and where they contradict each other."""

from __future__ import annotations

import polars as pl

from diagnostics.register import HOUR_S, decimals
from diagnostics.settings import ProfileSettings


def several_sources(readings: pl.DataFrame) -> bool:
    """Tell whether `readings` came by more than one source; one that is not told is one of its own."""
    if "source" not in readings.columns:
        return False
    source = readings["source"]
    return source.null_count() > 0 or bool((source != source.first()).any())


def sources_profile(keyed: pl.DataFrame, usable: pl.DataFrame, settings: ProfileSettings) -> pl.DataFrame | None:
    """Return one row for each day of a meter that came by more than one source, None where there is none.

    Parameters
    ----------
    keyed : polars.DataFrame
        All readings: ``key`` of meter and day, ``source``.
    usable : polars.DataFrame
        Those that may make a symptom, by ``key`` and ``ts``, with the values that may.
    settings : ProfileSettings

    Returns
    -------
    polars.DataFrame
        ``key`` and the columns of :data:`lake.vocabulary.DAY` that begin with ``source_``.
    """
    if not several_sources(keyed):
        return None
    days = (
        keyed.group_by("key", maintain_order=True)
        .agg(pl.col("source").drop_nulls().unique().sort().alias("source_names"))
        .filter(pl.col("source_names").list.len() > 1)
    )
    if days.is_empty():
        return None
    told = usable.join(days.select("key"), on="key", how="semi", maintain_order="left")
    for part in (_registers(told, settings), _firmwares(told), _clocks(told)):
        if part is not None:
            days = days.join(part, on="key", how="left", maintain_order="left")
    return days


def _registers(told: pl.DataFrame, settings: ProfileSettings) -> pl.DataFrame | None:
    """Compare each register with the one before it where another source told that one, and shortly before.

    They disagree where the later one is lower, or higher than water can have flowed in the time; a source that tells
    whole cubic metres agrees with one that tells litres.
    """
    if "volume_m3" not in told.columns:
        return None
    sent = told.filter(pl.col("volume_m3").is_not_null() & ~pl.col("ambiguous"))
    step = sent.group_by("key", "source").agg((10.0 ** -decimals(pl.col("volume_m3")).max()).alias("step_m3"))
    took = (pl.col("ts") - pl.col("ts").shift(1)).dt.total_microseconds() / 1e6
    change = pl.col("volume_m3") - pl.col("volume_m3").shift(1)
    coarser = pl.max_horizontal("step_m3", pl.col("step_m3").shift(1))
    meetings = (
        sent.join(step, on=["key", "source"], how="left", maintain_order="left")
        .with_columns(
            took.alias("took_s"),
            change.alias("change_m3"),
            coarser.alias("coarser_m3"),
            ((pl.col("key") == pl.col("key").shift(1)) & (pl.col("source") != pl.col("source").shift(1))).alias("meet"),
        )
        .filter(pl.col("meet") & (pl.col("took_s") <= settings.source_near_s))
    )
    possible = pl.col("coarser_m3") + settings.flow_limit_m3h * pl.col("took_s") / HOUR_S
    differ = (pl.col("change_m3") < -pl.col("coarser_m3") * (1 + 1e-6)) | (pl.col("change_m3") > possible)
    return meetings.group_by("key", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("source_meetings"),
        differ.sum().cast(pl.Int64).alias("source_disagreements"),
        pl.col("change_m3").filter(differ).abs().max().round(6).alias("source_differ_max_m3"),
    )


def _firmwares(told: pl.DataFrame) -> pl.DataFrame | None:
    """Return each source's last firmware where they are not the same."""
    if "firmware" not in told.columns:
        return None
    last = (
        told.filter(pl.col("firmware").is_not_null())
        .group_by("key", "source", maintain_order=True)
        .agg(pl.col("firmware").last())
    )
    return (
        last.filter(pl.col("firmware").n_unique().over("key") > 1)
        .group_by("key", maintain_order=True)
        .agg(pl.format("{} {}", "source", "firmware").sort().alias("source_firmwares"))
    )


def _clocks(told: pl.DataFrame) -> pl.DataFrame | None:
    """Return how far apart sources put one message: the same counter of the device with the same register."""
    if not {"volume_m3", "seq"}.issubset(told.columns):
        return None
    messages = (
        told.filter(pl.col("seq").is_not_null() & pl.col("volume_m3").is_not_null())
        .group_by("key", "seq", "volume_m3", maintain_order=True)
        .agg(pl.col("source").n_unique().alias("tellers"), (pl.col("ts").max() - pl.col("ts").min()).alias("apart"))
        .filter((pl.col("tellers") > 1) & (pl.col("apart") > pl.duration(seconds=0)))
    )
    return messages.group_by("key", maintain_order=True).agg(
        (pl.col("apart").dt.total_microseconds() / 1e6).max().alias("source_clock_s")
    )
