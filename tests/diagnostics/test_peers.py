from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from diagnostics.peers import silent_neighbours, with_peers

DAY = date(2024, 1, 1)


def days(use: dict[str, list[float | None]], place: dict[str, tuple[str | None, str | None]]) -> pl.DataFrame:
    """Return rows of many meters, one a day with its use; None is a day without a row."""
    rows = [
        {
            "meter_id": meter, "day": DAY + timedelta(days=number), "age_days": len(values) - 1 - number,
            "day_m3": value, "region": place[meter][0], "site": place[meter][1], "model": "m",
            "installation": None, "battery_fall_v": 0.01 * number, "battery_temperature_c": None, "sag_excess": None,
            "draw_change": None,
        }
        for meter, values in use.items()
        for number, value in enumerate(values)
        if value is not None
    ]  # fmt: skip
    schema = {"meter_id": pl.String, "day": pl.Date, "age_days": pl.Int64, "day_m3": pl.Float64, "region": pl.String,
              "site": pl.String, "model": pl.String, "installation": pl.String, "battery_fall_v": pl.Float64,
              "battery_temperature_c": pl.Float64, "sag_excess": pl.Float64, "draw_change": pl.Float64}  # fmt: skip
    return pl.DataFrame(rows, schema=schema).sort("meter_id", "day")


def test_others_stand_still_and_the_meter_itself_is_not_counted() -> None:
    """Seven homes of a site; on the last day all but one stand."""
    use = {f"m{n}": [0.2] * 20 + [0.0 if n else 0.2] for n in range(7)}
    seen = with_peers(days(use, dict.fromkeys(use, ("r", "s"))))

    last = seen.filter(pl.col("age_days") == 0).sort("meter_id")

    assert [1.0, *[5 / 6] * 6] == last["peer_zero_share"].to_list()


def test_vacant_homes_do_not_speak_of_flow() -> None:
    """A home that never uses water is no witness that the water is off."""
    use = {f"m{n}": [0.0 if n > 2 else 0.2] * 21 for n in range(12)}
    seen = with_peers(days(use, dict.fromkeys(use, ("r", "s"))))

    assert 0 == seen["peer_zero_share"].drop_nulls().len()


def test_region_speaks_where_a_site_is_too_small() -> None:
    use = {f"m{n}": [0.2] * 20 + [0.1] for n in range(8)}
    seen = with_peers(days(use, {meter: ("r", f"s{meter}") for meter in use}))

    assert [0.5] * 8 == seen.filter(pl.col("age_days") == 0)["peer_use_ratio"].to_list()


def test_too_few_peers_say_nothing() -> None:
    use = {f"m{n}": [0.2] * 20 for n in range(5)}
    seen = with_peers(days(use, dict.fromkeys(use, (None, None))))

    assert [None] * 100 == seen["peer_fall_v"].to_list()


def test_fall_of_voltage_that_all_share_is_told() -> None:
    use = {f"m{n}": [0.2] * 20 for n in range(6)}
    seen = with_peers(days(use, dict.fromkeys(use, (None, None))))

    assert [round(0.01 * n, 2) for n in range(20)] == seen.filter(meter_id="m3")["peer_fall_v"].round(2).to_list()


def test_silent_neighbours_are_counted_from_their_first_day_on() -> None:
    """Of three meters one comes on the third day and one is missing on the last."""
    use = {"a": [0.1, 0.1, 0.1, 0.1], "b": [0.1, 0.1, 0.1, None], "c": [None, None, 0.1, 0.1]}
    counts = silent_neighbours(days(use, dict.fromkeys(use, ("r", "s"))))

    of_site = counts.filter(site="s").sort("day")
    assert [2, 2, 3, 3] == of_site["meters"].to_list()
    assert [0, 0, 0, 1] == of_site["silent"].to_list()
