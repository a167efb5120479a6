"""What the daemon is doing right now, for metrics, health and ``status``.

One thread writes, others read: every attribute is a single value that is replaced, never changed in place; only a
:class:`Histogram` counts in place, and a reader that comes in between is off by one observation.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ingest.account import Tally
from ingest.companion import Companion

# What makes the daemon stop acknowledging: the words of metrics and of `status`.
HoldReason = Literal["disk_full", "spool_full", "spool_error"]
HOLD_REASONS: tuple[HoldReason, ...] = ("disk_full", "spool_full", "spool_error")


@dataclass(slots=True)
class BrokerVitals:
    """One broker of the daemon; times are seconds of ``time.time()``, None where it never happened.

    Parameters
    ----------
    broker : str
        Client id and address, without credentials.
    source : str
        Configured source name.
    silent_after_s : float
        Silence that is worth a warning [s], 0 for never.
    """

    broker: str
    source: str
    silent_after_s: float = 0.0
    connected: bool = False
    connected_at: float | None = None
    protocol: str | None = None
    refusal: str | None = None
    last_message_at: float | None = None
    messages: int = 0
    bytes: int = 0
    retained: int = 0
    oversized: int = 0
    acknowledged: int = 0
    groups: int = 0
    # When the oldest message was received that is neither stored nor acknowledged; None where there is none.
    oldest_unacknowledged_at: float | None = None
    # Why nothing is acknowledged (a full disk, a full spool), None while all is well.
    holding: str | None = None
    connections: int = 0
    sessions_lost: int = 0
    resubscriptions: int = 0
    silent: bool = False


class Histogram:
    """Counts observations by size, as Prometheus does.

    Parameters
    ----------
    bounds : sequence of float
        Upper bounds of the buckets, rising; one without bound follows them.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value


@dataclass(slots=True)
class ProcessVitals:
    """A process beside the daemon; counted since the daemon started.

    Parameters
    ----------
    alive : bool
        Whether it runs.
    pid : int or None
        Its number while it runs.
    restarts : int
        How often it died and was started again.
    failure : str or None
        Why it died, or failed at the last attempt; None after one that succeeded.
    """

    alive: bool = False
    pid: int | None = None
    restarts: int = 0
    failure: str | None = None


@dataclass(slots=True)
class WriterVitals(ProcessVitals):
    """The lake writer's process, as it reports itself.

    Parameters
    ----------
    failures : int
        Attempts that failed.
    commits : int
        Batches committed.
    last_commit_at : float or None
        When the last one was [s since 1970 UTC].
    conflicts : int
        Commits that another writer's commit forced to be tried again.
    hot : int
        Hard codes committed.
    commit_s, commit_messages, commit_readings : Histogram
        How long batches took [s], and how large they were.
    """

    failures: int = 0
    commits: int = 0
    last_commit_at: float | None = None
    conflicts: int = 0
    hot: int = 0
    commit_s: Histogram = field(default_factory=lambda: Histogram((0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)))
    commit_messages: Histogram = field(default_factory=lambda: Histogram((10, 100, 1e3, 1e4, 2.5e4, 5e4, 1e5, 5e5)))
    commit_readings: Histogram = field(default_factory=lambda: Histogram((10, 100, 1e3, 1e4, 1e5, 2.5e5, 5e5, 1e6)))


@dataclass(slots=True)
class SpoolVitals:
    """The spool and the account, looked at once a second.

    Parameters
    ----------
    received : int
        Messages ever stored.
    waiting : int
        Messages that the lake does not have yet.
    bytes : int
        What the spool occupies [B].
    lag_s : float
        How long the oldest message has waited that the lake does not have [s]; by the monotonic clock.
    free_bytes : int
        Free space on the spool's disk [B].
    lake_free_bytes : int or None
        Free space on the lake's disk [B]; None where the lake lies elsewhere.
    full : str or None
        Why nothing is stored, None while all is well.
    hold : HoldReason or None
        The same as a word.
    tally : Tally
        What became of all messages that the lake has.
    gaps : int
        Gaps noticed by this daemon.
    """

    received: int = 0
    waiting: int = 0
    bytes: int = 0
    lag_s: float = 0.0
    free_bytes: int = 0
    lake_free_bytes: int | None = None
    full: str | None = None
    hold: HoldReason | None = None
    tally: Tally = field(default_factory=Tally)
    gaps: int = 0


@dataclass(slots=True)
class DaemonVitals:
    """All that a running daemon tells about itself.

    Parameters
    ----------
    brokers : tuple of BrokerVitals
        One each.
    writer : WriterVitals
        The lake writer's process.
    spool : SpoolVitals
        The spool and the account.
    receivers_alive : bool
        Whether every receiving thread runs.
    receiver_restarts : int
        How often one died and was started again.
    beat : float
        When the daemon's own loop last came round (``time.monotonic()``).
    idle_s : dict of str to float
        Seconds since the last message of each broker, by the monotonic clock.
    unacknowledged_s : dict of str to float
        Age of the oldest message that is not acknowledged [s], by broker.
    companions : sequence of Companion
        What runs beside.
    """

    brokers: tuple[BrokerVitals, ...] = ()
    writer: WriterVitals = field(default_factory=WriterVitals)
    spool: SpoolVitals = field(default_factory=SpoolVitals)
    receivers_alive: bool = True
    receiver_restarts: int = 0
    beat: float = 0.0
    idle_s: dict[str, float] = field(default_factory=dict)
    unacknowledged_s: dict[str, float] = field(default_factory=dict)
    companions: Sequence[Companion] = ()
