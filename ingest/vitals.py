"""What a receiver is doing right now, for metrics, health and ``status``.

One thread writes, others read: every attribute is a single value that is replaced, never changed in place.
"""

from __future__ import annotations

from dataclasses import dataclass


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
