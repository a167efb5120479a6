"""What commands print for people: tables and progress bars.

Whatever comes from a meter, a broker or the lake reaches the terminal through :func:`metriage.labels.cell`, as plain
text: neither markup nor escape sequences in it have any effect.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from lake.vocabulary import QUARANTINE_REASONS
from metriage.batch_sentences import sentences, title_of
from metriage.batch_texts import said, scope_title
from metriage.doctor import Check
from metriage.labels import Language, cause_name, cell, evidence_lines, fault_name, joined, moment, printable, word

if TYPE_CHECKING:
    import polars as pl

    from lake.compaction import TableUpkeep
    from metriage.dossier import Dossier
    from tickets.desk import Explanation
    from tickets.store import Ticket

_MOST_GROUPS = 60  # shown of a table of groups
_MANY = 100_000  # messages whose counting takes long enough to say so

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
    conflicts = document["readings"]["conflict"]
    if conflicts:
        verb = "contradicts" if conflicts == 1 else "contradict"
        say(f"{counted(conflicts, 'stored reading')} {verb} another of the same time.")
    _print_refused(document)
    silent = set(document.get("silent", ()))
    for source in document["sources"]:
        last = source["last_message_at"]
        parts = [counted(source["messages"], "message"), *([f"last at {last}"] if last else [])]
        parts += ["SILENT"] if source["source"] in silent else []
        say(f"source {cell(source['source'])}: {', '.join(parts)}")
    waiting = document["spool"]
    if waiting["messages"]:
        age = "" if waiting["oldest_s"] is None else f", the oldest for {duration(waiting['oldest_s'])}"
        verb = "waits" if waiting["messages"] == 1 else "wait"
        say(f"spool: {counted(waiting['messages'], 'message')} {verb} for the lake{age}")
    if "daemon" in document:
        print_overview(document)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, e.g. ``1 message`` or ``1,200 messages``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a time span in the largest unit that says enough.

    Examples
    --------
    >>> duration(42.4), duration(600), duration(200_000)
    ('42 s', '10 min', '56 h')
    """
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 180 * 60 else f"{seconds / 3600:.0f} h"


def print_replayed(document: dict[str, Any]) -> None:
    """Print what a replay did."""
    say(
        f"{counted(document['looked_at'], 'quarantined message')} looked at, {document['changed']:,} have another "
        f"outcome now, {document['quarantined']:,} still in quarantine"
    )
    for what in ("messages", "readings"):
        parts = [f"{count:+,} {name}" for name, count in document[what].items()]
        if parts:
            say(f"{what}: {', '.join(parts)}", indent=2)
    for reason, count in document["reasons"].items():
        say(f"{cell(reason)}: {count:+,}", indent=2)
    codes = document["codes"]
    say(
        f"codes of {counted(codes['days'], 'day')} translated again, {codes['changed_days']:,} with other rows; "
        f"unknown before {codes['unknown_before']:,}, now {codes['unknown_after']:,}"
    )
    if document["left_out"]:
        say(f"{counted(document['left_out'], 'row')} of an earlier release or another site's writer left alone")


def _print_refused(document: dict[str, Any]) -> None:
    examples = {example["reason"]: example for example in document.get("quarantine_examples", ())}
    for reason, count in document["quarantine"].items():
        meaning = QUARANTINE_REASONS.get(reason, "by another version of metriage")
        say(f"quarantined: {count:,} {cell(reason)} - {meaning}")
        if reason in examples:
            example = examples[reason]
            meter = f"meter {cell(example['meter_id'])}, " if example["meter_id"] else ""
            size = counted(example["payload_bytes"], "byte")
            say(f"newest: {meter}{cell(example['topic'])}: {cell(example['payload'])} ({size}); "
                f"{cell(example['detail'])}", indent=2)  # fmt: skip


def print_overview(document: dict[str, Any]) -> None:
    """Print what stands beside the account: short, and what is wrong first."""
    if document["holding"]:
        say(f"ACKNOWLEDGING IS STOPPED because {cell(document['holding'])}; nothing is lost, the broker keeps it")
    _print_daemon(document["daemon"])
    _print_diagnosis(document["diagnosis"])
    for disk in document["disk"]:
        say(f"disk {disk['folder']}/: {disk['free_bytes'] / 1e9:.1f} GB free of {disk['size_bytes'] / 1e9:.1f} GB")
    lake = document["lake"]
    if "error" in lake:
        say(f"lake: cannot be looked at: {cell(lake['error'])}")
    for table in lake.get("tables", ()):
        rows = "" if table["rows"] is None else f"{counted(table['rows'], 'row')} in "
        say(f"lake {table['table']}: {rows}{counted(table['files'], 'file')}, {table['bytes'] / 1e6:.1f} MB")
    gaps = document["gaps"]
    if gaps["count"]:
        newest = gaps["newest"]
        say(f"{counted(gaps['count'], 'gap')} in what was received; the newest: {cell(newest['kind'])} at "
            f"{cell(newest['broker'])}, from {newest['since']:%Y-%m-%d %H:%M:%S} to "
            f"{newest['until']:%Y-%m-%d %H:%M:%S} UTC")  # fmt: skip


def _print_daemon(daemon: dict[str, Any] | None) -> None:
    if daemon is None:
        say("daemon: not running, or it has just started")
        return
    writer = daemon["writer"]
    parts = [f"the lake is {duration(writer['lag_s'])} behind", counted(writer["commits"], "commit")]
    if not writer["alive"]:
        parts.append("the lake writer does NOT run")
    if writer["restarts"]:
        parts.append(f"lake writer started again {counted(writer['restarts'], 'time')}")
    if writer["failure"]:
        parts.append(f"the last attempt FAILED: {cell(writer['failure'])}")
    say(f"daemon: process {daemon['pid']}, {', '.join(parts)}")
    for broker in daemon["brokers"]:
        say(f"broker {cell(broker['broker'])}: {', '.join(_broker_parts(broker))}")

    triage = daemon["beside"].get("triage")
    if triage is not None:
        say(f"triage: {', '.join(_triage_parts(triage))}")


def _triage_parts(triage: dict[str, Any]) -> Iterator[str]:
    if not triage["alive"]:
        yield "does NOT run"
    if triage["restarts"]:
        yield f"started again {counted(triage['restarts'], 'time')}"
    yield counted(triage["hot_findings"], "finding") + " of hard codes"
    yield counted(triage["ticket_events"], "ticket event")
    yield f"{triage['delivered']:,} delivered, {triage['waiting']:,} waiting"
    if triage["dead"]:
        yield f"{triage['dead']:,} GIVEN UP"
    for duty, why in triage["failures"].items():
        yield f"{cell(duty)} FAILS: {cell(why)}"


def _print_diagnosis(state: dict[str, Any]) -> None:
    if "error" in state:
        say(f"diagnosis: cannot be looked at: {cell(state['error'])}")
        return
    parts = list(_diagnosis_parts(state))
    if parts:
        say(f"diagnosis: {', '.join(parts)}")


def _diagnosis_parts(state: dict[str, Any]) -> Iterator[str]:
    last, failure, running, following = (state[name] for name in ("last", "failure", "running", "next"))
    if state["told_until"] is not None:
        yield f"as of {moment(state['told_until'])}"
    if any(state["groups"].values()):
        groups = state["groups"]
        yield f"groups of meters: {groups['act']:,} to act on, {groups['watch']:,} to watch"
    if last is not None:
        yield f"the last run took {duration(last['seconds'])} ({counted(last['findings'], 'finding')})"
    if failure is not None:
        when, why = moment(failure["finished_at"]), cell(failure["error"])
        yield f"as of {moment(failure['as_of'])} it FAILED at {when}: {why}"
    if running is not None:
        yield f"as of {moment(running['as_of'])} it runs since {moment(running['started_at'])}"
    if last is failure is running is None:
        return  # nothing was ever scheduled here
    if state["missed"] > 1:
        yield f"{state['missed']:,} are to be made up for"
    if following is not None:
        yield f"next as of {moment(following['as_of'])} at {moment(following['begins_at'])}"


def _broker_parts(broker: dict[str, Any]) -> Iterator[str]:
    if broker["connected"]:
        yield "connected" + (f" ({cell(broker['protocol'])})" if broker["protocol"] else "")
    else:
        yield "NOT connected" + (f" ({cell(broker['refusal'])})" if broker["refusal"] else "")
    yield counted(broker["messages"], "message")
    if broker["messages"]:
        yield f"last {duration(broker['idle_s'])} ago"
    if broker["silent"]:
        yield "SILENT"
    if broker["holding"]:
        yield f"NOT acknowledged to: {cell(broker['holding'])}"
    if broker["oldest_unacknowledged_s"] >= 1:
        yield f"oldest unacknowledged {duration(broker['oldest_unacknowledged_s'])}"
    if broker["sessions_lost"]:
        yield f"{counted(broker['sessions_lost'], 'session')} lost"
    if broker["resubscriptions"]:
        yield f"resubscribed {counted(broker['resubscriptions'], 'time')}"


@contextmanager
def counting_progress() -> Iterator[Callable[[int, int], None]]:
    """Say on standard error that many waiting messages are being counted, once, and on a terminal how far it is."""
    told = False

    def tell(done: int, total: int) -> None:
        nonlocal told
        if total < _MANY:
            return
        if sys.stderr.isatty():
            print(
                f"\rcounting the readings of {total:,} waiting messages: {done:,}", end="", file=sys.stderr, flush=True
            )
        elif not told:
            print(f"counting the readings of {total:,} waiting messages", file=sys.stderr, flush=True)
        told = True

    yield tell
    if told and sys.stderr.isatty():
        print(file=sys.stderr)


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


def print_upkeep(reports: Sequence[TableUpkeep], *, dry_run: bool) -> None:
    """Print what ``metriage compact`` did to each table."""
    if not reports:
        say("the lake has no tables yet")
        return
    table = Table(title="Upkeep, nothing changed" if dry_run else "Upkeep", title_justify="left")
    table.add_column("table")
    names = ("rows", "files", "MB", "rewritten", "duplicates", "expired", "vacuumed", "left", "s")
    for name in names:
        table.add_column(name, justify="right")
    for report in reports:
        table.add_row(
            report.table,
            f"{report.rows_after:,}",
            f"{report.files_before:,} → {report.files_after:,}",
            f"{report.bytes_before / 1e6:,.1f} → {report.bytes_after / 1e6:,.1f}",
            f"{report.rewritten:,}",
            f"{report.deduplicated:,}",
            f"{report.expired:,}",
            f"{report.vacuumed:,}",
            f"{report.given_up:,}",
            f"{report.seconds:.1f}",
        )
    console.print(table)


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


def print_batches(rows: pl.DataFrame, looked_at: pl.DataFrame, language: Language = "en") -> None:
    """Print batch findings as a table, and how many groups were looked at.

    Parameters
    ----------
    rows : polars.DataFrame
        Those to show, in order.
    looked_at : polars.DataFrame
        All of them.
    language : {"en", "zh"}
    """
    if rows.is_empty():
        say(said("no_batches", language))
    else:
        table = Table(title=said("batch_findings", language), title_justify="left")
        for name in ("scope", "key", "fault", "verdict", "cause"):
            table.add_column(said(name, language), overflow="fold")
        for name in ("meters", "observed", "expected", "ratio", "interval_90", "q_value"):
            table.add_column(said(name, language), justify="right")
        for row in rows.head(_MOST_GROUPS).iter_rows(named=True):
            table.add_row(*_batch_cells(row, language))
        console.print(table)
        if rows.height > _MOST_GROUPS:
            say(said("more_groups", language).format(_MOST_GROUPS, rows.height))
    counts = [(looked_at["verdict"] == verdict).sum() for verdict in ("act", "watch", "not_separable")]
    say(said("batches_count", language).format(*counts, f"{looked_at.height:,}"))


def _batch_cells(row: Mapping[str, Any], language: Language) -> list[Text]:
    ratio, low, high = (row[name] for name in ("ratio", "ratio_low", "ratio_high"))
    return _cells(
        scope_title(row["scope"], language),
        row["key"],
        fault_name(row["fault"], language),
        said(row["verdict"], language),
        cause_name(row["cause"], language),
        f"{row['meters']:,}",
        f"{row['observed']:,}",
        f"{row['expected']:,.1f}",
        "" if ratio is None else f"{ratio:.1f}",
        "" if low is None or high is None else f"{low:.1f} – {high:.1f}",
        "" if row["q_value"] is None else f"{row['q_value']:.2g}",
    )


def print_dossier(dossier: Dossier, rows: pl.DataFrame, language: Language = "en") -> None:
    """Print what a dossier says in short: the group for every fault, the sentences, what is to come."""
    finding = dossier.finding
    console.print(Text(printable(title_of(finding, language)), style="bold"))
    say(said("looked_at", language).format(moment(finding["as_of"]), cell(finding["diagnosis_id"])))
    for line in sentences(finding, language):
        say(line, indent=2)
    if rows.height > 1:
        print_batches(rows, rows, language)
    for row in dossier.forecasts.filter(kind="failures").iter_rows(named=True):
        days = (row["until"] - row["from"]).days
        figures = (f"{row['value']:.1f}", f"{row['value_low']:.0f}", f"{row['value_high']:.0f}")
        say(said("to_come", language).format(days, *figures), indent=2)
    for row in dossier.forecasts.filter(kind="spares").iter_rows(named=True):
        say(said("spares_of", language).format(cell(row["key"]), f"{row['value']:.0f}"), indent=2)


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
def simulation_progress(*, quiet: bool, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many meters of a fleet are made."""
    if quiet or not sys.stderr.isatty():
        yield lambda _meters: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("meters", total=total)
        yield lambda meters: bar.update(task, advance=meters)


def print_simulated(out: Path, document: dict[str, Any]) -> None:
    """Print what a simulated fleet holds."""
    say(
        f"{out}: a synthetic fleet of {counted(document['meters'], 'meter')} over {counted(document['days'], 'day')} "
        f"from {document['start']}, {counted(document['messages'], 'message')}; scenario {document['scenario']}, "
        f"seed {document['seed']}"
    )
    table = Table(title="Faults by cause", title_justify="left")
    table.add_column("fault")
    table.add_column("cause")
    table.add_column("meters", justify="right")
    for fault, causes in document["faults"].items():
        for cause, count in causes.items():
            table.add_row(fault_name(fault, "en"), cause_name(cause, "en"), f"{count:,}")
    console.print(table)
    say(
        f"{counted(document['faulty_meters'], 'meter')} with a fault ({document['incidence']:.1%}), of "
        f"{document['detectable']:,} something was sent; {counted(document['meant_for_quarantine'], 'message')} meant "
        "for quarantine. truth.csv is for judging only."
    )


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
