"""pandas: the plain aggregates of daily profile and features by ``groupby.agg``, as an analyst would write them.

``pandas_days.py READINGS RESULT`` takes a day's file after the other, writes one Parquet file a day, makes of the last
60 days the features of each meter, and prints one JSON object. The files are days of UTC, sorted by meter and time, and
it relies on that; it knows neither doubted readings nor several sources, keeps no running state and knows no peers.
"""

import json
import sys
import time
from pathlib import Path

import pandas as pd

REGISTER = ["meter_id", "ts", "volume_m3"]
ARRIVAL = ["received_at", "source"]
STATUS = ["battery_v", "battery_load_v", "ambient_temperature_c", "rssi_dbm", "snr_db", "coverage_class", "valve_state",
          "seq", "firmware"]  # fmt: skip
LIMIT_M3H, DROP_M3, WINDOW_DAYS = 20.0, 1.0, 60

source, result = (Path(name) for name in sys.argv[1:3])
result.mkdir(parents=True, exist_ok=True)


def day(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a meter."""
    frame["took_s"] = frame["ts"].diff().dt.total_seconds().where(frame["meter_id"].eq(frame["meter_id"].shift()))
    frame["apart_s"] = frame["took_s"].where(frame["took_s"] > 0)
    other = frame["received_at"] != frame["received_at"].shift()
    frame["message"] = frame["took_s"].isna() | ((frame["took_s"] != 0) & other)
    received = frame.groupby("meter_id", sort=False).agg(
        readings=("ts", "size"), first_ts=("ts", "first"), last_ts=("ts", "last"), interval_s=("apart_s", "median"),
        longest_gap_s=("took_s", "max"), messages=("message", "sum"), sources=("source", "nunique"),
    )  # fmt: skip
    told = frame.loc[frame["volume_m3"].notna(), REGISTER].copy()
    same = told["meter_id"].eq(told["meter_id"].shift())
    told["before"] = told["volume_m3"].shift().where(same)
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
    for kind, where in (("back", backward), ("fall", falls), ("surge", over & ~half)):
        told[f"{kind}_ts"] = told["ts"].where(where)
    told["decimals"] = 6
    for places in range(5, -1, -1):
        told["decimals"] = told["decimals"].mask(told["volume_m3"].round(places) == told["volume_m3"], places)
    register = told.groupby("meter_id", sort=False).agg(
        volume_readings=("volume_m3", "size"), first_volume_ts=("ts", "first"), first_volume_m3=("volume_m3", "first"),
        last_volume_ts=("ts", "last"), last_volume_m3=("volume_m3", "last"), consumption_m3=("used", "sum"),
        standstill_s=("standing", "sum"), least_flow_m3h=("flow", "min"), greatest_flow_m3h=("flow", "max"),
        flow_intervals=("rated", "sum"), active_intervals=("active", "sum"), flow_last_ts=("flowed", "max"),
        backward_counts=("back", "count"), backward_m3=("back", "sum"), worst_backward_m3=("back", "max"),
        drops=("fall", "count"), worst_drop_m3=("fall", "max"), surges=("surge", "count"),
        worst_surge_m3=("surge", "max"), before_last_volume_m3=("before", "last"), backward_first_ts=("back_ts", "min"),
        drop_first_ts=("fall_ts", "min"), surge_first_ts=("surge_ts", "min"), decimals=("decimals", "max"),
    )  # fmt: skip
    register["volume_step_m3"] = 10.0 ** -register.pop("decimals")
    status = frame.loc[frame["battery_v"].notna(), ["meter_id", "ts", *STATUS]].copy()
    for state in ("open", "closed", "fault"):
        status[state] = status["valve_state"] == state
    status["fell"] = status["seq"].diff().lt(0) & status["meter_id"].eq(status["meter_id"].shift())
    for scale in (10, 100):
        status[f"coarse{scale}"] = (status["battery_v"] * scale - (status["battery_v"] * scale).round()).abs() < 1e-6
    said = status.groupby("meter_id", sort=False).agg(
        battery_readings=("battery_v", "count"), battery_median_v=("battery_v", "median"),
        battery_min_v=("battery_v", "min"), battery_load_median_v=("battery_load_v", "median"),
        battery_load_min_v=("battery_load_v", "min"), battery_temperature_c=("ambient_temperature_c", "median"),
        ambient_min_c=("ambient_temperature_c", "min"), ambient_mean_c=("ambient_temperature_c", "mean"),
        ambient_max_c=("ambient_temperature_c", "max"), rssi_median_dbm=("rssi_dbm", "median"),
        snr_median_db=("snr_db", "median"), coverage_worst=("coverage_class", "max"),
        valve_state=("valve_state", "last"), valve_state_ts=("ts", "last"), valve_open_readings=("open", "sum"),
        valve_closed_readings=("closed", "sum"), valve_fault_readings=("fault", "sum"),
        seq_first=("seq", "first"), seq_last=("seq", "last"), firmware=("firmware", "last"), seq_resets=("fell", "sum"),
        coarse10=("coarse10", "all"), coarse100=("coarse100", "all"),
    )  # fmt: skip
    step = said.pop("coarse100").map({True: 0.01, False: 0.001})
    said["battery_step_v"] = step.mask(said.pop("coarse10"), 0.1)
    return received.join(register).join(said)


def features(days: pd.DataFrame) -> pd.DataFrame:
    """Return one row a meter: figures of its newest day and of its last 7, 14, 30 and 60 days."""
    days = days.sort_values(["meter_id", "day"], kind="stable")
    prior = days.groupby("meter_id", sort=False)["last_volume_m3"].shift()
    carried = (days["first_volume_m3"] - prior).round(6).clip(lower=0).fillna(0)
    days["day_m3"] = days["consumption_m3"] + carried
    days["flowed"] = days["day_m3"] > 0
    edge = (days["first_volume_m3"] - prior).round(6)
    days["edge_m3"] = -edge.where((edge < 0) & (edge >= -DROP_M3))
    days["backwards"] = days["backward_counts"] + days["edge_m3"].notna()
    days["backwards_m3"] = days[["worst_backward_m3", "edge_m3"]].max(axis=1)
    days["went_back"] = days["backwards"] > 0
    age = (days.groupby("meter_id", sort=False)["day"].transform("max") - days["day"]).dt.days
    days, age = days[age < WINDOW_DAYS], age[age < WINDOW_DAYS]
    week, fortnight, month = (days[age < length].groupby("meter_id", sort=False) for length in (7, 14, 30))
    made = days.groupby("meter_id", sort=False).agg(
        newest_day=("day", "last"), last_ts=("last_ts", "last"), firmware=("firmware", "last"),
        usual_s=("interval_s", "median"), day_m3_60d=("day_m3", "median"), battery_v=("battery_median_v", "last"),
        ambient_min_c_60d=("ambient_min_c", "min"), reported_days_60d=("day", "size"),
        readings_60d=("readings", "median"),
    )  # fmt: skip
    return made.join(
        [
            week.agg(
                day_m3_7d=("day_m3", "mean"), least_flow_m3h_7d=("least_flow_m3h", "min"),
                battery_load_min_v_7d=("battery_load_min_v", "min"), ambient_min_c_7d=("ambient_min_c", "min"),
                valve_fault_readings_7d=("valve_fault_readings", "sum"), readings_7d=("readings", "mean"),
                sources_7d=("sources", "max"),
            ),
            fortnight.agg(gap_s_14d=("longest_gap_s", "max")),
            month.agg(
                flow_days_30d=("flowed", "sum"), backward_days_30d=("went_back", "sum"),
                backward_counts_30d=("backwards", "sum"), backward_worst_m3_30d=("backwards_m3", "max"),
                surges_30d=("surges", "sum"), greatest_flow_m3h_30d=("greatest_flow_m3h", "max"),
                rssi_dbm_30d=("rssi_median_dbm", "median"), coverage_30d=("coverage_worst", "median"),
            ),
        ]
    )  # fmt: skip


used, began = time.process_time(), time.perf_counter()
rows, consumption, volts, backward = 0, 0.0, 0.0, 0
window: list[pd.DataFrame] = []
for file in sorted(source.glob("event_date=*/*.parquet")):
    made = day(pd.read_parquet(file, columns=[*REGISTER, *ARRIVAL, *STATUS]))
    made.to_parquet(result / f"{file.parent.name}.parquet")
    rows += len(made)
    consumption += float(made["consumption_m3"].sum())
    volts += float(made["battery_median_v"].sum())
    backward += int(made["backward_counts"].sum())
    window.append(made.assign(day=pd.Timestamp(file.parent.name.split("=")[1])).reset_index())
    del window[: -WINDOW_DAYS - 1]  # the day before the window is what its first day goes on from
told = features(pd.concat(window))
seconds, cpu = time.perf_counter() - began, time.process_time() - used
print(json.dumps({
    "rows": rows, "consumption_m3": consumption, "battery_v": volts, "backward_counts": backward,
    "features": len(told), "day_m3_60d": float(told["day_m3_60d"].sum()),
    "backward_counts_30d": int(told["backward_counts_30d"].sum()), "rssi_dbm_30d": float(told["rssi_dbm_30d"].sum()),
    "flow_days_30d": int(told["flow_days_30d"].sum()), "seconds": seconds, "cpu_s": cpu,
}))  # fmt: skip
