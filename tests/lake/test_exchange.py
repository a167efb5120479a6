"""Exchanges: the record of the old meter ends, the new one inherits its place, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from lake.exchange import PLACE, with_exchanges
from lake.schemas import INSPECTIONS, METERS

PLACED: dict[str, Any] = {
    "region": "north", "site": "3 号楼", "installation": "pit", "flood_prone": True, "customer_ref": "c-1",
    "timezone": "Asia/Shanghai", "latitude": 38.5, "longitude": 106.2, "project": "P1",
}  # fmt: skip
OLD: dict[str, Any] = {
    "meter_id": "old",
    "installed_on": date(2018, 5, 1),
    "installer": "队一",
    "model": "LX",
    **PLACED,
}


def meters(*rows: dict[str, Any]) -> pl.DataFrame:
    return METERS.conform(pl.DataFrame(list(rows), schema={n: METERS.polars[n] for row in rows for n in row}))


def inspections(*rows: tuple[str, datetime, str | None, str | None]) -> pl.DataFrame:
    names = ("meter_id", "inspected_at", "action", "new_meter_id")
    return INSPECTIONS.conform(
        pl.DataFrame(list(rows), schema={name: INSPECTIONS.polars[name] for name in names}, orient="row")
    )


def at(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)  # type: ignore[misc,arg-type]


def by_id(found: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["meter_id"]: row for row in found.iter_rows(named=True)}


NOTHING = inspections()


def test_place_is_of_the_vocabulary() -> None:
    """What the meter itself is does not pass on."""
    assert set(PLACE) < set(METERS.columns)
    assert not {"meter_id", "aliases", "model", "installer", "production_batch", "installed_on"} & set(PLACE)


def test_inspection_ends_one_record_and_begins_another() -> None:
    """On the day of the site's zone; the new meter's own words stand, also its installer."""
    known = meters(OLD, {"meter_id": "new", "model": "LX-2", "project": "P2"})
    found = by_id(with_exchanges(known, inspections(("old", at(2024, 3, 1, 17), "exchanged", "new")), "Asia/Shanghai"))

    assert date(2024, 3, 2) == found["old"]["removed_on"] == found["new"]["installed_on"]
    assert PLACED | {"project": "P2"} == {name: found["new"][name] for name in PLACE}
    assert ("LX-2", None) == (found["new"]["model"], found["new"]["installer"])
    assert OLD.items() <= found["old"].items()


def test_registry_has_the_last_word() -> None:
    """Its own dates and places stay."""
    own = {"meter_id": "new", "installed_on": date(2024, 3, 5), "region": "south"}
    known = meters(OLD | {"removed_on": date(2024, 2, 28)}, own)
    found = by_id(with_exchanges(known, inspections(("old", at(2024, 3, 1), None, "new")), "UTC"))

    assert date(2024, 2, 28) == found["old"]["removed_on"]
    assert own.items() <= found["new"].items()
    assert "3 号楼" == found["new"]["site"]


def test_exchange_without_a_name_ends_the_record() -> None:
    """Nobody wrote down what came in its place."""
    found = by_id(with_exchanges(meters(OLD), inspections(("old", at(2024, 3, 1), "exchanged", None)), "UTC"))

    assert [("old", date(2024, 3, 1))] == [(name, row["removed_on"]) for name, row in found.items()]


def test_meters_that_only_an_inspection_knows() -> None:
    """Have a place and a record all the same."""
    told = inspections(("old", at(2024, 3, 1), "exchanged", "new"), ("new", at(2024, 6, 1), "exchanged", "newer"))
    found = by_id(with_exchanges(meters(OLD), told, "UTC"))

    assert ["new", "newer", "old"] == list(found)
    assert [date(2024, 6, 1), None, date(2024, 3, 1)] == [row["removed_on"] for row in found.values()]
    assert [PLACED] * 3 == [{name: row[name] for name in PLACE} for row in found.values()]
    assert by_id(with_exchanges(METERS.empty(), told, "UTC")).keys() == found.keys()


def test_meter_that_was_repaired_and_put_up_again() -> None:
    """Hangs where it was put up last, whether the registry or an inspection tells; the ring ends."""
    told = inspections(("old", at(2024, 3, 1), "exchanged", "new"), ("new", at(2024, 6, 1), "exchanged", "old"))
    found = by_id(with_exchanges(meters(OLD), told, "UTC"))
    by_registry = by_id(with_exchanges(meters(OLD | {"installed_on": date(2024, 4, 1)}), told.head(1), "UTC"))

    assert (None, date(2024, 6, 1)) == (found["old"]["removed_on"], found["new"]["removed_on"])
    assert by_registry["old"]["removed_on"] is None


def test_other_inspections_exchange_nothing() -> None:
    """Repaired, returned, nothing said."""
    told = inspections(*[("old", at(2024, 3, 1), action, None) for action in ("none", "repaired", "returned", None)])

    assert_frame_equal(meters(OLD), with_exchanges(meters(OLD), told, "UTC"))


def test_registry_alone_tells_by_the_customer() -> None:
    """One meter left and one came for the same customer within a month."""
    gone = OLD | {"removed_on": date(2024, 3, 1)}
    come = {"meter_id": "new", "customer_ref": "c-1", "installed_on": date(2024, 3, 20)}
    found = by_id(with_exchanges(meters(gone, come), NOTHING, "UTC"))
    late = by_id(with_exchanges(meters(gone, come | {"installed_on": date(2024, 5, 1)}), NOTHING, "UTC"))

    assert PLACED == {name: found["new"][name] for name in PLACE}
    assert late["new"]["region"] is None


def test_registry_alone_tells_by_the_site() -> None:
    """Within three days, and then the customer may be another one."""
    gone = OLD | {"removed_on": date(2024, 3, 1)}
    come = {"meter_id": "new", "site": "3 号楼", "installed_on": date(2024, 3, 2)}
    found = by_id(with_exchanges(meters(gone, come), NOTHING, "UTC"))

    assert PLACED | {"customer_ref": None} == {name: found["new"][name] for name in PLACE}


def test_several_at_once_at_a_site_are_not_told_apart() -> None:
    """A staircase whose meters were all exchanged on one day inherits nothing by guess."""
    gone = [OLD | {"meter_id": f"old{i}", "customer_ref": f"c-{i}", "removed_on": date(2024, 3, 1)} for i in range(3)]
    come = [{"meter_id": f"new{i}", "site": "3 号楼", "installed_on": date(2024, 3, 1)} for i in range(3)]
    found = by_id(with_exchanges(meters(*gone, *come), NOTHING, "UTC"))
    known = by_id(with_exchanges(meters(*gone, *(row | {"customer_ref": f"c-{i}"} for i, row in enumerate(come))),
                                 NOTHING, "UTC"))  # fmt: skip

    assert [None] * 3 == [found[f"new{i}"]["region"] for i in range(3)]
    assert ["north"] * 3 == [known[f"new{i}"]["region"] for i in range(3)]


def test_removal_before_the_installation_was_of_an_earlier_place() -> None:
    """The meter was brought back, repaired and put up again."""
    found = by_id(with_exchanges(meters(OLD | {"removed_on": date(2017, 1, 1)}), NOTHING, "UTC"))

    assert found["old"]["removed_on"] is None


def test_estate_exchanged_on_one_day_is_cheap_and_not_guessed() -> None:
    """Ten thousand meters left and ten thousand came."""
    gone = pl.DataFrame({"meter_id": [f"old{i}" for i in range(10_000)]}).with_columns(
        pl.lit("estate").alias("site"), pl.lit("north").alias("region"), pl.lit(date(2024, 3, 1)).alias("removed_on")
    )
    come = pl.DataFrame({"meter_id": [f"new{i}" for i in range(10_000)]}).with_columns(
        pl.lit("estate").alias("site"), pl.lit(date(2024, 3, 2)).alias("installed_on")
    )
    found = with_exchanges(METERS.conform(pl.concat([gone, come], how="diagonal")), NOTHING, "UTC")

    assert {None} == set(found.filter(pl.col("meter_id").str.starts_with("new"))["region"])


def test_nothing_is_exchanged_in_an_empty_registry() -> None:
    """And the frame is what it was."""
    assert_frame_equal(METERS.empty(), with_exchanges(METERS.empty(), INSPECTIONS.empty(), "UTC"))
