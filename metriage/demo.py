"""``metriage demo``: the whole line on one machine, from real recordings over real MQTT to signed tickets."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import polars as pl
from paho.mqtt.enums import CallbackAPIVersion
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ingest.account import State
from lake.errors import BrokerError, MetriageError, UsageError
from lake.schemas import FINDINGS, READINGS
from metriage.accounts import account
from metriage.console import console
from metriage.diagnosing import diagnose_site
from metriage.findings_pictures import draw_findings
from metriage.samples import ALICANTE_TOPIC, CELL_TOPIC, sample_messages
from metriage.settings import FILE
from metriage.site import Site, open_site
from metriage.ticketing import sync_site
from tickets.inbox import Inbox
from tickets.signature import Secret

# The recordings are years apart; each of these times has its event fresh (data/samples/README.md).
AS_OF = (
    datetime(2016, 10, 10, tzinfo=UTC),
    datetime(2017, 1, 30, tzinfo=UTC),
    datetime(2024, 7, 12, tzinfo=UTC),
)

_MARK = ".metriage-demo"
_PATIENCE_S = 60.0
_IN_FLIGHT = 200

_SETTINGS = """\
# Made by `metriage demo`. A site of your own: `metriage init DIR`.
[site]
timezone = "Europe/Madrid"

[[broker]]
url = "mqtt://127.0.0.1:{port}"
client_id = "metriage-demo-alicante"
topics = ["{alicante}"]
codec = "alicante"
received_at = "envelope"

[[broker]]
url = "mqtt://127.0.0.1:{port}"
client_id = "metriage-demo-cell"
topics = ["{cell}"]
codec = "cell"
received_at = "envelope"

[[broker]]
url = "mqtt://127.0.0.1:{port}"
client_id = "metriage-demo-meters"
topics = ["meters/+/readings"]
received_at = "envelope"

[codecs.alicante]
columns = {{ meter_id = 1, ts = 2, volume_m3 = 3 }}
ignore = [4]
units = {{ volume_m3 = "l" }}
delimiter = ";"
time_format = "%d/%m/%Y %H:%M:%S"
timezone = "Europe/Madrid"

[codecs.cell]
columns = {{ ts = 1, seq = 2, ambient_temperature_c = 3, battery_v = 4, rssi_dbm = 5, snr_db = 6 }}
constants = {{ meter_id = "cell-ls14500" }}
units = {{ battery_v = "mv" }}

[ingest]
commit_interval_s = 1

[[webhook]]
url = "{inbox}"
name = "inbox"
secret_file = "inbox.secret"
allow_private = true
"""


def run_demo(folder: Path) -> int:
    """Run the demonstration in `folder` and print what came of it.

    Returns
    -------
    int
        0 when every message is accounted for and every ticket event arrived.

    Raises
    ------
    UsageError
        `folder` holds something that is not an earlier demonstration.
    """
    began = time.monotonic()
    folder = folder.resolve()
    try:
        _prepare(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror or error}; choose another --dir") from error
    secret = Secret.create()
    with Inbox(secret, folder / "inbox") as inbox, _broker() as port:
        _write_settings(folder, port, inbox.url, secret)
        site = open_site(folder)
        sent = _replay(site, port)
        diagnoses = _diagnose(site)
        document = account(site)
        acted, ended = _acted(site)
        pictures = draw_findings(site, acted)
        arrived = len(inbox.events)
    console.print(_found_table(acted, pictures))
    if ended:
        console.print(f"{ended} more meters are found silent where their cut of the recording ends.")
    console.print(_closing_table(site, document, sent, diagnoses, arrived, time.monotonic() - began))
    console.print(Panel(_next_steps(folder), title="Try next", title_align="left"))
    messages = document["messages"]
    return 0 if messages["received"] == sent and not messages["pending"] and diagnoses["undelivered"] == 0 else 1


def _prepare(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder; choose another --dir")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise UsageError(f"{folder} holds something that is no earlier demonstration; choose another --dir")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()


def _write_settings(folder: Path, port: int, inbox: str, secret: Secret) -> None:
    text = _SETTINGS.format(port=port, alicante=ALICANTE_TOPIC, cell=CELL_TOPIC, inbox=inbox)
    (folder / FILE).write_text(text, encoding="utf-8")
    key = folder / "inbox.secret"
    key.touch(mode=0o600)
    key.write_text(secret.text + "\n", encoding="utf-8")


@contextmanager
def _broker() -> Iterator[int]:
    """Run the embedded broker; yield its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "metriage.embedded_broker", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise BrokerError("the embedded broker did not start")
            yield port
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _daemon(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``metriage ingest`` as a user would; its log goes to ``daemon.log``."""
    command = [sys.executable, "-m", "metriage", "ingest", "--dir", str(site.folder)]
    with (site.folder / "daemon.log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _replay(site: Site, port: int) -> int:
    """Publish every sample message over MQTT while the daemon listens; return how many."""
    messages = list(sample_messages())
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar, _daemon(site) as daemon:
        log = site.folder / "daemon.log"
        _wait(daemon, lambda: log.read_text(encoding="utf-8").count("broker subscribed") == 3, "daemon subscribed")
        published = bar.add_task("published over MQTT", total=len(messages))
        stored = bar.add_task("in the lake", total=len(messages))
        with _publisher(port) as publish:
            for topic, payload in messages:
                publish(topic, payload)
                bar.advance(published)

        def in_the_lake() -> bool:
            with contextlib.suppress(MetriageError), State(site.folder / "spool", read_only=True) as state:
                bar.update(stored, completed=state.position())
            return bool(bar.tasks[stored].completed >= len(messages))

        _wait(daemon, in_the_lake, "messages in the lake")
    return len(messages)


@contextmanager
def _publisher(port: int) -> Iterator[Callable[[str, bytes], None]]:
    """Yield a function that publishes at QoS 1, a bounded number of messages ahead of the acknowledgements."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="metriage-demo-meters-publisher")
    client.max_inflight_messages_set(_IN_FLIGHT)
    client.connect("127.0.0.1", port)
    client.loop_start()
    sent: list[mqtt.MQTTMessageInfo] = []

    def publish(topic: str, payload: bytes) -> None:
        sent.append(client.publish(topic, payload, qos=1))
        if len(sent) > _IN_FLIGHT:
            sent.pop(0).wait_for_publish(_PATIENCE_S)

    try:
        yield publish
        for message in sent:
            message.wait_for_publish(_PATIENCE_S)
    finally:
        client.disconnect()
        client.loop_stop()


def _wait(daemon: subprocess.Popen[bytes], reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not reached():
        if daemon.poll() is not None:
            raise MetriageError(f"the daemon ended with exit code {daemon.returncode}; see daemon.log")
        if time.monotonic() > deadline:
            raise MetriageError(f"not within {_PATIENCE_S:g} s: {what}; see daemon.log")
        time.sleep(0.05)


def _diagnose(site: Site) -> dict[str, int]:
    """Diagnose at each time and bring the tickets up to it."""
    totals = {"days": 0, "opened": 0, "proposed": 0, "delivered": 0, "undelivered": 0}
    with Progress(*Progress.get_default_columns(), console=console) as bar:
        for as_of in bar.track(AS_OF, description=f"{'diagnosed, tickets opened':<28}"):
            diagnosis = diagnose_site(site, as_of)
            report, delivery = sync_site(site, as_of)
            totals["days"] += diagnosis.days
            totals["opened"] += report.opened
            totals["proposed"] += report.proposed
            totals["delivered"] += delivery.delivered
            totals["undelivered"] = delivery.pending + delivery.dead
    return totals


def _acted(site: Site) -> tuple[list[dict[str, Any]], int]:
    """Return the first finding to act on of each meter and fault or condition, and how many were left out.

    Left out are the silences that begin where a meter's cut of the recording ends: true, but of no interest.
    """
    lake = site.lake
    last = dict(lake.scan(READINGS).group_by("meter_id").agg(pl.col("ts").max()).collect().iter_rows())
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for row in lake.read(FINDINGS).sort("as_of").iter_rows(named=True):
        if row["verdict"] == "act":
            first.setdefault((row["meter_id"], row["fault"]), row)
    kept = [row for row in first.values() if row["fault"] != "communication" or row["onset"] < last[row["meter_id"]]]
    return kept, len(first) - len(kept)


def _found_table(acted: list[dict[str, Any]], pictures: list[Path]) -> Table:
    table = Table(title="Found, to act on", title_justify="left")
    for name in ("meter", "what", "cause", "since", "picture"):
        table.add_column(name)
    for row, picture in zip(acted, pictures, strict=True):
        what = row["fault"] if row["kind"] == "fault" else f"{row['fault']} (condition)"
        since = f"{row['onset']:%Y-%m-%d}" if row["onset"] else ""
        cells = (_short(row["meter_id"]), what, row["cause"] or "", since, _short(picture.name))
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return table


def _closing_table(
    site: Site, document: dict[str, Any], sent: int, totals: dict[str, int], arrived: int, seconds: float
) -> Table:
    messages, readings = document["messages"], document["readings"]
    table = Table(title=f"The line, in {seconds:.0f} s", title_justify="left")
    for name in ("step", "what", "where"):
        table.add_column(name)
    folder = site.folder.name
    table.add_row("published", f"{sent:,} messages over MQTT", "data/samples")
    table.add_row("received", f"{messages['received']:,} messages, {readings['received']:,} readings", "")
    table.add_row(
        "stored",
        f"{readings['stored']:,} readings; {readings['duplicate']:,} duplicate, "
        f"{readings['quarantined']:,} quarantined, {readings['pending']:,} pending",
        f"{folder}/lake/readings",
    )
    table.add_row("profiled", f"{totals['days']:,} meter-days", f"{folder}/lake/daily")
    table.add_row(
        "diagnosed", f"as of {', '.join(f'{moment:%Y-%m-%d}' for moment in AS_OF)}", f"{folder}/lake/findings"
    )
    table.add_row(
        "tickets", f"{totals['opened']} opened, one a meter and fault; conditions open none", f"{folder}/metriage.db"
    )
    table.add_row("delivered", f"{totals['delivered']} signed events, {arrived} in the inbox", f"{folder}/inbox")
    table.add_row("pictures", "one a finding", f"{folder}/reports/*.png")
    return table


def _next_steps(folder: Path) -> str:
    name = "metriage" if shutil.which("metriage") else str(Path(sys.executable).with_name("metriage"))
    return (
        f"{name} tickets list --dir {folder}\n"
        f"{name} tickets explain 1 --dir {folder}\n"
        f"{name} status --dir {folder}\n"
        f"{name} init DIR    (a site for your own broker and webhook)\n"
        "notebooks/first_look.ipynb    (the same lake from a notebook)"
    )


def _short(name: str) -> str:
    return name if len(name) <= 26 or console.width > 120 else f"{name[:8]}…"
