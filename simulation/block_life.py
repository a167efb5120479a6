"""A block of meters through the whole record: physics, messages, and the truth about what failed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from simulation import sensing, valve_life
from simulation.charge import Charge, drain
from simulation.consumption import Consumption, consume
from simulation.fault_plan import Words
from simulation.frost import Ice, Pipe, Pipes, freeze_all
from simulation.messages import BIT, Told, has_status, last_movement, lines, registers, shown
from simulation.meter_block import MeterBlock, between
from simulation.parameters import Ints
from simulation.radio import Radio, listen
from simulation.reports import EXTRA, Reports, report
from simulation.sensing import Sensed, SensorDefect
from simulation.valve import Valves
from simulation.valve_life import EXERCISE, NOT_REFUSED, TO_CLOSE, Defect, Movements
from simulation.weather import Bools, Floats

_DAY_H = 24.0
_PIPE = Pipe()
_HIT_DAYS = 30.0  # after it was noticed a finding still counts (docs/contract.md, section 7)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is true of the failing meters of a block; one row a fault.

    Parameters
    ----------
    meter : ndarray of int
        Place in the fleet.
    fault, cause, mode : ndarray of str
        What it is.
    onset, noticed, end : ndarray of float
        Hours; an end that is infinite lies behind the record.
    reversible, detectable, repaired : ndarray of bool
        It heals by itself; something of it was sent; a technician mended it.
    visited : ndarray of float
        Hour of a technician's visit; NaN: there was none.
    exchanged : ndarray of bool
        He took the meter out; it is silent from then on.
    """

    meter: Ints
    fault: Words
    cause: Words
    mode: Words
    onset: Floats
    noticed: Floats
    end: Floats
    reversible: Bools
    detectable: Bools
    repaired: Bools
    visited: Floats
    exchanged: Bools


@dataclass(frozen=True, slots=True)
class SiteReading:
    """A register that a reader wrote down on site: what the wheels say, whatever was counted."""

    meter: int
    hour: float
    wheels_m3: float


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block gives.

    Parameters
    ----------
    messages : polars.DataFrame
        What arrived.
    outcome : Outcome
        What is true.
    readings : tuple of SiteReading
        What readers wrote down.
    at_home : ndarray of float, shape (n,)
        Share of the days on which somebody was there.
    quarantined : int
        Messages meant for quarantine.
    """

    messages: pl.DataFrame
    outcome: Outcome
    readings: tuple[SiteReading, ...]
    at_home: Floats
    quarantined: int


@dataclass(slots=True)
class _Timeline:
    """When each meter's fault shows, is noticed, visited and mended; arrays of shape (n,), infinite for never."""

    onset: Floats
    noticed: Floats
    end: Floats
    visited: Floats
    repaired: Bools
    reversible: Bools


def live_through(block: MeterBlock) -> BlockResult:
    """Return what becomes of a block in the record."""
    return _Life(block).result()


class _Life:
    def __init__(self, block: MeterBlock) -> None:
        self.block, self.rng, self.draws = block, block.draws.rng, block.draws
        size = block.size
        never = np.full(size, np.inf)
        visited = self.rng.random(size) < self.draws.one("inspected_share")
        self.visit_after_h = np.where(visited, self.draws.many("visited_days", size) * _DAY_H, np.inf)
        self.exchanges = self.rng.random(size) < self.draws.one("exchange_share")
        self.mends = visited & (self.rng.random(size) < self.draws.one("repaired_share"))
        self.time = _Timeline(
            never.copy(), never.copy(), never.copy(), never.copy(), np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        )

    def result(self) -> BlockResult:
        block = self.block
        demand = consume(block)
        radio = listen(block)
        valve_defect, made, travel_s = self._valves()
        ice, burst_m3h, dead_from = self._frost(demand)
        passage = valve_life.passage_m3(block, made, valve_defect)
        burst = ice.leaking & (np.arange(block.calendar.hours) < self._burst_end(ice)[:, None])
        wanted = demand.drawn_m3 + demand.running_m3 + burst * burst_m3h[:, None]
        gone = block.estate.last_hour[block.meters]
        hangs = between(block.calendar.hours, block.estate.first_hour[block.meters], gone)
        flow = np.minimum(wanted, passage) * ~ice.blocked * ~demand.dry * hangs
        sensor = self._sensors()
        sensed = sensing.sense(block, flow, sensor)
        charge = self._cells(radio)
        taken_out = np.where(self._exchanged(), self.time.visited, np.inf)
        reports = report(block, charge, radio, made, np.minimum(np.minimum(dead_from, gone), taken_out))
        register = registers(block, sensed)
        reverse = self._reverse()
        told = self._told(reports, register, demand, ice, burst, flow, reverse, sensor, made)
        messages = lines(block, reports, told, radio, sensed, made, register, flow, reverse)
        readings = self._site_readings(flow)
        seen = _Seen(
            block, reports, told, charge, sensed, made, travel_s, demand, ice, burst, wanted, passage, flow, sensor,
            readings,
        )  # fmt: skip
        outcome = self._outcome(seen)
        quarantined = int((reports.lost_clock & reports.delivered).sum())
        quarantined += int((reports.lost_clock & reports.delivered & ~np.isnan(reports.doubled_s)).sum())
        return BlockResult(messages, outcome, tuple(readings), demand.home.mean(axis=1), quarantined)

    # ---- when -------------------------------------------------------------------------------------------------------

    def _settle(self, which: Bools, onset: Floats, noticed: Floats, *, ends_by_itself: Floats | None = None) -> None:
        """Write down when faults show and are noticed, and from that when they are visited and mended."""
        time, hours = self.time, self.block.calendar.hours
        time.onset = np.where(which, onset, time.onset)
        time.noticed = np.where(which, noticed, time.noticed)
        visit = time.noticed + self.visit_after_h
        time.visited = np.where(which & (visit < hours), visit, time.visited)
        if ends_by_itself is not None:
            itself = which & np.isfinite(ends_by_itself)
            time.end = np.where(itself, ends_by_itself, time.end)
            time.reversible |= itself
            return
        mended = which & self.mends & (time.visited < hours)
        time.repaired |= mended
        time.end = np.where(mended, time.visited, time.end)

    def _valves(self) -> tuple[Defect, Movements, Floats]:
        """Return defects, movements, and clean travel times; what is mended is worked through a second time."""
        block, draws, size = self.block, self.draws, self.block.size
        defect = valve_life.find_defects(block)
        cold = block.is_mode("cold_stall")
        orders = valve_life.schedule(block, defect)
        valves = Valves(*(draws.many(name, size) for name in ("travel_s", "running_ma", "stall_ma", "time_out_s")))
        friction = draws.many("cold_friction", size)
        made = valve_life.live(block, orders, defect, valves, friction)
        failing = np.isfinite(defect.first)
        self._settle(failing & ~cold, defect.first, self._valve_noticed(made, defect))
        thaw = np.minimum(self._valve_noticed(made, defect), defect.last)
        self._settle(failing & cold, defect.first, thaw, ends_by_itself=defect.last)
        defect = replace(defect, last=np.where(failing, self.time.end, np.inf))
        return defect, valve_life.live(block, orders, defect, valves, friction), valves.travel_s

    def _valve_noticed(self, made: Movements, defect: Defect) -> Floats:
        """Return when somebody notices: after the first command that went wrong, or after weeks."""
        size = self.block.size
        mode = self.block.mode[made.meter]
        ordered = (made.kind != EXERCISE) & (made.refusal == NOT_REFUSED) & (made.hour >= defect.first[made.meter])
        leaks = np.isin(mode, ["grit", "seat_leak", "pried"]) & (made.kind == TO_CLOSE)
        wrong = ordered & (~made.reached | leaks | (mode == "dead_valve"))
        first = np.full(size, np.inf)
        np.minimum.at(first, made.meter[wrong], made.hour[wrong])
        slow = self.block.is_mode("grit", "seat_leak", "pried")
        many = self.draws.many
        delay = np.where(slow, many("noticed_seat_days", size), many("noticed_valve_days", size)) * _DAY_H
        weeks = defect.first + many("noticed_no_order_days", size) * _DAY_H
        return np.where(np.isfinite(first), first + delay, weeks)

    def _frost(self, demand: Consumption) -> tuple[Ice, Floats, Floats]:
        """Return the ice, the flow from broken pipes, and when frost kills a meter."""
        block, draws, size = self.block, self.draws, self.block.size
        hours = block.calendar.hours
        bare = block.is_mode("pipe", "dead")
        loss = np.where(bare, draws.many("bare_w_per_m2_k", size), draws.many("lagged_w_per_m2_k", size))
        ten = _PIPE.loss_w_per_m2_k / loss
        pipes = Pipes(
            _PIPE.freezing_degree_hours * ten,
            draws.many("break_factor", size),
            _PIPE.supply_degree_hours_per_m3 * ten,
        )
        cold = np.flatnonzero(block.case_c.min(axis=1) < 0)
        ice = Ice(np.zeros((size, hours), np.bool_), np.full(size, -1), np.zeros((size, hours), np.bool_))
        if len(cold):
            some = freeze_all(
                Pipes(pipes.solid_k_h[cold], pipes.break_factor[cold], pipes.supply_k_h_per_m3[cold]),
                block.case_c[cold],
                (demand.drawn_m3 + demand.running_m3)[cold],
            )
            ice.blocked[cold], ice.broken_from[cold], ice.leaking[cold] = some.blocked, some.broken_from, some.leaking
        frozen = ice.blocked.any(axis=1)
        first = np.where(frozen, np.argmax(ice.blocked, axis=1), np.inf)
        there = np.minimum(first, hours - 1).astype(np.int64)
        at_home = demand.home[np.arange(size), block.calendar.day_of_hour[there]]
        missed = np.where(at_home, first + draws.many("noticed_dry_days", size) * _DAY_H, np.inf)
        # Whoever is without water thaws the pipe, and lags it for the rest of the winter.
        by_hand = self.rng.random(size) < self.draws.one("thawed_share")
        thawed = np.where(by_hand, missed + draws.many("thawed_days", size) * _DAY_H, np.inf)
        broken = (ice.broken_from >= 0) & (ice.broken_from < thawed)
        ice = Ice(
            ice.blocked & (np.arange(hours) < thawed[:, None]),
            np.where(broken, ice.broken_from, -1),
            broken[:, None] & (ice.leaking | (np.arange(hours) >= thawed[:, None])),
        )
        thaw = np.where(frozen, hours - np.argmax(ice.blocked[:, ::-1], axis=1), np.inf).astype(np.float64)
        leaks = np.where(ice.leaking.any(axis=1), np.argmax(ice.leaking, axis=1), np.inf)
        dead_from = np.where(block.is_mode("dead") & frozen, first + self.rng.uniform(10, 60, size), np.inf)
        wet = leaks + draws.many("noticed_burst_days", size) * _DAY_H
        noticed = np.minimum(missed, wet)
        noticed = np.where(np.isfinite(noticed), noticed, thaw)
        noticed = np.where(
            np.isfinite(dead_from), dead_from + draws.many("noticed_silence_days", size) * _DAY_H, noticed
        )
        lasting = np.isfinite(leaks) | np.isfinite(dead_from)
        self._settle(frozen & ~lasting, first, noticed, ends_by_itself=thaw)
        self._settle(frozen & lasting, first, noticed)
        # A burst pipe is not left alone: somebody shuts it and mends it within days.
        mended = np.maximum(leaks, noticed) + draws.many("burst_mended_days", size) * _DAY_H
        burst = frozen & np.isfinite(leaks) & ~np.isfinite(dead_from)
        self.time.end = np.where(burst, mended, self.time.end)
        self.time.repaired |= burst
        self.time.visited = np.where(burst & (mended < hours), mended, self.time.visited)
        return ice, draws.many("burst_m3h", size), dead_from

    def _burst_end(self, ice: Ice) -> Floats:
        return np.where(ice.broken_from >= 0, self.time.end, np.inf)

    def _sensors(self) -> SensorDefect:
        block, size = self.block, self.block.size
        defect = sensing.find_defects(block)
        failing = np.isfinite(defect.first)
        slow = block.is_mode("stuck", "cold_stuck", "partial", "fading", "magnet")
        many = self.draws.many
        delay = np.where(slow, many("noticed_undercount_days", size), many("noticed_overcount_days", size))
        cold = block.is_mode("cold_loss")
        delay = np.where(cold, many("noticed_cold_count_days", size), delay)
        noticed = defect.first + delay * _DAY_H
        self._settle(failing & ~cold, defect.first, noticed)
        self._settle(failing & cold, defect.first, noticed, ends_by_itself=defect.last)
        return replace(defect, last=np.where(failing, np.minimum(defect.last, self.time.end), np.inf))

    def _cells(self, radio: Radio) -> Charge:
        block, size = self.block, self.block.size
        charge = drain(block, radio.coverage, radio.silent_days)
        failing = np.isfinite(charge.first)
        sags = block.is_mode("cold_sag")
        silent = charge.empty_hour + self.draws.many("noticed_silence_days", size) * _DAY_H
        # One that will be empty only behind the record is noticed only there.
        beyond = np.maximum(charge.first, block.calendar.hours) + self.rng.uniform(5, 40, size) * _DAY_H
        noticed = np.where(np.isfinite(silent), silent, beyond)
        self._settle(failing & ~sags, charge.first, noticed)
        cold = block.case_c.min(axis=1)
        warm_again = np.full(size, np.inf)
        for meter in np.flatnonzero(sags & failing):
            below = np.flatnonzero(block.case_c[meter] < min(cold[meter] + 6.0, 0.0))
            warm_again[meter] = below[-1] + 1.0
        missed = charge.first + self.draws.many("noticed_brown_out_days", size) * _DAY_H
        self._settle(failing & sags, charge.first, missed,
                     ends_by_itself=np.maximum(warm_again, charge.first + 6))  # fmt: skip
        return replace(charge, last=np.where(failing & ~sags, self.time.end, np.inf))

    def _reverse(self) -> Floats:
        """Return the register of flow backwards, shape (n, n_hours) [m³]."""
        size, hours = self.block.size, self.block.calendar.hours
        some = self.draws.some("backflow_share", size)
        back = np.zeros((size, hours))
        rows = np.flatnonzero(some)
        spread = (self.rng.random((len(rows), hours)) < 0.01) * self.rng.uniform(0.002, 0.03, (len(rows), hours))
        back[rows] = spread
        return np.cumsum(back, axis=1)

    def _exchanged(self) -> Bools:
        return self.time.repaired & self.exchanges & np.isin(self.block.mode, ["pipe"], invert=True)

    def _site_readings(self, flow: Floats) -> list[SiteReading]:
        """Return what readers write down: of some meters whose sensor fails, before it is noticed, and of others."""
        block, rng, hours = self.block, self.rng, self.block.calendar.hours
        failing = (block.fault == "coil") & (rng.random(block.size) < self.draws.one("read_share"))
        late = np.minimum(self.time.noticed, hours - 1.0)
        failing &= (late - self.time.onset > 10 * _DAY_H) & (self.time.onset < hours)
        early = np.where(failing, self.time.onset, 0.0)
        begun = early + 8 * _DAY_H
        inside = rng.uniform(begun, np.maximum(late, begun + _DAY_H))
        hour = np.where(failing, inside, rng.uniform(48, hours - 1, block.size))
        some = failing | ((block.fault == "") & (rng.random(block.size) < self.draws.one("read_in_vain_share")))
        some &= (hour < hours - 1) & (hour > block.estate.first_hour[block.meters] + 24)
        start = block.estate.start_m3[block.meters]
        return [
            SiteReading(int(block.meters[n]), float(hour[n]), float(start[n] + flow[n, : int(hour[n])].sum()))
            for n in np.flatnonzero(some & (hour < block.estate.last_hour[block.meters]))
        ]

    # ---- what is told -----------------------------------------------------------------------------------------------

    def _told(
        self,
        reports: Reports,
        register: Floats,
        demand: Consumption,
        ice: Ice,
        burst: Bools,
        flow: Floats,
        reverse: Floats,
        sensor: SensorDefect,
        made: Movements,
    ) -> Told:
        block, rng, size = self.block, self.rng, self.block.size
        meter, at = reports.meter, reports.hour.astype(np.int64)
        part = reports.hour - at
        exact = register[meter, at] + part * (register[meter, at + 1] - register[meter, at])
        volume = shown(exact, block.of_vendor("volume_step_m3")[meter])
        # A second program that was set up with another initial reading.
        other = (rng.random(size) < 0.4)[meter] & reports.second & (rng.random(len(meter)) < 0.04)
        volume = np.where(other, np.round(volume + 3.0, 3), volume)
        movement, fresh = last_movement(made, reports)
        status = has_status(block, reports)
        fresh = _next_status(meter, fresh, status)
        codes = np.zeros(len(meter), dtype=np.int64)

        def add(name: str, where: Bools) -> None:
            codes[where] |= BIT[name]

        hour = reports.hour
        stuck = block.is_mode("stuck", "cold_stuck", "fading") & sensor.told
        add(
            "sensor",
            stuck[meter] & (hour >= (sensor.first + sensor.stutter_h + 48)[meter]) & (hour < sensor.last[meter]),
        )
        add("sensor", (rng.random(size) < 0.004)[meter] & (rng.random(len(meter)) < 0.004))
        add("battery", (reports.rest_v < 3.25) | (reports.load_v < 2.85))
        if len(made.meter):
            row = np.maximum(movement, 0)
            failed = (movement >= 0) & ~made.reached[row] & ~np.isnan(made.travel_s[row])
            add("valve", failed)
        frozen = ice.blocked[meter, at]
        add("freeze", frozen & (rng.random(size) < 0.5)[meter] & block.sends("temperature")[meter])
        add("cold", (block.case_c[meter, at] < -5.0) & block.sends("temperature")[meter])
        add("leak", (demand.leaking[meter, at] | burst[meter, at]) & (flow[meter, at] > 0.004))
        day_ago = np.maximum(at - 24, 0)
        add("reverse", reverse[meter, at] > reverse[meter, day_ago])
        first = rng.integers(0, block.calendar.hours, size)
        tampered = self.draws.some("tamper_share", size)
        held = tampered[meter] & (hour >= first[meter]) & (hour < first[meter] + 30)
        held |= block.is_mode("magnet")[meter] & (hour >= sensor.first[meter]) & (hour < sensor.last[meter])
        add("magnet", held & (rng.random(len(meter)) < 0.7))
        pried = block.is_mode("pried")[meter]
        add("opened", pried & (hour >= self.time.onset[meter]) & (hour < self.time.onset[meter] + 100))
        sonic = np.array([s == "ultrasonic" for s in block.estate.sensing()])[block.meters][meter]
        add("empty", sonic & (demand.dry[meter, at] | frozen))
        add("clock", (np.abs(reports.clock_s) > 3600) & (rng.random(size) < 0.3)[meter])
        total = np.concatenate([np.zeros((size, 1)), np.cumsum(flow, axis=1)], axis=1)
        add("idle", (at > 24 * 15) & (total[meter, at] == total[meter, np.maximum(at - 24 * 15, 0)]))
        return Told(volume, codes, status, movement, fresh)

    # ---- the truth --------------------------------------------------------------------------------------------------

    def _outcome(self, seen: _Seen) -> Outcome:
        block, time = self.block, self.time
        fault, cause, mode = block.fault.copy(), block.cause.copy(), block.mode.copy()
        # What froze without having been planned is as true as what was.
        frozen = seen.ice.blocked.any(axis=1) & (fault == "")
        fault[frozen], cause[frozen], mode[frozen] = "low_temperature", "low_temperature", "pipe"
        hours = block.calendar.hours
        there = np.flatnonzero((fault != "") & (time.onset < hours))
        detectable = seen.detectable(fault, mode, time.onset, time.noticed)
        order = there
        return Outcome(
            block.meters[order], fault[order], cause[order], mode[order], time.onset[order], time.noticed[order],
            np.where(time.end < hours, time.end, np.inf)[order], time.reversible[order], detectable[order],
            time.repaired[order], np.where(time.visited < hours, time.visited, np.nan)[order], self._exchanged()[order],
        )  # fmt: skip


def _next_status(meter: Ints, fresh: Bools, status: Bools) -> Bools:
    """Carry a movement that was not told yet on to the next report that can tell it."""
    if not len(meter):
        return fresh
    seen = np.cumsum(fresh)
    # At a report with state: was there a fresh one since the last report with state of this meter?
    rows = np.flatnonzero(status)
    before = np.concatenate([[0], seen[rows[:-1]]])
    same = np.concatenate([[False], meter[rows[1:]] == meter[rows[:-1]]])
    starts = np.searchsorted(meter, meter[rows])
    base = np.where(starts > 0, seen[np.maximum(starts - 1, 0)], 0)
    result = np.zeros(len(meter), dtype=np.bool_)
    result[rows] = seen[rows] > np.where(same, before, base)
    return result


@dataclass(frozen=True, slots=True)
class _Seen:
    """Everything from which it follows whether something of a fault was ever sent."""

    block: MeterBlock
    reports: Reports
    told: Told
    charge: Charge
    sensed: Sensed
    made: Movements
    travel_s: Floats
    demand: Consumption
    ice: Ice
    burst: Bools
    wanted_m3: Floats
    passage_m3: Floats
    flow_m3: Floats
    sensor: SensorDefect
    readings: list[SiteReading]

    def detectable(self, fault: Words, mode: Words, onset: Floats, noticed: Floats) -> Bools:
        """Tell of which meters' faults something was sent while it could still be found, shape (n,)."""
        last = noticed + _HIT_DAYS * _DAY_H
        meter = self.reports.meter
        rows = self.reports.delivered & (self.reports.hour >= onset[meter]) & (self.reports.hour <= last[meter])
        window = between(self.block.calendar.hours, np.minimum(onset, 1e7), np.minimum(last, 1e7))
        found = {
            "coil": self._coil(mode, rows, window, onset),
            "battery": self._battery(rows),
            "actuator": self._actuator(rows, window),
            "low_temperature": self._frost(rows, window),
        }
        any_row = self._count(rows) > 0
        return np.asarray(np.select([fault == name for name in found], list(found.values()), False) & any_row)

    def _count(self, rows: Bools) -> Ints:
        return np.bincount(self.reports.meter[rows], minlength=self.block.size)

    def _coded(self, rows: Bools, name: str) -> Bools:
        able = self.block.sends("codes")[self.reports.meter]
        return self._count(rows & self.told.status & able & ((self.told.codes & BIT[name]) > 0)) > 0

    def _coil(self, mode: Words, rows: Bools, window: Bools, onset: Floats) -> Bools:
        block = self.block
        fine = np.array([each.reporting != "bare" for each in block.vendors])
        own_flow = np.array([each.flow == "own" for each in block.vendors])
        lost = (self.sensed.lost_m3 * window).sum(axis=1)
        extra = (np.maximum(self.sensed.counted_m3 - self.flow_m3, 0) * window).sum(axis=1)
        day = window[:, np.minimum(block.calendar.day_start[:-1] + 12, block.calendar.hours - 1)]
        faded = block.sends("amplitude") & ((self.sensed.amplitude < 0.75) & day).any(axis=1)
        begin = np.minimum(onset, block.calendar.hours - 1).astype(np.int64)
        ran = self.demand.running_m3[np.arange(block.size), begin] > 0
        steps = (
            self.reports.delivered[1:]
            & self.reports.delivered[:-1]
            & (self.reports.meter[1:] == self.reports.meter[:-1])
        )
        fell = np.zeros(len(rows), dtype=np.bool_)
        fell[1:] = steps & (np.diff(self.told.volume_m3) < 0)
        back = (self._count(fell & rows) > 0) | (fine & ((self.sensed.counted_m3 < -0.0009) & window).any(axis=1))
        partly = fine & (lost > 0.1)
        stopped = (self.sensor.stutter_h > 0) | ran
        read = np.zeros(block.size, dtype=np.bool_)
        for each in self.readings:
            place = int(np.searchsorted(block.meters, each.meter))
            read[place] = self.sensed.lost_m3[place, : int(each.hour)].sum() > 0.5
        sign = np.select(
            [mode == "stuck", mode == "cold_stuck", mode == "bounce", mode == "backward", mode == "bits"],
            [partly & stopped, partly & ran, fine & (extra > 0.1), back, extra > 0.1],
            partly,
        )
        return np.asarray(sign | read | faded | (own_flow & (lost > 0.05)) | self._coded(rows, "sensor"))

    def _battery(self, rows: Bools) -> Bools:
        block, reports, cell = self.block, self.reports, self.charge.cell
        meter = reports.meter
        case_c = block.case_c[meter, reports.hour.astype(np.int64)]
        plateau = np.asarray(cell.working_v)[meter, 0] + np.asarray(cell.temperature_v_per_k)[meter, 0] * (
            case_c - 20.0
        )
        step = block.of_vendor("battery_step_v")[meter]
        fell = plateau - reports.rest_v > np.maximum(0.05, step)
        usual = 0.167 * np.asarray(cell.resistance_ohm)[meter, 0] * 3.0 ** ((20.0 - case_c) / 30.0)
        sagged = block.sends("load")[meter] & (reports.rest_v - reports.load_v > usual + np.maximum(0.15, step))
        many = self._count(rows & (reports.kind == EXTRA)) > 20
        # A counter that starts again, which a technician would call a reset by under-voltage.
        since = np.full(block.size, np.iinfo(np.int64).max)
        np.minimum.at(since, meter[rows], reports.begun[rows])
        many |= self._count(rows & (reports.begun > since[meter])) > 0
        return np.asarray(
            (self._count(rows & self.told.status & (fell | sagged)) > 1) | many | self._coded(rows, "battery")
        )

    def _actuator(self, rows: Bools, window: Bools) -> Bools:
        block, made, told = self.block, self.made, self.told
        meter = self.reports.meter
        if not len(made.meter):
            return np.zeros(block.size, dtype=np.bool_)
        row = np.maximum(told.movement, 0)
        fresh = rows & told.status & told.fresh & (made.refusal[row] == NOT_REFUSED) & ~np.isnan(made.travel_s[row])
        slow = block.sends("travel")[meter] & (made.travel_s[row] > 1.5 * self.travel_s[meter])
        ordered = made.kind[row] != EXERCISE
        goal = np.where(made.kind[row] == TO_CLOSE, 1, 0)
        disobeyed = ordered & (made.state[row] != goal)
        said = rows & told.status & (made.state[row] > 1) & (told.movement >= 0)
        state = valve_life.carried(block.size, block.calendar.hours, made.meter, made.hour, made.state)
        passed = (self.flow_m3 * (state == 1) * window).sum(axis=1) > 0.03
        # Open by its own word, wanted and nothing comes.
        missed = (np.minimum(self.wanted_m3, 1.0) * (state == 0) * (self.passage_m3 == 0) * window).sum(axis=1) > 0.2
        return np.asarray((self._count(fresh & (slow | disobeyed)) > 0) | (self._count(said) > 0) | passed | missed)

    def _frost(self, rows: Bools, window: Bools) -> Bools:
        block, reports = self.block, self.reports
        fine = np.array([each.reporting != "bare" for each in block.vendors])
        frozen = self.ice.blocked[reports.meter, reports.hour.astype(np.int64)]
        missed = (self.wanted_m3 * self.ice.blocked * window).sum(axis=1) > 0.05
        stood = (self._count(rows & frozen) > 0) & missed & fine
        ran = (self.flow_m3 * self.burst).sum(axis=1) > 0.5
        ran &= self._count(rows & self.burst[reports.meter, reports.hour.astype(np.int64)]) > 0
        return np.asarray(stood | ran | self._coded(rows, "freeze"))
