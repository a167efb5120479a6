import numpy as np
import pytest

from simulation.charge import drain
from simulation.meter_block import MeterBlock
from simulation.parameters import Ints
from simulation.radio import listen
from simulation.reports import EXTRA, REGULAR, Reports, report
from simulation.valve import Valves
from simulation.valve_life import Movements, find_defects, live, schedule
from simulation.vendors import ALDER, BIRCH, CEDAR, Vendor
from tests.simulation.blocks import ONSET, block, plan, world

PERFECT = {
    "lost_share": (0.0, 0.0), "doubled_share": (0.0, 0.0), "late_share": (0.0, 0.0), "lone_failure_share": (0.0, 0.0),
    "wrong_clock_share": (0.0, 0.0), "counter_reset_share": (0.0, 0.0), "lost_clock_share": (0.0, 0.0),
    "two_programs_share": (0.0, 0.0),
}  # fmt: skip
NO_OUTAGES = {"outages_of_a_site": (0.0, 0.0), "region_outages": (0, 0), "new_share": (0.0, 0.0), "valve_share": (0, 0)}


def moved(made: MeterBlock) -> Movements:
    """Return what the valves do."""
    defect, count = find_defects(made), made.size
    valves = Valves(np.full(count, 5.0), np.full(count, 60.0), np.full(count, 220.0), np.full(count, 20.0))
    return live(made, schedule(made, defect), defect, valves, np.full(count, 0.1))


def reported(vendor: Vendor, mode: str = "", **ranges: tuple[float, float]) -> tuple[MeterBlock, Reports]:
    """Return a block and its messages."""
    around = world(60, 60, vendors=(vendor,), site_rssi_dbm=(-85, -85), **NO_OUTAGES)
    made = block(around, plan(around, "battery" if mode else "", "unknown", mode), **{**PERFECT, **ranges})
    radio = listen(made)
    charge = drain(made, radio.coverage, radio.silent_days)
    return made, report(made, charge, radio, moved(made), np.full(made.size, np.inf))


def counted(reports: Reports) -> Ints:
    """Return how many messages each meter sends."""
    return np.bincount(reports.meter, minlength=60)


@pytest.mark.parametrize(("vendor", "per_day"), [(ALDER, 1), (BIRCH, 4), (CEDAR, 24)])
def test_report_so_often_as_the_vendor_says(vendor: Vendor, per_day: int) -> None:
    """Each in order of meter and time, none lost over a perfect radio."""
    _, made = reported(vendor)

    assert {per_day * 60} == set(counted(made).tolist())
    assert made.delivered.mean() > 0.97
    assert (np.diff(made.hour)[np.diff(made.meter) == 0] > 0).all()
    assert made.delay_s.max() < 21
    assert np.isnan(made.doubled_s).all()


def test_report_counter_counts_and_starts_again() -> None:
    """By one a message; after a reset from one."""
    _, steady = reported(ALDER)
    _, reset = reported(ALDER, counter_reset_share=(1.0, 1.0))
    same = np.diff(steady.meter) == 0

    assert {1} == set((np.diff(steady.seq)[same] % 65536).tolist())
    assert (reset.seq == 1).sum() >= 55
    assert {1} == set(np.diff(reset.seq)[(np.diff(reset.meter) == 0) & (np.diff(reset.begun) == 0)].tolist())


def test_report_loses_doubles_and_delays_by_its_shares() -> None:
    """So many of each."""
    _, made = reported(
        CEDAR, lost_share=(0.05, 0.05), doubled_share=(0.03, 0.03), late_share=(0.02, 0.02),
    )  # fmt: skip

    assert pytest.approx(0.95, abs=0.01) == made.delivered.mean()
    assert pytest.approx(0.03, abs=0.005) == (~np.isnan(made.doubled_s)).mean()
    assert pytest.approx(0.02, abs=0.005) == (made.delay_s > 1000).mean()


def test_report_storm_sends_again_and_again() -> None:
    """From its onset on."""
    _, made = reported(ALDER, "storm")
    extra = made.kind == EXTRA

    assert made.hour[extra].min() >= ONSET - 24
    assert counted(made).mean() > 500


def test_report_second_program_reads_the_same_meters() -> None:
    """A little later, without counting on."""
    _, made = reported(ALDER, two_programs_share=(1.0, 1.0))

    assert pytest.approx(0.5, abs=0.02) == made.second.mean()
    assert {REGULAR} == set(made.kind.tolist())


def test_report_wrong_clocks_are_wrong_by_minutes_to_hours() -> None:
    """For a part of the record."""
    _, made = reported(ALDER, wrong_clock_share=(1.0, 1.0))
    wrong = made.clock_s != 0

    assert 0.1 < wrong.mean() < 0.95
    assert 119 <= np.abs(made.clock_s[wrong]).min() < np.abs(made.clock_s[wrong]).max() <= 6 * 3600
