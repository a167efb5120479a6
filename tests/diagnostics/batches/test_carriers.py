"""What carries an excess, by the same group elsewhere and by others in the same place."""

from __future__ import annotations

import itertools

import polars as pl
import pytest

from diagnostics.batches import carriers, comparisons
from lake.errors import UsageError

SCOPES = ("lot", "module", "site")


def fleet(rate: pl.Expr, drop: pl.Expr | None = None) -> pl.DataFrame:
    """Return cells of 12 lots, 3 modules and 10 sites, with failures at a rate."""
    rows = [
        {"lot": f"L{lot:02}", "module": "ABC"[lot % 3], "site": f"S{site}", "cold": site < 3, "days": 20_000}
        for lot, site in itertools.product(range(12), range(10))
    ]
    cells = pl.DataFrame(rows)
    if drop is not None:
        cells = cells.filter(~drop)
    return cells.with_columns((rate * pl.col("days") / 10_000).round().cast(pl.Int64).alias("failures"))


ORDINARY = pl.when("cold").then(2.0).otherwise(0.5)


def answered(cells: pl.DataFrame, scope: str, group: str) -> tuple[str, str | None, str | None]:
    """Return what carries the excess of one called group."""
    called = pl.DataFrame({"scope": [scope], "group": [group]})
    found = carriers(comparisons(cells, called, scopes=SCOPES, strata=["cold"]))
    return found.select("answer", "carrier_scope", "carrier_key").row(0)


def test_a_bad_lot_carries_its_own_excess_across_sites() -> None:
    """It has the excess at every site, and other lots of the module have none."""
    cells = fleet(ORDINARY * pl.when(pl.col("lot") == "L04").then(4).otherwise(1))

    assert ("itself", "lot", "L04") == answered(cells, "lot", "L04")


def test_a_bad_lot_carries_the_excess_of_its_module() -> None:
    """Other lots with the module have the expected rate."""
    cells = fleet(ORDINARY * pl.when(pl.col("lot") == "L04").then(8).otherwise(1))

    assert ("other", "lot", "L04") == answered(cells, "module", "B")


def test_a_module_carries_the_excess_of_its_lots() -> None:
    """Every lot with the module has it."""
    cells = fleet(ORDINARY * pl.when(pl.col("module") == "B").then(4).otherwise(1))

    assert ("other", "module", "B") == answered(cells, "lot", "L04")
    assert ("itself", "module", "B") == answered(cells, "module", "B")


def test_sediment_at_a_site_carries_the_excess_of_a_lot() -> None:
    """The lot has the expected rate at nine other sites, and other lots have the excess at this one."""
    cells = fleet(ORDINARY * pl.when(pl.col("site") == "S7").then(20).otherwise(1))

    assert ("other", "site", "S7") == answered(cells, "lot", "L04")
    assert ("itself", "site", "S7") == answered(cells, "site", "S7")


def test_a_lot_alone_at_its_only_site_stays_open() -> None:
    """Neither the lot elsewhere nor others at the site were ever seen."""
    alone = (pl.col("lot") == "L04") != (pl.col("site") == "S7")
    cells = fleet(ORDINARY * pl.when(pl.col("lot") == "L04").then(20).otherwise(1), drop=alone)

    assert ("open", "site", "S7") == answered(cells, "lot", "L04")


def test_a_lot_that_is_bad_at_one_site_only_is_bad_together_with_it() -> None:
    """Elsewhere it is as expected, and others at the site are, too."""
    both = (pl.col("lot") == "L04") & (pl.col("site") == "S7")
    cells = fleet(ORDINARY * pl.when(both).then(30).otherwise(1))

    assert ("together", "site", "S7") == answered(cells, "lot", "L04")


def test_the_comparison_that_decided_is_told() -> None:
    """How many sites, what was seen there and what was to be expected."""
    cells = fleet(ORDINARY * pl.when(pl.col("site") == "S7").then(20).otherwise(1))
    called = pl.DataFrame({"scope": ["lot"], "group": ["L04"]})

    row = carriers(comparisons(cells, called, scopes=SCOPES, strata=["cold"])).row(0, named=True)

    assert (9, 11) == (row["elsewhere_keys"], row["others_groups"])
    assert row["elsewhere_observed"] == pytest.approx(row["elsewhere_expected"], rel=0.5)
    assert row["others_observed"] > 5 * row["others_expected"]


def test_devices_are_taken_like_cells() -> None:
    """An analyst gives the device table as it is."""
    from datetime import date

    devices = pl.DataFrame(
        {
            "device": [f"m{number}" for number in range(400)],
            "lot": [f"L{number % 4}" for number in range(400)],
            "site": [f"S{number // 4 % 5}" for number in range(400)],
            "cold": False,
            "entered": date(2026, 1, 1),
            "left": date(2026, 7, 1),
            "failed": [date(2026, 3, 1) if number % 4 == 1 and number % 3 else None for number in range(400)],
        }
    )
    called = pl.DataFrame({"scope": ["lot"], "group": ["L1"]})

    found = carriers(comparisons(devices, called, scopes=("lot", "site"), strata=["cold"]))

    assert ("itself", "L1") == found.select("answer", "carrier_key").row(0)


def test_an_unknown_scope_is_named() -> None:
    """What is called must be one of the scopes."""
    with pytest.raises(UsageError, match="scope colour is none of lot, module, site"):
        answered(fleet(ORDINARY), "colour", "red")
