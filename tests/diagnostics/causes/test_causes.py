"""Each cause where it is the truth, and beside it the case that only looks like it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from diagnostics.causes import CAUSE_RULES
from lake.vocabulary import CAUSES
from tests.diagnostics.causes.cases import DAYS, Story, causes, day
from tests.diagnostics.frames import START

HEALTHY = {f"h{n}": Story(registry={"region": "r", "production_batch": f"lot{n % 8}"}) for n in range(40)}


def one(story: Story, **facts: Any) -> dict[str, Any]:
    """Return the finding of one failing meter among healthy ones."""
    return causes({"m": story, **HEALTHY}, **facts)["m"]


def test_every_cause_but_unknown_is_weighed() -> None:
    assert set(CAUSES) - {"unknown"} == set(CAUSE_RULES)
    assert all(len(rule.texts) == 2 for rule in CAUSE_RULES.values())


def test_unknown_where_nothing_explains_it() -> None:
    found = one(Story(fails_from=30, registry={"region": "r"}))

    assert ("unknown", None) == (found["cause"], found["cause_confidence"])


@pytest.mark.parametrize("measured", [True, False])
def test_rare_frost_at_the_onset(measured: bool) -> None:
    """The meter's own temperature, or else the weather of its region."""
    air = [-12.0 if 28 <= n <= 30 else 5.0 for n in range(DAYS)]
    weather = [{"region": "r", "date": day(n), "min_c": value, "forecast": False} for n, value in enumerate(air)]

    found = one(
        Story(fails_from=30, registry={"region": "r", "installation": "outdoor"},
              temperature_c=air if measured else None),
        weather=weather,
    )  # fmt: skip

    assert "low_temperature" == found["cause"]
    assert "thaw" in found["action"]


def test_frost_of_every_day_explains_no_single_fault() -> None:
    found = one(Story(fails_from=30, registry={"region": "r"}, temperature_c=-12.0))

    assert "unknown" == found["cause"]


def test_frost_in_the_air_does_not_reach_a_heated_room() -> None:
    weather = [{"region": "r", "date": day(n), "min_c": -12.0 if n > 27 else 5.0, "forecast": False}
               for n in range(DAYS)]  # fmt: skip

    found = one(Story(fails_from=30, registry={"region": "r", "installation": "indoor"}), weather=weather)

    assert "unknown" == found["cause"]


RAIN = [{"region": "r", "date": day(n), "precipitation_mm": 40.0 if n == 28 else 0.0, "min_c": 8.0, "forecast": False}
        for n in range(DAYS)]  # fmt: skip


def test_flooded_pit_loses_its_radio_with_the_rain() -> None:
    radio = [-95.0 if n < 28 else -108.0 for n in range(DAYS)]
    place = {"region": "r", "installation": "pit", "flood_prone": True}

    found = one(Story(fails_from=30, fault="battery", registry=place, rssi_dbm=radio), weather=RAIN)

    assert "moisture" == found["cause"]
    assert {"rain_before_onset", "wet_place", "radio_fell"} <= {seen["what"] for seen in found["evidence"]}


def test_rain_alone_floods_no_flat() -> None:
    found = one(Story(fails_from=30, registry={"region": "r", "installation": "indoor"}), weather=RAIN)

    assert "unknown" == found["cause"]


def test_technician_who_found_it_under_water_is_believed() -> None:
    seen = [{"meter_id": "m", "inspected_at": START + timedelta(days=35), "inspector": "i", "submerged": True}]

    assert "moisture" == one(Story(fails_from=30, registry={"region": "r"}), inspections=seen)["cause"]


def test_valves_of_a_zone_after_pipe_works() -> None:
    zone = {f"z{n}": Story(fails_from=30 + n, fault="actuator", registry={"region": "r", "site": "zone"})
            for n in range(3)}  # fmt: skip
    works = [{"region": "r", "site": "zone", "from": START + timedelta(days=20), "kind": "pipe works"}]

    found = causes({**zone, **HEALTHY}, works=works)

    assert ["sediment"] * 3 == [found[meter]["cause"] for meter in zone]


def test_radio_works_stir_no_sand() -> None:
    works = [{"region": "r", "site": "zone", "from": START + timedelta(days=20), "kind": "radio network maintenance"}]

    found = one(Story(fails_from=30, fault="actuator", registry={"region": "r", "site": "zone"}), works=works)

    assert "unknown" == found["cause"]


def test_old_battery() -> None:
    found = one(Story(fails_from=30, fault="battery", registry={"region": "r", "installed_on": day(-365 * 8)}))

    assert "age" == found["cause"]


def test_battery_at_the_edge_of_coverage() -> None:
    others = {meter: Story(registry=story.registry, rssi_dbm=-90.0) for meter, story in HEALTHY.items()}

    found = causes({"m": Story(fails_from=30, fault="battery", registry={"region": "r"}, rssi_dbm=-118.0), **others})

    assert "coverage" == found["m"]["cause"]


def test_coverage_that_all_have_explains_nobody() -> None:
    others = {meter: Story(registry=story.registry, rssi_dbm=-116.0) for meter, story in HEALTHY.items()}

    found = causes({"m": Story(fails_from=30, fault="battery", registry={"region": "r"}, rssi_dbm=-117.0), **others})

    assert "unknown" == found["m"]["cause"]


def test_report_storm() -> None:
    storm = [48 if 5 <= n < 25 else 4 for n in range(DAYS)]

    found = one(Story(fails_from=30, fault="battery", registry={"region": "r"}, per_day=storm))

    assert "report_storm" == found["cause"]


def test_bad_lot_in_several_regions() -> None:
    """Five of ten meters of one lot, none of a hundred others."""
    lot = {f"b{n}": Story(fails_from=25 + n if n < 5 else None, registry={"region": f"r{n % 2}",
                                                                          "production_batch": "bad"})
           for n in range(10)}  # fmt: skip
    rest = {f"g{n}": Story(registry={"region": f"r{n % 2}", "production_batch": f"good{n % 9}"}) for n in range(60)}

    found = causes({**lot, **rest})

    assert {"production_batch"} == {found[f"b{n}"]["cause"] for n in range(5)}


def test_region_that_fails_is_not_blamed_on_its_lots() -> None:
    """Half the meters of a region fail whatever their lot; the other region is well."""
    bad = {f"b{n}": Story(fails_from=30 if n % 2 else None, registry={"region": "cold", "production_batch":
                                                                      f"lot{n % 3}"})
           for n in range(24)}  # fmt: skip
    good = {f"g{n}": Story(registry={"region": "warm", "production_batch": f"lot{n % 3}"}) for n in range(24)}

    found = causes({**bad, **good})

    assert {"unknown"} == {row["cause"] for row in found.values()}


def test_module_across_lots() -> None:
    bad = {f"b{n}": Story(fails_from=25 if n < 6 else None, fault="battery",
                          registry={"region": "r", "module_vendor": "x", "production_batch": f"lot{n % 6}"})
           for n in range(18)}  # fmt: skip
    rest = {f"g{n}": Story(registry={"region": "r", "module_vendor": "y", "production_batch": f"lot{n % 6}"})
            for n in range(60)}  # fmt: skip

    found = causes({**bad, **rest})

    assert {"module"} == {found[f"b{n}"]["cause"] for n in range(6)}


def test_fault_from_the_first_days_after_installation() -> None:
    found = one(Story(fails_from=30, registry={"region": "r", "installed_on": day(25)}))

    assert "installation" == found["cause"]


def test_signs_of_tampering_found_on_site() -> None:
    seen = [{"meter_id": "m", "inspected_at": START + timedelta(days=33), "inspector": "i", "tamper_signs": True}]

    assert "tamper" == one(Story(fails_from=30, registry={"region": "r"}), inspections=seen)["cause"]


def test_confidence_is_shared_with_the_runner_up() -> None:
    """Old and at the edge of coverage: less sure than either alone."""
    others = {meter: Story(registry=story.registry, rssi_dbm=-90.0) for meter, story in HEALTHY.items()}
    place = {"region": "r", "installed_on": day(-365 * 8)}

    alone = causes({"m": Story(fails_from=30, fault="battery", registry={"region": "r"}, rssi_dbm=-118.0), **others})
    both = causes({"m": Story(fails_from=30, fault="battery", registry=place, rssi_dbm=-118.0), **others})

    assert both["m"]["cause_confidence"] < alone["m"]["cause_confidence"]
    line = next(seen for seen in both["m"]["evidence"] if seen["what"] == "likely_cause")
    assert "age" == line["other"]
