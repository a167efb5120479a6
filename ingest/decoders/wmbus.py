"""Wireless M-Bus: frames of EN 13757-4 with OMS security, as receivers pass them on; a payload holds one."""

from __future__ import annotations

from ingest.decoders import Context, shape
from ingest.frames.mbus_link import wireless_frame
from ingest.frames.mbus_reading import mbus_row
from ingest.frames.wrapped_frame import glimpse, unwrap
from ingest.message import Decoded

_SENT_BY_METERS = (0x44, 0x46)  # C fields: unsolicited data, installation
_LARGEST_CRCS = 34


def is_wmbus(payload: bytes) -> bool:
    """Tell whether a payload is a frame that a meter sent by itself."""
    head, length = glimpse(payload)
    return len(head) > 10 and head[1] in _SENT_BY_METERS and head[0] < length <= head[0] + 1 + _LARGEST_CRCS


@shape("wmbus", recognises=is_wmbus)
class WmbusDecoder:
    """Decodes wireless M-Bus."""

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return the reading of a frame; see :class:`ingest.decoders.Decoder`."""
        wrapped = unwrap(payload)
        row = mbus_row(wireless_frame(wrapped.frame), wrapped, context)
        return Decoded(context.topic, context.received_at, [row])
