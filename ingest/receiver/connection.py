"""How a broker is reached: address, credentials, TLS, protocol versions, and paho's client made from the settings.

Shared by the receiver and by ``metriage doctor``'s look at the broker.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.message import Channel
from ingest.receiver.topic_filter import is_shared
from ingest.settings import BrokerSettings
from lake.errors import SettingsError

CONNECT_TIMEOUT_S = 10.0

_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_VERSIONS = {
    "auto": [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311],
    "5": [MQTTProtocolVersion.MQTTv5],
    "3.1.1": [MQTTProtocolVersion.MQTTv311],
}

ClientT = TypeVar("ClientT", bound=mqtt.Client)


def protocol_versions(protocol: str) -> list[MQTTProtocolVersion]:
    """Return the MQTT versions to try, in order, for the setting ``protocol``."""
    return list(_VERSIONS[protocol])


def broker_address(settings: BrokerSettings) -> tuple[str, int]:
    """Return host and port of a broker."""
    parts = urlsplit(settings.url)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


def broker_name(settings: BrokerSettings) -> str:
    """Return client id and address: what names a session, without credentials."""
    host, port = broker_address(settings)
    return f"{settings.client_id}@{f'[{host}]' if ':' in host else host}:{port}"


def channel_of(settings: BrokerSettings) -> Channel:
    """Return what is known of a message from its coming from a broker."""
    return Channel(
        "mqtt",
        settings.codec,
        settings.source,
        settings.received_at == "envelope",
        profile=settings.vendor,
        topic_codecs=tuple(settings.topic_codecs.items()),
        topic_profiles=tuple(settings.topic_vendors.items()),
    )


def make_client(
    kind: type[ClientT],
    settings: BrokerSettings,
    folder: Path,
    version: MQTTProtocolVersion,
    *,
    client_id: str | None = None,
    clean: bool = False,
    **options: Any,
) -> ClientT:
    """Return a client that is ready to connect.

    Parameters
    ----------
    kind : type
        paho's ``Client`` or a subclass.
    settings : BrokerSettings
        The broker.
    folder : Path
        Folder that relative file names of the settings start from.
    version : MQTTProtocolVersion
        The version to speak.
    client_id : str, optional
        Another one than the settings'.
    clean : bool
        Whether the session ends with the connection.
    options : dict
        What else `kind` takes.

    Raises
    ------
    SettingsError
        What the settings refer to cannot be read.
    """
    parts = urlsplit(settings.url)
    websocket = parts.scheme in {"ws", "wss"}
    client = kind(
        CallbackAPIVersion.VERSION2,
        client_id=client_id or settings.client_id,
        protocol=version,
        clean_session=None if version == MQTTProtocolVersion.MQTTv5 else clean,
        transport="websockets" if websocket else "tcp",
        reconnect_on_failure=False,  # we decide when and in which version to try again
        **options,
    )
    username = broker_username(settings)
    if username:
        client.username_pw_set(username, broker_password(settings, folder))
    if parts.scheme in {"mqtts", "wss"}:
        client.tls_set_context(tls_context(settings, folder))
    if websocket:
        client.ws_set_options(path=parts.path or "/mqtt")
    client.connect_timeout = CONNECT_TIMEOUT_S
    return client


def connect(client: mqtt.Client, settings: BrokerSettings, *, clean: bool = False) -> None:
    """Open the connection and send CONNECT; the answer comes to the client's ``on_connect``.

    A `clean` connection finds no session and begins one, which `leave_clean` ends.

    Raises
    ------
    OSError, ValueError
        The broker cannot be reached.
    """
    host, port = broker_address(settings)
    if client.protocol != MQTTProtocolVersion.MQTTv5:
        client.connect(host, port, settings.keepalive_s)
        return
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = settings.session_expiry_s
    properties.ReceiveMaximum = settings.receive_maximum
    # No Maximum Packet Size: a broker that is told one throws larger messages away and says nothing to anybody.
    client.connect(host, port, settings.keepalive_s, clean_start=clean, properties=properties)


def leave_clean(client: mqtt.Client) -> None:
    """Disconnect, and have the broker forget the session."""
    if client.socket() is None:
        return
    if client.protocol != MQTTProtocolVersion.MQTTv5:
        client.disconnect()
        return
    properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0
    client.disconnect(properties=properties)


def subscribe(client: mqtt.Client, topics: tuple[str, ...], qos: int = 1) -> None:
    """Subscribe to topic filters; their reason codes come to the client's ``on_subscribe``."""
    if client.protocol != MQTTProtocolVersion.MQTTv5:
        client.subscribe([(topic, qos) for topic in topics])
        return
    # A shared subscription is never sent retained messages; the others once, not at each reconnect.
    client.subscribe(
        [
            (topic, SubscribeOptions(qos=qos))
            if is_shared(topic)
            else (topic, SubscribeOptions(qos=qos, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB))
            for topic in topics
        ]
    )


def broker_username(settings: BrokerSettings) -> str | None:
    """Return the user name, from the settings or the environment.

    Raises
    ------
    SettingsError
        The variable is not set.
    """
    return _variable(settings.username_env, "username_env") if settings.username_env else settings.username


def broker_password(settings: BrokerSettings, folder: Path) -> str | None:
    """Return the broker's password from its file or variable.

    Raises
    ------
    SettingsError
        The file cannot be read, or the variable is not set.
    """
    if settings.password_env:
        return _variable(settings.password_env, "password_env")
    if settings.password_file:
        return _secret(folder / settings.password_file, "password_file")
    return None


def _variable(name: str, key: str) -> str:
    if name not in os.environ:
        raise SettingsError(f"the environment variable {name} is not set", key=f"broker.{key}")
    return os.environ[name]


def _secret(file: Path, key: str) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", key=f"broker.{key}") from error


def check_credentials(settings: BrokerSettings, folder: Path) -> None:
    """Check that what a broker's settings refer to can be read.

    Raises
    ------
    SettingsError
        It cannot.
    """
    broker_username(settings)
    broker_password(settings, folder)
    tls_context(settings, folder)


def tls_context(settings: BrokerSettings, folder: Path) -> ssl.SSLContext:
    """Return the TLS settings for a broker: the authorities we trust, and our own certificate where there is one.

    Raises
    ------
    SettingsError
        A file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=str(folder / settings.ca_file) if settings.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{settings.ca_file} holds no readable certificates: {error}", key="broker.ca_file"
        ) from error
    if settings.cert_file and settings.key_file:
        # An empty password keeps OpenSSL from asking for one on the terminal.
        file = settings.key_password_file
        password = _secret(folder / file, "key_password_file") if file else ""
        try:
            context.load_cert_chain(folder / settings.cert_file, folder / settings.key_file, password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise SettingsError(
                f"{settings.cert_file} and {settings.key_file} are no certificate and its key (or the key's password "
                f"is wrong): {error}",
                key="broker.cert_file",
            ) from error
    return context
