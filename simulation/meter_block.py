"""A block of meters on its way through the physics: the arrays that the steps hand on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simulation.calendar_hours import Calendar
from simulation.estate import Estate
from simulation.fault_plan import FaultPlan, Words, World
from simulation.parameters import Draws, Ints
from simulation.vendors import Vendor
from simulation.weather import Bools, Floats


@dataclass(frozen=True)
class MeterBlock:
    """Some meters of the fleet.

    Parameters
    ----------
    world : World
        What is around them.
    plan : FaultPlan
        What will fail.
    meters : ndarray of int, shape (n,)
        Their places in the fleet.
    draws : Draws
        Their own source of chance.
    """

    world: World
    plan: FaultPlan
    meters: Ints
    draws: Draws

    @property
    def size(self) -> int:
        """Number of meters."""
        return len(self.meters)

    @property
    def calendar(self) -> Calendar:
        """The record's calendar."""
        return self.world.calendar

    @property
    def estate(self) -> Estate:
        """The whole estate; index it with `meters`."""
        return self.world.estate

    @cached_property
    def fault(self) -> Words:
        """Planned fault, shape (n,)."""
        return self.plan.fault[self.meters]

    @cached_property
    def cause(self) -> Words:
        """Its cause, shape (n,)."""
        return self.plan.cause[self.meters]

    @cached_property
    def mode(self) -> Words:
        """How it shows, shape (n,)."""
        return self.plan.mode[self.meters]

    @cached_property
    def onset(self) -> Ints:
        """Hour in which its defect begins, shape (n,)."""
        return self.plan.onset[self.meters]

    @cached_property
    def vendors(self) -> list[Vendor]:
        """Module vendor of each."""
        return [self.estate.vendors[n] for n in self.estate.vendor[self.meters]]

    def of_vendor(self, name: str) -> Floats:
        """Return a number of each meter's vendor, shape (n,)."""
        values = np.array([float(getattr(each, name)) for each in self.estate.vendors])
        return values[self.estate.vendor[self.meters]]

    def sends(self, name: str) -> Bools:
        """Tell which meters' vendors have a property, shape (n,)."""
        return self.of_vendor(name) > 0

    @cached_property
    def reports_per_day(self) -> Floats:
        """Regular messages a day, shape (n,)."""
        return self.of_vendor("reports_per_day")

    @cached_property
    def case_c(self) -> Floats:
        """Temperature of the case, shape (n, n_hours) [°C]."""
        where = self.world.weather.case_c[self.estate.region[self.meters], self.estate.installation[self.meters]]
        return np.asarray(where + self.draws.rng.normal(0, 0.6, self.size)[:, None])

    @cached_property
    def flooded(self) -> Bools:
        """Days under water, shape (n, n_days)."""
        days = self.world.happenings.flooded[self.estate.region[self.meters]]
        return np.asarray(days & self.estate.flood_prone[self.meters][:, None])

    def is_mode(self, *modes: str) -> Bools:
        """Tell which fail in one of the ways, shape (n,)."""
        return np.isin(self.mode, modes)


def between(hours: int, first: Ints | Floats, last: Ints | Floats) -> Bools:
    """Return which hours lie between a first and a last one (excluded), shape (n, n_hours)."""
    at = np.arange(hours)
    return np.asarray((at >= np.asarray(first)[:, None]) & (at < np.asarray(last)[:, None]))
