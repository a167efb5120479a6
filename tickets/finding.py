"""One finding, as tickets take it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

from lake.vocabulary import SEVERITIES
from tickets.events import evidence_items
from tickets.priority import DEFAULT_SEVERITY


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the lake table ``findings``, with a value wherever a ticket needs one."""

    diagnosis_id: str
    as_of: datetime
    meter_id: str
    is_fault: bool
    fault: str
    verdict: str
    probability: float | None
    severity: int
    onset: datetime | None
    cause: str
    cause_confidence: float | None
    rules: tuple[str, ...]
    evidence: str
    action: str
    model_version: str | None
    production_batch: str | None
    region: str | None
    inhibited_by: str | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Build from a row; what is missing or no number has a default."""
        severity = row["severity"]
        return cls(
            diagnosis_id=row["diagnosis_id"] or "",
            as_of=row["as_of"],
            meter_id=row["meter_id"],
            is_fault=row["kind"] == "fault",
            fault=row["fault"],
            verdict=row["verdict"],
            probability=_finite(row["probability"]),
            severity=severity if severity in SEVERITIES else DEFAULT_SEVERITY,
            onset=row["onset"],
            cause=row["cause"] or "unknown",
            cause_confidence=_finite(row["cause_confidence"]),
            rules=tuple(rule for rule in row["rules"] or () if rule),
            evidence=row["evidence"] or "null",
            action=row["action"] or "",
            model_version=row["model_version"],
            production_batch=row["production_batch"],
            region=row["region"],
            inhibited_by=row["inhibited_by"] or None,
        )


def has_evidence_after(finding: Finding, moment: datetime) -> bool:
    """Return whether the finding rests on something measured after `moment`, such as a repair."""
    if finding.onset is not None and finding.onset > moment:
        return True
    return any(moment < seen <= finding.as_of for seen in _times(evidence_items(finding.evidence)))


def _times(value: object) -> Iterator[datetime]:
    """Return the times of measurements that evidence names; the diagnosis's own time is none of them."""
    if isinstance(value, str):
        found = _time(value)
        if found is not None:
            yield found
    elif isinstance(value, dict):
        for key, part in value.items():
            if key != "as_of":
                yield from _times(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _times(part)


def _time(text: str) -> datetime | None:
    if len(text) < 10 or text[4] != "-":
        return None
    try:
        if len(text) == 10:
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
