"""Settings as their own documentation: meaning, bounds, allowed words and default of a key, from its definition."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo


def fields(kind: Any) -> tuple[FieldInfo, ...]:
    """Return the keys of a table in the order of their definition."""
    return msgspec.structs.fields(bare(kind))


def bare(kind: Any) -> Any:
    """Return a type without its annotations."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def is_table(kind: Any) -> bool:
    """Tell whether a key is a table of its own."""
    kind = bare(kind)
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def item_type(kind: Any) -> Any:
    """Return what a list or a table of free names holds, None for anything else."""
    kind = bare(kind)
    if get_origin(kind) not in {tuple, list, dict}:
        return None
    return [item for item in get_args(kind) if item is not Ellipsis][-1]


def summary(kind: Any) -> str:
    """Return the first sentence about a table, for plain text."""
    return ((bare(kind).__doc__ or "").strip().splitlines() or [""])[0].replace("``", "")


def description(kind: Any) -> str:
    """Return what a key means; an annotation of an annotated type speaks before the inner one."""
    return next((meta.description for meta in reversed(_metas(kind)) if meta.description), "")


def words(kind: Any) -> list[str]:
    """Return the words that are allowed, empty where any value is."""
    kind = bare(kind)
    if get_origin(kind) is Literal:
        return [str(item) for item in get_args(kind)]
    if get_origin(kind) in {Union, types.UnionType, tuple, list}:
        return [word for item in get_args(kind) for word in words(item)]
    return []


def bounds(kind: Any) -> str:
    """Return the bounds of a number or length, such as ``5 to 65535``, empty where there are none."""
    limits = {name: value for meta in _metas(kind) for name, value in _limits(meta)}
    low = f"{limits['ge']:g} to" if "ge" in limits else f"above {limits['gt']:g} to" if "gt" in limits else "up to"
    if "le" in limits:
        return f"{low} {limits['le']:.10g}"
    if "lt" in limits:
        return f"{low} below {limits['lt']:.10g}"
    if "ge" in limits:
        return f"at least {limits['ge']:.10g}"
    return f"above {limits['gt']:.10g}" if "gt" in limits else ""


def kind_name(kind: Any) -> str:
    """Return the type of a key in the words of TOML."""
    kind = bare(kind)
    if get_origin(kind) in {Union, types.UnionType}:
        return " or ".join(kind_name(item) for item in get_args(kind) if item is not type(None))
    if get_origin(kind) in {tuple, list}:
        return f"list of {kind_name(item_type(kind))}"
    if get_origin(kind) is dict or is_table(kind):
        return "table"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(kind, "text")


def default(field: FieldInfo) -> Any:
    """Return the default of a key, ``msgspec.NODEFAULT`` where it is required."""
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default


def toml_value(value: Any) -> str:
    """Return a value in TOML.

    Examples
    --------
    >>> toml_value(("a", 2, True))
    '["a", 2, true]'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | frozenset | set):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False)


def markdown_table(names: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(names), "|" + "---|" * len(names), *(line(row) for row in rows)]


def _metas(kind: Any) -> list[msgspec.Meta]:
    if get_origin(kind) is not Annotated:
        return []
    return [item for item in get_args(kind)[1:] if isinstance(item, msgspec.Meta)]


def _limits(meta: msgspec.Meta) -> Iterator[tuple[str, float]]:
    for name in ("ge", "gt", "le", "lt"):
        value = getattr(meta, name)
        if value is not None:
            yield name, value
