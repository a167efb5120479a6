"""Every threshold of the diagnosis with its unit, meaning and default; filled from the site's settings."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from diagnostics.cause_settings import CauseSettings

Count = Annotated[int, Meta(ge=1)]
Days = Annotated[int, Meta(ge=1, le=60)]


class ProfileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How readings become daily rows."""

    flow_limit_m3h: Annotated[
        float,
        Meta(description="Flow that no household meter passes; used where the registry knows no caliber [m³/h]", gt=0),
    ] = 20.0
    drop_m3: Annotated[
        float,
        Meta(description="A register that falls by more than this jumped, by less it counted backwards [m³]", gt=0),
    ] = 0.25
    flowing_m3h: Annotated[
        float, Meta(description="A reported flow above this means that water flows [m³/h]", gt=0)
    ] = 0.02
    travel_limit_s: Annotated[
        float, Meta(description="Time a valve has to obey a command before its state counts [s]", ge=0)
    ] = 120.0
    battery_base_min_days: Annotated[
        int, Meta(description="Days before a battery's own baseline is believed [days]", ge=2, le=60)
    ] = 7
    battery_base_fall_v: Annotated[
        float, Meta(description="A day further below the baseline than this does not join it [V]", gt=0)
    ] = 0.03
    battery_slope_v_per_c: Annotated[
        float,
        Meta(description="Rise of a cell's voltage per degree, until the meter's own days tell better [V/°C]", ge=0),
    ] = 0.002
    battery_slope_weight: Annotated[
        float,
        Meta(
            description="Weight of that slope, as the sum of squared temperature differences it stands for [°C²]", gt=0
        ),
    ] = 2000.0
    battery_slope_max_v_per_c: Annotated[
        float, Meta(description="Steepest slope that a meter's own days may teach [V/°C]", gt=0)
    ] = 0.006
    load_base_deeper: Annotated[
        float,
        Meta(description="A day whose sag under load is deeper than expected by this share does not join it [1]", gt=0),
    ] = 0.3
    load_base_deeper_v: Annotated[float, Meta(description="It must also be deeper by this to stay out [V]", ge=0)] = (
        0.06
    )
    coverage_cost: Annotated[
        tuple[float, float, float],
        Meta(description="What an uplink costs in coverage class 0, 1 and 2, in uplinks of class 0 [1]"),
    ] = (1.0, 2.0, 7.0)
    weak_rssi_dbm: Annotated[
        float,
        Meta(
            description="Without a coverage class, an uplink at this signal strength or less costs as in class 2 [dBm]"
        ),
    ] = -120.0
    source_near_s: Annotated[
        float, Meta(description="Registers of two sources no further apart than this are compared [s]", ge=0)
    ] = 900.0
    draw_settled_days: Annotated[
        int, Meta(description="Days before the baseline of what one draw of water counts is believed [days]", ge=7)
    ] = 14
    draw_apart_log: Annotated[
        float,
        Meta(description="Distance of the last days from it, as a logarithm, at which it stops following [1]", gt=0),
    ] = 0.25
    draw_apart_days: Annotated[
        int, Meta(description="Days apart from it after which it is begun anew [days]", ge=30)
    ] = 120
    base_days: Annotated[
        int, Meta(description="First days with a value that make the baseline of the sensing amplitude [days]", ge=1)
    ] = 14
    base_movement_days: Annotated[
        int, Meta(description="First days with a movement that make the baseline of the valve [days]", ge=1)
    ] = 4


class CodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Codes of one family that the vendor profile translated."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 14
    act_at_once_severity: Annotated[
        int,
        Meta(description="A code of this severity or worse means act when seen once; 0 switches it off", ge=0, le=4),
    ] = 1
    act_severity: Annotated[
        int, Meta(description="A code of this severity or worse means act when seen on several days", ge=0, le=4)
    ] = 2
    act_days: Annotated[Count, Meta(description="On how many days [days]")] = 2


class BackwardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A register that counts backwards again and again."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 30
    act_days: Annotated[Count, Meta(description="Days with backward counts that mean act [days]")] = 4
    watch_days: Annotated[Count, Meta(description="Days with backward counts that mean watch [days]")] = 2
    least_m3: Annotated[float, Meta(description="Smaller falls are not counted [m³]", ge=0)] = 0.0005


class JumpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A register that jumps and comes back."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 30
    act_drops: Annotated[Count, Meta(description="Jumps that mean act")] = 2
    bits_act: Annotated[
        bool,
        Meta(description="Whether one jump by a whole number of register bits means act, too: one wrong reading does"),
    ] = False
    surge_watch: Annotated[
        bool, Meta(description="Whether a lone increment above the flow limit that stays means watch")
    ] = True
    surge_days: Annotated[Count, Meta(description="Days with increments above the flow limit that mean act [days]")] = 3


class FrozenRegisterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A register that stands while the meter's own flow signal says that water flows."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 10
    act_readings: Annotated[
        Count, Meta(description="Readings with flow, all on days without an increment, that mean act")
    ] = 6
    act_days: Annotated[Count, Meta(description="Such days that mean act [days]")] = 2


class LotSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the lot is a sign: far more of its meters are sure to have the same than chance would have it."""

    lot_p_value: Annotated[
        float,
        Meta(description="Largest chance of so many in the lot, by which the lot is a sign [1]", gt=0, lt=1),
    ] = 0.001
    lot_meters: Annotated[Count, Meta(description="Meters of the lot that it needs")] = 3
    lot_ratio: Annotated[float, Meta(description="Least ratio to what is expected of the lot [1]", gt=1)] = 4.0


class StuckSettings(LotSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A register that stands in a home that used water every day, with a sign that the home is not just empty."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    before_days: Annotated[Count, Meta(description="Days before the stop that are needed [days]")] = 20
    used_share: Annotated[float, Meta(description="Share of these days that must have had flow [1]", gt=0, le=1)] = 0.95
    usual_m3: Annotated[float, Meta(description="Least usual day before the stop [m³]", gt=0)] = 0.03
    watch_days: Annotated[Count, Meta(description="Days without flow that mean watch [days]")] = 7
    act_days: Annotated[Count, Meta(description="Days without flow that mean act where a sign is there [days]")] = 4
    weak_days: Annotated[
        Count, Meta(description="The same where only weak signs are there, two of them at least [days]")
    ] = 7
    longer: Annotated[
        float, Meta(description="It must also exceed so many of the home's longest standstills before [1]", ge=1)
    ] = 2.0
    sign_days: Annotated[Count, Meta(description="Days before the stop in which signs are looked for [days]")] = 14
    weak_share: Annotated[
        float, Meta(description="Sensing amplitude to its baseline that is a sign [1]", gt=0, lt=1)
    ] = 0.75
    lost_share: Annotated[
        float, Meta(description="What a draw counted, to its baseline, that is a sign before the stop [1]", gt=0, lt=1)
    ] = 0.62
    lost_days: Annotated[Count, Meta(description="Days that must have told of it [days]")] = 6
    lost_draws: Annotated[
        float, Meta(description="Within this factor the number of draws must have stayed then [1]", gt=1)
    ] = 1.4
    running_days: Annotated[
        Count, Meta(description="Days without any standstill before the stop that are a sign [days]")
    ] = 7
    inspected_m3: Annotated[
        float, Meta(description="A reading on site that exceeds ours by this much is a sign [m³]", gt=0)
    ] = 0.5
    peers_still: Annotated[
        float, Meta(description="Share of neighbours that stand, too, above which nothing is said [1]", gt=0, le=1)
    ] = 0.4
    frost_c: Annotated[
        float, Meta(description="Temperature at the meter in the days of the stop that is a sign of cold [°C]")
    ] = -5.0
    colder_c: Annotated[
        float, Meta(description="By so much it must then be colder than on any of the 30 days before [°C]")
    ] = -0.5
    thawed_days: Annotated[
        Count, Meta(description="Days above 0 °C since such a stop, after which it should be over [days]")
    ] = 4
    lot_excess: Annotated[
        float, Meta(description="Share of the lot's standing meters beyond what is expected [1]", ge=0, lt=1)
    ] = 0.5


class LossSettings(LotSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Draws of water that count less, or more, than they did, all by one factor, while their number stays."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    days: Annotated[Count, Meta(description="Newest days that tell, compared with the baseline [days]")] = 20
    soon_days: Annotated[Count, Meta(description="So many are enough for a large change [days]")] = 12
    apart_days: Annotated[
        Count, Meta(description="Days for which it must have lasted, from when it was clear [days]")
    ] = 20
    soon_apart_days: Annotated[Count, Meta(description="The same for a large change [days]")] = 10
    within_days: Annotated[Days, Meta(description="They must lie within so many days [days]")] = 40
    base_days: Annotated[Count, Meta(description="Days the baseline must have [days]")] = 14
    watch_share: Annotated[float, Meta(description="Share of its baseline that means watch [1]", gt=0, lt=1)] = 0.72
    act_share: Annotated[float, Meta(description="Share of its baseline that means act [1]", gt=0, lt=1)] = 0.6
    soon_share: Annotated[
        float, Meta(description="Share of its baseline that means act after few days [1]", gt=0, lt=1)
    ] = 0.33
    act_times: Annotated[
        float, Meta(description="Multiple of its baseline that means act, for sensing by contacts [1]", gt=1)
    ] = 1.5
    soon_times: Annotated[float, Meta(description="The same where the kind of sensing is not known [1]", gt=1)] = 2.0
    sigmas: Annotated[
        float,
        Meta(description="Least distance from the baseline, in what it is used to wander by from week to week [1]",
             gt=0),
    ] = 4.0  # fmt: skip
    wander_least: Annotated[
        float, Meta(description="What a baseline is supposed to wander by at least, as a logarithm [1]", gt=0)
    ] = 0.08
    alike: Annotated[
        float,
        Meta(
            description="How far draws, middle and greatest flow may disagree about the factor, as a logarithm [1]",
            gt=0,
        ),
    ] = 0.2
    act_draws: Annotated[
        float, Meta(description="Within this factor the number of draws must have stayed for act [1]", gt=1)
    ] = 1.28
    recent_times: Annotated[
        float, Meta(description="Factor by which the newest days, too, must be off the baseline for act [1]", gt=1)
    ] = 1.35
    watch_draws: Annotated[float, Meta(description="The same for watch [1]", gt=1)] = 1.7
    empty_days: Annotated[
        Count, Meta(description="Days without flow around the change, from which on other people may live there [days]")
    ] = 3
    weak_share: Annotated[
        float, Meta(description="Sensing amplitude to its baseline that makes a watch an act [1]", gt=0, lt=1)
    ] = 0.87
    trickle_share: Annotated[
        float, Meta(description="Share of the usual day, on most days, that means watch [1]",
                    gt=0, lt=1)
    ] = 0.12  # fmt: skip
    trickle_days: Annotated[Count, Meta(description="Days looked at for that [days]")] = 14


class FadingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Use that dwindles over days before it ends."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    base_days: Annotated[Count, Meta(description="Oldest days of the window, that tell the usual use [days]")] = 18
    usual_m3: Annotated[float, Meta(description="Least usual day [m³]", gt=0)] = 0.03
    days: Annotated[Count, Meta(description="Days before the end that are looked at [days]")] = 10
    fade_days: Annotated[Count, Meta(description="So many of them must have counted a part of the usual [days]")] = 6
    full_days: Annotated[int, Meta(description="So many of them may have counted as usual [days]", ge=0)] = 3
    between_share: Annotated[float, Meta(description="Below this share of the usual it is a part [1]", gt=0, lt=1)] = (
        0.55
    )
    ended_share: Annotated[
        float, Meta(description="Below this share of the usual it is next to nothing [1]", ge=0, lt=1)
    ] = 0.08
    ended_days: Annotated[Count, Meta(description="Days of next to nothing since, for act [days]")] = 4
    falls: Annotated[
        float, Meta(description="The second half of these days counts at most this share of the first [1]", gt=0)
    ] = 0.8
    p_value: Annotated[
        float, Meta(description="Largest chance of so many such days by how many there usually are [1]", gt=0, lt=1)
    ] = 1e-3
    peers_still: Annotated[
        float, Meta(description="Share of neighbours that stand, too, above which nothing is said [1]", gt=0, le=1)
    ] = 0.4


class ReversedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The reverse register counts what people use."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 10
    days: Annotated[Count, Meta(description="Days on which it counted that mean act [days]")] = 6
    share: Annotated[
        float, Meta(description="Its share of all that was counted on these days that means act [1]", gt=0, le=1)
    ] = 0.25
    alone_share: Annotated[
        float, Meta(description="The same of a meter that never counted otherwise [1]", gt=0, le=1)
    ] = 0.8
    varies: Annotated[
        float, Meta(description="Least deviation of what it counts a day, as a share of its mean [1]", ge=0)
    ] = 0.25
    day_m3: Annotated[float, Meta(description="Least that it counted on such a day [m³]", gt=0)] = 0.005
    watch_days: Annotated[Count, Meta(description="Days on which it counted that mean watch [days]")] = 4


class ColdLossSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A register that counts only while it is warm."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    cold_c: Annotated[float, Meta(description="Lowest temperature at the meter on a cold day [°C]")] = -4.0
    warm_c: Annotated[float, Meta(description="The same on a warm day; days between tell nothing [°C]")] = 1.0
    spell_days: Annotated[Count, Meta(description="Days of a spell, cold or warm, to tell [days]")] = 2
    spells: Annotated[
        Count, Meta(description="Cold spells without use, each after a warm one with use, that mean act")
    ] = 2
    low_share: Annotated[
        float, Meta(description="Share of the use of warm days that is next to nothing [1]", gt=0, lt=1)
    ] = 0.35
    normal_share: Annotated[
        float, Meta(description="Share of the use of warm days that is as usual [1]", gt=0, lt=1)
    ] = 0.6
    counted_share: Annotated[
        float, Meta(description="Share of all cold days that may have been as usual [1]", ge=0, lt=1)
    ] = 0.15
    warm_days: Annotated[Count, Meta(description="Warm days that are needed [days]")] = 10
    usual_m3: Annotated[float, Meta(description="Least usual use of a warm day [m³]", gt=0)] = 0.03


class MagnetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Codes of tampering, and less that is counted since."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 20
    code_days: Annotated[Count, Meta(description="Days with such codes that are needed [days]")] = 8
    before_days: Annotated[Count, Meta(description="Days before the first code that are needed [days]")] = 10
    share: Annotated[float, Meta(description="Share of the use before that means act [1]", gt=0, lt=1)] = 0.8
    sigmas: Annotated[float, Meta(description="Least distance from the use before, in standard errors [1]", gt=0)] = 3.0


class DisownedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A meter that says itself that it could not measure."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 14
    share: Annotated[float, Meta(description="Share of a day's readings that makes a symptom [1]", gt=0, le=1)] = 0.5
    watch_days: Annotated[Count, Meta(description="Such days that mean watch [days]")] = 2
    act_days: Annotated[Count, Meta(description="Such days that mean act [days]")] = 4


class SignalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sensing amplitude against the meter's own first days."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 5
    days: Annotated[Count, Meta(description="Days below that raise the finding [days]")] = 3
    watch_fraction: Annotated[
        float, Meta(description="Share of the baseline below which it means watch [1]", gt=0, lt=1)
    ] = 0.8
    act_fraction: Annotated[
        float, Meta(description="Share of the baseline below which it means act [1]", gt=0, lt=1)
    ] = 0.6
    step_days: Annotated[
        Count, Meta(description="Newest days that must all be below for a step, that means act at less [days]")
    ] = 5
    step_sigmas: Annotated[
        float, Meta(description="Least height of that step, in what the amplitude wanders by from day to day [1]", gt=0)
    ] = 8.0
    warm_fraction: Annotated[
        float, Meta(description="Share of the baseline on every warm day by which it only follows the cold [1]", gt=0)
    ] = 0.88


class CoilSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the sensing element (coil)."""

    backward: BackwardSettings = BackwardSettings()
    jump: JumpSettings = JumpSettings()
    frozen: FrozenRegisterSettings = FrozenRegisterSettings()
    stuck: StuckSettings = StuckSettings()
    loss: LossSettings = LossSettings()
    fading: FadingSettings = FadingSettings()
    reversed: ReversedSettings = ReversedSettings()
    cold: ColdLossSettings = ColdLossSettings()
    magnet: MagnetSettings = MagnetSettings()
    disowned: DisownedSettings = DisownedSettings()
    signal: SignalSettings = SignalSettings()
    codes: CodeSettings = CodeSettings()


class PlateauSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Resting voltage that leaves the flat plateau of a lithium thionyl chloride cell."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Measured days looked at, up to the meter's newest day [days]")] = 4
    days: Annotated[Count, Meta(description="Days below that raise the finding [days]")] = 2
    sparse_days: Annotated[
        Count,
        Meta(description="The same for act where a day has fewer voltages than that, which single dips move [days]"),
    ] = 3
    dense_readings: Annotated[Count, Meta(description="Voltages a day whose median no single dip moves")] = 3
    deep_v: Annotated[
        float, Meta(description="A fall that is deeper than single dips of voltages told once a day [V]", gt=0)
    ] = 0.2
    watch_v: Annotated[
        float,
        Meta(description="Fall of the daily median below its baseline, cold and peers taken off, for watch [V]", gt=0),
    ] = 0.05
    act_v: Annotated[float, Meta(description="The same for act [V]", gt=0)] = 0.07
    noise: Annotated[
        float, Meta(description="For act it must also exceed so many times the usual scatter of the meter [1]", ge=0)
    ] = 3.0
    steps: Annotated[
        float, Meta(description="The fall must also exceed this many steps of the meter's voltage resolution [1]", ge=0)
    ] = 1.5
    slow_days: Annotated[
        Count,
        Meta(description="Measured days whose median fall tells a slow decline [days]"),
    ] = 7
    slow_watch_v: Annotated[float, Meta(description="Median fall of these days for watch [V]", gt=0)] = 0.035
    slow_act_v: Annotated[float, Meta(description="Median fall of these days for act [V]", gt=0)] = 0.055
    slow_steps: Annotated[
        float, Meta(description="The median fall must also exceed this many steps of the voltage resolution [1]", ge=0)
    ] = 1.2
    plateau_low_v: Annotated[
        float, Meta(description="Baselines below this are no such cell; the rule is silent [V]", gt=0)
    ] = 3.3
    plateau_high_v: Annotated[
        float, Meta(description="Baselines above this are no such cell; the rule is silent [V]", gt=0)
    ] = 3.8


class LowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Resting voltage against its own baseline, for any kind of cell, or below what any such cell has."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Measured days looked at, up to the meter's newest day [days]")] = 3
    days: Annotated[Count, Meta(description="Days below that raise the finding [days]")] = 2
    watch_fraction: Annotated[
        float, Meta(description="Share of the expected voltage below which it means watch [1]", gt=0, lt=1)
    ] = 0.9
    act_fraction: Annotated[
        float, Meta(description="Share of the expected voltage below which it means act [1]", gt=0, lt=1)
    ] = 0.84
    lithium_v: Annotated[
        float,
        Meta(description="Resting voltage at which a Li-SOCl2 cell is at its end, whatever its past; act [V]", gt=0),
    ] = 3.2
    lithium_v_per_c: Annotated[
        float,
        Meta(description="Taken off that per degree below 20 °C, or without a temperature as at -20 °C [V/°C]", ge=0),
    ] = 0.004
    lithium_load_v: Annotated[
        float,
        Meta(description="Median voltage under load, in warmth, at which such a cell is at its end; act [V]", gt=0),
    ] = 2.6
    load_days: Annotated[Count, Meta(description="Measured days of that median [days]")] = 5
    warm_c: Annotated[float, Meta(description="Days at least so warm tell by the voltage under load [°C]")] = 10.0


class SagSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sag of the voltage under load against the meter's own past at the same temperature."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Measured days looked at, up to the meter's newest day [days]")] = 6
    days: Annotated[Count, Meta(description="Days with a deeper sag that raise the finding [days]")] = 3
    sparse_days: Annotated[
        Count,
        Meta(description="The same for act where a day has fewer voltages than that, which single dips move [days]"),
    ] = 4
    dense_readings: Annotated[Count, Meta(description="Voltages a day whose median no single dip moves")] = 3
    watch_v: Annotated[float, Meta(description="Sag beyond its expectation that means watch [V]", gt=0)] = 0.08
    act_v: Annotated[float, Meta(description="Sag beyond its expectation that means act [V]", gt=0)] = 0.15
    watch_share: Annotated[
        float, Meta(description="It must also exceed this share of the expected sag for watch [1]", ge=0)
    ] = 0.5
    act_share: Annotated[
        float, Meta(description="It must also exceed this share of the expected sag for act [1]", ge=0)
    ] = 0.8
    steps: Annotated[
        float, Meta(description="It must also exceed this many steps of the meter's voltage resolution [1]", ge=0)
    ] = 2.0
    cold_c: Annotated[
        float, Meta(description="Deeper sag on days colder than this alone is a failure by cold [°C]")
    ] = 3.0


class ResetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device that restarts again and again: its voltage breaks down under load."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 14
    watch_days: Annotated[Count, Meta(description="Days with a reset of the message counter for watch [days]")] = 2
    act_days: Annotated[Count, Meta(description="Such days for act [days]")] = 3
    fall_v: Annotated[
        float, Meta(description="For act the resting voltage must have fallen so far, too, where it is sent [V]", ge=0)
    ] = 0.02
    sag_v: Annotated[float, Meta(description="Or the sag under load have deepened so far [V]", ge=0)] = 0.06
    cold_c: Annotated[
        float, Meta(description="Or all of these days must have been colder than this: then cold is the cause [°C]")
    ] = 0.0


class SilentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A meter that falls silent after its battery began to fail."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    watch_h: Annotated[float, Meta(description="Silence up to the diagnosis that means watch [h]", gt=0)] = 36.0
    act_h: Annotated[float, Meta(description="Silence up to the diagnosis that means act [h]", gt=0)] = 60.0
    intervals: Annotated[
        float, Meta(description="It must also exceed so many of the meter's usual intervals [1]", ge=1)
    ] = 2.2
    before_days: Annotated[
        Days, Meta(description="Days before the silence in which the battery must have told [days]")
    ] = 10
    fall_v: Annotated[
        float, Meta(description="Fall of the resting voltage on the last measured day that tells [V]", gt=0)
    ] = 0.035
    dense_readings: Annotated[Count, Meta(description="Voltages a day whose median no single dip moves")] = 3
    deep_v: Annotated[
        float, Meta(description="With fewer, it must be so deep, or there on two of the last three days [V]", gt=0)
    ] = 0.1
    noise: Annotated[
        float, Meta(description="It must also exceed so many times the usual scatter of the meter [1]", ge=0)
    ] = 3.0
    steps: Annotated[float, Meta(description="And this many steps of the meter's voltage resolution [1]", ge=0)] = 1.2
    share: Annotated[
        float,
        Meta(
            description="Of a cell without a plateau the voltage must be this share of its past or less [1]", gt=0, lt=1
        ),
    ] = 0.9
    sag_v: Annotated[float, Meta(description="Deeper sag on the last measured day that tells [V]", gt=0)] = 0.08
    sag_share: Annotated[float, Meta(description="It must also exceed this share of the expected sag [1]", ge=0)] = 0.5
    resets: Annotated[Count, Meta(description="Days with resets of the message counter that tell [days]")] = 2
    neighbours: Annotated[
        float,
        Meta(description="Share of silent meters of its site from which on it is no matter of the battery [1]", gt=0),
    ] = 0.5


Range = tuple[float, float, float]


class BatteryLifeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Charge drawn against capacity, found from the books before the voltage moves.

    What takes charge is a range each, lowest, usual and highest figure: together they span the interval.
    """

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    full_life_d: Annotated[
        float, Meta(description="A drain that would empty a full battery faster than this means watch [days]", gt=0)
    ] = 730.0
    ratio: Annotated[
        float,
        Meta(description="So many times the uplinks of peers, or of the meter's own past, mean watch, too [1]", gt=1),
    ] = 4.0
    least_uplinks: Annotated[
        float, Meta(description="Fewer uplinks a day, weighted by coverage, are no drain [1/day]", ge=0)
    ] = 4.0
    remaining_d: Annotated[
        float, Meta(description="Remaining life, at the far end of its interval, that means watch [days]", ge=0)
    ] = 180.0
    uplink_mah: Annotated[Range, Meta(description="An uplink in good coverage [mAh]")] = (0.1, 0.2, 0.35)
    base_ma: Annotated[Range, Meta(description="Base current of meter and module [mA]")] = (0.006, 0.010, 0.020)
    movement_mah: Annotated[Range, Meta(description="A day with a valve movement [mAh]")] = (0.1, 0.15, 0.5)
    self_discharge_per_year: Annotated[
        Range, Meta(description="What the cell loses by itself, as a share of its capacity [1/year]")
    ] = (0.007, 0.01, 0.03)
    usable_share: Annotated[Range, Meta(description="Share of the capacity that can be drawn in the field [1]")] = (
        0.7,
        0.85,
        0.97,
    )
    knee_days: Annotated[Range, Meta(description="Life that is left once a cell leaves its plateau [days]")] = (
        1.0,
        10.0,
        40.0,
    )


class BatterySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the battery."""

    plateau: PlateauSettings = PlateauSettings()
    low: LowSettings = LowSettings()
    sag: SagSettings = SagSettings()
    reset: ResetSettings = ResetSettings()
    silent: SilentSettings = SilentSettings()
    life: BatteryLifeSettings = BatteryLifeSettings()
    codes: CodeSettings = CodeSettings()


class DisobeyedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command to close that the valve never carried out."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    act_hours: Annotated[
        float, Meta(description="Time since the state first contradicted the command that means act [h]", gt=0)
    ] = 12.0
    act_readings: Annotated[Count, Meta(description="Readings that contradict it, at least, for act")] = 2
    unsure_hours: Annotated[
        float,
        Meta(
            description="The same time where a message was lost when the command came: it may have been a refusal [h]",
            gt=0,
        ),
    ] = 168.0


class UnopenedSettings(DisobeyedSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command to open that the valve never carried out."""


class MissedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Commands that were given up or replaced before the valve obeyed them."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 30
    watch: Annotated[Count, Meta(description="Such commands that mean watch")] = 1
    act: Annotated[Count, Meta(description="Such commands that mean act")] = 2


class ClosedFlowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Water that passes a closed valve."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 14
    watch_m3: Annotated[float, Meta(description="Volume through the closed valve that means watch [m³]", gt=0)] = 0.01
    act_m3: Annotated[float, Meta(description="Volume through the closed valve that means act [m³]", gt=0)] = 0.02
    steps: Annotated[
        float, Meta(description="It must also exceed so many steps of the register's resolution [1]", ge=0)
    ] = 2.5
    act_days: Annotated[
        Count, Meta(description="Days on which it passed, the first day after closing left out, for act [days]")
    ] = 2
    day_intervals: Annotated[
        Count, Meta(description="Intervals of a day, closed at both ends, that count though the valve closed that day")
    ] = 3
    gap_h: Annotated[
        float, Meta(description="After a longer gap it is not known whether the valve was open meanwhile [h]", gt=0)
    ] = 60.0
    seat_share: Annotated[
        float,
        Meta(
            description="Up to this share of the usual daily use it leaks at the seat, above it does not close [1]",
            gt=0,
        ),
    ] = 0.5


class NoFlowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """No water through a valve that says open, since it was moved."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    used_share: Annotated[
        float,
        Meta(
            description="Share of the days with the valve open on which the home must have used water [1]", gt=0, le=1
        ),
    ] = 0.9
    usual_m3: Annotated[float, Meta(description="Usual daily use above which none is odd [m³]", gt=0)] = 0.03
    watch_days: Annotated[Count, Meta(description="Days without flow since the movement for watch [days]")] = 2
    act_days: Annotated[
        Count,
        Meta(description="Days without flow for act, where the customer reports it or the movement was odd [days]"),
    ] = 3
    odd_ratio: Annotated[
        float, Meta(description="Travel or current so many times its baseline, or its inverse, is odd [1]", gt=1)
    ] = 1.5
    peers: Annotated[
        float, Meta(description="Share of peers without flow from which on it is no matter of this valve [1]", gt=0)
    ] = 0.5
    frost_c: Annotated[float, Meta(description="Colder cases may hold ice: no finding [°C]")] = 0.0


class PositionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A valve that does not arrive: its end position is not seen."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 14
    watch_days: Annotated[Count, Meta(description="Newest days without any end position for watch [days]")] = 1
    act_days: Annotated[Count, Meta(description="Newest days without any end position for act [days]")] = 2


class ValveFaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A valve that reports the state fault."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 30
    act_hours: Annotated[
        float,
        Meta(description="Time for which the state fault must have stayed up to its newest state for act [h]", gt=0),
    ] = 12.0
    act_days: Annotated[Count, Meta(description="Days with it that mean act however often it went away [days]")] = 4


class DriftSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Travel time and motor current against the meter's own first movements."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 60
    movements: Annotated[Count, Meta(description="Newest days with a movement that are compared [days]")] = 3
    watch_ratio: Annotated[float, Meta(description="Ratio to the baseline that means watch [1]", gt=1)] = 1.3
    act_ratio: Annotated[
        float, Meta(description="Ratio to the baseline that means act, where peers do not tell the scatter [1]", gt=1)
    ] = 1.6
    sigmas: Annotated[
        float, Meta(description="Where they do, so many standard deviations of the model's ratios mean act [1]", gt=0)
    ] = 5.0
    sure_ratio: Annotated[float, Meta(description="But no ratio below this [1]", gt=1)] = 1.35
    both_ratio: Annotated[
        float, Meta(description="Ratio that travel time and current both reach on two movements, for act [1]", gt=1)
    ] = 1.25
    least_travel_s: Annotated[float, Meta(description="Smaller rises of the travel time are ignored [s]", ge=0)] = 1.5
    least_current_ma: Annotated[
        float, Meta(description="Smaller rises of the motor current are ignored [mA]", ge=0)
    ] = 15.0


class IdleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A motor that runs long at little current: nothing holds it any more."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 60
    travel_ratio: Annotated[float, Meta(description="Travel time over its baseline, at least [1]", gt=1)] = 1.8
    current_ratio: Annotated[float, Meta(description="Motor current over its baseline, at most [1]", gt=0, lt=1)] = 0.75
    act_movements: Annotated[Count, Meta(description="Newest days with such a movement, in a row, for act [days]")] = 2


class ActuatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the actuator (valve)."""

    disobeyed: DisobeyedSettings = DisobeyedSettings()
    unopened: UnopenedSettings = UnopenedSettings()
    missed: MissedSettings = MissedSettings()
    closed_flow: ClosedFlowSettings = ClosedFlowSettings()
    no_flow: NoFlowSettings = NoFlowSettings()
    position: PositionSettings = PositionSettings()
    state: ValveFaultSettings = ValveFaultSettings()
    drift: DriftSettings = DriftSettings()
    idle: IdleSettings = IdleSettings()
    codes: CodeSettings = CodeSettings()


class FreezeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Cold, then a register that stops or an empty pipe, then thaw with high flow or silence."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 30
    mild_c: Annotated[
        float, Meta(description="Temperature at the meter after which a pipe may burst or leak [°C]")
    ] = -4.0
    ice_c: Annotated[
        float, Meta(description="Highest temperature of such a day, on which ice does not melt again [°C]")
    ] = 0.0
    frost_c: Annotated[
        float, Meta(description="Temperature at the meter in which a register may stop or a meter die [°C]")
    ] = -5.0
    water_frost_c: Annotated[float, Meta(description="Water temperature of a frost day [°C]")] = 0.5
    before_days: Annotated[Count, Meta(description="Days before the stop that are needed [days]")] = 14
    usual_m3: Annotated[
        float, Meta(description="Daily consumption before the frost above which a standing register is odd [m³]", gt=0)
    ] = 0.03
    usual_share: Annotated[
        float, Meta(description="Share of days before the frost that must have had flow [1]", gt=0, le=1)
    ] = 0.9
    still_days: Annotated[
        Count, Meta(description="Days without flow from the frost on that are odd for such a meter [days]")
    ] = 2
    colder_c: Annotated[
        float,
        Meta(description="By so much it must be colder at the stop than on any of the 30 days before it [°C]"),
    ] = -0.5
    cold_share: Annotated[
        float,
        Meta(description="Share of the standing days with frost, for a stop that ended with warmth [1]", gt=0, le=1),
    ] = 0.6
    peers_still: Annotated[
        float, Meta(description="Share of neighbours that stand, too, above which it is the place's matter [1]", gt=0,
                    le=1)
    ] = 0.5  # fmt: skip
    around_days: Annotated[
        Count, Meta(description="Days around a stop in which others that stop count with it [days]")
    ] = 3
    frozen_share: Annotated[
        float, Meta(description="Share of these stops beyond the usual number, for act [1]", gt=0, lt=1)
    ] = 0.55
    frozen_days: Annotated[Count, Meta(description="Days without flow then needed for act [days]")] = 18
    burst_m3: Annotated[
        float, Meta(description="Volume of one day soon after frost that means a burst pipe [m³]", gt=0)
    ] = 4.0
    burst_times: Annotated[
        float, Meta(description="It must also exceed the greater days of the month before so many times [1]", ge=1)
    ] = 5.0
    burst_h: Annotated[float, Meta(description="And have run for so long, at the day's greatest flow [h]", ge=0)] = 2.5
    running_m3h: Annotated[
        float,
        Meta(
            description="Flow that never stops on a day, of a meter that stood in the frost before it: a leak by frost"
            " [m³/h]",
            gt=0,
        ),
    ] = 0.08
    burst_ratio: Annotated[
        float, Meta(description="It must also exceed the smallest flow of the days before so many times [1]", ge=1)
    ] = 3.0
    thaw_days: Annotated[Count, Meta(description="Days after the last frost in which a burst shows [days]")] = 7
    code_severity: Annotated[
        int,
        Meta(
            description="A code of the family of this severity or worse says that something froze; milder ones only"
            " that it is cold",
            ge=1,
            le=4,
        ),
    ] = 2
    silent_days: Annotated[float, Meta(description="Silence from the frost on that means watch [days]", gt=0)] = 3.0
    charged_v: Annotated[
        float,
        Meta(
            description="Fall of the resting voltage before the silence from which on it is the battery's matter [V]",
            gt=0,
        ),
    ] = 0.05
    charged_sag_v: Annotated[
        float,
        Meta(
            description="Sag under load beyond its expectation before the silence, from which on it is the battery's"
            " matter [V]",
            gt=0,
        ),
    ] = 0.1
    dead_days: Annotated[
        float, Meta(description="Silence from hard frost on, of a meter that was well received, for act [days]", gt=0)
    ] = 5.0
    well_received_dbm: Annotated[
        float, Meta(description="Signal strength above which silence is not the radio's edge [dBm]")
    ] = -110.0


class ExposureSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hard frost at the meter: a risk, never a fault."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 7
    frost_c: Annotated[float, Meta(description="Air or case temperature of a hard frost day [°C]")] = -10.0
    days: Annotated[Count, Meta(description="Such days that mean watch [days]")] = 2


class LowTemperatureSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for malfunction and damage by frost."""

    freeze: FreezeSettings = FreezeSettings()
    exposure: ExposureSettings = ExposureSettings()
    codes: CodeSettings = CodeSettings()


class RegistersSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two registers under one id, or a register that starts again lower."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 14


class ExchangeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the condition exchange."""

    registers: RegistersSettings = RegistersSettings()


class GapSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Measurements that are missing."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the diagnosis [days]")] = 14
    gap_h: Annotated[float, Meta(description="Time without a measurement that means watch [h]", gt=0)] = 24.0
    intervals: Annotated[
        float, Meta(description="It must also exceed so many of the meter's usual intervals [1]", ge=1)
    ] = 3.0
    silent_h: Annotated[float, Meta(description="Silence up to the diagnosis that means act [h]", gt=0)] = 168.0


class ReceptionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Measurements that are missing because we did not receive."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the diagnosis [days]")] = 14
    intervals: Annotated[
        float, Meta(description="Time without a measurement, in usual intervals of the meter, that counts [1]", ge=1)
    ] = 1.5


class AreaSilenceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole place that is silent."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    silent_h: Annotated[float, Meta(description="Silence of the meter itself [h]", gt=0)] = 30.0
    meters: Annotated[Count, Meta(description="Meters of the place that are needed")] = 5
    least_silent: Annotated[Count, Meta(description="Silent ones of them that are needed")] = 4
    share: Annotated[
        float, Meta(description="Share of silent ones that makes it the place's matter [1]", gt=0, le=1)
    ] = 0.6


class WorksSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Works and outages that were announced."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    after_h: Annotated[float, Meta(description="Time after their end in which they still explain [h]", ge=0)] = 48.0
    open_h: Annotated[float, Meta(description="Supposed length of works without an end [h]", gt=0)] = 72.0


class CommunicationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the condition communication."""

    reception: ReceptionSettings = ReceptionSettings()
    area: AreaSilenceSettings = AreaSilenceSettings()
    works: WorksSettings = WorksSettings()
    gap: GapSettings = GapSettings()
    codes: CodeSettings = CodeSettings()


class ContinuousSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A register that never stands still."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 7
    days: Annotated[Count, Meta(description="Days without standstill that mean watch [days]")] = 3
    readings: Annotated[Count, Meta(description="Registers a day needs to tell")] = 18
    least_m3h: Annotated[float, Meta(description="Smallest flow that counts as never standing still [m³/h]", gt=0)] = (
        0.002
    )


class LeakSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the condition leak."""

    continuous: ContinuousSettings = ContinuousSettings()
    codes: CodeSettings = CodeSettings()


class ReverseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reverse register that counts."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 30
    days: Annotated[Count, Meta(description="Days with reverse flow that mean watch [days]")] = 1


class BackflowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the condition backflow."""

    reverse: ReverseSettings = ReverseSettings()
    codes: CodeSettings = CodeSettings()


class SourcesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Several programs that deliver one meter."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 7
    days: Annotated[Count, Meta(description="Days with more than one source that mean watch [days]")] = 2
    disagreements: Annotated[
        Count, Meta(description="Registers on which sources disagree that mean watch however few the days")
    ] = 2


class SoftwareConflictSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the condition software_conflict."""

    sources: SourcesSettings = SourcesSettings()
    codes: CodeSettings = CodeSettings()


class OverlapSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Deliveries whose measuring times overlap with older values."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 30
    days: Annotated[Count, Meta(description="Days with such deliveries that mean watch [days]")] = 4


class ClockSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the condition clock."""

    overlap: OverlapSettings = OverlapSettings()
    codes: CodeSettings = CodeSettings()


class AreaStandstillSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole place without water."""

    enabled: Annotated[bool, Meta(description="Whether the rule runs")] = True
    window_days: Annotated[Days, Meta(description="Days looked at, up to the meter's newest day [days]")] = 7
    share: Annotated[float, Meta(description="Share of neighbours without flow that makes it the place's matter [1]",
                                 gt=0, le=1)] = 0.6  # fmt: skip


class EmptyPipeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for the condition empty_pipe."""

    area: AreaStandstillSettings = AreaStandstillSettings()
    works: WorksSettings = WorksSettings()
    codes: CodeSettings = CodeSettings()


class FrostRiskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Meters at risk of frost in the days of a forecast."""

    enabled: Annotated[bool, Meta(description="Whether the risk is worked out")] = True
    caution_c: Annotated[
        float, Meta(description="Lowest temperature expected at the meter that means caution [°C]")
    ] = -5.0
    warning_c: Annotated[
        float,
        Meta(description="The same for warning; two days running, or with nobody there, it is severe [°C]"),
    ] = -10.0
    half_degree_hours: Annotated[
        float,
        Meta(description="Degree-hours below 0 °C at which half of all standing pipes would be frozen [K·h]", gt=0),
    ] = 4000.0
    steepness: Annotated[
        float, Meta(description="How sharply the score rises around that: 1 is a wide spread of pipes [1]", gt=0)
    ] = 1.5
    away_h: Annotated[float, Meta(description="The register has stood for so long: nobody is there [h]", gt=0)] = 48.0
    away_factor: Annotated[
        float, Meta(description="Where nobody is there, degree-hours count so many times [1]", gt=0)
    ] = 2.0
    running_factor: Annotated[
        float, Meta(description="Where water never stands, they count so many times [1]", gt=0)
    ] = 0.3
    share_weight: Annotated[
        float,
        Meta(
            description="Weight of what the installation lets expect of the share of the air's changes that reach the"
            " case, against the meter's own days, as the sum of squared differences it stands for [°C²]",
            gt=0,
        ),
    ] = 100.0
    level_days: Annotated[
        float, Meta(description="Days of the meter's own that weigh as much as the installation [days]", gt=0)
    ] = 5.0
    swing_c: Annotated[
        float, Meta(description="Difference of a day's highest and lowest temperature where it is not told [°C]", ge=0)
    ] = 8.0


class FailureForecastSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Failures to come by region and lot, and spares."""

    enabled: Annotated[bool, Meta(description="Whether failures and spares are forecast")] = True
    days: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=3650)], ...],
        Meta(description="Times for which failures are forecast [days]", min_length=1),
    ] = (30, 90, 365)
    spares_days: Annotated[
        int, Meta(description="Time for which spares have to do: until the next delivery [days]", ge=1, le=3650)
    ] = 90
    service_level: Annotated[
        float,
        Meta(description="Share of such times in which the spares are to do [1]", ge=0.5, le=0.9999),
    ] = 0.95
    least_failures: Annotated[
        Count, Meta(description="Failures of all meters from which on the hazard may change with age")
    ] = 20
    cold_c: Annotated[
        float, Meta(description="Lowest temperature at the meter that makes a cold day, on which frost strikes [°C]")
    ] = -2.0


class ForecastSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is told of days to come."""

    frost: FrostRiskSettings = FrostRiskSettings()
    failures: FailureForecastSettings = FailureForecastSettings()


class ConditionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules for a condition that only codes tell."""

    codes: CodeSettings = CodeSettings()


class ClearingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a finding whose symptom is gone is over."""

    days: Annotated[int, Meta(description="Days without symptom until clearing is complete [days]", ge=1)] = 7


class RuleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All rules, as ``[rules.FAULT.RULE]`` and ``[rules.CONDITION.RULE]``."""

    coil: CoilSettings = CoilSettings()
    battery: BatterySettings = BatterySettings()
    actuator: ActuatorSettings = ActuatorSettings()
    low_temperature: LowTemperatureSettings = LowTemperatureSettings()
    leak: LeakSettings = LeakSettings()
    backflow: BackflowSettings = BackflowSettings()
    tamper: ConditionSettings = ConditionSettings()
    communication: CommunicationSettings = CommunicationSettings()
    clock: ClockSettings = ClockSettings()
    software_conflict: SoftwareConflictSettings = SoftwareConflictSettings()
    empty_pipe: EmptyPipeSettings = EmptyPipeSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    memory: ConditionSettings = ConditionSettings()
    credit: ConditionSettings = ConditionSettings()
    high_flow: ConditionSettings = ConditionSettings()
    clearing: ClearingSettings = ClearingSettings()
    causes: CauseSettings = CauseSettings()
    forecasts: ForecastSettings = ForecastSettings()
