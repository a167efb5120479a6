from dataclasses import replace

import numpy as np
import pytest

from simulation.consumption import consume
from simulation.estate import HOUSEHOLD
from simulation.happenings import WATER_OUTAGE, Happening, Happenings
from tests.simulation.blocks import block, world

STILL = {
    "vacant_share": (0, 0), "move_share": (0, 0), "holiday_share": (0, 0), "drip_share": (0, 0), "leak_share": (0, 0),
    "filling_share": (0, 0), "rare_share": (0, 0), "business_share": (0, 0),
}  # fmt: skip


def test_consume_households_draw_what_their_persons_use() -> None:
    """Over many days."""
    around = world(100, 90, people=(2, 2), **STILL)
    made = consume(block(around, litres_per_person_day=(100, 100), **STILL))

    assert set(around.estate.kind.tolist()) == {HOUSEHOLD}
    assert pytest.approx(0.2 * 90, rel=0.08) == made.drawn_m3.sum(axis=1).mean()
    assert made.home.all()
    assert not made.running_m3.any()


def test_consume_empty_homes_draw_nothing() -> None:
    """But their toilets may run."""
    around = world(50, 60)
    made = consume(block(around, **STILL | {"vacant_share": (1, 1), "drip_share": (1, 1)}))

    assert not made.home[around.estate.kind == HOUSEHOLD].any()
    assert 0 == made.drawn_m3[around.estate.kind == HOUSEHOLD].sum()
    assert (made.running_m3 > 0).all()


def test_consume_whoever_fails_is_missed() -> None:
    """Most meters with a bad sensor hang in homes with people, whatever the share of empty ones."""
    around = world(100, 60)
    planned = replace(block(around).plan, fault=np.full(100, "coil", dtype="U16"))
    made = consume(block(around, planned, **STILL | {"vacant_share": (1, 1)}))

    assert made.home.any(axis=1).mean() > 0.8


def test_consume_leaks_begin_and_end() -> None:
    """A leak runs for hours on end, not for all of the record."""
    made = consume(block(world(200, 90), **STILL | {"leak_share": (1, 1), "leak_days": (5, 10)}))
    hours = made.leaking.sum(axis=1)

    assert hours.max() <= 24 * 10 + 1
    assert np.median(hours) >= 24 * 4
    assert (made.running_m3[made.leaking] > 0).all()


def test_consume_main_is_shut_at_its_site_only() -> None:
    """For the hours of the works."""
    around = world(100, 40)
    site = int(around.estate.site[0])
    outage = Happening(WATER_OUTAGE, int(around.estate.region[0]), site, 100, 110, announced=True)
    around = replace(around, happenings=Happenings((outage,), around.happenings.flooded))
    dry = consume(block(around)).dry

    assert dry[around.estate.site == site, 100:110].all()
    assert 10 * (around.estate.site == site).sum() == dry.sum()
