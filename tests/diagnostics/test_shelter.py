"""How the case of a kind of installation follows the air."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from diagnostics.shelter import drivers, of_kind
from lake.schemas import WEATHERS

FIRST = date(2024, 1, 1)


def air(low_c: list[float], **more: object) -> pl.DataFrame:
    """Return weather of a region by its lowest temperatures."""
    rows = [{"region": "r", "date": FIRST + timedelta(days=n), "min_c": low, "max_c": low + 6, **more}
            for n, low in enumerate(low_c)]  # fmt: skip
    return WEATHERS.conform(pl.DataFrame(rows))


def of(kind: str, weather: pl.DataFrame) -> pl.DataFrame:
    return drivers(weather).filter(kind=kind)


def test_box_outdoors_follows_the_night_and_a_pit_the_week() -> None:
    """One cold night after a mild week: the mean of the day, and little of it."""
    weather = air([5.0] * 10 + [-10.0])

    assert -10.0 == of("outdoor", weather)["driver_c"][-1]
    assert 3 < of("pit", weather)["driver_c"][-1] < 8
    assert (6.0, 0.0) == (of("outdoor", weather)["swing_c"][-1], of("pit", weather)["swing_c"][-1])


def test_measured_day_goes_before_its_forecast() -> None:
    weather = pl.concat([air([-9.0], forecast=True), air([-3.0], forecast=False)])

    assert [-3.0] == of("outdoor", weather)["driver_c"].to_list()


def test_day_without_a_highest_temperature_has_the_usual_swing() -> None:
    weather = air([-3.0]).with_columns(pl.lit(None, pl.Float64).alias("max_c"))

    assert [8.0] == of("outdoor", weather)["swing_c"].to_list()


@pytest.mark.parametrize(
    ("kind", "coldest_c"), [("outdoor", -10.0), ("pit", -3.5), ("basement", 2.0), ("indoor", 13.5)]
)
def test_shelter_keeps_the_order_of_field_reports(kind: str, coldest_c: float) -> None:
    """A long spell with a mean of -10 °C."""
    share, lift = of_kind(pl.lit(kind))

    assert coldest_c == pytest.approx(pl.select(lift + share * -10.0).item())
