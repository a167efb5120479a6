"""From the findings of a site to its tickets and their delivery."""

from __future__ import annotations

import sqlite3
from datetime import datetime

import polars as pl

from diagnostics.facts import Facts
from lake.failpoints import reach
from lake.schemas import FINDINGS
from lake.site_database import opened
from lake.tables import Lake
from metriage.site import Site
from metriage.site_facts import SiteFacts
from tickets.delivery import DeliveryReport, deliver_due
from tickets.sync import SyncReport, processed_until, sync


def sync_site(site: Site, as_of: datetime, facts: SiteFacts | None = None) -> tuple[SyncReport, DeliveryReport]:
    """Bring the tickets of a site up to its findings, then deliver what is due.

    Parameters
    ----------
    site : Site
        Its findings of modes live and hot are read, its tickets and outbox written.
    as_of : datetime
        Later findings are left out (UTC).
    facts : SiteFacts, optional
        For one who syncs again and again: it reads the registry only when that has changed.
    """
    with opened(site.database) as connection:
        report = take_findings(site, site.lake, connection, as_of, facts)
        return report, deliver_due(connection, site.settings.webhook, folder=site.folder)


def take_findings(
    site: Site, lake: Lake, connection: sqlite3.Connection, as_of: datetime, facts: SiteFacts | None = None
) -> SyncReport:
    """Bring the tickets of a site up to its findings; what is to be delivered stands in the outbox then."""
    settings = site.settings
    zone = settings.site.timezone
    # Findings of the newest time already seen are given again: another diagnosis may have the same time.
    rows = lake.scan(FINDINGS, start=processed_until(connection)).filter(pl.col("mode").is_in(["live", "hot"]))
    findings = rows.collect()
    acting = findings.filter(pl.col("verdict") == "act").height > 0
    known = (facts or SiteFacts(site.database, zone)).as_of(as_of) if acting else Facts()
    report = sync(
        connection,
        findings,
        as_of=as_of,
        settings=settings.tickets,
        language=settings.site.language,
        registry=known.meters,
        inspections=known.inspections,
        timezone=zone,
    )
    reach("tickets.taken")
    return report
