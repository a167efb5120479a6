"""What the site database tells a diagnosis as of a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from lake import facts, registry
from lake.meter import Meter
from lake.site_database import opened
from metriage.site import Site
from metriage.site_facts import SiteFacts

MARCH = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_site_without_database_knows_nothing(site: Site) -> None:
    """And none is made by asking."""
    known = SiteFacts(site.database, "UTC").as_of(MARCH)

    assert known.meters.is_empty()
    assert known.weather.is_empty()
    assert not site.database.exists()


def test_facts_as_of_times(site: Site) -> None:
    """Nothing that was recorded, made or over later; the frames are what a diagnosis wants."""
    with opened(site.database) as connection:
        registry.store(connection, [Meter(meter_id="m1", region="north"), Meter(meter_id="m2", recorded_at=MARCH)])
        facts.store(connection, facts.INSPECTION_KIND, [{"meter_id": "m1", "inspected_at": MARCH}])
        facts.store(connection, facts.REPORT_KIND, [{"meter_id": "m1", "reported_at": MARCH + DAY}])
        facts.store(connection, facts.WEATHER_KIND, [{"region": "north", "date": date(2024, 3, 1), "min_c": -9.0}])
        facts.store(connection, facts.WORK_KIND, [{"region": "north", "from": MARCH, "recorded_at": MARCH}])
    known = SiteFacts(site.database, "Asia/Shanghai")

    def heights(moment: datetime) -> list[int]:
        found = known.as_of(moment).conformed()
        return [part.height for part in (found.meters, found.inspections, found.reports, found.weather, found.works)]

    assert [1, 0, 0, 0, 0] == heights(MARCH - timedelta(microseconds=1))
    assert [2, 1, 0, 0, 1] == heights(MARCH)
    assert [2, 1, 0, 1, 1] == heights(MARCH + timedelta(hours=16))
    assert [2, 1, 1, 1, 1] == heights(MARCH + DAY)
    assert [1, 0, 0, 0, 0] == heights(MARCH - DAY)


def test_registry_changed_in_between_is_read_again(site: Site) -> None:
    """For another time; the same time is answered with the same."""
    known = SiteFacts(site.database, "UTC")
    with opened(site.database) as connection:
        registry.store(connection, [Meter(meter_id="m1", region="north")])
        before = known.as_of(MARCH)
        registry.store(connection, [Meter(meter_id="m1", region="south")])

    assert before is known.as_of(MARCH)
    assert ["south"] == known.as_of(MARCH + DAY).meters["region"].to_list()
