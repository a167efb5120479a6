"""Use that dwindles over days before it ends, and ends that are none of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from diagnostics.fading import faded
from diagnostics.settings import FadingSettings

START = datetime(2024, 1, 1, tzinfo=UTC)
USUAL = (0.4, 0.3, 0.5, 0.2, 0.45, 0.35, 0.6)


def days(used: Sequence[float], **others: object) -> pl.DataFrame:
    """Return daily rows of one meter, of which only the use is of interest."""
    times = [START + timedelta(days=n) for n in range(len(used))]
    columns = {"valve_state": "open", "standing_command": None, "peer_zero_share": 0.0, **others}
    return pl.DataFrame({"meter_id": "m1", "day_m3": used, "volume_readings": 24, "first_ts": times,
                         "last_ts": times}).with_columns(
        pl.lit(value, dtype=pl.String if value is None else None).alias(name) for name, value in columns.items()
    )  # fmt: skip


def usual(count: int) -> list[float]:
    """Return the use of days of a home, seven by seven the same."""
    return [USUAL[n % 7] for n in range(count)]


FADES = [0.2, 0.19, 0.15, 0.17, 0.12, 0.1, 0.11, 0.07, 0.06, 0.05]


def found(used: Sequence[float], **others: object) -> list[dict[str, object]]:
    """Return what is told of such a home."""
    return faded(days(used, **others), FadingSettings()).to_dicts()


def test_parts_of_the_usual_use_before_the_end_are_a_fading_element() -> None:
    (told,) = found([*usual(35), *FADES, 0, 0, 0, 0, 0])

    assert (10, 5) == (told["fade_days"], told["ended_days"])
    assert told["fade_ts"] == START + timedelta(days=35)


def test_departure_from_one_day_to_the_next_is_none() -> None:
    assert [] == found([*usual(45), 0, 0, 0, 0, 0])


def test_less_use_that_goes_on_is_none() -> None:
    assert [] == found([*usual(35), *[0.15] * 20])


def test_home_that_often_uses_little_is_none() -> None:
    small = [0.05 if n % 2 else 0.5 for n in range(45)]

    assert [] == found([*small, *[0.12, 0.1, 0.11, 0.4, 0.1, 0.08, 0.09, 0.4, 0.06, 0.05], 0, 0, 0, 0])


def test_empty_days_before_it_mean_other_people() -> None:
    assert [] == found([*usual(33), 0, 0, *FADES, 0, 0, 0, 0, 0])


def test_closed_valve_or_neighbours_that_stand_too_explain_it() -> None:
    used = [*usual(35), *FADES, 0, 0, 0, 0, 0]

    assert [] == found(used, valve_state="closed")
    assert [] == found(used, standing_command="close")
    assert [] == found(used, peer_zero_share=0.8)


def test_too_short_a_past_tells_nothing() -> None:
    assert [] == found([*usual(10), *FADES, 0, 0, 0, 0])
    assert [] == found([])
