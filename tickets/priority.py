"""Priority = impact × urgency.

Urgency is the severity of the finding. Impact is how many depend on it: 1 a region, 2 a lot or a large consumer,
3 one household's fault, 4 one household's condition. The table gives the priority; 1 is the worst everywhere.

=============  ===  ===  ===  ===
impact         urgency
-------------  ------------------
..               1    2    3    4
=============  ===  ===  ===  ===
1                1    1    2    3
2                1    2    2    3
3                2    2    3    4
4                2    3    4    4
=============  ===  ===  ===  ===
"""

from __future__ import annotations

_TABLE = (
    (1, 1, 2, 3),
    (1, 2, 2, 3),
    (2, 2, 3, 4),
    (2, 3, 4, 4),
)

REGION = 1
LARGE_CONSUMER = 2
HOUSEHOLD = 3
CONDITION_ONLY = 4

DEFAULT_SEVERITY = 3


def priority(*, impact: int, urgency: int) -> int:
    """Look the priority up.

    Examples
    --------
    >>> priority(impact=HOUSEHOLD, urgency=2)
    2
    """
    return _TABLE[impact - 1][urgency - 1]


def meter_impact(*, is_fault: bool, caliber_mm: float | None, large_caliber_mm: float) -> int:
    """Return the impact of one meter's finding: a large consumer 2, another's fault 3, another's condition 4."""
    if caliber_mm is not None and caliber_mm >= large_caliber_mm:
        return LARGE_CONSUMER
    return HOUSEHOLD if is_fault else CONDITION_ONLY
