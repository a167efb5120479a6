"""The running state: what one day hands to the next, so that no diagnosis needs the whole history.

The state of a row depends on the row before it and on nothing else. It is computed rank by rank (first rows of all
meters, then second rows …) with numpy over all meters at once, in the same order of operations however the rows were
cut: a chain built day by day equals one built at once, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from diagnostics.segments import Segments
from diagnostics.settings import ProfileSettings
from lake.schemas import DAILY
from lake.vocabulary import DAY_STATE, VALVE_COMMANDS, VALVE_STATES, Column

Array: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.int64]
Columns: TypeAlias = dict[str, Array]

WORDS = {
    "valve_state": VALVE_STATES,
    "valve_command": VALVE_COMMANDS,
    "standing_command": VALVE_COMMANDS,
}
OPEN, CLOSE = (float(VALVE_COMMANDS.index(word)) for word in ("open", "close"))
STATE_OPEN, STATE_CLOSED = (float(VALVE_STATES.index(word)) for word in ("open", "closed"))
MICROSECOND_S = 1e-6
LEAST_INTERVALS = 12  # of a day, to tell the number of draws from the share of active ones
LEAST_ACTIVE = 3
MOST_ACTIVE = 0.9


def chain(
    known: pl.DataFrame, fresh: pl.DataFrame, *, as_of: datetime, settings: ProfileSettings | None = None
) -> pl.DataFrame:
    """Return `fresh` and every later row of the same meters, with their running state.

    Parameters
    ----------
    known : polars.DataFrame
        Stored daily rows, the latest of each meter and day, of at least: each meter's last row before its first day
        in `fresh`, and all rows after that. More does no harm, other meters are ignored.
    fresh : polars.DataFrame
        Rows of :func:`diagnostics.daily.day_profile`; they replace known rows of the same meter and day.
    as_of : datetime
        Stamped on every row returned.
    settings : ProfileSettings, optional

    Returns
    -------
    polars.DataFrame
        The rows to append to the table ``daily``, sorted by meter and day.
    """
    rows, anchors = _spliced(known, fresh)
    if rows.is_empty():
        return DAILY.empty()
    order = _Order.of(rows["meter_id"])
    columns = _Packed(rows, order.rows)
    before = _anchored(order.meters(rows["meter_id"]), anchors)
    state = {name: np.full(rows.height, np.nan) for name in DAY_STATE}
    for begin, end in pairwise(order.bounds):
        now = columns.part(begin, end)
        before = {name: values[: end - begin] for name, values in before.items()}
        after: Columns = {}
        for part in PARTS:
            after |= part(now, before, settings or ProfileSettings())
        for name, values in after.items():
            state[name][begin:end] = values
        before = {**after, **{name: now[name] for name in HANDED_ON}}
    chained = rows.with_columns(
        *(_to_series(name, order.unpacked(state[name]), column) for name, column in DAY_STATE.items()),
        pl.lit(as_of).alias("as_of"),
    )
    return DAILY.conform(chained)


def _spliced(known: pl.DataFrame, fresh: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return each touched meter's rows from its first fresh day on, by meter and day, and the row before them."""
    rows = _sorted(DAILY.conform(fresh))
    if known.is_empty() or rows.is_empty():
        return rows, DAILY.empty()
    first = rows.group_by("meter_id").agg(pl.col("day").min().alias("first_day"))
    others = known.join(first, on="meter_id")
    before = others.filter(pl.col("day") < pl.col("first_day")).drop("first_day").sort("meter_id", "day")
    anchors = before.unique("meter_id", keep="last", maintain_order=True)
    later = others.filter(pl.col("day") > pl.col("first_day")).drop("first_day")
    later = later.join(rows, on=["meter_id", "day"], how="anti")
    if later.height:
        rows = pl.concat([rows, DAILY.conform(later)]).sort("meter_id", "day")
    return rows, anchors


def _sorted(rows: pl.DataFrame) -> pl.DataFrame:
    """Return `rows` by meter and day, as they are where they stand so."""
    meter, day = pl.col("meter_id"), pl.col("day")
    rises = (meter > meter.shift(1)) | ((meter == meter.shift(1)) & (day > day.shift(1)))
    return rows if rows.select(rises.all()).item() else rows.sort("meter_id", "day")


@dataclass(frozen=True, slots=True)
class _Order:
    """The order of the scan: the first rows of all meters, then the second ones …, meters of more rows first.

    So the meters that have one more row are always the first of those before, and no row is looked up.

    Parameters
    ----------
    rows : numpy.ndarray, shape (rows,)
        The row at each place of the order.
    bounds : numpy.ndarray
        Where first rows, second rows … begin, and the end.
    """

    rows: Rows
    bounds: Rows

    @classmethod
    def of(cls, meter_id: pl.Series) -> _Order:
        """Return the order of rows sorted by meter."""
        runs = Segments.of(meter_id.rle_id().to_numpy())
        lengths = runs.lengths
        longest_first = np.argsort(-lengths, kind="stable")
        begins, lengths = runs.starts[longest_first], lengths[longest_first]
        there = len(lengths) - np.searchsorted(lengths[::-1], np.arange(lengths[0]), side="right")
        rows = np.concatenate([begins[:count] + rank for rank, count in enumerate(there)])
        return cls(rows, np.concatenate([[0], np.cumsum(there)]))

    def meters(self, meter_id: pl.Series) -> pl.Series:
        """Return the meters in the order of the first rows."""
        return meter_id.gather(self.rows[: self.bounds[1]])

    def unpacked(self, values: Array) -> Array:
        """Return values in the order of the scan in that of the rows."""
        placed = np.empty_like(values)
        placed[self.rows] = values
        return placed


class _Packed:
    """Columns of the rows in the order of the scan, as floats, each made when it is first asked for.

    Parameters
    ----------
    frame : polars.DataFrame
        The rows.
    rows : numpy.ndarray
        Their order.
    """

    def __init__(self, frame: pl.DataFrame, rows: Rows) -> None:
        self._frame = frame
        self._rows = rows
        self._made: Columns = {}

    def column(self, name: str) -> Array:
        """Return a column."""
        if name not in self._made:
            self._made[name] = _to_numpy(self._frame[name], DAILY.columns[name])[self._rows]
        return self._made[name]

    def part(self, begin: int, end: int) -> Now:
        """Return the columns of some places."""
        return Now(self, begin, end)


class Now:
    """What :class:`_Packed` holds of the rows of one rank, by name of the column.

    Parameters
    ----------
    columns : _Packed
        All ranks.
    begin, end : int
        Places of this rank.
    """

    def __init__(self, columns: _Packed, begin: int, end: int) -> None:
        self._columns = columns
        self._begin = begin
        self._end = end

    def __getitem__(self, name: str) -> Array:
        return self._columns.column(name)[self._begin : self._end]


def _anchored(meters: pl.Series, anchors: pl.DataFrame) -> Columns:
    """Return the state before the first row of each meter, NaN for those that have none."""
    names = (*DAY_STATE, *HANDED_ON)
    if anchors.is_empty():
        return {name: np.full(len(meters), np.nan) for name in names}
    found = meters.to_frame().join(anchors.select("meter_id", *names), on="meter_id", how="left", maintain_order="left")
    return {name: _to_numpy(found[name], DAILY.columns[name]) for name in names}


def _to_numpy(series: pl.Series, column: Column) -> Array:
    """Return the column as floats, NaN where empty; times are microseconds, exact until the year 2255.

    A column of other words than the closed ones tells by 1 where it says anything.
    """
    if series.null_count() == len(series):
        return np.full(len(series), np.nan)
    if column.name in WORDS:
        return (
            series.cast(pl.Enum(WORDS[column.name]), strict=False)
            .to_physical()
            .cast(pl.Float64)
            .to_numpy(writable=True)
        )
    if column.dtype == "string":
        return np.where(series.is_not_null().to_numpy(), 1.0, np.nan)
    physical = series.to_physical() if column.dtype == "time" else series
    return physical.cast(pl.Float64).to_numpy()


def _to_series(name: str, values: Array, column: Column) -> pl.Series:
    numbers = pl.Series(name, values, dtype=pl.Float64, nan_to_null=True)
    if column.name in WORDS:
        words = pl.Series(name, WORDS[column.name], dtype=pl.String)
        return words.gather(numbers.cast(pl.UInt32)).alias(name)
    if column.dtype == "float64":
        return numbers
    whole = numbers.cast(pl.Int64)
    return whole.cast(pl.Boolean) if column.dtype == "bool" else whole.cast(DAILY.polars[name])


def _either(first: Array, second: Array) -> Array:
    return np.where(np.isnan(first), second, first)


def _zero(values: Array) -> Array:
    return np.nan_to_num(values, nan=0.0)


# Plain columns of the row before that the state of a row needs.
HANDED_ON = ("last_ts", "last_volume_ts", "last_volume_m3", "seq_last")


def _presence(now: Now, before: Columns, _settings: ProfileSettings) -> Columns:
    fell = now["seq_first"] < before["seq_last"]
    return {
        "days_seen": _zero(before["days_seen"]) + 1,
        "first_seen_ts": _either(before["first_seen_ts"], now["first_ts"]),
        "gap_s": (now["first_ts"] - before["last_ts"]) * MICROSECOND_S,
        "total_seq_resets": _zero(before["total_seq_resets"]) + _zero(now["seq_resets"]) + fell,
    }


def _register(now: Now, before: Columns, settings: ProfileSettings) -> Columns:
    """Hand the last register on, also over days that have none."""
    prior_ts = _either(before["last_volume_ts"], before["prior_volume_ts"])
    prior = np.where(np.isnan(before["last_volume_ts"]), before["prior_volume_m3"], before["last_volume_m3"])
    carried = np.round(now["first_volume_m3"] - prior, 6)
    hours = (now["first_volume_ts"] - prior_ts) * MICROSECOND_S / 3600
    possible = (carried >= 0) & (carried <= now["flow_limit_m3h"] * hours + settings.drop_m3)
    came = np.where(possible, carried, 0.0)
    flowed = np.where(came > 0, now["first_volume_ts"], np.nan)
    return {
        "prior_volume_ts": prior_ts,
        "prior_volume_m3": prior,
        "carried_m3": carried,
        "edge_backward_m3": np.where((carried < 0) & (carried >= -settings.drop_m3), -carried, np.nan),
        "edge_drop_m3": np.where(carried < -settings.drop_m3, -carried, np.nan),
        "total_m3": np.round(_zero(before["total_m3"]) + _zero(now["consumption_m3"]) + came, 6),
        "last_flow_ts": _either(now["flow_last_ts"], _either(flowed, before["last_flow_ts"])),
    }


def _battery(now: Now, before: Columns, settings: ProfileSettings) -> Columns:
    """Expect a voltage from the baseline so far; a day on the plateau joins the baseline."""
    sums = {name: _zero(before[name]) for name in before if name.startswith("battery_base_")}
    volts, warmth = now["battery_median_v"], now["battery_temperature_c"]
    expected, compensated = _expected(sums, warmth, settings)
    known = sums["battery_base_days"] >= settings.battery_base_min_days
    fell = known & (volts < expected - settings.battery_base_fall_v)
    joins = ~np.isnan(volts) & ~fell
    warm = joins & ~np.isnan(warmth)
    more = {
        "days": (joins, np.ones_like(volts)), "sum_v": (joins, volts), "warm_days": (warm, np.ones_like(volts)),
        "warm_sum_v": (warm, volts), "sum_c": (warm, warmth), "sum_cc": (warm, warmth**2),
        "sum_cv": (warm, warmth * volts),
    }  # fmt: skip
    state = {
        f"battery_base_{name}": sums[f"battery_base_{name}"] + np.where(where, value, 0.0)
        for name, (where, value) in more.items()
    }
    state["battery_base_min_c"] = np.fmin(before["battery_base_min_c"], np.where(warm, warmth, np.nan))
    state["battery_base_step_v"] = np.fmin(before["battery_base_step_v"], now["battery_step_v"])
    usable = known & ~np.isnan(volts)
    state["battery_expected_v"] = np.where(usable, expected, np.nan)
    state["battery_compensated"] = np.where(usable, compensated.astype(float), np.nan)
    return state


def _expected(sums: Columns, warmth: Array, settings: ProfileSettings) -> tuple[Array, npt.NDArray[np.bool_]]:
    r"""Return the voltage to expect at a temperature, and whether the temperature went into it.

    Least squares on the days of the baseline, drawn towards the usual slope of such cells by a weight:

    .. math:: b = \frac{\sum (T-\bar T)(V-\bar V) + w b_0}{\sum (T-\bar T)^2 + w}, \quad V(T) = \bar V + b (T-\bar T)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        days = sums["battery_base_warm_days"]
        mean_c = sums["battery_base_sum_c"] / days
        mean_v = sums["battery_base_warm_sum_v"] / days
        spread = sums["battery_base_sum_cc"] - days * mean_c**2
        product = sums["battery_base_sum_cv"] - days * mean_c * mean_v
        weight = settings.battery_slope_weight
        slope = (product + weight * settings.battery_slope_v_per_c) / (spread + weight)
        line = mean_v + np.clip(slope, 0.0, settings.battery_slope_max_v_per_c) * (warmth - mean_c)
        plain = sums["battery_base_sum_v"] / sums["battery_base_days"]
    compensated = (days >= settings.battery_base_min_days) & ~np.isnan(warmth)
    return np.where(compensated, line, plain), compensated


def _mean_of_first(days: Array, mean: Array, value: Array, limit: int) -> tuple[Array, Array]:
    """Return day count and mean after `value`, which only the first `limit` values move."""
    count = _zero(days)
    joins = ~np.isnan(value) & (count < limit)
    after = count + joins
    base = _zero(mean)
    moved = np.where(joins, base + (value - base) / np.maximum(after, 1), base)
    return after, np.where(after > 0, moved, np.nan)


def _baselines(now: Now, before: Columns, settings: ProfileSettings) -> Columns:
    """Sag, amplitude, travel time and current of the meter's own first days."""
    sag = now["battery_median_v"] - now["battery_load_median_v"]
    values = {
        ("load_base_days", "load_base_sag_v"): sag,
        ("coil_base_days", "coil_base_mv"): now["coil_signal_median_mv"],
        ("travel_base_days", "travel_base_s"): now["valve_travel_median_s"],
        ("current_base_days", "current_base_ma"): now["valve_current_max_ma"],
    }
    state: Columns = {}
    for (days, mean), value in values.items():
        state[days], state[mean] = _mean_of_first(before[days], before[mean], value, settings.base_days)
    return state


def _draws(now: Now, before: Columns, settings: ProfileSettings) -> Columns:
    r"""Keep what one draw of water counts and how many there are, on the meter's own first days that tell.

    Draws that come at random leave an interval without flow with probability :math:`e^{-\lambda}`, so that their
    number follows from the share of active intervals, :math:`\lambda = -\ln(1 - a/n)`, and their size from the volume.
    A coil that loses or doubles pulses changes the size, people who come and go the number.
    """
    size, number = draws(now["consumption_m3"], now["active_intervals"], now["flow_intervals"])
    count = _zero(before["draw_base_days"])
    joins = ~np.isnan(size) & (count < settings.draw_base_days)
    after = count + joins
    mean, spread, rate = (_zero(before[name]) for name in ("draw_base_log", "draw_base_log_m2", "draws_base_log"))
    with np.errstate(divide="ignore", invalid="ignore"):
        log_size, log_number = np.log(size), np.log(number)
    step = log_size - mean
    moved = np.where(joins, mean + step / np.maximum(after, 1), mean)
    known = after > 0
    return {
        "draw_base_days": after,
        "draw_base_log": np.where(known, moved, np.nan),
        "draw_base_log_m2": np.where(known, np.where(joins, spread + step * (log_size - moved), spread), np.nan),
        "draws_base_log": np.where(
            known, np.where(joins, rate + (log_number - rate) / np.maximum(after, 1), rate), np.nan
        ),
    }


def draws(volume_m3: Array, active: Array, intervals: Array) -> tuple[Array, Array]:
    """Return mean volume of a draw [m³] and number of draws; NaN where the intervals cannot tell.

    Parameters
    ----------
    volume_m3, active, intervals : ndarray, shape (n,)
        Volume of the day, intervals with flow, and all intervals.

    Examples
    --------
    >>> size, number = draws(np.array([0.12]), np.array([6.0]), np.array([24.0]))
    >>> round(float(number[0]), 2), round(float(size[0]), 4)
    (6.9, 0.0174)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = active / intervals
        number = -np.log1p(-share) * intervals
        tells = (intervals >= LEAST_INTERVALS) & (active >= LEAST_ACTIVE) & (share <= MOST_ACTIVE) & (volume_m3 > 0)
        return np.where(tells, volume_m3 / number, np.nan), np.where(tells, number, np.nan)


def _valve(now: Now, before: Columns, settings: ProfileSettings) -> Columns:
    """Follow the last command: obeyed once, refused, or contradicted by the state since when and how often."""
    told = ~np.isnan(now["valve_command"])
    same = (now["valve_command"] == before["standing_command"]) & (_zero(now["valve_command_changes"]) == 0)
    new = told & ~same
    command = _either(now["valve_command"], before["standing_command"])
    command_ts = np.where(new, now["valve_command_ts"], before["standing_command_ts"])
    refused = np.where(new, 0.0, _zero(before["command_refused"])) + _zero(now["valve_refusal"])
    stated = ~np.isnan(now["valve_state"])
    agrees = _agrees(command, now["valve_state"])
    opposite = _agrees(CLOSE + OPEN - command, now["valve_state"])
    obeyed = (np.where(new, 0.0, _zero(before["command_obeyed"])) > 0) | (stated & agrees)
    late = now["valve_state_ts"] >= command_ts + settings.travel_limit_s / MICROSECOND_S
    disagrees = stated & opposite & late & ~obeyed & (refused == 0)
    since = np.where(new, np.nan, before["disagree_since_ts"])
    contrary = np.where(command == OPEN, now["valve_closed_readings"], now["valve_open_readings"])
    contrary = np.where(new, 1.0, contrary)  # how many came after the command is not known
    earlier = np.where(new | np.isnan(since), 0.0, _zero(before["disagree_readings"]))
    holds = disagrees | (~stated & ~np.isnan(since) & (refused == 0))
    known = ~np.isnan(command)
    return {
        "standing_command": command,
        "standing_command_ts": command_ts,
        "command_obeyed": np.where(known, obeyed, np.nan),
        "command_refused": np.where(known, refused > 0, np.nan),
        "disagree_since_ts": np.where(holds, _either(since, _contradicted(now, command_ts, new, settings)), np.nan),
        "disagree_readings": np.where(holds, earlier + _zero(contrary), np.nan),
    }


def _agrees(command: Array, state: Array) -> npt.NDArray[np.bool_]:
    agrees: npt.NDArray[np.bool_] = ((command == OPEN) & (state == STATE_OPEN)) | (
        (command == CLOSE) & (state == STATE_CLOSED)
    )
    return agrees


def _contradicted(now: Now, command_ts: Array, new: npt.NDArray[np.bool_], settings: ProfileSettings) -> Array:
    """Return when a contradiction that is new on this day began: after the travel time, or with the day."""
    due = command_ts + settings.travel_limit_s / MICROSECOND_S
    return np.minimum(np.where(new, due, np.fmax(due, now["first_ts"])), now["valve_state_ts"])


PARTS = (_presence, _register, _battery, _draws, _baselines, _valve)
