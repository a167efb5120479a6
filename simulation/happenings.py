"""What happens to whole sites and regions: pipe works, outages of water, outages of radio, floods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.calendar_hours import Calendar
from simulation.estate import Estate
from simulation.parameters import Draws, constant
from simulation.regional_weather import RegionalWeather
from simulation.weather import Bools

PIPE_WORKS, WATER_OUTAGE, RADIO_OUTAGE = "pipe works", "outage of water", "radio maintenance"
_STORED = constant("stored_share", 0.5, "1", "outages of radio whose messages arrive after them")
_FLOOD_MM = constant("flood_mm", 22.0, "mm", "rain of two days that fills a flood-prone pit")


@dataclass(frozen=True, slots=True)
class Happening:
    """One of them.

    Parameters
    ----------
    kind : str
        What it is.
    region, site : int
        Where; a site of -1 is the whole region.
    first, last : int
        Hours between which it lasts, the last one excluded.
    announced : bool
        Whether it stands in the works file.
    stored : bool
        Of an outage of radio: what the meters sent arrives after it.
    """

    kind: str
    region: int
    site: int
    first: int
    last: int
    announced: bool
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Happenings:
    """All of them.

    Parameters
    ----------
    all : tuple of Happening
        Works and outages.
    flooded : ndarray of bool, shape (n_regions, n_days)
        Days on which flood-prone places of the region stand under water.
    """

    all: tuple[Happening, ...]
    flooded: Bools

    def of_kind(self, kind: str) -> tuple[Happening, ...]:
        """Return those of one kind."""
        return tuple(each for each in self.all if each.kind == kind)


def make_happenings(calendar: Calendar, estate: Estate, weather: RegionalWeather, draws: Draws) -> Happenings:
    """Return what happens in the record."""
    rng, hours = draws.rng, calendar.hours
    sites = len(estate.sites.region)
    found: list[Happening] = []

    def begin(earliest: float, latest: float) -> int:
        return int(rng.integers(int(hours * earliest), max(int(hours * latest), int(hours * earliest) + 1)))

    for site in np.flatnonzero(draws.some("works_of_a_site", sites)):
        first = begin(0.08, 0.55)
        length = int(rng.integers(6, 40))
        found.append(Happening(PIPE_WORKS, int(estate.sites.region[site]), int(site), first, first + length, True))
    for site in np.flatnonzero(draws.some("water_outages_of_a_site", sites)):
        first = begin(0.05, 0.95) // 24 * 24 + 8
        found.append(
            Happening(
                WATER_OUTAGE, int(estate.sites.region[site]), int(site), first, first + int(rng.integers(5, 30)), True
            )
        )
    for site in np.flatnonzero(draws.some("outages_of_a_site", sites)):
        first = begin(0.05, 0.95)
        last = first + round(draws.one("outage_h"))
        told, kept = rng.random(2) < (0.3, _STORED)
        region = int(estate.sites.region[site])
        found.append(Happening(RADIO_OUTAGE, region, int(site), first, last, bool(told), bool(kept)))
    for _ in range(draws.count("region_outages")):
        first = begin(0.05, 0.95)
        last = first + round(draws.one("outage_h") * 0.6)
        region = int(rng.integers(0, len(estate.regions)))
        told, kept = rng.random(2) < (0.5, _STORED)
        found.append(Happening(RADIO_OUTAGE, region, -1, first, last, bool(told), bool(kept)))
    rain = weather.rain_mm[:, : calendar.days]
    before = np.concatenate([np.zeros((len(rain), 1)), rain[:, :-1]], axis=1)
    return Happenings(tuple(found), rain + before >= _FLOOD_MM)
