"""Free-form objects."""

from __future__ import annotations

import pytest

from ingest.decoders.field_reader import FieldReader
from lake.errors import DecodingError


def reader(**options: object) -> FieldReader:
    return FieldReader(**({"status": {"status", "alarm"}} | options))  # type: ignore[arg-type]


def test_read_keeps_what_it_does_not_know() -> None:
    """Measurements, codes and valve states are found, all else is kept."""
    found = {"total_m3": "1.5", "leak": True, "tamper": False, "valve": "OPENED", "pulses": 3, "status": "LEAK"}

    fields, extra = reader().read(found)

    assert {"volume_m3": 1.5, "valve_state": "open", "error_codes": ["LEAK", "leak"]} == fields
    assert {"tamper": False, "pulses": 3} == extra


def test_read_takes_the_best_field_that_holds_something() -> None:
    """Of several fields for a column the best one that is not null is taken, the others are kept."""
    found = {"total_forward_m3": 2, "total_m3": None, "total_volume_m3": 1}

    assert ({"volume_m3": 1}, {"total_forward_m3": 2}) == reader().read(found)


def test_read_the_same_names_again() -> None:
    """What was worked out for a set of names does not depend on the values that came first."""
    one = reader()

    assert one.read({"total_m3": 1, "status": "A"}) == ({"volume_m3": 1, "error_codes": ["A"]}, {})
    assert one.read({"total_m3": "x", "status": 4}) == ({"volume_m3": "x", "status": 4}, {})
    assert one.read({"total_m3": None, "status": None}) == ({"volume_m3": None}, {})


def test_read_two_status_words() -> None:
    """A second status word that says something else is kept."""
    assert ({"status": 4}, {"alarm": 5}) == reader().read({"status": 4, "alarm": 5})


@pytest.mark.parametrize("value", [{}, [1], [None], 1.5])
def test_read_status_of_another_type(value: object) -> None:
    """A status that is neither text nor whole number is refused."""
    with pytest.raises(DecodingError, match="wrong_type"):
        reader().read({"status": value})


@pytest.mark.parametrize("value", [{"leak": True}, {}, [1], [None], [["A"]]])
@pytest.mark.parametrize(
    "name", ["status", "battery_v", "batteryVoltage", "volume_l", "valve_state", "firmware", "leak"]
)
def test_read_structure_in_a_known_field(name: str, value: object) -> None:
    """An object or a list under a known name is kept and costs the reading nothing."""
    fields, extra = reader(plain={"firmware"}, nested=True).read({"total_m3": 1, name: value})

    assert {"volume_m3": 1} == {name: value for name, value in fields.items() if value is not None}
    assert {name: value} == extra


def test_read_structure_leaves_the_column_to_another_field() -> None:
    """Where the best field for a column holds an object the next one is taken; a list of codes is none to keep."""
    found = {"total_m3": {"value": 2}, "volume": 1, "status": ["LEAK"]}

    expected = {"volume_m3": 1, "error_codes": ["LEAK"]}, {"total_m3": {"value": 2}}
    assert expected == reader(nested=True).read(found)


@pytest.mark.parametrize(
    ("value", "expected"), [(3608, 3.608), (3.6, 3.6), ("3608", 3.608), (True, True), (None, None)]
)
def test_read_voltage_without_a_unit(value: object, expected: object) -> None:
    """A voltage above a hundred whose name says no unit is in millivolts."""
    fields, _ = reader().read({"batteryVoltage": value})

    assert expected == fields["battery_v"]


def test_read_without_flags_and_loose_units() -> None:
    """A reader for names with units takes no other, and no truth values."""
    strict = reader(stated=True, flags=False)

    assert ({}, {"volume": 1, "leak": True}) == strict.read({"volume": 1, "leak": True})


def test_read_many_names_are_not_remembered() -> None:
    """Names that no device has do not fill the memory."""
    one = reader()
    for number in range(1_500):
        one.read({f"total_m3_{number}": 1})
    one.read({"a" * 5_000: 1})
    one.read({f"field{number}": 1 for number in range(300)})

    assert len(one._plans) <= 1_000
    assert all(sum(map(len, names)) <= 4_000 and len(names) <= 200 for names in one._plans)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"meterReading": 123456, "unit": "L"}, 123.456),
        ({"water": 12.3, "water_unit": "L"}, 0.0123),
        ({"volume": 5, "volumeUnit": "gal"}, 5 * 0.003785411784),
        ({"volume": "5", "volumeUnit": "ft3"}, 5 * 0.028316846592),
        ({"water": 2, "unit": "hL"}, 0.2),
        ({"water": 2, "unit": "°C", "water_unit": "kL"}, 2),
        ({"water": 2, "unit": None}, 2),
        ({"water": 2, "unit": ""}, 2),
        ({"water": 2, "temperature_unit": "C"}, 2),
        ({"volume_m3": 2, "unit": "L"}, 2),
        ({"total_l": 2000, "unit": "gal"}, 2),
        ({"water": True, "unit": "gal"}, True),
    ],
)
def test_read_volume_with_its_unit_beside(found: dict[str, object], expected: object) -> None:
    """A volume whose name says no unit is in the one that another field tells, which is kept."""
    fields, extra = reader().read(found)

    assert {"volume_m3": expected} == fields
    assert {name: value for name, value in found.items() if "unit" in name.lower()} == extra


@pytest.mark.parametrize("unit", ["bar", "ML", 3, ["L"], {"is": "L"}])
def test_read_volume_in_an_unknown_unit(unit: object) -> None:
    """What is in no unit of a volume is none, and kept."""
    found = {"water": 2, "unit": unit}

    fields, extra = reader(nested=True).read(found)

    assert {"volume_m3": None} == fields
    assert found == extra


def test_read_volume_in_an_unknown_unit_beside_a_better_one() -> None:
    """A register whose name says the unit is taken where the other one cannot be."""
    assert ({"volume_m3": 1}, {"water": 2, "unit": "x"}) == reader().read({"water": 2, "unit": "x", "total_m3": 1})


@pytest.mark.parametrize("value", [10**400, "9" * 400, "1e400", "-1e999", "x", float("inf")])
def test_read_volume_that_is_no_number_in_gallons(value: object) -> None:
    """Whatever stands beside a unit, the reader raises nothing."""
    fields, _ = reader().read({"water": value, "unit": "gal"})

    assert fields["volume_m3"] is not None


@pytest.mark.parametrize("value", [True, 1, "1", "true", "TRUE", " True "])
@pytest.mark.parametrize("name", ["leak", "lowBatteryAlarm", "low_battery", "tamper", "backflow", "reverseFlowAlarm"])
def test_read_alarm_that_is_raised(name: str, value: object) -> None:
    """An alarm is a code in whichever way its codec says true."""
    assert ({"error_codes": [name]}, {}) == reader().read({name: value})


@pytest.mark.parametrize("value", [False, 0, "0", "false", "FALSE", None, 2, "2", 1.5, "x", ""])
def test_read_alarm_that_is_not_raised(value: object) -> None:
    """An alarm that is not raised, or holds something else, is kept and no code."""
    assert ({}, {"leak": value}) == reader().read({"leak": value})


@pytest.mark.parametrize(
    "name", ["leak_count", "leakCounter", "alarm_level", "error_number", "tamper2", "reverse_flow", "leak_days"]
)
@pytest.mark.parametrize("value", [1, "1"])
def test_read_count_of_alarms(name: str, value: object) -> None:
    """A number under a name that says more than an alarm is no truth value."""
    assert ({}, {name: value}) == reader().read({name: value})
