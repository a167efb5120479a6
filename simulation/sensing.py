"""What the electronics count of the water that flows: all of it, or less, or more, or backwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.meter_block import MeterBlock
from simulation.parameters import Ints, constant, evenly_by_logarithm
from simulation.weather import Bools, Floats

_AMPLITUDE_PER_K = constant(
    "amplitude_per_k", 0.0008, "1/K", "share of the amplitude that a healthy coil loses per kelvin below 20 °C"
)
_LOSS_AT = constant("loss_at", 0.45, "1", "share of its amplitude at which half of the pulses are lost")
_LOSS_WIDTH = constant("loss_width", 0.04, "1", "width of that threshold")
_COLD_WIDTH_K = constant("cold_width_k", 0.7, "K", "width of the temperature below which pulses are lost")
_COUNT_M3 = constant("count_m3", 0.001, "m³", "volume of one pulse")
_NIGHT = (
    constant("magnet_from_h", 19, "h", "local hour from which a magnet is held to a meter"),
    constant("magnet_until_h", 7, "h", "local hour until which it is"),
)


@dataclass(frozen=True, slots=True)
class SensorDefect:
    """What is wrong with a block's sensors.

    Parameters
    ----------
    first, last : ndarray of float, shape (n,)
        Hours between which it shows; infinite where nothing does.
    loss : ndarray of float, shape (n,)
        Share of the pulses lost where it is constant.
    fade_h : ndarray of float, shape (n,)
        Half-life of a fading amplitude.
    stutter_h : ndarray of float, shape (n,)
        How long pulses are lost before a register stands for good; 0: it stops at once.
    below_c : ndarray of float, shape (n,)
        Case temperature below which pulses are lost.
    open_coil : ndarray of bool, shape (n,)
        The amplitude breaks down with the register.
    told : ndarray of bool, shape (n,)
        The electronics notice, and send a code where they can.
    """

    first: Floats
    last: Floats
    loss: Floats
    fade_h: Floats
    stutter_h: Floats
    below_c: Floats
    open_coil: Bools
    told: Bools


@dataclass(frozen=True, slots=True)
class Sensed:
    """What was counted.

    Parameters
    ----------
    counted_m3 : ndarray of float, shape (n, n_hours)
        Increment of the register, sometimes negative [m³].
    lost_m3 : ndarray of float, shape (n, n_hours)
        What flowed and was not counted [m³].
    amplitude : ndarray of float, shape (n, n_days)
        Sensing amplitude against that of a healthy meter at 20 °C.
    """

    counted_m3: Floats
    lost_m3: Floats
    amplitude: Floats


def find_defects(block: MeterBlock) -> SensorDefect:
    """Return what is wrong with the sensors, without end but for those that only the cold disturbs."""
    draws, rng, size = block.draws, block.draws.rng, block.size
    failing = block.fault == "coil"
    first = np.where(failing, block.onset, np.inf).astype(np.float64)
    last = np.full(size, np.inf)
    coldest = block.case_c.min(axis=1)
    below_c = np.maximum(draws.many("loss_below_c", size), coldest + rng.uniform(1.0, 3.0, size))
    cold = block.is_mode("cold_loss")
    for meter in np.flatnonzero(cold | block.is_mode("cold_stuck")):
        below = np.flatnonzero(block.case_c[meter] < below_c[meter])
        if cold[meter]:
            first[meter], last[meter] = below[0], below[-1] + 1
        else:
            first[meter] = int(np.argmin(block.case_c[meter]))
    stutters = rng.random(size) < draws.one("stuck_with_sign_share")
    return SensorDefect(
        first=first,
        last=last,
        loss=draws.many("pulse_loss", size),
        fade_h=24 * draws.many("fade_days", size),
        stutter_h=np.where(stutters, rng.uniform(5, 20, size) * 24, 0.0),
        below_c=below_c,
        open_coil=rng.random(size) < 0.6,
        told=stutters & (rng.random(size) < 0.5),
    )


def sense(block: MeterBlock, flow_m3: Floats, defect: SensorDefect) -> Sensed:
    """Return what is counted of `flow_m3`, shape (n, n_hours)."""
    hours = np.arange(block.calendar.hours)
    counted = flow_m3.copy()
    amplitude = _healthy_amplitude(block)
    rows = np.flatnonzero(np.isfinite(defect.first))
    if len(rows):
        there = (hours >= defect.first[rows, None]) & (hours < defect.last[rows, None])
        gone = np.maximum(hours - defect.first[rows, None], 0.0)
        fading = np.where(there & block.is_mode("fading")[rows, None], 0.5 ** (gone / defect.fade_h[rows, None]), 1.0)
        share = np.where(there, lost_share(block, rows, defect, gone, fading), 0.0)
        pulses = np.round(flow_m3[rows] / _COUNT_M3).astype(np.int64)
        kept = block.draws.rng.binomial(pulses, 1.0 - share) * _COUNT_M3
        counted[rows] = np.where(share > 0, kept, flow_m3[rows])
        counted[rows] += _extra(block, rows, there, flow_m3[rows])
        opened = there & (block.is_mode("stuck", "cold_stuck") & defect.open_coil)[rows, None] & (share > 0.9)
        noon = np.minimum(block.calendar.day_start[:-1] + 12, len(hours) - 1)
        amplitude[rows] *= np.where(opened, 0.12, fading)[:, noon]
        sagging = there & block.is_mode("cold_loss")[rows, None]
        amplitude[rows] *= np.where(sagging, 1.0 - 0.6 * share, 1.0)[:, noon]
    return Sensed(counted, np.maximum(flow_m3 - counted, 0.0), amplitude)


def lost_share(block: MeterBlock, rows: Ints, defect: SensorDefect, gone_h: Floats, fading: Floats) -> Floats:
    """Return the share of the pulses that is lost in each hour while the defect is there, shape (rows, n_hours)."""
    mode = block.mode[rows, None]
    share = np.zeros(gone_h.shape)
    share = np.where(mode == "partial", np.minimum(gone_h / 72.0, 1.0) * defect.loss[rows, None], share)
    share = np.where(mode == "fading", 1.0 / (1.0 + np.exp((fading - _LOSS_AT) / _LOSS_WIDTH)), share)
    stutter = defect.stutter_h[rows, None]
    ramp = np.where(gone_h >= stutter, 1.0, 0.3 + 0.5 * gone_h / np.maximum(stutter, 1.0))
    share = np.where(mode == "stuck", ramp, share)
    share = np.where(mode == "cold_stuck", 1.0, share)
    colder = np.clip((block.case_c[rows] - defect.below_c[rows, None]) / _COLD_WIDTH_K, -50, 50)
    share = np.where(mode == "cold_loss", 1.0 / (1.0 + np.exp(colder)), share)
    hour = block.calendar.hour_of_day
    night = (hour >= _NIGHT[0]) | (hour < _NIGHT[1])
    share = np.where((mode == "magnet") & night, 0.97, share)
    return np.where(share < 0.004, 0.0, share)


def _extra(block: MeterBlock, rows: Ints, there: Bools, flow_m3: Floats) -> Floats:
    """Return counts that no water made, negative ones included, shape (rows, n_hours) [m³]."""
    draws, rng = block.draws, block.draws.rng
    count = len(rows)
    mode = block.mode[rows, None]
    extra = np.zeros(there.shape)
    share, factor = draws.many("bounce_share", count), rng.choice([2.0, 2.0, 4.0], count)
    bouncing = there & (mode == "bounce") & (rng.random(there.shape) < share[:, None])
    extra += np.where(bouncing, flow_m3 * (factor[:, None] - 1.0), 0.0)
    back = there & (mode == "backward")
    back &= rng.random(there.shape) < draws.many("backward_per_day", count)[:, None] / 24
    size = evenly_by_logarithm(rng, *draws.span("backward_m3"), there.shape)
    extra -= np.where(back, np.maximum(np.round(size, 3), _COUNT_M3), 0.0)
    jumps = draws.many("bit_jumps", count)
    jumping = there & (mode == "bits") & (rng.random(there.shape) < (jumps / np.maximum(there.sum(axis=1), 1))[:, None])
    # Bits 9 to 14 of a register that counts litres, set in one reading and cleared in a later one.
    # An optical register is read wheel by wheel: one wrong tube is one digit.
    optical = np.array([each == "optical" for each in block.estate.sensing()])[block.meters[rows]]
    bit = 2.0 ** rng.integers(9, 15, there.shape) * rng.choice([1.0, 3.0], there.shape) * _COUNT_M3
    digit = 10.0 ** rng.integers(-1, 2, there.shape)
    up = np.where(jumping, np.where(optical[:, None], digit, bit), 0.0)
    cleared = np.roll(np.where(rng.random(there.shape) < 0.5, up, 0.0), 7, axis=1)
    cleared[:, :7] = 0.0
    return np.asarray(extra + up - cleared)


def _healthy_amplitude(block: MeterBlock) -> Floats:
    noon = np.minimum(block.calendar.day_start[:-1] + 12, block.calendar.hours - 1)
    cold = 20.0 - block.case_c[:, noon]
    noise = block.draws.rng.normal(1.0, 0.008, cold.shape)
    return np.asarray((1.0 - _AMPLITUDE_PER_K * cold) * noise)
