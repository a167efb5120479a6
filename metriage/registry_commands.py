"""``metriage registry …``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lake.meter import Meter
from lake.registry import aliases, meters, store
from lake.site_database import opened
from metriage.importing import tell_import
from metriage.input_file import read_input
from metriage.labels import printable
from metriage.options import AsOf, Dir, Json, emit, parse_as_of, reporting
from metriage.registry_file import REGISTRY_FORM, meter_of
from metriage.site import Site, open_site

if TYPE_CHECKING:
    import polars as pl

registry = typer.Typer(help="Import and list the meters of the site.", no_args_is_help=True)


@registry.command("import")
@reporting
def import_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, XLSX or JSON; docs/registry.md lists its columns.")
    ],
    folder: Dir = Path(),
    as_json: Json = False,
) -> int:
    """Take meters from a file into the registry; rows that cannot be taken are listed."""
    site = open_site(folder)
    read = read_input(file, REGISTRY_FORM, site.settings.site.timezone)
    with opened(site.database) as connection:
        outcome = store(connection, [meter_of(row) for row in read.rows], told=read.rows)
    return tell_import(read, outcome, as_json=as_json)


@registry.command("list")
@reporting
def list_command(
    folder: Dir = Path(),
    unregistered: Annotated[
        bool, typer.Option("--unregistered", help="Meters that report and are not registered.")
    ] = False,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """List the meters of the registry, or those that report without being in it."""
    site = open_site(folder)
    moment = None if as_of is None else parse_as_of(as_of, site.settings.site.timezone)
    with opened(site.database) as connection:
        known = list(meters(connection, moment))
        names = aliases(connection)
    if unregistered:
        _list_unregistered(site, {meter.meter_id for meter in known}, names, moment, as_json=as_json)
    elif as_json:
        emit({"meters": [{**asdict(meter), "aliases": list(meter.aliases)} for meter in known]})
    else:
        for meter in known:
            typer.echo(printable(_line(meter)))
        typer.echo(f"{len(known):,} meters")


def _line(meter: Meter) -> str:
    known = (meter.module_vendor, meter.manufacturer, meter.model, meter.firmware, meter.production_batch, meter.region)
    return "  ".join([meter.meter_id, *filter(None, known), *(f"={alias}" for alias in meter.aliases)])


def _list_unregistered(
    site: Site, known: set[str], names: Mapping[str, str], as_of: datetime | None, *, as_json: bool
) -> None:
    """List meters of the lake that are not registered; one stored under what became an alias later says so."""
    found = _reporting_meters(site, as_of)
    rows = [
        row | {"alias_of": names.get(row["meter_id"].lower())}
        for row in found.iter_rows(named=True)
        if row["meter_id"] not in known
    ]
    if as_json:
        emit({"unregistered": rows})
        return
    for row in rows:
        seen = f"{row['first_seen']:%Y-%m-%d %H:%M}  {row['last_seen']:%Y-%m-%d %H:%M}"
        alias = f"  (alias of {row['alias_of']})" if row["alias_of"] else ""
        typer.echo(printable(f"{row['meter_id']}  {seen}{alias}"))
    typer.echo(f"{len(rows):,} of {found.height:,} meters that report are not registered")


def _reporting_meters(site: Site, as_of: datetime | None) -> pl.DataFrame:
    """Return every meter of the lake with its first and last measuring time, by meter id."""
    import polars as pl  # noqa: PLC0415 - keeps the daemon small

    from lake.schemas import READINGS  # noqa: PLC0415

    readings = site.lake.scan(READINGS, received_by=as_of).select("meter_id", "ts")
    seen = readings.group_by("meter_id").agg(
        pl.col("ts").min().alias("first_seen"), pl.col("ts").max().alias("last_seen")
    )
    return seen.sort("meter_id").collect(engine="streaming")
