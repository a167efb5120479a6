"""Reaching a broker: address, credentials and certificates; TLS and WebSockets with real brokers."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from ingest.monitoring.vitals import BrokerVitals
from ingest.receiver.connection import (
    broker_address,
    broker_name,
    broker_password,
    broker_username,
    check_credentials,
    connect,
    make_client,
    protocol_versions,
    subscribe,
    tls_context,
)
from ingest.receiver.subscriber import Subscriber
from ingest.settings import BrokerSettings
from ingest.spool import Spool
from lake.errors import SettingsError
from tests.processes import Mosquitto, free_port, wait_until

KEY_PASSWORD = "open sesame"  # noqa: S105 - of a key made for these tests


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://h", ("h", 1883)),
        ("mqtts://h", ("h", 8883)),
        ("ws://h/mqtt", ("h", 80)),
        ("wss://h", ("h", 443)),
        ("mqtt://[::1]:99", ("::1", 99)),
    ],
)
def test_broker_address(url: str, expected: tuple[str, int]) -> None:
    """The ports of MQTT are the default."""
    assert expected == broker_address(BrokerSettings(url=url))


def test_broker_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password comes from a file of the site or from the environment, or is missed by name."""
    (tmp_path / "secret").write_text("hunter2\n")
    monkeypatch.setenv("BROKER_PASSWORD", "swordfish")

    assert broker_password(BrokerSettings(), tmp_path) is None
    found = [("password_file", "secret", "hunter2"), ("password_env", "BROKER_PASSWORD", "swordfish")]
    for key, value, expected in found:
        assert expected == broker_password(BrokerSettings(**{key: value}), tmp_path)
    for settings in (BrokerSettings(**{key: "NONE_SUCH"}) for key, _, _ in found):
        with pytest.raises(SettingsError, match=r"broker\.password"):
            check_credentials(settings, tmp_path)


def test_check_credentials_certificates(tmp_path: Path) -> None:
    """A CA file must exist and hold certificates; without one the system's are used."""
    (tmp_path / "ca.pem").write_text("no certificate")
    check_credentials(BrokerSettings(), tmp_path)

    for name in ("ca.pem", "gone.pem"):
        with pytest.raises(SettingsError, match=f"{name} holds no readable certificates"):
            check_credentials(BrokerSettings(url="mqtts://h", ca_file=name), tmp_path)
    assert ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED


def test_broker_name() -> None:
    """Client id and address name a session."""
    assert "c@h:1883" == broker_name(BrokerSettings(url="mqtt://h", client_id="c"))
    assert "c@[::1]:99" == broker_name(BrokerSettings(url="mqtt://[::1]:99", client_id="c"))


def test_protocol_versions() -> None:
    """A version that is configured is the only one, else both are tried."""
    assert [1, 1, 2] == [len(protocol_versions(name)) for name in ("5", "3.1.1", "auto")]


def test_broker_username(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user name stands in the settings or in the environment."""
    monkeypatch.setenv("BROKER_USER", "anna")
    found = [
        broker_username(BrokerSettings(**part)) for part in ({}, {"username": "b"}, {"username_env": "BROKER_USER"})
    ]
    assert [None, "b", "anna"] == found
    with pytest.raises(SettingsError, match=r"broker\.username_env: the environment variable NONE_SUCH is not set"):
        check_credentials(BrokerSettings(username_env="NONE_SUCH"), Path())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority, a certificate for 127.0.0.1 and one for a client whose key has a password."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=authority")  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name, protection in (("server", ("-nodes",)), ("client", ("-passout", f"pass:{KEY_PASSWORD}"))):
        openssl("req", "-newkey", "rsa:2048", *protection, "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", f"/CN={name}")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", "names")  # fmt: skip
    (folder / "key.password").write_text(KEY_PASSWORD + "\n")
    return folder


def test_tls_context_client_certificate(certificates: Path) -> None:
    """A key that needs a password gets it from its file; without or with a wrong one nobody is asked on a terminal."""
    known = {"url": "mqtts://h", "ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"}
    right = known | {"key_password_file": "key.password"}
    assert tls_context(msgspec.convert(right, BrokerSettings), certificates)
    for wrong in ({}, {"key_password_file": "ca.pem"}, {"key_file": "server.key"}, {"cert_file": "gone.pem"}):
        with pytest.raises(SettingsError, match=r"broker\.cert_file: .* are no certificate and its key"):
            tls_context(msgspec.convert(known | wrong, BrokerSettings), certificates)


def receive(settings: BrokerSettings, folder: Path, publish: Any) -> list[bytes]:
    """Run a subscriber until it has what is published, and return that."""
    stop = threading.Event()
    vitals = BrokerVitals("b", "s")
    with Spool(folder) as spool:
        spool.store = spool.append  # type: ignore[attr-defined]
        thread = threading.Thread(target=Subscriber(settings, folder, spool, vitals).run, args=(stop,))  # type: ignore[arg-type]
        thread.start()
        try:
            wait_until(lambda: vitals.connected, f"a connection ({vitals.refusal})")
            count = publish()
            wait_until(lambda: vitals.acknowledged >= count, "all acknowledgements")
        finally:
            stop.set()
            thread.join()
        return [message.payload for message in spool.read(0, limit=100_000, limit_bytes=10**9)]


def publish_with(settings: BrokerSettings, folder: Path, payloads: list[bytes]) -> int:
    """Publish with QoS 1 until the broker has acknowledged everything."""
    client = make_client(mqtt.Client, settings, folder, MQTTProtocolVersion.MQTTv311, client_id="publisher", clean=True)
    ready = threading.Event()
    client.on_connect = lambda *_: ready.set()
    connect(client, settings, clean=True)
    client.loop_start()
    assert ready.wait(30)
    for sent in [client.publish("meters/m1/readings", payload, qos=1) for payload in payloads]:
        sent.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
    return len(payloads)


@pytest.mark.parametrize("reader", ["auto", "stock"])
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_tls_with_client_certificate(tmp_path: Path, certificates: Path, reader: Any, protocol: Any) -> None:
    """A broker that asks for a certificate gets ours; records of TLS are read to their end."""
    port = free_port()
    with Mosquitto(tmp_path / "broker") as broker:
        broker.stop()
        lines = [f"listener {port} 127.0.0.1", "require_certificate true", "allow_anonymous true",
                 f"cafile {certificates}/ca.pem", f"certfile {certificates}/server.pem",
                 f"keyfile {certificates}/server.key", ""]  # fmt: skip
        with (tmp_path / "broker" / "mosquitto.conf").open("a") as configuration:
            configuration.write("\n".join(lines))
        broker.start()
        known = {"url": f"mqtts://127.0.0.1:{port}", "ca_file": "ca.pem", "cert_file": "client.pem",
                 "key_file": "client.key", "key_password_file": "key.password"}  # fmt: skip
        payloads = [b"%d " % number + b"x" * (number * 97 % 40_000) for number in range(300)]
        for name in ("ca.pem", "client.pem", "client.key", "key.password"):
            (tmp_path / name).write_bytes((certificates / name).read_bytes())
        settings = msgspec.convert(known | {"reader": reader, "protocol": protocol}, BrokerSettings)
        settings.check("broker[0]")

        assert payloads == receive(settings, tmp_path, lambda: publish_with(settings, certificates, payloads))


@pytest.fixture
def websocket_port(tmp_path: Path) -> Iterator[int]:
    """Run a broker that speaks through WebSockets; Debian's mosquitto cannot."""
    port = free_port()
    code = (
        "import asyncio, sys\n"
        "from amqtt.broker import Broker\n"
        "async def serve():\n"
        f"    broker = Broker({{'listeners': {{'default': {{'type': 'ws', 'bind': '127.0.0.1:{port}'}}}},\n"
        "        'plugins': {'amqtt.plugins.authentication.AnonymousAuthPlugin': {'allow_anonymous': True}}})\n"
        "    await broker.start()\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(serve())\n"
    )
    log = (tmp_path / "amqtt.log").open("wb")
    with log, subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdout is not None
        assert b"ready" in process.stdout.readline()
        yield port
        process.terminate()


@pytest.mark.parametrize("reader", ["auto", "stock"])
def test_websocket_with_a_real_broker(tmp_path: Path, websocket_port: int, reader: Any) -> None:
    """Messages come through a WebSocket as they do through TCP."""
    settings = BrokerSettings(url=f"ws://127.0.0.1:{websocket_port}/mqtt", protocol="3.1.1", reader=reader)
    payloads = [b"%d " % number + b"x" * (number * 97 % 9_000) for number in range(100)]

    assert payloads == receive(settings, tmp_path, lambda: publish_with(settings, tmp_path, payloads))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_shared_subscription_with_a_real_broker(tmp_path: Path, protocol: Any) -> None:
    """A member of a group receives what is published to it; what is retained is not sent to it."""
    with Mosquitto(tmp_path / "broker") as broker:
        settings = BrokerSettings(url=broker.url, topics=("$share/ingest/meters/#",), protocol=protocol)
        payloads = [b"%d" % number for number in range(500)]

        assert payloads == receive(settings, tmp_path, lambda: publish_with(settings, tmp_path, payloads))


def test_subscribe_asks_for_retained_messages_once() -> None:
    """In MQTT 5 a subscription that is made again is not sent retained messages again."""
    asked: list[Any] = []
    client = make_client(mqtt.Client, BrokerSettings(), Path(), MQTTProtocolVersion.MQTTv5)
    client.subscribe = asked.append  # type: ignore[assignment]
    subscribe(client, ("a/#", "$share/g/a/#"))

    assert [[1, 0]] == [[options.retainHandling for _, options in filters] for filters in asked]
    assert all(not options.noLocal for filters in asked for _, options in filters)
