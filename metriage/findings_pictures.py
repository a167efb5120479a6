"""Pictures of findings and tickets of a site, into its ``reports/`` folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from lake.schemas import DAILY, FINDINGS, READINGS
from metriage.pictures import finding_picture
from metriage.site import Site
from tickets.store import Ticket

_BEFORE = timedelta(days=60)


def draw_findings(site: Site, findings: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Draw each finding to act on; return the files."""
    return [_draw(site, finding) for finding in findings if finding["verdict"] == "act"]


def draw_ticket(site: Site, ticket: Ticket) -> Path | None:
    """Draw the newest finding to act on behind a ticket; None where the lake has none."""
    rows = (
        site.lake.scan(FINDINGS, meters=[ticket.meter_id] if ticket.meter_id else None)
        .filter(pl.col("fault") == ticket.fault, pl.col("verdict") == "act", pl.col("mode").is_in(["live", "hot"]))
        .sort("as_of")
        .tail(1)
        .collect()
    )
    return _draw(site, rows.row(0, named=True)) if rows.height else None


def _draw(site: Site, finding: Mapping[str, Any]) -> Path:
    lake = site.lake
    meter, as_of = finding["meter_id"], finding["as_of"]
    newest = lake.scan(READINGS, meters=[meter], received_by=as_of).select(pl.col("ts").max()).collect().item()
    start = _start(finding["onset"], newest, as_of)
    readings = lake.read(READINGS, start=start, meters=[meter], received_by=as_of)
    days = lake.read(DAILY, start=start.date(), meters=[meter])
    # A time diagnosed apart, before the last diagnosis, has no daily rows of its own in the lake.
    seen = days.filter(pl.col("as_of") <= as_of)
    days = (seen if seen.height else days.filter(pl.col("day") < as_of.date())).unique(
        ["meter_id", "day"], keep="last", maintain_order=True
    )
    name = re.sub(r"[^A-Za-z0-9._-]", "_", meter)
    file = site.reports / f"{name}-{finding['fault']}-{as_of:%Y%m%d}.png"
    settings = site.settings.site
    return finding_picture(finding, readings, days, file, language=settings.language, timezone=settings.timezone)


def _start(onset: datetime | None, newest: datetime | None, as_of: datetime) -> datetime:
    """Return where the picture begins: two months before the onset, or before the meter's last word."""
    moments = [moment for moment in (onset, newest, as_of) if moment is not None]
    return min(moments) - _BEFORE
