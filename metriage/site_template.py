"""``metriage init``: a site folder whose ``metriage.toml`` explains every key from its own definition."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from lake.errors import SiteFolderError
from metriage.settings import FILE, Settings

_HEAD = """\
# Settings of one metriage site. Every key is shown with what it means and its default; a line that starts with "# "
# and a key is that default. Take the "# " away to change it. Unknown keys are errors: `metriage doctor` checks.
"""

_CODEC_EXAMPLE = """\
# [codecs.example]                     # for: metriage ingest --from FILE --codec example
# columns = { meter_id = "user key", ts = "datetime", volume_m3 = "meter reading" }
# units = { volume_m3 = "l" }
# delimiter = ";"
# time_format = "%d/%m/%Y %H:%M:%S"
# timezone = "Europe/Madrid"
"""

_FOLDERS = ("profiles", "models", "reports", "lake", "spool")


def make_site(folder: Path) -> None:
    """Make a site folder; an existing ``metriage.toml`` is never overwritten.

    Raises
    ------
    SiteFolderError
        There is one already, or the folder cannot be made.
    """
    file = folder / FILE
    if file.exists():
        raise SiteFolderError(f"{file} exists already; nothing was changed")
    try:
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        file.write_text(settings_text(), encoding="utf-8")
    except OSError as error:
        raise SiteFolderError(f"{folder} cannot be made: {error}") from error


def settings_text() -> str:
    """Return ``metriage.toml`` with every key, its meaning, what is allowed and its default."""
    hints = get_type_hints(Settings, include_extras=True)
    parts = [_HEAD, *_table("site", hints["site"])]
    parts += _table("broker", get_args(hints["broker"])[0], array=True, shown=("url", "topics", "client_id"))
    parts += _table("ingest", hints["ingest"])
    parts += ["", "# How rows of delimited text become readings, one table a format. Keys:", _CODEC_EXAMPLE]
    parts += [line for line in _keys(get_args(hints["codecs"])[1], prefix="#   ") if line]
    parts += _table("webhook", get_args(hints["webhook"])[0], array=True, commented=True)
    parts += _table("tickets", hints["tickets"])
    parts += _table("profile", hints["profile"])
    parts += _rules("rules", hints["rules"])
    return "\n".join(parts) + "\n"


def _table(
    name: str, kind: Any, *, array: bool = False, commented: bool = False, shown: tuple[str, ...] = ()
) -> Iterator[str]:
    yield ""
    yield f"# {_summary(kind)}"
    header = f"[[{name}]]" if array else f"[{name}]"
    yield f"# {header}" if commented else header
    yield from _keys(kind, shown=shown)


def _rules(name: str, kind: Any) -> Iterator[str]:
    """Yield the tables of nested settings, every key commented out."""
    leaves = [field for field in msgspec.structs.fields(kind) if not _is_struct(field.type)]
    if leaves:
        yield ""
        yield f"# {_summary(kind)}"
        yield f"# [{name}]"
        yield from _keys(kind)
    for field in msgspec.structs.fields(kind):
        if _is_struct(field.type):
            yield from _rules(f"{name}.{field.encode_name}", _plain(field.type))


def _keys(kind: Any, prefix: str = "# ", shown: tuple[str, ...] = ()) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        if _is_struct(field.type):
            continue
        yield f"#   {_describe(field)}" if prefix == "# " else f"{prefix}{field.encode_name}: {_describe(field)}"
        if prefix == "# ":
            yield f"{'' if field.encode_name in shown else '# '}{field.encode_name} = {_default(field)}"


def _describe(field: msgspec.structs.FieldInfo) -> str:
    meta = _meta(field.type)
    text = (meta.description if meta is not None else None) or ""
    words = _words(field.type)
    if words:
        text += f" ({' | '.join(words)})"
    return text


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:
        return "# required"
    if value is None:
        return '""  # not set'
    return toml_value(value)


def toml_value(value: Any) -> str:
    """Return a value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | frozenset | set):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False)


def _meta(kind: Any) -> msgspec.Meta | None:
    if get_origin(kind) is Annotated:
        return next((item for item in get_args(kind)[1:] if isinstance(item, msgspec.Meta)), None)
    return None


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _words(kind: Any) -> list[str]:
    kind = _plain(kind)
    if get_origin(kind) is Literal:
        return [str(item) for item in get_args(kind)]
    if get_origin(kind) in {Union, types.UnionType}:
        return [word for item in get_args(kind) for word in _words(item)]
    return []


def _is_struct(kind: Any) -> bool:
    kind = _plain(kind)
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _summary(kind: Any) -> str:
    return (_plain(kind).__doc__ or "").strip().splitlines()[0]
