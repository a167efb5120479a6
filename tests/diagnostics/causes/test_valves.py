"""How a valve fails tells sediment, age, electronics and tampering apart."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from diagnostics.cause_settings import CauseSettings
from diagnostics.causes.age import age
from diagnostics.causes.groups import module
from diagnostics.causes.handling import tamper
from diagnostics.causes.sediment import sediment
from diagnostics.causes.valves import with_valve_signs
from diagnostics.facts import Facts
from tests.diagnostics.causes.made import made, weights

USUAL = {"valve_moved": True, "current_ratio": 1.0, "travel_ratio": 1.0, "closed_flow_m3": 0.0, "usual_m3": 0.3}
SETTINGS = CauseSettings()


def one_valve(**since: Any) -> Any:
    """Return the cases of one valve, five years old, that moves every day and differently since the onset."""
    days = [{**USUAL, **(since if number >= 30 else {})} for number in range(50)]
    return made({"m": "actuator"}, registry={"m": {"region": "r", "site": "s"}}, days={"m": days})


@pytest.mark.parametrize(
    ("since", "sign"),
    [
        ({"current_ratio": 2.0, "travel_ratio": 1.8}, "runs_harder"),
        ({"current_ratio": None, "travel_ratio": 1.8}, "runs_harder"),
        ({"current_ratio": 0.5, "travel_ratio": 2.0}, "runs_free"),
        ({"current_ratio": 0.02, "travel_ratio": 0.0}, "stands_still"),
        ({"travel_ratio": 3.0}, "overruns"),
        ({"closed_flow_m3": 0.05}, "leaks"),
        ({"closed_flow_m3": 0.4}, "runs_on"),
    ],
)
def test_one_sign_for_each_way_to_fail(since: dict[str, float], sign: str) -> None:
    cases = one_valve(**since)

    row = with_valve_signs(cases.rows, cases).row(0, named=True)

    signs = ("runs_harder", "runs_free", "stands_still", "overruns", "leaks", "runs_on")
    assert [sign] == [name for name in signs if row[name]]


def test_no_signs_for_other_faults_than_the_actuators() -> None:
    cases = made({"m": "battery"}, registry={"m": {}}, days={"m": [USUAL] * 50})

    assert with_valve_signs(cases.rows, cases)["runs_harder"].is_null().all()


def test_grit_brakes_a_motor_and_never_frees_it() -> None:
    harder = weights(sediment(one_valve(current_ratio=2.0), SETTINGS.sediment))
    free = weights(sediment(one_valve(current_ratio=0.5), SETTINGS.sediment))

    assert harder["m"] > 3 * SETTINGS.unknown_weight / 2
    assert free["m"] < SETTINGS.unknown_weight


def test_motor_that_is_not_driven_is_the_electronics() -> None:
    still = weights(module(one_valve(current_ratio=0.02, travel_ratio=0.0), SETTINGS.module))

    assert still["m"] > SETTINGS.unknown_weight
    assert {} == weights(module(one_valve(current_ratio=2.0), SETTINGS.module))


def test_valve_that_closes_and_stops_nothing_is_tampered_with_rather_than_worn() -> None:
    cases = one_valve(closed_flow_m3=0.4)
    codes = pl.DataFrame(schema={"meter_id": pl.String, "family": pl.String, "code": pl.String,
                                 "first_ts": pl.Datetime("us", "UTC")})  # fmt: skip
    object.__setattr__(cases.seen, "codes", codes)

    told = weights(tamper(cases, SETTINGS.tamper))

    assert told["m"] > SETTINGS.unknown_weight
    assert told["m"] > weights(sediment(cases, SETTINGS.sediment))["m"]


def test_old_valve_that_only_leaks_is_worn() -> None:
    old = {
        "m": {"region": "r", "installed_on": "2016-02-01"},
        **{f"h{n}": {"installed_on": "2020-02-01"} for n in range(9)},
    }
    registry = {meter: {**row, "installed_on": _day(str(row["installed_on"]))} for meter, row in old.items()}
    cases = made({"m": "actuator"}, registry=registry, days={"m": [{**USUAL, "closed_flow_m3": 0.05}] * 50})

    assert weights(age(cases, SETTINGS.age))["m"] > weights(sediment(cases, SETTINGS.sediment))["m"]
    assert isinstance(cases.seen.facts, Facts)


def _day(text: str) -> Any:
    return pl.Series([text]).str.to_date().item()
