"""``metriage tickets …``."""

from __future__ import annotations

import getpass
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lake.site_database import opened
from metriage.labels import printable, word
from metriage.options import INCOMPLETE, AsOf, Dir, Json, emit, parse_as_of, reporting, with_evidence
from metriage.site import open_site
from tickets.delivery import DeliveryReport, deliver_due
from tickets.store import STATES, Ticket

tickets = typer.Typer(help="Open, look at, explain and close tickets.", no_args_is_help=True)

TicketId = Annotated[str, typer.Argument(metavar="ID", help="Ticket, such as T-000012 or 12.")]


@tickets.command("sync")
@reporting
def sync_command(folder: Dir = Path(), as_of: AsOf = None, as_json: Json = False) -> int:
    """Open, update and propose to resolve tickets from the findings, and deliver what is due."""
    from metriage.ticketing import sync_site  # noqa: PLC0415 - keeps the daemon small

    site = open_site(folder)
    report, delivery = sync_site(site, parse_as_of(as_of, site.settings.site.timezone))
    if as_json:
        emit({"sync": asdict(report), "delivery": asdict(delivery)})
    else:
        typer.echo(
            f"opened {report.opened}, reopened {report.reopened}, updated {report.updated}, repeated "
            f"{report.repeated}, proposed to resolve {report.proposed}, resolved {report.resolved}; "
            f"muted findings {report.muted}"
        )
        typer.echo(f"delivered {delivery.delivered}, waiting {delivery.pending}, given up {delivery.dead}")
        _tell_problems(delivery)
        if not site.settings.webhook:
            typer.echo("no [[webhook]] in metriage.toml: tickets stay here; see `metriage tickets list`")
    return 0 if delivery.is_complete else INCOMPLETE


@tickets.command("list")
@reporting
def list_command(
    folder: Dir = Path(),
    every: Annotated[bool, typer.Option("--all", help="Finished ones too.")] = False,
    meter: Annotated[str | None, typer.Option("--meter", help="Only of this meter.")] = None,
    fault: Annotated[str | None, typer.Option("--fault", help="Only of this fault.")] = None,
    as_json: Json = False,
) -> None:
    """List tickets, the most urgent first."""
    from metriage.console import print_tickets  # noqa: PLC0415
    from tickets import desk  # noqa: PLC0415

    site = open_site(folder)
    states: dict[str, Any] = {"states": STATES} if every else {}
    with opened(site.database) as connection:
        found = desk.list_tickets(connection, meter_id=meter, fault=fault, **states)
    if as_json:
        emit({"tickets": [_shown(ticket) for ticket in found]})
    else:
        print_tickets(found, site.settings.site.language)


@tickets.command()
@reporting
def show(ticket_id: TicketId, folder: Dir = Path(), as_json: Json = False) -> None:
    """Show one ticket, with a picture of why."""
    from metriage.console import print_ticket  # noqa: PLC0415
    from metriage.findings_pictures import draw_ticket  # noqa: PLC0415
    from tickets import desk  # noqa: PLC0415

    site = open_site(folder)
    with opened(site.database) as connection:
        ticket = desk.get(connection, ticket_id)
    picture = draw_ticket(site, ticket)
    if as_json:
        emit({**_shown(ticket), "picture": picture})
        return
    language = site.settings.site.language
    print_ticket(ticket, language)
    if picture:
        typer.echo(f"{word('picture', language)}: {picture}")


@tickets.command()
@reporting
def explain(ticket_id: TicketId, folder: Dir = Path(), as_json: Json = False) -> None:
    """Say why there is this ticket, what was muted, and what became of it."""
    from metriage.console import print_explanation  # noqa: PLC0415
    from tickets import desk  # noqa: PLC0415

    site = open_site(folder)
    with opened(site.database) as connection:
        explanation = desk.explain(connection, ticket_id)
    if as_json:
        emit({**asdict(explanation), "ticket": _shown(explanation.ticket)})
    else:
        print_explanation(explanation, site.settings.site.language)


@tickets.command()
@reporting
def note(
    ticket_id: TicketId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The note.")],
    folder: Dir = Path(),
    actor: Annotated[str | None, typer.Option("--by", help="Who writes it; default: the user.")] = None,
    as_json: Json = False,
) -> None:
    """Add a note to a ticket."""
    from tickets import desk  # noqa: PLC0415

    with opened(open_site(folder).database) as connection:
        desk.note(connection, ticket_id, text, at=datetime.now(UTC), actor=actor or _user())
        ticket = desk.get(connection, ticket_id)
    if as_json:
        emit(_shown(ticket))
    else:
        typer.echo(f"noted on {ticket.ticket_id}")


@tickets.command()
@reporting
def close(
    ticket_id: TicketId,
    folder: Dir = Path(),
    state: Annotated[
        Literal["closed", "resolved", "wont_fix"],
        typer.Option("--as", metavar="closed|resolved|wont_fix", help="How it ended; default: closed."),
    ] = "closed",
    reason: Annotated[str, typer.Option("--reason", help="A word why.")] = "",
    actor: Annotated[str | None, typer.Option("--by", help="Who closes it; default: the user.")] = None,
    as_json: Json = False,
) -> int:
    """Finish a ticket by hand, and deliver what is due."""
    from tickets import desk  # noqa: PLC0415

    site = open_site(folder)
    with opened(site.database) as connection:
        ticket = desk.close(
            connection,
            ticket_id,
            at=datetime.now(UTC),
            actor=actor or _user(),
            language=site.settings.site.language,
            state=state,
            reason=reason,
        )
        delivery = deliver_due(connection, site.settings.webhook, folder=site.folder)
    if as_json:
        emit(_shown(ticket))
    else:
        typer.echo(f"{ticket.ticket_id}: {word(ticket.state, site.settings.site.language)}")
        _tell_problems(delivery)
    return 0 if delivery.is_complete else INCOMPLETE


def _tell_problems(delivery: DeliveryReport) -> None:
    for name, problem in delivery.problems.items():
        typer.echo(printable(f"webhook {name}: {problem}"), err=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"user {os.getuid()}"


def _shown(ticket: Ticket) -> dict[str, Any]:
    return with_evidence([{"ticket_id": ticket.ticket_id, **asdict(ticket)}])[0]
