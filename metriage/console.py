"""What commands print for people: tables and progress bars.

Whatever comes from a meter, a broker or the lake reaches the terminal through :func:`metriage.labels.cell`, as plain
text: neither markup nor escape sequences in it have any effect.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from lake.vocabulary import QUARANTINE_REASONS
from metriage.doctor import Check
from metriage.labels import Language, cause_name, cell, evidence_lines, fault_name, joined, moment, printable, word

if TYPE_CHECKING:
    from tickets.desk import Explanation
    from tickets.store import Ticket

# Piped into a file or another program there is no window to fit; narrow tables would only break words.
console = Console(width=None if sys.stdout.isatty() else 160)


def say(text: str, *, indent: int = 0) -> None:
    """Print one plain text."""
    console.print(Padding(Text(printable(text), overflow="fold"), (0, 0, 0, indent), expand=False))


def print_account(document: dict[str, Any]) -> None:
    """Print what ``status --json`` holds as tables."""
    table = Table(title="Account", title_justify="left")
    names = ["received", "stored", "duplicate", "quarantined", "pending"]
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for kind in ("messages", "readings"):
        table.add_row(kind, *(f"{document[kind][name]:,}" for name in names))
    console.print(table)
    if document["readings"]["conflict"]:
        say(f"{document['readings']['conflict']:,} stored readings contradict another of the same time.")
    for reason, count in document["quarantine"].items():
        say(f"quarantined: {count:,} {reason} - {QUARANTINE_REASONS.get(reason, 'by another version of metriage')}")
    for source in document["sources"]:
        last = source["last_message_at"]
        say(f"source {source['source']}: {source['messages']:,} messages" + (f", last at {last}" if last else ""))
    waiting = document["spool"]
    if waiting["messages"]:
        age = "" if waiting["oldest_s"] is None else f", the oldest for {waiting['oldest_s']:.0f} s"
        say(f"spool: {waiting['messages']:,} messages wait for the lake{age}")


_SIGNS = {"ok": ("ok", "green"), "warning": ("look", "yellow"), "problem": ("WRONG", "bold red")}


def print_checks(checks: Iterable[Check]) -> int:
    """Print what ``metriage doctor`` sees as it sees it, in three columns; return how many problems there are."""
    problems = 0
    for check in checks:
        sign, style = _SIGNS[check.level]
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=5, no_wrap=True)
        grid.add_column(width=32)
        grid.add_column(overflow="fold")
        grid.add_row(Text(sign, style=style), Text(cell(check.subject), overflow="fold"), Text(printable(check.text)))
        console.print(grid)
        problems += check.level == "problem"
    return problems


_ORDER = {"act": 0, "watch": 1, "clear": 2, "refused": 3}


def print_findings(findings: Sequence[Mapping[str, Any]], language: Language = "en") -> None:
    """Print findings as a table, those to act on first, faults before conditions, and how many there are."""
    if not findings:
        say(word("no_findings", language))
        return
    names = ("meter", "fault_or_condition", "verdict", "cause", "onset", "rules")
    table = _table("findings", names, language)
    for row in sorted(findings, key=lambda row: (_ORDER[row["verdict"]], row["kind"] != "fault", row["meter_id"])):
        condition = f" ({word('condition', language)})" if row["kind"] != "fault" else ""
        table.add_row(
            *_cells(
                row["meter_id"],
                fault_name(row["fault"], language) + condition,
                word(row["verdict"], language),
                cause_name(row["cause"], language),
                f"{row['onset']:%Y-%m-%d}" if row["onset"] else "",
                " ".join(row["rules"] or []),
            )
        )
    console.print(table)
    counts = [sum(row["verdict"] == verdict for row in findings) for verdict in ("act", "watch", "clear")]
    say(word("findings_count", language).format(*counts, len({row["meter_id"] for row in findings})))


def _table(title: str, names: Sequence[str], language: Language) -> Table:
    table = Table(title=word(title, language), title_justify="left")
    for name in names:
        table.add_column(word(name, language), overflow="fold")
    return table


def _cells(*values: object) -> list[Text]:
    return [Text(cell(value)) for value in values]


@contextmanager
def feeding_progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how far files are: messages read, and messages in the lake."""
    if quiet or not sys.stderr.isatty():
        yield lambda _read, _done: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def tell(read: int, done: int) -> None:
            bar.update(task, description=f"{read:,} read, {done:,} in the lake", total=read, completed=done)

        yield tell


@contextmanager
def backtest_progress(*, quiet: bool, total: int) -> Iterator[Callable[[Any], None]]:
    """Show how far a back-test is."""
    if quiet or not sys.stderr.isatty():
        yield lambda _diagnosis: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("back-test", total=total)
        yield lambda _diagnosis: bar.update(task, advance=1)


def print_tickets(tickets: Sequence[Ticket], language: Language = "en") -> None:
    """Print tickets as a table."""
    if not tickets:
        say(word("no_tickets", language))
        return
    names = ("ticket", "priority", "state", "meter", "fault", "cause", "first_seen", "last_seen", "count")
    table = _table("tickets", names, language)
    for ticket in tickets:
        table.add_row(
            *_cells(
                ticket.ticket_id,
                ticket.priority,
                word(ticket.state, language),
                ticket.meter_id or "",
                fault_name(ticket.fault, language),
                cause_name(ticket.cause, language),
                f"{ticket.first_seen:%Y-%m-%d}",
                f"{ticket.last_seen:%Y-%m-%d}",
                ticket.count,
            )
        )
    console.print(table)
    say(word("tickets_count", language).format(len(tickets)))


def print_ticket(ticket: Ticket, language: Language = "en") -> None:
    """Print one ticket as its reader needs it: what, where, since when, what to do, what was seen."""
    table = Table(show_header=False, title=ticket.ticket_id, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _ticket_fields(ticket, language):
        if value:
            table.add_row(Text(word(name, language)), Text(value if name == "action" else cell(value)))
    console.print(table)
    _section("evidence", evidence_lines(ticket.evidence, language), language)


def _ticket_fields(ticket: Ticket, language: Language) -> Iterator[tuple[str, str]]:
    cause = cause_name(ticket.cause, language)
    if ticket.cause_confidence is not None and ticket.cause != "unknown":
        cause = word("confidence", language).format(cause, 100 * ticket.cause_confidence)
    yield "meter", ticket.meter_id or ""
    yield "fault", fault_name(ticket.fault, language)
    yield "cause", cause
    yield "priority", word("priority_of_4", language).format(ticket.priority)
    yield "state", word(ticket.state, language)
    if ticket.proposal is not None:
        yield "proposal", word("proposed", language).format(ticket.proposal.at[:16].replace("T", " ") + " UTC")
    yield "onset", moment(ticket.onset)
    yield "first_seen", moment(ticket.first_seen)
    yield "last_seen", moment(ticket.last_seen)
    yield "times_found", str(ticket.count)
    yield "finished_at", moment(ticket.finished_at)
    yield "rules", joined(ticket.rules, language)
    yield "action", cell(ticket.action)


def print_explanation(explanation: Explanation, language: Language = "en") -> None:
    """Print what led to a ticket, what was muted beside it, and what became of it."""
    print_ticket(explanation.ticket, language)
    _section("history", [
        f"{moment(entry.at)} {entry.actor}{word('colon', language)}{word(entry.what, language)} {entry.detail}"
        for entry in explanation.history
    ], language)  # fmt: skip
    _section("muted", [
        word("muted_line", language).format(
            fault=fault_name(muted.fault, language), by=fault_name(muted.inhibited_by, language),
            first=moment(muted.first_at), last=moment(muted.last_at), count=muted.count,
        )
        for muted in explanation.muted
    ], language)  # fmt: skip
    _section("deliveries", [
        f"{event.seq} {event.type} → {event.destination or word('nobody', language)}{word('colon', language)}"
        + word(event.state, language)
        + (f" ({event.last_error})" if event.last_error and event.state != "delivered" else "")
        for event in explanation.deliveries
    ], language)  # fmt: skip


def _section(title: str, lines: Sequence[str], language: Language) -> None:
    if lines:
        console.print(Text(word(title, language), style="bold"))
        for line in lines:
            say(line, indent=2)
