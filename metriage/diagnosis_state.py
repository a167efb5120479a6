"""How the diagnosis of a site stands, for ``status``: from the site database, the lake and the schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lake.site_database import opened
from lake.vocabulary import BATCH_VERDICTS
from metriage import diagnosis_journal as journal
from metriage.diagnosis_journal import Run
from metriage.live_findings import live_groups, told_until
from metriage.schedule import Schedule
from metriage.site import Site


def diagnosis_state(site: Site, now: datetime | None = None) -> dict[str, Any]:
    """Return what ``status --json`` holds as ``diagnosis``.

    Parameters
    ----------
    site : Site
        The site.
    now : datetime, optional
        The clock (UTC).

    Returns
    -------
    dict
        ``told_until`` (as-of time of the last one whose findings are in the lake, scheduled or not), ``last`` (the last
        scheduled one that ended well), ``failure`` (the last one that failed, where none has ended well since),
        ``running``, ``next``, ``missed``, how many are due, and ``groups``, how many groups stand out, by verdict.

    Raises
    ------
    MetriageError
        Lake, settings or site database cannot be read.
    """
    now = now or datetime.now(UTC)
    told = told_until(site.lake)
    done, failed, newest = _runs(site)
    schedule = Schedule(site.settings.diagnosis, site.settings.site.timezone)
    following = schedule.next(told, now)
    return {
        "told_until": told,
        "last": None if done is None else _shown(done),
        "failure": None if failed is None else _shown(failed),
        "running": _shown(newest) if newest is not None and newest.finished_at is None else None,
        "next": None if following is None else {"as_of": following.as_of, "begins_at": following.begins_at},
        "missed": len(schedule.missed(told, now)),
        "groups": _groups(site),
    }


def _groups(site: Site) -> dict[str, int]:
    verdicts = live_groups(site.lake)["verdict"].to_list()
    return {name: verdicts.count(name) for name in BATCH_VERDICTS if name != "normal"}


def _runs(site: Site) -> tuple[Run | None, Run | None, Run | None]:
    if not site.database.exists():
        return None, None, None
    with opened(site.database) as connection:
        return journal.newest_done(connection), journal.newest_failed(connection), journal.newest(connection)


def _shown(run: Run) -> dict[str, Any]:
    names = ("as_of", "started_at", "finished_at", "seconds", "days", "findings", "peak_bytes", "error")
    return {name: getattr(run, name) for name in names}
