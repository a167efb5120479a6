"""Stored codes translated again after a profile was put right: as if it had always been so, and nothing doubled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ingest.message import Channel
from ingest.meters import Make
from ingest.profiles.dialects import Dialects
from ingest.profiles.vendor_profile import load_profiles
from ingest.retranslation import Retranslated, Retranslation
from lake.row_changes import change_rows
from lake.schemas import ERROR_CODES
from lake.tables import Lake
from tests.ingest.messages import drain, native, same_lakes, spool_messages

PROFILE = """\
id = "acme"
version = {version}
description = "Acme"
source = "its manual"
falls_back = false

[[match]]
module_vendor = ["Acme"]

[[code]]
words = ["E7"]
family = "actuator"
severity = 2
meaning = "the valve is stuck"
meaning_zh = "阀门卡住"

[[bits]]
mask = 0x04
family = "battery"
severity = 2
meaning = "under-voltage"
meaning_zh = "欠压"

[[case]]
codes = ["E7"]
gives = [["E7", "actuator", 2]]
"""
MAKES = {"m1": Make(module_vendor="Acme")}
MESSAGES = [
    native(seq=1, error_codes=["E7", "E9"]),
    native(seq=2, ts=1717236000 - 86_400, status=12),
    native(seq=3, ts=1717236000 - 86_400),
]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a site that received codes before anybody knew what they mean."""
    spool_messages(tmp_path, MESSAGES)
    drain(tmp_path)
    return tmp_path


def learn(site: Path, version: int = 1) -> None:
    (site / "profiles").mkdir(exist_ok=True)
    (site / "profiles" / "acme.toml").write_text(PROFILE.format(version=version), encoding="utf-8")


def translate(site: Path, makes: dict[str, Make] | None = None, fixed: dict[str, str] | None = None) -> Retranslated:
    dialects = Dialects(load_profiles(site), MAKES if makes is None else makes)
    return Retranslation(Lake(site / "lake"), dialects, fixed or {}).run()


def codes(site: Path) -> list[tuple[str, str, str, int]]:
    rows = Lake(site / "lake").scan(ERROR_CODES).collect().sort("ts", "code")
    return list(rows.select("code", "family", "profile_id", "profile_version").iter_rows())


def test_retranslation_gives_families(site: Path) -> None:
    """What the profile knows gets its family; what nobody knows stays unknown, and is counted."""
    assert {"unknown"} == {family for _, family, _, _ in codes(site)}
    learn(site)
    done = translate(site)

    assert (2, 2, 3, 2) == (done.days, done.changed_days, done.unknown_before, done.unknown_after)
    assert [("E7", "actuator", "acme", 1), ("E9", "unknown", "acme", 1)] == codes(site)[-2:]
    assert {"battery", "unknown"} == {family for _, family, _, _ in codes(site)[:-2]}


def test_retranslation_is_what_ingest_would_have_done(site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same rows as of a site that had the profile from the beginning."""
    other = tmp_path_factory.mktemp("other")
    learn(other)
    spool_messages(other, MESSAGES, Channel("mqtt", "native", "default", enveloped=False, profile="acme"))
    drain(other)
    learn(site)
    translate(site, fixed={"default": "acme"})

    assert same_lakes(site, other)


def test_retranslation_twice_changes_nothing(site: Path) -> None:
    """Nothing is doubled, and no version of the table is made in vain."""
    learn(site)
    translate(site)
    before, version = codes(site), Lake(site / "lake").version(ERROR_CODES)
    again = translate(site)

    assert 0 == again.changed_days
    assert (before, version) == (codes(site), Lake(site / "lake").version(ERROR_CODES))


def test_retranslation_by_a_newer_version(site: Path) -> None:
    """A raised version is taken down in every row."""
    learn(site)
    translate(site)
    learn(site, version=2)
    translate(site)

    assert {2} == {version for *_, version in codes(site)}


def test_retranslation_keeps_what_a_decoder_took_the_meter_for(site: Path) -> None:
    """Without registry or settings the profile of the stored rows stays."""
    learn(site)
    translate(site)
    translate(site, makes={})

    assert {"acme"} == {profile for _, _, profile, _ in codes(site)}


def test_retranslation_of_codes_that_meant_nothing(site: Path) -> None:
    """A day without any rows gets them when its status words mean something now."""
    lake = Lake(site / "lake")
    day = "2024-05-31"
    change_rows(lake, ERROR_CODES, lambda rows: rows.clear(), partitions=[day])
    learn(site)
    done = translate(site)

    assert 2 == done.changed_days
    assert {"battery", "unknown"} == {family for _, family, _, _ in codes(site)[:-2]}


def test_retranslation_leaves_a_batch_that_is_on_its_way(site: Path) -> None:
    """Readings received a moment ago, whose codes another writer has yet to add, are left to it."""
    lake = Lake(site / "lake")
    change_rows(lake, ERROR_CODES, lambda rows: rows.clear())
    learn(site)
    received: datetime = pl.read_delta(str(site / "lake" / "readings"))["received_at"].max()  # type: ignore[assignment]
    dialects = Dialects(load_profiles(site), MAKES)
    Retranslation(lake, dialects, {}, lambda: received.astimezone(UTC) + timedelta(minutes=1)).run()

    assert [] == codes(site)
