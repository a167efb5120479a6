"""One MQTT subscription: what it receives is fsynced in the spool, then acknowledged, in the order of receipt.

paho speaks the protocol; its network calls are made from one thread here, so that receiving, the group commit and the
acknowledgements of one connection never overlap.
"""

from __future__ import annotations

import os
import random
import select
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.message import Channel
from ingest.settings import BrokerSettings
from lake.errors import BrokerError, SettingsError, SpoolError

_GROUP = 2000  # messages a group commit at most
_GROUP_BYTES = 16_000_000
_IDLE_S = 0.25
_RETRY_SPOOL_S = 1.0
_CONNECT_TIMEOUT_S = 10.0
_FALLBACK_TIMEOUT_S = 2.0  # a broker that does not understand MQTT 5 may wait for more instead of refusing
_LONGEST_BACKOFF_S = 60.0

log = structlog.get_logger(__name__)

Store = Callable[[Channel, list[tuple[str, int | None, bytes]]], object]


class Subscriber:
    """Receives from one broker until told to stop.

    Parameters
    ----------
    settings : BrokerSettings
        Broker, topics and session.
    folder : Path
        Folder that relative file names of the settings start from.
    store : callable
        Stores a group of messages durably, or raises SpoolError and stores nothing.
    now : callable
        The clock [µs since 1970 UTC].
    """

    def __init__(
        self, settings: BrokerSettings, folder: Path, store: Store, now: Callable[[], int] | None = None
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._store = store
        self._now = now or (lambda: time.time_ns() // 1000)
        enveloped = settings.received_at == "envelope"
        self._channel = Channel("mqtt", settings.codec, settings.source, enveloped)
        self._versions = _Rotation(protocol_versions(settings.protocol))
        self._group: list[tuple[str, int | None, bytes]] = []
        self._group_bytes = 0
        self._to_acknowledge: list[tuple[int, int]] = []
        self._refusal: str | None = None
        self._connected = False
        self._retry_spool_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Connect, receive and reconnect until `stop` is set."""
        backoff_s = 1.0
        while not stop.is_set():
            self._forget_connection()
            try:
                self._visit(stop)
            except (OSError, BrokerError, SettingsError, ValueError) as error:
                log.warning("broker not connected", url=self._settings.url, error=str(error))
            if self._connected:
                backoff_s = 1.0
            if not stop.is_set():
                # Jitter keeps a fleet of clients from coming back at the same moment.
                stop.wait(backoff_s * random.uniform(0.5, 1.0))
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)

    def _forget_connection(self) -> None:
        """Start afresh: the broker sends again what an earlier connection did not acknowledge."""
        self._drop_group()
        self._connected = False
        self._refusal = None

    def _drop_group(self) -> None:
        self._group.clear()
        self._group_bytes = 0
        self._to_acknowledge.clear()

    def _visit(self, stop: threading.Event) -> None:
        """Receive over one connection until it ends or `stop` is set."""
        client = self._client()
        try:
            self._connect(client)
            try:
                self._receive(client, stop)
            finally:
                if not self._connected:
                    self._versions.rotate()
        finally:
            self._leave(client)

    def _client(self) -> mqtt.Client:
        settings = self._settings
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=self._versions.current,
            clean_session=None if self._versions.current == MQTTProtocolVersion.MQTTv5 else False,
            manual_ack=True,
        )
        if settings.username:
            client.username_pw_set(settings.username, broker_password(settings, self._folder))
        if urlsplit(settings.url).scheme == "mqtts":
            client.tls_set_context(tls_context(settings, self._folder))
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        return client

    def _connect(self, client: mqtt.Client) -> None:
        host, port = broker_address(self._settings)
        if self._versions.current == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._settings.session_expiry_s
            properties.ReceiveMaximum = self._settings.receive_maximum
            client.connect(host, port, self._settings.keepalive_s, clean_start=False, properties=properties)
        else:
            client.connect(host, port, self._settings.keepalive_s)

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            return
        self._connected = True
        log.info(
            "broker connected",
            url=self._settings.url,
            protocol=self._versions.current.name,
            session_present=flags.session_present,
        )
        if self._versions.current == MQTTProtocolVersion.MQTTv5:
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            client.subscribe([(topic, options) for topic in self._settings.topics])
        else:
            client.subscribe([(topic, 1) for topic in self._settings.topics])

    def _on_subscribe(
        self, _client: mqtt.Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        for topic, reason in zip(self._settings.topics, reasons, strict=False):
            if reason.is_failure:
                log.error("topic filter refused by the broker", topic=topic, reason=str(reason))

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        received_at = None if self._channel.enveloped else self._now()
        self._group.append((_topic(message), received_at, bytes(message.payload)))
        self._group_bytes += len(message.payload)
        if message.qos:
            self._to_acknowledge.append((message.mid, message.qos))

    def _receive(self, client: mqtt.Client, stop: threading.Event) -> None:
        timeout_s = _FALLBACK_TIMEOUT_S if self._versions.more else _CONNECT_TIMEOUT_S
        deadline = time.monotonic() + timeout_s
        while not stop.is_set():
            result = self._read(client)
            self._commit(client)
            if self._full():
                stop.wait(_IDLE_S)  # the spool takes nothing: the broker waits, and so do we
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS or client.socket() is None:
                raise BrokerError(self._refusal or f"connection lost: {mqtt.error_string(result)}")
            if not self._connected and time.monotonic() > deadline:
                raise BrokerError(f"no answer to {self._versions.current.name} within {timeout_s:g} s")
        while self._group and self._retry_spool_at == 0.0:
            self._commit(client)

    def _full(self) -> bool:
        return len(self._group) >= _GROUP or self._group_bytes >= _GROUP_BYTES

    def _read(self, client: mqtt.Client) -> MQTTErrorCode:
        """Wait for the broker a moment, then take everything it sent, up to one group."""
        if not _readable(client, _IDLE_S):
            return client.loop_misc()
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        while result == MQTTErrorCode.MQTT_ERR_SUCCESS and not self._full() and _readable(client, 0):
            result = client.loop_read()
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and client.want_write():
            result = client.loop_write()
        return result if result != MQTTErrorCode.MQTT_ERR_SUCCESS else client.loop_misc()

    def _commit(self, client: mqtt.Client) -> None:
        """Store the group, then acknowledge it; while it cannot be stored, hold it and acknowledge nothing.

        A broker sends no more than its in-flight limit without acknowledgement, so what is held stays small.
        """
        if not self._group or time.monotonic() < self._retry_spool_at:
            return
        try:
            self._store(self._channel, self._group)
        except SpoolError as error:
            if self._retry_spool_at == 0.0:
                log.error("not acknowledging: the spool takes nothing", error=str(error))  # noqa: TRY400
            self._retry_spool_at = time.monotonic() + _RETRY_SPOOL_S
            return
        if self._retry_spool_at:
            log.info("acknowledging again")
            self._retry_spool_at = 0.0
        for message_id, qos in self._to_acknowledge:
            client.ack(message_id, qos)
        self._drop_group()

    def _leave(self, client: mqtt.Client) -> None:
        """Disconnect; the broker keeps the session and sends again what was not acknowledged."""
        if client.socket() is None:
            return
        client.disconnect()
        deadline = time.monotonic() + 1
        while client.want_write() and client.socket() is not None and time.monotonic() < deadline:
            client.loop_write()
        client.loop_misc()


def _topic(message: mqtt.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:  # forbidden by MQTT, but not every broker checks
        return "(topic is not UTF-8)"


class _Rotation:
    """The protocol version to try, and the ones to fall back to."""

    def __init__(self, versions: list[MQTTProtocolVersion]) -> None:
        self._versions = versions
        self._first = versions[0]

    @property
    def more(self) -> bool:
        """Whether there is another version to fall back to."""
        return len(self._versions) > 1 and self.current == self._first

    @property
    def current(self) -> MQTTProtocolVersion:
        return self._versions[0]

    def rotate(self) -> None:
        self._versions.append(self._versions.pop(0))


def protocol_versions(protocol: str) -> list[MQTTProtocolVersion]:
    """Return the MQTT versions to try, in order, for the setting ``protocol``."""
    known = {
        "auto": [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311],
        "5": [MQTTProtocolVersion.MQTTv5],
        "3.1.1": [MQTTProtocolVersion.MQTTv311],
    }
    return known[protocol]


def _readable(client: mqtt.Client, timeout_s: float) -> bool:
    socket = client.socket()
    if socket is None:
        return False
    if isinstance(socket, ssl.SSLSocket) and socket.pending():
        return True
    writers = [socket] if timeout_s and client.want_write() else []
    readable, writable, _ = select.select([socket], writers, [], timeout_s)
    if writable:
        client.loop_write()
    return bool(readable)


def broker_address(settings: BrokerSettings) -> tuple[str, int]:
    """Return host and port of a broker."""
    parts = urlsplit(settings.url)
    return parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883)


def broker_password(settings: BrokerSettings, folder: Path) -> str | None:
    """Return the broker's password from its file or variable.

    Raises
    ------
    SettingsError
        The file cannot be read, or the variable is not set.
    """
    if settings.password_env:
        if settings.password_env not in os.environ:
            raise SettingsError(
                f"the environment variable {settings.password_env} is not set", key="broker.password_env"
            )
        return os.environ[settings.password_env]
    if settings.password_file:
        try:
            return (folder / settings.password_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"cannot be read: {error}", key="broker.password_file") from error
    return None


def check_credentials(settings: BrokerSettings, folder: Path) -> None:
    """Check that what a broker's settings refer to can be read.

    Raises
    ------
    SettingsError
        It cannot.
    """
    broker_password(settings, folder)
    tls_context(settings, folder)


def tls_context(settings: BrokerSettings, folder: Path) -> ssl.SSLContext:
    """Return the TLS settings for a broker: the system's authorities, or those of ``ca_file``.

    Raises
    ------
    SettingsError
        The file cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=str(folder / settings.ca_file) if settings.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{settings.ca_file} holds no readable certificates: {error}", key="broker.ca_file"
        ) from error
