from __future__ import annotations

from datetime import timedelta

import polars as pl

from diagnostics.facts import RECEPTION
from diagnostics.features import view
from diagnostics.reception import blamed, stretches
from tests.diagnostics.frames import START, chained, readings


def test_stretches_within_between_and_up_to_now() -> None:
    """Each kind once, with its length."""
    hours = [0, 1, 2, 10, 30, 31]
    daily = chained(readings({"ts": [START + timedelta(hours=hour) for hour in hours], "volume_m3": [1.0] * 6}))

    found = stretches(view(daily, START + timedelta(days=2)), 14)

    assert [("within", 8.0), ("between", 20.0), ("within", 1.0), ("silence", 17.0)] == [
        (kind, seconds / 3600) for kind, seconds in found.select("place", "missing_s").iter_rows()
    ]


def test_longest_part_between_our_gaps_is_blamed() -> None:
    """Overlapping gaps count once."""
    daily = chained(readings({"volume_m3": [1.0]}))
    rows = [("m1", START, START + timedelta(hours=first), START + timedelta(hours=last), "session_lost")
            for first, last in ((10, 12), (11, 20), (26, 30))]  # fmt: skip
    gaps = pl.DataFrame(rows, schema=RECEPTION, orient="row")

    found = blamed(stretches(view(daily, START + timedelta(hours=35)), 14), gaps)

    assert [10.0] == [seconds / 3600 for seconds in found.filter(place="silence")["blamed_s"]]
