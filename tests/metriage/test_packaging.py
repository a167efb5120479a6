"""What the wheel carries."""

from __future__ import annotations

import tomllib

from tests.recordings import ROOT

STAGES = ("lake", "ingest", "diagnostics", "models", "tickets", "simulation", "metriage")


def test_every_package_of_the_stages_is_listed_for_the_wheel() -> None:
    """A package that is left out works in a clone and nowhere else."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    there = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for stage in STAGES
        for file in (ROOT / stage).rglob("__init__.py")
    }

    assert there <= set(listed)
