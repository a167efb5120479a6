"""The command ``metriage``."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from ingest.log_format import configure_logging
from lake.errors import MetriageError, UsageError
from metriage.site import Site, open_site

QUARANTINED = 3  # exit code: done, but something was quarantined or not delivered

app = typer.Typer(
    name="metriage",
    help="Water-meter telemetry to tickets: listen, keep, diagnose, triage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Dir = Annotated[Path, typer.Option("--dir", help="Site folder.", show_default="here")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_P = ParamSpec("_P")


def reporting(command: Callable[_P, int | None]) -> Callable[_P, None]:
    """Turn the product's errors into a message and an exit code, and a returned number into an exit code."""

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except MetriageError as error:
            typer.echo(f"metriage: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        raise typer.Exit(code or 0)

    return run


def emit(document: dict[str, Any]) -> None:
    """Print one JSON object."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))


@app.command()
@reporting
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")]) -> None:
    """Make a site folder with a commented metriage.toml."""
    from metriage.site_template import make_site  # noqa: PLC0415 - only this command needs it

    make_site(folder)
    typer.echo(f"{folder} is ready. Next: edit {folder}/metriage.toml, then `metriage doctor --dir {folder}`.")


@app.command()
@reporting
def status(folder: Dir = Path(), as_json: Json = False) -> None:
    """Show what became of every message and reading."""
    from metriage.accounts import account  # noqa: PLC0415 - keeps the daemon small

    document = account(open_site(folder))
    if as_json:
        emit(document)
    else:
        from metriage.console import print_account  # noqa: PLC0415

        print_account(document)


@app.command()
@reporting
def ingest(
    folder: Dir = Path(),
    files: Annotated[
        list[Path] | None, typer.Option("--from", metavar="FILE", help="Read these files instead of the brokers.")
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More files after --from.")] = None,
    codec: Annotated[str, typer.Option("--codec", help='"native" or a [codecs.NAME] table.')] = "native",
    source: Annotated[
        str | None, typer.Option("--source", help="Source name of the readings. [default: the codec's]")
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

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if not site.settings.broker:
        raise UsageError(f"{site.folder}/metriage.toml names no [[broker]]")
    with site.lock():
        run_daemon(site.settings.broker, site.writer_settings, stop)
    return 0


def _ingest_files(site: Site, files: list[Path], codec: str, source: str | None, *, as_json: bool) -> int:
    from ingest.daemon import feed_files  # noqa: PLC0415
    from ingest.files import open_sources  # noqa: PLC0415
    from metriage.accounts import account  # noqa: PLC0415
    from metriage.console import feeding_progress, print_account  # noqa: PLC0415

    codecs = site.settings.codecs
    if codec != "native" and codec not in codecs:
        raise UsageError(f"there is no [codecs.{codec}]; known are {', '.join(['native', *codecs])}")
    settings = codecs.get(codec)
    name = source or (settings.source if settings is not None else "default")
    sources = open_sources(files, codec, settings, name)
    with site.lock():
        before = account(site)["messages"]["quarantined"]
        with feeding_progress(quiet=as_json) as progress:
            feed_files(sources, site.writer_settings, progress)
        document = account(site)
    if as_json:
        emit(document)
    else:
        print_account(document)
    return QUARANTINED if document["messages"]["quarantined"] > before else 0


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
