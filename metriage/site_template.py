"""``metriage init``: a site folder whose ``metriage.toml`` explains every key from its own definition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import FieldInfo

from lake.errors import SiteFolderError
from metriage.definitions import default, description, fields, is_table, item_type, summary, toml_value, words
from metriage.settings import FILE, Settings

_HEAD = """\
# Settings of one metriage site: every key, what it means, its default.
#
# A line that starts with "# " and a key is a default; take the "# " away to change it. A line that starts with "#   "
# is an explanation, or an example of a key that is not set. Unknown keys are errors: `metriage doctor` checks."""

_CODEC_EXAMPLE = """\
#   [codecs.example]                     # for: metriage ingest --from FILE --codec example
#   columns = { meter_id = "user key", ts = "datetime", volume_m3 = "meter reading" }
#   units = { volume_m3 = "l" }
#   delimiter = ";"
#   time_format = "%d/%m/%Y %H:%M:%S"
#   timezone = "Europe/Madrid\""""

# What a key without a default may look like.
_EXAMPLES = {
    "username": "metriage",
    "password_file": "broker.password",
    "password_env": "METRIAGE_BROKER_PASSWORD",
    "ca_file": "ca.pem",
    "cert_file": "client.pem",
    "key_file": "client.key",
    "key_password_file": "secrets/broker-key-password",
    "username_env": "METRIAGE_BROKER_USERNAME",
    "status_topic": "metriage/status",
    "vendor": "generic",
    "keys_file": "meters.keys",
    "listen": "127.0.0.1:9464",
    "endpoint_url": "https://s3.example.org",
    "secret_key_file": "s3.secret",
    "url": "https://tickets.example.org/hooks/metriage",
    "secret_file": "webhook.secret",
    "secret_env": "METRIAGE_WEBHOOK_SECRET",
}

# A webhook needs these two; all else has a default.
_NEEDED = ("url", "secret_file")

_FOLDERS = ("profiles", "models", "reports", "lake", "spool")


def make_site(folder: Path) -> None:
    """Make a site folder; an existing ``metriage.toml`` is never overwritten.

    Raises
    ------
    SiteFolderError
        There is one already, or the folder cannot be made.
    """
    file = folder / FILE
    try:
        if file.exists():
            raise SiteFolderError(f"{file} exists already; nothing was changed")
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        file.write_text(settings_text(), encoding="utf-8")
    except OSError as error:
        raise SiteFolderError(f"{folder} cannot be made: {error.strerror or error}") from error


def settings_text() -> str:
    """Return ``metriage.toml`` with every key, its meaning, what is allowed and its default."""
    kinds = {field.encode_name: field.type for field in fields(Settings)}
    parts = [_HEAD, *_table("[site]", kinds["site"])]
    parts += _table("[[broker]]", item_type(kinds["broker"]), shown=("url", "topics", "client_id"))
    parts += _table("[ingest]", kinds["ingest"])
    parts += _table("[lake]", kinds["lake"])
    parts += _table("[compact]", kinds["compact"])
    parts += _table("[metrics]", kinds["metrics"])
    parts += _table("[diagnosis]", kinds["diagnosis"])
    parts += ["", "# How rows of delimited text (CSV) become readings, one table a format; for example:"]
    parts += [_CODEC_EXAMPLE, "#   All its keys:", *_codec_keys(item_type(kinds["codecs"]))]
    parts += _table("# [[webhook]]", item_type(kinds["webhook"]), needed=_NEEDED)
    parts += _table("[tickets]", kinds["tickets"])
    parts += _table("[profile]", kinds["profile"])
    parts += _table("[batches]", kinds["batches"])
    parts += _table("[cohort]", kinds["cohort"])
    parts += _rules("rules", kinds["rules"])
    return "\n".join(parts) + "\n"


def _table(header: str, kind: Any, *, shown: tuple[str, ...] = (), needed: tuple[str, ...] = ()) -> Iterator[str]:
    yield from ("", f"# {summary(kind)}", header)
    for field in fields(kind):
        if not is_table(field.type):
            yield f"#   {_explained(field)}"
            yield _line(field, shown=field.encode_name in shown, needed=field.encode_name in needed)


def _line(field: FieldInfo, *, shown: bool, needed: bool) -> str:
    name, value = field.encode_name, default(field)
    if needed:
        return f"# {name} = {toml_value(_EXAMPLES[name])}  # needed"
    if value is None:
        return f"#   {name} = {toml_value(_EXAMPLES.get(name, '...'))}  # not set"
    return f"{'' if shown else '# '}{name} = {toml_value(value)}"


def _codec_keys(kind: Any) -> Iterator[str]:
    for field in fields(kind):
        value = default(field)
        without = "required" if value is msgspec.NODEFAULT else "not set" if value is None else toml_value(value)
        yield f"#   - {field.encode_name}: {_explained(field)}; default: {without}".replace("; default: required", "")


def _rules(name: str, kind: Any) -> Iterator[str]:
    """Yield the tables of nested settings, every key commented out."""
    if any(not is_table(field.type) for field in fields(kind)):
        yield from _table(f"[{name}]", kind)
    for field in fields(kind):
        if is_table(field.type):
            yield from _rules(f"{name}.{field.encode_name}", field.type)


def _explained(field: FieldInfo) -> str:
    allowed = words(field.type)
    return description(field.type) + (f" ({' | '.join(allowed)})" if allowed else "")
