"""What an HTTP answer means for a delivery: the one table of status codes that all receivers share."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lake.errors import DeliveryError
from tickets.receivers import Answer

GONE = 410
# The destination as a whole is overloaded or away: everything for it waits, not only the event that met this.
SLOW_DOWN = frozenset({429, 502, 503, 504})
RETRY_AFTER_LIMIT_S = 24 * 3600.0


class DestinationGoneError(DeliveryError):
    """The destination says that it is no more (410): nothing is sent to it until a person says so."""


class DestinationBusyError(DeliveryError):
    """The destination cannot be reached or asks for patience: everything for it waits."""


def judge(answer: Answer, *, now: datetime | None = None) -> None:
    """Return when the answer is a success (2xx), else raise what it means.

    Parameters
    ----------
    answer : Answer
        What came back.
    now : datetime, optional
        For a ``Retry-After`` that names a date; the clock when left out.

    Raises
    ------
    DestinationGoneError
        410.
    DestinationBusyError
        429, 502, 503 or 504, with the wait of ``Retry-After`` where given.
    DeliveryError
        Anything else, redirects included: they are never followed.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    if status == GONE:
        raise DestinationGoneError("answered 410 Gone: disabled until it is enabled again", retry=False)
    if status in SLOW_DOWN:
        wait_s = retry_after_s(answer.headers.get("retry-after"), now=now or datetime.now(UTC))
        raise DestinationBusyError(f"answered {status}", retry=True, retry_after_s=wait_s)
    if 300 <= status < 400:
        raise DeliveryError(f"answered {status}, a redirect; redirects are not followed: correct the url", retry=True)
    raise DeliveryError(f"answered {status}", retry=True)


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """Read a ``Retry-After`` header, seconds or a date; None when there is none or it cannot be read [s].

    Examples
    --------
    >>> retry_after_s("120", now=datetime(2024, 1, 1, tzinfo=UTC))
    120.0
    >>> retry_after_s("Mon, 01 Jan 2024 00:01:00 GMT", now=datetime(2024, 1, 1, tzinfo=UTC))
    60.0
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), RETRY_AFTER_LIMIT_S)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), RETRY_AFTER_LIMIT_S)
