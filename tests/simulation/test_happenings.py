import numpy as np

from simulation.happenings import PIPE_WORKS, RADIO_OUTAGE, WATER_OUTAGE
from tests.simulation.blocks import world


def test_make_happenings_flood_after_downpours_only() -> None:
    """Days under water have rain, today or the day before."""
    around = world(800, 150)
    rain = around.weather.rain_mm[:, :150]
    two_days = rain + np.concatenate([np.zeros((len(rain), 1)), rain[:, :-1]], axis=1)

    assert around.happenings.flooded.any()
    assert two_days[around.happenings.flooded].min() > 20


def test_make_happenings_lie_in_the_record() -> None:
    """Each has a begin, an end behind it, and a region; works are announced."""
    around = world(2000, 150, works_of_a_site=(0.5, 0.5), outages_of_a_site=(0.5, 0.5), region_outages=(2, 2))

    for each in around.happenings.all:
        assert 0 <= each.first < each.last
        assert each.first < around.calendar.hours
        assert each.site < 0 or around.estate.sites.region[each.site] == each.region
    assert all(each.announced for each in around.happenings.of_kind(PIPE_WORKS))
    assert around.happenings.of_kind(WATER_OUTAGE)
    assert {True, False} == {each.site < 0 for each in around.happenings.of_kind(RADIO_OUTAGE)}
