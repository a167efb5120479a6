"""What commands print for people: tables and progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from lake.vocabulary import QUARANTINE_REASONS

console = Console()


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
