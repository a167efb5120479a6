"""Wired M-Bus: long frames of EN 13757-2 with the records of EN 13757-3, as converters pass them on."""

from __future__ import annotations

from ingest.decoders import Context, shape
from ingest.frames.mbus_link import wired_frames
from ingest.frames.mbus_reading import mbus_row
from ingest.frames.wrapped_frame import glimpse, unwrap
from ingest.message import Decoded, Rejection
from lake.errors import DecodingError


def is_mbus(payload: bytes) -> bool:
    """Tell whether a payload begins with a long frame."""
    head, _ = glimpse(payload)
    return len(head) > 6 and head[0] == head[3] == 0x68 and head[1] == head[2] >= 3


@shape("mbus", recognises=is_mbus)
class MbusDecoder:
    """Decodes wired M-Bus."""

    def decode(self, payload: bytes, context: Context) -> Decoded:
        """Return one reading a frame; see :class:`ingest.decoders.Decoder`."""
        wrapped = unwrap(payload)
        decoded = Decoded(context.topic, context.received_at)
        for frame in wired_frames(wrapped.frame):
            try:
                if isinstance(frame, DecodingError):
                    raise frame
                decoded.rows.append(mbus_row(frame, wrapped, context))
            except DecodingError as error:
                decoded.rejections.append(Rejection(error.reason, error.detail, error.meter_id))
        return decoded
