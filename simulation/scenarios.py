"""Named sets of ranges, vendors and a season: what a labelled fleet is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from lake.errors import UsageError
from simulation.parameters import Ranges, check_ranges
from simulation.vendors import HELD_OUT, USUAL, Vendor


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a fleet is drawn from.

    Parameters
    ----------
    name : str
        Its name.
    meaning : str
        One sentence.
    start : date
        First local day, unless told otherwise.
    zone : str
        IANA zone of the calendar.
    vendors : tuple of Vendor
        Module vendors.
    ranges : mapping
        Ranges that differ from the defaults.
    """

    name: str
    meaning: str
    start: date = date(2023, 10, 15)
    zone: str = "Asia/Shanghai"
    vendors: tuple[Vendor, ...] = USUAL
    ranges: Ranges = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


SCENARIOS: Mapping[str, Scenario] = {
    each.name: each
    for each in (
        Scenario("standard", "an ordinary winter of the North China Plain, with two or three cold snaps"),
        Scenario(
            "harsh_winter",
            "deeper, longer and more frequent cold than usual",
            date(2020, 11, 1),
            ranges={
                "mean_c": (9.5, 12.0),
                "cold_snaps": (3, 4),
                "cold_snap_c": (-15.0, -10.0),
                "cold_snap_days": (5, 12),
                "lagged_w_per_m2_k": (0.015, 0.045),
                "incidence": (0.035, 0.045),
            },
        ),
        Scenario(
            "mild",
            "a half year from spring to autumn: no frost, more rain",
            date(2023, 4, 1),
            ranges={
                "cold_snaps": (0, 0),
                "wet_day_share": (0.3, 0.42),
                "downpours": (3, 6),
                "incidence": (0.045, 0.055),
            },
        ),
        Scenario(
            "wet",
            "a rainy autumn and winter with pits that stand under water, and weak radio",
            date(2022, 9, 1),
            ranges={
                "wet_day_share": (0.35, 0.5),
                "downpours": (5, 9),
                "pit_share": (0.35, 0.5),
                "flood_share": (0.6, 0.9),
                "site_rssi_dbm": (-110, -90),
            },
        ),
        Scenario(
            "prepaid",
            "valves nearly everywhere, closed and opened for arrears again and again; works in many pipes",
            date(2024, 2, 1),
            ranges={
                "valve_share": (0.85, 1.0),
                "commanded_share": (0.3, 0.5),
                "works_of_a_site": (0.3, 0.5),
            },
        ),
        Scenario(
            "held_out",
            "vendors, zone, season and ranges that nothing is tuned on; with a change to summer time",
            date(2021, 12, 1),
            "Europe/Bucharest",
            HELD_OUT,
            {
                "mean_c": (10.5, 13.0),
                "day_noise_c": (2.8, 3.8),
                "lagged_w_per_m2_k": (0.015, 0.05),
                "cold_snap_c": (-14.0, -8.0),
                "people": (1.0, 3.2),
                "litres_per_person_day": (90, 190),
                "vacant_share": (0.1, 0.16),
                "amplitude_mv": (150, 380),
                "working_v": (3.60, 3.67),
                "resistance_ohm": (0.6, 1.3),
                "travel_s": (6.0, 11.0),
                "running_ma": (25, 45),
                "stall_ma": (120, 180),
                "site_rssi_dbm": (-112, -88),
                "lost_share": (0.015, 0.05),
                "meters_of_a_lot": (60, 160),
                "meters_of_a_site": (20, 140),
            },
        ),
    )
}  # fmt: skip


def scenario(name: str) -> Scenario:
    """Return a named scenario.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    found = SCENARIOS.get(name)
    if found is None:
        raise UsageError(f"there is no scenario {name!r}; there are {', '.join(SCENARIOS)}, or a TOML file of ranges")
    return found
