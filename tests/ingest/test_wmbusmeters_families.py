"""What becomes of the telegrams of wmbusmeters' water meters, driver by driver: columns, profile, families.

The table is ``wmbusmeters_families.toml`` beside this file. Facts about fields and status words are from the project's
driver descriptions (https://github.com/wmbusmeters/wmbusmeters, drivers/src and src/driver_*.cc).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest.batch import BatchBuilder, error_code_rows
from ingest.decoders.wmbusmeters import PROFILE_OF
from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from ingest.message import Channel, RawMessage
from ingest.profiles.dialects import Dialects
from ingest.profiles.vendor_profile import load_profiles
from tests.ingest.messages import NOW, now

CHANNEL = Channel("mqtt", "wmbusmeters", "configured", enveloped=False)
DIALECTS = Dialects(load_profiles(None), {})
MEASURED = ("volume_m3", "reverse_volume_m3", "flow_m3h", "battery_v", "water_temperature_c", "ambient_temperature_c",
            "rssi_dbm")  # fmt: skip
OTHER_NAMES = {"flowiq2100", "flowiq3100", "flowiq3200", "axioma", "qalcosonicw1", "apator082"}


class Telegram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a driver sends, and what must come of it; see the head of the table."""

    driver: str
    profile: str
    fields: dict[str, Any] = {}
    columns: dict[str, float] = {}
    families: list[tuple[str, str]] = []


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table."""

    telegram: list[Telegram]


TELEGRAMS = msgspec.toml.decode(Path(__file__).with_name("wmbusmeters_families.toml").read_bytes(), type=Table).telegram


def outcome(telegram: Telegram, key: str = "meter") -> tuple[dict[str, Any], list[tuple[str, str]], str]:
    """Return measurements, families of the codes and profile of a telegram's reading."""
    document = {"_": "telegram", "media": "water", key: telegram.driver, "name": "Cellar", "id": "70112233",
                **telegram.fields, "timestamp": "2024-06-01T11:58:20Z", "rssi_dbm": -71}  # fmt: skip
    message = RawMessage(1, CHANNEL, "wmbusmeters/Cellar", NOW, json.dumps(document).encode())
    found = MessageDecoder({}, 100_000, LocalClock(), now).decode(message)
    assert [] == found.rejections
    builder = BatchBuilder()
    builder.add(message, found)
    readings = DIALECTS.apply(builder.build().readings)
    [reading] = readings.to_dicts()
    codes = [(str(row["code"]), str(row["family"])) for row in error_code_rows(readings, DIALECTS.profile)]
    return {name: reading[name] for name in MEASURED if reading[name] is not None}, sorted(codes), reading["profile"]


@pytest.mark.parametrize("telegram", TELEGRAMS, ids=lambda telegram: telegram.driver)
def test_water_meter_of_wmbusmeters(telegram: Telegram) -> None:
    """Measurements reach their columns, every status word its family, and nothing of the past is taken for now."""
    expected = (telegram.columns | {"rssi_dbm": -71}, sorted(telegram.families), telegram.profile)

    assert expected == outcome(telegram)


@pytest.mark.parametrize("telegram", TELEGRAMS, ids=lambda telegram: telegram.driver)
def test_water_meter_driver_key_of_newer_versions(telegram: Telegram) -> None:
    """Newer versions name the driver `driver` instead of `meter`."""
    assert outcome(telegram) == outcome(telegram, "driver")


def test_water_meters_cover_the_drivers() -> None:
    """Every driver whose words are its vendor's is in the table, but for other names of the same driver."""
    assert set() == PROFILE_OF.keys() - {telegram.driver for telegram in TELEGRAMS} - OTHER_NAMES
    assert len({telegram.driver for telegram in TELEGRAMS}) >= 45
