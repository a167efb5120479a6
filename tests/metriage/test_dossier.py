"""The parts of a dossier that need no site: the order of groups, the choice of one, weeks."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from lake.errors import UsageError
from lake.schemas import BATCH_FINDINGS
from metriage.dossier import chosen, ranked, weeks
from metriage.dossier_page import folder_name
from tests.metriage.sites import START

TODAY = date(2024, 3, 1)


def rows(*groups: tuple[str, str, str, str, float | None]) -> pl.DataFrame:
    names = ("scope", "key", "fault", "verdict", "ratio_low")
    return BATCH_FINDINGS.conform(
        pl.DataFrame(groups, orient="row", schema={name: BATCH_FINDINGS.polars[name] for name in names})
    )


def test_ranked_puts_what_is_to_act_on_first_and_the_surest_of_it() -> None:
    """A small group with a wide interval does not lead, and one without figures comes last."""
    told = rows(
        ("region", "none", "coil", "normal", None),
        ("region", "usual", "coil", "normal", 0.9),
        ("region", "small", "coil", "act", 1.1),
        ("region", "large", "coil", "act", 2.1),
        ("region", "maybe", "coil", "watch", 5.0),
    )

    assert ["large", "small", "maybe", "usual", "none"] == ranked(told)["key"].to_list()


def test_chosen_is_the_group_in_its_scope() -> None:
    """The fault that stands out first."""
    told = rows(("region", "a", "coil", "normal", 1.0), ("region", "a", "battery", "act", 2.0),
                ("site", "b", "coil", "act", 2.0))  # fmt: skip

    assert ["battery", "coil"] == chosen(told, "a", None, None)["fault"].to_list()
    with pytest.raises(UsageError, match="nobody of b is at risk of actuator"):
        chosen(told, "b", "site", "actuator")


def test_weeks_cumulate_failures_and_days_at_risk() -> None:
    """What is expected accrues with the meters that are watched; at the end it is all of it."""
    group = pl.DataFrame(
        {
            "entered": [TODAY - timedelta(days=28)] * 2 + [TODAY - timedelta(days=14)] * 2,
            "left": [TODAY] * 4,
            "failed": [None, TODAY - timedelta(days=10), None, None],
        }
    )

    told = weeks(group, 8.4, TODAY)

    assert [TODAY - timedelta(days=days) for days in (21, 14, 7, 0)] == told["day"].to_list()
    assert [0, 0, 1, 1] == told["observed"].to_list()
    days = [14, 28, 28 + 7 + 4 + 14, 28 + 14 + 4 + 28]
    assert [pytest.approx(8.4 * number / 74) for number in days] == told["expected"].to_list()


def test_weeks_of_nobody_are_none() -> None:
    """A group may have lost all its meters before anybody watched."""
    nobody = pl.DataFrame(schema={"entered": pl.Date, "left": pl.Date, "failed": pl.Date})

    assert weeks(nobody, 0.0, TODAY).is_empty()


@pytest.mark.parametrize("key", ["L-7", "../../etc/passwd", "批次 7", "a/b\\c", ".", "", "x" * 300])
def test_folder_name_fits_every_file_system(key: str) -> None:
    """And two names never become one."""
    finding = {"scope": "production_batch", "key": key, "fault": "coil", "as_of": START}
    name = folder_name(finding)

    assert name.isascii()
    assert "/" not in name
    assert "\\" not in name
    assert len(name) < 120
    assert name != folder_name(finding | {"key": f"{key}?"})
