"""Sparkplug B: births that name metrics, data that may carry their aliases alone, deaths."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, NamedTuple

from ingest.decoders import Context, shape
from ingest.excerpt import excerpt
from ingest.frames.sparkplug_schema import payload_class, scalar
from ingest.message import Decoded, Rejection
from ingest.reading import build_row, check_time
from lake.errors import DecodingError
from lake.vocabulary import MEASURES

_BIRTHS, _DATA, _DEATHS = ("NBIRTH", "DBIRTH"), ("NDATA", "DDATA"), ("NDEATH", "DDEATH")
_FIELDS = frozenset({*MEASURES, "status", "error_codes", "firmware", "valid", "seq"})
_SYNONYMS = {"total_m3": "volume_m3"}
_COMPRESSED = b"SPBV1.0_COMPRESSED"
_MOST_METRICS = 100_000  # of all devices together
_LONGEST_NAME = 256
_LARGEST_MS = 1 << 53


class Origin(NamedTuple):
    """Where a message comes from.

    Parameters
    ----------
    kind : str
        Message type.
    node : str
        Group and node.
    device : str
        Device, empty for the node's own metrics.
    """

    kind: str
    node: str
    device: str

    @property
    def device_id(self) -> str:
        """What names the meter: the device, of a node's own metrics the node."""
        return self.device or self.node.rsplit("/", 1)[-1]


class _Value(NamedTuple):
    """A metric whose name is known."""

    name: str
    timestamp_ms: int | None
    historical: bool
    null: bool
    value: object


@shape("sparkplug", topics=("spBv1.0/#",))
class SparkplugDecoder:
    """Decodes Sparkplug B."""

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the readings of a message, one for each time in it; see :class:`ingest.decoders.Decoder`."""
        origin = _origin(context.topic)
        meter_id = context.meter_id(origin.device_id)
        decoded = Decoded(context.topic, context.received_at)
        try:
            message = _parse(payload)
            memory = _Memory(context.memory)
            if origin.kind in _DEATHS:
                _note_death(message, origin, memory, context, decoded)
            else:
                _decode_metrics(message, origin, meter_id, memory, context, decoded)
        except DecodingError as error:
            error.meter_id = error.meter_id or meter_id
            raise
        return decoded


def _origin(topic: str | None) -> Origin:
    levels = (topic or "").split("/")
    if levels[:2] == ["spBv1.0", "STATE"]:
        raise DecodingError("no_value", "the state of a host brings no readings")
    if levels[0] != "spBv1.0" or len(levels) not in (4, 5) or not all(levels):
        raise DecodingError("no_meter_id", f"{excerpt(topic)} is no topic spBv1.0/group/type/node[/device]")
    group, kind, node = levels[1:4]
    if kind not in (*_BIRTHS, *_DATA, *_DEATHS) or (kind[0] == "D") != (len(levels) == 5):
        raise DecodingError("no_value", f"{excerpt(kind)} brings no readings")
    return Origin(kind, f"{group}/{node}", levels[4] if len(levels) == 5 else "")


def _parse(payload: bytes) -> Any:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - only where needed

    try:
        message = payload_class().FromString(payload)
    except DecodeError as error:
        raise DecodingError("not_frame", f"no protobuf of Sparkplug B: {error}") from None
    if message.uuid == _COMPRESSED:
        raise DecodingError("not_frame", "compressed payloads are not read")
    return message


class _Memory:
    """Birth tables and counters of nodes, bounded: where there is no room the node that was born first goes.

    Parameters
    ----------
    state : mutable mapping
        Ready for JSON; changed in place.
    """

    def __init__(self, state: MutableMapping[str, Any]) -> None:
        self._state = state
        self._nodes: dict[str, dict[str, Any]] = state.setdefault("nodes", {})

    def bear(self, origin: Origin, table: dict[str, list[Any]]) -> None:
        """Keep the table of a birth: [name, data type] by alias, or by name behind ``=``.

        Raises
        ------
        DecodingError
            ``too_large``.
        """
        size = len(table) + 1
        if size > _MOST_METRICS:
            raise DecodingError("too_large", f"a birth of {len(table)} metrics")
        node = self._nodes.setdefault(origin.node, {"seq": None, "size": 0, "devices": {}})
        before = node["devices"].pop(origin.device, None)
        self._grow(node, size - (len(before["metrics"]) + 1 if before else 0))
        node["devices"][origin.device] = {"metrics": table, "dead": False}
        while self._state["size"] > _MOST_METRICS:
            self._forget(next(name for name in self._nodes if name != origin.node or len(self._nodes) == 1), origin)

    def _grow(self, node: dict[str, Any], by: int) -> None:
        node["size"] += by
        self._state["size"] = self._state.get("size", 0) + by

    def _forget(self, name: str, born: Origin) -> None:
        node = self._nodes[name]
        if name != born.node:
            self._grow(node, -node["size"])
            del self._nodes[name]
            return
        device = next(device for device in node["devices"] if device != born.device)
        self._grow(node, -len(node["devices"].pop(device)["metrics"]) - 1)

    def table(self, origin: Origin) -> dict[str, list[Any]]:
        """Return the birth table of a device, an empty one where it is not known."""
        device = self._nodes.get(origin.node, {"devices": {}})["devices"].get(origin.device)
        return {} if device is None else device["metrics"]

    def devices(self, node: str) -> list[str]:
        """Return the devices of a node that were born, the node itself as an empty name."""
        return list(self._nodes.get(node, {"devices": {}})["devices"])

    def die(self, node: str, device: str) -> None:
        """Note a death; what was born stays known."""
        self._nodes[node]["devices"][device]["dead"] = True

    def gap(self, origin: Origin, seq: int | None) -> list[int] | None:
        """Note the counter of a node's messages; return what was expected and what came where some are missing."""
        node = self._nodes.get(origin.node)
        if node is None or seq is None:
            return None
        before, node["seq"] = node["seq"], seq
        if before is None or origin.kind == "NBIRTH" or seq in (before, (before + 1) % 256):
            return None  # the same once more is a message that was delivered again
        return [(before + 1) % 256, seq]


def _decode_metrics(
    message: Any, origin: Origin, meter_id: str, memory: _Memory, context: Context, decoded: Decoded
) -> None:
    """Add a reading for each time of a birth's or a data message's metrics."""
    born = origin.kind in _BIRTHS
    if born:
        memory.bear(origin, _birth_table(message))
    values, unknown = _values(message, memory.table(origin), strict=not born)
    gap = memory.gap(origin, message.seq % 256 if message.HasField("seq") else None)
    if unknown:
        decoded.rejections.append(Rejection("undeclared", _undeclared(unknown, origin), meter_id))
    sent = message.timestamp if message.HasField("timestamp") else None
    groups: dict[tuple[int | None, bool], list[_Value]] = {}
    for value in values:
        moment = sent if value.timestamp_ms is None else value.timestamp_ms
        groups.setdefault((moment, value.historical), []).append(value)
    for (moment, historical), group in groups.items():
        extra = ({"historical": True} if historical else {}) | ({"seq_gap": gap} if gap else {})
        try:
            _add_row(group, moment, extra, meter_id, context, decoded)
        except DecodingError as error:
            decoded.rejections.append(Rejection(error.reason, error.detail, meter_id))
    if not decoded.rows and not decoded.rejections:
        decoded.rejections.append(Rejection("no_value", f"{origin.kind}: there are no metrics", meter_id))


def _undeclared(unknown: list[str], origin: Origin) -> str:
    return (
        f"{origin.kind} with {len(unknown)} metrics whose names or types no birth of {excerpt(origin.device_id)} has"
        f" told, the first {unknown[0]}: request a rebirth (command Node Control/Rebirth)"
    )


def _birth_table(message: Any) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = {}
    for metric in message.metrics:
        name = metric.name.decode("utf-8", "replace")[:_LONGEST_NAME]
        if name:
            key = str(metric.alias) if metric.HasField("alias") else f"={name}"
            table[key] = [name, metric.datatype]
    return table


def _values(message: Any, table: dict[str, list[Any]], *, strict: bool) -> tuple[list[_Value], list[str]]:
    """Return the metrics by name, and those whose name or type is not known."""
    values, unknown = [], []
    for metric in message.metrics:
        alias = str(metric.alias) if metric.HasField("alias") else None
        own = metric.name.decode("utf-8", "replace")[:_LONGEST_NAME]
        name, data_type = table.get(alias or f"={own}") or [own, 0]
        data_type = metric.datatype or data_type
        integer = metric.WhichOneof("value") in ("int_value", "long_value")
        if not name or (strict and integer and not data_type):
            unknown.append(f"alias {alias}" if alias is not None else excerpt(own))
            continue
        null = metric.is_null or metric.WhichOneof("value") is None
        timestamp = metric.timestamp if metric.HasField("timestamp") else None
        value = None if null else scalar(metric, data_type)
        values.append(_Value(name, timestamp, metric.is_historical, null, value))
    return values, unknown


def _add_row(
    group: list[_Value],
    moment: int | None,
    extra: dict[str, Any],
    meter_id: str,
    context: Context,
    decoded: Decoded,
) -> None:
    if moment is None and context.received_at is None:
        raise DecodingError("no_time", "neither the metrics nor the message nor its envelope tell the time")
    # A number that large is no time, and later arithmetic is not to trip over it.
    ts = context.received_at if moment is None else min(moment, _LARGEST_MS) * 1000
    check_time(ts or 0, context.received_at, context.now)
    fields: dict[str, Any] = {}
    names = {value.name for value in group}
    for value in group:
        field = _field(value.name, names)
        if value.null:
            extra.setdefault("is_null", []).append(value.name)
        elif field is None or field in fields:
            extra[value.name] = value.value
        else:
            fields[field] = _of_type(field, value.value)
    decoded.rows.append(build_row(fields, meter_id=meter_id, ts=ts or 0, source=context.source, extra=extra))


def _field(name: str, names: set[str]) -> str | None:
    """Return the field of a metric: by its name, or by the last part of it where no other metric has that name."""
    last = name.rsplit("/", 1)[-1]
    field = _SYNONYMS.get(last, last)
    if field not in _FIELDS or (name != field and field in names):
        return None
    return field


def _of_type(field: str, value: object) -> object:
    """Return a value as the field takes it: codes are a list, and some devices send truth as a number."""
    if field == "error_codes" and isinstance(value, str):
        return value.replace(",", " ").split()
    if field == "valid" and type(value) is int and value in (0, 1):
        return bool(value)
    return value


def _note_death(message: Any, origin: Origin, memory: _Memory, context: Context, decoded: Decoded) -> None:
    """Add the code of a death to the device, of a node's death to all its devices that were born."""
    if origin.kind == "DDEATH" and message.HasField("seq"):
        memory.gap(origin, message.seq % 256)
    devices = memory.devices(origin.node) if origin.kind == "NDEATH" else [origin.device]
    known = memory.devices(origin.node)
    moment = message.timestamp if message.HasField("timestamp") and origin.kind == "DDEATH" else None
    ts = context.received_at if moment is None else min(moment, _LARGEST_MS) * 1000
    if ts is None:
        raise DecodingError("no_time", "a node's death says nothing of when it was, nor does its envelope")
    check_time(ts, context.received_at, context.now)
    for device in devices:
        if device in known:
            memory.die(origin.node, device)
        elif origin.kind == "NDEATH":
            continue
        if not device:
            continue  # the node itself measures nothing unless its own metrics said so
        meter_id = context.meter_id(device)
        fields = {"error_codes": [origin.kind]}
        decoded.rows.append(build_row(fields, meter_id=meter_id, ts=ts, source=context.source, extra={}))
    if not decoded.rows:
        raise DecodingError("no_value", f"{origin.kind} of a node without devices that were born")
