"""Hard codes become findings at once: what the next diagnosis says, once, and gone where that does not share it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lake import registry
from lake.errors import LakeError
from lake.meter import Meter
from lake.schemas import ERROR_CODES, FINDINGS, READINGS
from lake.site_database import opened
from lake.tables import Lake
from metriage.diagnosing import backtest_site, diagnose_site
from metriage.hot_findings import HotPath
from metriage.live_findings import told_until
from metriage.site import Site
from metriage.site_template import make_site
from tests.metriage.sites import START, finding, hourly, told

EMPTY = ("battery", 1, "BATTERY_EMPTY")
STUCK = ("actuator", 2, "VALVE_FAULT")
FROZEN = ("low_temperature", 1, "FREEZE")
MAGNET = ("tamper", 2, "MAGNET")


def hour(day: int, hours: float = 0.0) -> datetime:
    return START + timedelta(days=day, hours=hours)


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a site with two meters and a live diagnosis as of the end of the fourth day."""
    folder = tmp_path_factory.mktemp("site")
    make_site(folder)
    site = Site(folder)
    lake = Lake(folder / "lake")
    lake.append(READINGS, pl.concat([hourly("a", 4), hourly("b", 4)]))
    diagnose_site(site, hour(4))
    return site


def reported(
    site: Site, meter: str, at: datetime, *codes: tuple[str, int, str], conflict: bool = False, late_h: float = 0.0
) -> None:
    """Store a reading with its codes, as one batch of the lake writer does."""
    lake = site.lake
    received = at + timedelta(minutes=1, hours=late_h)
    same: dict[str, Any] = {"meter_id": meter, "ts": at, "received_at": received, "source": "test"}
    same["event_date"] = at.date()
    flags = ["conflict"] if conflict else []
    reading = {**same, "volume_m3": 100.0, "flags": flags, "error_codes": [code for _, _, code in codes]}
    lake.append(READINGS, pl.DataFrame([reading], schema={name: READINGS.polars[name] for name in reading}))
    if codes:
        rows = [{**same, "code": code, "family": family, "severity": severity} for family, severity, code in codes]
        lake.append(ERROR_CODES, pl.DataFrame(rows, schema={name: ERROR_CODES.polars[name] for name in rows[0]}))


def hot_of(site: Site) -> HotPath:
    return HotPath(site, site.lake)


def said(rows: pl.DataFrame) -> list[tuple[object, ...]]:
    return rows.select("meter_id", "fault", "verdict", "severity").sort("meter_id", "fault").rows()


def stored_hot(site: Site) -> list[tuple[object, ...]]:
    return said(site.lake.read(FINDINGS).filter(pl.col("mode") == "hot"))


def test_hard_code_is_a_finding_at_once(site: Site) -> None:
    """Act where one sight is enough, watch where it is not; each as the rule of codes says it."""
    reported(site, "a", hour(4, 5), EMPTY)
    reported(site, "b", hour(4, 5), STUCK, FROZEN)

    found = hot_of(site).look(hour(4, 6))

    assert [("a", "battery", "act", 1), ("b", "actuator", "watch", 2), ("b", "low_temperature", "watch", 1)] == said(
        found
    )
    assert {"hot"} == set(found["mode"])
    assert {hour(4, 6)} == set(found["as_of"])
    assert_frame_equal(found.sort("meter_id", "fault"), site.lake.read(FINDINGS).filter(pl.col("mode") == "hot").sort(
        "meter_id", "fault"))  # fmt: skip


@pytest.mark.parametrize("codes", [[EMPTY], [STUCK], [EMPTY, STUCK], [EMPTY, MAGNET], [FROZEN]])
def test_hot_finding_equals_what_the_live_diagnosis_says(site: Site, codes: list[tuple[str, int, str]]) -> None:
    """To the last column but name and mode: verdict, severity, onset, cause, evidence, action."""
    reported(site, "a", hour(4, 5), *codes)
    reported(site, "a", hour(4, 6))
    found = hot_of(site).look(hour(4, 7))

    live = diagnose_site(site, hour(4, 7)).findings

    expected = live.filter(pl.col("kind") == "fault", pl.col("meter_id") == "a").drop("diagnosis_id", "mode")
    assert_frame_equal(expected, found.drop("diagnosis_id", "mode"))


def test_second_day_makes_act_of_watch(site: Site) -> None:
    """On arrival; and that equals the live diagnosis, too."""
    hot = hot_of(site)
    reported(site, "a", hour(4, 5), STUCK)
    first = hot.look(hour(4, 6))
    reported(site, "a", hour(5, 5), STUCK)
    second = hot.look(hour(5, 6))

    live = diagnose_site(site, hour(5, 6)).findings.filter(pl.col("fault") == "actuator")

    assert ([("a", "actuator", "watch", 2)], [("a", "actuator", "act", 2)]) == (said(first), said(second))
    assert_frame_equal(live.drop("diagnosis_id", "mode"), second.drop("diagnosis_id", "mode"))


def test_same_code_again_is_no_new_finding(site: Site) -> None:
    """Not in the next message, not after a restart, not after the live diagnosis took it up."""
    hot = hot_of(site)
    reported(site, "a", hour(4, 5), EMPTY)
    counts = [hot.look(hour(4, 6)).height]
    reported(site, "a", hour(4, 7), EMPTY)
    counts += [hot.look(hour(4, 8)).height, hot.look(hour(4, 8)).height, hot_of(site).look(hour(4, 8)).height]
    diagnose_site(site, hour(5))
    reported(site, "a", hour(5, 1), EMPTY)
    counts += [hot.look(hour(5, 2)).height, hot_of(site).look(hour(5, 2)).height]

    assert [1, 0, 0, 0, 0, 0] == counts


def test_worse_severity_is_told(site: Site) -> None:
    """A reader cares: urgency follows it."""
    hot = hot_of(site)
    reported(site, "a", hour(4, 5), ("battery", 2, "LOW_BATTERY"))
    first = hot.look(hour(4, 6))
    reported(site, "a", hour(4, 7), EMPTY)

    assert ([("a", "battery", "watch", 2)], [("a", "battery", "act", 1)]) == (said(first), said(hot.look(hour(4, 8))))


def test_codes_join_what_other_rules_said(site: Site) -> None:
    """Their rules, evidence and onset stay in the finding, so that a ticket does not lose them."""
    told(site, finding(meter_id="a", as_of=hour(4), severity=2, onset=hour(2)))
    reported(site, "a", hour(4, 5), EMPTY)

    [row] = hot_of(site).look(hour(4, 6)).to_dicts()

    assert ["battery.codes", "battery.plateau"] == row["rules"]
    assert ("act", 1, hour(2), "moisture") == (row["verdict"], row["severity"], row["onset"], row["cause"])
    assert '"value":3.31' in row["evidence"]
    assert "BATTERY_EMPTY" in row["evidence"]


def test_mild_codes_and_conditions_wait_for_the_diagnosis(site: Site) -> None:
    """So do all codes of a fault whose rule is switched off."""
    file = site.folder / "metriage.toml"
    text = file.read_text(encoding="utf-8").replace("[rules.actuator.codes]", "[rules.actuator.codes]\nenabled = false")
    file.write_text(text, encoding="utf-8")
    reported(site, "a", hour(4, 5), ("battery", 3, "BATTERY_WARNING"), MAGNET, STUCK)

    assert 0 == hot_of(Site(site.folder)).look(hour(4, 6)).height


def test_contested_reading_tells_no_codes(site: Site) -> None:
    """As in the daily profile."""
    reported(site, "a", hour(4, 5), EMPTY, conflict=True)

    assert 0 == hot_of(site).look(hour(4, 6)).height


def test_late_code_of_an_earlier_day_is_found(site: Site) -> None:
    """What arrived after the diagnosis, though it was measured or even received before: as from a file."""
    reported(site, "a", hour(2, 5.5), EMPTY, late_h=48)
    reported(site, "b", hour(2, 5.5), EMPTY)

    found = hot_of(site).look(hour(4, 12))

    assert [("a", "battery", "act", 1), ("b", "battery", "act", 1)] == said(found)
    live = diagnose_site(site, hour(4, 12)).findings.filter(pl.col("fault") == "battery")
    assert_frame_equal(live.drop("diagnosis_id", "mode"), found.drop("diagnosis_id", "mode"))


def test_codes_that_the_diagnosis_saw_are_not_hot(site: Site) -> None:
    """It has spoken of them, and may have cleared them since."""
    reported(site, "a", hour(4, 5), EMPTY)
    diagnose_site(site, hour(5))

    assert 0 == hot_of(site).look(hour(5, 1)).height


def test_code_between_the_end_of_a_day_and_its_diagnosis(site: Site) -> None:
    """The diagnosis runs in the night, as of midnight: it does not see the code, and does not hide it."""
    hot = hot_of(site)
    reported(site, "a", hour(5, 1), EMPTY)
    before = hot.look(hour(5, 2))
    diagnose_site(site, hour(5))
    again = hot.look(hour(5, 3))
    reported(site, "b", hour(5, 1.5), EMPTY)
    diagnose_site(site, hour(5, 1))

    assert ([("a", "battery", "act", 1)], []) == (said(before), said(again))
    assert [("b", "battery", "act", 1)] == said(hot_of(site).look(hour(5, 3)))


def test_site_without_diagnosis_looks_back_one_day(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A daemon on a new site, and one on an old lake that was never diagnosed."""
    folder = tmp_path_factory.mktemp("site")
    make_site(folder)
    site = Site(folder)
    reported(site, "a", hour(1, 5), EMPTY)
    reported(site, "b", hour(3, 5), EMPTY)

    assert told_until(site.lake) is None
    assert [("b", "battery", "act", 1)] == said(hot_of(site).look(hour(3, 6)))


def test_empty_site_has_no_findings(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without any table, and without any code."""
    folder = tmp_path_factory.mktemp("empty")
    make_site(folder)

    assert (0, 0) == (hot_of(Site(folder)).look(hour(4)).height, hot_of(site).look(hour(4, 1)).height)
    assert (0, 0) == (hot_of(Site(folder)).settle().height, hot_of(site).settle().height)


def test_failed_look_is_taken_up_by_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk for a moment."""
    hot = hot_of(site)
    reported(site, "a", hour(4, 5), EMPTY)
    with monkeypatch.context() as broken:
        broken.setattr(Lake, "append", _refuse)
        with pytest.raises(LakeError):
            hot.look(hour(4, 6))

    assert [("a", "battery", "act", 1)] == said(hot.look(hour(4, 7)))


def _refuse(*_: object, **__: object) -> int:
    raise LakeError("disk full")


def registered(site: Site, *meters: Meter) -> None:
    with opened(site.database) as connection:
        registry.prepare(connection)
        registry.store(connection, meters)


def test_lot_region_and_zone_are_those_of_the_registry(site: Site) -> None:
    """As in the diagnosis; the day of a code is the meter's own."""
    registered(site, Meter(meter_id="a", timezone="Asia/Shanghai", production_batch="2021-07", region="north"))
    reported(site, "a", hour(4, 15), EMPTY)
    reported(site, "a", hour(4, 17), EMPTY)

    found = hot_of(site).look(hour(4, 18))

    assert [("2021-07", "north")] == found.select("production_batch", "region").rows()
    assert '"days":2' in found["evidence"][0]


def test_few_meters_make_no_bad_lot(site: Site) -> None:
    """All that is judged belongs to it, and what others of the fleet have nobody looked at."""
    fleet = [f"{lot}{number}" for lot in "xy" for number in range(8)]
    registered(site, *(Meter(meter_id=meter, production_batch=meter[0], installer=meter[0]) for meter in fleet))
    for meter in fleet:
        reported(site, meter, hour(4, 5), EMPTY if meter[0] == "x" else ("battery", 2, "LOW_BATTERY"))

    found = hot_of(site).look(hour(4, 6))

    assert {("x", "act"), ("y", "watch")} == set(found.select("production_batch", "verdict").iter_rows())
    assert {"unknown"} == set(found["cause"])


def test_two_watchers_find_it_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is second meets the first one's commit and looks at what is known again."""
    reported(site, "a", hour(4, 5), EMPTY)
    append = Lake.append
    others: list[HotPath] = [hot_of(site)]

    def meanwhile(self: Lake, *arguments: Any, **more: Any) -> int:
        if others:
            others.pop().look(hour(4, 6))
        return append(self, *arguments, **more)

    monkeypatch.setattr(Lake, "append", meanwhile)

    assert 0 == hot_of(site).look(hour(4, 6)).height
    assert [("a", "battery", "act", 1)] == stored_hot(site)


def test_finding_that_no_diagnosis_shares_is_cleared_once(site: Site) -> None:
    """The reading turned out contested: live rows do not have it, so the hot path takes its word back."""
    hot = hot_of(site)
    reported(site, "a", hour(4, 5), EMPTY)
    reported(site, "b", hour(4, 5), EMPTY)
    hot.look(hour(4, 6))
    reported(site, "a", hour(4, 5), conflict=True)
    diagnose_site(site, hour(5))

    cleared = hot.settle()

    assert [("a", "battery", "clear", 1)] == said(cleared)
    assert [hour(5)] == cleared["as_of"].to_list()
    assert "unconfirmed" in cleared["evidence"][0]
    assert (0, 0) == (hot.settle().height, hot_of(site).settle().height)


def test_findings_wait_for_a_diagnosis_that_saw_what_they_saw(site: Site) -> None:
    """One as of an earlier time says nothing of them."""
    hot = hot_of(site)
    reported(site, "a", hour(5, 1), EMPTY)
    hot.look(hour(5, 2))
    diagnose_site(site, hour(5))

    assert 0 == hot.settle().height


def test_live_diagnosis_does_not_depend_on_hot_findings(site: Site) -> None:
    """It goes on with the same onset, clears as ever, and a back-test without hot findings finds the same."""
    hot = hot_of(site)
    reported(site, "a", hour(4, 5), EMPTY)
    hot.look(hour(4, 6))
    lake = site.lake
    lake.append(READINGS, hourly("a", 30, first=5))
    live = pl.concat([diagnose_site(site, hour(day)).findings for day in range(5, 30)])
    rows = live.filter(pl.col("meter_id") == "a", pl.col("fault") == "battery")

    tested = backtest_site(site, hour(4), hour(29), timedelta(days=1), lambda _: None)

    assert {hour(4, 5)} == set(rows["onset"])
    assert ["act"] * 14 + ["clear"] * 7 == rows["verdict"].to_list()
    again = tested.filter(pl.col("as_of") > hour(4)).drop("diagnosis_id", "mode")
    order = ["as_of", "meter_id", "kind", "fault"]
    assert_frame_equal(live.drop("diagnosis_id", "mode").sort(order), again.sort(order))
    assert [("a", "battery", "act", 1)] == stored_hot(site)


def test_many_meters_at_once_are_judged_in_parts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded however many a frost hits."""
    monkeypatch.setattr("metriage.hot_findings._METERS_AT_ONCE", 2)
    for meter in "abcde":
        reported(site, meter, hour(4, 5), EMPTY)

    assert list("abcde") == sorted(hot_of(site).look(hour(4, 6))["meter_id"])
