"""The table of HTTP answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lake.errors import DeliveryError
from tickets.answers import DestinationBusyError, DestinationGoneError, judge, retry_after_s
from tickets.receivers import Answer

NOW = datetime(2024, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_judge_takes_success(status: int) -> None:
    """Any 2xx is a success, whatever became of its body."""
    judge(Answer(status, {}, b"...", complete=False))


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        *[
            (status, DeliveryError, True)
            for status in (100, 300, 301, 302, 307, 308, 400, 401, 403, 404, 409, 422, 500)
        ],
        *[(status, DestinationBusyError, True) for status in (429, 502, 503, 504)],
        (410, DestinationGoneError, False),
    ],
)
def test_judge_names_failures(status: int, kind: type[DeliveryError], retry: bool) -> None:
    """Everything else is a failure of a known kind."""
    with pytest.raises(DeliveryError, match=f"answered {status}") as caught:
        judge(Answer(status, {}, b""))

    assert (type(caught.value), caught.value.retry) == (kind, retry)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("99999999999999999999", 86400.0),
        ("Mon, 01 Jul 2024 00:02:00 GMT", 120.0),
        ("Mon, 01 Jul 2024 00:02:00", 120.0),
        ("Mon, 01 Jul 2020 00:02:00 GMT", 0.0),
        ("Mon, 01 Jul 2199 00:02:00 GMT", 86400.0),
        ("-5", None),
        ("1e3", None),
        ("soon", None),
        ("²", None),
    ],
)
def test_retry_after_s_reads_seconds_and_dates(value: str | None, wait_s: float | None) -> None:
    """A wait is believed up to a day; nonsense is no wait."""
    assert retry_after_s(value, now=NOW) == wait_s
