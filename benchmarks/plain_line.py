"""A line under plain readings as fast as the machine goes, which the meters of the crash harness are too slow for.

Ten thousand meters report hour after hour; their hours pass in a fraction of a second, as when a backlog of months is
drained. Whatever a broker had not acknowledged when it went away is published again.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import polars as pl

from benchmarks.flood import connect, publish_packet
from benchmarks.whole_line import METERS, Broker, hourly_message
from ingest.account import State
from ingest.spool import Spool
from lake.errors import SpoolError
from tests.crash.line import Outcome
from tests.processes import Daemon, run_metriage, status_of, wait_until

_CLIENT = "plain"
_GROUP = 250
_WINDOW = 20_000
_PUBACK_BYTES = 4
_SETTLE_S = 600.0

_SETTINGS = """\
[[broker]]
url = "mqtt://127.0.0.1:{port}"
client_id = "{client}"

[ingest]
commit_interval_s = 5

[compact]
every_s = {compact_every_s}
"""


class PlainMeters(threading.Thread):
    """Publishes reading after reading with QoS 1 at a steady rate, and goes on where a broker left off.

    Parameters
    ----------
    port : int
        The broker's.
    begin : int
        Hour of the first readings [s since 1970 UTC].
    rate : float
        Messages a second at most.
    """

    def __init__(self, port: int, begin: int, rate: float) -> None:
        super().__init__(daemon=True)
        self.acknowledged = 0
        self.error: BaseException | None = None
        self._port = port
        self._begin = begin
        self._rate = rate
        self._furthest = 0  # messages that were ever sent: a broker that went away may have some of them
        self._flowing = threading.Event()
        self._idle = True
        self._ended = False

    @property
    def sent(self) -> int:
        """Messages that the broker has; what it did not acknowledge is sent again."""
        return self.acknowledged

    def flow(self) -> None:
        """Begin to send, or go on."""
        self._idle = False
        self._flowing.set()

    def pause(self) -> None:
        """Stop sending, and return when the broker has acknowledged everything."""
        self._flowing.clear()
        wait_until(lambda: self._idle or self.error is not None, "the meters to pause", _SETTLE_S)
        if self.error is not None:
            raise RuntimeError("the meters failed") from self.error

    def run(self) -> None:
        """Publish until closed."""
        while not self._ended:
            try:
                with connect(self._port, "plain-meters", clean=True) as link:
                    self._publish(link)
            except OSError:  # the broker went away; it comes back
                time.sleep(0.1)
            except BaseException as error:
                self.error = error
                raise

    def _publish(self, link: socket.socket) -> None:
        link.settimeout(60)
        position = self.acknowledged
        begun, first = time.monotonic(), position
        while not self._ended:
            if not self._flowing.is_set() and position >= self._furthest:
                while position > self.acknowledged:
                    self._take_acknowledgements(link)
                self._idle = True
                time.sleep(0.01)
                begun, first = time.monotonic(), position
                continue
            if position - first > (time.monotonic() - begun) * self._rate:
                time.sleep(0.002)
                continue
            topics = (hourly_message(number, self._begin) for number in range(position, position + _GROUP))
            link.sendall(b"".join(publish_packet(position + place, *topic) for place, topic in enumerate(topics)))
            position += _GROUP
            self._furthest = max(self._furthest, position)
            while position - self.acknowledged > _WINDOW:
                self._take_acknowledgements(link)

    def _take_acknowledgements(self, link: socket.socket) -> None:
        data = link.recv(65_536)
        while data and len(data) % _PUBACK_BYTES:
            data += link.recv(_PUBACK_BYTES - len(data) % _PUBACK_BYTES)
        if not data:
            raise ConnectionError("the broker closed the connection")
        self.acknowledged += len(data) // _PUBACK_BYTES

    def close(self) -> None:
        """Stop for good."""
        self._ended = True
        self.join()


class PlainLine(contextlib.AbstractContextManager["PlainLine"]):
    """A broker, plain meters, and the daemon on a site of its own.

    Parameters
    ----------
    folder : Path
        For everything; must be empty.
    rate : float
        Messages a second.
    most : float
        Messages that will be sent at most: so far back the first readings lie.
    compact_every_s : float
        How often the daemon compacts [s]; 0: never.
    """

    def __init__(self, folder: Path, *, rate: float, most: float, compact_every_s: float = 60) -> None:
        self.site = folder / "site"
        self.site.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            self.mosquitto = stack.enter_context(Broker(folder / "broker"))
            text = _SETTINGS.format(port=self.mosquitto.port, client=_CLIENT, compact_every_s=compact_every_s)
            (self.site / "metriage.toml").write_text(text, encoding="utf-8")
            self.daemon = stack.enter_context(Daemon(self.site, log=folder / "daemon.log"))
            self.daemon.wait_connected()
            begin = int(time.time()) // 3600 * 3600 - (int(most) // METERS + 2) * 3600
            self.meters = PlainMeters(self.mosquitto.port, begin, rate)
            self.meters.start()
            stack.callback(self.meters.close)
            self._stack = stack.pop_all()

    def settle(self) -> None:
        """Stop the meters and wait until what they sent is in the lake."""
        self.meters.pause()
        wait_until(self.settled, "everything to be in the lake", _SETTLE_S)

    def settled(self) -> bool:
        """Tell whether the lake has everything that was acknowledged to the meters."""
        try:
            with (
                Spool(self.site / "spool", read_only=True) as spool,
                State(self.site / "spool", read_only=True) as state,
            ):
                received = spool.last_position()
                return received >= self.meters.acknowledged and received == state.position()
        except SpoolError:
            return False

    def judge(self, outcome: Outcome) -> None:
        """Settle, stop, and compare account and lake with what was sent: every reading once."""
        self.settle()
        code = self.daemon.stop()
        verdict, sent = outcome.verdict, self.meters.acknowledged
        if code:
            verdict.problems.append(f"the daemon ended with {code}: {self.daemon.log()[-2000:]}")
        outcome.acknowledged += sent
        compacted = run_metriage("compact", "--dir", self.site, check=False)
        if compacted.returncode:
            verdict.problems.append(f"metriage compact ended with {compacted.returncode}: {compacted.stderr}")
        messages = status_of(self.site)["messages"]
        verdict.redelivered = messages["received"] - sent
        expected = {"received": messages["received"], "stored": sent, "duplicate": messages["received"] - sent,
                    "quarantined": 0, "pending": 0}  # fmt: skip
        if messages != expected:
            verdict.problems.append(f"the account says {messages} of {sent} messages")
        rows, different = self._rows()
        verdict.lost, verdict.doubled = sent - different, rows - different
        if (rows, different) != (sent, sent):
            verdict.problems.append(f"the lake has {rows} rows, {different} of them different, of {sent} messages")

    def _rows(self) -> tuple[int, int]:
        """Return the rows of the lake, and how many of them differ in meter and time, day by day."""
        table = pl.scan_delta(str(self.site / "lake" / "readings"))
        rows = different = 0
        for day in table.select(pl.col("event_date").unique()).collect()["event_date"]:
            part = table.filter(pl.col("event_date") == day).select("meter_id", "ts").collect()
            rows += part.height
            different += part.n_unique()
        return rows, different

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, value, trace)
