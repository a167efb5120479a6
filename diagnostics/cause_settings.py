"""Shares, likelihood ratios and thresholds of the causes; set by judgement, to be changed where a site knows better."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Weight = Annotated[float, Meta(ge=0, le=1)]


class _Shares(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    def shares(self) -> dict[str, float]:
        """Return by fault the share of its cases that have this cause where nothing is known [1]."""
        named = {"coil": "coil_share", "battery": "battery_share", "actuator": "actuator_share",
                 "low_temperature": "frost_share"}  # fmt: skip
        return {fault: float(getattr(self, name)) for fault, name in named.items() if hasattr(self, name)}


class ColdCauseSettings(_Shares, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Low temperature as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    frost_c: Annotated[float, Meta(description="Temperature at the meter that counts as frost [°C]")] = -5.0
    record_share: Annotated[
        Weight, Meta(description="Share of the meter's days that count as its coldest, where they are cold enough [1]")
    ] = 0.1
    everyday_share: Annotated[
        Weight, Meta(description="Share of frosty days from which on frost is a meter's everyday weather [1]")
    ] = 0.4
    record_c: Annotated[float, Meta(description="Temperature below which a meter's coldest days count [°C]")] = 3.0
    before_days: Annotated[int, Meta(description="Days before the onset that are looked at [days]", ge=0)] = 4
    after_days: Annotated[int, Meta(description="Days after the onset that are looked at [days]", ge=0)] = 1
    coil_share: Annotated[Weight, Meta(description="Share of coil faults by cold, nothing known [1]")] = 0.15
    battery_share: Annotated[Weight, Meta(description="Share of battery faults by cold, nothing known [1]")] = 0.15
    actuator_share: Annotated[Weight, Meta(description="Share of actuator faults by cold, nothing known [1]")] = 0.05
    frost_share: Annotated[Weight, Meta(description="Share of frost faults by cold, nothing known [1]")] = 0.9
    chance: Annotated[float, Meta(description="Added to the share of cold days, so that none is proof [1]", gt=0)] = 0.1
    most_ratio: Annotated[float, Meta(description="Greatest likelihood ratio of rare cold [1]", gt=1)] = 8.0
    supposed_ratio: Annotated[
        float, Meta(description="Ratio where only weather and kind of installation tell of it [1]", gt=0)
    ] = 0.6
    mild_ratio: Annotated[float, Meta(description="Ratio of record cold that is no frost [1]", gt=0)] = 0.5
    later_ratio: Annotated[float, Meta(description="Ratio of an onset without such cold [1]", gt=0)] = 0.3
    change_days: Annotated[int, Meta(description="Days over which symptom and temperature change [days]", ge=1)] = 3
    least_change: Annotated[float, Meta(description="Change of a symptom that counts [V or 1]", gt=0)] = 0.03
    pairs: Annotated[int, Meta(description="Such changes that are needed", ge=3)] = 6
    follows: Annotated[float, Meta(description="Rank correlation with the cold that counts [1]", gt=0, lt=1)] = 0.4
    follows_ratio: Annotated[float, Meta(description="Ratio of a symptom that goes with the cold [1]", gt=0)] = 8.0
    apart_ratio: Annotated[float, Meta(description="Ratio of one that does not [1]", gt=0)] = 0.3
    frozen_ratio: Annotated[float, Meta(description="Ratio of a meter that frost has hit otherwise [1]", gt=0)] = 5.0
    empty_v: Annotated[float, Meta(description="Fall of the resting voltage of an exhausted cell [V]", gt=0)] = 0.08
    empty_ratio: Annotated[float, Meta(description="Ratio of an exhausted cell [1]", gt=0)] = 0.25


class MoistureCauseSettings(_Shares, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Moisture as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    before_days: Annotated[int, Meta(description="Days before the onset in which rain counts [days]", ge=1)] = 10
    rain_mm: Annotated[float, Meta(description="Rain of one day that counts [mm]", gt=0)] = 15.0
    radio_fall_db: Annotated[float, Meta(description="Fall of the signal strength that counts [dB]", gt=0)] = 6.0
    coil_share: Annotated[Weight, Meta(description="Share of coil faults by water, nothing known [1]")] = 0.15
    battery_share: Annotated[Weight, Meta(description="Share of battery faults by water, nothing known [1]")] = 0.15
    actuator_share: Annotated[Weight, Meta(description="Share of actuator faults by water, nothing known [1]")] = 0.08
    flood_ratio: Annotated[float, Meta(description="Likelihood ratio of a place known to flood [1]", gt=0)] = 5.0
    place_ratio: Annotated[float, Meta(description="Ratio of a pit or basement [1]", gt=0)] = 2.0
    outdoor_ratio: Annotated[float, Meta(description="Ratio of other places, known or not [1]", gt=0)] = 0.6
    indoor_ratio: Annotated[float, Meta(description="Ratio of a flat [1]", gt=0)] = 0.15
    chance: Annotated[float, Meta(description="Added to the share of wet days, so that none is proof [1]", gt=0)] = 0.2
    rain_ratio: Annotated[float, Meta(description="Greatest ratio of rain before the onset [1]", gt=1)] = 2.5
    dry_ratio: Annotated[float, Meta(description="Ratio of no rain before the onset [1]", gt=0)] = 0.6
    radio_ratio: Annotated[float, Meta(description="Ratio of radio that weakened with the onset [1]", gt=0)] = 4.0
    alone_ratio: Annotated[float, Meta(description="Ratio of a site where nothing else fails [1]", gt=0)] = 0.8
    neighbours_ratio: Annotated[float, Meta(description="Greatest ratio of neighbours that failed too [1]", gt=1)] = 2.5
    mechanical_ratio: Annotated[
        float, Meta(description="Ratio of a valve that runs harder or freely: not by wet electronics [1]", gt=0)
    ] = 0.15
    electrical_ratio: Annotated[
        float, Meta(description="Ratio of a motor that stands or misses its end position [1]", gt=0)
    ] = 2.0
    found_days: Annotated[
        int, Meta(description="Days before the onset from which on an inspection counts [days]", ge=0)
    ] = 90
    found_weight: Annotated[Weight, Meta(description="Weight of water found on site [1]")] = 0.95


class SedimentCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sediment as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    share: Annotated[Weight, Meta(description="Share of actuator faults by sediment, nothing known [1]")] = 0.3
    harder_ratio: Annotated[float, Meta(description="Likelihood ratio of a motor that works harder [1]", gt=0)] = 1.8
    leaks_ratio: Annotated[
        float, Meta(description="Ratio of flow through a closed valve that moves as ever [1]", gt=0)
    ] = 0.8
    free_ratio: Annotated[float, Meta(description="Ratio of a motor that turns freely or stands [1]", gt=0)] = 0.05
    overruns_ratio: Annotated[float, Meta(description="Ratio of a valve that misses its end position [1]", gt=0)] = 0.2
    runs_on_ratio: Annotated[
        float, Meta(description="Ratio of a closed valve that moves as ever and lets all water through [1]", gt=0)
    ] = 0.4
    silent_ratio: Annotated[float, Meta(description="Ratio of a valve that shows none of these [1]", gt=0)] = 0.4
    near_days: Annotated[int, Meta(description="Days between the onsets of valves that fail together", ge=1)] = 40
    alone_ratio: Annotated[float, Meta(description="Ratio of a site where no other valve fails [1]", gt=0)] = 0.6
    neighbours_ratio: Annotated[float, Meta(description="Greatest ratio of other valves that fail too [1]", gt=1)] = 5.0
    works_days: Annotated[int, Meta(description="Days before the onset in which pipe works count [days]", ge=0)] = 120
    works_ratio: Annotated[float, Meta(description="Ratio of pipe works before the onset [1]", gt=1)] = 4.0
    found_weight: Annotated[Weight, Meta(description="Weight of sand found in this meter [1]")] = 0.95
    found_near_ratio: Annotated[
        float, Meta(description="Ratio of sand found in another meter of the site [1]", gt=1)
    ] = 5.0


class AgeCauseSettings(_Shares, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Age as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    coil_share: Annotated[Weight, Meta(description="Share of coil faults by age, nothing known [1]")] = 0.2
    battery_share: Annotated[Weight, Meta(description="Share of battery faults by age, nothing known [1]")] = 0.3
    actuator_share: Annotated[Weight, Meta(description="Share of actuator faults by age, nothing known [1]")] = 0.2
    from_years: Annotated[
        float, Meta(description="Age below which nothing wears out, the less the younger [a]", gt=0)
    ] = 3.0
    battery_growth: Annotated[float, Meta(description="Power of the age by which batteries fail of it [1]", ge=0)] = 3.0
    growth: Annotated[float, Meta(description="Power of the age by which coils and valves fail of it [1]", ge=0)] = 2.0
    most_ratio: Annotated[float, Meta(description="Greatest likelihood ratio of an age among all [1]", gt=1)] = 6.0
    battery_full_years: Annotated[float, Meta(description="Age of a battery that is old in any fleet [a]", gt=0)] = 6.0
    full_years: Annotated[float, Meta(description="Age of a meter that is old in any fleet [a]", gt=0)] = 8.0
    full_ratio: Annotated[float, Meta(description="Least ratio of such an age [1]", gt=0)] = 2.0
    harder_ratio: Annotated[float, Meta(description="Ratio of a valve that works harder [1]", gt=0)] = 0.7
    leaks_ratio: Annotated[
        float, Meta(description="Ratio of flow through a closed valve that moves as ever [1]", gt=0)
    ] = 1.5
    free_ratio: Annotated[float, Meta(description="Ratio of a motor that turns freely [1]", gt=0)] = 0.7
    overruns_ratio: Annotated[float, Meta(description="Ratio of a valve that misses its end position [1]", gt=0)] = 0.5
    runs_on_ratio: Annotated[
        float, Meta(description="Ratio of a closed valve that moves as ever and lets all water through [1]", gt=0)
    ] = 0.4


class CoverageCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bad coverage as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    share: Annotated[Weight, Meta(description="Share of battery faults by coverage, nothing known [1]")] = 0.1
    edge_dbm: Annotated[float, Meta(description="Signal strength at which it is as likely as not [dBm]")] = -108.0
    step_db: Annotated[float, Meta(description="Fall that doubles its likelihood ratio [dB]", gt=0)] = 2.0
    most_ratio: Annotated[float, Meta(description="Its greatest likelihood ratio [1]", gt=1)] = 20.0
    below_fleet_db: Annotated[float, Meta(description="Least distance to the median of all meters [dB]", ge=0)] = 6.0
    worst_class: Annotated[int, Meta(description="Coverage class that counts as bad", ge=1, le=2)] = 2
    class_ratio: Annotated[float, Meta(description="Least ratio of a bad class [1]", gt=1)] = 10.0


class StormCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A report storm as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    ratio: Annotated[float, Meta(description="Reports of a day to the usual number that count [1]", gt=1)] = 3.0
    days: Annotated[int, Meta(description="Such days that are needed [days]", ge=1)] = 5
    least_meters: Annotated[int, Meta(description="Meters of a model that tell what is usual", ge=1)] = 5
    share: Annotated[Weight, Meta(description="Share of battery faults by storms, nothing known [1]")] = 0.08
    times_ratio: Annotated[float, Meta(description="Likelihood ratio of each time the usual number [1]", gt=0)] = 5.0
    most_ratio: Annotated[float, Meta(description="Its greatest likelihood ratio [1]", gt=1)] = 60.0
    long_days: Annotated[int, Meta(description="Such days from which on it counts in full [days]", ge=1)] = 10
    short_ratio: Annotated[float, Meta(description="Ratio of fewer days [1]", gt=0)] = 0.4


class GroupCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of meters as a cause: how many such groups are bad, and how bad."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    least_cases: Annotated[int, Meta(description="Cases of the group that are needed", ge=2)] = 3
    bad_share: Annotated[float, Meta(description="Share of groups that are bad, nothing known [1]", gt=0, lt=1)] = 0.01
    bad_times: Annotated[float, Meta(description="Mean multiple of the usual rate in a bad group [1]", gt=1)] = 4.0
    bad_spread: Annotated[float, Meta(description="Shape of its gamma distribution [1]", gt=0)] = 3.0


class ModuleCauseSettings(GroupCauseSettings, _Shares, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A module vendor, or its modules of a year, as a cause."""

    bad_share: Annotated[float, Meta(description="Share of groups that are bad, nothing known [1]", gt=0, lt=1)] = 0.03
    coil_share: Annotated[Weight, Meta(description="Share of coil faults by electronics, nothing known [1]")] = 0.05
    actuator_share: Annotated[
        Weight, Meta(description="Share of actuator faults by electronics, nothing known [1]")
    ] = 0.06
    mechanical_share: Annotated[
        Weight, Meta(description="Share of a group's weight that a valve with a mechanical symptom keeps [1]")
    ] = 0.2
    still_ratio: Annotated[float, Meta(description="Likelihood ratio of a motor that is not driven [1]", gt=0)] = 15.0
    bits_ratio: Annotated[float, Meta(description="Ratio of jumps by whole register bits [1]", gt=0)] = 20.0
    jump_ratio: Annotated[float, Meta(description="Ratio of other jumps that came back [1]", gt=0)] = 6.0


class InstallerCauseSettings(GroupCauseSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An installer, or the installation itself, as a cause."""

    bad_share: Annotated[float, Meta(description="Share of groups that are bad, nothing known [1]", gt=0, lt=1)] = 0.03
    early_days: Annotated[
        int, Meta(description="Days after installation in which a fault counts as there from the start [days]", ge=0)
    ] = 15
    early_weight: Annotated[Weight, Meta(description="Weight of such an early fault [1]")] = 0.45


class TamperCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tampering as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    near_days: Annotated[int, Meta(description="Days around the onset in which a code counts [days]", ge=0)] = 10
    code_weight: Annotated[Weight, Meta(description="Weight of a tamper code [1]")] = 0.7
    actuator_share: Annotated[Weight, Meta(description="Share of actuator faults by tampering, nothing known [1]")] = (
        0.05
    )
    runs_on_ratio: Annotated[
        float, Meta(description="Ratio of a closed valve that moves as ever and lets all water through [1]", gt=0)
    ] = 8.0
    found_weight: Annotated[Weight, Meta(description="Weight of signs found on site [1]")] = 0.9


class ConflictCauseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Several programs as a cause."""

    enabled: Annotated[bool, Meta(description="Whether this cause is weighed")] = True
    near_days: Annotated[int, Meta(description="Days around the onset that are looked at [days]", ge=0)] = 10
    several_weight: Annotated[Weight, Meta(description="Weight of several programs that agree [1]")] = 0.35
    drain_weight: Annotated[Weight, Meta(description="Weight of several programs for a battery [1]")] = 0.85
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
    module: ModuleCauseSettings = ModuleCauseSettings()
    installer: InstallerCauseSettings = InstallerCauseSettings()
    tamper: TamperCauseSettings = TamperCauseSettings()
    conflict: ConflictCauseSettings = ConflictCauseSettings()
    unknown_weight: Annotated[
        Weight, Meta(description="Weight of there being no explanation; lighter causes are not named [1]")
    ] = 0.12
    told_weight: Annotated[Weight, Meta(description="Weight of a cause that a rule names without a number [1]")] = 0.4
    told_ratio: Annotated[
        float,
        Meta(
            description="Factor on the odds of a cause that a rule names, since causes weigh the same signs [1]", gt=0
        ),
    ] = 0.15
    kept_days: Annotated[
        int,
        Meta(description="Days before the onset leaves the window from which on the earlier cause joins [days]", ge=0),
    ] = 20
    kept_share: Annotated[Weight, Meta(description="Share of its confidence that an earlier cause keeps [1]")] = 0.5
