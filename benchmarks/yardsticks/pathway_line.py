"""Pathway: MQTT to JSON lines with persistence.

Guarantees: a message is acknowledged after a checkpoint that holds it, so at least once. The fields are parsed into
typed columns, wrong ones are dropped with a message; no ranges are checked, nothing is deduplicated, and the output
file is not synced.
"""

import sys

import pathway as pw


class Reading(pw.Schema):
    """The fields of the messages of this benchmark."""

    meter_id: str
    ts: int
    volume_m3: float
    battery_v: float
    rssi_dbm: float
    ambient_temperature_c: float
    valve_state: str
    seq: int
    status: int


port, client_id, folder = sys.argv[1:]
readings = pw.io.mqtt.read(
    f"mqtt://127.0.0.1:{port}?client_id={client_id}",
    "meters/+/readings",
    qos=1,
    schema=Reading,
    format="json",
    autocommit_duration_ms=1000,
    name="readings",
)
pw.io.jsonlines.write(readings, f"{folder}/readings.jsonl")
pw.run(
    monitoring_level=pw.MonitoringLevel.NONE,
    persistence_config=pw.persistence.Config(
        pw.persistence.Backend.filesystem(f"{folder}/persistence"), snapshot_interval_ms=1000
    ),
)
