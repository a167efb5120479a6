from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.register import decimals, most_decimals, register_bits
from diagnostics.segments import Segments
from tests.diagnostics.frames import START, chained, readings


def day(*registers: float, **options: Any) -> dict[str, Any]:
    """Return the daily row of hourly registers [m³]."""
    return chained(readings({"volume_m3": list(registers)}), **options).row(0, named=True)


def test_consumption_is_the_sum_of_increments() -> None:
    """An ordinary day has consumption, standstill and no symptom."""
    row = day(10.0, 10.0, 10.012, 10.02)

    assert (
        row["consumption_m3"], row["standstill_s"], row["backward_counts"], row["drops"], row["surges"],
    ) == (0.02, 3600.0, 0, 0, 0)  # fmt: skip
    assert row["volume_step_m3"] == 0.001


def test_small_fall_is_a_backward_count() -> None:
    """A fall below the drop limit counts backwards and is no consumption."""
    row = day(10.0, 10.005, 10.003, 10.01)

    assert (row["backward_counts"], row["worst_backward_m3"], row["consumption_m3"]) == (1, 0.002, 0.012)


def test_fall_between_overlapping_deliveries_is_told_apart() -> None:
    """A fall two minutes after the measurement before it comes from overlapping times."""
    hours = [0, 1, 2, 2.03, 3, 4]
    seen = readings(
        {
            "ts": [START + timedelta(hours=hour) for hour in hours],
            "volume_m3": [10.0, 10.01, 10.08, 10.02, 10.09, 10.1],
        }
    )

    row = chained(seen).row(0, named=True)

    assert (row["backward_counts"], row["backward_overlaps"]) == (1, 1)


@pytest.mark.parametrize("registers", [(300.0, 300.01, 287.722, 300.02), (300.0, 300.01, 312.298, 300.012)])
def test_jump_and_return_is_one_drop_and_no_consumption(registers: tuple[float, ...]) -> None:
    """Down and back, or up and back: one drop of 3 x 4096 counts, and nothing of it is consumption."""
    row = day(*registers)

    assert (row["drops"], row["drop_bits"]) == (1, 12288)
    assert row["consumption_m3"] < 0.05


def test_two_alternating_sequences_are_interleaved_registers() -> None:
    """A B A B, each possible in itself, is two meters under one id and neither backward nor jump."""
    row = day(207.774, 456.017, 207.814, 456.273, 207.851, 456.353, 207.886)

    assert (row["interleaved_readings"], row["drops"], row["backward_counts"]) == (3, 0, 0)
    assert 248.0 < row["interleaved_offset_m3"] < 249.0
    assert row["consumption_m3"] is None


def test_flipping_bit_that_alternates_is_no_second_register() -> None:
    """Two sequences exactly one register bit apart are one register."""
    row = day(300.0, 304.096, 300.0, 304.096, 300.0)

    assert row["interleaved_readings"] is None
    assert row["drops"] == 2


def test_increment_beyond_the_flow_limit_is_a_surge() -> None:
    """It is counted apart and is no consumption."""
    row = day(10.0, 10.01, 110.0, 110.02)

    assert (row["surges"], row["consumption_m3"]) == (1, 0.03)


def test_flow_limit_follows_the_caliber() -> None:
    """A bulk meter may pass what a household meter may not."""
    meters = pl.DataFrame({"meter_id": ["m1"], "caliber_mm": [100]})

    row = day(10.0, 110.0, 210.0, meters=meters)

    assert (row["surges"], row["consumption_m3"]) == (0, 200.0)


def test_register_bits_allows_what_flowed_meanwhile() -> None:
    """One or three times a power of two, but for a little."""
    counts = pl.DataFrame({"counts": [12288.0, 12301.0, 3076.0, 4096.0, 9000.0, 100.0]})

    bits = counts.select(register_bits(pl.col("counts")))["bits"].to_list()

    assert bits == [12288, 12288, 3072, 4096, None, None]


REGISTERS = st.one_of(
    st.integers(0, 10**8).map(float),
    *(
        st.integers(0, 10**8 * 10**places).map(lambda count, places=places: count / 10**places)
        for places in range(1, 7)
    ),
    st.floats(0, 1e8),
)


@given(runs=st.lists(st.lists(REGISTERS, min_size=1, max_size=4), min_size=1, max_size=6))
def test_most_decimals_are_those_of_the_finest_value(runs: list[list[float]]) -> None:
    """However many a run's registers have, up to the largest register."""
    keys = np.repeat(np.arange(len(runs)), [len(run) for run in runs])
    values = pl.DataFrame({"value": [value for run in runs for value in run]})
    each = values.select(decimals(pl.col("value"))).to_series().to_numpy()
    segments = Segments.of(keys)

    assert segments.greatest(each).tolist() == most_decimals(values["value"].to_numpy(), segments).tolist()
