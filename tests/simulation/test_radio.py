from dataclasses import replace

import numpy as np
import pytest

from simulation.happenings import RADIO_OUTAGE, Happening, Happenings
from simulation.radio import coverage_class, listen, loss_probability
from tests.simulation.blocks import block, plan, world


def test_coverage_class_of_signals() -> None:
    """0 is best."""
    assert [0, 1, 2] == coverage_class(np.array([-90.0, -110.0, -120.0])).tolist()


def test_loss_probability_is_a_cliff() -> None:
    """Flat at good signal, steep below -115 dBm."""
    good, fair, bad, worst = loss_probability(np.array([-85.0, -105.0, -120.0, -135.0]), 0.01)

    assert pytest.approx(0.01, abs=0.003) == good == pytest.approx(fair, abs=0.003)
    assert bad > 20 * good
    assert 0.5 < worst <= 0.6


def test_listen_outage_silences_its_site_only() -> None:
    """And what is stored arrives at its end."""
    around = world(100, 40)
    outage = Happening(RADIO_OUTAGE, 0, 0, 200, 260, announced=False, stored=True)
    around = replace(around, happenings=Happenings((outage,), around.happenings.flooded))
    radio = listen(block(around, lone_failure_share=(0.0, 0.0)))
    here = around.estate.site == 0

    assert radio.silent[here, 200:260].all()
    assert not radio.silent[~here].any()
    assert {260} == set(radio.until[here, 200:260].ravel().tolist())


def test_listen_flood_takes_signal() -> None:
    """Of flood-prone meters, on the days of the flood."""
    around = world(300, 90, pit_share=(0.9, 0.9), outdoor_share=(0, 0), basement_share=(0, 0), flood_share=(1, 1))
    made = block(around, lone_failure_share=(0.0, 0.0))
    radio = listen(made)
    usual = np.median(radio.rssi_dbm, axis=1)[:, None]

    assert made.flooded.any()
    assert (usual - radio.rssi_dbm)[made.flooded].mean() > 5
    assert abs((usual - radio.rssi_dbm)[~made.flooded].mean()) < 1


def test_listen_lone_failure_is_one_interval() -> None:
    """Somebody is silent on his own, some for good; whose cell fails is not."""
    radio = listen(block(world(200, 90, region_outages=(0, 0), outages_of_a_site=(0, 0)), lone_failure_share=(1, 1)))
    around = world(50, 90, region_outages=(0, 0), outages_of_a_site=(0, 0))
    failing = listen(block(around, plan(around, "battery", "unknown", "knee"), lone_failure_share=(1, 1)))

    assert radio.silent.any(axis=1).mean() > 0.95
    assert 0.2 < radio.silent[:, -1].mean() < 0.8
    assert (np.abs(np.diff(radio.silent.astype(int), axis=1)).sum(axis=1) <= 2).all()
    assert not failing.silent.any()


def test_listen_bad_coverage_kills_cells() -> None:
    """A cell that dies of it has class 2."""
    around = world(50, 60)
    radio = listen(block(around, plan(around, "battery", "coverage", "knee")))

    assert {2} == set(radio.coverage.tolist())
