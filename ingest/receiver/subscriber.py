"""One MQTT subscription: what it receives is fsynced in the spool, then acknowledged, in the order of receipt.

paho speaks the protocol; its network calls are made from one thread here, so that receiving, the group commit and the
acknowledgements of one connection never overlap. Each connection has a client and a group of its own: nothing that an
earlier one received can be acknowledged on a later one.
"""

from __future__ import annotations

import json
import random
import select
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.gap import Gap
from ingest.message import Channel
from ingest.monitoring.vitals import BrokerVitals
from ingest.receiver.bulk_client import BulkClient, why_not_bulk
from ingest.receiver.connection import broker_name, channel_of, connect, make_client, protocol_versions, subscribe
from ingest.receiver.group import Group
from ingest.receiver.silence import Silence
from ingest.receiver.topic_filter import bare_filter
from ingest.settings import KEPT_BYTES, BrokerSettings
from lake.errors import BrokerError, SettingsError, SpoolError
from lake.failpoints import reach

_GROUP = 20_000  # messages a group commit at most
_GROUP_BYTES = 16_000_000
_IDLE_S = 0.25
_RETRY_SPOOL_S = 1.0
_SEE_SESSION_S = 60.0
_CONNECT_TIMEOUT_S = 10.0
_FALLBACK_TIMEOUT_S = 2.0  # a broker that does not understand MQTT 5 may wait for more instead of refusing
_LONGEST_BACKOFF_S = 60.0
_LEAVE_S = 1.0

_LOST = (
    "the broker no longer has our session: what it received in the meantime was not kept for us; let it keep sessions "
    "over restarts (mosquitto: persistence true, autosave_interval) and longer than we may be away "
    "(persistent_client_expiration, EMQX: session expiry), and let nobody else use our client_id"
)
_PERHAPS_LOST = (
    "perhaps the broker had lost our session: it was asked for it once and we never saw the answer, and with it "
    "the broker makes a new one in place of one that it has not"
)
_SILENT = "connected but silent: no message arrives; see whether meters or head-ends publish to the topics named here"
_TAKEN_OVER = "another client connected with our client_id; give each its own"

log = structlog.get_logger(__name__)


class SpoolLike(Protocol):
    """What a subscriber needs of the spool and of what guards its size."""

    def store(self, channel: Channel, messages: Sequence[tuple[str, int | None, bytes]]) -> object:
        """Store a group of messages durably, or raise SpoolError and store nothing."""

    def add_gap(self, gap: Gap) -> object:
        """Store a gap until the lake has it; SpoolError where that is not possible."""

    def session_seen_at(self, broker: str) -> int | None:
        """Return when the session with `broker` was last known to live [µs since 1970 UTC], None before the first."""

    def see_session(self, broker: str, seen_at: int) -> None:
        """Record that the session with `broker` lives at `seen_at`."""

    def connecting(self, broker: str) -> bool:
        """Record that `broker` is about to be asked for the session; return whether an earlier answer is missing."""

    def not_connected(self, broker: str) -> None:
        """Record that `broker` was not asked for the session after all, or refused it."""


class Subscriber:
    """Receives from one broker until told to stop.

    Parameters
    ----------
    settings : BrokerSettings
        Broker, topics and session.
    folder : Path
        Folder that relative file names of the settings start from.
    spool : SpoolLike
        Stores messages, gaps and when the session was last seen.
    vitals : BrokerVitals, optional
        Kept up to date for metrics and status.
    now : callable
        The clock [µs since 1970 UTC].
    most_bytes : int
        A longer message is cut to one byte more, by which it is known that not all of it is there [B].
    """

    def __init__(
        self,
        settings: BrokerSettings,
        folder: Path,
        spool: SpoolLike,
        vitals: BrokerVitals | None = None,
        now: Callable[[], int] | None = None,
        *,
        most_bytes: int = KEPT_BYTES,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._spool = spool
        self._name = broker_name(settings)
        self._now = now or (lambda: time.time_ns() // 1000)
        self._channel = channel_of(settings)
        self._most_bytes = most_bytes
        self._vitals = vitals or BrokerVitals(self._name, settings.source)
        self._vitals.silent_after_s = float(settings.silent_after_s)
        self._versions = _Versions(protocol_versions(settings.protocol))
        self._silence = Silence(settings.silent_after_s, time.monotonic())
        self._session = _Session(settings, self._name, spool, self._vitals)
        self._own_topic = _own_topic(settings)
        self._bulk = _reads_in_bulk(settings)
        self._forget_connection()

    def run(self, stop: threading.Event) -> None:
        """Connect, receive and reconnect until `stop` is set."""
        backoff_s = 1.0
        while not stop.is_set():
            self._forget_connection()
            tried = self._versions.current
            try:
                self._visit(stop)
            except (OSError, BrokerError, SettingsError, SpoolError, ValueError) as error:
                self._vitals.refusal = str(error)
                log.warning("broker not connected", broker=self._name, error=str(error))
            finally:
                self._vitals.connected = False
            if self._was_connected:
                backoff_s = 1.0
            if not stop.is_set() and (self._was_connected or self._versions.current in {tried, self._versions.first}):
                # Jitter keeps a fleet of clients from coming back at the same moment.
                stop.wait(backoff_s * random.uniform(0.5, 1.0))
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)

    def _forget_connection(self) -> None:
        """Start afresh: the broker sends again what an earlier connection did not acknowledge."""
        self._group = Group(_GROUP, _GROUP_BYTES, self._most_bytes)
        self._was_connected = False
        self._refusal: str | None = None
        self._retry_spool_at = 0.0
        self._pinged_at = 0.0
        self._vitals.oldest_unacknowledged_at = None

    def _visit(self, stop: threading.Event) -> None:
        """Receive over one connection until it ends or `stop` is set."""
        client = self._client()
        try:
            self._session.connecting()
            try:
                connect(client, self._settings)
            except (OSError, ValueError):
                self._session.not_connected()
                raise
            try:
                self._receive(client, stop)
            finally:
                if not self._was_connected and self._versions.more:
                    self._session.not_connected()  # a broker that does not know this version makes no session
                self._versions.connected() if self._was_connected else self._versions.refused()
        finally:
            self._leave(client)

    def _client(self) -> mqtt.Client:
        known = (self._settings, self._folder, self._versions.current)
        client = (
            make_client(BulkClient, *known, manual_ack=True, group=self._group)
            if self._bulk
            else make_client(mqtt.Client, *known, manual_ack=True)
        )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        if self._settings.status_topic:
            client.will_set(self._settings.status_topic, _state("offline"), qos=1, retain=True)
        return client

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            self._session.not_connected()
            return
        reach("receive.connected")
        self._was_connected = True
        log.info(
            "broker connected",
            broker=self._name,
            protocol=self._versions.current.name,
            session_present=flags.session_present,
        )
        vitals = self._vitals
        vitals.refusal = None
        vitals.protocol = "MQTT 5" if self._versions.current == MQTTProtocolVersion.MQTTv5 else "MQTT 3.1.1"
        vitals.connected_at = time.time()
        vitals.connected = True
        vitals.connections += 1
        self._silence.connected(time.monotonic())
        self._session.connected(present=flags.session_present, now=self._now())
        self._session.keep(time.monotonic(), self._now)  # before anything is read: a crash must not forget the answer
        subscribe(client, self._settings.topics)
        if self._settings.status_topic:
            online = _state("online", since=datetime.now(UTC).isoformat(timespec="seconds"), version=_version())
            client.publish(self._settings.status_topic, online, qos=1, retain=True)

    def _on_disconnect(
        self, _client: mqtt.Client, _userdata: Any, flags: mqtt.DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            advice = f"; {_TAKEN_OVER}" if reason == "Session taken over" else ""
            self._refusal = f"the broker ended the connection: {reason}{advice}"

    def _on_subscribe(
        self, _client: mqtt.Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [
            f"{topic}: {reason}"
            for topic, reason in zip(self._settings.topics, reasons, strict=False)
            if reason.is_failure
        ]
        for text in refused:
            topic, _, why = text.rpartition(": ")
            log.error(
                "topic filter refused by the broker: allow it to this user and client id; it is asked for again at the "
                "next connection",
                topic=topic,
                reason=why,
            )
        if len(refused) < len(self._settings.topics):
            # From here on the broker keeps for us what we miss; before the first time it does not.
            log.info("broker subscribed", broker=self._name)
        self._vitals.refusal = f"topic filter refused: {', '.join(refused)}" if refused else None

    def _on_publish(
        self, _client: mqtt.Client, _userdata: Any, _mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            log.warning("status topic refused by the broker", topic=self._settings.status_topic, reason=str(reason))

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        """Take a message from paho: each one with the stock reader, those of QoS 2 with ours."""
        self._group.add(_topic(message), bytes(message.payload), message.qos, message.mid, retained=message.retain)

    def _receive(self, client: mqtt.Client, stop: threading.Event) -> None:
        timeout_s = _FALLBACK_TIMEOUT_S if self._versions.more else _CONNECT_TIMEOUT_S
        deadline = time.monotonic() + timeout_s
        while not stop.is_set():
            if self._group.full:  # the spool takes nothing: the broker waits, and so do we
                result = self._ping_unread(client)
                stop.wait(_IDLE_S)
            else:
                result = self._read(client)
            self._commit(client)
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS or client.socket() is None:
                raise BrokerError(self._refusal or f"connection lost: {mqtt.error_string(result)}")
            now = time.monotonic()
            if self._was_connected:
                self._session.keep(now, self._now)
                self._watch_silence(client, now)
            elif now > deadline:
                raise BrokerError(f"no answer to {self._versions.current.name} within {timeout_s:g} s")
        if self._retry_spool_at == 0.0:
            self._commit(client)

    def _read(self, client: mqtt.Client) -> MQTTErrorCode:
        """Wait for the broker a moment, then take everything it sent, up to one group."""
        if not _readable(client, _IDLE_S):
            return client.loop_misc()
        group, vitals = self._group, self._vitals
        messages, size, retained, oversized = len(group.rows), group.bytes, group.retained, group.oversized
        received_at = self._now()
        group.stamp = None if self._channel.enveloped else received_at
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        while result == MQTTErrorCode.MQTT_ERR_SUCCESS and not group.full and _readable(client, 0):
            result = client.loop_read()
        if self._own_topic is not None:
            group.rows[messages:] = [row for row in group.rows[messages:] if row[0] != self._own_topic]
        count = len(group.rows) - messages
        if count > 0:
            vitals.last_message_at = received_at / 1e6
            if vitals.oldest_unacknowledged_at is None:
                vitals.oldest_unacknowledged_at = vitals.last_message_at
            vitals.messages += count
            vitals.bytes += group.bytes - size
            vitals.retained += group.retained - retained
            # Retained messages are no sign of life: a broker sends them for having been asked again.
            if count > group.retained - retained and self._silence.heard(time.monotonic()):
                vitals.silent = False
                log.info("messages arrive again", broker=self._name)
        if group.oversized > oversized:
            vitals.oversized += group.oversized - oversized
            log.warning("messages too large to be kept whole: cut, they go to quarantine", broker=self._name,
                        messages=group.oversized - oversized, limit_bytes=self._most_bytes)  # fmt: skip
        return result if result != MQTTErrorCode.MQTT_ERR_SUCCESS else client.loop_misc()

    def _ping_unread(self, client: mqtt.Client) -> MQTTErrorCode:
        """Keep the connection although nothing is read from it."""
        now = time.monotonic()
        if client.want_write():
            result = client.loop_write()
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return result
        if not isinstance(client, BulkClient):
            return client.loop_misc()  # it ends the connection after two keep-alives; the broker sends again then
        if now < self._pinged_at + client.keepalive / 2:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        self._pinged_at = now
        return client.ping()

    def _commit(self, client: mqtt.Client) -> None:
        """Store the group, then acknowledge it; while it cannot be stored, hold it and acknowledge nothing.

        A broker sends no more than its in-flight limit without acknowledgement, so what is held stays small; where
        that limit is large, the group's own limit stops the reading.
        """
        group, vitals = self._group, self._vitals
        waiting = len(group.packet_ids) + len(group.exactly_once_ids)
        if not (group.rows or waiting) or time.monotonic() < self._retry_spool_at:
            return
        try:
            if group.rows:
                self._spool.store(self._channel, group.rows)
        except SpoolError as error:
            if self._retry_spool_at == 0.0:
                log.error("not acknowledging: the spool takes nothing", error=str(error))  # noqa: TRY400
            vitals.holding = str(error)
            self._retry_spool_at = time.monotonic() + _RETRY_SPOOL_S
            return
        if self._retry_spool_at or vitals.holding:
            log.info("acknowledging again")
            self._retry_spool_at = 0.0
            vitals.holding = None
        if waiting and _acknowledge(client, group) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            vitals.acknowledged += waiting
        reach("receive.acknowledged")
        vitals.groups += 1
        group.clear()
        vitals.oldest_unacknowledged_at = None

    def _watch_silence(self, client: mqtt.Client, now: float) -> None:
        """Subscribe or connect again when a connection that stands brings no messages.

        Raises
        ------
        BrokerError
            To connect again.
        """
        remedy = self._silence.due(now)
        if remedy is None:
            return
        self._vitals.silent = True
        silent_s = round(self._silence.lasts_s(now))
        log.warning(_SILENT, broker=self._name, topics=self._settings.topics, silent_s=silent_s, remedy=remedy)
        if remedy == "connect":
            raise BrokerError(f"connected but silent for {silent_s} s: connecting again")
        self._vitals.resubscriptions += 1
        subscribe(client, self._settings.topics)

    def _leave(self, client: mqtt.Client) -> None:
        """Disconnect; the broker keeps the session and sends again what was not acknowledged."""
        if client.socket() is None:
            return
        if self._was_connected:
            self._session.keep(None, self._now)
            if self._settings.status_topic:
                # Of QoS 0: TCP keeps its order, and nothing waits for an answer that lies behind unread messages.
                client.publish(self._settings.status_topic, _state("stopped"), qos=0, retain=True)
        client.disconnect()
        deadline = time.monotonic() + _LEAVE_S
        while client.want_write() and client.socket() is not None and time.monotonic() < deadline:
            if _writable(client, _LEAVE_S / 10):
                client.loop_write()
        client.loop_misc()


class _Session:
    """What the spool knows of the session with a broker; notices when the broker has lost it.

    Parameters
    ----------
    settings : BrokerSettings
        The broker.
    name : str
        Client id and address.
    spool : SpoolLike
        Keeps gaps and when the session was last seen.
    vitals : BrokerVitals
        Where lost sessions are counted.
    """

    def __init__(self, settings: BrokerSettings, name: str, spool: SpoolLike, vitals: BrokerVitals) -> None:
        self._settings = settings
        self._name = name
        self._spool = spool
        self._vitals = vitals
        self._gap: Gap | None = None  # noticed, not yet stored
        self._see_at: float | None = None
        self._failed = False
        self._unanswered = False  # whether the broker was asked for the session before, and the answer never came

    def connecting(self) -> None:
        """Take down that the broker is about to be asked for the session."""
        try:
            self._unanswered = self._spool.connecting(self._name)
        except SpoolError as error:  # a full disk: what an unlikely death in a moment would hide is not worth waiting
            log.debug("not taken down that the broker is asked for the session", error=str(error))

    def not_connected(self) -> None:
        """Take down that the broker could not be asked, or refused; an answer that never came stays missing."""
        if self._unanswered:
            return
        try:
            self._spool.not_connected(self._name)
        except SpoolError as error:  # at worst a gap is recorded that was none
            log.debug("not taken down that the broker has no session for us", error=str(error))

    def connected(self, *, present: bool, now: int) -> None:
        """Look whether the session that the spool knows is still there.

        Raises
        ------
        SpoolError
            The spool cannot be read.
        """
        self._see_at = None
        seen_at = self._spool.session_seen_at(self._name)
        unanswered, self._unanswered = self._unanswered, False
        if (present and not unanswered) or seen_at is None or self._gap is not None:
            return
        self._vitals.sessions_lost += not present
        last_seen = datetime.fromtimestamp(seen_at / 1e6, UTC).isoformat(timespec="seconds")
        away_s = max(0, now - seen_at) / 1e6
        if present:
            log.warning(_PERHAPS_LOST, broker=self._name, last_seen=last_seen, away_s=round(away_s))
            detail = f"session_present = true after {away_s:.0f} s, but the answer to an earlier CONNECT was never seen"
        else:
            log.error(_LOST, broker=self._name, last_seen=last_seen, away_s=round(away_s))
            detail = f"session_present = false after {away_s:.0f} s"
        self._gap = Gap(
            kind="session_unsure" if present else "session_lost",
            received_at=now,
            source=self._settings.source,
            broker=self._name,
            topics=self._settings.topics,
            since=min(seen_at, now),
            until=now,
            detail=detail,
        )

    def keep(self, now: float | None, clock: Callable[[], int]) -> None:
        """Store what is due: a gap, and now and then that the session lives; `now` None when leaving."""
        if now is not None and self._see_at is not None and now < self._see_at:
            return
        self._see_at = (now or 0.0) + _RETRY_SPOOL_S
        try:
            if self._gap is not None:
                self._spool.add_gap(self._gap)
                self._gap = None
            # Only behind the gap: a crash in between must find the old time again.
            self._spool.see_session(self._name, clock())
        except SpoolError as error:
            if not self._failed:
                log.error("the session's state cannot be stored; it is tried again", error=str(error))  # noqa: TRY400
            self._failed = True
            return
        self._failed = False
        self._see_at = (now or 0.0) + _SEE_SESSION_S


class _Versions:
    """The protocol version to try: the first, the next when it is refused, the first again after a connection."""

    def __init__(self, versions: Sequence[MQTTProtocolVersion]) -> None:
        self._versions = versions
        self._index = 0

    @property
    def first(self) -> MQTTProtocolVersion:
        return self._versions[0]

    @property
    def current(self) -> MQTTProtocolVersion:
        return self._versions[self._index]

    @property
    def more(self) -> bool:
        """Whether there is another version to fall back to."""
        return self._index + 1 < len(self._versions)

    def refused(self) -> None:
        """Take the next one."""
        self._index = (self._index + 1) % len(self._versions)

    def connected(self) -> None:
        """Take the first one at the next connection: the broker may have learnt it meanwhile."""
        self._index = 0


def _reads_in_bulk(settings: BrokerSettings) -> bool:
    if settings.reader == "stock":
        return False
    reason = why_not_bulk()
    if reason is not None:
        log.warning("this version of paho-mqtt is read packet by packet, which is slower", reason=reason)
    return reason is None


def _acknowledge(client: mqtt.Client, group: Group) -> MQTTErrorCode:
    """Acknowledge in the order of receipt, in one write where that can be."""
    result = MQTTErrorCode.MQTT_ERR_SUCCESS
    if isinstance(client, BulkClient):
        if group.packet_ids:
            result = client.acknowledge(group.pubacks())
        waiting = [(packet_id, 2) for packet_id in group.exactly_once_ids]
    else:
        waiting = list(group.acknowledgements())
    for packet_id, qos in waiting:
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS:
            result = client.ack(packet_id, qos)
    return result


def _own_topic(settings: BrokerSettings) -> str | None:
    """Return the status topic where our own filters bring it back to us."""
    topic = settings.status_topic
    if topic is None:
        return None
    matches = any(mqtt.topic_matches_sub(bare_filter(known), topic) for known in settings.topics)
    return topic if matches else None


def _state(state: str, **more: str) -> str:
    return json.dumps({"state": state, **more})


def _version() -> str:
    try:
        return version("metriage")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


def _topic(message: mqtt.MQTTMessage) -> bytes:
    try:
        return message.topic.encode()
    except UnicodeDecodeError:
        return b"\xff"


def _readable(client: mqtt.Client, timeout_s: float) -> bool:
    """Tell whether there is something to read, after waiting for it; write what can be written meanwhile."""
    socket: Any = client.socket()
    if socket is None:
        return False
    pending = getattr(socket, "pending", None)
    if pending is not None and pending():  # TLS has read more than it was asked for
        return True
    poller = select.poll()
    poller.register(socket, select.POLLIN | (select.POLLOUT if timeout_s and client.want_write() else 0))
    events = sum(event for _, event in poller.poll(1000 * timeout_s))
    if events & select.POLLOUT and not events & (select.POLLERR | select.POLLHUP):
        client.loop_write()
    return bool(events & ~select.POLLOUT)


def _writable(client: mqtt.Client, timeout_s: float) -> bool:
    socket: Any = client.socket()
    poller = select.poll()
    poller.register(socket, select.POLLOUT)
    return bool(poller.poll(1000 * timeout_s))
