"""Which vendor profile a reading is read by: settings, registry, decoder, generic, in this order."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from structlog.testing import capture_logs

from ingest.batch import BatchBuilder
from ingest.message import Channel, RawMessage
from ingest.meters import Make
from ingest.profiles.dialects import Dialects, SiteDialects
from ingest.profiles.vendor_profile import load_profiles
from tests.ingest.messages import MQTT, NOW, TOPIC, decode, native

CJT188 = Make(module_vendor="云衡")
FIXED = Channel("mqtt", "native", "default", enveloped=False, profile="suntront")


def readings(channel: Channel = MQTT, hint: str | None = None, count: int = 1) -> pl.DataFrame:
    """Return readings of m1, which their decoder takes for `hint`."""
    builder = BatchBuilder()
    for position in range(1, count + 1):
        payload = native(seq=position)
        builder.add(RawMessage(position, channel, TOPIC, NOW, payload), decode(payload, channel))
    frame = builder.build().readings
    return frame if hint is None else frame.with_columns(profile=pl.lit(hint))


def profile_of(frame: pl.DataFrame, makes: dict[str, Make] | None = None) -> str:
    [name] = Dialects(load_profiles(None), makes or {}).apply(frame)["profile"].unique().to_list()
    return str(name)


@pytest.mark.parametrize(
    ("channel", "makes", "hint", "expected"),
    [
        (MQTT, {}, None, "generic"),
        (MQTT, {}, "kamstrup", "kamstrup"),
        (MQTT, {"m1": CJT188}, "kamstrup", "yunheng"),
        (MQTT, {"m2": CJT188}, "kamstrup", "kamstrup"),
        (FIXED, {"m1": CJT188}, None, "suntront"),
        (MQTT, {"m1": Make(model="nobody knows")}, None, "generic"),
    ],
)
def test_profile_in_the_order_of_the_contract(
    channel: Channel, makes: dict[str, Make], hint: str | None, expected: str
) -> None:
    """What the settings fix, else the registry's match, else what the decoder takes it for, else generic."""
    assert expected == profile_of(readings(channel, hint), makes)


def test_profile_that_does_not_exist_is_told_once() -> None:
    """Generic is used instead, and the line goes on."""
    dialects = Dialects(load_profiles(None), {})
    with capture_logs() as logs:
        for _ in range(3):
            assert ["generic"] == dialects.apply(readings(hint="gone"))["profile"].to_list()

    assert ["gone"] == [entry["profile"] for entry in logs]


def test_profile_tie_is_told_and_stops_nothing(tmp_path: Path) -> None:
    """Two profiles that fit a meter with the same right are a mistake of the configuration."""
    (tmp_path / "profiles").mkdir()
    for name in ("one", "two"):
        (tmp_path / "profiles" / f"{name}.toml").write_text(
            f'id = "{name}"\nversion = 1\n[[match]]\nmodel = ["A7"]\n[[case]]\ncodes = ["?"]\n'
            'gives = [["?", "unknown", 4]]\n',
            encoding="utf-8",
        )
    with capture_logs() as logs:
        dialects = Dialects(load_profiles(tmp_path), {"m1": Make(model="A7")})

    assert ["generic"] == dialects.apply(readings())["profile"].to_list()
    assert "one and two fit a meter with model = 'A7' with the same right" in logs[0]["error"]


def test_readings_of_several_profiles_keep_their_order() -> None:
    """Each is read by its own, and stays where it was."""
    frame = readings(count=6).with_columns(
        profile=pl.Series(["axioma", None, "hydrodigit", "axioma", None, "kamstrup"]),
        meter_id=pl.Series(["m1", "m1", "m1", "m1", "m2", "m1"]),
    )
    done = Dialects(load_profiles(None), {"m2": CJT188}).apply(frame)

    assert ["axioma", "generic", "hydrodigit", "axioma", "yunheng", "kamstrup"] == done["profile"].to_list()
    assert frame["seq"].equals(done["seq"])
    assert frame.columns == done.columns


def test_sentinel_of_a_profile_goes_to_invalid_fields() -> None:
    """127 °C is no temperature; the value stays, its field is named."""
    frame = readings().with_columns(water_temperature_c=pl.lit(127.0))
    done = Dialects(load_profiles(None), {}).apply(frame)

    assert [["water_temperature_c"]] == done["invalid_fields"].to_list()
    assert [127.0] == done["water_temperature_c"].to_list()


def test_site_profiles_are_taken_up_when_they_change(tmp_path: Path) -> None:
    """A profile that was put right holds from the next batch on; one that is wrong leaves the last good ones."""
    text = (
        'id = "acme"\nversion = {}\n[[code]]\nwords = ["E7"]\nfamily = "coil"\nseverity = 2\nmeaning = "m"\n'
        '[[case]]\ncodes = ["E7"]\ngives = [["E7", "coil", 2]]\n'
    )
    file = tmp_path / "profiles" / "acme.toml"
    file.parent.mkdir()
    site, makes = SiteDialects(tmp_path), {"m1": Make()}
    assert "generic" == site.now(makes).profile("acme").id
    file.write_text(text.format(1), encoding="utf-8")
    first = site.now(makes)
    assert ("acme", 1) == (first.profile("acme").id, first.profile("acme").version)
    assert first is site.now(makes)
    file.write_text(text.format("2 # newer"), encoding="utf-8")
    assert 2 == site.now(makes).profile("acme").version
    file.write_text("broken", encoding="utf-8")
    with capture_logs() as logs:
        assert 2 == site.now(makes).profile("acme").version
        assert 2 == site.now(makes).profile("acme").version
    assert 1 == len(logs)
