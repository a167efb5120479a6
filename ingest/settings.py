"""Settings of the ingest stage: brokers, codecs, spool, lake writing. A description is the key's documentation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from lake.errors import SettingsError
from lake.settings import LakeSettings
from lake.vocabulary import MEASURES

ReceivedAt = Literal["clock", "envelope"]

# Factors into the units of the vocabulary. Dividing by an integer keeps 68321 l equal to the decimal 68.321 m³.
UNIT_DIVISORS: dict[str, dict[str, float]] = {
    "m3": {"m3": 1, "l": 1000, "hl": 10, "dl": 10000, "ml": 1_000_000, "gal_us": 264.1720523581484},
    "m3h": {"m3h": 1, "lh": 1000, "lmin": 1000 / 60, "ls": 1 / 3.6},
    "v": {"v": 1, "mv": 1000, "cv": 100, "dv": 10},
    "mv": {"mv": 1, "v": 0.001, "uv": 1000},
    "ma": {"ma": 1, "a": 0.001, "ua": 1000},
    "c": {"c": 1, "dc": 10, "cc": 100},
    "s": {"s": 1, "ms": 1000},
    "dbm": {"dbm": 1},
    "db": {"db": 1},
}

# Fields of a reading that a column of a delimited file may fill.
COLUMN_FIELDS = ("meter_id", "ts", "source", "seq", *MEASURES, "status", "error_codes", "firmware", "valid")


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One MQTT broker to subscribe to."""

    url: Annotated[str, Meta(description="mqtt:// (port 1883) or mqtts:// (TLS, port 8883), host and port")] = (
        "mqtt://127.0.0.1:1883"
    )
    topics: Annotated[
        tuple[str, ...], Meta(min_length=1, description="topic filters; a + before /readings carries the meter id")
    ] = ("meters/+/readings",)
    client_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="stable and unique on the broker: it names the session in which the broker keeps messages",
        ),
    ] = "metriage"
    codec: Annotated[
        str, Meta(description='"native" (the JSON of the contract) or the NAME of a [codecs.NAME] table')
    ] = "native"
    source: Annotated[
        str, Meta(min_length=1, description="name of this source for readings that do not carry their own")
    ] = "default"
    received_at: Annotated[
        ReceivedAt,
        Meta(description='"clock", or "envelope" for replays: payloads are {"topic", "received_at", "payload"}'),
    ] = "clock"
    username: Annotated[str | None, Meta(description="user name, where the broker asks for one")] = None
    password_file: Annotated[str | None, Meta(description="file that holds the password (mode 0600)")] = None
    password_env: Annotated[str | None, Meta(description="environment variable that holds the password")] = None
    ca_file: Annotated[str | None, Meta(description="CA certificates for mqtts://; default: the system's")] = None
    protocol: Annotated[
        Literal["auto", "5", "3.1.1"], Meta(description="MQTT version; auto tries 5 and falls back to 3.1.1")
    ] = "auto"
    keepalive_s: Annotated[int, Meta(ge=5, le=65535, description="MQTT keep-alive [s]")] = 30
    session_expiry_s: Annotated[
        int, Meta(ge=0, le=4294967295, description="how long the broker keeps our session while we are away [s]")
    ] = 30 * 86400
    receive_maximum: Annotated[
        int, Meta(ge=1, le=65535, description="unacknowledged messages we let the broker send (MQTT 5)")
    ] = 2000

    def check(self, key: str) -> None:
        """Check what no single field can; `key` is the dotted path of this table.

        Raises
        ------
        SettingsError
            Keys contradict each other, or the URL is no broker's.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise SettingsError(f"{self.url!r} is no broker; allowed is mqtt://host[:port] or mqtts://host[:port]",
                                key=f"{key}.url")  # fmt: skip
        if parts.username or parts.password:
            raise SettingsError("credentials do not belong into the URL; use username and password_file",
                                key=f"{key}.url")  # fmt: skip
        if self.password_file and self.password_env:
            raise SettingsError("at most one of password_file and password_env may be set", key=f"{key}.password_file")
        if (self.password_file or self.password_env) and not self.username:
            raise SettingsError("a password needs a username", key=f"{key}.username")
        if self.ca_file and parts.scheme != "mqtts":
            raise SettingsError("ca_file needs an mqtts:// url", key=f"{key}.ca_file")


class CodecSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the rows of a delimited text (CSV) become readings: ``[codecs.NAME]``."""

    columns: Annotated[
        dict[str, int | str], Meta(description="reading field = column: its number from 1, or its name in the header")
    ]
    delimiter: Annotated[str, Meta(min_length=1, max_length=1, description="between the columns")] = ","
    header: Annotated[bool, Meta(description="whether the first line of a file names the columns")] = True
    names: Annotated[
        tuple[str, ...], Meta(description="column names where the text has no header (needed over MQTT with names)")
    ] = ()
    units: Annotated[
        dict[str, str], Meta(description='unit of a column where it is not the field\'s own, e.g. volume_m3 = "l"')
    ] = {}
    constants: Annotated[
        dict[str, str], Meta(description="fields that no column carries, e.g. meter_id of a single-meter file")
    ] = {}
    ignore: Annotated[
        tuple[int | str, ...], Meta(description="columns not to keep; all others that no field uses go to `extra`")
    ] = ()
    time_format: Annotated[
        str, Meta(description='"iso", "epoch_s", "epoch_ms", or a strptime pattern such as %d/%m/%Y %H:%M:%S')
    ] = "iso"
    timezone: Annotated[
        str | None, Meta(description="IANA zone of times that carry none, e.g. Europe/Madrid; none: zone required")
    ] = None
    encoding: Annotated[str, Meta(description="text encoding of the file, e.g. utf-8 or gb18030")] = "utf-8"
    source: Annotated[str, Meta(min_length=1, description="source name of the readings")] = "default"

    def check(self, key: str) -> None:
        """Check what no single field can; `key` is the dotted path of this table.

        Raises
        ------
        SettingsError
            A field, unit, zone or time format is unknown, or neither a column nor a constant names the meter.
        """
        for field in (*self.columns, *self.constants):
            if field not in COLUMN_FIELDS:
                raise SettingsError(f"{field!r} is no field of a reading; allowed are {', '.join(COLUMN_FIELDS)}",
                                    key=f"{key}.columns")  # fmt: skip
        both = sorted(set(self.columns) & set(self.constants))
        if both:
            raise SettingsError(f"{both[0]} is both a column and a constant; keep one", key=f"{key}.constants")
        if "ts" not in self.columns:
            raise SettingsError("a column for ts (the measuring time) is required", key=f"{key}.columns")
        if "meter_id" not in self.columns and "meter_id" not in self.constants:
            raise SettingsError("meter_id must be a column or a constant", key=f"{key}.columns")
        self._check_text(key)
        self._check_columns(key)
        self._check_units(key)
        self._check_time(key)

    def _check_text(self, key: str) -> None:
        if self.delimiter in '"\r\n' or self.delimiter.isalnum():
            raise SettingsError("must be one character that is neither a quote, a line end, a letter nor a digit",
                                key=f"{key}.delimiter")  # fmt: skip
        try:
            written = "09AZaz;,\t\r\n".encode(self.encoding)
        except (LookupError, UnicodeError):
            written = b""
        if not written.endswith(b"09AZaz;,\t\r\n"):
            raise SettingsError(f"{self.encoding!r} is no text encoding that extends ASCII, such as utf-8 or gb18030",
                                key=f"{key}.encoding")  # fmt: skip

    def _check_columns(self, key: str) -> None:
        named = [column for column in (*self.columns.values(), *self.ignore) if isinstance(column, str)]
        if named and not self.header and not self.names:
            raise SettingsError(f"column {named[0]!r} is given by name, so header = true or names are needed",
                                key=f"{key}.columns")  # fmt: skip
        missing = [column for column in named if self.names and column not in self.names]
        if missing:
            raise SettingsError(f"column {missing[0]!r} is not among names", key=f"{key}.columns")
        numbers = [column for column in (*self.columns.values(), *self.ignore) if isinstance(column, int)]
        if any(number < 1 for number in numbers):
            raise SettingsError("columns are numbered from 1", key=f"{key}.columns")

    def _check_units(self, key: str) -> None:
        for field, unit in self.units.items():
            allowed = unit_divisors(field)
            if field not in self.columns:
                raise SettingsError(f"{field} has a unit but no column", key=f"{key}.units.{field}")
            if unit not in allowed:
                raise SettingsError(f"{unit!r} is no unit of {field}; allowed are {', '.join(allowed) or 'none'}",
                                    key=f"{key}.units.{field}")  # fmt: skip

    def _check_time(self, key: str) -> None:
        if self.timezone is not None:
            check_zone(self.timezone, f"{key}.timezone")
        if self.time_format in {"iso", "epoch_s", "epoch_ms"}:
            return
        if "%" not in self.time_format:
            raise SettingsError(f"{self.time_format!r} is no time format; allowed are iso, epoch_s, epoch_ms or a "
                                "strptime pattern", key=f"{key}.time_format")  # fmt: skip
        sample = datetime(2024, 12, 31, 23, 58, 57, tzinfo=UTC)
        try:
            parsed = datetime.strptime(sample.strftime(self.time_format), self.time_format)  # noqa: DTZ007
        except ValueError as error:
            raise SettingsError(f"{self.time_format!r}: {error}", key=f"{key}.time_format") from error
        if parsed.date() != sample.date():
            raise SettingsError(f"{self.time_format!r} does not give year, month and day", key=f"{key}.time_format")
        if self.timezone is None and "%z" not in self.time_format:
            raise SettingsError("times without a zone need timezone, e.g. Europe/Madrid", key=f"{key}.timezone")

    @property
    def by_number(self) -> bool:
        """Whether a single line can be read without a header of its file."""
        columns = (*self.columns.values(), *self.ignore)
        return bool(self.names) or all(isinstance(column, int) for column in columns)


class IngestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Spool and lake writing: ``[ingest]``."""

    commit_interval_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="longest time from the spool to the lake [s]")
    ] = 60.0
    commit_messages: Annotated[
        int, Meta(ge=100, le=1_000_000, description="messages that make a commit before that time is over")
    ] = 100_000
    commit_bytes: Annotated[
        int, Meta(ge=1_000_000, description="bytes of messages that make a commit before that time is over [B]")
    ] = 64_000_000
    max_message_bytes: Annotated[int, Meta(ge=1_000, description="a larger message is quarantined undecoded [B]")] = (
        4_000_000
    )
    spool_limit_bytes: Annotated[
        int, Meta(ge=10_000_000, description="spool size at which acknowledging stops until the lake catches up [B]")
    ] = 20_000_000_000
    min_free_bytes: Annotated[int, Meta(ge=0, description="free disk space below which acknowledging stops [B]")] = (
        200_000_000
    )


class WriterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the lake writer's process is told: one JSON object on its standard input."""

    site: str
    timezone: str
    ingest: IngestSettings
    codecs: dict[str, CodecSettings]
    lake: LakeSettings = LakeSettings()


def unit_divisors(field: str) -> dict[str, float]:
    """Return the units that `field` may arrive in and the divisor of each; empty where it has no unit."""
    if field not in MEASURES or MEASURES[field].dtype != "float64":
        return {}
    return UNIT_DIVISORS.get(field.rsplit("_", 1)[-1], {})


def check_zone(name: str, key: str) -> None:
    """Check that `name` is an IANA time zone.

    Raises
    ------
    SettingsError
        It is not.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(f"{name!r} is no IANA time zone such as Europe/Madrid or Asia/Shanghai", key=key) from error
