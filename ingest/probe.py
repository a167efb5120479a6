"""Looks at a broker as the daemon would, without disturbing the daemon's session: for ``metriage doctor``."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.settings import BrokerSettings
from ingest.subscriber import broker_address, broker_password, protocol_versions, tls_context

_VERSION_TOPIC = "$SYS/broker/version"


@dataclass(slots=True)
class BrokerView:
    """What a broker showed.

    Parameters
    ----------
    protocol : str or None
        MQTT version that it took; None where no connection came about.
    problems : list of str
        Why it was refused, which topic filters were.
    messages : int
        Messages seen on the topics while looking.
    software : str or None
        Name and version, where the broker tells.
    """

    protocol: str | None = None
    problems: list[str] = field(default_factory=list)
    messages: int = 0
    software: str | None = None


def look_at_broker(settings: BrokerSettings, folder: Path, listen_s: float = 2.0) -> BrokerView:
    """Connect with a client id and session of our own, subscribe, listen a moment and leave.

    Raises
    ------
    SettingsError
        Password or certificate files cannot be read.
    """
    view = BrokerView()
    for version in protocol_versions(settings.protocol):
        view.problems.clear()
        _look(settings, folder, version, listen_s, view)
        if view.protocol is not None:
            break
    return view


def _look(
    settings: BrokerSettings, folder: Path, version: MQTTProtocolVersion, listen_s: float, view: BrokerView
) -> None:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"{settings.client_id[:57]}-doctor",
        protocol=version,
        clean_session=None if version == MQTTProtocolVersion.MQTTv5 else True,
    )
    if settings.username:
        client.username_pw_set(settings.username, broker_password(settings, folder))
    if settings.url.startswith("mqtts:"):
        client.tls_set_context(tls_context(settings, folder))
    topics = [*settings.topics, _VERSION_TOPIC]

    def on_connect(_client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            view.problems.append(f"the broker refuses the connection: {reason}")
            return
        view.protocol = "MQTT 5" if version == MQTTProtocolVersion.MQTTv5 else "MQTT 3.1.1"
        client.subscribe([(topic, 0) for topic in topics])

    def on_subscribe(_client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        refused = [topic for topic, reason in zip(settings.topics, reasons, strict=False) if reason.is_failure]
        view.problems.extend(f"the broker refuses the topic filter {topic}" for topic in refused)

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic == _VERSION_TOPIC:
            view.software = message.payload.decode(errors="replace")[:80]
        else:
            view.messages += 1

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    host, port = broker_address(settings)
    try:
        client.connect_timeout = 5.0
        client.connect(host, port, 30)
        until = time.monotonic() + listen_s
        while time.monotonic() < until and client.loop(0.1) == mqtt.MQTT_ERR_SUCCESS and not view.problems:
            pass
    except (OSError, ValueError) as error:
        view.problems.append(f"{host}:{port} cannot be reached ({error}); start the broker, or correct its url")
    else:
        if view.protocol is None and not view.problems:
            view.problems.append(f"{host}:{port} closed the connection or did not answer as an MQTT broker")
    client.disconnect()
