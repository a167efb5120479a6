"""The page of vendor profiles."""

from __future__ import annotations

import tomllib

import msgspec

from ingest.profiles.cases import run_cases
from ingest.profiles.format import ProfileFile
from ingest.profiles.vendor_profile import VendorProfile, shipped_names
from metriage.definitions import description, fields, is_table, item_type
from metriage.profile_reference import profiles_page


def test_every_key_is_explained() -> None:
    """From its definition: there is no key without one."""
    tables = [ProfileFile, *(item_type(field.type) for field in fields(ProfileFile) if is_table(item_type(field.type)))]

    assert 10 == len(tables)
    assert [] == [
        (table.__name__, field.encode_name)
        for table in tables
        for field in fields(table)
        if not is_table(item_type(field.type)) and not description(field.type)
    ]


def test_every_shipped_profile_is_listed() -> None:
    """One row each."""
    page = profiles_page()

    assert [] == [name for name in shipped_names() if f"\n| `{name}`" not in page]


def test_the_example_is_right() -> None:
    """It is a profile, and its case holds."""
    text = profiles_page().partition("```toml\n")[2].partition("```")[0]
    example = VendorProfile(msgspec.convert(tomllib.loads(text), ProfileFile))

    assert [] == VendorProfile.all_problems(example.definition)
    assert all(outcome.is_right for outcome in run_cases(example))
