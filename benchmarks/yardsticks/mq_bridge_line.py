"""mq-bridge: MQTT to Parquet objects, synced each second, acknowledged after that.

Guarantees: at least once. The payload is one column of raw bytes or text beside its metadata: nothing is decoded,
checked or deduplicated.
"""

import sys
from pathlib import Path

from mq_bridge import Route

port, client_id, folder = sys.argv[1:]
Route.from_config(
    {
        "input": {
            "mqtt": {
                "url": f"tcp://127.0.0.1:{port}",
                "topic": "meters/+/readings",
                "client_id": client_id,
                "qos": 1,
                # Of 5,000, 20,000 and 65,535 the fastest: what is not synced yet is not acknowledged.
                "max_inflight": 20_000,
                "queue_capacity": 65_535,
                "session_expiry_interval": 86_400,
            }
        },
        "output": {"object_store": {"url": Path(folder).resolve().as_uri(), "format": "parquet", "fsync": "periodic"}},
        # Larger than its default of 512, in its favour: fewer and larger objects.
        "batch_size": 10_000,
    }
).run()
