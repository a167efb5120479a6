"""Whether the daemon lives, and whether it does its work: the words of ``/healthz`` and ``/readyz``."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ingest.monitoring.vitals import DaemonVitals

_STALLED_S = 60.0  # the loop comes round once a second; a slow disk may hold it for a while


def not_alive(vitals: DaemonVitals) -> list[str]:
    """Return why the daemon should be started again; nothing while its threads and processes run."""
    return list(_dead(vitals))


def _dead(vitals: DaemonVitals) -> Iterator[str]:
    age_s = time.monotonic() - vitals.beat
    if age_s > _STALLED_S:
        yield f"the daemon's loop has not come round for {age_s:.0f} s"
    if not vitals.receivers_alive:
        yield "a receiving thread has died and is being started again"
    if not vitals.writer.alive:
        yield f"the lake writer's process does not run: {vitals.writer.failure or 'it is being started'}"
    for companion in vitals.companions:
        yield from companion.dead()


def not_ready(vitals: DaemonVitals, lag_limit_s: float) -> list[str]:
    """Return what keeps messages from coming in or from reaching the lake in time.

    Parameters
    ----------
    vitals : DaemonVitals
        What the daemon tells.
    lag_limit_s : float
        The lake may be this far behind [s].
    """
    return [*_dead(vitals), *_hindered(vitals, lag_limit_s)]


def _hindered(vitals: DaemonVitals, lag_limit_s: float) -> Iterator[str]:
    for broker in vitals.brokers:
        if not broker.connected:
            yield f"broker {broker.broker} is not connected{f': {broker.refusal}' if broker.refusal else ''}"
    held = vitals.spool.full or next((broker.holding for broker in vitals.brokers if broker.holding), None)
    if held:
        yield f"nothing is acknowledged: {held}"
    if vitals.writer.alive and vitals.writer.failure:
        yield f"the lake is not written: {vitals.writer.failure}"
    for companion in vitals.companions:
        yield from companion.hindered()
    if vitals.spool.lag_s > lag_limit_s:
        yield f"the lake is {vitals.spool.lag_s:.0f} s behind, more than metrics.ready_lag_s = {lag_limit_s:g}"
