"""Findings to tickets.

An ``act`` opens one incident a meter and fault, or adds to it; ``watch`` and ``refused`` never open one; ``clear``
proposes the resolution, a later ``act`` takes that back; silence changes nothing. Every finding is taken into account
once and in order of its ``as_of``: the same findings again, or older ones, change nothing.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import polars as pl

from lake.meter import Meter
from lake.schemas import FINDINGS
from lake.site_database import to_text, transaction
from lake.vocabulary import FAULTS
from tickets import store
from tickets.finding import Finding, has_evidence_after
from tickets.meters import Warranty, meters, warranties
from tickets.outbox import Links, announce
from tickets.priority import DEFAULT_SEVERITY, meter_impact, priority
from tickets.settings import TicketSettings
from tickets.store import Proposal, Ticket
from tickets.texts import Language, clean

ACTOR = "metriage"
MODES = ("live", "hot")
ROWS_A_TRANSACTION = 500


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a run did, in findings.

    Parameters
    ----------
    opened, reopened : int
        New incidents; finished ones that came back.
    updated : int
        Tickets of which something changed that a reader cares about.
    repeated : int
        Unchanged tickets that were told again because their waiting time was over.
    proposed : int
        Tickets whose resolution is proposed.
    resolved : int
        Tickets resolved by ``on_clear = "resolve"``.
    counted : int
        Findings added to a ticket without telling anybody.
    muted : int
        Findings that something else explains (``inhibited_by``).
    held_back : int
        Findings of finished tickets without evidence after the finish, or of tickets that will not be fixed.
    known : int
        Findings already taken into account, or older than one that was.
    """

    opened: int = 0
    reopened: int = 0
    updated: int = 0
    repeated: int = 0
    proposed: int = 0
    resolved: int = 0
    counted: int = 0
    muted: int = 0
    held_back: int = 0
    known: int = 0

    @property
    def events(self) -> int:
        """Events put into the outbox."""
        return self.opened + self.reopened + self.updated + self.repeated + self.proposed + self.resolved


@dataclass(frozen=True, slots=True)
class _Desk:
    """What is the same for all findings of a run."""

    connection: sqlite3.Connection
    settings: TicketSettings
    language: Language
    meters: Mapping[str, Meter]
    warranties: Mapping[tuple[str, datetime | None], Warranty]
    links: Links | None

    def tell(self, ticket: Ticket, event_type: Any, finding: Finding, what: str) -> None:
        told = announce(self.connection, ticket, event_type, at=finding.as_of, language=self.language, links=self.links)
        store.remember(
            self.connection, told.number, at=finding.as_of, actor=ACTOR, what=what, detail=finding.diagnosis_id
        )


def sync(
    connection: sqlite3.Connection,
    findings: pl.DataFrame,
    *,
    as_of: datetime,
    settings: TicketSettings,
    language: Language,
    registry: pl.DataFrame | None = None,
    inspections: pl.DataFrame | None = None,
    timezone: str = "UTC",
    links: Links | None = None,
) -> SyncReport:
    """Open, update and propose to resolve tickets; events go into the outbox in the same transactions.

    Safe under concurrent processes, and after a crash at any point: running it again finishes the work.

    Parameters
    ----------
    connection : sqlite3.Connection
        From :func:`lake.site_database.connect`.
    findings : polars.DataFrame
        Rows of the lake table ``findings``; those since :func:`processed_until` are enough.
    as_of : datetime
        Later findings are left out.
    settings : TicketSettings
        ``[tickets]``.
    language : {'en', 'zh'}
        Language of the events' texts.
    registry : polars.DataFrame, optional
        The registry (contract, section 2). Without it warranty is unknown.
    inspections : polars.DataFrame, optional
        What was found on site (contract, section 3); a broken seal voids the warranty.
    timezone : str
        Zone of the site.
    links : callable, optional
        Returns the links of a ticket, by name.
    """
    store.prepare(connection)
    seen = FINDINGS.conform(findings).filter(
        pl.col("mode").is_in(MODES), pl.col("as_of") <= as_of.astimezone(UTC), pl.col("meter_id").is_not_null()
    )
    relevant = _relevant(seen, settings)
    acting = relevant.filter(pl.col("verdict") == "act")
    covered = warranties(acting, registry, inspections, as_of, timezone)
    desk = _Desk(connection, settings, language, meters(registry, acting["meter_id"]), covered, links)
    done: Counter[str] = Counter()
    rows = (Finding.from_row(row) for row in relevant.iter_rows(named=True))
    while chunk := list(islice(rows, ROWS_A_TRANSACTION)):
        with transaction(connection):
            outcomes = Counter(_take(desk, finding) for finding in chunk)
        done += outcomes
    with transaction(connection):
        store.advance(connection, seen.filter(pl.col("mode") == "live")["as_of"].drop_nulls())
    return SyncReport(**{name: count for name, count in done.items() if name})


def processed_until(connection: sqlite3.Connection) -> datetime | None:
    """Return the ``as_of`` of the newest live finding ever given to :func:`sync`, or None.

    Findings older than that need not be given again. Those of the same ``as_of`` do, since another diagnosis may have
    it too; so do hot ones since, since a live diagnosis of an earlier time may be finished after them.
    """
    store.prepare(connection)
    return store.progress(connection)


def _relevant(findings: pl.DataFrame, settings: TicketSettings) -> pl.DataFrame:
    fault = (pl.col("kind") == "fault") & pl.col("fault").is_in(FAULTS)
    condition = (pl.col("kind") == "condition") & pl.col("fault").is_in(settings.conditions)
    return findings.filter(fault | condition, pl.col("verdict").is_in(["act", "clear"])).sort(
        "as_of", "diagnosis_id", "meter_id", "fault"
    )


def _take(desk: _Desk, finding: Finding) -> str:
    """Take one finding into account and return the field of the report that counts it, empty for none."""
    if finding.inhibited_by is not None:
        return _mute(desk, finding)
    ticket = store.latest(desk.connection, store.incident_key(finding.meter_id, finding.fault))
    if ticket is None:
        return _open(desk, finding) if finding.verdict == "act" else ""
    if _is_known(ticket, finding):
        return "known"
    judged = replace(ticket, judged_at=finding.as_of, judged_by=_judged_by(ticket, finding))
    if finding.verdict == "clear":
        return _clear(desk, judged, finding)
    if ticket.is_open:
        return _update(desk, ticket, _merged(desk, judged, finding), finding)
    return _reopen(desk, judged, finding)


def _mute(desk: _Desk, finding: Finding) -> str:
    if finding.verdict != "act" or finding.inhibited_by is None:
        return ""
    store.mute(
        desk.connection,
        meter_id=finding.meter_id,
        fault=finding.fault,
        inhibited_by=clean(finding.inhibited_by, 100),
        at=finding.as_of,
    )
    return "muted"


def _open(desk: _Desk, finding: Finding) -> str:
    draft = Ticket(
        number=0,
        dedup_key=store.incident_key(finding.meter_id, finding.fault),
        kind="incident",
        state="open",
        parent=None,
        meter_id=finding.meter_id,
        fault=finding.fault,
        cause=finding.cause,
        cause_confidence=None,
        probability=None,
        severity=finding.severity,
        impact=DEFAULT_SEVERITY,
        urgency=finding.severity,
        priority=DEFAULT_SEVERITY,
        rules=(),
        evidence="null",
        action="",
        model_version=None,
        meter=msgspec.json.encode(Meter(meter_id=finding.meter_id)).decode(),
        onset=None,
        first_seen=finding.as_of,
        last_seen=finding.as_of,
        count=0,
        seq=0,
        judged_at=finding.as_of,
        judged_by=(finding.diagnosis_id,),
    )
    ticket = store.insert(desk.connection, replace(_merged(desk, draft, finding), count=1))
    desk.tell(ticket, "ticket.opened", finding, "opened")
    return "opened"


def _update(desk: _Desk, before: Ticket, after: Ticket, finding: Finding) -> str:
    if after.proposal is not None:
        back = replace(after, state=after.proposal.from_state, proposal=None, repeats=0)
        desk.tell(back, "ticket.updated", finding, "proposal taken back")
        return "updated"
    if _gist(before) != _gist(after):
        desk.tell(replace(after, repeats=0), "ticket.updated", finding, "updated")
        return "updated"
    if _is_repeat_due(after, finding.as_of, desk.settings):
        desk.tell(replace(after, repeats=after.repeats + 1), "ticket.updated", finding, "repeated")
        return "repeated"
    store.save(desk.connection, after)
    return "counted"


def _clear(desk: _Desk, ticket: Ticket, finding: Finding) -> str:
    if not ticket.is_open or ticket.proposal is not None:
        store.save(desk.connection, ticket)
        return ""
    if desk.settings.on_clear == "resolve":
        desk.tell(
            replace(ticket, state="resolved", finished_at=finding.as_of, repeats=0),
            "ticket.resolved",
            finding,
            "resolved",
        )
        return "resolved"
    proposal = Proposal(to_text(finding.as_of), finding.diagnosis_id, ticket.state)
    desk.tell(
        replace(ticket, state="pending", proposal=proposal, repeats=0), "ticket.updated", finding, "resolution proposed"
    )
    return "proposed"


def _reopen(desk: _Desk, ticket: Ticket, finding: Finding) -> str:
    finished_at = ticket.finished_at or ticket.last_seen
    if ticket.state == "wont_fix" or finding.as_of <= finished_at or not has_evidence_after(finding, finished_at):
        store.save(desk.connection, ticket)
        return "held_back"
    again = replace(_merged(desk, ticket, finding), state="open", proposal=None, finished_at=None, repeats=0)
    desk.tell(again, "ticket.reopened", finding, "reopened")
    return "reopened"


def _is_known(ticket: Ticket, finding: Finding) -> bool:
    same_time = finding.as_of == ticket.judged_at
    return finding.as_of < ticket.judged_at or (same_time and finding.diagnosis_id in ticket.judged_by)


def _judged_by(ticket: Ticket, finding: Finding) -> tuple[str, ...]:
    earlier = ticket.judged_by if finding.as_of == ticket.judged_at else ()
    return (*earlier, finding.diagnosis_id)


def _merged(desk: _Desk, ticket: Ticket, finding: Finding) -> Ticket:
    meter = _meter(desk, ticket, finding)
    covered = desk.warranties.get((finding.meter_id, finding.onset))
    impact = meter_impact(
        is_fault=finding.is_fault,
        caliber_mm=meter.caliber_mm,
        large_caliber_mm=desk.settings.large_caliber_mm,
    )
    return replace(
        ticket,
        cause=finding.cause,
        cause_confidence=finding.cause_confidence,
        probability=finding.probability,
        severity=finding.severity,
        impact=impact,
        urgency=finding.severity,
        priority=priority(impact=impact, urgency=finding.severity),
        rules=tuple(sorted({*ticket.rules, *finding.rules})),
        evidence=finding.evidence,
        action=finding.action,
        model_version=finding.model_version,
        meter=msgspec.json.encode(meter).decode(),
        warranty=ticket.warranty if covered is None else msgspec.json.encode(covered).decode(),
        onset=finding.onset,
        last_seen=finding.as_of,
        count=ticket.count + (finding.as_of > ticket.last_seen),
    )


def _meter(desk: _Desk, ticket: Ticket, finding: Finding) -> Meter:
    meter = desk.meters[finding.meter_id]
    if meter == Meter(meter_id=finding.meter_id):
        meter = msgspec.json.decode(ticket.meter, type=Meter)
    batch, region = (clean(text, 100) if text else None for text in (finding.production_batch, finding.region))
    return replace(meter, production_batch=meter.production_batch or batch, region=meter.region or region)


def _gist(ticket: Ticket) -> tuple[object, ...]:
    """Return what a reader of the ticket cares about."""
    return ticket.state, ticket.cause, ticket.priority, ticket.rules, ticket.proposal


def _is_repeat_due(ticket: Ticket, now: datetime, settings: TicketSettings) -> bool:
    if ticket.notified_at is None:
        return True
    steps = settings.repeat_after_d
    return now - ticket.notified_at >= timedelta(days=steps[min(ticket.repeats, len(steps) - 1)])
