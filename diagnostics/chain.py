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
from lake.sorting import sorted_by
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
LEAST_UNLIKE = 0.45  # of the day's greatest flow and its middle, as a logarithm, where people draw water
DRAW_NEW_DAYS, DRAW_BASE_DAYS = 10, 40  # over which the two means of a draw's size reach back
MOST_UPLINKS_A_MINUTE = 1.0  # a counter that ran faster was set, not counted up

# Plain columns of the row before that the state of a row needs, and all that it needs of it.
HANDED_ON = (
    "last_ts", "last_volume_ts", "last_volume_m3", "seq_last", "valve_travel_last_s", "valve_current_last_ma",
)  # fmt: skip
STATE_BEFORE = ("meter_id", "day", *DAY_STATE, *HANDED_ON)


def chain(
    known: pl.DataFrame, fresh: pl.DataFrame, *, as_of: datetime, settings: ProfileSettings | None = None
) -> pl.DataFrame:
    """Return `fresh` and every later row of the same meters, with their running state.

    Parameters
    ----------
    known : polars.DataFrame
        Stored daily rows, the latest of each meter and day, of at least: each meter's last row before its first day
        in `fresh`, and all rows after that. More does no harm, other meters are ignored. Where there are none after
        that, the columns :data:`STATE_BEFORE` are enough.
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
    rows = sorted_by(DAILY.conform(fresh), ("meter_id", "day"))
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
    return np.where(np.isnan(values), 0.0, values)


def _presence(now: Now, before: Columns, settings: ProfileSettings) -> Columns:
    fell = now["seq_first"] < before["seq_last"]
    uplinks = _uplinks(now, before, reset=fell | (now["seq_resets"] > 0))
    costs = np.asarray(settings.coverage_cost)
    weak = now["rssi_median_dbm"] <= settings.weak_rssi_dbm
    known = np.clip(_zero(now["coverage_worst"]), 0, 2).astype(np.int64)
    cost = np.where(np.isnan(now["coverage_worst"]), np.where(weak, costs[2], costs[0]), costs[known])
    return {
        "uplinks": uplinks,
        "total_uplinks": _zero(before["total_uplinks"]) + uplinks,
        "total_radio_uplinks": _zero(before["total_radio_uplinks"]) + uplinks * cost,
        "days_seen": _zero(before["days_seen"]) + 1,
        "first_seen_ts": _either(before["first_seen_ts"], now["first_ts"]),
        "gap_s": (now["first_ts"] - before["last_ts"]) * MICROSECOND_S,
        "total_seq_resets": _zero(before["total_seq_resets"]) + _zero(now["seq_resets"]) + fell,
    }


def _uplinks(now: Now, before: Columns, *, reset: npt.NDArray[np.bool_]) -> Array:
    """Return the messages sent since the row before: by the meter's own counter, else those that arrived."""
    counted = now["seq_last"] - before["seq_last"]
    minutes = (now["last_ts"] - before["last_ts"]) * MICROSECOND_S / 60
    counts = ~reset & (counted >= 0) & (counted <= MOST_UPLINKS_A_MINUTE * minutes)
    came = _zero(now["messages"])
    return np.where(counts, np.maximum(counted, came), came)


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
    distance = np.where(usable & joins, np.abs(volts - expected), 0.0)
    state["battery_base_dev_days"] = _zero(before["battery_base_dev_days"]) + (usable & joins)
    state["battery_base_dev_v"] = _zero(before["battery_base_dev_v"]) + distance
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


RATIO_30_C = 3.0  # a cell's inner resistance at -10 °C against 20 °C; a trade figure, order of magnitude only
LOAD_SLOPE_WEIGHT = 2.0  # of the usual slope, as the sum of squared differences of x it stands for
NOMINAL_V = 3.6  # where a meter sends the voltage under load alone; only its changes matter


def _load(now: Now, before: Columns, settings: ProfileSettings) -> Columns:
    r"""Expect a sag under load: it grows with the cell's inner resistance, which grows with the cold.

    With :math:`x = 3^{(20-T)/30}`, the resistance at T in units of that at 20 °C, a line through the meter's own days,
    drawn towards the one through the origin:

    .. math:: b = \frac{\sum (x-\bar x)(s-\bar s) + w b_0}{\sum (x-\bar x)^2 + w}, \quad b_0 = \bar s / \bar x
    """
    sag = _either(now["battery_median_v"], np.full_like(now["battery_load_median_v"], NOMINAL_V))
    sag = sag - now["battery_load_median_v"]
    days, mean_v = _zero(before["load_base_days"]), _zero(before["load_base_sag_v"])
    sums = {name: _zero(before[f"load_base_sum_{name}"]) for name in ("x", "xx", "xv")}
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x = np.where(days > 0, sums["x"] / days, 1.0)
        # A day without a temperature says nothing of the slope.
        x = _either(RATIO_30_C ** ((20.0 - now["battery_temperature_c"]) / 30.0), mean_x)
        usual = np.maximum(mean_v, 0.0) / mean_x
        product = sums["xv"] - days * mean_x * mean_v
        slope = (product + LOAD_SLOPE_WEIGHT * usual) / (sums["xx"] - days * mean_x**2 + LOAD_SLOPE_WEIGHT)
        expected = mean_v + np.clip(slope, 0.0, 2.0 * usual) * (x - mean_x)
    known = days >= settings.battery_base_min_days
    limit = np.maximum(settings.load_base_deeper * expected, settings.load_base_deeper_v)
    joins = ~np.isnan(sag) & ~(known & (sag > expected + limit))
    count = days + joins
    mean = np.where(joins, mean_v + (sag - mean_v) / np.maximum(count, 1), mean_v)
    return {
        "load_base_days": count,
        "load_base_sag_v": np.where(count > 0, mean, np.nan),
        "load_base_sum_x": sums["x"] + np.where(joins, x, 0.0),
        "load_base_sum_xx": sums["xx"] + np.where(joins, x**2, 0.0),
        "load_base_sum_xv": sums["xv"] + np.where(joins, x * sag, 0.0),
        "load_base_max_x": np.fmax(before["load_base_max_x"], np.where(joins, x, np.nan)),
        "load_expected_sag_v": np.where(known & ~np.isnan(sag), expected, np.nan),
    }


def _mean_of_first(days: Array, mean: Array, value: Array, limit: int) -> tuple[Array, Array]:
    """Return day count and mean after `value`, which only the first `limit` values move."""
    count = _zero(days)
    joins = ~np.isnan(value) & (count < limit)
    after = count + joins
    base = _zero(mean)
    moved = np.where(joins, base + (value - base) / np.maximum(after, 1), base)
    return after, np.where(after > 0, moved, np.nan)


def _baselines(now: Now, before: Columns, settings: ProfileSettings) -> Columns:
    """Amplitude of the meter's own first days, travel time and current of its own first movements."""
    repeats = (now["valve_movements"] == 1) & _equal(now["valve_travel_last_s"], before["valve_travel_last_s"])
    repeats &= _equal(now["valve_current_last_ma"], before["valve_current_last_ma"])
    moved = (_zero(now["valve_movements"]) > 0) & ~repeats
    values = {
        ("coil_base_days", "coil_base_mv"): (now["coil_signal_median_mv"], settings.base_days),
        ("travel_base_days", "travel_base_s"): (
            np.where(moved, now["valve_travel_median_s"], np.nan), settings.base_movement_days,
        ),
        ("current_base_days", "current_base_ma"): (
            np.where(moved, now["valve_current_max_ma"], np.nan), settings.base_movement_days,
        ),
    }  # fmt: skip
    state: Columns = {
        "valve_moved": moved.astype(float),
        "total_movement_days": _zero(before["total_movement_days"]) + moved,
    }
    for (days, mean), (value, limit) in values.items():
        state[days], state[mean] = _mean_of_first(before[days], before[mean], value, limit)
    return state


def _equal(first: Array, second: Array) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = (first == second) | (np.isnan(first) & np.isnan(second))
    return same


def _draws(now: Now, before: Columns, settings: ProfileSettings) -> Columns:
    r"""Follow what one draw of water counts, how many there are, and how the flow of the day is spread.

    Draws that come at random leave an interval without flow with probability :math:`e^{-\lambda}`, so that their
    number follows from the share of active intervals, :math:`\lambda = -\ln(1 - a/n)`, and their size from the volume.
    A coil that loses or doubles pulses changes the size of all draws alike, people who come and go their number.

    The baseline follows the seasons slowly. While the mean of the last days is far from it, it stands still, so that a
    loss is not learned as usual; what lasts longer than ``draw_apart_days`` is how people live there now, and all is
    learned anew.
    """
    size, number = draws(now["consumption_m3"], now["active_intervals"], now["flow_intervals"])
    over = _zero(before["draw_apart_days"]) >= settings.draw_apart_days
    days = np.where(over, 0.0, _zero(before["draw_days"]))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {"draws": np.log(number), "flow": now["flow_log"], "peak": np.log(now["greatest_flow_m3h"])}
        log_size = np.log(size)
        tells = ~np.isnan(log_size) & np.isfinite(values["draws"])
        tells &= values["peak"] - values["flow"] >= LEAST_UNLIKE  # else nobody is there, and something drips
    count = days + tells
    share = 1 / np.maximum(count, 1)
    quick, slow = np.maximum(share, 1 / DRAW_NEW_DAYS), np.maximum(share, 1 / DRAW_BASE_DAYS)
    fast = _followed(before["draw_new_log"], log_size, quick, tells)
    apart = np.abs(fast - before["draw_base_log"]) > settings.draw_apart_log
    apart &= (days >= settings.draw_settled_days) & ~over
    follows = tells & ~apart
    base = _followed(before["draw_base_log"], log_size, slow, follows)
    wander = _followed(before["draw_wander"], (fast - base) ** 2, slow, follows)
    state = {
        "draw_days": count,
        "draw_new_log": fast,
        "draw_base_log": base,
        "draw_wander": wander,
        "draw_apart_days": np.where(over | (follows & tells), 0.0, _zero(before["draw_apart_days"]) + (tells & apart)),
    }
    for name, value in values.items():
        state[f"{name}_base_log"] = _followed(before[f"{name}_base_log"], value, slow, follows)
    return state


def _followed(mean: Array, value: Array, share: Array, where: npt.NDArray[np.bool_]) -> Array:
    """Return means that move by a share towards new values where they are told; a first value, or share 1, is taken."""
    start = np.isnan(mean) | (share >= 1)
    return np.where(where, np.where(start, value, mean + share * (value - mean)), mean)


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
        "total_commands_missed": _zero(before["total_commands_missed"])
        + _zero(now["valve_commands_missed"])
        + (new & ~np.isnan(before["disagree_since_ts"])),
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


PARTS = (_presence, _register, _battery, _draws, _load, _baselines, _valve)
