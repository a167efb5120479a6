"""Module vendors of labelled fleets: what their meters send, how often and how finely. None of them exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from lake.errors import UsageError


@dataclass(frozen=True, slots=True)
class Vendor:
    """What the meters of one module vendor send.

    Parameters
    ----------
    name : str
        Begins with ``Synthetic``.
    reporting : str
        ``daily`` with a profile of 24 registers, ``bare`` daily without one, ``four`` or ``hourly`` reports.
    models : tuple of (str, str)
        Model and sensing.
    firmwares : tuple of str
        Versions in use.
    cell, capacity_mah : str, float
        Its battery.
    volume_step_m3 : float
        Resolution of the register.
    battery_step_v : float
        Resolution of voltages.
    temperature, water_temperature, load, travel, current, amplitude, snr, coverage : bool
        Whether it sends them.
    flow : str
        ``none``; ``register``: derived from the counts; ``own``: measured apart from the counts.
    codes : bool
        Whether it sends plainly worded codes.
    exercise_days : int
        Days between the valve's runs against rust.
    local_time : bool
        Times with the local offset instead of UTC.
    share : float
        Weight among the vendors of a scenario.
    """

    name: str
    reporting: Literal["daily", "bare", "four", "hourly"]
    models: tuple[tuple[str, str], ...]
    firmwares: tuple[str, ...] = ("1.0", "1.1")
    cell: str = "ER26500"
    capacity_mah: float = 8500.0
    volume_step_m3: float = 0.001
    battery_step_v: float = 0.001
    temperature: bool = True
    water_temperature: bool = False
    load: bool = True
    travel: bool = True
    current: bool = True
    amplitude: bool = False
    snr: bool = True
    coverage: bool = True
    flow: Literal["none", "register", "own"] = "none"
    codes: bool = True
    exercise_days: int = 15
    local_time: bool = True
    share: float = 1.0

    @property
    def reports_per_day(self) -> int:
        """Return how many messages its meters send a day."""
        return {"daily": 1, "bare": 1, "four": 4, "hourly": 24}[self.reporting]


ALDER = Vendor(
    "Synthetic Alder", "daily", (("SA-20", "inductive"), ("SA-20V", "inductive")), ("2.3", "2.4"),
    amplitude=True, exercise_days=15, share=1.4,
)  # fmt: skip
BIRCH = Vendor(
    "Synthetic Birch", "four", (("SB-15", "reed"), ("SB-20", "hall")), ("5.0", "5.1", "5.2"),
    battery_step_v=0.01, temperature=False, flow="register", exercise_days=30, share=1.2,
)  # fmt: skip
CEDAR = Vendor(
    "Synthetic Cedar", "hourly", (("SC-1", "inductive"), ("SC-2", "ultrasonic")), ("11", "12"),
    cell="ER34615", capacity_mah=19000.0, battery_step_v=0.01, water_temperature=True, flow="own", current=False,
    coverage=False, exercise_days=30, local_time=False, share=0.6,
)  # fmt: skip
DOGWOOD = Vendor(
    "Synthetic Dogwood", "daily", (("SD-15", "reed"), ("SD-20", "optical")), ("0.9", "1.0"),
    battery_step_v=0.1, load=False, codes=False, current=False, exercise_days=10, share=1.2,
)  # fmt: skip
ELM = Vendor(
    "Synthetic Elm", "bare", (("SE-20", "reed"),), ("3",),
    volume_step_m3=0.01, battery_step_v=0.1, temperature=False, load=False, travel=False, current=False, snr=False,
    coverage=False, exercise_days=30, share=0.5,
)  # fmt: skip
FIR = Vendor(
    "Synthetic Fir", "daily", (("SF-20", "hall"), ("SF-25", "inductive")), ("7.1", "7.2"),
    battery_step_v=0.01, amplitude=True, flow="register", codes=False, exercise_days=20, local_time=False, share=1.0,
)  # fmt: skip
# Only in held-out scenarios: nothing is tuned on them.
GINKGO = Vendor(
    "Synthetic Ginkgo", "four", (("SG-20", "inductive"), ("SG-15", "reed")), ("4.4", "4.5"),
    battery_step_v=0.01, load=True, current=False, flow="own", amplitude=True, codes=False, exercise_days=12,
    local_time=False, share=1.2,
)  # fmt: skip
HAZEL = Vendor(
    "Synthetic Hazel", "daily", (("SH-20", "hall"), ("SH-20U", "ultrasonic")), ("1.8",),
    battery_step_v=0.02, temperature=False, water_temperature=True, exercise_days=20, share=1.2,
)  # fmt: skip
IVY = Vendor(
    "Synthetic Ivy", "hourly", (("SI-15", "optical"), ("SI-20", "reed")), ("20", "21"),
    cell="ER34615", capacity_mah=19000.0, battery_step_v=0.1, load=False, travel=False, exercise_days=30, share=0.6,
)  # fmt: skip

# What can be taken from every vendor, to see how a diagnosis does without it.
SIGNALS: Mapping[str, Mapping[str, Any]] = {
    "temperature": {"temperature": False, "water_temperature": False},
    "load": {"load": False},
    "travel": {"travel": False},
    "current": {"current": False},
    "amplitude": {"amplitude": False},
    "flow": {"flow": "none"},
    "codes": {"codes": False},
    "coverage": {"coverage": False, "snr": False},
    "fine_voltage": {"battery_step_v": 0.1},
}


def without(vendors: tuple[Vendor, ...], signals: tuple[str, ...]) -> tuple[Vendor, ...]:
    """Return vendors that do not send some of :data:`SIGNALS`.

    Raises
    ------
    UsageError
        There is no such signal.
    """
    unknown = [name for name in signals if name not in SIGNALS]
    if unknown:
        raise UsageError(f"there is no signal {unknown[0]!r} to leave out; there are {', '.join(SIGNALS)}")
    lacks = {name: value for signal in signals for name, value in SIGNALS[signal].items()}
    return tuple(replace(vendor, **lacks) for vendor in vendors)


USUAL = (ALDER, BIRCH, CEDAR, DOGWOOD, ELM, FIR)
HELD_OUT = (GINKGO, HAZEL, IVY)
VENDORS = (*USUAL, *HELD_OUT)
