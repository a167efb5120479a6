"""What a site's database knows as of a time, as the diagnosis takes it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from diagnostics.facts import Facts
from lake import registry
from lake.facts import INSPECTION_KIND, REPORT_KIND, WEATHER_KIND, WORK_KIND, frame
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
        self._meters: tuple[tuple[int, int], pl.DataFrame] | None = None
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

    def _read(self, moment: datetime) -> Facts:
        if not self._database.exists():
            return Facts()
        with opened(self._database) as connection:
            stamp = registry.stamp(connection, moment)
            if self._meters is None or self._meters[0] != stamp:  # a back-test asks for the same ones again and again
                self._meters = stamp, registry.frame(connection, moment)
            return Facts(
                meters=self._meters[1],
                weather=frame(connection, WEATHER_KIND, moment, since=moment - WEATHER_BACK, timezone=self._timezone),
                works=frame(connection, WORK_KIND, moment, since=moment - WORKS_BACK),
                inspections=frame(connection, INSPECTION_KIND, moment),
                reports=frame(connection, REPORT_KIND, moment, since=moment - REPORTS_BACK),
            )
