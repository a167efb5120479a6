"""``metriage batch …``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lake.errors import UsageError
from lake.vocabulary import BATCH_SCOPES
from metriage.options import AsOf, Dir, Json, emit, parse_as_of, reporting, with_evidence
from metriage.site import open_site

batch = typer.Typer(
    help="Lots, modules, regions and installers that fail more often than others.", no_args_is_help=True
)

Scope = Annotated[str | None, typer.Option("--scope", help=f"Which kind of group: {', '.join(BATCH_SCOPES)}.")]
Fault = Annotated[str | None, typer.Option("--fault", help="Only this fault.")]
Spoken = Annotated[
    Literal["en", "zh"] | None, typer.Option("--language", help="Of texts and pictures; default: the site's.")
]


@batch.command("list")
@reporting
def list_command(
    folder: Dir = Path(),
    every: Annotated[bool, typer.Option("--all", help="Groups that do not stand out, too.")] = False,
    scope: Scope = None,
    fault: Fault = None,
    as_of: AsOf = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", metavar="DIR", help="Draw a funnel and a timeline of every scope here.")
    ] = None,
    language: Spoken = None,
    as_json: Json = False,
) -> None:
    """List the groups of meters that stand out in the last diagnosis, those to act on first."""
    import polars as pl  # noqa: PLC0415 - keeps the daemon small

    from metriage.console import print_batches, say  # noqa: PLC0415
    from metriage.dossier import known_words, newest_groups, nothing_told, ranked  # noqa: PLC0415

    known_words(scope, fault)
    site = open_site(folder)
    spoken = language or site.settings.site.language
    moment = parse_as_of(as_of, site.settings.site.timezone)
    told = newest_groups(site, moment)
    wanted = [pl.col(name) == value for name, value in (("scope", scope), ("fault", fault)) if value is not None]
    looked_at = told.filter(*wanted)
    rows = ranked(looked_at if every else looked_at.filter(pl.col("verdict") != "normal"))
    drawn = _draw(site, looked_at, pictures, spoken) if pictures is not None else []
    if as_json:
        emit({"batch_findings": with_evidence(rows.to_dicts()), "pictures": drawn})
        return
    if told.is_empty():
        say(nothing_told(site, moment, spoken))
        return
    print_batches(rows, looked_at, spoken)
    for file in drawn:
        say(str(file))


@batch.command()
@reporting
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Lot, module vendor, region …: which group.")],
    folder: Dir = Path(),
    scope: Scope = None,
    fault: Fault = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder for the dossier; default: one of its own in reports/."),
    ] = None,
    as_of: AsOf = None,
    language: Spoken = None,
    as_json: Json = False,
) -> None:
    """Show a group of meters and write its dossier: a page with pictures, CSV, and Parquet of the raw evidence."""
    from metriage.console import print_dossier, say  # noqa: PLC0415 - keeps the daemon small
    from metriage.dossier import chosen, dossier, newest_groups, nothing_told  # noqa: PLC0415
    from metriage.dossier_page import folder_name, write_dossier  # noqa: PLC0415

    site = open_site(folder)
    spoken = language or site.settings.site.language
    moment = parse_as_of(as_of, site.settings.site.timezone)
    told = newest_groups(site, moment)
    if told.is_empty():
        raise UsageError(nothing_told(site, moment, "en"))
    rows = chosen(told, key, scope, fault)
    finding = rows.row(0, named=True)
    known = dossier(site, told, finding)
    page = write_dossier(known, out or site.reports / folder_name(finding), spoken)
    if as_json:
        emit(
            {
                "batch_findings": with_evidence(rows.to_dicts()),
                "meters": known.meters.to_dicts(),
                "excluded": known.excluded.to_dicts(),
                "forecasts": with_evidence(known.forecasts.to_dicts()),
                "dossier": page,
            }
        )
        return
    print_dossier(known, rows, spoken)
    say(str(page))


def _draw(site: Any, rows: Any, folder: Path, language: Any) -> list[Path]:
    """Draw what there is to see of every scope and fault."""
    from metriage.batch_pictures import funnel_picture, scope_timeline  # noqa: PLC0415
    from metriage.dossier import history_of  # noqa: PLC0415
    from metriage.dossier_page import writable  # noqa: PLC0415

    drawn = []
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for (scope, fault), part in rows.partition_by("scope", "fault", as_dict=True, maintain_order=True).items():
        if part["observed"].sum() == 0:
            continue
        told = {"scope": scope, "fault": fault, "language": language}
        drawn.append(funnel_picture(part, folder / f"funnel-{scope}-{fault}.png", **told))
        history = history_of(site.lake, part)
        drawn.append(scope_timeline(history, folder / f"timeline-{scope}-{fault}.png", **told))
    return drawn
