"""The data file of a vendor profile: every key with its meaning, from which ``docs/profiles.md`` is written."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lake.vocabulary import FAMILIES, SEVERITIES

UNITS = ("V", "V/10", "V/100", "mV", "steps", "percent", "years", "half_years", "days")
# What a number of such a unit has to be multiplied with to be volts; the others are no voltages.
VOLTS = {"V": 1.0, "V/10": 0.1, "V/100": 0.01, "mV": 0.001}

Unit = Literal["V", "V/10", "V/100", "mV", "steps", "percent", "years", "half_years", "days"]
Names = Annotated[tuple[str, ...], Meta(description="Names in `extra`, a dot between levels; the first one that holds "
                                                    "something counts")]  # fmt: skip
Family = Annotated[str, Meta(description=f"One of {', '.join(FAMILIES)}")]
Severity = Annotated[int, Meta(description=f"{SEVERITIES[0]} worst to {SEVERITIES[-1]} mildest")]
Meaning = Annotated[str, Meta(description="What it means, in English")]
Chinese = Annotated[str, Meta(description="The same in Chinese")]
Sticky = Annotated[bool, Meta(description="It stays set after its cause is gone, until somebody resets the meter")]
Mask = Annotated[int, Meta(description="Bits of the status word that are looked at", ge=1, le=2**63 - 1)]
Valve = Annotated[str | None, Meta(description="State of the valve that it tells: open, closed, moving, fault, "
                                               "unknown")]  # fmt: skip


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The meters that the profile is for, in the registry's words; a meter must fit every key that is given.

    Texts are compared without case; ``*`` stands for any characters, ``?`` for one.
    """

    module_vendor: Annotated[tuple[str, ...], Meta(description="Makers of the radio or control module")] = ()
    manufacturer: Annotated[tuple[str, ...], Meta(description="Makers of the meter, EN 13757 codes too")] = ()
    model: Annotated[tuple[str, ...], Meta(description="Models")] = ()
    firmware: Annotated[tuple[str, ...], Meta(description="Firmware versions")] = ()
    module_encrypted: Annotated[bool | None, Meta(description="Whether the module encrypts")] = None


class CodeWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Words of a vendor that mean the same; case, blanks, hyphens and underscores are no difference."""

    words: Annotated[tuple[str, ...], Meta(description="The words as they come in `error_codes`")]
    family: Family
    severity: Severity
    meaning: Meaning
    meaning_zh: Chinese = ""
    sticky: Sticky = False


class Bits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bits of the status word; without a family they are no code."""

    mask: Mask
    values: Annotated[
        tuple[int, ...], Meta(description="What the masked word must be, one of them; without: all bits of `mask`")
    ] = ()
    word: Annotated[
        str | None, Meta(description="A word of `[[code]]` that means the same: instead of family, severity, meanings")
    ] = None
    family: Annotated[str | None, Meta(description="As in `[[code]]`; without it the bits are no code")] = None
    severity: Annotated[int | None, Meta(description="As in `[[code]]`")] = None
    meaning: Meaning = ""
    meaning_zh: Chinese = ""
    sticky: Annotated[bool | None, Meta(description="As in `[[code]]`")] = None
    valve_state: Valve = None


class Battery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the battery stands, and in which unit; a voltage goes to `battery_v`."""

    fields: Names = ()
    mask: Annotated[Mask | None, Meta(description="Bits of the status word that hold it, instead of `fields`")] = None
    unit: Annotated[Unit, Meta(description="Unit of the number; `steps` counts through the list `steps`")]
    steps: Annotated[tuple[float, ...], Meta(description="Voltage of each step, the first one that of step 0 [V]")] = ()
    low_at: Annotated[
        float | None, Meta(description="At or below it the code `BATTERY_LOW` is added, in the unit of the number")
    ] = None
    empty_at: Annotated[
        float | None, Meta(description="At or below it the code `BATTERY_EMPTY` is added, in the unit of the number")
    ] = None


class Sentinel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Values that say that there is no measurement; they stay, and their field goes to `invalid_fields`."""

    fields: Annotated[tuple[str, ...], Meta(description="Fields of a reading that hold no measurement then")]
    values: Annotated[tuple[float, ...], Meta(description="Numbers that are none, looked for in the field itself")] = ()
    extra: Annotated[str | None, Meta(description="Name in `extra` that holds one of `values` instead")] = None
    mask: Annotated[Mask | None, Meta(description="Bits of the status word that are one of `values` instead")] = None


class ValveCodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the vendor's codes of the valve mean."""

    fields: Names
    states: Annotated[
        dict[str, str],
        Meta(description="Code to state: open, closed, moving, fault, unknown; a code not listed is `unknown`"),
    ]


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bits that say why a valve command was refused, which is no fault; the first refusal that fits counts."""

    fields: Names
    mask: Annotated[Mask, Meta(description="Bits of the number that must all be set")]
    refusal: Annotated[
        str | None, Meta(description="under_voltage, magnet, busy, arrears or in_position, for `valve_refusal`")
    ] = None
    code: Annotated[str | None, Meta(description="A word of `[[code]]` to add instead: this one is a fault")] = None


class Flags(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields that are true, 1 or more where something is wrong; each is added to the codes under its own name.

    Any other value than true and 1 is added with it, such as ``alarmLevel=2``; false, 0 and an empty text say nothing.
    """

    fields: Annotated[tuple[str, ...], Meta(description="Names in `extra`, a dot between levels")]


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reading, and what the profile must make of it."""

    gives: Annotated[
        tuple[tuple[str, str, int], ...], Meta(description="Every code with its family and severity, in order")
    ]
    status: Annotated[int | None, Meta(description="Status word of the reading")] = None
    codes: Annotated[tuple[str, ...], Meta(description="Its `error_codes`")] = ()
    sticky: Annotated[tuple[str, ...], Meta(description="Those of its codes that are sticky")] = ()
    fields: Annotated[dict[str, float | str], Meta(description="Other fields of the reading")] = {}
    extra: Annotated[dict[str, object], Meta(description="Its unknown fields")] = {}
    becomes: Annotated[
        dict[str, float | str | list[str]], Meta(description="Fields of the reading afterwards, those that matter")
    ] = {}


class ProfileFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A vendor profile."""

    id: Annotated[str, Meta(description="Its name, that of the file without `.toml`", pattern=r"^[a-z0-9_]{1,40}$")]
    version: Annotated[
        int, Meta(description="Raised with every change, so that stored codes can be decoded again", ge=1)
    ]
    description: Annotated[str, Meta(description="Which meters, in one line")] = ""
    description_zh: Annotated[str, Meta(description="The same in Chinese")] = ""
    source: Annotated[str, Meta(description="Where the facts come from")] = ""
    template: Annotated[
        bool, Meta(description="The vendor's table is not public: nothing is translated until somebody fills it")
    ] = False
    encrypted: Annotated[bool, Meta(description="These meters encrypt: without a key nothing can be read")] = False
    falls_back: Annotated[
        bool, Meta(description="What is not here is looked up in `generic`: words, sentinels, batteries")
    ] = True
    past_prefixes: Annotated[
        tuple[str, ...], Meta(description="Before a word they say that it is over: it becomes severity 4 and sticky")
    ] = ()
    silent: Annotated[tuple[str, ...], Meta(description="Words that say that nothing is wrong")] = ()
    reversed_bytes: Annotated[
        bool, Meta(description="The status word comes with the bits of each byte in reverse order")
    ] = False
    match: tuple[Match, ...] = ()
    code: tuple[CodeWords, ...] = ()
    bits: tuple[Bits, ...] = ()
    battery: tuple[Battery, ...] = ()
    sentinel: tuple[Sentinel, ...] = ()
    valve: tuple[ValveCodes, ...] = ()
    refusal: tuple[Refusal, ...] = ()
    flags: tuple[Flags, ...] = ()
    case: tuple[Case, ...] = ()
