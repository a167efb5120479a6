"""``metriage profile …``."""

from __future__ import annotations

from dataclasses import asdict
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


@profiles.command()
@reporting
def learn(
    name: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Draft a profile of this id; without it, only list.")
    ] = None,
    unknown_to: Annotated[
        str | None, typer.Option("--unknown-to", metavar="ID", help="Only codes that this profile does not know.")
    ] = None,
    module_vendor: Annotated[str | None, typer.Option("--module-vendor", help="Only meters of it.")] = None,
    manufacturer: Annotated[str | None, typer.Option("--manufacturer", help="Only meters of it.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only meters of it.")] = None,
    folder: Dir = Path(),
    as_json: Json = False,
) -> None:
    """Show which unknown codes came, how often, where and beside which symptoms; draft a profile of them."""
    from metriage.profile_drafting import learn_from  # noqa: PLC0415
    from metriage.profile_learning import described  # noqa: PLC0415

    wanted = {"module_vendor": module_vendor, "manufacturer": manufacturer, "model": model}
    match = {key: value for key, value in wanted.items() if value is not None}
    found, file = learn_from(open_site(folder), name, unknown_to, match)
    if as_json:
        emit({"unknown_codes": [asdict(each) | {"suggestion": each.suggestion} for each in found], "file": file})
        return
    if not found:
        typer.echo("no unknown codes")
    for each in found:
        first, *rest = described(each)
        typer.echo(printable(first))
        for line in rest:
            typer.echo(printable(f"  {line}"))
    if file is not None:
        typer.echo(printable(f"draft to complete: {file}"))


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
