"""Which measurement a name stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.field_names import measured, unit_fields, units_of, volume_factor, words_of
from lake.vocabulary import MEASURES


@pytest.mark.parametrize("name", MEASURES)
def test_measured_names_of_the_contract(name: str) -> None:
    """A name of the contract stands for itself, in its unit, before any other."""
    assert (name, 1.0, 0, True) == measured(name)


@pytest.mark.parametrize(
    ("name", "column", "factor"),
    [
        ("total_m3", "volume_m3", 1),
        ("total_water_consumption_m3", "volume_m3", 1),
        ("totalVolume", "volume_m3", 1),
        ("CurrentVolume", "volume_m3", 1),
        ("meter_reading", "volume_m3", 1),
        ("water", "volume_m3", 1),
        ("volume_m³", "volume_m3", 1),
        ("totalLiters", "volume_m3", 1e-3),
        ("total_backward_flow_m3", "reverse_volume_m3", 1),
        ("reverseVolume", "reverse_volume_m3", 1),
        ("volume_flow_m3h", "flow_m3h", 1),
        ("flow_m³/h", "flow_m3h", 1),
        ("flow_lh", "flow_m3h", 1e-3),
        ("flow_temperature_c", "water_temperature_c", 1),
        ("externalTemp", "ambient_temperature_c", 1),
        ("temperature", "temperature_c", 1),
        ("battery_mv", "battery_v", 1e-3),
        ("BatV", "battery_v", 1),
        ("batteryVoltage", "battery_v", 1),
        ("voltage_v", "battery_v", 1),
        ("rssi", "rssi_dbm", 1),
        ("snr_db", "snr_db", 1),
    ],
)
def test_measured_by_words(name: str, column: str, factor: float) -> None:
    """Words of a quantity and of now, with or without a unit, tell the column."""
    found = measured(name)

    assert found is not None
    assert (column, factor) == (found.column, found.factor)


@pytest.mark.parametrize(
    "name",
    ["target_m3", "total_at_date_m3", "consumption_at_set_date_m3", "last_month_total_m3", "January_total_m3",
     "total_tariff1_m3", "volume_b_m3", "volume_2_m3", "historic_m3", "max_flow_m3h", "min_flow_temperature_c",
     "return_temperature_c", "remaining_battery_life_y", "battery_pct", "battery", "voltage", "pulseCounter",
     "waterIncrement", "consumption", "dailyConsumption", "flow", "flowRate", "backflow", "m3", "l", "", "_", "总水量",
     "水volume", "volume" * 20, "total_energy_kwh", "temperature_f"],
)  # fmt: skip
def test_measured_says_nothing(name: str) -> None:
    """Registers of the past, extremes, other units, unclear words and other alphabets stand for nothing."""
    assert measured(name) is None


def test_measured_ranks_total_first() -> None:
    """Of several registers the total comes before the forward one, and cubic metres before litres."""
    names = ["total_l", "total_forward_m3", "total_m3", "total_volume_m3", "volume_m3"]
    ranked = sorted(names, key=lambda name: found.rank if (found := measured(name)) else 99)

    assert ["volume_m3", "total_m3", "total_volume_m3", "total_forward_m3", "total_l"] == ranked


@given(st.text())
def test_measured_any_name(name: str) -> None:
    """Any name is either a column or nothing."""
    found = measured(name)

    assert found is None or found.column in {*MEASURES, "temperature_c"}
    assert all(word == word.lower() for word in words_of(name))


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("L", 1e-3), (" litre ", 1e-3), ("m3", 1), ("m³", 1), ("M3", 1), ("gal", 0.003785411784), ("ft³", 0.028316846592),
     ("CF", 0.028316846592), ("mL", 1e-6), ("ML", None), ("hl", 0.1), ("kL", 1), ("bar", None), ("", None), (3, None),
     (None, None), (["L"], None)],
)  # fmt: skip
def test_volume_factor(unit: object, factor: float | None) -> None:
    """Units of volumes are told in any case, but for one that is another with capitals; all else is none."""
    assert factor == volume_factor(unit)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("water", ("water_unit", "volumeUnit", "Units")),
        ("volume", ("volumeUnit", "water_unit", "Units")),
        ("meter_reading", ("meterReadingUnit", "water_unit", "volumeUnit", "Units")),
    ],
)
def test_units_of_field(field: str, expected: tuple[str, ...]) -> None:
    """The field that names the volume comes first, that of all fields last."""
    told = unit_fields(["Units", "volumeUnit", "water_unit", "meterReadingUnit", "pressure_unit", "unity", "a" * 99])

    assert expected == units_of(field, told)
