"""pyarrow: every row of the columns that the profile reads, and nothing done with them.

``arrow_scan.py READINGS COLUMN...`` prints one JSON object: rows, seconds and CPU seconds, imports not counted.
"""

import json
import sys
import time

import pyarrow.dataset as ds

folder, *columns = sys.argv[1:]
used, began = time.process_time(), time.perf_counter()
readings = ds.dataset(folder, partitioning="hive", ignore_prefixes=["_"])
rows = sum(batch.num_rows for batch in readings.to_batches(columns=columns))
seconds, cpu = time.perf_counter() - began, time.process_time() - used
print(json.dumps({"rows": rows, "seconds": seconds, "cpu_s": cpu}))
