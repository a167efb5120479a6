"""``metriage doctor``: looks at broker, topics, clock, disk, lake and webhooks; says what is wrong and what to do."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ingest.monitoring.vitals_file import read_report
from ingest.receiver.probe import MOSQUITTO_ADVICE, BrokerView, look_at_broker
from ingest.settings import BrokerSettings
from lake.errors import MetriageError, SettingsError, SiteFolderError, SiteLockedError
from metriage.accounts import account
from metriage.site import Site
from tickets.delivery import check_webhook

Level = Literal["ok", "warning", "problem"]

_SLOW_SYNC_S = 0.1
_BUILT = datetime(2026, 11, 1, tzinfo=UTC)  # a clock before this release is wrong

# What no client can see of a broker, in the words of each; docs/operations.md explains them.
_OTHER_BROKERS = (
    "the same elsewhere: EMQX durable_sessions.enable, mqtt.max_mqueue_len = infinity, mqtt.max_inflight, "
    "mqtt.session_expiry_interval (MQTT 3.1.1); HiveMQ <session-expiry><max-interval>, "
    "<queued-messages><max-queue-size>, <persistence><mode>file; VerneMQ persistent_client_expiration, "
    "max_online_messages and max_offline_messages = -1, max_inflight_messages (MQTT 3.1.1); any: the message size "
    "limit (EMQX mqtt.max_packet_size, HiveMQ <packets><max-packet-size>, VerneMQ max_message_size)"
)


@dataclass(frozen=True, slots=True)
class Check:
    """What one look showed.

    Parameters
    ----------
    level : {"ok", "warning", "problem"}
        Whether something is to be done.
    subject : str
        What was looked at.
    text : str
        What was seen, and what to do.
    """

    level: Level
    subject: str
    text: str


def examine(site: Site) -> Iterator[Check]:
    """Yield one check after the other.

    Raises
    ------
    SettingsError
        ``metriage.toml`` is wrong; nothing else can be looked at.
    """
    settings = site.settings
    yield Check("ok", "settings", f"{site.folder / 'metriage.toml'} is valid")
    yield from _clock()
    yield from _disk(site)
    yield from _daemon(site)
    yield from _lake(site)
    yield from _storage(site)
    yield from _metrics(site)
    yield from _meters(site)
    if not settings.broker:
        yield Check("warning", "broker", "no [[broker]]: metriage ingest has nothing to listen to; files still work")
    for broker in settings.broker:
        yield from _broker(broker, site.folder)
    if not settings.webhook:
        yield Check("warning", "webhook", "no [[webhook]]: tickets stay here, nobody is told; add one to metriage.toml")
    for index, webhook in enumerate(settings.webhook):
        subject = f"webhook {webhook.label}"
        problems = check_webhook(webhook, folder=site.folder, key=f"webhook[{index}]")
        yield from (
            Check("problem", subject, f"{webhook.masked_url}: {problem}; correct it in [[webhook]]")
            for problem in problems
        )
        if not problems:
            yield Check("ok", subject, "can be reached, and the secret is readable; no event was sent")


def _meters(site: Site) -> Iterator[Check]:
    """Look at keys, registry and vendor profiles, as the lake writer reads them."""
    from ingest.meters import load_meters  # noqa: PLC0415
    from ingest.profiles.vendor_profile import load_profiles  # noqa: PLC0415

    try:
        meters = load_meters(site.writer_settings)
        profiles = load_profiles(site.folder)
    except MetriageError as error:
        yield Check("problem", "meters", str(error))
        return
    wrong = [f"there is no vendor profile {name!r}, which [[broker]] names" for name in _named(site)
             if name not in profiles]  # fmt: skip
    for make in sorted(set(meters.makes.values()), key=str):
        try:
            profiles.match(**make._asdict())
        except SettingsError as error:
            wrong.append(str(error))
    yield from (Check("problem", "vendor profiles", f"{text}; until then generic is used") for text in wrong)
    if not wrong:
        own = sum(profile.file is not None and site.folder in Path(profile.file).parents for profile in profiles.all)
        yield Check(
            "ok", "meters",
            f"{len(meters.makes):,} registered, {len(meters.aliases):,} aliases, {len(meters.keys):,} keys, "
            f"{len(profiles.all)} vendor profiles, {own} of them of this site",
        )  # fmt: skip


def _named(site: Site) -> list[str]:
    names = {name for broker in site.settings.broker for name in (broker.vendor, *broker.topic_vendors.values())}
    return sorted(name for name in names if name is not None)


def _clock() -> Iterator[Check]:
    now = datetime.now(UTC)
    if now < _BUILT:
        yield Check(
            "problem", "clock", f"the clock says {now:%Y-%m-%d %H:%M} UTC, before this release was made; set it"
        )
    else:
        yield Check("ok", "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC; compare with a clock you trust")


def _disk(site: Site) -> Iterator[Check]:
    lake = site.lake_folder
    places = {"spool": site.folder / "spool"} | ({} if lake is None else {"lake": lake})
    for name, folder in places.items():
        subject = f"disk {name}/" if folder == site.folder / name else f"disk of the {name}, {folder}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            seconds = _sync_time(folder)
        except OSError as error:
            yield Check("problem", subject, f"cannot be written: {error.strerror or error}; see {folder}")
            continue
        level: Level = "ok"
        text = f"{free / 1e9:.1f} GB free, one fsync takes {seconds * 1000:.1f} ms"
        if free < site.settings.ingest.min_free_bytes:
            level = "problem"
            stopped = folder.stat().st_dev == (site.folder / "spool").stat().st_dev
            effect = "acknowledging is stopped" if stopped else "when it is full, the spool grows instead"
            text = f"{text}: below ingest.min_free_bytes, {effect}; make room"
        elif seconds > _SLOW_SYNC_S:
            level, text = "warning", f"{text}: slow, it limits how fast messages can be acknowledged"
        yield Check(level, subject, text)


def _sync_time(folder: Path) -> float:
    file = folder / f".doctor-{os.getpid()}"
    start = time.perf_counter()
    try:
        with file.open("wb") as stream:
            stream.write(b"x" * 4096)
            stream.flush()
            os.fsync(stream.fileno())
    finally:
        file.unlink(missing_ok=True)
    return time.perf_counter() - start


def _daemon(site: Site) -> Iterator[Check]:
    try:
        with site.lock():
            yield Check("ok", "daemon", "not running (start it with `metriage ingest`)")
    except SiteLockedError as error:
        yield Check("ok", "daemon", f"running: {error.holder}")
    except SiteFolderError as error:
        yield Check("problem", "daemon", str(error))


def _lake(site: Site) -> Iterator[Check]:
    try:
        document = account(site)
    except MetriageError as error:
        yield Check("problem", "lake", str(error))
        return
    messages = document["messages"]
    received, pending = messages["received"], messages["pending"]
    text = (
        f"{received:,} {'message' if received == 1 else 'messages'} received, "
        f"{pending:,} {'waits' if pending == 1 else 'wait'} for the lake"
    )
    if messages["quarantined"]:
        worst = max(document["quarantine"].items(), key=lambda item: item[1])
        yield Check("warning", "lake", f"{text}, {messages['quarantined']:,} quarantined, mostly {worst[0]}: "
                                       "`metriage status` shows an example, lake/quarantine holds all")  # fmt: skip
    else:
        yield Check("ok", "lake", text)


def _storage(site: Site) -> Iterator[Check]:
    """Look whether commits of several writers are safe where the lake lies."""
    from lake.storage import check_conditional_put, open_storage  # noqa: PLC0415 - it loads the readers of tables

    try:
        storage = open_storage(site.settings.lake, site.folder)
        if "://" in site.settings.lake.url:
            check_conditional_put(storage)
            text = f"{storage.url} can be written, and refuses a second writer of the same file (conditional PUT)"
            yield Check("ok", "lake storage", text)
    except MetriageError as error:
        yield Check("problem", "lake storage", str(error))


def _metrics(site: Site) -> Iterator[Check]:
    metrics = site.settings.metrics
    if metrics.listen is None:
        yield Check("ok", "metrics", "off; [metrics] listen gives Prometheus metrics and health pages")
        return
    host, port = metrics.address()
    try:
        with socket.create_connection((host, port), timeout=2):
            taken = True
    except OSError:
        taken = False
    running = read_report(site.folder / "spool") is not None
    if taken and not running:
        yield Check("problem", "metrics", f"{metrics.listen} is taken by another program: metriage ingest would not "
                                          "start; choose another port in [metrics] listen")  # fmt: skip
    elif running and not taken:
        yield Check("problem", "metrics", f"the daemon runs, but {metrics.listen} does not answer; was it started "
                                          "with other settings?")  # fmt: skip
    else:
        yield Check("ok", "metrics", f"http://{metrics.listen}/metrics, /healthz and /readyz"
                                     + ("" if running else ", once the daemon runs"))  # fmt: skip
    if not _is_loopback(host):
        yield Check("warning", "metrics", f"{metrics.listen} can be reached from other machines, without a password; "
                                          "right only in a closed network")  # fmt: skip


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _broker(broker: BrokerSettings, folder: Path) -> Iterator[Check]:
    subject = f"broker {broker.url}"
    try:
        view = look_at_broker(broker, folder)
    except SettingsError as error:
        yield Check("problem", subject, str(error))
        return
    for problem in view.problems:
        yield Check("problem", subject, problem)
    yield from _secret_files(subject, broker, folder)
    if view.protocol is not None:
        yield from _connected(subject, broker, view)


def _secret_files(subject: str, broker: BrokerSettings, folder: Path) -> Iterator[Check]:
    """Look whether others may read what only we should."""
    for name in (broker.password_file, broker.key_file, broker.key_password_file):
        if name is None:
            continue
        file = folder / name
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError:
            continue  # that it cannot be read was said before
        if mode & 0o077:
            yield Check("warning", subject, f"others may read {file} (mode {mode:04o}); run: chmod 600 {file}")


def _connected(subject: str, broker: BrokerSettings, view: BrokerView) -> Iterator[Check]:
    yield Check("ok", subject, f"connected with {view.protocol}{f' to {view.software}' if view.software else ''}")
    topics = ", ".join(broker.topics)
    if view.messages:
        noun = "message" if view.messages == 1 else "messages"
        yield Check("ok", "topics", f"{view.messages} {noun} within 2 s on {topics}")
    else:
        yield Check("warning", "topics", f"no message within 2 s on {topics}; right if your meters report "
                                         "rarely; else see the names, and the broker's access list: some brokers "
                                         "grant a subscription and then send nothing")  # fmt: skip
    for warning in view.warnings:
        yield Check("warning", "broker limits", warning)
    yield Check("ok", "broker queue", f"not visible from here, check it: {view.advice}")
    if view.software is None:
        yield Check("ok", "broker queue", MOSQUITTO_ADVICE)
    if "mosquitto" not in (view.software or "").lower():
        yield Check("ok", "broker queue", _OTHER_BROKERS)
