"""``metriage inspections|reports|weather|works …``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lake.site_database import opened
from metriage import labels
from metriage.labels import printable
from metriage.options import AsOf, Dir, Json, emit, parse_as_of, reporting
from metriage.site import open_site

_HELP: Mapping[str, tuple[str, str, str]] = {
    "inspections": (
        "Import and list what technicians found on site.",
        "Take inspections from a file; rows that cannot be taken are listed.",
        "List inspections, the earliest of each meter first.",
    ),
    "reports": (
        "Import and list what customers reported.",
        "Take customer reports from a file; rows that cannot be taken are listed.",
        "List customer reports, the earliest of each meter first.",
    ),
    "weather": (
        "Import and list the weather of regions.",
        "Take measured and forecast days of regions from a file; rows that cannot be taken are listed.",
        "List one row a region and day: the measured one, else the newest forecast.",
    ),
    "works": (
        "Import and list planned works and outages.",
        "Take planned works and outages from a file; rows that cannot be taken are listed.",
        "List works and outages, the earliest of each region first.",
    ),
}


def input_group(name: str) -> typer.Typer:
    """Return the commands of one kind of facts: ``import`` and ``list``."""
    group_help, import_help, list_help = _HELP[name]
    group = typer.Typer(help=group_help, no_args_is_help=True)

    @group.command("import", help=import_help)
    @reporting
    def import_command(
        file: Annotated[
            Path, typer.Argument(metavar="FILE", help="CSV, XLSX or JSON; docs/inputs.md lists its columns.")
        ],
        folder: Dir = Path(),
        as_json: Json = False,
    ) -> int:
        return _import(name, file, folder, as_json=as_json)

    @group.command("list", help=list_help)
    @reporting
    def list_command(folder: Dir = Path(), as_of: AsOf = None, as_json: Json = False) -> None:
        _list(name, folder, as_of, as_json=as_json)

    return group


def _import(name: str, file: Path, folder: Path, *, as_json: bool) -> int:
    from lake.facts import KINDS, store  # noqa: PLC0415 - keeps the daemon small
    from metriage.importing import tell_import  # noqa: PLC0415
    from metriage.input_file import read_input  # noqa: PLC0415
    from metriage.input_forms import FORMS  # noqa: PLC0415

    site = open_site(folder)
    read = read_input(file, FORMS[name], site.settings.site.timezone)
    with opened(site.database) as connection:
        outcome = store(connection, KINDS[name], read.rows)
        if "meter_id" in read.columns:
            unknown = {"unregistered": _unregistered(connection, read.rows)}
        else:
            unknown = {"unknown_regions": _unknown_regions(connection, read.rows)}
    return tell_import(read, outcome, as_json=as_json, unknown=unknown)


def _unknown_regions(connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the regions of rows in which no meter is: they will explain nothing."""
    from lake.registry import regions  # noqa: PLC0415

    return sorted({row["region"] for row in rows} - regions(connection))


def _unregistered(connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the meters of rows that the registry knows neither by id nor by alias: often a slip of the pen."""
    from lake.registry import aliases, ids  # noqa: PLC0415

    known, names = ids(connection), aliases(connection)
    named = {row["meter_id"] for row in rows}
    return sorted(meter_id for meter_id in named if meter_id not in known and meter_id.lower() not in names)


def _list(name: str, folder: Path, as_of: str | None, *, as_json: bool) -> None:
    from lake.facts import KINDS, frame  # noqa: PLC0415

    site = open_site(folder)
    zone = site.settings.site.timezone
    moment = None if as_of is None else parse_as_of(as_of, zone)
    with opened(site.database) as connection:
        found = frame(connection, KINDS[name], moment, timezone=zone)
    if as_json:
        emit({name: found.to_dicts()})
        return
    for row in found.iter_rows(named=True):
        typer.echo(printable("  ".join(_shown(row))))
    typer.echo(f"{found.height:,} {name}" if name != "weather" else f"{found.height:,} days of regions")


def _shown(row: Mapping[str, Any]) -> Iterable[str]:
    """Yield what a row says: times and names as they are, the rest with the name of its column."""
    for column, value in row.items():
        if value is None or (value is False and column == "forecast"):
            continue
        if isinstance(value, bool):
            yield column if value else f"{column}=no"
        elif isinstance(value, float):
            yield f"{column}={value:g}"
        elif hasattr(value, "hour"):
            yield labels.moment(value)
        else:
            yield str(value)
