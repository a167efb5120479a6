"""Where the full recordings lie, and what to do where they do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def recordings_folder() -> Path:
    """Return the folder of the full recordings; without it the test skips, under CI=true it fails."""
    configured = os.environ.get("METRIAGE_RECORDINGS")
    folder = Path(configured) if configured else ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    reason = f"the full recordings are not in {folder}; METRIAGE_RECORDINGS names their folder"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
