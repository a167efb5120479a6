"""Homes that stop in frost beyond the usual number."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from diagnostics.frost_stops import stops_by_frost
from diagnostics.settings import FreezeSettings

FIRST, FROST = date(2024, 1, 1), 50  # day of the record cold
EXPOSED = 30  # of 60 homes


def homes(stops: dict[int, int], borne_c: float = -6.0) -> pl.DataFrame:
    """Return 60 days of homes that use water every day; `stops` tells on which day which home stops for good."""
    rows = [
        {
            "meter_id": f"m{home:02}", "day": FIRST + timedelta(days=day), "region": "north", "volume_readings": 24,
            "day_m3": 0.0 if day >= stops.get(home, 99) else 0.3,
            "case_min_c": 5.0 if home >= EXPOSED else -12.0 if day >= FROST else borne_c if day == FROST - 15 else -6.0,
        }
        for home in range(60)
        for day in range(60)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def test_many_exposed_homes_that_stop_in_record_cold_stop_by_it() -> None:
    told = stops_by_frost(homes({0: 51, 1: 51, 2: 52, 3: 52, 4: 53}), FreezeSettings())

    assert 5 == told.height
    assert told["record"].all()
    assert told["frozen_share"].min() > 0.7  # type: ignore[operator]


def test_stops_that_come_in_sheltered_homes_at_the_same_rate_are_holidays() -> None:
    away = {**dict.fromkeys(range(5), 51), **dict.fromkeys(range(30, 36), 51)}

    told = stops_by_frost(homes(away), FreezeSettings())

    assert told["frozen_share"].max() < FreezeSettings().frozen_share  # type: ignore[operator]


def test_cold_that_the_pipe_has_borne_before_is_no_record() -> None:
    told = stops_by_frost(homes({0: 51}, borne_c=-14.0), FreezeSettings())

    assert [False] == told["record"].to_list()


def test_without_frost_or_stops_there_is_nothing() -> None:
    assert stops_by_frost(homes({}), FreezeSettings()).is_empty()
    assert stops_by_frost(homes({40: 51}), FreezeSettings()).is_empty()


def test_expected_number_follows_from_what_stopped_before() -> None:
    """Homes that stop at all times leave less for the frost."""
    quiet = stops_by_frost(homes({0: 51, 1: 51, 2: 52}), FreezeSettings())
    busy = stops_by_frost(homes({0: 51, 1: 51, 2: 52, 5: 20, 6: 25, 7: 30, 8: 35, 40: 22, 41: 28}), FreezeSettings())

    assert busy["expected"].max() > quiet["expected"].max()  # type: ignore[operator]
    assert quiet["frozen_share"].max() > busy["frozen_share"].max()  # type: ignore[operator]
