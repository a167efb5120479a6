"""Frost: cold, then a register that stops, then at thaw flow that never stops, or silence. Exposure is only a risk."""

from __future__ import annotations

import polars as pl

from diagnostics.evidence import observation, together
from diagnostics.features import View
from diagnostics.frost_stops import stops_by_frost
from diagnostics.rules.rule import Text, fired, nothing, rule, symptom
from diagnostics.settings import ExposureSettings, FreezeSettings

DAY_H = 24.0
FREEZE_CONFIDENCE = 0.9
STOOD_DAYS = 4  # before water runs, in which the pipe must have been blocked
BURST_GOES_ON = 0.3  # share of the limit that must come on the day after, where nothing stood before
DYING_DAYS = 2  # the newest days of a meter that fell silent, on which the frost must have been
# Of the many columns of a day; a join copies all it gets.
LOOKED_AT = (
    "meter_id", "day", "age_days", "first_ts", "last_ts", "region", "codes", "day_m3", "consumption_m3", "standstill_s",
    "volume_readings", "least_flow_m3h", "greatest_flow_m3h", "case_min_c", "case_max_c", "water_min_c",
    "battery_fall_v", "sag_excess_v", "rssi_median_dbm", "peer_zero_share",
)  # fmt: skip
BEFORE_DAYS, LEAST_BEFORE_DAYS = 30, 10  # days before a stop that tell what cold a pipe has borne


@rule(
    "low_temperature.freeze",
    settings=lambda settings: settings.low_temperature.freeze,
    source="order of events in field reports: cold, zero or empty, then burst at thaw, or death",
    severity=1,
    cause="low_temperature",
    inhibited_by=("communication.area", "empty_pipe.works", "empty_pipe.area", "exchange"),
    en=Text(
        "Frost damage",
        "After frost days the register of a home that always uses water stands, water never stops flowing, or the meter"
        " is silent.",
        "Shut the water off if it runs; check register, glass and pipe for cracks; exchange the meter and insulate.",
    ),
    zh=Text(
        "低温冻损",
        "受冻后，平时每日用水的表停走，或解冻后持续过水，或表计失联。",
        "如有持续过水先关阀止水；检查表玻璃、壳体和管道冻裂；换表并做好保温。",
    ),
)
def freeze(seen: View, settings: FreezeSettings) -> pl.DataFrame:
    """Fire where what happens in and after frost was not there before it.

    A home that stands in frost and uses water again is no more than a watch: people come and go in winter, too.
    """
    told = "low_temperature.freeze"
    hits = _after_frost(seen, settings)
    if hits.is_empty():
        return nothing()
    stopped = pl.col("still_days").is_not_null()
    stays = stopped & ~pl.col("resumed")
    returned = stopped & pl.col("resumed") & pl.col("warm") & (pl.col("cold_share") >= settings.cold_share)
    burst = pl.col("burst_m3").is_not_null()
    limit = pl.max_horizontal(pl.lit(settings.running_m3h), pl.col("least_before").fill_null(0) * settings.burst_ratio)
    runs = (pl.col("least_after") >= limit).fill_null(value=False) & pl.col("stood").fill_null(value=False)
    silent_days = pl.col("silent_h") / DAY_H
    died_cold = (pl.col("died_c") <= settings.frost_c).fill_null(value=False)
    dead = (silent_days >= settings.silent_days) & died_cold
    heard = (pl.col("rssi_dbm") > settings.well_received_dbm).fill_null(value=True)
    struck = (pl.col("died_colder_c") >= settings.colder_c).fill_null(value=False)
    charged = (pl.col("fall_v") < settings.charged_v).fill_null(value=True)
    charged &= (pl.col("sag_v") < settings.charged_sag_v).fill_null(value=True)
    lost = dead & (silent_days >= settings.dead_days) & heard & struck & charged
    # Nothing but the number of those that stop with it tells a frozen pipe from an empty home; it stands for long.
    frozen = stopped & pl.col("record") & (pl.col("frozen_share") >= settings.frozen_share)
    frozen &= (pl.col("still_days") >= settings.frozen_days) & (stays | returned)
    code = pl.col("codes") > 0
    told_of = pl.col("reported_ts").is_not_null() | pl.col("inspected_ts").is_not_null()
    return fired(
        hits,
        act=burst | runs | lost | frozen.fill_null(value=False) | ((code | told_of) & (stopped | dead)),
        watch=stays | returned | dead,
        onset=pl.coalesce("stop_ts", pl.when(burst | runs).then("burst_ts"), "frost_ts"),
        evidence=together(
            observation(
                told, "frost", pl.col("coldest_c").round(1), "°C", since=pl.col("frost_ts"),
                until=pl.col("last_frost_ts"), threshold=settings.frost_c, window_days=settings.window_days,
                measured=pl.col("measured"),
            ),
            observation(
                told, "stopped_in_frost", pl.when(stays).then("still_days"), "d",
                since=pl.col("stop_ts"), threshold=settings.still_days, usual_m3=pl.col("usual_m3").round(3),
                colder_c=pl.col("colder_c").round(1),
            ),
            observation(
                told, "resumed_with_warmth", pl.when(returned).then("still_days"), "d", since=pl.col("stop_ts"),
                until=pl.col("resumed_ts"), usual_m3=pl.col("usual_m3").round(3), colder_c=pl.col("colder_c").round(1),
            ),
            observation(
                told, "stops_around", pl.when(stopped & (pl.col("frozen_share") > 0)).then("observed"),
                expected=pl.col("expected").round(1), threshold=settings.frozen_share,
            ),
            observation(
                told, "burst_volume", pl.col("burst_m3").round(2), "m³", since=pl.col("burst_ts"),
                threshold=pl.col("burst_limit_m3").round(2), hours_at_peak=pl.col("burst_h").round(1),
            ),
            observation(
                told, "flow_after_thaw", pl.when(runs).then(pl.col("least_after").round(4)), "m³/h",
                since=pl.col("burst_ts"), threshold=limit.round(4), before_m3h=pl.col("least_before").round(4),
            ),
            observation(
                told, "silent_after_frost", pl.when(dead).then(silent_days.round(1)), "d",
                since=pl.col("last_ts"), threshold=settings.silent_days,
            ),
            observation(told, "code", pl.when(code).then("codes"), "d"),
            observation(told, "sign_report", pl.when(pl.col("reported_ts").is_not_null()).then(pl.lit(value=True)),
                        since=pl.col("reported_ts")),
            observation(told, "found_on_site", pl.when(pl.col("inspected_ts").is_not_null())
                        .then(pl.lit("low_temperature")), since=pl.col("inspected_ts")),
        ),
        cause=pl.lit("low_temperature"),
        cause_confidence=pl.lit(FREEZE_CONFIDENCE),
    )  # fmt: skip


def _after_frost(seen: View, settings: FreezeSettings) -> pl.DataFrame:
    """Return meters that had frost, with what they did before, in and after it."""
    frosty = (pl.col("case_min_c") <= settings.mild_c) | (pl.col("water_min_c") <= settings.water_frost_c)
    # An alarm that it is cold is the weather; a code that something froze is graver.
    code = pl.col("codes").list.eval(pl.element().str.contains(f"^low_temperature [1-{settings.code_severity}] "))
    code = code.list.any()
    cold = frosty.fill_null(value=False) | code.fill_null(value=False)
    frost = symptom(
        seen, cold, settings.window_days,
        frost_day=pl.col("day").min(), last_frost_day=pl.col("day").max(), frost_ts=pl.col("first_ts").min(),
        coldest_c=pl.min_horizontal("case_min_c", "water_min_c").min(), codes=code.sum(),
        measured=pl.col("case_measured").any(),
    ).rename({"last_ts": "last_frost_ts", "days": "frost_days"}).drop("first_ts")  # fmt: skip
    if frost.is_empty():
        return frost
    # Ice that bursts a pipe outlasts a day; what freezes in the night and thaws by noon bursts none.
    ice = (pl.col("case_max_c") <= settings.ice_c).fill_null(value=True) | code.fill_null(value=False)
    most = pl.col("day_m3").shift(1).rolling_quantile(0.9, window_size=BEFORE_DAYS, min_samples=5)
    days = seen.days.select(*LOOKED_AT).join(frost, on="meter_id", maintain_order="left").with_columns(
        (cold & ice).cast(pl.Int8).rolling_max(settings.thaw_days + 1, min_samples=1).over("meter_id")
        .alias("frost_lately"),
        most.over("meter_id").alias("most_m3"),
        (pl.col("day_m3") == 0).cast(pl.Int8).shift(1).rolling_max(STOOD_DAYS, min_samples=1).over("meter_id")
        .alias("stood_lately"),
    )  # fmt: skip
    before = pl.col("day") < pl.col("frost_day")
    lately = (pl.col("frost_lately") > 0) & (pl.col("age_days") < settings.window_days)
    runs = (pl.col("standstill_s") == 0) & (pl.col("volume_readings") > 2)
    after = lately & (pl.col("day") > pl.col("frost_day")) & runs
    limit = pl.max_horizontal(pl.lit(settings.burst_m3), pl.col("most_m3").fill_null(0) * settings.burst_times)
    hours = pl.col("consumption_m3") / pl.col("greatest_flow_m3h")
    burst = lately & (pl.col("consumption_m3") >= limit) & (hours >= settings.burst_h)
    # It runs until somebody shuts it: on the next day, too, unless that is not known yet.
    more = pl.col("consumption_m3").shift(-1).over("meter_id")
    burst &= (more >= limit * BURST_GOES_ON).fill_null(value=False) | (pl.col("stood_lately") > 0).fill_null(
        value=False
    )
    summary = days.group_by("meter_id", maintain_order=True).agg(
        pl.col("least_flow_m3h").filter(before).max().alias("least_before"),
        pl.col("least_flow_m3h").filter(after).max().alias("least_after"),
        (pl.col("stood_lately") > 0).filter(after & (pl.col("least_flow_m3h") >= settings.running_m3h)).any()
        .alias("stood"),
        pl.col("first_ts").filter(burst | (after & (pl.col("least_flow_m3h") >= settings.running_m3h))).min()
        .alias("burst_ts"),
        pl.col("consumption_m3").filter(burst).max().alias("burst_m3"),
        limit.filter(burst).first().alias("burst_limit_m3"),
        hours.filter(burst).max().alias("burst_h"),
        pl.min_horizontal("case_min_c", "water_min_c").filter(pl.col("age_days") <= DYING_DAYS).min().alias("died_c"),
        (pl.col("case_min_c").filter(pl.col("age_days") > DYING_DAYS).tail(BEFORE_DAYS).min()
         - pl.col("case_min_c").filter(pl.col("age_days") <= DYING_DAYS).min()).alias("died_colder_c"),
        pl.col("battery_fall_v").drop_nulls().tail(3).median().alias("fall_v"),
        pl.col("sag_excess_v").drop_nulls().tail(5).max().alias("sag_v"),
        pl.col("rssi_median_dbm").drop_nulls().tail(14).median().alias("rssi_dbm"),
        pl.col("last_ts").max(),
    )  # fmt: skip
    silent = seen.features.select("meter_id", "silent_h")
    for part in (frost, silent, _stops(days, settings)):
        summary = summary.join(part, on="meter_id", how="left", maintain_order="left")
    return _with_witnesses(seen, summary)


def _with_witnesses(seen: View, hits: pl.DataFrame) -> pl.DataFrame:
    """Add when people told of it: the customer since the stop or the silence, a technician who found frost."""
    since = hits.select("meter_id", pl.coalesce("stop_ts", "last_ts").alias("since"), "frost_ts")
    reports = (
        seen.facts.reports.join(since, on="meter_id")
        .filter(pl.col("reported_at") >= pl.col("since"))
        .group_by("meter_id")
        .agg(pl.col("reported_at").min().alias("reported_ts"))
    )
    found = (
        seen.facts.inspections.filter(pl.col("finding") == "low_temperature")
        .join(since, on="meter_id")
        .filter(pl.col("inspected_at") >= pl.col("frost_ts"))
        .group_by("meter_id")
        .agg(pl.col("inspected_at").min().alias("inspected_ts"))
    )
    return hits.join(reports, on="meter_id", how="left", maintain_order="left").join(
        found, on="meter_id", how="left", maintain_order="left"
    )


def _stops(days: pl.DataFrame, settings: FreezeSettings) -> pl.DataFrame:
    """Return the newest standstill of each regular home that began in frost: how long, how cold, how it ended."""
    told = days.filter(pl.col("volume_readings") > 0).with_columns((pl.col("day_m3") == 0).alias("still"))
    frosty = (pl.col("case_min_c") <= settings.frost_c) | (pl.col("water_min_c") <= settings.water_frost_c)
    coldest = pl.col("case_min_c").rolling_min(BEFORE_DAYS, min_samples=LEAST_BEFORE_DAYS).shift(2)
    numbered = told.with_columns(
        pl.col("still").rle_id().over("meter_id").alias("run"), frosty.fill_null(value=False).alias("frosty"),
    ).with_columns(
        pl.col("frosty").shift(1, fill_value=False).over("meter_id").alias("frosty_before"),
        pl.min_horizontal("case_min_c", pl.col("case_min_c").shift(1)).over("meter_id").alias("night_c"),
        coldest.over("meter_id").alias("coldest_before_c"),
    )  # fmt: skip
    runs = numbered.group_by("meter_id", "run", maintain_order=True).agg(
        pl.col("still").first(),
        pl.len().cast(pl.Int64).alias("still_days"),
        pl.col("first_ts").first().alias("stop_ts"),
        pl.col("day").first().alias("stop_day"),
        (pl.col("frosty").head(1) | pl.col("frosty_before").head(1)).first().alias("began_cold"),
        (pl.col("coldest_before_c") - pl.col("night_c")).first().alias("colder_c"),
        (pl.col("case_min_c") <= 0).fill_null(value=False).mean().alias("cold_share"),
        pl.col("case_max_c").tail(2).max().alias("warm_end_c"),
        pl.col("peer_zero_share").median().alias("peers_still"),
        pl.col("age_days").last().alias("ended_age"),
        (~pl.col("still")).sum().alias("used"),
    )  # fmt: skip
    each = runs.with_columns(
        pl.col("used").cum_sum().shift(1).over("meter_id").alias("used_days"),
        pl.col("still_days").cum_sum().shift(1).over("meter_id").alias("before_days"),
        pl.col("warm_end_c").shift(-1).over("meter_id").alias("warm_next_c"),
        pl.col("stop_ts").shift(-1).over("meter_id").alias("resumed_ts"),
    )
    usual = told.filter(~pl.col("still")).group_by("meter_id").agg(pl.col("day_m3").median().alias("usual_m3"))
    odd = (
        pl.col("still")
        & pl.col("began_cold")
        & (pl.col("still_days") >= settings.still_days)
        & (pl.col("before_days") >= settings.before_days)
        & (pl.col("used_days") / pl.col("before_days") >= settings.usual_share)
        & (pl.col("usual_m3") >= settings.usual_m3)
        # What the pipe bore unharmed some weeks ago does not freeze it now.
        & (pl.col("colder_c") >= settings.colder_c).fill_null(value=True)
        & ~(pl.col("peers_still") > settings.peers_still).fill_null(value=False)
        & (pl.col("ended_age") < settings.window_days)
    )
    shares = stops_by_frost(days, settings)
    return (
        each.join(usual, on="meter_id", how="left", maintain_order="left")
        .filter(odd)
        .unique("meter_id", keep="last", maintain_order=True)
        .join(shares, on=["meter_id", "stop_day"], how="left", maintain_order="left")
        .select(
            "meter_id", "frozen_share", "observed", "expected", "record",
            "still_days", "stop_ts", "cold_share", "usual_m3", "resumed_ts", "colder_c",
            pl.col("resumed_ts").is_not_null().alias("resumed"),
            (pl.max_horizontal("warm_end_c", "warm_next_c") > 0).fill_null(value=False).alias("warm"),
        )
    )  # fmt: skip


@rule(
    "low_temperature.exposure",
    settings=lambda settings: settings.low_temperature.exposure,
    source="utilities' warning scale: hard frost two days running",
    severity=3,
    cause="low_temperature",
    en=Text(
        "Exposed to hard frost",
        "Hard frost at the meter on several of the last days.",
        "Insulate the meter and its box; look at it again after thaw.",
    ),
    zh=Text("严寒暴露", "近日表位多日严寒。", "对表计及表箱保温；解冻后复查。"),
)
def exposure(seen: View, settings: ExposureSettings) -> pl.DataFrame:
    """Say watch where the meter itself measured hard frost; exposure alone is never a fault."""
    hits = symptom(
        seen, pl.col("ambient_min_c") <= settings.frost_c, settings.window_days, coldest=pl.col("ambient_min_c").min()
    ).filter(pl.col("days") >= settings.days)
    return fired(
        hits,
        act=pl.lit(value=False),
        onset=pl.col("first_ts"),
        evidence=together(
            observation(
                "low_temperature.exposure", "frost_days", pl.col("days"), "d", since=pl.col("first_ts"),
                until=pl.col("last_ts"), threshold=float(settings.days), window_days=settings.window_days,
                coldest_c=pl.col("coldest").round(1),
            ),
        ),
        cause_confidence=pl.lit(FREEZE_CONFIDENCE),
    )  # fmt: skip
