"""Ciphers of encrypting modules."""

from __future__ import annotations

import pytest

from ingest.frames.module_cipher import decrypt
from lake.errors import DecodingError

# NIST SP 800-38A F.2.1 and F.1.1, and the example of GB/T 32907-2016 A.1.
AES_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
IV = bytes(range(16)).hex()
CLEAR = "6bc1bee22e409f96e93d7e117393172a"
SM4_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")


@pytest.mark.parametrize(
    ("data", "fields", "key", "expected"),
    [
        ("7649abac8119b246cee98e9b12e9197d", {"iv": IV}, AES_KEY, CLEAR),
        ("7649abac8119b246cee98e9b12e9197d", {"cipher": "aes-128-cbc"}, AES_KEY + bytes(range(16)), CLEAR),
        ("3ad77bb40d7a3660a89ecaf32466ef97", {"cipher": "aes-128-ecb"}, AES_KEY, CLEAR),
        ("681edf34d206965e86b3e94f536e4246", {"cipher": "sm4-ecb"}, SM4_KEY, SM4_KEY.hex()),
        ("681edf34d206965e86b3e94f536e4246", {"cipher": "sm4-cbc", "iv": "00" * 16}, SM4_KEY, SM4_KEY.hex()),
    ],
)
def test_decrypt_published(data: str, fields: dict[str, object], key: bytes, expected: str) -> None:
    """Every cipher gives what its standard's example says."""
    assert expected == decrypt(bytes.fromhex(data), fields, key).hex()


@pytest.mark.parametrize(
    ("data", "fields", "key", "reason"),
    [
        (bytes(16), {}, None, "no_key"),
        (bytes(16), {}, b"short", "wrong_key"),
        (bytes(16), {"cipher": "des"}, AES_KEY, "wrong_value"),
        (bytes(16), {"cipher": ["aes-128-cbc"]}, AES_KEY, "wrong_value"),
        (bytes(16), {"iv": "00"}, AES_KEY, "wrong_value"),
        (bytes(16), {"iv": 7}, AES_KEY, "wrong_value"),
        (bytes(16), {"iv": "zz"}, AES_KEY, "wrong_value"),
        (bytes(15), {}, AES_KEY, "not_frame"),
        (b"", {}, AES_KEY, "not_frame"),
    ],
)
def test_decrypt_refused(data: bytes, fields: dict[str, object], key: bytes | None, reason: str) -> None:
    """What cannot be decrypted is refused and says why, without the key."""
    with pytest.raises(DecodingError) as caught:
        decrypt(data, fields, key)

    assert reason == caught.value.reason
    assert AES_KEY.hex() not in caught.value.detail
