"""The settings of a site: ``metriage.toml``, checked as a whole before anything runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from diagnostics.settings import ProfileSettings, RuleSettings
from ingest.settings import BrokerSettings, CodecSettings, IngestSettings, check_zone
from lake.errors import SettingsError
from tickets.settings import TicketSettings, WebhookSettings, check_tickets, check_webhooks

FILE = "metriage.toml"


class SiteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The site as a whole."""

    timezone: Annotated[
        str, Meta(description="IANA zone of meters whose own zone is not registered, e.g. Asia/Shanghai")
    ] = "UTC"
    language: Annotated[Literal["en", "zh"], Meta(description="language of findings, tickets and pictures")] = "en"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything in ``metriage.toml``."""

    site: SiteSettings = SiteSettings()
    broker: tuple[BrokerSettings, ...] = (BrokerSettings(),)
    codecs: dict[str, CodecSettings] = {}
    ingest: IngestSettings = IngestSettings()
    profile: ProfileSettings = ProfileSettings()
    rules: RuleSettings = RuleSettings()
    tickets: TicketSettings = TicketSettings()
    webhook: tuple[WebhookSettings, ...] = ()


def load_settings(file: Path) -> Settings:
    """Return the settings in `file`.

    Raises
    ------
    SettingsError
        The file cannot be read, or a key is unknown, of the wrong type or contradictory; the message names key and
        file and says what is allowed.
    """
    try:
        plain = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror or error}", file=str(file)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"is no TOML: {error}", file=str(file)) from error
    try:
        settings = msgspec.convert(plain, Settings)
        check_settings(settings)
    except msgspec.ValidationError as error:
        raise _explained(error, file) from error
    except SettingsError as error:
        message = str(error).removeprefix(f"{error.key}:").strip()
        raise SettingsError(message, key=error.key, file=str(file)) from error
    return settings


def check_settings(settings: Settings) -> None:
    """Check what no single key can.

    Raises
    ------
    SettingsError
        Keys contradict each other.
    """
    check_zone(settings.site.timezone, "site.timezone")
    for name, codec in settings.codecs.items():
        if name == "native":
            raise SettingsError('"native" is the built-in codec; choose another name', key="codecs.native")
        codec.check(f"codecs.{name}")
    clients: set[tuple[str, str]] = set()
    for index, broker in enumerate(settings.broker):
        key = f"broker[{index}]"
        broker.check(key)
        if (broker.url, broker.client_id) in clients:
            raise SettingsError("two brokers share url and client_id; they would throw each other out",
                                key=f"{key}.client_id")  # fmt: skip
        clients.add((broker.url, broker.client_id))
        _check_codec(broker, key, settings)
    check_tickets(settings.tickets)
    check_webhooks(settings.webhook)


def _check_codec(broker: BrokerSettings, key: str, settings: Settings) -> None:
    if broker.codec == "native":
        return
    codec = settings.codecs.get(broker.codec)
    if codec is None:
        known = ", ".join(["native", *settings.codecs])
        raise SettingsError(f"there is no [codecs.{broker.codec}]; known are {known}", key=f"{key}.codec")
    if not codec.by_number:
        raise SettingsError("a message has no header: give its columns by number, or names",
                            key=f"codecs.{broker.codec}.columns")  # fmt: skip


_AT = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`")


def _explained(error: msgspec.ValidationError, file: Path) -> SettingsError:
    found = _AT.match(str(error))
    what, path = (found["what"], found["path"]) if found else (str(error), "")
    unknown = _UNKNOWN.search(what)
    if unknown:
        allowed = ", ".join(_keys_at(path)) or "none"
        key = f"{path}.{unknown['name']}".lstrip(".")
        return SettingsError(f"there is no such key; allowed here are {allowed}", key=key, file=str(file))
    return SettingsError(what, key=path or None, file=str(file))


def _keys_at(path: str) -> list[str]:
    """Return the keys of the table at `path` of the settings, by walking their definition."""
    kind: object = Settings
    for name in (part for part in re.split(r"[.\[]", path) if part):
        if name in {"...]", "..."} or name.rstrip("]").isdigit():
            kind = _item_type(kind)
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            kind = next((field.type for field in msgspec.structs.fields(kind) if field.encode_name == name), None)
        else:
            kind = _item_type(kind)
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [field.encode_name for field in msgspec.structs.fields(kind)]
    return []


def _bare(kind: object) -> object:
    return getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind


def _item_type(kind: object) -> object:
    arguments = [item for item in getattr(_bare(kind), "__args__", ()) if item is not Ellipsis]
    return arguments[-1] if arguments else None
