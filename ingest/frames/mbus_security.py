"""Security of EN 13757: transport layer modes 0, 5 and 7, extended link layer with AES-CTR.

The link and transport layers are read here and not by the record library: that one takes what a wrong key gives for
records, and does not look at the CRC of the extended link layer.
"""

from __future__ import annotations

from typing import NamedTuple

from ingest.frames.mbus_link import Address, LinkFrame, crc16
from lake.errors import DecodingError

_BLOCK = 16
_IDLE = b"\x2f\x2f"  # what every encrypted content begins with
_LONG, _SHORT, _NONE = (0x72, 0x73), (0x7A, 0x7B), (0x78, 0x79)
_COMPACT = (0x73, 0x79, 0x7B)
_ELL = {0x8C: 3, 0x8D: 9, 0x8E: 11, 0x8F: 17}  # CI: bytes of the extended link layer
_HOP = 0x10  # bit of the communication control field
_AFL = 0x90
_MAC_BYTES = {3: 2, 4: 4, 5: 8, 6: 12, 7: 16}  # by authentication type
_FROM_METER = 0x00, 0x01  # derivation constants of the keys that a meter encrypts and signs with


class Clear(NamedTuple):
    """What stood below all security.

    Parameters
    ----------
    address : Address
        The meter.
    status : int or None
        Status byte of the transport layer, where it has one.
    content : bytes
        Records, of a compact frame its signatures and values.
    compact : bool
        Whether it is a compact frame.
    """

    address: Address
    status: int | None
    content: bytes
    compact: bool


class _Authentication(NamedTuple):
    """An authentication layer: what is signed beside the message, counter and signature."""

    signed: bytes
    counter: bytes
    mac: bytes


def address_of(frame: LinkFrame) -> Address:
    """Return the address of the meter: the transport layer's where it has one, else the link layer's.

    Raises
    ------
    DecodingError
        ``not_frame`` or ``no_meter_id``.
    """
    body = frame.body
    if body and body[0] in (0x8E, 0x8F) and len(body) >= 11:
        ell: Address | None = Address(body[3:11])
    else:
        ell = frame.address
    body, _ = _behind_afl(body[_ELL[body[0]] :] if body and body[0] in (0x8C, 0x8E) else body)
    if body and body[0] in _LONG and len(body) >= 13:
        return Address(body[5:7] + body[1:5] + body[7:9])
    if ell is None:
        raise DecodingError("no_meter_id", f"CI field {body[:1].hex() or 'missing'}: nothing names the meter")
    return ell


def clear(frame: LinkFrame, key: bytes | None) -> Clear:
    """Return what a frame holds in clear.

    Raises
    ------
    DecodingError
        ``no_key``, ``wrong_key``, ``bad_checksum``, ``not_frame`` or ``wrong_value``.
    """
    address = address_of(frame)
    body = _behind_ell(frame, address, key)
    message, authentication = _behind_afl(body)
    ci = message[0] if message else 0
    size = 13 if ci in _LONG else 5 if ci in _SHORT else 1
    if ci not in (*_LONG, *_SHORT, *_NONE) or len(message) < size:
        raise DecodingError("not_frame", f"CI field {message[:1].hex() or 'missing'} brings no readings")
    if size == 1:
        return Clear(address, None, message[1:], ci in _COMPACT)
    access, status = message[size - 4], message[size - 3]
    configuration = int.from_bytes(message[size - 2 : size], "little")
    mode, blocks = configuration >> 8 & 0x1F, configuration >> 4 & 0x0F
    if mode == 0:
        content = message[size:]
    elif mode == 5:
        vector = address.wire + bytes([access]) * 8
        content = _decrypt_blocks(message[size:], blocks, _needed(key), vector)
    elif mode == 7:
        content = _mode_7(message, size, blocks, address, authentication, _needed(key))
    else:
        raise DecodingError("wrong_value", f"security mode {mode} is not read; modes 0, 5 and 7 are")
    return Clear(address, status, content, ci in _COMPACT)


def _needed(key: bytes | None) -> bytes:
    if key is None:
        raise DecodingError("no_key", "the frame is encrypted and no key is configured for its meter")
    if len(key) != _BLOCK:
        raise DecodingError("wrong_key", f"the key has {len(key)} bytes; AES-128 needs 16")
    return key


def _behind_ell(frame: LinkFrame, address: Address, key: bytes | None) -> bytes:
    """Return what stands behind an extended link layer, decrypted and its CRC checked where it has one."""
    body = frame.body
    size = _ELL.get(body[0], 0) if body else 0
    if len(body) < size:
        raise DecodingError("not_frame", "cut short within the extended link layer")
    if size in (0, 3, 11):
        return body[size:]
    session = body[size - 6 : size - 2]
    mode = session[3] >> 5
    if mode not in (0, 1):
        raise DecodingError("wrong_value", f"encryption {mode} of the extended link layer is unknown")
    secured = body[size - 2 :]
    if mode == 1:
        control = body[1] & ~_HOP  # a repeater sets the bit after the meter encrypted
        vector = (frame.address or address).wire + bytes([control]) + session + bytes(3)
        secured = _aes_ctr(secured, _needed(key), vector)
    if crc16(secured[2:]) != int.from_bytes(secured[:2], "little"):
        if mode == 1:
            raise DecodingError("wrong_key", "the CRC of the decrypted content does not fit: another key, or damaged")
        raise DecodingError("bad_checksum", "the CRC of the extended link layer does not fit")
    return secured[2:]


def _behind_afl(body: bytes) -> tuple[bytes, _Authentication | None]:
    """Return the message behind an authentication and fragmentation layer, and what that layer says."""
    if not body or body[0] != _AFL:
        return body, None
    layer, message = body[2 : 2 + body[1]] if len(body) > 1 else b"", body[2 + body[1] :] if len(body) > 1 else b""
    control = int.from_bytes(layer[:2], "little")
    if control & 0x4000 or control & 0xFF not in (0, 1):
        raise DecodingError("not_frame", "one fragment of several; fragments are not put together")
    place = 2
    fields = {}
    kind = layer[2] & 0x0F if control & 0x2000 and len(layer) > 2 else 0
    sizes = (("mcl", 0x2000, 1), ("ki", 0x0200, 2), ("counter", 0x0800, 4), ("mac", 0x0400, _MAC_BYTES.get(kind, 0)),
             ("length", 0x1000, 2))  # fmt: skip
    for name, bit, size in sizes:
        if control & bit:
            fields[name] = layer[place : place + size]
            place += size
    if place != len(layer):
        raise DecodingError("not_frame", "the authentication layer does not have the length it says")
    signed = b"".join(fields.get(name, b"") for name in ("mcl", "counter", "length"))
    return message, _Authentication(signed, fields.get("counter", b""), fields.get("mac", b""))


def _mode_7(
    message: bytes, size: int, blocks: int, address: Address, authentication: _Authentication | None, key: bytes
) -> bytes:
    """Decrypt mode 7: keys are derived from the message counter, the message is signed."""
    if authentication is None or len(authentication.counter) != 4:
        raise DecodingError("not_frame", "security mode 7 without the message counter that its keys are made of")
    if len(message) <= size:
        raise DecodingError("not_frame", "cut short before the extension of the configuration field")
    if message[size] >> 4 & 0x03 != 1:
        raise DecodingError("wrong_value", f"key derivation {message[size] >> 4 & 0x03} is not read; 1 is")
    base = authentication.counter + address.wire[2:6] + b"\x07" * 7
    encrypting, signing = (_cmac(key, bytes([constant]) + base) for constant in _FROM_METER)
    if authentication.mac:
        expected = _cmac(signing, authentication.signed + message)[: len(authentication.mac)]
        if expected != authentication.mac:
            raise DecodingError("wrong_key", "the signature does not fit: another key, or damaged")
    return _decrypt_blocks(message[size + 1 :], blocks, encrypting, bytes(_BLOCK))


def _decrypt_blocks(data: bytes, blocks: int, key: bytes, vector: bytes) -> bytes:
    """Return `data` with its first `blocks` decrypted."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - only where needed

    end = blocks * _BLOCK
    if end > len(data):
        raise DecodingError("not_frame", f"{len(data)} bytes where {blocks} encrypted blocks should be")
    if not blocks:
        return data
    context = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    content = context.update(data[:end]) + context.finalize()
    if not content.startswith(_IDLE):
        raise DecodingError("wrong_key", "decrypted content begins with 2F2F, this does not: another key, or damaged")
    return content + data[end:]


def _aes_ctr(data: bytes, key: bytes, vector: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - only where needed

    context = Cipher(algorithms.AES(key), modes.CTR(vector)).decryptor()
    return context.update(data) + context.finalize()


def _cmac(key: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import algorithms  # noqa: PLC0415 - only where needed
    from cryptography.hazmat.primitives.cmac import CMAC  # noqa: PLC0415

    context = CMAC(algorithms.AES(key))
    context.update(data)
    return context.finalize()
