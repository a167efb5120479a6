"""Small worlds and blocks of meters that all fail in the same way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulation.calendar_hours import Calendar
from simulation.estate import make_estate
from simulation.fault_plan import FaultPlan, World
from simulation.happenings import make_happenings
from simulation.meter_block import MeterBlock
from simulation.parameters import Draws
from simulation.regional_weather import make_weather
from simulation.scenarios import SCENARIOS
from simulation.vendors import ALDER, Vendor

ONSET = 24 * 30


def draws(seed: int = 1, **ranges: tuple[float, float]) -> Draws:
    """Return draws from the default ranges but for some."""
    return Draws(ranges, np.random.default_rng(seed))


def world(
    meters: int = 40,
    days: int = 90,
    *,
    vendors: tuple[Vendor, ...] = (ALDER,),
    seed: int = 1,
    scenario: str = "standard",
    **ranges: tuple[float, float],
) -> World:
    """Return a world without faults."""
    chosen = SCENARIOS[scenario]
    drawn = draws(seed, **{**chosen.ranges, **ranges})
    calendar = Calendar(chosen.start, days, chosen.zone)
    estate = make_estate(meters, vendors, calendar, drawn)
    weather = make_weather(calendar, len(estate.regions), drawn)
    return World(calendar, estate, weather, make_happenings(calendar, estate, weather, drawn))


def plan(around: World, fault: str = "", cause: str = "unknown", mode: str = "", onset: int = ONSET) -> FaultPlan:
    """Return a plan by which all meters fail in the same way; without a fault none does."""
    size = around.estate.size
    return FaultPlan(
        np.full(size, fault, dtype="U16"),
        np.full(size, cause if fault else "", dtype="U20"),
        np.full(size, mode, dtype="U12"),
        np.full(size, onset, dtype=np.int64),
        (),
    )


def block(around: World, planned: FaultPlan | None = None, seed: int = 5, **ranges: tuple[float, float]) -> MeterBlock:
    """Return all meters of a world as one block."""
    return MeterBlock(around, planned or plan(around), np.arange(around.estate.size), draws(seed, **ranges))


def with_valves(around: World) -> World:
    """Return the world with a valve at every meter."""
    estate = replace(around.estate, valve=np.ones(around.estate.size, dtype=np.bool_))
    return replace(around, estate=estate)


def outdoors(around: World) -> World:
    """Return the world with every meter outdoors."""
    estate = replace(around.estate, installation=np.full(around.estate.size, 1))
    return replace(around, estate=estate)
