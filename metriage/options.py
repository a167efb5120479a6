"""What the commands share: common options, time arguments, errors to exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec
from zoneinfo import ZoneInfo

import typer

from ingest.local_time import parse_time
from lake.errors import DecodingError, MetriageError, UsageError
from metriage.labels import printable

INCOMPLETE = 3  # exit code: done, but something was quarantined or not delivered

Dir = Annotated[Path, typer.Option("--dir", help="Site folder.", show_default="here")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="ISO 8601 time with offset, or a date: its end; default: now."),
]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DURATION = re.compile(r"(\d{1,6})([dh])", re.ASCII)

_NO_TIME = "{!r} is no time such as 2024-07-09 (the end of that day) or 2024-07-09T12:00:00Z"

_P = ParamSpec("_P")


def reporting(command: Callable[_P, int | None]) -> Callable[_P, None]:
    """Turn the product's errors into a message and an exit code, and a returned number into an exit code."""

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except MetriageError as error:
            typer.echo(f"metriage: {printable(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from error
        raise typer.Exit(code or 0)

    return run


def parse_as_of(text: str | None, timezone: str) -> datetime:
    """Return an as-of time; a bare date means the end of that local day, nothing means now.

    Raises
    ------
    UsageError
        It is no time.
    """
    if text is None:
        return datetime.now(UTC)
    try:
        if _DATE.fullmatch(text):
            return datetime.combine(
                date.fromisoformat(text) + timedelta(days=1), datetime.min.time(), ZoneInfo(timezone)
            ).astimezone(UTC)
        return datetime.fromtimestamp(parse_time(text, "time") / 1e6, UTC)
    except DecodingError as error:
        why = f": {error.detail}" if error.reason == "no_time_zone" else ""
        raise UsageError(f"{_NO_TIME.format(text)}{why}") from error
    except (ValueError, OverflowError) as error:
        raise UsageError(_NO_TIME.format(text)) from error


def parse_duration(text: str) -> timedelta:
    """Return a duration such as ``1d`` or ``12h``.

    Raises
    ------
    UsageError
        It is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise UsageError(f"{text!r} is no duration such as 1d or 12h")
    return timedelta(days=int(found[1])) if found[2] == "d" else timedelta(hours=int(found[1]))


def emit(document: Mapping[str, Any]) -> None:
    """Print one JSON object; times are ISO 8601, control characters are escaped."""
    text = json.dumps(document, ensure_ascii=False, indent=2, default=_plain)
    typer.echo(printable(text, escaped=True))


def with_evidence(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return findings or tickets for JSON: evidence and meter as lists and objects, not as texts of JSON."""
    texts = {"evidence", "meter"}
    return [{name: _decoded(value) if name in texts else value for name, value in row.items()} for row in rows]


def _decoded(text: Any) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
