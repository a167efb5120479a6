"""Every parameter of a labelled fleet: its range, unit, meaning and source; ``docs/simulation.md`` is made from it.

A parameter is a range, not a number. A fleet draws from it once, each meter or each event draws its own. A scenario
narrows or moves ranges. What no public source says is marked assumed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError
from simulation.weather import Floats

Ints = npt.NDArray[np.int64]
Ranges = Mapping[str, tuple[float, float]]
ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Parameters
    ----------
    name : str
        Ends in its unit where it has one.
    low, high : float
        Range from which it is drawn.
    unit : str
        Unit; ``1`` for a share or a ratio.
    meaning : str
        One phrase.
    source : str
        Where the range comes from, or ``assumed``.
    drawn : str
        Once a ``fleet``, once a ``meter``, or once an ``event``.
    log : bool
        Drawn evenly by its logarithm.
    """

    name: str
    low: float
    high: float
    unit: str
    meaning: str
    source: str = ASSUMED
    drawn: Literal["fleet", "meter", "event"] = "fleet"
    log: bool = False


def _meter(
    name: str, low: float, high: float, unit: str, meaning: str, source: str = ASSUMED, *, log: bool = False
) -> Parameter:
    return Parameter(name, low, high, unit, meaning, source, "meter", log)


def _event(
    name: str, low: float, high: float, unit: str, meaning: str, source: str = ASSUMED, *, log: bool = False
) -> Parameter:
    return Parameter(name, low, high, unit, meaning, source, "event", log)


SECTIONS: Mapping[str, tuple[Parameter, ...]] = {
    "Fleet": (
        Parameter("incidence", 0.035, 0.050, "1", "share of the meters that a fault is planned for in 150 days",
                  "the reference incidence of 2 to 6 % in 4 to 5 months (docs/contract.md, section 7)"),
        Parameter("meters_of_a_site", 30, 90, "1", "meters of one estate, building or row of pits", drawn="event"),
        Parameter("meters_of_a_lot", 40, 110, "1", "meters of one production lot", drawn="event", log=True),
        Parameter("age_y", 0.2, 7.5, "a", "age of a site's meters; use is limited to 6 years for small ones",
                  "JJG 162-2019: at most 6 years up to DN25, one or two more in practice", "event"),
        Parameter("outdoor_share", 0.22, 0.34, "1", "sites whose meters hang outdoors"),
        Parameter("pit_share", 0.18, 0.30, "1", "sites whose meters lie in pits"),
        Parameter("basement_share", 0.12, 0.2, "1", "sites whose meters hang in basements; the rest is indoor"),
        Parameter("flood_share", 0.3, 0.6, "1", "pit and basement sites that may be under water"),
        Parameter("valve_share", 0.5, 0.65, "1", "sites whose meters have a valve"),
        Parameter("bad_lot_failures", 0.15, 0.35, "1", "share of a bad lot's meters that fail in the record",
                  "an estate that lost a third of its meters in four years (press); the pace is assumed", "event"),
        Parameter("new_share", 0.01, 0.03, "1", "meters installed within the record"),
        Parameter("exchanged_share", 0.003, 0.01, "1", "meters exchanged for age within the record, without a fault"),
    ),
    "Weather": (
        Parameter("mean_c", 12.5, 15.5, "°C", "mean air temperature of the year"),
        Parameter("seasonal_c", 11.5, 13.5, "K", "half the difference between the warmest and coldest day"),
        Parameter("diurnal_c", 3.5, 5.5, "K", "half the difference between afternoon and dawn"),
        Parameter("day_noise_c", 1.8, 2.8, "K", "standard deviation of a day around the season"),
        Parameter("odd_thermometer_share", 0.003, 0.008, "1", "meters whose thermometer is wrong by several kelvin"),
        Parameter("region_offset_c", -1.5, 1.5, "K", "a region against the others", drawn="event"),
        Parameter("cold_snaps", 2, 3, "1", "cold snaps within the record's winter"),
        Parameter("cold_snap_c", -12.0, -7.0, "K", "depth of a snap against the season",
                  "reported freezes: -9.3 °C Hangzhou 2016, -11 °C Zhengzhou 2021 (press)", "event"),
        Parameter("cold_snap_days", 4, 9, "d", "length of a snap",
                  "reported freezes last 2 to 6 days (press)", "event"),
        Parameter("wet_day_share", 0.15, 0.28, "1", "days with rain"),
        Parameter("rain_mm", 4, 9, "mm", "mean rain of a wet day"),
        Parameter("downpours", 1, 3, "1", "days of heavy rain a region sees"),
        Parameter("downpour_mm", 35, 90, "mm", "rain of such a day", drawn="event"),
    ),
    "Consumption": (
        _meter("people", 1.0, 4.5, "1", "persons behind a meter"),
        _meter("litres_per_person_day", 70, 150, "L/d", "water a person draws"),
        _meter("draws_per_person_day", 10, 18, "1/d", "times a person opens a tap"),
        Parameter("vacant_share", 0.06, 0.11, "1", "homes that are empty all the time"),
        Parameter("move_share", 0.05, 0.10, "1", "homes that people move into or out of"),
        Parameter("holiday_share", 0.35, 0.6, "1", "homes that are left for a holiday"),
        _event("holiday_days", 3, 16, "d", "length of a holiday"),
        Parameter("rare_share", 0.02, 0.05, "1", "meters that are seldom used: garages, gardens, second homes"),
        Parameter("business_share", 0.02, 0.05, "1", "shops and offices, closed at night and on Sundays"),
        Parameter("drip_share", 0.03, 0.07, "1", "homes with a running toilet all the time"),
        _meter("drip_m3h", 0.001, 0.006, "m³/h", "what it lets run", log=True),
        Parameter("leak_share", 0.02, 0.05, "1", "homes in which a leak begins within the record"),
        _event("leak_m3h", 0.004, 0.15, "m³/h", "size of a leak", log=True),
        _event("leak_days", 4, 60, "d", "until it is repaired", log=True),
        Parameter("filling_share", 0.01, 0.03, "1", "homes that fill a pool or a tank within the record"),
        _event("filling_m3h", 0.6, 2.2, "m³/h", "flow while they do"),
        Parameter("backflow_share", 0.002, 0.006, "1", "meters with some flow backwards"),
    ),
    "Sensing": (
        _meter("amplitude_mv", 420, 780, "mV", "sensing amplitude of a healthy meter"),
        _event("pulse_loss", 0.35, 0.95, "1", "share of the pulses that a bad sensor loses",
               "a marginal signal loses dozens to hundreds of pulses (maker's forum)"),
        _event("fade_days", 15, 60, "d", "time in which a fading amplitude halves"),
        _event("bounce_share", 0.25, 0.9, "1", "hours with flow in which a bouncing reed counts double or fourfold",
               "users of reed pulse loggers report +1, ×2 and ×4 counts; how often is assumed"),
        _event("backward_per_day", 0.25, 2.0, "1/d", "how often a bad sensor counts backwards"),
        _event("backward_m3", 0.001, 0.03, "m³", "how far", "recordings of Alicante: -1 to -40 L", log=True),
        _event("bit_jumps", 2, 7, "1", "how often register bits flip",
               "recordings of Alicante: 3 × 4096 L; how often is assumed"),
        _event("loss_below_c", -4.0, 2.0, "°C", "case temperature below which a drifted coil loses its pulses"),
        Parameter("register_restart_share", 0.002, 0.005, "1",
                  "meters whose register part is exchanged below the same module: it starts again near zero"),
        Parameter("stuck_with_sign_share", 0.7, 0.85, "1", "stuck meters that show more than a register that stands"),
    ),
    "Battery": (
        _meter("working_v", 3.58, 3.65, "V", "resting voltage at 20 °C", "Tadiran: 3.60 working, 3.67 open circuit"),
        _meter("temperature_v_per_k", 0.0015, 0.004, "V/K", "slope of the plateau over temperature",
               "at most 0.10 V between +15 and -10 °C"),
        _meter("resistance_ohm", 0.3, 0.7, "Ω", "of the cell with its capacitor at 20 °C"),
        _meter("resistance_ratio_cold", 2.5, 3.5, "1", "resistance at -10 °C against 20 °C",
               "about three times (trade page, order of magnitude only)"),
        _meter("knee_days", 0.9, 2.6, "d", "time in which the end of the plateau grows by e, at the drain of that time",
               "1.4 d by eye from a recorded LS14500 (Tour Perret, CampusIoT); the spread is assumed", log=True),
        _meter("worn_ratio", 1.5, 5.0, "1", "by how many times the resistance has grown when the cell is empty"),
        _meter("worn_days", 6, 16, "d", "time in which that growth falls by e, back from the end"),
        _meter("base_ma", 0.008, 0.014, "mA", "base current with sensing",
               "module below 3 µA, LC sensing 2 to 4 µA (data sheets), the rest assumed"),
        _meter("self_discharge", 0.008, 0.015, "1/a", "share of the capacity lost a year",
               "below 1 % (Saft); up to 3 % for poor cells (trade press)"),
        _meter("uplink_mah", 0.08, 0.22, "mAh", "charge of one uplink in good coverage",
               "0.5 to 2 J (unconfirmed)", log=True),
        _meter("coverage_factor", 5, 10, "1", "uplink charge at coverage class 2 against good coverage",
               "5 to 10 times (unconfirmed); a cliff, not a slope (Michelinakis 2020)"),
        _meter("cut_off_v", 2.1, 2.5, "V", "loaded voltage below which the module does not transmit",
               "2.0 V cut-off of a small cell (EEMB data sheet); modules assumed"),
        _event("leak_ma", 0.4, 3.0, "mA", "leakage of wet electronics",
               "0.1 mA would be 876 mAh a year; a flooded meter is assumed far above", log=True),
        _event("storm_per_day", 60, 240, "1/d", "uplinks a day of a report storm"),
        _event("storm_days", 20, 45, "d", "from the storm's begin to the end of the cell"),
        _event("module_ma", 0.6, 2.5, "mA", "current of a module whose firmware does not sleep",
               "0.4 mA idle, 54 mA receiving (M5311 data sheet); the mix is assumed", log=True),
        _event("cold_ratio", 7, 11, "1", "resistance at -10 °C against 20 °C of a cell that fails in the cold"),
        _event("passivation_ohm", 1.5, 4.5, "Ω", "added by the film after storage or long silence; decays in days",
               "first load dips and recovers (Fanso); size assumed"),
    ),
    "Valve": (
        _meter("travel_s", 3.5, 7.5, "s", "stroke of a clean valve", "in position within about 8 s (public firmware)"),
        _meter("running_ma", 45, 75, "mA", "motor current of a clean valve", "60 mA in a usual charge budget"),
        _meter("stall_ma", 200, 240, "mA", "current at which firmware calls a stall", "220 mA (public firmware)"),
        _meter("time_out_s", 15, 25, "s", "when the firmware gives up"),
        Parameter("commanded_share", 0.12, 0.25, "1", "meters with a valve that are closed and opened for arrears"),
        _event("closed_days", 1, 12, "d", "how long such a meter stays closed", log=True),
        Parameter("refusal_share", 0.05, 0.12, "1", "commands that a healthy meter refuses"),
        _event("friction_per_day", 0.02, 0.08, "1/d", "growth of friction by sediment, in clean strokes"),
        _event("seat_leak_m3h", 0.01, 0.12, "m³/h", "what a gritted or pried seat lets through", log=True),
        _event("cold_friction", 0.0, 0.35, "1", "friction added at -10 °C in a healthy valve, from 10 °C on"),
    ),
    "Frost": (
        _meter("lagged_w_per_m2_k", 0.02, 0.07, "W/(m²·K)", "heat loss of a lagged pipe, less what the ground gives it",
               "assumed: 1 to 2 for the lagging alone (textbook order)"),
        _event("bare_w_per_m2_k", 4.0, 10.0, "W/(m²·K)", "heat loss of a bare pipe",
               "textbook order: 10 in still air"),
        _event("break_factor", 1.3, 3.0, "1", "the pipe breaks after so many times the heat that freezes it solid"),
        Parameter("thawed_share", 0.4, 0.7, "1", "frozen pipes that somebody thaws by hand once it is noticed"),
        _event("burst_m3h", 0.3, 1.8, "m³/h", "flow from a burst pipe at the thaw", log=True),
    ),
    "Radio": (
        Parameter("site_rssi_dbm", -104, -84, "dBm", "signal of a site",
                  "planning target above -110 dBm (Fuzhou, 300,000 meters)", "event"),
        _meter("meter_rssi_db", -7, 7, "dB", "a meter against its site"),
        Parameter("lost_share", 0.004, 0.015, "1", "uplinks lost in good coverage"),
        Parameter("doubled_share", 0.004, 0.012, "1", "uplinks that arrive twice"),
        Parameter("late_share", 0.005, 0.015, "1", "uplinks that arrive hours or days late"),
        Parameter("lone_failure_share", 0.015, 0.03, "1", "meters whose radio alone is silent for a while or for good"),
        Parameter("outages_of_a_site", 0.1, 0.25, "1", "radio outages of one site within the record"),
        Parameter("region_outages", 0, 2, "1", "radio outages of a whole region within the record"),
        _event("outage_h", 8, 110, "h", "length of a radio outage", log=True),
        Parameter("wrong_clock_share", 0.01, 0.02, "1", "meters whose clock is wrong by minutes to hours"),
        Parameter("counter_reset_share", 0.02, 0.05, "1", "meters whose message counter starts again without a fault"),
        Parameter("lost_clock_share", 0.001, 0.003, "1",
                  "meters that send a few messages of the year 1970 after a reset; they are meant for quarantine"),
        Parameter("two_programs_share", 0.004, 0.01, "1", "meters that two programs operate"),
        _event("flood_rssi_db", 6, 20, "dB", "signal lost while a pit is under water",
               "radios in often-flooded holes fail first (press); size assumed"),
    ),
    "Noticing": (
        _event("noticed_undercount_days", 20, 55, "d", "from too few counts to a bill that is far too low"),
        _event("noticed_overcount_days", 12, 45, "d", "from wrong or too many counts to a complaint"),
        _event("noticed_cold_count_days", 8, 30, "d", "from the first pulses lost in the cold to somebody who notices"),
        _event("noticed_silence_days", 3, 10, "d", "from an empty cell, or a meter killed by frost, to a call"),
        _event("noticed_brown_out_days", 1, 8, "d", "from a cell too weak in the cold to somebody who misses data"),
        _event("noticed_valve_days", 1, 8, "d", "from the first command that a valve does not obey to a call"),
        _event("noticed_seat_days", 3, 15, "d", "from a valve that closes and leaks to somebody who sees the flow"),
        _event("noticed_no_order_days", 30, 70, "d", "the same for a valve that nobody orders"),
        _event("noticed_dry_days", 0.4, 2.5, "d", "from a frozen pipe to a call, if somebody is at home"),
        _event("noticed_burst_days", 0.2, 2.5, "d", "from the thaw of a broken pipe to a call"),
        _event("thawed_days", 0.1, 3.0, "d", "from that call to a pipe that is thawed by hand"),
        _event("burst_mended_days", 0.5, 5.0, "d", "from the leak or the call, whichever is later, to a new pipe"),
        _event("visited_days", 0.5, 9.0, "d", "from the notice to a technician's visit"),
    ),
    "Works and people": (
        Parameter("works_of_a_site", 0.12, 0.25, "1", "pipe works of one site within the record"),
        Parameter("water_outages_of_a_site", 0.1, 0.3, "1", "announced outages of water of one site within the record"),
        Parameter("inspected_share", 0.55, 0.75, "1", "noticed faults that a technician visits"),
        Parameter("repaired_share", 0.4, 0.6, "1", "of these, repaired or exchanged at once"),
        Parameter("exchange_share", 0.3, 0.5, "1", "of these, exchanged: a new meter reports from then on"),
        Parameter("read_share", 0.2, 0.4, "1", "meters with a bad sensor whose register a reader writes down on site"),
        Parameter("read_in_vain_share", 0.01, 0.03, "1", "healthy meters whose register a reader writes down on site"),
        Parameter("no_defect_share", 0.01, 0.02, "1", "healthy meters that a technician visits in vain"),
        Parameter("reported_share", 0.5, 0.75, "1", "noticed faults that a customer reports"),
        Parameter("idle_report_share", 0.005, 0.012, "1", "healthy meters of which a customer complains"),
        Parameter("tamper_share", 0.003, 0.008, "1", "meters that somebody holds a magnet to, without lasting harm"),
    ),
}  # fmt: skip

PARAMETERS: Mapping[str, Parameter] = {each.name: each for group in SECTIONS.values() for each in group}


def evenly_by_logarithm(rng: np.random.Generator, low: float, high: float, size: int | tuple[int, ...]) -> Floats:
    """Return numbers between two ends whose logarithms are evenly spread."""
    return np.asarray(np.exp(rng.uniform(math.log(low), math.log(high), size)))


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that is the same in every fleet: its value, unit, meaning and source."""

    value: float
    unit: str
    meaning: str
    source: str


CONSTANTS: dict[str, Constant] = {}


def constant(name: str, value: float, unit: str, meaning: str, source: str = ASSUMED) -> float:
    """Return `value`, and put it down for the documentation."""
    CONSTANTS[name] = Constant(value, unit, meaning, source)
    return value


class Draws:
    """Draws parameters from the ranges of a scenario.

    Parameters
    ----------
    ranges : mapping of str to (float, float)
        Ranges that differ from the defaults.
    rng : numpy.random.Generator
        Source of chance.
    """

    def __init__(self, ranges: Ranges, rng: np.random.Generator) -> None:
        self.ranges = ranges
        self.rng = rng

    def span(self, name: str) -> tuple[float, float]:
        """Return the range of a parameter."""
        known = PARAMETERS[name]
        return self.ranges.get(name, (known.low, known.high))

    def many(self, name: str, size: int) -> Floats:
        """Return `size` values of a parameter."""
        low, high = self.span(name)
        if PARAMETERS[name].log:
            return evenly_by_logarithm(self.rng, low, high, size)
        return np.asarray(self.rng.uniform(low, high, size))

    def one(self, name: str) -> float:
        """Return one value."""
        return float(self.many(name, 1)[0])

    def count(self, name: str) -> int:
        """Return one whole number, both ends of the range included."""
        low, high = self.span(name)
        return int(self.rng.integers(round(low), round(high) + 1))

    def some(self, name: str, among: int) -> npt.NDArray[np.bool_]:
        """Return which of `among` have something, each with the probability that the parameter is."""
        return np.asarray(self.rng.random(among) < self.one(name))


def check_ranges(ranges: Ranges) -> None:
    """Check that ranges are of parameters that exist, in order, and drawable.

    Raises
    ------
    UsageError
        They are not.
    """
    for name, (low, high) in ranges.items():
        if name not in PARAMETERS:
            raise UsageError(f"ranges: there is no parameter {name!r}; docs/simulation.md lists them")
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise UsageError(f"ranges: {name} = [{low}, {high}] is no range; write [low, high]")
        if PARAMETERS[name].log and low <= 0:
            raise UsageError(f"ranges: {name} = [{low}, {high}] must lie above 0")
        if name.endswith("_share") and not (low >= 0 and high <= 1):
            raise UsageError(f"ranges: {name} = [{low}, {high}] is a share, between 0 and 1")
