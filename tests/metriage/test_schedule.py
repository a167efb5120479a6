"""When a running site diagnoses: days and hours of the site's zone, what was missed, clocks that are turned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lake.errors import SettingsError
from metriage.options import parse_as_of
from metriage.schedule import DiagnosisSettings, Due, Schedule

MADRID = "Europe/Madrid"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def missed(after: str | None, now: str, zone: str = "UTC", **settings: object) -> list[str]:
    schedule = Schedule(DiagnosisSettings(**settings), zone)  # type: ignore[arg-type]
    return [f"{due.as_of:%m-%dT%H:%M}" for due in schedule.missed(None if after is None else at(after), at(now))]


@pytest.mark.parametrize(
    ("after", "now", "expected"),
    [
        ("2024-06-01T00:00", "2024-06-02T02:29", []),
        ("2024-06-01T00:00", "2024-06-02T02:30", ["06-02T00:00"]),
        ("2024-06-02T00:00", "2024-06-02T12:00", []),
        ("2024-06-01T15:00", "2024-06-02T12:00", ["06-02T00:00"]),
        ("2024-06-02T15:00", "2024-06-02T16:00", []),
        ("2024-05-29T00:00", "2024-06-02T02:00", ["05-30T00:00", "05-31T00:00", "06-01T00:00"]),
        (None, "2024-06-02T12:00", ["06-02T00:00"]),
        (None, "2024-06-02T02:00", ["06-01T00:00"]),
    ],
)
def test_day_is_diagnosed_as_of_its_end_in_the_night_after(after: str | None, now: str, expected: list[str]) -> None:
    """Each day that was missed as of its own end; a diagnosis by hand takes the place of those before it."""
    assert expected == missed(after, now)


def test_as_of_time_of_a_day_is_that_of_the_commands() -> None:
    """So that a back-test by dates takes the same steps."""
    [due] = Schedule(DiagnosisSettings(), MADRID).missed(None, at("2024-07-10T12:00"))

    assert parse_as_of("2024-07-09", MADRID) == due.as_of
    assert at("2024-07-10T00:30") == due.begins_at


@pytest.mark.parametrize(
    ("zone", "day", "as_of", "begins"),
    [
        (MADRID, "2024-03-31", "2024-03-30T23:00", "2024-03-31T01:30"),
        (MADRID, "2024-10-27", "2024-10-26T22:00", "2024-10-27T00:30"),
        ("Asia/Shanghai", "2024-03-31", "2024-03-30T16:00", "2024-03-30T18:30"),
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00", "2024-04-25T23:30"),
    ],
)
def test_clock_that_is_turned(zone: str, day: str, as_of: str, begins: str) -> None:
    """An hour left out or doubled around the run, and one left out at midnight: once each, at the first instant."""
    schedule = Schedule(DiagnosisSettings(), zone)

    assert [Due(at(as_of), at(begins))] == schedule.missed(at(as_of) - timedelta(hours=1), at(f"{day}T12:00"))


def test_hours_have_a_grace() -> None:
    """Instead of once a day, as of full local hours."""
    hours = ["06-01T22:00", "06-02T04:00", "06-02T10:00"]

    assert hours == missed("2024-06-01T16:00", "2024-06-02T10:10", MADRID, every_h=6)
    assert hours[:2] == missed("2024-06-01T16:00", "2024-06-02T10:09", MADRID, every_h=6)


def test_hours_when_the_clock_is_turned() -> None:
    """One more than of a day, since the next midnight is among them; one left out, each once."""
    autumn = missed("2024-10-26T21:59", "2024-10-27T23:30", MADRID, every_h=1)
    spring = missed("2024-03-30T22:59", "2024-03-31T22:30", MADRID, every_h=1)

    assert (25, 24) == (len(autumn), len(spring))
    assert sorted(set(autumn)) == autumn
    assert sorted(set(spring)) == spring


def test_long_absence_is_made_up_for_in_part() -> None:
    """Of a year nobody wants every day."""
    assert ["05-31T00:00", "06-01T00:00", "06-02T00:00"] == missed(
        "2023-06-01T00:00", "2024-06-02T12:00", catch_up_days=3
    )


def test_next_is_what_is_missed_or_what_comes() -> None:
    """Nothing where nothing is scheduled."""
    daily, never = (Schedule(DiagnosisSettings(at=clock), "UTC") for clock in ("02:30", ""))
    now = at("2024-06-02T12:00")

    assert Due(at("2024-06-02T00:00"), at("2024-06-02T02:30")) == daily.next(at("2024-06-01T00:00"), now)
    assert Due(at("2024-06-03T00:00"), at("2024-06-03T02:30")) == daily.next(at("2024-06-02T00:00"), now)
    assert Due(at("2024-06-03T00:00"), at("2024-06-03T02:30")) == daily.next(at("2024-06-02T11:00"), now)
    assert never.next(None, now) is None
    assert [] == never.missed(at("2024-06-01T00:00"), now)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"at": "2:30"}, r"d\.at: '2:30' is no time of day; allowed is HH:MM"),
        ({"at": "24:00"}, r"d\.at: '24:00' is no time of day"),
        ({"every_h": 5}, r"d\.every_h: allowed are 0, 1, 2, 3, 4, 6, 8, 12"),
    ],
)
def test_wrong_times_are_said(settings: dict[str, object], message: str) -> None:
    """With what is allowed."""
    with pytest.raises(SettingsError, match=message):
        DiagnosisSettings(**settings).check("d")  # type: ignore[arg-type]
