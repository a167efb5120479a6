"""What the triage of a running site tells the daemon, and the daemon ``status`` and monitoring."""

from __future__ import annotations

from datetime import datetime

import msgspec


class RunsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The scheduled diagnoses; counted since the process started.

    Parameters
    ----------
    running_as_of, running_since : datetime or None
        The one that is at work.
    pid : int or None
        Its process.
    told_until : datetime or None
        As-of time of the last one whose findings are in the lake.
    next_as_of, next_at : datetime or None
        The following one, and when it begins.
    missed : int
        Diagnoses that are due and not begun.
    waits_for_lake : bool
        Whether the first of them waits for messages that are not in the lake yet.
    done, failed, put_off : int
        Ended well; failed; found another diagnosis of the site at work.
    failure : str or None
        Why the last one failed; None after one that ended well.
    last_seconds, last_findings, last_finished_at : float, int, datetime or None
        The last one that ended well: how long it took [s], what it found, when it ended.
    """

    running_as_of: datetime | None = None
    running_since: datetime | None = None
    pid: int | None = None
    told_until: datetime | None = None
    next_as_of: datetime | None = None
    next_at: datetime | None = None
    missed: int = 0
    waits_for_lake: bool = False
    done: int = 0
    failed: int = 0
    put_off: int = 0
    failure: str | None = None
    last_seconds: float | None = None
    last_findings: int | None = None
    last_finished_at: datetime | None = None


class TriageReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; counted since the process started.

    Parameters
    ----------
    diagnosis : RunsReport
        The scheduled diagnoses.
    hot_findings : int
        Findings of hard codes.
    hot_at : datetime or None
        When the last one was made.
    ticket_events : int
        Events put into the outbox.
    delivered, delivery_failures : int
        Attempts.
    waiting, dead : int
        Events that wait for delivery, and those that were given up.
    failures : dict of str to str
        What does not work at present, by duty; deliveries by name of the webhook.
    """

    diagnosis: RunsReport = RunsReport()
    hot_findings: int = 0
    hot_at: datetime | None = None
    ticket_events: int = 0
    delivered: int = 0
    delivery_failures: int = 0
    waiting: int = 0
    dead: int = 0
    failures: dict[str, str] = {}
