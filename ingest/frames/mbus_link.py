"""M-Bus frames: link layers of EN 13757-2 (wired) and EN 13757-4 (wireless), and the addresses in them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from lake.errors import DecodingError

WATER = {
    0x06: "warm water",
    0x07: "water",
    0x15: "hot water",
    0x16: "cold water",
    0x17: "hot and cold water",
    0x28: "waste water",
}
_POLYNOMIAL = 0x3D65
_FIRST_BLOCK, _BLOCK = 10, 16  # bytes of a block of format A, its CRC not counted
_FORMAT_B_FIRST = 126  # bytes of the first two blocks of format B, their CRC not counted


class Address(NamedTuple):
    """Who sent it.

    Parameters
    ----------
    wire : bytes
        Manufacturer (2), identification (4), version, device type, as security takes them.
    """

    wire: bytes

    @property
    def device_id(self) -> str:
        """The eight digits of the identification number."""
        return self.wire[5:1:-1].hex().upper()

    @property
    def manufacturer(self) -> str:
        """The three letters of the manufacturer."""
        number = int.from_bytes(self.wire[:2], "little") & 0x7FFF
        return "".join(chr(64 + (number >> shift & 0x1F)) for shift in (10, 5, 0))

    @property
    def version(self) -> int:
        """Version of the device."""
        return self.wire[6]

    @property
    def device_type(self) -> int:
        """Device type, which tells the medium."""
        return self.wire[7]


class LinkFrame(NamedTuple):
    """What a link layer carried.

    Parameters
    ----------
    address : Address or None
        The link layer's; a wired one has none that names a meter.
    body : bytes
        From the CI field on.
    """

    address: Address | None
    body: bytes


def crc16(data: bytes) -> int:
    """Return the CRC of EN 13757-4.

    Examples
    --------
    >>> hex(crc16(b"123456789"))  # CRC-16/EN-13757
    '0xc2b7'
    """
    crc, table = 0, _crc_table()
    for byte in data:
        crc = crc << 8 & 0xFFFF ^ table[crc >> 8 ^ byte]
    return crc ^ 0xFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL if crc & 0x8000 else crc << 1) & 0xFFFF
        table.append(crc)
    return tuple(table)


def wired_frames(data: bytes) -> Iterator[LinkFrame | DecodingError]:
    """Yield the long frames of a payload, or what is wrong where one should be; at least one."""
    start = 0
    while start == 0 or start < len(data):
        length = data[start + 1] if len(data) > start + 1 else 0
        end = start + length + 6
        if data[start : start + 4] != bytes((0x68, length, length, 0x68)) or length < 3:
            yield DecodingError("not_frame", f"byte {start}: a long frame begins with 68 L L 68, L at least 3")
            return
        if end > len(data) or data[end - 1] != 0x16:
            yield DecodingError("not_frame", f"byte {start}: cut short, or it does not end with 0x16")
            return
        content = data[start + 4 : end - 2]
        if sum(content) & 0xFF != data[end - 2]:
            yield DecodingError("bad_checksum", f"the sum is {sum(content) & 0xFF:#04x}, not {data[end - 2]:#04x}")
        else:
            yield LinkFrame(None, content[2:])
        start = end


def wireless_frame(data: bytes) -> LinkFrame:
    """Return a wireless frame, with the CRCs of format A or B, or without as most receivers deliver it.

    Raises
    ------
    DecodingError
        ``not_frame`` or ``bad_checksum``.
    """
    length = data[0] if data else 0
    if length < 10 or len(data) < length + 1:
        raise DecodingError("not_frame", f"{len(data)} bytes, the length byte says {length + 1}")
    if len(data) == length + 1:
        content = _without_format_b(data)
    elif len(data) == _format_a_length(length):
        content = _without_format_a(data, length)
    else:
        raise DecodingError("not_frame", f"{len(data)} bytes fit neither {length + 1} nor, with CRCs, the length byte")
    if len(content) < 11:
        raise DecodingError("not_frame", "there is nothing behind the address")
    return LinkFrame(Address(content[2:10]), content[10:])


def _format_a_length(length: int) -> int:
    blocks = 1 + -(-(length + 1 - _FIRST_BLOCK) // _BLOCK)
    return length + 1 + 2 * blocks


def _without_format_a(data: bytes, length: int) -> bytes:
    content = bytearray()
    start, size = 0, _FIRST_BLOCK
    while len(content) < length + 1:
        block = data[start : start + min(size, length + 1 - len(content))]
        start += len(block)
        if crc16(block) != int.from_bytes(data[start : start + 2]):
            raise DecodingError("bad_checksum", f"the CRC of the block at byte {start - len(block)} does not fit")
        content += block
        start, size = start + 2, _BLOCK
    return bytes(content)


def _without_format_b(data: bytes) -> bytes:
    """Return the content of format B; where its CRCs do not fit, the frame is taken to have none."""
    parts = [data] if len(data) <= _FORMAT_B_FIRST + 2 else [data[: _FORMAT_B_FIRST + 2], data[_FORMAT_B_FIRST + 2 :]]
    if all(len(part) > 2 and crc16(part[:-2]) == int.from_bytes(part[-2:]) for part in parts):
        return b"".join(part[:-2] for part in parts)
    return data
