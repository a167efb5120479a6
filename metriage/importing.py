"""What an import tells: counts, and every cell for which a row was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer

from lake.rows import Outcome
from metriage.input_file import InputFile, Problem
from metriage.labels import printable
from metriage.options import INCOMPLETE, emit

_UNKNOWN = {
    "unregistered": "meters that the registry does not know",
    "unknown_regions": "regions in which no registered meter is",
}
SHOWN = 50  # refused cells on the screen; all of them with --json


def tell_import(
    read: InputFile, outcome: Outcome, *, as_json: bool, unknown: Mapping[str, Sequence[str]] | None = None
) -> int:
    """Print what became of a file and return the exit code.

    Parameters
    ----------
    read : InputFile
        The file.
    outcome : Outcome
        What became of its rows.
    as_json : bool
        Print one JSON object.
    unknown : mapping of str to sequence of str, optional
        ``unregistered``, meters in it that the registry does not know, or ``unknown_regions``, regions without meters.
    """
    refused = [
        Problem(read.numbers[place], read.headers.get(error.column, error.column), error.message)
        for place, error in outcome.refused
    ]
    problems = sorted([*read.problems, *refused], key=lambda problem: problem.row)
    rows = len(read.rows) + len({problem.row for problem in read.problems})
    document: dict[str, Any] = {
        "file": read.name,
        "rows": rows,
        "new": outcome.new,
        "changed": outcome.changed,
        "unchanged": outcome.unchanged,
        "refused": [asdict(problem) for problem in problems],
        "ignored_columns": list(read.ignored),
    }
    document |= {name: list(values) for name, values in (unknown or {}).items()}
    if as_json:
        emit(document)
    else:
        _print(document, problems)
    return INCOMPLETE if problems else 0


def _print(document: dict[str, Any], problems: Sequence[Problem]) -> None:
    file = document["file"]
    for problem in problems[:SHOWN]:
        where = f", {problem.column}" if problem.column else ""
        typer.echo(printable(f"{file}, row {problem.row}{where}: {problem.problem}"), err=True)
    if len(problems) > SHOWN:
        typer.echo(f"… and {len(problems) - SHOWN:,} more cells; --json lists all", err=True)
    if document["ignored_columns"]:
        typer.echo(printable(f"columns that mean nothing here: {', '.join(document['ignored_columns'])}"))
    for name, what in _UNKNOWN.items():
        if unknown := document.get(name):
            more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
            typer.echo(printable(f"{what}: {', '.join(unknown[:5])}{more}"))
    counts = {name: document[name] for name in ("new", "changed", "unchanged")}
    counts["refused"] = len({problem.row for problem in problems})
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    typer.echo(printable(f"{file}: {document['rows']:,} rows: {told}"))
