"""What encrypting modules of Chinese meters do to a frame: a template, for none of their layouts is public."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingest.excerpt import excerpt
from lake.errors import DecodingError

CIPHERS = ("aes-128-cbc", "aes-128-ecb", "sm4-cbc", "sm4-ecb")
_BLOCK = 16


def decrypt(data: bytes, fields: Mapping[str, Any], key: bytes | None) -> bytes:
    """Return what `data` holds in clear, padding included.

    Parameters
    ----------
    data : bytes
        Whole blocks.
    fields : mapping
        Of the wrapper: ``cipher`` is one of :data:`CIPHERS` (default ``aes-128-cbc``), ``iv`` the hexadecimal
        initialisation vector of a chained one.
    key : bytes or None
        16 bytes; 32 bytes are key and initialisation vector (which `fields` override); without a vector it is zero.

    Raises
    ------
    DecodingError
        ``no_key``, ``wrong_key``, ``wrong_value`` or ``not_frame``.
    """
    if key is None:
        raise DecodingError("no_key", "the frame is encrypted and no key is configured for its meter")
    cipher = fields.get("cipher") or CIPHERS[0]
    if cipher not in CIPHERS:
        raise DecodingError("wrong_value", f"cipher is {excerpt(cipher)}; allowed are {', '.join(CIPHERS)}")
    if len(key) not in (_BLOCK, 2 * _BLOCK):
        raise DecodingError("wrong_key", f"the key has {len(key)} bytes; needed are 16, or 32 with the iv")
    if not data or len(data) % _BLOCK:
        raise DecodingError("not_frame", f"{len(data)} encrypted bytes are no whole blocks of {_BLOCK}")
    return _run(data, cipher, key[:_BLOCK], _vector(fields.get("iv"), key))


def _vector(given: object, key: bytes) -> bytes:
    if given is None:
        return key[_BLOCK:] or bytes(_BLOCK)
    try:
        vector = bytes.fromhex(given) if isinstance(given, str) else b""
    except ValueError:
        vector = b""
    if len(vector) != _BLOCK:
        raise DecodingError("wrong_value", f"iv must be 32 hexadecimal digits, not {excerpt(given)}")
    return vector


def _run(data: bytes, cipher: str, key: bytes, vector: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - only where needed

    algorithm = algorithms.AES(key) if cipher.startswith("aes") else algorithms.SM4(key)
    mode = modes.CBC(vector) if cipher.endswith("cbc") else modes.ECB()  # noqa: S305 - modules do use it
    context = Cipher(algorithm, mode).decryptor()
    return context.update(data) + context.finalize()
