"""Signatures of Standard Webhooks 1.0: HMAC-SHA256 over ``id.timestamp.body``.

The specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PREFIX = "whsec_"
VERSION = "v1"
TOLERANCE_S = 300.0
KEY_BYTES = (24, 64)

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing key; its value never shows in a repr, log or traceback.

    Parameters
    ----------
    key : bytes
        24 to 64 bytes.
    """

    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Secret:
        """Read ``whsec_`` followed by base64.

        Raises
        ------
        ValueError
            The text is no such secret; the message does not repeat it.
        """
        text = text.strip()
        if not text.startswith(PREFIX):
            raise ValueError(f"a secret begins with {PREFIX}")
        encoded = text.removeprefix(PREFIX)
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"what follows {PREFIX} is not base64") from None
        if not KEY_BYTES[0] <= len(key) <= KEY_BYTES[1]:
            raise ValueError(f"a secret has {KEY_BYTES[0]} to {KEY_BYTES[1]} bytes, this one has {len(key)}")
        return cls(key)

    @classmethod
    def create(cls) -> Secret:
        """Return a new random secret of 32 bytes."""
        return cls(randomness.token_bytes(32))

    @property
    def text(self) -> str:
        """The secret as it is written into a file, ``whsec_…``."""
        return PREFIX + base64.b64encode(self.key).decode()


def parse_secrets(text: str) -> tuple[Secret, ...]:
    """Read one secret a line; empty lines and those beginning with ``#`` are skipped.

    While a key is being exchanged the file holds both; the first is the new one.

    Raises
    ------
    ValueError
        There is no secret, or a line is none; the message names the line, not its text.
    """
    found: list[Secret] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found.append(Secret.parse(line))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    if not found:
        raise ValueError(f"there is no secret; one line {PREFIX}… is needed")
    return tuple(found)


def sign(secrets: Sequence[Secret], *, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return the three headers that sign `body`, with one signature a secret.

    Parameters
    ----------
    secrets : sequence of Secret
        The keys in use; two while one is being exchanged.
    message_id : str
        The same over all attempts of one event.
    timestamp_s : int
        Time of this attempt [s since 1970].
    body : bytes
        Exactly what is sent.
    """
    signatures = " ".join(_signature(secret, message_id, str(timestamp_s), body) for secret in secrets)
    return {ID_HEADER: message_id, TIMESTAMP_HEADER: str(timestamp_s), SIGNATURE_HEADER: signatures}


def refusal(
    secrets: Sequence[Secret],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float,
    tolerance_s: float = TOLERANCE_S,
) -> str | None:
    """Say why a request is not to be believed, or None when it is genuine and fresh.

    Parameters
    ----------
    secrets : sequence of Secret
        The keys the receiver knows; one match is enough.
    headers : mapping of str to str
        The request's headers, names in any case.
    body : bytes
        Exactly what was received.
    now_s : float
        The receiver's clock [s since 1970].
    tolerance_s : float
        How far the sender's clock may be away [s].
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (given.get(name) for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER))
    if not message_id or not timestamp or not signatures:
        return "a webhook header is missing"
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        return "the timestamp is not a number of seconds"
    expected = [_signature(secret, message_id, timestamp, body).encode() for secret in secrets]
    offered = [signature.encode() for signature in signatures.split(" ")]
    if not any(hmac.compare_digest(mine, theirs) for mine in expected for theirs in offered):
        return "the signature does not match"
    if abs(now_s - int(timestamp)) > tolerance_s:
        return "the timestamp is too far from the clock"
    return None


def _signature(secret: Secret, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.key, content, hashlib.sha256).digest()
    return f"{VERSION},{base64.b64encode(digest).decode()}"
