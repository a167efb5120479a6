"""The study of lots judges what it says it judges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.batch_study import REFERENCE, LookTally, Tally, benjamini_hochberg, cells_of, fleet_of, run, stratified


def test_a_fleet_has_the_rates_it_says() -> None:
    """Bad lots have three times the rate, the cold four times that of the warm."""
    fleet = fleet_of(replace(REFERENCE, lots=4000, bad=1000, shape=0.0), np.random.default_rng(2))

    assert 1000 == fleet.bad.sum()
    assert {3.0} == set(fleet.ratio[fleet.bad].round(9))
    assert {1.0} == set(fleet.ratio[~fleet.bad].round(9))
    assert np.allclose(4.0, fleet.rates[1] / fleet.rates[0])
    assert fleet.rates[0, -1] * 90 == pytest.approx(0.006)
    assert np.median(fleet.meters.sum(axis=0)) == pytest.approx(300, rel=0.05)


def test_cells_hold_the_whole_fleet() -> None:
    """Days and failures of both strata."""
    generator = np.random.default_rng(2)
    fleet = fleet_of(replace(REFERENCE, lots=10), generator)
    failures = generator.poisson(fleet.meters * fleet.rates * 90)

    cells = cells_of(fleet.meters, failures, 90)

    assert (fleet.meters.sum() * 90, failures.sum()) == cells.select("days", "failures").sum().row(0)


def test_the_yardstick_finds_what_stands_out() -> None:
    """One lot of ten with ten times the failures."""
    meters = np.full((2, 10), 1000.0)
    failures = np.full((2, 10), 5.0)
    failures[:, 3] = 50.0

    assert [3] == np.flatnonzero(stratified(meters, failures)).tolist()
    assert not benjamini_hochberg(np.array([0.2, 0.5])).any()


def test_false_share_is_the_mean_over_runs() -> None:
    """A run without calls has no false ones."""
    bad = np.array([True, False, False])
    tally = Tally()
    tally.add(np.array([True, True, False]), bad)
    tally.add(np.array([False, False, False]), bad)

    assert (0.25, 0.5) == (tally.false_share, tally.recall)


def test_calls_of_any_look_count() -> None:
    """The first day on which each lot was called."""
    tally = LookTally()
    tally.add(np.array([14.0, np.inf, 7.0]), np.array([True, True, False]))

    assert (0.5, 0.5, [1], [14.0]) == (tally.tally.recall, tally.tally.false_share, tally.false, tally.days)


@pytest.mark.slow
def test_every_table_is_made() -> None:
    """A little of each."""
    lines = list(run(smoke=True))

    heads = ("one look", "regions differ               days", "weekly looks", "what is true")
    assert 4 == sum(line.startswith(heads) for line in lines)
    assert "3,000 meters, 20 lots, 2 looks" in lines[-1]
