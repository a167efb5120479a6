"""The command ``metriage``."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.decoders import shapes
from ingest.log_format import configure_logging
from lake.errors import SettingsError, SpoolError, UsageError
from metriage import __version__, labels
from metriage.batch_commands import batch
from metriage.input_commands import input_group
from metriage.labels import printable, word
from metriage.options import (
    INCOMPLETE,
    AsOf,
    Dir,
    Json,
    emit,
    parse_as_of,
    parse_duration,
    reporting,
    with_evidence,
)
from metriage.profile_commands import profiles
from metriage.registry_commands import registry
from metriage.site import Site, check_dialects, open_site
from metriage.ticket_commands import tickets

if TYPE_CHECKING:
    from ingest.companion import Companion

app = typer.Typer(
    name="metriage",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(registry, name="registry")
for kind in ("inspections", "reports", "weather", "works"):
    app.add_typer(input_group(kind), name=kind)
app.add_typer(profiles, name="profile")
app.add_typer(tickets, name="tickets")
app.add_typer(batch, name="batch")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"metriage {__version__}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Water-meter telemetry to tickets: listen, keep, diagnose, triage."""


@app.command()
@reporting
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")]) -> None:
    """Make a site folder with a commented metriage.toml."""
    from metriage.site_template import make_site  # noqa: PLC0415 - only this command needs it

    make_site(folder)
    typer.echo(f"{folder} is ready. Next: edit {folder}/metriage.toml, then `metriage doctor --dir {folder}`.")


@app.command()
@reporting
def status(folder: Dir = Path(), as_json: Json = False) -> int:
    """Show what became of every message and reading."""
    from metriage.accounts import account  # noqa: PLC0415 - keeps the daemon small
    from metriage.console import counting_progress, print_account, print_overview  # noqa: PLC0415
    from metriage.overview import overview  # noqa: PLC0415

    site = open_site(folder)
    try:
        with counting_progress() as progress:
            document = account(site, progress)
    except SpoolError as error:  # what stands beside the account often tells why
        typer.echo(f"metriage: {printable(str(error))}", err=True)
        document = {"error": str(error)} | overview(site, ())
        if as_json:
            emit(document)
        else:
            print_overview(document)
        return error.exit_code
    document |= overview(site, document["quarantine"])
    code = 0
    try:
        site.settings  # noqa: B018 - the account can be read with wrong settings, but nothing else would run
    except SettingsError as error:
        typer.echo(f"metriage: the settings are wrong: {error}", err=True)
        code = error.exit_code
    if as_json:
        emit(document)
    else:
        print_account(document)
    return code


@app.command()
@reporting
def ingest(
    folder: Dir = Path(),
    files: Annotated[
        list[Path] | None, typer.Option("--from", metavar="FILE", help="Read these files instead of the brokers.")
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More files after --from.")] = None,
    codec: Annotated[
        str,
        typer.Option("--codec", help='"native", another payload shape, "auto", or the NAME of a table codecs.NAME.'),
    ] = "native",
    source: Annotated[
        str | None, typer.Option("--source", help="Source name of the readings; default: the codec's.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Run the daemon (MQTT to spool to lake), or bring files into the lake."""
    configure_logging()
    site = open_site(folder)
    if files:
        return _ingest_files(site, [*files, *(more or [])], codec, source, as_json=as_json)
    if more:
        raise UsageError(f"to read {more[0]}, write: metriage ingest --from {more[0]}")
    from ingest.daemon import run_daemon  # noqa: PLC0415

    stop = _stopped_by_signals()
    _check_daemon(site)
    with site.lock():
        beside = [lambda: _compaction(site)]
        run_daemon(site.settings.broker, site.writer_settings, stop, site.settings.metrics, beside)
    return 0


@app.command()
@reporting
def run(folder: Dir = Path()) -> int:
    """Run everything as one daemon: ingest, diagnosis on a schedule, hard codes at once, tickets and their delivery."""
    configure_logging()
    site = open_site(folder)
    from metriage.running import run_site  # noqa: PLC0415

    stop = _stopped_by_signals()
    _check_daemon(site)
    with site.lock():
        run_site(site, stop, lambda: _compaction(site))
    return 0


def _stopped_by_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _check_daemon(site: Site) -> None:
    """Check what a daemon needs beside settings that are right in themselves."""
    if not site.settings.broker:
        raise UsageError(f"{site.folder}/metriage.toml names no [[broker]]")
    check_dialects(site)


def _compaction(site: Site) -> Companion:
    """Return what compacts the lake while the daemon runs."""
    from ingest.upkeep_process import UpkeepProcess  # noqa: PLC0415

    settings = site.settings.compact
    return UpkeepProcess(
        [sys.executable, "-m", "metriage", "compact", "--dir", str(site.folder)],
        site.folder / "compact.lock",
        every_s=settings.every_s,
        at_hour=settings.at_hour,
        timezone=site.settings.site.timezone,
    )


def _ingest_files(site: Site, files: list[Path], codec: str, source: str | None, *, as_json: bool) -> int:
    from ingest.daemon import feed_files  # noqa: PLC0415
    from ingest.files import open_sources  # noqa: PLC0415
    from metriage.accounts import account  # noqa: PLC0415
    from metriage.console import feeding_progress, print_account  # noqa: PLC0415

    codecs = site.settings.codecs
    known = ["auto", *shapes(), *codecs]
    if codec not in known:
        raise UsageError(
            f"there is no payload shape and no [codecs.{codec}] of that name; known are {', '.join(known)}"
        )
    check_dialects(site)
    settings = codecs.get(codec)
    name = source or (settings.source if settings is not None else "default")
    sources = open_sources(files, codec, settings, name)
    with site.lock():
        before = account(site)["messages"]
        with feeding_progress(quiet=as_json) as progress:
            feed_files(sources, site.writer_settings, progress)
        document = account(site)
    if as_json:
        emit(document)
    else:
        run = {name: document["messages"][name] - before[name] for name in before}
        typer.echo(
            f"this run: {run['received']:,} messages received, {run['stored']:,} stored, "
            f"{run['duplicate']:,} duplicate, {run['quarantined']:,} quarantined; the whole site:"
        )
        print_account(document)
    return INCOMPLETE if document["messages"]["quarantined"] > before["quarantined"] else 0


@app.command()
@reporting
def replay(
    folder: Dir = Path(),
    codec: Annotated[
        str | None, typer.Option("--codec", help="Decode all with this payload shape or codec; default: as configured.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Decode the quarantine and translate stored codes again, after a decoder, profile or key was put right."""
    configure_logging()
    from metriage.console import feeding_progress, print_replayed  # noqa: PLC0415
    from metriage.replaying import replay_site  # noqa: PLC0415

    site = open_site(folder)
    with site.lock(), feeding_progress(quiet=as_json) as progress:
        document = replay_site(site, codec, progress)
    if as_json:
        emit(document)
    else:
        print_replayed(document)
    return INCOMPLETE if document["quarantined"] else 0


@app.command()
@reporting
def doctor(folder: Dir = Path(), as_json: Json = False) -> int:
    """Look at broker, topics, clock, disk, lake and webhooks, and say what is wrong."""
    from metriage.console import print_checks  # noqa: PLC0415
    from metriage.doctor import examine  # noqa: PLC0415

    checks = examine(open_site(folder))
    if not as_json:
        return int(print_checks(checks) > 0)
    seen = list(checks)
    emit({"checks": [{"level": check.level, "subject": check.subject, "text": check.text} for check in seen]})
    return int(any(check.level == "problem" for check in seen))


@app.command()
@reporting
def diagnose(
    folder: Dir = Path(),
    as_of: AsOf = None,
    pictures: Annotated[bool, typer.Option("--pictures", help="Draw each finding to act on into reports/.")] = False,
    as_json: Json = False,
) -> None:
    """Find faults and conditions, and groups of meters that stand out, from what was received by a time."""
    from metriage.console import print_batches, print_findings, say  # noqa: PLC0415
    from metriage.diagnosing import diagnose_site  # noqa: PLC0415
    from metriage.dossier import ranked  # noqa: PLC0415
    from metriage.findings_pictures import draw_findings  # noqa: PLC0415

    site = open_site(folder)
    moment = parse_as_of(as_of, site.settings.site.timezone)
    with site.lock("diagnosis"):
        diagnosis = diagnose_site(site, moment)
    rows = diagnosis.findings.to_dicts()
    drawn = draw_findings(site, rows) if pictures else []
    if as_json:
        emit(
            {
                "diagnosis_id": diagnosis.diagnosis_id,
                "as_of": diagnosis.as_of,
                "findings": with_evidence(rows),
                "batch_findings": with_evidence(diagnosis.batch_findings.to_dicts()),
                "pictures": drawn,
                "unregistered": diagnosis.unregistered,
                "after_removal": diagnosis.after_removal,
            }
        )
        return
    language = site.settings.site.language
    print_findings(rows, language)
    groups = diagnosis.batch_findings
    if groups.height:
        print_batches(ranked(groups.filter(groups["verdict"] != "normal")), groups, language)
    say(word("as_of", language).format(labels.moment(moment), diagnosis.days))
    for name in ("unregistered", "after_removal"):
        if meters := getattr(diagnosis, name):
            shown = ", ".join(meters[:5]) + (" …" if len(meters) > 5 else "")
            say(printable(word(name, language).format(len(meters), shown)))
    for file in drawn:
        typer.echo(f"{word('picture', language)}: {file}")


@app.command()
@reporting
def backtest(
    start: Annotated[str, typer.Argument(metavar="START", help="First as-of time.")],
    end: Annotated[str, typer.Argument(metavar="END", help="Last as-of time.")],
    every: Annotated[str, typer.Option("--every", help="Between the steps: 1d, 12h, 7d.")] = "1d",
    folder: Dir = Path(),
    as_json: Json = False,
) -> None:
    """Replay production's own steps in the order of receipt."""
    from metriage.console import backtest_progress, print_findings, say  # noqa: PLC0415
    from metriage.diagnosing import backtest_site  # noqa: PLC0415

    site = open_site(folder)
    zone = site.settings.site.timezone
    first, last = parse_as_of(start, zone), parse_as_of(end, zone)
    step = parse_duration(every)
    with site.lock("diagnosis"), backtest_progress(quiet=as_json, total=(last - first) // step + 1) as progress:
        findings = backtest_site(site, first, last, step, progress)
    rows = findings.to_dicts()
    if as_json:
        emit({"findings": with_evidence(rows)})
        return
    latest = {(row["meter_id"], row["fault"], row["verdict"]): row for row in rows}
    language = site.settings.site.language
    print_findings(list(latest.values()), language)
    if rows:
        say(word("backtest", language).format(len(rows)))


@app.command()
@reporting
def compact(
    folder: Dir = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, tell what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Merge small files of the lake, remove what has expired and files no longer needed."""
    from metriage.console import print_upkeep  # noqa: PLC0415
    from metriage.upkeep import compact_site, document  # noqa: PLC0415

    configure_logging()
    reports = compact_site(open_site(folder), dry_run=dry_run)
    if as_json:
        emit(document(reports, dry_run=dry_run))
    else:
        print_upkeep(reports, dry_run=dry_run)


@app.command()
@reporting
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the fleet's files; made if it is not there.")],
    meters: Annotated[int, typer.Option("--meters", help="Number of meters.")] = 500,
    days: Annotated[int, typer.Option("--days", help="Number of local days.")] = 150,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same bytes.")] = 1,
    start: Annotated[
        str | None, typer.Option("--start", metavar="DATE", help="First local day; default: the scenario's.")
    ] = None,
    scenario: Annotated[
        str,
        typer.Option("--scenario", help="A name of docs/simulation.md, or a TOML file of ranges."),
    ] = "standard",
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="SIGNAL", help="Leave a signal of docs/simulation.md out; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a labelled fleet from physics: readings, registry, weather, works, visits, and the truth in its own file."""
    from metriage.console import print_simulated, simulation_progress  # noqa: PLC0415
    from metriage.simulating import simulate_fleet  # noqa: PLC0415

    with simulation_progress(quiet=as_json, total=meters) as progress:
        document = simulate_fleet(
            out,
            meters=meters,
            days=days,
            seed=seed,
            start=start,
            named=scenario,
            without=tuple(without or ()),
            progress=progress,
        )
    if as_json:
        emit(document)
    else:
        print_simulated(out, document)


@app.command()
@reporting
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Folder for the demonstration site.")] = Path("metriage-demo"),
) -> int:
    """Run the whole line on this machine: broker, meters, lake, diagnosis, tickets, inbox."""
    from metriage.demo import run_demo  # noqa: PLC0415

    return run_demo(folder)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
