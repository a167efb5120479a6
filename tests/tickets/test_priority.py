"""The priority table."""

from __future__ import annotations

import itertools

from tickets.priority import meter_impact, priority


def test_priority_is_within_bounds_and_monotone() -> None:
    """Every pair has a priority of 1 to 4, and more impact or urgency never makes it milder."""
    steps = range(1, 5)
    for impact, urgency in itertools.product(steps, steps):
        value = priority(impact=impact, urgency=urgency)

        assert 1 <= value <= 4
        assert impact == 4 or value <= priority(impact=impact + 1, urgency=urgency)
        assert urgency == 4 or value <= priority(impact=impact, urgency=urgency + 1)


def test_meter_impact_by_consumer_and_kind() -> None:
    """A large consumer counts more than a household, a fault more than a condition."""
    assert meter_impact(is_fault=True, caliber_mm=None, large_caliber_mm=50) == 3
    assert meter_impact(is_fault=False, caliber_mm=15, large_caliber_mm=50) == 4
    assert meter_impact(is_fault=False, caliber_mm=50, large_caliber_mm=50) == 2
