"""Site folders and commands for the tests of the command and what it puts together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from metriage.command_line import app
from metriage.site import Site, open_site
from metriage.site_template import make_site
from tests.metriage.sites import Done


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a fresh site folder without broker."""
    make_site(tmp_path / "site")
    (tmp_path / "site" / "metriage.toml").write_text("broker = []\n", encoding="utf-8")
    return open_site(tmp_path / "site")


@pytest.fixture
def metriage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Done]]:
    """Return a function that runs ``metriage`` in this process."""
    # A logger remembers the output of its first use, and the runner closes each command's output behind it.
    monkeypatch.setattr(
        "metriage.command_line.configure_logging",
        lambda: structlog.configure(logger_factory=structlog.ReturnLoggerFactory()),
    )

    def run(*arguments: object) -> Done:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    yield run
    structlog.reset_defaults()
