"""Receiving: every message fsynced in the spool before its PUBACK, beside the stock paho client that only acknowledges.

The broker (mosquitto) queues all messages for a session whose client is away; then the client comes and drains them.
Same broker, same messages, same window; each run is a process of its own; the two take turns.
"""

from __future__ import annotations

import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTProtocolVersion

from benchmarks.measure import python
from ingest.receiver.connection import connect, make_client, subscribe
from ingest.receiver.subscriber import Subscriber
from ingest.settings import BrokerSettings
from ingest.spool import Spool
from tests.processes import Mosquitto

_MESSAGES = 200_000
_RUNS = 5
_CLIENTS = ("stock paho, acknowledges only", "metriage, fsynced first")
_CLIENT_ID = "benchmark"


def run(*, smoke: bool = False) -> Iterator[str]:
    """Yield the figures of all runs, then medians and ratios."""
    count, runs = (2_000, 1) if smoke else (_MESSAGES, _RUNS)
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in _CLIENTS}
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "broker") as broker:
        for index in range(runs):
            for name in _CLIENTS:
                figures[name].append(_drained(name, broker, count, Path(folder) / f"{name[:5]}-{index}"))
    yield f"{count:,} messages of {len(_payload(0))} bytes, QoS 1, MQTT 5; {runs} runs each, taking turns"
    for name in _CLIENTS:
        rate, cpu = _spread(figures[name], "rate", ",.0f"), _spread(figures[name], "cpu_us", ".1f")
        peak = _spread(figures[name], "peak_mb", ".0f")
        yield f"{name}: {rate} msg/s, {cpu} µs CPU a message, peak {peak} MB; median (least–most)"
    stock, ours = (figures[name] for name in _CLIENTS)
    cpu, rate = (_median(ours, key) / _median(stock, key) for key in ("cpu_us", "rate"))
    yield f"ratio of medians: {cpu:.2f} × the CPU a message, {rate:.2f} × the messages a second"


def _median(runs: Sequence[dict[str, float]], key: str) -> float:
    return statistics.median(figures[key] for figures in runs)


def _spread(runs: Sequence[dict[str, float]], key: str, form: str) -> str:
    values = [figures[key] for figures in runs]
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def _drained(name: str, broker: Mosquitto, count: int, folder: Path) -> dict[str, float]:
    """Fill the broker's queue, then have a process drain it."""
    folder.mkdir()
    _visit(broker.port)
    _publish(broker.port, count)
    command = python("-m", "benchmarks.receive", name, str(broker.port), str(count), str(folder))
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _settings(port: int) -> BrokerSettings:
    return BrokerSettings(url=f"mqtt://127.0.0.1:{port}", client_id=_CLIENT_ID, protocol="5")


def _payload(number: int) -> bytes:
    return json.dumps(
        {
            "meter_id": f"m{number % 10_000:05d}", "ts": 1_760_000_000 + number, "volume_m3": 1000 + number / 1000,
            "battery_v": 3.61, "rssi_dbm": -97, "ambient_temperature_c": 11.5, "seq": number, "valve_state": "open",
        }
    ).encode()  # fmt: skip


def _visit(port: int) -> None:
    """Make the session, empty, and leave it."""
    client = make_client(mqtt.Client, _settings(port), Path(), MQTTProtocolVersion.MQTTv5)
    ready = threading.Event()
    client.on_connect = lambda *_: subscribe(client, ("meters/+/readings",))
    client.on_subscribe = lambda *_: ready.set()
    connect(client, _settings(port))
    client.loop_start()
    assert ready.wait(30)
    client.disconnect()
    client.loop_stop()


def _publish(port: int, count: int) -> None:
    """Publish as fast as the broker takes it, until it has acknowledged everything."""
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.sendall(b"\x10\x15\x00\x04MQTT\x04\x02\x00\x00\x00\x09publisher")
        left = 4 + 4 * count
        reader = threading.Thread(target=_read_exactly, args=(broker, left))
        reader.start()
        for first in range(0, count, 500):
            broker.sendall(b"".join(map(_packet, range(first, min(count, first + 500)))))
        reader.join()


def _read_exactly(broker: socket.socket, left: int) -> None:
    while left > 0:
        left -= len(broker.recv(65_536))


def _packet(number: int) -> bytes:
    topic = f"meters/m{number % 10_000:05d}/readings".encode()
    payload = _payload(number)
    body = len(topic).to_bytes(2) + topic + (number % 65_535 + 1).to_bytes(2) + payload
    return bytes([0x32, len(body) & 127 | 128, len(body) >> 7]) + body


class _Counted:
    """The spool, which says when everything is in it and acknowledged."""

    def __init__(self, spool: Spool) -> None:
        self.store = spool.append
        self.add_gap = spool.add_gap
        self.session_seen_at = spool.session_seen_at
        self.see_session = spool.see_session
        self.connecting = spool.connecting
        self.not_connected = spool.not_connected


def _drain_ours(port: int, count: int, folder: Path) -> None:
    stop = threading.Event()
    with Spool(folder) as spool:
        subscriber = Subscriber(_settings(port), folder, _Counted(spool))
        vitals = subscriber._vitals  # noqa: SLF001 - what the daemon hands in
        thread = threading.Thread(target=subscriber.run, args=(stop,))
        thread.start()
        while vitals.acknowledged < count:
            time.sleep(0.02)
        stop.set()
        thread.join()
        assert spool.last_position() == count


def _drain_stock(port: int, count: int, _folder: Path) -> None:
    settings = _settings(port)
    client = make_client(mqtt.Client, settings, Path(), MQTTProtocolVersion.MQTTv5, manual_ack=True)
    received = 0

    def on_message(client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        nonlocal received
        client.ack(message.mid, message.qos)
        received += 1
        if received == count:
            client.disconnect()

    client.on_message = on_message
    client.on_connect = lambda *_: subscribe(client, settings.topics)
    connect(client, settings)
    client.loop_forever()


def _main(name: str, port: str, count: str, folder: str) -> None:
    drain = {_CLIENTS[0]: _drain_stock, _CLIENTS[1]: _drain_ours}[name]
    before, cpu = time.perf_counter(), _cpu_s()
    drain(int(port), int(count), Path(folder))
    wall, used = time.perf_counter() - before, _cpu_s() - cpu
    json.dump(
        {
            "rate": int(count) / wall, "cpu_us": 1e6 * used / int(count),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        },
        sys.stdout,
    )  # fmt: skip


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    _main(*sys.argv[1:])
