"""Decoding and validating one message of each payload shape, on one core, from its bytes to checked rows.

Native messages go the way of the writer, thousands at once through :meth:`MessageDecoder.sound_frame`; those of other
shapes one by one through :meth:`MessageDecoder.decode`, with their codec named and, by topic or content, found. Every
message has values of its own; the messages are made beforehand. CPU time is counted, not time on the clock.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from ingest.message import Channel, RawMessage, RawRow

_NATIVE, _OTHERS = 1_000_000, 100_000
_TIMES = 3  # of which the fastest counts: what else runs on the machine is not measured
_GROUP = 5_000  # messages at a time, as the writer takes them from the spool
_START = 1_717_200_000  # 2024-06-01 [s]
_RECEIVED = (_START + 86_400) * 1_000_000  # [µs]
_GOAL_US = 10.0  # of a message whose codec is named
_BEFORE_GC = 50_000  # objects, as the writer has it

_Make = Callable[[int], tuple[str, Any]]


def run(*, smoke: bool = False) -> Iterator[str]:
    """Yield the CPU time of a message of each shape, and its ratio to the native one's."""
    thresholds = gc.get_threshold()
    gc.set_threshold(_BEFORE_GC)
    try:
        yield from _lines(smoke=smoke)
    finally:
        gc.set_threshold(*thresholds)


def _lines(*, smoke: bool) -> Iterator[str]:
    native_us = _native(2_000 if smoke else _NATIVE)
    yield f"{'native':14}{native_us:6.2f} µs"
    for shape, make in _SHAPES.items():
        count, times = (1_000, 1) if smoke else (_OTHERS, _TIMES)
        named, found = (min(_one_by_one(shape, codec, make, count) for _ in range(times)) for codec in (shape, "auto"))
        verdict = "within" if named <= _GOAL_US else "beyond"
        yield (
            f"{shape:14}{named:6.2f} µs, {named / native_us:5.2f} × native, {verdict} the goal of {_GOAL_US:g} µs; "
            f"{found:6.2f} µs with its codec found"
        )


def _decoder() -> MessageDecoder:
    return MessageDecoder({}, 4_000_000, LocalClock(), lambda: _RECEIVED)


def _rows(make: _Make, count: int) -> Iterator[list[RawRow]]:
    """Yield `count` messages in groups."""
    for start in range(0, count, _GROUP):
        made = map(make, range(start, min(start + _GROUP, count)))
        yield [(topic, _RECEIVED, msgspec.json.encode(payload)) for topic, payload in made]


def _native(count: int) -> float:
    """Return the CPU time of a native message [µs]."""
    decoder, channel = _decoder(), Channel("mqtt", "native", "default", enveloped=False)
    spent = decoded = 0.0
    for group in _rows(_native_message, count):
        begun = time.process_time()
        frame = decoder.sound_frame(group, channel)
        spent += time.process_time() - begun
        decoded += 0 if frame is None else frame.height
    if decoded != count:
        raise RuntimeError(f"of {count} native messages {decoded:.0f} were decoded")
    return spent / count * 1e6


def _one_by_one(shape: str, codec: str, make: _Make, count: int) -> float:
    """Return the CPU time of a message of a shape [µs]."""
    decoder, channel = _decoder(), Channel("mqtt", codec, "default", enveloped=False)
    spent = 0.0
    for group in _rows(make, count):
        messages = [RawMessage(1, channel, *row) for row in group]
        begun = time.process_time()
        decoded = [decoder.decode(message) for message in messages]
        spent += time.process_time() - begun
        _check(shape, decoded)
    return spent / count * 1e6


def _check(shape: str, decoded: Sequence[Any]) -> None:
    wrong = next((one.rejections[0] for one in decoded if one.rejections), None)
    if wrong is not None:
        raise RuntimeError(f"{shape}: {wrong.reason}: {wrong.detail}")


def _native_message(number: int) -> tuple[str, Any]:
    meter = f"meter-{number % 50_000:05}"
    return f"meters/{meter}/readings", {
        "ts": _START + number // 50_000 * 3600, "volume_m3": number / 1000, "battery_v": 3.6, "rssi_dbm": -97,
        "seq": number,
    }  # fmt: skip


def _wmbusmeters(number: int) -> tuple[str, Any]:
    return f"wmbusmeters/meter-{number % 50_000}", {
        "media": "cold water", "meter": "multical21", "name": f"meter-{number % 50_000}",
        "id": f"{70_000_000 + number % 50_000}", "status": "OK", "total_m3": number / 1000, "target_m3": number / 1100,
        "flow_temperature_c": 11, "external_temperature_c": 14, "current_status": "", "time_dry": "",
        "timestamp": "2024-06-01T10:00:00Z", "rssi_dbm": -76,
    }  # fmt: skip


def _thingsboard(number: int) -> tuple[str, Any]:
    values = {"volume_m3": number / 1000, "battery_v": 3.6, "rssi_dbm": -97}
    return f"v1/devices/meter-{number % 50_000}/telemetry", {"ts": _START * 1000 + number, "values": values}


def _chirpstack(number: int) -> tuple[str, Any]:
    eui = f"0018b2000{number % 50_000:07x}"
    return f"application/7f2e/device/{eui}/event/up", {
        "deduplicationId": f"4d2a7b0c-1111-4a4a-9b9b-{number:012}", "time": "2024-06-01T10:00:00.250+00:00",
        "deviceInfo": {"tenantId": "52f14cd4", "applicationId": "7f2e", "deviceName": f"m{number}", "devEui": eui},
        "devAddr": "01a2b3c4", "dr": 5, "fCnt": number, "fPort": 100, "data": "AQIDBA==",
        "object": {"volume_m3": number / 1000, "battery_v": 3.6, "status": 0},
        "rxInfo": [{"gatewayId": "0016c001f153a14c", "uplinkId": number, "rssi": -98, "snr": 5.5}],
        "txInfo": {"frequency": 868100000},
    }  # fmt: skip


def _ttn(number: int) -> tuple[str, Any]:
    device = f"meter-{number % 50_000}"
    return f"v3/water@city/devices/{device}/up", {
        "end_device_ids": {"device_id": device, "dev_eui": f"0018B2000{number % 50_000:07X}"},
        "received_at": "2024-06-01T10:00:00.55Z",
        "uplink_message": {
            "f_port": 1, "f_cnt": number, "frm_payload": "AMQAFdQ=",
            "decoded_payload": {"volume_m3": number / 1000, "battery_v": 3.6, "status": 0},
            "rx_metadata": [{"gateway_ids": {"gateway_id": "roof"}, "rssi": -69, "snr": 8.25}],
            "received_at": "2024-06-01T10:00:00.406Z",
        },
    }  # fmt: skip


def _huawei(number: int) -> tuple[str, Any]:
    data = {"currentReading": number / 1000, "batteryLevel": 361, "signalStrength": -93, "sensorAlarm": 0}
    service = {"serviceId": "WaterMeterBasic", "data": data, "eventTime": "20240601T095244Z"}
    return "nb/water", {"deviceId": f"866123{number % 50_000:09}", "service": service}


def _tuya(number: int) -> tuple[str, Any]:
    at = _START * 1000 + number
    points = [{"code": "valve_state", "value": "closed", "t": at}, {"code": "water_flow", "value": number, "t": at}]
    return "tuya/events", {"devId": f"6c9d1e8f7a2b{number % 50_000:08}", "status": points}


def _zigbee2mqtt(number: int) -> tuple[str, Any]:
    return f"zigbee2mqtt/valve-{number % 50_000}", {
        "battery": 100, "current_device_status": "normal_state", "flow": number / 1e6, "state": "OFF",
        "linkquality": 112,
    }  # fmt: skip


_SHAPES: dict[str, _Make] = {
    "wmbusmeters": _wmbusmeters,
    "thingsboard": _thingsboard,
    "chirpstack": _chirpstack,
    "ttn": _ttn,
    "huawei": _huawei,
    "tuya": _tuya,
    "zigbee2mqtt": _zigbee2mqtt,
}
