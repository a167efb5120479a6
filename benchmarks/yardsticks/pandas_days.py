"""pandas: aggregates of the daily profile by ``groupby.agg``, a day's file after the other, as an analyst would.

``pandas_days.py READINGS RESULT`` writes one Parquet file a day and prints one JSON object. The files are days of UTC,
sorted by meter and time, and it relies on that; it knows neither doubted readings nor several sources.
"""

import json
import sys
import time
from pathlib import Path

import pandas as pd

REGISTER = ["meter_id", "ts", "volume_m3"]
STATUS = ["battery_v", "battery_load_v", "ambient_temperature_c", "rssi_dbm", "snr_db", "coverage_class", "valve_state",
          "seq", "firmware"]  # fmt: skip
LIMIT_M3H, DROP_M3 = 20.0, 1.0

source, result = (Path(name) for name in sys.argv[1:3])
result.mkdir(parents=True, exist_ok=True)


def day(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a meter."""
    frame["took_s"] = frame["ts"].diff().dt.total_seconds().where(frame["meter_id"].eq(frame["meter_id"].shift()))
    frame["apart_s"] = frame["took_s"].where(frame["took_s"] > 0)
    received = frame.groupby("meter_id", sort=False).agg(
        readings=("ts", "size"), first_ts=("ts", "first"), last_ts=("ts", "last"), interval_s=("apart_s", "median"),
        longest_gap_s=("took_s", "max"),
    )  # fmt: skip
    told = frame.loc[frame["volume_m3"].notna(), REGISTER].copy()
    same = told["meter_id"].eq(told["meter_id"].shift())
    told["took_s"] = told["ts"].diff().dt.total_seconds().where(same)
    told["step"] = told["volume_m3"].diff().where(same).round(6)
    falls = told["step"] < -DROP_M3
    half = (falls.shift(fill_value=False) & (told["step"] > -told["step"].shift() / 2)) | (
        falls.shift(-1, fill_value=False) & (told["step"] > -told["step"].shift(-1) / 2)
    )
    over = told["step"] > LIMIT_M3H * told["took_s"] / 3600 + DROP_M3
    possible = (told["step"] >= 0) & ~over & ~half
    rated = possible & (told["took_s"] >= 60)
    flow = told["step"] / told["took_s"] * 3600
    told["used"] = told["step"].where(possible, 0.0)
    told["standing"] = told["took_s"].where(possible & (told["step"] == 0), 0.0)
    told["flow"] = flow.where(rated)
    told["rated"], told["active"] = rated, rated & (told["step"] > 0)
    told["flowed"] = told["ts"].where(possible & (told["step"] > 0))
    backward = (told["step"] < 0) & ~falls
    told["back"] = -told["step"].where(backward)
    told["fall"] = -told["step"].where(falls)
    told["surge"] = told["step"].where(over & ~half)
    register = told.groupby("meter_id", sort=False).agg(
        volume_readings=("volume_m3", "size"), first_volume_ts=("ts", "first"), first_volume_m3=("volume_m3", "first"),
        last_volume_ts=("ts", "last"), last_volume_m3=("volume_m3", "last"), consumption_m3=("used", "sum"),
        standstill_s=("standing", "sum"), least_flow_m3h=("flow", "min"), greatest_flow_m3h=("flow", "max"),
        flow_intervals=("rated", "sum"), active_intervals=("active", "sum"), flow_last_ts=("flowed", "max"),
        backward_counts=("back", "count"), backward_m3=("back", "sum"), worst_backward_m3=("back", "max"),
        drops=("fall", "count"), worst_drop_m3=("fall", "max"), surges=("surge", "count"),
        worst_surge_m3=("surge", "max"),
    )  # fmt: skip
    status = frame.loc[frame["battery_v"].notna(), ["meter_id", "ts", *STATUS]].copy()
    for state in ("open", "closed", "fault"):
        status[state] = status["valve_state"] == state
    said = status.groupby("meter_id", sort=False).agg(
        battery_readings=("battery_v", "count"), battery_median_v=("battery_v", "median"),
        battery_min_v=("battery_v", "min"), battery_load_median_v=("battery_load_v", "median"),
        battery_load_min_v=("battery_load_v", "min"), battery_temperature_c=("ambient_temperature_c", "median"),
        ambient_min_c=("ambient_temperature_c", "min"), ambient_mean_c=("ambient_temperature_c", "mean"),
        ambient_max_c=("ambient_temperature_c", "max"), rssi_median_dbm=("rssi_dbm", "median"),
        snr_median_db=("snr_db", "median"), coverage_worst=("coverage_class", "max"),
        valve_state=("valve_state", "last"), valve_state_ts=("ts", "last"), valve_open_readings=("open", "sum"),
        valve_closed_readings=("closed", "sum"), valve_fault_readings=("fault", "sum"),
        seq_first=("seq", "first"), seq_last=("seq", "last"), firmware=("firmware", "last"),
    )  # fmt: skip
    return received.join(register).join(said)


used, began = time.process_time(), time.perf_counter()
rows, consumption, volts, backward = 0, 0.0, 0.0, 0
for file in sorted(source.glob("event_date=*/*.parquet")):
    made = day(pd.read_parquet(file, columns=[*REGISTER, *STATUS]))
    made.to_parquet(result / f"{file.parent.name}.parquet")
    rows += len(made)
    consumption += float(made["consumption_m3"].sum())
    volts += float(made["battery_median_v"].sum())
    backward += int(made["backward_counts"].sum())
seconds, cpu = time.perf_counter() - began, time.process_time() - used
print(json.dumps({"rows": rows, "consumption_m3": consumption, "battery_v": volts,
                  "backward_counts": backward, "seconds": seconds, "cpu_s": cpu}))  # fmt: skip
