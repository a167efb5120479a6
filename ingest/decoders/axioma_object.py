"""The object that codecs of the Axioma Qalcosonic W1 make: a register, a status byte, hourly registers.

Three codecs are in use and call the same things otherwise: the one of the Things Network device repository
(``current_volume_m3``, ``delta_1_m3`` …), its short form (``current_volume``, ``delta_volumes``) and the one with
``CurrentVolume`` and ``ListOfMeasurements``. The status byte holds an enumeration above its flags (see the profile
``axioma``), so the truth values beside it, which read it as flags, are only kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ingest.decoders.json_payload import number
from ingest.excerpt import excerpt
from ingest.local_time import parse_time
from lake.errors import DecodingError

_VOLUME = ("current_volume_m3", "current_volume", "CurrentVolume")
_STATUS = ("status", "status_code", "StatusCode")
_TIME = ("timestamp_unix", "timestamp_utc", "timestamp", "CurrentTimestamp", "Timestamp")
_LOG_VOLUME = ("log_volume_m3", "log_volume", "LogVolume")
_LOG_TIME = ("log_timestamp", "log_timestamp_unix", "log_timestamp_utc", "log_date_utc", "log_date", "log_time",
             "LogTimestamp")  # fmt: skip
_DELTA = tuple(f"delta_{hour}_m3" for hour in range(1, 25))
_HISTORY = {*_LOG_VOLUME, *_DELTA, "delta_volumes", "ListOfMeasurements"}
AXIOMA_NAMES = frozenset({*_LOG_VOLUME, "StatusCode", "delta_1_m3"})  # without one of these it is none
_HOUR = 3_600_000_000  # [µs]
_MOST = 1_000  # registers in one uplink


class AxiomaObject(NamedTuple):
    """What an uplink holds.

    Parameters
    ----------
    fields : dict
        Measurements by vocabulary name.
    extra : dict
        What is kept beside them.
    time : object
        When it was measured, None where it does not say.
    invalid : tuple of str
        Fields that hold no measurement.
    """

    fields: dict[str, Any]
    extra: dict[str, Any]
    time: object
    invalid: tuple[str, ...]


def is_axioma(found: Mapping[str, Any]) -> bool:
    """Tell whether an object is one of these."""
    names = found.keys()
    return bool(
        (names & _LOG_VOLUME and names & _VOLUME)
        or ("StatusCode" in names and "Alarms" in names)
        or ("delta_1_m3" in names and names & _VOLUME)
    )


def read_axioma(found: Mapping[str, Any]) -> AxiomaObject:
    """Return what the object says of the time it was sent."""
    volume, status, time = (_first(found, names) for names in (_VOLUME, _STATUS, _TIME))
    extra = {name: value for name, value in found.items() if name not in _HISTORY | {volume, status, time, None}}
    fields = {"volume_m3": number(found[volume])} if volume else {}
    if status:
        fields["status"] = number(found[status])
    # With a multiplier the codecs' registers are wrong, as they say themselves.
    return AxiomaObject(fields, extra, found[time] if time else None, ("volume_m3",) if _multiplied(found) else ())


def hourly_registers(found: Mapping[str, Any], ts: int) -> Iterator[tuple[int, float]]:
    """Yield time [µs since 1970 UTC] and register [m³] of the hours before.

    The register of the log is that of the log's time where the object has one; else the last of the hours ends at `ts`.

    Raises
    ------
    DecodingError
        ``wrong_type``, ``bad_time`` or ``no_time_zone``.
    """
    if _multiplied(found):
        return
    listed = found.get("ListOfMeasurements")
    if isinstance(listed, list):
        for item in listed[:_MOST]:
            entry = item if isinstance(item, dict) else {}
            yield parse_time(entry.get("DataloggerTimestamp"), "DataloggerTimestamp"), _volume(entry, "Volume")
        return
    log = _first(found, _LOG_VOLUME)
    if log is None:
        return
    deltas = _deltas(found)
    time = _first(found, _LOG_TIME)
    if time is None and not deltas:
        return
    begin = ts - len(deltas) * _HOUR if time is None else parse_time(found[time], time)
    register = _volume(found, log)
    yield begin, register
    for hour, delta in enumerate(deltas, start=1):
        register += delta
        yield begin + hour * _HOUR, round(register, 6)


def _deltas(found: Mapping[str, Any]) -> list[float]:
    listed = found.get("delta_volumes")
    if isinstance(listed, list):
        items = [item if isinstance(item, dict) else {} for item in listed[:_MOST]]
        return [_volume(item, "volume_liters") / 1000 for item in items]
    deltas = []
    for name in _DELTA:
        if found.get(name) is None:
            break
        deltas.append(_volume(found, name))
    return deltas


def _volume(found: Mapping[str, Any], name: str) -> float:
    value = number(found.get(name))
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e12:
        raise DecodingError("wrong_type", f"{name} must be a volume, not {excerpt(value)}")
    return float(value)


def _multiplied(found: Mapping[str, Any]) -> bool:
    return found.get("history_multiplier") not in {None, 0} if _is_number(found.get("history_multiplier")) else False


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if found.get(name) is not None), None)
