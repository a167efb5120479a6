"""Fixtures that several packages' tests share."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

# Machines differ: no example may fail for having been slow. CI repeats the same examples on every run.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")


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
