"""The line under test: broker, proxy, daemon and meters that go on sending, all real."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import polars as pl
import psutil

from lake.durability import sync_files
from tests.crash.judgement import Verdict, glance, judge
from tests.crash.proxy import Proxy
from tests.crash.traffic import Expected, Message, Reading, Traffic
from tests.processes import Daemon, Mosquitto, Publisher, run_metriage, wait_until

_SETTLE_S = 240.0
_SENTINEL = "sentinel"
CLIENT = "crash"

SETTINGS = """\
[[broker]]
url = "mqtt://127.0.0.1:{port}"
client_id = "{client}"
keepalive_s = 5
{broker}

[ingest]
commit_interval_s = {commit_interval_s}
{ingest}

[compact]
every_s = {compact_every_s}
"""


@dataclass(slots=True)
class Outcome:
    """What a scenario showed: one row of the table.

    Parameters
    ----------
    scenario : str
        What was done.
    runs : int
        How often.
    acknowledged : int
        Messages that the broker acknowledged to the publisher and the daemon had to bring into the lake.
    excused : int
        Messages that the broker itself lost.
    verdict : Verdict
        Sums of all checks.
    seconds : float
        How long it took [s].
    """

    scenario: str
    runs: int = 0
    acknowledged: int = 0
    excused: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    seconds: float = 0.0


class Meters:
    """Publishes the messages of a seed one after the other, at a steady rate, until told to stop.

    Parameters
    ----------
    port : int
        The broker's.
    traffic : Traffic
        What is sent.
    rate : float
        Messages a second at most.
    """

    def __init__(self, port: int, traffic: Traffic, rate: float) -> None:
        self.sent = 0
        self.error: BaseException | None = None
        self._traffic = traffic
        self._rate = rate
        self._own = 0
        self._publisher = Publisher(port, window=200)
        self._flowing = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def flow(self) -> None:
        """Begin to send, or go on."""
        self._idle.clear()
        self._flowing.set()

    def pause(self) -> None:
        """Stop sending, and return when the broker has acknowledged everything."""
        self._flowing.clear()
        wait_until(self._idle.is_set, "the meters to pause", _SETTLE_S)
        if self.error is not None:
            raise RuntimeError("the publisher failed") from self.error
        wait_until(lambda: self.acknowledged == self.sent, "the broker to acknowledge everything", _SETTLE_S)

    @property
    def acknowledged(self) -> int:
        """Messages that the broker has acknowledged."""
        return self._publisher.acknowledged - self._own

    def publish_one(self, message: Message) -> None:
        """Send a message of the harness itself, outside the traffic; the meters must be paused."""
        before = self._publisher.acknowledged
        self._own += 1
        self._publisher.publish(message.topic, message.payload)
        wait_until(lambda: self._publisher.acknowledged > before, "the broker to acknowledge", _SETTLE_S)

    def _run(self) -> None:
        try:
            while not self._ended:
                self._flowing.wait(0.1)
                begun, first = time.monotonic(), self.sent
                while self._flowing.is_set() and not self._ended:
                    if self.sent - first > (time.monotonic() - begun) * self._rate:
                        time.sleep(0.005)
                        continue
                    message = self._traffic.message(self.sent)
                    self._publisher.publish(message.topic, message.payload)
                    self.sent += 1
                self._idle.set()
        except (OSError, TimeoutError, ValueError) as error:
            self.error = error
            self._idle.set()

    def close(self) -> None:
        """Stop for good."""
        self._ended = True
        self._thread.join()
        self._publisher.__exit__(None, None, None)


class Line(contextlib.AbstractContextManager["Line"]):
    """A broker, meters, and the daemon on a site of its own.

    Parameters
    ----------
    folder : Path
        For everything; must be empty.
    seed : int
        Of the messages.
    rate : float
        Messages a second.
    proxied : bool
        Whether the daemon reaches the broker through a proxy.
    environment : mapping of str to str
        Of the daemon.
    prefix : sequence of str
        A command that runs the daemon.
    broker, ingest : str
        More settings of these tables.
    commit_interval_s, compact_every_s : float
        How often the daemon commits and compacts [s].
    prepare : callable
        Called with the site folder before anything lies in it, to mount a disk there.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        rate: float = 1_000.0,
        proxied: bool = False,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        broker: str = "",
        ingest: str = "",
        commit_interval_s: float = 0.3,
        compact_every_s: float = 3,
        prepare: Callable[[Path], object] = lambda _: None,
    ) -> None:
        self.site = folder / "site"
        self.site.mkdir(parents=True)
        prepare(self.site)
        self.traffic = Traffic(seed)
        self.excused: list[range] = []
        self._own: list[Message] = []
        with contextlib.ExitStack() as stack:
            self.mosquitto = stack.enter_context(Mosquitto(folder / "broker"))
            self.proxy = stack.enter_context(Proxy(self.mosquitto.port)) if proxied else None
            port = self.proxy.port if self.proxy else self.mosquitto.port
            text = SETTINGS.format(
                port=port, client=CLIENT, broker=broker, ingest=ingest,
                commit_interval_s=commit_interval_s, compact_every_s=compact_every_s,
            )  # fmt: skip
            settings = self.site / "metriage.toml"
            settings.write_text(text, encoding="utf-8")
            sync_files([settings, self.site])  # an operator's settings have been there for long when the power goes
            self.daemon = stack.enter_context(Daemon(self.site, environment, prefix, folder / "daemon.log"))
            self.wait_subscribed(0)
            self.meters = Meters(self.mosquitto.port, self.traffic, rate)
            stack.callback(self.meters.close)
            self._stack = stack.pop_all()

    def processes(self) -> list[int]:
        """Return the ids of the daemon's children."""
        try:
            return [child.pid for child in psutil.Process(self.daemon.process.pid).children(recursive=True)]
        except psutil.Error:
            return []

    def kill_children(self) -> int:
        """Kill -9 what the daemon started: the lake writer, and compaction when it runs."""
        children = self.processes()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return len(children)

    def restart(self) -> None:
        """Start the daemon again after it was killed."""
        self.daemon.start()

    @property
    def own_sent(self) -> int:
        """How many messages :meth:`send_own` has sent."""
        return len(self._own)

    def send_own(self, messages: Iterable[Message]) -> None:
        """Send messages of the harness itself beside the traffic; the meters must be paused."""
        for message in messages:
            self._own.append(message)
            self.meters.publish_one(message)

    def wait_subscribed(self, before: int) -> None:
        """Wait until the daemon has subscribed once more than `before`; without a session, earlier is too early."""
        wait_until(lambda: self.mosquitto.subscriptions(CLIENT) > before, "the daemon to subscribe")

    def settle(self) -> None:
        """Stop the meters and wait until what they sent is in the lake: a last message comes after all others."""
        self.meters.pause()
        number = self.own_sent
        reading = Reading(_SENTINEL, 1_704_067_200 + number, number, float(number))
        payload = json.dumps(reading.fields()).encode()
        self.send_own([Message(f"meters/{_SENTINEL}/readings", payload, (reading,))])
        wait_until(lambda: self._in_lake(number), "the last message to be in the lake", _SETTLE_S)

    def _in_lake(self, number: int) -> bool:
        if self.daemon.process.poll() is not None:
            raise RuntimeError(f"the daemon ended with {self.daemon.process.returncode}: {self.daemon.log()[-4000:]}")
        time.sleep(0.2)
        try:
            rows = pl.scan_delta(str(self.site / "lake" / "readings"))
            wanted = rows.filter((pl.col("meter_id") == _SENTINEL) & (pl.col("seq") == number))
            return wanted.select(pl.len()).collect().item() > 0
        except Exception:  # noqa: BLE001 - no table yet, or its files were just rewritten: the next look will tell
            return False

    def expected(self) -> Expected:
        """Return what must have become of everything that was acknowledged to the meters and not excused."""
        left_out = {number for part in self.excused for number in part}
        sent = (self.traffic.message(number) for number in range(self.meters.sent) if number not in left_out)
        return Expected().add(sent).add(self._own)

    def glance(self, outcome: Outcome) -> None:
        """Look at account and lake while the daemon is dead."""
        problems = glance(self.site)
        outcome.verdict.problems += [f"after run {outcome.runs}: {problem}" for problem in problems]

    def judge(self, outcome: Outcome) -> None:
        """Settle, stop, judge; compact, judge again; add what was found to `outcome`."""
        self.settle()
        code = self.daemon.stop()
        if code:
            outcome.verdict.problems.append(f"the daemon ended with {code}: {self.daemon.log()[-2000:]}")
        expected = self.expected()
        outcome.acknowledged += expected.sent
        outcome.excused += sum(map(len, self.excused))
        before = judge(self.site, expected)
        outcome.verdict.problems += before.problems
        outcome.verdict.redelivered += before.redelivered
        compacted = run_metriage("compact", "--dir", self.site, check=False)
        if compacted.returncode:
            outcome.verdict.problems.append(f"metriage compact ended with {compacted.returncode}: {compacted.stderr}")
        after = judge(self.site, expected)
        outcome.verdict.problems += [f"after compaction: {problem}" for problem in after.problems]
        outcome.verdict.lost += max(before.lost, after.lost)
        outcome.verdict.doubled += max(before.doubled, after.doubled)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, value, trace)
