"""Which meter will fail, of what cause, in which way and from when: chosen among those that the cause can reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError
from lake.vocabulary import CAUSES, FAULTS
from simulation.calendar_hours import Calendar
from simulation.estate import INDOOR, OUTDOOR, PIT, Estate
from simulation.happenings import PIPE_WORKS, Happenings
from simulation.parameters import Draws, Ints, constant
from simulation.regional_weather import RegionalWeather
from simulation.weather import Bools, Floats

Words = npt.NDArray[np.str_]
_CLASSES = "144, 154 and 164 dB of coupling loss (trade page); the signal is assumed"
COVERAGE_1_DBM = constant(
    "coverage_1_dbm", -107.0, "dBm", "signal below which a meter is in coverage class 1", _CLASSES
)
COVERAGE_2_DBM = constant("coverage_2_dbm", -116.0, "dBm", "signal below which it is in class 2", _CLASSES)
_COIL_COLD_C = constant("coil_cold_c", -2.0, "°C", "a case that never gets colder does no harm to a coil")


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A fault by one cause.

    Parameters
    ----------
    fault, cause : str
        Words of the vocabulary.
    share : float
        Weight among all planned faults; assumed, no public source splits failures by cause.
    modes : tuple of str
        Ways in which it shows.
    circumstance : str
        What the meter must have gone through, for the documentation.
    """

    fault: str
    cause: str
    share: float
    modes: tuple[str, ...]
    circumstance: str

    def __post_init__(self) -> None:
        if self.fault not in FAULTS or self.cause not in CAUSES:
            raise UsageError(f"fault kind {self.fault!r} by {self.cause!r} is not in the vocabulary")


KINDS: tuple[FaultKind, ...] = (
    FaultKind("coil", "low_temperature", 6, ("cold_loss", "cold_loss", "cold_stuck"),
              "its case is colder than -2 °C; pulses are lost while it is cold, or for good from the coldest hour"),
    FaultKind("coil", "moisture", 4, ("fading", "fading", "stuck"), "its pit stood under water and it is not IP68"),
    FaultKind("coil", "age", 4, ("bounce", "partial", "backward"), "it has hung there for five years or more"),
    FaultKind("coil", "module", 3, ("bits",), "one firmware of one vendor stores register bits wrongly"),
    FaultKind("coil", "installation", 3, ("partial", "stuck"), "one installer mounted the module loosely"),
    FaultKind("coil", "tamper", 2, ("magnet",), "somebody holds a magnet to its reed switch or Hall sensor"),
    FaultKind("coil", "unknown", 6, ("stuck", "stuck", "partial", "backward", "bounce"), "nothing else explains it"),
    FaultKind("battery", "age", 5, ("knee",), "its cell has run for more than five years"),
    FaultKind("battery", "coverage", 5, ("knee",), "it transmits in coverage class 1 or 2 with every repetition"),
    FaultKind("battery", "report_storm", 3, ("storm",), "it reports again and again, up to hundreds of times a day"),
    FaultKind("battery", "moisture", 4, ("leakage",), "its pit stood under water and it is not IP68"),
    FaultKind("battery", "low_temperature", 4, ("cold_sag",), "its cell's resistance grows too far in the cold"),
    FaultKind("battery", "module", 3, ("sleepless",), "one firmware of one vendor does not sleep"),
    FaultKind("battery", "software_conflict", 2, ("polled",), "a second program asks it for readings all day"),
    FaultKind("battery", "unknown", 3, ("knee",), "nothing else explains it"),
    FaultKind("actuator", "sediment", 7, ("grit",), "pipe works at its site released sediment"),
    FaultKind("actuator", "age", 4, ("stripped", "wear"), "it has hung there for five years or more"),
    FaultKind("actuator", "installation", 3, ("end_switch", "seat_leak"), "one installer strained the valve body"),
    FaultKind("actuator", "tamper", 2, ("pried",), "somebody forced it open"),
    FaultKind("actuator", "moisture", 2, ("stall",), "its pit stood under water and it is not IP68"),
    FaultKind("actuator", "low_temperature", 2, ("cold_stall",), "its grease stiffens in the cold"),
    FaultKind("actuator", "unknown", 4, ("stripped", "end_switch", "dead_valve", "stall"), "nothing else explains it"),
    FaultKind("low_temperature", "low_temperature", 16, ("pipe", "pipe", "pipe", "dead"),
              "its pipe is bare and the cold lasts: it blocks, bursts, or the meter dies"),
)  # fmt: skip
BATCH_SHARE = 16.0  # of production_batch, over all faults; assumed
BATCH_MODES: Mapping[str, tuple[str, ...]] = {
    "coil": ("fading", "partial", "backward"),
    "battery": ("knee",),
    "actuator": ("wear", "stall"),
}


@dataclass(frozen=True, slots=True)
class Culprit:
    """A lot, firmware or installer that is truly bad."""

    scope: str
    key: str
    fault: str
    cause: str


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What will fail; one row a meter.

    Parameters
    ----------
    fault, cause, mode : ndarray of str, shape (n_meters,)
        Empty where nothing fails.
    onset : ndarray of int, shape (n_meters,)
        Hour in which the defect begins; what it shows may begin later.
    culprits : tuple of Culprit
        Who is behind several of them.
    """

    fault: Words
    cause: Words
    mode: Words
    onset: Ints
    culprits: tuple[Culprit, ...]

    def extended(self, size: int) -> FaultPlan:
        """Return the plan for `size` meters, of which the new ones do not fail."""
        more = size - len(self.fault)

        def longer(texts: Words) -> Words:
            return np.append(texts, np.full(more, "", dtype=texts.dtype))

        onset = np.append(self.onset, np.zeros(more, dtype=np.int64))
        return FaultPlan(longer(self.fault), longer(self.cause), longer(self.mode), onset, self.culprits)


@dataclass(frozen=True, slots=True)
class World:
    """Everything around the meters."""

    calendar: Calendar
    estate: Estate
    weather: RegionalWeather
    happenings: Happenings

    def coldest_c(self) -> Floats:
        """Return the coldest case temperature of each meter, shape (n_meters,) [°C]."""
        lowest = self.weather.case_c.min(axis=2)
        return np.asarray(lowest[self.estate.region, self.estate.installation])


def plan_faults(world: World, draws: Draws) -> FaultPlan:
    """Return a plan: as many faults as the incidence says, shared among causes, each where it can happen."""
    return _Planner(world, draws).plan()


class _Planner:
    def __init__(self, world: World, draws: Draws) -> None:
        self.world, self.draws, self.rng = world, draws, draws.rng
        estate, size = world.estate, world.estate.size
        self.fault = np.full(size, "", dtype="U16")
        self.cause = np.full(size, "", dtype="U20")
        self.mode = np.full(size, "", dtype="U12")
        self.onset = np.zeros(size, dtype=np.int64)
        self.culprits: list[Culprit] = []
        self.sensing = np.array(estate.sensing())
        # Who joins late or leaves early has no fault of its own.
        self.free = (estate.first_hour == 0) & (estate.last_hour == world.calendar.hours)
        self.days = world.calendar.days

    def plan(self) -> FaultPlan:
        incidence = self.draws.one("incidence") * self.days / 150
        target = (
            self.rng.binomial(self.world.estate.size, min(incidence, 1.0))
            if incidence < 0.01
            else round(incidence * self.world.estate.size)
        )
        shares = np.array([kind.share for kind in KINDS])
        counts = self.rng.multinomial(
            target, [*(shares / (shares.sum() + BATCH_SHARE)), BATCH_SHARE / (shares.sum() + BATCH_SHARE)]
        )
        self._plan_lots(int(counts[-1]))
        # Causes with few candidates choose first.
        reach = [self._reach(kind) for kind in KINDS]
        for place in sorted(range(len(KINDS)), key=lambda n: int((reach[n] > 0).sum())):
            self._plan_kind(KINDS[place], reach[place], int(counts[place]))
        return FaultPlan(self.fault, self.cause, self.mode, self.onset, tuple(self.culprits))

    def _plan_kind(self, kind: FaultKind, reach: Floats, count: int) -> None:
        weight = reach * self.free
        if kind.cause in {"installation", "module"} and count:
            weight = self._concentrated(kind, weight)
        chosen = self._choose(weight, count)
        self._set(
            chosen, kind.fault, kind.cause, np.array(kind.modes)[self.rng.integers(0, len(kind.modes), len(chosen))]
        )

    def _choose(self, weight: Floats, count: int) -> Ints:
        possible = int((weight > 0).sum())
        if count == 0 or possible == 0:
            return np.empty(0, dtype=np.int64)
        return self.rng.choice(len(weight), min(count, possible), replace=False, p=weight / weight.sum())

    def _set(self, chosen: Ints, fault: str, cause: str, modes: Words) -> None:
        self.fault[chosen], self.cause[chosen], self.mode[chosen] = fault, cause, modes
        self.free[chosen] = False
        self.onset[chosen] = self._onsets(chosen, cause)
        # Only sensing by contacts bounces, and only it minds a magnet.
        contact = np.isin(self.sensing[chosen], ["reed"])
        wrong = (self.mode[chosen] == "bounce") & ~contact
        self.mode[chosen[wrong]] = "partial"

    def _onsets(self, chosen: Ints, cause: str) -> Ints:
        hours = self.world.calendar.hours
        spread = self.rng.uniform(0.13, 0.72, len(chosen)) * hours
        if cause == "moisture":
            return self._after_flood(chosen)
        if cause == "sediment":
            return self._after_works(chosen)
        return spread.astype(np.int64)

    def _after_flood(self, chosen: Ints) -> Ints:
        estate, flooded = self.world.estate, self.world.happenings.flooded
        first = np.empty(len(chosen), dtype=np.int64)
        for place, meter in enumerate(chosen):
            days = np.flatnonzero(flooded[estate.region[meter], : int(self.days * 0.75)])
            days = days[days >= self.days * 0.1]
            first[place] = self.rng.choice(days) * 24 + self.rng.integers(6, 72)
        return first

    def _after_works(self, chosen: Ints) -> Ints:
        begun = {each.site: each.last for each in self.world.happenings.of_kind(PIPE_WORKS)}
        sites = self.world.estate.site[chosen]
        return np.array([begun[int(site)] for site in sites], dtype=np.int64) + self.rng.integers(4, 60, len(chosen))

    def _reach(self, kind: FaultKind) -> Floats:  # noqa: PLR0911 - one line a circumstance
        estate = self.world.estate
        able = self._able(kind.fault)
        cause, fault = kind.cause, kind.fault
        if cause == "low_temperature":
            coldest = self.world.coldest_c()
            limit = -4.0 if fault in {"low_temperature", "battery"} else _COIL_COLD_C
            exposed = np.isin(estate.installation, [OUTDOOR] if fault == "low_temperature" else [OUTDOOR, PIT])
            return able * exposed * (coldest < limit)
        if cause == "moisture":
            days = self.world.happenings.flooded[:, int(self.days * 0.1) + 1 : int(self.days * 0.75)]
            return np.asarray(able * (estate.flood_prone & ~estate.waterproof & np.any(days, axis=1)[estate.region]))
        if cause == "age":
            return able * (estate.age_y >= 5)
        if cause == "coverage":
            return able * np.where(estate.rssi_dbm < COVERAGE_2_DBM, 5.0, estate.rssi_dbm < COVERAGE_1_DBM)
        if cause == "sediment":
            worked = [each.site for each in self.world.happenings.of_kind(PIPE_WORKS)]
            return able * np.isin(estate.site, worked)
        if cause == "tamper" and fault == "coil":
            return np.asarray(able * (np.isin(self.sensing, ["reed", "hall"]) & (estate.installation != INDOOR)))
        if fault == "battery" and cause == "unknown":
            return able * (estate.age_y < 4)
        return able

    def _able(self, fault: str) -> Floats:
        estate = self.world.estate
        if fault == "actuator":
            return estate.valve.astype(np.float64)
        if fault == "coil":  # an ultrasonic meter has nothing that counts
            return np.asarray(self.sensing != "ultrasonic", dtype=np.float64)
        return np.ones(estate.size)

    def _concentrated(self, kind: FaultKind, weight: Floats) -> Floats:
        """Leave the meters of one installer, or of one firmware of one vendor; any other would do as well."""
        estate = self.world.estate
        if kind.cause == "installation":
            group = estate.sites.installer[estate.site]
        else:
            group = estate.vendor * 100 + estate.firmware
        sizes = np.bincount(group, weights=weight > 0)
        if sizes.sum() == 0:
            return weight
        bad = int(self.rng.choice(len(sizes), p=sizes / sizes.sum()))
        meter = int(np.flatnonzero(group == bad)[0])
        if kind.cause == "installation":
            culprit = Culprit("installer", estate.installer_name(meter), kind.fault, kind.cause)
        else:
            vendor = estate.vendors[bad // 100]
            key = f"{vendor.name} {vendor.firmwares[bad % 100]}"
            culprit = Culprit("firmware", key, kind.fault, kind.cause)
        self.culprits.append(culprit)
        return np.asarray(weight * (group == bad))

    def _plan_lots(self, count: int) -> None:
        """Give up to `count` faults to lots that are bad; a lot below four failures would be no story."""
        estate = self.world.estate
        sizes = np.bincount(estate.lot)
        lots = list(self.rng.permutation(np.flatnonzero(sizes >= 20)))
        while count >= 4 and lots:
            lot = int(lots.pop())
            fault = str(self.rng.choice(list(BATCH_MODES)))
            weight = (estate.lot == lot) * self.free * self._able(fault)
            able = int((weight > 0).sum())
            failing = min(round(self.draws.one("bad_lot_failures") * able), count + 4)
            if failing < 4:
                continue
            chosen = self._choose(weight, failing)
            # All of a lot fail in the same way.
            modes = np.full(len(chosen), str(self.rng.choice(BATCH_MODES[fault])))
            self._set(chosen, fault, "production_batch", modes)
            self.culprits.append(Culprit("production_batch", estate.lot_name(lot), fault, "production_batch"))
            count -= failing


def cold_hours(world: World, meters: Ints, offset_c: Floats) -> Floats:
    """Return the case temperature of meters, shape (n, n_hours) [°C]."""
    estate = world.estate
    return np.asarray(world.weather.case_c[estate.region[meters], estate.installation[meters]] + offset_c[:, None])


def is_mode(plan: FaultPlan, meters: Ints, *modes: str) -> Bools:
    """Tell which of the meters fail in one of the ways."""
    return np.isin(plan.mode[meters], modes)
