"""Quarantined messages decoded again, after a decoder, a key or a setting was put right: exactly once.

A message whose outcome is another one now goes the way of any batch: its readings are compared with the lake and
stored, their error codes behind them, the account takes the differences, and its quarantine rows are replaced by what
is still refused of it. A plan is written down before; whatever was cut short is finished by the next replay or by the
daemon when it starts. Messages whose outcome is the same are left as they are.

A reading keeps the time at which its message was received: that is when we had it, whether or not we could read it.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import structlog

from ingest.account import FILE as STATE_FILE
from ingest.account import Plan, ReplayOf, State, Tally
from ingest.batch import Batch, BatchBuilder, Register
from ingest.batch_store import BatchStore, quarantine_rows
from ingest.decoding import MessageDecoder
from ingest.local_time import LocalClock, microseconds
from ingest.message import Channel, Decoded, RawMessage
from ingest.meters import load_meters
from ingest.profiles.dialects import Dialects
from ingest.profiles.vendor_profile import load_profiles
from ingest.settings import WriterSettings
from lake.errors import LakeError
from lake.failpoints import reach
from lake.row_changes import change_rows
from lake.schemas import QUARANTINE
from lake.storage import open_storage
from lake.tables import Lake, Position

_MESSAGES, _BYTES = 20_000, 64_000_000  # of one step

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Replayed:
    """What a replay did.

    Parameters
    ----------
    looked_at : int
        Quarantined messages of this site.
    changed : int
        Of these, brought to another outcome.
    left_out : int
        Rows of an earlier release or of another site's writer, which cannot be replayed here.
    tally : Tally
        Differences to the account.
    """

    looked_at: int = 0
    changed: int = 0
    left_out: int = 0
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class _Quarantined:
    """A message in quarantine: as it came in, and what was made of it.

    Parameters
    ----------
    name : str
        Writer and spool position.
    channel, origin, received_at, payload
        As in :class:`ingest.message.RawMessage`.
    reasons : Counter
        Refused readings by reason.
    stored, duplicate : int
        What became of its other readings.
    """

    name: str
    channel: Channel
    origin: str
    received_at: int | None
    payload: bytes
    reasons: Counter[str]
    stored: int
    duplicate: int


class _Keeper:
    """The plans of replays, kept beside those of the lake writer."""

    def __init__(self, state: State) -> None:
        self._state = state

    def plan(self) -> Plan | None:
        return self._state.replay_plan()

    def begin(self, plan: Plan) -> None:
        self._state.begin_replay(plan)

    def registers(self, meters: list[str]) -> list[Register]:
        return self._state.registers(meters)


class Replay:
    """Replays the quarantine of a site; no daemon may run on it.

    Parameters
    ----------
    settings : WriterSettings
        Site, codecs and limits as they are now.
    channels : mapping of str to Channel, optional
        How messages of a source are decoded now; of other sources as when they came in.
    codec : str, optional
        Decode all with this codec instead.
    now : callable, optional
        The clock [µs since 1970 UTC].
    """

    def __init__(
        self,
        settings: WriterSettings,
        channels: Mapping[str, Channel] | None = None,
        *,
        codec: str | None = None,
        now: Callable[[], int] | None = None,
    ) -> None:
        self._settings = settings
        self._how = ReplayOf(messages=(), codec=codec, channels=dict(channels or {}))
        self._now = now or (lambda: time.time_ns() // 1000)
        site = Path(settings.site)
        self._meters = load_meters(settings)
        self._dialects = Dialects(load_profiles(site), self._meters.makes)
        self._lake = Lake(open_storage(settings.lake, site))
        self._state = State(site / "spool")
        self._writer = self._state.writer_id()
        self._before: list[_Quarantined] = []  # of the batch that is on its way
        self._store = BatchStore(self._lake, _Keeper(self._state), f"{self._writer}/replay", self._count)

    def close(self) -> None:
        """Close the database."""
        self._state.close()

    def run(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Replayed:
        """Replay everything, and return what became of it.

        Parameters
        ----------
        progress : callable
            Told how many messages were looked at, of how many.

        Raises
        ------
        LakeError, SpoolError
            What was cut short is finished by the next replay.
        """
        self.recover()
        done = Replayed()
        if not self._lake.exists(QUARANTINE):
            return done
        parts = self._parts(done)
        total = sum(map(len, parts))
        for names in parts:
            self._replay(names, done)
            progress(done.looked_at, total)
        return done

    def recover(self) -> bool:
        """Finish a replay that was cut short; return whether there was one.

        Raises
        ------
        LakeError, SpoolError
            It cannot be finished now.
        """
        plan = self._state.replay_plan()
        if plan is None or plan.replay is None:
            return False
        messages = self._messages(plan.replay.messages)
        if len(messages) == len(plan.replay.messages):
            decoded = list(self._decoded(messages, plan.now, plan.replay))
            self._bring(decoded, plan.first - 1, plan.now, plan.replay)
        elif self._state.replayed() < plan.last:
            raise LakeError(
                "a replay was cut short and its messages are gone: restore spool/ and the lake from the same backup"
            )
        self._state.complete_replay()
        log.info("replay recovered", messages=len(plan.replay.messages))
        return True

    def _parts(self, done: Replayed) -> list[list[str]]:
        """Return the messages of this site, in the order of receipt, as many together as make a step."""
        size = pl.col("payload").bin.size().alias("size")
        rows = self._lake.scan(QUARANTINE).select("message", "channel", size).collect()
        mine = rows["message"].str.starts_with(f"{self._writer}:").fill_null(value=False)
        mine &= rows["channel"].is_not_null()
        done.left_out = rows.height - int(mine.sum())
        sizes = rows.filter(mine).group_by("message").agg(pl.col("size").max().fill_null(0))
        parts: list[list[str]] = []
        room = 0
        for name, bytes_ in sizes.sort(pl.col("message").str.split(":").list.last().cast(pl.Int64)).iter_rows():
            if not parts or len(parts[-1]) >= _MESSAGES or bytes_ > room:
                parts.append([])
                room = _BYTES
            parts[-1].append(name)
            room -= bytes_
        return parts

    def _messages(self, names: Sequence[str]) -> list[_Quarantined]:
        """Return messages of the quarantine in the order of `names`; one that is no longer there is left out."""
        rows = self._lake.scan(QUARANTINE).filter(pl.col("message").is_in(list(names))).collect()
        held: dict[str, list[dict[str, Any]]] = {}
        for row in rows.iter_rows(named=True):
            held.setdefault(row["message"], []).append(row)
        return [_quarantined(held[name]) for name in names if name in held]

    def _replay(self, names: Sequence[str], done: Replayed) -> None:
        messages = self._messages(names)
        moment = self._now()
        decoded = self._decoded(messages, moment, self._how)
        changed = [(message, outcome) for message, outcome in decoded if _is_changed(message, outcome)]
        done.looked_at += len(messages)
        if not changed:
            return
        how = msgspec.structs.replace(self._how, messages=tuple(message.name for message, _ in changed))
        plan = self._bring(changed, self._state.replayed(), moment, how)
        self._state.complete_replay()
        done.changed += len(changed)
        _add(done.tally, plan.tally)

    def _decoded(
        self, messages: Sequence[_Quarantined], moment: int, how: ReplayOf
    ) -> Iterator[tuple[_Quarantined, Decoded]]:
        """Yield messages with what they hold by the settings of now."""
        # Local times are resolved afresh, and what decoders noted is used but not changed.
        decoder = MessageDecoder(
            self._settings.codecs, self._settings.ingest.max_message_bytes, LocalClock(), lambda: moment,
            keys=self._meters.keys, aliases=self._meters.aliases, memory=copy.deepcopy(self._state.memory()),
            timezone=self._settings.timezone, encrypted=self._meters.encrypted,
        )  # fmt: skip
        for message in messages:
            yield message, decoder.decode(_raw(message, 0, how))

    def _bring(self, messages: Sequence[tuple[_Quarantined, Decoded]], after: int, moment: int, how: ReplayOf) -> Plan:
        """Bring messages to their new outcome: lake, account, quarantine, in this order."""
        builder = BatchBuilder()
        for place, (message, decoded) in enumerate(messages, start=1):
            builder.add(_raw(message, after + place, how), decoded)
        batch = builder.build()
        batch.readings = self._dialects.apply(batch.readings)
        batch.replay = how
        self._before = [message for message, _ in messages]
        plan, stored = self._store.begun(after)
        if plan is None or not stored:
            plan = self._store.store(batch, Tally(), after, moment)
        self._store.store_codes(batch, plan, self._dialects.profile)
        reach("replay.stored")
        if self._state.replayed() < batch.last:
            self._state.account_replay(batch.last, plan.tally, self._store.newer_registers(batch))
        reach("replay.accounted")
        self._clear(batch, plan, how.messages)
        reach("replay.cleared")
        return plan

    def _clear(self, batch: Batch, plan: Plan, messages: Sequence[str]) -> None:
        """Put what is still refused in the place of the quarantine rows of a batch."""
        application = self._store.application(QUARANTINE)
        if self._lake.position(QUARANTINE, application) >= batch.last:
            self._lake.sync(QUARANTINE)
            return
        still = quarantine_rows(batch, plan, "")
        places = still["message"].str.strip_prefix(":").cast(pl.Int64).to_list() if still.height else []
        names = [messages[place - batch.first] for place in places]
        still = still.with_columns(message=pl.Series(names, dtype=pl.String))

        def without(held: pl.DataFrame) -> pl.DataFrame | None:
            rest = held.filter(~pl.col("message").is_in(list(messages)).fill_null(value=False))
            return rest if rest.height < held.height else None

        change_rows(self._lake, QUARANTINE, without, added=still, positions=[Position(application, batch.last)])

    def _count(self, tally: Tally, batch: Batch, classified: pl.DataFrame) -> None:
        """Take down the differences that a batch makes to the account."""
        repeated = dict(classified.group_by("position").agg(pl.col("duplicate").sum().cast(pl.Int64)).iter_rows())
        decoded = dict(classified.group_by("position").len().iter_rows())
        refused: dict[int, Counter[str]] = {}
        for position, reason, count in batch.quarantine.select("position", "reason", "readings").iter_rows():
            refused.setdefault(position, Counter())[reason] += count
        tally.conflicts += int(classified["conflict"].sum())
        for position, message in enumerate(self._before, start=batch.first):
            again = repeated.get(position, 0)
            fresh = decoded.get(position, 0) - again
            still = refused.get(position, Counter())
            tally.readings["stored"] += fresh
            tally.readings["duplicate"] += max(0, again - message.stored - message.duplicate)
            tally.readings["quarantined"] += still.total() - message.reasons.total()
            for reasons, sign in ((still, 1), (message.reasons, -1)):
                for reason, count in reasons.items():
                    tally.reasons[reason] += sign * count
            if not still:
                tally.messages["quarantined"] -= 1
                tally.messages["stored" if fresh or message.stored else "duplicate"] += 1


def _raw(message: _Quarantined, position: int, how: ReplayOf) -> RawMessage:
    channel = message.channel
    if channel.transport == "mqtt":
        channel = how.channels.get(channel.source, channel)
    if how.codec is not None:
        channel = dataclasses.replace(channel, codec=how.codec, topic_codecs=())
    return RawMessage(position, channel, message.origin, message.received_at, message.payload)


def finish_replay(settings: WriterSettings) -> None:
    """Finish a replay that was cut short, before anything else is brought into the lake.

    Raises
    ------
    LakeError, SettingsError, SpoolError
        It cannot be finished now.
    """
    spool = Path(settings.site) / "spool"
    if not (spool / STATE_FILE).exists():
        return
    with State(spool) as state:
        if state.replay_plan() is None:  # nothing to finish, so nothing of it can stand in the writer's way
            return
    replay = Replay(settings)
    try:
        replay.recover()
    finally:
        replay.close()


def _quarantined(rows: Sequence[Mapping[str, Any]]) -> _Quarantined:
    """Return the message of its quarantine rows, one a reason; a large payload stands in one of them."""
    first = rows[0]
    received = first["received_at"]
    reasons: Counter[str] = Counter()
    for row in rows:
        reasons[row["reason"]] += row["readings"]
    return _Quarantined(
        name=first["message"],
        channel=msgspec.json.decode(first["channel"], type=Channel),
        origin=first["topic"],
        received_at=microseconds(received) if isinstance(received, datetime) else None,
        payload=next((row["payload"] for row in rows if row["payload"] is not None), b""),
        reasons=reasons,
        stored=first["stored"] or 0,
        duplicate=first["duplicate"] or 0,
    )


def _is_changed(message: _Quarantined, decoded: Decoded) -> bool:
    reasons = Counter(rejection.reason for rejection in decoded.rejections)
    return reasons != message.reasons or len(decoded.rows) != message.stored + message.duplicate


def _add(total: Tally, part: Tally) -> None:
    pairs = ((total.messages, part.messages), (total.readings, part.readings), (total.reasons, part.reasons))
    for into, counts in pairs:
        for name, count in counts.items():
            into[name] += count
    total.conflicts += part.conflicts
