"""DuckDB: the aggregates of ``pandas_days.py`` in SQL, one day's file after the other; a program of ``.venv-compare``.

``duckdb_days.py READINGS RESULT`` writes one Parquet file a day and prints one JSON object. A day at a time is in its
favour: windows over all files at once sort them all.
"""

import json
import sys
import time
from pathlib import Path

import duckdb

QUERY = """
with stepped as (
    select meter_id, ts, volume_m3, battery_v, battery_load_v, ambient_temperature_c, rssi_dbm, snr_db, coverage_class,
        valve_state, seq, firmware,
        epoch_us(ts) - lag(epoch_us(ts)) over every as took_us
    from read_parquet('{file}') window every as (partition by meter_id order by ts)
),
received as (
    select meter_id, count(*) as readings, min(ts) as first_ts, max(ts) as last_ts,
        median(took_us / 1e6) filter (took_us > 0) as interval_s, max(took_us) / 1e6 as longest_gap_s,
        count(battery_v) as battery_readings, median(battery_v) as battery_median_v, min(battery_v) as battery_min_v,
        median(battery_load_v) as battery_load_median_v, min(battery_load_v) as battery_load_min_v,
        median(ambient_temperature_c) filter (battery_v is not null) as battery_temperature_c,
        min(ambient_temperature_c) as ambient_min_c, avg(ambient_temperature_c) as ambient_mean_c,
        max(ambient_temperature_c) as ambient_max_c, median(rssi_dbm) as rssi_median_dbm,
        median(snr_db) as snr_median_db, max(coverage_class) as coverage_worst,
        arg_max(valve_state, ts) filter (valve_state is not null) as valve_state,
        max(ts) filter (valve_state is not null) as valve_state_ts,
        count(*) filter (valve_state = 'open') as valve_open_readings,
        count(*) filter (valve_state = 'closed') as valve_closed_readings,
        count(*) filter (valve_state = 'fault') as valve_fault_readings,
        arg_min(seq, ts) filter (seq is not null) as seq_first, arg_max(seq, ts) filter (seq is not null) as seq_last,
        arg_max(firmware, ts) filter (firmware is not null) as firmware
    from stepped group by meter_id
),
registers as (
    select meter_id, ts, volume_m3,
        (epoch_us(ts) - lag(epoch_us(ts)) over every) / 1e6 as took_s,
        round(volume_m3 - lag(volume_m3) over every, 6) as step
    from stepped where volume_m3 is not null window every as (partition by meter_id order by ts)
),
beside as (
    select *, lag(step) over every as step_before, lead(step) over every as step_after
    from registers window every as (partition by meter_id order by ts)
),
kinds as (
    select meter_id, ts, volume_m3, took_s, step, step < -1 as fall,
        coalesce((step_before < -1 and step > -step_before / 2) or (step_after < -1 and step > -step_after / 2), false)
            as half,
        step > 20 * took_s / 3600 + 1 as high
    from beside
),
used as (
    select *, step >= 0 and not high and not half as possible, step / took_s * 3600 as flow from kinds
),
register as (
    select meter_id, count(*) as volume_readings, min(ts) as first_volume_ts,
        arg_min(volume_m3, ts) as first_volume_m3, max(ts) as last_volume_ts, arg_max(volume_m3, ts) as last_volume_m3,
        coalesce(sum(step) filter (possible), 0) as consumption_m3,
        coalesce(sum(took_s) filter (possible and step = 0), 0) as standstill_s,
        min(flow) filter (possible and took_s >= 60) as least_flow_m3h,
        max(flow) filter (possible and took_s >= 60) as greatest_flow_m3h,
        count(*) filter (possible and took_s >= 60) as flow_intervals,
        count(*) filter (possible and took_s >= 60 and step > 0) as active_intervals,
        max(ts) filter (possible and step > 0) as flow_last_ts,
        count(*) filter (step < 0 and not fall) as backward_counts,
        sum(-step) filter (step < 0 and not fall) as backward_m3,
        max(-step) filter (step < 0 and not fall) as worst_backward_m3,
        count(*) filter (fall) as drops, max(-step) filter (fall) as worst_drop_m3,
        count(*) filter (high and not half) as surges, max(step) filter (high and not half) as worst_surge_m3
    from used group by meter_id
)
select * from received left join register using (meter_id)
"""

source, result = (Path(name) for name in sys.argv[1:3])
result.mkdir(parents=True, exist_ok=True)
used, began = time.process_time(), time.perf_counter()
connection = duckdb.connect()
for file in sorted(source.glob("event_date=*/*.parquet")):
    target = result / f"{file.parent.name}.parquet"
    made = QUERY.format(file=file)
    connection.execute(f"copy ({made}) to '{target}' (format parquet, compression zstd)")
seconds, cpu = time.perf_counter() - began, time.process_time() - used
sums = "select count(*), sum(consumption_m3), sum(battery_median_v), sum(backward_counts) from read_parquet(?)"
made = connection.execute(sums, [f"{result}/*.parquet"]).fetchone()
print(json.dumps({"rows": made[0], "consumption_m3": made[1], "battery_v": made[2], "backward_counts": int(made[3]),
                  "seconds": seconds, "cpu_s": cpu}))  # fmt: skip
