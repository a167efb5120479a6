"""Report storms and programs that empty a cell, beside cadences that only look like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diagnostics.cause_settings import CauseSettings
from diagnostics.causes.drain import report_storm
from diagnostics.causes.handling import software_conflict
from tests.diagnostics.causes.cases import Story, causes
from tests.diagnostics.causes.made import made, weights

SETTINGS = CauseSettings()


def storm(messages: Sequence[int], readings: int | None = None, others: int = 4) -> dict[str, float]:
    """Return the weight for one meter that sends so many messages, among ten of its model."""
    model = {"model": "x"}
    own = [{"messages": number, "readings": readings or number} for number in messages]
    beside: dict[str, list[dict[str, Any]]] = {f"h{n}": [{"messages": others}] * 60 for n in range(10)}
    cases = made({"m": "battery"}, registry={"m": model, **dict.fromkeys(beside, model)}, days={"m": own, **beside})
    return weights(report_storm(cases, SETTINGS.storm))


def test_storm_in_part_of_the_window() -> None:
    assert storm([4] * 20 + [40] * 40)["m"] > 0.5


def test_storm_in_all_of_the_window() -> None:
    assert storm([40] * 60)["m"] > 0.5


def test_meter_that_reports_again_after_it_had_fallen_silent_storms_nobody() -> None:
    assert {} == storm([1] * 20 + [4] * 40)


def test_one_message_with_the_registers_of_a_day_is_one_message() -> None:
    assert {} == storm([1] * 60, readings=25, others=1)


def test_region_that_fails_without_a_sign_stays_unknown() -> None:
    """Base rates alone name nothing: neither water nor grit nor years."""
    found = causes(
        {f"m{n}": Story(fails_from=30, fault=fault) for n, fault in enumerate(("coil", "battery", "actuator"))}
    )

    assert ["unknown"] * 3 == [found[f"m{n}"]["cause"] for n in range(3)]


def test_programs_that_poll_a_meter_empty_its_cell_though_they_agree() -> None:
    days = [{"sources": 2, "source_disagreements": 0}] * 60
    cases = made({"m": "battery"}, registry={"m": {}}, days={"m": days})

    found = weights(software_conflict(cases, SETTINGS.conflict))

    assert SETTINGS.conflict.drain_weight == found["m"]
