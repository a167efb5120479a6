"""The settings of a site: ``metriage.toml``, checked as a whole before anything runs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from diagnostics.batch_settings import BatchSettings
from diagnostics.cohort_settings import CohortSettings
from diagnostics.settings import ProfileSettings, RuleSettings
from ingest.decoders import shapes
from ingest.settings import BrokerSettings, CodecSettings, IngestSettings, MetricsSettings, check_zone
from lake.errors import SettingsError
from lake.settings import CompactSettings, LakeSettings
from lake.vocabulary import FAULTS
from metriage.definitions import description, fields, is_table, item_type, summary, words
from metriage.schedule import DiagnosisSettings
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
    lake: LakeSettings = LakeSettings()
    compact: CompactSettings = CompactSettings()
    metrics: MetricsSettings = MetricsSettings()
    diagnosis: DiagnosisSettings = DiagnosisSettings()
    profile: ProfileSettings = ProfileSettings()
    rules: RuleSettings = RuleSettings()
    batches: BatchSettings = BatchSettings()
    cohort: CohortSettings = CohortSettings()
    tickets: TicketSettings = TicketSettings()
    webhook: tuple[WebhookSettings, ...] = ()

    @property
    def hard_severities(self) -> dict[str, int]:
        """The mildest severity of a hard code, by fault: one that its rule of codes can act on."""
        codes = {fault: getattr(self.rules, fault).codes for fault in FAULTS}
        limits = {fault: max(own.act_at_once_severity, own.act_severity) for fault, own in codes.items() if own.enabled}
        return {fault: limit for fault, limit in limits.items() if limit}


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
        raise _explained(error, plain, file) from error
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
        if name == "auto" or name in shapes():
            raise SettingsError(f'"{name}" is built in; choose another name', key=f"codecs.{name}")
        codec.check(f"codecs.{name}")
    settings.lake.check("lake")
    clients: set[tuple[str, str]] = set()
    for index, broker in enumerate(settings.broker):
        key = f"broker[{index}]"
        broker.check(key)
        if (broker.url, broker.client_id) in clients:
            raise SettingsError("two brokers share url and client_id; they would throw each other out",
                                key=f"{key}.client_id")  # fmt: skip
        clients.add((broker.url, broker.client_id))
        _check_codec(broker, key, settings)
    settings.metrics.check("metrics")
    settings.diagnosis.check("diagnosis")
    check_tickets(settings.tickets)
    check_webhooks(settings.webhook)


def _check_codec(broker: BrokerSettings, key: str, settings: Settings) -> None:
    for where, name in ((f"{key}.codec", broker.codec), *((f"{key}.topic_codecs", name) for name in
                                                          broker.topic_codecs.values())):  # fmt: skip
        if name == "auto" or name in shapes():
            continue
        codec = settings.codecs.get(name)
        if codec is None:
            known = ", ".join(["auto", *shapes(), *settings.codecs])
            raise SettingsError(f"there is no payload shape and no [codecs.{name}] of that name; known are {known}",
                                key=where)  # fmt: skip
        if not codec.by_number:
            raise SettingsError("a message has no header: give its columns by number, or names",
                                key=f"codecs.{name}.columns")  # fmt: skip


_AT = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`")
_MISSING = re.compile(r"missing required field `(?P<name>.*)`")
_WORD = re.compile(r"^Invalid enum value (?P<word>.*)")
_STEP = re.compile(r"\[(?P<place>\.\.\.|\d+)\]|(?P<name>[^.\[]+)")


def _explained(error: msgspec.ValidationError, plain: Mapping[str, Any], file: Path) -> SettingsError:
    """Say which key is wrong and what is allowed there, in the words of its definition."""
    found = _AT.match(str(error))
    what, path = (found["what"], found["path"]) if found else (str(error), "")
    key, kind = _located(path, plain)
    unknown, missing, word = _UNKNOWN.search(what), _MISSING.search(what), _WORD.match(what)
    if unknown:
        allowed = ", ".join(field.encode_name for field in fields(kind)) if is_table(kind) else "none"
        message = f"there is no such key; allowed here are {allowed}"
        key = f"{key}.{unknown['name']}".lstrip(".")
    elif missing:
        needed = next(field for field in fields(kind) if field.encode_name == missing["name"])
        message = f"is required: {description(needed.type)}"
        key = f"{key}.{missing['name']}".lstrip(".")
    elif word and words(kind):
        message = f"{word['word']} is not allowed; allowed are {', '.join(words(kind))}"
    else:
        meaning = summary(kind) if is_table(kind) else description(kind)
        message = f"{_in_words(what)}{f': {meaning}' * bool(meaning)}"
    return SettingsError(message, key=key or None, file=str(file))


def _in_words(what: str) -> str:
    """Return a decoder's complaint with the types in words.

    Examples
    --------
    >>> _in_words("Expected `int | null`, got `str`")
    'Expected a whole number, got a text'
    """
    kinds = {
        "object": "a table", "array": "a list", "str": "a text", "int": "a whole number", "float": "a number",
        "bool": "true or false", "datetime": "a time", "date": "a date",
    }  # fmt: skip
    return re.sub(
        r"`([a-z |]+)`",
        lambda found: " or ".join(kinds.get(kind, kind) for kind in found[1].split(" | ") if kind != "null"),
        what,
    )


def _located(path: str, plain: Any) -> tuple[str, Any]:
    """Return the key at a decoder's `path` with the names it leaves out, and the type defined there."""
    key, kind = "", Settings
    for step in _STEP.finditer(path):
        if step["name"]:
            kind = next(field.type for field in fields(kind) if field.encode_name == step["name"])
            key, plain = f"{key}.{step['name']}".lstrip("."), plain[step["name"]]
            continue
        kind = item_type(kind) or kind
        if step["place"] == "...":
            name = next(name for name, value in plain.items() if not _fits(value, kind))
            key, plain = f"{key}.{name}", plain[name]
        else:
            key, plain = f"{key}[{step['place']}]", plain[int(step["place"])]
    return key, kind


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
