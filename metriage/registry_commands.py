"""``metriage registry …``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lake.registry import aliases, store
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
    after_removal: Annotated[
        bool, typer.Option("--after-removal", help="Meters that report after the day of their removal.")
    ] = False,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """List the meters of the registry, or those that report without being in it or after their removal."""
    from metriage.site_facts import registry_as_of, successions  # noqa: PLC0415 - keeps the daemon small

    site = open_site(folder)
    zone = site.settings.site.timezone
    moment = None if as_of is None else parse_as_of(as_of, zone)
    with opened(site.database) as connection:
        known = registry_as_of(connection, moment, zone)
        names = aliases(connection)
        successors = successions(connection, moment)
    if unregistered:
        _list_unregistered(site, set(known["meter_id"]), names, successors, moment, as_json=as_json)
    elif after_removal:
        _list_after_removal(site, known, moment, as_json=as_json)
    elif as_json:
        emit({"meters": known.to_dicts()})
    else:
        for meter in known.iter_rows(named=True):
            typer.echo(printable(_line(meter)))
        typer.echo(f"{known.height:,} meters")


def _line(meter: Mapping[str, Any]) -> str:
    shown = ("module_vendor", "manufacturer", "model", "firmware", "production_batch", "region")
    removed = [f"removed {meter['removed_on']}"] if meter["removed_on"] else []
    known = (meter[name] for name in shown if meter[name])
    return "  ".join([meter["meter_id"], *known, *(f"={alias}" for alias in meter["aliases"]), *removed])


def _list_unregistered(
    site: Site,
    known: set[str],
    names: Mapping[str, str],
    successors: Mapping[str, str],
    as_of: datetime | None,
    *,
    as_json: bool,
) -> None:
    """List meters of the lake that are not registered; one that became an alias or took a place since says so."""
    found = _reporting_meters(site, as_of)
    rows = [
        row | {"alias_of": names.get(row["meter_id"].lower()), "in_place_of": successors.get(row["meter_id"])}
        for row in found.iter_rows(named=True)
        if row["meter_id"] not in known
    ]
    if as_json:
        emit({"unregistered": rows})
        return
    for row in rows:
        alias = f"  (alias of {row['alias_of']})" if row["alias_of"] else ""
        place = f"  (in place of {row['in_place_of']})" if row["in_place_of"] else ""
        typer.echo(printable(f"{row['meter_id']}  {_seen(row)}{alias}{place}"))
    typer.echo(f"{len(rows):,} of {found.height:,} meters that report are not registered")


def _list_after_removal(site: Site, known: pl.DataFrame, as_of: datetime | None, *, as_json: bool) -> None:
    """List meters whose readings go on after their record has ended: put up elsewhere, or a slip in the registry."""
    import polars as pl  # noqa: PLC0415 - keeps the daemon small

    from diagnostics.local_day import with_local_day  # noqa: PLC0415

    removed = known.select("meter_id", "timezone", "removed_on").drop_nulls("removed_on")
    found = _reporting_meters(site, as_of).join(removed, on="meter_id")
    local = with_local_day(found.with_columns(pl.col("last_seen").alias("ts")), removed, site.settings.site.timezone)
    late = local.filter(pl.col("day") > pl.col("removed_on")).select(
        "meter_id", "removed_on", "first_seen", "last_seen"
    )
    if as_json:
        emit({"after_removal": late.to_dicts()})
        return
    for row in late.iter_rows(named=True):
        typer.echo(printable(f"{row['meter_id']}  {_seen(row)}  removed {row['removed_on']}"))
    typer.echo(f"{late.height:,} meters report after their removal")


def _seen(row: Mapping[str, Any]) -> str:
    return f"{row['first_seen']:%Y-%m-%d %H:%M}  {row['last_seen']:%Y-%m-%d %H:%M}"


def _reporting_meters(site: Site, as_of: datetime | None) -> pl.DataFrame:
    """Return every meter of the lake with its first and last measuring time, by meter id."""
    import polars as pl  # noqa: PLC0415 - keeps the daemon small

    from lake.schemas import READINGS  # noqa: PLC0415

    readings = site.lake.scan(READINGS, received_by=as_of).select("meter_id", "ts")
    seen = readings.group_by("meter_id").agg(
        pl.col("ts").min().alias("first_seen"), pl.col("ts").max().alias("last_seen")
    )
    return seen.sort("meter_id").collect(engine="streaming")
