"""Days at risk and failures: late entry, censoring, ages and strata that change."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from diagnostics.batches import exposure
from lake.errors import UsageError

START = date(2026, 1, 1)


def device(name: str, entered: int, left: int, failed: int | None = None, **more: object) -> dict[str, object]:
    """Return a row of the device table; days count from the start."""
    return {
        "device": name, "group": "A", "entered": START + timedelta(entered), "left": START + timedelta(left),
        "failed": None if failed is None else START + timedelta(failed), **more,
    }  # fmt: skip


def table(*rows: dict[str, object]) -> pl.DataFrame:
    """Return the device table of `rows`."""
    dates = {"entered": pl.Date, "left": pl.Date, "failed": pl.Date}
    return pl.DataFrame(list(rows), schema_overrides=dates)


def test_late_entry_and_censoring() -> None:
    """A device is at risk from its entry until it leaves, or until the end of the day of its failure."""
    found = exposure(table(device("a", 10, 30), device("b", 0, 30, failed=4)))

    assert {
        "group": "A", "devices": 2, "days": 25, "failures": 1, "since": START, "until": START + timedelta(30)
    } == found.row(0, named=True)  # fmt: skip


def test_a_failure_on_the_day_of_entry_counts_a_day() -> None:
    """Without a day at risk it could not have failed."""
    found = exposure(table(device("a", 3, 3, failed=3)))

    assert (1, 1) == found.select("days", "failures").row(0)


def test_age_bands_cut_the_time() -> None:
    """The failure belongs to the age at which it happened; time before the day of birth to the youngest."""
    rows = table(
        device("a", 0, 100, born=START - timedelta(20)),
        device("b", 0, 100, failed=50, born=START + timedelta(10)),
        device("c", 0, 7, born=None),
    )

    found = exposure(rows, age_bands_days=[30])

    assert [(None, 1, 7, 0), (0, 2, 50, 0), (30, 2, 101, 1)] == found.select(
        "age_from_days", "devices", "days", "failures"
    ).rows()


def test_periods_cut_the_time_and_what_none_covers_has_no_stratum() -> None:
    """A cold spell is exposure of its own."""
    rows = table(device("a", 0, 40, failed=15), device("b", 0, 40))
    cold = pl.DataFrame(
        {"device": ["a", "a", "b"], "since": [START + timedelta(n) for n in (10, 30, 35)],
         "until": [START + timedelta(n) for n in (20, 36, 60)], "cold": [True, True, True]}
    )  # fmt: skip

    found = exposure(rows, ["cold"], periods=cold)

    assert [(None, 2, 45, 0), (True, 2, 11, 1)] == found.select("cold", "devices", "days", "failures").rows()


def test_periods_that_overlap_are_refused() -> None:
    """A day in two strata would count twice."""
    twice = pl.DataFrame(
        {"device": ["a", "a"], "since": [START, START + timedelta(5)],
         "until": [START + timedelta(10), START + timedelta(12)], "cold": [True, False]}
    )  # fmt: skip

    with pytest.raises(UsageError, match="periods of device a overlap on 2026-01-06"):
        exposure(table(device("a", 0, 40)), ["cold"], periods=twice)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (device("a", 5, 3), "row 0 .device a.: it left before it entered"),
        (device("a", 5, 9, failed=4), "it failed before it entered"),
        (device("a", 5, 9, failed=10), "it failed after it had left"),
    ],
)
def test_rows_that_contradict_themselves_are_named(row: dict[str, object], message: str) -> None:
    """Nothing is corrected in silence."""
    with pytest.raises(UsageError, match=message):
        exposure(table(row))


def test_missing_columns_are_named() -> None:
    """The message says what the table needs."""
    with pytest.raises(UsageError, match="no column failed, cold; it needs device, group, entered, left, failed"):
        exposure(table(device("a", 0, 3)).drop("failed"), ["cold"])


ROWS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans(), st.sampled_from(["A", "B", None]), st.booleans()),
    min_size=1,
    max_size=15,
)


def devices_of(drawn: list[tuple[int, int, bool, str | None, bool]]) -> pl.DataFrame:
    """Return the device table of drawn times."""
    rows = [
        device(f"m{number}", min(a, b), max(a, b), failed=max(a, b) if failed else None)
        | {"group": group, "cold": cold, "born": START - timedelta(7)}
        for number, (a, b, failed, group, cold) in enumerate(drawn)
    ]
    return table(*rows).with_columns(pl.col("group").cast(pl.String))


@given(drawn=ROWS, cut=st.integers(1, 49))
def test_splitting_a_devices_time_does_not_change_the_exposure(
    drawn: list[tuple[int, int, bool, str | None, bool]], cut: int
) -> None:
    """A device may come in parts: its days, failures and number stay the same."""
    whole = devices_of(drawn)
    day = START + timedelta(cut)
    before = whole.filter(pl.col("entered") < day).with_columns(
        pl.min_horizontal("left", pl.lit(day)).alias("left"),
        pl.when(pl.col("failed") < day).then("failed").alias("failed"),
    )
    failed_before = (pl.col("failed") < day).fill_null(value=False)
    after = whole.filter((pl.col("left") >= day) & ~failed_before).with_columns(
        pl.max_horizontal("entered", pl.lit(day)).alias("entered")
    )
    columns = ["group", "cold", "age_from_days", "devices", "days", "failures"]

    for bands in ((), (30,)):
        kept = [name for name in columns if bands or name != "age_from_days"]
        expected = exposure(whole, ["cold"], age_bands_days=bands).select(kept).filter(pl.col("days") > 0)
        found = exposure(pl.concat([after, before]), ["cold"], age_bands_days=bands)
        assert_frame_equal(expected, found.select(kept).filter(pl.col("days") > 0))


@given(drawn=ROWS)
def test_merging_strata_keeps_days_and_failures(drawn: list[tuple[int, int, bool, str | None, bool]]) -> None:
    """Strata and bands only split."""
    rows = devices_of(drawn).filter((pl.col("left") > pl.col("entered")) | pl.col("failed").is_not_null())
    columns = [pl.col("days", "failures").sum()]

    expected = exposure(rows).group_by("group").agg(columns).sort("group")
    found = exposure(rows, ["cold"], age_bands_days=(14, 30)).group_by("group").agg(columns).sort("group")

    assert_frame_equal(expected, found)


def test_what_analysts_easily_give_instead_is_refused_with_what_to_give() -> None:
    """A table of pandas, a column's name alone, and whether instead of when it failed."""
    devices = table(device("a", 0, 30, cold=True))

    with pytest.raises(UsageError, match=r"polars\.from_pandas"):
        exposure(devices.to_dict(as_series=False))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"\['cold'\], not 'cold'"):
        exposure(devices, "cold")
    with pytest.raises(UsageError, match="the day of the first failure, empty where there was none"):
        exposure(devices.with_columns(pl.lit(value=True).alias("failed")))
