"""The radio of a block: signal by day, who is silent when, and what becomes of a message on its way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.fault_plan import COVERAGE_1_DBM, COVERAGE_2_DBM
from simulation.happenings import RADIO_OUTAGE
from simulation.meter_block import MeterBlock
from simulation.parameters import Ints, constant
from simulation.weather import Bools, Floats

_LOSS_DBM = constant(
    "loss_dbm", -120.0, "dBm", "signal at which half of the uplinks that can be lost are",
    "-114 dBm single, -130 dBm repeated (M5311 data sheet)",
)  # fmt: skip
_LOSS_WIDTH_DB = constant("loss_width_db", 2.5, "dB", "width of that cliff")
_MOST_LOST = constant("most_lost", 0.6, "1", "uplinks lost at hardly any signal; the others get through repeated")


@dataclass(frozen=True, slots=True)
class Radio:
    """The radio of a block.

    Parameters
    ----------
    rssi_dbm : ndarray of float, shape (n, n_days)
        Signal of the day.
    coverage : ndarray of int, shape (n,)
        Usual coverage class.
    silent : ndarray of bool, shape (n, n_hours)
        Nothing comes through.
    until : ndarray of int, shape (n, n_hours)
        For hours of an outage after which stored messages arrive: the hour of its end; else 0.
    silent_days : ndarray of float, shape (n, n_days)
        Days of the meter's own silence before each day.
    """

    rssi_dbm: Floats
    coverage: Ints
    silent: Bools
    until: Ints
    silent_days: Floats


def listen(block: MeterBlock) -> Radio:
    """Return the radio of a block."""
    draws, rng, calendar, size = block.draws, block.draws.rng, block.calendar, block.size
    usual = block.estate.rssi_dbm[block.meters].copy()
    # A cell that dies of bad coverage has it.
    worst = (block.fault == "battery") & (block.cause == "coverage")
    usual = np.where(worst, np.minimum(usual, COVERAGE_2_DBM - rng.uniform(0.5, 3.5, size)), usual)
    rssi = usual[:, None] + rng.normal(0, 1.2, (size, calendar.days))
    rssi -= block.flooded * draws.many("flood_rssi_db", size)[:, None]
    silent = np.zeros((size, calendar.hours), dtype=np.bool_)
    lone = draws.some("lone_failure_share", size) & ~np.isin(block.fault, ["battery", "low_temperature"])
    first = rng.integers(calendar.hours // 20, calendar.hours, size)
    # A third for good, the others for days to weeks.
    length = np.where(rng.random(size) < 0.33, calendar.hours, np.exp(rng.uniform(np.log(30), np.log(600), size)))
    at = np.arange(calendar.hours)
    own = lone[:, None] & (at >= first[:, None]) & (at < (first + length)[:, None])
    silent |= own
    until = np.zeros((size, calendar.hours), dtype=np.int64)
    site, region = block.estate.site[block.meters], block.estate.region[block.meters]
    for each in block.world.happenings.of_kind(RADIO_OUTAGE):
        hit = (site == each.site) if each.site >= 0 else (region == each.region)
        silent[hit, each.first : each.last] = True
        if each.stored:
            until[hit, each.first : each.last] = each.last
    return Radio(rssi, coverage_class(usual), silent, until, _silence(own, calendar.day_start))


def coverage_class(rssi_dbm: Floats) -> Ints:
    """Return the NB-IoT coverage class of a signal."""
    return (rssi_dbm < COVERAGE_1_DBM).astype(np.int64) + (rssi_dbm < COVERAGE_2_DBM)


def loss_probability(rssi_dbm: Floats, usual: float) -> Floats:
    """Return how likely an uplink is lost: seldom, until the signal falls off a cliff."""
    cliff = 1.0 / (1.0 + np.exp(np.clip((rssi_dbm - _LOSS_DBM) / _LOSS_WIDTH_DB, -50, 50)))
    return np.asarray(usual + (_MOST_LOST - usual) * cliff)


def _silence(own: Bools, day_start: Ints) -> Floats:
    """Return how many days of own silence lie right before each day, decaying once it is over."""
    quiet = own[:, np.minimum(day_start[:-1] + 1, own.shape[1] - 1)]
    run = np.zeros(quiet.shape)
    for day in range(1, quiet.shape[1]):
        run[:, day] = np.where(quiet[:, day - 1], run[:, day - 1] + 1, run[:, day - 1] * 0.5)
    return np.where(quiet, 0.0, run)
