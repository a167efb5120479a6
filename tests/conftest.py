"""Fixtures that several packages' tests share."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def demo_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site folder of a demonstration that was run as a user runs it."""
    folder = tmp_path_factory.mktemp("demo") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "metriage", "demo", "--dir", str(folder)], capture_output=True, text=True, check=False
    )
    (folder.parent / "output.txt").write_text(done.stdout, encoding="utf-8")

    assert done.returncode == 0, done.stdout + done.stderr
    return folder
