from __future__ import annotations

import json

import polars as pl
import pytest

from diagnostics.evidence import OBSERVATIONS, observation, together
from tests.diagnostics.frames import START

HOSTILE = '"},{"rule":"x"} <script>{{7*7}}</script>\n\\ \x00 =cmd|表'


def test_hostile_text_stays_inside_its_string() -> None:
    """What a meter sends is encoded, never formatted."""
    frame = pl.DataFrame({"code": [HOSTILE]})

    encoded = frame.select(observation("coil.codes", "code", pl.col("code"))).item()

    assert json.loads(encoded)["value"] == HOSTILE


def test_observation_carries_value_unit_times_and_threshold() -> None:
    """Everything that a page needs to show why."""
    frame = pl.DataFrame({"v": [0.1], "at": [START]}).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))

    encoded = frame.select(
        observation("battery.plateau", "voltage", pl.col("v"), "V", since=pl.col("at"), until=pl.col("at"),
                    threshold=0.05, window_days=3, days=2)
    ).item()  # fmt: skip

    assert json.loads(encoded) == {
        "rule": "battery.plateau", "what": "voltage", "value": 0.1, "unit": "V", "from": "2024-01-01T00:00:00Z",
        "to": "2024-01-01T00:00:00Z", "threshold": 0.05, "window_days": 3, "days": 2,
    }  # fmt: skip


def test_observation_without_value_is_left_out() -> None:
    """Together keeps only what was seen."""
    frame = pl.DataFrame({"a": [1, None], "b": [2, 3]})

    both = frame.select(
        together(observation("r", "gap", pl.col("a")), observation("r", "gap", pl.col("b"))).alias("all")
    )

    assert both["all"].list.len().to_list() == [2, 1]


def test_unknown_observation_is_refused() -> None:
    """An observation without words for people cannot be made."""
    with pytest.raises(KeyError):
        observation("r", "no such words", pl.lit(1))


def test_every_observation_has_words_in_both_languages() -> None:
    """English and Chinese."""
    assert all(english and chinese for english, chinese in OBSERVATIONS.values())
