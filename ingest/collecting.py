"""From the spool to one batch: messages are decoded as they come, long before the batch is due."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import structlog

from ingest.batch import BatchBuilder
from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock
from ingest.message import RawGroup
from ingest.meters import NO_METERS, Meters
from ingest.settings import WriterSettings
from ingest.spool import Spool

_CHUNK = 10_000
# Where one of so many messages is not in order they are decoded one by one, no longer in halves.
_SLICE = 100
_MOST_READINGS = 200_000  # of one batch: messages may expand to thousands of readings each

log = structlog.get_logger(__name__)


class Collector:
    """Decodes what waits in the spool into one batch, up to its limits.

    Parameters
    ----------
    spool : Spool
        Where messages wait.
    settings : WriterSettings
        Codecs and commit sizes.
    after : int
        Position of the last message that belongs to an earlier batch.
    clock : LocalClock
        As the earlier batch left it.
    moment : int
        The time at which all of the batch is decoded [µs since 1970 UTC].
    until : int, optional
        Position of the last message, where a batch must become the same as before.
    meters : Meters
        What is known of meters: keys and aliases.
    memory : mutable mapping, optional
        What decoders noted in earlier batches.
    """

    def __init__(
        self,
        spool: Spool,
        settings: WriterSettings,
        *,
        after: int,
        clock: LocalClock,
        moment: int,
        until: int | None = None,
        meters: Meters = NO_METERS,
        memory: MutableMapping[str, Any] | None = None,
    ) -> None:
        self._spool = spool
        self._limits = settings.ingest
        self.after = after
        self.clock = clock
        self.moment = moment
        self._until = until
        now: Callable[[], int] = lambda: moment  # noqa: E731 - decoding again must give the same rows
        self._decoder = MessageDecoder(
            settings.codecs, settings.ingest.max_message_bytes, clock, now, keys=meters.keys, aliases=meters.aliases,
            memory=memory, timezone=settings.timezone, encrypted=meters.encrypted,
        )  # fmt: skip
        self.builder = BatchBuilder()
        self.memory = self._decoder.memory
        self._position = after
        self._size = 0
        self._full = False

    def collect(self, most: int | None = None) -> int:
        """Take what waits, as far as there is room in the batch; return how many messages were taken.

        Parameters
        ----------
        most : int, optional
            Take so many at most; default: all.

        Raises
        ------
        SpoolError
            The spool cannot be read.
        """
        before = self.builder.messages
        wanted = self._limits.commit_messages if self._until is None else self._until - self.after
        while not self._full and self._position - self.after < wanted:
            limit = min(_CHUNK, wanted - (self._position - self.after))
            if most is not None:
                limit = min(limit, most - (self.builder.messages - before))
            if limit <= 0:
                break
            groups = self._spool.read_groups(self._position, limit=limit, limit_bytes=self._limits.commit_bytes)
            if self._until is not None:  # where some are missing, more behind them are read
                groups = [_until(group, self._until) for group in groups if group.first <= self._until]
            if not groups:
                break
            for group in _joined(groups):
                _check_gapless(self._position, group)
                self._take(group)
                if self._full:
                    break
                self._position = group.first + len(group.rows) - 1
        return self.builder.messages - before

    def _take(self, group: RawGroup) -> None:
        """Take a group as a whole, or, where something in it is not in order, its halves, and in the end one by one."""
        frame = self._decoder.sound_frame(group.rows, group.channel) if len(group.rows) > 1 else None
        if frame is not None:
            _, received, payloads = zip(*group.rows, strict=True)
            self.builder.add_frame(group.first, group.channel.source, received, frame)
            self._size += sum(map(len, payloads))
            self._look_whether_full()
        elif len(group.rows) <= _SLICE:
            self._take_one_by_one(group)
        else:
            half = len(group.rows) // 2
            self._take(RawGroup(group.first, group.channel, group.rows[:half]))
            if not self._full:
                self._take(RawGroup(group.first + half, group.channel, group.rows[half:]))

    def _take_one_by_one(self, group: RawGroup) -> None:
        for message in group.messages():
            rows = self._decoder.sound_rows(message)
            if rows is None:
                self.builder.add(message, self._decoder.decode(message))
            else:
                self.builder.add_rows(message, message.received_at, rows)
            self._size += len(message.payload)
            self._look_whether_full()
            if self._full:
                return

    def _look_whether_full(self) -> None:
        self._full = self._until is None and (
            self._size >= self._limits.commit_bytes or self.builder.readings >= _MOST_READINGS
        )


def _joined(groups: Sequence[RawGroup]) -> list[RawGroup]:
    """Return groups of one channel that follow each other as one: a large one costs less than many."""
    joined: list[RawGroup] = []
    for group in groups:
        last = joined[-1] if joined else None
        if last is not None and last.channel == group.channel and last.first + len(last.rows) == group.first:
            last.rows.extend(group.rows)
        else:
            joined.append(group)
    return joined


def _until(group: RawGroup, last: int) -> RawGroup:
    return RawGroup(group.first, group.channel, group.rows[: last + 1 - group.first])


def _check_gapless(after: int, group: RawGroup) -> None:
    """Say so when acknowledged messages are gone; nothing of ours removes them, so somebody else did."""
    missing = group.first - after - 1
    if missing > 0:
        log.error("messages are missing in the spool", after=after, until=group.first, missing=missing)
