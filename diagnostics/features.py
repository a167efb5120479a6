"""Features: what is known of each meter as of a diagnosis, from its newest daily row and at most 60 days before it.

A window ends at the meter's newest day, not at the diagnosis: silence is no sign that anything got better.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from diagnostics.cells import with_cells
from diagnostics.chain import LEAST_ACTIVE, LEAST_INTERVALS, LEAST_UNLIKE, MOST_ACTIVE, NOMINAL_V
from diagnostics.facts import Facts, with_place
from diagnostics.peers import with_peers
from lake.schemas import DAILY
from lake.vocabulary import FAULTS

WINDOW_DAYS = 60
HOUR_S = 3600.0
LEAST_SAG_V = 0.03  # smaller ones are within noise and resolution
# What profile and chain hand on to each other and no feature, rule or cause reads: a fifth of a row, which each filter
# and sort would carry along.
UNREAD = (
    "usable_readings", "first_volume_ts", "flow_last_ts", "backward_m3", "battery_min_v", "battery_step_v",
    "ambient_mean_c", "snr_median_db", "valve_command", "valve_refusal", "valve_commands_missed", "valve_movements",
    "valve_travel_last_s", "valve_current_last_ma", "prior_volume_ts", "battery_base_warm_days",
    "battery_base_warm_sum_v", "battery_base_sum_c", "battery_base_sum_cc", "battery_base_sum_cv", "load_base_days",
    "load_base_sag_v", "load_base_sum_x", "load_base_sum_xx", "load_base_sum_xv", "coil_base_days", "travel_base_days",
    "current_base_days", "command_refused",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """What the rules see of a set of meters.

    Parameters
    ----------
    as_of : datetime
        Time of the diagnosis (UTC).
    days : polars.DataFrame
        Daily rows of the last 60 days of each meter, sorted by meter and day, without :data:`UNREAD`, with the columns
        of :func:`with_derived`, :func:`diagnostics.facts.with_place`, :func:`diagnostics.peers.with_peers`,
        :func:`diagnostics.cells.with_cells` and ``age_days`` (0 = the meter's newest day).
    features : polars.DataFrame
        One row a meter, sorted by ``meter_id``.
    codes : polars.DataFrame
        One row for each code of a daily row: ``meter_id, day, age_days, first_ts, last_ts, family, severity, code``.
    facts : Facts
        What is known beside the readings.
    """

    as_of: datetime
    days: pl.DataFrame
    features: pl.DataFrame
    codes: pl.DataFrame
    facts: Facts = field(default_factory=Facts)


def view(daily: pl.DataFrame, as_of: datetime, facts: Facts | None = None) -> View:
    """Return what a diagnosis as of `as_of` may see of `daily`.

    Parameters
    ----------
    daily : polars.DataFrame
        Rows of the table ``daily``: each meter's newest row and those of the 60 days before it; more does no harm.
    as_of : datetime
        Rows stamped later are not seen; of a meter and day the latest stamp holds.
    facts : Facts, optional
        What is known beside the readings by then; gaps in our reception that were noticed later are not seen.
    """
    known_facts = (facts or Facts()).conformed()
    known = DAILY.conform(daily).drop(UNREAD)
    age = (pl.col("day").max().over("meter_id") - pl.col("day")).dt.total_days().alias("age_days")
    # The rows are chosen by their keys and taken once: each step over all columns would copy a hundred of them.
    keys = known.select("meter_id", "day", "as_of").with_row_index("place").filter(pl.col("as_of") <= as_of)
    kept = _latest(keys.with_columns(age).filter(pl.col("age_days") < WINDOW_DAYS))
    stood = kept.height == known.height and bool((kept["place"] == pl.int_range(kept.height, eager=True)).all())
    latest = (known if stood else known[kept["place"]]).with_columns(kept["age_days"])
    days = with_cells(with_peers(with_derived(with_place(latest, known_facts))))
    gaps = known_facts.gaps.filter(pl.col("received_at") <= as_of, pl.col("since") < pl.col("until"))
    return View(as_of, days, features(days, as_of), _codes(days), replace(known_facts, gaps=gaps))


def _latest(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the latest row of each meter and day, sorted; what is so already is left as it is."""
    same = pl.col("meter_id") == pl.col("meter_id").shift(1)
    follows = (pl.col("meter_id") > pl.col("meter_id").shift(1)) | (same & (pl.col("day") > pl.col("day").shift(1)))
    if rows.select(follows.all()).item():
        return rows
    return rows.sort("meter_id", "day", "as_of").unique(["meter_id", "day"], keep="last", maintain_order=True)


def _codes(days: pl.DataFrame) -> pl.DataFrame:
    """Return the codes of daily rows, one a row."""
    parts = pl.col("codes").str.splitn(" ", 3).struct
    return (
        days.select("meter_id", "day", "age_days", "first_ts", "last_ts", "codes")
        .filter(pl.col("codes").list.len() > 0)
        .explode("codes")
        .with_columns(
            parts.field("field_0").alias("family"),
            parts.field("field_1").cast(pl.Int64).alias("severity"),
            parts.field("field_2").alias("code"),
        )
        .drop("codes")
    )


def with_derived(days: pl.DataFrame) -> pl.DataFrame:
    """Return `days` with figures that combine a row with its state or its neighbours.

    ``day_m3`` consumption with what came since the row before [m³]; ``battery_fall_v`` expected minus median resting
    voltage [V]; ``sag_excess_v`` sag under load beyond its expectation [V]; ``sag_excess`` the same as a share of it
    [1]; ``coil_share``, ``travel_ratio``, ``current_ratio`` value over baseline [1]; ``draw_change`` logarithm of what
    one draw counts over its baseline, ``draws_change`` that of their number, ``flow_change`` and ``peak_change`` those
    of the mean logarithm of the flow and of the day's greatest flow, all null where the day's intervals cannot tell
    (:func:`diagnostics.chain.draws`); ``stepped`` the register starts again lower and stays there; ``jumps`` falls of
    the register that came back; ``jump_m3`` the largest of them [m³].
    """
    sag = pl.coalesce(pl.col("battery_median_v"), pl.lit(NOMINAL_V)) - pl.col("battery_load_median_v")
    share = pl.col("active_intervals") / pl.col("flow_intervals")
    number = -(1 - share).log() * pl.col("flow_intervals")
    tells = (
        (pl.col("flow_intervals") >= LEAST_INTERVALS)
        & (pl.col("active_intervals") >= LEAST_ACTIVE)
        & (share <= MOST_ACTIVE)
        & (pl.col("consumption_m3") > 0)
        & (pl.col("greatest_flow_m3h").log() - pl.col("flow_log") >= LEAST_UNLIKE)
    )
    moved = pl.col("valve_moved").fill_null(value=False)
    derived = days.with_columns(
        (pl.col("consumption_m3") + pl.col("carried_m3").clip(0).fill_null(0)).alias("day_m3"),
        (pl.col("battery_expected_v") - pl.col("battery_median_v")).round(4).alias("battery_fall_v"),
        (sag - pl.col("load_expected_sag_v")).round(4).alias("sag_excess_v"),
        (sag / pl.col("load_expected_sag_v").clip(LEAST_SAG_V) - 1).round(3).alias("sag_excess"),
        (pl.col("coil_signal_median_mv") / pl.col("coil_base_mv")).alias("coil_share"),
        pl.when(moved).then(pl.col("valve_travel_median_s") / pl.col("travel_base_s")).alias("travel_ratio"),
        pl.when(moved).then(pl.col("valve_current_max_ma") / pl.col("current_base_ma")).alias("current_ratio"),
        pl.when(tells).then((pl.col("consumption_m3") / number).log() - pl.col("draw_base_log")).alias("draw_change"),
        pl.when(tells).then(number.log() - pl.col("draws_base_log")).alias("draws_change"),
        pl.when(tells).then(pl.col("flow_log") - pl.col("flow_base_log")).alias("flow_change"),
        pl.when(tells).then(pl.col("greatest_flow_m3h").log() - pl.col("peak_base_log")).alias("peak_change"),
        pl.coalesce("interval_s", "gap_s").alias("usual_s"),
        (pl.col("backward_counts").fill_null(0) + pl.col("edge_backward_m3").is_not_null()).alias("backwards"),
        pl.max_horizontal("worst_backward_m3", "edge_backward_m3").alias("backwards_worst_m3"),
    )
    return _with_jumps(derived)


def _with_jumps(days: pl.DataFrame) -> pl.DataFrame:
    """Tell falls of the register that came back (a jump) from those that stay (another register)."""
    # Rows stand by meter and day: the neighbours are those above and below, where they are of the same meter.
    meter = pl.col("meter_id")
    same_above = pl.col("_same_above")
    mixed = pl.col("interleaved_readings").is_not_null()
    beside = mixed | (mixed.shift(1) & same_above).fill_null(value=False)
    fall = pl.max_horizontal("worst_drop_m3", pl.when(~beside).then(pl.col("edge_drop_m3")))
    falls = pl.col("drops").fill_null(0) + (pl.col("edge_drop_m3").is_not_null() & ~beside)
    level = pl.coalesce("prior_volume_m3", "first_volume_m3") - fall / 2
    # A wrong reading may be the last of the day before: then the register before *it* is the level to come back to.
    above = pl.coalesce("before_last_volume_m3", "prior_volume_m3").shift(1)
    earlier = pl.when(same_above).then(above) - fall / 2
    lower = (pl.col("last_volume_m3") < level) & (pl.col("last_volume_m3") < earlier).fill_null(value=True)
    following = pl.when(same_above.shift(-1)).then(pl.col("last_volume_m3").shift(-1))
    stays = pl.coalesce(following, "before_last_volume_m3") < level
    unknown = following.is_null() & ~(pl.col("before_last_volume_m3") < level).fill_null(value=False)
    stepped = ((falls > 0) & lower & stays).fill_null(value=False)
    pending = ((falls > 0) & lower & unknown).fill_null(value=False)
    came_back = (falls > 0) & ~stepped & ~pending
    numbered = days.with_columns((meter == meter.shift(1)).alias("_same_above"))
    return numbered.with_columns(
        stepped.alias("stepped"),
        pl.when(came_back).then(falls).otherwise(0).alias("jumps"),
        pl.when(came_back | stepped).then(fall).alias("jump_m3"),
    ).drop("_same_above")


def features(days: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return one row a meter: the newest state, and counts over its last 7, 14, 30 and 60 days.

    Parameters
    ----------
    days : polars.DataFrame
        As in :class:`View`.
    as_of : datetime
        Time of the diagnosis (UTC).
    """
    silent = (pl.lit(as_of) - pl.col("last_ts")).dt.total_seconds().clip(0) / HOUR_S
    standing = (pl.col("last_volume_ts") - pl.coalesce("last_flow_ts", "first_seen_ts")).dt.total_seconds().clip(0)
    return days.group_by("meter_id", maintain_order=True).agg(
        pl.col("day").last().alias("newest_day"),
        pl.col("last_ts").last(),
        silent.last().alias("silent_h"),
        pl.col("days_seen", "total_m3", "firmware").last(),
        (standing.last() / HOUR_S).alias("standing_h"),
        pl.col("usual_s").median(),
        *_register_counts(),
        *_signal_figures(),
        *_valve_figures(as_of),
        *_reception_figures(),
    )


def _within(days: int) -> pl.Expr:
    return pl.col("age_days") < days


def _a_day(total: str, days: int) -> pl.Expr:
    """Return the growth of a running total over the last `days`, a day; of a younger meter over what there is."""
    within = pl.col(total).filter(_within(days + 1))
    took = (
        pl.col("day").filter(_within(days + 1)).last() - pl.col("day").filter(_within(days + 1)).first()
    ).dt.total_days()
    return pl.when(took > 0).then((within.last() - within.first()) / took)


def _register_counts() -> list[pl.Expr]:
    month = _within(30)
    return [
        pl.col("day_m3").filter(_within(7)).mean().alias("day_m3_7d"),
        pl.col("day_m3").median().alias("day_m3_60d"),
        (pl.col("day_m3") > 0).filter(month).sum().alias("flow_days_30d"),
        (pl.col("backwards") > 0).filter(month).sum().alias("backward_days_30d"),
        pl.col("backwards").filter(month).sum().alias("backward_counts_30d"),
        pl.col("backwards_worst_m3").filter(month).max().alias("backward_worst_m3_30d"),
        pl.col("jumps").filter(month).sum().alias("jumps_30d"),
        pl.col("jump_m3").filter(month).max().alias("jump_worst_m3_30d"),
        pl.col("surges").filter(month).sum().alias("surges_30d"),
        pl.col("interleaved_readings").is_not_null().filter(month).sum().alias("interleaved_days_30d"),
        pl.col("stepped").filter(month).sum().alias("register_steps_30d"),
        pl.col("least_flow_m3h").filter(_within(7)).min().alias("least_flow_m3h_7d"),
        pl.col("greatest_flow_m3h").filter(month).max().alias("greatest_flow_m3h_30d"),
        pl.col("reverse_m3").filter(month).sum().alias("reverse_m3_30d"),
    ]


def _signal_figures() -> list[pl.Expr]:
    return [
        pl.col("battery_median_v").drop_nulls().last().alias("battery_v"),
        pl.col("battery_fall_v").drop_nulls().last().alias("battery_fall_v"),
        pl.col("battery_fall_v").filter(_within(7)).median().alias("battery_fall_v_7d"),
        pl.col("battery_load_min_v").filter(_within(7)).min().alias("battery_load_min_v_7d"),
        pl.col("sag_excess_v").filter(_within(7)).median().alias("sag_excess_v_7d"),
        pl.col("cell_fall_v").filter(_within(7)).median().alias("cell_fall_v_7d"),
        pl.col("cell_sag_v").filter(_within(7)).median().alias("cell_sag_v_7d"),
        pl.col("coil_share").filter(_within(7)).median().alias("coil_share_7d"),
        pl.col("ambient_min_c").filter(_within(7)).min().alias("ambient_min_c_7d"),
        pl.col("ambient_min_c").min().alias("ambient_min_c_60d"),
        pl.col("water_min_c").min().alias("water_min_c_60d"),
    ]


def _valve_figures(as_of: datetime) -> list[pl.Expr]:
    contradicted = (pl.lit(as_of) - pl.col("disagree_since_ts")).dt.total_seconds() / HOUR_S
    return [
        contradicted.last().alias("disagree_h"),
        pl.col("disagree_readings").last(),
        pl.col("closed_flow_m3").filter(_within(7)).sum().alias("closed_flow_m3_7d"),
        pl.col("valve_fault_readings").filter(_within(7)).sum().alias("valve_fault_readings_7d"),
        pl.col("travel_ratio").drop_nulls().tail(3).median().alias("travel_ratio"),
        pl.col("current_ratio").drop_nulls().tail(3).median().alias("current_ratio"),
    ]


def _reception_figures() -> list[pl.Expr]:
    codes = [
        pl.col("codes").list.eval(pl.element().str.starts_with(f"{fault} ")).list.any().filter(_within(14)).sum()
        .alias(f"{fault}_code_days_14d")
        for fault in FAULTS
    ]  # fmt: skip
    return [
        pl.max_horizontal("gap_s", "longest_gap_s").filter(_within(14)).max().truediv(HOUR_S).alias("gap_h_14d"),
        pl.len().alias("reported_days_60d"),
        pl.col("readings").filter(_within(7)).mean().alias("readings_7d"),
        pl.col("readings").median().alias("readings_60d"),
        pl.col("rssi_median_dbm").filter(_within(30)).median().alias("rssi_dbm_30d"),
        pl.col("coverage_worst").filter(_within(30)).median().alias("coverage_30d"),
        (pl.col("total_seq_resets").last() - pl.col("total_seq_resets").first()).alias("seq_resets_60d"),
        _a_day("total_uplinks", 14).alias("uplinks_14d"),
        _a_day("total_uplinks", WINDOW_DAYS).alias("uplinks_60d"),
        # Without the newest month: what a storm that began in it does not move.
        pl.col("uplinks").filter(~_within(30)).median().alias("uplinks_usual"),
        _a_day("total_radio_uplinks", 14).alias("radio_uplinks_14d"),
        _a_day("total_movement_days", WINDOW_DAYS).alias("movement_days_60d"),
        pl.col("sources").filter(_within(7)).max().alias("sources_7d"),
        *codes,
    ]
