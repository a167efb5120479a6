"""Times, durations and JSON of the command line."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import typer

from lake.errors import UsageError
from metriage.options import emit, parse_as_of, parse_duration, reporting, with_evidence


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2024-07-09", "UTC", datetime(2024, 7, 10, tzinfo=UTC)),
        ("2024-07-09", "Asia/Shanghai", datetime(2024, 7, 9, 16, tzinfo=UTC)),
        ("2024-03-31", "Europe/Madrid", datetime(2024, 3, 31, 22, tzinfo=UTC)),
        ("2024-10-27", "Europe/Madrid", datetime(2024, 10, 27, 23, tzinfo=UTC)),
        ("2024-03-30", "Asia/Beirut", datetime(2024, 3, 30, 22, tzinfo=UTC)),
        ("2024-07-09T12:00:00Z", "Europe/Madrid", datetime(2024, 7, 9, 12, tzinfo=UTC)),
        ("2024-07-09T12:00:00+02:00", "UTC", datetime(2024, 7, 9, 10, tzinfo=UTC)),
        ("1720526400", "Europe/Madrid", datetime(2024, 7, 9, 12, tzinfo=UTC)),
        ("1720526400000", "Europe/Madrid", datetime(2024, 7, 9, 12, tzinfo=UTC)),
    ],
)
def test_as_of(text: str, zone: str, expected: datetime) -> None:
    """A date is its end, also of the days of 23 and 25 hours and where midnight is skipped."""
    assert expected == parse_as_of(text, zone)


def test_days_of_the_changes_of_time_have_23_and_25_hours() -> None:
    """From the end of the day before to the end of the day."""
    lengths = [
        parse_as_of(str(day), "Europe/Madrid") - parse_as_of(str(day - timedelta(days=1)), "Europe/Madrid")
        for day in (date(2024, 3, 31), date(2024, 10, 27), date(2024, 10, 28))
    ]

    assert [timedelta(hours=23), timedelta(hours=25), timedelta(hours=24)] == lengths


def test_no_as_of_is_now() -> None:
    """The default."""
    assert abs(datetime.now(UTC) - parse_as_of(None, "Asia/Shanghai")) < timedelta(seconds=5)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2024-7-9", "2024-02-30", "9999-12-31", "999999999999999", "nan", "2024-07-09T25:00:00Z"]
)
def test_no_time_is_said(text: str) -> None:
    """With examples of what is one."""
    with pytest.raises(UsageError, match=r"is no time such as 2024-07-09 \(the end of that day\) or 2024-07-09T12"):
        parse_as_of(text, "Europe/Madrid")


def test_time_without_zone_is_said() -> None:
    """A zone is required on the way in."""
    with pytest.raises(UsageError, match="carries no zone"):
        parse_as_of("2024-07-09T12:00:00", "Europe/Madrid")


def test_duration() -> None:
    """Days and hours."""
    assert [timedelta(days=7), timedelta(hours=12)] == [parse_duration("7d"), parse_duration("12h")]


@pytest.mark.parametrize("text", ["", "0d", "1", "d", "-1d", "1.5d", "90m", "1w", "99999999999d", "١d"])
def test_no_duration_is_said(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UsageError, match="is no duration such as 1d or 12h"):
        parse_duration(text)


def test_emit_prints_iso_times_and_escapes_what_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON stays the same JSON."""
    document = {"at": datetime(2024, 7, 9, tzinfo=UTC), "file": Path("a"), "name": "水\x1b[2J\x9b2J\u202e\n"}

    emit(document)

    printed = capsys.readouterr().out
    assert {"at": "2024-07-09T00:00:00+00:00", "file": "a", "name": document["name"]} == json.loads(printed)
    assert "水" in printed
    assert not {"\x1b", "\x9b", "\u202e"} & set(printed)


def test_evidence_is_no_text_of_json_within_json() -> None:
    """What is none stays a text."""
    rows = [{"evidence": '[{"value":1}]', "meter": None}, {"evidence": "{", "rules": "[1]"}]

    assert [{"evidence": [{"value": 1}], "meter": None}, {"evidence": "{", "rules": "[1]"}] == with_evidence(rows)


def test_error_becomes_message_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Without the terminal escapes of a foreign file in it."""

    @reporting
    def command() -> int:
        raise UsageError("bad \x1b[31mname")

    with pytest.raises(typer.Exit) as caught:
        command()

    assert 2 == caught.value.exit_code
    assert "metriage: bad [31mname\n" == capsys.readouterr().err
