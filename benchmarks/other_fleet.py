"""``python -m benchmarks.other_fleet OUT``: a labelled fleet from other physics and other noise than our own simulator.

A yardstick, written without looking at the simulator or the diagnosis: what holds only there is not known to hold.
Every meter is a household (or shop) that draws water in compound-Poisson events, behind a valve, a sensing element
and a radio, on one lithium cell; all act on an hourly grid, and what they would have sent becomes native messages.

Assumed, and nowhere measured:

- Weather: a yearly cosine with AR(1) noise and two cold snaps; the place of a meter is a first-order lag of it.
- Cell: 4 mV/K at rest, drop under load growing by 3 %/K towards the cold, at the end exponential in the time left.
- Valve: current and travel follow one friction, which cold raises a little; it stalls above three times the normal.
- Sensing: pulses are lost by a logistic function of amplitude or of temperature, or by a constant share.
- Frost: pipe or register stop below −4 °C over half a day, and come back, burst, or die.
- Faults are drawn at set rates over the meters whose circumstances allow them (age, frost, radio, place, works); three
  lots, one installer, one site after works and one flood have an excess. One fault a meter at most.
- No vendor codes and no status words. Nobody repairs most of the faults within the record.

Beside the contract's files it writes ``bad_lots.csv`` (``production_batch, fault``). All figures got with it are
simulated and are to be called so.
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.other_fleet_plan import (
    FESTIVAL,
    Array,
    Fault,
    Fleet,
    Meter,
    Rng,
    Vendor,
    ar1,
    build_fleet,
    write_tables,
)

DROPPABLE = ("temperature", "valve_current", "codes", "load_voltage")
_STALL_FRICTION = 3.0
_BROWN_OUT_V = 2.55


def _presence(rng: Rng, fleet: Fleet, m: Meter) -> Array:
    """Return how much of its usual life goes on behind the meter, by day: 0 is nobody there."""
    days = fleet.days
    present = np.ones(days)
    for _ in range(rng.poisson(days / 60)):
        a = rng.integers(days)
        present[a : a + rng.geometric(0.4)] = 0
    year = (fleet.start + timedelta(days=days)).year
    feast = (date(year, *FESTIVAL.get(year, (2, 5))) - fleet.start).days
    feast_mood = rng.random()
    span = slice(max(0, feast - int(rng.uniform(1, 7))), max(0, feast + int(rng.uniform(4, 14))))
    if m.use == "shop":
        present[span] = 0.1
        present[[k for k in range(days) if (fleet.start + timedelta(days=k)).weekday() >= 5]] *= rng.uniform(0.1, 1.4)
    elif feast_mood < 0.55:
        present[span] *= 0 if feast_mood < 0.33 else 1.4
    if m.use == "vacant":
        present[: days + 1 if rng.random() < 0.6 else int(rng.uniform(0, days))] = 0
    elif rng.random() < 0.05:  # moved out, or away for the season; another household later
        a = int(rng.uniform(0, days))
        b = a + int(rng.uniform(5, 140))
        present[a:b] = 0
        present[b:] *= rng.lognormal(0, 0.6)
    return present


def _demand(rng: Rng, fleet: Fleet, m: Meter, cavity: Array) -> Array:
    """Return what the customer draws or loses, by hour [m³]."""
    days, present = fleet.days, _presence(rng, fleet, m)
    level = {"family": 320.0, "single": 110.0, "shop": 800.0, "vacant": 250.0}[m.use] * rng.lognormal(0, 0.45)
    warmth = 1 + 0.05 * np.sin(2 * np.pi * (np.arange(days) - 60) / 365)
    daily = level * present * warmth * rng.lognormal(0, 0.18, days)
    clock = np.arange(24)
    shift = rng.normal(0, 0.9)
    peaks = ((7, 1.0, 1.3), (12, 0.6, 1.5), (20, 1.1, 2.2))  # hour, weight, width [h]
    shape = 0.03 + sum(w * np.exp(-(((clock - at - shift) / wide) ** 2)) for at, w, wide in peaks)
    if m.use == "shop":
        shape = 0.02 + np.exp(-(((clock - 14 - shift) / 4.5) ** 2))
    events = rng.poisson(np.outer(daily / 12.0, shape / shape.sum()).ravel())
    litres = rng.gamma(np.maximum(1.2 * events, 1e-9), 10.0) * (events > 0)
    if rng.random() < 0.07:  # a leak behind the meter
        a = rng.uniform(-0.2, 1) * fleet.hours
        running = np.zeros(fleet.hours)
        running[max(0, int(a)) : max(0, int(a + rng.exponential(35 * 24)))] = rng.lognormal(np.log(6), 0.9)
        litres += running * (rng.random(fleet.hours) < (0.5 if rng.random() < 0.3 else 1.0))
    if m.place in (1, 3) and rng.random() < 0.15:  # a tap left running against the frost
        litres += rng.uniform(6, 20) * (cavity < -4) * np.repeat(present > 0, 24)
    litres[: int(m.begin_h)] = 0
    for a, b in fleet.water_off[m.site]:
        litres[int(a) : int(b)] = 0
    return litres / 1000


def _frost(rng: Rng, fleet: Fleet, m: Meter, draw: Array, cavity: Array) -> Array:
    """Return the draw after what the frost did to pipe and register, and settle that truth."""
    fault = m.fault
    if fault is None or fault.fault != "low_temperature":
        return draw
    begin = int(fault.onset_h)
    warm = np.flatnonzero(np.convolve(cavity, np.ones(12) / 12)[: len(cavity)] > 1)
    thaw = int(next((h for h in warm if h > begin + 6), len(draw)))
    home = bool(draw[begin : begin + 72].sum() > 0.01)
    if home:  # whoever is there does not wait for spring
        thaw = min(thaw, begin + int(24 * rng.uniform(1, 6)))
    draw = draw.copy()
    fault.detectable = bool(draw[begin:thaw].sum() > 0.01)
    draw[begin:thaw] = 0
    fault.noticed_h = begin + rng.uniform(4, 40) if home else thaw + 24 * rng.uniform(3, 20)
    fault.end_h, fault.reversible = float(thaw), fault.kind == "freeze"
    if fault.kind == "burst":
        fault.noticed_h = thaw + (rng.uniform(2, 40) if home else 24 * rng.uniform(1, 8))
        fault.end_h = fault.noticed_h + rng.uniform(2, 20)
        draw[thaw : int(fault.end_h)] += rng.uniform(0.4, 2.5)
        draw[int(fault.end_h) : int(fault.end_h) + 30] = 0  # until the plumber is done
        fault.detectable |= thaw < fleet.hours - 24
    elif fault.kind == "dead":
        m.stop_h = begin + rng.uniform(0, 60)
        fault.noticed_h, fault.end_h = begin + 24 * rng.uniform(3, 15), np.nan
    return draw


@dataclass(frozen=True, slots=True)
class ValveRow:
    """What a meter says of its valve from an hour on, and the share of the draw that the valve lets through."""

    hour: float
    command: str
    state: str
    travel_s: float
    current_ma: float
    refusal: str
    passes: float


@dataclass(slots=True)
class _Valve:
    """A valve on its way through the record: what it says, and what of a fault has shown."""

    rng: Rng
    vendor: Vendor
    fault: Fault | None
    usual_s: float
    usual_ma: float
    guard_s: float
    limit_ma: float
    reach_h: float  # from the first drag to the stall
    leak: float  # share that a bad seat lets through
    state: str = "open"
    command: str = "open"
    passes: float = 1.0
    rows: list[ValveRow] = field(default_factory=list)
    shows: list[float] = field(default_factory=list)
    fails: list[tuple[float, str]] = field(default_factory=list)

    def kind(self, hour: float) -> str:
        """Return how the valve is faulty at an hour, or an empty word."""
        fault = self.fault
        return fault.kind if fault is not None and hour >= fault.onset_h and not hour >= fault.end_h else ""

    def say(self, hour: float, travel_s: float, current_ma: float, refusal: str = "") -> None:
        """Take down what the meter says from an hour on."""
        row = ValveRow(hour, self.command, self.state, round(travel_s, 1), round(current_ma), refusal, self.passes)
        self.rows.append(row)

    def refuse(self, hour: float, way: str) -> None:
        """Do not move: no fault."""
        words = ["busy", "magnet", "under_voltage"] if way == "close" else ["busy", "arrears", "in_position"]
        last = self.rows[-1]
        self.say(hour, last.travel_s, last.current_ma, str(self.rng.choice(words, p=[0.6, 0.25, 0.15])))

    def move(self, hour: float, way: str, why: str, cold_k: float) -> bool:
        """Move by a command or for exercise; return whether the motor got there."""
        kind, rng = self.kind(hour), self.rng
        friction = max(0.7, 1 + rng.normal(0, 0.035) + 0.008 * cold_k)
        if kind == "drift" and self.fault is not None:
            friction *= 1 + (_STALL_FRICTION - 1) * ((hour - self.fault.onset_h) / self.reach_h) ** 1.3
        stalls = kind == f"stall_{way}" or friction > _STALL_FRICTION
        travel, current = self.usual_s * (1 + 0.6 * (friction - 1)), self.usual_ma * friction
        reached = "closed" if way == "close" else "open"
        if stalls:
            travel, current = self.guard_s, self.limit_ma * rng.normal(1, 0.02)
            self.state = self.vendor.stalled_word or ("open" if self.passes > 0.5 else "closed")
        elif kind == "stripped":  # the motor turns, the ball does not
            current = 0.4 * self.usual_ma * rng.normal(1, 0.05)
            travel = self.guard_s if self.vendor.stalled_word else self.usual_s * rng.uniform(0.5, 0.7)
            self.state = "unknown" if self.vendor.stalled_word == "unknown" else reached
        else:
            self.state, self.passes = reached, 1.0 if way == "open" else self.leak if kind == "seat" else 0.0
        if stalls or kind == "stripped" or (kind == "seat" and why == "close") or (kind == "drift" and friction > 1.2):
            self.shows.append(hour)
        if stalls or (kind in {"stripped", "seat"} and why == "close"):
            self.fails.append((hour, why))
        self.say(hour, travel, current)
        return not stalls

    def repair(self, hour: float) -> None:
        """Open it by hand and put a new drive in: nobody stays without water."""
        if self.fault is not None:
            self.fault.end_h = hour
        self.state, self.passes = "open", 1.0
        self.say(hour, self.usual_s, self.usual_ma)


def _valve(rng: Rng, fleet: Fleet, m: Meter, cavity: Array) -> list[ValveRow]:
    """Move the valve through commands and exercise, and settle the truth of a faulty one."""
    if m.vendor.valve == "none":
        return []
    fault = m.fault if m.fault is not None and m.fault.fault == "actuator" else None
    slow = 1.6 if m.vendor.valve == "ceramic" else 1.0
    valve = _Valve(
        rng, m.vendor, fault, slow * rng.uniform(5.2, 7.6), slow * rng.uniform(48, 70), slow * rng.choice([10, 12, 15]),
        rng.uniform(210, 235) * (1.4 if slow > 1 else 1), 24 * rng.uniform(30, 80), rng.uniform(0.08, 0.6),
    )  # fmt: skip
    valve.say(-1, valve.usual_s, valve.usual_ma)
    exercise = rng.uniform(0, m.vendor.exercise_d)
    events = [(24.0 * int(d) + 3.1, "exercise") for d in np.arange(exercise, fleet.days, m.vendor.exercise_d)]
    for begin, end in m.closures:
        events += [(begin, "close"), (end, "open")]
    heapq.heapify(events)
    while events:
        hour, what = heapq.heappop(events)
        if not m.begin_h <= hour < fleet.hours:
            continue
        cold_k = max(0.0, 5 - cavity[int(hour)])
        arrived = True
        if what == "repair":
            valve.repair(hour)
        elif what == "exercise":
            if valve.command == "open" and valve.passes > 0.5 and rng.random() > 0.03:
                arrived = not valve.move(hour, "close", what, cold_k) or valve.move(hour + 0.02, "open", "open", cold_k)
        else:
            if valve.command != what and rng.random() < 0.15:  # refused at first, sent again half a day later
                valve.command = what
                valve.refuse(hour, what)
                heapq.heappush(events, (hour + rng.uniform(2, 30), what))
                continue
            valve.command = what
            arrived = valve.move(hour, what, what, cold_k) or what == "close"
        if not arrived:
            heapq.heappush(events, (hour + rng.uniform(6, 70), "repair"))
    if fault is not None:
        _settle_valve(rng, fault, valve.shows, valve.fails, valve.reach_h if fault.kind == "drift" else 0.0)
    return sorted(valve.rows, key=lambda row: row.hour)


def _settle_valve(rng: Rng, fault: Fault, shows: list[float], fails: list[tuple[float, str]], later_h: float) -> None:
    fault.detectable = bool(shows)
    if shows:  # before that nothing moved that could have shown it
        fault.onset_h = shows[0]
    wait_d = {"open": (0.2, 1.0), "close": (3, 15), "exercise": (12, 40)}
    seen = [hour + 24 * rng.uniform(*wait_d[why]) for hour, why in fails]
    fault.noticed_h = min(seen) if seen else fault.onset_h + later_h + 24 * rng.uniform(12, 40)
    fault.noticed_h = float(np.fmin(fault.noticed_h, fault.end_h))


def _lost_pulses(rng: Rng, fault: Fault, kind: str, cavity: Array, since: Array, signal: Array) -> Array:
    """Return the share of pulses that a coil loses, by hour; weakens the amplitude ``signal`` [mV] in place."""
    n = len(cavity)
    on = (np.arange(n) >= fault.onset_h) & ~(np.arange(n) >= fault.end_h)
    if kind == "frozen":
        signal[on] *= rng.choice([0.05, 1.0])
        return on * ((since > rng.choice([0, 0, 48, 96])) | (rng.random(n) < 0.5)).astype(float)
    if kind == "fading":
        signal[on] *= (1 - 0.62 * np.minimum(since / (24 * rng.uniform(35, 90)), 1))[on]
        return on / (1 + np.exp((signal - 165) / 10))
    if kind == "cold":
        lost = on * 0.97 / (1 + np.exp((cavity + rng.uniform(1, 4)) / 0.8))
        signal *= 1 - 0.5 * lost
        return lost
    if kind == "partial":
        signal[on] *= 0.75
        lost = rng.uniform(0.3, 0.85) * np.minimum(since / rng.uniform(1, 20 * 24), 1)
    elif kind == "magnet":  # put there for hours at a time
        near = np.abs(np.arange(n) % 24 - 20) < rng.integers(3, 9)
        lost = np.repeat(rng.random(n // 24) < 0.7, 24) * near * 0.95
    else:
        lost = np.full(n, rng.uniform(0.05, 0.4) if kind == "backward" else 0.0)
    return on * (lost * rng.uniform(0.85, 1.15, n)).clip(0, 1)


def _false_counts(rng: Rng, fault: Fault, kind: str, flow: Array) -> Array:
    """Return what a coil counts that did not flow, by hour [m³]: bounce, slips backwards, register bits."""
    n = len(flow)
    on = (np.arange(n) >= fault.onset_h) & ~(np.arange(n) >= fault.end_h)
    extra = np.zeros(n)
    if kind == "double":
        extra = on * flow * np.where(rng.random(n) < rng.uniform(0.4, 1), rng.choice([1, 1, 3]), 0)
    elif kind == "backward":
        slips = on & (rng.random(n) < rng.uniform(0.02, 0.12))
        extra[slips] = -np.ceil(rng.gamma(1.2, 3.0, int(slips.sum()))) / 1000
    elif kind == "jump":
        at = int(fault.onset_h)
        for _ in range(rng.integers(1, 4)):
            bit, back = 2 ** int(rng.integers(9, 15)) / 1000, at + 1 + int(rng.exponential(60))
            for hour, step in ((at, bit), (back, -bit)):
                if hour < n:
                    extra[hour] += step
            at = back + int(rng.exponential(15 * 24))
    return extra


def _count(rng: Rng, fleet: Fleet, m: Meter, flow: Array, cavity: Array) -> tuple[Array, Array]:
    """Return the register at the full hours [m³] and the sensing amplitude by hour [mV]; settle a coil's truth."""
    counted, hours = flow, np.arange(fleet.hours)
    signal = rng.uniform(270, 380) + 0.4 * (cavity - 20) + rng.normal(0, 4, fleet.hours)
    fault = m.fault
    if fault is not None and fault.fault == "battery":  # without power nothing is counted
        counted = flow * ((fault.kind == "pulse") | (hours < fault.noticed_h) | (hours >= fault.end_h))
    if fault is not None and fault.fault == "coil":
        kind, bill = fault.kind, fleet.bill_h(fault.onset_h)
        if kind == "cracked":
            kind = str(rng.choice(["frozen", "partial", "backward"], p=[0.5, 0.3, 0.2]))
        fault.noticed_h = fleet.bill_h(bill) if kind in {"partial", "fading", "magnet"} else bill
        if rng.random() < 0.15:
            fault.end_h = fault.noticed_h + 24 * rng.uniform(2, 25)
        lost = _lost_pulses(rng, fault, kind, cavity, np.maximum(hours - fault.onset_h, 0), signal)
        counted = flow * (1 - lost) + _false_counts(rng, fault, kind, flow)
        fault.detectable = bool(np.abs(counted - flow).sum() > 0.03)
        fault.detectable |= kind == "fading" and "signal" in m.vendor.extras and fleet.hours - fault.onset_h > 240
        if kind == "cold":
            cold = np.flatnonzero(lost > 0.2)
            begin, end = (float(cold[0]), cold[-1] + 1.0) if len(cold) else (fault.onset_h, fault.onset_h + 1)
            fault.onset_h, fault.end_h, fault.reversible, fault.noticed_h = begin, end, True, fleet.bill_h(begin)
    first = rng.uniform(0, 3) if m.age_y < 0.2 else 110 * m.age_y * rng.lognormal(0, 0.5)
    register = np.concatenate([[0.0], np.cumsum(counted)]) + first
    if np.isfinite(m.exchange_h):
        late = np.arange(len(register)) >= m.exchange_h
        register[late] -= register[int(m.exchange_h)] - 0.02
    return register, np.maximum(signal, 8)


def _uplinks(rng: Rng, fleet: Fleet, m: Meter) -> Array:
    """Return when the meter tries to send [h]: by its style, and in a storm many times more."""
    slot = rng.uniform(0.15, 5.5)
    step = {"hourly": 1.0, "quarter": 6.0, "daily": 24.0}[m.vendor.style]
    if m.vendor.style == "hourly":
        slot = rng.uniform(0.0, 0.3)
    sent = np.arange(step, fleet.hours + 0.01, step) + (slot if step > 1 else slot / 10)
    storms = []
    if m.fault is not None and m.fault.kind == "storm":
        m.fault.noticed_h = m.fault.onset_h + 24 * rng.uniform(25, 75)
        storms.append((m.fault.onset_h, m.fault.noticed_h))
    elif rng.random() < 0.006:  # a firmware download or a bad cell: over after a day or two, no harm done
        begin = rng.uniform(0, fleet.hours)
        storms.append((begin, begin + rng.uniform(6, 60)))
    for begin, end in storms:
        every = rng.uniform(0.3, 0.8) if step > 1 else 0.25
        sent = np.union1d(sent, np.arange(begin, min(end, fleet.hours), every))
    return sent[(sent > m.begin_h) & (sent < fleet.hours)]


def _wear_out(rng: Rng, fault: Fault, sent: Array, rest: Array, drop: Array) -> NDArray[np.bool_]:
    """Empty the cell: change volts at rest and drop under load in place, and return whether it has power, by uplink."""
    gone, tau = fault.onset_h, 24 * rng.uniform(1.5, 5.5)
    if fault.kind == "storm":
        gone, tau = fault.noticed_h, 24 * rng.uniform(0.7, 2.5)
    elif fault.kind == "moist":
        gone, tau = fault.onset_h + 24 * rng.uniform(14, 70), 24 * rng.uniform(1.5, 4)
        wet = (sent >= fault.onset_h) * (0.03 + 0.05 * np.abs(ar1(rng, len(sent), 0.8, 1.0)))
        rest -= wet
        drop *= 1 + 6 * wet
    elif fault.kind == "deplete":  # the drop under load is the first to leave the noise
        fault.onset_h = max(0.0, gone - 3 * tau * np.log(4 * 0.1 / 0.03))
    if rng.random() < 0.3:
        fault.end_h = gone + 24 * rng.uniform(8, 40)
    left = np.where(sent < gone, gone - sent, 0.0)
    if fault.kind != "sudden":
        rest -= 0.9 * np.exp(-left / tau)
        drop *= 1 + 4 * np.exp(-left / (3 * tau))
    fault.noticed_h = gone
    fault.detectable = fault.kind != "sudden" and bool(((sent > fault.onset_h) & (sent < gone)).sum() > 2)
    return (sent < gone) | (sent >= fault.end_h)


def _cell(rng: Rng, fleet: Fleet, m: Meter, sent: Array, air: Array, cavity: Array) -> tuple[Array, Array, Array]:
    """Return volts at rest and under load and whether the cell could send, by uplink; settle a battery's truth."""
    life_y = m.vendor.capacity_mah / (450.0 if m.rssi_dbm > -103 else 800.0)
    used = min(0.95, max(0.0, m.age_y) / life_y)
    rest = 3.65 - 0.03 * used + rng.normal(0, 0.012) + 0.004 * rng.uniform(0.8, 1.2) * (air - 20)
    drop = 0.09 * (1 + 0.5 * used) * rng.uniform(0.7, 1.35) * np.exp(-0.03 * (air - 20))
    film = 0.03 if m.age_y < 0.3 else 0.004  # passivation: the first load after a long sleep
    drop += (rng.random(len(sent)) < film) * rng.exponential(0.13, len(sent)).clip(0, 0.6)
    powered = np.ones(len(sent), bool)
    new = sent >= m.exchange_h
    fault = m.fault if m.fault is not None and m.fault.fault == "battery" else None
    if fault is not None and fault.kind == "pulse":
        weak = rng.uniform(2.0, 3.5) / (1 + np.exp((air - 0.5) / 1.5)) * (sent >= fault.onset_h)
        drop *= 1 + weak
        rest -= 0.2 * drop * weak / (1 + weak)
        cold = np.flatnonzero((cavity < 0) & (np.arange(fleet.hours) >= fault.onset_h))
        fault.reversible, fault.end_h = True, float(cold[-1] + 1) if len(cold) else fault.onset_h + 24
        fault.noticed_h = fault.onset_h + 24 * rng.uniform(2, 15)
        fault.detectable = bool(((weak > 0.5) & (rest - drop > _BROWN_OUT_V)).any())
    elif fault is not None:
        powered = _wear_out(rng, fault, sent, rest, drop)
        new |= sent >= fault.end_h
    rest[new], drop[new] = 3.66 + 0.004 * (air[new] - 20), 0.08 * np.exp(-0.03 * (air[new] - 20))
    noise = rng.normal(0, 0.006, (2, len(sent)))
    under = rest - drop + noise[1]
    powered &= rng.random(len(sent)) > 1 / (1 + np.exp((under - _BROWN_OUT_V) / 0.04))
    return rest + noise[0], under, powered


def _radio(rng: Rng, fleet: Fleet, m: Meter, sent: Array) -> tuple[Array, Array, Array]:
    """Return signal strength [dBm], coverage class and time of receipt [h, NaN = lost] by uplink."""
    day = np.minimum(sent // 24, fleet.days - 1).astype(int)
    rain = fleet.rain_mm[m.region][day] * (0.12 if m.place == 3 else 0.02)
    rssi = m.rssi_dbm + ar1(rng, fleet.days, 0.9, 1.5)[day] - rain + rng.normal(0, 1.8, len(sent))
    if m.flooded:
        rssi -= 16 * ((sent > fleet.flood[1]) & (sent < fleet.flood[1] + rng.uniform(60, 260)))
    if m.fault is not None and m.fault.kind == "moist":
        rssi -= 5 * (sent > m.fault.onset_h)
    if np.isfinite(m.stop_h) and rng.random() < 0.5:
        rssi -= 14 * (sent > m.stop_h - rng.uniform(24, 400))
    coverage = np.digitize(-rssi, [104, 113])
    lost = rng.random(len(sent)) < np.array([0.006, 0.03, 0.12])[coverage]
    lost |= (rssi < -121) & (rng.random(len(sent)) < 0.7)
    late = sent + rng.exponential(0.02, len(sent)) + (rng.random(len(sent)) < 0.012) * rng.exponential(9, len(sent))
    buffers = rng.random() < 0.4
    windows = list(fleet.radio_off[m.site]) if rng.random() < 0.85 else []
    if rng.random() < 0.04:  # alone, and back again
        begin = rng.uniform(0, fleet.hours)
        windows.append((begin, begin + 24 * rng.gamma(1.2, 6)))
    for begin, end in windows:
        inside = (sent >= begin) & (sent < end)
        if buffers:
            late[inside] = np.maximum(late[inside], end + rng.uniform(0.05, 3, int(inside.sum())))
        else:
            lost |= inside
    late[lost | (sent >= m.stop_h)] = np.nan
    return rssi, coverage, late


def _stamp(epoch_s: Array, zone: str = "Z", shift_s: int = 0) -> list[str]:
    moments = np.floor(epoch_s + shift_s).astype("int64").astype("datetime64[s]")
    return [f'"{text}{zone}"' for text in np.datetime_as_string(moments).tolist()]


def _clock(vendor: Vendor, epoch_s: Array) -> list[str]:
    if vendor.clock == "epoch_ms":
        return [str(int(s) * 1000) for s in epoch_s]
    return _stamp(epoch_s, "+08:00", 8 * 3600) if vendor.clock == "local" else _stamp(epoch_s)


def _column(name: str, values: Array, digits: int, there: NDArray[np.bool_] | None = None) -> list[str]:
    out = [f',"{name}":{int(v) if digits == 0 else v}' for v in np.round(values, digits).tolist()]
    return out if there is None else [text if ok else "" for text, ok in zip(out, there, strict=True)]


def _words(name: str, values: Iterable[str]) -> list[str]:
    return [f',"{name}":"{v}"' if v else "" for v in values]


def simulate_meter(fleet: Fleet, i: int, without: frozenset[str], battery_step: float) -> tuple[Array, list[str]]:
    """Return the times of receipt [s since 1970] and the lines of one meter, and settle the truth of its fault.

    Parameters
    ----------
    fleet : Fleet
        The fleet; the meter's own random numbers depend on its seed and on ``i`` alone.
    i : int
        Which meter.
    without : set of str
        Signals left out, of ``DROPPABLE``.
    battery_step : float
        Coarsest resolution of voltages [V]; 0: each vendor's own.
    """
    m, rng = fleet.meters[i], np.random.default_rng([fleet.seed, 7, i])
    cavity = fleet.cavity_c[i].astype(float)
    draw = _frost(rng, fleet, m, _demand(rng, fleet, m, cavity), cavity)
    rows = _valve(rng, fleet, m, cavity)
    sent = _uplinks(rng, fleet, m)
    hour = sent.astype(int)
    rest, under, powered = _cell(rng, fleet, m, sent, cavity[hour], cavity)
    begins = np.array([row.hour for row in rows])
    if rows:
        draw = (
            draw * np.array([row.passes for row in rows])[np.searchsorted(begins, np.arange(fleet.hours), "right") - 1]
        )
    register, signal = _count(rng, fleet, m, draw, cavity)
    rssi, coverage, late = _radio(rng, fleet, m, sent)
    late[~powered] = np.nan

    offset_s = rng.normal(0, 15) if rng.random() > 0.03 else rng.uniform(-2400, 2400)
    step = max(m.vendor.volt_step, battery_step)
    daily = np.diff(sent // 24, prepend=-1) > 0 if m.vendor.style == "hourly" else np.ones(len(sent), bool)
    cols = [
        [f'"ts":{t}' for t in _clock(m.vendor, fleet.epoch_s + 3600 * sent + offset_s)],
        _column("volume_m3", _whole(np.interp(sent, np.arange(fleet.hours + 1), register), m.vendor.step_m3), 3),
        _column("battery_v", np.round(rest / step) * step, 3, daily),
        _column("rssi_dbm", rssi, 0),
        _column("seq", _sequence(rng, m, sent, under), 0),
        [f',"firmware":"{m.firmware}"' if d else "" for d in daily],
    ]
    if "load" in m.vendor.extras and "load_voltage" not in without:
        cols.append(_column("battery_load_v", np.round(under / step) * step, 3, daily))
    cols += _extra_columns(rng, m, cavity[hour], "temperature" not in without)
    if "coverage" in m.vendor.extras:
        cols.append(_column("coverage_class", coverage, 0))
    if "signal" in m.vendor.extras:
        cols.append(_column("coil_signal_mv", signal[hour], 0))
    if "flow" in m.vendor.extras:
        duty = rng.uniform(0.05, 1, len(sent))
        moving = np.diff(register).clip(0)[hour] * (rng.random(len(sent)) < duty) / duty
        cols.append(_column("flow_m3h", moving, 3))
    if rows:
        said = [rows[k] for k in np.searchsorted(begins, sent, "right") - 1]
        cols += _valve_columns(said, daily, "valve_current" not in without)
    if m.vendor.style == "daily":
        cols.append(_profiles(fleet, m, sent, register, offset_s))
    return _envelopes(rng, fleet, m, late, cols)


def _sequence(rng: Rng, m: Meter, sent: Array, under: Array) -> Array:
    """Return the message counter by uplink; it starts again after brown-outs, new cells, and sometimes for nothing."""
    resets = (under < 2.75) & (rng.random(len(sent)) < 0.3)
    if rng.random() < 0.02 and len(sent):
        resets[rng.integers(len(sent))] = True
    resets |= np.diff((sent >= _renewed_h(m)).astype(int), prepend=0) > 0
    index = np.arange(len(sent))
    since = np.maximum.accumulate(np.where(resets, index, 0))
    return index - since + np.where(since == 0, 0 if m.begin_h else int(max(m.age_y, 0) * 365) % 60000, 0)


def _renewed_h(m: Meter) -> float:
    """Return when the meter's body or cell was renewed [h], or infinity."""
    if m.fault is not None and m.fault.fault == "battery" and m.fault.kind != "pulse" and np.isfinite(m.fault.end_h):
        return m.fault.end_h
    return m.exchange_h


def _extra_columns(rng: Rng, m: Meter, cavity: Array, temperature: bool) -> list[list[str]]:
    cols = []
    if "ambient" in m.vendor.extras and temperature:
        cols.append(_column("ambient_temperature_c", cavity + rng.normal(0, 0.6) + rng.normal(0, 0.2, len(cavity)), 1))
    if "water" in m.vendor.extras and temperature:
        cols.append(_column("water_temperature_c", np.maximum(0.4 * cavity + 6.0, 0.2), 1))
    return cols


def _valve_columns(said: list[ValveRow], daily: NDArray[np.bool_], current: bool) -> list[list[str]]:
    cols = [
        _words("valve_state", (r.state for r in said)),
        _words("valve_command", (r.command for r in said)),
        _words("valve_refusal", (r.refusal for r in said)),
        _column("valve_travel_s", np.array([r.travel_s for r in said]), 1, daily),
    ]
    return [*cols, _column("valve_current_ma", np.array([r.current_ma for r in said]), 0, daily)] if current else cols


def _whole(register: Array, step_m3: float) -> Array:
    """Return the register as its counter shows it: whole pulses [m³]."""
    return np.floor(register / step_m3 + 1e-6) * step_m3


def _profiles(fleet: Fleet, m: Meter, sent: Array, register: Array, offset_s: float) -> list[str]:
    """Return the registers of the day before each regular daily uplink; uplinks of a storm carry none."""
    day = (sent // 24).astype(int)
    on_since = np.where(sent >= _renewed_h(m), _renewed_h(m), m.begin_h)
    first = (np.diff(day, prepend=0) > 0) & (24 * (day - 1) >= on_since)
    starts = _clock(m.vendor, fleet.epoch_s + 86400.0 * (day - 1) + round(offset_s))
    points = np.round(_whole(register, m.vendor.step_m3), 3).tolist()
    return [
        f',"profile":{{"start":{start},"step_s":3600,"volume_m3":{points[24 * d - 23 : 24 * d + 1]}}}' if ok else ""
        for start, d, ok in zip(starts, day.tolist(), first.tolist(), strict=True)
    ]


def _envelopes(rng: Rng, fleet: Fleet, m: Meter, late: Array, cols: list[list[str]]) -> tuple[Array, list[str]]:
    """Return receipt [s] and lines; ``received_at`` comes first in a line, so that lines sort by it."""
    came = np.flatnonzero(np.isfinite(late))
    came = np.concatenate([came, came[rng.random(len(came)) < 0.006]])  # some uplinks come twice
    at = np.floor(fleet.epoch_s + 3600 * late[came])
    again = np.arange(len(came)) >= np.isfinite(late).sum()
    at[again] += np.floor(rng.uniform(2, 900, int(again.sum())))
    payloads = ["".join(parts) for parts in zip(*cols, strict=True)]
    topic = f"meters/{m.meter_id}/readings"
    stamps = _stamp(at) if len(at) else []
    lines = [
        f'{{"received_at":{stamp},"topic":"{topic}","payload":{{{payloads[k]}}}}}\n'
        for stamp, k in zip(stamps, came.tolist(), strict=True)
    ]
    return at, lines


def write_fleet(fleet: Fleet, out: Path, without: frozenset[str] = frozenset(), battery_step: float = 0.0) -> int:
    """Simulate every meter and write all files into a folder; return the number of messages.

    Lines go to one file a day of receipt first, which are then sorted one by one: the memory holds a day of the fleet.
    """
    out.mkdir(parents=True, exist_ok=True)
    messages = 0
    with tempfile.TemporaryDirectory(dir=out) as scratch, ExitStack() as stack:
        buckets: dict[int, Any] = {}
        for i in range(len(fleet.meters)):
            at, lines = simulate_meter(fleet, i, without, battery_step)
            by_day: dict[int, list[str]] = defaultdict(list)
            for day, line in zip((at // 86400).astype(int).tolist(), lines, strict=True):
                by_day[day].append(line)
            for day, some in by_day.items():
                if day not in buckets:
                    buckets[day] = stack.enter_context((Path(scratch) / str(day)).open("w+", encoding="utf-8"))
                buckets[day].writelines(some)
            messages += len(lines)
        with (out / "readings.jsonl").open("w", encoding="utf-8") as file:
            for day in sorted(buckets):
                buckets[day].seek(0)
                file.writelines(sorted(buckets[day]))
    write_tables(fleet, out)
    return messages


def _print_summary(fleet: Fleet, out: Path, messages: int, took_s: float) -> None:
    faults = [m.fault for m in fleet.meters if m.fault is not None and m.fault.onset_h < fleet.hours]
    print(
        f"{len(fleet.meters)} meters, {fleet.days} days: {len(faults)} faults ({len(faults) / len(fleet.meters):.1%})"
    )
    for (fault, cause), n in sorted(Counter((f.fault, f.cause) for f in faults).items()):
        hidden = sum(not f.detectable for f in faults if (f.fault, f.cause) == (fault, cause))
        print(f"  {fault:16} {cause:17} {n:4}" + (f"  ({hidden} never showed)" if hidden else ""))
    print("bad lots:", ", ".join(f"{lot} ({fault})" for lot, fault in fleet.bad_lots.items()))
    print(f"{messages} messages, {(out / 'readings.jsonl').stat().st_size / 1e6:.0f} MB, {took_s:.0f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, write the fleet and print what is in it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.other_fleet", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder that gets the files")
    parser.add_argument("--meters", type=int, default=2000)
    parser.add_argument("--days", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=date.fromisoformat, default=date(2025, 11, 1), help="first local day")
    parser.add_argument("--without", default="", help=f"signals left out, by commas: {', '.join(DROPPABLE)}")
    parser.add_argument("--battery-step", type=float, default=0.0, help="coarsest resolution of voltages [V]")
    options = parser.parse_args(arguments)
    without = frozenset(filter(None, options.without.split(",")))
    if unknown := without - set(DROPPABLE):
        parser.error(f"--without: {', '.join(sorted(unknown))} is not one of {', '.join(DROPPABLE)}")
    if options.meters < 20 or options.days < 20:
        parser.error("a fleet has at least 20 meters and 20 days")
    began = time.perf_counter()
    fleet = build_fleet(options.meters, options.days, options.seed, options.start)
    messages = write_fleet(fleet, options.out, without, options.battery_step)
    _print_summary(fleet, options.out, messages, time.perf_counter() - began)


if __name__ == "__main__":
    main()
