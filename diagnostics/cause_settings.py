"""Weights and thresholds of the causes; beliefs set by judgement, to be changed where a site knows better."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Weight = Annotated[float, Meta(ge=0, le=1)]


class ColdCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Low temperature as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    frost_c: Annotated[float, Meta(description="Temperature at the meter that counts as frost [°C]")] = -5.0
    before_days: Annotated[int, Meta(description="Days before the onset that are looked at [days]", ge=0)] = 4
    after_days: Annotated[int, Meta(description="Days after the onset that are looked at [days]", ge=0)] = 1
    measured_weight: Annotated[Weight, Meta(description="Weight where the meter measured the frost itself [1]")] = 0.8
    supposed_weight: Annotated[
        Weight, Meta(description="Weight where weather and kind of installation tell of it [1]")
    ] = 0.65


class MoistureCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Moisture as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    before_days: Annotated[int, Meta(description="Days before the onset in which rain counts [days]", ge=1)] = 10
    rain_mm: Annotated[float, Meta(description="Rain of one day that counts [mm]", gt=0)] = 15.0
    radio_fall_db: Annotated[float, Meta(description="Fall of the signal strength that counts [dB]", gt=0)] = 6.0
    neighbours: Annotated[int, Meta(description="Other meters of the site failing within these days", ge=1)] = 1
    kinds: Annotated[int, Meta(description="Signs of different kinds that are needed", ge=1, le=4)] = 2
    flood_weight: Annotated[Weight, Meta(description="Weight of a place known to flood [1]")] = 0.35
    place_weight: Annotated[Weight, Meta(description="Weight of a pit or basement [1]")] = 0.15
    rain_weight: Annotated[Weight, Meta(description="Weight of rain before the onset, less where it is usual [1]")] = (
        0.3
    )
    radio_weight: Annotated[Weight, Meta(description="Weight of radio that weakened with it [1]")] = 0.3
    neighbours_weight: Annotated[Weight, Meta(description="Weight of neighbours that failed with it [1]")] = 0.2
    found_days: Annotated[
        int, Meta(description="Days before the onset from which on an inspection counts [days]", ge=0)
    ] = 90
    found_weight: Annotated[Weight, Meta(description="Weight of water found on site [1]")] = 0.95


class SedimentCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sediment as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    current_ratio: Annotated[float, Meta(description="Motor current to its baseline that counts [1]", gt=1)] = 1.3
    travel_ratio: Annotated[
        float, Meta(description="Travel time to its baseline that counts where no current is sent [1]", gt=1)
    ] = 1.5
    free_ratio: Annotated[
        float, Meta(description="Motor current to its baseline below which the motor turns freely [1]", gt=0, lt=1)
    ] = 0.8
    neighbours: Annotated[int, Meta(description="Other valves of the site that fail, too", ge=1)] = 2
    works_days: Annotated[int, Meta(description="Days before the onset in which pipe works count [days]", ge=0)] = 120
    harder_weight: Annotated[Weight, Meta(description="Weight of a current that grew [1]")] = 0.45
    slower_weight: Annotated[Weight, Meta(description="Weight of a travel time that grew [1]")] = 0.35
    neighbours_weight: Annotated[Weight, Meta(description="Weight of other valves of the site [1]")] = 0.4
    works_weight: Annotated[Weight, Meta(description="Weight of pipe works before [1]")] = 0.35
    found_weight: Annotated[Weight, Meta(description="Weight of sand found in this meter [1]")] = 0.95
    found_near_weight: Annotated[Weight, Meta(description="Weight of sand found in another meter of the site [1]")] = (
        0.3
    )


class AgeCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Age as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    battery_from_years: Annotated[float, Meta(description="Age of a battery from which on it counts [a]", ge=0)] = 5.0
    battery_full_years: Annotated[float, Meta(description="Age of a battery at which it weighs most [a]", gt=0)] = 8.0
    battery_weight: Annotated[Weight, Meta(description="Its greatest weight [1]")] = 0.6
    from_years: Annotated[float, Meta(description="Age of a meter from which on it counts [a]", ge=0)] = 6.0
    full_years: Annotated[float, Meta(description="Age of a meter at which it weighs most [a]", gt=0)] = 10.0
    weight: Annotated[Weight, Meta(description="Its greatest weight [1]")] = 0.5


class CoverageCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bad coverage as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    fair_dbm: Annotated[float, Meta(description="Signal strength above which it weighs nothing [dBm]")] = -104.0
    edge_dbm: Annotated[float, Meta(description="Signal strength at which it weighs most [dBm]")] = -112.0
    below_fleet_db: Annotated[float, Meta(description="Least distance to the median of all meters [dB]", ge=0)] = 6.0
    worst_class: Annotated[int, Meta(description="Coverage class that counts as bad", ge=1, le=2)] = 2
    weight: Annotated[Weight, Meta(description="Its greatest weight [1]")] = 0.75


class StormCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A report storm as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    ratio: Annotated[float, Meta(description="Reports of a day to the usual number that count [1]", gt=1)] = 3.0
    days: Annotated[int, Meta(description="Such days that are needed [days]", ge=1)] = 5
    least_meters: Annotated[int, Meta(description="Meters of a model that tell what is usual", ge=1)] = 5
    weight: Annotated[Weight, Meta(description="Its weight [1]")] = 0.8


class GroupCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A lot, a module vendor or an installer as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    p_value: Annotated[float, Meta(description="Largest probability of such an excess by chance [1]", gt=0, lt=1)] = (
        0.003
    )
    least_cases: Annotated[int, Meta(description="Cases of the group that are needed", ge=2)] = 3
    ratio: Annotated[float, Meta(description="Least ratio of observed to expected cases [1]", gt=1)] = 2.0
    weight: Annotated[Weight, Meta(description="Weight if all cases were excess [1]")] = 0.95
    early_days: Annotated[
        int, Meta(description="Days after installation in which a fault counts as there from the start [days]", ge=0)
    ] = 15
    early_weight: Annotated[Weight, Meta(description="Weight of such an early fault [1]")] = 0.5


class TamperCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tampering as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    near_days: Annotated[int, Meta(description="Days around the onset in which a code counts [days]", ge=0)] = 10
    code_weight: Annotated[Weight, Meta(description="Weight of a tamper code [1]")] = 0.7
    found_weight: Annotated[Weight, Meta(description="Weight of signs found on site [1]")] = 0.9


class ConflictCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Several programs as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    near_days: Annotated[int, Meta(description="Days around the onset that are looked at [days]", ge=0)] = 10
    several_weight: Annotated[Weight, Meta(description="Weight of several programs that agree [1]")] = 0.35
    differ_weight: Annotated[Weight, Meta(description="Weight of programs that contradict each other [1]")] = 0.85


class CauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the cause of a fault is found."""

    cold: ColdCauseSettings = ColdCauseSettings()
    moisture: MoistureCauseSettings = MoistureCauseSettings()
    sediment: SedimentCauseSettings = SedimentCauseSettings()
    age: AgeCauseSettings = AgeCauseSettings()
    coverage: CoverageCauseSettings = CoverageCauseSettings()
    storm: StormCauseSettings = StormCauseSettings()
    lot: GroupCauseSettings = GroupCauseSettings()
    module: GroupCauseSettings = GroupCauseSettings()
    installer: GroupCauseSettings = GroupCauseSettings()
    tamper: TamperCauseSettings = TamperCauseSettings()
    conflict: ConflictCauseSettings = ConflictCauseSettings()
    unknown_weight: Annotated[
        Weight, Meta(description="Weight of there being no explanation; lighter causes are not named [1]")
    ] = 0.28
    told_weight: Annotated[Weight, Meta(description="Weight of a cause that a rule names without a number [1]")] = 0.4
    kept_days: Annotated[
        int,
        Meta(description="Days before the onset leaves the window from which on the earlier cause joins [days]", ge=0),
    ] = 20
    kept_share: Annotated[Weight, Meta(description="Share of its confidence that an earlier cause keeps [1]")] = 0.9
