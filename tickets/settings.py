"""Settings of the ticket stage: ``[tickets]`` and each ``[[webhook]]`` of ``metriage.toml``."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from lake.errors import SettingsError
from lake.vocabulary import CONDITIONS
from tickets.signature import Secret, parse_secrets

EventType = Literal["ticket.opened", "ticket.updated", "ticket.escalated", "ticket.resolved", "ticket.reopened"]
EVENT_TYPES: tuple[EventType, ...] = (
    "ticket.opened",
    "ticket.updated",
    "ticket.escalated",
    "ticket.resolved",
    "ticket.reopened",
)


class TicketSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[tickets]``: which findings become tickets and how often a ticket speaks."""

    conditions: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="conditions that open tickets as faults do, for example tamper; none unless listed"),
    ] = ()
    on_clear: Annotated[
        Literal["propose", "resolve"],
        msgspec.Meta(
            description="what a finding of clear does to an open ticket: propose its resolution to a person, or resolve"
        ),
    ] = "propose"
    repeat_after_d: Annotated[
        tuple[Annotated[float, msgspec.Meta(gt=0)], ...],
        msgspec.Meta(
            min_length=1, description="waiting times before an unchanged ticket is repeated; the last one stays [d]"
        ),
    ] = (1.0, 7.0, 30.0)
    large_caliber_mm: Annotated[
        float,
        msgspec.Meta(gt=0, description="from this nominal size a meter counts as a large consumer's: more impact [mm]"),
    ] = 50.0


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[webhook]]``: a destination for ticket events."""

    url: Annotated[str, msgspec.Meta(description="address that takes the events, https:// or http://")]
    name: Annotated[str, msgspec.Meta(description="name in reports and messages; the host of url when left out")] = ""
    secret_file: Annotated[
        str | None,
        msgspec.Meta(
            description="file of mode 0600, one whsec_ secret a line; relative to the site folder. "
            "Two lines while a secret is being exchanged"
        ),
    ] = None
    secret_env: Annotated[
        str | None, msgspec.Meta(description="environment variable that holds the secret, instead of secret_file")
    ] = None
    allow_private: Annotated[
        bool,
        msgspec.Meta(description="allow addresses on this machine and in private networks, where ticket systems live"),
    ] = False
    events: Annotated[
        tuple[EventType, ...], msgspec.Meta(min_length=1, description="the events this destination gets")
    ] = EVENT_TYPES
    timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0, le=120, description="time limit of one request, from connecting to the last byte of the answer [s]"
        ),
    ] = 15.0
    receiver: Annotated[
        str, msgspec.Meta(description="how the events are put: generic is the signed JSON of the contract")
    ] = "generic"

    @property
    def label(self) -> str:
        """``name``, or the host of ``url``."""
        return self.name or urlsplit(self.url).hostname or "webhook"

    @property
    def masked_url(self) -> str:
        """``url`` without what may be secret in it: user, password, query and the later parts of its path."""
        parts = _split(self.url)
        if parts is None:
            return "…"
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return (
            f"{parts.scheme}://{host}{port}/…"
            if parts.path.strip("/") or parts.query
            else f"{parts.scheme}://{host}{port}/"
        )

    def __repr__(self) -> str:
        return f"WebhookSettings(name={self.label!r}, url={self.masked_url!r}, receiver={self.receiver!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("name", self.label), ("url", self.masked_url), ("receiver", self.receiver)]


def check_tickets(settings: TicketSettings, *, key: str = "tickets") -> None:
    """Check what one key alone cannot tell.

    Raises
    ------
    SettingsError
        Names the key and what is allowed.
    """
    for index, condition in enumerate(settings.conditions):
        if condition not in CONDITIONS:
            raise SettingsError(
                f"there is no condition {condition!r}; allowed are {', '.join(CONDITIONS)}",
                key=f"{key}.conditions[{index}]",
            )
    if list(settings.repeat_after_d) != sorted(settings.repeat_after_d):
        raise SettingsError("the waiting times must not become shorter", key=f"{key}.repeat_after_d")


def check_webhooks(webhooks: Sequence[WebhookSettings], *, key: str = "webhook") -> None:
    """Check each webhook and that no two share a name.

    Raises
    ------
    SettingsError
        Names the key and what is allowed.
    """
    seen: dict[str, int] = {}
    for index, webhook in enumerate(webhooks):
        _check_webhook(webhook, f"{key}[{index}]")
        if webhook.label in seen:
            raise SettingsError(
                f"{key}[{seen[webhook.label]}] is called {webhook.label!r} too; give each webhook a name of its own",
                key=f"{key}[{index}].name",
            )
        seen[webhook.label] = index


def read_secrets(
    webhook: WebhookSettings, folder: Path, *, key: str = "webhook", environment: Mapping[str, str] | None = None
) -> tuple[Secret, ...]:
    """Return the secrets of one webhook, read anew each time so that a key can be exchanged while the program runs.

    Parameters
    ----------
    webhook : WebhookSettings
        The destination.
    folder : Path
        The site folder; ``secret_file`` is relative to it.
    key : str
        Dotted path of the webhook, for messages.
    environment : mapping of str to str, optional
        Instead of the process's own.

    Raises
    ------
    SettingsError
        The secret is missing, open to others, or malformed. The message never holds the secret.
    """
    if webhook.secret_file is not None:
        where, text = f"{key}.secret_file", _private_text(folder / webhook.secret_file, f"{key}.secret_file")
    elif webhook.secret_env is not None:
        where = f"{key}.secret_env"
        given = (os.environ if environment is None else environment).get(webhook.secret_env)
        if given is None:
            raise SettingsError(f"the environment variable {webhook.secret_env} is not set", key=where)
        text = given
    else:
        return ()
    try:
        return parse_secrets(text)
    except ValueError as error:
        raise SettingsError(str(error), key=where) from None


def _check_webhook(webhook: WebhookSettings, key: str) -> None:
    _check_url(webhook.url, f"{key}.url")
    if webhook.secret_file is not None and webhook.secret_env is not None:
        raise SettingsError("at most one of secret_file & secret_env", key=f"{key}.secret_env")
    from tickets import receivers  # noqa: PLC0415 - a receiver may import this module

    known = receivers.names()
    if webhook.receiver not in known:
        raise SettingsError(
            f"there is no receiver {webhook.receiver!r}; allowed are {', '.join(known)}", key=f"{key}.receiver"
        )
    signs = receivers.receiver_named(webhook.receiver).signs
    if signs and webhook.secret_file is None and webhook.secret_env is None:
        raise SettingsError(
            f"receiver {webhook.receiver} signs what it sends: one of secret_file & secret_env is needed",
            key=f"{key}.secret_file",
        )


def _check_url(url: str, key: str) -> None:
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError("not an address; allowed is https://host[:port]/path (or http://)", key=key)
    if parts.username is not None or parts.password is not None:
        raise SettingsError("user and password do not belong into the address", key=key)
    if parts.fragment:
        raise SettingsError("an address of a webhook has no part after #", key=key)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError("only printable ASCII is allowed; write other characters percent-encoded", key=key)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _private_text(path: Path, key: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(65536)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise SettingsError(f"{path} cannot be read: {reason}", key=key) from None
    if mode & 0o077:
        raise SettingsError(f"{path} is open to others (mode {mode:04o}); allowed is 0600: chmod 600", key=key)
    return text
