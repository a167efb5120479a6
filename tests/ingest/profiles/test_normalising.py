"""What a profile makes of a vendor's numbers."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ingest.profiles.vendor_profile import VendorProfile, shipped_names, shipped_profile
from ingest.row_schema import ROW_SCHEMA
from tests.ingest.profiles.profile_makers import profile, readings

FILLED = ("valve_state", "valve_refusal", "battery_v", "invalid_fields", "error_codes")
BATTERY = [{"fields": ["b"], "unit": "percent", "low_at": 10, "empty_at": 1}]


def row(made: VendorProfile, **fields: Any) -> dict[str, Any]:
    """Return one reading, normalised."""
    return made.normalise(readings(fields)).row(0, named=True)


@pytest.mark.parametrize(
    ("unit", "sent", "volts"),
    [
        ("V", 3.612, 3.612),
        ("V/10", 36, 3.6),
        ("V/100", "361", 3.61),
        ("mV", 3580, 3.58),
        ("V/10", "0x24", 3.6),
        ("V/10", -1, None),
        ("V/10", "low", None),
        ("V/10", None, None),
        ("V/10", [36], None),
        ("percent", 50, None),
    ],
)
def test_battery_units(unit: str, sent: object, volts: float | None) -> None:
    """A voltage is a voltage; what is no number of its unit is none."""
    made = profile(battery=[{"fields": ["b"], "unit": unit, "low_at": 1}])

    assert volts == row(made, extra={"b": sent})["battery_v"]


def test_battery_steps() -> None:
    """By place in the list; a step beyond it is none."""
    made = profile(battery=[{"fields": ["b"], "unit": "steps", "steps": [3.7, 1.9]}])

    assert [3.7, 1.9, None, None] == made.normalise(readings(*({"extra": {"b": step}} for step in (0, 1.0, 2, 0.5))))[
        "battery_v"
    ].to_list()


def test_battery_in_the_status_word() -> None:
    """The bits of the mask as a number; a status of zero says nothing."""
    made = profile(battery=[{"mask": 0x0F00, "unit": "V/10"}])

    assert [1.5, None, None] == made.normalise(readings({"status": 0x0F01}, {"status": 0}, {"status": None}))[
        "battery_v"
    ].to_list()
    assert [("status:0x1", "unknown")] == [each[:2] for each in made.translate(0x0F01, [])]


@pytest.mark.parametrize(
    ("percent", "code"), [(11, None), (10, "BATTERY_LOW"), (1.5, "BATTERY_LOW"), (1, "BATTERY_EMPTY")]
)
def test_battery_limits_become_codes(percent: float, code: str | None) -> None:
    """At or below; the worse one only."""
    found = row(profile(battery=BATTERY), extra={"b": percent}, error_codes=["X"])

    assert ["X", *([code] if code else [])] == found["error_codes"]


def test_what_a_reading_says_stays() -> None:
    """Decoders knew better."""
    made = profile(
        battery=[{"fields": ["b"], "unit": "V"}],
        valve=[{"fields": ["v"], "states": {"1": "open"}}],
        refusal=[{"fields": ["r"], "mask": 1, "refusal": "busy"}],
    )
    found = row(made, extra={"b": 3, "v": 1, "r": 1}, battery_v=3.6, valve_state="closed", valve_refusal="magnet")

    assert (3.6, "closed", "magnet") == (found["battery_v"], found["valve_state"], found["valve_refusal"])


@pytest.mark.parametrize(
    ("sent", "state"),
    [(0, "fault"), ("0", "fault"), (1.0, "open"), (True, "moving"), ("Shut ", "closed"), (7, "unknown"), ("", None)],
)
def test_valve_codes(sent: object, state: str | None) -> None:
    """Numbers, words and truth values; one that is not listed is unknown."""
    made = profile(valve=[{"fields": ["v"], "states": {"0": "fault", "1": "open", "true": "moving", "shut": "closed"}}])

    assert state == row(made, extra={"v": sent})["valve_state"]


def test_refusal_is_no_fault_but_the_one_that_is() -> None:
    """The first that fits; every code; bits that nobody explains by their name."""
    made = profile(refusal=[
        {"fields": ["r"], "mask": 0x01, "refusal": "under_voltage"},
        {"fields": ["r"], "mask": 0x04, "refusal": "busy"},
        {"fields": ["r"], "mask": 0x10, "code": "A"},
    ])  # fmt: skip
    found = made.normalise(readings(*({"extra": {"r": number}} for number in (0, 4, 5, 0x10, 0x20, 0x15))))

    assert [None, "busy", "under_voltage", None, None, "under_voltage"] == found["valve_refusal"].to_list()
    assert [None, None, None, ["A"], ["r:0x20"], ["A"]] == found["error_codes"].to_list()


def test_sentinels_of_field_extra_and_status() -> None:
    """The value stays; what is not there is not invalid."""
    made = profile(sentinel=[
        {"fields": ["water_temperature_c"], "values": [127, -100]},
        {"fields": ["flow_m3h", "volume_m3"], "mask": 0xF0, "values": [0x70]},
        {"fields": ["volume_m3"], "extra": "q", "values": [1]},
    ])  # fmt: skip
    found = made.normalise(readings(
        {"water_temperature_c": -100.0, "volume_m3": 1.0, "invalid_fields": ["rssi_dbm"]},
        {"status": 0x71, "flow_m3h": 0.0},
        {"volume_m3": 2.0, "extra": {"q": 1}},
        {"volume_m3": 2.0, "extra": {"q": 2}},
    ))  # fmt: skip

    assert [["rssi_dbm", "water_temperature_c"], ["flow_m3h"], ["volume_m3"], None] == found["invalid_fields"].to_list()
    assert -100.0 == found["water_temperature_c"][0]


def test_flags_become_codes() -> None:
    """True and 1 by name, another level with it, nothing for false, 0 and empty; a name may lie deeper."""
    made = profile(flags=[{"fields": ["a", "b", "deep.c", "d.e"]}])
    found = made.normalise(readings(
        {"extra": {"a": True, "b": 2, "deep": {"c": "1"}, "d.e": 1}},
        {"extra": {"a": 0, "b": "false", "deep": 3}},
        {"extra": {"other": 1}},
        {"extra": "no JSON"},
    ))  # fmt: skip

    assert [["a", "b=2", "deep.c", "d.e"], None, None, None] == found["error_codes"].to_list()


def test_nothing_to_say_gives_the_frame_itself() -> None:
    """And a property says so beforehand."""
    frame = readings({"extra": {"b": 1}, "status": 3})
    silent, telling = profile(), profile(battery=BATTERY)

    assert (False, True) == (silent.normalises, telling.normalises)
    assert silent.normalise(frame) is frame


EXTRAS = st.dictionaries(
    st.sampled_from(
        ["battery_y", "batteryLevel", "valve", "valve_result", "sensorAlarm", "3424/6042", "battery_step", "x"]
    ),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=8),
        st.just([1]),
        st.just({}),
    ),
    max_size=4,
)
ROWS = st.fixed_dictionaries(
    {
        "status": st.none() | st.integers(-(2**63), 2**63 - 1),
        "error_codes": st.none() | st.lists(st.text(max_size=8), min_size=1, max_size=3),
        "water_temperature_c": st.none() | st.sampled_from([127.0, -100.0, 12.5]),
        "battery_v": st.none() | st.just(3.6),
        "valve_state": st.none() | st.just("open"),
        "extra": st.none() | EXTRAS,
    }
)


@pytest.mark.parametrize("name", shipped_names())
@given(rows=st.lists(ROWS, max_size=3))
def test_normalise_never_raises_and_settles(name: str, rows: list[dict[str, Any]]) -> None:
    """The second time changes nothing, and other columns, theirs and foreign ones, are left alone."""
    shipped = shipped_profile(name)
    frame = (readings(*rows) if rows else pl.DataFrame(schema=ROW_SCHEMA)).with_columns(position=pl.lit(7))

    once = shipped.normalise(frame)

    assert frame.schema == once.schema
    assert_frame_equal(frame.drop(FILLED), once.drop(FILLED))
    assert_frame_equal(once, shipped.normalise(once))
