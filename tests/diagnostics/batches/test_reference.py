"""Expected counts: by hand in small tables, and with the group itself left out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from diagnostics.batch_settings import BatchSettings
from diagnostics.batches.reference import Cells, Reference, reference


def told(
    frame: pl.DataFrame, strata: list[str], places: list[str] | None = None, aside: list[bool] | None = None
) -> Reference:
    """Return what each cell is to expect."""
    cells = Cells.of(frame.sort("group", *strata), strata, places or [])
    set_aside = np.zeros(cells.groups, dtype=bool) if aside is None else np.array(aside)
    return reference(cells, set_aside, BatchSettings())


def table(*rows: tuple[str | None, str, float, int]) -> pl.DataFrame:
    """Return cells of (group, stratum, days, failures)."""
    return pl.DataFrame(rows, schema=["group", "stratum", "days", "failures"], orient="row")


def test_a_group_does_not_raise_its_own_expectation() -> None:
    """Whatever it had itself."""
    others = [("B", "s", 10_000.0, 50), ("C", "s", 10_000.0, 50)]

    few = told(table(("A", "s", 1000.0, 0), *others), ["stratum"])
    many = told(table(("A", "s", 1000.0, 500), *others), ["stratum"])

    assert few.cell_expected[0] == pytest.approx(5.0, rel=0.02)
    assert many.cell_expected[0] == pytest.approx(few.cell_expected[0], rel=0.02)


def test_a_group_set_aside_does_not_raise_that_of_others() -> None:
    """A bad lot is found once and taken out of the comparison."""
    rows = table(("A", "s", 10_000.0, 900), ("B", "s", 10_000.0, 50), ("C", "s", 10_000.0, 50))

    with_it = told(rows, ["stratum"])
    without = told(rows, ["stratum"], aside=[True, False, False])

    assert with_it.cell_expected[1] > 400
    assert without.cell_expected[1] == pytest.approx(50, rel=0.05)
    assert without.cell_expected[0] == pytest.approx(50, rel=0.05)


def test_strata_that_others_know_have_their_rate() -> None:
    """Cold and warm apart."""
    rows = [(f"B{n}", "cold", 1000.0, 40) for n in range(5)] + [(f"B{n}", "warm", 1000.0, 4) for n in range(5)]

    found = told(table(("A", "cold", 500.0, 0), ("A", "warm", 500.0, 0), *rows), ["stratum"])

    assert found.cell_expected[:2] == pytest.approx([20.0, 2.0], rel=0.1)
    assert found.compared[:2].all()


def test_a_stratum_that_others_do_not_know_has_the_wider_rate_and_does_not_compare() -> None:
    """And its rate is as uncertain as strata differ."""
    rows = [(f"B{n}", "warm", 10_000.0, 40) for n in range(5)]

    found = told(table(("A", "cold", 1000.0, 30), *rows), ["stratum"])

    assert found.cell_expected[0] == pytest.approx(4.0, rel=0.05)
    assert not found.compared[0]
    assert found.cell_spread[0] > 0.1


def test_a_thin_stratum_is_drawn_to_the_wider_one() -> None:
    """Two failures of others do not make a rate."""
    rows = [(f"B{n}", "warm", 10_000.0, 40) for n in range(5)]

    found = told(table(("A", "cold", 1000.0, 0), ("B0", "cold", 50.0, 2), *rows), ["stratum"])

    assert 4.0 < found.cell_expected[0] < 40.0


def test_places_that_differ_shift_what_is_expected() -> None:
    """A region with three times the failures, whoever made the meters."""
    rows = pl.DataFrame(
        [(f"B{n}", f"R{region}", False, 10_000.0, 120 if region == 0 else 40) for n in range(6) for region in range(8)]
        + [("A", "R0", False, 1000.0, 12), ("A", "R1", False, 1000.0, 4)],
        schema=["group", "region", "cold", "days", "failures"], orient="row",
    )  # fmt: skip

    found = told(rows.sort("group", "region"), ["cold"], ["region"])

    assert found.cell_expected[:2] == pytest.approx([12.0, 4.0], rel=0.1)
    assert found.shared[0].all()


def test_places_that_do_not_differ_leave_it_as_it_is() -> None:
    """Chance is not taken for a place."""
    generator = np.random.default_rng(5)
    rows = pl.DataFrame(
        [(f"B{n}", f"R{region}", False, 1000.0, int(generator.poisson(4))) for n in range(6) for region in range(30)],
        schema=["group", "region", "cold", "days", "failures"], orient="row",
    )  # fmt: skip

    found = told(rows, ["cold"], ["region"])

    assert found.cell_expected == pytest.approx(np.full(180, 4.0), rel=0.3)


def test_a_group_alone_in_its_place_has_no_share_there() -> None:
    """Its place may be anything."""
    rows = pl.DataFrame(
        [(f"B{n}", f"R{region}", False, 10_000.0, 40) for n in range(6) for region in range(8)]
        + [("A", "R9", False, 10_000.0, 40)],
        schema=["group", "region", "cold", "days", "failures"], orient="row",
    )  # fmt: skip

    found = told(rows, ["cold"], ["region"])

    assert [False, *([True] * 48)] == found.shared[0].tolist()
    assert found.place_spread[0][0] > 3 * found.place_spread[0][1]
