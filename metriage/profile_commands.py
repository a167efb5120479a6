"""``metriage profile …``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metriage.labels import printable
from metriage.options import Dir, Json, emit, reporting
from metriage.site import open_site

if TYPE_CHECKING:
    from metriage.profile_checking import FileReport

profiles = typer.Typer(help="Check vendor profiles, and draft them from unknown codes.", no_args_is_help=True)

_SIGNS = {"error": "WRONG", "warning": "look "}


@profiles.command()
@reporting
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Data files; without any, profiles/ of the site.")
    ] = None,
    folder: Dir = Path(),
    as_json: Json = False,
) -> int:
    """Look for wrong keys, overlaps and ties in vendor profiles, and run their cases."""
    from metriage.profile_checking import check_files  # noqa: PLC0415 - keeps the daemon small

    reports = check_files(files or [], folder if files else open_site(folder).folder)
    is_right = all(report.is_right for report in reports)
    if as_json:
        emit({"ok": is_right, "profiles": [_document(report) for report in reports]})
    else:
        for report in reports:
            _tell(report)
    return 0 if is_right else 1


def _document(report: FileReport) -> dict[str, Any]:
    return {
        "file": report.file,
        "id": report.id,
        "version": report.version,
        "ok": report.is_right,
        "problems": [{"level": each.level, "key": each.key, "text": each.text} for each in report.problems],
        "cases": report.cases,
        "failures": [each._asdict() for each in report.failures],
    }


def _tell(report: FileReport) -> None:
    name = f": {report.id}, version {report.version}" if report.id is not None else ""
    typer.echo(printable(f"{report.file}{name}"))
    for problem in report.problems:
        typer.echo(printable(f"  {_SIGNS[problem.level]} {problem}"))
    for failure in report.failures:
        typer.echo(printable(f"  WRONG case[{failure.case}].{failure.what}"))
        typer.echo(printable(f"        expected {failure.expected}"))
        typer.echo(printable(f"        found    {failure.found}"))
    if report.cases:
        wrong = len({failure.case for failure in report.failures})
        typer.echo(f"  {report.cases} cases, {f'{wrong} wrong' if wrong else 'all as expected'}")
