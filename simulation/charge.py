"""The cells of a block: what drains them, day by day, and where that leaves them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.battery import LithiumThionylChlorideCell, load_voltage, resting_voltage
from simulation.meter_block import MeterBlock
from simulation.parameters import Ints, constant
from simulation.weather import Bools, Floats

DAYS_PER_YEAR = 365.25
POLLS_PER_DAY = constant("polls_per_day", 48.0, "1/d", "readings that a second program asks for")
_SHOWN_V = constant("shown_v", 0.03, "V", "fall below the plateau that counts as the onset of a dying cell")
_SHOWN_OHM = constant("shown_ohm", 0.25, "Ω", "growth of the resistance that counts as its onset")
_KNEE_V = constant(
    "knee_v",
    0.9,
    "V",
    "voltage lost when the charge is used up",
    "by eye from a recorded LS14500 (Tour Perret, CampusIoT)",
)
_FILM_DAYS = constant("film_days", 1.6, "d", "time in which a passivation film decays by e")
BROWN_OUT_V = constant(
    "brown_out_v", 0.25, "V", "above the cut-off, where every second time a module starts again instead of transmitting"
)


@dataclass(frozen=True, slots=True)
class Charge:
    """The cells of a block.

    Parameters
    ----------
    cell : LithiumThionylChlorideCell
        Parameters of shape (n, 1).
    used_mah : ndarray of float, shape (n, n_days + 1)
        Charge used by the begin of each day, and by the record's end.
    uplinks_per_day : ndarray of float, shape (n, n_days)
        Messages beside the regular ones.
    cut_off_v : ndarray of float, shape (n,)
        Loaded voltage below which nothing is sent.
    film_ohm : ndarray of float, shape (n, n_days)
        What a passivation film adds.
    first, last : ndarray of float, shape (n,)
        Hours between which the cell is bad; infinite where it is not.
    empty_hour : ndarray of float, shape (n,)
        From when it is too weak to transmit for good; infinite where it never is.
    """

    cell: LithiumThionylChlorideCell
    used_mah: Floats
    uplinks_per_day: Floats
    cut_off_v: Floats
    film_ohm: Floats
    first: Floats
    last: Floats
    empty_hour: Floats

    def at(self, rows: Ints, hour: Floats, case_c: Floats, day: Ints, day_start: Ints) -> tuple[Floats, Floats]:
        """Return the voltages at rest and under load of meters at hours, each of shape (k,)."""
        part = np.clip((hour - day_start[day]) / np.maximum(day_start[day + 1] - day_start[day], 1), 0.0, 1.0)
        used = self.used_mah[rows, day] * (1 - part) + self.used_mah[rows, day + 1] * part
        replaced = hour >= self.last[rows]
        used = np.where(replaced, 0.01 * np.asarray(self.cell.capacity_mah)[rows, 0], used)
        cell = _of_rows(self.cell, rows, replaced)
        rest = resting_voltage(cell, case_c, used)
        load = load_voltage(
            cell, rest, case_c, used_mah=used, film_ohm=np.where(replaced, 0.0, self.film_ohm[rows, day])
        )
        return rest, load


_FIELDS = ("capacity_mah", "working_v", "temperature_v_per_k", "resistance_ohm", "resistance_ratio_cold", "knee_share",
           "knee_v", "worn_ratio", "worn_share")  # fmt: skip


def _of_rows(cell: LithiumThionylChlorideCell, rows: Ints, replaced: Bools) -> LithiumThionylChlorideCell:
    """Return the cells of rows; one that was replaced behaves in the cold as it should."""
    values = {name: np.asarray(getattr(cell, name))[rows, 0] for name in _FIELDS}
    values["resistance_ratio_cold"] = np.where(replaced, 3.0, values["resistance_ratio_cold"])
    return LithiumThionylChlorideCell(**values)


def drain(block: MeterBlock, coverage: Ints, silent_days: Floats) -> Charge:
    """Return the cells of a block.

    Parameters
    ----------
    block : MeterBlock
        The meters.
    coverage : ndarray of int, shape (n,)
        Their coverage class.
    silent_days : ndarray of float, shape (n, n_days)
        Days of radio silence before each day, after which a film has grown.
    """
    draws, rng, days, size = block.draws, block.draws.rng, block.calendar.days, block.size
    capacity = block.of_vendor("capacity_mah")
    failing = block.fault == "battery"
    factor = np.choose(coverage, [np.ones(size), np.full(size, 1.5), draws.many("coverage_factor", size)])
    uplink = draws.many("uplink_mah", size) * factor
    idle = draws.many("base_ma", size) * 24 + draws.many("self_discharge", size) * capacity / DAYS_PER_YEAR
    usual = idle + block.reports_per_day * uplink
    started = np.where(failing, np.maximum(block.onset // 24, 1), days + 1)
    on = np.arange(days) >= started[:, None]
    extra = _extra_uplinks(block) * on
    rng_days = rng.random(size)
    span = np.where(block.is_mode("storm"), draws.many("storm_days", size), 22 + 36 * rng_days)
    leak_ma = np.where(block.is_mode("leakage"), draws.many("leak_ma", size), 0.0)
    leak_ma += np.where(block.is_mode("sleepless"), draws.many("module_ma", size), 0.0)
    daily = usual[:, None] + extra * uplink[:, None] / factor[:, None] + on * (leak_ma * 24)[:, None]
    total = np.concatenate([np.zeros((size, 1)), np.cumsum(daily, axis=1)], axis=1)
    # The end is planned: what the cell holds at the begin follows from what it must last for.
    end = np.where(block.is_mode("knee"), started, np.minimum(started + span, days + 30)).astype(np.float64)
    last_day = np.minimum(end, days).astype(np.int64)
    by_end = total[np.arange(size), last_day] + np.maximum(end - days, 0.0) * daily[:, -1]
    planned = failing & ~block.is_mode("cold_sag")
    age_y = np.maximum(block.estate.age_y[block.meters], 0.0)
    worn = np.minimum(age_y * DAYS_PER_YEAR * usual, 0.93 * capacity - total[:, -1])
    start = np.where(planned, np.maximum(capacity - by_end, 0.02 * capacity), np.maximum(worn, 0.01 * capacity))
    knee_days = draws.many("knee_days", size)
    final = daily[np.arange(size), np.minimum(last_day, days - 1)]
    sags = block.is_mode("cold_sag")
    cold_ratio = np.where(sags, draws.many("cold_ratio", size), draws.many("resistance_ratio_cold", size))
    cell = LithiumThionylChlorideCell(
        capacity_mah=_column(capacity),
        working_v=_column(draws.many("working_v", size)),
        temperature_v_per_k=_column(draws.many("temperature_v_per_k", size)),
        resistance_ohm=_column(draws.many("resistance_ohm", size) * np.where(sags, 1.2, 1.0)),
        resistance_ratio_cold=_column(cold_ratio),
        knee_share=_column(knee_days * final / capacity),
        knee_v=_column(np.full(size, _KNEE_V)),
        worn_ratio=_column(np.where(planned, draws.many("worn_ratio", size), 0.0)),
        worn_share=_column(draws.many("worn_days", size) * final / capacity),
    )
    film = _films(block, silent_days)
    charge = Charge(
        cell, start[:, None] + total, extra, draws.many("cut_off_v", size), film,
        np.full(size, np.inf), np.full(size, np.inf), np.full(size, np.inf),
    )  # fmt: skip
    return _shown(block, charge, planned)


def _column(values: Floats) -> Floats:
    return values[:, None]


def _extra_uplinks(block: MeterBlock) -> Floats:
    storm = np.where(block.is_mode("storm"), block.draws.many("storm_per_day", block.size), 0.0)
    spread = block.draws.rng.uniform(0.6, 1.3, (block.size, block.calendar.days))
    return np.asarray(storm[:, None] * spread + np.where(block.is_mode("polled"), POLLS_PER_DAY, 0.0)[:, None])


def _films(block: MeterBlock, silent_days: Floats) -> Floats:
    """Return what passivation adds on each day: after storage for new meters, after long silence for all."""
    size, days = block.size, block.calendar.days
    at = np.arange(days)
    first_day = block.estate.first_hour[block.meters] // 24
    since = np.where((first_day > 0)[:, None], np.maximum(at - first_day[:, None], 0), np.inf)
    size_ohm = block.draws.many("passivation_ohm", size)
    film = size_ohm[:, None] * np.exp(-since / _FILM_DAYS)
    return np.asarray(film + 0.5 * size_ohm[:, None] * np.clip(silent_days / 10.0, 0.0, 1.0))


def _shown(block: MeterBlock, charge: Charge, planned: Bools) -> Charge:
    """Find when each failing cell begins to show it, and when it is empty, by its state at every noon."""
    calendar = block.calendar
    first, empty = charge.first, charge.empty_hour
    for meter in np.flatnonzero(block.fault == "battery"):
        rows = np.full(calendar.days, meter)
        day = np.arange(calendar.days)
        noon = np.minimum(calendar.day_start[:-1] + 6, calendar.hours - 1)
        rest, load = charge.at(rows, noon.astype(np.float64), block.case_c[meter, noon], day, calendar.day_start)
        if not planned[meter]:
            weak = np.flatnonzero(load < charge.cut_off_v[meter] + 2 * BROWN_OUT_V)
            first[meter] = noon[weak[0]] if len(weak) else np.inf
            continue
        slope = np.asarray(charge.cell.temperature_v_per_k)[meter, 0]
        plateau = np.asarray(charge.cell.working_v)[meter, 0] + slope * (block.case_c[meter, noon] - 20.0)
        ohm = np.asarray(charge.cell.resistance_ohm)[meter, 0]
        used = charge.used_mah[meter, :-1] / np.asarray(charge.cell.capacity_mah)[meter, 0]
        worn = np.asarray(charge.cell.worn_ratio)[meter, 0] * np.exp(
            np.minimum((used - 1) / np.asarray(charge.cell.worn_share)[meter, 0], 0.0)
        )
        shown = np.flatnonzero((plateau - rest > _SHOWN_V) | (worn * ohm > _SHOWN_OHM))
        drained = block.is_mode("storm", "leakage", "polled")[meter]
        seen = float(noon[shown[0]]) if len(shown) else np.inf
        first[meter] = min(float(block.onset[meter]), seen) if drained else seen
        weak = np.flatnonzero(load < charge.cut_off_v[meter])
        empty[meter] = noon[weak[0]] if len(weak) else np.inf
    return charge
