"""Several sources of one meter: who they are, and where their registers, firmware and clocks contradict each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from diagnostics.daily import day_profile
from diagnostics.settings import ProfileSettings
from tests.diagnostics.frames import FAR, START, no_codes, readings

NAMES = ("source_names", "source_meetings", "source_disagreements", "source_differ_max_m3", "source_firmwares",
         "source_clock_s")  # fmt: skip


def told(values: dict[str, list[Any]], minutes: list[float], **settings: Any) -> tuple[Any, ...]:
    """Return what the daily row of one day says of its sources."""
    times = [START + timedelta(minutes=minute) for minute in minutes]
    seen = readings({"ts": times, **values})
    row = day_profile(seen, no_codes(), default_zone="UTC", as_of=FAR, settings=ProfileSettings(**settings))
    return row.select(NAMES).row(0)


def test_one_source_says_nothing_of_itself() -> None:
    """Nothing to compare."""
    assert (None,) * 6 == told({"volume_m3": [1.0, 2.0]}, [0, 10], source_near_s=900)


@pytest.mark.parametrize(
    ("volumes", "minutes", "expected"),
    [
        ([10.0, 10.001, 10.002], [0, 5, 10], (2, 0, None)),
        ([10.0, 10.0, 10.0], [0, 0, 5], (2, 0, None)),
        ([10.0, 9.5, 10.001], [0, 5, 10], (2, 1, 0.5)),
        ([10.0, 99.5, 10.001], [0, 0, 5], (2, 2, 89.5)),
        ([10.0, 9.5, 10.001], [0, 20, 40], (None, None, None)),
    ],
)
def test_registers_soon_after_each_other_are_compared(
    volumes: list[float], minutes: list[float], expected: tuple[int, int, float]
) -> None:
    """A fall, or more than water can flow in the time; what lies hours apart says nothing."""
    found = told({"volume_m3": volumes, "source": ["a", "b", "a"]}, minutes)

    assert (["a", "b"], *expected) == found[:4]


def test_source_that_tells_whole_cubic_metres_agrees() -> None:
    """Its register is that of the other one, cut off."""
    found = told({"volume_m3": [10.937, 10.0, 10.941, 10.0], "source": ["a", "b"] * 2}, [0, 1, 2, 3])

    assert (3, 0) == found[1:3]


def test_firmware_and_clock_that_do_not_agree() -> None:
    """One message, two times, two firmwares; the counter alone does not make it one message."""
    values = {
        "volume_m3": [10.0, 10.0, 11.0, 12.0],
        "seq": [7, 7, 8, 8],
        "source": ["a", "b", "a", "b"],
        "firmware": ["1.2", "1.3", "1.2", None],
    }

    assert (["a 1.2", "b 1.3"], 120.0) == told(values, [0, 2, 60, 90])[4:]


def test_sources_that_agree_on_firmware_and_clock_are_no_contradiction() -> None:
    """The same message by two ways."""
    values = {"volume_m3": [10.0, 10.0], "seq": [7, 7], "source": ["a", "b"], "firmware": ["1.2", "1.2"]}

    assert (None, None) == told(values, [5, 5])[4:]


def test_contested_and_disowned_readings_do_not_count() -> None:
    """What may make no symptom elsewhere makes none here; the source is named all the same."""
    values = {"volume_m3": [10.0, 3.0], "source": ["a", "b"], "valid": [True, False]}

    assert (["a", "b"], None, None) == told(values, [0, 1])[:3]


def test_sources_without_registers_are_named() -> None:
    """A program that only tells voltages."""
    assert (["a", "b"], None) == told({"battery_v": [3.6, 3.6], "source": ["a", "b"]}, [0, 1])[:2]
