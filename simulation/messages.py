"""From reports to lines of JSON: each vendor's fields in its own resolution, as envelopes of the contract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from simulation.fault_plan import Words
from simulation.meter_block import MeterBlock
from simulation.parameters import Ints
from simulation.radio import Radio, coverage_class
from simulation.reports import EVENT, EXTRA, REGULAR, Reports
from simulation.sensing import Sensed
from simulation.valve_life import EXERCISE, NOT_REFUSED, REFUSALS, STATES, TO_CLOSE, Movements
from simulation.weather import Bools, Floats

# Bit, and what vendors call it.
CODES: tuple[tuple[str, tuple[str, str, str]], ...] = (
    ("sensor", ("SENSOR_FAULT", "NO_SAMPLING", "SENSOR_ERROR")),
    ("battery", ("LOW_BATTERY", "UNDER_VOLTAGE", "BATTERY_LOW")),
    ("valve", ("VALVE_NOT_IN_POSITION", "VALVE_FAULT", "VALVE_STALL")),
    ("freeze", ("FREEZE", "FROST_ALARM", "FROZEN")),
    ("cold", ("LOW_TEMPERATURE", "LOW_TEMPERATURE_ALARM", "FREEZE_RISK")),
    ("leak", ("LEAK", "CONTINUOUS_FLOW", "LEAKAGE")),
    ("reverse", ("REVERSE_FLOW", "BACKFLOW", "REVERSED")),
    ("magnet", ("MAGNETIC_INTERFERENCE", "MAGNETIC", "MAGNETIC_FIELD")),
    ("empty", ("EMPTY_PIPE", "DRY", "EMPTY_PIPE")),
    ("clock", ("CLOCK_ERROR", "RTC_ERROR", "CLOCK_FAULT")),
    ("opened", ("DISMANTLED", "COVER_OPEN", "REMOVED")),
    ("idle", ("NO_CONSUMPTION", "NO_FLOW", "NO_CONSUMPTION")),
)
BIT = {name: 1 << place for place, (name, _) in enumerate(CODES)}
_STATUS_EVERY_H = 6  # an hourly meter sends its state only so often
_LONGEST_PROFILE = 24


@dataclass(frozen=True, slots=True)
class Told:
    """What the reports of a block say beside what the physics gives directly; one row a report.

    Parameters
    ----------
    volume_m3 : ndarray of float
        Register as the meter shows it.
    codes : ndarray of int
        Bits of :data:`CODES`.
    status : ndarray of bool
        The report carries the meter's state.
    movement : ndarray of int
        Row of the last movement, -1 before the first.
    fresh : ndarray of bool
        The movement was not reported before.
    """

    volume_m3: Floats
    codes: Ints
    status: Bools
    movement: Ints
    fresh: Bools


def registers(block: MeterBlock, sensed: Sensed) -> Floats:
    """Return the register at the begin of each hour and at the record's end, shape (n, n_hours + 1) [m³]."""
    start = block.estate.start_m3[block.meters]
    total = np.cumsum(sensed.counted_m3, axis=1)
    register = np.concatenate([start[:, None], start[:, None] + total], axis=1)
    # A register part that is exchanged below the same module starts again near zero; that is no fault.
    some = np.flatnonzero(block.draws.some("register_restart_share", block.size) & (block.fault == ""))
    at = block.draws.rng.integers(24 * 5, block.calendar.hours, len(some))
    behind = np.arange(register.shape[1]) >= at[:, None]
    register[some] -= np.where(behind, np.floor(register[some, at])[:, None], 0.0)
    return register


def shown(register_m3: Floats, step_m3: Floats) -> Floats:
    """Return a register as a display of a given resolution shows it [m³]."""
    return np.asarray(np.round(np.floor(register_m3 / step_m3 + 1e-6) * step_m3, 3))


def last_movement(made: Movements, reports: Reports) -> tuple[Ints, Bools]:
    """Return the row of the last movement before each report, and whether the report is the first after it."""
    scale = 1e6
    keys = made.meter * scale + made.hour
    row = np.searchsorted(keys, reports.meter * scale + reports.hour, side="right") - 1
    own = (row >= 0) & (made.meter[np.maximum(row, 0)] == reports.meter) if len(keys) else np.zeros(len(row), np.bool_)
    row = np.where(own, row, -1)
    before = np.concatenate([[-1], row[:-1]]) if len(row) else row
    return row, (row >= 0) & (row != before)


def lines(
    block: MeterBlock,
    reports: Reports,
    told: Told,
    radio: Radio,
    sensed: Sensed,
    made: Movements,
    register_m3: Floats,
    flow_m3: Floats,
    reverse_m3: Floats,
) -> pl.DataFrame:
    """Return (`received_ms`, `topic`, `line`) of every message that arrives, duplicates included."""
    calendar, rng = block.calendar, block.draws.rng
    meter, at = reports.meter, reports.hour.astype(np.int64)
    day = calendar.day_of_hour[at]
    count = len(meter)
    status = told.status
    step = block.of_vendor("volume_step_m3")[meter]

    def sent(name: str) -> Bools:
        return status & block.sends(name)[meter]

    names = np.array([block.estate.meter_id(int(each)) for each in block.meters])
    true_s = calendar.start_s + reports.hour * 3600
    ts = np.where(reports.lost_clock, 12.0 + (reports.seq % 50), np.floor(true_s + reports.clock_s))
    received = np.round((true_s + reports.delay_s) * 1000).astype(np.int64)
    flows = np.array([each.flow for each in block.vendors])
    flow = np.where((flows == "own")[meter], flow_m3[meter, at], sensed.counted_m3[meter, at])
    rssi = radio.rssi_dbm[meter, day] + rng.normal(0, 1.0, count)
    amplitude = block.draws.many("amplitude_mv", block.size)[meter] * sensed.amplitude[meter, day]
    battery_step = block.of_vendor("battery_step_v")[meter]
    odd = block.draws.some("odd_thermometer_share", block.size) * rng.choice([-7.0, -4.0, 5.0], block.size)
    offset_c = (rng.normal(0, 0.4, block.size) + odd)[meter]
    valve = block.estate.valve[block.meters][meter]
    movement = np.maximum(told.movement, 0)
    moved = status & told.fresh & ~np.isnan(made.travel_s[movement]) if len(made.meter) else np.zeros(count, np.bool_)
    ordered = status & told.fresh & (made.kind[movement] != EXERCISE) if len(made.meter) else moved
    if len(made.meter):
        state = np.where(told.movement >= 0, made.state[movement], 0)
        travel, current = np.round(made.travel_s[movement], 1), np.round(made.current_ma[movement])
        command = np.where(made.kind[movement] == TO_CLOSE, "close", "open")
        refusal = made.refusal[movement]
    else:
        state, travel, current = np.zeros(count, np.int64), np.zeros(count), np.zeros(count)
        command, refusal = np.full(count, "open"), np.zeros(count, np.int64)
    water_c = np.clip(block.case_c[meter, at] * 0.5 + 4.0, 0.5, 30.0)

    def number(values: Floats, keep: Bools, decimals: int) -> pl.Series:
        return pl.Series(np.where(keep, np.round(values, decimals), np.nan), nan_to_null=True)

    fields: dict[str, pl.Series] = {
        "volume_m3": number(told.volume_m3, np.ones(count, np.bool_), 3),
        "reverse_volume_m3": number(shown(reverse_m3[meter, at], step), status & (reverse_m3[meter, -1] > 0), 3),
        "flow_m3h": number(np.maximum(flow, 0.0), (flows != "none")[meter] & (reports.kind != EXTRA), 3),
        "battery_v": number(
            np.round((reports.rest_v + rng.normal(0, 0.003, count)) / battery_step) * battery_step, status, 3
        ),
        "battery_load_v": number(
            np.round((reports.load_v + rng.normal(0, 0.008, count)) / battery_step) * battery_step, sent("load"), 3
        ),
        "ambient_temperature_c": number(
            block.case_c[meter, at] + offset_c + rng.normal(0, 0.2, count), sent("temperature"), 1
        ),
        "water_temperature_c": number(water_c + rng.normal(0, 0.3, count), sent("water_temperature"), 1),
        "valve_travel_s": number(travel, moved & sent("travel"), 1),
        "valve_current_ma": number(current, moved & sent("current"), 0),
        "coil_signal_mv": number(amplitude + rng.normal(0, 3, count), sent("amplitude"), 0),
        "rssi_dbm": number(rssi, status, 0),
        "snr_db": number(0.35 * (rssi + 118.0) + rng.normal(0, 1.5, count), sent("snr"), 1),
        "coverage_class": number(coverage_class(rssi).astype(np.float64), sent("coverage"), 0).cast(pl.Int64),
        "seq": pl.Series(reports.seq),
    }
    version = block.estate.firmware[block.meters]
    firmware = np.array([each.firmwares[int(v)] for each, v in zip(block.vendors, version, strict=True)])
    texts: dict[str, pl.Series] = {
        "valve_state": _texts(np.array(STATES)[state], status & valve),
        "valve_command": _texts(command, ordered),
        "valve_refusal": _texts(np.array(REFUSALS)[refusal], ordered & (refusal != NOT_REFUSED)),
        "firmware": _texts(firmware[meter], status),
        "source": _texts(np.where(reports.second, "second-program", "head-end"), np.ones(count, np.bool_)),
    }
    vendor = block.estate.vendor[block.meters][meter]
    frame = pl.DataFrame(
        {
            "received_ms": received,
            "doubled_ms": np.where(np.isnan(reports.doubled_s), -1, np.round(reports.doubled_s * 1000)).astype(
                np.int64
            ),
            "name": names[meter],
            "ts": (ts * 1e6).astype(np.int64),
            "local": block.sends("local_time")[meter],
            "codes": _code_texts(told.codes, status, block.sends("codes")[meter], vendor),
            **fields,
            **texts,
            **_profiles(block, reports, register_m3, step),
            "keep": reports.delivered,
        }
    ).filter("keep")
    return _rendered(frame, list(fields), list(texts), calendar.zone)


def _texts(values: Words, keep: Bools) -> pl.Series:
    return pl.Series(np.where(keep, values, ""))


def _code_texts(codes: Ints, status: Bools, able: Bools, vendor: Ints) -> pl.Series:
    """Return the list of codes as JSON, empty where there is none; each vendor has its own words."""
    keys = np.where(status & able, codes, 0) * 3 + vendor % 3
    distinct, place = np.unique(keys, return_inverse=True)
    texts = [
        ",".join(f'"{words[int(each) % 3]}"' for name, words in CODES if (int(each) // 3) & BIT[name])
        for each in distinct
    ]
    return pl.Series(np.array(texts, dtype=object)[place], dtype=pl.String)


def _profiles(block: MeterBlock, reports: Reports, register_m3: Floats, step: Floats) -> dict[str, pl.Series]:
    """Return begin and registers of the 24 hours up to local midnight, for daily reports of vendors that send them."""
    calendar = block.calendar
    daily = np.array([each.reporting == "daily" for each in block.vendors])[reports.meter]
    midnight = calendar.day_start[calendar.day_of_hour[reports.hour.astype(np.int64)]]
    known = midnight - _LONGEST_PROFILE >= block.estate.first_hour[block.meters][reports.meter]
    rows = np.flatnonzero(daily & (reports.kind == REGULAR) & ~reports.second & known & ~reports.lost_clock)
    hours = midnight[rows, None] - _LONGEST_PROFILE + 1 + np.arange(_LONGEST_PROFILE)
    values = shown(register_m3[reports.meter[rows, None], hours], step[rows, None])
    listed = pl.Series(values).cast(pl.List(pl.String)).list.join(",")
    texts = pl.Series(np.full(len(reports.meter), ""), dtype=pl.String)
    if len(rows):
        texts = texts.scatter(rows, listed)
    begin_s = calendar.start_s + (midnight - _LONGEST_PROFILE) * 3600 + np.round(reports.clock_s).astype(np.int64)
    return {"profile": texts, "profile_ts": pl.Series(begin_s * 1_000_000)}


def _rendered(frame: pl.DataFrame, numbers: list[str], texts: list[str], zone: str) -> pl.DataFrame:
    def time(column: str) -> pl.Expr:
        moment = pl.col(column).cast(pl.Datetime("us", "UTC"))
        here = moment.dt.convert_time_zone(zone).dt.strftime("%Y-%m-%dT%H:%M:%S%:z")
        return pl.when("local").then(here).otherwise(moment.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def number(column: str) -> pl.Expr:
        text = pl.col(column).cast(pl.String).str.strip_suffix(".0")
        return pl.concat_str(pl.lit(f',"{column}":'), text, ignore_nulls=False).fill_null("")

    def text(column: str) -> pl.Expr:
        return pl.when(pl.col(column) == "").then(pl.lit("")).otherwise(
            pl.concat_str(pl.lit(f',"{column}":"'), pl.col(column), pl.lit('"'))
        )  # fmt: skip

    codes = pl.when(pl.col("codes") == "").then(pl.lit("")).otherwise(
        pl.concat_str(pl.lit(',"error_codes":['), pl.col("codes"), pl.lit("]"))
    )  # fmt: skip
    profile = pl.when(pl.col("profile") == "").then(pl.lit("")).otherwise(
        pl.concat_str(
            pl.lit(',"profile":{"start":"'), time("profile_ts"), pl.lit('","step_s":3600,"volume_m3":['),
            pl.col("profile"), pl.lit("]}"),
        )
    )  # fmt: skip
    payload = pl.concat_str(
        pl.lit('{"meter_id":"'), pl.col("name"), pl.lit('","ts":"'), time("ts"), pl.lit('"'),
        *(number(name) for name in numbers), *(text(name) for name in texts), codes, profile,
        pl.lit(',"synthetic":true}'),
    )  # fmt: skip
    ready = frame.select("received_ms", "doubled_ms", "name", payload.alias("payload"))
    again = ready.filter(pl.col("doubled_ms") >= 0).with_columns(pl.col("received_ms") + pl.col("doubled_ms"))
    received = pl.col("received_ms").cast(pl.Datetime("ms", "UTC")).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    topic = pl.concat_str(pl.lit("meters/"), pl.col("name"), pl.lit("/readings"))
    line = pl.concat_str(
        pl.lit('{"topic":"'), topic, pl.lit('","received_at":"'), received, pl.lit('","payload":'),
        pl.col("payload"), pl.lit("}"),
    )  # fmt: skip
    return (
        pl.concat([ready, again]).select("received_ms", "name", line.alias("line")).sort("received_ms", "name", "line")
    )


def has_status(block: MeterBlock, reports: Reports) -> Bools:
    """Tell which reports carry the meter's state: all but most of the hourly ones."""
    hourly = (block.reports_per_day >= 24)[reports.meter]
    return np.asarray(~hourly | (reports.kind == EVENT) | (reports.hour.astype(np.int64) % _STATUS_EVERY_H == 0))
