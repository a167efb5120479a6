"""From the outbox to the receivers: at least once, in order for each ticket, destinations isolated from each other."""

from __future__ import annotations

import random as randomness
import sqlite3
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from lake.errors import DeliveryError, SettingsError
from tickets import addresses, dispatch, store
from tickets.addresses import Resolve, Target, checked_addresses
from tickets.dispatch import Claim, Random
from tickets.receivers import Delivery, receiver_named
from tickets.settings import WebhookSettings, read_secrets
from tickets.signature import Secret

# Requests to one destination at a time, each for another ticket.
LANES = 4


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What a run did and what is left.

    Parameters
    ----------
    delivered, failed : int
        Attempts of this run.
    pending : int
        Events that still wait, over all configured destinations.
    dead : int
        Events that were given up; they wait for a person.
    problems : mapping of str to str
        What stands in the way of a destination, by its name.
    """

    delivered: int = 0
    failed: int = 0
    pending: int = 0
    dead: int = 0
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether everything was delivered."""
        return not self.pending and not self.dead and not self.problems


@dataclass(frozen=True, slots=True)
class Network:
    """What delivery needs of the outside; tests put their own.

    Parameters
    ----------
    resolve : callable
        Name and port to addresses.
    tls : ssl.SSLContext, optional
        Instead of one with the system's certificates.
    """

    resolve: Resolve = addresses.resolve
    tls: ssl.SSLContext | None = None


def utc_now() -> datetime:
    """Return the clock's time."""
    return datetime.now(UTC)


def deliver_due(
    connection: sqlite3.Connection,
    webhooks: Sequence[WebhookSettings],
    *,
    folder: Path,
    now: Callable[[], datetime] = utc_now,
    random: Random = randomness.random,
    network: Network | None = None,
) -> DeliveryReport:
    """Send everything that is due and return when nothing more is; what failed waits for its time in the database.

    Safe under concurrent processes and when killed at any point: an event is sent again under the same ``webhook-id``
    rather than lost.

    Parameters
    ----------
    connection : sqlite3.Connection
        From :func:`lake.site_database.connect`.
    webhooks : sequence of WebhookSettings
        The destinations; :func:`tickets.settings.check_webhooks` has found nothing wrong with them.
    folder : Path
        The site folder, which ``secret_file`` is relative to.
    now : callable
        The clock: it stamps the attempts and decides what is due.
    random : callable
        Returns 0 … 1 for the jitter of the schedule.
    network : Network, optional
        Names and certificates.
    """
    store.prepare(connection)
    run = _Run(connection, now, random, network or Network())
    for webhook in webhooks:
        run.add(webhook, folder)
    run.work()
    waiting = [dispatch.counts(connection, webhook.label) for webhook in webhooks]
    return DeliveryReport(
        delivered=run.delivered,
        failed=run.failed,
        pending=sum(pending for pending, _ in waiting),
        dead=sum(dead for _, dead in waiting),
        problems=run.problems | {webhook.label: problem for webhook in webhooks if (problem := run.problem(webhook))},
    )


def check_webhook(
    webhook: WebhookSettings, *, folder: Path, key: str = "webhook", network: Network | None = None
) -> tuple[str, ...]:
    """Say what would keep events from a destination, without sending one.

    Looks at the secret, the addresses behind the name, the connection and the certificate.

    Parameters
    ----------
    webhook : WebhookSettings
        The destination.
    folder : Path
        The site folder.
    key : str
        Dotted path of the webhook, for messages.
    network : Network, optional
        Names and certificates.
    """
    outside = network or Network()
    problems: list[str] = []
    try:
        read_secrets(webhook, folder, key=key)
    except SettingsError as error:
        problems.append(str(error))
    target = Target.parse(webhook.url)
    try:
        checked = checked_addresses(target, allow_private=webhook.allow_private, resolver=outside.resolve)
        addresses.reach(target=target, addresses=checked, timeout_s=webhook.timeout_s, tls=outside.tls)
    except DeliveryError as error:
        problems.append(str(error))
    return tuple(problems)


@dataclass(slots=True)
class _Lane:
    """One destination during a run."""

    webhook: WebhookSettings
    secrets: tuple[Secret, ...]
    busy: int = 0


class _Run:
    """One call of :func:`deliver_due`: this thread keeps the records, others talk to the destinations."""

    def __init__(
        self, connection: sqlite3.Connection, now: Callable[[], datetime], random: Random, network: Network
    ) -> None:
        self.connection = connection
        self.now = now
        self.random = random
        self.network = network
        self.lanes: list[_Lane] = []
        self.running: dict[Future[None], tuple[_Lane, Claim]] = {}
        self.delivered = 0
        self.failed = 0
        self.problems: dict[str, str] = {}

    def add(self, webhook: WebhookSettings, folder: Path) -> None:
        now = self.now()
        dispatch.register(self.connection, webhook, now=now)
        dispatch.reclaim(self.connection, webhook.label, now=now)
        try:
            self.lanes.append(_Lane(webhook, read_secrets(webhook, folder)))
        except SettingsError as error:
            self.problems[webhook.label] = str(error)

    def work(self) -> None:
        if not self.lanes:
            return
        with ThreadPoolExecutor(LANES * len(self.lanes), thread_name_prefix="delivery") as pool:
            try:
                self.start_due(pool)
                while self.running:
                    self.record(wait(self.running, return_when=FIRST_COMPLETED).done)
                    self.start_due(pool)
            finally:
                self.record(wait(self.running).done)

    def start_due(self, pool: ThreadPoolExecutor) -> None:
        for lane in self.lanes:
            if lane.busy == LANES:
                continue
            now = self.now()
            claims = dispatch.claim(self.connection, lane.webhook, now=now, limit=LANES - lane.busy, random=self.random)
            for claimed in claims:
                future = pool.submit(_attempt, lane.webhook, claimed, lane.secrets, int(now.timestamp()), self.network)
                self.running[future] = lane, claimed
                lane.busy += 1

    def record(self, finished: set[Future[None]]) -> None:
        for future in finished:
            lane, claimed = self.running.pop(future)
            lane.busy -= 1
            error = future.exception()
            if error is None:
                dispatch.delivered(self.connection, claimed, now=self.now())
                self.delivered += 1
                continue
            if not isinstance(error, DeliveryError):
                error = DeliveryError(f"the receiver failed: {type(error).__name__}: {error}", retry=True)
            dispatch.failed(self.connection, claimed, error, now=self.now(), random=self.random)
            self.failed += 1

    def problem(self, webhook: WebhookSettings) -> str | None:
        state = dispatch.destination(self.connection, webhook.label)
        return state.last_error or self.problems.get(webhook.label)


def _attempt(
    webhook: WebhookSettings, claimed: Claim, secrets: tuple[Secret, ...], attempted_at_s: int, network: Network
) -> None:
    target = Target.parse(webhook.url)
    checked = checked_addresses(target, allow_private=webhook.allow_private, resolver=network.resolve)
    receiver_named(webhook.receiver).deliver(
        Delivery(claimed.event_id, claimed.dedup_key, claimed.body, attempted_at_s, secrets),
        partial(addresses.send, target=target, addresses=checked, timeout_s=webhook.timeout_s, tls=network.tls),
    )
