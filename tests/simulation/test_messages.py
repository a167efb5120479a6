import json
from typing import Any

import numpy as np
import pytest

from simulation.block_life import live_through
from simulation.messages import CODES, registers, shown
from simulation.sensing import Sensed
from simulation.vendors import ALDER, CEDAR, DOGWOOD, ELM, HAZEL, Vendor
from tests.simulation.blocks import block, plan, world

GENERIC = {"LOW_BATTERY", "FREEZE", "SENSOR_FAULT", "VALVE_FAULT"}


def payloads(vendor: Vendor, **ranges: tuple[float, float]) -> list[dict[str, Any]]:
    """Return what the meters of one vendor send."""
    around = world(30, 40, vendors=(vendor,), **ranges)
    made = live_through(block(around, plan(around), **ranges)).messages
    return [json.loads(line)["payload"] for line in made["line"]]


def test_lines_hold_what_the_vendor_sends() -> None:
    """No temperature where there is no thermometer, no codes where none are sent."""
    alder, elm = payloads(ALDER, valve_share=(1, 1)), payloads(ELM, valve_share=(1, 1))

    assert {"ambient_temperature_c", "battery_load_v", "coil_signal_mv", "profile", "valve_travel_s", "snr_db"} <= {
        name for each in alder for name in each
    }
    assert not {"ambient_temperature_c", "battery_load_v", "coil_signal_mv", "profile", "valve_travel_s", "snr_db"} & {
        name for each in elm for name in each
    }
    assert all(each["synthetic"] and each["source"] in {"head-end", "second-program"} for each in alder)


@pytest.mark.parametrize(("vendor", "step"), [(ALDER, 0.001), (HAZEL, 0.02), (DOGWOOD, 0.1)])
def test_lines_have_the_vendors_voltage_step(vendor: Vendor, step: float) -> None:
    """Every voltage is a whole number of steps."""
    volts = np.array([each["battery_v"] for each in payloads(vendor)])

    assert np.allclose(np.round(volts / step) * step, volts, atol=1e-9)
    assert 3.3 < volts.min() < volts.max() < 3.8


def test_lines_of_hourly_meters_carry_state_now_and_then() -> None:
    """The register always, the battery every sixth hour."""
    sent = payloads(CEDAR, valve_share=(0, 0))

    assert all("volume_m3" in each for each in sent)
    assert 0.1 < np.mean(["battery_v" in each for each in sent]) < 0.25


def test_lines_profile_ends_at_local_midnight_below_the_register() -> None:
    """24 registers an hour apart, the last at midnight before the message."""
    for each in payloads(ALDER, wrong_clock_share=(0, 0), lost_clock_share=(0, 0)):
        if "profile" in each:
            profile = each["profile"]
            assert profile["start"].endswith("T00:00:00+08:00")
            assert 24 == len(profile["volume_m3"])
            assert 3600 == profile["step_s"]
            assert sorted(profile["volume_m3"]) == profile["volume_m3"]
            assert profile["volume_m3"][-1] <= each["volume_m3"] + 1e-9


def test_codes_are_words_that_speak_for_themselves() -> None:
    """Each vendor has one word for each state."""
    words = {word for _, each in CODES for word in each}

    assert words >= GENERIC
    assert all(len(each) == 3 for _, each in CODES)


def test_shown_rounds_down_to_the_display() -> None:
    """A display shows what has passed."""
    assert [12.34, 12.3] == [float(shown(np.array([12.349]), np.array([step]))[0]) for step in (0.01, 0.1)]


def test_registers_start_again_where_the_register_part_was_exchanged() -> None:
    """They fall to near zero once, and count on."""
    around = world(20, 60)
    made = block(around, register_restart_share=(1.0, 1.0))
    flow = np.full((20, around.calendar.hours), 0.01)
    register = registers(made, Sensed(flow, np.zeros_like(flow), np.ones((20, 60))))
    falls = np.diff(register, axis=1) < 0

    assert {1} == set(falls.sum(axis=1).tolist())
    assert (register[:, 1:][falls] < 1.1).all()
    assert (register >= 0).all()
