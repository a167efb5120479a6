"""Disks that fill up, and a disk whose power goes: real file systems, which only root may mount."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import psutil

from tests.processes import Daemon, wait_until

_BLOCK = 65_536


@functools.cache
def may_mount(*, images: bool = False) -> bool:
    """Tell whether this process may mount file systems; `images`: also those in image files.

    Root in a container often may not, so that it is tried.
    """
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    if images and not (Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4")):
        return False
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
    return True


class SmallDisk(contextlib.AbstractContextManager["SmallDisk"]):
    """A file system of a few megabytes in memory.

    Parameters
    ----------
    folder : Path
        Where it is mounted; must be empty.
    size_bytes : int
        Its size [B].
    """

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)], check=True)

    def fill(self) -> None:
        """Write until nothing fits any more, as a careless neighbour would."""
        with self._ballast.open("ab", buffering=0) as stream:
            for size in (_BLOCK, 4096):
                with contextlib.suppress(OSError):
                    while stream.write(bytes(size)) == size:
                        pass

    def free(self) -> None:
        """Take the neighbour's file away."""
        self._ballast.unlink()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=False)


class MortalDisk(contextlib.AbstractContextManager["MortalDisk"]):
    """An ext4 file system in an image file; when the power goes, it keeps what was written through, and nothing else.

    What a program has written but not synced lies in the memory of the file system, not in the image. A copy of the
    image therefore is what a machine finds after its power failed at that moment.

    Parameters
    ----------
    folder : Path
        Where it is mounted; must be empty.
    image : Path
        The image file.
    size_mb : int
        Its size [MB].
    """

    def __init__(self, folder: Path, image: Path, size_mb: int = 512) -> None:
        self.folder = folder
        self._image = image
        with image.open("wb") as stream:
            stream.truncate(size_mb * 1_000_000)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        self._mount()

    def _mount(self) -> None:
        # A long commit interval: the file system itself writes nothing through that nobody asked for.
        options = ["-o", "loop,commit=300"]
        subprocess.run(["mount", *options, str(self._image), str(self.folder)], check=True)

    def cut_power(self, daemon: Daemon) -> None:
        """Stop the daemon's processes at once and for ever, and take from the disk what was not written through."""
        members = [daemon.process.pid, *(child.pid for child in psutil.Process(daemon.process.pid).children(True))]
        os.killpg(daemon.process.pid, signal.SIGSTOP)
        wait_until(lambda: all(map(_stopped, members)), "the processes to stand still")
        survivor = self._image.with_suffix(".survivor")
        subprocess.run(["cp", "--sparse=always", str(self._image), str(survivor)], check=True)
        daemon.kill(whole_group=True)
        wait_until(lambda: not any(map(psutil.pid_exists, members)), "the processes to be gone")
        subprocess.run(["umount", str(self.folder)], check=True)
        survivor.replace(self._image)
        self._mount()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=False)


def _stopped(pid: int) -> bool:
    """Tell whether every thread of a process stands still: none is inside a call of the kernel any more."""
    try:
        states = [
            (task / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
            for task in Path(f"/proc/{pid}/task").iterdir()
        ]
    except OSError:
        return True  # it is gone
    return all(state in "TZX" for state in states)
