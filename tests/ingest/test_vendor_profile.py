"""Vendor profiles: every shipped one passes its own cases."""

from __future__ import annotations

from importlib import resources

import msgspec
import pytest

from ingest.vendor_profile import ProfileFile, VendorProfile, shipped_profile
from lake.errors import SettingsError
from lake.vocabulary import FAMILIES, SEVERITIES

NAMES = sorted(
    entry.name.removesuffix(".toml")
    for entry in resources.files("ingest.profiles").iterdir()
    if entry.name.endswith(".toml")
)
CODE = {"words": ["A"], "family": "coil", "severity": 1, "meaning": "m"}


def profile(**fields: object) -> VendorProfile:
    return VendorProfile(msgspec.convert({"id": "p", "version": 1, "code": [CODE], "case": []} | fields, ProfileFile))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profile_passes_its_cases(name: str) -> None:
    """A reading's codes and status become what the profile's own cases say."""
    shipped = shipped_profile(name)

    assert name == shipped.id
    assert shipped.cases
    for case in shipped.cases:
        found = [(code, family, severity) for code, family, severity, _ in shipped.translate(case.status, case.codes)]
        assert list(case.gives) == found


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profile_uses_the_vocabulary(name: str) -> None:
    """Families and severities are the contract's, and every code has its meaning."""
    for entry in shipped_profile(name)._words.values():
        assert entry.family in FAMILIES
        assert entry.severity in SEVERITIES
        assert entry.meaning


def test_profile_spelling_does_not_matter() -> None:
    """Case, blanks and hyphens are no difference; the code is kept as it came."""
    found = profile(code=[CODE | {"words": ["LOW_POWER"]}]).translate(None, [" low-Power "])

    assert [(" low-Power ", "coil", 1, "m")] == found


def test_profile_unknown_code_is_kept() -> None:
    """A code or status that nobody explains is of family unknown, the mildest."""
    assert [("<b>", "unknown", 4, None), ("status:0x44", "unknown", 4, None)] == profile().translate(68, ["<b>"])


def test_profile_negative_status() -> None:
    """A status word is any 64-bit integer."""
    assert [("status:-0x1", "unknown", 4, None)] == profile().translate(-1, [])


def test_profile_unknown_family() -> None:
    """A family that does not exist is a configuration error that says what is allowed."""
    with pytest.raises(SettingsError, match=r"p\.code\.family: 'magic' is no family; allowed are coil, battery"):
        profile(code=[CODE | {"family": "magic"}])


def test_profile_word_twice() -> None:
    """A word has one meaning."""
    with pytest.raises(SettingsError, match="'A' stands twice"):
        profile(code=[CODE, CODE])


def test_profile_missing() -> None:
    """A profile that does not come with the product is named."""
    with pytest.raises(SettingsError, match="nowhere"):
        shipped_profile("nowhere")
