"""What decided it stands beside the verdict."""

from __future__ import annotations

import polars as pl
import pytest

from diagnostics.batches import assess


def fleet() -> pl.DataFrame:
    """Return 20 lots in four regions, of which one is bad, one stands in the cold and one has no lot."""
    rows = [
        (f"lot{number:02}", region, region == "N", 200, 10 if region == "N" else 2)
        for number in range(18)
        for region in "NSEW"
    ]
    rows += [("bad", region, region == "N", 200, 40 if region == "N" else 8) for region in "NSEW"]
    rows += [("cold", "N", True, 800, 40), (None, "S", False, 100, 1)]
    frame = pl.DataFrame(rows, schema=["group", "region", "cold", "devices", "failures"], orient="row")
    return frame.with_columns((pl.col("devices") * 90).alias("days"))


def test_strata_tell_what_others_had() -> None:
    """The gravest stratum first."""
    found = assess(fleet(), strata=["cold"], places=["region"])
    why = found.filter(pl.col("group") == "bad")["why"].item()

    first = why["strata"][0]
    assert ("cold=true", 18_000, 40) == (first["stratum"], first["days"], first["observed"])
    assert 18 * 200 * 90 + 800 * 90 == first["others_days"]
    assert 18 * 10 + 40 == first["others_failures"]
    assert first["compared"]
    assert {"N", "S", "E", "W"} == {place["place"] for place in why["places"]}


def test_columns_tell_which_of_them_explains() -> None:
    """Without regard to the cold the lot in the cold would have an excess."""
    found = assess(fleet(), strata=["cold"], places=["region"])
    row = found.filter(pl.col("group") == "cold").row(0, named=True)

    [alone] = row["why"]["by_column"]
    assert "cold" == alone["column"]
    assert row["why"]["crude_expected"] < 20
    assert alone["expected"] == pytest.approx(42, rel=0.1)
    assert "normal" == row["verdict"]


def test_the_regression_agrees_where_strata_do_not_work_together() -> None:
    """And is made for what stands out only."""
    found = assess(fleet(), strata=["cold"])
    bad = found.filter(pl.col("group") == "bad").row(0, named=True)

    assert bad["why"]["regression_ratio"] == pytest.approx(bad["raw_ratio"], rel=0.1)
    assert bad["why"]["regression_low"] < 4 < bad["why"]["regression_high"]
    others = found.filter(pl.col("verdict") == "normal")["why"].struct.field("regression_ratio")
    assert others.len() == others.null_count()
