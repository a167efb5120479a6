"""Metrics for Prometheus, made of the daemon's vitals when asked for: nothing is decoded, no table is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ingest.account import OUTCOMES
from ingest.monitoring.vitals import HOLD_REASONS, BrokerVitals, DaemonVitals, Histogram

_MOST_LABELS = 200  # values of one label; a meter that makes up sources must not fill the monitoring
_LONGEST_LABEL = 128
_OTHER = "other"

_BROKER = ("broker", "source")


class DaemonCollector(Collector):
    """The metrics of one daemon.

    Parameters
    ----------
    vitals : DaemonVitals
        What it tells about itself.
    """

    def __init__(self, vitals: DaemonVitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterable[Metric]:
        """Yield every metric."""
        yield from self._receiving()
        yield from self._sources()
        yield from self._account()
        yield from self._spool()
        yield from self._writer()
        for companion in self._vitals.companions:
            yield from companion.metrics()
        yield from self._process()

    def _receiving(self) -> Iterator[Metric]:
        counters = {
            "received_messages": ("Messages that came over the network.", "messages"),
            "received_bytes": ("Bytes of payload that came over the network.", "bytes"),
            "retained_messages": ("Retained messages among the received ones.", "retained"),
            "acknowledged_messages": (
                "Messages acknowledged to the broker, after fsync.",
                "acknowledged",
            ),
            "spool_groups": ("Groups of messages fsynced at once.", "groups"),
            "broker_connections": ("Connections made; each one after the first is a reconnect.", "connections"),
            "sessions_lost": ("Sessions that the broker had forgotten: messages may be missing.", "sessions_lost"),
            "resubscriptions": ("Subscriptions renewed because nothing came.", "resubscriptions"),
        }
        brokers = self._vitals.brokers
        for name, (text, attribute) in counters.items():
            family = CounterMetricFamily(f"metriage_{name}", text, labels=_BROKER)
            for broker in brokers:
                family.add_metric(_of(broker), getattr(broker, attribute))
            yield family
        connected = GaugeMetricFamily("metriage_broker_connected", "1 while connected.", labels=_BROKER)
        holding = GaugeMetricFamily("metriage_broker_holding", "1 while it is not acknowledged to.", labels=_BROKER)
        oldest = GaugeMetricFamily(
            "metriage_oldest_unacknowledged_seconds", "Age of the oldest message not acknowledged yet.", labels=_BROKER
        )
        for broker in brokers:
            connected.add_metric(_of(broker), broker.connected)
            holding.add_metric(_of(broker), broker.holding is not None)
            oldest.add_metric(_of(broker), self._vitals.unacknowledged_s.get(broker.broker, 0.0))
        yield from (connected, holding, oldest)

    def _sources(self) -> Iterator[Metric]:
        idle = GaugeMetricFamily("metriage_source_idle_seconds", "Time since the last message.", labels=_BROKER)
        silent = GaugeMetricFamily(
            "metriage_source_silent", "1 while nothing came for longer than silent_after_s.", labels=_BROKER
        )
        for broker in self._vitals.brokers:
            idle.add_metric(_of(broker), self._vitals.idle_s.get(broker.broker, 0.0))
            silent.add_metric(_of(broker), broker.silent)
        yield from (idle, silent)
        sources = self._vitals.spool.tally.sources
        counts = bounded({name: count for name, (_, count) in sources.items()})
        yield _counted("metriage_source_messages", "Messages of a source in the lake's account.", "source", counts)
        newest = GaugeMetricFamily(
            "metriage_source_last_message_timestamp_seconds", "When the newest one was received.", labels=["source"]
        )
        for name in counts:
            last = sources[name][0] if name in sources else None
            if last is not None:
                newest.add_metric([label(name)], last / 1e6)
        yield newest

    def _account(self) -> Iterator[Metric]:
        tally = self._vitals.spool.tally
        for kind, counter in (("messages", tally.messages), ("readings", tally.readings)):
            counts = {name: counter[name] for name in OUTCOMES}
            yield _counted(f"metriage_{kind}", f"{kind.capitalize()} with an outcome, of all time.", "outcome", counts)
        yield _counted(
            "metriage_quarantined_readings", "Refused readings, of all time.", "reason", bounded(tally.reasons)
        )
        yield CounterMetricFamily(
            "metriage_conflicting_readings", "Stored readings that contradict another.", value=tally.conflicts
        )

    def _spool(self) -> Iterator[Metric]:
        spool = self._vitals.spool
        yield CounterMetricFamily("metriage_spooled_messages", "Messages ever fsynced.", value=spool.received)
        yield CounterMetricFamily("metriage_gaps", "Gaps noticed by this daemon.", value=spool.gaps)
        yield _gauge("metriage_spool_messages", "Messages that wait for the lake.", spool.waiting)
        yield _gauge("metriage_spool_bytes", "What the spool occupies.", spool.bytes)
        yield _gauge("metriage_lake_lag_seconds", "Age of the oldest message that waits for the lake.", spool.lag_s)
        holding = GaugeMetricFamily("metriage_holding", "1 while nothing is acknowledged.", labels=["reason"])
        for reason in HOLD_REASONS:
            holding.add_metric([reason], spool.hold == reason)
        yield holding
        free = GaugeMetricFamily("metriage_disk_free_bytes", "Free space.", labels=["folder"])
        free.add_metric(["spool"], spool.free_bytes)
        if spool.lake_free_bytes is not None:
            free.add_metric(["lake"], spool.lake_free_bytes)
        yield free

    def _writer(self) -> Iterator[Metric]:
        writer = self._vitals.writer
        yield CounterMetricFamily("metriage_lake_commits", "Batches committed to the lake.", value=writer.commits)
        yield CounterMetricFamily("metriage_lake_failures", "Batches that failed and were tried again.",
                                  value=writer.failures)  # fmt: skip
        yield CounterMetricFamily("metriage_hard_codes", "Hard codes committed to the lake.", value=writer.hot)
        yield CounterMetricFamily("metriage_lake_write_conflicts", "Commits that another writer forced to be repeated.",
                                  value=writer.conflicts)  # fmt: skip
        yield _histogram("metriage_lake_commit_seconds", "How long a batch took.", writer.commit_s)
        yield _histogram("metriage_lake_commit_messages", "Messages of a batch.", writer.commit_messages)
        yield _histogram("metriage_lake_commit_readings", "Readings of a batch.", writer.commit_readings)
        if writer.last_commit_at is not None:
            yield _gauge("metriage_lake_last_commit_timestamp_seconds", "When the last one was.", writer.last_commit_at)
        yield _gauge("metriage_lake_failing", "1 while the last attempt failed.", writer.failure is not None)
        yield _gauge("metriage_writer_alive", "1 while the lake writer's process runs.", writer.alive)
        yield CounterMetricFamily("metriage_writer_restarts", "Times it was started again.", value=writer.restarts)
        yield CounterMetricFamily("metriage_receiver_restarts", "Times a receiving thread was started again.",
                                  value=self._vitals.receiver_restarts)  # fmt: skip

    def _process(self) -> Iterator[Metric]:
        memory = GaugeMetricFamily(
            "metriage_resident_memory_bytes", "Resident memory; shared pages count in each.", labels=["process"]
        )
        processes = {"receiver": os.getpid(), "writer": self._vitals.writer.pid}
        for companion in self._vitals.companions:
            processes |= companion.processes()
        for name, pid in processes.items():
            size = resident_bytes(pid) if pid is not None else None
            if size is not None:
                memory.add_metric([name], size)
        yield memory
        yield InfoMetricFamily("metriage_build", "What runs.", value={"version": _version()})


def label(text: str) -> str:
    """Return a label value that is safe to show anywhere: one short line without control or foreign characters."""
    escaped = text.encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in escaped)[:_LONGEST_LABEL]


def bounded(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the largest counts by name; when there are too many names, the rest as ``other``."""
    if len(counts) <= _MOST_LABELS:
        return dict(counts)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    kept = {name: counts[name] for name in names[: _MOST_LABELS - 1] if name != _OTHER}
    return {**kept, _OTHER: sum(counts.values()) - sum(kept.values())}


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process [B], None where it cannot be told."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _of(broker: BrokerVitals) -> list[str]:
    return [label(broker.broker), label(broker.source)]


def _counted(name: str, text: str, key: str, counts: Mapping[str, int]) -> Metric:
    summed: dict[str, int] = {}
    for value, count in counts.items():  # two names may look the same once they are shortened
        summed[label(value)] = summed.get(label(value), 0) + count
    family = CounterMetricFamily(name, text, labels=[key])
    for value, count in summed.items():
        family.add_metric([value], count)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), total))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.sum)


def _version() -> str:
    try:
        return version("metriage")
    except PackageNotFoundError:
        return "unknown"
