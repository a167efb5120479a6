"""What a finding rests on, and when that was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lake.schemas import FINDINGS
from tickets.finding import Finding, has_evidence_after

REPAIR = datetime(2024, 7, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("evidence", "onset", "after"),
    [
        ([], None, False),
        ([], datetime(2024, 7, 6, tzinfo=UTC), True),
        ([], datetime(2024, 7, 1, tzinfo=UTC), False),
        ([{"from": "2024-07-01T00:00:00Z", "to": "2024-07-04T00:00:00Z"}], None, False),
        ([{"from": "2024-07-01T00:00:00Z", "to": "2024-07-06T00:00:00Z"}], None, True),
        ([{"ts": "2024-07-05T14:30:00+02:00"}], None, True),
        ([{"ts": "2024-07-05T13:30:00+02:00"}], None, False),
        ([{"day": "2024-07-05"}], None, False),
        ([{"days": ["2024-07-04", "2024-07-06"]}], None, True),
        ([{"as_of": "2024-07-10T00:00:00Z"}], None, False),
        ([{"to": "2038-01-19T00:00:00Z"}], None, False),
        ([{"code": "2024-13-99", "n": 5, "text": "2024-07-xx and more", "flag": True}], None, False),
    ],
)
def test_has_evidence_after_reads_times(
    finding: Callable[..., dict[str, Any]], evidence: Any, onset: datetime | None, after: bool
) -> None:
    """Only a measurement after the repair, and not after the diagnosis, speaks against it."""
    row = dict.fromkeys(FINDINGS.columns) | finding(9, evidence=json.dumps(evidence), onset=onset)

    assert has_evidence_after(Finding.from_row(row), REPAIR) is after
