"""Diagnosis over small lakes: in steps or at once, live or replayed, the same findings; late readings are taken up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lake import facts, registry
from lake.errors import UsageError
from lake.meter import Meter
from lake.schemas import BATCH_FINDINGS, DAILY, FINDINGS, FORECASTS, GAPS, READINGS
from lake.site_database import opened
from lake.tables import Lake
from metriage.diagnosing import backtest_site, diagnose_site
from metriage.site import Site
from metriage.site_template import make_site
from metriage.upkeep import compact_site
from tests.metriage.sites import START, Done, hourly, stored

NAMES = ["diagnosis_id", "mode"]
OWN = [*NAMES, "as_of"]


def end_of(day: int) -> datetime:
    """Return an as-of time a little after the local day, when its last reading is in."""
    return START + timedelta(days=day + 1, minutes=10)


@pytest.fixture
def sites(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Site]:
    """Return a maker of sites that hold the given readings."""

    def made(*frames: pl.DataFrame) -> Site:
        folder = tmp_path_factory.mktemp("site")
        make_site(folder)
        site = Site(folder)
        stored(site, *frames)
        return site

    return made


def fleet() -> pl.DataFrame:
    """Return a healthy meter, one that counts backwards, one that falls silent, one that comes late."""
    return pl.concat(
        [
            hourly("healthy", 20),
            hourly("backward", 20, backward_on=[5, 6, 7, 8, 9]),
            hourly("silent", 4),
            hourly("late", 20, delay=timedelta(days=2)),
        ]
    )


def findings(site: Site) -> pl.DataFrame:
    return Lake(site.folder / "lake").read(FINDINGS).drop("diagnosis_id").sort("as_of", "meter_id", "fault")


def newest_days(site: Site) -> pl.DataFrame:
    days = Lake(site.folder / "lake").read(DAILY)
    return days.unique(["meter_id", "day"], keep="last", maintain_order=True).drop("as_of").sort("meter_id", "day")


def same(first: pl.DataFrame, second: pl.DataFrame) -> None:
    assert_frame_equal(first.drop(NAMES, strict=False), second.drop(NAMES, strict=False))


def test_daily_steps_equal_one_back_fill(sites: Callable[..., Site]) -> None:
    """Of the daily rows to the last column, and of the open findings; only the steps remember an earlier onset."""
    stepped, filled = sites(fleet()), sites(fleet())

    for day in range(11, 20):
        last = diagnose_site(stepped, end_of(day))
    at_once = diagnose_site(filled, end_of(19))

    assert_frame_equal(newest_days(stepped), newest_days(filled))
    found = last.findings.filter(pl.col("verdict") != "clear").drop("onset")
    same(found, at_once.findings.filter(pl.col("verdict") != "clear").drop("onset"))
    assert {("backward", "coil", "act"), ("silent", "communication", "act")} == set(
        found.filter(pl.col("verdict") == "act").select("meter_id", "fault", "verdict").iter_rows()
    )


def test_step_profiles_only_the_days_that_changed(sites: Callable[..., Site]) -> None:
    """A day's work does not grow with the history."""
    site = sites(hourly("healthy", 20))
    diagnose_site(site, end_of(18))

    assert (1, 0) == (diagnose_site(site, end_of(19)).days, diagnose_site(site, end_of(19)).days)


def test_file_imported_late_is_taken_up_by_the_next_diagnosis(sites: Callable[..., Site]) -> None:
    """Its readings were received before the last as-of time, they only came to us later."""
    whole = fleet()
    hole = (pl.col("meter_id") == "backward") & pl.col("ts").is_between(START + timedelta(days=4), end_of(9))
    site, complete = sites(whole.filter(~hole)), sites(whole)
    diagnose_site(site, end_of(18))
    stored(site, whole.filter(hole))

    after = diagnose_site(site, end_of(19))

    diagnose_site(complete, end_of(18))
    expected = diagnose_site(complete, end_of(19))
    assert after.days > 5
    assert_frame_equal(newest_days(site), newest_days(complete))
    coil = (pl.col("meter_id") == "backward") & (pl.col("fault") == "coil")
    same(after.findings.filter(coil), expected.findings.filter(coil))


def test_same_time_again_after_a_late_file_sees_it(sites: Callable[..., Site]) -> None:
    """The forgotten file is imported and the same command given again."""
    whole = fleet()
    site, complete = sites(whole.filter(pl.col("meter_id") != "backward")), sites(whole)
    before = diagnose_site(site, end_of(12))
    stored(site, whole.filter(pl.col("meter_id") == "backward"))

    again = diagnose_site(site, end_of(12))

    assert "backward" not in before.findings["meter_id"]
    same(diagnose_site(complete, end_of(12)).findings, again.findings)
    diagnose_site(site, end_of(13))
    diagnose_site(complete, end_of(13))
    assert_frame_equal(newest_days(site), newest_days(complete))


def test_same_time_again_finds_the_same(sites: Callable[..., Site]) -> None:
    """Onset and clearing know the diagnosis before, not the one repeated."""
    site = sites(fleet())
    for day in (9, 11):
        diagnose_site(site, end_of(day))

    first = diagnose_site(site, end_of(15))
    again = diagnose_site(site, end_of(15))
    later = diagnose_site(site, end_of(16))

    same(first.findings, again.findings)
    plain = sites(fleet())
    for day in (9, 11, 15):
        diagnose_site(plain, end_of(day))
    same(diagnose_site(plain, end_of(16)).findings, later.findings)


def test_backtest_finds_what_production_found(sites: Callable[..., Site]) -> None:
    """At the same times, apart from id and mode; production is not disturbed."""
    live, replayed = sites(fleet()), sites(fleet())
    days = range(1, 20, 3)
    for day in days:
        diagnose_site(live, end_of(day))
    seen: list[datetime] = []

    found = backtest_site(
        replayed, end_of(1), end_of(19), timedelta(days=3), lambda diagnosis: seen.append(diagnosis.as_of)
    )

    assert [end_of(day) for day in days] == seen
    assert {"backtest"} == set(found["mode"])
    expected = findings(live)
    assert expected.height > 7
    assert_frame_equal(expected.drop("mode"), findings(replayed).drop("mode"))
    assert not Lake(replayed.folder / "lake").exists(DAILY)


def test_backtest_beside_production_changes_nothing(sites: Callable[..., Site]) -> None:
    """Its findings stand beside the live ones and are no memory of theirs."""
    site, alone = sites(fleet()), sites(fleet())
    for one in (site, alone):
        diagnose_site(one, end_of(9))
    backtest_site(site, end_of(2), end_of(15), timedelta(days=7), lambda _: None)

    same(diagnose_site(alone, end_of(16)).findings, diagnose_site(site, end_of(16)).findings)


def test_time_before_the_last_diagnosis_is_computed_apart(sites: Callable[..., Site]) -> None:
    """It finds what was found then, and the line goes on as if nothing had been asked."""
    site, alone = sites(fleet()), sites(fleet())
    then = [diagnose_site(site, end_of(day)) for day in (8, 10)][-1]
    diagnose_site(site, end_of(19))
    for day in (8, 10, 19):
        diagnose_site(alone, end_of(day))

    apart = diagnose_site(site, end_of(10))

    same(then.findings, apart.findings)
    assert then.diagnosis_id != apart.diagnosis_id
    assert_frame_equal(newest_days(alone), newest_days(site))
    assert Lake(site.folder / "lake").read(FINDINGS).filter(diagnosis_id=apart.diagnosis_id).height


def test_diagnosis_never_changes_when_readings_are_added_later(sites: Callable[..., Site]) -> None:
    """Only what was received by then counts: a prefix of the record gives the same findings."""
    whole = fleet()
    full = sites(whole)

    prefix = sites(whole.filter(pl.col("received_at") <= end_of(12)))

    for day in (6, 12):
        same(diagnose_site(prefix, end_of(day)).findings, diagnose_site(full, end_of(day)).findings)


def test_lake_without_readings_finds_nothing(site: Site) -> None:
    """A new site, twice."""
    for day in (0, 1):
        diagnosis = diagnose_site(site, end_of(day))
        assert (0, 0) == (diagnosis.days, diagnosis.findings.height)

    stored(site, hourly("backward", 20, backward_on=[5, 6, 7, 8, 9]))
    assert 20 == diagnose_site(site, end_of(19)).days


def test_first_readings_after_an_early_diagnosis_are_taken_up(site: Site) -> None:
    """Recordings of years ago, brought in after a diagnosis as of today."""
    diagnose_site(site, datetime.now(UTC))
    stored(site, hourly("backward", 20, backward_on=[5, 6, 7, 8, 9]))

    assert 20 == diagnose_site(site, datetime.now(UTC)).days


@pytest.mark.parametrize(("end", "every"), [(5, 1), (20, 0)])
def test_backtest_that_does_not_run_forward_is_refused(site: Site, end: int, every: int) -> None:
    """End before start, or no step."""
    with pytest.raises(UsageError, match="a back-test runs forward"):
        backtest_site(site, end_of(10), end_of(end), timedelta(days=every), lambda _: None)


def test_readings_table_is_only_read(sites: Callable[..., Site]) -> None:
    """Diagnosis and back-test commit nothing to it."""
    site = sites(fleet())
    before = Lake(site.folder / "lake").version(READINGS)

    diagnose_site(site, end_of(19))
    diagnose_site(site, end_of(5))
    backtest_site(site, end_of(5), end_of(6), timedelta(days=1), lambda _: None)

    assert before == Lake(site.folder / "lake").version(READINGS)


def gap(source: str, noticed: datetime) -> pl.DataFrame:
    """Return a time in which we did not receive from a source, from day 4 on."""
    row = {"kind": "session_lost", "source": source, "received_at": noticed, "since": end_of(3), "until": end_of(17)}
    return pl.DataFrame([row], schema={name: GAPS.polars[name] for name in row})


@pytest.mark.parametrize(
    ("source", "noticed", "expected"),
    [("test", 17, "watch"), ("other", 17, "act"), ("test", 30, "act")],
)
def test_our_own_gap_is_not_blamed_on_the_meters(
    sites: Callable[..., Site], source: str, noticed: int, expected: str
) -> None:
    """A gap in the lake of the source that delivered the meter, known at the time; the same in a back-test."""
    site = sites(fleet())
    (site.folder / "metriage.toml").write_text('[[broker]]\nurl = "mqtt://localhost"\nsource = "test"\n', "utf-8")
    site = Site(site.folder)
    site.lake.append(GAPS, gap(source, end_of(noticed)))

    found = diagnose_site(site, end_of(18)).findings.filter(meter_id="silent", fault="communication")
    replayed = backtest_site(site, end_of(18), end_of(18), timedelta(days=1), lambda _: None)

    assert [expected] == found["verdict"].to_list()
    assert ("reception_gap" in found["evidence"][0]) == (expected == "watch")
    same(found, replayed.filter(meter_id="silent", fault="communication"))


def registered(site: Site, *meters: Meter) -> None:
    with opened(site.database) as connection:
        registry.store(connection, meters)


def test_registry_reaches_days_and_findings(sites: Callable[..., Site]) -> None:
    """The zone of a meter makes its days; lot and region stand in its findings; the same in a back-test."""
    site = sites(fleet())
    registered(
        site,
        Meter(meter_id="backward", timezone="Asia/Shanghai", production_batch="2021-07", region="north"),
        Meter(meter_id="healthy", timezone="America/Lima"),
    )
    replayed = backtest_site(site, end_of(11), end_of(12), timedelta(days=1), lambda _: None)
    diagnose_site(site, end_of(11))
    found = diagnose_site(site, end_of(12)).findings

    days = (
        newest_days(site).group_by("meter_id", maintain_order=True).agg(pl.col("day").min(), pl.col("readings").first())
    )
    assert [
        ("backward", START.date(), 16), ("healthy", START.date() - timedelta(days=1), 5), ("late", START.date(), 24),
        ("silent", START.date(), 24),
    ] == days.rows()  # fmt: skip
    assert [("2021-07", "north")] == found.filter(fault="coil").select("production_batch", "region").rows()
    same(found, replayed.filter(as_of=end_of(12)))


def test_registry_row_recorded_later_is_not_known_before(sites: Callable[..., Site]) -> None:
    """In a back-test over a finished registry as in a diagnosis of then."""
    site = sites(fleet())
    registered(site, Meter(meter_id="backward", production_batch="2021-07", recorded_at=end_of(14)))

    found = backtest_site(site, end_of(13), end_of(15), timedelta(days=1), lambda _: None)

    batches = found.filter(meter_id="backward", fault="coil").sort("as_of")["production_batch"].to_list()
    assert [None, "2021-07", "2021-07"] == batches


def test_meters_out_of_place_are_told(sites: Callable[..., Site], metriage: Callable[..., Done]) -> None:
    """Not registered, or reporting after the day on which an inspection or the registry ends their record."""
    site = sites(fleet())
    registered(site, Meter(meter_id="healthy"), Meter(meter_id="silent", removed_on=START.date() + timedelta(days=4)))
    with opened(site.database) as connection:
        row = {"meter_id": "healthy", "inspected_at": end_of(9), "action": "exchanged", "new_meter_id": "late"}
        facts.store(connection, facts.INSPECTION_KIND, [row])

    before, after = diagnose_site(site, end_of(8)), diagnose_site(site, end_of(15))
    shown = metriage("diagnose", "--as-of", end_of(15).isoformat(), "--dir", site.folder).out

    assert (("backward", "late"), ()) == (before.unregistered, before.after_removal)
    assert (("backward", "late"), ("healthy",)) == (after.unregistered, after.after_removal)
    assert "2 meters are not registered: backward, late" in shown
    assert "1 meters report after their removal: healthy" in shown


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Lima"])
def test_zone_that_the_registry_tells_later_makes_the_days_anew(sites: Callable[..., Site], zone: str) -> None:
    """All of the meter's days, and only once; the days that there are no more are taken back."""
    site, known = sites(fleet()), sites(fleet())
    moved = Meter(meter_id="backward", timezone=zone)
    registered(known, moved)
    for day in (8, 12):
        diagnose_site(site, end_of(day))
    registered(site, moved)

    after, next_day = diagnose_site(site, end_of(15)), diagnose_site(site, end_of(16))
    for day in (8, 12, 15):
        expected = diagnose_site(known, end_of(day))
    diagnose_site(known, end_of(16))

    assert after.days > 16
    assert next_day.days < 10
    assert_frame_equal(newest_days(known), newest_days(site).filter(pl.col("readings") > 0))
    same(expected.findings.drop("onset"), after.findings.drop("onset"))


def test_day_that_a_zone_took_away_counts_no_more(sites: Callable[..., Site]) -> None:
    """A meter in Lima whose first readings came in the small hours of UTC."""
    site = sites(hourly("m1", 1), hourly("m2", 3))
    registered(site, Meter(meter_id="m1", timezone="Asia/Shanghai"))
    diagnose_site(site, end_of(1))
    registered(site, Meter(meter_id="m1", timezone="America/Lima"))

    diagnose_site(site, end_of(2))

    days = newest_days(site).filter(pl.col("meter_id") == "m1")
    assert [(START.date() - timedelta(days=1), 5), (START.date(), 19), (START.date() + timedelta(days=1), 0)] == (
        days.select("day", "readings").rows()
    )


def test_same_time_again_after_a_zone_changed_is_looked_at_apart(sites: Callable[..., Site]) -> None:
    """The daily rows of the line follow with the next step."""
    site = sites(fleet())
    diagnose_site(site, end_of(12))
    registered(site, Meter(meter_id="backward", timezone="Asia/Shanghai"))

    again = diagnose_site(site, end_of(12))

    assert again.days > 40
    assert diagnose_site(site, end_of(12)).days > 40
    assert 14 < diagnose_site(site, end_of(13)).days < 40
    assert diagnose_site(site, end_of(14)).days < 10


def test_compaction_changes_no_diagnosis(sites: Callable[..., Site]) -> None:
    """Rewritten rows are no new ones, and late ones are found although their first file was merged."""
    plain, tidied = sites(fleet()), sites(fleet())
    extra = hourly("late file", 15)
    for site in (plain, tidied):
        diagnose_site(site, end_of(15))
        stored(site, extra)
    compact_site(tidied)

    expected, found = diagnose_site(plain, end_of(19)), diagnose_site(tidied, end_of(19))

    assert expected.days == found.days
    same(expected.findings, found.findings)
    assert_frame_equal(newest_days(plain), newest_days(tidied))


def lots(site: Site) -> None:
    """Register the meters of the fleet in two lots."""
    registered(
        site,
        Meter(meter_id="healthy", production_batch="A"),
        Meter(meter_id="backward", production_batch="B"),
        Meter(meter_id="silent", production_batch="A"),
        Meter(meter_id="late", production_batch="B"),
    )


def test_groups_are_told_with_the_findings_of_a_diagnosis(sites: Callable[..., Site]) -> None:
    """Under one name and time; what failed counts in its lot, and failures to come are forecast."""
    site = sites(fleet())
    lots(site)

    diagnosis = diagnose_site(site, end_of(14))

    lake = Lake(site.folder / "lake")
    told = [lake.read(table) for table in (FINDINGS, BATCH_FINDINGS, FORECASTS)]
    assert [{(diagnosis.diagnosis_id, "live", end_of(14))}] * 3 == [
        set(rows.select("diagnosis_id", "mode", "as_of").iter_rows()) for rows in told
    ]
    coil = told[1].filter(pl.col("scope") == "production_batch", pl.col("fault") == "coil").sort("key")
    assert [("A", 2, 0), ("B", 2, 1)] == coil.select("key", "meters", "observed").rows()
    assert {"failures"} <= set(told[2]["kind"])


def test_groups_of_a_back_test_are_those_of_production(sites: Callable[..., Site]) -> None:
    """Step by step, with nothing known that came later."""
    live, replayed = sites(fleet()), sites(fleet())
    for site in (live, replayed):
        lots(site)
    for day in (8, 14):
        diagnose_site(live, end_of(day))
    backtest_site(replayed, end_of(8), end_of(14), timedelta(days=6), lambda _: None)

    rows = [Lake(site.folder / "lake").read(BATCH_FINDINGS).drop(NAMES) for site in (live, replayed)]
    keys = ["as_of", "scope", "key", "fault"]
    assert_frame_equal(*(told.sort(keys) for told in rows))
    assert 2 == rows[0]["as_of"].n_unique()


def test_groups_see_only_acts_told_by_then(sites: Callable[..., Site]) -> None:
    """A time before the last diagnosis is looked at apart, and its groups too."""
    site = sites(fleet())
    lots(site)
    diagnose_site(site, end_of(14))

    before = diagnose_site(site, end_of(4))

    assert 0 == before.batch_findings["observed"].sum()
    assert 1 == diagnose_site(site, end_of(15)).batch_findings.filter(scope="production_batch")["observed"].sum()
