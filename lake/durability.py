"""Making files survive a power cut: a rename or a new file is only kept once its folder has been synced too."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def sync_path(path: Path) -> None:
    """Flush one file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(files: Iterable[Path]) -> None:
    """Flush files, then each folder that holds one of them."""
    folders = set()
    for file in files:
        sync_path(file)
        folders.add(file.parent)
    for folder in sorted(folders):
        sync_path(folder)
