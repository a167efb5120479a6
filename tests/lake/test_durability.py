"""Flushing files and the folders that hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lake.durability import sync_files, sync_path


def test_sync_files_then_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is flushed, then each folder once; nothing stays open."""
    files = [tmp_path / "a" / "1", tmp_path / "a" / "2", tmp_path / "b" / "3"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    flushed: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
    )
    before = len(list(Path("/proc/self/fd").iterdir()))
    sync_files(files)

    assert flushed == ["1", "2", "3", "a", "b"]
    assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_sync_path_missing(tmp_path: Path) -> None:
    """What is not there cannot be flushed."""
    with pytest.raises(FileNotFoundError):
        sync_path(tmp_path / "gone")
