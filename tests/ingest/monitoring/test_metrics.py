"""Metrics: made of the vitals alone, by Prometheus' conventions, bounded whatever meters send."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from ingest.account import Tally
from ingest.monitoring.metrics import DaemonCollector, bounded, label, resident_bytes
from ingest.monitoring.vitals import HOLD_REASONS, BrokerVitals, DaemonVitals, Histogram
from tests.recordings import ROOT


def scraped(vitals: DaemonVitals) -> dict[str, Metric]:
    """Return what Prometheus would read, by name."""
    registry = CollectorRegistry()
    registry.register(DaemonCollector(vitals))
    text = generate_latest(registry).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(vitals: DaemonVitals, sample: str, **labels: str) -> float:
    """Return one sample."""
    found = [
        item.value
        for family in scraped(vitals).values()
        for item in family.samples
        if item.name == sample and labels.items() <= item.labels.items()
    ]
    assert 1 == len(found), (sample, found)
    return found[0]


def vitals_with(**attributes: object) -> DaemonVitals:
    broker = BrokerVitals("metriage@h:1883", "meters")
    for name, content in attributes.items():
        setattr(broker, name, content)
    return DaemonVitals(brokers=(broker,))


def test_names_follow_the_conventions() -> None:
    """A prefix, base units, counters that end in _total, a help text each."""
    families = scraped(vitals_with(connected=True))

    assert families
    for name, family in families.items():
        assert name.startswith("metriage_")
        assert family.documentation.endswith(".")
        assert not name.endswith(("_ms", "_minutes", "_kb", "_mb"))
        if family.type == "counter":
            assert all(sample.name.endswith(("_total", "_created")) for sample in family.samples)


def test_every_metric_is_documented() -> None:
    """The page for operators names each of them."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    vitals = vitals_with()
    vitals.writer.last_commit_at = 1.0
    vitals.spool.lake_free_bytes = 1
    names = {f"{name}_total" if family.type == "counter" else name for name, family in scraped(vitals).items()}

    assert set() == {name for name in names if f"`{name}`" not in page}


def test_broker_counts() -> None:
    """What a receiver notes comes out under its broker and source."""
    vitals = vitals_with(connected=True, messages=7, bytes=900, acknowledged=5, connections=2, sessions_lost=1,
                         resubscriptions=3, silent=True, holding="disk")  # fmt: skip
    vitals.idle_s = {"metriage@h:1883": 12.5}
    vitals.unacknowledged_s = {"metriage@h:1883": 3.5}
    labels = {"broker": "metriage@h:1883", "source": "meters"}

    expected = {
        "metriage_received_messages_total": 7, "metriage_received_bytes_total": 900,
        "metriage_acknowledged_messages_total": 5, "metriage_broker_connections_total": 2,
        "metriage_sessions_lost_total": 1, "metriage_resubscriptions_total": 3, "metriage_broker_connected": 1,
        "metriage_broker_holding": 1, "metriage_source_silent": 1, "metriage_source_idle_seconds": 12.5,
        "metriage_oldest_unacknowledged_seconds": 3.5,
    }  # fmt: skip
    assert expected == {name: value(vitals, name, **labels) for name in expected}


def test_account_and_spool() -> None:
    """Totals of all time by outcome and reason; what waits; why nothing is acknowledged."""
    vitals = DaemonVitals()
    vitals.spool.tally = Tally(
        Counter(stored=5, quarantined=2), Counter(stored=9, duplicate=1, quarantined=2), Counter(not_json=2), 3,
        {"meters": (1_700_000_000_000_000, 7)},
    )  # fmt: skip
    vitals.spool.waiting, vitals.spool.lag_s, vitals.spool.hold = 4, 2.5, "disk_full"

    assert (5, 0, 2) == tuple(
        value(vitals, "metriage_messages_total", outcome=name) for name in ("stored", "duplicate", "quarantined")
    )
    assert 9 == value(vitals, "metriage_readings_total", outcome="stored")
    assert 2 == value(vitals, "metriage_quarantined_readings_total", reason="not_json")
    assert 3 == value(vitals, "metriage_conflicting_readings_total")
    assert (4, 2.5) == (value(vitals, "metriage_spool_messages"), value(vitals, "metriage_lake_lag_seconds"))
    assert [1, 0, 0] == [value(vitals, "metriage_holding", reason=reason) for reason in HOLD_REASONS]
    assert 1_700_000_000 == value(vitals, "metriage_source_last_message_timestamp_seconds", source="meters")


def test_commit_histogram() -> None:
    """Buckets are cumulative and end with all of them."""
    vitals = DaemonVitals()
    for seconds in (0.05, 0.25, 0.3, 1000):
        vitals.writer.commit_s.observe(seconds)

    assert 1 == value(vitals, "metriage_lake_commit_seconds_bucket", le="0.1")
    assert 2 == value(vitals, "metriage_lake_commit_seconds_bucket", le="0.25")
    assert 4 == value(vitals, "metriage_lake_commit_seconds_bucket", le="+Inf")
    assert 4 == value(vitals, "metriage_lake_commit_seconds_count")
    assert 1000.6 == pytest.approx(value(vitals, "metriage_lake_commit_seconds_sum"))


def test_histogram_bounds_are_upper_bounds() -> None:
    """A value on the bound is below it, as Prometheus counts."""
    histogram = Histogram((1, 2))
    for seen in (1, 1.5, 2, 3):
        histogram.observe(seen)

    assert ([1, 2, 1], 7.5) == (histogram.counts, histogram.sum)


def test_sources_of_hostile_meters_are_bounded() -> None:
    """Ten thousand made-up names become two hundred; nothing is lost in the sum, and no name breaks the format."""
    sources = {f'x"\n\\{number}\u202e' * 40: (None, number) for number in range(10_000)}
    vitals = DaemonVitals()
    vitals.spool.tally = Tally(sources=sources)

    samples = scraped(vitals)["metriage_source_messages"].samples
    assert 200 >= len(samples)
    assert sum(range(10_000)) == sum(sample.value for sample in samples)
    assert all(sample.labels["source"].isprintable() for sample in samples)
    assert all(len(sample.labels["source"]) <= 128 for sample in samples)


def test_bounded_keeps_the_largest() -> None:
    """And sums the rest, also where one of them is called like the rest."""
    counts = {f"s{number}": number for number in range(300)} | {"other": 1000}
    kept = bounded(counts)

    assert sum(counts.values()) == sum(kept.values())
    assert 200 >= len(kept)
    assert 299 == kept["s299"]
    assert {"a": 1} == bounded({"a": 1})


@pytest.mark.parametrize(
    ("text", "expected"), [("meters", "meters"), ("a\nb", "a\\x0ab"), ("水", "\\u6c34"), ("\ud800", "\\ud800")]
)
def test_label_is_one_printable_line(text: str, expected: str) -> None:
    """Whatever a payload calls its source."""
    assert expected == label(text)


def test_resident_bytes() -> None:
    """Of this process, and of none."""
    own = resident_bytes(os.getpid())

    assert own is not None
    assert own > 1_000_000
    assert resident_bytes(2**30) is None


def test_metrics_and_daemon_load_no_tables() -> None:
    """The receiving process stays light: what decodes and writes lives in the other one."""
    heavy = "{'polars', 'deltalake', 'pandas', 'numpy', 'pyarrow', 'matplotlib'}"
    code = (
        "import sys, metriage.command_line, ingest.daemon, ingest.monitoring.http_page, metriage.site; "
        "import metriage.settings; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout
