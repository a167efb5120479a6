"""The sample fleet, six meters in one cold winter: two failing valves, one burst pipe, three that only look bad."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from simulation.fleet import Fleet, FleetPlan, simulate_fleet
from simulation.frost import Pipe
from simulation.household import Household
from simulation.meter import Command, MeterPlan, ValvePlan
from simulation.valve import MotorValve
from simulation.weather import Climate, Spell

SEED = 20170131
ZONE = ZoneInfo("Asia/Shanghai")
FIRST = date(2016, 11, 1)
DAYS = 90  # to 2017-01-29

# A cold week, then a thaw.
SPELLS = (Spell(date(2017, 1, 14), date(2017, 1, 20), -10.0), Spell(date(2017, 1, 22), date(2017, 1, 31), 6.0))
_COLD = (date(2017, 1, 13), date(2017, 1, 24))


def valve_frost_fleet(seed: int = SEED) -> Fleet:
    """Return the fleet of `data/samples/synthetic_valve_frost.jsonl`."""
    meters = (_stripped(), _sediment(), _refused(), _burst(), _exposed(), _cold_battery())
    return simulate_fleet(FleetPlan(meters, FIRST, DAYS, ZONE, Climate(), SPELLS), seed)


def _at(month: int, day: int, hour: int) -> datetime:
    return datetime(2016 if month > 10 else 2017, month, day, hour, tzinfo=ZONE)


def _stripped() -> MeterPlan:
    """Return a meter that obeys until its gear is stripped; from then on it stays open whatever it is told."""
    valve = ValvePlan(
        stripped_from=_at(1, 12, 12),
        commands=(
            Command(_at(12, 6, 9), "close"),
            Command(_at(12, 7, 18), "open"),
            *(Command(_at(1, day, 9), "close") for day in (18, 19, 21, 24, 27)),
        ),
    )
    return MeterPlan(
        "synthetic-valve-stripped",
        "indoor",
        household=Household(people=3.2),
        valve=valve,
        start_m3=214.6,
        hourly=((date(2017, 1, 18), date(2017, 1, 20)),),
        noticed_at=_at(1, 28, 10),
    )


def _sediment() -> MeterPlan:
    """Return a meter whose valve grits up: slower and stronger strokes, a leaking seat, at last a stall."""
    valve = ValvePlan(
        valve=MotorValve(scatter=0.02),
        sediment_from=_at(12, 10, 0),
        friction_per_day=0.056,
        seat_leak_m3h=0.035,
        exercise_every_days=3,
        commands=(
            Command(_at(11, 22, 9), "close"),
            Command(_at(11, 23, 9), "open"),
            Command(_at(1, 10, 9), "close"),
            Command(_at(1, 12, 9), "open"),
            Command(_at(1, 26, 9), "close"),
            Command(_at(1, 27, 9), "close"),
            Command(_at(1, 28, 9), "close"),
        ),
    )
    return MeterPlan(
        "synthetic-valve-sediment",
        "indoor",
        household=Household(people=3.0),
        valve=valve,
        start_m3=387.2,
        hourly=((date(2017, 1, 10), date(2017, 1, 12)), (date(2017, 1, 26), date(2017, 1, 27))),
        noticed_at=_at(1, 29, 9),
    )


def _refused() -> MeterPlan:
    """Return a healthy meter that refuses two commands and obeys two."""
    valve = ValvePlan(
        commands=(
            Command(_at(1, 16, 9), "close", refusal="busy"),
            Command(_at(1, 17, 9), "close"),
            Command(_at(1, 19, 9), "open"),
            Command(_at(1, 20, 9), "open", refusal="in_position"),
        ),
    )
    return MeterPlan(
        "synthetic-valve-refused",
        "indoor",
        household=Household(people=2.2),
        valve=valve,
        start_m3=95.1,
        hourly=((date(2017, 1, 16), date(2017, 1, 17)),),
    )


def _burst() -> MeterPlan:
    """Return a meter on a bare outdoor pipe that freezes, bursts, and runs at the thaw."""
    return MeterPlan(
        "synthetic-frost-burst",
        "outdoor",
        household=Household(people=2.5),
        pipe=Pipe(loss_w_per_m2_k=6.0),
        start_m3=152.9,
        hourly=(_COLD,),
        noticed_at=_at(1, 28, 9),
    )


def _exposed() -> MeterPlan:
    """Return its neighbour, as cold, with a well lagged pipe: nothing happens."""
    return MeterPlan(
        "synthetic-cold-exposed",
        "outdoor",
        household=Household(people=2.8),
        pipe=Pipe(loss_w_per_m2_k=1.2),
        start_m3=178.3,
        hourly=(_COLD,),
    )


def _cold_battery() -> MeterPlan:
    """Return a meter whose battery dips 0.10 V between +15 and -10 °C and is healthy."""
    return MeterPlan(
        "synthetic-battery-cold",
        "outdoor",
        household=Household(people=2.0),
        pipe=Pipe(loss_w_per_m2_k=1.2),
        start_m3=61.7,
        afternoon=True,
    )
