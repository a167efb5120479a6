"""Vendor profiles: the shipped ones do what their files say, a site's own stand for them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.profiles.cases import run_cases
from ingest.profiles.translation import spelling
from ingest.profiles.vendor_profile import (
    VendorProfile,
    load_profiles,
    shipped_names,
    shipped_profile,
)
from lake.errors import SettingsError
from lake.vocabulary import FAMILIES, SEVERITIES
from tests.ingest.profiles.profile_makers import CODE, profile, readings

NAMES = shipped_names()
PLAIN: dict[str, dict[str, Any]] = {
    name: tomllib.loads((resources.files("ingest.profiles") / f"{name}.toml").read_text(encoding="utf-8"))
    for name in NAMES
}
WITH_BITS = [name for name in NAMES if "bits" in PLAIN[name]]
TEMPLATES = ["hanwei", "hanwei_peihua", "jiwanxun", "jiwanxun_encrypted", "yunheng"]

# The status words of wmbusmeters' water meters, with the family that they must have under any profile.
WMBUSMETERS = {
    "coil": "VOLUME_DETECTION_COILS_DEFECT SENSOR_ERROR MEASUREMENT_ERROR DETECTOR_ERROR CLOCK_HAND_ERROR "
            "MEASUREMENT_UNCHANGED DETECTION_WITHOUT_CHANGES BLOCKED meter_blocked WAS_BLOCKED P_CLOCK_HAND_ERROR",
    "battery": "POWER_LOW LOW_BATTERY BATTERY_LOW BATTERY BATTERY_EOL BATTERY_VOLTAGE_ERROR "
               "BATTERY_LIFETIME_THRESHOLD_EXCEEDED",
    "low_temperature": "LOW_ABIENT_TEMPERATURE LOW_AMBIENT_TEMPERATURE",
    "leak": "LEAK LEAKAGE leakage LEAKING LEAKAGE_OR_NO_USAGE CONTINUOUS_FLOW BROKEN_PIPE BURST BURSTING LEAK_FLOW_LOW "
            "LEAK_FLOW_HIGH WAS_LEAKING PREV_LEAKAGE",
    "backflow": "REVERSE REVERSE_FLOW BACKFLOW BACK_FLOW back_flow BACKFLOWING WAS_BACKFLOWING",
    "tamper": "SABOTAGE MANIPULATION REMOVED REMOVAL_DETECTED WAS_REMOVED WAS_TAMPERED MAGNETIC_MANIPULATION "
              "MAGNETIC_FIELD STRONG_LIGHT SENSOR_FRAUD sensor_fraud mechanical_fraud MAGNETIC_FRAUD_ATTEMPT "
              "SENSOR_FRAUD_ATTEMPT MODULE_REMOVED SABOTAGE_ENCLOSURE PREV_MECHANICAL_FRAUD",
    "empty_pipe": "DRY",
    "high_flow": "FLOW_ABOVE_Q4 OVERFLOW OVERLOAD MAXIMUM_FLOW MAX_SPEED_EXCEEDED UNDERSIZED",
    "memory": "CRC_ERROR SW_ERROR SOFTWARE_FAULT RESET PROCESSOR_RESET",
    "communication": "MBUS_DISCONNECTED DEVICE_DISCONNECTED",
    "unknown": "PERMANENT_ERROR TEMPORARY_ERROR ERROR ALARM BUSY NO_CONSUMPTION UNDERFLOW SUBMARINE ERROR_FLAGS_800",
}  # fmt: skip
TRANSLATING = [name for name in NAMES if name not in TEMPLATES]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profile_passes_its_cases(name: str) -> None:
    """A reading becomes what the profile's own cases say."""
    outcomes = list(run_cases(shipped_profile(name)))

    assert outcomes
    assert [] == [outcome for outcome in outcomes if not outcome.is_right]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profile_has_nothing_to_look_at(name: str) -> None:
    """Not even a warning: meanings in both languages, description, source, cases."""
    shipped = shipped_profile(name)
    generic = None if name == "generic" else shipped_profile("generic")

    assert name == shipped.id
    assert [] == VendorProfile.all_problems(shipped.definition, generic)


def own_and_generic_words(name: str) -> dict[str, dict[str, Any]]:
    """Return word to entry, read from the files without the code under test."""
    entries = [*PLAIN["generic"].get("code", ()), *PLAIN[name].get("code", ())]
    return {spelling(word): entry for entry in entries for word in entry["words"]}


def told_by_file(name: str, status: int) -> Iterator[tuple[str, str, int]]:
    """Yield what a profile's file says of a status word, in order of the file."""
    plain, words = PLAIN[name], own_and_generic_words(name)

    def flip(number: int) -> int:
        if not plain.get("reversed_bytes"):
            return number
        return sum(int(f"{number >> shift & 255:08b}"[::-1], 2) << shift for shift in range(0, 64, 8))

    covered = 0
    seen = []
    for entry in plain["bits"]:
        mask = flip(entry["mask"])
        covered |= mask
        if mask in seen:
            continue
        seen.append(mask)
        value = status & mask
        rows = [row for row in plain["bits"] if flip(row["mask"]) == mask]
        hit = next((row for row in rows if value in map(flip, row.get("values", [row["mask"]]))), None)
        if hit is None:
            if value:
                yield f"status:{value:#x}", "unknown", 4
        elif "word" in hit:
            word = hit["word"]
            sense = words.get(spelling(word))
            past = sense is None
            if past:  # P_, WAS_
                sense = words[spelling(word.partition("_")[2])]
            yield f"status:{value:#x}", sense["family"], hit.get("severity", 4 if past else sense["severity"])
        elif "family" in hit:
            yield f"status:{value:#x}", hit["family"], hit["severity"]
    for battery in plain.get("battery", ()):
        covered |= flip(battery.get("mask", 0))
    for place in range(64):
        if status >> place & 1 and not covered >> place & 1:
            yield f"status:{1 << place:#x}", "unknown", 4


@pytest.mark.parametrize("name", WITH_BITS)
def test_every_bit_changes_the_outcome_as_the_file_says(name: str) -> None:
    """Each bit of each declared word, set and cleared: never anything but what the file says."""
    shipped = shipped_profile(name)
    declared = {value for entry in PLAIN[name]["bits"] for value in entry.get("values", [entry["mask"]])}
    for base in {0, *declared, sum({entry["mask"] for entry in PLAIN[name]["bits"]})}:
        for place in range(40):
            status = base ^ 1 << place
            told = [(each.code, each.family, each.severity) for each in shipped.translate(status, [])]
            assert list(told_by_file(name, status)) == told


@pytest.mark.parametrize("name", WITH_BITS)
def test_no_bit_is_ignored(name: str) -> None:
    """A single bit is told as a code, or its entry says that it is none."""
    shipped = shipped_profile(name)
    no_code = 0
    for entry in PLAIN[name]["bits"]:
        if "family" not in entry and "word" not in entry:
            assert entry["meaning"]
            no_code |= sum(set(entry.get("values", [entry["mask"]])))
    for battery in PLAIN[name].get("battery", ()):
        no_code |= battery.get("mask", 0)
    if PLAIN[name].get("reversed_bytes"):
        no_code = int(f"{no_code:08b}"[::-1], 2)

    silent = [place for place in range(63) if not shipped.translate(1 << place, [])]

    assert [place for place in range(63) if no_code >> place & 1] == silent


@pytest.mark.parametrize("name", TRANSLATING)
def test_words_of_wmbusmeters_have_their_family(name: str) -> None:
    """Under the profile of any vendor, unless that file says that the word means something else there."""
    own = {spelling(word) for entry in PLAIN[name].get("code", ()) for word in entry["words"]}
    own |= {spelling(word) for word in PLAIN[name].get("silent", ())}
    for family, words in WMBUSMETERS.items():
        for word in words.split():
            if spelling(word) not in own or name == "generic":
                assert [(word, family)] == [
                    (each.code, each.family) for each in shipped_profile(name).translate(None, [word])
                ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_translates_nothing(name: str) -> None:
    """Every code and the whole status word stay unknown, and readings stay as they came."""
    template = shipped_profile(name)
    codes = [word for words in WMBUSMETERS.values() for word in words.split()]
    frame = readings({"status": 0x70, "water_temperature_c": 127.0, "extra": {"battery_y": 0}})

    assert template.is_template
    assert {("unknown", 4, None, False)} == {each[1:] for each in template.translate(0x1234, codes)}
    assert len(codes) + 1 == len(template.translate(0x1234, codes))
    assert not template.normalises
    assert template.normalise(frame) is frame


def test_only_templates_are_templates() -> None:
    """And only one of them is for modules that encrypt."""
    assert TEMPLATES == [name for name in NAMES if shipped_profile(name).is_template]
    assert ["jiwanxun_encrypted"] == [name for name in NAMES if shipped_profile(name).is_encrypted]


@pytest.mark.parametrize("name", NAMES)
@given(status=st.integers(-(2**63), 2**63 - 1), codes=st.lists(st.text(max_size=40), max_size=4))
def test_translate_never_raises(name: str, status: int, codes: list[str]) -> None:
    """Whatever comes, each translation has a family and a severity of the vocabulary, and its meaning can be asked."""
    shipped = shipped_profile(name)
    for each in shipped.translate(status, codes):
        assert each.family in FAMILIES
        assert each.severity in SEVERITIES
        assert each.meaning is None or each.meaning == shipped.meaning(each.code)
    assert shipped.translate(status, codes) == shipped.translate(status, codes)


def test_meaning_in_both_languages() -> None:
    """Of words and bits; unknown ones have none."""
    kamstrup = shipped_profile("kamstrup")

    assert "the battery is low" == kamstrup.meaning("LOW_BATTERY") == kamstrup.meaning("status:0x20")
    assert "电池欠压" == kamstrup.meaning("low battery", "zh") == kamstrup.meaning("status:0x20", "zh")
    assert kamstrup.meaning("status:0x100") is None
    assert kamstrup.meaning("status:nonsense") is None
    assert kamstrup.meaning("E99") is None


def test_profile_missing() -> None:
    """A profile that does not come with the product is named."""
    with pytest.raises(SettingsError, match="nowhere"):
        shipped_profile("nowhere")


def test_profile_with_an_error_is_refused() -> None:
    """With the key."""
    with pytest.raises(SettingsError, match=r"p\.code\[0\]\.family: 'magic' is no family; allowed are coil, battery"):
        profile(code=[CODE | {"family": "magic"}])


def write(folder: Path, name: str, text: str) -> Path:
    """Write a profile of a site."""
    file = folder / "profiles" / f"{name}.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_load_profiles_without_a_site() -> None:
    """All shipped ones by id."""
    profiles = load_profiles(None)

    assert NAMES == [each.id for each in profiles.all]
    assert "kamstrup" in profiles
    assert "kamstrup" == profiles.get("kamstrup").id
    with pytest.raises(SettingsError, match="there is no vendor profile 'nowhere'; there are apator"):
        profiles.get("nowhere")


def test_site_profile_stands_for_the_shipped_one(tmp_path: Path) -> None:
    """Of the same id; the others are there still."""
    file = write(tmp_path, "yunheng", 'id = "yunheng"\nversion = 7\n[[code]]\nwords = ["E1"]\nfamily = "coil"\n'
                 'severity = 2\nmeaning = "open"\n')  # fmt: skip
    profiles = load_profiles(tmp_path)

    assert [7, 1] == [profiles.get(name).version for name in ("yunheng", "hanwei")]
    assert str(file) == profiles.get("yunheng").file
    assert [("E1", "coil", 2, "open", False)] == profiles.get("yunheng").translate(None, ["E1"])
    assert "battery" == profiles.get("yunheng").translate(None, ["LOW_BATTERY"])[0].family  # falls back


def test_generic_of_a_site_is_what_the_others_fall_back_to(tmp_path: Path) -> None:
    """The shipped ones too."""
    text = (resources.files("ingest.profiles") / "generic.toml").read_text(encoding="utf-8")
    write(tmp_path, "generic", text.replace('words = ["RESET"', 'words = ["LOCAL_WORD", "RESET"'))
    profiles = load_profiles(tmp_path)

    assert NAMES == [each.id for each in profiles.all]
    assert "memory" == profiles.get("kamstrup").translate(None, ["LOCAL_WORD"])[0].family
    assert "unknown" == shipped_profile("kamstrup").translate(None, ["LOCAL_WORD"])[0].family


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('id = "x"\nversion = 1\ncods = []\n', r"x\.toml: cods: is no key of the format; did you mean code\?"),
        ('id = "y"\nversion = 1\n', r"x\.toml: id: is 'y', but the file is called x\.toml"),
        ('id = "x"\nversion = 0\n', r"x\.toml: .*>= 1.*version"),
        ("id = ", r"x\.toml: is no TOML in UTF-8"),
        ('id = "x"\nversion = 1\n[[bits]]\nmask = 1\nword = "E5"\n', r"x\.bits\[0\]\.word: 'E5' is no word"),
    ],
)
def test_wrong_site_profile_is_a_configuration_error(tmp_path: Path, text: str, message: str) -> None:
    """That names file and key."""
    write(tmp_path, "x", text)

    with pytest.raises(SettingsError, match=message):
        load_profiles(tmp_path)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"manufacturer": "AXIOMA  metering "}, "axioma"),
        ({"manufacturer": "KAM", "model": "flowIQ 2200"}, "kamstrup"),
        ({"module_vendor": "集万讯"}, "jiwanxun"),
        ({"module_vendor": "集万讯", "module_encrypted": False}, "jiwanxun"),
        ({"module_vendor": "集万讯", "module_encrypted": True}, "jiwanxun_encrypted"),
        ({"module_vendor": "汉威"}, "hanwei"),
        ({"module_vendor": "汉威沛华"}, "hanwei_peihua"),
        ({"module_vendor": "云衡"}, "yunheng"),
        ({"model": "CJ/T 188-2004"}, "cjt188"),
        ({"manufacturer": "nobody"}, None),
        ({"module_encrypted": True}, None),
        ({}, None),
    ],
)
def test_match_of_the_registry(facts: dict[str, Any], expected: str | None) -> None:
    """By what the registry knows."""
    found = load_profiles(None).match(**facts)

    assert expected == (found.id if found is not None else None)


def test_match_most_specific_wins(tmp_path: Path) -> None:
    """More keys, then fewer wildcards; a tie is an error that names both."""
    match = '[[match]]\nmanufacturer = ["Acme{}"]\n'
    write(tmp_path, "wild", 'id = "wild"\nversion = 1\n' + match.format("*"))
    write(tmp_path, "exact", 'id = "exact"\nversion = 1\n' + match.format(""))
    write(tmp_path, "both", 'id = "both"\nversion = 1\n' + match.format("*") + 'model = ["M?"]\n')
    profiles = load_profiles(tmp_path)

    found = [
        profiles.match(manufacturer="acme inc"),
        profiles.match(manufacturer="acme"),
        profiles.match(manufacturer="acme", model="m1"),
        profiles.match(manufacturer="acme", model="m12"),
    ]
    assert ["wild", "exact", "both", "exact"] == [each.id for each in found if each]
    with pytest.raises(
        SettingsError, match="exact and hanwei fit a meter with module_vendor = '汉威', manufacturer = 'acme'"
    ):
        profiles.match(manufacturer="acme", module_vendor="汉威")
