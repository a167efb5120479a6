"""DuckDB: the aggregates of ``pandas_days.py`` in SQL, one day's file after the other; a program of ``.venv-compare``.

``duckdb_days.py READINGS RESULT`` writes one Parquet file a day, makes the features of the last 60 of them, and prints
one JSON object. A day at a time is in its favour: windows over all files at once sort them all.
"""

import json
import sys
import time
from pathlib import Path

import duckdb

QUERY = """
with stepped as (
    select meter_id, ts, volume_m3, battery_v, battery_load_v, ambient_temperature_c, rssi_dbm, snr_db, coverage_class,
        valve_state, seq, firmware, source,
        epoch_us(ts) - lag(epoch_us(ts)) over every as took_us,
        received_at <> lag(received_at) over every as other
    from read_parquet('{file}') window every as (partition by meter_id order by ts)
),
received as (
    select meter_id, count(*) as readings, min(ts) as first_ts, max(ts) as last_ts,
        median(took_us / 1e6) filter (took_us > 0) as interval_s, max(took_us) / 1e6 as longest_gap_s,
        count(*) filter (took_us is null or (took_us <> 0 and other)) as messages, count(distinct source) as sources,
        case when bool_and(abs(battery_v * 10 - round(battery_v * 10)) < 1e-6) then 0.1
            when bool_and(abs(battery_v * 100 - round(battery_v * 100)) < 1e-6) then 0.01 else 0.001 end
            as battery_step_v,
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
counters as (
    select meter_id, count(*) filter (fell) as seq_resets from (
        select meter_id, seq < lag(seq) over (partition by meter_id order by ts) as fell
        from read_parquet('{file}') where seq is not null
    ) group by meter_id
),
registers as (
    select meter_id, ts, volume_m3, lag(volume_m3) over every as before,
        (epoch_us(ts) - lag(epoch_us(ts)) over every) / 1e6 as took_s,
        round(volume_m3 - lag(volume_m3) over every, 6) as step
    from stepped where volume_m3 is not null window every as (partition by meter_id order by ts)
),
beside as (
    select *, lag(step) over every as step_before, lead(step) over every as step_after
    from registers window every as (partition by meter_id order by ts)
),
kinds as (
    select meter_id, ts, volume_m3, before, took_s, step, step < -1 as fall,
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
        count(*) filter (high and not half) as surges, max(step) filter (high and not half) as worst_surge_m3,
        arg_max(before, ts) as before_last_volume_m3, min(ts) filter (step < 0 and not fall) as backward_first_ts,
        min(ts) filter (fall) as drop_first_ts, min(ts) filter (high and not half) as surge_first_ts,
        pow(10.0, -max(case when round(volume_m3, 0) = volume_m3 then 0 when round(volume_m3, 1) = volume_m3 then 1
            when round(volume_m3, 2) = volume_m3 then 2 when round(volume_m3, 3) = volume_m3 then 3
            when round(volume_m3, 4) = volume_m3 then 4 when round(volume_m3, 5) = volume_m3 then 5 else 6 end))
            as volume_step_m3
    from used group by meter_id
)
select *, date '{day}' as day from received left join register using (meter_id) left join counters using (meter_id)
"""
FEATURES = """
with days as (
    select *, round(first_volume_m3 - lag(last_volume_m3) over every, 6) as edge, max(day) over newest - day as age
    from read_parquet({files}) window every as (partition by meter_id order by day), newest as (partition by meter_id)
),
told as (
    select *, consumption_m3 + coalesce(greatest(edge, 0), 0) as day_m3,
        backward_counts + coalesce(edge < 0 and edge >= -1, false)::int as backwards,
        greatest(worst_backward_m3, case when edge < 0 and edge >= -1 then -edge end) as backwards_m3
    from days where age < {window}
)
select meter_id, max(day) as newest_day, arg_max(last_ts, day) as last_ts, arg_max(firmware, day) as firmware,
    median(interval_s) as usual_s, median(day_m3) as day_m3_60d, arg_max(battery_median_v, day) as battery_v,
    min(ambient_min_c) as ambient_min_c_60d, count(*) as reported_days_60d, median(readings) as readings_60d,
    avg(day_m3) filter (age < 7) as day_m3_7d, min(least_flow_m3h) filter (age < 7) as least_flow_m3h_7d,
    min(battery_load_min_v) filter (age < 7) as battery_load_min_v_7d,
    min(ambient_min_c) filter (age < 7) as ambient_min_c_7d,
    sum(valve_fault_readings) filter (age < 7) as valve_fault_readings_7d,
    avg(readings) filter (age < 7) as readings_7d, max(sources) filter (age < 7) as sources_7d,
    max(longest_gap_s) filter (age < 14) as gap_s_14d,
    count(*) filter (age < 30 and day_m3 > 0) as flow_days_30d,
    count(*) filter (age < 30 and backwards > 0) as backward_days_30d,
    sum(backwards) filter (age < 30) as backward_counts_30d,
    max(backwards_m3) filter (age < 30) as backward_worst_m3_30d, sum(surges) filter (age < 30) as surges_30d,
    max(greatest_flow_m3h) filter (age < 30) as greatest_flow_m3h_30d,
    median(rssi_median_dbm) filter (age < 30) as rssi_dbm_30d,
    median(coverage_worst) filter (age < 30) as coverage_30d
from told group by meter_id
"""
WINDOW_DAYS = 60

source, result = (Path(name) for name in sys.argv[1:3])
result.mkdir(parents=True, exist_ok=True)
used, began = time.process_time(), time.perf_counter()
connection = duckdb.connect()
files = []
for file in sorted(source.glob("event_date=*/*.parquet")):
    files.append(str(result / f"{file.parent.name}.parquet"))
    made = QUERY.format(file=file, day=file.parent.name.split("=")[1])
    connection.execute(f"copy ({made}) to '{files[-1]}' (format parquet, compression zstd)")
connection.execute(f"create table features as {FEATURES.format(window=WINDOW_DAYS, files=files[-WINDOW_DAYS - 1 :])}")
seconds, cpu = time.perf_counter() - began, time.process_time() - used
sums = "select count(*), sum(consumption_m3), sum(battery_median_v), sum(backward_counts)::bigint from read_parquet(?)"
made = connection.execute(sums, [files]).fetchone()
told = connection.execute(
    "select count(*), sum(day_m3_60d), sum(backward_counts_30d)::bigint, sum(rssi_dbm_30d), sum(flow_days_30d)::bigint "
    "from features"
).fetchone()
names = ("rows", "consumption_m3", "battery_v", "backward_counts", "features", "day_m3_60d", "backward_counts_30d",
         "rssi_dbm_30d", "flow_days_30d")  # fmt: skip
print(json.dumps(dict(zip(names, (*made, *told), strict=True)) | {"seconds": seconds, "cpu_s": cpu}))
