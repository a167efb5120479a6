from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.soak import Sample, grown


def samples(own_mb: Sequence[float]) -> list[Sample]:
    """Return samples of which only the memory changes."""
    plain = {field.name: 1 for field in dataclasses.fields(Sample)}
    return [Sample(**{**plain, "at_s": float(n), "own_mb": value}) for n, value in enumerate(own_mb)]


def test_memory_that_grows_on_and_on_is_a_leak() -> None:
    assert ["own_mb has grown"] == [line.split(":")[0] for line in grown(samples([200.0 + n for n in range(120)]))]


def test_memory_that_fills_up_to_its_bound_is_none() -> None:
    assert [] == grown(samples([min(200.0 + 4 * n, 350.0) for n in range(120)]))


def test_memory_that_goes_up_and_down_is_none() -> None:
    assert [] == grown(samples([250.0 + 30.0 * (n % 2) for n in range(120)]))
