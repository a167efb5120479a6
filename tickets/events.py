"""The event body of the contract's section 6, from a stored ticket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

import msgspec

from lake.meter import Meter
from tickets.meters import Warranty
from tickets.settings import EventType
from tickets.store import Kind, State, Ticket, ticket_id
from tickets.texts import Language, Texts, WorksheetText, clean, render, render_all, texts

BODY_LIMIT_BYTES = 20_000
TITLE_LIMIT = 200
SUMMARY_LIMIT = 1_200
ACTION_LIMIT = 400


class Emergency(msgspec.Struct, frozen=True):
    """Whether the case is an emergency (突发性紧急事件), and by which rules."""

    is_: bool = msgspec.field(default=False, name="is")
    reasons: tuple[str, ...] = ()


class Batch(msgspec.Struct, frozen=True):
    """How the meter's lot does; null while nothing is known."""

    production_batch: str | None = None
    scope: str | None = None
    key: str | None = None
    verdict: str | None = None
    meters: int | None = None
    observed: int | None = None
    expected: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    q_value: float | None = None


class Due(msgspec.Struct, frozen=True):
    """The clocks of the procedure; null while one does not run."""

    acknowledge_by: datetime | None = None
    warranty_answer_by: datetime | None = None
    on_site_by: datetime | None = None
    conclusion_by: datetime | None = None
    report_by: datetime | None = None
    interim_answer_by: datetime | None = None


class WorksheetStep(msgspec.Struct, frozen=True):
    """One of the eight steps: what is known and what to check on site."""

    step: int
    title: str
    known: tuple[str, ...]
    to_check: tuple[str, ...]


class Spares(msgspec.Struct, frozen=True):
    """Spare meters (备用表) the region should hold; null while there is no forecast."""

    region: str | None = None
    recommended: int | None = None


class EventData(msgspec.Struct, frozen=True):
    """``data`` of the contract; times are UTC."""

    ticket_id: str
    dedup_key: str
    seq: int
    kind: Kind
    parent: str | None
    state: State
    fault: str
    cause: str
    cause_confidence: float | None
    probability: float | None
    severity: int
    priority: int
    impact: int
    urgency: int
    emergency: Emergency
    title: str
    summary: str
    language: str
    meter: Meter
    batch: Batch
    warranty: Warranty
    due: Due
    rules: tuple[str, ...]
    evidence: tuple[Any, ...]
    evidence_omitted: int
    worksheet: tuple[WorksheetStep, ...]
    spares: Spares
    onset: datetime | None
    first_seen: datetime
    last_seen: datetime
    count: int
    proposed_resolution: datetime | None
    links: Mapping[str, str]


class Event(msgspec.Struct, frozen=True):
    """One webhook body."""

    type: EventType
    timestamp: datetime
    data: EventData


def event_data(ticket: Ticket, *, on: date, language: Language, links: Mapping[str, str] | None = None) -> EventData:
    """Return everything a reader of the ticket gets, with all its evidence.

    Parameters
    ----------
    ticket : Ticket
        As stored.
    on : date
        The day for which the warranty state holds.
    language : {'en', 'zh'}
        Language of title, summary and worksheet.
    links : mapping of str to str, optional
        Addresses of pictures and pages, by name.
    """
    words = texts(language)
    meter = msgspec.json.decode(ticket.meter, type=Meter)
    covered = msgspec.json.decode(ticket.warranty, type=Warranty).at(on)
    known = _known(ticket, meter, covered, words)
    title = render(words.title, known) or ticket.ticket_id
    summary = ("" if language == "zh" else " ").join(render_all(words.summary, known))
    return EventData(
        ticket_id=ticket.ticket_id,
        dedup_key=ticket.dedup_key,
        seq=ticket.seq,
        kind=ticket.kind,
        parent=None if ticket.parent is None else ticket_id(ticket.parent),
        state=ticket.state,
        fault=ticket.fault,
        cause=ticket.cause,
        cause_confidence=ticket.cause_confidence,
        probability=ticket.probability,
        severity=ticket.severity,
        priority=ticket.priority,
        impact=ticket.impact,
        urgency=ticket.urgency,
        emergency=Emergency(),
        title=clean(title, TITLE_LIMIT),
        summary=clean(summary, SUMMARY_LIMIT),
        language=language,
        meter=meter,
        batch=Batch(production_batch=meter.production_batch),
        warranty=covered,
        due=Due(),
        rules=ticket.rules,
        evidence=evidence_items(ticket.evidence),
        evidence_omitted=0,
        worksheet=tuple(
            _step(number, step, fault=ticket.fault, known=known) for number, step in enumerate(words.worksheet, start=1)
        ),
        spares=Spares(region=meter.region),
        onset=ticket.onset,
        first_seen=ticket.first_seen,
        last_seen=ticket.last_seen,
        count=ticket.count,
        proposed_resolution=None if ticket.proposal is None else datetime.fromisoformat(ticket.proposal.at),
        links=links or {},
    )


def event_body(event_type: EventType, *, at: datetime, data: EventData) -> bytes:
    """Encode one event below the size limit: evidence is cut first, worksheet lines next, links never.

    Parameters
    ----------
    event_type : str
        One of the event types.
    at : datetime
        When it happened; UTC.
    data : EventData
        From :func:`event_data`.
    """
    bare = msgspec.structs.replace(data, evidence=(), evidence_omitted=len(data.evidence))
    room = BODY_LIMIT_BYTES - 1 - len(msgspec.json.encode(Event(event_type, at, bare)))
    if room < 0:
        steps = tuple(msgspec.structs.replace(step, known=()) for step in bare.worksheet)
        return msgspec.json.encode(Event(event_type, at, msgspec.structs.replace(bare, worksheet=steps)))
    kept: list[Any] = []
    for item in data.evidence:
        size = len(msgspec.json.encode(item)) + 1
        if size <= room:
            kept.append(item)
            room -= size
    cut = msgspec.structs.replace(data, evidence=tuple(kept), evidence_omitted=len(data.evidence) - len(kept))
    return msgspec.json.encode(Event(event_type, at, cut))


def evidence_items(evidence: str) -> tuple[Any, ...]:
    """Return a finding's evidence as a list, whatever JSON it is; what is none comes as its text.

    Examples
    --------
    >>> evidence_items('{"flow_m3h": 0}')
    ({'flow_m3h': 0},)
    """
    try:
        decoded = msgspec.json.decode(evidence)
        msgspec.json.encode(decoded)
    except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError):
        return ({"text": clean(evidence, 1000)},)
    if decoded is None:
        return ()
    return tuple(decoded) if isinstance(decoded, list) else (decoded,)


def _known(ticket: Ticket, meter: Meter, covered: Warranty, words: Texts) -> dict[str, str]:
    known = {name: _word(value, words) for name, value in asdict(meter).items() if value is not None}
    if meter.installation is not None:
        known["installation"] = words.words.get(meter.installation, meter.installation)
    known |= {
        "fault": words.faults.get(ticket.fault, ticket.fault),
        "cause": words.causes.get(ticket.cause, ticket.cause),
        "count": str(ticket.count),
        "first_seen": _day(ticket.first_seen),
        "last_seen": _day(ticket.last_seen),
    }
    optional = {
        "onset": None if ticket.onset is None else _day(ticket.onset),
        "action": clean(ticket.action, ACTION_LIMIT).rstrip(".。 ") or None,
        "probability_percent": _percent(ticket.probability),
        "cause_percent": None if ticket.cause == "unknown" else _percent(ticket.cause_confidence),
        "warranty": None if covered.state == "unknown" else words.words[covered.state],
        "warranty_ends_on": None if covered.ends_on is None else covered.ends_on.isoformat(),
        "seal_broken": None if covered.void_since is None else _day(covered.void_since),
        "seal_seen_by": covered.void_by or None,
        "dead_on_arrival": "" if covered.dead_on_arrival else None,
        "proposed_at": None if ticket.proposal is None else _day(datetime.fromisoformat(ticket.proposal.at)),
        "cause_open": "" if ticket.cause == "unknown" else None,
    }
    return known | {name: value for name, value in optional.items() if value is not None}


def _step(number: int, step: WorksheetText, *, fault: str, known: Mapping[str, str]) -> WorksheetStep:
    to_check = (*step.to_check, *step.to_check_for.get(fault, ()))
    return WorksheetStep(number, step.title, tuple(render_all(step.known, known)), to_check)


def _word(value: object, words: Texts) -> str:
    if isinstance(value, bool):
        return words.words[str(value).lower()]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.0f}"
