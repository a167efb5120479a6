"""How many of a lot show the same, and how many would by chance."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from diagnostics.facts import Facts
from diagnostics.features import View
from diagnostics.lots import with_lot

NOW = datetime(2024, 3, 1, tzinfo=UTC)


def seen(lots: dict[str, str | None], sites: dict[str, str] | None = None) -> View:
    """Return a view of meters by lot; a site each where nothing else is said."""
    places = sites or {}
    meters = pl.DataFrame(
        [{"meter_id": meter, "region": "r", "site": places.get(meter, meter), "production_batch": lot}
         for meter, lot in lots.items()],
        schema_overrides={"production_batch": pl.String},
    )  # fmt: skip
    return View(NOW, pl.DataFrame(), meters.select("meter_id"), pl.DataFrame(), Facts(meters=meters).conformed())


LOTS: dict[str, str | None] = {f"m{n:03}": "bad" if n < 20 else f"lot{n // 20}" for n in range(200)}


def told(hits: list[str], view: View, **options: pl.DataFrame) -> pl.DataFrame:
    """Return the figures of meters that all show the sign beyond doubt."""
    return with_lot(
        view, pl.DataFrame({"meter_id": hits}, schema={"meter_id": pl.String}), pl.lit(value=True), **options
    )


def test_lot_with_far_more_than_the_others() -> None:
    found = told([*(f"m{n:03}" for n in range(5)), "m150"], seen(LOTS)).row(0, named=True)

    assert 5 == found["lot_hits"]
    assert found["lot_expected"] == pytest.approx(20 * (1 + 30 * 6 / 200) / 210, abs=0.01)
    assert found["lot_p_value"] < 1e-5


def test_lone_hit_tells_nothing_of_its_lot() -> None:
    assert [None] == told(["m000"], seen(LOTS))["lot_hits"].to_list()


def test_lot_whose_hits_hang_at_one_site_tells_nothing() -> None:
    """It may as well be the site."""
    hits = [f"m{n:03}" for n in range(5)]

    assert [None] * 5 == told(hits, seen(LOTS, dict.fromkeys(hits, "s1")))["lot_hits"].to_list()


def test_others_beside_the_hits_count_for_the_lot() -> None:
    beside = pl.DataFrame({"meter_id": ["m001", "m002", "m003"]})

    assert [4] == told(["m000"], seen(LOTS), beside=beside)["lot_hits"].to_list()


def test_unknown_lot_is_empty() -> None:
    nowhere = seen(dict.fromkeys(LOTS))

    assert [None, None] == told(["m000", "m001"], nowhere)["lot_p_value"].to_list()
    assert told([], nowhere).columns == ["meter_id", "lot_hits", "lot_expected", "lot_p_value"]
