"""The one list of names: every column with type, unit, meaning and physical range, and every closed set of words.

Schemas, decoders, documentation and checks are derived from here; a name that is not here does not exist in a table.
Times are UTC, microseconds. Numeric names end in their unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# The four faults, always in this order (docs/contract.md).
FAULTS = ("coil", "battery", "actuator", "low_temperature")

# Conditions explain or inhibit a fault; they never hide one.
CONDITIONS = (
    "leak",
    "backflow",
    "tamper",
    "communication",
    "clock",
    "software_conflict",
    "empty_pipe",
    "exchange",
    "memory",
    "credit",
    "high_flow",
)

FAMILIES = (*FAULTS, *CONDITIONS, "unknown")

CAUSES = (
    "low_temperature",
    "moisture",
    "sediment",
    "age",
    "production_batch",
    "module",
    "coverage",
    "report_storm",
    "installation",
    "tamper",
    "software_conflict",
    "unknown",
)

VERDICTS = ("act", "watch", "clear", "refused")
SEVERITIES = (1, 2, 3, 4)  # 1 is the worst
MODES = ("live", "hot", "backtest")

# What groups of meters are looked at together, and what is said of them.
BATCH_SCOPES = ("production_batch", "module_vendor", "model", "firmware", "region", "site", "installer")
BATCH_VERDICTS = ("act", "watch", "normal", "not_separable")

VALVE_STATES = ("open", "closed", "moving", "fault", "unknown")
VALVE_COMMANDS = ("open", "close")
VALVE_REFUSALS = ("under_voltage", "magnet", "busy", "arrears", "in_position")

# Words of the registry.
SENSINGS = ("reed", "inductive", "hall", "optical", "ultrasonic")
VALVE_TYPES = ("none", "ball_motor", "pilot", "ceramic")
INSTALLATIONS = ("indoor", "outdoor", "basement", "pit")

# Words of inspections and of planned works.
INSPECTION_FINDINGS = (*FAULTS, "other", "no_defect_found")
DISPLAYS = ("ok", "blank", "code")
INSPECTION_ACTIONS = ("none", "repaired", "exchanged", "returned")

# Why a stored reading is not to be taken at face value.
FLAGS = {
    "out_of_range": "a value outside its physical range",
    "negative": "a register below zero",
    "backwards": "the register is lower than that of an earlier measurement",
    "ambiguous_time": "local time in the repeated hour at the end of summer time, resolved by order",
    "conflict": "same identity as a stored reading, other content",
}

# Why a message was not stored. The reasons are counted in `status` and label the quarantine rows.
QUARANTINE_REASONS = {
    "not_json": "the payload is not valid JSON",
    "not_csv": "the line does not have the columns of its codec",
    "not_envelope": "the source is configured for envelopes and this is none",
    "wrong_type": "a field has the wrong type",
    "wrong_value": "a field holds a word that is not allowed there",
    "no_meter_id": "neither payload nor topic names a meter",
    "bad_meter_id": "the meter id has characters or a length that are not allowed",
    "meter_id_mismatch": "topic and payload name different meters",
    "no_time": "there is no measuring time",
    "bad_time": "the measuring time cannot be read",
    "no_time_zone": "the measuring time carries no zone and its source is configured without one",
    "nonexistent_time": "a local time that the change to summer time skipped",
    "time_too_early": "the measuring time lies before the year 2000",
    "time_in_future": "the measuring time lies more than 24 h after the message was received",
    "not_finite": "a number is NaN, infinite or beyond 1e12",
    "no_value": "there is neither a value nor a status nor a code",
    "too_large": "the message is larger than the configured limit",
    "too_deep": "the JSON is nested deeper than any payload shape",
    "unknown_codec": "the message names a codec that the settings do not have",
    "no_key": "the payload is encrypted and no key is configured",
    "wrong_key": "the payload is encrypted and the configured key does not open it",
    "not_frame": "the bytes are no frame of the shape, or cut short",
    "bad_checksum": "checksum or CRC of the frame does not fit its content",
    "not_water": "the device is no water meter",
    "undeclared": "the message leaves out names or formats that an earlier one declares, and that one is not known",
}

DType = Literal["string", "float64", "int64", "bool", "time", "date", "binary", "strings"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one or more tables.

    Parameters
    ----------
    name : str
        Column name; numeric names end in the unit.
    dtype : DType
        Logical type. ``time`` is UTC in microseconds, ``strings`` a list of strings.
    meaning : str
        One phrase.
    unit : str
        Unit, empty where there is none.
    low, high : float, optional
        Physical range, inclusive; a stored value outside is flagged ``out_of_range``.
    """

    name: str
    dtype: DType
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None


def _columns(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


# What a meter can measure. Order is the order of the stored table.
MEASURES = _columns(
    Column("volume_m3", "float64", "cumulative forward register", "m³", 0, 1e8),
    Column("reverse_volume_m3", "float64", "cumulative reverse register", "m³", 0, 1e8),
    Column("flow_m3h", "float64", "flow", "m³/h", -1e4, 1e4),
    Column("battery_v", "float64", "battery at rest", "V", 0, 15),
    Column("battery_load_v", "float64", "battery under transmit or valve load", "V", 0, 15),
    Column("ambient_temperature_c", "float64", "air or case temperature", "°C", -60, 100),
    Column("water_temperature_c", "float64", "water temperature", "°C", -20, 120),
    Column("rssi_dbm", "float64", "received signal strength", "dBm", -160, 0),
    Column("snr_db", "float64", "signal to noise ratio", "dB", -40, 60),
    Column("coverage_class", "int64", "NB-IoT coverage enhancement level, 0 best", "", 0, 2),
    Column("valve_state", "string", "what the meter says: open, closed, moving, fault, unknown"),
    Column("valve_command", "string", "last command received: open or close"),
    Column("valve_refusal", "string", "why a command was refused; not a fault"),
    Column("valve_travel_s", "float64", "duration of the last valve movement", "s", 0, 600),
    Column("valve_current_ma", "float64", "motor current of the last valve movement", "mA", 0, 5000),
    Column("coil_signal_mv", "float64", "sensing amplitude", "mV", 0, 10000),
)

READING = _columns(
    Column("meter_id", "string", "the meter"),
    Column("ts", "time", "when the meter measured"),
    Column("received_at", "time", "when the message reached us"),
    Column("source", "string", "head-end or program that delivered the reading"),
    Column("seq", "int64", "the device's own message counter"),
    *MEASURES.values(),
    Column("status", "int64", "raw status word of the vendor"),
    Column("error_codes", "strings", "raw codes of the vendor"),
    Column("firmware", "string", "firmware of the meter"),
    Column("valid", "bool", "false: the meter disowns the whole measurement"),
    Column("invalid_fields", "strings", "fields that hold a sentinel instead of a measurement"),
    Column("flags", "strings", "why the reading is not to be taken at face value"),
    Column("extra", "string", "unknown fields of the payload, as JSON"),
    Column("event_date", "date", "UTC date of ts; the partition"),
)

# Same identity and same content is a duplicate; same identity with other content is a conflict.
IDENTITY = ("meter_id", "ts", "source", "seq")
CONTENT = (*MEASURES, "status", "error_codes", "firmware", "valid", "invalid_fields", "extra")

ERROR_CODE = _columns(
    Column("meter_id", "string", "the meter"),
    Column("ts", "time", "when the meter measured"),
    Column("received_at", "time", "when the message reached us"),
    Column("source", "string", "head-end or program that delivered the code"),
    Column("code", "string", "the vendor's code, or bit of the status word"),
    Column("status", "int64", "raw status word it was read from"),
    Column("family", "string", "fault or condition it belongs to, or unknown"),
    Column("severity", "int64", "1 worst … 4 mildest", "", 1, 4),
    Column("meaning", "string", "what the vendor profile says it means"),
    Column("sticky", "bool", "whether it stays set after its cause is gone, until the meter is reset"),
    Column("profile_id", "string", "vendor profile that translated it"),
    Column("profile_version", "int64", "version of that profile"),
    Column("event_date", "date", "UTC date of ts; the partition"),
)

QUARANTINE = _columns(
    Column("received_at", "time", "when the message reached us; empty where a file does not say"),
    Column("source", "string", "configured source name"),
    Column("codec", "string", "decoder that refused the message"),
    Column("topic", "string", "MQTT topic, or file and line"),
    Column("meter_id", "string", "the meter, where it could be told"),
    Column("reason", "string", "one of the quarantine reasons"),
    Column("detail", "string", "what was wrong, where"),
    Column("payload", "binary", "the raw message"),
    Column("readings", "int64", "readings the message stands for in the account"),
    Column("message", "string", "writer and spool position of the message"),
    Column("channel", "string", "where it came in, as JSON: what it is decoded by when it is replayed"),
    Column("stored", "int64", "readings of the same message that were stored"),
    Column("duplicate", "int64", "readings of the same message that were stored already"),
)

# Why readings may be missing that no meter failed to send.
GAP_KINDS = {
    "session_lost": "the broker no longer had our session: what it received in between was not kept for us",
    "session_unsure": "perhaps the same: the broker was asked for our session and its answer was never seen",
    "spool_lost": "acknowledged messages vanished from the spool before they reached the lake",
}

GAP = _columns(
    Column("received_at", "time", "when the gap was noticed"),
    Column("kind", "string", "one of the kinds of gaps"),
    Column("source", "string", "configured source name"),
    Column("broker", "string", "client id and address of the broker, without credentials"),
    Column("topics", "strings", "topic filters that were not listened to"),
    Column("since", "time", "the last moment before the gap at which messages certainly came through"),
    Column("until", "time", "the first moment after it"),
    Column("messages", "int64", "messages lost, where that is known"),
    Column("detail", "string", "what was seen"),
)

# What the site knows of a meter beside its readings; a row of the registry in the site database.
METER = _columns(
    Column("meter_id", "string", "the meter"),
    Column("aliases", "strings", "other ids by which it comes: serial number, DevEUI, IMEI, card number"),
    Column("model", "string", "model as its maker calls it"),
    Column("manufacturer", "string", "maker of the meter"),
    Column("module_vendor", "string", "maker of the radio or valve module, whose codes the meter sends"),
    Column("module_encrypted", "bool", "whether the module encrypts its payloads"),
    Column("sensing", "string", "how the register is sensed: reed, inductive, hall, optical, ultrasonic"),
    Column("valve_type", "string", "none, ball_motor, pilot, ceramic"),
    Column("battery_type", "string", "cell, such as ER26500"),
    Column("battery_capacity_mah", "float64", "nominal capacity", "mAh", 0, 1e6),
    Column("caliber_mm", "float64", "nominal diameter", "mm", 1, 4000),
    Column("ip_rating", "string", "protection class, such as IP68"),
    Column("firmware", "string", "firmware"),
    Column("production_batch", "string", "lot"),
    Column("produced_on", "date", "day of production"),
    Column("shipped_on", "date", "day of delivery"),
    Column("installed_on", "date", "day of installation"),
    Column("removed_on", "date", "day of removal"),
    Column("warranty_months", "float64", "warranty", "months", 0, 1200),
    Column("installation", "string", "where it hangs: indoor, outdoor, basement, pit"),
    Column("flood_prone", "bool", "whether its place may be under water"),
    Column("installer", "string", "who installed it"),
    Column("project", "string", "project or contract"),
    Column("region", "string", "region: weather and spares go by it"),
    Column("site", "string", "estate, building or pit"),
    Column("timezone", "string", "IANA zone; else that of the site"),
    Column("latitude", "float64", "north is positive", "°", -90, 90),
    Column("longitude", "float64", "east is positive", "°", -180, 180),
    Column("customer_ref", "string", "the customer, as the utility's own books call him"),
    Column("recorded_at", "time", "since when the row is known; empty: a fact without time"),
)

# What a technician found on site; the truth that rules and models are judged by.
INSPECTION = _columns(
    Column("meter_id", "string", "the meter"),
    Column("inspected_at", "time", "when"),
    Column("inspector", "string", "who"),
    Column("finding", "string", "one of the faults, other, no_defect_found"),
    Column("cause", "string", "one of the causes"),
    Column("ticket_id", "string", "the ticket that sent him"),
    Column("seal_intact", "bool", "whether the lead seal is there and whole; a broken one voids the warranty"),
    Column("tamper_signs", "bool", "whether somebody manipulated the meter"),
    Column("body_damage", "bool", "dents or other outside force"),
    Column("submerged", "bool", "whether it stood under water"),
    Column("sediment_seen", "bool", "sand or other impurities in the pipe"),
    Column("display", "string", "ok, blank, code"),
    Column("display_code", "string", "the code on the display"),
    Column("register_reading_m3", "float64", "what the register wheels or the display say", "m³", 0, 1e8),
    Column("action", "string", "none, repaired, exchanged, returned"),
    Column("new_meter_id", "string", "the meter that took its place"),
    Column("note", "string", "anything else"),
    Column("recorded_at", "time", "since when the row is known; empty: since the inspection"),
)

# What a customer told.
REPORT = _columns(
    Column("meter_id", "string", "the meter"),
    Column("reported_at", "time", "when"),
    Column("symptom", "string", "in the customer's or the desk's words"),
    Column("urgent", "bool", "whether the customer cannot wait"),
    Column("note", "string", "anything else"),
    Column("recorded_at", "time", "since when the row is known; empty: since the report"),
)

# The weather of a region's day, measured or forecast.
WEATHER = _columns(
    Column("region", "string", "as in the registry"),
    Column("date", "date", "local calendar day"),
    Column("min_c", "float64", "lowest air temperature", "°C", -90, 60),
    Column("mean_c", "float64", "mean air temperature", "°C", -90, 60),
    Column("max_c", "float64", "highest air temperature", "°C", -90, 60),
    Column("precipitation_mm", "float64", "rain and melted snow", "mm", 0, 2000),
    Column("forecast", "bool", "whether it was a forecast when it came"),
    Column("recorded_at", "time", "when it came; empty: as soon as a day is over, a forecast ten days before"),
)

# Works or an outage that the utility announced; an empty site means the whole region.
WORK = _columns(
    Column("region", "string", "as in the registry"),
    Column("site", "string", "as in the registry; empty: all of the region"),
    Column("from", "time", "begin"),
    Column("until", "time", "end; empty: not known yet"),
    Column("kind", "string", "what: outage, pipe works, flushing, radio maintenance …"),
    Column("recorded_at", "time", "when it was announced; empty: a fact without time"),
)

# What one local day of one meter showed; computed from that day's readings alone.
DAY = _columns(
    Column("meter_id", "string", "the meter"),
    Column("day", "date", "local calendar day of the meter's zone"),
    Column("as_of", "time", "the row saw what was received by then; the latest row of a meter and day holds"),
    Column("readings", "int64", "readings of the day"),
    Column("first_ts", "time", "first measurement of the day"),
    Column("last_ts", "time", "last measurement of the day"),
    Column("usable_readings", "int64", "readings neither disowned by the meter nor in conflict"),
    Column("disowned_readings", "int64", "readings that the meter disowned as a whole"),
    Column("messages", "int64", "messages that brought them"),
    Column("sources", "int64", "head-ends or programs that delivered them"),
    Column("source_names", "strings", "who they were, where there was more than one"),
    Column("source_meetings", "int64", "registers of one source soon after one of another"),
    Column("source_disagreements", "int64", "of these, registers that cannot both be right"),
    Column("source_differ_max_m3", "float64", "largest difference of such registers", "m³"),
    Column("source_firmwares", "strings", "firmware by source, each as 'source firmware', where they do not agree"),
    Column("source_clock_s", "float64", "largest difference of the times that sources give one message", "s"),
    Column("interval_s", "float64", "median time between measurements", "s"),
    Column("longest_gap_s", "float64", "longest time between two measurements of the day", "s"),
    Column("firmware", "string", "firmware at the end of the day"),
    Column("seq_first", "int64", "first message counter of the day"),
    Column("seq_last", "int64", "last message counter of the day"),
    Column("seq_resets", "int64", "times the message counter fell within the day"),
    Column("codes", "strings", "codes of the day, each as 'family severity code'"),
    Column("volume_readings", "int64", "usable values of the forward register"),
    Column("first_volume_ts", "time", "time of the first usable register"),
    Column("first_volume_m3", "float64", "first usable register", "m³"),
    Column("before_last_volume_m3", "float64", "last but one usable register", "m³"),
    Column("last_volume_ts", "time", "time of the last usable register"),
    Column("last_volume_m3", "float64", "last usable register", "m³"),
    Column("volume_step_m3", "float64", "coarsest decimal step that all registers of the day fit", "m³"),
    Column("flow_limit_m3h", "float64", "flow above which an increment counts as impossible", "m³/h"),
    Column("consumption_m3", "float64", "sum of possible increments within the day", "m³"),
    Column("flow_intervals", "int64", "intervals between registers that tell of flow or none"),
    Column("active_intervals", "int64", "of these, intervals in which the register moved"),
    Column("standstill_s", "float64", "time between registers that did not move", "s"),
    Column("least_flow_m3h", "float64", "smallest flow between two registers", "m³/h"),
    Column("greatest_flow_m3h", "float64", "greatest possible flow between two registers", "m³/h"),
    Column("flow_log", "float64", "mean logarithm of the flow in m³/h over the intervals in which the register moved"),
    Column("flow_last_ts", "time", "end of the day's last interval with flow"),
    Column("backward_counts", "int64", "registers a little lower than the one before"),
    Column("backward_m3", "float64", "sum of these falls", "m³"),
    Column("worst_backward_m3", "float64", "greatest of these falls", "m³"),
    Column("backward_first_ts", "time", "when the first of them was measured"),
    Column("backward_overlaps", "int64", "how many lie between measurements closer than half the usual interval"),
    Column("drops", "int64", "registers far lower than the one before"),
    Column("worst_drop_m3", "float64", "greatest of these falls", "m³"),
    Column("drop_first_ts", "time", "when the first of them was measured"),
    Column("drop_bits", "int64", "register counts of a drop that is a whole number of register bits"),
    Column("surges", "int64", "increments above the flow limit that no drop takes back"),
    Column("worst_surge_m3", "float64", "greatest of these increments", "m³"),
    Column("surge_first_ts", "time", "when the first of them was measured"),
    Column("interleaved_readings", "int64", "registers of the smaller of two interleaved sequences"),
    Column("interleaved_offset_m3", "float64", "distance of the two sequences", "m³"),
    Column("interleaved_first_ts", "time", "first measurement of the smaller sequence"),
    Column("interleaved_last_ts", "time", "last measurement of the smaller sequence"),
    Column("reverse_m3", "float64", "increase of the reverse register", "m³"),
    Column("reported_flow_readings", "int64", "readings whose own flow signal says that water flows"),
    Column("reported_flow_max_m3h", "float64", "greatest flow the meter reported", "m³/h"),
    Column("battery_readings", "int64", "usable resting voltages"),
    Column("battery_median_v", "float64", "median resting voltage", "V"),
    Column("battery_min_v", "float64", "lowest resting voltage", "V"),
    Column("battery_step_v", "float64", "coarsest decimal step that all voltages of the day fit", "V"),
    Column("battery_temperature_c", "float64", "median temperature at the voltages", "°C"),
    Column("battery_load_median_v", "float64", "median voltage under load", "V"),
    Column("battery_load_min_v", "float64", "lowest voltage under load", "V"),
    Column("ambient_min_c", "float64", "lowest air or case temperature", "°C"),
    Column("ambient_mean_c", "float64", "mean air or case temperature", "°C"),
    Column("ambient_max_c", "float64", "highest air or case temperature", "°C"),
    Column("water_min_c", "float64", "lowest water temperature", "°C"),
    Column("rssi_median_dbm", "float64", "median signal strength", "dBm"),
    Column("snr_median_db", "float64", "median signal to noise ratio", "dB"),
    Column("coverage_worst", "int64", "worst coverage class"),
    Column("coil_signal_median_mv", "float64", "median sensing amplitude", "mV"),
    Column("valve_state", "string", "last state the meter told"),
    Column("valve_state_ts", "time", "when it told it"),
    Column("valve_command", "string", "last command received"),
    Column("valve_command_ts", "time", "first measurement of the day that carries it without another after it"),
    Column("valve_command_changes", "int64", "times the command changed within the day"),
    Column("valve_refusal", "string", "last refusal since that command"),
    Column("valve_open_readings", "int64", "readings with the state open"),
    Column("valve_closed_readings", "int64", "readings with the state closed"),
    Column("valve_fault_readings", "int64", "readings with the state fault"),
    Column("valve_between_readings", "int64", "readings with the state moving or unknown"),
    Column("valve_commands_missed", "int64", "commands of the day that another followed before they were obeyed"),
    Column("closed_intervals", "int64", "intervals with the valve closed at both ends and a register that moved"),
    Column("closed_flow_m3", "float64", "volume that passed in them", "m³"),
    Column("valve_movements", "int64", "valve movements told, one that a later reading repeats counted once"),
    Column("valve_travel_median_s", "float64", "median duration of these", "s"),
    Column("valve_current_max_ma", "float64", "greatest motor current of these", "mA"),
    Column("valve_travel_last_s", "float64", "duration told last", "s"),
    Column("valve_current_last_ma", "float64", "motor current told last", "mA"),
)

# The running state at the end of the day, which no bounded window could give.
DAY_STATE = _columns(
    Column("days_seen", "int64", "days with readings so far"),
    Column("first_seen_ts", "time", "first measurement ever seen"),
    Column("gap_s", "float64", "time from the last measurement of the row before to the first of this one", "s"),
    Column("prior_volume_ts", "time", "time of the last usable register before this day"),
    Column("prior_volume_m3", "float64", "last usable register before this day", "m³"),
    Column("carried_m3", "float64", "increment from that register to the first of this day", "m³"),
    Column("edge_backward_m3", "float64", "fall of that increment, if it counted backwards", "m³"),
    Column("edge_drop_m3", "float64", "fall of that increment, if it jumped", "m³"),
    Column("total_m3", "float64", "consumption since the meter was first seen", "m³"),
    Column("last_flow_ts", "time", "end of the last interval with flow"),
    Column("total_seq_resets", "int64", "times the message counter fell so far"),
    Column("uplinks", "int64", "messages the meter sent since the row before, lost ones included where it counts them"),
    Column("total_uplinks", "int64", "messages it sent so far"),
    Column("total_radio_uplinks", "float64", "the same, each weighted by what its coverage costs", "uplinks"),
    Column("battery_base_days", "int64", "days that make the battery's baseline"),
    Column("battery_base_sum_v", "float64", "sum of their voltages", "V"),
    Column("battery_base_warm_days", "int64", "days of the baseline with a temperature"),
    Column("battery_base_warm_sum_v", "float64", "sum of the voltages of these", "V"),
    Column("battery_base_sum_c", "float64", "sum of their temperatures", "°C"),
    Column("battery_base_sum_cc", "float64", "sum of their squared temperatures", "°C²"),
    Column("battery_base_sum_cv", "float64", "sum of temperature times voltage", "°C V"),
    Column("battery_base_min_c", "float64", "coldest day of the baseline", "°C"),
    Column("battery_base_step_v", "float64", "finest voltage step seen", "V"),
    Column("battery_expected_v", "float64", "voltage the baseline before this day expects at its temperature", "V"),
    Column("battery_compensated", "bool", "whether that expectation knows the temperature"),
    Column("battery_base_dev_days", "int64", "days of the baseline that could be compared with their expectation"),
    Column("battery_base_dev_v", "float64", "sum of their distances from it", "V"),
    Column("load_base_days", "int64", "days that make the baseline of the sag under load"),
    Column("load_base_sag_v", "float64", "mean sag under load on these days", "V"),
    Column("draw_days", "int64", "days that told what one draw of water counts, since the baseline was begun"),
    Column("draw_new_log", "float64", "logarithm of a draw's volume in m³, mean of about the last ten such days"),
    Column("draw_base_log", "float64", "the same over some forty; it stands still while the new one is far from it"),
    Column("draw_wander", "float64", "mean squared distance of the two while they are near each other"),
    Column("draw_apart_days", "int64", "such days since they are far from each other"),
    Column("draws_base_log", "float64", "baseline of the logarithm of the number of draws a day"),
    Column("flow_base_log", "float64", "baseline of the mean logarithm of the flow in intervals with flow"),
    Column("peak_base_log", "float64", "baseline of the logarithm of the day's greatest flow"),
    Column(
        "load_base_sum_x", "float64", "sum of the cell's resistance in units of that at 20 °C, as cold makes it", "1"
    ),
    Column("load_base_sum_xx", "float64", "sum of its squares", "1"),
    Column("load_base_sum_xv", "float64", "sum of it times the sag", "V"),
    Column("load_base_max_x", "float64", "greatest of it", "1"),
    Column("load_expected_sag_v", "float64", "sag the baseline before this day expects at its temperature", "V"),
    Column("coil_base_days", "int64", "days that make the baseline of the sensing amplitude"),
    Column("coil_base_mv", "float64", "mean sensing amplitude on these days", "mV"),
    Column("valve_moved", "bool", "whether the day told a movement that the row before had not told already"),
    Column("total_movement_days", "int64", "days with such a movement so far"),
    Column("travel_base_days", "int64", "days that make the baseline of the valve's travel time"),
    Column("travel_base_s", "float64", "mean travel time on these days", "s"),
    Column("current_base_days", "int64", "days that make the baseline of the motor current"),
    Column("current_base_ma", "float64", "mean motor current on these days", "mA"),
    Column("standing_command", "string", "last valve command so far"),
    Column("standing_command_ts", "time", "when it was first seen"),
    Column("command_obeyed", "bool", "whether the valve has been where the command wants it since"),
    Column("command_refused", "bool", "whether the meter refused it since"),
    Column("disagree_since_ts", "time", "since when the state contradicts a command that was never obeyed"),
    Column("disagree_readings", "int64", "readings that contradict it since then"),
    Column("total_commands_missed", "int64", "commands that another followed before they were obeyed, so far"),
)

# One row a meter and local day.
DAILY = DAY | DAY_STATE

FINDING = _columns(
    Column("diagnosis_id", "string", "the diagnosis that wrote the row"),
    Column("mode", "string", "live, hot or backtest"),
    Column("as_of", "time", "the diagnosis saw what was received by then"),
    Column("meter_id", "string", "the meter"),
    Column("kind", "string", "fault or condition"),
    Column("fault", "string", "the fault, or the condition"),
    Column("verdict", "string", "act, watch, clear or refused"),
    Column("rule_verdict", "string", "what the rules alone say"),
    Column("model_verdict", "string", "what the model alone says; empty without a model"),
    Column("probability", "float64", "calibrated probability; empty without a model", "", 0, 1),
    Column("severity", "int64", "1 worst … 4 mildest", "", 1, 4),
    Column("onset", "time", "when the symptom began"),
    Column("cause", "string", "one of the causes"),
    Column("cause_confidence", "float64", "confidence in the cause", "", 0, 1),
    Column("rules", "strings", "ids of the rules that fired"),
    Column("evidence", "string", "JSON: what was seen, values, units, times"),
    Column("action", "string", "recommended action, in the site's language"),
    Column("refusal_reason", "string", "why the model refused"),
    Column("model_version", "string", "version of the model that scored"),
    Column("production_batch", "string", "lot of the meter"),
    Column("region", "string", "region of the meter"),
    Column("inhibited_by", "string", "what mutes this finding"),
)

# Whether the meters of a group have a fault more often than others in their place.
BATCH_FINDING = _columns(
    Column("diagnosis_id", "string", "the diagnosis that wrote the row"),
    Column("mode", "string", "live or backtest"),
    Column("as_of", "time", "the diagnosis saw what was received by then"),
    Column("scope", "string", "what makes the group: production_batch, module_vendor, model, firmware, region, site,"
           " installer"),
    Column("key", "string", "which one"),
    Column("fault", "string", "one of the faults"),
    Column("meters", "int64", "meters of the group that were at risk"),
    Column("exposure_meter_days", "float64", "days they were at risk, together", "d"),
    Column("observed", "int64", "meters of them that had the fault"),
    Column("expected", "float64", "meters that would have had it at the rate of others in the same place"),
    Column("ratio", "float64", "observed to expected, shrunken towards that of all groups"),
    Column("ratio_low", "float64", "lower end of its 90 % interval"),
    Column("ratio_high", "float64", "upper end of its 90 % interval"),
    Column("p_value", "float64", "probability of so many by chance", "", 0, 1),
    Column("q_value", "float64", "the same, corrected for all groups and faults that were looked at", "", 0, 1),
    Column("verdict", "string", "act, watch, normal or not_separable"),
    Column("cause", "string", "one of the causes; empty where nothing is to be explained"),
    Column("evidence", "string", "JSON: what was compared with what, and what came of it"),
)  # fmt: skip

# What is to come, or was not counted: remaining battery life, risk of frost, water that a faulty coil did not register.
FORECAST_KINDS = {
    "battery_life": "days until the battery cannot carry the meter any more",
    "frost": "how likely the pipe or the register freezes within the forecast, as a score between 0 and 1",
    "water_not_registered": "water that flowed since the onset of a coil fault and was not counted; below zero where"
    " too much was counted",
    "failures": "meters of a region or of a lot that will have the fault by the end of the time",
    "spares": "meters to hold in stock in a region, so that the chosen share of all such times does with them",
}

FORECAST = _columns(
    Column("diagnosis_id", "string", "the diagnosis that wrote the row"),
    Column("mode", "string", "live or backtest"),
    Column("as_of", "time", "the diagnosis saw what was received by then"),
    Column("meter_id", "string", "the meter; empty where it is told of a group"),
    Column("kind", "string", "battery_life, frost, water_not_registered, failures or spares"),
    Column("value", "float64", "the figure, in the unit beside it"),
    Column("value_low", "float64", "lower end of its interval"),
    Column("value_high", "float64", "upper end of its interval"),
    Column("unit", "string", "d, 1, m³ or meters"),
    Column("from", "time", "begin of the time it speaks of"),
    Column("until", "time", "end of that time"),
    Column("tier", "string", "of frost: caution, warning or severe"),
    Column("evidence", "string", "JSON: what it rests on, values, units, times"),
    Column("fault", "string", "of failures: the fault"),
    Column("scope", "string", "of failures and spares: region or production_batch, which have no meter"),
    Column("key", "string", "which one"),
)

# What is truly wrong with a meter, for the evaluation of findings (docs/contract.md, section 7).
TRUTH = _columns(
    Column("meter_id", "string", "the meter"),
    Column("fault", "string", "one of the faults"),
    Column("cause", "string", "one of the causes"),
    Column("onset", "time", "when the physics begins to show"),
    Column("noticed_at", "time", "when a customer or reader would notice; empty: nobody within the record"),
    Column("end", "time", "when it is over; empty: it stays"),
    Column("reversible", "bool", "whether it goes by itself"),
    Column("detectable", "bool", "false: nothing of it was ever sent"),
)
