import numpy as np

from simulation.estate import INDOOR, OUTDOOR, PIT
from simulation.regional_weather import FORECAST_DAYS
from tests.simulation.blocks import world


def test_make_weather_cold_reaches_outdoor_meters_first() -> None:
    """A pit and a room stay warmer than the open air."""
    weather = world(800, 150).weather
    lowest = weather.case_c.min(axis=2)

    assert (lowest[:, OUTDOOR] < lowest[:, PIT]).all()
    assert (lowest[:, PIT] < lowest[:, INDOOR]).all()
    assert lowest[:, OUTDOOR].max() < -5


def test_make_weather_without_cold_snaps() -> None:
    """From spring to autumn there is no frost."""
    assert world(800, 150, scenario="mild").weather.air_c[:, 24 * 40 :].min() > 0


def test_make_weather_days_and_forecast() -> None:
    """Lowest, mean and highest in their order, and some days behind the record."""
    weather = world(400, 60).weather

    assert 60 + FORECAST_DAYS == weather.day_c.shape[1] == weather.rain_mm.shape[1]
    assert (np.diff(weather.day_c, axis=2) >= 0).all()
    assert (weather.rain_mm >= 0).all()
