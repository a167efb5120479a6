"""The valves of a block: runs against rust, commands, refusals, and what wears, blocks or breaks them.

Movements are worked through in rounds, the k-th of every valve at once; each carries the position on to the next.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from simulation.meter_block import MeterBlock
from simulation.parameters import Ints, constant
from simulation.valve import Valves, strokes
from simulation.weather import Bools, Floats

OPEN, CLOSED = 0, 1
EXERCISE, TO_OPEN, TO_CLOSE = 0, 1, 2
NOT_REFUSED, ARREARS, BUSY, MAGNET, UNDER_VOLTAGE, IN_POSITION = range(6)
REFUSALS = ("", "arrears", "busy", "magnet", "under_voltage", "in_position")
STATE_OPEN, STATE_CLOSED, STATE_FAULT, STATE_UNKNOWN = range(4)
STATES = ("open", "closed", "fault", "unknown")
_SCATTER = constant("current_scatter", 0.03, "1", "standard deviation of the motor current from stroke to stroke")
_STUCK_FRICTION = constant("stuck_friction", 6.0, "1", "friction of a valve that stalls, in clean strokes")
COLD_STALL_C = constant("cold_stall_c", -3.0, "°C", "case temperature below which stiff grease stalls a bad valve")
_COLD_FROM_DAY = 8  # before it a meter's own past is too short to tell
_RETRY_H = (26.0, 50.0, 97.0)  # after a command that was not obeyed it is sent again


@dataclass(frozen=True, slots=True)
class Movements:
    """What happened to the valves; one row a movement or refusal, in order of meter and time.

    Parameters
    ----------
    meter : ndarray of int
        Place in the block.
    hour : ndarray of float
        When it began.
    kind : ndarray of int
        Run against rust, to open, or to close.
    refusal : ndarray of int
        Why it was refused; such a row moved nothing.
    reached : ndarray of bool
        The end switch was seen.
    travel_s, current_ma : ndarray of float
        What the meter reports of it.
    state : ndarray of int
        What the meter says from then on.
    position : ndarray of int
        Where the valve really stands from then on.
    """

    meter: Ints
    hour: Floats
    kind: Ints
    refusal: Ints
    reached: Bools
    travel_s: Floats
    current_ma: Floats
    state: Ints
    position: Ints


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong with a block's valves.

    Parameters
    ----------
    first, last : ndarray of float, shape (n,)
        Hours between which the defect is there; never where the valve is sound.
    friction_per_day, seat_leak_m3h : ndarray of float, shape (n,)
        Size of the defect.
    """

    first: Floats
    last: Floats
    friction_per_day: Floats
    seat_leak_m3h: Floats


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the valves are told; one row an order."""

    meter: Ints
    hour: Floats
    kind: Ints
    refusal: Ints
    noise: Floats = field(repr=False)
    retry: Bools = field(repr=False)


def find_defects(block: MeterBlock) -> Defect:
    """Return what is wrong with the valves, from their onset on; only what the cold stiffens has an end."""
    failing = block.fault == "actuator"
    cold = block.is_mode("cold_stall")
    below = block.case_c < COLD_STALL_C
    below[:, : 24 * _COLD_FROM_DAY] = False
    some = below.any(axis=1)
    thaw = np.where(some, block.calendar.hours - np.argmax(below[:, ::-1], axis=1), np.inf)
    first = np.where(cold, np.where(some, np.argmax(below, axis=1), np.inf), block.onset)
    leaky = failing & block.is_mode("grit", "seat_leak", "pried")
    growth = np.where(block.is_mode("wear"), 0.7, 1.0) * block.draws.many("friction_per_day", block.size)
    return Defect(
        first=np.where(failing, first, np.inf),
        last=np.where(failing & cold, thaw, np.inf),
        friction_per_day=np.where(block.is_mode("grit", "wear"), growth, 0.0),
        seat_leak_m3h=np.where(leaky, block.draws.many("seat_leak_m3h", block.size), 0.0),
    )


def schedule(block: MeterBlock, defect: Defect) -> Schedule:
    """Return all orders of a block, in order of meter and time."""
    draws, rng, calendar = block.draws, block.draws.rng, block.calendar
    valve = block.estate.valve[block.meters]
    meters, hours, kinds, retries = [], [], [], []

    def add(who: Ints, at: Floats, kind: int) -> None:
        """Order it, and again for as long as it was not obeyed."""
        for after in (0.0,) if kind == EXERCISE else (0.0, *_RETRY_H):
            meters.append(who)
            hours.append(at + after)
            kinds.append(np.full(len(who), kind))
            retries.append(np.full(len(who), after > 0))

    every = block.of_vendor("exercise_days")
    phase = np.floor(rng.random(block.size) * every)
    for turn in range(int(calendar.days // every.min()) + 1):
        day = (phase + turn * every).astype(np.int64)
        who = np.flatnonzero(valve & (day < calendar.days))
        add(who, calendar.day_start[day[who]] + 3.0 + rng.random(len(who)) * 0.2, EXERCISE)
    told = np.flatnonzero(valve & draws.some("commanded_share", block.size) & (block.fault != "actuator"))
    closed = _working_hour(rng.uniform(24, calendar.hours, len(told)))
    twice = rng.random(len(told)) < 0.3  # some orders are sent twice, obeyed or not
    for at, kind in (
        (closed, TO_CLOSE),
        (_working_hour(closed + 24 * draws.many("closed_days", len(told))), TO_OPEN),
    ):
        add(told, at, kind)
        once_more = at[twice] + rng.uniform(1, 24, int(twice.sum()))
        meters.append(told[twice])
        hours.append(once_more)
        kinds.append(np.full(len(once_more), kind))
        retries.append(np.zeros(len(once_more), dtype=np.bool_))
    failing = np.flatnonzero(np.isfinite(defect.first))
    # Somebody closes a failing valve some time after it began to fail; else nobody would ever notice.
    slow = block.is_mode("grit", "wear")[failing]
    wait = np.where(slow, rng.uniform(8, 45, len(failing)), rng.uniform(0.3, 14, len(failing))) * 24
    chilly = block.is_mode("cold_stall")[failing]
    # One that stalls in the cold is told to close when it is coldest; at any other time nothing would show.
    coldest = np.argmin(block.case_c[failing, 24 * _COLD_FROM_DAY :], axis=1) + 24 * _COLD_FROM_DAY + 0.2
    first = np.where(chilly, coldest, _working_hour(defect.first[failing] + wait))
    dead = block.is_mode("dead_valve")[failing]
    # A shaft that breaks while the valve is closed leaves it closed whatever it is told.
    shut = failing[dead & (rng.random(len(failing)) < 0.6)]
    add(shut, _working_hour(block.onset[shut] - rng.uniform(12, 60, len(shut))), TO_CLOSE)
    add(failing, first, TO_CLOSE)
    reopened = first + rng.uniform(6, 9, len(failing)) * 24
    add(failing, _working_hour(reopened), TO_OPEN)
    for later in (20 * 24, 32 * 24):
        add(failing, _working_hour(reopened + later), TO_CLOSE)
        add(failing, _working_hour(reopened + later + 40), TO_OPEN)
    meter, hour, of_kind = np.concatenate(meters), np.concatenate(hours), np.concatenate(kinds)
    again = np.concatenate(retries)
    known = (hour >= block.estate.first_hour[block.meters][meter]) & (hour < calendar.hours - 1)
    order = np.lexsort((of_kind, hour, meter))
    order = order[known[order]]
    order = order[~_superseded(meter[order], of_kind[order], again[order])]
    refused = (of_kind[order] != EXERCISE) & ~again[order] & (rng.random(len(order)) < draws.one("refusal_share"))
    refusal = np.where(
        refused,
        rng.choice([ARREARS, BUSY, BUSY, MAGNET, UNDER_VOLTAGE], len(order)),
        NOT_REFUSED,
    )
    noise = np.clip(rng.normal(1.0, _SCATTER, len(order)), 0.9, 1.1)
    return Schedule(meter[order], hour[order], of_kind[order], refusal, noise, again[order])


def _superseded(meter: Ints, kind: Ints, again: Bools) -> Bools:
    """Tell which repetitions are void because the meter was told the contrary since; rows by meter and time."""
    place = np.arange(len(meter))
    last = np.maximum.accumulate(np.where((kind != EXERCISE) & ~again, place, 0))
    return np.asarray(again & ((kind[last] != kind) | (meter[last] != meter)))


def _working_hour(hour: Floats) -> Floats:
    """Move an hour to about working time of its day (the record begins at midnight)."""
    return np.asarray(np.floor(hour / 24) * 24 + 8.5 + (hour % 1.0) * 8)


def live(block: MeterBlock, orders: Schedule, defect: Defect, valves: Valves, cold_friction: Floats) -> Movements:
    """Return what the valves did when they were told."""
    count = len(orders.meter)
    made = Movements(
        meter=orders.meter,
        hour=orders.hour,
        kind=orders.kind,
        refusal=orders.refusal.copy(),
        reached=np.zeros(count, dtype=np.bool_),
        travel_s=np.full(count, np.nan),
        current_ma=np.full(count, np.nan),
        state=np.zeros(count, dtype=np.int64),
        position=np.zeros(count, dtype=np.int64),
    )
    position = np.zeros(block.size, dtype=np.int64)
    state = np.zeros(block.size, dtype=np.int64)
    starts = np.searchsorted(orders.meter, np.arange(block.size))
    rank = np.arange(count) - starts[orders.meter]
    by_rank = np.argsort(rank, kind="stable")
    limits = np.searchsorted(rank[by_rank], np.arange(rank.max(initial=-1) + 2))
    for first, last in itertools.pairwise(limits):
        row = by_rank[first:last]
        _move(block, row, made, defect, valves, cold_friction, orders.noise, position, state)
    # A command that was obeyed is not sent again.
    needless = orders.retry & (made.refusal == IN_POSITION)
    return Movements(**{name: getattr(made, name)[~needless] for name in Movements.__slots__})


def _move(
    block: MeterBlock,
    row: Ints,
    made: Movements,
    defect: Defect,
    valves: Valves,
    cold_friction: Floats,
    noise: Floats,
    position: Ints,
    state: Ints,
) -> None:
    """Carry out one order of each of some valves, and write down what came of it."""
    meter, hour, kind = made.meter[row], made.hour[row], made.kind[row]
    goal = np.where(kind == TO_CLOSE, CLOSED, OPEN)
    told = kind != EXERCISE
    in_position = told & (state[meter] == np.where(goal == CLOSED, STATE_CLOSED, STATE_OPEN))
    refusal = np.where(in_position & (made.refusal[row] == NOT_REFUSED), IN_POSITION, made.refusal[row])
    # A closed valve is not exercised.
    still = (refusal != NOT_REFUSED) | (~told & (state[meter] == STATE_CLOSED))
    bad = (hour >= defect.first[meter]) & (hour < defect.last[meter])
    case_c = block.case_c[meter, hour.astype(np.int64)]
    friction = 1.0 + cold_friction[meter] * np.clip((10.0 - case_c) / 20.0, 0.0, 2.0)
    friction += bad * defect.friction_per_day[meter] * (hour - np.where(bad, defect.first[meter], hour)) / 24
    mode = block.mode[meter]
    cold = (mode == "cold_stall") & (case_c < COLD_STALL_C)
    friction = np.where(bad & ((mode == "stall") | cold), _STUCK_FRICTION, friction)
    these = Valves(valves.travel_s[meter], valves.running_ma[meter], valves.stall_ma[meter], valves.time_out_s[meter])
    stroke = strokes(these, friction, noise[row], ~(bad & (mode == "stripped")))
    unseen = bad & (mode == "end_switch")
    broken = bad & (mode == "dead_valve")
    reached = stroke.reached & ~unseen
    moved = ~still & told & stroke.reached & ~broken
    position[meter] = np.where(moved, goal, position[meter])
    said = np.where(goal == CLOSED, STATE_CLOSED, STATE_OPEN)
    said = np.where(
        stroke.stalled, STATE_FAULT, np.where(unseen, STATE_UNKNOWN, np.where(reached & told, said, state[meter]))
    )
    # After a stall a run that reaches its end shows where the valve is.
    said = np.where(~told & reached & (state[meter] > STATE_CLOSED), position[meter], said)
    state[meter] = np.where(still, state[meter], said)
    made.refusal[row] = refusal
    made.reached[row] = reached & ~still
    made.travel_s[row] = np.where(still, np.nan, np.where(unseen, these.time_out_s, stroke.travel_s))
    made.current_ma[row] = np.where(still, np.nan, stroke.current_ma)
    made.state[row] = state[meter]
    made.position[row] = position[meter]


def passage_m3(block: MeterBlock, made: Movements, defect: Defect) -> Floats:
    """Return the most that each valve lets through in each hour, shape (n, n_hours) [m³]."""
    hours = block.calendar.hours
    closed = carried(block.size, hours, made.meter, made.hour, made.position) == CLOSED
    at = np.arange(hours)
    leaky = (at >= defect.first[:, None]) & (at < defect.last[:, None])
    return np.where(closed, np.where(leaky, defect.seat_leak_m3h[:, None], 0.0), np.inf)


def carried(size: int, hours: int, meter: Ints, hour: Floats, value: Ints) -> Ints:
    """Return the last value before or in each hour, 0 before the first, shape (n, n_hours)."""
    if not len(meter):
        return np.zeros((size, hours), dtype=np.int64)
    last = np.full((size, hours), -1, dtype=np.int64)
    last[meter, hour.astype(np.int64)] = np.arange(len(meter))  # of several in one hour the last one holds
    np.maximum.accumulate(last, axis=1, out=last)
    return np.where(last >= 0, value[np.maximum(last, 0)], 0)
