"""When ``metriage run`` diagnoses, and as of which times; what was missed is made up for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from lake.errors import SettingsError

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_DAY = timedelta(days=1)
_HOURS = (0, 1, 2, 3, 4, 6, 8, 12)


class DiagnosisSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When `metriage run` diagnoses: ``[diagnosis]``."""

    at: Annotated[
        str,
        Meta(
            description="local time of the site at which a day is diagnosed, as of the end of the day before; until "
            'then what was received by its end has time to reach the lake. "": not once a day'
        ),
    ] = "02:30"
    every_h: Annotated[
        int,
        Meta(
            ge=0,
            le=12,
            description="diagnose every so many full hours of the local day instead: 1, 2, 3, 4, 6, 8 or 12, as of "
            "these hours; 0: once a day [h]",
        ),
    ] = 0
    grace_min: Annotated[
        float, Meta(ge=0, le=720, description="time that such an hour's messages have to reach the lake [min]")
    ] = 10.0
    catch_up_days: Annotated[
        int,
        Meta(
            ge=1,
            le=366,
            description="diagnoses missed in so many days are made up for, each as of its own time [days]",
        ),
    ] = 31

    def check(self, key: str) -> None:
        """Check what no single field can; `key` is the dotted path of this table.

        Raises
        ------
        SettingsError
            The time is none, or the hours do not divide a day.
        """
        if self.at and _CLOCK.fullmatch(self.at) is None:
            raise SettingsError(f'{self.at!r} is no time of day; allowed is HH:MM, e.g. 02:30, or ""', key=f"{key}.at")
        if self.every_h not in _HOURS:
            raise SettingsError(f"allowed are {', '.join(map(str, _HOURS))}", key=f"{key}.every_h")


@dataclass(frozen=True, slots=True)
class Due:
    """One diagnosis.

    Parameters
    ----------
    as_of : datetime
        It sees what was received by then (UTC).
    begins_at : datetime
        When it is to begin (UTC).
    """

    as_of: datetime
    begins_at: datetime


class Schedule:
    """The diagnoses of a site.

    Parameters
    ----------
    settings : DiagnosisSettings
        When.
    timezone : str
        IANA zone of the site: its days and hours are meant.
    """

    def __init__(self, settings: DiagnosisSettings, timezone: str) -> None:
        self._settings = settings
        self._zone = ZoneInfo(timezone)

    def missed(self, after: datetime | None, now: datetime) -> list[Due]:
        """Return what is due at `now`, oldest first.

        Parameters
        ----------
        after : datetime or None
            As-of time of the last diagnosis (UTC); None where there was none, then only the newest is due.
        now : datetime
            The clock (UTC).
        """
        earliest = now - self._settings.catch_up_days * _DAY
        due = list(self._from(earliest if after is None else max(after, earliest), until=now))
        return due[-1:] if after is None else due

    def next(self, after: datetime | None, now: datetime) -> Due | None:
        """Return what is or will be due first; None where nothing is scheduled. The parameters are as above."""
        missed = self.missed(after, now)
        later = (due for due in self._from(now - 2 * _DAY, until=now + 3 * _DAY) if due.begins_at > now)
        return missed[0] if missed else next((due for due in later if after is None or due.as_of > after), None)

    def _from(self, after: datetime, until: datetime) -> Iterator[Due]:
        """Yield what is as of a time later than `after` and begins by `until`."""
        day = after.astimezone(self._zone).date()
        last = until.astimezone(self._zone).date()
        while day <= last:
            yield from (due for due in self._of_day(day) if due.as_of > after and due.begins_at <= until)
            day += _DAY

    def _of_day(self, day: date) -> Iterator[Due]:
        """Yield the diagnoses as of times from the beginning of a local day to before its end."""
        every_h = self._settings.every_h
        if every_h:
            # An hour that the clock leaves out is the same moment as the next one.
            grace = timedelta(minutes=self._settings.grace_min)
            moments = dict.fromkeys(self._instant(day, time(hour)) for hour in range(0, 24, every_h))
            yield from (Due(as_of, as_of + grace) for as_of in moments)
        elif self._settings.at:
            hour, minute = map(int, self._settings.at.split(":"))
            yield Due(self._instant(day, time()), self._instant(day, time(hour, minute)))

    def _instant(self, day: date, clock: time) -> datetime:
        """Return the first instant at which the local clock shows a time; one that is left out counts on before it."""
        return datetime.combine(day, clock, self._zone).astimezone(UTC)
