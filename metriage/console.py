"""What commands print for people: tables and progress bars."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from lake.vocabulary import QUARANTINE_REASONS
from metriage.doctor import Check

# Piped into a file or another program there is no window to fit; narrow tables would only break words.
console = Console(width=None if sys.stdout.isatty() else 160)


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
        console.print(f"{document['readings']['conflict']:,} stored readings contradict another of the same time.")
    for reason, count in document["quarantine"].items():
        console.print(f"quarantined: {count:,} {reason} - {QUARANTINE_REASONS[reason]}")
    for source in document["sources"]:
        line = f"source {source['source']}: {source['messages']:,} messages, last at {source['last_message_at']}"
        console.print(Text(line))
    waiting = document["spool"]
    if waiting["messages"]:
        age = "" if waiting["oldest_s"] is None else f", the oldest for {waiting['oldest_s']:.0f} s"
        console.print(f"spool: {waiting['messages']:,} messages wait for the lake{age}")


def print_checks(checks: Iterable[Check]) -> int:
    """Print what ``metriage doctor`` sees as it sees it; return how many problems there are."""
    signs = {"ok": "[green]ok[/]", "warning": "[yellow]look[/]", "problem": "[red]WRONG[/]"}
    problems = 0
    for check in checks:
        console.print(f"{signs[check.level]:<16}", end="")
        console.print(Text(f"{check.subject}: {check.text}"))
        problems += check.level == "problem"
    return problems


def print_findings(findings: Sequence[Mapping[str, Any]]) -> None:
    """Print findings as a table, those to act on first."""
    table = Table(title="Findings", title_justify="left")
    for name in ("meter", "fault or condition", "verdict", "cause", "since", "rules"):
        table.add_column(name)
    order = {"act": 0, "watch": 1, "clear": 2, "refused": 3}
    for row in sorted(findings, key=lambda row: (order[row["verdict"]], row["kind"] != "fault", row["meter_id"])):
        since = f"{row['onset']:%Y-%m-%d}" if row["onset"] else ""
        cells = (row["meter_id"], row["fault"], row["verdict"], row["cause"] or "", since, " ".join(row["rules"] or []))
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


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


def print_tickets(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print tickets as a table."""
    table = Table(title="Tickets", title_justify="left")
    for name in ("ticket", "prio", "state", "meter", "fault", "cause", "first", "last", "n"):
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = (
            row["ticket_id"],
            str(row["priority"]),
            row["state"],
            row["meter_id"] or "",
            row["fault"],
            row["cause"],
            f"{row['first_seen']:%Y-%m-%d}",
            f"{row['last_seen']:%Y-%m-%d}",
            str(row["count"]),
        )
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


def print_ticket(row: Mapping[str, Any], lines: Sequence[str]) -> None:
    """Print one ticket: its fields, then lines of text such as its history."""
    table = Table(show_header=False, title=row["ticket_id"], title_justify="left")
    for name, value in row.items():
        if value not in (None, "", ()) and name != "evidence":
            table.add_row(name, Text(str(value)))
    console.print(table)
    for observation in json.loads(row["evidence"] or "[]"):
        facts = "; ".join(f"{key} {value}" for key, value in observation.items() if value not in (None, ""))
        console.print(Text(f"evidence: {facts}"))
    for line in lines:
        console.print(Text(line))
