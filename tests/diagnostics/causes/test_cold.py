"""Cold as a cause: what comes and goes with it, against what only gets worse while it gets colder."""

from __future__ import annotations

import math

import pytest

from diagnostics.cause_settings import CauseSettings
from diagnostics.causes.cold import cold
from tests.diagnostics.causes.made import made, weights

SETTINGS = CauseSettings()
# Cold waves of ten days; the last days before the onset are among the coldest.
WAVES = [6 * math.cos(2 * math.pi * n / 10 + math.pi) - n / 20 for n in range(60)]


@pytest.mark.parametrize(("comes_and_goes", "least", "most"), [(True, 0.4, 1.0), (False, 0.0, 0.25)])
def test_sag_that_goes_with_the_cold(comes_and_goes: bool, least: float, most: float) -> None:
    sags = [0.05 * max(0.0, -value) if comes_and_goes else 0.01 * n for n, value in enumerate(WAVES)]
    days = [{"case_min_c": value, "case_measured": True, "cell_sag_v": sag, "cell_fall_v": 0.0}
            for value, sag in zip(WAVES, sags, strict=True)]  # fmt: skip

    found = weights(cold(made({"m": "battery"}, registry={"m": {}}, days={"m": days}), SETTINGS.cold))

    assert least <= found.get("m", 0.0) <= most


def test_cell_that_is_empty_at_rest_was_not_stopped_by_cold_alone() -> None:
    temperatures = [-12.0 if 27 <= n <= 31 else 4.0 for n in range(50)]
    full, empty = (
        weights(
            cold(
                made({"m": "battery"}, registry={"m": {}}, days={"m": [
                    {"case_min_c": value, "case_measured": True, "cell_fall_v": fall if n >= 30 else 0.0}
                    for n, value in enumerate(temperatures)
                ]}),
                SETTINGS.cold,
            )
        )["m"]
        for fall in (0.0, 0.3)
    )  # fmt: skip

    assert empty < full / 2


def test_where_frost_is_everyday_weather_its_worst_days_count() -> None:
    temperatures = [-20.0 if 27 <= n <= 31 else -8.0 for n in range(50)]
    days = [{"case_min_c": value, "case_measured": True} for value in temperatures]

    assert "m" in weights(cold(made({"m": "coil"}, registry={"m": {}}, days={"m": days}), SETTINGS.cold))
    assert {} == weights(
        cold(made({"m": "coil"}, registry={"m": {}}, days={"m": days[:25] + days[:25]}), SETTINGS.cold)
    )
