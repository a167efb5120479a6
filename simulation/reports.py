"""When the meters of a block report, and which of their reports arrive, when, and how often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.charge import BROWN_OUT_V, Charge
from simulation.meter_block import MeterBlock
from simulation.parameters import Ints, constant, evenly_by_logarithm
from simulation.radio import Radio, loss_probability
from simulation.valve_life import EXERCISE, Movements
from simulation.weather import Bools, Floats

REGULAR, EVENT, EXTRA = range(3)
_LATE_H = (
    constant("late_least_h", 0.5, "h", "least delay of a late uplink"),
    constant("late_most_h", 60.0, "h", "greatest delay of a late uplink; shorter ones are more frequent"),
)
_DOUBLED_S = (
    constant("doubled_least_s", 3.0, "s", "least time to the second arrival of a doubled uplink"),
    constant("doubled_most_s", 5400.0, "s", "greatest time to it; shorter ones are more frequent"),
)
_WRONG_CLOCK_S = (
    constant("clock_least_s", 120.0, "s", "least error of a wrong clock"),
    constant("clock_most_s", 6 * 3600.0, "s", "greatest error of it; smaller ones are more frequent"),
)
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Reports:
    """Messages of a block; one row a message, in order of meter and time.

    Parameters
    ----------
    meter : ndarray of int
        Place in the block.
    hour : ndarray of float
        When it was measured, in true hours of the record.
    kind : ndarray of int
        Regular, after a command, or one more of a storm or of a poll.
    second : ndarray of bool
        It came through the second of two programs.
    rest_v, load_v : ndarray of float
        True voltages.
    seq : ndarray of int
        The device's counter.
    clock_s : ndarray of float
        Error of its clock.
    lost_clock : ndarray of bool
        Its clock stands at 1970.
    delivered : ndarray of bool
        It arrives.
    delay_s : ndarray of float
        From measuring to arriving.
    doubled_s : ndarray of float
        How much later it arrives again; NaN: it does not.
    begun : ndarray of int
        How often the meter had started again by then.
    """

    meter: Ints
    hour: Floats
    kind: Ints
    second: Bools
    rest_v: Floats
    load_v: Floats
    seq: Ints
    clock_s: Floats
    lost_clock: Bools
    delivered: Bools
    delay_s: Floats
    doubled_s: Floats
    begun: Ints

    def only(self, keep: Bools) -> Reports:
        """Return the rows that `keep` tells."""
        return Reports(**{name: getattr(self, name)[keep] for name in self.__slots__})


def report(block: MeterBlock, charge: Charge, radio: Radio, made: Movements, dead_from: Floats) -> Reports:
    """Return the messages that a block's meters send.

    Parameters
    ----------
    block, charge, radio, made
        The meters, their cells, their radio and what their valves did.
    dead_from : ndarray of float, shape (n,)
        Hour from which a meter is silent for good, because it is broken or taken out.
    """
    calendar, rng = block.calendar, block.draws.rng
    meter, hour, kind, second = _times(block, charge, made)
    alive = (hour >= block.estate.first_hour[block.meters][meter]) & (hour < dead_from[meter])
    alive &= (hour >= 0) & (hour < calendar.hours - 0.01)
    order = np.lexsort([hour, meter])
    order = order[alive[order]]
    meter, hour, kind, second = meter[order], hour[order], kind[order], second[order]
    at = hour.astype(np.int64)
    day = calendar.day_of_hour[at]
    rest, load = charge.at(meter, hour, block.case_c[meter, at], day, calendar.day_start)
    strength = load - charge.cut_off_v[meter]
    weak = (strength < BROWN_OUT_V) & (rng.random(len(meter)) < 0.5)
    sent = (strength > 0) & ~weak
    restarted = weak & (strength > -0.3)
    restarted |= _crossing(meter, hour, np.where(block.draws.some("counter_reset_share", block.size),
                                                rng.uniform(0, calendar.hours, block.size), np.inf))  # fmt: skip
    lost = _crossing(meter, hour, np.where(block.draws.some("lost_clock_share", block.size),
                                           rng.uniform(0, calendar.hours, block.size), np.inf))  # fmt: skip
    restarted |= lost
    seq = _sequence(block, meter, second, restarted, sent)
    clock_s = _clock_errors(block, meter, hour)
    delivered, delay_s, doubled_s = _on_its_way(block, radio, meter, hour, at, day)
    return Reports(
        meter,
        hour,
        kind,
        second,
        rest,
        load,
        seq,
        clock_s,
        lost,
        delivered,
        delay_s,
        doubled_s,
        np.cumsum(restarted),
    ).only(sent)


def _times(block: MeterBlock, charge: Charge, made: Movements) -> tuple[Ints, Floats, Ints, Bools]:
    calendar, rng = block.calendar, block.draws.rng
    hours = calendar.hours
    parts: list[tuple[Ints, Floats, int]] = []
    per_day = block.reports_per_day
    offset = rng.random(block.size)
    start = calendar.day_start[:-1].astype(np.float64)
    for count in np.unique(per_day):
        who = np.flatnonzero(per_day == count)
        if count >= 24:
            grid = np.arange(hours) + 0.02 + 0.9 * offset[who, None]
        else:
            # Once a day in the small hours, so that the profile is of the day that has just ended.
            turns = start[:, None] + np.arange(count) * 24 / count
            grid = turns.ravel() + 0.2 + (5.5 if count > 1 else 5.0) * offset[who, None]
            grid = grid + rng.uniform(0, 0.05, grid.shape)
        parts.append((np.repeat(who, grid.shape[1]), grid.ravel(), REGULAR))
    told = made.kind != EXERCISE
    took = np.where(np.isnan(made.travel_s[told]), 2.0, made.travel_s[told]) / _HOUR_S
    parts.append((made.meter[told], made.hour[told] + took, EVENT))
    extra = rng.poisson(charge.uplinks_per_day * (np.arange(calendar.days) >= (block.onset // 24)[:, None])
                        * (start[None, :] < charge.last[:, None]))  # fmt: skip
    who, day = np.repeat(np.indices(extra.shape).reshape(2, -1), extra.ravel(), axis=1)
    parts.append((who, calendar.day_start[day] + rng.uniform(0, 24, len(day)), EXTRA))
    meter = np.concatenate([part[0] for part in parts])
    hour = np.concatenate([part[1] for part in parts])
    kind = np.repeat([part[2] for part in parts], [len(part[0]) for part in parts])
    second = (kind == EXTRA) & block.is_mode("polled")[meter]
    shared = (block.draws.some("two_programs_share", block.size))[meter] & (kind == REGULAR)
    later = rng.uniform(60, 2400, int(shared.sum())) / _HOUR_S
    return (
        np.concatenate([meter, meter[shared]]),
        np.concatenate([hour, hour[shared] + later]),
        np.concatenate([kind, kind[shared]]),
        np.concatenate([second, np.ones(int(shared.sum()), dtype=np.bool_)]),
    )


def _crossing(meter: Ints, hour: Floats, moment: Floats) -> Bools:
    """Tell which rows are the first of their meter at or after its moment."""
    behind = hour >= moment[meter]
    before = np.concatenate([[False], behind[:-1] & (meter[1:] == meter[:-1])]) if len(meter) else behind
    return np.asarray(behind & ~before)


def _sequence(block: MeterBlock, meter: Ints, second: Bools, restarted: Bools, sent: Bools) -> Ints:
    """Return the device's counter: it counts what is sent and starts again after a reset."""
    if not len(meter):
        return meter
    began = np.concatenate([[True], meter[1:] != meter[:-1]])
    group = np.cumsum(began | restarted) - 1
    counted = np.cumsum(sent & ~second)
    fresh = began | restarted
    base: Ints = (counted - (sent & ~second))[fresh]
    age = np.maximum(block.estate.age_y[block.meters], 0.0) * 365 * block.reports_per_day
    # Counters of 16 bits.
    already = np.where((began & ~restarted)[fresh], age[meter[fresh]].astype(np.int64), 0)
    return np.asarray((counted - base[group] + already[group]) % 65536)


def _clock_errors(block: MeterBlock, meter: Ints, hour: Floats) -> Floats:
    """Return by how much each report's clock is wrong [s]: minutes to hours, for days to months, at a few meters."""
    rng, size, hours = block.draws.rng, block.size, block.calendar.hours
    wrong = block.draws.some("wrong_clock_share", size)
    error = evenly_by_logarithm(rng, *_WRONG_CLOCK_S, size) * rng.choice([-1.0, 1.0], size) * wrong
    first = rng.uniform(-hours / 2, hours, size)
    last = first + rng.uniform(48, hours / 2, size)
    there = (hour >= first[meter]) & (hour < last[meter])
    return np.asarray(np.where(there, np.round(error[meter]), 0.0))


def _on_its_way(
    block: MeterBlock, radio: Radio, meter: Ints, hour: Floats, at: Ints, day: Ints
) -> tuple[Bools, Floats, Floats]:
    draws, rng = block.draws, block.draws.rng
    count = len(meter)
    silent, until = radio.silent[meter, at], radio.until[meter, at]
    stored = silent & (until > 0)
    lost = rng.random(count) < loss_probability(radio.rssi_dbm[meter, day], draws.one("lost_share"))
    delay_s = rng.uniform(2, 20, count)
    delay_s += np.where(stored, (until - hour) * _HOUR_S + rng.uniform(30, 5400, count), 0.0)
    late = rng.random(count) < draws.one("late_share")
    delay_s += np.where(late, evenly_by_logarithm(rng, *_LATE_H, count) * _HOUR_S, 0.0)
    doubled = rng.random(count) < draws.one("doubled_share")
    again = np.where(doubled, evenly_by_logarithm(rng, *_DOUBLED_S, count), np.nan)
    return (~silent | stored) & ~lost, delay_s, again
