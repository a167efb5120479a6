"""One lock a site folder; what is no site folder is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lake.errors import SiteFolderError, SiteLockedError
from metriage.site import Site, open_site
from tests.metriage.sites import running

HOLD = """
import sys, pathlib
from metriage.site import open_site
with open_site(pathlib.Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_second_holder_is_told_who_holds_it(site: Site) -> None:
    """Another process, as a second daemon would be."""
    with running("-c", HOLD, site.folder) as holder:
        assert holder.stdout is not None
        assert "held\n" == holder.stdout.readline()

        with pytest.raises(SiteLockedError, match=rf"in use by process {holder.pid} \(metriage\); stop") as caught:
            site.lock().__enter__()

    assert 2 == caught.value.exit_code


def test_lock_of_a_killed_process_is_free(site: Site) -> None:
    """Nothing has to be cleaned up by hand."""
    with running("-c", HOLD, site.folder) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
        holder.wait()

        with site.lock():
            assert f"process {os.getpid()} (metriage)" == (site.folder / "metriage.lock").read_text(encoding="utf-8")


def test_locks_of_other_names_are_others(site: Site) -> None:
    """A diagnosis runs beside the daemon."""
    with site.lock(), site.lock("diagnosis"):
        pass


def test_lock_file_that_cannot_be_opened_is_said(site: Site) -> None:
    """A folder in its place stands for a folder without permission, which root does not meet."""
    (site.folder / "metriage.lock").mkdir()

    with pytest.raises(SiteFolderError, match=r"cannot be used: metriage\.lock: Is a directory"):
        site.lock().__enter__()


def test_other_folder_is_no_site_folder(tmp_path: Path) -> None:
    """The message says how to make one."""
    with pytest.raises(SiteFolderError, match=r"is no site folder: there is no metriage\.toml\. Make one with"):
        open_site(tmp_path)
