"""One meter: from the physics of its pipe, valve, cell and household to its messages and the truth about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from lake.errors import UsageError
from lake.vocabulary import CAUSES, FAULTS, VALVE_COMMANDS, VALVE_REFUSALS
from simulation.battery import LithiumThionylChlorideCell, load_voltage, resting_voltage, used_charge
from simulation.frost import Frost, Pipe, freeze
from simulation.household import Household, hourly_demand
from simulation.valve import MotorValve, Position, Stroke, stroke
from simulation.weather import Climate, Floats, case_temperature

FIRMWARE = "simulation-0.1"
_EXERCISE_HOUR = 3
_DAILY_MINUTE = 5


@dataclass(frozen=True, slots=True)
class Command:
    """An order to the valve.

    Parameters
    ----------
    at : datetime
        When the meter received it; aware.
    command : str
        ``open`` or ``close``.
    refusal : str, optional
        Why the meter refused it; a refused command moves nothing and is no fault.
    """

    at: datetime
    command: str
    refusal: str | None = None

    def __post_init__(self) -> None:
        if self.command not in VALVE_COMMANDS:
            raise UsageError(f"valve command {self.command!r} is none of {', '.join(VALVE_COMMANDS)}")
        if self.refusal is not None and self.refusal not in VALVE_REFUSALS:
            raise UsageError(f"valve refusal {self.refusal!r} is none of {', '.join(VALVE_REFUSALS)}")


@dataclass(frozen=True, slots=True)
class ValvePlan:
    """A valve, what it is told, and what is wrong with it.

    Parameters
    ----------
    valve : MotorValve
        The clean valve.
    commands : tuple of Command
        In order of time.
    exercise_every_days : int
        Days between runs against rust, at 03:00, reported as one movement.
    sediment_from : datetime, optional
        Grit begins to settle.
    friction_per_day : float
        Growth of friction, in units of the clean valve's, from then on [1/d].
    seat_leak_m3h : float
        What passes the closed valve once grit lies in its seat [m³/h].
    stripped_from : datetime, optional
        The gear no longer grips.
    """

    valve: MotorValve = field(default_factory=MotorValve)
    commands: tuple[Command, ...] = ()
    exercise_every_days: int = 4
    sediment_from: datetime | None = None
    friction_per_day: float = 0.0
    seat_leak_m3h: float = 0.0
    stripped_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class MeterPlan:
    """Everything that makes one meter.

    Parameters
    ----------
    meter_id : str
        Begins with ``synthetic-``.
    installation : str
        ``outdoor``, ``pit``, ``basement`` or ``indoor``.
    household, cell, pipe : Household, LithiumThionylChlorideCell, Pipe
        Its water, its battery, its exposed pipe.
    valve : ValvePlan, optional
        None: the meter has no valve.
    break_leak_m3h : float
        Flow through the broken pipe after the thaw [m³/h].
    start_m3 : float
        Register at the first hour [m³].
    hourly : tuple of (date, date)
        First and last day, inclusive, on which it reports every hour instead of once a day.
    afternoon : bool
        Reports a second time at 15:05.
    noticed_at : datetime, optional
        When a person would notice what is wrong with it.
    """

    meter_id: str
    installation: str
    household: Household = field(default_factory=Household)
    cell: LithiumThionylChlorideCell = field(default_factory=LithiumThionylChlorideCell)
    pipe: Pipe = field(default_factory=Pipe)
    valve: ValvePlan | None = None
    break_leak_m3h: float = 1.4
    start_m3: float = 100.0
    hourly: tuple[tuple[date, date], ...] = ()
    afternoon: bool = False
    noticed_at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.meter_id.startswith("synthetic-"):
            raise UsageError(f"the id of a simulated meter begins with 'synthetic-', not {self.meter_id!r}")


@dataclass(frozen=True, slots=True)
class Truth:
    """One row of the truth file (contract, section 7).

    Parameters
    ----------
    meter_id, fault, cause : str
        Meter, one of the four faults, one of the causes.
    onset, noticed_at : datetime
        The physics begins to show; a person would notice.
    end : datetime, optional
        None: it lasts.
    reversible, detectable : bool
        It heals by itself; something of it was sent.
    """

    meter_id: str
    fault: str
    cause: str
    onset: datetime
    noticed_at: datetime
    end: datetime | None = None
    reversible: bool = False
    detectable: bool = True

    def __post_init__(self) -> None:
        if self.fault not in FAULTS or self.cause not in CAUSES:
            raise UsageError(f"truth of {self.meter_id}: {self.fault!r} by {self.cause!r} is not in the vocabulary")


@dataclass(frozen=True, slots=True)
class Message:
    """What a meter sends: payload of the contract, section 1, without envelope."""

    meter_id: str
    ts: datetime
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Movement:
    at: datetime
    command: str | None
    refusal: str | None
    stroke: Stroke | None
    state: str
    position: Position


def simulate_meter(
    plan: MeterPlan, hours: list[datetime], air_c: Floats, climate: Climate, rng: np.random.Generator
) -> tuple[list[Message], list[Truth]]:
    """Return the messages of one meter in order of time, and the truth about it.

    Parameters
    ----------
    plan : MeterPlan
        The meter.
    hours : list of datetime, length n_hours
        Full local hours, from local midnight to local midnight.
    air_c : ndarray of float, shape (n_hours,)
        Air temperature [°C].
    climate : Climate
        The climate it was made with.
    rng : numpy.random.Generator
        Only source of chance; the same state gives the same messages.
    """
    case_c = case_temperature(air_c, plan.installation, climate)
    demand = hourly_demand(hours, plan.household, rng)
    frost = freeze(plan.pipe, case_c, demand)
    movements = list(_movements(plan.valve, hours, rng)) if plan.valve else []
    passage = _passage_m3(plan.valve, movements, hours)
    hourly_m3 = np.minimum(demand + plan.break_leak_m3h * frost.leaking, passage) * ~frost.blocked
    register = np.concatenate([[plan.start_m3], plan.start_m3 + np.cumsum(hourly_m3)])
    rest_v = resting_voltage(plan.cell, case_c, used_charge(len(hours), start_mah=0.2 * plan.cell.capacity_mah))
    load_v = load_voltage(plan.cell, rest_v, case_c)
    meter = _Meter(plan, hours, case_c, register, movements, rng, rest_v, load_v)
    return list(meter.messages()), list(_truths(plan, hours, frost))


def _movements(plan: ValvePlan, hours: list[datetime], rng: np.random.Generator) -> Iterator[_Movement]:
    days = sorted({h.date() for h in hours})[:: plan.exercise_every_days]
    runs = {h for h in hours if h.hour == _EXERCISE_HOUR and h.date() in days}
    position: Position = "open"
    for at, command in sorted([*((r, None) for r in runs), *((c.at, c) for c in plan.commands)], key=lambda e: e[0]):
        if command is not None and command.refusal is not None:
            yield _Movement(at, command.command, command.refusal, None, position, position)
            continue
        if command is None and position == "closed":
            continue  # a closed valve is not exercised
        engaged = plan.stripped_from is None or at < plan.stripped_from
        made = stroke(plan.valve, _friction(plan, at), rng, engaged=engaged)
        if command is not None and made.reached:
            position = "open" if command.command == "open" else "closed"
        # The end switch that was pressed stays pressed; only a stall is known to the firmware as a fault.
        yield _Movement(
            at, command.command if command else None, None, made, "fault" if made.stalled else position, position
        )


def _friction(plan: ValvePlan, at: datetime) -> float:
    if plan.sediment_from is None or at <= plan.sediment_from:
        return 1.0
    return 1.0 + plan.friction_per_day * (at - plan.sediment_from) / timedelta(days=1)


def _passage_m3(plan: ValvePlan | None, movements: list[_Movement], hours: list[datetime]) -> Floats:
    """Most that the valve lets through in each hour [m³]; a closed one leaks only once its seat is gritted."""
    passage = np.full(len(hours), np.inf)
    if plan is None:
        return passage
    for movement in movements:
        first = int((movement.at.timestamp() - hours[0].timestamp()) // 3600)
        gritted = plan.sediment_from is not None and movement.at > plan.sediment_from
        closed = plan.seat_leak_m3h if gritted else 0.0
        passage[first:] = closed if movement.position == "closed" else np.inf
    return passage


def _truths(plan: MeterPlan, hours: list[datetime], frost: Frost) -> Iterator[Truth]:
    noticed_at = plan.noticed_at or hours[-1]
    if plan.valve is not None and plan.valve.sediment_from is not None:
        yield Truth(plan.meter_id, "actuator", "sediment", plan.valve.sediment_from, noticed_at)
    if plan.valve is not None and plan.valve.stripped_from is not None:
        yield Truth(plan.meter_id, "actuator", "unknown", plan.valve.stripped_from, noticed_at)
    if frost.broken_from is not None:
        onset = hours[int(np.argmax(frost.blocked))]
        yield Truth(plan.meter_id, "low_temperature", "low_temperature", onset, noticed_at)


@dataclass(frozen=True, slots=True)
class _Meter:
    """Turns the physics of one meter into its messages."""

    plan: MeterPlan
    hours: list[datetime]
    case_c: Floats
    register: Floats
    movements: list[_Movement]
    rng: np.random.Generator
    rest_v: Floats
    load_v: Floats

    def messages(self) -> Iterator[Message]:
        events = sorted(
            [*self._daily(), *self._hourly(), *map(self._movement, self.movements)], key=lambda event: event[0]
        )
        for seq, (ts, fields) in enumerate(events, start=1):
            known = {"meter_id": self.plan.meter_id, "ts": ts.isoformat(), "volume_m3": self._volume(ts)}
            radio = {
                "rssi_dbm": int(self.rng.normal(-96, 3)),
                "snr_db": round(float(self.rng.normal(7, 2)), 1),
                "seq": seq,
                "firmware": FIRMWARE,
                "synthetic": True,
            }
            yield Message(self.plan.meter_id, ts, known | fields | radio)

    def _daily(self) -> Iterator[tuple[datetime, dict[str, Any]]]:
        starts = [n for n, h in enumerate(self.hours) if h.hour == 0]
        for first, end in zip(starts, [*starts[1:], len(self.hours)], strict=True):
            midnight = self.hours[end] if end < len(self.hours) else self.hours[-1] + timedelta(hours=1)
            profile = {
                "start": self.hours[first].isoformat(),
                "step_s": 3600,
                "volume_m3": [round(float(v), 3) for v in self.register[first + 1 : end + 1]],
            }
            fields = self._state(midnight)
            if not self._reports_hourly(self.hours[first]):
                fields["profile"] = profile
            yield midnight + timedelta(minutes=_DAILY_MINUTE), fields
            if self.plan.afternoon:
                at = self.hours[first] + timedelta(hours=15, minutes=_DAILY_MINUTE)
                yield at, self._state(at)

    def _hourly(self) -> Iterator[tuple[datetime, dict[str, Any]]]:
        for hour in self.hours:
            if self._reports_hourly(hour):
                at = hour + timedelta(hours=1)
                yield at, self._state(at)

    def _movement(self, movement: _Movement) -> tuple[datetime, dict[str, Any]]:
        at = movement.at
        fields = self._state(at) | {"valve_state": movement.state}
        if movement.command is not None:
            fields["valve_command"] = movement.command
        if movement.refusal is not None:
            fields["valve_refusal"] = movement.refusal
        if movement.stroke is not None:
            at += timedelta(seconds=round(movement.stroke.travel_s))
            fields["valve_travel_s"] = round(movement.stroke.travel_s, 1)
            fields["valve_current_ma"] = round(movement.stroke.current_ma)
        return at, fields

    def _state(self, at: datetime) -> dict[str, Any]:
        """Whatever the meter knows at `at`: the hour before it, its battery and case, its valve."""
        hour = min(max(int((at.timestamp() - self.hours[0].timestamp()) // 3600), 1), len(self.hours))
        case_c = float(self.case_c[hour - 1])
        fields: dict[str, Any] = {
            "flow_m3h": round(float(self.register[hour] - self.register[hour - 1]), 3),
            "battery_v": round(float(self.rest_v[hour - 1] + self.rng.normal(0, 0.003)), 3),
            "battery_load_v": round(float(self.load_v[hour - 1] + self.rng.normal(0, 0.006)), 3),
            "ambient_temperature_c": round(case_c + float(self.rng.normal(0, 0.2)), 1),
        }
        if self.plan.valve is not None:
            fields["valve_state"] = next((m.state for m in reversed(self.movements) if m.at < at), "open")
        return fields

    def _volume(self, at: datetime) -> float:
        hours = (at.timestamp() - self.hours[0].timestamp()) / 3600
        return round(float(np.interp(hours, np.arange(len(self.register)), self.register)), 3)

    def _reports_hourly(self, hour: datetime) -> bool:
        return any(first <= hour.date() <= last for first, last in self.plan.hourly)
