"""What a site's database knows as of a time, as the diagnosis takes it."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from diagnostics.facts import Facts
from lake import registry
from lake.exchange import with_exchanges
from lake.facts import INSPECTION_KIND, REPORT_KIND, WEATHER_KIND, WORK_KIND, frame
from lake.schemas import METERS
from lake.site_database import opened

# How far back facts reach a diagnosis. A season and its like a year before; a diagnosis costs the same on ten years.
WEATHER_BACK = timedelta(days=400)
WORKS_BACK = timedelta(days=120)
REPORTS_BACK = timedelta(days=400)


class SiteFacts:
    """Reads the facts of a site as of one time after the other.

    Parameters
    ----------
    database : Path
        The site database; where there is none nothing is known.
    timezone : str
        Zone of the site, in which days of weather are counted.
    """

    def __init__(self, database: Path, timezone: str) -> None:
        self._database = database
        self._timezone = timezone
        self._registry: tuple[tuple[int, int], pl.DataFrame] | None = None
        self._last: tuple[datetime, Facts] | None = None

    def as_of(self, moment: datetime) -> Facts:
        """Return what was known at a time; without the gaps of reception, which the lake knows.

        The same time again is answered with the same, so that all parts of a step see one state of the database.

        Raises
        ------
        LakeError
            The database cannot be read.
        """
        if self._last is None or self._last[0] != moment:
            self._last = moment, self._read(moment)
        return self._last[1]

    @property
    def registered(self) -> pl.DataFrame:
        """The ``meter_id`` of every meter that the registry itself had at the time last asked for."""
        return (METERS.empty() if self._registry is None else self._registry[1]).select("meter_id")

    def _read(self, moment: datetime) -> Facts:
        if not self._database.exists():
            return Facts()
        with opened(self._database) as connection:
            inspections = frame(connection, INSPECTION_KIND, moment)
            return Facts(
                meters=with_exchanges(self._registered(connection, moment), inspections, self._timezone),
                inspections=inspections,
                weather=frame(connection, WEATHER_KIND, moment, since=moment - WEATHER_BACK, timezone=self._timezone),
                works=frame(connection, WORK_KIND, moment, since=moment - WORKS_BACK),
                reports=frame(connection, REPORT_KIND, moment, since=moment - REPORTS_BACK),
            )

    def _registered(self, connection: sqlite3.Connection, moment: datetime) -> pl.DataFrame:
        stamp = registry.stamp(connection, moment)
        if self._registry is None or self._registry[0] != stamp:  # a back-test asks for the same ones again and again
            self._registry = stamp, registry.frame(connection, moment)
        return self._registry[1]


def registry_as_of(connection: sqlite3.Connection, moment: datetime | None, timezone: str) -> pl.DataFrame:
    """Return the meters of the registry at a time, with the exchanges that inspections and registry tell.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    meters = registry.frame(connection, moment)
    found = with_exchanges(meters, frame(connection, INSPECTION_KIND, moment), timezone)
    return found.join(meters.select("meter_id"), on="meter_id", how="semi")


def successions(connection: sqlite3.Connection, moment: datetime | None) -> dict[str, str]:
    """Return the meter whose place each meter took, as inspections tell.

    Raises
    ------
    LakeError
        The database cannot be read.
    """
    told = frame(connection, INSPECTION_KIND, moment).sort("inspected_at").drop_nulls("new_meter_id")
    return dict(told.select("new_meter_id", "meter_id").iter_rows())
