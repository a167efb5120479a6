"""Programs that tests and benchmarks start: mosquitto, the daemon, a publisher; and waiting on conditions."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.receiver.connection import protocol_versions
from tests.recordings import ROOT

_DEADLINE_S = 180.0


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = _DEADLINE_S) -> None:
    """Return when `condition` holds; fail with `what` when it does not come to hold.

    The deadline only ends a test that hangs; no test depends on how fast a machine is.
    """
    until = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {deadline_s:g} s for: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def mosquitto_program() -> str:
    """Return the path of mosquitto; without it the test skips, under CI=true it fails."""
    found = shutil.which(
        "mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )
    if found is not None:
        return found
    reason = "mosquitto is not installed: sudo apt-get install mosquitto (macOS: brew install mosquitto)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Mosquitto(contextlib.AbstractContextManager["Mosquitto"]):
    """A mosquitto of our own on 127.0.0.1, set to keep what it queues.

    Parameters
    ----------
    folder : Path
        Where its configuration, store and log lie.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._program = mosquitto_program()
        self._folder = folder
        self._configuration = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 0",
            "max_queued_messages 0",
            "max_queued_bytes 0",
            "max_inflight_messages 1000",
            *(f"log_type {kind}" for kind in ("error", "warning", "notice", "information", "subscribe")),
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        self._configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.start()

    @property
    def url(self) -> str:
        """Address for ``[[broker]] url``."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", str(self._configuration)], stderr=log, stdout=log)
        wait_until(self._listens, "mosquitto to listen")

    def _listens(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "mosquitto.log").read_text(encoding="utf-8"))
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """Stop it gracefully: it saves its queues."""
        self._process.terminate()
        self._process.wait(timeout=_DEADLINE_S)

    def subscriptions(self, client_id: str) -> int:
        """Return how often a client has subscribed: before the first time the broker keeps nothing for it."""
        log = (self._folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace")
        return log.count(f": {client_id} 1 ")

    def forget(self) -> None:
        """Lose what it keeps on the disk, as a broker does whose store is gone; it must be stopped."""
        (self._folder / "mosquitto.db").unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.stop()


class Daemon(contextlib.AbstractContextManager["Daemon"]):
    """``metriage ingest``, or another command that runs on, on a site, in a process group of its own.

    Parameters
    ----------
    site : Path
        The site folder, with its ``metriage.toml``.
    environment : mapping of str to str
        Variables beside those of this process.
    prefix : sequence of str
        A command that runs it, such as a tracer.
    log : Path, optional
        Where its log goes; default: into the site folder.
    command : str
        The command.
    """

    def __init__(
        self,
        site: Path,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        log: Path | None = None,
        command: str = "ingest",
    ) -> None:
        self._command = command
        self.site = site
        self.environment = {**os.environ, **(environment or {})}
        self._prefix = list(prefix)
        self._log = log or site / "daemon.log"
        self.start()

    def start(self) -> None:
        """Start it."""
        self._seen = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "metriage", self._command, "--dir", str(self.site)], cwd=ROOT,
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def log(self) -> str:
        """Return what it logged since it was started last."""
        with self._log.open("rb") as stream:
            stream.seek(self._seen)
            return stream.read().decode(errors="replace")

    def wait_connected(self) -> None:
        """Wait until a broker has its subscription: what is published before the first one, the broker forgets."""
        wait_until(lambda: self.said("broker subscribed"), "the daemon to subscribe")

    def said(self, text: str) -> bool:
        """Tell whether it logged `text` since its last start; raise when it has died."""
        if self.process.poll() is not None and text not in self.log():
            raise RuntimeError(f"the daemon ended with {self.process.returncode}: {self.log()}")
        return text in self.log()

    def kill(self, *, whole_group: bool) -> None:
        """Kill -9: receiver and lake writer, or the receiver alone."""
        if whole_group:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stop it with SIGTERM, as a service manager does, and return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=5 * _DEADLINE_S)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Publisher(contextlib.AbstractContextManager["Publisher"]):
    """Publishes with QoS 1 and a window of unacknowledged messages; counts what the broker acknowledged.

    Parameters
    ----------
    port : int
        The broker's port on 127.0.0.1.
    window : int
        Messages on their way at most.
    version : str
        MQTT version, as in the settings.
    """

    def __init__(self, port: int, window: int = 100, version: str = "5") -> None:
        self.acknowledged = 0
        self._sent = 0
        self._free = threading.Semaphore(window)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol_versions(version)[0])
        self._client.max_inflight_messages_set(window)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_publish(self, *_: object) -> None:
        self.acknowledged += 1
        self._free.release()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send one message as soon as there is room."""
        if not self._free.acquire(timeout=2 * _DEADLINE_S):
            raise TimeoutError("the broker acknowledges nothing")
        self._sent += 1
        self._client.publish(topic, payload, qos=1, retain=retain)

    def publish_all(self, messages: Iterable[tuple[str, bytes]]) -> int:
        """Send messages and return how many, once the broker has acknowledged every one."""
        count = 0
        for topic, payload in messages:
            self.publish(topic, payload)
            count += 1
        wait_until(lambda: self.acknowledged == self._sent, "the broker to acknowledge everything")
        return count

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def run_metriage(
    *arguments: str | Path, check: bool = True, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of metriage to its end, with `environment` beside the variables of this process."""
    command = [sys.executable, "-m", "metriage", *map(str, arguments)]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"metriage {arguments[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def status_of(site: Path) -> dict[str, Any]:
    """Return ``metriage status --json`` of a site."""
    document: dict[str, Any] = json.loads(run_metriage("status", "--json", "--dir", site).stdout)
    return document
