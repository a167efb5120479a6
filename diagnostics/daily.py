"""The daily profile: one row a meter and local calendar day, from that day's readings alone.

The columns are those of :data:`lake.vocabulary.DAY`; :mod:`diagnostics.chain` adds the running state. Whatever a
reading is flagged for, a meter disowns, or lies outside its physical range makes no symptom.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from diagnostics.register import MICROSECONDS, register_profile
from diagnostics.segments import Floats, Integers, Segments
from diagnostics.settings import ProfileSettings
from diagnostics.sources import sources_profile
from diagnostics.usable import VALVE, Keyed, Usable, is_disowned, keyed_readings, usable_readings
from diagnostics.valve import valve_profile
from lake.schemas import DAILY
from lake.sorting import sorted_by

# Twice the overload flow of a meter grows with the square of its caliber: DN20 10 m³/h, DN40 40 m³/h.
CALIBER_PER_FLOW = 40.0


def day_profile(
    readings: pl.DataFrame,
    error_codes: pl.DataFrame,
    *,
    default_zone: str,
    as_of: datetime,
    meters: pl.DataFrame | None = None,
    settings: ProfileSettings | None = None,
    days: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return the daily rows of `readings`, their running state still empty.

    Readings that stand sorted by meter and time, as the lake keeps them, are not sorted again.

    Parameters
    ----------
    readings : polars.DataFrame
        Rows of the table ``readings``: *all* readings of each meter and day in it. Columns may be missing.
    error_codes : polars.DataFrame
        Rows of the table ``error_codes`` for the same meters and days; may be empty.
    default_zone : str
        IANA zone of meters that `meters` does not place.
    as_of : datetime
        Readings received later are ignored; stamped on each row.
    meters : polars.DataFrame, optional
        Registry: ``meter_id`` and, where known, ``timezone`` and ``caliber_mm``.
    settings : ProfileSettings, optional
    days : polars.DataFrame, optional
        The only ones to make rows of: ``day``, or ``meter_id`` and ``day``; readings of others may be incomplete.

    Returns
    -------
    polars.DataFrame
        Conforms to :data:`lake.schemas.DAILY`, sorted by meter and day.
    """
    settings = settings or ProfileSettings()
    keyed = keyed_readings(_received(readings, as_of), meters, default_zone, days)
    if keyed.order.heads.is_empty():
        return DAILY.empty()
    usable = usable_readings(keyed)
    profile = _reception(keyed, usable)
    parts = [
        _disowned(keyed),
        _firmware(usable),
        _counter(usable),
        _register(usable, _flow_limits(keyed.order.heads, meters, settings), settings),
        *_signals(usable, settings),
        _battery(usable),
        _valve(usable, settings),
        sources_profile(keyed.rows(["source"]), usable.every, settings) if keyed.has_several_sources else None,
        _codes(keyed, _received(error_codes, as_of)),
    ]
    for part in parts:
        if part is not None:
            profile = _beside(profile, part)
    filled = profile.with_columns(pl.col("usable_readings", "seq_resets").fill_null(0))
    made = filled.drop("key").with_columns(pl.lit(as_of).alias("as_of"))
    return DAILY.conform(sorted_by(made, ("meter_id", "day")))


def _received(rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return the rows that were received by a time."""
    latest = rows["received_at"].max()
    if latest is None or (rows["received_at"].null_count() == 0 and latest <= as_of):  # type: ignore[operator]
        return rows
    return rows.filter(pl.col("received_at") <= as_of)


def _beside(profile: pl.DataFrame, part: pl.DataFrame) -> pl.DataFrame:
    """Return `profile` with the columns of `part`, both sorted by ``key``; days that `part` does not have are empty."""
    if part.height == profile.height:
        return profile.hstack(part.drop("key"))
    return profile.join(part, on="key", how="left", maintain_order="left")


def _reception(keyed: Keyed, usable: Usable) -> pl.DataFrame:
    """Return what came in: how much, from when to when, by how many."""
    received = keyed.rows(["ts", "received_at"])
    ts = received["ts"]
    runs = Segments.of(keyed.order.keys)
    moments, arrivals = (received[name].to_physical().fill_null(0).to_numpy() for name in ("ts", "received_at"))
    parts = [_intervals(some, moments[rows], arrivals[rows]) for some, rows in runs.blocks()]
    interval, longest, messages = (np.concatenate(part) for part in zip(*parts, strict=True))
    counted = Segments.of(usable.every["key"].to_numpy())
    usable_readings = np.zeros(len(runs.keys), dtype=np.int64)
    usable_readings[counted.keys] = counted.lengths
    return keyed.order.heads.with_columns(
        pl.Series("key", runs.keys).set_sorted(),
        pl.Series("readings", runs.lengths),
        ts.gather(runs.starts).alias("first_ts"),
        ts.gather(runs.ends).alias("last_ts"),
        _sources(keyed),
        pl.Series("interval_s", interval, nan_to_null=True),
        pl.Series("longest_gap_s", longest, nan_to_null=True),
        pl.Series("usable_readings", usable_readings),
        pl.Series("messages", messages),
    )


def _intervals(runs: Segments, ts: Integers, received: Integers) -> tuple[Floats, Floats, Integers]:
    """Return the median time between measurements of each day and the longest [s], NaN where none, and the messages.

    A profile brings many readings in one message, other programs bring copies of it.
    """
    took = np.empty(len(ts))
    np.subtract(ts[1:], ts[:-1], out=took[1:])
    took /= MICROSECONDS
    took[runs.starts] = -1.0
    apart = np.flatnonzero(took > 0)
    number = np.repeat(np.arange(len(runs.keys)), runs.lengths)
    intervals = Segments.of(number[apart])
    interval = np.full(len(runs.keys), np.nan)
    interval[intervals.keys] = intervals.median(took[apart])
    longest = runs.greatest(took)
    longest[longest < 0] = np.nan
    begins = took != 0
    begins[1:] &= (received[1:] != received[:-1]) | (took[1:] < 0)
    return interval, longest, runs.sum(begins)


def _sources(keyed: Keyed) -> pl.Series | pl.Expr:
    """Return by how many sources each day came."""
    if not keyed.has_several_sources:
        return pl.lit(1, dtype=pl.Int64).alias("sources")
    counted = keyed.rows(["source"]).group_by("key", maintain_order=True)
    return counted.agg(pl.col("source").n_unique().cast(pl.Int64))["source"].alias("sources")


def _disowned(keyed: Keyed) -> pl.DataFrame | None:
    """Return on how many readings the meter itself says that it could not measure; None where it never does."""
    if not is_disowned(keyed.told):
        return None
    told = keyed.rows(["valid"]).filter(~pl.col("valid").fill_null(value=True))
    return told.group_by("key", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("disowned_readings"))


def _firmware(usable: Usable) -> pl.DataFrame | None:
    if not usable.has("firmware"):
        return None
    told = usable.telling(["firmware"])
    return told.group_by("key", maintain_order=True).agg(pl.col("firmware").last())


def _counter(usable: Usable) -> pl.DataFrame:
    """Return where the device's message counter began and ended, and how often it fell."""
    if not usable.has("seq"):
        return pl.DataFrame(schema={"key": pl.Int64, "seq_resets": pl.Int64})
    told = usable.telling(["seq"])
    fell = (pl.col("key") == pl.col("key").shift(1)) & (pl.col("seq") < pl.col("seq").shift(1))
    return (
        told.with_columns(fell.fill_null(value=False).alias("fell"))
        .group_by("key", maintain_order=True)
        .agg(
            pl.col("seq").first().alias("seq_first"),
            pl.col("seq").last().alias("seq_last"),
            pl.col("fell").sum().cast(pl.Int64).alias("seq_resets"),
        )
    )


def _flow_limits(heads: pl.DataFrame, meters: pl.DataFrame | None, settings: ProfileSettings) -> Floats:
    """Return the flow that no meter of each key passes [m³/h]: by its caliber where that is known."""
    usual = np.full(heads.height, settings.flow_limit_m3h)
    if meters is None or "caliber_mm" not in meters.columns:
        return usual
    calibers = meters.select("meter_id", pl.col("caliber_mm").cast(pl.Float64)).unique("meter_id", keep="first")
    caliber = heads.join(calibers, on="meter_id", how="left", maintain_order="left")["caliber_mm"].to_numpy()
    return np.where(np.isnan(caliber), usual, caliber**2 / CALIBER_PER_FLOW)


def _register(usable: Usable, limits: Floats, settings: ProfileSettings) -> pl.DataFrame | None:
    if not usable.has("volume_m3"):
        return None
    told = usable.telling(["volume_m3"])
    told = told.select(name for name in ("key", "ts", "volume_m3", "valve_state", "ambiguous") if name in told.columns)
    if "ambiguous" in told.columns:
        told = told.filter(~pl.col("ambiguous")).drop("ambiguous")
    return register_profile(_one_a_time(told), limits, settings)


def _one_a_time(told: pl.DataFrame) -> pl.DataFrame:
    """Return one register for each time; where several programs disagree about it, none."""
    again = (pl.col("key") == pl.col("key").shift(1)) & (pl.col("ts") == pl.col("ts").shift(1))
    first = ~told.select(again.fill_null(value=False)).to_series().to_numpy()
    if first.all():
        return told
    starts = np.flatnonzero(first)
    times = Segments(starts, starts, told.height)
    volume = told["volume_m3"].to_numpy()
    differs = times.any(volume != np.repeat(volume[starts], times.lengths))
    return told[starts[~differs]]


def _signals(usable: Usable, settings: ProfileSettings) -> list[pl.DataFrame]:
    """Return the daily figures of signals that need no neighbour: of those sent seldom, and of those sent always."""
    flow = pl.col("flow_m3h")
    reverse = pl.col("reverse_volume_m3").drop_nulls()
    figures = {
        "flow_m3h": [
            pl.when(flow.count() > 0)
            .then((flow > settings.flowing_m3h).sum())
            .cast(pl.Int64)
            .alias("reported_flow_readings"),
            flow.max().alias("reported_flow_max_m3h"),
        ],
        "reverse_volume_m3": [(reverse.last() - reverse.first()).clip(0).round(6).alias("reverse_m3")],
        "ambient_temperature_c": [
            pl.col("ambient_temperature_c").min().alias("ambient_min_c"),
            pl.col("ambient_temperature_c").mean().alias("ambient_mean_c"),
            pl.col("ambient_temperature_c").max().alias("ambient_max_c"),
        ],
        "water_temperature_c": [pl.col("water_temperature_c").min().alias("water_min_c")],
        "rssi_dbm": [pl.col("rssi_dbm").median().alias("rssi_median_dbm")],
        "snr_db": [pl.col("snr_db").median().alias("snr_median_db")],
        "coverage_class": [pl.col("coverage_class").max().cast(pl.Int64).alias("coverage_worst")],
        "coil_signal_mv": [pl.col("coil_signal_mv").median().alias("coil_signal_median_mv")],
    }
    parts = []
    for rows, names in ((usable.status, usable.seldom), (usable.every, set(usable.every.columns) - usable.seldom)):
        wanted = [figure for name, some in figures.items() if name in names for figure in some]
        if wanted:
            parts.append(rows.group_by("key", maintain_order=True).agg(wanted))
    return parts


def _battery(usable: Usable) -> pl.DataFrame | None:
    """Return the voltages of the day and the temperature at which they were measured."""
    sent = [name for name in ("battery_v", "battery_load_v") if usable.has(name)]
    if not sent:
        return None
    temperatures = [name for name in ("ambient_temperature_c", "water_temperature_c") if usable.has(name)]
    warmth = pl.coalesce(temperatures) if temperatures else pl.lit(None, dtype=pl.Float64)
    aggregates: list[pl.Expr] = []
    if "battery_v" in sent:
        volts = pl.col("battery_v")
        aggregates += [
            pl.when(volts.count() > 0).then(volts.count()).cast(pl.Int64).alias("battery_readings"),
            volts.median().alias("battery_median_v"),
            volts.min().alias("battery_min_v"),
            pl.when(volts.count() > 0).then(_voltage_step(volts)).alias("battery_step_v"),
        ]
    if "battery_load_v" in sent:
        aggregates += [
            pl.col("battery_load_v").median().alias("battery_load_median_v"),
            pl.col("battery_load_v").min().alias("battery_load_min_v"),
        ]
    told = usable.telling(sent).with_columns(warmth.alias("warmth"))
    temperature = pl.col("warmth").median().alias("battery_temperature_c")
    return told.group_by("key", maintain_order=True).agg(*aggregates, temperature)


def _voltage_step(volts: pl.Expr) -> pl.Expr:
    """Return 0.1, 0.01 or 0.001 V: the coarsest step that all voltages of the group fit."""
    fits = [((volts * scale - (volts * scale).round(0)).abs() < 1e-6).all() for scale in (10, 100)]
    return pl.when(fits[0]).then(0.1).when(fits[1]).then(0.01).otherwise(0.001)


def _valve(usable: Usable, settings: ProfileSettings) -> pl.DataFrame | None:
    present = [name for name in VALVE if usable.has(name)]
    if not present:
        return None
    told = usable.telling(present)
    types = {name: pl.Float64 if name.endswith(("_s", "_ma")) else pl.String for name in VALVE}
    missing = [pl.lit(None, dtype=types[name]).alias(name) for name in VALVE if name not in present]
    return valve_profile(told.select("key", "ts", *present).with_columns(missing), settings)


def _codes(keyed: Keyed, error_codes: pl.DataFrame) -> pl.DataFrame | None:
    """Return the codes of each day; those told by a contested reading are left out."""
    if error_codes.is_empty():
        return None
    meters = keyed.order.heads.select("meter_id").with_row_index("key").with_columns(pl.col("key").cast(pl.Int64))
    meters = meters.filter(pl.col("meter_id").is_in(error_codes["meter_id"].unique().implode()))
    near = keyed.rows(["ts", "source", "flags"]).join(meters, on="key")
    told = error_codes
    if "flags" in near.columns:
        source = pl.col("source") if "source" in near.columns else pl.lit(None, pl.String).alias("source")
        contested = near.filter(pl.col("flags").list.contains("conflict").fill_null(value=False)).with_columns(source)
        told = error_codes.join(contested, on=["meter_id", "ts", "source"], how="anti", nulls_equal=True)
    days = near.select("key", "meter_id", "ts").unique(["meter_id", "ts"], keep="first")
    code = pl.format(
        "{} {} {}", pl.col("family").fill_null("unknown"), pl.col("severity").fill_null(4), pl.col("code").fill_null("")
    )
    of_day = told.join(days, on=["meter_id", "ts"], how="inner").group_by("key")
    return of_day.agg(code.unique().sort().alias("codes")).sort("key")
