"""A time in which messages may have been lost before they reached us."""

from __future__ import annotations

from typing import Literal

import msgspec

GapKind = Literal["session_lost", "session_unsure", "spool_lost"]


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table ``gaps``; times in microseconds since 1970 UTC.

    Parameters
    ----------
    kind : {"session_lost", "session_unsure", "spool_lost"}
        One of :data:`lake.vocabulary.GAP_KINDS`.
    received_at : int
        When it was noticed.
    source : str
        Configured source name.
    broker : str
        Client id and address, without credentials.
    topics : tuple of str
        Topic filters that were not listened to.
    since, until : int
        Between these moments messages may have been lost.
    messages : int or None
        How many, where that is known.
    detail : str
        What was seen.
    """

    kind: GapKind
    received_at: int
    source: str
    broker: str
    topics: tuple[str, ...]
    since: int
    until: int
    messages: int | None = None
    detail: str = ""
