"""What ingest knows of meters: read once, read again only when something changed, never half."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.meters import NO_METERS, Make, load_meters
from ingest.settings import WriterSettings
from lake.errors import SettingsError, SiteFolderError
from lake.meter import Meter
from lake.registry import store
from lake.site_database import migrate, opened
from tests.ingest.messages import settings_of


def registered(site: Path, *meters: Meter) -> None:
    with opened(site / "metriage.db") as connection:
        store(connection, meters)


def with_key(site: Path, key: str) -> WriterSettings:
    file = site / "keys.toml"
    file.write_text(f'm1 = "{key}"\n', encoding="utf-8")
    file.chmod(0o600)
    return settings_of(site, keys_file="keys.toml")


def test_without_database_nothing_is_known_and_nothing_made(tmp_path: Path) -> None:
    """Ingest does not need the site database."""
    assert load_meters(settings_of(tmp_path)) is NO_METERS
    assert [] == list(tmp_path.iterdir())


def test_database_without_registry_is_known_as_empty(tmp_path: Path) -> None:
    """Tickets may have made it; no table of the registry is made by looking."""
    with opened(tmp_path / "metriage.db") as connection:
        migrate(connection, "tickets", ["CREATE TABLE ticket (n);"])
    first = load_meters(settings_of(tmp_path))

    assert ({}, {}) == (first.aliases, first.makes)
    assert load_meters(settings_of(tmp_path), first) is first


def test_aliases_and_makes_of_registered_meters(tmp_path: Path) -> None:
    """What the match of a vendor profile needs; meters of one make share it."""
    make = {"module_vendor": "集万讯", "model": "LXSY-20", "firmware": "1.2"}
    registered(
        tmp_path,
        Meter(meter_id="m1", aliases=("70B3D5499ABC0001",), module_encrypted=True, manufacturer="新天", **make),
        Meter(meter_id="m2", **make),
        Meter(meter_id="m3", **make),
    )
    meters = load_meters(settings_of(tmp_path))

    assert {"70b3d5499abc0001": "m1"} == meters.aliases
    assert Make("集万讯", "新天", "LXSY-20", "1.2", module_encrypted=True) == meters.makes["m1"]
    assert meters.makes["m2"] is meters.makes["m3"]


def test_nothing_is_read_again_until_something_changed(tmp_path: Path) -> None:
    """The same object comes back; another component's change is none of the registry."""
    settings = with_key(tmp_path, "00" * 16)
    registered(tmp_path, Meter(meter_id="m1"))
    first = load_meters(settings)
    with opened(tmp_path / "metriage.db") as connection:
        migrate(connection, "tickets", ["CREATE TABLE ticket (n);"])
    registered(tmp_path, Meter(meter_id="m1"))

    assert load_meters(settings, first) is first


def test_change_of_the_registry_is_seen(tmp_path: Path) -> None:
    """And the keys are not read again for it."""
    settings = with_key(tmp_path, "00" * 16)
    registered(tmp_path, Meter(meter_id="m1"))
    first = load_meters(settings)
    registered(tmp_path, Meter(meter_id="m1", aliases=("imei",)))
    second = load_meters(settings, first)

    assert {"imei": "m1"} == second.aliases
    assert second.keys is first.keys


def test_change_of_the_keys_is_seen(tmp_path: Path) -> None:
    """And the registry is not read again for it."""
    registered(tmp_path, Meter(meter_id="m1"))
    first = load_meters(with_key(tmp_path, "00" * 16))
    second = load_meters(with_key(tmp_path, "0102"), first)

    assert b"\x01\x02" == second.keys.of("m1")
    assert second.makes is first.makes


def test_key_file_that_others_may_read_is_refused_while_running(tmp_path: Path) -> None:
    """Its mode counts as a change; one that vanished, too."""
    settings = with_key(tmp_path, "00" * 16)
    first = load_meters(settings)
    (tmp_path / "keys.toml").chmod(0o644)
    with pytest.raises(SettingsError, match="others may read it"):
        load_meters(settings, first)
    (tmp_path / "keys.toml").unlink()

    with pytest.raises(SettingsError, match="cannot be read"):
        load_meters(settings, first)


def test_restored_database_is_another_one(tmp_path: Path) -> None:
    """Although its version may be the same."""
    registered(tmp_path, Meter(meter_id="m1"))
    first = load_meters(settings_of(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    registered(other, Meter(meter_id="m2"))
    for file in tmp_path.glob("metriage.db-*"):
        file.unlink()
    os.replace(other / "metriage.db", tmp_path / "metriage.db")  # noqa: PTH105 - keeps the inode of the other one

    assert ["m2"] == list(load_meters(settings_of(tmp_path), first).makes)


def test_database_that_is_none_is_an_error(tmp_path: Path) -> None:
    """Decoding without aliases would store readings under wrong meters."""
    (tmp_path / "metriage.db").write_bytes(b"no database" * 100)

    with pytest.raises(SiteFolderError, match="cannot be used as the site database"):
        load_meters(settings_of(tmp_path))
