"""What every shape must bear: arbitrary bytes, and arbitrary JSON in the fields that it looks at."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from ingest.decoders import Decoder
from ingest.message import ROW_COLUMNS, Decoded, Rejection
from lake.errors import DecodingError
from lake.vocabulary import QUARANTINE_REASONS
from tests.ingest.messages import NOW, context
from tests.ingest.test_reading import JSON

# Values that come close to what is right, among arbitrary ones.
VALUES = st.one_of(
    JSON,
    st.sampled_from(
        ["OK", "DRY BURST", "a" * 300, "2024-06-01T10:00:00Z", "20240601T095244Z", "1e400", "0x10", "9" * 19, "null",
         "closed", "../x", 0, 1, -1, 1.5, 2**63, 10**30, 1717236000, 1717236000123, True, False, None, [], {}, [None],
         [[]], [{}], {"value": 1}]
    ),
)  # fmt: skip


def objects(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects whose fields are among `names`, and others."""
    return st.dictionaries(st.one_of(st.sampled_from(names), st.text(max_size=8)), VALUES, max_size=8)


def check_bytes(decoder: Decoder, payload: bytes, topic: str | None) -> None:
    """Check that bytes become readings or rejections, or raise the one error with a reason of the vocabulary."""
    try:
        decoded = decoder.decode(payload, context(topic))
    except DecodingError as error:
        decoded = Decoded(topic, NOW, [], [Rejection(error.reason, error.detail)])
    assert decoded.rows or decoded.rejections
    assert {rejection.reason for rejection in decoded.rejections} <= QUARANTINE_REASONS.keys()
    assert all(len(rejection.detail) < 1000 for rejection in decoded.rejections)
    for row in decoded.rows:
        assert len(ROW_COLUMNS) == len(row)
        assert row[1] <= NOW + 86_400_000_000


def check_json(decoder: Decoder, document: object, topic: str | None) -> None:
    """Check a document as :func:`check_bytes` does."""
    check_bytes(decoder, json.dumps(document).encode(), topic)
