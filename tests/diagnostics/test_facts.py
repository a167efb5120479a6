from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from diagnostics.facts import Facts, with_place
from lake.schemas import DAILY
from tests.diagnostics.frames import START, chained, readings


def daily(ambient_c: float | None) -> pl.DataFrame:
    """Return three days of one meter with a temperature of its own, or none."""
    return chained(readings({"volume_m3": [10.0] * 72, "ambient_temperature_c": [ambient_c] * 72}))


def facts(installation: str | None, *, forecast: bool = False) -> Facts:
    """Return a meter in region r, which has -10 °C on each day."""
    meters = pl.DataFrame({"meter_id": ["m1"], "region": ["r"], "installation": [installation]},
                          schema_overrides={"installation": pl.String})  # fmt: skip
    weather = pl.DataFrame(
        [{"region": "r", "date": date(2024, 1, n), "min_c": -10.0, "forecast": forecast} for n in (1, 2, 3)]
    )
    return Facts(meters=meters, weather=weather).conformed()


def test_own_temperature_goes_before_that_of_the_region() -> None:
    placed = with_place(daily(4.0), facts("outdoor"))

    assert [4.0] * 3 == placed["case_min_c"].to_list()
    assert placed["case_measured"].all()


def test_shelter_of_the_place_is_supposed_where_the_meter_sends_no_temperature() -> None:
    """An outdoor box is as cold as the air, a heated room hardly."""
    outdoor, indoor, unknown = (
        with_place(daily(None), facts(kind))["case_min_c"][0] for kind in ("outdoor", "indoor", None)
    )

    assert (-10.0, -10.0) == (outdoor, unknown)
    assert indoor > 5


def test_forecast_is_no_weather_that_was() -> None:
    placed = with_place(daily(None), facts("outdoor", forecast=True))

    assert [None] * 3 == placed["case_min_c"].to_list()


def test_unregistered_meter_has_no_place() -> None:
    placed = with_place(daily(None), Facts().conformed())

    assert [None] * 3 == placed["region"].to_list()


def test_empty_facts_and_empty_days_go_together() -> None:
    assert with_place(DAILY.empty(), Facts().conformed()).is_empty()


def test_one_registry_row_a_meter_counts() -> None:
    rows = pl.DataFrame({"meter_id": ["a", "a"], "region": ["first", "second"]})

    assert ["first"] == Facts(meters=rows).conformed().meters["region"].to_list()


def test_reception_gap_keeps_its_types() -> None:
    moment = datetime(2024, 1, 1, tzinfo=START.tzinfo)
    gaps = pl.DataFrame(
        {"meter_id": ["a"], "received_at": [moment], "since": [moment], "until": [moment + timedelta(hours=1)],
         "kind": ["session_lost"]}
    )  # fmt: skip

    assert pl.Datetime("us", "UTC") == Facts(gaps=gaps).conformed().gaps["since"].dtype
