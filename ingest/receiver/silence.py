"""Connected but silent: what to do when a broker that used to send messages sends none."""

from __future__ import annotations

from typing import Literal

Remedy = Literal["subscribe", "connect"]

_LONGEST_S = 86_400.0


class Silence:
    """Watches the time since the last message of a connection that stands.

    The first remedy is to subscribe again, the next to connect again, and so on in turn; the time between them doubles
    up to a day, since a fleet may simply have nothing to say. A message ends it.

    Parameters
    ----------
    after_s : float
        Silence before the first remedy [s]; 0 for never.
    now : float
        The monotonic clock [s].
    """

    def __init__(self, after_s: float, now: float) -> None:
        self._after_s = after_s
        self._interval_s = after_s
        self._heard_at = now
        self._due_at = now + after_s
        self._remedy: Remedy = "subscribe"
        self.lasting = False

    def connected(self, now: float) -> None:
        """Start waiting: a connection has come about."""
        if not self.lasting:
            self._heard_at = now
        self._due_at = now + self._interval_s

    def heard(self, now: float) -> bool:
        """Take note of a message; return whether it ends a silence."""
        ended = self.lasting
        self.lasting = False
        self._interval_s = self._after_s
        self._heard_at = now
        self._due_at = now + self._after_s
        self._remedy = "subscribe"
        return ended

    def lasts_s(self, now: float) -> float:
        """Return how long nothing has been heard [s]."""
        return now - self._heard_at

    def due(self, now: float) -> Remedy | None:
        """Return the remedy that is due now, once each time."""
        if not self._after_s or now < self._due_at:
            return None
        self.lasting = True
        self._interval_s = max(self._after_s, min(2 * self._interval_s, _LONGEST_S))
        self._due_at = now + self._interval_s
        remedy, self._remedy = self._remedy, "connect" if self._remedy == "subscribe" else "subscribe"
        return remedy
