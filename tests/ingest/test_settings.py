"""Settings of the ingest stage: one mistake a case, each named with its key and what is allowed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingest.settings import UNIT_DIVISORS, BrokerSettings, CodecSettings, IngestSettings, unit_divisors
from lake.errors import SettingsError
from lake.vocabulary import MEASURES

COLUMNS = {"meter_id": 1, "ts": 2, "volume_m3": 3}


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        ({"url": "http://x"}, r"b\.url: 'http://x' is no broker; allowed is mqtt://"),
        ({"url": "mqtt://"}, r"b\.url: .*is no broker"),
        ({"url": "mqtt://u:p@x"}, r"b\.url: user and password do not belong into the address"),
        ({"url": "mqtt://x:port"}, r"b\.url: is no address; allowed is mqtt://"),
        ({"url": "mqtt://x:0"}, r"b\.url: .*is no broker"),
        ({"url": "mqtt://x/path"}, r"b\.url: .*only ws:// and wss:// have a path"),
        ({"url": "ws://x/mqtt?a=b"}, r"b\.url: .*no address has a \? or #"),
        ({"topics": ["a", "b/#/c"]}, r"b\.topics: 'b/#/c' is no topic filter: # may only be the last level"),
        ({"topics": ["$share/g"]}, r"b\.topics: .*\$share/GROUP/FILTER"),
        ({"status_topic": "a/+"}, r"b\.status_topic: 'a/\+' is no topic"),
        ({"username": "u", "username_env": "U"}, r"b\.username: at most one of username and username_env"),
        ({"url": "mqtts://x", "cert_file": "c"}, r"b\.cert_file: cert_file and key_file belong together"),
        ({"cert_file": "c", "key_file": "k"}, r"b\.cert_file: cert_file needs an mqtts:// or wss:// url"),
        ({"key_password_file": "k"}, r"b\.key_password_file: key_password_file needs key_file"),
        ({"username": "u", "password_file": "a", "password_env": "B"}, r"b\.password_file: at most one"),
        ({"password_file": "a"}, r"b\.username: a password needs a username"),
        ({"ca_file": "ca.pem"}, r"b\.ca_file: ca_file needs an mqtts:// or wss:// url"),
    ],
)
def test_broker_contradictions(broker: dict[str, Any], expected: str) -> None:
    """What no single key can tell is checked, and the password is never part of the message."""
    with pytest.raises(SettingsError, match=expected) as caught:
        msgspec.convert(broker, BrokerSettings).check("b")
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    "broker",
    [
        {},
        {"url": "ws://h/a/b", "topics": ["$share/g/meters/#", "+/x"], "status_topic": "metriage/status"},
        {"url": "wss://h", "ca_file": "a", "cert_file": "c", "key_file": "k", "key_password_file": "p"},
        {"username_env": "U", "password_env": "P", "silent_after_s": 0, "reader": "stock"},
    ],
)
def test_broker_right(broker: dict[str, Any]) -> None:
    """What belongs together passes."""
    msgspec.convert(broker, BrokerSettings).check("b")


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        (
            {"columns": COLUMNS | {"volume": 4}},
            r"c\.columns: 'volume' is no field of a reading; allowed are meter_id, ts",
        ),
        ({"columns": COLUMNS, "constants": {"ts": "1"}}, r"c\.constants: ts is both a column and a constant"),
        ({"columns": {"meter_id": 1}}, r"c\.columns: a column for ts"),
        ({"columns": {"ts": 1}}, r"c\.columns: meter_id must be a column or a constant"),
        ({"columns": COLUMNS | {"seq": 0}}, r"c\.columns: columns are numbered from 1"),
        ({"columns": COLUMNS | {"seq": "n"}, "header": False}, r"c\.columns: column 'n' is given by name"),
        ({"columns": COLUMNS | {"seq": "n"}, "names": ["a"]}, r"c\.columns: column 'n' is not among names"),
        (
            {"columns": COLUMNS, "units": {"volume_m3": "pints"}},
            r"c\.units\.volume_m3: 'pints' is no unit .* m3, l, hl",
        ),
        (
            {"columns": COLUMNS, "units": {"battery_v": "mv"}},
            r"c\.units\.battery_v: battery_v has a unit but no column",
        ),
        ({"columns": COLUMNS, "units": {"meter_id": "l"}}, r"c\.units\.meter_id: .*allowed are none"),
        ({"columns": COLUMNS, "timezone": "Mars/Olympus"}, r"c\.timezone: 'Mars/Olympus' is no IANA time zone"),
        ({"columns": COLUMNS, "timezone": "../../etc/passwd"}, r"c\.timezone: .*is no IANA time zone"),
        ({"columns": COLUMNS, "time_format": "ISO"}, r"c\.time_format: 'ISO' is no time format"),
        ({"columns": COLUMNS, "time_format": "%Q"}, r"c\.time_format: "),
        ({"columns": COLUMNS, "time_format": "%H:%M:%S", "timezone": "UTC"}, r"c\.time_format: .*year, month and day"),
        ({"columns": COLUMNS, "time_format": "%d/%m/%Y"}, r"c\.timezone: times without a zone need timezone"),
        ({"columns": COLUMNS, "encoding": "klingon"}, r"c\.encoding: 'klingon' is no text encoding"),
        ({"columns": COLUMNS, "encoding": "utf-16"}, r"c\.encoding: 'utf-16' is no text encoding"),
        ({"columns": COLUMNS, "encoding": "hex"}, r"c\.encoding: 'hex' is no text encoding"),
        ({"columns": COLUMNS, "delimiter": '"'}, r"c\.delimiter: must be one character"),
        ({"columns": COLUMNS, "delimiter": "a"}, r"c\.delimiter: must be one character"),
    ],
)
def test_codec_mistakes(codec: dict[str, Any], expected: str) -> None:
    """A field, unit, zone, format or encoding that does not exist is named with what is allowed."""
    with pytest.raises(SettingsError, match=expected):
        msgspec.convert(codec, CodecSettings).check("c")


@pytest.mark.parametrize(
    "codec",
    [
        {"columns": COLUMNS},
        {"columns": {"ts": "t", "volume_m3": "v"}, "constants": {"meter_id": "m"}, "units": {"volume_m3": "l"}},
        {
            "columns": COLUMNS,
            "encoding": "gb18030",
            "delimiter": "\t",
            "time_format": "%y%m%d%H%M",
            "timezone": "Asia/Shanghai",
        },
        {"columns": COLUMNS, "encoding": "utf-8-sig", "delimiter": "|", "time_format": "%d %b %Y %H:%M %z"},
    ],
)
def test_codec_accepts(codec: dict[str, Any]) -> None:
    """Formats that exist in the field pass."""
    msgspec.convert(codec, CodecSettings).check("c")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (CodecSettings, {"columns": COLUMNS, "colums": {}}),
        (CodecSettings, {"columns": COLUMNS, "delimiter": ";;"}),
        (BrokerSettings, {"received_at": "whenever"}),
        (BrokerSettings, {"topics": []}),
        (BrokerSettings, {"keepalive_s": 1}),
        (IngestSettings, {"commit_interval_s": 0}),
        (IngestSettings, {"commit_messages": "many"}),
    ],
)
def test_settings_types_and_ranges(kind: type, value: dict[str, Any]) -> None:
    """Unknown keys, wrong types and values out of range are refused."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind)


def test_units_of_every_measure() -> None:
    """Every unit that the vocabulary's names end in can be converted, and is its own unit."""
    for name, column in MEASURES.items():
        if column.dtype == "float64":
            own = name.rsplit("_", 1)[-1]
            assert UNIT_DIVISORS[own][own] == 1
            assert unit_divisors(name) is UNIT_DIVISORS[own]
        else:
            assert unit_divisors(name) == {}
