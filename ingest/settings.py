"""Settings of the ingest stage: brokers, codecs, spool, lake writing. A description is the key's documentation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from ingest.receiver.topic_filter import filter_mistake, is_shared, topic_mistake
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

_SCHEMES = ("mqtt", "mqtts", "ws", "wss")
_URLS = "mqtt://host[:port], mqtts://host[:port], ws://host[:port]/path or wss://host[:port]/path"


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One MQTT broker to subscribe to."""

    url: Annotated[
        str,
        Meta(
            description="mqtt:// (port 1883), mqtts:// (TLS, port 8883), ws:// (WebSocket, port 80) or wss:// (port "
            "443), host and port; for ws and wss also a path, default /mqtt"
        ),
    ] = "mqtt://127.0.0.1:1883"
    topics: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="topic filters; a + before /readings carries the meter id; $share/GROUP/FILTER shares the "
            "messages with the other members of GROUP",
        ),
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
        str,
        Meta(
            description='"native" (the JSON of the contract), another payload shape of docs/payloads.md, "auto" (the '
            "shape that topic or content show), or the NAME of a [codecs.NAME] table"
        ),
    ] = "native"
    topic_codecs: Annotated[
        dict[str, str], Meta(description="codecs of single topics: topic filter = codec; the first that matches holds")
    ] = {}
    vendor: Annotated[
        str | None,
        Meta(description="vendor profile of all meters of this source; default: the registry's match"),
    ] = None
    topic_vendors: Annotated[
        dict[str, str], Meta(description="vendor profiles of single topics: topic filter = profile")
    ] = {}
    source: Annotated[
        str, Meta(min_length=1, description="name of this source for readings that do not carry their own")
    ] = "default"
    received_at: Annotated[
        ReceivedAt,
        Meta(description='"clock", or "envelope" for replays: payloads are {"topic", "received_at", "payload"}'),
    ] = "clock"
    username: Annotated[str | None, Meta(description="user name, where the broker asks for one")] = None
    username_env: Annotated[str | None, Meta(description="environment variable that holds the user name")] = None
    password_file: Annotated[str | None, Meta(description="file that holds the password (mode 0600)")] = None
    password_env: Annotated[str | None, Meta(description="environment variable that holds the password")] = None
    ca_file: Annotated[
        str | None, Meta(description="CA certificates for mqtts:// and wss://; default: the system's")
    ] = None
    cert_file: Annotated[
        str | None, Meta(description="our certificate (PEM), where the broker asks clients for one")
    ] = None
    key_file: Annotated[str | None, Meta(description="private key of cert_file (PEM, mode 0600)")] = None
    key_password_file: Annotated[str | None, Meta(description="file that holds the password of key_file")] = None
    protocol: Annotated[
        Literal["auto", "5", "3.1.1"], Meta(description="MQTT version; auto tries 5 and falls back to 3.1.1")
    ] = "auto"
    keepalive_s: Annotated[int, Meta(ge=5, le=65535, description="MQTT keep-alive [s]")] = 30
    session_expiry_s: Annotated[
        int, Meta(ge=0, le=4294967295, description="how long the broker keeps our session while we are away [s]")
    ] = 30 * 86400
    receive_maximum: Annotated[
        int, Meta(ge=1, le=65535, description="unacknowledged messages we let the broker send (MQTT 5)")
    ] = 10_000
    silent_after_s: Annotated[
        int,
        Meta(
            ge=0,
            description="connected and no message for so long: warn and subscribe again, then connect again; 0 = never "
            "[s]",
        ),
    ] = 3600
    status_topic: Annotated[
        str | None,
        Meta(description="topic on which we keep a retained JSON that says whether we are online (last will)"),
    ] = None
    reader: Annotated[
        Literal["auto", "stock"],
        Meta(description="auto reads many messages at once; stock leaves reading to paho, packet by packet, slower"),
    ] = "auto"

    def check(self, key: str) -> None:
        """Check what no single field can; `key` is the dotted path of this table.

        Raises
        ------
        SettingsError
            Keys contradict each other, the URL is no broker's or a topic filter is none.
        """
        scheme = self._check_url(f"{key}.url")
        for topic in self.topics:
            mistake = filter_mistake(topic)
            if mistake is not None:
                raise SettingsError(f"{topic!r} is no topic filter: {mistake}", key=f"{key}.topics")
        for name in ("topic_codecs", "topic_vendors"):
            for topic in getattr(self, name):
                mistake = filter_mistake(topic)
                if mistake is not None or is_shared(topic):
                    raise SettingsError(f"{topic!r} is no topic filter: {mistake or 'write it without $share/GROUP/'}",
                                        key=f"{key}.{name}")  # fmt: skip
        mistake = None if self.status_topic is None else topic_mistake(self.status_topic)
        if mistake is not None:
            raise SettingsError(f"{self.status_topic!r} is no topic: {mistake}", key=f"{key}.status_topic")
        self._check_secrets(key)
        for name in ("ca_file", "cert_file"):
            if getattr(self, name) and scheme not in {"mqtts", "wss"}:
                raise SettingsError(f"{name} needs an mqtts:// or wss:// url", key=f"{key}.{name}")

    def _check_url(self, key: str) -> str:
        """Check the address without ever showing one that may hold a password; return its scheme."""
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as error:
            raise SettingsError(f"is no address; allowed is {_URLS}", key=key) from error
        if parts.username is not None or parts.password is not None or "@" in self.url:
            raise SettingsError("user and password do not belong into the address; use username and password_file",
                                key=key)  # fmt: skip
        if parts.scheme not in _SCHEMES or not parts.hostname or parts.port == 0:
            raise SettingsError(f"{self.url!r} is no broker; allowed is {_URLS}", key=key)
        if parts.query or parts.fragment or (parts.scheme in {"mqtt", "mqtts"} and parts.path not in {"", "/"}):
            raise SettingsError(f"{self.url!r} goes on behind host and port; only ws:// and wss:// have a path, and no "
                                "address has a ? or #", key=key)  # fmt: skip
        return parts.scheme

    def _check_secrets(self, key: str) -> None:
        for name in ("username", "password_file"):
            other = f"{name.removesuffix('_file')}_env"
            if getattr(self, name) and getattr(self, other):
                raise SettingsError(f"at most one of {name} and {other} may be set", key=f"{key}.{name}")
        if (self.password_file or self.password_env) and not (self.username or self.username_env):
            raise SettingsError("a password needs a username", key=f"{key}.username")
        if bool(self.cert_file) != bool(self.key_file):
            raise SettingsError("cert_file and key_file belong together; set both or none", key=f"{key}.cert_file")
        if self.key_password_file and not self.key_file:
            raise SettingsError("key_password_file needs key_file", key=f"{key}.key_password_file")


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
        dict[str, str],
        Meta(
            description='unit of a column where it is not the field\'s own, e.g. volume_m3 = "l"; status = "hex" where '
            "the status word is written in hexadecimal without 0x"
        ),
    ] = {}
    words: Annotated[
        dict[str, dict[str, str]],
        Meta(
            description='texts of a column that mean another one, e.g. valve_state = {"开" = "open", "关" = "closed"}; '
            'a text that means nothing stands for "": error_codes = {"正常" = ""}'
        ),
    ] = {}
    code_separator: Annotated[
        str | None,
        Meta(description="between codes in one cell; default: blanks and each of , ; | ， ； 、"),
    ] = None
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
    sheet: Annotated[
        str | int | None,
        Meta(description="sheet of a spreadsheet (.xlsx): its name or its number from 1; default: the first visible"),
    ] = None
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
        if self.code_separator == "":
            raise SettingsError("must be at least one character", key=f"{key}.code_separator")
        for field in self.words:
            if field not in self.columns:
                raise SettingsError(f"{field} has words but no column", key=f"{key}.words.{field}")

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
            allowed = ("hex",) if field == "status" else tuple(unit_divisors(field))
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


# A message is kept up to this size whatever the limit of decoding: what was refused must come back whole when the limit
# is raised. MQTT allows eight times as much, which no process that stays small can hold [B].
KEPT_BYTES = 32_000_000


class IngestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Spool and lake writing: ``[ingest]``."""

    commit_interval_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="longest time from the spool to the lake [s]")
    ] = 60.0
    hot_commit_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="the same for a message with a hard code that is new of its meter: one of the four faults, of "
            "a severity that rules.FAULT.codes acts on [s]",
        ),
    ] = 1.0
    commit_messages: Annotated[
        int, Meta(ge=100, le=1_000_000, description="messages that make a commit before that time is over")
    ] = 100_000
    commit_bytes: Annotated[
        int, Meta(ge=1_000_000, description="bytes of messages that make a commit before that time is over [B]")
    ] = 64_000_000
    max_message_bytes: Annotated[
        int,
        Meta(
            ge=1_000,
            le=KEPT_BYTES,
            description="a larger message is quarantined undecoded; up to 32,000,000 bytes are kept of it [B]",
        ),
    ] = 4_000_000
    keys_file: Annotated[
        str | None,
        Meta(description='file of mode 0600 with keys of encrypted meters, a line each: "meter or device id" = "hex"'),
    ] = None
    spool_limit_bytes: Annotated[
        int, Meta(ge=10_000_000, description="spool size at which acknowledging stops until the lake catches up [B]")
    ] = 20_000_000_000
    min_free_bytes: Annotated[int, Meta(ge=0, description="free disk space below which acknowledging stops [B]")] = (
        200_000_000
    )


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Metrics for Prometheus and health over HTTP: ``[metrics]``."""

    listen: Annotated[
        str | None,
        Meta(
            description="host:port of /metrics, /healthz and /readyz, e.g. 127.0.0.1:9464; not set: none. Every daemon "
            "of a machine needs a port of its own; there is no password, so bind to loopback or a closed network"
        ),
    ] = None
    ready_lag_s: Annotated[
        float, Meta(gt=0, description="/readyz says no while the lake is further behind than this [s]")
    ] = 600.0

    def check(self, key: str) -> None:
        """Check what no single field can; `key` is the dotted path of this table.

        Raises
        ------
        SettingsError
            The address is none.
        """
        if self.listen is not None:
            self.address(key)

    def address(self, key: str = "metrics") -> tuple[str, int]:
        """Return host and port of ``listen``.

        Raises
        ------
        SettingsError
            It is no address.
        """
        try:
            parts = urlsplit(f"//{self.listen}")
            if parts.hostname and parts.port and parts.netloc == self.listen and not parts.username:
                return parts.hostname, parts.port
        except ValueError:
            pass
        raise SettingsError(f"{self.listen!r} is no address; allowed is host:port, e.g. 127.0.0.1:9464 or [::1]:9464",
                            key=f"{key}.listen")  # fmt: skip


class WriterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the lake writer's process is told: one JSON object on its standard input.

    ``hot`` is the mildest severity of a hard code, by its family.
    """

    site: str
    timezone: str
    ingest: IngestSettings
    codecs: dict[str, CodecSettings]
    lake: LakeSettings = LakeSettings()
    hot: dict[str, int] = {}


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
