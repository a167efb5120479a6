"""Times on the way in: the contract's forms, zones, the hour that does not exist and the one that comes twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.local_time import LocalClock, TimePattern, microseconds, moment, parse_time
from lake.errors import DecodingError

MADRID = "Europe/Madrid"


def utc(text: str) -> int:
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "written",
    ["2024-06-01T10:00:00Z", "2024-06-01T12:00:00+02:00", "20240601T100000Z", 1717236000, 1717236000000,
     1717236000.0, "1717236000", "1717236000000"],
)  # fmt: skip
def test_parse_time_forms_are_one_time(written: object) -> None:
    """ISO 8601 with any offset and epochs in seconds and milliseconds, as text or number, name the same moment."""
    assert utc("2024-06-01 10:00") == parse_time(written)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("2024-06-01T10:00:00", "no_time_zone"),
        ("2024-06-01", "no_time_zone"),
        ("yesterday", "bad_time"),
        ("", "bad_time"),
        ("2024-13-01T00:00:00Z", "bad_time"),
        ("<script>" * 1000, "bad_time"),
        (True, "bad_time"),
        (None, "bad_time"),
        ([1], "bad_time"),
        (10**30, "bad_time"),
        (1e300, "bad_time"),
        (float("nan"), "bad_time"),
        (float("inf"), "bad_time"),
    ],
)
def test_parse_time_refuses(written: object, reason: str) -> None:
    """What is no time, or has no zone, is refused with its reason and a short detail."""
    with pytest.raises(DecodingError) as caught:
        parse_time(written)

    assert reason == caught.value.reason
    assert len(caught.value.detail) < 200


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers())))
def test_parse_time_raises_nothing_else(written: object) -> None:
    """Whatever stands where a time should, the answer is a time or a DecodingError."""
    try:
        value = parse_time(written)
    except DecodingError:
        return

    assert isinstance(value, int)


@given(st.datetimes(timezones=st.timezones()))
def test_parse_time_reads_what_isoformat_writes(value: datetime) -> None:
    """Every aware datetime survives, to the microsecond."""
    assert microseconds(value) == parse_time(value.isoformat())


@given(st.datetimes(timezones=st.just(UTC)))
def test_moment_reverses_microseconds(value: datetime) -> None:
    """Microseconds since 1970 and datetimes are two writings of the same."""
    assert value == moment(microseconds(value))


PATTERNS = ("%d/%m/%Y %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y%m%d%H%M%S", "%d.%m.%Y", "%H:%M:%S %d/%m/%Y", "%d %b %Y %H:%M",
            "%y-%m-%d", "%d/%m/%Y %I:%M %p", "(%Y) [%m] %d+", "%Y-%j", "%d/%m/%Y %%", "%Y%m%d %H:%M:%S%z")  # fmt: skip


def outcome(parse: object, *arguments: str) -> object:
    try:
        return parse(*arguments)  # type: ignore[operator]
    except ValueError:
        return ValueError


@given(st.sampled_from(PATTERNS), st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2060, 1, 1)))  # noqa: DTZ001
def test_time_pattern_reads_like_strptime(pattern: str, value: datetime) -> None:
    """The short cut and strptime agree on what a pattern writes."""
    text = value.replace(tzinfo=UTC).strftime(pattern)

    assert datetime.strptime(text, pattern) == TimePattern(pattern).parse(text)  # noqa: DTZ007


@given(st.sampled_from(PATTERNS), st.text(alphabet="0123456789/:-T. ٣", max_size=20))
def test_time_pattern_refuses_like_strptime(pattern: str, text: str) -> None:
    """The short cut and strptime agree on anything else, too."""
    assert outcome(datetime.strptime, text, pattern) == outcome(TimePattern(pattern).parse, text)


def test_clock_ordinary_times_follow_the_zone() -> None:
    """Summer and winter have their offsets."""
    clock = LocalClock()
    summer = clock.resolve(datetime(2016, 7, 1, 12, 0), MADRID, "m", None)  # noqa: DTZ001
    winter = clock.resolve(datetime(2016, 12, 1, 12, 0), MADRID, "m", None)  # noqa: DTZ001

    assert [(utc("2016-07-01 10:00"), False), (utc("2016-12-01 11:00"), False)] == [summer, winter]


def test_clock_skipped_hour_is_refused() -> None:
    """A local time that the change to summer time skipped does not exist."""
    with pytest.raises(DecodingError, match="nonexistent_time"):
        LocalClock().resolve(datetime(2017, 3, 26, 2, 30), MADRID, "m", None)  # noqa: DTZ001


def resolve_all(clock: LocalClock, steps: list[tuple[str, float | None]], meter: str = "m") -> list[str]:
    found = []
    for text, register in steps:
        value, _ = clock.resolve(datetime.fromisoformat(f"2016-10-30 {text}"), MADRID, meter, register)
        found.append(f"{moment(value):%H:%M}")
    return found


def test_clock_repeated_hour_by_order() -> None:
    """When a meter's times step back inside the repeated hour, the second pass has begun."""
    steps = [("01:30", 1.0), ("02:10", 2.0), ("02:40", 3.0), ("02:10", 4.0), ("02:40", 5.0), ("03:10", 6.0)]

    assert ["23:30", "00:10", "00:40", "01:10", "01:40", "02:10"] == resolve_all(LocalClock(), steps)


def test_clock_repeated_hour_vacant_meter() -> None:
    """A register that stands still tells nothing apart: the same time again is the second pass."""
    assert ["00:10", "01:10", "01:40"] == resolve_all(LocalClock(), [("02:10", 7.0), ("02:10", 7.0), ("02:40", 7.0)])


def test_clock_repeated_hour_redelivery_is_recognised() -> None:
    """A measurement that comes once more after the register has moved on stays what it was."""
    steps = [("02:10", 1.0), ("02:40", 2.0), ("02:10", 1.0)]

    assert ["00:10", "00:40", "00:10"] == resolve_all(LocalClock(), steps)


def test_clock_repeated_hour_of_each_meter() -> None:
    """Meters run through the hour independently."""
    clock = LocalClock()

    assert ["00:40"] == resolve_all(clock, [("02:40", 1.0)], "one")
    assert ["00:10"] == resolve_all(clock, [("02:10", 1.0)], "two")


@given(
    st.lists(st.tuples(st.integers(0, 59), st.one_of(st.none(), st.floats(0, 100))), max_size=12), st.integers(0, 12)
)
def test_clock_state_carries_over(steps: list[tuple[int, float | None]], cut: int) -> None:
    """A successor that gets the state as JSON goes on exactly where its predecessor stopped."""
    texts = [(f"02:{minute:02d}", register) for minute, register in steps]
    whole = resolve_all(LocalClock(), texts)
    first = LocalClock()
    begun = resolve_all(first, texts[:cut])
    second = LocalClock(json.loads(json.dumps(first.state)))

    assert whole == begun + resolve_all(second, texts[cut:])


def test_clock_state_is_left_with_the_hour() -> None:
    """Only meters inside the repeated hour are remembered."""
    clock = LocalClock()
    resolve_all(clock, [("02:10", 1.0)])

    assert list(clock.state) == ["m"]
    resolve_all(clock, [("03:10", 2.0)])
    assert clock.state == {}


@given(st.datetimes(), st.sampled_from([MADRID, "Asia/Shanghai", "UTC"]))
def test_clock_any_datetime(local: datetime, zone: str) -> None:
    """Any local time has an answer, also at the ends of the calendar."""
    try:
        value, _ = LocalClock().resolve(local, zone, "m", None)
    except DecodingError:  # an hour that a change to summer time skipped
        return

    difference = timedelta(microseconds=value) - (local - datetime(1970, 1, 1))  # noqa: DTZ001
    assert abs(difference) < timedelta(hours=24)


def test_clock_zone_is_known_to_the_test() -> None:
    """The repeated hour of these tests exists: the zone has two offsets there."""
    local = datetime(2016, 10, 30, 2, 30, tzinfo=ZoneInfo(MADRID))

    assert local.utcoffset() != local.replace(fold=1).utcoffset()
