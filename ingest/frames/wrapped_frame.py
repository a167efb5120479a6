"""Binary frames as they come over MQTT: the bytes, hex or base64 text, or JSON that a terminal puts around them."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from ingest.decoders import Context
from ingest.excerpt import excerpt
from ingest.local_time import parse_time
from ingest.reading import agree_on_meter, check_bool, check_time
from lake.errors import DecodingError
from lake.vocabulary import MEASURES

FRAME_FIELDS = ("data", "frame", "payload", "telegram")  # where a wrapper may carry the frame, in this order
_OWN = frozenset({*FRAME_FIELDS, "ts", "meter_id", "encrypted", "cipher", "iv"})
_BESIDE = frozenset({*MEASURES, "seq", "firmware"})  # what a wrapper may add to the reading

_HEX = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:[ \t\r\n:-]?[0-9A-Fa-f]{2})*")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_DIGITS = re.compile(rb"[0-9A-Fa-f]+")
_MARKS = b" \t\r\n:-"  # what may stand between the bytes of hex text
_PRINTABLE = re.compile(rb"[\t\r\n\x20-\x7e]*")
_IN_JSON = re.compile(rb'"(?:' + "|".join(FRAME_FIELDS).encode() + rb')"\s*:\s*"([^"]{16,})"')
_QUOTED = tuple(f'"{name}"'.encode() for name in FRAME_FIELDS)
# Other shapes carry raw payloads beside what they say themselves.
_OTHERS = (b'"deviceInfo"', b'"end_device_ids"', b'"uplink_message"', b'"media"', b'"serviceId"', b'"messageType"')
_WIDEST_WRAPPER = 4096  # a larger JSON is none, and looking through it would cost


class Wrapped(NamedTuple):
    """A frame and what stands beside it.

    Parameters
    ----------
    frame : bytes
        One or more frames, or what a module made of them.
    fields : mapping
        The other fields of a JSON wrapper.
    """

    frame: bytes
    fields: Mapping[str, Any]

    @property
    def values(self) -> dict[str, Any]:
        """What the wrapper adds to the reading: fields of the contract."""
        return {name: value for name, value in self.fields.items() if name in _BESIDE}

    @property
    def extra(self) -> dict[str, Any]:
        """What of the wrapper has no place of its own."""
        return {name: value for name, value in self.fields.items() if name not in _BESIDE and name not in _OWN}

    @property
    def encrypted(self) -> bool:
        """Whether the wrapper says that the frame is encrypted.

        Raises
        ------
        DecodingError
            ``wrong_type``.
        """
        return bool(check_bool("encrypted", self.fields.get("encrypted")))

    def time(self, context: Context) -> int | None:
        """Return the wrapper's own time, checked [µs since 1970 UTC]; None where it has none.

        Raises
        ------
        DecodingError
            It is no plausible time.
        """
        if self.fields.get("ts") is None:
            return None
        ts = parse_time(self.fields["ts"])
        check_time(ts, context.received_at, context.now)
        return ts

    def agree(self, device_id: str, context: Context) -> str:
        """Return the meter of the frame's `device_id`, where neither topic nor wrapper names another one.

        Raises
        ------
        DecodingError
            ``bad_meter_id`` or ``meter_id_mismatch``.
        """
        meter_id = agree_on_meter(device_id, context.topic, context.aliases)
        named = self.fields.get("meter_id")
        if named is None:
            return meter_id
        # Terminals write the number with or without the zeros that fill the frame's address.
        if meter_id != context.meter_id(named) and device_id.lstrip("0") != str(named).lstrip("0"):
            raise DecodingError(
                "meter_id_mismatch", f"the wrapper names {excerpt(named)}, the frame {device_id!r}", meter_id=meter_id
            )
        return meter_id


def unwrap(payload: bytes) -> Wrapped:
    """Return the frame of a payload.

    Raises
    ------
    DecodingError
        ``not_frame`` or ``wrong_type``.
    """
    if payload.lstrip()[:1] == b"{":
        try:
            document = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = None  # a wireless frame may begin with the byte of a brace
        if isinstance(document, dict):
            return _from_document(document)
    return Wrapped(_plain(payload) or payload, {})


def _from_document(document: dict[str, Any]) -> Wrapped:
    name = next((name for name in FRAME_FIELDS if document.get(name) is not None), None)
    if name is None:
        raise DecodingError("not_frame", f"the JSON has none of {', '.join(FRAME_FIELDS)}")
    text = document[name]
    if not isinstance(text, str):
        raise DecodingError("wrong_type", f"{name} must be hex or base64 text, not {excerpt(text)}")
    frame = _plain(text.encode("utf-8", "replace"))
    if frame is None:
        raise DecodingError("not_frame", f"{name} is neither hex nor base64: {excerpt(text)}")
    return Wrapped(frame, document)


def _plain(text: bytes) -> bytes | None:
    """Return the bytes that hex or base64 text stands for; None where it is neither."""
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex((text[2:] if text[1:2] in b"xX" else text).translate(None, _MARKS).decode())
    if _BASE64.fullmatch(text):
        try:
            return b64decode(text, altchars=b"-_" if b"-" in text or b"_" in text else None, validate=True)
        except binascii.Error:
            return None
    return None


@lru_cache(maxsize=1)  # every shape of frames looks at the same payload
def glimpse(payload: bytes) -> tuple[bytes, int]:
    """Return the first bytes of a payload's frame and how long it is, without reading all of it; empty: no frame."""
    if payload[:1] == b"{":
        if len(payload) > _WIDEST_WRAPPER or not any(name in payload for name in _QUOTED):
            return b"", 0
        found = None if any(word in payload for word in _OTHERS) else _IN_JSON.search(payload)
        if found is None:
            return b"", 0
        payload = found.group(1).replace(rb"\/", b"/")
    elif not _PRINTABLE.fullmatch(payload[:24]):
        return payload[:24], len(payload)
    text = payload.strip().removeprefix(b"0x")
    head = text[:72].translate(None, _MARKS)
    if _DIGITS.fullmatch(head):
        return bytes.fromhex(head[: len(head) & ~1].decode()), len(text.translate(None, _MARKS)) // 2
    head = text[:32]
    if _BASE64.fullmatch(head):
        padding = len(text) - len(text.rstrip(b"="))
        return _plain(head[: len(head) & ~3]) or b"", len(text) * 3 // 4 - padding
    return b"", 0
