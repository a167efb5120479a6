"""Looks at a broker as the daemon would, without disturbing the daemon's session: for ``metriage doctor``."""

from __future__ import annotations

import re
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.receiver.connection import broker_address, connect, leave_clean, make_client, protocol_versions, subscribe
from ingest.receiver.topic_filter import bare_filter, is_shared
from ingest.settings import BrokerSettings

_VERSION_TOPIC = "$SYS/broker/version"
_CONNECT_TIMEOUT_S = 5.0
_SHORT_SESSION_S = 86_400
_LARGE_PACKET = 1_000_000
_MOSQUITTO = re.compile(r"mosquitto version (?P<version>\d+(?:\.\d+)*)", re.IGNORECASE)

_REFUSED = (
    "see username and password_file (or their _env), and whether the broker allows this user and client_id; in the "
    "broker's log stands why"
)
MOSQUITTO_ADVICE = (
    "mosquitto queues 1000 messages for an absent client and then drops; it saves its state every 30 minutes: in "
    "mosquitto.conf set persistence true, autosave_interval 60, max_queued_messages 0 and max_queued_bytes 0 (no limit "
    "but the memory), max_inflight_messages 1000"
)
_ANY_BROKER_ADVICE = (
    "brokers drop messages while metriage is away unless told to keep them: check how many messages it queues for an "
    "absent client (EMQX: max_mqueue_len, mqueue_store_qos0), how long it keeps sessions (EMQX: "
    "session_expiry_interval) and whether both survive its restart (EMQX: durable_sessions)"
)


@dataclass(slots=True)
class BrokerView:
    """What a broker showed.

    Parameters
    ----------
    protocol : str or None
        MQTT version that it took; None where no connection came about.
    problems : list of str
        Why it was refused, which topic filters were, and what of it loses messages for certain.
    warnings : list of str
        What of it may lose messages or slows us down, and what to set.
    advice : str
        What the broker must be set to that no client can see.
    messages : int
        Messages seen on the topics while looking.
    software : str or None
        Name and version, where the broker tells.
    limits : dict of str to int
        What the broker said of itself in its CONNACK (MQTT 5), by the names of the standard.
    """

    protocol: str | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    advice: str = _ANY_BROKER_ADVICE
    messages: int = 0
    software: str | None = None
    limits: dict[str, int] = field(default_factory=dict)


def look_at_broker(settings: BrokerSettings, folder: Path, listen_s: float = 2.0) -> BrokerView:
    """Connect with a client id and session of our own, subscribe, listen a moment and leave.

    Raises
    ------
    SettingsError
        Credentials or certificate files cannot be read.
    """
    view = BrokerView()
    for version in protocol_versions(settings.protocol):
        view.problems.clear()
        _Look(settings, folder, version, view).run(listen_s)
        if view.protocol is not None:
            break
    if view.protocol is not None:
        _judge(settings, view)
    return view


class _Look:
    """One connection."""

    def __init__(self, settings: BrokerSettings, folder: Path, version: MQTTProtocolVersion, view: BrokerView) -> None:
        self._settings = settings
        self._version = version
        self._view = view
        # A member of the group for a moment would take messages away that nobody stores: look without the group.
        self._topics = tuple(dict.fromkeys([*(bare_filter(topic) for topic in settings.topics), _VERSION_TOPIC]))
        self._client = make_client(
            mqtt.Client, settings, folder, version, client_id=f"{settings.client_id[:57]}-doctor", clean=True
        )
        self._client.connect_timeout = _CONNECT_TIMEOUT_S
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def run(self, listen_s: float) -> None:
        view = self._view
        host, port = broker_address(self._settings)
        try:
            # A session as long as ours would be, so that the broker shows its limits; it ends when we leave.
            connect(self._client, self._settings, clean=True)
            until = time.monotonic() + listen_s
            while time.monotonic() < until and self._client.loop(0.1) == mqtt.MQTT_ERR_SUCCESS and not view.problems:
                pass
        except (OSError, ValueError) as error:
            view.problems.append(f"{host}:{port} cannot be reached ({error}); {self._advice(error)}")
        else:
            if view.protocol is None and not view.problems:
                view.problems.append(
                    f"{host}:{port} closed the connection or did not answer as an MQTT broker; {self._advice(None)}"
                )
        leave_clean(self._client)

    def _advice(self, error: Exception | None) -> str:
        """Return what is to be done where no connection came about."""
        secure = self._settings.url.startswith(("mqtts:", "wss:"))
        if isinstance(error, ssl.SSLCertVerificationError):
            return "its certificate is not trusted, or made out for another name: see ca_file and the host in url"
        if isinstance(error, ssl.SSLError):
            return "it does not speak TLS there, or not as we do: see port and scheme of url, cert_file and key_file"
        if isinstance(error, ConnectionRefusedError | socket.gaierror | TimeoutError):
            return "start the broker, or correct its url"
        if secure:
            return (
                "it may want a certificate of ours (cert_file and key_file), or speak no TLS on this port (mqtt:// or "
                "ws:// in url)"
            )
        return "see that the port is the broker's; where it speaks TLS, url begins with mqtts:// or wss://"

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._view.problems.append(f"the broker refuses the connection: {reason}; {_REFUSED}")
            return
        self._view.protocol = "MQTT 5" if self._version == MQTTProtocolVersion.MQTTv5 else "MQTT 3.1.1"
        known = properties.json() if self._version == MQTTProtocolVersion.MQTTv5 else {}
        self._view.limits = {name: int(known[name]) for name in _LIMITS if name in known}
        subscribe(client, self._topics, qos=0)

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        self._view.problems.extend(
            f"the broker refuses the topic filter {topic}: {reason}; allow it to this user and client id"
            for topic, reason in zip(self._topics, reasons, strict=False)
            if reason.is_failure and topic != _VERSION_TOPIC
        )

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic == _VERSION_TOPIC:
            text = message.payload.decode(errors="replace")[:80]
            self._view.software = "".join(character for character in text if character.isprintable())
        else:
            self._view.messages += 1


_LIMITS = (
    "ReceiveMaximum",
    "MaximumQoS",
    "SessionExpiryInterval",
    "MaximumPacketSize",
    "SharedSubscriptionAvailable",
    "WildcardSubscriptionAvailable",
    "RetainAvailable",
    "ServerKeepAlive",
)


def _judge(settings: BrokerSettings, view: BrokerView) -> None:
    """Say what the broker's own words mean for us."""
    limits = view.limits
    if limits.get("MaximumQoS", 2) < 1:
        view.problems.append(
            "the broker allows QoS 0 only: it forgets a message that is not received; enable QoS 1 (Maximum QoS)"
        )
    if any(is_shared(topic) for topic in settings.topics) and not limits.get("SharedSubscriptionAvailable", 1):
        view.problems.append("the broker has no shared subscriptions; take $share/… out of topics, or enable them")
    if not limits.get("WildcardSubscriptionAvailable", 1) and any(set("+#") & set(topic) for topic in settings.topics):
        view.problems.append("the broker allows no + and # in topic filters; name every topic, or enable wildcards")
    if settings.status_topic and not limits.get("RetainAvailable", 1):
        view.warnings.append("the broker retains nothing: status_topic shows our state only at the moment it changes")
    _judge_session(settings, view)
    if limits.get("MaximumPacketSize", _LARGE_PACKET) < _LARGE_PACKET:
        view.warnings.append(
            f"the broker takes packets of {limits['MaximumPacketSize']} bytes at most: larger messages never reach it"
        )
    mosquitto = _MOSQUITTO.search(view.software or "")
    if mosquitto:
        view.advice = MOSQUITTO_ADVICE
        if mosquitto["version"].startswith("1."):
            view.warnings.append(f"mosquitto {mosquitto['version']} is no longer maintained; install 2.0 or later")


def _judge_session(settings: BrokerSettings, view: BrokerView) -> None:
    if settings.session_expiry_s == 0:
        view.problems.append(
            "session_expiry_s = 0: the broker forgets us whenever the connection breaks, and what it receives until we "
            "are back is lost; set days"
        )
        return
    granted = view.limits.get("SessionExpiryInterval")
    if granted is not None and granted < settings.session_expiry_s:
        text = (
            f"the broker keeps our session for {granted} s only, not the {settings.session_expiry_s} s of "
            "session_expiry_s: what it receives after that is lost while we are away; raise it there "
            "(EMQX: session_expiry_interval, mosquitto: persistent_client_expiration)"
        )
        (view.problems if granted < _SHORT_SESSION_S else view.warnings).append(text)
