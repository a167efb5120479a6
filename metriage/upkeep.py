"""``metriage compact``: upkeep of a site's lake, and what it counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from ingest.account import FILE as STATE
from ingest.account import State
from lake.compaction import Compaction, TableUpkeep, upkeep_counters
from metriage.site import Site

_UNNAMED = "upkeep"  # counts for a site that has no lake writer


def compact_site(
    site: Site, *, dry_run: bool = False, progress: Callable[[TableUpkeep], None] | None = None
) -> list[TableUpkeep]:
    """Compact, expire and vacuum the tables of a site; one run at a time.

    Parameters
    ----------
    site : Site
        The site.
    dry_run : bool
        Whether to change nothing.
    progress : callable, optional
        Told of each table when it is done.

    Raises
    ------
    SiteLockedError
        Another compaction of this site is running.
    LakeError
        A table cannot be read or written; what is done stays done.
    """
    with site.lock("compact"):
        return Compaction(site.lake, site.settings.compact, actor=_actor(site)).run(dry_run=dry_run, progress=progress)


def site_counters(site: Site) -> dict[str, int]:
    """Return how many readings `site` has expired and deduplicated, for its account.

    ``expired`` readings are part of ``stored``: of what was ever stored, they are no longer there. ``deduplicated``
    ones were counted as stored and turned out to be duplicates. Where several sites keep one lake, each tells what its
    own runs removed, so that sums over the sites are exact.
    """
    return upkeep_counters(site.lake, _actor(site))


def _actor(site: Site) -> str:
    folder = site.folder / "spool"
    if not (folder / STATE).exists():
        return _UNNAMED
    with State(folder, read_only=True) as state:
        return state.writer_id() or _UNNAMED


def document(reports: Iterable[TableUpkeep], *, dry_run: bool) -> dict[str, Any]:
    """Return what a run did in the form of ``compact --json``."""
    return {"dry_run": dry_run, "tables": [asdict(report) for report in reports]}
