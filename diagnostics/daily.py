"""The daily profile: one row a meter and local calendar day, from that day's readings alone.

The columns are those of :data:`lake.vocabulary.DAY`; :mod:`diagnostics.chain` adds the running state. Whatever a
reading is flagged for, a meter disowns, or lies outside its physical range makes no symptom.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from diagnostics.local_day import with_local_day
from diagnostics.register import register_profile
from diagnostics.settings import ProfileSettings
from diagnostics.sources import sources_profile
from diagnostics.valve import valve_profile
from lake.schemas import DAILY
from lake.vocabulary import MEASURES

# Twice the overload flow of a meter grows with the square of its caliber: DN20 10 m³/h, DN40 40 m³/h.
CALIBER_PER_FLOW = 40.0
VALVE = (
    "valve_state", "valve_command", "valve_refusal", "valve_travel_s", "valve_current_ma",
)  # fmt: skip
NEEDED = (
    "meter_id", "ts", "received_at", "source", "seq", "firmware", "valid", "invalid_fields", "flags", *MEASURES,
)  # fmt: skip


def day_profile(
    readings: pl.DataFrame,
    error_codes: pl.DataFrame,
    *,
    default_zone: str,
    as_of: datetime,
    meters: pl.DataFrame | None = None,
    settings: ProfileSettings | None = None,
) -> pl.DataFrame:
    """Return the daily rows of `readings`, their running state still empty.

    Parameters
    ----------
    readings : polars.DataFrame
        Rows of the table ``readings``: *all* readings of each meter and day in it.
    error_codes : polars.DataFrame
        Rows of the table ``error_codes`` for the same meters and days; may be empty.
    default_zone : str
        IANA zone of meters that `meters` does not place.
    as_of : datetime
        Readings received later are ignored; stamped on each row.
    meters : polars.DataFrame, optional
        Registry: ``meter_id`` and, where known, ``timezone`` and ``caliber_mm``.
    settings : ProfileSettings, optional

    Returns
    -------
    polars.DataFrame
        Conforms to :data:`lake.schemas.DAILY`, sorted by meter and day.
    """
    settings = settings or ProfileSettings()
    keyed = _keyed(readings.filter(pl.col("received_at") <= as_of), meters, default_zone)
    if keyed.is_empty():
        return DAILY.empty()
    usable = _usable(keyed)
    profile = _reception(keyed, usable)
    parts = [
        _register(usable, meters, settings),
        _signals(usable, settings),
        _battery(usable),
        _valve(usable),
        sources_profile(keyed, usable, settings),
        _codes(keyed, error_codes.filter(pl.col("received_at") <= as_of)),
    ]
    for part in parts:
        if part is not None:
            profile = profile.join(part, on="key", how="left", maintain_order="left")
    return DAILY.conform(profile.drop("key").with_columns(pl.lit(as_of).alias("as_of")))


def _keyed(readings: pl.DataFrame, meters: pl.DataFrame | None, default_zone: str) -> pl.DataFrame:
    """Return the readings sorted by meter and time with ``day`` and a running number ``key`` of meter and day."""
    present = [name for name in NEEDED if name in readings.columns]
    located = with_local_day(readings.select(present), meters, default_zone)
    ordered = located.sort("meter_id", "ts", "source", "seq", "received_at", nulls_last=True, maintain_order=True)
    fresh = (pl.col("meter_id") != pl.col("meter_id").shift(1)) | (pl.col("day") != pl.col("day").shift(1))
    return ordered.with_columns(fresh.fill_null(value=True).cum_sum().cast(pl.Int64).alias("key"))


def _usable(keyed: pl.DataFrame) -> pl.DataFrame:
    """Return the readings that may make a symptom, with values that may not taken out."""
    contested = pl.col("flags").list.contains("conflict").fill_null(value=False)
    kept = keyed.filter(pl.col("valid").fill_null(value=True) & ~contested)
    sentinels = bool(kept.select((pl.col("invalid_fields").list.len() > 0).any()).item())
    cleaned = []
    for name, column in MEASURES.items():
        if name not in kept.columns or kept[name].null_count() == kept.height:
            continue
        good = pl.lit(value=True)
        if column.low is not None and column.high is not None:
            good = pl.col(name).is_between(column.low, column.high)
        if sentinels:
            good = good & ~pl.col("invalid_fields").list.contains(name).fill_null(value=False)
        cleaned.append(pl.when(good).then(pl.col(name)).alias(name))
    return kept.select(
        "key", "meter_id", "ts", "source", "seq", "firmware", *cleaned,
        pl.col("flags").list.contains("ambiguous_time").fill_null(value=False).alias("ambiguous"),
    )  # fmt: skip


def _reception(keyed: pl.DataFrame, usable: pl.DataFrame) -> pl.DataFrame:
    """Return what came in: how much, from when to when, by whom."""
    same = pl.col("key") == pl.col("key").shift(1)
    took = pl.when(same).then((pl.col("ts") - pl.col("ts").shift(1)).dt.total_microseconds() / 1e6)
    several = keyed["source"].n_unique() > 1
    received = (
        keyed.with_columns(took.alias("took_s"), pl.when(took > 0).then(took).alias("apart_s"))
        .group_by("key", maintain_order=True)
        .agg(
            pl.col("meter_id").first(),
            pl.col("day").first(),
            pl.len().cast(pl.Int64).alias("readings"),
            pl.col("ts").first().alias("first_ts"),
            pl.col("ts").last().alias("last_ts"),
            (pl.col("source").n_unique() if several else pl.lit(1)).cast(pl.Int64).alias("sources"),
            pl.col("apart_s").median().alias("interval_s"),
            pl.col("took_s").max().alias("longest_gap_s"),
        )
    )
    counted = usable.group_by("key").agg(pl.len().cast(pl.Int64).alias("usable_readings"))
    for part in (counted, _disowned(keyed), _firmware(usable), _counter(usable)):
        received = received.join(part, on="key", how="left", maintain_order="left")
    return received.with_columns(pl.col("usable_readings", "disowned_readings", "seq_resets").fill_null(0))


def _disowned(keyed: pl.DataFrame) -> pl.DataFrame:
    """Return on how many readings the meter itself says that it could not measure."""
    told = keyed.filter(~pl.col("valid").fill_null(value=True))
    return told.group_by("key").agg(pl.len().cast(pl.Int64).alias("disowned_readings"))


def _firmware(usable: pl.DataFrame) -> pl.DataFrame:
    told = usable.filter(pl.col("firmware").is_not_null())
    return told.group_by("key", maintain_order=True).agg(pl.col("firmware").last())


def _counter(usable: pl.DataFrame) -> pl.DataFrame:
    """Return where the device's message counter began and ended, and how often it fell."""
    told = usable.filter(pl.col("seq").is_not_null())
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


def _register(usable: pl.DataFrame, meters: pl.DataFrame | None, settings: ProfileSettings) -> pl.DataFrame | None:
    if "volume_m3" not in usable.columns:
        return None
    wanted = ["key", "meter_id", "ts", "volume_m3", *(["valve_state"] if "valve_state" in usable.columns else [])]
    told = usable.filter(pl.col("volume_m3").is_not_null() & ~pl.col("ambiguous")).select(wanted)
    limited = _one_a_time(told).with_columns(pl.lit(settings.flow_limit_m3h).alias("flow_limit_m3h"))
    if meters is not None and "caliber_mm" in meters.columns:
        calibers = meters.select("meter_id", pl.col("caliber_mm").cast(pl.Float64)).unique("meter_id", keep="first")
        limited = limited.join(calibers, on="meter_id", how="left", maintain_order="left").with_columns(
            pl.coalesce(pl.col("caliber_mm") ** 2 / CALIBER_PER_FLOW, "flow_limit_m3h").alias("flow_limit_m3h")
        )
    return register_profile(limited, settings)


def _one_a_time(told: pl.DataFrame) -> pl.DataFrame:
    """Return one register for each time; where several programs disagree about it, none."""
    twice = told.filter((pl.col("key") == pl.col("key").shift(1)) & (pl.col("ts") == pl.col("ts").shift(1)))
    if twice.is_empty():
        return told
    several = (
        told.join(twice.select("key", "ts").unique(), on=["key", "ts"], how="semi")
        .group_by("key", "ts")
        .agg(pl.col("volume_m3").n_unique().alias("values"))
    )
    return (
        told.unique(["key", "ts"], keep="first", maintain_order=True)
        .join(several.filter(pl.col("values") > 1), on=["key", "ts"], how="anti", maintain_order="left")
        .sort("key", "ts")
    )


def _signals(usable: pl.DataFrame, settings: ProfileSettings) -> pl.DataFrame | None:
    """Return the daily figures of signals that need no neighbour."""
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
    wanted = [figure for name, some in figures.items() if name in usable.columns for figure in some]
    return usable.group_by("key", maintain_order=True).agg(wanted) if wanted else None


def _battery(usable: pl.DataFrame) -> pl.DataFrame | None:
    """Return the voltages of the day and the temperature at which they were measured."""
    sent = [name for name in ("battery_v", "battery_load_v") if name in usable.columns]
    if not sent:
        return None
    temperatures = [name for name in ("ambient_temperature_c", "water_temperature_c") if name in usable.columns]
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
    told = usable.filter(pl.any_horizontal(pl.col(sent).is_not_null())).with_columns(warmth.alias("warmth"))
    temperature = pl.col("warmth").median().alias("battery_temperature_c")
    return told.group_by("key", maintain_order=True).agg(*aggregates, temperature)


def _voltage_step(volts: pl.Expr) -> pl.Expr:
    """Return 0.1, 0.01 or 0.001 V: the coarsest step that all voltages of the group fit."""
    fits = [((volts * scale - (volts * scale).round(0)).abs() < 1e-6).all() for scale in (10, 100)]
    return pl.when(fits[0]).then(0.1).when(fits[1]).then(0.01).otherwise(0.001)


def _valve(usable: pl.DataFrame) -> pl.DataFrame | None:
    present = [name for name in VALVE if name in usable.columns]
    if not present:
        return None
    told = usable.filter(pl.any_horizontal(pl.col(present).is_not_null()))
    types = {name: pl.Float64 if name.endswith(("_s", "_ma")) else pl.String for name in VALVE}
    missing = [pl.lit(None, dtype=types[name]).alias(name) for name in VALVE if name not in present]
    return valve_profile(told.select("key", "ts", *present).with_columns(missing))


def _codes(keyed: pl.DataFrame, error_codes: pl.DataFrame) -> pl.DataFrame | None:
    """Return the codes of each day; those told by a contested reading are left out."""
    if error_codes.is_empty():
        return None
    contested = keyed.filter(pl.col("flags").list.contains("conflict").fill_null(value=False))
    told = error_codes.join(contested, on=["meter_id", "ts", "source"], how="anti", nulls_equal=True)
    days = keyed.select("key", "meter_id", "ts").unique(["meter_id", "ts"], keep="first")
    code = pl.format(
        "{} {} {}", pl.col("family").fill_null("unknown"), pl.col("severity").fill_null(4), pl.col("code").fill_null("")
    )
    return told.join(days, on=["meter_id", "ts"], how="inner").group_by("key").agg(code.unique().sort().alias("codes"))
