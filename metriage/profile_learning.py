"""``metriage profile learn``: which codes nobody knows came, on which meters, and what stood beside them.

A symptom says something about a code when it is there on days with the code, and not on the other days of the same
meters. Both shares are shown, with how many days they are of; what the code means is for a person to say, with the
vendor's documents or the meter in hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from ingest.profiles.translation import spelling
from lake.schemas import DAILY
from lake.vocabulary import FAULTS

_UNKNOWN = "unknown"
_STATUS = re.compile(r"status:0x([0-9a-f]+)")
_MOST_MODELS, _MOST_SYMPTOMS = 5, 4
_LEAST_DAYS = 3  # with the code, before a symptom is worth a word
_LEAST_SHARE, _LEAST_RATIO = 0.3, 2.0
_LEAST_REGISTERS = 4  # of a day, before it tells of flow
_LOW_BATTERY_V, _WEAK_DBM = 3.3, -110.0


def _registers(shows: pl.Expr) -> pl.Expr:
    """Return `shows` for days with registers enough to tell, nothing for others."""
    return pl.when(pl.col("volume_readings") >= _LEAST_REGISTERS).then(shows)


# What a day may show, and the family that it speaks for; None where it explains rather than says.
_SYMPTOMS: Mapping[str, tuple[pl.Expr, str | None]] = {
    "battery below 3.3 V": (pl.col("battery_median_v") < _LOW_BATTERY_V, "battery"),
    "voltage under load below 3.0 V": (pl.col("battery_load_min_v") < 3.0, "battery"),
    "valve says fault": (pl.col("valve_fault_readings") > 0, "actuator"),
    "closed valve lets water through": (pl.col("closed_flow_m3") > 0, "actuator"),
    "command not obeyed": (pl.col("disagree_readings") > 0, "actuator"),
    "register counts backwards": (pl.col("backward_counts") > 0, "coil"),
    "register jumps": ((pl.col("drops") > 0) | (pl.col("surges") > 0), "coil"),
    "no flow all day": (_registers(pl.col("consumption_m3") == 0), None),
    "never stands still": (_registers((pl.col("standstill_s") == 0) & (pl.col("consumption_m3") > 0)), "leak"),
    "water flows backwards": (pl.col("reverse_m3") > 0, "backflow"),
    "frost": (pl.col("ambient_min_c") < 0, "low_temperature"),
    "weak signal": ((pl.col("rssi_median_dbm") < _WEAK_DBM) | (pl.col("coverage_worst") == 2), "communication"),
    "several sources": (pl.col("sources") > 1, "software_conflict"),
}


@dataclass(frozen=True, slots=True)
class Symptom:
    """Something that stands beside a code more often than not.

    Parameters
    ----------
    what : str
        In words.
    family : str or None
        What it speaks for.
    with_code, without : float
        Share of the meters' days with and without the code that show it (0..1).
    days, other_days : int
        Days with and without the code.
    """

    what: str
    family: str | None
    with_code: float
    without: float
    days: int
    other_days: int


@dataclass(frozen=True, slots=True)
class UnknownCode:
    """A code, or a bit of a status word, that no profile knows.

    Parameters
    ----------
    code : str
        The word, or ``bit 0x4``.
    mask : int or None
        The bit.
    profile : str
        Profile that did not know it.
    times, meters : int
        How often it came, on how many meters.
    first, last : date
        First and last day (UTC).
    models : list of (str, int)
        Vendor and model of the registry, with the number of meters, the commonest first.
    symptoms : list of Symptom
        The most telling first.
    """

    code: str
    mask: int | None
    profile: str
    times: int
    meters: int
    first: date
    last: date
    models: list[tuple[str, int]] = field(default_factory=list)
    symptoms: list[Symptom] = field(default_factory=list)

    @property
    def suggestion(self) -> str | None:
        """The family that the symptoms speak for, None where they do not."""
        return next((symptom.family for symptom in self.symptoms if symptom.family is not None), None)


def unknown_codes(
    codes: pl.DataFrame, daily: pl.DataFrame, registry: pl.DataFrame, profile: str | None = None
) -> list[UnknownCode]:
    """Return what came and is not known, the commonest first.

    Parameters
    ----------
    codes : polars.DataFrame
        Rows of the table ``error_codes``.
    daily : polars.DataFrame
        Newest rows of the table ``daily``, one a meter and day; may be empty.
    registry : polars.DataFrame
        Rows of the registry; may be empty.
    profile : str, optional
        Only codes that this profile did not know.
    """
    rows = _unknown_rows(codes)
    if profile is not None:
        rows = rows.filter(pl.col("profile_id") == profile)
    makes = _makes(registry)
    days = daily.select("meter_id", "day", **{name: shows for name, (shows, _) in _SYMPTOMS.items()})
    days = days.join(_known_families(codes), on=["meter_id", "day"], how="left").with_columns(
        pl.col("families").fill_null([])
    )
    found = []
    for (code, mask, name), part in rows.partition_by("code", "mask", "profile_id", as_dict=True).items():
        meters = part["meter_id"].unique()
        found.append(
            UnknownCode(
                code=str(code),
                mask=None if mask is None else int(str(mask)),
                profile=str(name),
                times=part.height,
                meters=meters.len(),
                first=part["day"].min(),  # type: ignore[arg-type]
                last=part["day"].max(),  # type: ignore[arg-type]
                models=_models(meters, makes),
                symptoms=_symptoms(part.select("meter_id", "day").unique(), days),
            )
        )
    return sorted(found, key=lambda each: (-each.meters, -each.times, each.profile, each.code))


def _unknown_rows(codes: pl.DataFrame) -> pl.DataFrame:
    """Return a row for every unknown word, and for every bit of a status word that is not known."""
    rows = codes.filter(pl.col("family") == _UNKNOWN).select(
        "meter_id", "code", "profile_id", day=pl.col("ts").dt.date()
    )
    words = rows.filter(~pl.col("code").str.starts_with("status:")).with_columns(mask=pl.lit(None, pl.Int64))
    status = rows.filter(pl.col("code").str.starts_with("status:"))
    bits = status.with_columns(mask=pl.Series([_bits(code) for code in status["code"]], dtype=pl.List(pl.Int64)))
    bits = bits.explode("mask", empty_as_null=False).with_columns(code=pl.format("bit {}", _hexadecimal("mask")))
    return pl.concat([words, bits.select(words.columns)])


def _bits(code: str) -> list[int]:
    found = _STATUS.fullmatch(code)
    word = int(found[1], 16) if found else 0
    return [1 << place for place in range(min(word.bit_length(), 63)) if word >> place & 1]


def _hexadecimal(name: str) -> pl.Expr:
    return pl.col(name).map_elements(hex, return_dtype=pl.String)


def _makes(registry: pl.DataFrame) -> pl.DataFrame:
    parts = [pl.col(name).fill_null("") for name in ("module_vendor", "manufacturer", "model")]
    words = pl.concat_str(parts, separator=" ").str.replace_all(r"\s+", " ").str.strip_chars()
    return registry.select("meter_id", make=words)


def _models(meters: pl.Series, makes: pl.DataFrame) -> list[tuple[str, int]]:
    held = pl.DataFrame({"meter_id": meters}).join(makes, on="meter_id", how="left")
    named = held.select(pl.col("make").replace("", None).fill_null("not registered"))
    counts = named["make"].value_counts(sort=True)
    return [(str(name), int(count)) for name, count in counts.head(_MOST_MODELS).iter_rows()]


def _known_families(codes: pl.DataFrame) -> pl.DataFrame:
    """Return the families that other codes of a meter and day have."""
    known = codes.filter(pl.col("family") != _UNKNOWN)
    return known.group_by("meter_id", day=pl.col("ts").dt.date()).agg(families=pl.col("family").unique().sort())


def _symptoms(having: pl.DataFrame, days: pl.DataFrame) -> list[Symptom]:
    """Return what the days that have a code show, compared with the other days of the same meters."""
    mine = days.filter(pl.col("meter_id").is_in(having["meter_id"].unique().implode()))
    mine = mine.join(having.with_columns(has=pl.lit(value=True)), on=["meter_id", "day"], how="left")
    with_code, without = mine.filter(pl.col("has")), mine.filter(pl.col("has").is_null())
    if min(with_code.height, without.height) < _LEAST_DAYS:  # nothing to compare with
        return []
    families = sorted(set(with_code["families"].explode(empty_as_null=False).drop_nulls().to_list()))
    shows = {name: (pl.col(name), family) for name, (_, family) in _SYMPTOMS.items()}
    shows |= {f"codes of family {name}": (pl.col("families").list.contains(name), name) for name in families}
    found = []
    for what, (expression, family) in shows.items():
        beside, else_ = _share(with_code, expression), _share(without, expression)
        if beside >= _LEAST_SHARE and beside >= _LEAST_RATIO * else_:
            found.append(Symptom(what, family, round(beside, 3), round(else_, 3), with_code.height, without.height))
    return sorted(found, key=lambda each: (each.without - each.with_code, each.what))[:_MOST_SYMPTOMS]


def _share(days: pl.DataFrame, shows: pl.Expr) -> float:
    value = days.select(shows.drop_nulls().mean()).item()
    return 0.0 if value is None else float(value)


def newest_days(daily: pl.DataFrame) -> pl.DataFrame:
    """Return the row of each meter and day that holds: the one of the latest diagnosis, if it has readings."""
    if daily.is_empty():
        return DAILY.empty()
    latest = daily.sort("as_of").unique(["meter_id", "day"], keep="last", maintain_order=True)
    return latest.filter(pl.col("readings") > 0)


def draft(name: str, found: Iterable[UnknownCode], match: Mapping[str, str]) -> str:
    """Return a vendor profile to complete: every unknown code, with what stood beside it.

    It is valid as it is and translates nothing: each family is ``unknown`` until somebody changes it.

    Parameters
    ----------
    name : str
        Id of the profile.
    found : iterable of UnknownCode
        What it is to know.
    match : mapping of str to str
        Keys of ``[[match]]``.
    """
    lines = [
        "# Drafted from codes that came and that nobody knew · 根据收到的未知代码生成的草稿",
        "# For each: family, severity and both meanings, from the vendor's documents or the meter in hand; then",
        "# `metriage profile check` and `metriage replay`.",
        "# 请逐项填写 family、severity 和中英文含义，然后检查（profile check）并重新翻译（replay）。",
        f"id = {_text(name)}",
        "version = 1",
        'description = "to be completed"',
        'description_zh = "待填写"',
        'source = "to be completed: where the meanings come from"',
    ]
    if match:
        lines += ["", "[[match]]", *(f"{key} = [{_text(value)}]" for key, value in match.items())]
    for each in found:
        lines += ["", *(f"# {line}" for line in described(each))]
        if each.mask is None and not spelling(each.code):  # nothing but blanks: no profile can name it
            continue
        if each.mask is None:
            lines += ["[[code]]", f"words = [{_text(each.code)}]"]
        else:
            lines += ["[[bits]]", f"mask = {each.mask:#x}"]
        lines += [f"family = {_text(_UNKNOWN)}", "severity = 4", 'meaning = "to be completed"', 'meaning_zh = "待填写"']
    lines += ["", "# One case for each meaning, from real readings · 每项含义写一个真实案例", "[[case]]"]
    lines += ['codes = ["no such code"]', 'gives = [["no such code", "unknown", 4]]']
    return "\n".join(lines) + "\n"


def described(each: UnknownCode) -> Sequence[str]:
    """Return in a few lines how often a code came, where, and what stood beside it."""
    models = ", ".join(f"{model} ({count})" for model, count in each.models)
    lines = [
        f"{each.code}: {each.times:,} times on {each.meters:,} meters, {each.first} to {each.last}",
        f"unknown to {each.profile}; meters: {models}",
    ]
    lines += [
        f"beside it: {symptom.what} on {symptom.with_code:.0%} of {symptom.days:,} days with it, on "
        f"{symptom.without:.0%} of {symptom.other_days:,} others of the same meters"
        for symptom in each.symptoms
    ]
    if each.suggestion is not None:
        kind = "fault" if each.suggestion in FAULTS else "condition"
        lines.append(f"this speaks for the {kind} {each.suggestion}")
    # A code is what a meter sent: it must not end the comment it stands in.
    return ["".join(char if char.isprintable() else " " for char in line) for line in lines]


def _text(value: str) -> str:
    """Return a basic string of TOML."""
    escaped = "".join(char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}" for char in value)
    return f'"{escaped}"'
