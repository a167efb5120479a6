"""The protobuf messages of Sparkplug B, built from their field numbers: no generated code, no copy of a .proto file."""

from __future__ import annotations

from functools import cache
from typing import Any

# Name, number and type of the fields that are read. Field numbers and data types: Sparkplug 3.0.0, "Payload
# representation on the wire". Texts are read as bytes, so that one that is no UTF-8 costs no more than itself; data
# sets, templates, properties and metadata are passed over.
_PAYLOAD = (("timestamp", 1, "UINT64"), ("seq", 3, "UINT64"), ("uuid", 4, "BYTES"))
_METRIC = (
    ("name", 1, "BYTES"),
    ("alias", 2, "UINT64"),
    ("timestamp", 3, "UINT64"),
    ("datatype", 4, "UINT32"),
    ("is_historical", 5, "BOOL"),
    ("is_null", 7, "BOOL"),
)
_VALUES = (
    ("int_value", 10, "UINT32"),
    ("long_value", 11, "UINT64"),
    ("float_value", 12, "FLOAT"),
    ("double_value", 13, "DOUBLE"),
    ("boolean_value", 14, "BOOL"),
    ("string_value", 15, "BYTES"),
    ("bytes_value", 16, "BYTES"),
    ("dataset_value", 17, "BYTES"),
    ("template_value", 18, "BYTES"),
    ("extension_value", 19, "BYTES"),
)
DATA_TYPES = {
    1: "Int8",
    2: "Int16",
    3: "Int32",
    4: "Int64",
    5: "UInt8",
    6: "UInt16",
    7: "UInt32",
    8: "UInt64",
    9: "Float",
    10: "Double",
    11: "Boolean",
    12: "String",
    13: "DateTime",
    14: "Text",
    15: "UUID",
}


@cache
def payload_class() -> Any:
    """Return the class of a Sparkplug B payload."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415 - only where needed

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="metriage/sparkplug_b.proto", package="metriage.sparkplug", syntax="proto2"
    )
    payload, metric = file.message_type.add(name="Payload"), file.message_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    for message, fields, oneof in (
        (payload, _PAYLOAD, {}),
        (metric, _METRIC, {}),
        (metric, _VALUES, {"oneof_index": 0}),
    ):
        for name, number, kind in fields:
            message.field.add(
                name=name, number=number, type=getattr(field, f"TYPE_{kind}"), label=field.LABEL_OPTIONAL, **oneof
            )
    payload.field.add(
        name="metrics",
        number=2,
        type=field.TYPE_MESSAGE,
        type_name=".metriage.sparkplug.Metric",
        label=field.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("metriage.sparkplug.Payload"))


def scalar(metric: Any, data_type: int) -> object:
    """Return a metric's value by its data type; None for one that is no scalar.

    Integers travel without sign: those of a signed type are told by the width of the type, or by 32 or 64 bits where
    the device filled them up.
    """
    kind = metric.WhichOneof("value")
    if kind in ("int_value", "long_value"):
        return _integer(metric.int_value if kind == "int_value" else metric.long_value, data_type)
    if kind == "float_value":
        return _shortest(metric.float_value)
    if kind in ("double_value", "boolean_value"):
        return getattr(metric, kind)
    if kind == "string_value":
        return metric.string_value.decode("utf-8", "replace")
    return metric.bytes_value.hex() if kind == "bytes_value" else None


def _integer(value: int, data_type: int) -> int | bool:
    if data_type == 11:
        return bool(value)
    width = {1: 8, 2: 16, 3: 32, 4: 64}.get(data_type)
    if width is None:
        return value
    for bits in (width, 32, 64):
        if value < 1 << bits:
            return value - (1 << bits) if value >> (bits - 1) else value
    return value


def _shortest(value: float) -> float:
    """Return the decimal number that a device meant by a float of 32 bits."""
    import struct  # noqa: PLC0415

    for digits in range(6, 10):
        text = f"{value:.{digits}g}"
        try:
            if struct.pack("<f", float(text)) == struct.pack("<f", value):
                return float(text)
        except OverflowError:
            continue
    return value
