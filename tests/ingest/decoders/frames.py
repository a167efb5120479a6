"""Writes frames of CJ/T 188, M-Bus and Sparkplug B for tests, from the standards and apart from the decoders."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC


def bcd(number: int, size: int) -> bytes:
    """Return a number as BCD, the lowest digits first."""
    return bytes.fromhex(str(number).zfill(2 * size))[::-1]


def cjt188(
    data: bytes, address: str = "00000012345678", meter_type: int = 0x10, control: int = 0x81, preamble: int = 4
) -> bytes:
    """Return a CJ/T 188 frame."""
    body = bytes([0x68, meter_type]) + bytes.fromhex(address)[::-1] + bytes([control, len(data)]) + data
    return b"\xfe" * preamble + body + bytes([sum(body) % 256, 0x16])


def cjt188_current(
    volume: int = 123456,
    unit: int = 0x2C,
    settlement: int = 100000,
    clock: str = "20240601195500",
    status: int = 0,
    identifier: str = "1F90",
) -> bytes:
    """Return the data of 901F; registers in hundredths of the unit, the clock as YYYYMMDDhhmmss."""
    return (
        bytes.fromhex(identifier)
        + b"\x00"
        + bcd(volume, 4)
        + bytes([unit])
        + bcd(settlement, 4)
        + bytes([unit])
        + bytes.fromhex(clock)[::-1]
        + status.to_bytes(2, "little")
    )


def wired(body: bytes, control: int = 0x08, address: int = 1) -> bytes:
    """Return a long frame of EN 13757-2 from the CI field on."""
    content = bytes([control, address]) + body
    return bytes([0x68, len(content), len(content), 0x68]) + content + bytes([sum(content) % 256, 0x16])


def manufacturer(letters: str) -> bytes:
    """Return the two bytes of a manufacturer."""
    first, second, third = (ord(letter) - 64 for letter in letters)
    return struct.pack("<H", first * 1024 + second * 32 + third)


def link_address(meter: str = "12345678", maker: str = "KAM", version: int = 0x1B, device_type: int = 0x16) -> bytes:
    """Return manufacturer, identification, version and type as the wireless link layer has them."""
    return manufacturer(maker) + bytes.fromhex(meter)[::-1] + bytes([version, device_type])


def long_header(address: bytes | None = None, access: int = 0x2A, status: int = 0, configuration: int = 0) -> bytes:
    """Return CI 72 with its header."""
    link = address or link_address()
    return b"\x72" + link[2:6] + link[:2] + link[6:] + bytes([access, status]) + struct.pack("<H", configuration)


def short_header(access: int = 0x2A, status: int = 0, configuration: int = 0) -> bytes:
    """Return CI 7A with its header."""
    return bytes([0x7A, access, status]) + struct.pack("<H", configuration)


def wireless(body: bytes, address: bytes | None = None, control: int = 0x44) -> bytes:
    """Return a frame of EN 13757-4 without CRCs, from the CI field on."""
    content = bytes([control]) + (address or link_address()) + body
    return bytes([len(content)]) + content


def en13757_crc(data: bytes) -> bytes:
    """Return the CRC of EN 13757-4 as it is sent, by division of polynomials."""
    bits = int.from_bytes(data) << 16
    for place in range(bits.bit_length() - 1, 15, -1):
        if bits >> place & 1:
            bits ^= 0x13D65 << (place - 16)
    return (bits ^ 0xFFFF).to_bytes(2)


def format_a(frame: bytes) -> bytes:
    """Return a frame with the CRCs of format A."""
    blocks = [frame[:10], *(frame[start : start + 16] for start in range(10, len(frame), 16))]
    return b"".join(block + en13757_crc(block) for block in blocks)


def format_b(frame: bytes) -> bytes:
    """Return a frame with the CRCs of format B, which its length counts."""
    extra = 2 if len(frame) <= 126 else 4
    frame = bytes([frame[0] + extra]) + frame[1:]
    parts = [frame[:126], frame[126:]] if len(frame) > 126 else [frame]
    return b"".join(part + en13757_crc(part) for part in parts)


def aes_cbc(key: bytes, vector: bytes, data: bytes) -> bytes:
    """Return whole blocks encrypted."""
    context = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return context.update(data) + context.finalize()


def padded(records: bytes) -> bytes:
    """Return records as they are encrypted: behind 2F2F, filled with 2F."""
    content = b"\x2f\x2f" + records
    return content + b"\x2f" * (-len(content) % 16)


def mode_5(records: bytes, key: bytes, *, access: int = 0x2A, status: int = 0, address: bytes | None = None) -> bytes:
    """Return a short header with what security mode 5 makes of records."""
    content = padded(records)
    configuration = 0x0500 | len(content) // 16 << 4
    vector = (address or link_address()) + bytes([access]) * 8
    return short_header(access, status, configuration) + aes_cbc(key, vector, content)


def cmac(key: bytes, data: bytes) -> bytes:
    """Return the CMAC of data."""
    context = CMAC(algorithms.AES(key))
    context.update(data)
    return context.finalize()


def mode_7(records: bytes, key: bytes, *, counter: int = 7, meter: str = "12345678", status: int = 0) -> bytes:
    """Return an authentication layer and a short header with what security mode 7 makes of records."""
    content, count = padded(records), struct.pack("<I", counter)
    seed = count + bytes.fromhex(meter)[::-1] + b"\x07" * 7
    encrypted = aes_cbc(cmac(key, b"\x00" + seed), bytes(16), content)
    message = short_header(0x2A, status, 0x0700 | len(content) // 16 << 4) + b"\x10" + encrypted
    control = b"\x25"  # message counter in the message, CMAC of 8 bytes
    mac = cmac(cmac(key, b"\x01" + seed), control + count + message)[:8]
    layer = b"\x00\x2c" + control + count + mac
    return b"\x90" + bytes([len(layer)]) + layer + message


def ell_ctr(message: bytes, key: bytes | None, *, address: bytes | None = None, session: int = 0x2345) -> bytes:
    """Return an extended link layer (CI 8D) around a message from its CI field on."""
    number = struct.pack("<I", session | (0x20000000 if key else 0))
    secured = en13757_crc(message)[::-1] + message
    if key:
        vector = (address or link_address()) + b"\x20" + number + bytes(3)
        context = Cipher(algorithms.AES(key), modes.CTR(vector)).encryptor()
        secured = context.update(secured) + context.finalize()
    return b"\x8d\x20\x11" + number + secured


def varint(number: int) -> bytes:
    """Return a protobuf integer."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def proto(number: int, value: float | bytes | None, wire: str = "") -> bytes:
    """Return a protobuf field: integers and truth as varints, bytes with their length, floats by `wire` f or d."""
    if value is None:
        return b""
    if wire:
        return varint(number << 3 | (5 if wire == "f" else 1)) + struct.pack(f"<{wire}", value)
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(int(value))


_VALUE_FIELDS = {**dict.fromkeys((1, 2, 3, 5, 6, 7), 10), **dict.fromkeys((4, 8, 13), 11)}


def metric(
    name: str | None = None,
    value: object = None,
    data_type: int | None = None,
    *,
    alias: int | None = None,
    ts: int | None = None,
    historical: bool | None = None,
    as_type: int | None = None,
) -> bytes:
    """Return a metric of Sparkplug B; None is null, `as_type` writes a value of a type that is not told."""
    kind = data_type or as_type or 0
    parts = [
        proto(1, None if name is None else name.encode()),
        proto(2, alias),
        proto(3, ts),
        proto(4, data_type),
        proto(5, historical),
    ]
    if value is None:
        parts.append(proto(7, value=True))
    elif isinstance(value, bool):
        parts.append(proto(14, value))
    elif isinstance(value, str):
        parts.append(proto(15, value.encode()))
    elif kind in (9, 10):
        parts.append(proto(12 if kind == 9 else 13, float(value), "f" if kind == 9 else "d"))  # type: ignore[arg-type]
    else:
        width = 32 if _VALUE_FIELDS[kind] == 10 else 64
        parts.append(proto(_VALUE_FIELDS[kind], int(value) % (1 << width)))  # type: ignore[call-overload]
    return b"".join(parts)


def sparkplug(metrics: Sequence[bytes], *, ts: int | None = 1717236000000, seq: int | None = 0) -> bytes:
    """Return a payload of Sparkplug B."""
    return proto(1, ts) + b"".join(proto(2, each) for each in metrics) + proto(3, seq)
