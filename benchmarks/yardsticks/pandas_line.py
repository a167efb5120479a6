"""What a careful analyst writes: paho, a batch of 5,000 messages, pandas, ``to_parquet``, then the acknowledgements.

Guarantees: at least once as far as the operating system's cache: no fsync. No validation beyond what pandas infers,
one bad message stops it, nothing is deduplicated.
"""

import contextlib
import json
import queue
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pandas as pd

BATCH = 5_000
LONGEST_WAIT_S = 5.0

port, client_id, folder = sys.argv[1:]
arrived: "queue.SimpleQueue[mqtt.MQTTMessage]" = queue.SimpleQueue()


def on_connect(client, _userdata, _flags, _reason, _properties):  # noqa: D103
    client.subscribe("meters/+/readings", qos=1)


def write(messages, number):
    """Write one batch, one file a day of measuring; acknowledge when it is there."""
    frame = pd.DataFrame([json.loads(message.payload) for message in messages])
    frame["ts"] = pd.to_datetime(frame["ts"], unit="s", utc=True)
    for date, rows in frame.groupby(frame["ts"].dt.date):
        day = Path(folder) / f"event_date={date}"
        day.mkdir(exist_ok=True)
        rows.to_parquet(day / f"{number:06}.parquet", index=False)
    for message in messages:
        client.ack(message.mid, message.qos)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, manual_ack=True)
client.on_connect = on_connect
client.on_message = lambda _client, _userdata, message: arrived.put(message)
client.connect("127.0.0.1", int(port))
client.loop_start()
batch, begun, files = [], time.monotonic(), 0
while True:
    with contextlib.suppress(queue.Empty):
        batch.append(arrived.get(timeout=0.2))
    if len(batch) >= BATCH or (batch and time.monotonic() - begun > LONGEST_WAIT_S):
        write(batch, files)
        batch, begun, files = [], time.monotonic(), files + 1
