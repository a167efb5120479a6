import numpy as np
import pytest

from simulation.charge import Charge, drain
from simulation.meter_block import MeterBlock
from simulation.radio import coverage_class
from simulation.weather import Floats
from tests.simulation.blocks import ONSET, block, outdoors, plan, world

AROUND = world(60, 120)


def drained(mode: str, cause: str = "unknown", **ranges: tuple[float, float]) -> tuple[MeterBlock, Charge]:
    """Return a block whose cells all fail in one way; without a mode none does."""
    around = outdoors(AROUND) if mode == "cold_sag" else AROUND
    made = block(around, plan(around, "battery" if mode else "", cause, mode), **ranges)
    usual = np.full(made.size, -95.0)
    return made, drain(made, coverage_class(usual), np.zeros((made.size, 120)))


def voltages(made: MeterBlock, charge: Charge, day: int) -> tuple[Floats, Floats]:
    """Return the voltages at rest and under load on the morning of a day, without the temperature's part."""
    rows, calendar = np.arange(made.size), made.calendar
    days = np.full(made.size, day)
    hour = np.full(made.size, float(calendar.day_start[day] + 3))
    return charge.at(rows, hour, np.full(made.size, 20.0), days, calendar.day_start)


def test_drain_healthy_cells_stay_on_their_plateau() -> None:
    """None is empty, none shows anything."""
    made, charge = drained("")
    first, last = voltages(made, charge, 0)[0], voltages(made, charge, 119)[0]

    assert np.isinf(charge.empty_hour).all()
    assert np.isinf(charge.first).all()
    assert (first - last).max() < 0.01


def test_drain_knee_takes_days_and_ends_in_silence() -> None:
    """Ten days after the planned end a cell is empty; three weeks before it shows hardly anything at rest."""
    made, charge = drained("knee", knee_days=(1.4, 1.4), worn_days=(8, 8))
    plateau = voltages(made, charge, 0)[0]
    before = plateau - voltages(made, charge, ONSET // 24 - 21)[0]

    assert before.max() < 0.01
    assert (charge.empty_hour < ONSET + 24 * 10).all()
    assert (charge.first < charge.empty_hour).all()
    assert pytest.approx(9, abs=8) == np.median(charge.empty_hour - charge.first) / 24


@pytest.mark.parametrize("mode", ["storm", "leakage", "sleepless", "polled"])
def test_drain_of_an_extra_load_begins_with_it(mode: str) -> None:
    """The charge used a day grows at the onset, and the cell ends weeks later."""
    _, charge = drained(mode)
    used = np.diff(charge.used_mah, axis=1)
    day = ONSET // 24

    assert (used[:, day + 1] > 1.5 * used[:, day - 2]).all()
    assert np.isfinite(charge.empty_hour).mean() > 0.5
    assert (charge.empty_hour[np.isfinite(charge.empty_hour)] > ONSET + 24 * 10).all()


def test_drain_storm_and_poll_send_more() -> None:
    """A leak does not."""
    storm, polled, leak = (drained(mode)[1].uplinks_per_day for mode in ("storm", "polled", "leakage"))

    assert not storm[:, : ONSET // 24].any()
    assert storm[:, ONSET // 24 :].min() > 20
    assert (polled[:, ONSET // 24 :] == 48).all()
    assert not leak.any()


def test_drain_coverage_is_a_cliff() -> None:
    """Class 2 uses many times the charge of classes 0 and 1, which hardly differ."""
    made = block(AROUND, None, self_discharge=(0.01, 0.01), uplink_mah=(0.2, 0.2), base_ma=(0.01, 0.01))
    idle = 0.01 * 24 + 0.01 * 8500 / 365.25
    uplink = [
        np.median(np.diff(drain(made, np.full(made.size, level), np.zeros((made.size, 120))).used_mah, axis=1)) - idle
        for level in (0, 1, 2)
    ]

    assert pytest.approx(0.2, rel=0.05) == uplink[0]
    assert uplink[1] < 2 * uplink[0]
    assert uplink[2] > 4.9 * uplink[0]


def test_drain_cold_sag_only_shows_in_the_cold() -> None:
    """A bad cell is sound at 20 °C and too weak to transmit at -12 °C."""
    made, charge = drained("cold_sag")
    rows = np.arange(made.size)
    day, hour = np.full(made.size, 50), np.full(made.size, 1203.0)
    warm, cold = (
        charge.at(rows, hour, np.full(made.size, degrees), day, made.calendar.day_start)[1] for degrees in (20.0, -12.0)
    )

    assert warm.min() > 3.3
    assert np.median(cold) < 2.9


def test_drain_new_meter_starts_with_a_film() -> None:
    """It decays within days."""
    around = world(60, 90, new_share=(1, 1))
    made = block(around)
    charge = drain(made, np.zeros(made.size, dtype=np.int64), np.zeros((made.size, 90)))
    first = around.estate.first_hour // 24

    assert (charge.film_ohm[np.arange(made.size), first] > 1.4).all()
    assert (charge.film_ohm[np.arange(made.size), np.minimum(first + 8, 89)] < 0.05 * 4.5).all()
