"""Who is at risk since when and until when, and what counts as a failure."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from diagnostics.batches import exposure
from diagnostics.batches.cohort import acts_of, cohort, seen_of
from diagnostics.facts import Facts
from lake.schemas import DAILY, FINDINGS
from lake.vocabulary import BATCH_SCOPES, FAULTS
from tests.diagnostics.cohorts import (
    AS_OF,
    FIRST,
    TODAY,
    acts,
    fleet,
    inspections,
    moment,
    names,
    registry,
    seen,
    weather,
)


def one(told: pl.DataFrame, meter: str) -> dict[str, object]:
    return told.filter(pl.col("device") == meter).row(0, named=True)


def test_meter_enters_when_it_was_first_seen_and_stays_to_the_diagnosis() -> None:
    """Not when it was made: what failed before is not known."""
    row = one(fleet(registry(1), acts()).meters, "m0000")

    assert (FIRST, TODAY, date(2021, 1, 1), "observed") == (row["entered"], row["left"], row["born"], row["ended"])


def test_meter_put_up_later_enters_with_its_installation() -> None:
    """Readings from the shelf before that put nobody at risk."""
    meters = registry(1, installed_on=[date(2024, 3, 1)])

    assert date(2024, 3, 1) == one(fleet(meters, acts()).meters, "m0000")["entered"]


def test_removed_meter_leaves_on_that_day_and_silent_one_after_its_last() -> None:
    """The record of both is cut off without a failure."""
    meters = registry(2, removed_on=[date(2024, 4, 1), None])
    known = seen(names(2), last_day=[TODAY - timedelta(days=1), date(2024, 5, 1)])

    told = cohort(known, acts(), Facts(meters=meters), AS_OF, TODAY).meters

    assert [(date(2024, 4, 1), "removed"), (date(2024, 5, 2), "silent")] == told.select("left", "ended").rows()


def test_meter_that_left_before_the_window_counts_by_the_registry() -> None:
    """Its daily rows are not at hand any more; since when anybody was watched is."""
    meters = registry(3, removed_on=[None, date(2024, 2, 1), date(2023, 2, 1)])

    told = cohort(seen(["m0000"]), acts(), Facts(meters=meters), AS_OF, TODAY)

    assert [("m0000", FIRST), ("m0001", FIRST)] == told.meters.select("device", "entered").rows()
    assert [("m0002", "not_within")] == told.excluded.filter(pl.col("why") != "no_valve").select(
        "meter_id", "why"
    ).rows()


def test_registered_meter_that_was_never_seen_is_left_out_and_listed() -> None:
    """Nobody knows whether it works."""
    told = cohort(seen(["m0000"]), acts(), Facts(meters=registry(2)), AS_OF, TODAY)

    assert [("m0001", None, "never_seen")] == told.excluded.rows()


def test_unregistered_meter_is_at_risk_without_a_group() -> None:
    """It tells what others are to expect."""
    told = cohort(seen(["m0000", "stranger"]), acts(), Facts(meters=registry(1)), AS_OF, TODAY)

    assert 2 == told.devices("production_batch", "coil").filter(pl.col("group").is_null()).height


def test_failure_is_the_onset_of_the_first_act() -> None:
    """Of the meter and the fault; others of the meter go on being at risk."""
    told = fleet(registry(2), acts(("m0000", "coil", date(2024, 3, 5))))

    assert [("m0000", "coil", date(2024, 3, 5), "findings")] == told.failures.select(
        "device", "fault", "failed", "told_by"
    ).rows()
    assert [date(2024, 3, 5), None] == told.at_risk("coil")["failed"].to_list()
    assert [None, None] == told.at_risk("battery")["failed"].to_list()


def test_fault_that_was_there_on_the_first_day_counts_only_on_a_new_meter() -> None:
    """An old meter may have had it for years; a new one was dead on arrival."""
    meters = registry(2, installed_on=[date(2021, 1, 1), FIRST])

    told = fleet(meters, acts(("m0000", "coil", FIRST), ("m0001", "coil", FIRST)))

    assert ["m0001"] == told.failures["device"].to_list()
    assert [("m0000", "coil", "before_entry")] == told.excluded.rows()
    assert ["m0001"] == told.at_risk("coil")["device"].to_list()
    assert 2 == told.at_risk("battery").height


def test_act_that_was_soon_over_is_no_failure() -> None:
    """The meter went on without it; one that stood for weeks is, and so is one that has only just been told."""
    short = acts(("m0000", "coil", date(2024, 3, 1)), last=moment(date(2024, 3, 3)))
    long = acts(("m0001", "coil", date(2024, 3, 1)), last=moment(date(2024, 3, 30)))
    fresh = acts(("m0002", "coil", TODAY - timedelta(days=1)))

    told = fleet(registry(3), pl.concat([short, long, fresh]))

    assert ["m0001", "m0002"] == told.failures["device"].to_list()
    assert [("m0000", "coil", "cleared")] == told.excluded.rows()


@pytest.mark.parametrize(
    ("finding", "why"),
    [("no_defect_found", "no_defect"), ("other", "other_found"), ("coil", None), ("battery", None)],
)
def test_inspection_takes_back_what_it_did_not_find(finding: str, why: str | None) -> None:
    """Nothing, or something that is none of the faults; another fault beside it proves nothing against the first."""
    visit = inspections(("m0000", date(2024, 4, 1), finding))

    told = fleet(registry(1), acts(("m0000", "coil", date(2024, 3, 1))), inspections=visit)

    assert ([] if why is None else [why]) == told.excluded["why"].to_list()
    assert (why is None) == ("coil" in told.failures["fault"].to_list())


def test_fault_found_on_site_counts_without_an_act() -> None:
    """Nobody found it in the data; the meter failed all the same."""
    told = fleet(registry(1), acts(), inspections=inspections(("m0000", date(2024, 4, 1), "actuator")))

    assert [("m0000", "actuator", date(2024, 4, 1), "inspection")] == told.failures.select(
        "device", "fault", "failed", "told_by"
    ).rows()


def test_later_acts_and_inspections_are_not_seen() -> None:
    """A diagnosis as of a time does not look ahead."""
    after = TODAY + timedelta(days=5)
    told = fleet(
        registry(2),
        acts(("m0000", "coil", after), last=moment(after + timedelta(days=1))),
        inspections=inspections(("m0001", after, "coil")),
    )

    assert told.failures.is_empty()


def test_meter_without_valve_is_not_at_risk_of_its_failure() -> None:
    """It would make all others look bad."""
    told = fleet(registry(2, valve_type=["none", "ball_motor"]), acts(("m0000", "actuator", date(2024, 3, 1))))

    assert ["m0001"] == told.at_risk("actuator")["device"].to_list()
    assert told.failures.is_empty()
    assert 2 == told.at_risk("coil").height


def test_cold_is_that_of_the_place_and_does_not_end_with_the_failure() -> None:
    """Outdoors in the cold region, indoors there, and in the mild one; who failed early stood in the same winter."""
    meters = registry(4, region=["north", "north", "north", "south"],
                      installation=["outdoor", "outdoor", "indoor", "outdoor"])  # fmt: skip

    told = fleet(meters, acts(("m0000", "coil", date(2024, 1, 5))), weather=weather({"north": -12.0, "south": 4.0}))

    assert ["hard", "hard", "none", "none"] == told.meters["cold"].to_list()


def test_cold_is_measured_where_no_weather_is_known() -> None:
    """By the meter's own thermometer."""
    known = seen(names(2), cold_share=[0.4, None])

    told = cohort(known, acts(), Facts(meters=registry(2)), AS_OF, TODAY)

    assert ["hard", "unknown"] == told.meters["cold"].to_list()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scope", BATCH_SCOPES)
def test_devices_are_what_the_statistics_take(scope: str, fault: str) -> None:
    """Every scope and fault, also with failures on the first day, on the last, and after a removal."""
    meters = registry(4, removed_on=[None, date(2024, 3, 1), None, None], firmware="1", installer="i", site="s")
    told = fleet(meters, acts(("m0000", fault, TODAY), ("m0001", fault, date(2024, 4, 1)), ("m0002", fault, FIRST)))

    cells = exposure(told.devices(scope, fault), ["region"], age_bands_days=[365])

    assert told.at_risk(fault).drop_nulls("failed").height == cells["failures"].sum()
    assert 3 == told.at_risk(fault).height


def test_seen_of_takes_the_running_state_and_the_newest_row() -> None:
    """Daily rows of the window alone say when a meter was seen first."""
    rows = pl.DataFrame(
        {
            "meter_id": ["a", "a", "b"],
            "day": [date(2024, 6, 1), date(2024, 6, 2), date(2024, 6, 2)],
            "first_seen_ts": [moment(date(2023, 1, 5)), moment(date(2023, 1, 5)), moment(date(2024, 6, 1))],
            "firmware": ["1", "2", None],
            "rssi_median_dbm": [-90.0, -100.0, None],
            "ambient_min_c": [-5.0, 5.0, None],
        }
    )

    told = seen_of(DAILY.conform(rows.select(pl.col(name).cast(DAILY.polars[name]) for name in rows.columns)), -2.0)

    assert [
        ("a", date(2023, 1, 5), date(2024, 6, 2), "2", -95.0, None, 0.5),
        ("b", date(2024, 6, 2), date(2024, 6, 2), None, None, None, None),
    ] == told.rows()


def test_acts_of_keeps_the_first_onset_and_the_last_act() -> None:
    """Watches and conditions are no failures."""
    rows = [
        ("a", "fault", "coil", "watch", 1),
        ("a", "fault", "coil", "act", 2),
        ("a", "fault", "coil", "act", 3),
        ("a", "condition", "leak", "act", 3),
    ]
    history = pl.DataFrame(
        [
            {"meter_id": meter, "kind": kind, "fault": fault, "verdict": verdict,
             "as_of": moment(FIRST + timedelta(days=day)), "onset": moment(FIRST)}
            for meter, kind, fault, verdict, day in rows
        ]
    )  # fmt: skip

    told = acts_of(FINDINGS.conform(history).lazy())

    assert [("a", "coil", moment(FIRST), moment(FIRST + timedelta(days=2)), moment(FIRST + timedelta(days=3)))] == (
        told.rows()
    )
