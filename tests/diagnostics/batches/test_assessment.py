"""Known fleets: which groups are called, which are not, and which cannot be told from their place."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from diagnostics.batches import Look, assess, assess_many, rank
from lake.errors import UsageError


def cells(*rows: tuple[str | None, str, bool, int, int]) -> pl.DataFrame:
    """Return cells of (group, region, cold, devices, failures), each device seen for 100 days."""
    frame = pl.DataFrame(rows, schema=["group", "region", "cold", "devices", "failures"], orient="row")
    return frame.with_columns((pl.col("devices") * 100).alias("days"))


def ordinary(regions: str = "NSEW", lots: int = 12, cold: str = "N") -> list[tuple[str | None, str, bool, int, int]]:
    """Return lots with the rate of everyone: 1 % in the warm, 5 % in the cold."""
    return [
        (f"lot{number:02}", region, region in cold, 100, 5 if region in cold else 1)
        for number in range(lots)
        for region in regions
    ]


def verdict_of(assessed: pl.DataFrame, group: str) -> str:
    """Return what is said of a group."""
    return str(assessed.filter(pl.col("group") == group)["verdict"].item())


def test_a_bad_lot_is_called_and_ordinary_ones_are_not() -> None:
    """The lot has four times what others have in the same places."""
    bad = [("bad", region, region == "N", 100, 20 if region == "N" else 5) for region in "NSEW"]

    found = assess(cells(*ordinary(), *bad), strata=["cold"], places=["region"])

    assert "act" == verdict_of(found, "bad")
    assert ["bad"] == found.filter(pl.col("verdict") != "normal")["group"].to_list()
    assert "excess" == found.row(0, named=True)["why"]["reason"]


def test_the_cold_is_not_blamed_on_a_lot() -> None:
    """A lot that stands mostly in the cold has many failures, as many as others in the cold."""
    there = [("cold_lot", "N", True, 400, 20), ("cold_lot", "S", False, 20, 0)]

    found = assess(cells(*ordinary(), *there), strata=["cold"], places=["region"])

    row = found.filter(pl.col("group") == "cold_lot").row(0, named=True)
    assert "normal" == row["verdict"]
    assert row["why"]["crude_expected"] < 12
    assert row["expected"] == pytest.approx(20, rel=0.15)


def test_a_lot_alone_in_the_only_cold_region_is_not_separable() -> None:
    """Nobody else was in the cold: lot and exposure coincide."""
    alone = [("lonely", "N", True, 400, 30)]

    found = assess(cells(*ordinary("SEW"), *alone), strata=["cold"], places=["region"])

    row = found.filter(pl.col("group") == "lonely").row(0, named=True)
    assert ("not_separable", "alone_there") == (row["verdict"], row["why"]["reason"])
    assert 1.0 == row["why"]["not_compared"]


def test_a_lot_alone_in_one_region_is_not_separable_from_it() -> None:
    """Other regions are as cold, but what else this one has nobody knows."""
    alone = [("lonely", "X", True, 400, 80)]

    found = assess(cells(*ordinary(), *alone), strata=["cold"], places=["region"])

    assert "not_separable" == verdict_of(found, "lonely")


def test_a_lot_alone_that_has_no_excess_is_normal() -> None:
    """What would not be called needs no excuse."""
    alone = [("lonely", "N", True, 400, 4)]

    found = assess(cells(*ordinary("SEW"), *alone), strata=["cold"], places=["region"])

    assert "normal" == verdict_of(found, "lonely")


def test_a_lot_with_excess_only_where_it_is_alone_is_normal_if_others_tell_enough() -> None:
    """The same lot in three other regions has the expected rate."""
    rows = [("lot", "X", False, 300, 40), *(("lot", region, False, 600, 6) for region in "SEW")]

    found = assess(cells(*ordinary(), *rows), strata=["cold"], places=["region"])

    row = found.filter(pl.col("group") == "lot").row(0, named=True)
    assert ("normal", "elsewhere_as_expected") == (row["verdict"], row["why"]["reason"])


def test_a_lot_alone_in_many_regions_is_told_from_them() -> None:
    """What repeats itself in five regions is the lot's."""
    rows = [("lot", region, False, 200, 12) for region in "ABCDE"]

    found = assess(cells(*ordinary(), *rows), strata=["cold"], places=["region"])

    assert "act" == verdict_of(found, "lot")


def test_a_bad_region_is_not_blamed_on_the_lots_in_it() -> None:
    """Sediment in one region: all lots have it there, whatever their share."""
    rows = [(f"lot{n:02}", "Z", False, 50 if n else 500, 5 if n else 50) for n in range(12)]

    found = assess(cells(*ordinary(), *rows), strata=["cold"], places=["region"])

    assert found.filter(pl.col("verdict") != "normal").is_empty()


def test_small_lots_do_not_lead() -> None:
    """Two failures of four devices are many, and tell little."""
    rows = [("tiny", "S", False, 4, 2), ("bad", "S", False, 1000, 60)]

    found = assess(cells(*ordinary(), *rows), strata=["cold"], places=["region"])

    assert "bad" == found["group"][0]
    raw = found.sort("raw_ratio", descending=True)
    assert "tiny" == raw["group"][0]
    assert_frame_equal(found, rank(found.sort("group")))


def test_a_single_group_has_no_comparison() -> None:
    """Nobody else was seen at all."""
    found = assess(cells(("only", "S", False, 100, 30)), strata=["cold"], places=["region"])

    row = found.row(0, named=True)
    assert ("not_separable", "no_comparison") == (row["verdict"], row["why"]["reason"])


def test_devices_of_unknown_group_tell_what_is_usual_and_are_not_judged() -> None:
    """A meter without a lot is at risk like any other."""
    rows = [("A", "S", False, 100, 10), (None, "S", False, 1000, 10)]

    found = assess(cells(*rows), strata=["cold"])

    assert ["A"] == found["group"].to_list()
    assert found["expected"].item() == pytest.approx(1.0, rel=0.2)


def test_all_scopes_share_one_error_budget() -> None:
    """What is called beside a thousand others must be less probable than alone."""
    suspect = cells(*ordinary(), ("bad", "S", False, 100, 6))
    quiet = cells(*(ordinary(lots=100)))

    alone = assess(suspect, strata=["cold"]).filter(pl.col("group") == "bad")
    beside = assess_many({("lot", "coil"): suspect, ("lot", "battery"): quiet}, strata=["cold"])

    both = beside.filter((pl.col("group") == "bad") & (pl.col("fault") == "coil"))
    assert both["p_value"].item() == alone["p_value"].item()
    assert both["q_value"].item() > alone["q_value"].item()


def test_looks_need_dates() -> None:
    """Cells without dates cannot tell how often they were looked at."""
    with pytest.raises(UsageError, match="since and until"):
        assess(cells(*ordinary()), strata=["cold"], look=Look())


@settings(max_examples=20, deadline=None)
@given(order=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(order: object) -> None:
    """Nor that a cell comes in two parts."""
    rows = cells(*ordinary(), ("bad", "S", False, 200, 20), ("bad", "S", False, 200, 5))
    seed = order.randrange(1000)  # type: ignore[attr-defined]

    expected = assess(rows, strata=["cold"], places=["region"])

    assert_frame_equal(
        expected, assess(rows.sample(fraction=1, shuffle=True, seed=seed), strata=["cold"], places=["region"])
    )


def test_no_comparison_is_changed_by_a_column_that_tells_nothing() -> None:
    """Strata of chance leave what is expected about as it was."""
    generator = np.random.default_rng(1)
    rows = cells(*ordinary(), ("bad", "S", False, 200, 20)).with_columns(
        pl.Series("noise", generator.integers(0, 3, 49))
    )

    plain = assess(rows, strata=["cold"]).sort("group")
    split = assess(rows, strata=["cold", "noise"]).sort("group")

    np.testing.assert_allclose(plain["expected"], split["expected"], rtol=0.35)


def test_few_failures_at_many_small_sites_are_the_lots() -> None:
    """Each building has meters of one lot only, and one failure is no place."""
    rows = [(f"lot{site % 20:02}", f"S{site}", False, 20, int(site % 40 == 7)) for site in range(400)]
    bad = [("bad", f"B{site}", False, 20, int(site % 2 == 0)) for site in range(12)]

    found = assess(cells(*rows, *bad), strata=["cold"], places=["region"])

    assert "act" == verdict_of(found, "bad")


def test_failures_in_one_building_are_not_the_lots() -> None:
    """All of them at one address where nobody else has meters."""
    rows = [(f"lot{site % 20:02}", f"S{site}", False, 20, int(site % 40 == 7)) for site in range(400)]
    flooded = [("lot", f"B{site}", False, 20, 6 if site == 3 else 0) for site in range(12)]

    found = assess(cells(*rows, *flooded), strata=["cold"], places=["region"])

    assert verdict_of(found, "lot") in {"normal", "not_separable"}


def test_a_cold_spell_explains_a_lot_that_stood_in_it() -> None:
    """Strata that change in time: failures fall on cold days, and the lot had more of them than others."""
    start = date(2026, 1, 1)
    rows, spells = [], []
    for number in range(2000):
        group = f"lot{number % 10}"
        cold_days = 60 if group == "lot0" else 10
        failed = number // 10 % 20 < 7 if group == "lot0" else number // 10 % 12 == 0
        rows.append(
            {"device": f"m{number}", "group": group, "entered": start, "left": start + timedelta(120),
             "born": start - timedelta(300), "failed": start + timedelta(5) if failed else None}
        )  # fmt: skip
        spells.append({"device": f"m{number}", "since": start, "until": start + timedelta(cold_days), "cold_day": True})
    devices = pl.DataFrame(rows, schema_overrides={"failed": pl.Date})

    crude = assess(devices, strata=[])
    in_spells = assess(devices, strata=["cold_day"], periods=pl.DataFrame(spells), age_bands_days=[365])

    assert crude.filter(pl.col("group") == "lot0")["raw_ratio"].item() > 4
    assert "act" == verdict_of(crude, "lot0")
    assert in_spells.filter(pl.col("group") == "lot0")["raw_ratio"].item() < 2
    assert "normal" == verdict_of(in_spells, "lot0")
    assert 200 == in_spells.filter(pl.col("group") == "lot0")["devices"].item()


@pytest.mark.parametrize("look", [None, Look()])
def test_nothing_to_judge_is_no_error(look: Look | None) -> None:
    """No devices, no groups, no failures, no days at risk."""
    start = date(2026, 1, 1)
    devices = pl.DataFrame(
        {"device": ["a", "b", "c"], "group": pl.Series([None] * 3, dtype=pl.String), "cold": [True, False, None],
         "region": ["x", "y", None], "entered": start, "left": start + timedelta(60),
         "failed": pl.Series([None] * 3, dtype=pl.Date)}
    )  # fmt: skip
    lots = devices.with_columns(pl.Series("group", ["A", "A", "B"]))

    def judged(table: pl.DataFrame) -> list[str]:
        return assess(table, strata=["cold"], places=["region"], look=look)["verdict"].to_list()

    assert [] == judged(devices)
    assert [] == judged(devices.clear())
    assert ["normal", "normal"] == judged(lots)
    assert ["normal", "normal"] == judged(lots.with_columns(pl.lit(None).alias("failed")))
    assert ["normal", "normal"] == judged(lots.with_columns(pl.col("entered").alias("left")))
